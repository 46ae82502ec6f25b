//! A bus that behaves as badly as its port allows: it loses, doubles, delays and reorders events,
//! and now and then says that it was interrupted. A seed makes it repeatable.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use talksy_domain::error::PortError;
use talksy_domain::events::{Bus, Event, Hub, Interest, Published, Receiver, Topic};

/// How badly, each from 0 (never) to 100 (always), per event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Events that never arrive.
    pub lose: u8,
    /// Events that arrive twice.
    pub double: u8,
    /// Events that are held back, to arrive behind later ones.
    pub hold: u8,
    /// Announced interruptions, which lose what is held back.
    pub interrupt: u8,
}

/// The bad bus.
pub struct ChaosBus {
    hub: Arc<Hub>,
    faults: Faults,
    state: Mutex<State>,
}

struct State {
    random: SmallRng,
    held: Vec<(Topic, Arc<Published>)>,
}

impl ChaosBus {
    /// A bus over a hub of its own, whose receivers hold `mailbox` events.
    pub fn new(faults: Faults, seed: u64, mailbox: usize) -> Self {
        let state = State {
            random: SmallRng::seed_from_u64(seed),
            held: Vec::new(),
        };
        Self {
            hub: Hub::new(mailbox),
            faults,
            state: Mutex::new(state),
        }
    }
}

#[async_trait]
impl Bus for ChaosBus {
    async fn publish(&self, topic: Topic, event: Event) -> Result<(), PortError> {
        let event = Published::new(event);
        let mut state = self.state.lock();
        let faults = self.faults;
        let [lost, doubled, held, interrupted] =
            [faults.lose, faults.double, faults.hold, faults.interrupt]
                .map(|percent| state.random.random_range(0..100) < percent);
        // Of all topics, or of the event's alone.
        if interrupted && state.random.random_range(0..2) == 0 {
            state.held.clear();
            self.hub.interrupt_all();
        } else if interrupted {
            state.held.retain(|(held, _)| *held != topic);
            self.hub.interrupt(topic);
        }
        if lost {
            return Ok(());
        }
        if held {
            state.held.push((topic, event));
            return Ok(());
        }
        for _ in 0..=u8::from(doubled) {
            self.hub.deliver(topic, &event);
        }
        // Of what was held back, some comes now: behind what was sent after it.
        if !state.held.is_empty() && state.random.random_range(0..3) == 0 {
            let count = state.held.len();
            let which = state.random.random_range(0..count);
            let (topic, event) = state.held.swap_remove(which);
            self.hub.deliver(topic, &event);
        }
        Ok(())
    }

    async fn subscribe(&self, interest: Interest, topics: &[Topic]) -> Result<Receiver, PortError> {
        let mut receiver = self.hub.receiver(interest);
        for topic in topics {
            receiver.follow(*topic);
        }
        Ok(receiver)
    }

    async fn follow(&self, receiver: &mut Receiver, topic: Topic) -> Result<(), PortError> {
        receiver.follow(topic);
        Ok(())
    }
    async fn interrupt(&self, topic: Topic) -> Result<(), PortError> {
        self.hub.interrupt(topic);
        Ok(())
    }
}
