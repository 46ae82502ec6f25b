//! Attacks by one request: any document of at most 32 KB is refused or answered within 50 ms of
//! processor time and 32 MiB of memory above what it answers, and the known bombs within 1 ms.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::sleep;

use super::peer::{Answer, Codes, ask, place, post};
use super::people::{self, Person};
use super::random::Random;
use super::report::{Check, Row, mib};
use super::shapes::{self, Shape};
use super::watch::{Spent, Watch};
use crate::outcome::{Context as _, Outcome};
use crate::process::{Home, Process};

/// The most processor time of a known bomb, and of any other document.
const BOMB_MILLIS: f64 = 1.0;
const MILLIS: f64 = 50.0;

/// The most memory above the bytes of the answer.
const MIB: f64 = 32.0;

/// Copies of each document, of which the most expensive counts; of bombs, whose bound is nearer
/// to what else the server does, the middle one.
const COPIES: usize = 3;
const BOMB_COPIES: usize = 25;

/// How long the server may need to settle behind an answer.
const SETTLING: Duration = Duration::from_millis(3);

/// How many accounts attack.
pub(super) const ACCOUNTS: usize = 40;

/// A server, the accounts that attack it, and how many requests it was sent.
pub(super) struct Range {
    server: SocketAddr,
    watch: Watch,
    pub(super) people: Vec<Person>,
    /// A chat of the first two.
    pub(super) chat: String,
    sent: usize,
}

/// What one request has cost.
pub(super) struct Shot {
    pub(super) spent: Spent,
    pub(super) answer: Answer,
}

impl Shot {
    /// Memory beyond what was answered.
    pub(super) fn excess(&self) -> u64 {
        self.spent.memory.saturating_sub(self.answer.bytes)
    }
}

impl Range {
    pub(super) async fn open(home: &Home, server: &Process) -> Outcome<Self> {
        let people = people::sign_in(home, server, "attacker", ACCOUNTS, 0).await?;
        let [one, other, ..] = &*people else {
            return Err("nobody attacks".into());
        };
        let chat = one.start_chat(server.address, other).await?;
        Ok(Self {
            server: server.address,
            watch: Watch::of(server),
            people,
            chat,
            sent: 0,
        })
    }

    /// Who attacks next, so that a budget of one account does not hide the cost of the next request.
    fn attacker(&mut self) -> Outcome<Person> {
        self.sent += 1;
        let person = self.people.get(self.sent % self.people.len());
        let mut person = person.context("nobody attacks")?.clone();
        person.place = place(1_000 + self.sent);
        Ok(person)
    }

    /// Sends one body, as the next account and from the next address.
    pub(super) async fn shoot(&mut self, body: &str) -> Outcome<Shot> {
        let person = self.attacker()?;
        self.shoot_as(&person, body).await
    }

    /// Sends one body as somebody.
    pub(super) async fn shoot_as(&self, person: &Person, body: &str) -> Outcome<Shot> {
        let request = post(self.server, Some(&person.token), body);
        let mark = self.watch.mark()?;
        let answer = ask(person.place, self.server, &request).await?;
        sleep(SETTLING).await;
        let spent = self.watch.since(mark)?;
        Ok(Shot { spent, answer })
    }

    /// Sends copies of a document.
    async fn copies(&mut self, shape: &Shape, count: usize) -> Outcome<Vec<Shot>> {
        let mut shots = Vec::new();
        for _ in 0..count {
            let body = shape.body(self.sent);
            shots.push(self.shoot(&body).await?);
        }
        shots.sort_by_key(|shot| shot.spent.cpu);
        Ok(shots)
    }

    /// The known bombs.
    pub(super) async fn bombs(&mut self) -> Outcome<Vec<Row>> {
        let mut rows = Vec::new();
        for shape in shapes::bombs() {
            let shots = self.copies(&shape, BOMB_COPIES).await?;
            let middle = shots.get(shots.len() / 2).context("no shot")?;
            rows.push(row(&shape.name, &shots, middle, BOMB_MILLIS));
        }
        Ok(rows)
    }

    /// Documents and variables of every shape.
    pub(super) async fn shapes(&mut self) -> Outcome<Vec<Row>> {
        let person = self.people.first().context("nobody attacks")?;
        let mut all = shapes::texts();
        all.extend(shapes::variables());
        all.extend(shapes::executed(person, &self.chat));
        let mut rows = Vec::new();
        for shape in all {
            let shots = self.copies(&shape, COPIES).await?;
            let worst = shots.last().context("no shot")?;
            rows.push(row(&shape.name, &shots, worst, MILLIS));
        }
        Ok(rows)
    }

    /// Random documents, made of pieces of the others. The same in each run.
    pub(super) async fn random(&mut self, count: usize) -> Outcome<Row> {
        let mut random = Random::new(1);
        let sources: Vec<String> = shapes::texts()
            .into_iter()
            .chain(shapes::bombs())
            .map(|shape| shape.document)
            .collect();
        let mut shots = Vec::new();
        for _ in 0..count {
            let document = random.document(&sources);
            let body = serde_json::json!({ "query": document }).to_string();
            shots.push(self.shoot(&body).await?);
        }
        shots.sort_by_key(|shot| shot.spent.cpu);
        let worst = shots.last().context("no shot")?;
        let name = format!("the worst of {count} random documents");
        Ok(row(&name, &shots, worst, MILLIS))
    }
}

/// The row of some shots, of which this one's time counts, and of all the memory.
fn row(name: &str, shots: &[Shot], of: &Shot, millis: f64) -> Row {
    let mut codes = Codes::default();
    for shot in shots {
        codes.add(&shot.answer.code);
    }
    let excess = shots.iter().map(Shot::excess).max().unwrap_or_default();
    let is_refused = of.answer.code != "-";
    let mut row = Row::new(name, of.spent, &codes);
    row.answered = of.answer.bytes;
    row.refused_after = is_refused.then_some(of.answer.took);
    row.checks = vec![
        Check::cpu(of.spent.cpu, millis),
        Check::at_most("memory above the answer", mib(excess), MIB, "MiB"),
    ];
    row
}
