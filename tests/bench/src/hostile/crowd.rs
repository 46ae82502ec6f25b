//! One hostile connection, in each of the ways that it may be hostile: what it does until the server
//! ends it, or the attack is over.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::peer::{self, Codes};
use crate::http::dial;
use crate::outcome::Outcome;
use crate::socket::Socket;

/// Between two turns of a connection that floods, and what it sends in each.
const TURN: Duration = Duration::from_millis(200);
const PINGS: usize = 4;

/// As many subscriptions as a socket may have, by `http.websocket.max_operations`, in as many turns.
const HELD: usize = 100;
const HELD_TURNS: usize = 10;

/// Between two bytes of one that is slow.
const DRIP: Duration = Duration::from_millis(500);

/// How long a connection may take to come about before it counts as kept out.
const PATIENCE: Duration = Duration::from_secs(10);

/// A way to be hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Connects and says nothing.
    Silent,
    /// Sends the head of a request byte by byte.
    SlowHead,
    /// Sends the body of a request byte by byte.
    SlowBody,
    /// Opens a socket and does not begin.
    NoInit,
    /// Opens a socket without a token and does nothing.
    Anonymous,
    /// Signs in, and then neither reads nor writes.
    HalfOpen,
    /// Pings 20 times a second, and reads.
    Pings,
    /// Pings 20 times a second, and does not read.
    UnreadPings,
    /// Begins and ends five subscriptions a second, each of a text of its own, and reads.
    Subscribes,
    /// Holds as many subscriptions as it may, and reads.
    Hoards,
    /// Asks for long answers five times a second, and does not read.
    UnreadQueries,
}

impl Way {
    pub(super) const ALL: [Self; 11] = [
        Self::Silent,
        Self::SlowHead,
        Self::SlowBody,
        Self::NoInit,
        Self::Anonymous,
        Self::HalfOpen,
        Self::Pings,
        Self::UnreadPings,
        Self::Subscribes,
        Self::Hoards,
        Self::UnreadQueries,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent TCP connections",
            Self::SlowHead => "heads byte by byte",
            Self::SlowBody => "bodies byte by byte",
            Self::NoInit => "sockets that do not begin",
            Self::Anonymous => "idle sockets without a token",
            Self::HalfOpen => "half-open sockets",
            Self::Pings => "sockets that ping 20 times a second",
            Self::UnreadPings => "the same, without reading",
            Self::Subscribes => "sockets that subscribe 5 times a second",
            Self::Hoards => "sockets with 100 subscriptions each",
            Self::UnreadQueries => "unread sockets with 5 queries a second",
        }
    }
}

/// What all connections of an attack share.
#[derive(Default)]
pub(super) struct Shared {
    /// Those that are as open as they wanted to be.
    pub(super) open: AtomicUsize,
    ends: Mutex<(Codes, Vec<Duration>)>,
}

impl Shared {
    fn ended(&self, code: &str, after: Duration) {
        let mut ends = self.ends.lock();
        ends.0.add(code);
        ends.1.push(after);
    }

    /// How connections ended, and the median of the times after which.
    pub(super) fn ends(&self) -> (Codes, Option<Duration>) {
        let (codes, mut times) = self.ends.lock().clone();
        times.sort();
        (codes, times.get(times.len() / 2).copied())
    }
}

/// What a hostile connection needs.
#[derive(Clone)]
pub(super) struct Attacker {
    pub(super) server: SocketAddr,
    pub(super) place: Ipv4Addr,
    pub(super) token: String,
    pub(super) chat: String,
    pub(super) shared: Arc<Shared>,
}

impl Attacker {
    /// Is hostile until the server ends it, and says how that was.
    pub(super) async fn attack(self, way: Way) {
        let started = Instant::now();
        let is_open = AtomicUsize::new(0);
        let Err(end) = self.run(way, &is_open).await;
        if is_open.load(Ordering::Relaxed) > 0 {
            self.shared.open.fetch_sub(1, Ordering::Relaxed);
        }
        self.shared.ended(&end, started.elapsed());
    }

    async fn run(
        &self,
        way: Way,
        is_open: &AtomicUsize,
    ) -> Result<std::convert::Infallible, String> {
        let opened = || {
            is_open.store(1, Ordering::Relaxed);
            self.shared.open.fetch_add(1, Ordering::Relaxed);
        };
        let connected = async {
            match way {
                Way::UnreadPings | Way::UnreadQueries | Way::HalfOpen => {
                    peer::narrow(self.place, self.server).await
                }
                _ => dial(self.place, self.server).await,
            }
        };
        let stream = soon(connected).await?;
        match way {
            Way::Silent => {
                opened();
                drip(stream, "", "").await
            }
            Way::SlowHead => {
                opened();
                drip(stream, "GET /graphql HTTP/1.1\r\nHost: h\r\n", "X: y\r\n").await
            }
            Way::SlowBody => {
                opened();
                let head = "POST /graphql HTTP/1.1\r\nHost: h\r\n\
                    Content-Type: application/json\r\nContent-Length: 10000\r\n\r\n";
                drip(stream, head, " ").await
            }
            _ => {
                let mut socket = Socket::over(stream);
                soon(self.begin(way, &mut socket)).await?;
                opened();
                self.flood(way, socket).await
            }
        }
    }

    /// Opens the socket, as far as its way is.
    async fn begin(&self, way: Way, socket: &mut Socket) -> Outcome<()> {
        socket.upgrade("/graphql").await?;
        match way {
            Way::NoInit => Ok(()),
            Way::Anonymous => {
                socket.say(&json!({ "type": "connection_init" })).await?;
                let text = socket.text().await?;
                let is_acknowledged = text.contains("connection_ack");
                is_acknowledged.then_some(()).ok_or_else(|| text.into())
            }
            _ => socket.sign_in(&self.token).await,
        }
    }

    async fn flood(
        &self,
        way: Way,
        mut socket: Socket,
    ) -> Result<std::convert::Infallible, String> {
        if way == Way::HalfOpen {
            // What the server does with it, its files tell.
            return pending().await;
        }
        let is_read = !matches!(way, Way::UnreadPings | Way::UnreadQueries);
        for turn in 0_usize.. {
            for message in self.messages(way, turn) {
                // One that does not read may be read no more itself: it stays, as long as it may.
                match timeout(TURN, socket.say(&message)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Err(end(&error.to_string())),
                    Err(_) => sleep(DRIP).await,
                }
            }
            let next = Instant::now() + TURN;
            while is_read && Instant::now() < next {
                match timeout(next - Instant::now(), socket.text()).await {
                    Ok(Ok(text)) if !text.starts_with("closed with") => {}
                    Ok(Ok(text)) => return Err(end(&text)),
                    Ok(Err(error)) => return Err(end(&error.to_string())),
                    Err(_) => {}
                }
            }
            sleep(next.saturating_duration_since(Instant::now())).await;
        }
        Err("over".to_owned())
    }

    /// What is sent in a turn.
    fn messages(&self, way: Way, turn: usize) -> Vec<Value> {
        let begin = |id: usize, query: &str| {
            let payload = json!({ "query": query, "variables": { "c": self.chat } });
            json!({ "type": "subscribe", "id": id.to_string(), "payload": payload })
        };
        let follow = |alias: usize| {
            format!("subscription($c:ID!){{messageAdded(chatId:$c){{node{{id a{alias}:text}}}}}}")
        };
        match way {
            Way::Pings | Way::UnreadPings => vec![json!({ "type": "ping" }); PINGS],
            Way::Subscribes => {
                let end = json!({ "type": "complete", "id": turn.to_string() });
                vec![begin(turn, &follow(turn)), end]
            }
            Way::Hoards if turn < HELD_TURNS => {
                let first = turn * HELD / HELD_TURNS;
                let ids = first..first + HELD / HELD_TURNS;
                ids.map(|id| begin(id, &follow(0))).collect()
            }
            Way::UnreadQueries => {
                let query = format!("{{a{turn}:users(first:100){{nodes{{id name createdAt}}}}}}");
                vec![begin(turn, &query)]
            }
            _ => Vec::new(),
        }
    }
}

/// What comes of a step, or how the connection ended in it.
async fn soon<T>(step: impl Future<Output = Outcome<T>>) -> Result<T, String> {
    match timeout(PATIENCE, step).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(end(&error.to_string())),
        Err(_) => Err("kept waiting".to_owned()),
    }
}

/// Sends the head at once and the drops one after the other, until the server ends it.
async fn drip(
    mut stream: TcpStream,
    head: &str,
    drops: &str,
) -> Result<std::convert::Infallible, String> {
    if stream.write_all(head.as_bytes()).await.is_err() {
        return Err("closed".to_owned());
    }
    let mut drops = drops.bytes().cycle();
    let mut buffer = [0; 1024];
    loop {
        match timeout(DRIP, stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return Err("closed".to_owned()),
            Ok(Ok(read)) => {
                let text = String::from_utf8_lossy(buffer.get(..read).unwrap_or_default());
                return Err(text.get(9..12).unwrap_or("closed").to_owned());
            }
            Err(_) => {}
        }
        if let Some(drop) = drops.next()
            && stream.write_all(&[drop]).await.is_err()
        {
            return Err("closed".to_owned());
        }
    }
}

/// The close code or the status in what a socket says of its end.
fn end(text: &str) -> String {
    for (before, length) in [("closed with ", 4), ("HTTP/1.1 ", 3)] {
        if let Some((_, rest)) = text.split_once(before) {
            return rest.get(..length).unwrap_or(rest).to_owned();
        }
    }
    "closed".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_by_its_code() {
        assert_eq!(
            end("closed with 4408 Connection initialisation timeout"),
            "4408"
        );
        assert_eq!(
            end("the server does not upgrade: HTTP/1.1 429 Too Many"),
            "429"
        );
        assert_eq!(end("the server has closed a connection"), "closed");
    }

    #[test]
    fn the_median_of_the_ends_is_told() {
        let shared = Shared::default();
        assert_eq!(shared.ends().1, None);
        for millis in [30, 10, 20] {
            shared.ended("4408", Duration::from_millis(millis));
        }
        let (codes, median) = shared.ends();
        assert_eq!(
            (codes.of("4408"), median),
            (3, Some(Duration::from_millis(20)))
        );
    }
}
