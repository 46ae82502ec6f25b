//! Replies: to what their sender may read, counted and listed exactly.

use talksy_domain::groups::GroupAction;
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::messages::{Append, ChangeAction, HistoryFrom, Message, MessageAt, MessageEdit};
use talksy_domain::page::Page;
use talksy_domain::seq::Seq;

use super::fixture::{Stores, draft, draft_with_id, forward, seqs, text_of};
use super::{at_once, ids};

/// A text that replies to the message of this number.
fn reply(chat: ChatId, sender: UserId, to: Seq) -> Message {
    Message {
        reply_to: Some(to),
        ..draft(chat, sender)
    }
}

async fn count(stores: &Stores, of: MessageAt) -> u32 {
    let counts = stores.messages.reply_counts(&[of]).await.unwrap();
    assert_eq!(counts.len(), 1, "{counts:?}");
    assert_eq!(counts[0].0, of);
    counts[0].1
}

async fn page(stores: &Stores, of: MessageAt, after: Option<Seq>, limit: usize) -> Page<Message> {
    let wanted = [(of, forward(after, limit))];
    let mut pages = stores.messages.reply_pages(&wanted).await.unwrap();
    assert_eq!(pages.len(), 1);
    pages.remove(0)
}

/// A reply keeps what it replies to; the message that is replied to tells how many and which, and
/// nothing of other messages and chats.
pub async fn replies_are_counted_and_listed(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let [cyd] = stores.users().await;
    let other = stores.direct(&ada, &cyd).await;
    stores.send(chat.id, ada.id, 2).await;
    stores.send(other.id, ada.id, 1).await;
    let (first, second, elsewhere) = ((chat.id, 1), (chat.id, 2), (other.id, 1));
    assert_eq!(count(stores, first).await, 0);
    assert_eq!(page(stores, first, None, 10).await.items, []);

    let mut sent = Vec::new();
    for n in 0..5 {
        let sender = if n % 2 == 0 { bob.id } else { ada.id };
        let answer = stores.append(&reply(chat.id, sender, 1)).await.message;
        assert_eq!(answer.reply_to, Some(1));
        sent.push(answer);
        stores.send(chat.id, ada.id, 1).await;
    }
    let to_second = stores.append(&reply(chat.id, bob.id, 2)).await.message;
    let far = stores.append(&reply(other.id, ada.id, 1)).await.message;
    // A reply may be replied to.
    let deeper = stores
        .append(&reply(chat.id, bob.id, sent[0].seq))
        .await
        .message;
    let found = stores.messages.messages(&[sent[0].id]).await.unwrap();
    assert_eq!(found, sent[..1]);
    assert!(stores.all_messages(chat.id).await.contains(&sent[4]));

    let nested = (chat.id, sent[0].seq);
    let all = [first, nested, second, elsewhere, first, (chat.id, 99)];
    let mut counts = stores.messages.reply_counts(&all).await.unwrap();
    counts.sort_unstable();
    counts.dedup();
    let mut expected = vec![
        (first, 5),
        (second, 1),
        (nested, 1),
        (elsewhere, 1),
        ((chat.id, 99), 0),
    ];
    expected.sort_unstable();
    assert_eq!(counts, expected);

    let whole = page(stores, first, None, 100).await;
    assert_eq!(whole.items, sent);
    assert!(!whole.has_next && !whole.has_previous);
    let part = page(stores, first, None, 2).await;
    assert_eq!((part.items.as_slice(), part.has_next), (&sent[..2], true));
    let rest = page(stores, first, Some(sent[1].seq), 3).await;
    assert_eq!((rest.items.as_slice(), rest.has_next), (&sent[2..], false));
    assert!(rest.has_previous);
    assert_eq!(page(stores, first, Some(sent[4].seq), 3).await.items, []);
    let none = page(stores, first, None, 0).await;
    assert_eq!((none.items.as_slice(), none.has_next), (&[][..], true));

    // Of many messages at once, each at its place; one may be asked for twice.
    let wanted = [
        (first, forward(None, 1)),
        (elsewhere, forward(None, 10)),
        (first, forward(Some(sent[0].seq), 2)),
        (nested, forward(None, 10)),
        ((chat.id, 99), forward(None, 10)),
        (second, forward(None, 10)),
    ];
    let pages = stores.messages.reply_pages(&wanted).await.unwrap();
    let listed: Vec<_> = pages.iter().map(|page| page.items.as_slice()).collect();
    let expected: [&[Message]; 6] = [
        &sent[..1],
        &[far],
        &sent[1..3],
        &[deeper],
        &[],
        &[to_second],
    ];
    assert_eq!(listed, expected);
    assert_eq!(stores.messages.reply_pages(&[]).await.unwrap(), []);
    assert_eq!(stores.messages.reply_counts(&[]).await.unwrap(), []);
}

/// An edit leaves a reply one. A deletion makes it none: it is not counted and not listed any more,
/// and says no more what it replied to.
pub async fn a_deleted_reply_is_none(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    stores.send(chat.id, ada.id, 1).await;
    let target = (chat.id, 1);
    let mut replies = Vec::new();
    for _ in 0..3 {
        replies.push(stores.append(&reply(chat.id, bob.id, 1)).await.message);
    }
    let edit = ChangeAction::Edit {
        edit: MessageEdit::from(text_of("other")),
        expected: None,
    };
    let edited = stores.change(&replies[0], bob.id, edit).await.message;
    assert_eq!(edited.reply_to, Some(1));
    assert_eq!(page(stores, target, None, 1).await.items, [edited]);
    let gone = stores
        .change(&replies[1], bob.id, ChangeAction::Delete)
        .await
        .message;
    assert_eq!(gone.reply_to, None);
    let found = stores.messages.messages(&[gone.id]).await.unwrap();
    assert_eq!(found, [gone]);
    assert_eq!(count(stores, target).await, 2);
    let left = page(stores, target, None, 10).await.items;
    assert_eq!(seqs(&left), [replies[0].seq, replies[2].seq]);
    // The replies stay where what they reply to is deleted.
    let first = stores.all_messages(chat.id).await.remove(0);
    stores.change(&first, ada.id, ChangeAction::Delete).await;
    assert_eq!(count(stores, target).await, 2);
}

/// Who may not read a message does not reply to it, and nothing is left of the attempt. A retry of
/// what was sent while they might is no attempt.
pub async fn one_replies_to_what_one_may_read(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let chat = stores.group(&[&ada, &bob]).await;
    stores.send(chat.id, ada.id, 1).await;
    let kept = Message {
        reply_to: Some(2),
        ..draft_with_id(chat.id, bob.id, "own")
    };
    let sent = stores.append(&kept).await.message;
    let add = |users: Vec<UserId>| GroupAction::Add {
        users,
        history: HistoryFrom::Join,
    };
    let joined = stores.notice(chat.id, ada.id, add(vec![cyd.id])).await;
    stores
        .notice(chat.id, ada.id, GroupAction::Remove(bob.id))
        .await;
    let rejoined = stores.notice(chat.id, ada.id, add(vec![bob.id])).await;
    let end = stores.chat(chat.id).await;
    for (sender, to) in [(cyd.id, 2), (cyd.id, 1), (bob.id, 2), (bob.id, joined.seq)] {
        let hidden = reply(chat.id, sender, to);
        let refused = stores.messages.append(&hidden).await.unwrap();
        assert_eq!(refused, Append::NoReplyTarget, "{to}");
        assert_eq!(stores.messages.messages(&[hidden.id]).await.unwrap(), []);
    }
    assert_eq!(stores.chat(chat.id).await, end);
    let retried = stores
        .append(&Message {
            id: ids().next(),
            ..kept
        })
        .await;
    assert!(retried.is_duplicate);
    assert_eq!(retried.message, sent);
    // What they may read starts with the system message by which they came.
    for (sender, to) in [(cyd.id, joined.seq), (bob.id, rejoined.seq), (ada.id, 2)] {
        let answer = stores.append(&reply(chat.id, sender, to)).await.message;
        assert_eq!(answer.reply_to, Some(to));
    }
    assert_eq!(count(stores, (chat.id, 2)).await, 2);
    // Who is no member is told that, and nothing else.
    let [eve] = stores.users().await;
    let refused = stores
        .messages
        .append(&reply(chat.id, eve.id, 2))
        .await
        .unwrap();
    assert!(matches!(refused, Append::Denied(_)), "{refused:?}");
}

/// Replies that come at the same time are all counted.
pub async fn concurrent_replies_all_count(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    stores.send(chat.id, ada.id, 1).await;
    at_once((0..8).map(|n| {
        let (stores, chat) = (stores.clone(), chat.id);
        let sender = if n % 2 == 0 { ada.id } else { bob.id };
        async move {
            for _ in 0..5 {
                stores.append(&reply(chat, sender, 1)).await;
            }
        }
    }))
    .await;
    assert_eq!(count(stores, (chat.id, 1)).await, 40);
    let all = page(stores, (chat.id, 1), None, 100).await.items;
    assert_eq!(seqs(&all), (2..=41).collect::<Vec<_>>());
}

super::suite::rules! {
    replies_rules:
    replies_are_counted_and_listed,
    a_deleted_reply_is_none,
    one_replies_to_what_one_may_read,
    concurrent_replies_all_count,
}
