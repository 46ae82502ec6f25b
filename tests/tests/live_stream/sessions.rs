//! A session's end reaches its sockets, also where the word of it was lost.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use talksy_domain::feeds::FeedPolicy;
use talksy_domain::viewer::Viewer;
use talksy_tests::backend::instance;
use talksy_tests::faulty_store::{Fault, FaultyStore};
use talksy_tests::soon;

use super::script::Mode;
use super::world::{SHORT, World, no_heartbeat, policies};

/// Ends a session as an instance does whose word is not heard here.
async fn end_elsewhere(world: &World, whose: &Viewer) {
    let Viewer {
        user_id,
        session_id,
        ..
    } = *whose;
    let sessions = &world.ports.sessions;
    assert!(sessions.delete_session(session_id, user_id).await.unwrap());
}

#[tokio::test]
async fn a_revoked_session_ends_at_once_on_every_instance_and_no_other_does() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    let phone = world.other_device(&world.ben).await;
    let other = world.other_instance();
    let mut end = pin!(world.services.feeds.session_end(&world.ben));
    let mut elsewhere = pin!(other.feeds.session_end(&world.ben));
    let mut of_phone = pin!(world.services.feeds.session_end(&phone));
    // Each listens from here on.
    assert!(end.as_mut().now_or_never().is_none());
    assert!(elsewhere.as_mut().now_or_never().is_none());
    assert!(of_phone.as_mut().now_or_never().is_none());

    let auth = &world.services.auth;
    let revoked = auth.revoke(&world.ben, phone.session_id).await;
    revoked.unwrap();
    tokio::select! {
        biased;
        _ = &mut end => panic!("another session of the user has ended"),
        ended = soon("the end of the phone's session", of_phone) => ended.unwrap(),
    }
    let revoked = auth.revoke(&world.ben, world.ben.session_id).await;
    revoked.unwrap();
    soon("the end here", end).await.unwrap();
    soon("the end on the other instance", elsewhere)
        .await
        .unwrap();
}

/// Sessions are looked at soon and often, and nothing else is.
fn quick_check() -> FeedPolicy {
    FeedPolicy {
        session_check: SHORT,
        ..no_heartbeat()
    }
}

#[tokio::test]
async fn where_the_word_was_lost_a_regular_look_finds_it_out_on_every_instance() {
    // The promise is two seconds.
    assert!(policies().feeds.session_check <= Duration::from_secs(1));
    let (world, bus) = World::scripted(16, quick_check()).await;
    let other = world.other_instance();
    let phone = world.other_device(&world.ben).await;
    let mut end = pin!(world.services.feeds.session_end(&world.ben));
    let mut elsewhere = pin!(other.feeds.session_end(&world.ben));
    let mut of_phone = pin!(world.services.feeds.session_end(&phone));
    assert!(end.as_mut().now_or_never().is_none());
    assert!(elsewhere.as_mut().now_or_never().is_none());
    assert!(of_phone.as_mut().now_or_never().is_none());
    bus.set(Mode::Lose);
    end_elsewhere(&world, &world.ben).await;
    soon("the end of the session", end).await.unwrap();
    soon("the end on the other instance", elsewhere)
        .await
        .unwrap();
    assert!(of_phone.as_mut().now_or_never().is_none(), "it runs");
}

#[tokio::test]
async fn a_store_that_is_down_ends_nothing_and_is_asked_again() {
    let (world, bus) = World::scripted(16, quick_check()).await;
    let store = FaultyStore::new();
    let there = instance(store.in_front_of(world.ports.clone()), quick_check());
    let mut end = pin!(there.feeds.session_end(&world.ben));
    assert!(end.as_mut().now_or_never().is_none());
    bus.set(Mode::Lose);
    let looks = "sessions.existing_sessions";
    store.set(looks, Fault::Unavailable("taken away by the test"));
    tokio::select! {
        biased;
        ended = &mut end => panic!("an outage was taken for an end: {ended:?}"),
        () = soon("looks in vain", store.refused(3)) => {}
    }
    end_elsewhere(&world, &world.ben).await;
    tokio::select! {
        biased;
        ended = &mut end => panic!("the store cannot have said so: {ended:?}"),
        () = soon("looks in vain", store.refused(6)) => {}
    }
    store.set(looks, Fault::None);
    soon("the end of the session", end).await.unwrap();
}

/// Two sockets of one session are looked at once, and the one that goes takes nothing from the other.
#[tokio::test]
async fn who_closes_one_of_two_connections_is_watched_on_the_other() {
    let (world, bus) = World::scripted(16, quick_check()).await;
    let mut end = pin!(world.services.feeds.session_end(&world.ben));
    assert!(end.as_mut().now_or_never().is_none());
    {
        let mut other = pin!(world.services.feeds.session_end(&world.ben));
        assert!(other.as_mut().now_or_never().is_none());
    }
    bus.set(Mode::Lose);
    end_elsewhere(&world, &world.ben).await;
    soon("the end of the session", end).await.unwrap();
}

#[tokio::test]
async fn where_the_word_was_lost_an_interruption_is_reason_to_look() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    let phone = world.other_device(&world.ben).await;
    let mut end = pin!(world.services.feeds.session_end(&world.ben));
    let mut of_phone = pin!(world.services.feeds.session_end(&phone));
    assert!(end.as_mut().now_or_never().is_none());
    assert!(of_phone.as_mut().now_or_never().is_none());
    // While the session runs, an interruption ends nothing: it ends the phone's, which is over.
    end_elsewhere(&world, &phone).await;
    bus.interrupt();
    tokio::select! {
        biased;
        _ = &mut end => panic!("a session has ended that runs"),
        ended = soon("the end of the phone's session", of_phone) => ended.unwrap(),
    }
    end_elsewhere(&world, &world.ben).await;
    bus.interrupt();
    soon("the end of the session", end).await.unwrap();
}

#[tokio::test]
async fn a_session_that_was_live_a_moment_ago_is_looked_up_again_after_an_interruption() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    let auth = &world.services.auth;
    let mut end = pin!(world.services.feeds.session_end(&world.ben));
    assert!(end.as_mut().now_or_never().is_none());
    // A request a moment ago: its answer is kept for a second.
    assert!(auth.is_live(world.ben.session_id).await.unwrap());
    end_elsewhere(&world, &world.ben).await;
    bus.interrupt();
    soon("the end of the session", end).await.unwrap();
}

#[tokio::test]
async fn a_session_that_ended_before_anybody_listened_is_over() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    end_elsewhere(&world, &world.ben).await;
    let end = world.services.feeds.session_end(&world.ben);
    soon("the end of the session", end).await.unwrap();
}
