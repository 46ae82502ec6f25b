//! What the list of a user's chats costs: by the fields that are asked for, and by the number of
//! the user's chats.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::account::{self, User};
use super::http::{Connection, post};
use super::options::Plan;
use super::outcome::{Context as _, Outcome};
use super::process::{self, Home, Process, between};
use super::run::say;
use super::sends::CONNECTIONS;
use super::stats::{Clock, Latency, Round, histogram};
use super::template;

/// A page of the list, and how many people the users have direct chats with.
const PAGE: usize = 50;
/// The chats of each user: beyond the direct ones they are groups, active earlier.
const CHATS: [usize; 3] = [PAGE, 100, 2000];
/// Messages in each direct chat, from both sides in turn; half of them are unread.
const MESSAGES: usize = 20;

/// What is asked of each chat of the page.
const SELECTIONS: [(&str, &str); 6] = [
    ("id", "id"),
    ("title", "title"),
    ("unreadCount", "unreadCount"),
    ("lastMessage", "lastMessage { text }"),
    ("its sender, too", "lastMessage { text sender { name } }"),
    (
        "messages(last: 1)",
        "messages(last: 1) { nodes { text sender { name } } }",
    ),
];

/// All that a list of chats shows.
const SIDEBAR: &str = "id title unreadCount lastMessage { id text createdAt sender { name } }";

const CREATE_GROUP: &str = "mutation($title: String!, $user: ID!) { \
    createGroup(input: { title: $title, memberIds: [$user] }) { chat { id } } }";
const SEND: &str = "mutation($chat: ID!, $text: String!) { \
    sendMessage(input: { chatId: $chat, text: $text }) { edge { node { id } } } }";

/// The rounds of one query.
#[derive(Debug, Serialize)]
pub(super) struct Query {
    pub(super) name: String,
    #[serde(skip)]
    request: Vec<u8>,
    pub(super) rounds: Vec<Round>,
}

/// Measures all queries, in rounds that alternate.
pub(super) async fn measure(binary: &Path, plan: &Plan, clock: Clock) -> Outcome<Vec<Query>> {
    say("filling inboxes");
    let home = Home::new(binary)?;
    let (server, _) = home.start().await?;
    let peers = account::sign_in(&home, &server, "peer", PAGE).await?;
    let users = account::sign_in(&home, &server, "inbox", CHATS.len()).await?;
    for (user, chats) in users.iter().zip(CHATS) {
        fill(&server, user, &peers, chats).await?;
    }
    let mut queries = Vec::new();
    let user = users.first().context("no user")?;
    for (name, selection) in SELECTIONS {
        queries.push(Query::new(&server, user, name.to_owned(), selection));
    }
    for (user, chats) in users.iter().zip(CHATS) {
        queries.push(Query::new(&server, user, sidebar(chats), SIDEBAR));
    }
    for round in 1..=plan.rounds {
        say(&format!("round {round} of {}: inboxes", plan.rounds));
        for query in &mut queries {
            query.round(&server, plan, clock).await?;
        }
    }
    server.stop().await?;
    Ok(queries)
}

/// The query for all that a list of chats shows, of a user with so many.
fn sidebar(chats: usize) -> String {
    format!("a sidebar, of {chats} chats")
}

/// The rounds of that query for each number of chats, where they were measured.
pub(super) fn sidebars(queries: &[Query]) -> Option<[&[Round]; 3]> {
    let rounds = |chats| {
        let name = sidebar(chats);
        let query = queries.iter().find(|query| query.name == name)?;
        Some(&*query.rounds)
    };
    let [page, few, many] = CHATS;
    Some([rounds(page)?, rounds(few)?, rounds(many)?])
}

/// Gives a user so many chats.
async fn fill(server: &Process, user: &User, peers: &[User], chats: usize) -> Outcome<()> {
    let mut mine = Connection::open(server.address).await?;
    for number in peers.len()..chats {
        let peer = &peers[number % peers.len()];
        let values = json!({ "title": format!("Group {number}"), "user": peer.id });
        mine.graphql(Some(&user.token), CREATE_GROUP, values)
            .await?;
    }
    for peer in peers {
        let chat = account::start_chat(&mut mine, user, peer).await?;
        for number in 0..MESSAGES {
            let sender = if number % 2 == 0 { user } else { peer };
            let values = json!({ "chat": chat, "text": template::text() });
            mine.graphql(Some(&sender.token), SEND, values).await?;
        }
    }
    Ok(())
}

impl Query {
    fn new(server: &Process, user: &User, name: String, selection: &str) -> Self {
        let query = format!("{{ chats(first: {PAGE}) {{ nodes {{ {selection} }} }} }}");
        let body = json!({ "query": query }).to_string();
        Self {
            name,
            request: post(server.address, "/graphql", &user.token, &body),
            rounds: Vec::new(),
        }
    }

    async fn round(&mut self, server: &Process, plan: &Plan, clock: Clock) -> Outcome<()> {
        let one = std::slice::from_ref(server);
        let expected = Arc::new(self.answer(server).await?);
        let shared = Arc::new(Shared::default());
        let mut tasks = JoinSet::new();
        for _ in 0..CONNECTIONS {
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

    /// The answer, which is a whole page of chats.
    async fn answer(&self, server: &Process) -> Outcome<Vec<u8>> {
        let mut connection = Connection::open(server.address).await?;
        let answer = connection.send(&self.request).await?.body.to_vec();
        let value: Value = serde_json::from_slice(&answer)?;
        let nodes = value["data"]["chats"]["nodes"].as_array();
        let nodes = nodes.context(format_args!("no chats: {value}"))?;
        if nodes.len() != PAGE || value.get("errors").is_some() {
            return Err(format!("no page of chats: {value}").into());
        }
        let distinct: HashSet<_> = nodes.iter().map(Value::to_string).collect();
        if self.name == SELECTIONS[0].0 && distinct.len() != PAGE {
            return Err("a chat is listed twice".into());
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

/// Asks the same again and again. Nothing changes meanwhile, nor may the answer.
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
