//! Who is no member any more is told so and nothing else, whether or not the word of it came.

use talksy_domain::access::{AccessError, Denied};
use talksy_domain::events::{Event, Topic};
use talksy_domain::feeds::FeedError;
use talksy_domain::viewer::Viewer;

use super::script::{Mode, ScriptBus};
use super::world::{World, end, no_heartbeat, nothing_waits, quick_heartbeat, seqs};

fn removed(world: &World, whom: &Viewer) -> (Topic, Event) {
    let event = Event::MemberRemoved {
        chat_id: world.chat,
        user_id: whom.user_id,
    };
    (Topic::Chat(world.chat), event)
}

/// Takes Ben away, and says so on the bus.
fn remove_ben(world: &World, bus: &ScriptBus) {
    world.store.remove(world.chat, world.ben.user_id);
    let (topic, event) = removed(world, &world.ben);
    bus.deliver(topic, event);
}

#[tokio::test]
async fn every_feed_of_the_chat_ends_at_once() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    let mut messages = world.follow().await;
    let feeds = &world.services.feeds;
    let mut receipts = feeds.receipts(&world.ben, world.chat).await.unwrap();
    let mut typing = feeds.typing(&world.ben, world.chat).await.unwrap();
    world.send(&world.ann, "still for ben").await;
    assert_eq!(seqs(&mut messages, 1).await, [1]);
    remove_ben(&world, &bus);
    world.send(&world.ann, "no longer").await;
    let ended = [
        end(&mut messages).await,
        end(&mut receipts).await,
        end(&mut typing).await,
    ];
    for error in ended {
        assert!(
            matches!(
                error,
                FeedError::Access(AccessError::Denied(Denied::NotMember))
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn somebody_else_s_removal_ends_nothing() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    let mut feed = world.follow().await;
    let (topic, event) = removed(&world, &world.ann);
    bus.deliver(topic, event);
    nothing_waits(&mut feed);
    // Nor does a later epoch by itself.
    world.store.raise_epoch(world.chat);
    world.send(&world.ben, "alone").await;
    assert_eq!(seqs(&mut feed, 1).await, [1]);
    bus.interrupt();
    world.store.raise_epoch(world.chat);
    world.send(&world.ben, "still").await;
    assert_eq!(seqs(&mut feed, 1).await, [2]);
}

#[tokio::test]
async fn where_the_word_was_lost_the_next_message_carries_it() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    let mut feed = world.follow().await;
    world.send(&world.ann, "still for ben").await;
    world.store.remove(world.chat, world.ben.user_id);
    world.send(&world.ann, "no longer").await;
    assert_eq!(seqs(&mut feed, 1).await, [1]);
    assert!(matches!(
        end(&mut feed).await,
        FeedError::Access(AccessError::Denied(Denied::NotMember))
    ));
}

#[tokio::test]
async fn where_the_word_was_lost_the_heartbeat_finds_it_out() {
    let (world, _bus) = World::scripted(16, quick_heartbeat()).await;
    let mut feed = world.follow().await;
    world.store.remove(world.chat, world.ben.user_id);
    assert!(matches!(
        end(&mut feed).await,
        FeedError::Access(AccessError::Denied(Denied::NotMember))
    ));
}

#[tokio::test]
async fn where_the_word_was_lost_an_interruption_is_reason_to_look() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    let mut messages = world.follow().await;
    let feeds = &world.services.feeds;
    let mut receipts = feeds.receipts(&world.ben, world.chat).await.unwrap();
    let mut typing = feeds.typing(&world.ben, world.chat).await.unwrap();
    world.store.remove(world.chat, world.ben.user_id);
    bus.interrupt();
    let ended = [
        end(&mut messages).await,
        end(&mut receipts).await,
        end(&mut typing).await,
    ];
    for error in ended {
        assert!(
            matches!(
                error,
                FeedError::Access(AccessError::Denied(Denied::NotMember))
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_mailbox_that_overflowed_with_the_word_in_it_changes_nothing() {
    let (world, bus) = World::scripted(2, no_heartbeat()).await;
    let mut feed = world.follow().await;
    remove_ben(&world, &bus);
    world.send_many(5).await;
    assert!(matches!(
        end(&mut feed).await,
        FeedError::Access(AccessError::Denied(Denied::NotMember))
    ));
}

#[tokio::test]
async fn what_was_sent_after_the_removal_is_not_read_from_the_store_either() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    world.send_many(3).await;
    let mut feed = world.follow_after(0).await;
    // The feed knows that it has three messages to read, and has read none yet.
    remove_ben(&world, &bus);
    world.send_many(2).await;
    let mut seen = Vec::new();
    let ended = loop {
        match talksy_tests::soon(
            "an item or the end",
            talksy_domain::feeds::Feed::next(&mut feed),
        )
        .await
        {
            Ok(item) => seen.push(super::world::message(&item).seq),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(
            ended,
            FeedError::Access(AccessError::Denied(Denied::NotMember))
        ),
        "{ended:?}"
    );
    assert!(seen.iter().all(|seq| *seq <= 3), "{seen:?}");
}

#[tokio::test]
async fn who_was_removed_cannot_come_back_by_a_cursor() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    world.send_many(3).await;
    bus.set(Mode::Lose);
    world.store.remove(world.chat, world.ben.user_id);
    let refused = world.try_follow(Some(1)).await.err();
    assert!(
        matches!(
            refused,
            Some(FeedError::Access(AccessError::Denied(Denied::NotMember)))
        ),
        "{refused:?}"
    );
}
