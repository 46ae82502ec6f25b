//! `typingUpdated`: who types, as absolute state, which ends by itself.

use std::time::Duration;

use talksy_domain::feeds::{FeedPolicy, TypingFeed, TypingState};
use talksy_domain::viewer::Viewer;

use super::script::Mode;
use super::world::{World, next, no_heartbeat, nothing_waits};

async fn typing(world: &World) -> TypingFeed {
    let feeds = &world.services.feeds;
    feeds.typing(&world.ben, world.chat).await.unwrap()
}

async fn set(world: &World, who: &Viewer, is_typing: bool) {
    let presence = &world.services.presence;
    presence
        .set_typing(who, world.chat, is_typing)
        .await
        .unwrap();
}

fn state(world: &World, who: &Viewer, is_typing: bool) -> TypingState {
    TypingState {
        chat_id: world.chat,
        user_id: who.user_id,
        is_typing,
    }
}

/// A typist is forgotten soon.
fn forgetful() -> FeedPolicy {
    FeedPolicy {
        typing_timeout: Duration::from_millis(50),
        ..no_heartbeat()
    }
}

#[tokio::test]
async fn starting_and_stopping_are_told_once_each_and_not_to_oneself() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    let mut feed = typing(&world).await;
    set(&world, &world.ben, true).await;
    for _ in 0..3 {
        set(&world, &world.ann, true).await;
    }
    assert_eq!(next(&mut feed).await, state(&world, &world.ann, true));
    nothing_waits(&mut feed);
    for _ in 0..3 {
        set(&world, &world.ann, false).await;
    }
    set(&world, &world.ben, false).await;
    assert_eq!(next(&mut feed).await, state(&world, &world.ann, false));
    nothing_waits(&mut feed);
}

#[tokio::test]
async fn who_has_sent_the_message_types_no_longer() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    let mut feed = typing(&world).await;
    set(&world, &world.ann, true).await;
    world.send(&world.ben, "take your time").await;
    world.send(&world.ann, "there it is").await;
    assert_eq!(next(&mut feed).await, state(&world, &world.ann, true));
    assert_eq!(next(&mut feed).await, state(&world, &world.ann, false));
    world.send(&world.ann, "and more").await;
    nothing_waits(&mut feed);
}

#[tokio::test]
async fn a_typist_whose_stopping_was_lost_stops_by_themself() {
    let (world, bus) = World::scripted(16, forgetful()).await;
    let mut feed = typing(&world).await;
    for _ in 0..3 {
        bus.set(Mode::Deliver);
        set(&world, &world.ann, true).await;
        assert_eq!(next(&mut feed).await, state(&world, &world.ann, true));
        bus.set(Mode::Lose);
        set(&world, &world.ann, false).await;
        assert_eq!(next(&mut feed).await, state(&world, &world.ann, false));
    }
}

#[tokio::test]
async fn an_interruption_leaves_nobody_typing_for_ever() {
    let (world, bus) = World::scripted(1, forgetful()).await;
    let mut feed = typing(&world).await;
    set(&world, &world.ann, true).await;
    assert_eq!(next(&mut feed).await, state(&world, &world.ann, true));
    bus.interrupt();
    bus.set(Mode::Lose);
    assert_eq!(next(&mut feed).await, state(&world, &world.ann, false));
}
