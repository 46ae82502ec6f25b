//! Buses that behave as badly as their port allows: to each instance apart they lose, double, delay and
//! reorder events, and now and then say that they were interrupted. A seed makes it repeatable.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use talksy_domain::error::PortError;
use talksy_domain::events::{Bus, Event, Hub, Interest, Published, Receiver, Topic};

/// How badly, each from 0 (never) to 100 (always), for each event and instance.
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

/// What instances reach each other by.
pub struct Network {
    faults: Faults,
    mailbox: usize,
    state: Mutex<State>,
}

struct State {
    random: SmallRng,
    ends: Vec<End>,
}

/// One instance's end.
struct End {
    hub: Arc<Hub>,
    held: Vec<(Topic, Arc<Published>)>,
}

impl Network {
    /// A network of so many instances, whose feeds have room for `mailbox` events.
    pub fn new(faults: Faults, seed: u64, mailbox: usize, instances: usize) -> Arc<Self> {
        let end = || End {
            hub: Hub::new(mailbox),
            held: Vec::new(),
        };
        let state = State {
            random: SmallRng::seed_from_u64(seed),
            ends: (0..instances).map(|_| end()).collect(),
        };
        Arc::new(Self {
            faults,
            mailbox,
            state: Mutex::new(state),
        })
    }

    /// The bus of an instance that has just been started.
    pub fn join(self: &Arc<Self>, instance: usize) -> Arc<dyn Bus> {
        let hub = Hub::new(self.mailbox);
        self.state.lock().ends[instance] = End {
            hub: Arc::clone(&hub),
            held: Vec::new(),
        };
        Arc::new(NetworkBus {
            network: Arc::clone(self),
            hub,
        })
    }

    fn publish(&self, topic: Topic, event: &Arc<Published>) {
        let State { random, ends } = &mut *self.state.lock();
        for end in ends {
            end.publish(self.faults, random, topic, event);
        }
    }
}

impl End {
    fn publish(
        &mut self,
        faults: Faults,
        random: &mut SmallRng,
        topic: Topic,
        event: &Arc<Published>,
    ) {
        let percents = [faults.lose, faults.double, faults.hold, faults.interrupt];
        let [lost, doubled, held, interrupted] =
            percents.map(|percent| random.random_range(0..100) < percent);
        if interrupted {
            self.held.clear();
            self.hub.interrupt_all();
        }
        if lost {
            return;
        }
        if held {
            self.held.push((topic, Arc::clone(event)));
            return;
        }
        for _ in 0..=u8::from(doubled) {
            self.hub.deliver(topic, event);
        }
        // Of what was held back, some comes now: behind what was sent after it.
        if !self.held.is_empty() && random.random_range(0..3) == 0 {
            let which = random.random_range(0..self.held.len());
            let (topic, event) = self.held.swap_remove(which);
            self.hub.deliver(topic, &event);
        }
    }
}

/// The bad bus of a single instance, whose receivers hold `mailbox` events.
pub fn bad_bus(faults: Faults, seed: u64, mailbox: usize) -> Arc<dyn Bus> {
    Network::new(faults, seed, mailbox, 1).join(0)
}

struct NetworkBus {
    network: Arc<Network>,
    hub: Arc<Hub>,
}

#[async_trait]
impl Bus for NetworkBus {
    async fn publish(&self, topic: Topic, event: Event) -> Result<(), PortError> {
        self.network.publish(topic, &Published::new(event));
        Ok(())
    }

    async fn subscribe(&self, interest: Interest, topics: &[Topic]) -> Result<Receiver, PortError> {
        Ok(self.hub.follower(interest, topics))
    }

    async fn follow(&self, receiver: &mut Receiver, topic: Topic) -> Result<(), PortError> {
        receiver.follow(topic);
        Ok(())
    }

    async fn interrupt(&self, topic: Topic) -> Result<(), PortError> {
        for end in &self.network.state.lock().ends {
            end.hub.interrupt(topic);
        }
        Ok(())
    }
}
