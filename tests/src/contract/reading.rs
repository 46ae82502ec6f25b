//! What members have read.

use std::time::Duration;

use talksy_domain::chats::{LargeGroups, Member, ReadMark};
use talksy_domain::clock::Timestamp;
use talksy_domain::groups::GroupAction;
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::messages::HistoryFrom;
use talksy_domain::seq::Seq;

use super::fixture::{Stores, sorted};
use super::{at_once, ids, now};

pub(super) async fn mark(
    stores: &Stores,
    chat: ChatId,
    user: UserId,
    seq: Seq,
    at: Timestamp,
) -> ReadMark {
    let marked = stores
        .chats
        .mark_read(chat, user, seq, at, LargeGroups::NONE)
        .await
        .unwrap();
    let mark = marked.unwrap();
    assert_eq!((mark.member.chat_id, mark.member.user_id), (chat, user));
    assert_eq!(membership(stores, chat, user).await, mark.member);
    mark
}

pub(super) async fn membership(stores: &Stores, chat: ChatId, user: UserId) -> Member {
    let mut found = stores.chats.memberships(user, &[chat]).await.unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

pub(super) async fn unread(stores: &Stores, chat: ChatId, user: UserId) -> u32 {
    let counts = stores.chats.unread_counts(user, &[chat]).await.unwrap();
    assert_eq!(counts.len(), 1, "a member has a count, also of nothing");
    assert_eq!(counts[0].0, chat);
    counts[0].1
}

/// A mark moves forward alone, and says when it was last moved.
pub async fn a_read_mark_never_goes_back(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    stores.send(chat.id, bob.id, 9).await;
    let start = now();
    let at = |n: u64| start + Duration::from_secs(n);
    for (step, (seq, expected, moved_at)) in [(4, 4, 1), (4, 4, 1), (2, 4, 1), (0, 4, 1), (7, 7, 5)]
        .into_iter()
        .enumerate()
    {
        let step = step as u64 + 1;
        let mark = mark(stores, chat.id, ada.id, seq, at(step)).await;
        assert_eq!(mark.member.last_read_seq, expected);
        assert_eq!(mark.member.last_read_at, Some(at(moved_at)));
        assert_eq!(mark.moved, moved_at == step);
    }
    let other = membership(stores, chat.id, bob.id).await;
    assert_eq!((other.last_read_seq, other.last_read_at), (0, None));
}

/// A mark goes no further than the newest message.
pub async fn a_read_mark_stops_at_the_newest_message(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let nothing = mark(stores, chat.id, ada.id, 5, now()).await;
    assert!(!nothing.moved, "there is nothing to read");
    assert_eq!(nothing.member.receipt(), None);
    stores.send(chat.id, bob.id, 3).await;
    let all = mark(stores, chat.id, ada.id, Seq::MAX, now()).await;
    assert_eq!((all.member.last_read_seq, all.moved), (3, true));
    let again = mark(stores, chat.id, ada.id, 4, now()).await;
    assert_eq!((again.member.last_read_seq, again.moved), (3, false));
    stores.send(chat.id, bob.id, 1).await;
    assert_eq!(unread(stores, chat.id, ada.id).await, 1, "not read ahead");
}

/// Who is no member has no mark to move, nor is there one in a chat that does not exist.
pub async fn a_stranger_has_no_read_mark(stores: &Stores) {
    let (_, bob, chat) = stores.pair().await;
    let [eve] = stores.users().await;
    stores.send(chat.id, bob.id, 1).await;
    for (chat, user) in [(chat.id, eve.id), (ids().next(), bob.id)] {
        let marked = stores
            .chats
            .mark_read(chat, user, 1, now(), LargeGroups::NONE)
            .await;
        assert_eq!(marked.unwrap(), None);
        let found = stores.chats.memberships(user, &[chat]).await;
        assert_eq!(found.unwrap(), [], "it makes no member");
    }
}

/// Of many marks at the same time the furthest stays, and each answer is at least its own.
pub async fn concurrent_marks_leave_the_furthest(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    stores.send(chat.id, bob.id, 16).await;
    let marks = at_once((0..16).map(|n: u32| {
        let (stores, chat, user) = (stores.clone(), chat.id, ada.id);
        let seq = n * 7 % 16 + 1;
        async move {
            let marked = stores
                .chats
                .mark_read(chat, user, seq, now(), LargeGroups::NONE)
                .await;
            (marked.unwrap().unwrap(), seq)
        }
    }))
    .await;
    assert!(
        marks
            .iter()
            .all(|(mark, seq)| mark.member.last_read_seq >= *seq)
    );
    // A mark that moved has moved to where it was asked to; no two moved to the same place.
    let moved: Vec<_> = marks.iter().filter(|(mark, _)| mark.moved).collect();
    assert!(
        moved
            .iter()
            .all(|(mark, seq)| mark.member.last_read_seq == *seq)
    );
    assert!(moved.iter().any(|(_, seq)| *seq == 16));
    let left = membership(stores, chat.id, ada.id).await;
    assert_eq!(left.last_read_seq, 16);
    assert_eq!(unread(stores, chat.id, ada.id).await, 0);
}

/// Marks that move while messages come stay within what is there.
pub async fn marks_and_messages_at_once_agree(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let read = {
        let (stores, chat, user) = (stores.clone(), chat.id, ada.id);
        tokio::spawn(async move {
            let mut last = 0;
            while last < 40 {
                let marked = stores
                    .chats
                    .mark_read(chat, user, Seq::MAX, now(), LargeGroups::NONE)
                    .await;
                let mark = marked.unwrap().unwrap();
                assert!(mark.member.last_read_seq >= last, "it went back");
                assert_eq!(mark.moved, mark.member.last_read_seq > last);
                last = mark.member.last_read_seq;
                let present = stores.chat(chat).await.last_seq;
                assert!(last <= present, "{last} is ahead of {present}");
            }
        })
    };
    stores.send(chat.id, bob.id, 40).await;
    crate::soon("the last message to be read", read)
        .await
        .unwrap();
    assert_eq!(unread(stores, chat.id, ada.id).await, 0);
}

/// The two members of each chat who have read least, least first.
pub async fn the_slowest_readers_of_each_chat(stores: &Stores) {
    let [ada, bob, eve] = stores.users().await;
    let with_bob = stores.direct(&ada, &bob).await.id;
    let with_eve = stores.direct(&ada, &eve).await.id;
    let without = stores.direct(&bob, &eve).await.id;
    for chat in [with_bob, with_eve] {
        stores.send(chat, ada.id, 6).await;
    }
    for (chat, user, seq) in [
        (with_bob, ada.id, 6),
        (with_bob, bob.id, 4),
        (with_eve, ada.id, 1),
        (with_eve, eve.id, 2),
    ] {
        mark(stores, chat, user, seq, now()).await;
    }
    let asked = [with_eve, ids().next(), with_bob];
    let found = stores.chats.lowest_read_marks(&asked).await.unwrap();
    assert_eq!(found.len(), 4);
    let of = |chat| {
        let members = found.iter().filter(move |member| member.chat_id == chat);
        members.map(|member| (member.user_id, member.last_read_seq))
    };
    assert_eq!(of(with_bob).collect::<Vec<_>>(), [(bob.id, 4), (ada.id, 6)]);
    assert_eq!(of(with_eve).collect::<Vec<_>>(), [(ada.id, 1), (eve.id, 2)]);
    let unread = stores.chats.lowest_read_marks(&[without]).await.unwrap();
    let unread = sorted(unread.iter().map(|member| member.user_id));
    assert_eq!(unread, sorted([bob.id, eve.id]), "in a tie, both");
    assert_eq!(stores.chats.lowest_read_marks(&[]).await.unwrap(), []);
}

/// Whoever joins has read what was before, and nobody waits for who has left.
pub async fn who_comes_and_goes_moves_what_all_have_read(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let chat = stores.group(&[&ada, &bob]).await.id;
    stores.send(chat, ada.id, 4).await;
    let lowest = async || {
        let found = stores.chats.lowest_read_marks(&[chat]).await.unwrap();
        let marks = found.iter();
        marks
            .map(|member| (member.user_id, member.last_read_seq))
            .collect::<Vec<_>>()
    };
    mark(stores, chat, ada.id, 5, now()).await;
    assert_eq!(lowest().await, [(bob.id, 1), (ada.id, 5)]);
    let users = vec![cyd.id];
    let history = HistoryFrom::All;
    let joined = stores.notice(chat, ada.id, GroupAction::Add { users, history });
    assert_eq!(joined.await.seq, 6);
    assert_eq!(lowest().await, [(bob.id, 1), (ada.id, 5)]);
    mark(stores, chat, bob.id, 3, now()).await;
    assert_eq!(lowest().await, [(bob.id, 3), (ada.id, 5)]);
    let removed = stores.notice(chat, ada.id, GroupAction::Remove(bob.id));
    assert_eq!(removed.await.seq, 7);
    assert_eq!(lowest().await, [(ada.id, 5), (cyd.id, 6)]);
    mark(stores, chat, ada.id, 7, now()).await;
    assert_eq!(lowest().await, [(cyd.id, 6), (ada.id, 7)]);
    stores.notice(chat, cyd.id, GroupAction::Leave).await;
    assert_eq!(lowest().await, [(ada.id, 7)]);
}

super::suite::rules! {
    reading_rules:
    a_read_mark_never_goes_back,
    a_read_mark_stops_at_the_newest_message,
    a_stranger_has_no_read_mark,
    concurrent_marks_leave_the_furthest,
    marks_and_messages_at_once_agree,
    the_slowest_readers_of_each_chat,
    who_comes_and_goes_moves_what_all_have_read,
}
