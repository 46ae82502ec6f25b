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
use talksy_domain::error::chain;
use talksy_domain::events::Topic;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::wire::Wire;
use crate::backoff::reconnect_backoff;
use crate::fault::Fault;
use crate::servers::Servers;
use talksy_domain::backoff::Backoff;

/// How many events wait to be sent. Beyond, they are lost and their topics remembered.
const QUEUE: usize = 8_192;
/// How many events are sent in one step.
const AT_ONCE: usize = 256;
/// How many steps go on at the same time in a Cluster, where a node that is away must not hold up
/// what others carry. One server gets one step at a time: its events keep their order.
const STEPS: usize = 8;
/// How many topics with lost events are remembered. Beyond, their followers find out by their
/// heartbeat alone.
const MAX_LOST: usize = 50_000;
/// What is to be published on a topic.
struct Outgoing {
    topic: Topic,
    /// The event's envelope; `None` announces that events were lost.
    envelope: Option<Vec<u8>>,
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

    /// Takes out some topics, and returns what announces their loss.
    fn take(&self, most: usize) -> Vec<Outgoing> {
        let mut topics = self.topics.lock();
        let some: Vec<_> = topics.iter().copied().take(most).collect();
        for topic in &some {
            topics.remove(topic);
        }
        some.into_iter()
            .map(|topic| Outgoing {
                topic,
                envelope: None,
            })
            .collect()
    }

    fn is_empty(&self) -> bool {
        self.topics.lock().is_empty()
    }
}

/// The bounded queue of what waits to be published.
pub(super) struct PublishQueue {
    queue: mpsc::Sender<Outgoing>,
    lost: Arc<Lost>,
}

impl PublishQueue {
    /// Queues an event; one that finds the queue full is lost and its topic remembered.
    pub(super) fn put(&self, topic: Topic, envelope: Vec<u8>) -> Result<(), Fault> {
        let envelope = Some(envelope);
        match self.queue.try_send(Outgoing { topic, envelope }) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(outgoing)) => {
                self.lost.add(outgoing.topic);
                Ok(())
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Fault::Closed),
        }
    }

    /// Has the topic's followers on other instances told that they have missed something.
    pub(super) fn announce_loss(&self, topic: Topic) {
        self.lost.add(topic);
    }
}

/// The queue's other end.
pub(super) struct Publisher {
    queue: mpsc::Receiver<Outgoing>,
    lost: Arc<Lost>,
    sender: Sender,
}

/// The result for each topic, and whether it announced lost events.
type Sent = Vec<(Topic, bool, Result<(), Fault>)>;

#[derive(Clone)]
struct Sender {
    servers: Arc<Servers>,
    wire: Arc<Wire>,
}

impl Sender {
    async fn send(self, batch: Vec<Outgoing>) -> Sent {
        let name = if self.servers.is_cluster() {
            "SPUBLISH"
        } else {
            "PUBLISH"
        };
        let mut about = Vec::with_capacity(batch.len());
        let mut commands = Vec::with_capacity(batch.len());
        for Outgoing { topic, envelope } in batch {
            let is_gap = envelope.is_none();
            // What cannot be written is no event that anybody could read.
            let Ok(envelope) = envelope.map_or_else(|| self.wire.gap(), Ok) else {
                continue;
            };
            let channel = self.wire.channel(topic);
            let mut publish = redis::cmd(name);
            publish.arg(&channel).arg(envelope);
            about.push((topic, is_gap));
            commands.push((channel, publish));
        }
        let answers = self.servers.run_all(&commands).await;
        let sent = about.into_iter().zip(answers);
        sent.map(|((topic, is_gap), answer)| (topic, is_gap, answer.map(|_| ())))
            .collect()
    }
}

/// A queue and its other end.
pub(super) fn publisher(servers: Arc<Servers>, wire: Arc<Wire>) -> (PublishQueue, Publisher) {
    let (sender, queue) = mpsc::channel(QUEUE);
    let lost = Arc::new(Lost::default());
    let publish_queue = PublishQueue {
        queue: sender,
        lost: Arc::clone(&lost),
    };
    let sender = Sender { servers, wire };
    (
        publish_queue,
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
        let steps = if self.sender.servers.is_cluster() {
            STEPS
        } else {
            1
        };
        let mut in_flight = FuturesUnordered::new();
        let mut outage = Outage::default();
        let mut batch = Vec::with_capacity(AT_ONCE);
        let mut open = true;
        while open || !in_flight.is_empty() {
            let free = open && in_flight.len() < steps;
            tokio::select! {
                Some(sent) = in_flight.next(), if !in_flight.is_empty() => {
                    self.note(&mut outage, sent);
                }
                count = self.queue.recv_many(&mut batch, AT_ONCE), if free => {
                    open = count > 0;
                    in_flight.push(self.sender.clone().send(std::mem::take(&mut batch)));
                }
                () = sleep_until(outage.try_at), if free && !self.lost.is_empty() => {
                    // Not again before it is known how this went.
                    outage.try_at += Duration::from_secs(1);
                    in_flight.push(self.sender.clone().send(self.lost.take(AT_ONCE)));
                }
                // Something was lost because the queue was full.
                () = self.lost.any.notified() => {}
                () = stop.cancelled(), if !self.queue.is_closed() => self.queue.close(),
            }
        }
    }

    fn note(&self, outage: &mut Outage, sent: Sent) {
        let mut failure = None;
        let mut told_gaps = false;
        for (topic, is_gap, result) in sent {
            match result {
                Ok(()) => told_gaps |= is_gap,
                Err(fault) => {
                    if is_gap {
                        self.lost.restore(topic);
                    } else {
                        self.lost.add(topic);
                    }
                    failure = Some(fault);
                }
            }
        }
        if let Some(fault) = failure {
            if !std::mem::replace(&mut outage.told, true) {
                tracing::warn!(error = %chain(&fault), "events cannot be published");
            }
            outage.try_at = Instant::now() + outage.backoff.next_wait();
        } else if told_gaps {
            outage.try_at = Instant::now();
            outage.backoff.reset();
            if self.lost.is_empty() && std::mem::take(&mut outage.told) {
                let events = self.lost.events.swap(0, Ordering::Relaxed);
                tracing::info!(
                    events,
                    "events are published again; followers were told of those that were lost"
                );
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
            backoff: reconnect_backoff(),
        }
    }
}
