//! Turns at queues in Redis: for each queue the worker whose turn it is, with the turn's end as
//! the key's expiry, and a sorted set of those that wait, by when they came.
//!
//! A turn is passed from its holder straight to the first in line. So one that waits and has died
//! holds up the others for the time of one turn, once, and nobody has to tell that it lives. All
//! times are of Redis' own clock. What a failover forgets costs the line's order, nothing else.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::Value;
use talksy_domain::error::PortError;
use talksy_domain::turns::{Turn, Turns};

use super::fault::Fault;
use super::script::Script;
use super::servers::Servers;

/// The name under which failures are reported.
const BACKEND: &str = "turns";
/// How long a line is kept after the last has joined it. Longer than anybody waits.
const LINE_KEPT: Duration = Duration::from_secs(10);

/// [`Turns`] for all instances that share a Redis.
pub(super) struct RedisTurns {
    servers: Arc<Servers>,
    prefix: String,
    ask: Script,
    pass: Script,
    others: Script,
}

impl RedisTurns {
    pub(super) fn new(servers: Arc<Servers>, prefix: &str) -> Self {
        Self {
            servers,
            prefix: format!("{prefix}turns:"),
            ask: Script::new(include_str!("scripts/turn_ask.lua")),
            pass: Script::new(include_str!("scripts/turn_pass.lua")),
            others: Script::new(include_str!("scripts/turn_others.lua")),
        }
    }

    /// Runs a script over a queue, whose keys share a slot. True where it answers 1.
    async fn run(&self, script: &Script, queue: &str, arguments: &[&str]) -> Result<bool, Fault> {
        let key = |part| format!("{}{{{queue}}}:{part}", self.prefix);
        let (holder, line) = (key("holder"), key("line"));
        let arguments: Vec<_> = arguments.iter().map(|text| text.as_bytes()).collect();
        let keys = [holder.as_str(), line.as_str()];
        match self.servers.script(script, &keys, &arguments).await? {
            Value::Int(answer @ 0..=1) => Ok(answer == 1),
            _ => Err(Fault::Answer("a turn with something else")),
        }
    }
}

/// As Redis takes an expiry, which must not be zero.
fn millis(time: Duration) -> String {
    time.as_millis().max(1).to_string()
}

#[async_trait]
impl Turns for RedisTurns {
    async fn ask(&self, queue: &str, worker: &str, limit: Duration) -> Result<Turn, PortError> {
        let (limit, kept) = (millis(limit), millis(LINE_KEPT));
        let granted = self.run(&self.ask, queue, &[worker, &limit, &kept]).await;
        if granted.map_err(|fault| fault.port(BACKEND))? {
            Ok(Turn::Granted)
        } else {
            Ok(Turn::Waiting)
        }
    }

    async fn pass(&self, queue: &str, worker: &str, limit: Duration) -> Result<bool, PortError> {
        let passed = self.run(&self.pass, queue, &[worker, &millis(limit)]).await;
        passed.map_err(|fault| fault.port(BACKEND))
    }

    async fn others(&self, queue: &str, worker: &str) -> Result<bool, PortError> {
        let others = self.run(&self.others, queue, &[worker]).await;
        others.map_err(|fault| fault.port(BACKEND))
    }
}
