//! Showing a chat as unread by hand: of the member alone, counted from there, until they read.

use talksy_domain::chats::{LargeGroups, Member, ReadMark};
use talksy_domain::events::{Event, Topic};
use talksy_domain::groups::GroupAction;
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::messages::{HistoryFrom, Message};
use talksy_domain::seq::Seq;

use super::fixture::{Stores, draft};
use super::reading::{membership, unread};
use super::{ids, now};

async fn mark_unread(stores: &Stores, chat: ChatId, user: UserId, from: Seq) -> Member {
    let marked = stores.chats.mark_unread(chat, user, from).await.unwrap();
    let member = marked.unwrap();
    assert_eq!(membership(stores, chat, user).await, member);
    member
}

async fn mark_read(stores: &Stores, chat: ChatId, user: UserId, seq: Seq) -> ReadMark {
    let chats = &stores.chats;
    let marked = chats.mark_read(chat, user, seq, now(), LargeGroups::NONE);
    let mark = marked.await.unwrap().unwrap();
    assert_eq!(membership(stores, chat, user).await, mark.member);
    mark
}

/// What is unread is counted from there, in front of the mark and behind it. Each change raises the
/// version, and the same again is none. The read mark stays, and so does what others have.
pub async fn a_chat_is_unread_from_a_message_on(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    for n in 0..6 {
        let mention_ids = if n % 2 == 0 { vec![bob.id] } else { Vec::new() };
        let draft = draft(chat.id, ada.id);
        stores
            .append(&Message {
                mention_ids,
                ..draft
            })
            .await;
    }
    let read = mark_read(stores, chat.id, bob.id, 5).await.member;
    assert_eq!(
        (read.unread_from_seq, unread(stores, chat.id, bob.id).await),
        (None, 1)
    );
    let others = membership(stores, chat.id, ada.id).await;
    let mut version = read.version;
    for (from, expected, mentions) in [(3, 4, 2), (1, 6, 3), (6, 1, 0)] {
        let member = mark_unread(stores, chat.id, bob.id, from).await;
        version += 1;
        assert_eq!(
            (member.unread_from_seq, member.version),
            (Some(from), version)
        );
        assert_eq!(
            (member.last_read_seq, member.last_read_at),
            (5, read.last_read_at)
        );
        assert_eq!(
            unread(stores, chat.id, bob.id).await,
            expected,
            "from {from}"
        );
        let counts = stores
            .chats
            .unread_mentions(bob.id, &[chat.id])
            .await
            .unwrap();
        assert_eq!(counts, [(chat.id, mentions)], "from {from}");
        let again = mark_unread(stores, chat.id, bob.id, from).await;
        assert_eq!(again, member);
    }
    assert_eq!(membership(stores, chat.id, ada.id).await, others);
    stores.send(chat.id, ada.id, 1).await;
    assert_eq!(unread(stores, chat.id, bob.id).await, 2);
}

/// Reading ends it, also where the mark is there already, or further.
pub async fn reading_ends_it(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    stores.send(chat.id, ada.id, 4).await;
    mark_read(stores, chat.id, bob.id, 4).await;
    for (seq, moves) in [(4, false), (2, false), (0, false), (9, true)] {
        if moves {
            stores.send(chat.id, ada.id, 1).await;
        }
        let before = mark_unread(stores, chat.id, bob.id, 2).await;
        let mark = mark_read(stores, chat.id, bob.id, seq).await;
        assert_eq!((mark.moved, mark.ended_unread), (moves, true), "{seq}");
        assert_eq!(mark.member.unread_from_seq, None);
        assert_eq!(mark.member.version, before.version + 1);
        assert_eq!(mark.member.last_read_seq, if moves { 5 } else { 4 });
        assert!(moves || mark.member.last_read_at == before.last_read_at);
        assert_eq!(unread(stores, chat.id, bob.id).await, 0);
        let again = mark_read(stores, chat.id, bob.id, seq).await;
        assert_eq!((again.moved, again.ended_unread), (false, false));
        assert_eq!(again.member, mark.member);
    }
}

/// The user's own devices are told, and nobody else. Who is no member shows nothing as unread.
pub async fn ones_own_devices_are_told(stores: &Stores) {
    let [ada, bob, eve] = stores.users().await;
    let chat = stores.group(&[&ada, &bob]).await;
    stores.send(chat.id, ada.id, 2).await;
    mark_read(stores, chat.id, bob.id, 3).await;
    let before = stores.events.on(Topic::User(bob.id)).len();
    mark_unread(stores, chat.id, bob.id, 2).await;
    mark_read(stores, chat.id, bob.id, 3).await;
    let told = stores.events.on(Topic::User(bob.id));
    let changed = Event::ViewerChatChanged { chat_id: chat.id };
    assert_eq!(told[before..], [changed.clone(), changed]);
    for (user, chat) in [(eve.id, chat.id), (bob.id, ids().next())] {
        let marked = stores.chats.mark_unread(chat, user, 1).await;
        assert_eq!(marked.unwrap(), None);
        assert_eq!(stores.events.on(Topic::User(eve.id)), []);
    }
}

/// It ends with the membership: whoever comes back begins with nothing unread.
pub async fn it_ends_with_the_membership(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let chat = stores.group(&[&ada, &bob]).await;
    stores.send(chat.id, ada.id, 2).await;
    mark_unread(stores, chat.id, bob.id, 2).await;
    assert_eq!(unread(stores, chat.id, bob.id).await, 2);
    stores
        .notice(chat.id, ada.id, GroupAction::Remove(bob.id))
        .await;
    let marked = stores.chats.mark_unread(chat.id, bob.id, 2).await.unwrap();
    assert_eq!(marked, None);
    let add = GroupAction::Add {
        users: vec![bob.id],
        history: HistoryFrom::Join,
    };
    let joined = stores.notice(chat.id, ada.id, add).await;
    let member = membership(stores, chat.id, bob.id).await;
    assert_eq!(
        (member.unread_from_seq, member.joined_seq),
        (None, joined.seq)
    );
    assert_eq!(unread(stores, chat.id, bob.id).await, 0);
    // What they may not read is not counted, wherever it is shown from.
    stores.send(chat.id, ada.id, 1).await;
    mark_unread(stores, chat.id, bob.id, 1).await;
    assert_eq!(unread(stores, chat.id, bob.id).await, 1);
}

super::suite::rules! {
    marking_unread_rules:
    a_chat_is_unread_from_a_message_on,
    reading_ends_it,
    ones_own_devices_are_told,
    it_ends_with_the_membership,
}
