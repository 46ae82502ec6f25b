//! The way from commits to the bus: stores put events in a queue, one task of the process
//! publishes them in its order.
//!
//! So no commit and no request waits for the fan-out, what was committed together is published
//! together, and an event is published also where nobody waits for the commit any more. What the
//! queue cannot hold is not kept, as its followers can read it: they are told that they have missed
//! something.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::Instrument as _;

use super::announcement::{Announcement, EventSink};
use super::bus::Bus;
use super::event::Topic;
use crate::error::chain;
use crate::metrics::EVENTS_DROPPED;

/// How many events wait at most: as many as writes may wait for the embedded store, which commits
/// faster than a thousand followers can be told.
const CAPACITY: usize = 8_192;
/// How many topics are remembered of which events were dropped. Beyond, their followers find out by
/// their heartbeat alone.
const MAX_LOST: usize = 50_000;
/// How many events are published before other tasks have their turn.
const AT_ONCE: usize = 64;
/// How long publishing one event may take. A bus only hands it on, so that this is a fault, and
/// must not hold up the others for good.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

/// The queue's end for stores. Clones share the queue.
#[derive(Clone)]
pub struct EventQueue {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    ready: Notify,
    capacity: usize,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Announcement>,
    /// Topics of which events were dropped.
    lost: HashSet<Topic>,
    is_closed: bool,
}

impl fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueue").finish_non_exhaustive()
    }
}

impl EventQueue {
    /// A queue and its other end.
    pub fn new() -> (Self, Dispatcher) {
        Self::of(CAPACITY)
    }

    fn of(capacity: usize) -> (Self, Dispatcher) {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            ready: Notify::new(),
            capacity,
        });
        let dispatcher = Dispatcher {
            shared: Arc::clone(&shared),
        };
        (Self { shared }, dispatcher)
    }

    /// Takes nothing more. The dispatcher publishes what waits, and ends.
    pub fn close(&self) {
        self.shared.state.lock().is_closed = true;
        self.shared.ready.notify_one();
    }
}

impl EventSink for EventQueue {
    fn put(&self, announcements: Vec<Announcement>) {
        if announcements.is_empty() {
            return;
        }
        let mut dropped = 0;
        {
            let mut state = self.shared.state.lock();
            for announcement in announcements {
                if state.waiting.len() < self.shared.capacity && !state.is_closed {
                    state.waiting.push_back(announcement);
                    continue;
                }
                dropped += 1;
                if state.lost.len() < MAX_LOST {
                    state.lost.insert(announcement.topic);
                }
            }
        }
        if dropped > 0 {
            counter!(EVENTS_DROPPED).increment(dropped);
        }
        self.shared.ready.notify_one();
    }
}

/// The queue's other end.
pub struct Dispatcher {
    shared: Arc<Shared>,
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").finish_non_exhaustive()
    }
}

impl Dispatcher {
    /// Publishes on the bus until the queue is closed and empty.
    pub async fn run(self, bus: Arc<dyn Bus>) {
        loop {
            let (events, lost, is_closed) = self.take();
            if events.is_empty() && lost.is_empty() {
                if is_closed {
                    return;
                }
                self.shared.ready.notified().await;
                continue;
            }
            for announcement in events {
                publish(&*bus, announcement).await;
            }
            for topic in lost {
                interrupt(&*bus, topic).await;
            }
            tokio::task::yield_now().await;
        }
    }

    fn take(&self) -> (Vec<Announcement>, HashSet<Topic>, bool) {
        let mut state = self.shared.state.lock();
        let count = state.waiting.len().min(AT_ONCE);
        let events = state.waiting.drain(..count).collect();
        if state.waiting.is_empty() && state.waiting.capacity() > 16 * AT_ONCE {
            state.waiting = VecDeque::new();
        }
        (events, std::mem::take(&mut state.lost), state.is_closed)
    }
}

/// Publishes one event. What could not be published its followers here are told to read.
async fn publish(bus: &dyn Bus, announcement: Announcement) {
    let Announcement { topic, event, span } = announcement;
    let publishing = bus.publish(topic, event).instrument(span);
    match tokio::time::timeout(PUBLISH_TIMEOUT, publishing).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => tracing::warn!(error = %chain(&error), "an event was not published"),
        Err(_elapsed) => tracing::warn!("an event was not published in time"),
    }
    interrupt(bus, topic).await;
}

/// Where not even this is possible, followers find out by their heartbeat.
async fn interrupt(bus: &dyn Bus, topic: Topic) {
    let telling = tokio::time::timeout(PUBLISH_TIMEOUT, bus.interrupt(topic));
    if !matches!(telling.await, Ok(Ok(()))) {
        tracing::debug!("followers were not told that they have missed something");
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::error::PortError;
    use crate::events::event::{Event, Interest};
    use crate::events::hub::{Hub, Receiver, Signal};
    use crate::events::local_bus::LocalBus;
    use crate::id::{self, UserId};

    fn user(n: u8) -> UserId {
        id::from_bytes([n; 16])
    }

    /// Takes everything of three users.
    async fn receiver(bus: &LocalBus) -> Receiver {
        let topics: Vec<_> = (1..=3).map(|n| Topic::User(user(n))).collect();
        bus.subscribe(Interest::PROFILE.and(Interest::MEMBERSHIP), &topics)
            .await
            .unwrap()
    }

    fn joined(n: u8, chat: u8) -> Announcement {
        Announcement::joined(user(n), id::from_bytes([chat; 16]))
    }

    fn event(signal: &Signal) -> Event {
        let Signal::Event(published) = signal else {
            panic!("interrupted: {signal:?}");
        };
        published.event.clone()
    }

    #[tokio::test]
    async fn events_are_published_in_their_order_and_to_the_last_after_the_close() {
        let (queue, dispatcher) = EventQueue::new();
        let bus = LocalBus::new(Hub::new(1_000));
        let mut receiver = receiver(&bus).await;
        for chat in 0..200 {
            queue.put(vec![joined(1, chat)]);
        }
        queue.close();
        dispatcher.run(Arc::new(bus)).await;
        for chat in 0..200 {
            assert_eq!(event(&receiver.recv().await), joined(1, chat).event);
        }
        assert!(receiver.try_recv().is_none());
    }

    #[tokio::test]
    async fn what_the_queue_cannot_hold_its_followers_are_told_to_read() {
        let (queue, dispatcher) = EventQueue::of(2);
        let bus = LocalBus::new(Hub::new(1_000));
        let topic = [Topic::User(user(2))];
        let mut missing = bus.subscribe(Interest::MEMBERSHIP, &topic).await.unwrap();
        let topic = [Topic::User(user(1))];
        let mut whole = bus.subscribe(Interest::MEMBERSHIP, &topic).await.unwrap();
        queue.put(vec![joined(1, 1), joined(1, 2), joined(2, 3), joined(2, 4)]);
        queue.close();
        queue.put(vec![joined(2, 5)]);
        dispatcher.run(Arc::new(bus)).await;
        assert!(!matches!(missing.recv().await, Signal::Event(_)));
        assert!(missing.try_recv().is_none());
        assert_eq!(event(&whole.recv().await), joined(1, 1).event);
        assert_eq!(event(&whole.recv().await), joined(1, 2).event);
        assert!(whole.try_recv().is_none());
    }

    /// A bus that publishes nothing of the second user, and nothing ever of the third.
    struct Bad(LocalBus);

    #[async_trait]
    impl Bus for Bad {
        async fn publish(&self, topic: Topic, event: Event) -> Result<(), PortError> {
            if topic == Topic::User(user(3)) {
                std::future::pending::<()>().await;
            }
            if topic == Topic::User(user(2)) {
                return Err(PortError::unavailable("bus", "it is down"));
            }
            self.0.publish(topic, event).await
        }
        async fn subscribe(
            &self,
            interest: Interest,
            topics: &[Topic],
        ) -> Result<Receiver, PortError> {
            self.0.subscribe(interest, topics).await
        }
        async fn follow(&self, receiver: &mut Receiver, topic: Topic) -> Result<(), PortError> {
            self.0.follow(receiver, topic).await
        }
        async fn interrupt(&self, topic: Topic) -> Result<(), PortError> {
            self.0.interrupt(topic).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bus_that_fails_or_hangs_holds_up_nothing_behind_it() {
        let (queue, dispatcher) = EventQueue::new();
        let bus = LocalBus::new(Hub::new(1_000));
        let mut receiver = receiver(&bus).await;
        queue.put(vec![joined(2, 1)]);
        queue.put(vec![joined(3, 2)]);
        queue.put(vec![joined(1, 3)]);
        queue.close();
        dispatcher.run(Arc::new(Bad(bus))).await;
        let mut signal = receiver.recv().await;
        assert!(!matches!(signal, Signal::Event(_)));
        while !matches!(signal, Signal::Event(_)) {
            signal = receiver.recv().await;
        }
        assert_eq!(event(&signal), joined(1, 3).event);
        assert!(receiver.try_recv().is_none());
    }
}
