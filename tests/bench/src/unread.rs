//! What an unread count costs: of a chat with a few unread messages, and of one with very many.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use tokio::task::JoinSet;

use super::account;
use super::http::Connection;
use super::options::Plan;
use super::outcome::{Context as _, Outcome};
use super::process::{Home, Process};
use super::queries::Query;
use super::run::say;
use super::sends::CONNECTIONS;
use super::stats::Clock;
use super::template::SendRequest;

/// Unread messages of the chat that has few.
pub(super) const FEW: u64 = 10;

/// Measures both counts, in rounds that alternate. One connection asks: it is the time of each
/// answer that counts.
pub(super) async fn measure(binary: &Path, plan: &Plan, clock: Clock) -> Outcome<[Query; 2]> {
    let home = Home::new(binary)?;
    let (server, _) = home.start().await?;
    let users = account::sign_in(&home, &server, "unread", 3).await?;
    let [reader, writers @ ..] = &users[..] else {
        return Err("nobody is there".into());
    };
    let mut connection = Connection::open(server.address).await?;
    let mut queries = Vec::new();
    for (writer, count) in writers.iter().zip([FEW, plan.unread]) {
        say(&format!("{count} messages that nobody reads"));
        let chat = account::start_chat(&mut connection, writer, reader).await?;
        fill(&server, &writer.token, &chat, count).await?;
        let query = format!("{{ chat(id: \"{chat}\") {{ unreadCount }} }}");
        let data = connection.graphql(Some(&reader.token), &query, Value::Null);
        let found = data.await?["chat"]["unreadCount"].as_u64();
        if found != Some(count) {
            return Err(format!("{found:?} messages are unread, and not {count}").into());
        }
        let name = format!("unread count of {count} messages");
        let is_count = |data: &Value| data["chat"]["unreadCount"].is_u64();
        queries.push(Query::new(&server, &reader.token, name, &query, is_count));
    }
    for round in 1..=plan.rounds {
        say(&format!("round {round} of {}: unread counts", plan.rounds));
        for query in &mut queries {
            query.round(&server, 1, plan, clock).await?;
        }
    }
    server.stop().await?;
    queries.try_into().ok().context("a chat is missing")
}

/// Sends so many messages to a chat, over many connections.
pub(super) async fn fill(server: &Process, token: &str, chat: &str, count: u64) -> Outcome<()> {
    let next = Arc::new(AtomicU64::new(0));
    let mut senders = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::open(server.address).await?;
        let mut request = SendRequest::new(server.address, "/graphql", token, chat)?;
        let next = Arc::clone(&next);
        senders.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Outcome::Ok(());
                }
                let answer = connection.send(request.fill(number, number)).await?;
                let body = String::from_utf8_lossy(answer.body);
                if !body.contains("\"seq\":") {
                    return Err(format!("a send was refused: {body}").into());
                }
            }
        });
    }
    while let Some(ended) = senders.join_next().await {
        ended??;
    }
    Ok(())
}
