//! Where a subscription begins: now, behind a cursor, or not at all.

use talksy_domain::access::{AccessError, Denied};
use talksy_domain::cursor::{Cursor as _, MessageCursor};
use talksy_domain::feeds::{FeedError, FeedPolicy};
use talksy_domain::id;

use super::script::Mode;
use super::world::{World, end, no_heartbeat, nothing_waits, seqs};

const LIMIT: u32 = 5;

fn short_memory() -> FeedPolicy {
    FeedPolicy {
        replay_limit: LIMIT,
        ..no_heartbeat()
    }
}

#[tokio::test]
async fn without_a_cursor_a_feed_begins_now() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    world.send_many(3).await;
    let mut feed = world.follow().await;
    nothing_waits(&mut feed);
    world.send(&world.ann, "now").await;
    assert_eq!(seqs(&mut feed, 1).await, [4]);
}

#[tokio::test]
async fn behind_a_cursor_it_brings_what_was_missed_first() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    world.send_many(4).await;
    for after in 0..=4 {
        let mut feed = world.follow_after(after).await;
        let missed = usize::try_from(4 - after).unwrap();
        assert_eq!(
            seqs(&mut feed, missed).await,
            (after + 1..=4).collect::<Vec<_>>()
        );
        nothing_waits(&mut feed);
    }
}

#[tokio::test]
async fn a_cursor_of_what_is_not_there_yet_means_now() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    world.send_many(2).await;
    for after in [2, 3, 1_000, u32::MAX] {
        let mut feed = world.follow_after(after).await;
        nothing_waits(&mut feed);
        let sent = world.send(&world.ann, "next").await;
        assert_eq!(seqs(&mut feed, 1).await, [sent.seq], "after {after}");
    }
}

#[tokio::test]
async fn a_stale_cursor_needs_a_resync_and_one_less_stale_does_not() {
    let (world, _bus) = World::scripted(16, short_memory()).await;
    world.send_many(8).await;
    let refused = world.try_follow(Some(2)).await.err();
    assert!(
        matches!(refused, Some(FeedError::ResyncRequired(LIMIT))),
        "{refused:?}"
    );
    let mut feed = world.follow_after(3).await;
    assert_eq!(seqs(&mut feed, 5).await, [4, 5, 6, 7, 8]);
}

#[tokio::test]
async fn a_feed_that_missed_too_much_while_open_needs_a_resync() {
    let (world, bus) = World::scripted(16, short_memory()).await;
    let mut lucky = world.follow().await;
    bus.set(Mode::Lose);
    world.send_many(5).await;
    bus.interrupt();
    assert_eq!(seqs(&mut lucky, 5).await, [1, 2, 3, 4, 5]);
    world.send_many(6).await;
    bus.interrupt();
    let ended = end(&mut lucky).await;
    assert!(
        matches!(ended, FeedError::ResyncRequired(LIMIT)),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_cursor_of_another_chat_or_none_at_all_is_refused() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    let elsewhere = MessageCursor {
        chat_id: id::from_bytes([7; 16]),
        seq: 1,
    };
    for cursor in [elsewhere.encode().as_str(), "", "nonsense"] {
        let feeds = &world.services.feeds;
        let refused = feeds.messages(&world.ben, world.chat, Some(cursor)).await;
        match refused.err() {
            Some(FeedError::Invalid(invalid)) => assert_eq!(invalid.field, "after"),
            other => panic!("{cursor}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn only_members_follow_and_only_chats_that_are_there() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    let eve = world.person("eve").await;
    let nowhere = id::from_bytes([7; 16]);
    let feeds = &world.services.feeds;
    let refused = [
        feeds.messages(&eve, world.chat, None).await.err(),
        feeds.receipts(&eve, world.chat).await.err(),
        feeds.typing(&eve, world.chat).await.err(),
    ];
    for error in refused {
        assert!(
            matches!(
                error,
                Some(FeedError::Access(AccessError::Denied(Denied::NotMember)))
            ),
            "{error:?}"
        );
    }
    let refused = [
        feeds.messages(&eve, nowhere, None).await.err(),
        feeds.receipts(&eve, nowhere).await.err(),
        feeds.typing(&eve, nowhere).await.err(),
    ];
    for error in refused {
        assert!(
            matches!(
                error,
                Some(FeedError::Access(AccessError::Denied(Denied::NoChat)))
            ),
            "{error:?}"
        );
    }
}
