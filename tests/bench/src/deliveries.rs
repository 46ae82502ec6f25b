//! How many messages a second reach the subscribers of one chat, and how long each is on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::frames::NumberAfter;
use super::http::Connection;
use super::options::{BareArguments, Fanout, Plan};
use super::outcome::{Context as _, Outcome};
use super::process::{self, Process, between};
use super::readers::{Readers, Tally, open_all};
use super::socket::{Follow, Socket};
use super::stats::{Clock, Round};
use super::template::SendRequest;

/// A chat with its two members.
pub(super) struct Room {
    /// Where messages are posted and sockets opened.
    paths: Paths,
    pub(super) chat: String,
    /// Whose messages and sockets there are.
    pub(super) tokens: [String; 2],
    /// Messages sent so far, for their own ids.
    sent: Arc<AtomicU64>,
}

/// Where messages are posted, and where sockets are opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paths {
    post: &'static str,
    socket: &'static str,
}

impl Paths {
    pub(super) const SERVER: Self = Self::new("/graphql", "/graphql");
    /// The bare broadcast as one would write it.
    pub(super) const BARE: Self = Self::new("/publish", "/graphql");
    /// One that writes all that waits for a socket at once.
    pub(super) const GATHERED: Self = Self::new("/publish", "/gathered");
    /// async-graphql-axum's handlers.
    pub(super) const STOCK: Self = Self::new("/graphql", "/ws");

    const fn new(post: &'static str, socket: &'static str) -> Self {
        Self { post, socket }
    }
}

/// The last message before a round.
pub(super) struct Anchor {
    pub(super) cursor: String,
    pub(super) seq: u64,
}

/// Sends the messages of one connection.
struct Writer {
    connection: Connection,
    request: SendRequest,
    sent: Arc<AtomicU64>,
    clock: Clock,
}

impl Room {
    pub(super) fn new(paths: Paths, chat: String, tokens: [String; 2]) -> Self {
        let sent = Arc::new(AtomicU64::new(1 << 48));
        Self {
            paths,
            chat,
            tokens,
            sent,
        }
    }

    /// The same chat at other paths.
    pub(super) fn at(&self, paths: Paths) -> Self {
        Self::new(paths, self.chat.clone(), self.tokens.clone())
    }

    async fn writer(&self, server: &Process, clock: Clock) -> Outcome<Writer> {
        let (address, token) = (server.address, &self.tokens[0]);
        Ok(Writer {
            connection: Connection::open(address).await?,
            request: SendRequest::new(address, self.paths.post, token, &self.chat)?,
            sent: Arc::clone(&self.sent),
            clock,
        })
    }

    /// Sends one message and tells its place.
    pub(super) async fn anchor(&self, server: &Process, clock: Clock) -> Outcome<Anchor> {
        let mut writer = self.writer(server, clock).await?;
        let body = writer.send().await?;
        let seq = NumberAfter::new("\"seq\":").find(body.as_bytes());
        let cursor = body.split("\"cursor\":\"").nth(1);
        let cursor = cursor.and_then(|rest| rest.split('"').next());
        Ok(Anchor {
            cursor: cursor.context("an answer without a cursor")?.to_owned(),
            seq: seq.context("an answer without a number")?,
        })
    }

    /// Opens the socket of subscriber `number`.
    pub(super) async fn subscriber(
        &self,
        server: &Process,
        anchor: &Anchor,
        number: usize,
    ) -> Outcome<Socket> {
        let follow = self.following(anchor, number);
        Socket::open(server.address, self.paths.socket, follow).await
    }

    /// What subscriber `number` follows.
    pub(super) fn following<'a>(&'a self, anchor: &'a Anchor, number: usize) -> Follow<'a> {
        Follow {
            token: &self.tokens[number % 2],
            chat: &self.chat,
            after: &anchor.cursor,
        }
    }

    /// An answer and a frame of this server, for the bare one to imitate.
    pub(super) async fn sample(&self, server: &Process, clock: Clock) -> Outcome<BareArguments> {
        let anchor = self.anchor(server, clock).await?;
        let mut socket = self.subscriber(server, &anchor, 0).await?;
        let response = self.writer(server, clock).await?.send().await?;
        let frame = socket.text().await?;
        Ok(BareArguments { response, frame })
    }

    /// One round: first as many as go, then one at a time. The first server is written to; the
    /// subscribers spread over all.
    pub(super) async fn round(
        &self,
        servers: &[Process],
        fanout: Fanout,
        plan: &Plan,
        length: Duration,
        clock: Clock,
    ) -> Outcome<Round> {
        let server = servers.first().context("no server")?;
        let anchor = self.anchor(server, clock).await?;
        let sockets = (0..fanout.subscribers)
            .map(|n| self.subscriber(&servers[n % servers.len()], &anchor, n / servers.len()));
        let sockets = open_all(sockets).await?;
        let mut readers = Readers::start(sockets, anchor.seq, clock)?;
        let tally = readers.tally();
        let before = self.sent.load(Ordering::Relaxed);
        let mut first = self.writer(server, clock).await?;
        first.send().await?;
        readers.all_received(1).await?;

        let mut writers = JoinSet::new();
        for _ in 0..fanout.window {
            let writer = self.writer(server, clock).await?;
            writers.spawn(writer.saturate(Arc::clone(&tally)));
        }
        // One permit is there already: for the first message.
        tally.complete.add_permits(fanout.window - 1);
        sleep(plan.warm_up).await;
        tally.begin();
        let (cpu, started, received) = (process::cpu(servers)?, Instant::now(), tally.received());
        tokio::select! {
            () = sleep(length) => {}
            Some(ended) = writers.join_next() => ended??,
        }
        let delivered = tally.received() - received;
        let (cpu, took) = (between(cpu, process::cpu(servers)?), started.elapsed());
        let latency = tally.end()?;
        // Ends the writers, those that wait for a permit too.
        tally.complete.close();
        for ended in writers.join_all().await {
            ended?;
        }
        let sent = self.sent.load(Ordering::Relaxed) - before;
        readers.all_received(sent).await?;

        tally.begin();
        let started = Instant::now();
        while started.elapsed() < plan.calm {
            first.send().await?;
            let sent = self.sent.load(Ordering::Relaxed) - before;
            readers.all_received(sent).await?;
        }
        let calm = tally.end()?;
        Ok(Round {
            calm: Some(calm),
            ..Round::new(delivered, took, latency, cpu)
        })
    }
}

impl Writer {
    /// Sends a message; the answer.
    async fn send(&mut self) -> Outcome<String> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let request = self.request.fill(number, self.clock.micros());
        let answer = self.connection.send(request).await?;
        let body = String::from_utf8_lossy(answer.body);
        if answer.status == 200 && body.contains("\"seq\":") {
            Ok(body.into_owned())
        } else {
            Err(format!("a send was refused: {} {body}", answer.status).into())
        }
    }

    /// Sends a message whenever one has arrived everywhere.
    async fn saturate(mut self, tally: Arc<Tally>) -> Outcome<()> {
        while let Ok(permit) = tally.complete.acquire().await {
            permit.forget();
            self.send().await?;
        }
        Ok(())
    }
}
