//! What the list of a user's chats costs: by the fields that are asked for, and by the number of
//! the user's chats.

use std::collections::HashSet;
use std::path::Path;

use serde_json::{Value, json};

use super::account::{self, User};
use super::http::Connection;
use super::options::Plan;
use super::outcome::{Context as _, Outcome};
use super::process::{Home, Process};
use super::queries::Query;
use super::run::say;
use super::sends::CONNECTIONS;
use super::stats::{Clock, Round};
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
        queries.push(page(&server, user, name.to_owned(), selection));
    }
    for (user, chats) in users.iter().zip(CHATS) {
        queries.push(page(&server, user, sidebar(chats), SIDEBAR));
    }
    for round in 1..=plan.rounds {
        say(&format!("round {round} of {}: inboxes", plan.rounds));
        for query in &mut queries {
            query.round(&server, CONNECTIONS, plan, clock).await?;
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

/// A query for a page of the list, with this of each chat.
fn page(server: &Process, user: &User, name: String, selection: &str) -> Query {
    let query = format!("{{ chats(first: {PAGE}) {{ nodes {{ {selection} }} }} }}");
    let check = if name == SELECTIONS[0].0 {
        is_page_of_distinct
    } else {
        is_page
    };
    Query::new(server, &user.token, name, &query, check)
}

fn is_page(data: &Value) -> bool {
    let nodes = data["chats"]["nodes"].as_array();
    nodes.is_some_and(|nodes| nodes.len() == PAGE)
}

fn is_page_of_distinct(data: &Value) -> bool {
    let nodes = data["chats"]["nodes"].as_array().into_iter().flatten();
    let distinct: HashSet<_> = nodes.map(Value::to_string).collect();
    is_page(data) && distinct.len() == PAGE
}
