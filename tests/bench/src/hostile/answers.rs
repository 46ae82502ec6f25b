//! Attacks by what the server has to answer: one long message again and again, batches, and answers,
//! results and streams that nobody reads.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::documents::{Range, Shot};
use super::peer::{self, Codes, place};
use super::people::Person;
use super::report::{Check, Row, mib};
use super::settings::Settings;
use super::watch::Watch;
use crate::outcome::{Context as _, Outcome};
use crate::process::{Home, Process};
use crate::socket::Socket;

/// What a chat of attackers holds: as many of the longest messages as the limits let two send.
const MESSAGES: usize = 50;

/// The most memory that peers who do not read may hold, in MiB.
const UNREAD_MIB: f64 = 64.0;

/// The most memory above the bytes of an answer, in MiB, and processor time of one operation.
const MIB: f64 = 32.0;
const MILLIS: f64 = 50.0;

/// How long peers do not read before memory is judged, and until when they must have been ended.
const WINDOW: Duration = Duration::from_secs(6);
const END: Duration = Duration::from_mins(1);

/// A chat that is full of long messages.
struct Room {
    people: [Person; 2],
    chat: String,
    first: String,
    /// Ahead of all messages but the first.
    after: String,
}

impl Room {
    async fn fill(range: &Range, server: SocketAddr, number: usize) -> Outcome<Self> {
        const FIRST: &str = "query($chat: ID!) { chat(id: $chat) { messages(first: 1) { \
            edges { cursor node { id } } } } }";
        let person = |at: usize| range.people.get(at).cloned().context("nobody attacks");
        let people = [person(2 * number)?, person(2 * number + 1)?];
        let [one, other] = &people;
        let chat = one.start_chat(server, other).await?;
        let text = "😀".repeat(4_000);
        for turn in 0..MESSAGES {
            let sender = if turn % 2 == 0 { one } else { other };
            sender.send(server, &chat, &text).await?;
        }
        let data = one.run(server, FIRST, json!({ "chat": chat })).await?;
        let edge = &data["chat"]["messages"]["edges"][0];
        Ok(Self {
            first: crate::account::text(&edge["node"]["id"])?,
            after: crate::account::text(&edge["cursor"])?,
            chat,
            people,
        })
    }

    /// One message, by its id 100 times, each with its text 80 times: 128 MB from 4 KB.
    fn nodes(&self) -> Value {
        let texts = texts(80);
        json!({
            "query": format!("query($i:[ID!]!){{nodes(ids:$i){{...on Message{{{texts}}}}}}}"),
            "variables": { "i": vec![&self.first; 100] },
        })
    }

    /// One message, by 32 fields at the root.
    fn roots(&self) -> Value {
        let id = &self.first;
        let roots: Vec<String> = (0..32)
            .map(|n| format!("a{n}:node(id:\"{id}\"){{...f}}"))
            .collect();
        let texts = texts(2);
        json!({ "query": format!("{{{}}}fragment f on Message{{{texts} text}}", roots.concat()) })
    }

    /// All messages of the chat, so often.
    fn pages(&self, times: usize) -> Value {
        let chat = &self.chat;
        let pages: Vec<String> = (0..times)
            .map(|n| format!("a{n}:chat(id:\"{chat}\"){{messages(last:100){{nodes{{text}}}}}}"))
            .collect();
        json!({ "query": format!("{{{}}}", pages.concat()) })
    }

    /// Follows the chat, from its beginning where it is a resumption, with every text 20 times.
    fn follow(&self, is_resumed: bool) -> Value {
        let texts = texts(20);
        let after = is_resumed.then_some(&self.after);
        json!({
            "query": format!(
                "subscription($c:ID!,$a:String){{messageAdded(chatId:$c,after:$a){{node{{{texts}}}}}}}"
            ),
            "variables": { "c": self.chat, "a": after },
        })
    }
}

fn texts(count: usize) -> String {
    let texts: Vec<String> = (0..count).map(|n| format!("t{n}:text ")).collect();
    texts.concat()
}

/// All of them, on one server.
pub(super) async fn attack(binary: &Path, settings: &Settings) -> Outcome<Vec<Row>> {
    let home = Home::with_limits(binary, Vec::new())?;
    let (server, _) = home.start().await?;
    let range = Range::open(&home, &server).await?;
    let mut rows = amplified(&range, &server, settings).await?;
    let unread = Unread {
        server: server.address,
        watch: Watch::of(&server),
    };
    for (number, attack) in [
        Attack::Results,
        Attack::Feeds,
        Attack::Answers,
        Attack::Streams,
        Attack::Shared,
    ]
    .into_iter()
    .enumerate()
    {
        let room = Room::fill(&range, server.address, 10 + number).await?;
        rows.push(unread.attack(attack, &room).await?);
    }
    server.stop().await?;
    Ok(rows)
}

/// One request each, with an answer that is as long as it may be.
async fn amplified(range: &Range, server: &Process, settings: &Settings) -> Outcome<Vec<Row>> {
    let cap = settings.bytes("http.max_answer_bytes")?;
    let batch_cap = settings.bytes("http.max_batch_answer_bytes")?;
    let batch = |one: Value| Value::Array(vec![one; 10]);
    let mut rows = Vec::new();
    for number in 0..6 {
        let room = Room::fill(range, server.address, number).await?;
        let (name, body, operations, cap) = match number {
            0 => ("one message, 8,000 times by nodes", room.nodes(), 1.0, cap),
            1 => (
                "one message, 96 times by fields at the root",
                room.roots(),
                1.0,
                cap,
            ),
            2 => (
                "a batch of ten times 8,000",
                batch(room.nodes()),
                10.0,
                batch_cap,
            ),
            3 => ("a page of 50 long messages", room.pages(1), 1.0, cap),
            4 => ("30 such pages", room.pages(30), 1.0, cap),
            _ => (
                "a batch of ten pages",
                batch(room.pages(1)),
                10.0,
                batch_cap,
            ),
        };
        let person = room.people.first().context("nobody attacks")?;
        let shot = range.shoot_as(person, &body.to_string()).await?;
        rows.push(amplified_row(name, &shot, operations, cap));
    }
    Ok(rows)
}

fn amplified_row(name: &str, shot: &Shot, operations: f64, cap: u64) -> Row {
    let mut codes = Codes::default();
    codes.add(&shot.answer.code);
    let mut row = Row::new(name, shot.spent, &codes);
    row.answered = shot.answer.bytes;
    row.refused_after = (shot.answer.code != "-").then_some(shot.answer.took);
    row.checks = vec![
        Check::cpu(shot.spent.cpu, MILLIS * operations),
        Check::at_most("memory above the answer", mib(shot.excess()), MIB, "MiB"),
        // The head, and the errors of those that were cut off, come besides.
        Check::at_most("answer", mib(shot.answer.bytes), mib(cap) + 0.1, "MiB"),
    ];
    row
}

/// Attacks by not reading.
#[derive(Clone, Copy, Debug)]
enum Attack {
    /// 100 operations on one socket, each with a long answer.
    Results,
    /// 300 resumed feeds on three sockets.
    Feeds,
    /// 16 long answers on each of 64 connections.
    Answers,
    /// 32 event streams, while the chat is written to.
    Streams,
    /// Four streams of many operations, with eight long results each: as many as two users may have
    /// executed at a time, so that none waits for its turn until it is told as too late.
    Shared,
}

struct Unread {
    server: SocketAddr,
    watch: Watch,
}

impl Unread {
    async fn attack(&self, attack: Attack, room: &Room) -> Outcome<Row> {
        // The connections that filled the room are closed by now.
        sleep(Duration::from_millis(300)).await;
        let files = self.watch.files()?;
        let mark = self.watch.mark()?;
        let started = Instant::now();
        let (mut sockets, mut streams) = (Vec::new(), Vec::new());
        let name = match attack {
            Attack::Results => {
                sockets = self.sockets(1, &room.roots(), room).await?;
                "an unread socket with 100 long answers"
            }
            Attack::Feeds => {
                sockets = self.sockets(3, &room.follow(true), room).await?;
                "three unread sockets, 300 resumed feeds"
            }
            Attack::Answers => {
                streams = self.requests(64, 16, &room.pages(1), "", room).await?;
                "1,024 unread answers, 64 connections"
            }
            Attack::Streams => {
                let (follow, accept) = (room.follow(false), "Accept: text/event-stream\r\n");
                streams = self.requests(32, 1, &follow, accept, room).await?;
                "32 unread event streams"
            }
            Attack::Shared => {
                streams = self.shared(4, &room.pages(1), room).await?;
                "four unread streams, 8 long results each"
            }
        };
        if matches!(attack, Attack::Streams) {
            self.write(room).await;
        }
        sleep(WINDOW.saturating_sub(started.elapsed())).await;
        let spent = self.watch.since(mark)?;
        let ended = self.ended(files, started).await?;
        // Up to here they are held open, and not read.
        drop((sockets, streams));
        let mut codes = Codes::default();
        codes.add(if ended.is_some() { "closed" } else { "open" });
        let mut row = Row::new(name, spent, &codes);
        row.refused_after = ended;
        let took = ended.map_or(f64::INFINITY, |ended| ended.as_secs_f64());
        row.checks = vec![
            Check::memory(spent.memory, UNREAD_MIB),
            Check::at_most("all ended after", took, END.as_secs_f64(), "s"),
        ];
        Ok(row)
    }

    /// Sockets with 100 operations each, none of which is read.
    async fn sockets(&self, count: usize, payload: &Value, room: &Room) -> Outcome<Vec<Socket>> {
        let mut sockets = Vec::new();
        for number in 0..count {
            let person = room.people.get(number % 2).context("nobody attacks")?;
            let stream = peer::narrow(place(50_000 + number), self.server).await?;
            let mut socket = Socket::over(stream);
            socket.upgrade("/graphql").await?;
            socket.sign_in(&person.token).await?;
            for id in 0..100 {
                let message = json!({
                    "type": "subscribe", "id": id.to_string(), "payload": payload,
                });
                // A server that does not read on, or has closed, has refused.
                let said = timeout(Duration::from_secs(1), socket.say(&message)).await;
                if !matches!(said, Ok(Ok(()))) {
                    break;
                }
            }
            sockets.push(socket);
        }
        Ok(sockets)
    }

    /// Connections with so many requests each, one behind the other, of which no answer is read.
    async fn requests(
        &self,
        count: usize,
        requests: usize,
        body: &Value,
        headers: &str,
        room: &Room,
    ) -> Outcome<Vec<TcpStream>> {
        let mut streams = Vec::new();
        for number in 0..count {
            let person = room.people.get(number % 2).context("nobody attacks")?;
            let token = Some(person.token.as_str());
            let request = peer::request(self.server, token, &body.to_string(), headers);
            let mut stream = peer::narrow(place(60_000 + number), self.server).await?;
            let all = request.repeat(requests);
            // A server that does not read on has its reasons.
            let _ = timeout(Duration::from_millis(200), stream.write_all(&all)).await;
            streams.push(stream);
        }
        Ok(streams)
    }

    /// Streams of many operations, each with as many long results as are executed at a time.
    async fn shared(&self, count: usize, body: &Value, room: &Room) -> Outcome<Vec<TcpStream>> {
        let server = self.server;
        let mut streams = Vec::new();
        for number in 0..count {
            let from = place(70_000 + number);
            let person = room.people.get(number % 2).context("nobody attacks")?;
            let head = format!(
                " /graphql HTTP/1.1\r\nHost: {server}\r\nAuthorization: Bearer {}\r\n",
                person.token
            );
            let reserve = format!("PUT{head}Connection: close\r\n\r\n");
            let answer = peer::ask(from, server, reserve.as_bytes()).await?;
            let token = answer.text.split_once("\r\n\r\n").unwrap_or_default().1;
            let token = format!("X-GraphQL-Event-Stream-Token: {token}\r\n");
            let open = format!("GET{head}Accept: text/event-stream\r\n{token}\r\n");
            let mut stream = peer::narrow(from, server).await?;
            stream.write_all(open.as_bytes()).await?;
            streams.push(stream);
            let close = format!("{token}Connection: close\r\n");
            for id in 0..8 {
                let mut body = body.clone();
                body["extensions"] = json!({ "operationId": id.to_string() });
                let token = Some(person.token.as_str());
                let request = peer::request(server, token, &body.to_string(), &close);
                // One that is refused is one less.
                let _ = peer::ask(from, server, &request).await;
            }
        }
        Ok(streams)
    }

    /// Writes long messages to the chat that is followed, as far as the limits allow.
    async fn write(&self, room: &Room) {
        let text = "😀".repeat(4_000);
        for sender in room.people.iter().cycle().take(20) {
            // One that is refused is one less.
            let _ = sender.send(self.server, &room.chat, &text).await;
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until the server holds no more than it held before. Tells after how long that was.
    async fn ended(&self, files: usize, since: Instant) -> Outcome<Option<Duration>> {
        while since.elapsed() < END + Duration::from_secs(5) {
            if self.watch.files()? <= files {
                return Ok(Some(since.elapsed()));
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(None)
    }
}
