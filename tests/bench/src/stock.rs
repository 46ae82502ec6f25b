//! The server beside the stock integration: the same schema on the same services and the same kind
//! of store, through async-graphql-axum's own handlers. What differs are the transports, and what
//! they do around the executor.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::account;
use super::audits::{self, Audits};
use super::deliveries::{Paths, Room};
use super::http::Connection;
use super::memory::{self, Memory};
use super::options::{MOST, Plan};
use super::outcome::{Context as _, Outcome};
use super::process::{Home, Process};
use super::queries::Query;
use super::report::grouped;
use super::run::say;
use super::sends::CONNECTIONS;
use super::stats::{Clock, Round, median};
use super::template;

/// Messages of the page that is asked for.
const PAGE: usize = 50;

const SEND: &str = "mutation($chat: ID!, $text: String!) { \
    sendMessage(input: { chatId: $chat, text: $text }) { edge { node { id } } } }";

/// One set of transports.
#[derive(Debug, Serialize)]
pub(super) struct Transports {
    name: &'static str,
    /// To 1,000 subscribers of one chat.
    pub(super) deliveries: Vec<Round>,
    me: Query,
    page: Query,
    /// Of 1,000 sockets, each with one subscription.
    pub(super) memory: Memory,
    audits: Option<Audits>,
}

/// Transports under measurement.
struct Side {
    name: &'static str,
    home: Home,
    paths: Paths,
}

/// Measures both, in rounds that alternate.
pub(super) async fn measure(binary: &Path, plan: &Plan, clock: Clock) -> Outcome<[Transports; 2]> {
    let sides = [
        Side {
            name: "own transports",
            home: Home::new(binary)?,
            paths: Paths::SERVER,
        },
        Side {
            name: "async-graphql-axum 7.2.1",
            home: Home::of_role("stock-server", Vec::new())?,
            paths: Paths::STOCK,
        },
    ];
    let mut measured = Vec::new();
    for side in &sides {
        say(&format!("{}: memory and audits", side.name));
        measured.push(side.start(clock).await?);
    }
    for round in 1..=plan.rounds {
        for (server, room, of) in &mut measured {
            say(&format!("round {round} of {}: {}", plan.rounds, of.name));
            let servers = std::slice::from_ref(server);
            let deliveries = room.round(servers, MOST, plan, plan.real, clock).await;
            let deliveries = deliveries.context(of.name)?;
            of.deliveries.push(deliveries);
            of.me.round(server, CONNECTIONS, plan, clock).await?;
            of.page.round(server, CONNECTIONS, plan, clock).await?;
        }
    }
    let mut transports = Vec::new();
    for (server, _, of) in measured {
        server.stop().await?;
        transports.push(of);
    }
    transports.try_into().ok().context("a server is missing")
}

impl Side {
    /// Starts a server with users, and measures what needs a fresh one.
    async fn start(&self, clock: Clock) -> Outcome<(Process, Room, Transports)> {
        let (server, _) = self.home.start().await.context(self.name)?;
        let users = account::sign_in(&self.home, &server, "peer", 4).await?;
        let [one, two, reader, writer] = &users[..] else {
            return Err("nobody is there".into());
        };
        let mut connection = Connection::open(server.address).await?;
        let chat = account::start_chat(&mut connection, one, two).await?;
        let tokens = [one, two].map(|user| user.token.clone());
        let room = Room::new(self.paths, chat, tokens);
        let rooms = std::slice::from_ref(&room);
        let memory = memory::idle(&server, rooms, MOST.subscribers, clock).await?;
        let chat = account::start_chat(&mut connection, reader, writer).await?;
        for _ in 0..2 * PAGE {
            let values = json!({ "chat": chat, "text": template::text() });
            let sent = connection.graphql(Some(&writer.token), SEND, values);
            sent.await?;
        }
        let page = format!(
            "{{ chat(id: \"{chat}\") {{ messages(last: {PAGE}) {{ nodes {{ \
             id seq text createdAt sender {{ id name }} }} }} }} }}"
        );
        let is_me = |data: &Value| data["me"]["id"].is_string();
        let is_page = |data: &Value| {
            let nodes = data["chat"]["messages"]["nodes"].as_array();
            nodes.is_some_and(|nodes| nodes.len() == PAGE)
        };
        let query = |name: &str, query: &str, check| {
            Query::new(&server, &reader.token, name.to_owned(), query, check)
        };
        let transports = Transports {
            name: self.name,
            deliveries: Vec::new(),
            me: query("me", "{ me { id name } }", is_me),
            page: query("a page of 50 messages", &page, is_page),
            memory,
            audits: audits::of(&server).await?,
        };
        Ok((server, room, transports))
    }
}

/// Both, as a table.
pub(super) fn table(out: &mut String, all: &[Transports; 2]) -> Outcome<()> {
    writeln!(
        out,
        "\n{:<42}{:>12}{:>9}{:>10}{:>10}{:>12}{:>22}",
        "the same schema through",
        "deliveries/s",
        "CPU µs",
        "idle KiB",
        "me/s",
        "50 messages",
        "audits: must/should/may"
    )?;
    for of in all {
        let rate = |rounds: &[Round]| grouped(median(rounds.iter().map(|round| round.rate)));
        let audits = of.audits.as_ref().map_or("not run".to_owned(), |audits| {
            let [must, should, may] = [&audits.must, &audits.should, &audits.may].map(Vec::len);
            format!("{must}/{should}/{may} of {} failed", audits.run)
        });
        writeln!(
            out,
            "{:<42}{:>12}{:>9.1}{:>10.1}{:>10}{:>12}{audits:>22}",
            of.name,
            rate(&of.deliveries),
            median(of.deliveries.iter().map(|round| round.server_cpu)),
            of.memory.idle / 1024.0,
            rate(&of.me.rounds),
            rate(&of.page.rounds),
        )?;
    }
    for of in all {
        let Some(audits) = &of.audits else { continue };
        for name in [&audits.must, &audits.should, &audits.may]
            .into_iter()
            .flatten()
        {
            writeln!(out, "  {} fails: {name}", of.name)?;
        }
    }
    Ok(())
}
