//! A crowd that reacts to one message: how many reactions a second are durable, and counted.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::account::{User, text};
use super::crowd;
use super::http::Connection;
use super::outcome::{Context as _, Outcome};
use super::process::{Home, Process};
use super::run::say;
use super::sends::CONNECTIONS;
use super::stats::float;

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
    let crowd = crowd::sign_in(&home, &server, users).await?;
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
    let owner = crowd.first().context("nobody is there")?;
    let chat = crowd::group(server, crowd).await?;
    let mut connection = Connection::open(server.address).await?;
    let token = Some(&*owner.token);
    let input = json!({ "input": { "chatId": chat, "text": "React!" } });
    let sent = connection.graphql(token, SEND, input).await?;
    text(&sent["sendMessage"]["message"]["id"])
}
