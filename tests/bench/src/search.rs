//! What reading far into a chat costs: its history, its changes and the search, where a chat has few
//! messages and where it has very many. The same is asked of both; what is compared is the time of
//! each answer.

use std::path::Path;

use serde_json::{Value, json};

use super::account::{self, text};
use super::http::Connection;
use super::options::Plan;
use super::outcome::{Context as _, Outcome};
use super::process::Home;
use super::queries::Query;
use super::run::say;
use super::stats::{Clock, median};
use super::unread::fill;

/// Messages of the chat that has few.
pub(super) const FEW: u64 = 100;

/// Items of a page.
const PAGE: usize = 20;

const SEND: &str = "mutation($input: SendMessageInput!) { \
    sendMessage(input: $input) { message { id } } }";
const PIN: &str = "mutation($input: PinMessageInput!) { \
    pinMessage(input: $input) { message { changeSeq } } }";

/// One query, asked of the chat with few messages and of the one with many.
pub(super) type Pair = [Query; 2];

/// How many times longer the second takes.
pub(super) fn ratio([few, many]: &Pair) -> f64 {
    let typical = |query: &Query| median(query.rounds.iter().map(|round| round.latency.p50));
    typical(many) / typical(few)
}

/// Measures all queries, in rounds that alternate.
pub(super) async fn measure(binary: &Path, plan: &Plan, clock: Clock) -> Outcome<Vec<Pair>> {
    let home = Home::new(binary)?;
    let (server, _) = home.start().await?;
    let users = account::sign_in(&home, &server, "search", 3).await?;
    let [reader, writers @ ..] = &users[..] else {
        return Err("nobody is there".into());
    };
    let mut connection = Connection::open(server.address).await?;
    let mut columns = Vec::new();
    for (writer, count) in writers.iter().zip([FEW, plan.unread]) {
        say(&format!("{count} messages that are searched"));
        let chat = account::start_chat(&mut connection, writer, reader).await?;
        let input = json!({ "input": { "chatId": chat, "text": "a needle in the hay" } });
        let sent = connection.graphql(Some(&writer.token), SEND, input).await?;
        let first = text(&sent["sendMessage"]["message"]["id"])?;
        let input = json!({ "input": { "messageId": first, "pinned": true } });
        connection.graphql(Some(&writer.token), PIN, input).await?;
        fill(&server, &writer.token, &chat, count - 1).await?;
        let column = queries(&chat).into_iter().map(|(name, query, check)| {
            let name = format!("{name}, {count} messages");
            Query::new(&server, &reader.token, name, &query, check)
        });
        columns.push(column.collect::<Vec<_>>());
    }
    for round in 1..=plan.rounds {
        say(&format!("round {round} of {}: search", plan.rounds));
        for query in columns.iter_mut().flatten() {
            query.round(&server, 1, plan, clock).await?;
        }
    }
    server.stop().await?;
    let [few, many]: [Vec<Query>; 2] = columns.try_into().ok().context("a chat is missing")?;
    Ok(few
        .into_iter()
        .zip(many)
        .map(|(few, many)| [few, many])
        .collect())
}

type Asked = (&'static str, String, fn(&Value) -> bool);

fn queries(chat: &str) -> Vec<Asked> {
    let search = |words: &str| {
        format!(
            "{{ searchMessages(query: \"{words}\", chatId: \"{chat}\", first: {PAGE}) \
             {{ nodes {{ text }} }} }}"
        )
    };
    let of_chat = |field: &str| format!("{{ chat(id: \"{chat}\") {{ {field} }} }}");
    let is_page = |data: &Value| count(&data["searchMessages"]) == PAGE;
    let is_one = |data: &Value| count(&data["searchMessages"]) == 1;
    vec![
        (
            "history",
            of_chat(&format!("messages(last: {PAGE}) {{ nodes {{ text }} }}")),
            |data| count(&data["chat"]["messages"]) == PAGE,
        ),
        (
            "changes",
            of_chat(&format!(
                "changes(first: {PAGE}) {{ nodes {{ changeSeq }} }}"
            )),
            |data| count(&data["chat"]["changes"]) == 1,
        ),
        ("search, a frequent word", search("lazy"), is_page),
        ("search, two of them", search("quick dog"), is_page),
        ("search, a short prefix", search("o"), is_page),
        (
            "search, a word of the first message",
            search("needle"),
            is_one,
        ),
        (
            "search, that and a frequent word",
            search("needle a"),
            is_one,
        ),
        (
            "search, a word that is nowhere",
            search("nowhere"),
            |data| count(&data["searchMessages"]) == 0,
        ),
    ]
}

fn count(connection: &Value) -> usize {
    connection["nodes"].as_array().map_or(usize::MAX, Vec::len)
}
