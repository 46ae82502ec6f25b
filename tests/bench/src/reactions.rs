//! A crowd that reacts to one message: how many reactions a second are durable, and counted.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::account::{self, User, text};
use super::http::Connection;
use super::outcome::{Context as _, Outcome};
use super::process::{Home, Process};
use super::run::say;
use super::sends::CONNECTIONS;
use super::stats::float;

/// Users who are signed in together.
const TOGETHER: usize = 1000;
/// Members that one request adds.
const ADDED: usize = 100;

const CREATE: &str = "mutation($input: CreateGroupInput!) { \
    createGroup(input: $input) { chat { id } } }";
const ADD: &str = "mutation($input: AddMembersInput!) { \
    addMembers(input: $input) { chat { id } } }";
const SEND: &str = "mutation($input: SendMessageInput!) { \
    sendMessage(input: $input) { message { id } } }";
const REACT: &str = "mutation($message: ID!) { \
    addReaction(input: { messageId: $message, emoji: \"👍\" }) { message { changeSeq } } }";
const COUNT: &str = "query($message: ID!) { node(id: $message) { \
    ... on Message { reactions { count } } } }";

/// What a crowd has shown.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Reactions {
    pub(super) users: usize,
    /// Reactions a second, over [`CONNECTIONS`] connections.
    pub(super) rate: f64,
}

/// Has so many users react to one message on a fresh server.
pub(super) async fn measure(binary: &Path, users: usize) -> Outcome<Reactions> {
    say(&format!(
        "signing {users} users in, who react to one message"
    ));
    let setting = format!("chats.max_members={users}");
    let home = Home::with(binary, vec![setting])?;
    let (server, _) = home.start().await?;
    let mut crowd = Vec::new();
    while crowd.len() < users {
        let (name, some) = (format!("crowd-{}", crowd.len()), users - crowd.len());
        let some = account::sign_in(&home, &server, &name, some.min(TOGETHER));
        crowd.extend(some.await?);
    }
    let message = message(&server, &crowd).await?;
    let (crowd, next) = (Arc::new(crowd), Arc::new(AtomicUsize::new(0)));
    let (mut reacting, started) = (JoinSet::new(), Instant::now());
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::open(server.address).await?;
        let (crowd, next, message) = (Arc::clone(&crowd), Arc::clone(&next), message.clone());
        reacting.spawn(async move {
            while let Some(user) = crowd.get(next.fetch_add(1, Ordering::Relaxed)) {
                let values = json!({ "message": message });
                connection.graphql(Some(&user.token), REACT, values).await?;
            }
            Outcome::Ok(())
        });
    }
    while let Some(ended) = reacting.join_next().await {
        ended??;
    }
    let took = started.elapsed();
    let mut connection = Connection::open(server.address).await?;
    let token = crowd.first().map(|user| &*user.token);
    let values = json!({ "message": message });
    let found = connection.graphql(token, COUNT, values).await?;
    let count = found["node"]["reactions"][0]["count"].as_u64();
    let users = u64::try_from(users)?;
    if count != Some(users) {
        return Err(format!("{count:?} reactions were counted, and not {users}").into());
    }
    server.stop().await?;
    Ok(Reactions {
        users: crowd.len(),
        rate: float(users) / took.as_secs_f64(),
    })
}

/// The id of a message in a group of all of them.
async fn message(server: &Process, crowd: &[User]) -> Outcome<String> {
    let (owner, others) = crowd.split_first().context("nobody is there")?;
    let mut connection = Connection::open(server.address).await?;
    let token = Some(&*owner.token);
    let input = json!({ "input": { "title": "Everybody", "memberIds": [] } });
    let made = connection.graphql(token, CREATE, input).await?;
    let chat = text(&made["createGroup"]["chat"]["id"])?;
    for some in others.chunks(ADDED) {
        let ids: Vec<_> = some.iter().map(|member| &member.id).collect();
        let input = json!({ "input": { "chatId": chat, "userIds": ids, "historyFrom": "ALL" } });
        connection.graphql(token, ADD, input).await?;
    }
    let input = json!({ "input": { "chatId": chat, "text": "React!" } });
    let sent = connection.graphql(token, SEND, input).await?;
    text(&sent["sendMessage"]["message"]["id"])
}
