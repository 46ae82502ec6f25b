//! Publishes what this process's services announce, many events at a time on one connection.
//!
//! Nobody waits for Redis: an event has been told to this process's followers already, and goes
//! into a bounded queue. An event that cannot be published, because Redis is away or the queue is
//! full, is not kept, as it would be stale later. What is kept is its topic: when Redis is there
//! again the topic's followers on other instances are told that they have missed something.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use talksy_schema::error::chain;
use talksy_schema::live::Topic;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::super::backoff::Backoff;
use super::super::fault::Fault;
use super::super::servers::Servers;
use super::wire::Wire;

/// How many events wait to be sent. Beyond, they are lost and their topics remembered.
const QUEUE: usize = 8_192;
/// How many events are sent and not answered at a time.
const IN_FLIGHT: usize = 1_024;
/// How many topics with lost events are remembered. Beyond, their followers find out by their
/// heartbeat alone.
const MAX_LOST: usize = 50_000;
/// How many topics are told of lost events at a time.
const GAPS_AT_ONCE: usize = 256;

/// An event on its way.
struct Letter {
    topic: Topic,
    envelope: Vec<u8>,
}

/// What could not be published.
#[derive(Default)]
struct Lost {
    topics: Mutex<HashSet<Topic>>,
    events: AtomicU64,
    any: Notify,
}

impl Lost {
    fn add(&self, topic: Topic) {
        self.events.fetch_add(1, Ordering::Relaxed);
        self.restore(topic);
    }

    fn restore(&self, topic: Topic) {
        let mut topics = self.topics.lock();
        if topics.len() < MAX_LOST {
            topics.insert(topic);
        }
        drop(topics);
        self.any.notify_one();
    }

    fn take(&self, most: usize) -> Vec<Topic> {
        let mut topics = self.topics.lock();
        let some: Vec<_> = topics.iter().copied().take(most).collect();
        for topic in &some {
            topics.remove(topic);
        }
        some
    }

    fn is_empty(&self) -> bool {
        self.topics.lock().is_empty()
    }
}

/// Where events are put.
pub(super) struct Outbox {
    queue: mpsc::Sender<Letter>,
    lost: Arc<Lost>,
}

impl Outbox {
    /// Takes an event.
    pub(super) fn put(&self, topic: Topic, envelope: Vec<u8>) -> Result<(), Fault> {
        match self.queue.try_send(Letter { topic, envelope }) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(letter)) => {
                self.lost.add(letter.topic);
                Ok(())
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Fault::Closed),
        }
    }
}

/// The queue's other end.
pub(super) struct Publisher {
    queue: mpsc::Receiver<Letter>,
    lost: Arc<Lost>,
    sender: Sender,
}

/// What came of sending something about a topic.
struct Sent {
    topic: Topic,
    is_gap: bool,
    result: Result<(), Fault>,
}

#[derive(Clone)]
struct Sender {
    servers: Arc<Servers>,
    wire: Arc<Wire>,
}

impl Sender {
    async fn send(self, topic: Topic, envelope: Option<Vec<u8>>) -> Sent {
        let is_gap = envelope.is_none();
        let result = match envelope.map_or_else(|| self.wire.gap(), Ok) {
            Ok(envelope) => self.publish(topic, &envelope).await,
            Err(_) => Ok(()),
        };
        Sent {
            topic,
            is_gap,
            result,
        }
    }

    async fn publish(&self, topic: Topic, envelope: &[u8]) -> Result<(), Fault> {
        let channel = self.wire.channel(topic);
        let name = if self.servers.is_cluster() {
            "SPUBLISH"
        } else {
            "PUBLISH"
        };
        let mut publish = redis::cmd(name);
        publish.arg(&channel).arg(envelope);
        self.servers.query(&channel, &publish).await.map(|_| ())
    }
}

/// A queue and its other end.
pub(super) fn publisher(servers: Arc<Servers>, wire: Arc<Wire>) -> (Outbox, Publisher) {
    let (sender, queue) = mpsc::channel(QUEUE);
    let lost = Arc::new(Lost::default());
    let outbox = Outbox {
        queue: sender,
        lost: Arc::clone(&lost),
    };
    let sender = Sender { servers, wire };
    (
        outbox,
        Publisher {
            queue,
            lost,
            sender,
        },
    )
}

impl Publisher {
    /// Publishes until `stop`, then what waits still.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut in_flight = FuturesUnordered::new();
        let mut outage = Outage::default();
        let mut open = true;
        while open || !in_flight.is_empty() {
            tokio::select! {
                Some(sent) = in_flight.next(), if !in_flight.is_empty() => {
                    self.note(&mut outage, sent);
                }
                letter = self.queue.recv(), if open && in_flight.len() < IN_FLIGHT => {
                    match letter {
                        Some(Letter { topic, envelope }) => {
                            in_flight.push(self.sender.clone().send(topic, Some(envelope)));
                        }
                        None => open = false,
                    }
                }
                // Something was lost because the queue was full.
                () = self.lost.any.notified() => {}
                () = sleep_until(outage.try_at), if open && !self.lost.is_empty() => {
                    // Not again before it is known how this went.
                    outage.try_at += Duration::from_secs(1);
                    for topic in self.lost.take(GAPS_AT_ONCE) {
                        in_flight.push(self.sender.clone().send(topic, None));
                    }
                }
                () = stop.cancelled(), if !self.queue.is_closed() => self.queue.close(),
            }
        }
    }

    fn note(&self, outage: &mut Outage, sent: Sent) {
        match sent.result {
            Ok(()) if !sent.is_gap => {}
            Ok(()) => {
                outage.try_at = Instant::now();
                if self.lost.is_empty() && std::mem::take(&mut outage.told) {
                    outage.backoff.reset();
                    let events = self.lost.events.swap(0, Ordering::Relaxed);
                    tracing::info!(
                        events,
                        "events are published again; followers were told of those lost"
                    );
                }
            }
            Err(fault) => {
                if !std::mem::replace(&mut outage.told, true) {
                    tracing::warn!(error = %chain(&fault), "events cannot be published");
                }
                if sent.is_gap {
                    self.lost.restore(sent.topic);
                } else {
                    self.lost.add(sent.topic);
                }
                // Of many failures at once, the first counts.
                if outage.try_at <= Instant::now() || sent.is_gap {
                    outage.try_at = Instant::now() + outage.backoff.next();
                }
            }
        }
    }
}

/// How long Redis has been away.
struct Outage {
    told: bool,
    try_at: Instant,
    backoff: Backoff,
}

impl Default for Outage {
    fn default() -> Self {
        Self {
            told: false,
            try_at: Instant::now(),
            backoff: Backoff::default(),
        }
    }
}
