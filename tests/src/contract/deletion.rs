//! Deleting accounts: the mark, with what is in the same commit, and what is erased behind it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use talksy_domain::access::Denied;
use talksy_domain::attachments::{Attachment, ContentType, FileName};
use talksy_domain::chats::{ChatKind, ChatTitle, LargeGroups, MemberRole};
use talksy_domain::clock::SystemClock;
use talksy_domain::deletion::{AccountEraser, EraseAccount as _};
use talksy_domain::events::{Event, Topic};
use talksy_domain::groups::{ClientChatId, GroupAction, GroupOutcome, NewGroup};
use talksy_domain::id::UserId;
use talksy_domain::messages::{
    Append, ChangeAction, Changed, ClientMessageId, Emoji, Message, MessageChange, SystemNoticeKind,
};
use talksy_domain::seq::Seq;
use talksy_domain::users::{About, DisplayName, ProfileChange, User};

use super::fixture::{Stores, ask, candidate, draft, forward, metadata};
use super::sessions::{new_session, token};
use super::{at_once, ids, now, word};

pub(super) fn eraser(stores: &Stores) -> AccountEraser {
    AccountEraser {
        users: Arc::clone(&stores.users),
        sessions: Arc::clone(&stores.sessions),
        chats: Arc::clone(&stores.chats),
        groups: Arc::clone(&stores.groups),
        messages: Arc::clone(&stores.messages),
        blocks: Arc::clone(&stores.blocks),
        moderation: Arc::clone(&stores.moderation),
        attachments: Arc::new(()),
        clock: Arc::new(SystemClock),
        ids: ids(),
    }
}

async fn user(stores: &Stores, id: UserId) -> User {
    stores.users.users(&[id]).await.unwrap().pop().unwrap()
}

/// Marks an account as deleted, and erases it.
pub(super) async fn delete(stores: &Stores, id: UserId) {
    assert!(stores.users.delete_user(id, now()).await.unwrap());
    assert!(eraser(stores).erase(id).await.unwrap());
}

pub(super) fn react(emoji: &str) -> ChangeAction {
    ChangeAction::React {
        emoji: Emoji::parse(emoji).unwrap(),
        is_added: true,
    }
}

/// Nothing of the profile is left, nobody finds the account, and its address is somebody new's at once.
pub async fn a_deleted_account_is_empty_and_its_address_free(stores: &Stores) {
    let name = word();
    let ada = stores.user(&name).await;
    let [bob] = stores.users().await;
    stores.direct(&ada, &bob).await;
    let change = ProfileChange {
        about: Some(About::parse("an engineer").unwrap()),
        metadata: Some(Some(metadata("{\"a\":1}"))),
        avatar: Some(Some(ids().next())),
        ..ProfileChange::default()
    };
    stores.users.update_profile(ada.id, &change).await.unwrap();
    stores.users.set_last_seen(&[ada.id], now()).await.unwrap();

    let at = now();
    let marks = [(); 4].map(|()| {
        let users = Arc::clone(&stores.users);
        async move { users.delete_user(ada.id, at).await.unwrap() }
    });
    let marked = at_once(marks).await;
    assert_eq!(marked.iter().filter(|marked| **marked).count(), 1);
    let nobody = stores.users.delete_user(ids().next(), at).await.unwrap();
    assert!(!nobody);

    // What comes late changes nothing.
    let late = stores.users.update_profile(ada.id, &change).await.unwrap();
    assert_eq!(late, None);
    stores.users.set_last_seen(&[ada.id], now()).await.unwrap();
    let deleted = user(stores, ada.id).await;
    let expected = User {
        email: User::email_of_deleted(ada.id),
        name: deleted.name.clone(),
        deleted_at: Some(at),
        ..ada.clone()
    };
    assert_eq!(deleted, expected);
    assert_eq!(deleted.name.as_str(), DisplayName::of_deleted().as_str());
    let of_address = stores.users.user_of_email(&ada.email).await.unwrap();
    assert_eq!(of_address, None);

    let window = forward(None, 100);
    for prefix in [name.as_str(), "Deleted user"] {
        let found = stores.users.users_by_name(prefix, bob.id, &window);
        let known = stores.users.known_users_by_name(prefix, bob.id, &window);
        for page in [found.await.unwrap(), known.await.unwrap()] {
            assert!(
                page.items.iter().all(|found| found.id != ada.id),
                "{prefix}"
            );
        }
    }

    let again = User {
        email: ada.email.clone(),
        ..candidate("Ada")
    };
    let (made, is_new) = stores.users.find_or_create_user(&again).await.unwrap();
    assert!(is_new && made.id != ada.id);
    assert_eq!(made, again);
    assert_eq!(user(stores, ada.id).await, expected);
    // She may go too, and so on.
    assert!(stores.users.delete_user(made.id, at).await.unwrap());
    let third = User {
        email: ada.email,
        ..candidate("Ada")
    };
    assert!(stores.users.find_or_create_user(&third).await.unwrap().1);
}

/// Sessions end with the mark, all of them, and their connections are told; others' stay.
pub async fn its_sessions_end(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let mut sessions = Vec::new();
    for owner in [&ada, &ada, &ada, &bob] {
        let session = new_session(owner.id, now());
        let kept = stores.sessions.create_session(&session, token());
        kept.await.unwrap();
        sessions.push(session.id);
    }
    assert!(stores.users.delete_user(ada.id, now()).await.unwrap());
    let left = stores.sessions.existing_sessions(&sessions).await.unwrap();
    assert_eq!(left, sessions[3..]);
    let told: HashSet<_> = stores
        .events
        .on(Topic::User(ada.id))
        .into_iter()
        .filter_map(|event| match event {
            Event::SessionRevoked { session_id } => Some(session_id),
            _ => None,
        })
        .collect();
    assert_eq!(told, sessions[..3].iter().copied().collect());
    // One that has come meanwhile is ended by the job.
    let late = new_session(ada.id, now());
    let kept = stores.sessions.create_session(&late, token());
    kept.await.unwrap();
    assert_eq!(stores.sessions.end_sessions_of(ada.id, 5).await.unwrap(), 1);
    assert_eq!(stores.sessions.end_sessions_of(ada.id, 5).await.unwrap(), 0);
    assert!(
        stores
            .events
            .on(Topic::User(ada.id))
            .contains(&Event::SessionRevoked {
                session_id: late.id
            })
    );
}

/// The job that erases the rest is there with the mark, and names the account by its id alone.
pub async fn its_job_comes_with_the_mark(stores: &Stores) {
    let ada = stores.user("Ada").await;
    assert!(stores.users.delete_user(ada.id, now()).await.unwrap());
    let soon = now() + Duration::from_mins(1);
    let due = stores.jobs.due(&["eraseAccount.1"], soon, 10_000);
    let due = due.await.unwrap();
    let of_ada: Vec<_> = due
        .iter()
        .filter(|job| job.payload.contains(&ada.id.to_string()))
        .collect();
    assert_eq!(of_ada.len(), 1, "{due:?}");
    assert!(!of_ada[0].payload.contains(ada.email.as_str()));
}

/// What a user has written goes by the lines: others keep their order, and learn of it.
pub async fn what_was_written_goes_by_the_lines(stores: &Stores) {
    let [ada, bob, cleo] = stores.users().await;
    let group = stores.group(&[&ada, &bob, &cleo]).await;
    // More than a block, and than a step.
    let mine = stores.send(group.id, ada.id, 130).await;
    let theirs = stores.send(group.id, bob.id, 3).await;
    stores.change(&theirs[0], ada.id, react("👍")).await;
    stores.change(&theirs[0], cleo.id, react("👍")).await;
    stores.change(&theirs[1], ada.id, react("🎉")).await;
    stores.change(&theirs[2], ada.id, react("👍")).await;
    stores.change(&mine[0], bob.id, react("👍")).await;
    stores.change(&mine[1], ada.id, ChangeAction::Delete).await;
    let before = stores.chat(group.id).await;
    delete(stores, ada.id).await;

    let after = stores.chat(group.id).await;
    assert_eq!(
        after.last_seq,
        before.last_seq + 1,
        "she has left, and nothing else was sent"
    );
    assert_eq!(after.member_count, 2);
    // Each of 129 messages and 3 reactions is a change with a number of its own.
    let changes = after.last_change_seq - before.last_change_seq;
    assert!((130..=132).contains(&changes), "{changes}");
    let all = stores.all_messages(group.id).await;
    let seqs: Vec<Seq> = all.iter().map(|message| message.seq).collect();
    assert_eq!(seqs, (1..=after.last_seq).collect::<Vec<_>>());
    for message in all
        .iter()
        .filter(|message| message.sender_id == Some(ada.id))
    {
        assert!(
            message.deleted_at.is_some() && message.text.is_none(),
            "{message:?}"
        );
        assert!(message.reactions.is_empty() && message.change_seq > 0);
    }
    for message in &theirs {
        let now = all.iter().find(|one| one.id == message.id).unwrap();
        assert_eq!(now.text, message.text);
        let count: u32 = now.reactions.counts().iter().map(|one| one.count).sum();
        assert_eq!(count, u32::from(message.seq == theirs[0].seq));
    }
    let reacted = stores.messages.reacted_by(ada.id, None, 10).await.unwrap();
    assert_eq!(reacted, []);
    let left = all.last().unwrap();
    let notice = left.notice.as_ref().unwrap();
    assert_eq!(notice.kind, SystemNoticeKind::MemberLeft);
    assert_eq!(notice.actor_id, Some(ada.id));
    // The sole owner's place is taken by one of the two, who have been there for as long.
    let mut roles = Vec::new();
    for user in [bob.id, cleo.id] {
        let member = stores.chats.memberships(user, &[group.id]).await.unwrap();
        roles.push(member[0].role);
    }
    roles.sort();
    assert_eq!(roles, [MemberRole::Member, MemberRole::Owner]);
    // Followers of the line get each of them.
    let window = forward(Some(before.last_change_seq), 1_000);
    let page = stores.messages.changes(group.id, 1, &window).await.unwrap();
    let deleted = page.items.iter().filter(|one| one.deleted_at.is_some());
    assert_eq!(deleted.count(), 129);
    // Once more changes nothing.
    assert!(eraser(stores).erase(ada.id).await.unwrap());
    assert_eq!(stores.chat(group.id).await, after);
}

/// What a user has written in a group that they left long ago goes too.
pub async fn what_was_written_before_leaving_goes_too(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let group = stores.group(&[&bob, &ada]).await;
    let mine = stores.send(group.id, ada.id, 2).await;
    let theirs = stores.send(group.id, bob.id, 1).await;
    stores.change(&theirs[0], ada.id, react("👍")).await;
    stores.notice(group.id, ada.id, GroupAction::Leave).await;
    // Who is no member cannot do it themself.
    let refused = ask(stores, &mine[0], ada.id, ChangeAction::Delete).await;
    assert!(refused.is_err());
    let head = stores.chat(group.id).await.last_seq;
    delete(stores, ada.id).await;
    let all = stores.all_messages(group.id).await;
    assert_eq!(
        stores.chat(group.id).await.last_seq,
        head,
        "she is not told to leave again"
    );
    for message in all {
        let is_hers = message.sender_id == Some(ada.id);
        assert_eq!(message.deleted_at.is_some(), is_hers, "{message:?}");
        assert!(message.reactions.is_empty());
    }
}

/// Only what is the user's own is changed by erasing.
pub async fn nothing_of_others_is_erased(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let group = stores.group(&[&ada, &bob]).await;
    let theirs = stores.send(group.id, bob.id, 1).await.remove(0);
    let change = MessageChange {
        message_id: theirs.id,
        chat_id: group.id,
        actor_id: ada.id,
        at: now(),
        action: ChangeAction::Delete,
    };
    let outcome = stores.messages.erase(&change).await.unwrap();
    assert!(matches!(outcome, Changed::Refused(_)), "{outcome:?}");
    // An account that is not deleted is not erased.
    assert!(!eraser(stores).erase(bob.id).await.unwrap());
    assert_eq!(stores.all_messages(group.id).await[1], theirs);
}

/// A direct chat stays with the other side, and nobody can send to it; ticks stay, times do not.
pub async fn direct_chats_stay_and_are_closed(stores: &Stores) {
    let [ada, bob, cleo] = stores.users().await;
    let chat = stores.direct(&ada, &bob).await;
    let other = stores.direct(&bob, &cleo).await;
    stores.send(chat.id, ada.id, 1).await;
    let sent = stores.send(chat.id, bob.id, 2).await;
    let own_id = Message {
        client_message_id: Some(ClientMessageId::parse("a").unwrap()),
        ..draft(chat.id, bob.id)
    };
    let first = stores.append(&own_id).await.message;
    let reading = stores
        .chats
        .mark_read(chat.id, ada.id, 3, now(), LargeGroups::NONE);
    reading.await.unwrap().unwrap();
    stores.chats.set_muted(chat.id, ada.id, true).await.unwrap();
    delete(stores, ada.id).await;

    let closed = stores.chat(chat.id).await;
    assert!(closed.is_closed && closed.kind == ChatKind::Direct && closed.member_count == 2);
    for sender in [bob.id, ada.id] {
        let refused = stores
            .messages
            .append(&draft(chat.id, sender))
            .await
            .unwrap();
        assert_eq!(refused, Append::Denied(Denied::Closed));
    }
    // A retry of what was sent before is answered.
    let again = stores.append(&own_id).await;
    assert!(again.is_duplicate);
    assert_eq!(again.message.id, first.id);
    let stranger = stores
        .messages
        .append(&draft(chat.id, cleo.id))
        .await
        .unwrap();
    assert_eq!(stranger, Append::Denied(Denied::NotMember));
    assert_eq!(stores.chat(chat.id).await.last_seq, 4);
    let all = stores.all_messages(chat.id).await;
    assert!(all[0].deleted_at.is_some());
    assert_eq!(all[1..3], sent);

    let hers = stores.chats.memberships(ada.id, &[chat.id]).await.unwrap();
    assert_eq!((hers[0].last_read_seq, hers[0].last_read_at), (3, None));
    assert!(!hers[0].is_muted);
    let theirs = stores.chats.chat_ids_of(bob.id).await.unwrap();
    assert!(theirs.contains(&chat.id));
    // Others go on.
    stores.send(other.id, bob.id, 1).await;
    // Neither is a group closed, nor what is not there.
    let group = stores.group(&[&bob, &cleo]).await;
    stores.chats.close_direct(group.id).await.unwrap();
    stores.chats.close_direct(ids().next()).await.unwrap();
    stores.send(group.id, bob.id, 1).await;
}

/// The ids of a user's own for groups go, and nobody's else.
pub async fn ids_of_their_own_for_groups_are_forgotten(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let own_id = ClientChatId::parse("my very own").unwrap();
    let make = async |creator: UserId| {
        let group = NewGroup {
            chat_id: ids().next(),
            message_id: ids().next(),
            creator_id: creator,
            member_ids: Vec::new(),
            title: ChatTitle::parse("A group").unwrap(),
            metadata: None,
            client_chat_id: Some(own_id.clone()),
            avatar_id: None,
            at: now(),
        };
        match stores.groups.create_group(&group).await.unwrap() {
            GroupOutcome::Done { chat, .. } => chat.id,
            refused @ GroupOutcome::Refused(_) => panic!("{refused:?}"),
        }
    };
    let (hers, his) = (make(ada.id).await, make(bob.id).await);
    assert_eq!(make(ada.id).await, hers);
    assert_eq!(stores.groups.forget_client_ids(ada.id, 5).await.unwrap(), 1);
    assert_eq!(stores.groups.forget_client_ids(ada.id, 5).await.unwrap(), 0);
    assert_ne!(make(ada.id).await, hers);
    assert_eq!(make(bob.id).await, his);
}

/// The attachments of an owner are found page by page.
pub async fn attachments_are_found_by_their_owner(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let mut made = Vec::new();
    for owner in [&ada, &bob, &ada, &ada] {
        let attachment = Attachment::announced(
            ids().next(),
            owner.id,
            FileName::cleaned("a.pdf"),
            ContentType::parse("application/pdf").unwrap(),
            10,
            now(),
        );
        stores
            .attachments
            .announce(&attachment, u64::MAX)
            .await
            .unwrap();
        made.push(attachment);
    }
    let page = async |after, limit| {
        let page = stores.attachments.of_owner(ada.id, after, limit);
        let page = page.await.unwrap().into_iter();
        page.map(|one| one.id).collect::<Vec<_>>()
    };
    let mut hers = [made[0].id, made[2].id, made[3].id];
    hers.sort_unstable();
    assert_eq!(page(None, 2).await, hers[..2]);
    assert_eq!(page(Some(hers[1]), 2).await, hers[2..]);
    assert_eq!(page(Some(hers[2]), 2).await, []);
}

/// Messages and reactions of a user are found page by page.
pub async fn what_a_user_wrote_is_found_page_by_page(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let mut hers = Vec::new();
    for n in 0..100_usize {
        let by = if n % 3 == 0 { &ada } else { &bob };
        let sent = stores.send(chat.id, by.id, 1).await.remove(0);
        if n % 3 == 0 {
            hers.push(sent.seq);
        }
    }
    for limit in [1, 7, 40] {
        let (mut after, mut found) = (0, Vec::new());
        loop {
            let page = stores.messages.sent_by(chat.id, ada.id, after, limit);
            let page = page.await.unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else {
                break;
            };
            after = last.seq;
            found.extend(page.iter().map(|message| message.seq));
        }
        assert_eq!(found, hers, "in pages of {limit}");
    }
    let all = stores.all_messages(chat.id).await;
    let mut expected = HashSet::new();
    for (message, emoji) in [(0, "👍"), (0, "🎉"), (1, "👍"), (5, "❤️"), (5, "👍")] {
        stores.change(&all[message], ada.id, react(emoji)).await;
        expected.insert((all[message].id, Emoji::parse(emoji).unwrap()));
    }
    stores.change(&all[0], bob.id, react("👍")).await;
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = stores.messages.reacted_by(ada.id, after.as_ref(), 2);
        let page = page.await.unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.iter().all(|one| one.chat_id == chat.id));
        after = page.last().cloned();
        found.extend(page.into_iter().map(|one| (one.message_id, one.emoji)));
    }
    assert_eq!(found.len(), expected.len());
    assert_eq!(found.into_iter().collect::<HashSet<_>>(), expected);
}

super::suite::rules! {
    deletion_rules:
    a_deleted_account_is_empty_and_its_address_free,
    its_sessions_end,
    its_job_comes_with_the_mark,
    what_was_written_goes_by_the_lines,
    what_was_written_before_leaving_goes_too,
    nothing_of_others_is_erased,
    direct_chats_stay_and_are_closed,
    ids_of_their_own_for_groups_are_forgotten,
    attachments_are_found_by_their_owner,
    what_a_user_wrote_is_found_page_by_page,
}
