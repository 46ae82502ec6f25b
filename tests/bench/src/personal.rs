//! What a delivery costs on feeds that are each member's own: the sidebar (`chatUpdated`) and the
//! whole account (`accountEvents`), and how often a message asks the store.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::account::User;
use super::crowd;
use super::deliveries::{Paths, Room};
use super::metrics;
use super::outcome::{Context as _, Outcome};
use super::process::{self, Home, Process, between};
use super::readers::{Readers, open_all};
use super::socket::Socket;
use super::stats::{Clock, float};

/// Members of the one group, and how many of them are online at a time.
const MEMBERS: usize = 1000;
const ONLINE: [usize; 3] = [1, 100, MEMBERS];
/// Messages of one measurement: fewer than are told before the next checkpoint.
const MESSAGES: u64 = 200;
/// Messages before it. The first has each viewer's count read.
const WARM_UP: u64 = 20;
/// How long feeds may take to open: no frame says that they have.
const OPENING: Duration = Duration::from_secs(3);

/// A feed, with what a usual client selects.
#[derive(Clone, Copy, Debug)]
struct Feed {
    name: &'static str,
    query: &'static str,
    /// Frames that come before the first message.
    greets: bool,
}

const FEEDS: [Feed; 2] = [
    Feed {
        name: "chatUpdated",
        query: "subscription { chatUpdated { id title unreadCount isMutedByViewer \
            lastMessage { id seq text createdAt sender { id name } } } }",
        greets: false,
    },
    Feed {
        name: "accountEvents",
        query: "subscription { accountEvents { __typename cursor \
            ... on MessageAdded { message { id seq text createdAt sender { id name } } } \
            ... on AccountCheckpoint { isCaughtUp } } }",
        greets: true,
    },
];

/// The names of the feeds.
pub(super) const NAMES: [&str; 2] = [FEEDS[0].name, FEEDS[1].name];

/// The fewest and the most viewers.
pub(super) const ENDS: [usize; 2] = [ONLINE[0], MEMBERS];

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Personal {
    pub(super) feed: &'static str,
    pub(super) viewers: usize,
    /// Microseconds of the server's processors for each delivery, the sends among them.
    pub(super) server_cpu: f64,
    /// Deliveries a second, with one message at a time.
    pub(super) rate: f64,
    /// Calls of the store for each message.
    pub(super) store_calls: f64,
}

/// Measures both feeds on a fresh server.
pub(super) async fn measure(binary: &Path, clock: Clock) -> Outcome<Vec<Personal>> {
    let (metrics, setting) = metrics::page()?;
    let home = Home::with(binary, vec![setting])?;
    let (server, _) = home.start().await?;
    let members = crowd::sign_in(&home, &server, MEMBERS).await?;
    let owner = members.first().context("nobody is there")?;
    let tokens = [owner.token.clone(), owner.token.clone()];
    let chat = crowd::group(&server, &members).await?;
    let room = Room::new(Paths::SERVER, chat, tokens);
    let servers = [server];
    let mut found = Vec::new();
    for feed in FEEDS {
        for viewers in ONLINE {
            let online = &members[..viewers];
            let measured = round(&servers, &room, feed, online, metrics, clock).await;
            found.push(measured.context(format_args!("{} to {viewers}", feed.name))?);
        }
    }
    let [server] = servers;
    server.stop().await?;
    Ok(found)
}

async fn round(
    servers: &[Process],
    room: &Room,
    feed: Feed,
    online: &[User],
    metrics: SocketAddr,
    clock: Clock,
) -> Outcome<Personal> {
    let server = servers.first().context("no server")?;
    let open = online.iter().map(|member| async {
        let mut socket = Socket::connect(server.address, "/graphql", &member.token).await?;
        socket.subscribe("1", feed.query, &json!({})).await?;
        if feed.greets {
            socket.text().await?;
        }
        Ok(socket)
    });
    let sockets = open_all(open).await?;
    if !feed.greets {
        sleep(OPENING).await;
    }
    let anchor = room.anchor(server, clock).await?;
    // What was sent to find the place is told as well.
    let mut readers = Readers::start(sockets, anchor.seq - 1, clock)?;
    readers.all_received(1).await?;
    let mut sent = 1;
    for _ in 0..WARM_UP {
        room.anchor(server, clock).await?;
        sent += 1;
        readers.all_received(sent).await?;
    }
    let calls = store_calls(metrics).await?;
    let (cpu, started) = (process::cpu(servers)?, Instant::now());
    for _ in 0..MESSAGES {
        room.anchor(server, clock).await?;
        sent += 1;
        readers.all_received(sent).await?;
    }
    let took = started.elapsed();
    let [server_cpu, _] = between(cpu, process::cpu(servers)?);
    let calls = store_calls(metrics).await? - calls;
    let deliveries = float(MESSAGES) * float(u64::try_from(online.len())?);
    Ok(Personal {
        feed: feed.name,
        viewers: online.len(),
        server_cpu: server_cpu.as_secs_f64() * 1e6 / deliveries,
        rate: deliveries / took.as_secs_f64(),
        store_calls: calls / float(MESSAGES),
    })
}

/// How often the store was called so far.
async fn store_calls(metrics: SocketAddr) -> Outcome<f64> {
    let calls = metrics::store_calls(metrics).await?;
    Ok(calls.values().sum())
}
