//! The TCP connections there are: how many in all and of each address, and which of them gives way
//! where they are used up. Knows no HTTP; `listener` tells it what happens on each.
//!
//! A connection is silent while no request of it is being answered (before its first one, and
//! between two), and while its client takes nothing of an answer. Where a newcomer finds no place, the
//! one that has been silent for longest ends, so that nobody keeps others out by opening connections
//! and saying nothing.

mod held;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use ipnet::IpNet;
use metrics::{counter, gauge};
use parking_lot::Mutex;
use rlimit::Resource;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use held::Stall;
pub(super) use held::{Held, Unread};

use super::client::is_trusted;
use super::networks::{ByAge, Counts, Networks};
use super::shares::Bound;
use super::stalled::{Stalled, Waiting};
use crate::config::{HttpConfig, ShareLimits};
use crate::metrics::{
    CONNECTIONS_CUT, CONNECTIONS_LIMIT, CONNECTIONS_OPEN, CONNECTIONS_STALLED_BYTES,
    Held as Counted,
};

/// Why the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It was silent, and another needed its place.
    Silent,
    /// No request came in time.
    NoRequest,
    /// The client did not read its answer.
    Unread,
    /// An event stream was over, and its client did not read that.
    Over,
}

impl Cut {
    /// Each of them.
    pub(crate) const ALL: [Self; 4] = [Self::Silent, Self::NoRequest, Self::Unread, Self::Over];

    /// Its name as the label of a metric.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::NoRequest => "no_request",
            Self::Unread => "unread",
            Self::Over => "over",
        }
    }

    pub(super) fn counted(self) {
        counter!(CONNECTIONS_CUT, "why" => self.name()).increment(1);
    }
}

/// All connections of a listener.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    of_address: usize,
    /// Proxies, whose connections are those of many.
    trusted: Vec<IpNet>,
    open: Mutex<Open>,
    /// What waits for clients that do not read.
    stalled: Arc<Stalled<Connection>>,
    /// Told when a connection that gave way is gone.
    gone: Notify,
}

/// Those that count.
#[derive(Debug, Default)]
struct Open {
    counts: Counts,
    /// By when they fell silent.
    silent: ByAge<Arc<Connection>>,
}

impl Open {
    /// As the latest of all, unless it is there already, or will not be silent any more.
    fn add_silent(&mut self, connection: &Arc<Connection>) {
        let is_upgrading = connection.is_upgrading.load(Ordering::Relaxed);
        let is_silent = connection.silent_as.load(Ordering::Relaxed) != 0;
        if connection.is_over() || is_upgrading || is_silent {
            return;
        }
        let number = self.silent.add(Arc::clone(connection), connection.networks);
        connection.silent_as.store(number, Ordering::Relaxed);
    }

    fn remove_silent(&mut self, connection: &Connection) {
        let number = connection.silent_as.swap(0, Ordering::Relaxed);
        if number != 0 {
            self.silent.remove(number);
        }
    }

    /// Ends a connection that was silent, and frees its place at once.
    fn give_way(&mut self, connection: Option<Arc<Connection>>) -> Option<()> {
        let connection = connection?;
        connection.silent_as.store(0, Ordering::Relaxed);
        connection.is_over.store(true, Ordering::Relaxed);
        connection.gave_way.store(true, Ordering::Relaxed);
        self.counts.remove(connection.networks);
        connection.cut(Cut::Silent);
        Some(())
    }
}

/// How many connections there may be: as many as is said, where the system lets the process open
/// so many files and some more.
fn most(limits: &ShareLimits) -> usize {
    let files = rlimit::getrlimit(Resource::NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let spare = limits.spare_files.min(files / 4);
    limits.connections.min(files - spare).max(1)
}

impl Connections {
    pub(super) fn new(config: &HttpConfig) -> Arc<Self> {
        let most = most(&config.shares);
        let shown = u32::try_from(most).unwrap_or(u32::MAX);
        gauge!(CONNECTIONS_LIMIT).set(shown);
        Arc::new(Self {
            most,
            of_address: config.shares.connections_per_address.min(most.div_ceil(2)),
            trusted: config.trusted_proxies.clone(),
            open: Mutex::default(),
            stalled: Stalled::new(config.max_stalled_bytes, CONNECTIONS_STALLED_BYTES),
            gone: Notify::new(),
        })
    }

    /// Gives a new connection a place, and says whether another has to go for it.
    ///
    /// # Errors
    /// The bound that is reached, where none of those who count is silent.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<(Place, bool), Bound> {
        let networks = if is_trusted(&self.trusted, peer) {
            Networks::default()
        } else {
            Networks::of(peer)
        };
        let mut open = self.open.lock();
        let before = open.counts.all();
        for network in networks.iter() {
            if open.counts.of(network) >= network.most(self.of_address) {
                let oldest = open.silent.take_oldest_of(network);
                open.give_way(oldest).ok_or(Bound::ConnectionsOfAddress)?;
            }
        }
        if open.counts.all() >= self.most {
            let oldest = open.silent.take_oldest();
            open.give_way(oldest).ok_or(Bound::Connections)?;
        }
        let gave_way = open.counts.all() < before;
        open.counts.add(networks);
        let connection = Arc::new(Connection {
            connections: Arc::clone(self),
            networks,
            silent_as: AtomicU64::new(0),
            answering: AtomicUsize::new(0),
            held_bytes: AtomicUsize::new(0),
            stall: Mutex::default(),
            written: AtomicU64::new(0),
            has_begun: AtomicBool::new(false),
            is_upgrading: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            gave_way: AtomicBool::new(false),
            task: Mutex::new(Task::Unknown),
        });
        open.add_silent(&connection);
        drop(open);
        let place = Place {
            connection,
            _open: Counted::new(gauge!(CONNECTIONS_OPEN)),
        };
        Ok((place, gave_way))
    }

    /// Ends the connection that has been silent for longest.
    pub(super) fn make_room(&self) {
        let mut open = self.open.lock();
        let oldest = open.silent.take_oldest();
        open.give_way(oldest);
    }

    /// Waits until a connection that gave way is gone, with its file.
    pub(super) async fn gone(&self) {
        self.gone.notified().await;
    }
}

/// What is known of a connection.
#[derive(Debug)]
pub(super) struct Connection {
    connections: Arc<Connections>,
    networks: Networks,
    /// Its number among the silent ones, or 0. Written under the lock of all.
    silent_as: AtomicU64,
    /// How many requests are being answered. Written under the lock of all.
    answering: AtomicUsize,
    /// The bytes of answers that are held until the last of them is written.
    held_bytes: AtomicUsize,
    /// The client does not read.
    stall: Mutex<Option<Stall>>,
    /// How many bytes the client has taken.
    written: AtomicU64,
    /// Whether a request has come.
    has_begun: AtomicBool,
    /// It is becoming a socket, so that it does not fall silent again.
    is_upgrading: AtomicBool,
    /// No HTTP is spoken on it any more.
    is_over: AtomicBool,
    /// It no longer counts. Written under the lock of all.
    gave_way: AtomicBool,
    task: Mutex<Task>,
}

/// The task that speaks HTTP on a connection.
#[derive(Debug)]
enum Task {
    Unknown,
    Running(AbortHandle),
    Ended,
}

impl Waiting for Connection {
    fn give_up(&self) {
        self.cut(Cut::Unread);
    }
}

impl Connection {
    /// Its client has taken so many bytes more.
    pub(super) fn wrote(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How many bytes its client has taken, of whatever was sent.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    fn is_answered(&self) -> bool {
        self.answering.load(Ordering::Relaxed) > 0
    }

    /// Whether a request has come.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// Whether HTTP is no longer spoken on it.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// A request has come, which is being answered until what is given is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.has_begun.store(true, Ordering::Relaxed);
        let mut open = self.connections.open.lock();
        self.answering.fetch_add(1, Ordering::Relaxed);
        open.remove_silent(self);
        drop(open);
        Busy(Arc::clone(self))
    }

    /// It becomes a socket once its answer is written, and a socket is never silent.
    pub(super) fn upgrades(&self) {
        self.is_upgrading.store(true, Ordering::Relaxed);
    }

    /// Its task, which is ended where the connection has to end.
    pub(super) fn runs(&self, running: AbortHandle) {
        let mut task = self.task.lock();
        if matches!(*task, Task::Unknown) {
            *task = Task::Running(running);
        }
    }

    /// Its task has ended: nothing of it is kept. Where the connection has become a socket, other
    /// rules hold from now on.
    pub(super) fn ended(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        *self.task.lock() = Task::Ended;
    }

    /// Ends the connection, whatever its client does. A socket stays.
    pub(super) fn cut(&self, why: Cut) {
        if let Task::Running(running) = &*self.task.lock() {
            why.counted();
            running.abort();
        }
    }
}

/// A request of a connection is being answered.
#[derive(Debug)]
pub(super) struct Busy(Arc<Connection>);

impl Busy {
    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let connection = &self.0;
        let mut open = connection.connections.open.lock();
        let was_last = connection.answering.fetch_sub(1, Ordering::Relaxed) == 1;
        if was_last {
            open.add_silent(connection);
        }
    }
}

/// The place of a connection, until it is closed.
pub(super) struct Place {
    connection: Arc<Connection>,
    _open: Counted,
}

impl Place {
    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let connection = &self.connection;
        let mut open = connection.connections.open.lock();
        connection.is_over.store(true, Ordering::Relaxed);
        open.remove_silent(connection);
        if connection.gave_way.load(Ordering::Relaxed) {
            drop(open);
            connection.connections.gone.notify_one();
        } else {
            open.counts.remove(connection.networks);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn connections(most: usize, of_address: usize) -> Arc<Connections> {
        let mut config = HttpConfig::default();
        config.shares.connections = most;
        config.shares.connections_per_address = of_address;
        config.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        Connections::new(&config)
    }

    fn admit(connections: &Arc<Connections>, peer: &str) -> Result<(Place, bool), Bound> {
        connections.admit(peer.parse().unwrap())
    }

    fn place(connections: &Arc<Connections>, peer: &str) -> Place {
        let (place, gave_way) = admit(connections, peer).unwrap();
        assert!(!gave_way);
        place
    }

    fn has_given_way(place: &Place) -> bool {
        place.connection().gave_way.load(Ordering::Relaxed)
    }

    #[test]
    fn the_longest_silent_gives_way_and_who_is_answered_does_not() {
        let connections = connections(3, 3);
        let [first, second, third] =
            ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|peer| place(&connections, peer));
        let busy = first.connection().begin();
        let (fourth, gave_way) = admit(&connections, "192.0.2.4").unwrap();
        assert!(gave_way);
        assert!(!has_given_way(&first) && has_given_way(&second) && !has_given_way(&third));
        // From now on the first is silent, as the latest of all.
        drop(busy);
        let (fifth, _) = admit(&connections, "192.0.2.5").unwrap();
        assert!(has_given_way(&third) && !has_given_way(&first) && !has_given_way(&fourth));
        let busy = [&first, &fourth, &fifth].map(|place| place.connection().begin());
        assert_eq!(
            admit(&connections, "192.0.2.6").err(),
            Some(Bound::Connections)
        );
        drop((second, third));
        assert_eq!(connections.open.lock().counts.all(), 3);
        drop((first, fourth, fifth));
        // Whose connection is closed does not fall silent.
        drop(busy);
        let open = connections.open.lock();
        assert!(open.counts.is_empty() && open.silent.is_empty());
    }

    #[test]
    fn an_address_takes_places_of_its_own_and_a_proxy_has_no_such_bound() {
        let connections = connections(10, 2);
        let stranger = place(&connections, "198.51.100.1");
        let kept = [0, 1].map(|_| place(&connections, "192.0.2.1"));
        let (third, gave_way) = admit(&connections, "192.0.2.1").unwrap();
        assert!(gave_way && has_given_way(&kept[0]) && !has_given_way(&stranger));
        let busy = [&kept[1], &third].map(|place| place.connection().begin());
        assert_eq!(
            admit(&connections, "192.0.2.1").err(),
            Some(Bound::ConnectionsOfAddress)
        );
        drop(busy);
        let proxied = [0; 5].map(|_| place(&connections, "10.1.2.3"));
        drop((kept, third, proxied, stranger));
        assert_eq!(connections.open.lock().counts.all(), 0);
    }

    #[test]
    fn a_socket_does_not_give_way() {
        let connections = connections(2, 2);
        let socket = place(&connections, "192.0.2.1");
        let busy = socket.connection().begin();
        busy.connection().upgrades();
        drop(busy);
        let _silent = place(&connections, "192.0.2.2");
        for _ in 0..3 {
            let (_, gave_way) = admit(&connections, "192.0.2.3").unwrap();
            assert!(!has_given_way(&socket), "{gave_way}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_makes_room_is_waited_for_until_its_file_is_closed() {
        let connections = connections(1, 1);
        let first = place(&connections, "192.0.2.1");
        let (_second, gave_way) = admit(&connections, "192.0.2.1").unwrap();
        assert!(gave_way);
        let waits = tokio::time::timeout(Duration::from_secs(1), connections.gone());
        assert!(waits.await.is_err());
        drop(first);
        connections.gone().await;
    }
}
