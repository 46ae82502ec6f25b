//! The task that keeps this process subscribed to what it follows: one connection to each server
//! that carries channels, which is one, but for a Cluster.
//!
//! When a connection is lost or falls silent, or a Cluster moves slots, only the topics that it carried
//! are asked for anew, and then their followers alone are told that they may have missed something.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use talksy_domain::backoff::Backoff;
use talksy_domain::error::chain;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::channels::{LinkId, Unfollowed};
use super::link::{Command, Link, Shared};
use crate::address::Address;
use crate::backoff::reconnect_backoff;
use crate::fault::Fault;
use crate::map::Map;
use crate::node::Node;

/// After so long without a failure the first wait is a short one again.
const SETTLED: Duration = Duration::from_secs(15);
/// How soon a Cluster is asked where it has moved a slot.
const MOVED: Duration = Duration::from_millis(100);

/// The task's state.
pub(super) struct Subscriber {
    pub(super) shared: Arc<Shared>,
    pub(super) unfollowed: Arc<Unfollowed>,
    /// How long a topic stays subscribed without followers.
    pub(super) linger: Duration,
}

/// How to reach a connection's task.
struct Asked {
    id: LinkId,
    commands: mpsc::UnboundedSender<Command>,
}

/// How a connection's task has ended.
struct Ended {
    address: Address,
    id: LinkId,
    fault: Fault,
}

/// The connections that carry channels.
struct Links {
    map: Map,
    by_address: HashMap<Address, Asked>,
    tasks: JoinSet<Ended>,
    next_id: LinkId,
    /// Whether one was lost.
    lost_any: bool,
    /// When servers are looked for that carry channels, where some are missing.
    set_up_at: Option<Instant>,
    backoff: Backoff,
    last_failure: Instant,
}

impl Links {
    fn retry(&mut self) {
        if self.set_up_at.is_none() {
            if self.last_failure.elapsed() >= SETTLED {
                self.backoff.reset();
            }
            self.last_failure = Instant::now();
            self.set_up_at = Some(self.last_failure + self.backoff.next_wait());
        }
    }
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
        let mut links = Links {
            map: Map::default(),
            by_address: HashMap::new(),
            tasks: JoinSet::new(),
            next_id: 0,
            lost_any: false,
            set_up_at: Some(Instant::now()),
            backoff: reconnect_backoff(),
            last_failure: Instant::now(),
        };
        let channels = &self.shared.channels;
        let linger = sleep(self.linger);
        tokio::pin!(linger);
        let mut lingers = false;
        loop {
            let set_up_at = links.set_up_at;
            let set_up = async {
                match set_up_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = set_up => self.set_up(&mut links).await,
                Some(ended) = links.tasks.join_next() => match ended {
                    Ok(ended) => self.note(&mut links, ended),
                    Err(_panic) => self.note_closed(&mut links),
                },
                () = channels.any_wanted() => self.ask_for_wanted(&mut links),
                () = channels.any_moved() => {
                    links.set_up_at.get_or_insert_with(|| Instant::now() + MOVED);
                }
                () = self.unfollowed.any(), if !lingers => {
                    linger.as_mut().reset(Instant::now() + self.linger);
                    lingers = true;
                }
                () = &mut linger, if lingers => {
                    lingers = false;
                    self.unsubscribe(&links);
                }
            }
        }
    }

    /// Connects to the servers that carry channels, and asks them for what is wanted.
    async fn set_up(&self, links: &mut Links) {
        links.set_up_at = None;
        match self.shared.servers.map().await {
            Ok(map) => {
                let nodes = map.nodes();
                let (channels, serving) = (&self.shared.channels, |address: &Address| {
                    nodes.iter().any(|node| node.address == *address)
                });
                links.by_address.retain(|address, link| {
                    let serves = serving(address);
                    if !serves {
                        channels.lost(link.id);
                    }
                    serves
                });
                links.map = map;
                for node in nodes {
                    if !links.by_address.contains_key(&node.address) {
                        self.connect(links, node);
                    }
                }
                self.ask_for_wanted(links);
            }
            Err(fault) => self.fail(links, &fault),
        }
    }

    fn connect(&self, links: &mut Links, node: Arc<Node>) {
        links.next_id += 1;
        let (id, address) = (links.next_id, node.address.clone());
        let (commands, asked) = mpsc::unbounded_channel();
        let link = Link {
            id,
            node,
            is_again: links.lost_any,
            shared: Arc::clone(&self.shared),
        };
        links
            .by_address
            .insert(address.clone(), Asked { id, commands });
        links.tasks.spawn(async move {
            let fault = link.run(asked).await;
            Ended { address, id, fault }
        });
    }

    /// Asks each server for what is wanted of its topics.
    fn ask_for_wanted(&self, links: &mut Links) {
        let Shared {
            servers,
            wire,
            channels,
            ..
        } = &*self.shared;
        let mut parts: HashMap<&Address, Vec<_>> = HashMap::new();
        let mut others = Vec::new();
        for topic in channels.take_wanted() {
            let slot = servers.slot(&wire.channel(topic));
            match links.map.owner(slot) {
                Ok(node) if links.by_address.contains_key(&node.address) => {
                    parts.entry(&node.address).or_default().push(topic);
                }
                _ => others.push(topic),
            }
        }
        for (address, topics) in parts {
            if let Some(link) = links.by_address.get(address) {
                let ticket = channels.ask(link.id, &topics);
                // One that has just ended is noted in a moment, and then they are wanted again.
                let _ = link.commands.send(Command::Subscribe(ticket, topics));
            }
        }
        if !others.is_empty() {
            channels.want(&others);
            links.retry();
        }
    }

    fn unsubscribe(&self, links: &Links) {
        let mut parts: HashMap<LinkId, Vec<_>> = HashMap::new();
        for (link, topic) in self.shared.channels.take_unfollowed() {
            parts.entry(link).or_default().push(topic);
        }
        for link in links.by_address.values() {
            if let Some(topics) = parts.remove(&link.id) {
                // One that has just ended is subscribed to nothing.
                let _ = link.commands.send(Command::Unsubscribe(topics));
            }
        }
    }

    /// A connection has ended.
    fn note(&self, links: &mut Links, ended: Ended) {
        let Ended { address, id, fault } = ended;
        if links.by_address.get(&address).is_none_or(|it| it.id != id) {
            // It was given up before.
            return;
        }
        links.by_address.remove(&address);
        self.shared.channels.lost(id);
        // Those that nobody follows any more need not be asked for again.
        self.unsubscribe(links);
        self.fail(links, &fault);
    }

    /// A connection's task has ended without a word.
    fn note_closed(&self, links: &mut Links) {
        let closed = links
            .by_address
            .iter()
            .filter(|(_, it)| it.commands.is_closed());
        let closed: Vec<_> = closed
            .map(|(address, it)| (address.clone(), it.id))
            .collect();
        for (address, id) in closed {
            let fault = Fault::Closed;
            self.note(links, Ended { address, id, fault });
        }
    }

    fn fail(&self, links: &mut Links, fault: &Fault) {
        links.lost_any = true;
        if !self.shared.is_interrupted.swap(true, Ordering::Relaxed) {
            tracing::warn!(error = %chain(fault), "the bus was interrupted");
        }
        self.shared.servers.doubt();
        links.retry();
    }
}
