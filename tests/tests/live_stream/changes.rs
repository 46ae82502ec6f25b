//! `messageUpdated`: every changed message as it is now, in the order of the changes, over a bus that
//! loses, doubles and reorders.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use talksy_domain::cursor::{Cursor as _, MessageCursor};
use talksy_domain::events::{Event, Topic};
use talksy_domain::feeds::{ChangeFeed, FeedError, FeedPolicy};
use talksy_domain::id;
use talksy_domain::messages::{HistoryFrom, Message};
use talksy_domain::seq::{self, Seq};

use super::script::{Mode, ScriptBus};
use super::world::{
    NEVER, World, assert_no_member, end, ends_for_no_member, message, next, no_heartbeat,
    nothing_waits, quick_heartbeat, take,
};

const LIMIT: u32 = 5;

/// How many edits were made in this process.
static EDITS: AtomicU32 = AtomicU32::new(0);

/// The chat of the two with so many of Ann's messages.
async fn with_messages(count: usize, policy: FeedPolicy) -> (World, Arc<ScriptBus>, Vec<Message>) {
    let (world, bus) = World::scripted(16, policy).await;
    let mut sent = Vec::new();
    for number in 1..=count {
        sent.push(world.send(&world.ann, &format!("number {number}")).await);
    }
    (world, bus, sent)
}

/// Ann edits these messages one after the other.
async fn edit_all(world: &World, messages: &[Message]) -> Vec<Message> {
    let mut edited = Vec::new();
    for message in messages {
        // The same text again would be no change.
        let text = format!("edit {}", EDITS.fetch_add(1, Ordering::Relaxed));
        edited.push(world.edit(&world.ann, message, &text).await);
    }
    edited
}

/// The events of changes of which the bus has brought none.
async fn withheld(world: &World, bus: &ScriptBus, messages: &[Message]) -> Vec<(Topic, Event)> {
    bus.set(Mode::Keep);
    edit_all(world, messages).await;
    bus.set(Mode::Deliver);
    bus.kept()
}

/// Of the next changes the number of the message and that of the change.
async fn numbers(feed: &mut ChangeFeed, count: usize) -> Vec<(Seq, Seq)> {
    let items = take(feed, count).await;
    let numbers = |item: &talksy_domain::feeds::ChangeItem| {
        let message = item.change.message().unwrap();
        assert_eq!(item.cursor.change_seq, Some(message.change_seq));
        (message.seq, message.change_seq)
    };
    items.iter().map(numbers).collect()
}

#[tokio::test]
async fn what_is_delivered_is_the_message_as_the_change_left_it() {
    let (world, _bus, sent) = with_messages(2, no_heartbeat()).await;
    let mut feed = world.changes(None).await;
    let edited = world.edit(&world.ann, &sent[1], "another text").await;
    let deleted = world.delete(&world.ann, &sent[0]).await;
    assert_eq!(edited.text.as_ref().unwrap().as_str(), "another text");
    assert_eq!(
        (deleted.text.is_none(), deleted.deleted_at.is_some()),
        (true, true)
    );
    assert_eq!((edited.change_seq, deleted.change_seq), (1, 2));
    let seen = take(&mut feed, 2).await;
    let seen: Vec<_> = seen.iter().map(|item| message(&item.change)).collect();
    assert_eq!(seen, [edited, deleted]);
    // What changes nothing is told again, and dropped.
    world.delete(&world.ann, &sent[0]).await;
    world.send(&world.ann, "a new one is none").await;
    nothing_waits(&mut feed);
}

#[tokio::test]
async fn events_in_any_order_and_number_are_put_in_order_without_the_heartbeat() {
    for order in [
        &[1, 2, 3, 4][..],
        &[4, 3, 2, 1],
        &[2, 2, 1, 1, 2, 4, 3],
        &[3, 1, 4],
        &[2, 4, 1],
        &[4],
        &[2, 4, 4, 2, 1, 1],
    ] {
        let (world, bus, sent) = with_messages(4, no_heartbeat()).await;
        let mut feed = world.changes(None).await;
        let events = withheld(&world, &bus, &sent).await;
        for number in order {
            let (topic, event) = events[number - 1].clone();
            bus.deliver(topic, event);
        }
        let expected = [(1, 1), (2, 2), (3, 3), (4, 4)];
        assert_eq!(numbers(&mut feed, 4).await, expected, "{order:?}");
        nothing_waits(&mut feed);
    }
}

#[tokio::test]
async fn a_change_that_was_superseded_holds_nothing_up() {
    let (world, bus, sent) = with_messages(2, no_heartbeat()).await;
    let [one, two] = [0, 1].map(|place: usize| sent[place].clone());
    let mut feed = world.changes(None).await;
    let edits = [one.clone(), two.clone(), one.clone(), one, two];
    let events = withheld(&world, &bus, &edits).await;
    // The last arrives alone: the store has only what each message is now.
    let (topic, event) = events[4].clone();
    bus.deliver(topic, event);
    assert_eq!(numbers(&mut feed, 2).await, [(1, 4), (2, 5)]);
    // What it superseded comes late, and not again.
    for (topic, event) in events {
        bus.deliver(topic, event);
    }
    nothing_waits(&mut feed);
    let again = edit_all(&world, &sent).await;
    assert_eq!(numbers(&mut feed, 2).await, [(1, 6), (2, 7)]);
    assert_eq!(again[1].change_seq, 7);
}

#[tokio::test]
async fn the_heartbeat_finds_a_lost_end() {
    let (world, bus, sent) = with_messages(2, quick_heartbeat()).await;
    let mut feed = world.changes(None).await;
    bus.set(Mode::Lose);
    edit_all(&world, &sent).await;
    assert_eq!(numbers(&mut feed, 2).await, [(1, 1), (2, 2)]);
}

#[tokio::test]
async fn an_interruption_is_reason_to_look() {
    let (world, bus, sent) = with_messages(3, no_heartbeat()).await;
    let mut feed = world.changes(None).await;
    bus.set(Mode::Lose);
    edit_all(&world, &sent[..2]).await;
    bus.interrupt();
    assert_eq!(numbers(&mut feed, 2).await, [(1, 1), (2, 2)]);
    bus.interrupt();
    bus.set(Mode::Deliver);
    edit_all(&world, &sent[2..]).await;
    bus.interrupt();
    assert_eq!(numbers(&mut feed, 1).await, [(3, 3)]);
    nothing_waits(&mut feed);
}

#[tokio::test]
async fn a_subscriber_slower_than_its_mailbox_misses_nothing() {
    for mailbox in 1..=4 {
        let (world, _bus) = World::scripted(mailbox, no_heartbeat()).await;
        let mut sent = Vec::new();
        for _ in 0..9 {
            sent.push(world.send(&world.ann, "one of many").await);
        }
        let mut feed = world.changes(None).await;
        edit_all(&world, &sent[..7]).await;
        let expected: Vec<_> = (1..=9).map(|number| (number, number)).collect();
        assert_eq!(numbers(&mut feed, 4).await, expected[..4]);
        edit_all(&world, &sent[7..]).await;
        assert_eq!(numbers(&mut feed, 5).await, expected[4..], "{mailbox}");
    }
}

#[tokio::test]
async fn behind_a_cursor_a_feed_brings_what_was_missed_first() {
    let (world, _bus, sent) = with_messages(4, no_heartbeat()).await;
    edit_all(&world, &sent).await;
    // Of the second message only the later change is left.
    edit_all(&world, &sent[1..2]).await;
    let line = [(1, 1), (3, 3), (4, 4), (2, 5)];
    for after in 0..=5 {
        let mut feed = world.changes(Some(after)).await;
        let missed: Vec<_> = line
            .into_iter()
            .filter(|(_, place)| *place > after)
            .collect();
        assert_eq!(
            numbers(&mut feed, missed.len()).await,
            missed,
            "after {after}"
        );
        nothing_waits(&mut feed);
    }
    // Without a cursor it begins now.
    let mut feed = world.changes(None).await;
    nothing_waits(&mut feed);
    edit_all(&world, &sent[..1]).await;
    assert_eq!(numbers(&mut feed, 1).await, [(1, 6)]);
}

#[tokio::test]
async fn the_cursor_of_each_change_is_a_place_to_go_on_from() {
    let (world, _bus, sent) = with_messages(3, no_heartbeat()).await;
    edit_all(&world, &sent).await;
    // It keeps its place on the line of messages.
    let feeds = &world.services.feeds;
    let after = world.place(2, Some(0));
    let opened = feeds.changes(&world.ben, world.chat, Some(&after)).await;
    let seen = take(&mut opened.unwrap(), 3).await;
    for (item, place) in seen.iter().zip(1..) {
        assert_eq!(item.cursor.encode(), world.place(2, Some(place)));
        let after = item.cursor.encode();
        let opened = feeds.changes(&world.ben, world.chat, Some(&after)).await;
        let mut again = opened.unwrap();
        let rest: Vec<_> = (place + 1..=3).map(|number| (number, number)).collect();
        assert_eq!(numbers(&mut again, rest.len()).await, rest);
        nothing_waits(&mut again);
    }
    // A cursor of a message alone says nothing of changes: all may have been missed.
    let after = world.cursor(3);
    let opened = feeds.changes(&world.ben, world.chat, Some(&after)).await;
    let all = [(1, 1), (2, 2), (3, 3)];
    assert_eq!(numbers(&mut opened.unwrap(), 3).await, all);
}

#[tokio::test]
async fn a_cursor_beyond_the_end_needs_a_resync() {
    let (world, _bus, sent) = with_messages(1, no_heartbeat()).await;
    edit_all(&world, &sent).await;
    for after in [2, 1_000, seq::MAX] {
        let refused = world.try_changes(Some(after)).await.err();
        assert!(matches!(refused, Some(FeedError::Ahead)), "{refused:?}");
    }
    let refused = world.try_changes(Some(seq::MAX + 1)).await.err();
    assert!(
        matches!(refused, Some(FeedError::Invalid(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_store_that_lags_is_waited_for() {
    let policy = FeedPolicy {
        ahead_grace: NEVER,
        ..no_heartbeat()
    };
    let (world, bus, sent) = with_messages(3, policy).await;
    let mut feed = world.changes(None).await;
    world.store.show_changes_up_to(world.chat, 0);
    let events = withheld(&world, &bus, &sent).await;
    let (topic, event) = events[2].clone();
    bus.deliver(topic, event);
    let before = world.store.changes_read();
    let catch_up = async {
        world.store.changes_asked(before + 2).await;
        world.store.show_changes_up_to(world.chat, Seq::MAX);
    };
    let (seen, ()) = tokio::join!(numbers(&mut feed, 3), catch_up);
    assert_eq!(seen, [(1, 1), (2, 2), (3, 3)]);
}

#[tokio::test]
async fn a_store_that_has_lost_what_it_told_needs_a_resync() {
    let (world, bus, sent) = with_messages(3, no_heartbeat()).await;
    let mut feed = world.changes(None).await;
    world.store.show_changes_up_to(world.chat, 0);
    let events = withheld(&world, &bus, &sent).await;
    let (topic, event) = events[2].clone();
    bus.deliver(topic, event);
    let ended = end(&mut feed).await;
    assert!(matches!(ended, FeedError::LineBroken), "{ended:?}");
}

#[tokio::test]
async fn who_missed_too_much_needs_a_resync() {
    let policy = FeedPolicy {
        replay_limit: LIMIT,
        ..no_heartbeat()
    };
    let (world, bus, sent) = with_messages(8, policy).await;
    edit_all(&world, &sent[..6]).await;
    let refused = world.try_changes(Some(0)).await.err();
    assert!(
        matches!(refused, Some(FeedError::ResyncRequired(LIMIT))),
        "{refused:?}"
    );
    let mut feed = world.changes(Some(1)).await;
    assert_eq!(numbers(&mut feed, 5).await.last(), Some(&(6, 6)));
    bus.set(Mode::Lose);
    edit_all(&world, &sent[..5]).await;
    bus.interrupt();
    assert_eq!(numbers(&mut feed, 5).await.last(), Some(&(5, 11)));
    edit_all(&world, &sent[..6]).await;
    bus.interrupt();
    let ended = end(&mut feed).await;
    assert!(
        matches!(ended, FeedError::ResyncRequired(LIMIT)),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_long_line_is_replayed_page_by_page_and_goes_over_into_the_present() {
    let (world, bus, sent) = with_messages(230, no_heartbeat()).await;
    edit_all(&world, &sent).await;
    let mut feed = world.changes(Some(0)).await;
    let expected: Vec<_> = (1..=230).map(|number| (number, number)).collect();
    assert_eq!(numbers(&mut feed, 50).await, expected[..50]);
    // What moves while it is read is told where it has gone to, and was before where it was read.
    bus.set(Mode::Lose);
    edit_all(&world, &sent[9..11]).await;
    edit_all(&world, &sent[200..201]).await;
    bus.set(Mode::Deliver);
    edit_all(&world, &sent[..1]).await;
    let mut rest: Vec<_> = expected[50..].to_vec();
    rest.retain(|(number, _)| *number != 201);
    rest.extend([(10, 231), (11, 232), (201, 233), (1, 234)]);
    assert_eq!(numbers(&mut feed, rest.len()).await, rest);
    nothing_waits(&mut feed);
}

#[tokio::test]
async fn changes_of_hidden_messages_are_passed_over() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    let world = world.in_a_group().await;
    let hidden = world.send(&world.ann, "before").await;
    world.remove(&world.ben).await;
    world.add(&world.ben, HistoryFrom::Join).await;
    let seen = world.send(&world.ann, "behind").await;
    let mut feed = world.changes(None).await;
    let both = [hidden.clone(), seen.clone(), hidden.clone(), seen.clone()];
    edit_all(&world, &both).await;
    assert_eq!(numbers(&mut feed, 2).await, [(5, 2), (5, 4)]);
    // Nor are they from the store, of which they are the end.
    bus.set(Mode::Lose);
    edit_all(&world, &[seen, hidden]).await;
    bus.interrupt();
    assert_eq!(numbers(&mut feed, 1).await, [(5, 5)]);
    nothing_waits(&mut feed);
    let mut again = world.changes(Some(0)).await;
    assert_eq!(numbers(&mut again, 1).await, [(5, 5)]);
    nothing_waits(&mut again);
}

#[tokio::test]
async fn a_removal_between_two_changes_ends_the_feed_between_them() {
    for lost in [false, true] {
        let (world, bus) = World::scripted(16, no_heartbeat()).await;
        let world = world.in_a_group().await;
        let sent = world.send(&world.ann, "hello").await;
        let mut feed = world.changes(None).await;
        edit_all(&world, std::slice::from_ref(&sent)).await;
        if lost {
            bus.set(Mode::Lose);
        }
        world.remove(&world.ben).await;
        bus.set(Mode::Deliver);
        world.delete(&world.ann, &sent).await;
        assert_eq!(numbers(&mut feed, 1).await, [(2, 1)]);
        ends_for_no_member(&mut feed).await;
    }
}

#[tokio::test]
async fn what_waits_for_a_gap_from_behind_the_removal_is_not_delivered() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    let world = world.in_a_group().await;
    let one = world.send(&world.ann, "one").await;
    let two = world.send(&world.ann, "two").await;
    let mut feed = world.changes(None).await;
    bus.set(Mode::Lose);
    world.edit(&world.ann, &one, "lost").await;
    world.remove(&world.ben).await;
    bus.set(Mode::Deliver);
    world.edit(&world.ann, &two, "no longer for ben").await;
    ends_for_no_member(&mut feed).await;
}

#[tokio::test]
async fn only_members_follow_by_cursors_of_the_chat() {
    let (world, _bus, _) = with_messages(1, no_heartbeat()).await;
    let eve = world.person("eve").await;
    let feeds = &world.services.feeds;
    let refused = feeds.changes(&eve, world.chat, None).await.err();
    assert_no_member(&refused.unwrap());
    let elsewhere = MessageCursor {
        chat_id: id::from_bytes([7; 16]),
        incarnation: world.incarnation,
        seq: 1,
        change_seq: Some(0),
    };
    for cursor in [elsewhere.encode().as_str(), "", "nonsense"] {
        let refused = feeds.changes(&world.ben, world.chat, Some(cursor)).await;
        match refused.err() {
            Some(FeedError::Invalid(invalid)) => assert_eq!(invalid.field, "after"),
            other => panic!("{cursor}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn changes_wait_for_a_store_that_is_away() {
    let (world, bus, sent) = with_messages(2, no_heartbeat()).await;
    let mut feed = world.changes(None).await;
    world.store.go_down();
    let events = withheld(&world, &bus, &sent).await;
    let (topic, event) = events[1].clone();
    bus.deliver(topic, event);
    let end_of_outage = async {
        world.store.refused(2).await;
        world.store.come_back();
    };
    let (item, ()) = tokio::join!(next(&mut feed), end_of_outage);
    assert_eq!(message(&item.change).seq, 1);
    assert_eq!(numbers(&mut feed, 1).await, [(2, 2)]);
}
