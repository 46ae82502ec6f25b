//! Messages that are edited and deleted, and the line of changes.

use std::collections::BTreeMap;

use talksy_domain::access::Denied;
use talksy_domain::chats::MemberRole;
use talksy_domain::groups::{GroupAction, GroupChange};
use talksy_domain::id::ChatId;
use talksy_domain::messages::{ChangeAction, ChangeRefusal, ChangedMessage, HistoryFrom, Message};
use talksy_domain::seq::Seq;
use talksy_domain::users::User;

use super::fixture::{self, Stores, draft_with_id, forward, sorted, text_of};
use super::groups::group;
use super::{at_once, ids, now};

async fn ask(
    stores: &Stores,
    message: &Message,
    actor: &User,
    action: ChangeAction,
) -> Result<ChangedMessage, ChangeRefusal> {
    fixture::ask(stores, message, actor.id, action).await
}

fn edit(text: &str) -> ChangeAction {
    edit_of(text, None)
}

fn edit_of(text: &str, expected: Option<Seq>) -> ChangeAction {
    ChangeAction::Edit {
        edit: text_of(text).into(),
        expected,
    }
}

async fn message(stores: &Stores, of: &Message) -> Message {
    let found = stores.messages.messages(&[of.id]).await.unwrap();
    assert_eq!(found.len(), 1);
    found.into_iter().next().unwrap()
}

/// All changed messages of a chat, read in pages of this size.
async fn all_changes(stores: &Stores, chat: ChatId, size: usize) -> Vec<Message> {
    let mut changes: Vec<Message> = Vec::new();
    loop {
        let after = changes.last().map(|message| message.change_seq);
        let window = forward(after, size);
        let page = stores.messages.changes(chat, 1, &window);
        let page = page.await.unwrap();
        changes.extend(page.items);
        if !page.has_next {
            return changes;
        }
    }
}

/// The line of changes holds each changed message once, under its latest number, and all numbers
/// up to the head were given.
async fn agree(stores: &Stores, chat: ChatId, count: u32) {
    let line = all_changes(stores, chat, 3).await;
    assert!(
        line.windows(2)
            .all(|two| two[0].change_seq < two[1].change_seq)
    );
    let mut changed = stores.all_messages(chat).await;
    changed.retain(|message| message.change_seq > 0);
    changed.sort_by_key(|message| message.change_seq);
    assert_eq!(line, changed);
    let last = line.last().map_or(0, |message| message.change_seq);
    assert_eq!(last, count);
    assert_eq!(stores.chat(chat).await.last_change_seq, count);
    let head = stores.messages.heads(&[chat]).await.unwrap()[0];
    assert_eq!(head.last_change_seq, count);
}

/// An edit replaces the text, says when, and takes the chat's next change number.
pub async fn an_edit_takes_a_number(stores: &Stores) {
    let (ada, _, chat) = stores.pair().await;
    let sent = stores.send(chat.id, ada.id, 2).await;
    let before = stores.chat(chat.id).await;
    let changed = ask(stores, &sent[1], &ada, edit("better")).await.unwrap();
    assert!(changed.is_new);
    let now = &changed.message;
    assert_eq!(now.text, Some(text_of("better")));
    assert_eq!((now.change_seq, now.content_seq, now.seq), (1, 1, 2));
    assert!(now.edited_at.is_some() && now.deleted_at.is_none());
    assert_eq!(message(stores, &sent[1]).await, *now);
    assert_eq!(message(stores, &sent[0]).await, sent[0]);
    let again = ask(stores, &sent[1], &ada, edit("best")).await.unwrap();
    assert_eq!(again.message.change_seq, 2);
    assert_eq!(again.chat, stores.chat(chat.id).await);
    assert_eq!(
        (again.chat.last_seq, again.chat.active_at),
        (before.last_seq, before.active_at),
        "an edit is no activity"
    );
    agree(stores, chat.id, 2).await;
}

/// Its own text again is no change, and needs no number.
pub async fn an_edit_that_finds_its_text_succeeds(stores: &Stores) {
    let (ada, _, chat) = stores.pair().await;
    let sent = stores.send(chat.id, ada.id, 1).await.remove(0);
    let first = ask(stores, &sent, &ada, edit("better")).await.unwrap();
    let retry = ask(stores, &sent, &ada, edit_of("better", Some(0))).await;
    let retry = retry.unwrap();
    assert_eq!((retry.message, retry.is_new), (first.message, false));
    agree(stores, chat.id, 1).await;
}

/// An editor who has not seen the latest content is told so.
pub async fn an_edit_of_what_was_changed_meanwhile_is_refused(stores: &Stores) {
    let (ada, _, chat) = stores.pair().await;
    let sent = stores.send(chat.id, ada.id, 2).await;
    ask(stores, &sent[0], &ada, edit("better")).await.unwrap();
    let outdated = ask(stores, &sent[0], &ada, edit_of("worse", Some(0))).await;
    assert_eq!(outdated.unwrap_err(), ChangeRefusal::Outdated);
    ask(stores, &sent[0], &ada, edit_of("best", Some(1)))
        .await
        .unwrap();
    // Changes of other messages do not matter.
    ask(stores, &sent[1], &ada, edit_of("mine", Some(0)))
        .await
        .unwrap();
    agree(stores, chat.id, 3).await;
}

/// A deletion takes the content for good; that the message was there stays.
pub async fn a_deletion_leaves_a_tombstone(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let sent = stores
        .append(&draft_with_id(chat.id, ada.id, "one"))
        .await
        .message;
    stores.send(chat.id, ada.id, 1).await;
    let unread = async || {
        let counts = stores.chats.unread_counts(bob.id, &[chat.id]).await;
        counts.unwrap()[0].1
    };
    assert_eq!(unread().await, 2);
    let deleted = ask(stores, &sent, &ada, ChangeAction::Delete)
        .await
        .unwrap();
    let tombstone = deleted.message;
    assert_eq!((tombstone.seq, tombstone.change_seq), (1, 1));
    assert_eq!(tombstone.text, None);
    assert!(tombstone.deleted_at.is_some());
    assert_eq!(message(stores, &sent).await, tombstone);
    assert_eq!(unread().await, 1);
    let again = ask(stores, &sent, &ada, ChangeAction::Delete)
        .await
        .unwrap();
    assert_eq!((again.message, again.is_new), (tombstone.clone(), false));
    let edited = ask(stores, &sent, &ada, edit("back")).await;
    assert_eq!(edited.unwrap_err(), ChangeRefusal::Deleted);
    // A retry of the send still finds it.
    let retry = stores.append(&draft_with_id(chat.id, ada.id, "one")).await;
    assert_eq!((retry.message, retry.is_duplicate), (tombstone, true));
    agree(stores, chat.id, 1).await;
}

/// A message is its sender's to edit, and the sender's and a group's admins' to delete.
pub async fn who_may_change_a_message(stores: &Stores) {
    let [ada, bob, cyd, dan] = stores.users().await;
    let chat = group(stores, &ada, &[&bob, &cyd]).await;
    let promote = GroupChange {
        message_id: ids().next(),
        chat_id: chat.id,
        actor_id: ada.id,
        at: now(),
        max_members: 10,
        action: GroupAction::SetRole {
            user: bob.id,
            role: MemberRole::Admin,
        },
    };
    stores.groups.change_group(&promote).await.unwrap();
    let sent = stores.send(chat.id, cyd.id, 1).await.remove(0);
    let notice = stores.all_messages(chat.id).await.remove(0);
    for (of, actor, action, refusal) in [
        (&sent, &bob, edit("mine"), ChangeRefusal::NotSender),
        (&sent, &dan, edit("mine"), Denied::NotMember.into()),
        (&notice, &ada, edit("mine"), ChangeRefusal::System),
        (&notice, &ada, ChangeAction::Delete, ChangeRefusal::System),
    ] {
        assert_eq!(ask(stores, of, actor, action).await.unwrap_err(), refusal);
    }
    let own = stores.send(chat.id, ada.id, 1).await.remove(0);
    let refused = ask(stores, &own, &cyd, ChangeAction::Delete).await;
    assert_eq!(refused.unwrap_err(), ChangeRefusal::MayNotDelete);
    ask(stores, &sent, &bob, ChangeAction::Delete)
        .await
        .unwrap();
    let direct = stores.direct(&ada, &bob).await;
    let theirs = stores.send(direct.id, bob.id, 1).await.remove(0);
    let refused = ask(stores, &theirs, &ada, ChangeAction::Delete).await;
    assert_eq!(refused.unwrap_err(), ChangeRefusal::MayNotDelete);
    // What lies before the member's range is not there for them.
    let join = GroupChange {
        message_id: ids().next(),
        action: GroupAction::Add {
            users: vec![dan.id],
            history: HistoryFrom::Join,
        },
        ..promote
    };
    stores.groups.change_group(&join).await.unwrap();
    let refused = ask(stores, &own, &dan, ChangeAction::Delete).await;
    assert_eq!(refused.unwrap_err(), ChangeRefusal::NoMessage);
    let unknown = Message {
        id: ids().next(),
        ..own.clone()
    };
    let refused = ask(stores, &unknown, &ada, ChangeAction::Delete).await;
    assert_eq!(refused.unwrap_err(), ChangeRefusal::NoMessage);
    let elsewhere = Message {
        chat_id: direct.id,
        ..own
    };
    let refused = ask(stores, &elsewhere, &ada, ChangeAction::Delete).await;
    assert_eq!(refused.unwrap_err(), ChangeRefusal::NoMessage);
    agree(stores, chat.id, 1).await;
}

/// Pages of changes of many chats that are asked for at once, each from elsewhere and of another size,
/// are what each is alone.
pub async fn pages_of_changes_of_many_chats_are_those_of_each(stores: &Stores) {
    let mut wanted = Vec::new();
    for chat in 0..4 {
        let (ada, _, kept) = stores.pair().await;
        let sent = stores.send(kept.id, ada.id, 4).await;
        for (n, message) in sent.iter().take(chat + 1).enumerate() {
            let text = format!("edited {n}");
            ask(stores, message, &ada, edit(&text)).await.unwrap();
        }
        for after in [None, Some(1), Some(9)] {
            for (from, limit) in [(1, 1), (2, 2), (3, 10), (1, 0)] {
                wanted.push((kept.id, from, forward(after, limit)));
            }
        }
    }
    wanted.sort_by_key(|(chat, from, window)| (window.limit, *from, *chat));
    let pages = stores.messages.change_pages(&wanted).await.unwrap();
    assert_eq!(pages.len(), wanted.len());
    for (page, (chat, from, window)) in pages.iter().zip(&wanted) {
        let alone = stores.messages.changes(*chat, *from, window).await;
        assert_eq!(page, &alone.unwrap(), "{chat} {from} {window:?}");
    }
    assert!(
        pages
            .iter()
            .any(|page| page.items.len() == 2 && page.has_next)
    );
    assert_eq!(stores.messages.change_pages(&[]).await.unwrap(), []);
}

/// Pages of changes go by the latest number of each message, and leave out what is asked to.
pub async fn changes_are_read_in_pages(stores: &Stores) {
    let (ada, _, chat) = stores.pair().await;
    let sent = stores.send(chat.id, ada.id, 4).await;
    for (n, text) in [(2, "a"), (0, "b"), (2, "c"), (3, "d")] {
        ask(stores, &sent[n], &ada, edit(text)).await.unwrap();
    }
    let read = async |from, after, size| {
        let window = forward(after, size);
        let page = stores.messages.changes(chat.id, from, &window);
        let page = page.await.unwrap();
        let among_others = [
            (chat.id, 9, window.clone()),
            (ids().next(), 1, window.clone()),
            (chat.id, from, window),
        ];
        let pages = stores.messages.change_pages(&among_others).await.unwrap();
        assert_eq!((pages.len(), &pages[1].items[..]), (3, &[][..]));
        assert_eq!(pages[2], page, "the same among others");
        let numbers = page.items.iter();
        let numbers: Vec<_> = numbers.map(|one| (one.change_seq, one.seq)).collect();
        (numbers, page.has_next)
    };
    assert_eq!(
        read(1, None, 10).await,
        (vec![(2, 1), (3, 3), (4, 4)], false)
    );
    assert_eq!(read(1, Some(2), 1).await, (vec![(3, 3)], true));
    assert_eq!(read(2, None, 10).await, (vec![(3, 3), (4, 4)], false));
    assert_eq!(read(1, Some(4), 10).await, (vec![], false));
    assert_eq!(read(1, Some(9), 10).await, (vec![], false));
    let window = forward(None, 10);
    let page = stores.messages.changes(ids().next(), 1, &window);
    assert_eq!(page.await.unwrap().items, []);
    agree(stores, chat.id, 4).await;
}

/// Each of many changes at once, of one message and of several, has a number of its own.
pub async fn concurrent_changes_have_numbers_of_their_own(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let mut sent = stores.send(chat.id, ada.id, 2).await;
    sent.extend(stores.send(chat.id, bob.id, 2).await);
    let asked = (0..24).map(|n: usize| {
        let (stores, message) = (stores.clone(), sent[n % 4].clone());
        let actor = if n % 4 < 2 { ada.clone() } else { bob.clone() };
        let action = if n == 20 {
            ChangeAction::Delete
        } else {
            edit(&format!("text {n}"))
        };
        async move { ask(&stores, &message, &actor, action).await }
    });
    let mut numbers = Vec::new();
    for outcome in at_once(asked).await {
        match outcome {
            Ok(changed) => {
                assert!(changed.is_new);
                numbers.push(changed.message.change_seq);
            }
            Err(refusal) => assert_eq!(refusal, ChangeRefusal::Deleted),
        }
    }
    let count = u32::try_from(numbers.len()).unwrap();
    assert_eq!(sorted(numbers), (1..=count).collect::<Vec<_>>());
    agree(stores, chat.id, count).await;
}

/// Whoever follows the line by the greatest number that they have received ends with all of it.
pub async fn a_follower_of_changes_loses_none(stores: &Stores) {
    let (ada, _, chat) = stores.pair().await;
    let sent = stores.send(chat.id, ada.id, 5).await;
    let changes = (0..4).map(|writer: usize| {
        let (stores, sent, ada) = (stores.clone(), sent.clone(), ada.clone());
        async move {
            for n in 0..10 {
                let text = format!("{writer} {n}");
                let message = &sent[(writer + n) % 5];
                ask(&stores, message, &ada, edit(&text)).await.unwrap();
            }
        }
    });
    let follow = async {
        let mut replica: BTreeMap<Seq, Message> = BTreeMap::new();
        let mut place = 0;
        while place < 40 {
            let window = forward(Some(place), 2);
            let page = stores.messages.changes(chat.id, 1, &window);
            for message in page.await.unwrap().items {
                assert!(message.change_seq > place);
                place = message.change_seq;
                replica.insert(message.seq, message);
            }
        }
        replica
    };
    let (_, replica) = tokio::join!(at_once(changes), follow);
    let replica: Vec<_> = replica.into_values().collect();
    assert_eq!(replica, stores.all_messages(chat.id).await);
    agree(stores, chat.id, 40).await;
}

super::suite::rules! {
    changes_rules:
    an_edit_takes_a_number,
    an_edit_that_finds_its_text_succeeds,
    an_edit_of_what_was_changed_meanwhile_is_refused,
    a_deletion_leaves_a_tombstone,
    who_may_change_a_message,
    changes_are_read_in_pages,
    pages_of_changes_of_many_chats_are_those_of_each,
    concurrent_changes_have_numbers_of_their_own,
    a_follower_of_changes_loses_none,
}
