//! What an idle socket holds, and what each stage of it adds: the connection, the WebSocket, the
//! sign-in, a subscription.
//!
//! Resident memory of the server's process is divided by the number of sockets. The kernel's
//! buffers of a connection are not in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;

use super::account::{self, User, text};
use super::deliveries::{Paths, Room};
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

/// What each socket holds at the end of each stage.
#[derive(Debug, Serialize)]
pub(super) struct Stages {
    /// How far sockets with `messageAdded` came: each stage with its bytes for each socket.
    pub(super) follow: Vec<Stage>,
    /// The same with `accountEvents` over 100 chats.
    pub(super) account: Vec<Stage>,
}

/// One stage of all sockets.
#[derive(Debug, Serialize)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    /// Bytes for each socket, those of the stages before among them.
    pub(super) bytes: f64,
    /// Of what came with this stage: sizes of blocks on the heap, and how many of them each socket
    /// has. Empty where blocks are not counted.
    pub(super) blocks: Vec<(usize, f64)>,
}

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Look {
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

/// The stages with a fresh server each, by their resident memory. The sockets belong to 16 users, and
/// follow their 64 direct chats evenly, or their 100 groups.
pub(super) async fn measure(
    home: &[Home; 2],
    sockets: usize,
    look: Look,
    clock: Clock,
) -> Outcome<Stages> {
    let [follow, account] = home;
    Ok(Stages {
        follow: Box::pin(follow_stages(follow, sockets, look, clock)).await?,
        account: Box::pin(account_stages(account, sockets, look)).await?,
    })
}

/// What blocks on the heap the stages add, by a server that counts them.
pub(super) async fn heap(sockets: usize, clock: Clock) -> Outcome<Stages> {
    let (page, setting) = metrics::page()?;
    let home = || Home::of_role("heap-server", vec![setting.clone()]);
    measure(&[home()?, home()?], sockets, Look::Heap(page), clock).await
}

async fn follow_stages(
    home: &Home,
    sockets: usize,
    look: Look,
    clock: Clock,
) -> Outcome<Vec<Stage>> {
    let (server, _) = home.start().await?;
    let users = account::sign_in(home, &server, "idle", USERS).await?;
    let chats = account::ring(&server, &users, NEIGHBOURS).await?;
    let mut rooms = Vec::new();
    for chat in chats {
        let tokens = chat.members.map(|member| users[member].token.clone());
        let room = Room::new(Paths::SERVER, chat.id, tokens);
        let anchor = room.anchor(&server, clock).await?;
        rooms.push((room, anchor));
    }
    let (room_of, count) = (|number: usize| &rooms[number % rooms.len()], rooms.len());
    let mut stages = Taken::start(&server, look, sockets).await?;
    let mut sockets = stages
        .connect(|n| room_of(n).0.tokens[n / count % 2].as_str())
        .await?;
    sockets = step(sockets, async |number, socket| {
        let (room, anchor) = room_of(number);
        socket.follow(room.following(anchor, number / count)).await
    })
    .await?;
    stages.take("idle messageAdded").await?;
    // Proves, too, that each of them is subscribed.
    let after = rooms.first().map_or(0, |(_, anchor)| anchor.seq);
    let mut readers = Readers::start(sockets, after, clock)?;
    for (room, _) in &rooms {
        room.anchor(&server, clock).await?;
    }
    readers.all_received(1).await?;
    stages.take("after its first message").await?;
    drop(readers);
    let stages = stages.all;
    server.stop().await?;
    Ok(stages)
}

async fn account_stages(home: &Home, sockets: usize, look: Look) -> Outcome<Vec<Stage>> {
    let (server, _) = home.start().await?;
    let users = account::sign_in(home, &server, "account", USERS).await?;
    groups(&server, &users).await?;
    let mut stages = Taken::start(&server, look, sockets).await?;
    let sockets = stages.connect(|n| users[n % USERS].token.as_str()).await?;
    let sockets = step(sockets, async |_, socket| {
        socket.subscribe("1", ACCOUNT, &json!({})).await?;
        // All that there is has then been told.
        while position(socket.text().await?.as_bytes(), b"\"isCaughtUp\":true").is_none() {}
        Ok(())
    })
    .await?;
    stages.take("idle accountEvents, 100 chats").await?;
    drop(sockets);
    let stages = stages.all;
    server.stop().await?;
    Ok(stages)
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

/// The stages of the sockets of one server so far.
struct Taken<'a> {
    server: &'a Process,
    look: Look,
    sockets: usize,
    first: Reading,
    last: BTreeMap<usize, i64>,
    all: Vec<Stage>,
}

impl<'a> Taken<'a> {
    async fn start(server: &'a Process, look: Look, sockets: usize) -> Outcome<Self> {
        let first = look.at(server).await?;
        Ok(Self {
            server,
            look,
            sockets,
            last: first.blocks.clone(),
            first,
            all: Vec::new(),
        })
    }

    /// Opens the sockets and signs them in, with a look at each stage.
    async fn connect<'t>(&mut self, token_of: impl Fn(usize) -> &'t str) -> Outcome<Vec<Socket>> {
        let address = self.server.address;
        let mut sockets = open_all((0..self.sockets).map(|_| Socket::dial(address))).await?;
        self.take("a connection").await?;
        sockets = step(sockets, async |_, socket| socket.upgrade("/graphql").await).await?;
        self.take("a WebSocket").await?;
        let sign_in = async |number, socket: &mut Socket| socket.sign_in(token_of(number)).await;
        sockets = step(sockets, sign_in).await?;
        self.take("signed in").await?;
        Ok(sockets)
    }

    /// Looks at the end of a stage.
    async fn take(&mut self, name: &'static str) -> Outcome<()> {
        let now = self.look.at(self.server).await?;
        let count = float(self.sockets as u64);
        let blocks = now.blocks.iter().map(|(size, blocks)| {
            let more = blocks - self.last.get(size).unwrap_or(&0);
            (*size, float(u64::try_from(more).unwrap_or(0)) / count)
        });
        // What a few sockets have is chance.
        let blocks = blocks.filter(|(_, blocks)| *blocks > 0.05).collect();
        self.all.push(Stage {
            name,
            bytes: float(now.bytes.saturating_sub(self.first.bytes)) / count,
            blocks,
        });
        self.last = now.blocks;
        Ok(())
    }
}

/// Goes on with all sockets, a few at a time.
async fn step(
    sockets: Vec<Socket>,
    one: impl AsyncFn(usize, &mut Socket) -> Outcome<()>,
) -> Outcome<Vec<Socket>> {
    let one = &one;
    let steps = sockets.into_iter().enumerate();
    open_all(steps.map(|(number, mut socket)| async move {
        one(number, &mut socket).await?;
        Ok(socket)
    }))
    .await
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
    let after = anchors.first().map_or(0, |anchor| anchor.seq);
    let before = settled(server).await?;
    let open = (0..sockets).map(|number| {
        let (room, turn) = (number % rooms.len(), number / rooms.len());
        rooms[room].subscriber(server, &anchors[room], turn)
    });
    let sockets = open_all(open).await?;
    let count = float(sockets.len() as u64);
    let each = |memory: u64| float(memory.saturating_sub(before)) / count;
    let idle = each(settled(server).await?);
    // Proves, too, that each of them is subscribed.
    let mut readers = Readers::start(sockets, after, clock)?;
    for room in rooms {
        room.anchor(server, clock).await?;
    }
    readers.all_received(1).await?;
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

/// The bytes for each socket at the end of a stage, in the median of all rounds.
pub(super) fn bytes_of(rounds: &[Stages], part: fn(&Stages) -> &[Stage], name: &str) -> f64 {
    let stage = |round| part(round).iter().find(|stage: &&Stage| stage.name == name);
    median(rounds.iter().filter_map(|round| Some(stage(round)?.bytes)))
}

/// The memory of an idle subscription, and of one with `accountEvents`, in KiB.
pub(super) fn idle_kib(rounds: &[Stages]) -> [f64; 2] {
    let follow = bytes_of(rounds, |round| &round.follow, "idle messageAdded");
    let account = bytes_of(
        rounds,
        |round| &round.account,
        "idle accountEvents, 100 chats",
    );
    [follow / 1024.0, account / 1024.0]
}

/// The stages, as a table.
pub(super) fn table(out: &mut String, sockets: usize, rounds: &[Stages]) -> Outcome<()> {
    let Some(first) = rounds.first() else {
        return Ok(());
    };
    writeln!(
        out,
        "\n{:<48}{:>10}{:>10}",
        format!("resident, of each of {sockets} sockets, KiB"),
        "holds",
        "adds"
    )?;
    let parts: [fn(&Stages) -> &[Stage]; 2] = [|round| &round.follow, |round| &round.account];
    for part in parts {
        let mut before = 0.0;
        for Stage { name, .. } in part(first) {
            let holds = bytes_of(rounds, part, name) / 1024.0;
            writeln!(out, "{name:<48}{holds:>10.1}{:>10.1}", holds - before)?;
            before = holds;
        }
    }
    Ok(())
}

/// The blocks that each stage adds, as a table.
pub(super) fn blocks_table(out: &mut String, sockets: usize, stages: &Stages) -> Outcome<()> {
    let Stages { follow, account } = stages;
    for (feed, stages) in [("messageAdded", follow), ("accountEvents", account)] {
        writeln!(
            out,
            "\nlive bytes on the heap of each of {sockets} sockets with {feed}"
        )?;
        let mut before = 0.0;
        for stage in stages {
            let count: f64 = stage.blocks.iter().map(|(_, blocks)| blocks).sum();
            writeln!(
                out,
                "{:<36}{:>9.0}  adds {:>7.0} in {count:.1} blocks",
                stage.name,
                stage.bytes,
                stage.bytes - before
            )?;
            before = stage.bytes;
            let weight = |(size, blocks): &(usize, f64)| float(*size as u64) * blocks;
            let mut heaviest = stage.blocks.clone();
            heaviest.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
            for block in heaviest.iter().take(SHOWN) {
                let (size, blocks) = block;
                let bytes = weight(block);
                writeln!(out, "    {blocks:>6.2} of {size:>6} bytes: {bytes:>7.0}")?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_told_with_what_each_adds() {
        let stage = |name, bytes| Stage {
            name,
            bytes,
            blocks: vec![(64, 1.5), (1024, 1.0)],
        };
        let stages = || Stages {
            follow: vec![
                stage("a connection", 1024.0),
                stage("idle messageAdded", 4096.0),
            ],
            account: vec![stage("idle accountEvents, 100 chats", 2048.0)],
        };
        let rounds = [stages(), stages()];
        assert_eq!(idle_kib(&rounds), [4.0, 2.0]);
        let mut out = String::new();
        table(&mut out, 10, &rounds).unwrap();
        let row = out
            .lines()
            .find(|line| line.starts_with("idle messageAdded"));
        let row: Vec<_> = row.unwrap().split_whitespace().collect();
        assert_eq!(row[2..], ["4.0", "3.0"]);
        let mut out = String::new();
        blocks_table(&mut out, 10, &rounds[0]).unwrap();
        assert!(out.contains("1.00 of   1024 bytes:    1024"), "{out}");
    }
}
