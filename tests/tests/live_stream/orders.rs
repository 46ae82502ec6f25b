//! Whatever the order in which events arrive, and if most do not: the last one is enough.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use talksy_domain::events::{Event, Topic};
use talksy_domain::seq::Seq;

use super::property::{check, runtime};
use super::script::{Mode, ScriptBus};
use super::world::{Backend, World, message, next, no_heartbeat};

/// What happens to a subscriber who has no heartbeat.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The event of the message at this part of a hundred arrives.
    Arrives(usize),
    Interrupted,
    /// The subscriber gets this often the chance to do something.
    Works(u8),
}

/// A mailbox's size, and what happens; somewhere in it the last event arrives.
fn steps() -> impl Strategy<Value = (usize, Vec<Step>)> {
    let step = prop_oneof![
        8 => (0..100_usize).prop_map(Step::Arrives),
        1 => Just(Step::Interrupted),
        3 => (1..50_u8).prop_map(Step::Works),
    ];
    let with_the_last =
        (vec(step, 0..12), any::<prop::sample::Index>()).prop_map(|(mut steps, at)| {
            steps.insert(at.index(steps.len() + 1), Step::Arrives(99));
            steps
        });
    (1..=16_usize, with_the_last)
}

#[test]
fn without_a_heartbeat_the_last_event_brings_all_before_it_whenever_it_arrives() {
    const MESSAGES: usize = 6;
    let runtime = runtime();
    let backend = runtime.block_on(Backend::open());
    // One chat for all cases, whose messages are hidden while a feed is opened.
    let bus = ScriptBus::new(1);
    let setup = World::new(Arc::clone(&backend), Arc::clone(&bus) as _, no_heartbeat());
    let world = runtime.block_on(setup);
    bus.set(Mode::Keep);
    runtime.block_on(world.send_many(MESSAGES));
    let mut events: Vec<(Topic, Event)> = bus.kept();
    events.sort_by_key(|(_, event)| match event {
        Event::MessageAdded { message, .. } => message.seq,
        _ => 0,
    });
    let held = runtime.block_on(world.held());

    check(1000, &steps(), |(mailbox, steps)| {
        runtime.block_on(async {
            let bus = ScriptBus::new(mailbox);
            let world = world.on_another_bus(Arc::clone(&bus) as _);
            world.store.show_up_to(world.chat, 0);
            let mut feed = world.follow().await;
            world.store.show_up_to(world.chat, Seq::MAX);
            let listen = async {
                let mut view = Vec::new();
                while view.len() < MESSAGES {
                    view.push(message(&next(&mut feed).await));
                }
                view
            };
            let happen = async {
                for step in steps {
                    match step {
                        Step::Arrives(part) => {
                            let (topic, event) = events[part * MESSAGES / 100].clone();
                            bus.deliver(topic, event);
                        }
                        Step::Interrupted => bus.interrupt(),
                        Step::Works(times) => {
                            for _ in 0..times {
                                tokio::task::yield_now().await;
                            }
                        }
                    }
                }
            };
            let (view, ()) = tokio::join!(listen, happen);
            assert_eq!(view, held);
        });
    });
}
