//! The targets, what they were before, and whether a run has met them.

use serde::Serialize;

use super::inbox;
use super::memory;
use super::personal;
use super::queries::Query;
use super::report::{Figures, MIB};
use super::search;
use super::stats::{Round, median};

/// A target and what came of it.
#[derive(Debug, Serialize)]
pub(super) struct Goal {
    pub(super) what: String,
    pub(super) measured: f64,
    pub(super) wanted: f64,
    pub(super) unit: &'static str,
    /// At least what is wanted, and not at most.
    pub(super) is_floor: bool,
    /// What it was before the cost of personal feeds, lists and sockets was looked at, on another
    /// machine perhaps.
    pub(super) before: Option<f64>,
    pub(super) met: bool,
}

impl Goal {
    fn at_least(what: impl Into<String>, measured: f64, wanted: f64, unit: &'static str) -> Self {
        Self {
            what: what.into(),
            measured,
            wanted,
            unit,
            is_floor: true,
            before: None,
            met: measured >= wanted,
        }
    }

    fn at_most(what: impl Into<String>, measured: f64, wanted: f64, unit: &'static str) -> Self {
        Self {
            is_floor: false,
            met: measured <= wanted,
            ..Self::at_least(what, measured, wanted, unit)
        }
    }

    fn was(self, before: f64) -> Self {
        Self {
            before: Some(before),
            ..self
        }
    }

    /// The target's line in a table.
    pub(super) fn line(&self) -> String {
        let Self { what, unit, .. } = self;
        let sign = if self.is_floor { "≥" } else { "≤" };
        let before = self
            .before
            .map_or(String::new(), |before| format!("{before} {unit}"));
        let measured = format!("{:.1} {unit}", self.measured);
        let wanted = format!("{sign} {} {unit}", self.wanted);
        let met = if self.met { "met" } else { "MISSED" };
        format!("{what:<58}{before:>10}{measured:>12}{wanted:>12}  {met}")
    }
}

/// The targets of what was measured.
pub(super) fn of(figures: &Figures) -> Vec<Goal> {
    let mut goals = Vec::new();
    rates(figures, &mut goals);
    feeds(figures, &mut goals);
    groups(figures, &mut goals);
    lists(figures, &mut goals);
    lengths(figures, &mut goals);
    content(figures, &mut goals);
    rest(figures, &mut goals);
    goals
}

/// What is asked of a chat may not take longer where the chat is long.
fn lengths(figures: &Figures, goals: &mut Vec<Goal>) {
    for pair in &figures.search {
        let [_, many] = pair;
        let what = format!("{}, beside {}", many.name, search::FEW);
        goals.push(Goal::at_most(what, search::ratio(pair), 2.0, "x"));
    }
}

/// What is beside messages may not cost what they lack.
fn content(figures: &Figures, goals: &mut Vec<Goal>) {
    if let Some(indexing) = &figures.indexing {
        let what = "what sends lose to the indexing of their words";
        goals.push(Goal::at_most(what, indexing.loss(), 15.0, "%"));
    }
    if let Some(uploads) = &figures.uploads {
        for (way, grown) in [("put at a URL", uploads.put), ("in a form", uploads.form)] {
            let what = format!("memory for 25 MiB, {way}");
            goals.push(Goal::at_most(what, grown / MIB, 4.0, "MiB"));
        }
        let what = "memory for 50 images of 5 MiB at once";
        let bound = (uploads.bound / MIB).floor();
        goals.push(Goal::at_most(what, uploads.images / MIB, bound, "MiB"));
    }
}

fn rates(figures: &Figures, goals: &mut Vec<Goal>) {
    if let Some(deliveries) = figures.deliveries.iter().find(|of| of.subscribers == 1000) {
        let what = "deliveries to 1,000 subscribers, of a bare broadcast";
        let pairs = deliveries.real.iter().zip(&deliveries.bare);
        let ratio = percent(pairs.map(|(real, bare)| real.rate / bare.rate));
        goals.push(Goal::at_least(what, ratio, 140.0, "%").was(149.0));
    }
    if !figures.sends.is_empty() {
        let what = "durable sends, of bare batched inserts";
        let pairs = figures.sends.iter().zip(&figures.bare_inserts);
        let ratio = percent(pairs.map(|(send, bare)| send.rate / bare));
        goals.push(Goal::at_least(what, ratio, 55.0, "%").was(62.0));
    }
    if let Some(backends) = &figures.backends {
        let what = "deliveries to 1,000 through Redis, of in-process";
        let pairs = (backends.redis.deliveries.iter()).zip(&backends.embedded.deliveries);
        let ratio = percent(pairs.map(|(redis, embedded)| redis.rate / embedded.rate));
        goals.push(Goal::at_least(what, ratio, 70.0, "%"));
    }
}

fn feeds(figures: &Figures, goals: &mut Vec<Goal>) {
    let [fewest, most] = personal::ENDS;
    for feed in personal::NAMES {
        let of = |viewers, part: fn(&personal::Personal) -> f64| {
            let rounds = figures.personal.iter();
            let rounds = rounds.filter(|one| (one.feed, one.viewers) == (feed, viewers));
            median(rounds.map(part))
        };
        if !figures.personal.iter().any(|one| one.feed == feed) {
            continue;
        }
        let what = format!("{feed} to {most}, CPU of each delivery");
        let cpu = of(most, |one| one.server_cpu);
        goals.push(Goal::at_most(what, cpu, 10.0, "µs").was(190.0));
        // Beside the messages run the looks of the heartbeats, which are the same for any number.
        let what = format!("{feed}: store calls a message to {most}, less those to {fewest}");
        let calls = |viewers| of(viewers, |one| one.store_calls);
        goals.push(Goal::at_most(what, calls(most) - calls(fewest), 0.5, ""));
    }
}

fn groups(figures: &Figures, goals: &mut Vec<Goal>) {
    let Some(of) = &figures.large_group else {
        return;
    };
    let members = of.members;
    let pairs = || of.group.iter().zip(&of.direct);
    let what = format!("a send into a group of {members}, of one into a direct chat");
    let time = median(pairs().map(|(group, direct)| direct.rate / group.rate));
    goals.push(Goal::at_most(what, time, 1.2, "×"));
    let what = format!("CPU of a send into a group of {members}, of a direct chat's");
    let cpu = median(pairs().map(|(group, direct)| group.server_cpu / direct.server_cpu));
    goals.push(Goal::at_most(what, cpu, 1.2, "×"));
}

fn lists(figures: &Figures, goals: &mut Vec<Goal>) {
    if let Some([one_page, few, many]) = inbox::sidebars(&figures.inbox) {
        let rate = median(one_page.iter().map(|round| round.rate));
        goals.push(Goal::at_least("inbox of 50 chats", rate, 2500.0, "/s").was(620.0));
        let what = "inbox of who has 2,000 chats, of one with 100";
        let ratio = percent(many.iter().zip(few).map(|(many, few)| many.rate / few.rate));
        goals.push(Goal::at_least(what, ratio, 33.3, "%"));
    }
    if let Some([few, many]) = &figures.unread {
        let time = |round: &Round| round.latency.p50;
        let rounds = few.rounds.iter().zip(&many.rounds);
        let times = median(rounds.map(|(few, many)| time(many) / time(few)));
        let Query { name, .. } = many;
        let what = format!("{name}, of {}", super::unread::FEW);
        goals.push(Goal::at_most(what, times, 2.0, "×"));
        let took = median(many.rounds.iter().map(time));
        // No target of its own but that it stays far from what it was.
        goals.push(Goal::at_most(name.as_str(), took, 5.0, "ms").was(95.0));
    }
}

fn rest(figures: &Figures, goals: &mut Vec<Goal>) {
    if let Some(reconnects) = &figures.reconnects {
        goals.push(Goal::at_most(
            "all caught up, by accountEvents",
            median(reconnects.by_account.iter().map(|round| round.seconds)),
            10.0,
            "s",
        ));
    }
    if !figures.memory.is_empty() {
        let [follow, account] = memory::idle_kib(&figures.memory);
        let what = "memory of an idle messageAdded";
        goals.push(Goal::at_most(what, follow, 10.0, "KiB").was(13.7));
        let what = "memory of an idle accountEvents over 100 chats";
        goals.push(Goal::at_most(what, account, 24.0, "KiB"));
    }
    if !figures.starts_fresh.is_empty() {
        let times = [&figures.starts_fresh, &figures.starts_existing];
        let [fresh, existing] = times.map(|times| median(times.iter().copied()));
        let slower = fresh.max(existing);
        goals.push(Goal::at_most(
            "start to ready, the slower",
            slower,
            300.0,
            "ms",
        ));
        goals.push(Goal::at_most(
            // 40 MB, so that well-kept libraries fit in.
            "binary",
            figures.binary_bytes / MIB,
            38.1,
            "MiB",
        ));
    }
}

/// The median of ratios of rounds that were measured one after the other.
fn percent(ratios: impl Iterator<Item = f64>) -> f64 {
    median(ratios) * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_told_beside_what_it_was() {
        let goal = Goal::at_most("inbox", 12.34, 10.0, "KiB").was(13.7);
        let words: Vec<_> = goal.line().split_whitespace().map(str::to_owned).collect();
        let expected = "inbox 13.7 KiB 12.3 KiB ≤ 10 KiB MISSED";
        assert_eq!(words.join(" "), expected);
        let goal = Goal::at_least("inbox", 3000.0, 2500.0, "/s");
        assert!(goal.line().ends_with("≥ 2500 /s  met"), "{}", goal.line());
    }
}
