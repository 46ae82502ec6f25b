//! The bus over Redis' publish and subscribe.
//!
//! An event reaches the publisher's own followers at once, whatever becomes of Redis, and other
//! instances by one message each, however many follow it there: [`Hub`] spreads it. Redis loses
//! what it cannot deliver, and so does this bus; it says so, to whoever may have missed something.
//!
//! | file | what |
//! |---|---|
//! | `wire` | channels and envelopes |
//! | `channels` | what is followed here, and whether Redis has confirmed it |
//! | `subscriber` | the task that keeps it so |
//! | `link` | one of its connections |
//! | `publisher` | the task that sends |

mod channels;
mod link;
mod publisher;
mod subscriber;
pub(super) mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use talksy_domain::error::PortError;
use talksy_domain::events::{Bus, Event, Hub, Interest, Published, Receiver, Topic};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::channels::{Channels, Unfollowed};
use self::link::Shared;
use self::publisher::{PublishQueue, Publisher, publisher};
use self::subscriber::Subscriber;
use self::wire::Wire;
use super::RedisOptions;
use super::fault::Fault;
use super::servers::Servers;

/// The name under which failures are reported.
const BACKEND: &str = "bus";

/// [`Bus`] for all instances that share a Redis.
pub(super) struct RedisBus {
    hub: Arc<Hub>,
    channels: Arc<Channels>,
    wire: Arc<Wire>,
    publish_queue: PublishQueue,
    servers: Arc<Servers>,
    unknown: Arc<AtomicU64>,
    /// The tasks run as long as somebody has the bus.
    _running: Arc<DropGuard>,
}

/// The tasks behind a bus.
pub(super) struct BusTasks {
    subscriber: Subscriber,
    publisher: Publisher,
}

impl BusTasks {
    /// Runs both until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        tokio::join!(self.subscriber.run(stop.clone()), self.publisher.run(stop),);
    }
}

impl RedisBus {
    /// A bus, and its tasks. `away` is told when Redis was away; `running` stops the tasks when
    /// nobody holds it any more.
    pub(super) fn new(
        servers: Arc<Servers>,
        wire: Wire,
        options: &RedisOptions,
        away: Arc<Notify>,
        running: Arc<DropGuard>,
    ) -> (Self, BusTasks) {
        let unfollowed = Arc::new(Unfollowed::default());
        let hub = Hub::watched(options.mailbox, Arc::clone(&unfollowed) as _);
        let channels = Channels::new(Arc::clone(&hub), Arc::clone(&unfollowed));
        let wire = Arc::new(wire);
        let unknown = Arc::new(AtomicU64::new(0));
        let (publish_queue, publisher) = publisher(Arc::clone(&servers), Arc::clone(&wire));
        let shared = Shared {
            servers: Arc::clone(&servers),
            hub: Arc::clone(&hub),
            wire: Arc::clone(&wire),
            channels: Arc::clone(&channels),
            unknown: Arc::clone(&unknown),
            away,
            is_interrupted: AtomicBool::new(false),
        };
        let subscriber = Subscriber {
            shared: Arc::new(shared),
            unfollowed,
            linger: options.linger,
        };
        let bus = Self {
            hub,
            channels,
            wire,
            publish_queue,
            servers,
            unknown,
            _running: running,
        };
        let tasks = BusTasks {
            subscriber,
            publisher,
        };
        (bus, tasks)
    }

    /// How many events came that this version does not know.
    pub(super) fn unknown_events(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }

    /// Follows topics here first, so that nothing is missed from Redis' confirmation on.
    async fn follow_all(&self, receiver: &mut Receiver, topics: &[Topic]) -> Result<(), PortError> {
        let mut confirmations = Vec::new();
        for topic in topics {
            receiver.follow(*topic);
            confirmations.extend(self.channels.follow(*topic));
        }
        let confirmations = confirmations
            .into_iter()
            .map(|confirmation| async { confirmation.await.unwrap_or(Err(Fault::Closed)) });
        let all = tokio::time::timeout(self.servers.limit(), try_join_all(confirmations));
        match all.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(fault)) => Err(fault.port(BACKEND)),
            Err(_elapsed) => Err(Fault::TimedOut.port(BACKEND)),
        }
    }
}

#[async_trait]
impl Bus for RedisBus {
    async fn publish(&self, topic: Topic, event: Event) -> Result<(), PortError> {
        let trace = talksy_telemetry::traceparent();
        let envelope = self.wire.event(&event, trace.as_deref());
        self.hub.deliver(topic, &Published::traced(event, trace));
        let envelope = envelope.map_err(|error| PortError::corrupt("an event", error))?;
        self.publish_queue
            .put(topic, envelope)
            .map_err(|fault| fault.port(BACKEND))
    }

    async fn subscribe(&self, interest: Interest, topics: &[Topic]) -> Result<Receiver, PortError> {
        let mut receiver = self.hub.receiver(interest);
        self.follow_all(&mut receiver, topics).await?;
        Ok(receiver)
    }

    async fn follow(&self, receiver: &mut Receiver, topic: Topic) -> Result<(), PortError> {
        if receiver.follows(topic) {
            return Ok(());
        }
        let followed = self.follow_all(receiver, &[topic]).await;
        if followed.is_err() {
            receiver.unfollow(topic);
        }
        followed
    }
    async fn interrupt(&self, topic: Topic) -> Result<(), PortError> {
        self.hub.interrupt(topic);
        self.publish_queue.announce_loss(topic);
        Ok(())
    }
}
