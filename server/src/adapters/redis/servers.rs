//! Which server serves which key: the one that was named, the one that Sentinels name, or the
//! owner of the key's slot in a Cluster.
//!
//! A command that was sent and not answered is never sent again: it may have been carried out.
//! Only what a server has sent elsewhere (`MOVED`, `ASK`) is.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{join_all, select_ok};
use parking_lot::RwLock;
use redis::{Cmd, ServerErrorKind, Value, from_redis_value};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::fault::Fault;
use super::location::{Address, Layout, Location};
use super::node::Node;
use super::script::Script;

/// How many slots a Cluster's keys are spread over.
const SLOTS: u16 = 16_384;
/// How often a command follows a redirection.
const MAX_REDIRECTIONS: usize = 4;
/// How long a map that is in doubt is used before it is read again.
const REREAD_AFTER: Duration = Duration::from_millis(250);

/// Who serves what: from each first slot on up to the last of its range.
#[derive(Clone, Default)]
pub(super) struct Map {
    ranges: BTreeMap<u16, (u16, Arc<Node>)>,
}

impl Map {
    fn of(node: Arc<Node>) -> Self {
        Self {
            ranges: BTreeMap::from([(0, (SLOTS - 1, node))]),
        }
    }

    /// The server of the slot.
    pub(super) fn owner(&self, slot: u16) -> Result<&Arc<Node>, Fault> {
        match self.ranges.range(..=slot).next_back() {
            Some((_, (last, node))) if slot <= *last => Ok(node),
            _ => Err(Fault::NoNode(slot)),
        }
    }

    /// Each server once.
    pub(super) fn nodes(&self) -> Vec<Arc<Node>> {
        let mut nodes: HashMap<&Address, &Arc<Node>> = HashMap::new();
        for (_, node) in self.ranges.values() {
            nodes.insert(&node.address, node);
        }
        nodes.into_values().cloned().collect()
    }

    /// The first slot that nobody serves.
    pub(super) fn gap(&self) -> Option<u16> {
        let mut next = 0;
        for (first, (last, _)) in &self.ranges {
            if *first != next {
                return Some(next);
            }
            next = last + 1;
        }
        (next < SLOTS).then_some(next)
    }
}

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

    /// How long a call may take.
    pub(super) const fn limit(&self) -> Duration {
        self.limit
    }

    /// Runs a command on the server of its key or shard channel.
    pub(super) async fn query(&self, key: &str, command: &Cmd) -> Result<Value, Fault> {
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

    /// Asks all servers whether they are there.
    pub(super) async fn ping(&self) -> Result<(), Fault> {
        let ping = redis::cmd("PING");
        let nodes = self.map().await?.nodes();
        let answers = nodes.iter().map(|node| node.query(&ping));
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
            node = self.node(redirected(address, &node.address)?)?;
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
        let read = match self.location.layout.clone() {
            Layout::Standalone => self.first_node().map(Map::of),
            Layout::Sentinel(name) => self.ask_sentinels(&name).await,
            Layout::Cluster => self.ask_cluster().await,
        };
        match read {
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

    fn first_node(&self) -> Result<Arc<Node>, Fault> {
        let address = self.location.addresses.first().ok_or(Fault::NoPrimary)?;
        self.node(address.clone())
    }

    /// The server at this address; the same each time, so that its connection is kept.
    fn node(&self, address: Address) -> Result<Arc<Node>, Fault> {
        let mut nodes = self.nodes.lock();
        if let Some(node) = nodes.get(&address) {
            return Ok(Arc::clone(node));
        }
        let info = self.location.server(&address)?;
        // Less than the whole, so that a connection which does not answer is found out by its own
        // limit and given up.
        let doubt = Arc::clone(&self.in_doubt);
        let node = Node::new(address.clone(), info, self.limit * 3 / 4, doubt);
        nodes.insert(address, Arc::clone(&node));
        Ok(node)
    }

    fn forget_others(&self, map: &Map) {
        let serving = map.nodes();
        self.nodes
            .lock()
            .retain(|_, node| serving.iter().any(|other| Arc::ptr_eq(node, other)));
    }

    /// All Sentinels at the same time: those that are down delay nobody.
    async fn ask_sentinels(&self, name: &str) -> Result<Map, Fault> {
        let questions = self
            .location
            .addresses
            .iter()
            .map(|address| Box::pin(self.ask_sentinel(address, name)));
        let (node, _others) = select_ok(questions).await?;
        Ok(Map::of(node))
    }

    async fn ask_sentinel(&self, sentinel: &Address, name: &str) -> Result<Arc<Node>, Fault> {
        let info = self.location.sentinel(sentinel)?;
        let sentinel = Node::new(sentinel.clone(), info, self.limit / 2, Arc::default());
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let (host, port) = match sentinel.query(&question).await? {
            Value::Nil => return Err(Fault::NoPrimary),
            answer => from_redis_value(answer)
                .map_err(|_| Fault::Answer("a question for the primary with something else"))?,
        };
        let node = self.node(Address { host, port })?;
        // During a failover a Sentinel may still name the old primary.
        match node.query(&redis::cmd("ROLE")).await? {
            Value::Array(role) if is_text(role.first(), b"master") => Ok(node),
            _ => Err(Fault::NoPrimary),
        }
    }

    /// All nodes that are known at the same time.
    async fn ask_cluster(&self) -> Result<Map, Fault> {
        let mut addresses: Vec<_> = self.nodes.lock().keys().cloned().collect();
        addresses.extend(self.location.addresses.iter().cloned());
        let questions = addresses
            .iter()
            .map(|address| Box::pin(self.ask_node(address)));
        let (map, _others) = select_ok(questions).await?;
        Ok(map)
    }

    async fn ask_node(&self, address: &Address) -> Result<Map, Fault> {
        let node = self.node(address.clone())?;
        let answer = node.query(redis::cmd("CLUSTER").arg("SLOTS")).await?;
        let map = self.slots(answer, address)?;
        map.owner(0)?;
        Ok(map)
    }

    /// The answer to `CLUSTER SLOTS`: ranges, each with its nodes, of which the first is the
    /// primary.
    fn slots(&self, answer: Value, asked: &Address) -> Result<Map, Fault> {
        const STRANGE: Fault = Fault::Answer("CLUSTER SLOTS with something else");
        let Value::Array(ranges) = answer else {
            return Err(STRANGE);
        };
        let mut map = Map::default();
        for range in ranges {
            let Value::Array(mut parts) = range else {
                return Err(STRANGE);
            };
            if parts.len() < 3 {
                return Err(STRANGE);
            }
            let Value::Array(mut primary) = parts.swap_remove(2) else {
                return Err(STRANGE);
            };
            primary.truncate(2);
            let number = |value: &Value| match value {
                Value::Int(number) => u16::try_from(*number).map_err(|_| STRANGE),
                _ => Err(STRANGE),
            };
            let (first, last) = (number(&parts[0])?, number(&parts[1])?);
            let host = match primary.first() {
                Some(Value::BulkString(host)) if !host.is_empty() && host != b"?" => {
                    String::from_utf8(host.clone()).map_err(|_| STRANGE)?
                }
                // A node that does not know its own name.
                Some(_) => asked.host.clone(),
                None => return Err(STRANGE),
            };
            let port = number(primary.get(1).ok_or(STRANGE)?)?;
            map.ranges
                .insert(first, (last, self.node(Address { host, port })?));
        }
        Ok(map)
    }
}

fn is_text(value: Option<&Value>, text: &[u8]) -> bool {
    match value {
        Some(Value::BulkString(bytes)) => bytes == text,
        Some(Value::SimpleString(string)) => string.as_bytes() == text,
        _ => false,
    }
}

/// Where a redirection leads: `host:port`, or `:port` on the host that sent it.
fn redirected(target: &str, sender: &Address) -> Result<Address, Fault> {
    const STRANGE: Fault = Fault::Answer("a redirection to nowhere");
    let (host, port) = target.rsplit_once(':').ok_or(STRANGE)?;
    let host = if host.is_empty() { &sender.host } else { host };
    Ok(Address {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: port.parse().map_err(|_| STRANGE)?,
    })
}

/// The slot of a key: that of what stands in its first braces, where something does (the Redis
/// Cluster specification, "Hash tags").
fn slot_of(key: &str) -> u16 {
    let hashed = match key.split_once('{') {
        Some((_, rest)) => match rest.split_once('}') {
            Some((tag, _)) if !tag.is_empty() => tag,
            _ => key,
        },
        None => key,
    };
    crc16(hashed.as_bytes()) % SLOTS
}

/// CRC-16/XMODEM, as the Redis Cluster specification has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of("foo"), 12_182);
        assert_eq!(slot_of("{user1000}.following"), slot_of("user1000"));
        assert_eq!(slot_of("foo{{bar}}zap"), slot_of("{bar"));
        assert_eq!(slot_of("foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
    }

    #[test]
    fn a_map_knows_its_owners_and_gaps() {
        let url = SecretString::from("redis+cluster://seed");
        let servers = Servers::new(Location::parse(&url).unwrap(), Duration::from_secs(1));
        let asked = Address {
            host: "seed".to_owned(),
            port: 7000,
        };
        let range = |first, last, host: &str, port| {
            let node = vec![
                Value::BulkString(host.into()),
                Value::Int(port),
                Value::BulkString(b"id".to_vec()),
            ];
            Value::Array(vec![
                Value::Int(first),
                Value::Int(last),
                Value::Array(node),
            ])
        };
        let answer = Value::Array(vec![range(0, 99, "", 7000), range(200, 16_383, "b", 7001)]);
        let map = servers.slots(answer, &asked).unwrap();
        assert_eq!(map.owner(99).unwrap().address.to_string(), "seed:7000");
        assert_eq!(map.owner(16_383).unwrap().address.to_string(), "b:7001");
        assert!(matches!(map.owner(100), Err(Fault::NoNode(100))));
        assert_eq!(map.gap(), Some(100));
        assert_eq!(map.nodes().len(), 2);
        assert!(servers.slots(Value::Okay, &asked).is_err());
    }

    #[test]
    fn a_redirection_names_a_server() {
        let sender = Address {
            host: "a".to_owned(),
            port: 1,
        };
        assert_eq!(redirected("b:2", &sender).unwrap().to_string(), "b:2");
        assert_eq!(redirected(":2", &sender).unwrap().to_string(), "a:2");
        assert_eq!(redirected("::1:2", &sender).unwrap().host, "::1");
        assert!(redirected("b", &sender).is_err());
    }
}
