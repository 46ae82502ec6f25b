//! Which server serves which key: the one that was named, the one that Sentinels name, or the
//! owner of the key's slot in a Cluster.
//!
//! A command that was sent and not answered is never sent again: it may have been carried out.
//! Only what a server has sent elsewhere (`MOVED`, `ASK`) is.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::RwLock;
use redis::{Cmd, ServerErrorKind, Value};
use talksy_domain::pausing;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::address::Address;
use super::fault::Fault;
use super::location::{Layout, Location};
use super::map::{Map, slot_of};
use super::node::{Node, Role};
use super::script::Script;

/// How often a command follows a redirection.
const MAX_REDIRECTIONS: usize = 4;
/// How long a map that is in doubt is used before it is read again.
const REREAD_AFTER: Duration = Duration::from_millis(250);

/// When the map was last read, and how that went.
type LastRead = Option<(Instant, Option<Fault>)>;

/// All servers of a deployment.
pub(super) struct Servers {
    pub(super) location: Location,
    limit: Duration,
    map: RwLock<Option<Map>>,
    in_doubt: Arc<AtomicBool>,
    reading: Mutex<LastRead>,
    nodes: parking_lot::Mutex<HashMap<Address, Arc<Node>>>,
    /// Kept, so that one that does not answer is waited for once.
    sentinels: parking_lot::Mutex<HashMap<Address, Arc<Node>>>,
    /// Calls that have waited in vain, of all servers.
    timeouts: Arc<AtomicU64>,
}

impl Servers {
    /// The servers at this location, whose calls take no longer than `limit`. Connects to nothing.
    pub(super) fn new(location: Location, limit: Duration) -> Arc<Self> {
        Arc::new(Self {
            location,
            limit,
            map: RwLock::new(None),
            in_doubt: Arc::default(),
            reading: Mutex::new(None),
            nodes: parking_lot::Mutex::default(),
            sentinels: parking_lot::Mutex::default(),
            timeouts: Arc::default(),
        })
    }

    /// Whether keys are spread over slots.
    pub(super) fn is_cluster(&self) -> bool {
        self.location.layout == Layout::Cluster
    }

    /// The slot of a key or shard channel; 0 where there are none.
    pub(super) fn slot(&self, key: &str) -> u16 {
        if self.is_cluster() { slot_of(key) } else { 0 }
    }

    /// How many calls have waited in vain for an answer so far.
    pub(super) fn timeouts(&self) -> u64 {
        self.timeouts.load(Ordering::Relaxed)
    }

    /// How long a call may take.
    pub(super) const fn limit(&self) -> Duration {
        self.limit
    }

    /// Runs a command on the server of its key or shard channel.
    pub(super) async fn query(&self, key: &str, command: &Cmd) -> Result<Value, Fault> {
        // Who connects, or reads the map, does so for all; who waits for that may be the next to do it.
        let _held = pausing::hold();
        let result = match timeout(self.limit, self.routed(key, command)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Fault::TimedOut),
        };
        if let Err(fault) = &result
            && fault.doubts_map()
        {
            self.doubt();
        }
        result
    }

    /// Runs commands, each on the server of its key, in one step a server and there in their
    /// order. The answers are in the order of the commands.
    pub(super) async fn run_all(&self, commands: &[(String, Cmd)]) -> Vec<Result<Value, Fault>> {
        let map = match self.map().await {
            Ok(map) => map,
            Err(fault) => return vec![Err(fault); commands.len()],
        };
        let mut answers = vec![Err(Fault::Moving); commands.len()];
        let mut parts: HashMap<&Address, (&Arc<Node>, Vec<usize>)> = HashMap::new();
        for (index, (key, _)) in commands.iter().enumerate() {
            match map.owner(self.slot(key)) {
                Ok(node) => {
                    let part = parts.entry(&node.address);
                    part.or_insert_with(|| (node, Vec::new())).1.push(index);
                }
                Err(fault) => answers[index] = Err(fault),
            }
        }
        let parts = parts.into_values().map(|(node, indices)| async move {
            let mut pipeline = redis::pipe();
            for index in &indices {
                pipeline.add_command(commands[*index].1.clone());
            }
            (indices, node.run_all(&pipeline).await)
        });
        for (indices, part) in join_all(parts).await {
            match part {
                Ok(part) => {
                    for (index, answer) in indices.into_iter().zip(part) {
                        answers[index] = match answer {
                            Value::ServerError(error) => Err(Fault::Redis(error.into())),
                            answer => Ok(answer),
                        };
                    }
                }
                Err(fault) => {
                    for index in indices {
                        answers[index] = Err(fault.clone());
                    }
                }
            }
        }
        for ((key, command), answer) in commands.iter().zip(&mut answers) {
            if let Err(fault) = answer {
                if fault.doubts_map() {
                    self.doubt();
                }
                // Sent elsewhere, so not carried out.
                if fault.is(ServerErrorKind::Moved) || fault.is(ServerErrorKind::Ask) {
                    *answer = self.query(key, command).await;
                }
            }
        }
        answers
    }

    /// Runs a script whose keys are all of one slot, the first of them given first.
    pub(super) async fn script(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> Result<Value, Fault> {
        let key = keys.first().copied().unwrap_or_default();
        match self.query(key, &script.by_hash(keys, arguments)).await {
            // The server does not know it, or no longer: this teaches it.
            Err(fault) if fault.is(ServerErrorKind::NoScript) => {
                self.query(key, &script.in_full(keys, arguments)).await
            }
            result => result,
        }
    }

    /// Asks all servers whether they are there and ready, and whether one that has to be a primary is one.
    pub(super) async fn ping(&self) -> Result<(), Fault> {
        let nodes = self.map().await?.nodes();
        let answers = nodes.iter().map(Node::check);
        let answers = futures_util::future::try_join_all(answers).await;
        answers.map(|_| ()).inspect_err(|_| self.doubt())
    }

    /// The map is to be read again before it is used again.
    pub(super) fn doubt(&self) {
        self.in_doubt.store(true, Ordering::Release);
    }

    /// Who serves what, as far as is known.
    pub(super) async fn map(&self) -> Result<Map, Fault> {
        if !self.in_doubt.load(Ordering::Acquire)
            && let Some(map) = self.map.read().clone()
        {
            return Ok(map);
        }
        self.read_map().await
    }

    async fn routed(&self, key: &str, command: &Cmd) -> Result<Value, Fault> {
        let map = self.map().await?;
        let mut node = Arc::clone(map.owner(self.slot(key))?);
        let mut result = node.query(command).await;
        for _ in 0..MAX_REDIRECTIONS {
            let (target, asking) = match &result {
                Err(Fault::Redis(error)) => match error.kind() {
                    redis::ErrorKind::Server(ServerErrorKind::Moved) => (error, false),
                    redis::ErrorKind::Server(ServerErrorKind::Ask) => (error, true),
                    _ => return result,
                },
                _ => return result,
            };
            let Some((address, _)) = target.redirect_node() else {
                return result;
            };
            let target = node.address.redirected(address);
            node = self.node(target.ok_or(Fault::Answer("a redirection to nowhere"))?)?;
            result = if asking {
                node.asking(command).await
            } else {
                self.doubt();
                node.query(command).await
            };
        }
        result.map_err(|_| Fault::Moving)
    }

    /// One caller reads; the others wait for it. While it fails they are told at once.
    async fn read_map(&self) -> Result<Map, Fault> {
        let mut last = self.reading.lock().await;
        let known = self.map.read().clone();
        if !self.in_doubt.load(Ordering::Acquire)
            && let Some(map) = &known
        {
            return Ok(map.clone());
        }
        if let Some((at, failure)) = &*last
            && at.elapsed() < REREAD_AFTER
        {
            match (failure, &known) {
                (None, Some(map)) => return Ok(map.clone()),
                (Some(fault), _) => return Err(Fault::Down(Box::new(fault.clone()))),
                (None, None) => {}
            }
        }
        // In a box: it is seldom needed, and large.
        match Box::pin(self.discover()).await {
            Ok(map) => {
                *last = Some((Instant::now(), None));
                self.forget_others(&map);
                *self.map.write() = Some(map.clone());
                self.in_doubt.store(false, Ordering::Release);
                Ok(map)
            }
            // Who knows the map is away: what was known of it is better than nothing.
            Err(fault) if fault.is_absence() && known.is_some() => {
                *last = Some((Instant::now(), None));
                known.ok_or(fault)
            }
            Err(fault) => {
                *last = Some((Instant::now(), Some(fault.clone())));
                Err(fault)
            }
        }
    }

    /// The server at this address; the same each time, so that its connection is kept.
    pub(super) fn node(&self, address: Address) -> Result<Arc<Node>, Fault> {
        let mut nodes = self.nodes.lock();
        if let Some(node) = nodes.get(&address) {
            return Ok(Arc::clone(node));
        }
        let info = self.location.server(&address)?;
        // Less than the whole, so that a connection which does not answer is found out by its own
        // limit and given up.
        let doubt = Arc::clone(&self.in_doubt);
        let timeouts = Arc::clone(&self.timeouts);
        // In a Cluster any node says who owns what, also one that owns nothing.
        let role = if self.is_cluster() {
            Role::Any
        } else {
            Role::Primary
        };
        let limit = self.limit * 3 / 4;
        let node = Node::new(address.clone(), (info, role), limit, doubt, timeouts);
        nodes.insert(address, Arc::clone(&node));
        Ok(node)
    }

    /// The Sentinel at this address; the same each time.
    pub(super) fn sentinel(&self, address: &Address) -> Result<Arc<Node>, Fault> {
        let mut sentinels = self.sentinels.lock();
        if let Some(sentinel) = sentinels.get(address) {
            return Ok(Arc::clone(sentinel));
        }
        let info = self.location.sentinel(address)?;
        let timeouts = Arc::clone(&self.timeouts);
        let limit = self.limit / 2;
        let kind = (info, Role::Any);
        let sentinel = Node::new(address.clone(), kind, limit, Arc::default(), timeouts);
        sentinels.insert(address.clone(), Arc::clone(&sentinel));
        Ok(sentinel)
    }

    /// The addresses of all servers that are known.
    pub(super) fn known(&self) -> Vec<Address> {
        self.nodes.lock().keys().cloned().collect()
    }

    fn forget_others(&self, map: &Map) {
        let serving = map.nodes();
        self.nodes
            .lock()
            .retain(|_, node| serving.iter().any(|other| Arc::ptr_eq(node, other)));
    }
}
