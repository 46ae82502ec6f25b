//! People who are told that what they asked for was done, was refused, or who are told nothing
//! because a server was killed, and who look afterwards: what was acknowledged is there, what was
//! refused is not, and what they were told nothing of is there as a whole or not at all.
//!
//! Each worker changes what no other does, so that it knows what has to be there.

mod group;
mod reader;
mod scene;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::{Value, json};

pub use group::GroupWorker;
pub use reader::Reader;
pub use scene::{Scene, kill_rounds};
pub use writer::Writer;

use crate::client::{Client, User};
use crate::cluster::{PAUSE, client_at};
use crate::{eventually, soon};

/// What somebody was told of what they asked for.
#[derive(Debug)]
enum Told {
    /// It was done; the mutation's payload.
    Done(Value),
    /// It was refused, with this code.
    Refused(String),
    /// Nothing, or that a backend is away: it was done or not.
    Nothing,
}

/// A mutation with one argument, `input`, of whose payload `selection` is told.
struct Request {
    field: &'static str,
    input: Value,
    selection: String,
}

impl Request {
    fn new(field: &'static str, input: Value, selection: impl Into<String>) -> Self {
        Self {
            field,
            input,
            selection: selection.into(),
        }
    }
}

/// A person, with a client for the server that they talked to last.
#[derive(Clone, Debug)]
struct Person {
    user: User,
    client: Client,
}

impl Person {
    fn new(user: &User) -> Self {
        Self {
            user: user.clone(),
            client: user.client.clone(),
        }
    }

    /// Their client at this server.
    fn at(&mut self, address: SocketAddr) -> &Client {
        if self.client.address() != address {
            self.client = client_at(&self.user, address);
        }
        &self.client
    }

    /// Asks for a mutation until something is told of it.
    async fn insist(&mut self, at: SocketAddr, request: &Request) -> Told {
        soon("an answer", async {
            loop {
                match self.ask(at, request).await {
                    Told::Nothing => tokio::time::sleep(PAUSE).await,
                    told => return told,
                }
            }
        })
        .await
    }

    /// Asks for a mutation.
    async fn ask(&mut self, at: SocketAddr, request: &Request) -> Told {
        let Request {
            field,
            input,
            selection,
        } = request;
        let (first, rest) = field.split_at(1);
        let kind = format!("{}{rest}Input", first.to_uppercase());
        let mutation =
            format!("mutation($input: {kind}!) {{ {field}(input: $input) {{ {selection} }} }}");
        let reply = self.at(at).try_run(&mutation, json!({ "input": input }));
        let Ok(reply) = reply.await else {
            return Told::Nothing;
        };
        if reply.body.get("errors").is_none() {
            return Told::Done(reply.body["data"][*field].clone());
        }
        match reply.code() {
            "UNAVAILABLE" => Told::Nothing,
            "" | "INTERNAL" | "GRAPHQL_VALIDATION_FAILED" | "RATE_LIMITED" => {
                panic!("{field} {input}: {}", reply.body)
            }
            code => Told::Refused(code.to_owned()),
        }
    }
}

/// Somebody who does one thing after the other.
#[async_trait]
pub trait Worker: Send {
    /// Does the next thing at this server. False where nothing was told of it: what became of it
    /// has to be found out before the next.
    async fn work(&mut self, at: SocketAddr) -> bool;

    /// Compares what was told with what this server answers.
    ///
    /// # Panics
    /// Where they differ.
    async fn check(&mut self, at: SocketAddr);

    /// Does again what nothing was told of, which is then done once.
    async fn settle(&mut self, at: SocketAddr);
}

/// All workers.
#[derive(Default)]
pub struct Crowd {
    workers: Vec<Box<dyn Worker>>,
    /// How many things were answered.
    pub answers: usize,
    /// Of how many things nothing was told.
    pub unknown: usize,
}

impl Crowd {
    /// One more.
    pub fn add(&mut self, worker: impl Worker + 'static) {
        self.workers.push(Box::new(worker));
    }

    /// Has all work at these servers, each at one of them, until `disturb` has ended. It is begun
    /// when `enough` was answered.
    ///
    /// # Panics
    /// Where a worker is told what cannot be.
    pub async fn work<T>(
        &mut self,
        at: &[SocketAddr],
        enough: usize,
        disturb: impl Future<Output = T>,
    ) -> T {
        let (answers, is_over) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let working = self.workers.drain(..).enumerate().map(|(n, mut worker)| {
            let (answers, is_over) = (Arc::clone(&answers), Arc::clone(&is_over));
            let address = at[n % at.len()];
            tokio::spawn(async move {
                while !is_over.load(Ordering::SeqCst) {
                    if !worker.work(address).await {
                        return (worker, 1);
                    }
                    answers.fetch_add(1, Ordering::SeqCst);
                }
                (worker, 0)
            })
        });
        let working: Vec<_> = working.collect();
        eventually("answers", async || {
            let failed = working.iter().any(tokio::task::JoinHandle::is_finished);
            (failed || answers.load(Ordering::SeqCst) >= enough).then_some(())
        })
        .await;
        let outcome = disturb.await;
        is_over.store(true, Ordering::SeqCst);
        for worked in join_all(working).await {
            let (worker, unknown) = crate::app::must(worked);
            self.workers.push(worker);
            self.unknown += unknown;
        }
        self.answers += answers.load(Ordering::SeqCst);
        outcome
    }

    /// Has all compare what they were told with what these servers answer, before and after they
    /// have done again what they were told nothing of.
    pub async fn check(&mut self, at: &[SocketAddr]) {
        for address in at {
            self.check_at(*address).await;
        }
        for (n, worker) in self.workers.iter_mut().enumerate() {
            worker.settle(at[n % at.len()]).await;
        }
        for address in at {
            self.check_at(*address).await;
        }
    }

    async fn check_at(&mut self, at: SocketAddr) {
        for worker in &mut self.workers {
            worker.check(at).await;
        }
    }
}
