//! Appending: dense numbers, durable with the chat's end, and nothing left of what is refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use talksy_domain::access::Denied;
use talksy_domain::chats::ChatTitle;
use talksy_domain::groups::GroupAction;
use talksy_domain::id::ChatId;
use talksy_domain::messages::{
    Append, Appended, Head, Message, MessageKind, SystemNotice, SystemNoticeKind,
};
use talksy_domain::seq::Seq;

use super::fixture::{Stores, backward, draft, forward, seqs, sorted, text_of};
use super::{at_once, ids, now};

/// How many tasks send at the same time.
const SENDERS: usize = 16;
/// How many messages each sends.
const EACH: usize = 50;

/// The numbers of a chat that has as many messages.
fn dense(count: usize) -> Vec<Seq> {
    (1..=Seq::try_from(count).unwrap()).collect()
}

/// Checks that what the chat holds is what was appended, numbered without a hole.
async fn assert_dense(stores: &Stores, chat: ChatId, mut appended: Vec<Message>) {
    appended.sort_by_key(|message| message.seq);
    assert_eq!(seqs(&appended), dense(appended.len()));
    assert_eq!(stores.all_messages(chat).await, appended);
    let end = Seq::try_from(appended.len()).unwrap();
    assert_eq!(stores.chat(chat).await.last_seq, end);
}

/// Sixteen who send to one chat at the same time leave no hole and no double.
pub async fn numbers_are_dense_under_concurrent_sends(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let sent = at_once((0..SENDERS).map(|n| {
        let (stores, chat) = (stores.clone(), chat.id);
        let sender = if n % 2 == 0 { ada.id } else { bob.id };
        async move { stores.send(chat, sender, EACH).await }
    }))
    .await;
    for of_one in &sent {
        let numbers = seqs(of_one);
        assert!(numbers.is_sorted(), "one's own are in order: {numbers:?}");
    }
    let sent: Vec<Message> = sent.into_iter().flatten().collect();
    assert_eq!(sent.len(), SENDERS * EACH);
    assert_dense(stores, chat.id, sent).await;
}

/// Chats count each for themselves, also when their messages are committed together.
pub async fn numbers_are_dense_in_each_of_many_chats(stores: &Stores) {
    let [ada] = stores.users().await;
    let mut chats = Vec::new();
    for _ in 0..4 {
        let [other] = stores.users().await;
        chats.push(stores.direct(&ada, &other).await.id);
    }
    let sent = at_once((0..SENDERS).map(|n| {
        let (stores, chats, ada) = (stores.clone(), chats.clone(), ada.id);
        async move {
            let mut sent = Vec::new();
            for step in 0..EACH {
                let chat = chats[(n + step) % chats.len()];
                sent.extend(stores.send(chat, ada, 1).await);
            }
            sent
        }
    }))
    .await;
    let mut by_chat: BTreeMap<ChatId, Vec<Message>> = BTreeMap::new();
    for message in sent.into_iter().flatten() {
        by_chat.entry(message.chat_id).or_default().push(message);
    }
    assert_eq!(by_chat.len(), chats.len());
    for (chat, messages) in by_chat {
        assert_eq!(messages.len(), SENDERS * EACH / chats.len());
        assert_dense(stores, chat, messages).await;
    }
}

/// Whoever reads while others send sees the chat up to some message, and never a later one
/// without an earlier one.
pub async fn a_reader_never_sees_a_hole(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (stores, chat, done) = (stores.clone(), chat.id, Arc::clone(&done));
        tokio::spawn(async move {
            let mut seen = 0;
            while !done.load(Ordering::SeqCst) {
                let heads = stores.messages.heads(&[chat]).await.unwrap();
                let end = heads[0].last_seq;
                assert!(end >= seen, "the end went back from {seen} to {end}");
                let tail = stores.messages.page(chat, &backward(None, 50)).await;
                let tail = seqs(&tail.unwrap().items);
                if let (Some(first), Some(last)) = (tail.first(), tail.last()) {
                    assert_eq!(tail, (*first..=*last).collect::<Vec<_>>());
                    assert!(*last >= end, "the page lags behind the end");
                    seen = *last;
                }
            }
        })
    };
    at_once([ada.id, bob.id, ada.id, bob.id].map(|sender| {
        let (stores, chat) = (stores.clone(), chat.id);
        async move { stores.send(chat, sender, EACH).await }
    }))
    .await;
    done.store(true, Ordering::SeqCst);
    crate::soon("the reader", reader).await.unwrap();
}

/// What was acknowledged is seen at once by everybody, by whatever way they look.
pub async fn an_acknowledged_message_is_seen_by_every_read(stores: &Stores) {
    let (ada, _, chat) = stores.pair().await;
    for seq in 1..=20 {
        let Appended { message, chat, .. } = stores.append(&draft(chat.id, ada.id)).await;
        assert_eq!((message.seq, chat.last_seq), (seq, seq));
        let messages = &stores.messages;
        let found = messages.messages(&[message.id]).await.unwrap();
        let page = messages.page(chat.id, &backward(None, 1)).await.unwrap();
        let newest = messages.last_messages(&[chat.id]).await.unwrap();
        for read in [found, page.items, newest] {
            assert_eq!(read.as_slice(), std::slice::from_ref(&message));
        }
        let head = Head {
            chat_id: chat.id,
            last_seq: seq,
            last_change_seq: 0,
            applied_seq: 0,
            member_count: 2,
        };
        assert_eq!(messages.heads(&[chat.id]).await.unwrap(), [head]);
        assert_eq!(stores.chat(chat.id).await, chat);
    }
}

/// A message is read back with every part as it was sent, to the last space.
pub async fn a_message_is_kept_as_it_was_sent(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let plain = draft(chat.id, ada.id);
    let with_text = |text: &str| Message {
        id: ids().next(),
        text: Some(text_of(text)),
        ..plain.clone()
    };
    let bare = |kind| Message {
        id: ids().next(),
        kind,
        text: None,
        ..plain.clone()
    };
    let later = now() + Duration::from_millis(7);
    let drafts = [
        with_text("  two\n\tlines \r\n "),
        with_text("e\u{301} is not é; 👩‍👩‍👧‍👦; \u{202E}עברית; \u{FEFF}"),
        with_text("'; DROP TABLE messages; -- \\ % _ $where {}"),
        with_text(&"😀".repeat(4_000)),
        bare(MessageKind::Image),
        bare(MessageKind::File),
        Message {
            edited_at: Some(later),
            deleted_at: Some(later),
            sender_id: Some(bob.id),
            ..bare(MessageKind::Text)
        },
    ];
    let mut expected = Vec::new();
    for draft in drafts {
        let seq = Seq::try_from(expected.len() + 1).unwrap();
        let message = Message {
            seq,
            ..draft.clone()
        };
        let appended = stores.append(&draft).await;
        assert_eq!(appended.message, message);
        assert!(!appended.is_duplicate);
        expected.push(message);
    }
    assert_eq!(stores.all_messages(chat.id).await, expected);
    let wanted: Vec<_> = expected.iter().map(|message| message.id).collect();
    let mut found = stores.messages.messages(&wanted).await.unwrap();
    found.sort_by_key(|message| message.seq);
    assert_eq!(found, expected);
}

/// A message moves the chat's end, and when it was last active, and nothing else of it.
pub async fn a_message_moves_the_chats_end_and_activity(stores: &Stores) {
    let (ada, bob, mut expected) = stores.pair().await;
    let start = expected.active_at;
    for (seq, sender) in [(1, &ada), (2, &bob), (3, &ada)] {
        let at = start + Duration::from_secs(u64::from(seq));
        let message = Message {
            created_at: at,
            ..draft(expected.id, sender.id)
        };
        let appended = stores.append(&message).await;
        (expected.last_seq, expected.active_at) = (seq, at);
        assert_eq!(appended.chat, expected);
        assert_eq!(stores.chat(expected.id).await, expected);
    }
    // Clocks of instances differ: a message may be dated before the one it follows.
    let late = Message {
        created_at: start,
        ..draft(expected.id, bob.id)
    };
    let appended = stores.append(&late).await;
    expected.last_seq = 4;
    assert_eq!(appended.chat, expected, "activity does not go back");
    assert_eq!(appended.message.created_at, start);
    assert_eq!(stores.chat(expected.id).await, expected);
}

/// What happened in a group is told by nobody. It takes a number as any message does, and moves the
/// chat's end and activity; each later message repeats that number.
pub async fn a_system_message_has_no_sender(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let chat = stores.group(&[&ada, &bob]).await;
    let sent = stores.send(chat.id, bob.id, 2).await;
    assert_eq!((sent[0].seq, sent[0].mseq), (2, 1));
    let title = ChatTitle::parse("Another title").unwrap();
    let system = stores
        .notice(chat.id, ada.id, GroupAction::rename(title))
        .await;
    assert_eq!((system.seq, system.mseq), (4, 4));
    assert_eq!((system.kind, system.sender_id), (MessageKind::System, None));
    let newest = stores.messages.last_messages(&[chat.id]).await.unwrap();
    assert_eq!(newest, std::slice::from_ref(&system));
    let now = stores.chat(chat.id).await;
    assert_eq!((now.last_seq, now.applied_seq), (4, 4));
    assert!(now.active_at >= system.created_at);
    let after = stores.send(chat.id, bob.id, 1).await;
    assert_eq!((after[0].seq, after[0].mseq), (5, 4));
    let all = stores.all_messages(chat.id).await;
    assert_eq!(seqs(&all), dense(5));
    assert_eq!(all[3], system);
}

/// Nobody sends a system message: it comes of a change of a group alone.
pub async fn a_system_message_is_not_sent(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let group = stores.group(&[&ada, &bob]).await;
    let direct = stores.direct(&ada, &bob).await;
    for chat in [group, direct] {
        let notice = SystemNotice {
            kind: SystemNoticeKind::MemberLeft,
            actor_id: Some(bob.id),
            subject_ids: vec![bob.id],
            title: None,
            metadata: None,
            avatar_id: None,
            has_avatar_beside: false,
            role: None,
            effects: Vec::new(),
            member_count: 1,
            previous: chat.applied_seq,
        };
        let forged = Message::system(ids().next(), chat.id, notice, now());
        let refused = stores.messages.append(&forged).await.unwrap();
        assert!(matches!(refused, Append::Denied(_)), "{refused:?}");
        assert_eq!(stores.chat(chat.id).await, chat);
        assert_eq!(stores.messages.messages(&[forged.id]).await.unwrap(), []);
    }
}

/// Who is no member sends nothing: no message, no number, no activity.
pub async fn a_strangers_message_leaves_nothing(stores: &Stores) {
    let (ada, _, chat) = stores.pair().await;
    let [eve] = stores.users().await;
    stores.send(chat.id, ada.id, 1).await;
    let before = stores.chat(chat.id).await;
    for stranger in [eve.id, ids().next()] {
        let late = Message {
            created_at: now() + Duration::from_mins(1),
            ..draft(chat.id, stranger)
        };
        let answer = stores.messages.append(&late).await.unwrap();
        assert_eq!(answer, Append::Denied(Denied::NotMember));
        assert_eq!(stores.messages.messages(&[late.id]).await.unwrap(), []);
    }
    assert_eq!(stores.chat(chat.id).await, before);
    assert_eq!(stores.all_messages(chat.id).await.len(), 1);
    let next = stores.append(&draft(chat.id, ada.id)).await;
    assert_eq!(next.message.seq, 2);
}

/// What is sent to no chat goes nowhere.
pub async fn a_message_to_no_chat_leaves_nothing(stores: &Stores) {
    let [ada] = stores.users().await;
    let nowhere = draft(ids().next(), ada.id);
    let answer = stores.messages.append(&nowhere).await.unwrap();
    assert_eq!(answer, Append::Denied(Denied::NoChat));
    let (chat, messages) = (nowhere.chat_id, &stores.messages);
    assert_eq!(messages.messages(&[nowhere.id]).await.unwrap(), []);
    assert_eq!(messages.heads(&[chat]).await.unwrap(), []);
    assert_eq!(messages.last_messages(&[chat]).await.unwrap(), []);
    let page = messages.page(chat, &forward(None, 10)).await.unwrap();
    assert_eq!(page.items, []);
    assert_eq!(stores.chats.chats(&[chat]).await.unwrap(), []);
}

/// Messages that are refused among others make no hole.
pub async fn refused_sends_among_others_make_no_hole(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let [eve] = stores.users().await;
    let sent = at_once((0..12).map(|n| {
        let (stores, chat) = (stores.clone(), chat.id);
        let sender = [ada.id, eve.id, bob.id][n % 3];
        let is_member = sender != eve.id;
        async move {
            let mut sent = Vec::new();
            for _ in 0..20 {
                let draft = draft(chat, sender);
                match stores.messages.append(&draft).await.unwrap() {
                    Append::Done(appended) if is_member => sent.push(appended.message),
                    Append::Denied(Denied::NotMember) if !is_member => {}
                    other => panic!("{other:?}"),
                }
            }
            sent
        }
    }))
    .await;
    let sent: Vec<_> = sent.into_iter().flatten().collect();
    assert_eq!(sent.len(), 8 * 20);
    assert_dense(stores, chat.id, sent).await;
}

/// Each of the messages that are sent at once is answered with the chat as of its own commit.
pub async fn each_send_is_answered_with_its_own_commit(stores: &Stores) {
    let (ada, _, chat) = stores.pair().await;
    let answers = at_once((0..SENDERS).map(|_| {
        let (stores, draft) = (stores.clone(), draft(chat.id, ada.id));
        async move { (stores.append(&draft).await, draft) }
    }))
    .await;
    for (answer, draft) in &answers {
        let seq = answer.message.seq;
        assert_eq!(answer.chat.last_seq, seq);
        assert_eq!(
            answer.message,
            Message {
                seq,
                ..draft.clone()
            }
        );
    }
    let numbers = sorted(answers.iter().map(|(answer, _)| answer.message.seq));
    assert_eq!(numbers, dense(SENDERS));
}

super::suite::rules! {
    sending_rules:
    numbers_are_dense_under_concurrent_sends,
    numbers_are_dense_in_each_of_many_chats,
    a_reader_never_sees_a_hole,
    an_acknowledged_message_is_seen_by_every_read,
    a_message_is_kept_as_it_was_sent,
    a_message_moves_the_chats_end_and_activity,
    a_system_message_has_no_sender,
    a_system_message_is_not_sent,
    a_strangers_message_leaves_nothing,
    a_message_to_no_chat_leaves_nothing,
    refused_sends_among_others_make_no_hole,
    each_send_is_answered_with_its_own_commit,
}
