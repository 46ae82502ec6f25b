//! Mentions: of members, kept with the message, and counted exactly while they are unread.

use talksy_domain::chats::LargeGroups;
use talksy_domain::groups::GroupAction;
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::messages::{
    Append, ChangeAction, ChangeRefusal, Changed, HistoryFrom, Message, MessageChange, MessageEdit,
};

use super::fixture::{Stores, draft, draft_with_id, sorted, text_of};
use super::reading::membership;
use super::{ids, now};

fn mention(chat: ChatId, sender: UserId, users: &[UserId]) -> Message {
    Message {
        mention_ids: users.to_vec(),
        ..draft(chat, sender)
    }
}

fn edit(users: &[UserId]) -> ChangeAction {
    ChangeAction::Edit {
        edit: MessageEdit {
            mention_ids: Some(users.to_vec()),
            ..MessageEdit::default()
        },
        expected: None,
    }
}

async fn counted(stores: &Stores, user: UserId, chat: ChatId) -> u32 {
    let counts = stores.chats.unread_mentions(user, &[chat]).await.unwrap();
    assert_eq!(counts.len(), 1, "{counts:?}");
    assert_eq!(counts[0].0, chat);
    counts[0].1
}

/// Checks what is counted for each of these members against the messages themselves.
async fn assert_exact(stores: &Stores, chat: ChatId, users: &[UserId]) {
    let messages = stores.all_messages(chat).await;
    for &user in users {
        let member = membership(stores, chat, user).await;
        let base = member.last_read_seq.max(member.joined_seq);
        let counts = |message: &&Message| {
            message.seq > base
                && message.mention_ids.contains(&user)
                && message.sender_id != Some(user)
        };
        let expected = messages.iter().filter(counts).count();
        let expected = u32::try_from(expected).unwrap();
        assert_eq!(counted(stores, user, chat).await, expected, "behind {base}");
    }
}

/// A message keeps whom it mentions, in their order. An edit replaces them or leaves them, a deletion
/// takes them away.
pub async fn a_message_keeps_its_mentions(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let chat = stores.group(&[&ada, &bob, &cyd]).await;
    let sent = mention(chat.id, ada.id, &[cyd.id, ada.id, bob.id]);
    let sent = stores.append(&sent).await.message;
    assert_eq!(sent.mention_ids, [cyd.id, ada.id, bob.id]);
    let text = ChangeAction::Edit {
        edit: text_of("other").into(),
        expected: None,
    };
    for (action, expected) in [
        (text, vec![cyd.id, ada.id, bob.id]),
        (edit(&[bob.id]), vec![bob.id]),
        (edit(&[]), vec![]),
        (edit(&[bob.id, cyd.id]), vec![bob.id, cyd.id]),
        (ChangeAction::Delete, vec![]),
    ] {
        let changed = stores.change(&sent, ada.id, action.clone()).await;
        assert!(changed.is_new, "{action:?}");
        assert_eq!(changed.message.mention_ids, expected, "{action:?}");
        let found = stores.messages.messages(&[sent.id]).await.unwrap();
        assert_eq!(found, [changed.message]);
        assert_exact(stores, chat.id, &[ada.id, bob.id, cyd.id]).await;
    }
}

/// What is counted are the mentions above the read mark, in messages of others: whatever is sent, read,
/// edited and deleted.
pub async fn unread_mentions_are_exact(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let chat = stores.group(&[&ada, &bob, &cyd]).await;
    let all = [ada.id, bob.id, cyd.id];
    let mut sent = Vec::new();
    for n in 0..36_usize {
        // Each combination of the three, and of who sends.
        let named = |bit: usize| ((n >> bit) & 1 == 1).then_some(all[bit]);
        let users: Vec<_> = (0..3).filter_map(named).collect();
        let sender = all[n % 3];
        sent.push(
            stores
                .append(&mention(chat.id, sender, &users))
                .await
                .message,
        );
        if n % 7 == 3 {
            let (seq, reader) = (sent[n / 2].seq, all[n % 3]);
            let chats = &stores.chats;
            let marked = chats.mark_read(chat.id, reader, seq, now(), LargeGroups::NONE);
            marked.await.unwrap().unwrap();
        }
        if n % 5 == 4 {
            let message = sent[n - 3].clone();
            let sender = message.sender_id.unwrap();
            stores.change(&message, sender, ChangeAction::Delete).await;
        }
        if n % 4 == 2 {
            let message = &sent[n];
            let users = [all[n / 4 % 3]];
            stores
                .change(message, message.sender_id.unwrap(), edit(&users))
                .await;
        }
        assert_exact(stores, chat.id, &all).await;
    }
    assert!(counted(stores, cyd.id, chat.id).await > 0);
    let end = stores.chat(chat.id).await.last_seq;
    let chats = &stores.chats;
    for user in all {
        let marked = chats.mark_read(chat.id, user, end, now(), LargeGroups::NONE);
        marked.await.unwrap().unwrap();
        assert_eq!(counted(stores, user, chat.id).await, 0);
    }
}

/// Many users of a chat are counted for at once as each is alone, with the versions of their memberships.
/// Of strangers and of who has left nothing is told.
pub async fn many_users_are_counted_for_at_once(stores: &Stores) {
    let [ada, bob, cyd, eve] = stores.users().await;
    let chat = stores.group(&[&ada, &bob, &cyd]).await;
    let other = stores.group(&[&ada, &bob]).await;
    let everybody = [ada.id, bob.id, cyd.id];
    let first = stores.append(&mention(chat.id, ada.id, &everybody)).await;
    for users in [&everybody[1..], &everybody[2..], &[]] {
        stores.append(&mention(chat.id, ada.id, users)).await;
    }
    stores.append(&mention(other.id, ada.id, &[bob.id])).await;
    let seq = first.message.seq;
    let marked = stores
        .chats
        .mark_read(chat.id, cyd.id, seq, now(), LargeGroups::NONE);
    marked.await.unwrap().unwrap();
    // Far more than one command counts for.
    let mut asked: Vec<_> = (0..250).map(|_| ids().next()).collect();
    asked.extend([eve.id, cyd.id, ada.id, bob.id]);
    let among = async || {
        let counts = stores.chats.unread_mentions_among(chat.id, &asked).await;
        let counts = counts.unwrap().into_iter();
        sorted(counts.map(|one| (one.user_id, one.count, one.version)))
    };
    let alone = async |users: &[UserId]| {
        let mut counts = Vec::new();
        for user in users {
            let member = stores.chats.memberships(*user, &[chat.id]).await.unwrap();
            let count = counted(stores, *user, chat.id).await;
            counts.push((*user, count, member[0].version));
        }
        sorted(counts)
    };
    let counts = among().await;
    assert_eq!(counts, alone(&everybody).await);
    let counts: Vec<_> = everybody
        .iter()
        .map(|user| counts.iter().find(|one| one.0 == *user).unwrap().1)
        .collect();
    assert_eq!(counts, [0, 2, 2]);
    stores.change(&first.message, ada.id, edit(&[])).await;
    assert_eq!(among().await, alone(&everybody).await);
    let left = stores.notice(chat.id, cyd.id, GroupAction::Leave);
    left.await;
    assert_eq!(among().await, alone(&everybody[..2]).await);
    let none = stores.chats.unread_mentions_among(chat.id, &[]).await;
    assert_eq!(none.unwrap(), []);
}

/// Of many chats each is counted for itself, and of chats of others nothing is told. Whoever comes back
/// has nothing unread from before.
pub async fn mentions_are_counted_chat_by_chat(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let group = stores.group(&[&ada, &bob]).await;
    let direct = stores.direct(&ada, &bob).await;
    let foreign = stores.direct(&ada, &cyd).await;
    for _ in 0..2 {
        stores.append(&mention(group.id, ada.id, &[bob.id])).await;
    }
    stores.append(&mention(direct.id, ada.id, &[bob.id])).await;
    stores.append(&mention(foreign.id, ada.id, &[cyd.id])).await;
    let chats = [direct.id, foreign.id, group.id, ids().next()];
    let counts = stores.chats.unread_mentions(bob.id, &chats).await.unwrap();
    assert_eq!(sorted(counts), sorted([(group.id, 2), (direct.id, 1)]));
    assert_eq!(stores.chats.unread_mentions(bob.id, &[]).await.unwrap(), []);

    stores
        .notice(group.id, ada.id, GroupAction::Remove(bob.id))
        .await;
    let none = stores.chats.unread_mentions(bob.id, &[group.id]).await;
    assert_eq!(none.unwrap(), []);
    let add = GroupAction::Add {
        users: vec![bob.id],
        history: HistoryFrom::All,
    };
    stores.notice(group.id, ada.id, add).await;
    assert_eq!(counted(stores, bob.id, group.id).await, 0);
    stores.append(&mention(group.id, ada.id, &[bob.id])).await;
    assert_eq!(counted(stores, bob.id, group.id).await, 1);
}

/// Members alone are mentioned: else nothing is sent or changed, and the first who is none is named. Who
/// was mentioned while they were a member stays so.
pub async fn members_alone_are_mentioned(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let chat = stores.group(&[&ada, &bob]).await;
    let sent = mention(chat.id, ada.id, &[bob.id]);
    let kept = Message {
        client_message_id: draft_with_id(chat.id, ada.id, "own").client_message_id,
        ..sent
    };
    let sent = stores.append(&kept).await.message;
    stores
        .notice(chat.id, ada.id, GroupAction::Remove(bob.id))
        .await;
    let end = stores.chat(chat.id).await;
    for (users, place) in [
        (vec![cyd.id], 0),
        (vec![ada.id, bob.id], 1),
        (vec![ada.id, ids().next(), cyd.id], 1),
    ] {
        let refused = mention(chat.id, ada.id, &users);
        let answer = stores.messages.append(&refused).await.unwrap();
        assert_eq!(answer, Append::NotMentionable(place));
        assert_eq!(stores.messages.messages(&[refused.id]).await.unwrap(), []);
    }
    let change = |action| MessageChange {
        message_id: sent.id,
        chat_id: chat.id,
        actor_id: ada.id,
        at: now(),
        action,
    };
    let refused = change(edit(&[bob.id, cyd.id]));
    let refused = stores.messages.change(&refused).await.unwrap();
    assert_eq!(refused, Changed::Refused(ChangeRefusal::NotMentionable(1)));
    assert_eq!(stores.chat(chat.id).await, end);
    let found = stores.messages.messages(&[sent.id]).await.unwrap();
    assert_eq!(found, std::slice::from_ref(&sent));

    let retried = stores
        .append(&Message {
            id: ids().next(),
            ..kept
        })
        .await;
    assert!(
        retried.is_duplicate,
        "a retry of what was sent before the removal"
    );
    let changed = stores.change(&sent, ada.id, edit(&[ada.id, bob.id])).await;
    assert_eq!(changed.message.mention_ids, [ada.id, bob.id]);
}

super::suite::rules! {
    mentions_rules:
    a_message_keeps_its_mentions,
    unread_mentions_are_exact,
    many_users_are_counted_for_at_once,
    mentions_are_counted_chat_by_chat,
    members_alone_are_mentioned,
}
