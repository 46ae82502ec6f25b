//! `presenceUpdated`: who is there, as absolute state that is never stuck.

use std::sync::Arc;
use std::time::Duration;

use talksy_domain::clock::Clock as _;
use talksy_domain::events::{Event, Topic};
use talksy_domain::feeds::{FeedError, FeedPolicy, PresenceFeed};
use talksy_domain::messages::HistoryFrom;
use talksy_domain::presence::{HOLD, Presence, PresenceStatus};
use talksy_domain::services::Services;
use talksy_domain::viewer::Viewer;
use talksy_tests::{eventually, soon};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::script::Mode;
use super::world::{NEVER, World, next, no_heartbeat, policies, quick_heartbeat, take};

/// What Ben sees of Ann.
async fn of_ann(world: &World) -> PresenceFeed {
    let feeds = &world.services.feeds;
    let feed = feeds.presence(&world.ben, vec![world.ann.user_id]).await;
    feed.unwrap()
}

/// Lets an instance renew leases and look for ended ones until the guard is dropped.
pub fn run(services: &Services) -> DropGuard {
    let stop = CancellationToken::new();
    let until = stop.clone();
    let presence = Arc::clone(&services.presence);
    tokio::spawn(async move { presence.run(until).await });
    stop.drop_guard()
}

async fn is_online(world: &World, who: &Viewer) -> bool {
    let services = &world.services;
    let seen = services.access.acquainted(who, &[who.user_id]).await;
    let states = services.presence.states(&seen.unwrap()).await;
    states.unwrap()[0].status == PresenceStatus::Online
}

fn online(who: &Viewer) -> Presence {
    Presence {
        user_id: who.user_id,
        status: PresenceStatus::Online,
        last_seen_at: None,
    }
}

/// The next state, which must be offline; and with a time, once that is kept.
async fn goes_offline(feed: &mut PresenceFeed, who: &Viewer) {
    loop {
        let state = next(feed).await;
        assert_eq!(
            (state.user_id, state.status),
            (who.user_id, PresenceStatus::Offline)
        );
        if state.last_seen_at.is_some() {
            return;
        }
    }
}

#[tokio::test]
async fn the_state_now_comes_first_and_then_each_change() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    let mut feed = of_ann(&world).await;
    let never_seen = Presence {
        user_id: world.ann.user_id,
        status: PresenceStatus::Offline,
        last_seen_at: None,
    };
    assert_eq!(next(&mut feed).await, never_seen);

    let _running = run(&world.services);
    let phone = world.services.presence.connect(&world.ann);
    assert_eq!(next(&mut feed).await, online(&world.ann));
    assert_eq!(next(&mut of_ann(&world).await).await, online(&world.ann));

    // The second socket is no news, nor is the end of the first.
    let tab = world.services.presence.connect(&world.ann);
    drop(phone);
    drop(tab);
    // Both leases must have been given up before time passes, or they would last longer.
    let policy = policies().presence;
    eventually("Ann's lease to end", async || {
        world.backend.clock.advance(policy.grace / 10);
        (!is_online(&world, &world.ann).await).then_some(())
    })
    .await;
    goes_offline(&mut feed, &world.ann).await;
}

#[tokio::test]
async fn nobody_is_stuck_online_when_the_instance_that_knew_them_has_died() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    let mut feed = of_ann(&world).await;
    next(&mut feed).await;
    // It counts the socket and never renews it, nor says that it closed.
    let dying = world.other_instance();
    std::mem::forget(dying.presence.connect(&world.ann));
    assert_eq!(next(&mut feed).await, online(&world.ann));

    let _running = run(&world.services);
    let half = policies().presence.lease / 2;
    world.backend.clock.advance(half);
    assert!(is_online(&world, &world.ann).await);
    world.backend.clock.advance(half);
    goes_offline(&mut feed, &world.ann).await;
    assert!(!is_online(&world, &world.ann).await);
}

#[tokio::test]
async fn a_reload_shows_no_gap() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    let _running = run(&world.services);
    let presence = &world.services.presence;
    let grace = policies().presence.grace;
    let both = vec![world.ann.user_id, world.ben.user_id];
    let feeds = &world.services.feeds;
    let mut feed = feeds.presence(&world.ben, both).await.unwrap();
    take(&mut feed, 2).await;

    let before = presence.connect(&world.ann);
    assert_eq!(next(&mut feed).await, online(&world.ann));
    drop(before);
    lasts(&world, &world.ann, grace, false).await;
    let _after = presence.connect(&world.ann);
    lasts(&world, &world.ann, grace, true).await;
    // Ben comes and leaves twice: the sweeps that see him leave see what there is of Ann too.
    for _ in 0..2 {
        let socket = presence.connect(&world.ben);
        assert_eq!(next(&mut feed).await, online(&world.ben));
        drop(socket);
        lasts(&world, &world.ben, grace, false).await;
        world.backend.clock.advance(grace);
        goes_offline(&mut feed, &world.ben).await;
    }
    assert!(is_online(&world, &world.ann).await);
}

/// Waits until a user's leases last longer than this from now, or do not.
async fn lasts(world: &World, who: &Viewer, time: Duration, longer: bool) {
    let then = world.backend.clock.now() + time + HOLD;
    eventually("the lease to be renewed or given up", async || {
        let online = world.ports.presence.online(&[who.user_id], then).await;
        (online.unwrap().is_empty() != longer).then_some(())
    })
    .await;
}

#[tokio::test]
async fn after_an_interruption_the_states_are_sent_again() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    let mut feed = of_ann(&world).await;
    next(&mut feed).await;
    bus.set(Mode::Lose);
    // It never says that it closed, nor renews its lease.
    std::mem::forget(world.other_instance().presence.connect(&world.ann));
    eventually("Ann to be there", async || {
        is_online(&world, &world.ann).await.then_some(())
    })
    .await;
    bus.interrupt();
    assert_eq!(next(&mut feed).await, online(&world.ann));

    let _running = run(&world.services);
    world.backend.clock.advance(policies().presence.lease);
    eventually("Ann to be away", async || {
        (!is_online(&world, &world.ann).await).then_some(())
    })
    .await;
    bus.interrupt();
    let gone = next(&mut feed).await;
    assert_eq!(gone.status, PresenceStatus::Offline);
}

/// What Ben sees of Ann and himself, behind the states at first.
async fn of_both(world: &World) -> PresenceFeed {
    let both = vec![world.ann.user_id, world.ben.user_id];
    let feeds = &world.services.feeds;
    let mut feed = feeds.presence(&world.ben, both).await.unwrap();
    take(&mut feed, 2).await;
    feed
}

#[tokio::test]
async fn what_an_interruption_made_old_news_is_not_told_after_the_state() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    let mut feed = of_both(&world).await;
    // Ann came, which waits in the mailbox, and left, which was lost.
    let topic = Topic::Presence(world.ann.user_id);
    bus.deliver(topic, Event::PresenceChanged(online(&world.ann)));
    bus.interrupt();
    let _socket = world.services.presence.connect(&world.ben);
    assert_eq!(next(&mut feed).await, online(&world.ben));
}

#[tokio::test]
async fn an_older_state_that_arrives_late_is_not_told() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    let mut feed = of_both(&world).await;
    // Ann comes, and leaves. The word of her coming is the slower one.
    bus.set(Mode::Keep);
    std::mem::forget(world.other_instance().presence.connect(&world.ann));
    let (topic, late) = eventually("the word of it", async || bus.kept().pop()).await;
    bus.set(Mode::Deliver);
    let running = run(&world.services);
    world.backend.clock.advance(policies().presence.lease);
    goes_offline(&mut feed, &world.ann).await;
    drop(running);
    bus.deliver(topic, late);
    let _socket = world.services.presence.connect(&world.ben);
    assert_eq!(next(&mut feed).await, online(&world.ben));
    // Nor is one that comes twice.
    let topic = Topic::Presence(world.ben.user_id);
    bus.deliver(topic, Event::PresenceChanged(online(&world.ben)));
    let _socket = world.services.presence.connect(&world.ann);
    assert_eq!(next(&mut feed).await, online(&world.ann));
}

#[tokio::test]
async fn who_came_unheard_is_found_by_the_heartbeat() {
    let (world, bus) = World::scripted(16, quick_heartbeat()).await;
    let mut feed = of_ann(&world).await;
    next(&mut feed).await;
    bus.set(Mode::Lose);
    let _socket = world.services.presence.connect(&world.ann);
    assert_eq!(next(&mut feed).await, online(&world.ann));
}

#[tokio::test]
async fn nobody_is_shown_offline_who_came_back_as_their_leaving_was_told() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    let mut feed = of_both(&world).await;
    std::mem::forget(world.other_instance().presence.connect(&world.ann));
    assert_eq!(next(&mut feed).await, online(&world.ann));
    // Her lease has ended, and the word of it is slow on its way.
    bus.hold_up_partings();
    let _running = run(&world.services);
    world.backend.clock.advance(policies().presence.lease);
    soon("the parting to be published", bus.parting_waits()).await;
    // Meanwhile she is back. The word of that is quick, and news to nobody.
    let _socket = world.services.presence.connect(&world.ann);
    eventually("Ann to be there", async || {
        is_online(&world, &world.ann).await.then_some(())
    })
    .await;
    bus.let_partings_go();
    let _socket = world.services.presence.connect(&world.ben);
    assert_eq!(next(&mut feed).await, online(&world.ben));
    assert!(is_online(&world, &world.ann).await);
}

#[tokio::test]
async fn strangers_are_not_shown_and_former_friends_no_longer() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    let world = world.in_a_group().await;
    let eve = world.person("eve").await;
    let feeds = &world.services.feeds;
    let cleo = world.person("cleo").await;
    world.add(&cleo, HistoryFrom::All).await;
    let wanted = vec![cleo.user_id, eve.user_id];
    match feeds.presence(&world.ben, wanted).await.err() {
        Some(FeedError::NotShared(user)) => assert_eq!(user, eve.user_id),
        other => panic!("{other:?}"),
    }

    let both = vec![cleo.user_id, world.ben.user_id, cleo.user_id];
    let mut feed = feeds.presence(&world.ben, both).await.unwrap();
    next(&mut feed).await;
    next(&mut feed).await;
    world.remove(&cleo).await;
    // They come by an instance that dies, and go when their leases have ended.
    let dying = world.other_instance();
    for who in [&cleo, &world.ben] {
        std::mem::forget(dying.presence.connect(who));
    }
    eventually("Cleo to be there", async || {
        is_online(&world, &cleo).await.then_some(())
    })
    .await;
    assert_eq!(next(&mut feed).await, online(&world.ben));
    bus.interrupt();
    let _running = run(&world.services);
    world.backend.clock.advance(policies().presence.lease);
    goes_offline(&mut feed, &world.ben).await;
}

/// As after a Redis that has come back empty: leases are lost for a moment.
#[tokio::test]
async fn an_absence_that_no_event_tells_is_looked_at_again_before_it_is_told() {
    let patient = FeedPolicy {
        absence_grace: NEVER,
        ..no_heartbeat()
    };
    let (world, bus) = World::scripted(16, patient).await;
    let mut feed = of_both(&world).await;
    let socket = world.services.presence.connect(&world.ann);
    assert_eq!(next(&mut feed).await, online(&world.ann));
    let leases = &world.ports.presence;
    let now = world.backend.clock.now();
    let lose = async |end| {
        let ended = leases.ended(end, Duration::ZERO).await.unwrap();
        leases.expire(&ended).await.unwrap()
    };
    let far = now + policies().presence.lease;
    assert_eq!(lose(far).await.len(), 1);
    bus.interrupt();
    // Ben's coming is told behind the look that has found Ann away.
    let _socket = world.services.presence.connect(&world.ben);
    assert_eq!(next(&mut feed).await, online(&world.ben));
    assert!(!is_online(&world, &world.ann).await);
    // What an event says is told at once.
    let topic = Topic::Presence(world.ann.user_id);
    let gone = Presence {
        status: PresenceStatus::Offline,
        ..online(&world.ann)
    };
    bus.deliver(topic, Event::PresenceChanged(gone));
    assert_eq!(next(&mut feed).await, gone);
    drop(socket);
}
