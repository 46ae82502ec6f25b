//! Clients that have missed much and all come back at once, as after a restart of the servers.
//!
//! Each is a member of 20 groups of a hundred. It takes a checkpoint and goes; 200 messages and 50
//! changes later, all open a socket at the same moment. A client is caught up when it has every
//! message and change. It is measured by `accountEvents`, and by a `messageAdded` and a
//! `messageUpdated` of each chat.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::account::{self, User, text};
use super::frames::{NumberAfter, position};
use super::http::Connection;
use super::metrics::{self, store_calls};
use super::outcome::{Context as _, Outcome};
use super::process::{self, Home, Process};
use super::run::say;
use super::socket::Socket;
use super::stats::{Latency, float, histogram};

const MEMBERS: usize = 100;
/// How many chats each client is in.
const CHATS: usize = 20;
const MESSAGES: usize = 200;
const CHANGES: usize = 50;
/// Messages of each chat that are there before, and of which some are changed.
const SEEDS: usize = 3;
/// How many requests are on their way while all is prepared.
const PREPARING: usize = 16;
/// How long all may take.
const CATCH_UP_TIMEOUT: Duration = Duration::from_mins(2);
/// How often a client tries to open its socket, and how much longer it waits each time.
const TRIES: u64 = 20;
const PAUSE: Duration = Duration::from_millis(100);

const CREATE: &str = "mutation($input: CreateGroupInput!) { createGroup(input: $input) { \
    chat { id } } }";
const SEND: &str = "mutation($input: SendMessageInput!) { sendMessage(input: $input) { \
    message { id } } }";
const EDIT: &str = "mutation($input: EditMessageInput!) { editMessage(input: $input) { \
    message { id } } }";
const HEAD: &str = "query($id: ID!) { chat(id: $id) { headCursor } }";

const ACCOUNT: &str = "subscription Account($after: AccountPosition) { \
    accountEvents(after: $after) { __typename cursor \
    ... on MessageAdded { message { id seq changeSeq text createdAt \
        sender { id name } chat { id } } } \
    ... on MessageChange { message { id seq changeSeq text createdAt \
        sender { id name } chat { id } } } \
    ... on ChatChanged { chat { id title unreadCount } } ... on ChatReset { chatId } \
    ... on ReceiptChanged { receipt { lastReadSeq } } ... on ViewerChanged { viewer { name } } \
    ... on AccountCheckpoint { isCaughtUp } } }";
const ADDED: &str = "subscription Added($chatId: ID!, $after: String) { \
    messageAdded(chatId: $chatId, after: $after) { cursor \
    node { id seq changeSeq text createdAt sender { id name } chat { id } } } }";
const UPDATED: &str = "subscription Updated($chatId: ID!, $after: String) { \
    messageUpdated(chatId: $chatId, after: $after) { cursor \
    message { id seq changeSeq text createdAt sender { id name } chat { id } } } }";

/// By which feeds the clients catch up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Account,
    Chats,
}

/// What was measured.
#[derive(Debug, Default, Serialize)]
pub(super) struct Reconnects {
    pub(super) clients: usize,
    pub(super) by_account: Vec<Catch>,
    pub(super) by_chats: Vec<Catch>,
}

/// All clients came back once.
#[derive(Debug, Serialize)]
pub(super) struct Catch {
    /// Until the last had everything.
    pub(super) seconds: f64,
    /// Until each had everything.
    pub(super) latency: Latency,
    /// How often a socket was refused or closed before it was acknowledged, and opened again.
    pub(super) refused: u64,
    /// The server's processor time for each client, in milliseconds.
    pub(super) server_cpu: f64,
    /// Calls of the store for each client.
    pub(super) calls: f64,
    /// The same by port and method.
    pub(super) methods: BTreeMap<String, f64>,
}

/// A client that is away.
struct Client {
    token: String,
    checkpoint: String,
    chats: Vec<Arc<Chat>>,
}

/// A group, and the cursor behind what its members know.
struct Chat {
    id: String,
    head: String,
}

/// Has so many clients miss the same each, and measures how they come back.
pub(super) async fn measure(binary: &Path, clients: usize, rounds: usize) -> Outcome<Reconnects> {
    let (metrics, setting) = metrics::page()?;
    let home = Home::with(binary, vec![setting])?;
    let (server, _) = home.start().await?;
    say(&format!("{clients} clients that miss {MESSAGES} messages"));
    let clients = prepare(&home, &server, clients).await?;
    let mut out = Reconnects {
        clients: clients.len(),
        ..Reconnects::default()
    };
    for round in 1..=rounds {
        say(&format!("round {round} of {rounds}: all come back"));
        for by in [By::Account, By::Chats] {
            let caught = catch_up(&server, metrics, &clients, by).await?;
            match by {
                By::Account => out.by_account.push(caught),
                By::Chats => out.by_chats.push(caught),
            }
        }
    }
    server.stop().await?;
    Ok(out)
}

/// Makes users and groups, lets each user take a checkpoint, and then has a lot happen.
async fn prepare(home: &Home, server: &Process, clients: usize) -> Outcome<Vec<Client>> {
    let writer = account::sign_in(home, server, "writer", 1).await?;
    let writer = writer.first().context("no writer")?;
    let users = account::sign_in(home, server, "client", clients).await?;
    let groups = users
        .chunks(MEMBERS)
        .flat_map(|members| (0..CHATS).map(move |number| group(server, writer, members, number)));
    let groups: Vec<_> = stream::iter(groups)
        .buffered(PREPARING)
        .try_collect()
        .await?;
    let checkpoints = users.iter().map(|user| checkpoint(server, user));
    let checkpoints: Vec<_> = stream::iter(checkpoints)
        .buffered(PREPARING)
        .try_collect()
        .await?;
    let missed = groups
        .iter()
        .enumerate()
        .map(|(number, (chat, seeds))| miss(server, writer, chat, &seeds[..changes(number)]));
    let missed = stream::iter(missed).buffered(PREPARING);
    missed.try_collect::<Vec<()>>().await?;
    let clients = users.into_iter().zip(checkpoints).enumerate();
    let clients = clients.map(|(number, (user, checkpoint))| {
        let first = number / MEMBERS * CHATS;
        let chats = groups[first..first + CHATS].iter();
        Client {
            token: user.token,
            checkpoint,
            chats: chats.map(|(chat, _)| Arc::clone(chat)).collect(),
        }
    });
    Ok(clients.collect())
}

/// How many messages of a chat are changed: 50 in 20 chats.
fn changes(chat: usize) -> usize {
    CHANGES / CHATS + chat % 2
}

/// Makes a group with some messages.
async fn group(
    server: &Process,
    writer: &User,
    members: &[User],
    number: usize,
) -> Outcome<(Arc<Chat>, Vec<String>)> {
    let mut connection = Connection::open(server.address).await?;
    let members: Vec<_> = members.iter().map(User::id).collect();
    let input = json!({ "title": format!("group {number}"), "memberIds": members });
    let data = ask(&mut connection, writer, CREATE, input).await?;
    let id = text(&data["createGroup"]["chat"]["id"])?;
    let mut seeds = Vec::new();
    for _ in 0..SEEDS {
        let input = json!({ "chatId": id, "text": super::template::text() });
        let data = ask(&mut connection, writer, SEND, input).await?;
        seeds.push(text(&data["sendMessage"]["message"]["id"])?);
    }
    let token = Some(writer.token.as_str());
    let data = connection.graphql(token, HEAD, json!({ "id": id })).await?;
    let head = text(&data["chat"]["headCursor"])?;
    Ok((Arc::new(Chat { id, head }), seeds))
}

/// Sends what the members of a chat miss, and changes what they know.
async fn miss(server: &Process, writer: &User, chat: &Chat, seeds: &[String]) -> Outcome<()> {
    let mut connection = Connection::open(server.address).await?;
    for _ in 0..MESSAGES / CHATS {
        let input = json!({ "chatId": chat.id, "text": super::template::text() });
        ask(&mut connection, writer, SEND, input).await?;
    }
    for message in seeds {
        let input = json!({ "messageId": message, "text": super::template::text() + " edited" });
        ask(&mut connection, writer, EDIT, input).await?;
    }
    Ok(())
}

async fn ask(
    connection: &mut Connection,
    user: &User,
    mutation: &str,
    input: Value,
) -> Outcome<Value> {
    let variables = json!({ "input": input });
    connection
        .graphql(Some(&user.token), mutation, variables)
        .await
}

/// The checkpoint with which a stream begins.
async fn checkpoint(server: &Process, user: &User) -> Outcome<String> {
    let mut socket = Socket::connect(server.address, "/graphql", &user.token).await?;
    socket.subscribe("1", ACCOUNT, &json!({})).await?;
    let frame: Value = serde_json::from_str(&socket.text().await?)?;
    text(&frame["payload"]["data"]["accountEvents"]["cursor"])
}

async fn catch_up(
    server: &Process,
    metrics: SocketAddr,
    clients: &[Client],
    by: By,
) -> Outcome<Catch> {
    let before = (store_calls(metrics).await?, cpu(server)?);
    // All have their task before the first begins.
    let start = Arc::new(Barrier::new(clients.len() + 1));
    let mut tasks = JoinSet::new();
    for client in clients {
        let (start, address) = (Arc::clone(&start), server.address);
        let token = client.token.clone();
        let operations = operations(client, by);
        tasks.spawn(async move {
            start.wait().await;
            let started = Instant::now();
            let (socket, refused) = come_back(address, &token, &operations, by).await?;
            Outcome::Ok((socket, refused, started.elapsed()))
        });
    }
    start.wait().await;
    let started = Instant::now();
    let mut latency = histogram()?;
    let (mut sockets, mut refused) = (Vec::new(), 0);
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            // The sockets stay until all are caught up, as those of users do.
            let (socket, tries, took) = ended??;
            refused += tries;
            latency.record(u64::try_from(took.as_micros())?)?;
            sockets.push(socket);
        }
        Outcome::Ok(())
    };
    let all = timeout(CATCH_UP_TIMEOUT, all).await;
    all.unwrap_or_else(|_| Err("too slow".into()))
        .context(format_args!(
            "{} of {} caught up",
            sockets.len(),
            clients.len()
        ))?;
    let seconds = started.elapsed().as_secs_f64();
    let after = (store_calls(metrics).await?, cpu(server)?);
    let count = float(clients.len() as u64);
    let methods = after.0.into_iter().filter_map(|(method, calls)| {
        let calls = calls - before.0.get(&method).unwrap_or(&0.0);
        (calls > 0.0).then_some((method, calls / count))
    });
    let methods: BTreeMap<_, _> = methods.collect();
    Ok(Catch {
        seconds,
        latency: Latency::from(&latency),
        refused,
        server_cpu: (after.1.saturating_sub(before.1)).as_secs_f64() * 1e3 / count,
        calls: methods.values().sum(),
        methods,
    })
}

/// What a client subscribes to.
fn operations(client: &Client, by: By) -> Vec<(&'static str, Value)> {
    match by {
        By::Account => {
            let after = json!({ "checkpoint": client.checkpoint });
            vec![(ACCOUNT, json!({ "after": after }))]
        }
        By::Chats => {
            let chats = client.chats.iter();
            let both = chats.flat_map(|chat| {
                let variables = json!({ "chatId": chat.id, "after": chat.head });
                [ADDED, UPDATED].map(|query| (query, variables.clone()))
            });
            both.collect()
        }
    }
}

/// Opens a socket, and reads until nothing is missing. Also tells how often it was opened in vain.
async fn come_back(
    address: SocketAddr,
    token: &str,
    operations: &[(&str, Value)],
    by: By,
) -> Outcome<(Socket, u64)> {
    let mut refused = 0;
    let mut socket = loop {
        match Socket::connect(address, "/graphql", token).await {
            Ok(socket) => break socket,
            // As a client does, which waits a little longer each time.
            Err(_) if refused < TRIES => refused += 1,
            Err(error) => return Err(error),
        }
        sleep(PAUSE * u32::try_from(refused)?).await;
    };
    for (number, (query, variables)) in operations.iter().enumerate() {
        socket
            .subscribe(&number.to_string(), query, variables)
            .await?;
    }
    let mut missed = Missed::default();
    while !missed.is_over(by) {
        socket.take(|text| missed.take(text)).await?;
    }
    missed.check()?;
    Ok((socket, refused))
}

/// What a client has received.
#[derive(Debug, Default, PartialEq, Eq)]
struct Missed {
    messages: usize,
    changes: usize,
    /// The sum of the numbers of all messages: a double in place of another is seen.
    numbers: u64,
    is_caught_up: bool,
}

impl Missed {
    fn take(&mut self, text: &[u8]) -> Outcome<()> {
        let has = |part: &str| position(text, part.as_bytes()).is_some();
        if has("MessageAdded") || has("\"messageAdded\"") {
            self.messages += 1;
            let number = NumberAfter::new("\"seq\":").find(text);
            self.numbers += number.context("a message without a number")?;
        } else if has("MessageChange") || has("\"messageUpdated\"") {
            self.changes += 1;
        } else if has("AccountCheckpoint") {
            self.is_caught_up |= has("\"isCaughtUp\":true");
        } else if has("ChatReset") || has("\"errors\"") || has("\"type\":\"error\"") {
            return Err(format!("not caught up: {}", String::from_utf8_lossy(text)).into());
        }
        Ok(())
    }

    fn is_over(&self, by: By) -> bool {
        match by {
            By::Account => self.is_caught_up,
            By::Chats => self.messages >= MESSAGES && self.changes >= CHANGES,
        }
    }

    fn check(&self) -> Outcome<()> {
        let (first, each) = (2 + SEEDS as u64, (MESSAGES / CHATS) as u64);
        let wanted = CHATS as u64 * (first..first + each).sum::<u64>();
        let is_all = (self.messages, self.changes, self.numbers) == (MESSAGES, CHANGES, wanted);
        if is_all {
            Ok(())
        } else {
            Err(format!("lost or doubled: {self:?}").into())
        }
    }
}

/// The server's processor time so far.
fn cpu(server: &Process) -> Outcome<Duration> {
    let [server, _] = process::cpu(std::slice::from_ref(server))?;
    Ok(server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_chats_together_have_all_changes() {
        assert_eq!((0..CHATS).map(changes).sum::<usize>(), CHANGES);
        assert!((0..CHATS).all(|chat| changes(chat) <= SEEDS));
    }

    #[test]
    fn what_is_lost_or_doubled_is_noticed() {
        let mut missed = Missed::default();
        for _ in 0..CHATS {
            for seq in 2 + SEEDS..2 + SEEDS + MESSAGES / CHATS {
                let text = format!("{{\"__typename\":\"MessageAdded\",\"seq\":{seq}}}");
                missed.take(text.as_bytes()).unwrap();
            }
        }
        assert!(missed.check().is_err());
        for _ in 0..CHANGES {
            missed.take(b"{\"messageUpdated\":{}}").unwrap();
        }
        missed.check().unwrap();
        missed.numbers += 1;
        assert!(missed.check().is_err());
        assert!(missed.take(b"{\"__typename\":\"ChatReset\"}").is_err());
    }
}
