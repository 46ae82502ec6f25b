//! Well-behaved neighbours, who send messages within the limits, each from an address of their own:
//! how long a send takes them in quiet, and while others attack.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::people::{self, Person};
use crate::http::{Connection, post};
use crate::outcome::{Context as _, Outcome};
use crate::process::{Home, Process};
use crate::stats::{Clock, Latency, histogram};

/// How many there are: enough for a p99 within seconds.
const COUNT: usize = 40;

/// Between two messages of one of them: below the limit of 30 in 10 s.
const PAUSE: Duration = Duration::from_millis(400);

/// How long a send may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Addresses of neighbours are far from those of attackers.
const PLACES: usize = 9_000_000;

/// The neighbours of one server.
pub(super) struct Neighbours {
    server: SocketAddr,
    people: Vec<Person>,
    /// The chat of each pair.
    chats: Vec<String>,
}

/// What they saw for a while.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) latency: Latency,
    /// Messages that were refused or not answered.
    pub(super) failed: u64,
}

impl Neighbours {
    pub(super) async fn sign_in(home: &Home, server: &Process) -> Outcome<Self> {
        let people = people::sign_in(home, server, "neighbour", COUNT, PLACES).await?;
        let mut chats = Vec::new();
        for pair in people.chunks_exact(2) {
            let [one, other] = pair else { continue };
            chats.push(one.start_chat(server.address, other).await?);
        }
        let neighbours = Self {
            server: server.address,
            people,
            chats,
        };
        // The first sends pay for what is made once.
        neighbours.watch(Duration::from_secs(1)).await?;
        Ok(neighbours)
    }

    /// Sends for so long.
    pub(super) async fn watch(&self, length: Duration) -> Outcome<Seen> {
        let end = Instant::now() + length;
        let mut tasks = JoinSet::new();
        for (number, person) in self.people.iter().enumerate() {
            let chat = self.chats.get(number / 2).context("a chat is missing")?;
            let offset = PAUSE * u32::try_from(number)? / u32::try_from(COUNT)?;
            tasks.spawn(send(self.server, person.clone(), chat.clone(), offset, end));
        }
        let (mut all, mut failed) = (histogram()?, 0);
        for ended in tasks.join_all().await {
            let (latencies, failures) = ended?;
            for micros in latencies {
                all.record(micros)?;
            }
            failed += failures;
        }
        Ok(Seen {
            latency: Latency::from(&all),
            failed,
        })
    }
}

/// One neighbour's messages: their latencies in microseconds, and how many failed.
async fn send(
    server: SocketAddr,
    person: Person,
    chat: String,
    offset: Duration,
    end: Instant,
) -> Outcome<(Vec<u64>, u64)> {
    const SEND: &str = "mutation($chat: ID!) { \
        sendMessage(input: { chatId: $chat, text: \"Good morning!\" }) { message { seq } } }";
    let body = json!({ "query": SEND, "variables": { "chat": chat } }).to_string();
    let request = post(server, "/graphql", &person.token, &body);
    let clock = Clock::start();
    let (mut latencies, mut failed) = (Vec::new(), 0);
    let mut connection = None;
    let mut ticks = interval_at(Instant::now() + offset, PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        if ticks.tick().await >= end {
            return Ok((latencies, failed));
        }
        let asked = clock.micros();
        let sent = async {
            let mut open = match connection.take() {
                Some(open) => open,
                None => Connection::open_from(person.place, server).await?,
            };
            let answer = open.send(&request).await?;
            let is_sent = crate::frames::position(answer.body, b"\"seq\":").is_some();
            Outcome::Ok(is_sent.then_some(open))
        };
        match timeout(PATIENCE, sent).await {
            Ok(Ok(Some(open))) => {
                connection = Some(open);
                latencies.push(clock.micros() - asked);
            }
            _ => failed += 1,
        }
    }
}
