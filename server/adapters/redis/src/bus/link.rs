//! One connection that carries channels: it is asked for topics one step after the other, and ends when
//! it is lost or falls silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection, SendError};
use redis::{PushInfo, PushKind, ServerErrorKind, Value};
use talksy_domain::events::{Hub, Published, Topic};
use tokio::sync::{Notify, mpsc};
use tokio::time::MissedTickBehavior;

use super::channels::{Channels, LinkId, Ticket};
use super::wire::{Decoded, Wire};
use crate::fault::Fault;
use crate::node::Node;
use crate::servers::Servers;

/// How often a connection is asked whether it still is one, to a server that can be written to: what is
/// published is published there.
const PING_EVERY: Duration = Duration::from_secs(2);
/// How many topics are asked for in one step.
const AT_ONCE: usize = 512;

/// What a connection is asked for. As many wait as there are topics.
pub(super) enum Command {
    Subscribe(Ticket, Vec<Topic>),
    Unsubscribe(Vec<Topic>),
}

/// What all connections share.
pub(super) struct Shared {
    pub(super) servers: Arc<Servers>,
    pub(super) hub: Arc<Hub>,
    pub(super) wire: Arc<Wire>,
    pub(super) channels: Arc<Channels>,
    /// Counts events that this version does not know.
    pub(super) unknown: Arc<AtomicU64>,
    /// Is told when Redis was away.
    pub(super) away: Arc<Notify>,
    /// It was logged that a connection was lost, and none was made since.
    pub(super) is_interrupted: AtomicBool,
}

/// Takes what Redis pushes, in the connection's own task: what is pushed goes to the bounded
/// mailboxes of the hub, and nowhere waits. A process that cannot keep up leaves it to TCP: Redis
/// closes a connection that is too far behind (`client-output-buffer-limit pubsub`), and that is
/// an interruption.
struct Delivery {
    shared: Arc<Shared>,
    link: LinkId,
    broken: Arc<Notify>,
}

impl Delivery {
    fn deliver(&self, topic: Topic, envelope: &[u8]) {
        let shared = &self.shared;
        match shared.wire.read(envelope) {
            Decoded::Event(event, trace) => {
                shared.hub.deliver(topic, &Published::traced(*event, trace));
            }
            Decoded::Gap => shared.hub.interrupt(topic),
            Decoded::Own => {}
            Decoded::Unknown => {
                if shared.unknown.fetch_add(1, Ordering::Relaxed) == 0 {
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
        let shared = &self.shared;
        let topic = match info.data.first() {
            Some(Value::BulkString(channel)) => shared.wire.topic(channel),
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
            (PushKind::SUnsubscribe, Some(topic), _)
                if shared.channels.is_subscribed(self.link, topic) =>
            {
                shared.servers.doubt();
                shared.channels.moved(self.link, topic);
            }
            _ => {}
        }
        Ok(())
    }
}

/// A connection, made and served by a task.
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) node: Arc<Node>,
    /// Takes the place of one that was lost.
    pub(super) is_again: bool,
    pub(super) shared: Arc<Shared>,
}

impl Link {
    /// Connects, and does what is asked until something breaks, or nobody asks any more.
    pub(super) async fn run(&self, mut commands: mpsc::UnboundedReceiver<Command>) -> Fault {
        let broken = Arc::new(Notify::new());
        let delivery = Delivery {
            shared: Arc::clone(&self.shared),
            link: self.id,
            broken: Arc::clone(&broken),
        };
        let mut connection = match self.node.dedicated(delivery).await {
            Ok(connection) => connection,
            Err(fault) => return fault,
        };
        self.tell_of_connection();
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                () = broken.notified() => Err(Fault::TimedOut),
                command = commands.recv() => match command {
                    Some(Command::Subscribe(ticket, topics)) => {
                        self.subscribe(&mut connection, ticket, &topics).await
                    }
                    Some(Command::Unsubscribe(topics)) => {
                        self.unsubscribe(&mut connection, &topics).await
                    }
                    None => Err(Fault::Closed),
                },
                _ = ping.tick() => {
                    self.node.check_over(connection.clone()).await
                }
            };
            if let Err(fault) = done {
                if fault.is_of_replica() {
                    // What is published is not to go there either.
                    self.node.leave(&fault);
                }
                return fault;
            }
        }
    }

    fn tell_of_connection(&self) {
        let shared = &self.shared;
        if self.is_again {
            shared.away.notify_one();
        }
        if shared.is_interrupted.swap(false, Ordering::Relaxed) {
            let server = self.node.address.to_string();
            tracing::info!(server, "the bus is back");
        }
    }

    /// Asks for topics; their followers are told of those of which something may have been missed.
    async fn subscribe(
        &self,
        connection: &mut MultiplexedConnection,
        ticket: Ticket,
        topics: &[Topic],
    ) -> Result<(), Fault> {
        let Shared {
            servers,
            hub,
            channels,
            ..
        } = &*self.shared;
        let mut interrupted = Vec::new();
        for topics in topics.chunks(AT_ONCE) {
            let answers = self.ask(connection, "SUBSCRIBE", "SSUBSCRIBE", topics);
            let mut confirmed = Vec::with_capacity(topics.len());
            for (topic, answer) in answers.await? {
                match answer {
                    Ok(()) => confirmed.push(topic),
                    // Nothing that another connection would change.
                    Err(fault) if fault.is(ServerErrorKind::NoPerm) => {
                        channels.refused(topic, &fault);
                        hub.interrupt(topic);
                    }
                    Err(fault) if fault.is(ServerErrorKind::Moved) => {
                        servers.doubt();
                        channels.moved(self.id, topic);
                    }
                    Err(fault) => return Err(fault),
                }
            }
            interrupted.extend(channels.subscribed(ticket, &confirmed));
        }
        if interrupted.is_empty() {
            return Ok(());
        }
        if interrupted.len() >= channels.count() {
            hub.interrupt_all();
        } else {
            hub.interrupt_each(&interrupted);
        }
        Ok(())
    }

    async fn unsubscribe(
        &self,
        connection: &mut MultiplexedConnection,
        topics: &[Topic],
    ) -> Result<(), Fault> {
        for topics in topics.chunks(AT_ONCE) {
            let answers = self.ask(connection, "UNSUBSCRIBE", "SUNSUBSCRIBE", topics);
            for (_, answer) in answers.await? {
                match answer {
                    // Who does not carry the topic sends nothing of it.
                    Err(fault) if !fault.is(ServerErrorKind::Moved) => return Err(fault),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Runs a command for each topic, all at once. One a topic: in a Cluster the channels of one command
    /// would have to share a slot.
    async fn ask(
        &self,
        connection: &mut MultiplexedConnection,
        plain: &'static str,
        sharded: &'static str,
        topics: &[Topic],
    ) -> Result<Vec<(Topic, Result<(), Fault>)>, Fault> {
        let is_sharded = self.shared.servers.is_cluster();
        let name = if is_sharded { sharded } else { plain };
        let mut pipeline = redis::pipe();
        for topic in topics {
            pipeline.cmd(name).arg(self.shared.wire.channel(*topic));
        }
        let answers = connection
            .send_packed_commands(&pipeline, 0, topics.len())
            .await?;
        let answers = answers.into_iter().map(|answer| match answer {
            Value::ServerError(error) => Err(Fault::Redis(error.into())),
            _ => Ok(()),
        });
        Ok(topics.iter().copied().zip(answers).collect())
    }
}
