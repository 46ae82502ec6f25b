//! The port of rate limits. Rules live with the services that apply them.

use std::time::Duration;

use crate::error::PortError;
use crate::port::port;

/// How often something may happen: `burst` at once, refilled evenly over `period` (GCRA).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    /// How many may happen at once, at least 1.
    pub burst: u32,
    /// The time in which a spent burst is whole again.
    pub period: Duration,
}

/// A rule with a name, so that keys of different rules never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The rule's name, part of the key: `login-ip`, `send` …
    pub name: &'static str,
    /// How often.
    pub quota: Quota,
}

/// Whether the limiter lets something happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may, and has been counted.
    Allowed,
    /// Not before this time has passed. It has not been counted.
    Denied(Duration),
}

/// Whether the limiter lets several events happen at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spending {
    /// They may, and have been counted. So many more may happen at once now.
    Left(u32),
    /// Not before this time has passed. None has been counted.
    Denied(Duration),
}

port! {
    /// Counts events a key, atomically across all instances that share the backend.
    pub trait RateLimiter as "limits" with RateLimiterLayer {
        /// Counts one event of `key` under `rule`, or says how long to wait.
        async fn check(&self, rule: Rule, key: &str) -> Result<Decision, PortError>;

        /// Counts `amount` events of `key` under `rule`, all or none. More than the burst count as
        /// the burst; 0 only tells what is left.
        async fn spend(&self, rule: Rule, key: &str, amount: u32) -> Result<Spending, PortError>;

        /// Takes back one event that was counted and then did not happen. Never gives more than the
        /// whole burst.
        async fn give_back(&self, rule: Rule, key: &str) -> Result<(), PortError>;
    }
}
