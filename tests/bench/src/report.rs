//! The figures of a run, as a table for people and as JSON.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::backends::Backends;
use super::goals::{self, Goal};
use super::indexing::Indexing;
use super::large_group::LargeGroup;
use super::memory::{self, Memory, Stages};
use super::outcome::{Context as _, Outcome};
use super::personal::Personal;
use super::queries::Query;
use super::reactions::Reactions;
use super::reconnects::{Catch, Reconnects};
use super::search;
use super::stats::{Latency, Round, largest, median};
use super::stock::{self, Transports};
use super::uploads::Uploads;

/// Everything that was measured. What was not is empty.
#[derive(Debug, Default, Serialize)]
pub(super) struct Figures {
    pub(super) cores: usize,
    /// Processes that wanted a core in the minute before.
    pub(super) load_before: f64,
    pub(super) answer_bytes: usize,
    pub(super) frame_bytes: usize,
    pub(super) sends: Vec<Round>,
    pub(super) bare_handler: Vec<Round>,
    pub(super) bare_inserts: Vec<f64>,
    pub(super) syncs: Vec<f64>,
    pub(super) deliveries: Vec<Deliveries>,
    pub(super) inbox: Vec<Query>,
    /// Of a chat with few unread messages, and of one with very many.
    pub(super) unread: Option<[Query; 2]>,
    /// Queries of a chat with few messages, and of one with very many.
    pub(super) search: Vec<search::Pair>,
    /// Sends of texts with words, and without.
    pub(super) indexing: Option<Indexing>,
    pub(super) uploads: Option<Uploads>,
    pub(super) reactions: Option<Reactions>,
    pub(super) personal: Vec<Personal>,
    pub(super) large_group: Option<LargeGroup>,
    pub(super) idle_sockets: usize,
    pub(super) memory: Vec<Stages>,
    pub(super) bare_memory: Vec<Memory>,
    pub(super) heap: Option<Stages>,
    /// Milliseconds.
    pub(super) starts_fresh: Vec<f64>,
    pub(super) starts_existing: Vec<f64>,
    pub(super) binary_bytes: f64,
    /// The size of the database that the server was started on.
    pub(super) database_bytes: f64,
    pub(super) reconnects: Option<Reconnects>,
    pub(super) backends: Option<Backends>,
    /// The own transports, and those of the stock integration.
    pub(super) stock: Option<[Transports; 2]>,
    goals: Vec<Goal>,
}

/// One number of subscribers.
#[derive(Debug, Serialize)]
pub(super) struct Deliveries {
    pub(super) subscribers: usize,
    pub(super) window: usize,
    pub(super) real: Vec<Round>,
    pub(super) bare: Vec<Round>,
    /// The bare broadcast with fewer system calls.
    pub(super) gathered: Vec<Round>,
}

impl Figures {
    /// The table.
    pub(super) fn table(&mut self) -> Outcome<String> {
        self.goals = goals::of(self);
        let mut out = String::new();
        self.rates(&mut out)?;
        personal_feeds(&mut out, &self.personal)?;
        self.rest(&mut out)?;
        if let Some(reconnects) = &self.reconnects {
            returns(&mut out, reconnects)?;
        }
        if let Some(backends) = &self.backends {
            prices(&mut out, backends)?;
        }
        if let Some(stock) = &self.stock {
            stock::table(&mut out, stock)?;
        }
        if let Some(heap) = &self.heap {
            memory::blocks_table(&mut out, heap)?;
        }
        if !self.goals.is_empty() {
            writeln!(
                out,
                "\n{:<58}{:>10}{:>12}{:>12}",
                "target", "before", "measured", "wanted"
            )?;
        }
        for goal in &self.goals {
            writeln!(out, "{}", goal.line())?;
        }
        Ok(out)
    }

    /// Writes all figures to a file.
    pub(super) fn write_json(&self, file: &Path) -> Outcome<()> {
        let json = serde_json::to_string_pretty(self)?;
        std::fs::write(file, json).context(format_args!("cannot write {}", file.display()))
    }

    fn rates(&self, out: &mut String) -> Outcome<()> {
        if self.sends.is_empty()
            && self.deliveries.is_empty()
            && self.inbox.is_empty()
            && self.unread.is_none()
            && self.large_group.is_none()
            && self.search.is_empty()
            && self.indexing.is_none()
        {
            return Ok(());
        }
        let unread = self.unread.iter().flatten();
        writeln!(
            out,
            "{} cores, shared by server and load; load average before: {:.1}\n\
             medians of {} rounds; text of {} bytes, answers of {}, frames of {}\n",
            self.cores,
            self.load_before,
            self.sends
                .len()
                .max(self.deliveries.first().map_or(0, |of| of.real.len()))
                .max(self.inbox.first().map_or(0, |of| of.rounds.len()))
                .max(unread.clone().next().map_or(0, |of| of.rounds.len()))
                .max(self.large_group.as_ref().map_or(0, |of| of.group.len()))
                .max(self.search.first().map_or(0, |[of, _]| of.rounds.len()))
                .max(self.indexing.as_ref().map_or(0, |of| of.without.len())),
            super::template::TEXT_LENGTH,
            self.answer_bytes,
            self.frame_bytes,
        )?;
        writeln!(
            out,
            "{:<42}{:>10}{:>22}{:>9}{:>9}{:>9}{:>9}{:>9}",
            "", "a second", "rounds", "p50 ms", "p99 ms", "max ms", "CPU µs", "load µs"
        )?;
        if !self.sends.is_empty() {
            row(out, "durable sends, 64 connections, 256 chats", &self.sends)?;
            row(out, "  bare axum handler", &self.bare_handler)?;
            plain(
                out,
                "  bare SQLite inserts, 64 a commit",
                &self.bare_inserts,
            )?;
            plain(out, "  appends of 4 KiB with fdatasync", &self.syncs)?;
        }
        for of in &self.deliveries {
            let (sockets, window) = (of.subscribers, of.window);
            let name = format!("deliveries to {sockets} sockets, {window} at a time");
            row(out, &name, &of.real)?;
            calm(out, "    one at a time", &of.real)?;
            row(out, "  bare axum broadcast", &of.bare)?;
            calm(out, "    one at a time", &of.bare)?;
            row(out, "  the same, gathering frames", &of.gathered)?;
        }
        for query in &self.inbox {
            row(out, &format!("50 chats: {}", query.name), &query.rounds)?;
        }
        if let Some(LargeGroup {
            members,
            group,
            direct,
        }) = &self.large_group
        {
            let name = format!("sends into a group of {members}");
            row(out, &name, group)?;
            row(out, "  into direct chats of the same senders", direct)?;
        }
        for query in unread {
            row(out, &query.name, &query.rounds)?;
        }
        for pair in &self.search {
            for query in pair {
                row(out, &query.name, &query.rounds)?;
            }
            writeln!(
                out,
                "{:<42}{:>10.2}",
                "  times as long",
                search::ratio(pair)
            )?;
        }
        if let Some(indexing) = &self.indexing {
            row(out, "sends of texts with words", &indexing.with_words)?;
            row(out, "  of as long texts without", &indexing.without)?;
        }
        Ok(())
    }

    fn rest(&self, out: &mut String) -> Outcome<()> {
        let kib = |memory: &[Memory], part: fn(&Memory) -> f64| {
            format!("{:.1} KiB", median(memory.iter().map(part)) / 1024.0)
        };
        memory::table(out, self.idle_sockets, &self.memory)?;
        let mut line = |name: &str, value: String| writeln!(out, "{name:<58}{value:>10}");
        if !self.memory.is_empty() {
            line(
                "for comparison: a bare axum socket",
                kib(&self.bare_memory, |memory| memory.idle),
            )?;
            line(
                "  after its first message",
                kib(&self.bare_memory, |memory| memory.used),
            )?;
        }
        if !self.starts_fresh.is_empty() {
            let starts = |times: &[f64]| format!("{:.0} ms", median(times.iter().copied()));
            line(
                "start to ready, fresh data directory",
                starts(&self.starts_fresh),
            )?;
            let name = format!("  existing one of {:.0} MiB", self.database_bytes / MIB);
            line(&name, starts(&self.starts_existing))?;
            line("binary", format!("{:.1} MiB", self.binary_bytes / MIB))?;
        }
        if let Some(Reactions { users, rate }) = &self.reactions {
            let name = format!("reactions of {users} users to one message, a second");
            line(&name, format!("{rate:.0}"))?;
        }
        if let Some(uploads) = &self.uploads {
            let name = "size of each of the images, of 25 million pixels";
            line(name, format!("{:.1} MiB", uploads.image_bytes / MIB))?;
        }
        Ok(())
    }
}

/// How clients that have missed much come back.
fn returns(out: &mut String, reconnects: &Reconnects) -> Outcome<()> {
    let clients = reconnects.clients;
    writeln!(
        out,
        "\n{:<48}{:>10}{:>9}{:>9}{:>12}{:>14}",
        format!("{clients} clients come back at once, each to"),
        "all, s",
        "p50 s",
        "p99 s",
        "CPU ms each",
        "store calls"
    )?;
    let mut row = |name: &str, rounds: &[Catch]| {
        let of = |part: fn(&Catch) -> f64| median(rounds.iter().map(part));
        writeln!(
            out,
            "{name:<48}{:>10.2}{:>9.2}{:>9.2}{:>12.2}{:>14.1}",
            of(|round| round.seconds),
            of(|round| round.latency.p50 / 1e3),
            of(|round| round.latency.p99 / 1e3),
            of(|round| round.server_cpu),
            of(|round| round.calls),
        )
    };
    let missed = "200 messages and 50 changes in 20 chats";
    row(missed, &reconnects.by_account)?;
    row("  by two feeds of each chat", &reconnects.by_chats)?;
    for (name, rounds) in [
        ("accountEvents", &reconnects.by_account),
        ("feeds", &reconnects.by_chats),
    ] {
        let Some(last) = rounds.last() else { continue };
        let refused: u64 = rounds.iter().map(|round| round.refused).sum();
        if refused > 0 {
            writeln!(
                out,
                "  {name}: {refused} sockets were refused and opened again"
            )?;
        }
        let calls = last.methods.iter().filter(|(_, calls)| **calls >= 0.05);
        let calls: Vec<_> = calls
            .map(|(method, calls)| format!("{method} {calls:.1}"))
            .collect();
        writeln!(out, "  {name}: {}", calls.join(", "))?;
    }
    Ok(())
}

/// The feeds that are each member's own.
fn personal_feeds(out: &mut String, all: &[Personal]) -> Outcome<()> {
    if all.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n{:<42}{:>10}{:>9}{:>22}",
        "to the members of one group", "a second", "CPU µs", "store calls a message"
    )?;
    let mut kinds: Vec<_> = all.iter().map(|one| (one.feed, one.viewers)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for (feed, viewers) in kinds {
        let of = |part: fn(&Personal) -> f64| {
            let rounds = all
                .iter()
                .filter(|one| (one.feed, one.viewers) == (feed, viewers));
            median(rounds.map(part))
        };
        writeln!(
            out,
            "{:<42}{:>10.0}{:>9.1}{:>22.1}",
            format!("{feed} to {viewers}, one at a time"),
            of(|one| one.rate),
            of(|one| one.server_cpu),
            of(|one| one.store_calls),
        )?;
    }
    Ok(())
}

/// What each backend costs, beside the embedded one.
fn prices(out: &mut String, backends: &Backends) -> Outcome<()> {
    let Backends {
        embedded,
        redis,
        mongo,
        two,
        ..
    } = backends;
    writeln!(
        out,
        "\n{:<42}{:>10}{:>22}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "shared backends", "a second", "rounds", "p50 ms", "p99 ms", "max ms", "CPU µs", "load µs"
    )?;
    row(out, "durable sends, embedded", &embedded.sends)?;
    row(out, "  bus, limits and presence in Redis", &redis.sends)?;
    if !mongo.sends.is_empty() {
        row(out, "  store in MongoDB, too", &mongo.sends)?;
    }
    row(
        out,
        "deliveries to 1,000 sockets, embedded",
        &embedded.deliveries,
    )?;
    row(out, "  through Redis", &redis.deliveries)?;
    calm(out, "    one at a time", &redis.deliveries)?;
    if !mongo.deliveries.is_empty() {
        row(out, "  store in MongoDB, too", &mongo.deliveries)?;
    }
    let store = if backends.stand_in {
        "  two servers, a stand-in for MongoDB"
    } else {
        "  two servers on MongoDB and Redis"
    };
    row(out, store, &two.deliveries)?;
    for (name, latency) in [
        ("login, mail in the own queue", &backends.login_embedded),
        ("  confirmed by RabbitMQ", &backends.login_rabbitmq),
    ] {
        let Latency { p50, p99, max } = latency;
        writeln!(out, "{name:<42}{:>32}{p50:>9.2}{p99:>9.2}{max:>9.2}", "")?;
    }
    if backends.stand_in {
        writeln!(
            out,
            "No mongod is installed: MongoDB's price is not measured."
        )?;
    }
    Ok(())
}

pub(super) const MIB: f64 = 1024.0 * 1024.0;

fn row(out: &mut String, name: &str, rounds: &[Round]) -> Outcome<()> {
    let of = |part: fn(&Round) -> f64| median(rounds.iter().map(part));
    let rates: Vec<f64> = rounds.iter().map(|round| round.rate).collect();
    writeln!(
        out,
        "{name:<42}{}{:>9.2}{:>9.2}{:>9.2}{:>9.1}{:>9.1}",
        rate(&rates),
        of(|round| round.latency.p50),
        of(|round| round.latency.p99),
        largest(rounds.iter().map(|round| round.latency.max)),
        of(|round| round.server_cpu),
        of(|round| round.client_cpu),
    )?;
    Ok(())
}

fn calm(out: &mut String, name: &str, rounds: &[Round]) -> Outcome<()> {
    let calm: Vec<_> = rounds.iter().filter_map(|round| round.calm).collect();
    writeln!(
        out,
        "{name:<42}{:>32}{:>9.2}{:>9.2}{:>9.2}",
        "",
        median(calm.iter().map(|calm| calm.p50)),
        median(calm.iter().map(|calm| calm.p99)),
        largest(calm.iter().map(|calm| calm.max)),
    )?;
    Ok(())
}

fn plain(out: &mut String, name: &str, rates: &[f64]) -> Outcome<()> {
    writeln!(out, "{name:<42}{}", rate(rates))?;
    Ok(())
}

/// The median, and the lowest and highest.
fn rate(rates: &[f64]) -> String {
    let lowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let range = format!(
        "{}–{}",
        grouped(lowest),
        grouped(largest(rates.iter().copied()))
    );
    format!("{:>10}{range:>22}", grouped(median(rates.iter().copied())))
}

/// A rounded number with its thousands apart.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [
            (0.4, "0"),
            (999.0, "999"),
            (1234.5, "1,234"),
            (1e6, "1,000,000"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_run_without_measurements_is_an_empty_table() {
        assert_eq!(Figures::default().table().unwrap(), "");
    }
}
