//! How many queries of one kind are answered a second. Nothing changes meanwhile, nor may the
//! answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::http::{Connection, post};
use super::options::Plan;
use super::outcome::{Context as _, Outcome};
use super::process::{self, Process, between};
use super::stats::{Clock, Latency, Round, histogram};

/// The rounds of one query.
#[derive(Debug, Serialize)]
pub(super) struct Query {
    pub(super) name: String,
    #[serde(skip)]
    request: Vec<u8>,
    /// What its answer must be like.
    #[serde(skip)]
    check: fn(&Value) -> bool,
    pub(super) rounds: Vec<Round>,
}

impl Query {
    /// A query whose data must satisfy `check`.
    pub(super) fn new(
        server: &Process,
        token: &str,
        name: String,
        query: &str,
        check: fn(&Value) -> bool,
    ) -> Self {
        let body = json!({ "query": query }).to_string();
        Self {
            name,
            request: post(server.address, "/graphql", token, &body),
            check,
            rounds: Vec::new(),
        }
    }

    /// One round, over so many connections.
    pub(super) async fn round(
        &mut self,
        server: &Process,
        connections: usize,
        plan: &Plan,
        clock: Clock,
    ) -> Outcome<()> {
        let one = std::slice::from_ref(server);
        let expected = Arc::new(self.answer(server).await?);
        let shared = Arc::new(Shared::default());
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let connection = Connection::open(server.address).await?;
            let (request, expected) = (self.request.clone(), Arc::clone(&expected));
            let shared = Arc::clone(&shared);
            tasks.spawn(ask(connection, request, expected, clock, shared));
        }
        sleep(plan.warm_up).await;
        shared.measures.store(true, Ordering::Relaxed);
        let (cpu, started) = (process::cpu(one)?, Instant::now());
        let before = shared.done.load(Ordering::Relaxed);
        tokio::select! {
            () = sleep(plan.real) => {}
            // One ends early only in an error, which is found here.
            Some(ended) = tasks.join_next() => { ended??; }
        }
        let done = shared.done.load(Ordering::Relaxed) - before;
        let (cpu, took) = (between(cpu, process::cpu(one)?), started.elapsed());
        shared.over.store(true, Ordering::Relaxed);
        let mut latency = histogram()?;
        for ended in tasks.join_all().await {
            latency.add(&ended?).context("cannot add histograms")?;
        }
        let round = Round::new(done, took, Latency::from(&latency), cpu);
        self.rounds.push(round);
        Ok(())
    }

    /// The answer, which is as it must be.
    async fn answer(&self, server: &Process) -> Outcome<Vec<u8>> {
        let mut connection = Connection::open(server.address).await?;
        let answer = connection.send(&self.request).await?.body.to_vec();
        let value: Value = serde_json::from_slice(&answer)?;
        if value.get("errors").is_some() || !(self.check)(&value["data"]) {
            return Err(format!("{}: not the answer expected: {value}", self.name).into());
        }
        Ok(answer)
    }
}

/// What the connections share.
#[derive(Default)]
struct Shared {
    done: AtomicU64,
    measures: AtomicBool,
    over: AtomicBool,
}

/// Asks the same again and again.
async fn ask(
    mut connection: Connection,
    request: Vec<u8>,
    expected: Arc<Vec<u8>>,
    clock: Clock,
    shared: Arc<Shared>,
) -> Outcome<Histogram<u64>> {
    let mut latency = histogram()?;
    while !shared.over.load(Ordering::Relaxed) {
        let sent_at = clock.micros();
        let answer = connection.send(&request).await?;
        if answer.body != *expected {
            let body = String::from_utf8_lossy(answer.body);
            return Err(format!("another answer: {} {body}", answer.status).into());
        }
        shared.done.fetch_add(1, Ordering::Relaxed);
        if shared.measures.load(Ordering::Relaxed) {
            latency.record(clock.micros() - sent_at)?;
        }
    }
    Ok(latency)
}
