//! Attacks by very many connections, beside neighbours who send: a thousand of each way, of all
//! ways together, and from one address; and connections that take a server's files.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::crowd::{Attacker, Shared, Way};
use super::neighbour::{Neighbours, Seen};
use super::peer::{ask, place};
use super::people::{self, Person};
use super::report::{Check, Row};
use super::swarm::Swarm;
use super::watch::Watch;
use crate::http::dial;
use crate::outcome::{Context as _, Outcome};
use crate::process::{Home, Process};
use crate::run::say;
use crate::stats::float;

/// The most memory that a thousand of them may take, in MiB, and how many times as long a
/// neighbour's send may take at its p99.
const MIB: f64 = 64.0;
const TIMES: f64 = 3.0;

/// A p99 below this many milliseconds is the machine's noise.
const NOISE: f64 = 1.0;

/// Sockets of one account, and the most memory that they may take, in MiB.
const OF_ACCOUNT: usize = 100;
const ACCOUNT_MIB: f64 = 16.0;

/// Attackers with an account, and connections from one address.
const ACCOUNTS: usize = 50;
const OF_ADDRESS: usize = 5;

/// Attackers come from behind this number of an address.
const PLACES: usize = 100_000;

/// How long an attack goes on, and how long quiet is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) connections: usize,
    pub(super) attack: Duration,
    pub(super) quiet: Duration,
}

/// Whence the connections of an attack come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Five from each address.
    Many,
    /// All from one.
    One,
    /// As many as one account may have, of one account.
    Account,
}

struct Site {
    server: Process,
    watch: Watch,
    neighbours: Neighbours,
    people: Vec<Person>,
    chat: String,
    plan: Plan,
    /// How many attacks there were: each comes from addresses of its own.
    attacks: usize,
}

/// All of them, on one server with the settings that it has by itself.
pub(super) async fn attack(binary: &Path, plan: Plan) -> Outcome<Vec<Row>> {
    let home = Home::with_limits(binary, Vec::new())?;
    let (server, _) = home.start().await?;
    let people = people::sign_in(&home, &server, "swarm", ACCOUNTS, PLACES - ACCOUNTS).await?;
    let [one, other, ..] = &*people else {
        return Err("nobody attacks".into());
    };
    let chat = one.start_chat(server.address, other).await?;
    let mut site = Site {
        watch: Watch::of(&server),
        neighbours: Neighbours::sign_in(&home, &server).await?,
        server,
        people,
        chat,
        plan,
        attacks: 0,
    };
    let count = plan.connections;
    let mut rows = Vec::new();
    for way in Way::ALL {
        let name = format!("{count} {}", way.name());
        rows.push(site.attack(&name, &[way], Source::Many).await?);
    }
    for way in [Way::Silent, Way::Anonymous] {
        let name = format!("{count} {}, one address", way.name());
        rows.push(site.attack(&name, &[way], Source::One).await?);
    }
    let name = format!("{OF_ACCOUNT} {}, one account", Way::Hoards.name());
    rows.push(site.attack(&name, &[Way::Hoards], Source::Account).await?);
    let name = format!("{count} of all these together");
    rows.push(site.attack(&name, &Way::ALL, Source::Many).await?);
    site.server.stop().await?;
    rows.push(few_files(binary).await?);
    rows.push(deadlines(binary).await?);
    Ok(rows)
}

impl Site {
    async fn attack(&mut self, name: &str, ways: &[Way], source: Source) -> Outcome<Row> {
        say(name);
        let quiet = self.neighbours.watch(self.plan.quiet).await?;
        let shared = Arc::new(Shared::default());
        let mark = self.watch.mark()?;
        let swarm = Swarm::new()?;
        self.attacks += 1;
        let (connections, accounts, most) = match source {
            Source::Account => (OF_ACCOUNT, 1, ACCOUNT_MIB),
            Source::Many | Source::One => (self.plan.connections, self.people.len(), MIB),
        };
        for number in 0..connections {
            let way = ways.get(number % ways.len()).context("no way")?;
            // One of each way from each of them.
            let person = self.people.get(number / ways.len() % accounts);
            let place = match source {
                Source::Many | Source::Account => {
                    PLACES + self.attacks * 10_000 + number / OF_ADDRESS
                }
                Source::One => PLACES + self.attacks * 10_000,
            };
            let attacker = Attacker {
                server: self.server.address,
                place: super::peer::place(place),
                token: person.context("nobody attacks")?.token.clone(),
                chat: self.chat.clone(),
                shared: Arc::clone(&shared),
            };
            swarm.spawn(attacker.attack(*way))?;
        }
        let under = self.neighbours.watch(self.plan.attack).await?;
        let spent = self.watch.since(mark)?;
        let (mut codes, refused_after) = shared.ends();
        for _ in 0..shared.open.load(Ordering::Relaxed) {
            codes.add("open");
        }
        drop(swarm);
        let mut row = Row::new(name, spent, &codes);
        row.refused_after = refused_after;
        row.neighbour = Some([quiet.latency.p99, under.latency.p99]);
        row.checks = vec![
            Check::memory(spent.memory, most),
            neighbour(quiet, under),
            Check::at_most("neighbours' failures", float(under.failed), 0.0, ""),
        ];
        // What the server still holds of this attack must not count for the next.
        self.settle().await?;
        Ok(row)
    }

    /// Waits until the server has let go of the connections.
    async fn settle(&self) -> Outcome<()> {
        let until = Instant::now() + Duration::from_secs(30);
        let few = self.plan.connections / 20 + 100;
        while Instant::now() < until && self.watch.files()? > few {
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

/// A neighbour's send under an attack, of one in quiet.
pub(super) fn neighbour(quiet: Seen, under: Seen) -> Check {
    let times = under.latency.p99 / quiet.latency.p99.max(NOISE);
    Check::at_most("neighbour's p99", times, TIMES, "×")
}

/// 320 silent connections from one address to a server that may have 300 files open: others are
/// let in all the same.
async fn few_files(binary: &Path) -> Outcome<Row> {
    const NAME: &str = "320 silent connections, 300 files allowed";
    say(NAME);
    let home = Home::with_limits(binary, Vec::new())?.few_files(300);
    let (server, _) = home.start().await?;
    let watch = Watch::of(&server);
    let mark = watch.mark()?;
    let mut held = Vec::new();
    for _ in 0..320 {
        let silent = dial(place(1), server.address);
        if let Ok(Ok(stream)) = timeout(Duration::from_secs(1), silent).await {
            held.push(stream);
        }
    }
    let asked = Instant::now();
    let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = ask(place(9_000), server.address, request).await;
    let took = asked.elapsed();
    let is_answered = answer.is_ok_and(|answer| answer.text.starts_with("HTTP/1.1 200"));
    let spent = watch.since(mark)?;
    drop(held);
    let mut codes = super::peer::Codes::default();
    codes.add(if is_answered {
        "another is let in"
    } else {
        "another is kept out"
    });
    let mut row = Row::new(NAME, spent, &codes);
    row.checks = vec![
        Check::at_least(
            "answers to another",
            f64::from(u8::from(is_answered)),
            1.0,
            "",
        ),
        Check::at_most("answered after", took.as_secs_f64(), 5.0, "s"),
    ];
    server.stop().await?;
    Ok(row)
}

/// Slow requests end by their deadlines, which are short here so that it is seen.
async fn deadlines(binary: &Path) -> Outcome<Row> {
    const NAME: &str = "200 slow heads and bodies, deadlines of 2 s";
    say(NAME);
    let settings = [
        "http.head_timeout=2s",
        "http.idle_timeout=2s",
        "http.body_timeout=2s",
    ];
    let settings = settings.map(str::to_owned).to_vec();
    let home = Home::with_limits(binary, settings)?;
    let (server, _) = home.start().await?;
    let watch = Watch::of(&server);
    let (files, mark, started) = (watch.files()?, watch.mark()?, Instant::now());
    let (swarm, shared) = (Swarm::new()?, Arc::new(Shared::default()));
    for number in 0..200 {
        let attacker = Attacker {
            server: server.address,
            place: place(number),
            token: String::new(),
            chat: String::new(),
            shared: Arc::clone(&shared),
        };
        let way = if number % 2 == 0 {
            Way::SlowHead
        } else {
            Way::SlowBody
        };
        swarm.spawn(attacker.attack(way))?;
    }
    // As long as the deadline, they are there.
    sleep(Duration::from_secs(1)).await;
    while started.elapsed() < Duration::from_secs(20) && watch.files()? > files {
        sleep(Duration::from_millis(50)).await;
    }
    let took = started.elapsed();
    let (codes, refused_after) = shared.ends();
    drop(swarm);
    let mut row = Row::new(NAME, watch.since(mark)?, &codes);
    row.refused_after = refused_after;
    row.checks = vec![Check::at_most(
        "all ended after",
        took.as_secs_f64(),
        8.0,
        "s",
    )];
    server.stop().await?;
    Ok(row)
}
