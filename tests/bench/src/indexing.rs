//! What it costs a send that its words are indexed: beside sends of texts that are as long and have no
//! word. That there are words to be cut from a text, kept with it, and noted with those of 32 messages side
//! by side is the difference; each message is found by its sender all the same.

use std::path::Path;

use serde::Serialize;

use super::account;
use super::options::Plan;
use super::outcome::Outcome;
use super::process::Home;
use super::run::say;
use super::sends::{CONNECTIONS, Load, NEIGHBOURS};
use super::stats::{Clock, Round, median};

/// Rounds of both, one behind the other.
#[derive(Debug, Default, Serialize)]
pub(super) struct Indexing {
    /// Sends of some twenty words.
    pub(super) with_words: Vec<Round>,
    /// Sends of none.
    pub(super) without: Vec<Round>,
}

impl Indexing {
    /// How much of their rate sends lose, in percent.
    pub(super) fn loss(&self) -> f64 {
        let pairs = self.with_words.iter().zip(&self.without);
        100.0 - 100.0 * median(pairs.map(|(with, without)| with.rate / without.rate))
    }
}

/// Measures both on one server, into chats of their own, in rounds that alternate.
pub(super) async fn measure(binary: &Path, plan: &Plan, clock: Clock) -> Outcome<Indexing> {
    let home = Home::new(binary)?;
    let (server, _) = home.start().await?;
    let mut loads = Vec::new();
    for name in ["words", "wordless"] {
        let users = account::sign_in(&home, &server, name, CONNECTIONS).await?;
        let chats = account::ring(&server, &users, NEIGHBOURS).await?;
        loads.push(if name == "words" {
            Load::new(&server, &users, &chats, true)?
        } else {
            Load::wordless(&server, &users, &chats)?
        });
    }
    let mut indexing = Indexing::default();
    for round in 1..=plan.rounds {
        say(&format!(
            "round {round} of {}: sends with words, and without",
            plan.rounds
        ));
        let rounds = [&mut indexing.with_words, &mut indexing.without];
        for (load, rounds) in loads.iter_mut().zip(rounds) {
            rounds.push(load.round(&server, plan, clock).await?);
        }
    }
    server.stop().await?;
    Ok(indexing)
}
