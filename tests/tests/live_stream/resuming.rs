//! Where a subscription begins: now, behind a cursor, or not at all.

use talksy_domain::access::{AccessError, Denied};
use talksy_domain::cursor::{Cursor as _, MessageCursor};
use talksy_domain::feeds::{FeedError, FeedPolicy};
use talksy_domain::id;
use talksy_domain::seq::{self, Seq};

use super::script::Mode;
use super::world::{NEVER, World, assert_no_member, end, no_heartbeat, nothing_waits, seqs};

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
async fn a_cursor_of_what_the_store_does_not_have_needs_a_resync() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    world.send_many(2).await;
    for after in [3, 1_000, seq::MAX] {
        let refused = world.try_follow(Some(after)).await.err();
        assert!(matches!(refused, Some(FeedError::Ahead)), "{refused:?}");
    }
    let refused = world.try_follow(Some(seq::MAX + 1)).await.err();
    assert!(
        matches!(refused, Some(FeedError::Invalid(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_cursor_of_what_the_store_has_a_moment_later_is_waited_for() {
    let policy = FeedPolicy {
        ahead_grace: NEVER,
        ..no_heartbeat()
    };
    let (world, _bus) = World::scripted(16, policy).await;
    world.send_many(3).await;
    world.store.show_up_to(world.chat, 2);
    let catch_up = async {
        world.store.heads_asked(2).await;
        world.store.show_up_to(world.chat, Seq::MAX);
    };
    let (mut feed, ()) = tokio::join!(world.follow_after(3), catch_up);
    nothing_waits(&mut feed);
    world.send(&world.ann, "next").await;
    assert_eq!(seqs(&mut feed, 1).await, [4]);
}

#[tokio::test]
async fn a_stranger_learns_from_no_cursor_where_a_chat_ends() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    world.send_many(2).await;
    let eve = world.person("eve").await;
    let feeds = &world.services.feeds;
    for number in 0..4 {
        let cursor = world.place(number, Some(number));
        let after = Some(cursor.as_str());
        let messages = feeds.messages(&eve, world.chat, after).await.err();
        let changes = feeds.changes(&eve, world.chat, after).await.err();
        for refused in [messages, changes] {
            assert_no_member(&refused.unwrap());
        }
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
        incarnation: world.incarnation,
        seq: 1,
        change_seq: None,
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
