//! A bus between instances that behaves as badly as its port allows: to each instance apart it loses,
//! doubles, delays and reorders events, and now and then says that it was interrupted.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use talksy_domain::error::PortError;
use talksy_domain::events::{Bus, Event, Hub, Interest, Published, Receiver, Topic};

use super::case::Faults;

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
    /// A network of so many instances, whose feeds have room for so many events.
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
        let faults = self.faults;
        for end in ends {
            let percents = [faults.lose, faults.double, faults.hold, faults.interrupt];
            let [lost, doubled, held, interrupted] =
                percents.map(|percent| random.random_range(0..100) < percent);
            // Of all topics, or of the event's alone.
            if interrupted && random.random_range(0..2) == 0 {
                end.held.clear();
                end.hub.interrupt_all();
            } else if interrupted {
                end.held.retain(|(held, _)| *held != topic);
                end.hub.interrupt(topic);
            }
            if lost {
                continue;
            }
            if held {
                end.held.push((topic, Arc::clone(event)));
                continue;
            }
            for _ in 0..=u8::from(doubled) {
                end.hub.deliver(topic, event);
            }
            // Of what was held back, some comes now: behind what was sent after it.
            if !end.held.is_empty() && random.random_range(0..3) == 0 {
                let which = random.random_range(0..end.held.len());
                let (topic, event) = end.held.swap_remove(which);
                end.hub.deliver(topic, &event);
            }
        }
    }
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
        for end in &self.network.state.lock().ends {
            end.hub.interrupt(topic);
        }
        Ok(())
    }
}
