//! The targets, and whether a run has met them.

use serde::Serialize;

use super::inbox;
use super::report::{Figures, MIB};
use super::stats::median;

/// A target and what came of it.
#[derive(Debug, Serialize)]
pub(super) struct Goal {
    pub(super) what: &'static str,
    pub(super) measured: f64,
    pub(super) wanted: f64,
    pub(super) unit: &'static str,
    pub(super) met: bool,
}

impl Goal {
    fn at_least(what: &'static str, measured: f64, wanted: f64, unit: &'static str) -> Self {
        Self {
            what,
            measured,
            wanted,
            unit,
            met: measured >= wanted,
        }
    }

    fn at_most(what: &'static str, measured: f64, wanted: f64, unit: &'static str) -> Self {
        Self {
            what,
            measured,
            wanted,
            unit,
            met: measured <= wanted,
        }
    }
}

/// The targets of what was measured.
pub(super) fn of(figures: &Figures) -> Vec<Goal> {
    let mut goals = Vec::new();
    if let Some(deliveries) = figures.deliveries.iter().find(|of| of.subscribers == 1000) {
        let what = "deliveries to 1,000 subscribers, of a bare broadcast";
        let pairs = deliveries.real.iter().zip(&deliveries.bare);
        let ratio = percent(pairs.map(|(real, bare)| real.rate / bare.rate));
        goals.push(Goal::at_least(what, ratio, 50.0, "%"));
    }
    if !figures.sends.is_empty() {
        let what = "durable sends, of bare batched inserts";
        let pairs = figures.sends.iter().zip(&figures.bare_inserts);
        let ratio = percent(pairs.map(|(send, bare)| send.rate / bare));
        goals.push(Goal::at_least(what, ratio, 40.0, "%"));
    }
    if let Some(backends) = &figures.backends {
        let what = "deliveries to 1,000 through Redis, of in-process";
        let pairs = (backends.redis.deliveries.iter()).zip(&backends.embedded.deliveries);
        let ratio = percent(pairs.map(|(redis, embedded)| redis.rate / embedded.rate));
        goals.push(Goal::at_least(what, ratio, 70.0, "%"));
    }
    if let Some([one_page, few, many]) = inbox::sidebars(&figures.inbox) {
        let rate = median(one_page.iter().map(|round| round.rate));
        goals.push(Goal::at_least("inbox of 50 chats", rate, 2500.0, "/s"));
        let what = "inbox of who has 2,000 chats, of one with 100";
        let ratio = percent(many.iter().zip(few).map(|(many, few)| many.rate / few.rate));
        goals.push(Goal::at_least(what, ratio, 33.0, "%"));
    }
    if let Some(reconnects) = &figures.reconnects {
        goals.push(Goal::at_most(
            "all caught up, by accountEvents",
            median(reconnects.by_account.iter().map(|round| round.seconds)),
            10.0,
            "s",
        ));
    }
    if !figures.memory.is_empty() {
        let idle = median(figures.memory.iter().map(|memory| memory.idle)) / 1024.0;
        goals.push(Goal::at_most(
            "memory of an idle subscription",
            idle,
            20.0,
            "KiB",
        ));
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
    goals
}

/// The median of ratios of rounds that were measured one after the other.
fn percent(ratios: impl Iterator<Item = f64>) -> f64 {
    median(ratios) * 100.0
}
