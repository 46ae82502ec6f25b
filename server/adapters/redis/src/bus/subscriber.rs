//! The task that keeps this process subscribed to what it follows: one connection to each server
//! that carries channels, which is one, but for a Cluster.
//!
//! When a connection is lost, falls silent, or a Cluster moves slots, everything is set up anew
//! and then every receiver is told that it may have missed something. Simple rather than
//! selective: what that costs is one look at the heads of the chats that are followed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use redis::aio::{AsyncPushSender, MultiplexedConnection, SendError};
use redis::{PushInfo, PushKind, ServerErrorKind, Value};
use talksy_domain::error::chain;
use talksy_domain::events::{Hub, Published, Topic};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, sleep};
use tokio_util::sync::CancellationToken;

use super::channels::{Channels, Unfollowed};
use super::wire::{Decoded, Wire};
use crate::address::Address;
use crate::backoff::reconnect_backoff;
use crate::fault::Fault;
use crate::map::Map;
use crate::servers::Servers;

/// How often a silent connection is asked whether it still is one.
const PING_EVERY: Duration = Duration::from_secs(2);
/// How many topics are asked for in one step.
const AT_ONCE: usize = 512;
/// A connection that held for so long was a good one.
const SETTLED: Duration = Duration::from_secs(5);

/// Takes what Redis pushes, in the connection's own task: what is pushed goes to the bounded
/// mailboxes of the hub, and nowhere waits. A process that cannot keep up leaves it to TCP: Redis
/// closes a connection that is too far behind (`client-output-buffer-limit pubsub`), and that is
/// an interruption.
struct Delivery {
    hub: Arc<Hub>,
    wire: Arc<Wire>,
    channels: Arc<Channels>,
    unknown: Arc<AtomicU64>,
    broken: Arc<Notify>,
}

impl Delivery {
    fn deliver(&self, topic: Topic, envelope: &[u8]) {
        match self.wire.read(envelope) {
            Decoded::Event(event, trace) => {
                self.hub.deliver(topic, &Published::traced(*event, trace));
            }
            Decoded::Gap => self.hub.interrupt(topic),
            Decoded::Own => {}
            Decoded::Unknown => {
                if self.unknown.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::warn!(
                        "another instance publishes events that this version does not know; they are left alone"
                    );
                }
            }
        }
    }
}

impl AsyncPushSender for Delivery {
    fn send(&self, info: PushInfo) -> Result<(), SendError> {
        let topic = match info.data.first() {
            Some(Value::BulkString(channel)) => self.wire.topic(channel),
            _ => None,
        };
        match (info.kind, topic, info.data.get(1)) {
            (PushKind::Disconnection, ..) => self.broken.notify_one(),
            (
                PushKind::Message | PushKind::SMessage,
                Some(topic),
                Some(Value::BulkString(envelope)),
            ) => self.deliver(topic, envelope),
            // Not asked for by us: the Cluster has moved the channel's slot.
            (PushKind::SUnsubscribe, Some(topic), _) if self.channels.is_subscribed(topic) => {
                self.broken.notify_one();
            }
            _ => {}
        }
        Ok(())
    }
}

/// The connections that carry channels.
struct Links {
    map: Map,
    by_address: HashMap<Address, MultiplexedConnection>,
    broken: Arc<Notify>,
}

/// The task's state.
pub(super) struct Subscriber {
    pub(super) servers: Arc<Servers>,
    pub(super) hub: Arc<Hub>,
    pub(super) wire: Arc<Wire>,
    pub(super) channels: Arc<Channels>,
    pub(super) unfollowed: Arc<Unfollowed>,
    /// Counts events that this version does not know.
    pub(super) unknown: Arc<AtomicU64>,
    /// Is told when Redis was away.
    pub(super) away: Arc<Notify>,
    /// How long a topic stays subscribed without followers.
    pub(super) linger: Duration,
}

impl Subscriber {
    /// Keeps the process subscribed until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keep_subscribed() => {}
        }
    }

    async fn keep_subscribed(&self) {
        let mut backoff = reconnect_backoff();
        let mut was_up = false;
        let mut told = false;
        loop {
            let fault = match self.set_up().await {
                Ok(links) => {
                    if was_up {
                        self.away.notify_one();
                        self.hub.interrupt_all();
                        tracing::info!(topics = self.channels.count(), "the bus is back");
                    }
                    was_up = true;
                    told = false;
                    let since = Instant::now();
                    let fault = self.serve(&links).await;
                    if since.elapsed() >= SETTLED {
                        backoff.reset();
                    }
                    fault
                }
                Err(fault) => fault,
            };
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(error = %chain(&fault), "the bus was interrupted");
            }
            self.servers.doubt();
            sleep(backoff.next_wait()).await;
        }
    }

    /// Connects, and subscribes to everything that is followed.
    async fn set_up(&self) -> Result<Links, Fault> {
        // Those that nobody follows any more need not be asked for; the old connection is gone.
        self.channels.take_unfollowed();
        let topics = self.channels.reset();
        let map = self.servers.map().await?;
        let broken = Arc::new(Notify::new());
        let connections = map.nodes().into_iter().map(|node| {
            let delivery = Delivery {
                hub: Arc::clone(&self.hub),
                wire: Arc::clone(&self.wire),
                channels: Arc::clone(&self.channels),
                unknown: Arc::clone(&self.unknown),
                broken: Arc::clone(&broken),
            };
            async move {
                let connection = node.dedicated(delivery).await?;
                Ok::<_, Fault>((node.address.clone(), connection))
            }
        });
        let by_address = try_join_all(connections).await?.into_iter().collect();
        let links = Links {
            map,
            by_address,
            broken,
        };
        self.subscribe(&links, &topics).await?;
        Ok(links)
    }

    /// Serves until something breaks.
    async fn serve(&self, links: &Links) -> Fault {
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let linger = sleep(self.linger);
        tokio::pin!(linger);
        let mut lingers = false;
        loop {
            let done = tokio::select! {
                () = links.broken.notified() => Err(Fault::TimedOut),
                () = self.channels.any_wanted() => {
                    self.subscribe(links, &self.channels.take_wanted()).await
                }
                () = self.unfollowed.any(), if !lingers => {
                    linger.as_mut().reset(Instant::now() + self.linger);
                    lingers = true;
                    Ok(())
                }
                () = &mut linger, if lingers => {
                    lingers = false;
                    self.unsubscribe(links, &self.channels.take_unfollowed()).await
                }
                _ = ping.tick() => self.ping(links).await,
            };
            if let Err(fault) = done {
                return fault;
            }
        }
    }

    async fn ping(&self, links: &Links) -> Result<(), Fault> {
        let pings = links.by_address.values().cloned().map(|mut connection| {
            let ping = redis::cmd("PING");
            async move { ping.query_async::<Value>(&mut connection).await }
        });
        try_join_all(pings).await?;
        Ok(())
    }

    async fn subscribe(&self, links: &Links, topics: &[Topic]) -> Result<(), Fault> {
        let name = self.name("SUBSCRIBE", "SSUBSCRIBE");
        for topics in topics.chunks(AT_ONCE) {
            let answers = self.on_all(links, name, topics).await?;
            let mut confirmed = Vec::with_capacity(topics.len());
            for (topic, answer) in answers {
                match answer {
                    Ok(()) => confirmed.push(topic),
                    // Nothing that setting up anew would change.
                    Err(fault) if fault.is(ServerErrorKind::NoPerm) => {
                        self.channels.refused(topic, &fault);
                    }
                    Err(fault) => return Err(fault),
                }
            }
            self.channels.subscribed(&confirmed);
        }
        Ok(())
    }

    async fn unsubscribe(&self, links: &Links, topics: &[Topic]) -> Result<(), Fault> {
        let name = self.name("UNSUBSCRIBE", "SUNSUBSCRIBE");
        for topics in topics.chunks(AT_ONCE) {
            for (_, answer) in self.on_all(links, name, topics).await? {
                answer?;
            }
        }
        Ok(())
    }

    fn name(&self, plain: &'static str, sharded: &'static str) -> &'static str {
        if self.servers.is_cluster() {
            sharded
        } else {
            plain
        }
    }

    /// Runs a command for each topic on the server that carries it, all at once. One a topic: in
    /// a Cluster the channels of one command would have to share a slot.
    async fn on_all(
        &self,
        links: &Links,
        name: &str,
        topics: &[Topic],
    ) -> Result<Vec<(Topic, Result<(), Fault>)>, Fault> {
        let mut parts: HashMap<&Address, (Vec<Topic>, redis::Pipeline)> = HashMap::new();
        for topic in topics {
            let channel = self.wire.channel(*topic);
            let slot = self.servers.slot(&channel);
            let part = parts.entry(&links.map.owner(slot)?.address).or_default();
            part.0.push(*topic);
            part.1.cmd(name).arg(channel);
        }
        let answers = parts
            .into_iter()
            .map(|(address, (topics, pipeline))| async move {
                let connection = links.by_address.get(address);
                let mut connection = connection.cloned().ok_or(Fault::Moving)?;
                let answers = connection
                    .send_packed_commands(&pipeline, 0, topics.len())
                    .await?;
                let answers = answers.into_iter().map(|answer| match answer {
                    Value::ServerError(error) => Err(Fault::Redis(error.into())),
                    _ => Ok(()),
                });
                Ok::<_, Fault>(topics.into_iter().zip(answers).collect::<Vec<_>>())
            });
        Ok(try_join_all(answers).await?.concat())
    }
}
