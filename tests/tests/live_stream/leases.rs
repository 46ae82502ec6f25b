//! What instances make of leases: who is told offline, when, and when they were last seen.

use std::sync::Arc;
use std::time::Duration;

use talksy_domain::clock::{Clock as _, Timestamp};
use talksy_domain::error::PortError;
use talksy_domain::events::Event;
use talksy_domain::id::UserId;
use talksy_domain::port::{Layer, Layered};
use talksy_domain::presence::{ConnectionId, PresenceStatus, PresenceStore, PresenceStoreLayer};
use talksy_domain::services::{Ports, Services};
use talksy_domain::viewer::Viewer;
use talksy_tests::backend::instance;
use talksy_tests::eventually;
use talksy_tests::faulty_store::{Fault, FaultyStore};
use tokio::sync::Notify;

use super::presence::run;
use super::script::{Mode, ScriptBus};
use super::world::{World, no_heartbeat, policies};

/// Whose coming and going was published since this was asked last.
fn told(bus: &ScriptBus) -> Vec<(UserId, PresenceStatus)> {
    let told = bus.kept().into_iter().filter_map(|(_, event)| match event {
        Event::PresenceChanged(state) => Some((state.user_id, state.status)),
        _ => None,
    });
    told.collect()
}

async fn is_online(world: &World, who: &Viewer) -> bool {
    let now = world.backend.clock.now();
    let online = world.ports.presence.online(&[who.user_id], now).await;
    !online.unwrap().is_empty()
}

async fn comes(world: &World, who: &Viewer) {
    eventually("their lease", async || {
        is_online(world, who).await.then_some(())
    })
    .await;
}

async fn leaves(world: &World, who: &Viewer) {
    eventually("their leaving", async || {
        (!is_online(world, who).await).then_some(())
    })
    .await;
}

async fn last_seen(world: &World, who: &Viewer) -> Option<Timestamp> {
    let found = world.ports.users.users(&[who.user_id]).await.unwrap();
    found[0].last_seen_at
}

/// An instance whose calls fail as the test says.
fn failing(world: &World) -> (FaultyStore, Services) {
    let faults = FaultyStore::new();
    let ports = faults.in_front_of(world.ports.clone());
    (faults, instance(ports, no_heartbeat()))
}

/// The lease has ended while the instance could not reach the backend, or stood still. The other
/// one sees it end, and waits before it tells.
#[tokio::test]
async fn who_is_renewed_a_moment_after_the_lease_has_ended_has_never_left() {
    let (world, bus) = World::scripted(64, no_heartbeat()).await;
    bus.set(Mode::Keep);
    let (faults, here) = failing(&world);
    let _socket = here.presence.connect(&world.ann);
    comes(&world, &world.ann).await;
    let _here = run(&here);
    faults.set("presence.renew", Fault::Unavailable("it is down"));
    // Somebody who fails to come makes it known that leases are not renewed.
    let _other = here.presence.connect(&world.ben);
    faults.refused(2).await;
    faults.set("presence.ended", Fault::Held);
    let look = async || {
        faults.arrived("presence.ended").await;
        faults.release("presence.ended", 1);
    };
    look().await;
    world.backend.clock.advance(policies().presence.lease);
    // The first look behind it sees the lease ended, and the third would tell of it. By then the
    // backend takes renewals again.
    look().await;
    look().await;
    faults.set("presence.renew", Fault::None);
    for _ in 0..5 {
        look().await;
    }
    assert!(is_online(&world, &world.ann).await);
    let come = |who: &Viewer| (who.user_id, PresenceStatus::Online);
    assert_eq!(told(&bus), [come(&world.ann), come(&world.ben)]);
}

#[tokio::test]
async fn who_leaves_is_told_once_by_one_of_the_instances_and_was_seen_until_the_lease_ended() {
    let (world, bus) = World::scripted(64, no_heartbeat()).await;
    bus.set(Mode::Keep);
    let dying = world.other_instance();
    for who in [&world.ann, &world.ben] {
        std::mem::forget(dying.presence.connect(who));
        comes(&world, who).await;
    }
    told(&bus);
    let end = world.backend.clock.now() + policies().presence.lease;
    let instances = [world.other_instance(), world.other_instance()];
    let _running = instances.each_ref().map(run);
    // The others look only much later.
    world.backend.clock.advance(policies().presence.lease * 3);
    for who in [&world.ann, &world.ben] {
        leaves(&world, who).await;
        assert_eq!(last_seen(&world, who).await, Some(end));
    }
    let gone = |who: &Viewer| (who.user_id, PresenceStatus::Offline);
    let mut all = Vec::new();
    eventually("word of both", async || {
        all.extend(told(&bus));
        (all.len() >= 2).then_some(())
    })
    .await;
    all.sort_by_key(|(user, _)| *user);
    let mut expected = [gone(&world.ann), gone(&world.ben)];
    expected.sort_by_key(|(user, _)| *user);
    assert_eq!(all, expected);
}

/// The instance that has seen a lease end dies over it: another one goes on.
#[tokio::test]
async fn what_an_instance_dies_over_another_one_does() {
    let (world, bus) = World::scripted(64, no_heartbeat()).await;
    bus.set(Mode::Keep);
    std::mem::forget(world.other_instance().presence.connect(&world.ann));
    comes(&world, &world.ann).await;
    told(&bus);
    let lease = policies().presence.lease;
    let end = world.backend.clock.now() + lease;
    world.backend.clock.advance(lease);
    let (faults, dying) = failing(&world);
    faults.set("presence.expire", Fault::Unavailable("it is down"));
    let running = run(&dying);
    faults.refused(1).await;
    drop(running);
    // When they were last seen is known already.
    assert_eq!(last_seen(&world, &world.ann).await, Some(end));
    assert!(is_online(&world, &world.ann).await);
    let _running = run(&world.services);
    world.backend.clock.advance(lease);
    leaves(&world, &world.ann).await;
    assert_eq!(last_seen(&world, &world.ann).await, Some(end));
}

/// A store that is down when somebody leaves: they leave when it is back, and nothing is lost.
#[tokio::test]
async fn nobody_leaves_without_a_time_though_the_store_is_down() {
    let (world, bus) = World::scripted(64, no_heartbeat()).await;
    bus.set(Mode::Keep);
    std::mem::forget(world.other_instance().presence.connect(&world.ann));
    comes(&world, &world.ann).await;
    let (faults, here) = failing(&world);
    faults.set("users.set_last_seen", Fault::Unavailable("it is down"));
    let _running = run(&here);
    let lease = policies().presence.lease;
    let end = world.backend.clock.now() + lease;
    world.backend.clock.advance(lease);
    faults.refused(1).await;
    assert!(is_online(&world, &world.ann).await);
    faults.set("users.set_last_seen", Fault::None);
    // The clock stands still, and with it the claim: it is moved until that is over.
    eventually("their leaving", async || {
        world.backend.clock.advance(Duration::from_millis(50));
        (!is_online(&world, &world.ann).await).then_some(())
    })
    .await;
    assert_eq!(last_seen(&world, &world.ann).await, Some(end));
}

/// A presence store whose leases are lost when the test says so.
struct Forgetful {
    store: Arc<dyn PresenceStore>,
    lost: Arc<Notify>,
}

impl Layer<dyn PresenceStore> for Forgetful {
    fn inner(&self) -> &Arc<dyn PresenceStore> {
        &self.store
    }
}

impl PresenceStoreLayer for Forgetful {
    async fn lost(&self) {
        self.lost.notified().await;
    }
}

#[tokio::test]
async fn leases_that_were_lost_are_back_at_once() {
    let (world, _bus) = World::scripted(64, no_heartbeat()).await;
    let lost = Arc::new(Notify::new());
    let ports = Ports {
        presence: Arc::new(Layered(Forgetful {
            store: Arc::clone(&world.ports.presence),
            lost: Arc::clone(&lost),
        })),
        ..world.ports.clone()
    };
    let faults = FaultyStore::new();
    let here = instance(faults.in_front_of(ports), no_heartbeat());
    let _socket = here.presence.connect(&world.ann);
    comes(&world, &world.ann).await;
    let _running = run(&here);
    eventually("the renewal that is due", async || {
        (faults.calls("presence.renew") >= 2).then_some(())
    })
    .await;
    let end = world.backend.clock.now() + policies().presence.lease;
    let ended = world.ports.presence.ended(end, Duration::ZERO).await;
    let taken = world.ports.presence.expire(&ended.unwrap()).await;
    assert_eq!(taken.unwrap().len(), 1);
    lost.notify_one();
    comes(&world, &world.ann).await;
}

/// The leases are lost together with the process that held them.
#[tokio::test]
async fn that_somebody_is_here_is_kept_in_the_store_from_time_to_time_and_at_the_end() {
    let (world, _bus) = World::scripted(64, no_heartbeat()).await;
    let mut policies = policies();
    policies.presence.last_seen_interval = Duration::from_millis(10);
    let here = Services::new(world.ports.clone(), policies);
    let _socket = here.presence.connect(&world.ann);
    let running = run(&here);
    for _ in 0..2 {
        world.backend.clock.advance(Duration::from_mins(1));
        let now = world.backend.clock.now();
        eventually("that Ann is here", async || {
            (last_seen(&world, &world.ann).await == Some(now)).then_some(())
        })
        .await;
    }
    assert_eq!(last_seen(&world, &world.ben).await, None);
    drop(running);

    let there = world.other_instance();
    let _socket = there.presence.connect(&world.ben);
    let running = run(&there);
    drop(running);
    let now = world.backend.clock.now();
    eventually("that Ben was here", async || {
        (last_seen(&world, &world.ben).await == Some(now)).then_some(())
    })
    .await;
}

/// Nothing of it costs a call for each user.
#[tokio::test]
async fn many_who_leave_together_cost_what_one_does() {
    let (world, bus) = World::scripted(64, no_heartbeat()).await;
    bus.set(Mode::Lose);
    let (faults, here) = failing(&world);
    let _running = run(&here);
    let mut costs = Vec::new();
    for count in [1, 200_u128] {
        let mut leases = Vec::new();
        for n in 0..count {
            let who = world.person("somebody").await;
            leases.push((who.user_id, ConnectionId(n)));
        }
        let (now, lease) = (world.backend.clock.now(), policies().presence.lease);
        let came = world.ports.presence.renew(&leases, now, lease).await;
        assert_eq!(came.unwrap().len(), leases.len());
        let calls = || {
            let names = ["users.set_last_seen", "presence.expire", "presence.online"];
            names.map(|name| faults.calls(name))
        };
        let before = calls();
        world.backend.clock.advance(lease);
        let users: Vec<_> = leases.iter().map(|(user, _)| *user).collect();
        eventually("all to have left", async || {
            let online: Result<_, PortError> = world.ports.presence.online(&users, now).await;
            let is_over = calls()[2] > before[2];
            (online.unwrap().is_empty() && is_over).then_some(())
        })
        .await;
        let after = calls();
        let cost = [0, 1, 2].map(|n| after[n] - before[n]);
        costs.push(cost);
    }
    assert_eq!(costs, [[1, 1, 1]; 2]);
}
