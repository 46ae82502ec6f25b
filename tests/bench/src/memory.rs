//! What an idle socket holds, and what each stage of it adds: the connection, the WebSocket, the
//! sign-in, a subscription. Each stage has a server of its own: what a socket has freed again, such
//! as the buffers of its upgrade, stays with the process for the next one.
//!
//! Resident memory of the server's process is divided by the number of sockets. The kernel's
//! buffers of a connection are not in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;

use super::account::{self, User, text};
use super::deliveries::{Anchor, Paths, Room};
use super::frames::position;
use super::http::Connection;
use super::metrics;
use super::outcome::{Context as _, Outcome};
use super::process::{Home, Process};
use super::readers::{Readers, open_all};
use super::socket::Socket;
use super::stats::{Clock, float, median};

const USERS: usize = 16;
const NEIGHBOURS: usize = 4;
/// Groups of all these users, which `accountEvents` then is about.
const GROUPS: usize = 100;

/// Pause between two looks at a process's memory, and how many must show the same.
const LOOK: Duration = Duration::from_millis(100);
const SAME: usize = 5;
const MOST_LOOKS: usize = 50;
/// What counts as the same, in bytes.
const TOLERANCE: u64 = 64 * 1024;

/// Sockets whose blocks are counted: each has the same.
pub(super) const COUNTED: usize = 1000;

/// Sockets stay at a stage while the memory is looked at, and nobody answers for them.
const PATIENCE: [&str; 3] = [
    "http.idle_timeout=10m",
    "http.websocket.init_timeout=1m",
    "http.websocket.ping_interval=10m",
];

/// How many sizes of blocks are shown of a stage.
const SHOWN: usize = 24;

const ACCOUNT: &str = "subscription { accountEvents { __typename cursor \
    ... on MessageAdded { message { id seq text createdAt sender { id name } } } \
    ... on AccountCheckpoint { isCaughtUp } } }";

/// Resident bytes for each socket of a server that has no stages.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Memory {
    /// Before its first message.
    pub(super) idle: f64,
    /// After it.
    pub(super) used: f64,
}

/// How far sockets go: each stage holds what the ones before hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Depth {
    Connection,
    WebSocket,
    SignedIn,
    Follow,
    Account,
}

impl Depth {
    const ALL: [Self; 5] = [
        Self::Connection,
        Self::WebSocket,
        Self::SignedIn,
        Self::Follow,
        Self::Account,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Connection => "a connection",
            Self::WebSocket => "a WebSocket",
            Self::SignedIn => "signed in",
            Self::Follow => "idle messageAdded",
            Self::Account => "idle accountEvents, 100 chats",
        }
    }

    /// The stage from which it goes on.
    const fn before(self) -> Option<Self> {
        match self {
            Self::Connection => None,
            Self::WebSocket => Some(Self::Connection),
            Self::SignedIn => Some(Self::WebSocket),
            Self::Follow | Self::Account => Some(Self::SignedIn),
        }
    }
}

/// What sockets hold that went so far, on a server of their own.
#[derive(Debug, Serialize)]
pub(super) struct Stage {
    pub(super) depth: Depth,
    /// Bytes of each socket.
    pub(super) idle: f64,
    /// The same after its first message, where it follows messages.
    pub(super) used: Option<f64>,
    /// Sizes of blocks on the heap, and how many of them each socket has. Empty where blocks are not
    /// counted.
    pub(super) blocks: BTreeMap<usize, f64>,
}

/// All stages once.
pub(super) type Stages = Vec<Stage>;

/// What is looked at.
#[derive(Clone, Copy, Debug)]
enum Look {
    /// The process's resident memory.
    Resident,
    /// Blocks on the heap, which the server of the feature `heap` tells here.
    Heap(SocketAddr),
}

/// One look at a server.
struct Reading {
    bytes: u64,
    blocks: BTreeMap<usize, i64>,
}

/// The stages by their resident memory.
pub(super) async fn resident(binary: &Path, sockets: usize, clock: Clock) -> Outcome<Stages> {
    let mut stages = Vec::new();
    for depth in Depth::ALL {
        let home = Home::with(binary, settings())?;
        stages.push(Box::pin(stage(&home, depth, sockets, Look::Resident, clock)).await?);
    }
    Ok(stages)
}

/// The stages by what lives on the heap, of a server that counts it.
pub(super) async fn heap(clock: Clock) -> Outcome<Stages> {
    let mut stages = Vec::new();
    for depth in Depth::ALL {
        let (page, setting) = metrics::page()?;
        let settings = settings().into_iter().chain([setting]);
        let home = Home::of_role("heap-server", settings.collect())?;
        stages.push(Box::pin(stage(&home, depth, COUNTED, Look::Heap(page), clock)).await?);
    }
    Ok(stages)
}

fn settings() -> Vec<String> {
    PATIENCE.map(str::to_owned).to_vec()
}

/// Opens sockets on a fresh server, and looks. They belong to 16 users, and follow their 64 direct
/// chats evenly, or their 100 groups.
async fn stage(
    home: &Home,
    depth: Depth,
    sockets: usize,
    look: Look,
    clock: Clock,
) -> Outcome<Stage> {
    let (server, _) = home.start().await?;
    let users = account::sign_in(home, &server, "idle", USERS).await?;
    let mut rooms = Vec::new();
    match depth {
        Depth::Account => groups(&server, &users).await?,
        _ => {
            for chat in account::ring(&server, &users, NEIGHBOURS).await? {
                let tokens = [0, 1].map(|end| users[chat.members[end]].token.clone());
                rooms.push(Room::new(Paths::SERVER, chat.id, tokens));
            }
        }
    }
    let mut anchors = Vec::new();
    for room in &rooms {
        anchors.push(room.anchor(&server, clock).await?);
    }
    let before = look.at(&server).await?;
    let open = (0..sockets).map(|number| {
        let (server, rooms, anchors, users) = (&server, &rooms, &anchors, &users);
        async move {
            if depth == Depth::Follow {
                let (room, turn) = (number % rooms.len(), number / rooms.len());
                return rooms[room].subscriber(server, &anchors[room], turn).await;
            }
            open(server, depth, &users[number % USERS].token).await
        }
    });
    let sockets = open_all(open).await?;
    let count = float(sockets.len() as u64);
    let each = |bytes: u64| float(bytes.saturating_sub(before.bytes)) / count;
    let now = look.at(&server).await?;
    let mut stage = Stage {
        depth,
        idle: each(now.bytes),
        used: None,
        blocks: BTreeMap::new(),
    };
    for (size, blocks) in now.blocks {
        let more = blocks - before.blocks.get(&size).unwrap_or(&0);
        let more = float(u64::try_from(more).unwrap_or(0)) / count;
        // What a few sockets have is chance.
        if more > 0.05 {
            stage.blocks.insert(size, more);
        }
    }
    if depth == Depth::Follow {
        receive(&server, &rooms, &anchors, sockets, clock).await?;
        stage.used = Some(each(look.at(&server).await?.bytes));
    } else {
        drop(sockets);
    }
    server.stop().await?;
    Ok(stage)
}

/// Opens a socket that goes so far.
async fn open(server: &Process, depth: Depth, token: &str) -> Outcome<Socket> {
    let mut socket = Socket::dial(server.address).await?;
    if depth != Depth::Connection {
        socket.upgrade("/graphql").await?;
    }
    if matches!(depth, Depth::SignedIn | Depth::Account) {
        socket.sign_in(token).await?;
    }
    if depth == Depth::Account {
        socket.subscribe("1", ACCOUNT, &json!({})).await?;
        // All that there is has then been told.
        while position(socket.text().await?.as_bytes(), b"\"isCaughtUp\":true").is_none() {}
    }
    Ok(socket)
}

/// Sends each socket a message. Proves, too, that each of them is subscribed.
async fn receive(
    server: &Process,
    rooms: &[Room],
    anchors: &[Anchor],
    sockets: Vec<Socket>,
    clock: Clock,
) -> Outcome<()> {
    let after = anchors.first().map_or(0, |anchor| anchor.seq);
    let mut readers = Readers::start(sockets, after, clock)?;
    for room in rooms {
        room.anchor(server, clock).await?;
    }
    readers.all_received(1).await
}

/// Makes groups of all these users.
async fn groups(server: &Process, users: &[User]) -> Outcome<()> {
    const CREATE: &str = "mutation($input: CreateGroupInput!) { \
        createGroup(input: $input) { chat { id } } }";
    let (owner, others) = users.split_first().context("nobody is there")?;
    let others: Vec<_> = others.iter().map(User::id).collect();
    let mut connection = Connection::open(server.address).await?;
    for number in 0..GROUPS {
        let input = json!({ "input": { "title": format!("{number}"), "memberIds": others } });
        let made = connection.graphql(Some(&owner.token), CREATE, input);
        text(&made.await?["createGroup"]["chat"]["id"])?;
    }
    Ok(())
}

/// Opens sockets that are subscribed, looks, sends each a message, and looks again.
pub(super) async fn idle(
    server: &Process,
    rooms: &[Room],
    sockets: usize,
    clock: Clock,
) -> Outcome<Memory> {
    let mut anchors = Vec::new();
    for room in rooms {
        anchors.push(room.anchor(server, clock).await?);
    }
    let before = settled(server).await?;
    let open = (0..sockets).map(|number| {
        let (room, turn) = (number % rooms.len(), number / rooms.len());
        rooms[room].subscriber(server, &anchors[room], turn)
    });
    let sockets = open_all(open).await?;
    let count = float(sockets.len() as u64);
    let each = |memory: u64| float(memory.saturating_sub(before)) / count;
    let idle = each(settled(server).await?);
    receive(server, rooms, &anchors, sockets, clock).await?;
    let used = each(settled(server).await?);
    Ok(Memory { idle, used })
}

impl Look {
    async fn at(self, server: &Process) -> Outcome<Reading> {
        let bytes = settled(server).await?;
        let Self::Heap(page) = self else {
            return Ok(Reading {
                bytes,
                blocks: BTreeMap::new(),
            });
        };
        let mut connection = Connection::open(page).await?;
        let request = format!("GET /heap HTTP/1.1\r\nHost: {page}\r\n\r\n");
        let answer = connection.send(request.as_bytes()).await?;
        let blocks: Vec<(usize, i64)> = serde_json::from_slice(answer.body)?;
        let bytes = blocks.iter().map(|(size, count)| {
            let count = u64::try_from(*count).unwrap_or(0);
            count.saturating_mul(*size as u64)
        });
        Ok(Reading {
            bytes: bytes.sum(),
            blocks: blocks.into_iter().collect(),
        })
    }
}

/// The server's memory once it has stopped changing.
async fn settled(server: &Process) -> Outcome<u64> {
    let mut last = server.memory()?;
    let mut same = 0;
    for _ in 0..MOST_LOOKS {
        sleep(LOOK).await;
        let now = server.memory()?;
        same = if now.abs_diff(last) <= TOLERANCE {
            same + 1
        } else {
            0
        };
        last = now;
        if same == SAME {
            break;
        }
    }
    Ok(last)
}

/// A figure of a stage, in the median of all rounds, in KiB.
fn kib(rounds: &[Stages], depth: Depth, part: fn(&Stage) -> Option<f64>) -> f64 {
    let stages = rounds.iter().flatten().filter(|stage| stage.depth == depth);
    median(stages.filter_map(part)) / 1024.0
}

/// The memory of an idle `messageAdded`, and of an idle `accountEvents`, in KiB.
pub(super) fn idle_kib(rounds: &[Stages]) -> [f64; 2] {
    [Depth::Follow, Depth::Account].map(|depth| kib(rounds, depth, |stage| Some(stage.idle)))
}

/// The stages, as a table.
pub(super) fn table(out: &mut String, sockets: usize, rounds: &[Stages]) -> Outcome<()> {
    if rounds.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n{:<48}{:>10}{:>10}",
        format!("resident, of each of {sockets} sockets, KiB"),
        "holds",
        "adds"
    )?;
    let idle = |depth| kib(rounds, depth, |stage| Some(stage.idle));
    for depth in Depth::ALL {
        let (holds, before) = (idle(depth), depth.before().map_or(0.0, idle));
        writeln!(
            out,
            "{:<48}{holds:>10.1}{:>10.1}",
            depth.name(),
            holds - before
        )?;
        let used = kib(rounds, depth, |stage| stage.used);
        if used > 0.0 {
            let name = "  after its first message";
            writeln!(out, "{name:<48}{used:>10.1}{:>10.1}", used - holds)?;
        }
    }
    Ok(())
}

/// The blocks that each stage adds, as a table.
pub(super) fn blocks_table(out: &mut String, stages: &[Stage]) -> Outcome<()> {
    writeln!(out, "\nlive bytes on the heap of each of {COUNTED} sockets")?;
    for stage in stages {
        let before = stages
            .iter()
            .find(|one| Some(one.depth) == stage.depth.before());
        let count_before = |size| before.and_then(|one| one.blocks.get(size)).unwrap_or(&0.0);
        let sizes = stage
            .blocks
            .keys()
            .chain(before.iter().flat_map(|one| one.blocks.keys()));
        let sizes: BTreeSet<_> = sizes.collect();
        let added = sizes.into_iter().map(|size| {
            let count = stage.blocks.get(size).unwrap_or(&0.0) - count_before(size);
            (*size, count, count * float(*size as u64))
        });
        let mut added: Vec<_> = added.filter(|(_, count, _)| count.abs() > 0.05).collect();
        added.sort_by(|(_, _, a), (_, _, b)| b.abs().total_cmp(&a.abs()));
        let adds = stage.idle - before.map_or(0.0, |one| one.idle);
        let name = stage.depth.name();
        writeln!(out, "{name:<36}holds {:>6.0}, adds {adds:>6.0}", stage.idle)?;
        for (size, count, bytes) in added.iter().take(SHOWN) {
            writeln!(out, "    {count:>6.2} of {size:>6} bytes: {bytes:>7.0}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_told_with_what_each_adds() {
        let stage = |depth, idle, large| Stage {
            depth,
            idle,
            used: (depth == Depth::Follow).then_some(idle + 512.0),
            blocks: BTreeMap::from([(64, 1.5), (1024, large)]),
        };
        let stages = || {
            vec![
                stage(Depth::SignedIn, 1024.0, 1.0),
                stage(Depth::Follow, 4096.0, 3.0),
                stage(Depth::Account, 8192.0, 1.0),
            ]
        };
        let rounds = [stages(), stages()];
        let idle = idle_kib(&rounds).map(|kib| format!("{kib:.1}"));
        assert_eq!(idle, ["4.0", "8.0"]);
        let mut out = String::new();
        table(&mut out, 10, &rounds).unwrap();
        let rows: Vec<Vec<_>> = out.lines().map(|row| row.split(' ').collect()).collect();
        let figures = |row: &[&str]| {
            let figures = row.iter().filter(|word| word.parse::<f64>().is_ok());
            figures.map(|word| (*word).to_owned()).collect::<Vec<_>>()
        };
        let row = |name: &str| {
            rows.iter()
                .find(|row| row.join(" ").starts_with(name))
                .unwrap()
        };
        assert_eq!(figures(row("idle messageAdded")), ["4.0", "3.0"]);
        assert_eq!(figures(row("  after its first")), ["4.5", "0.5"]);
        assert!(figures(row("idle accountEvents")).ends_with(&["7.0".to_owned()]));
        let mut out = String::new();
        blocks_table(&mut out, &rounds[0]).unwrap();
        assert!(out.contains("2.00 of   1024 bytes:    2048"), "{out}");
    }
}
