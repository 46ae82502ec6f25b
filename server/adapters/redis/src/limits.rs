//! Rate limits in Redis: GCRA in one script a check, one key a rule and limited key.
//!
//! The time is the [`Clock`] port's. Clocks of instances that differ by some milliseconds shift a
//! limit by as much. A key expires by Redis' own clock, a minute after its burst is whole again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::Value;
use sha2::{Digest as _, Sha256};
use talksy_domain::clock::Clock;
use talksy_domain::error::PortError;
use talksy_domain::limits::{Decision, RateLimiter, Rule, Spending};

use super::fault::Fault;
use super::script::Script;
use super::servers::Servers;

/// The name under which failures are reported.
const BACKEND: &str = "rate limits";
/// For how long a key outlives its use: longer than clocks differ.
const MARGIN_MS: u32 = 60_000;

/// [`RateLimiter`] for all instances that share a Redis.
pub(super) struct RedisRateLimiter {
    servers: Arc<Servers>,
    clock: Arc<dyn Clock>,
    prefix: String,
    check: Script,
    give_back: Script,
}

impl RedisRateLimiter {
    pub(super) fn new(servers: Arc<Servers>, clock: Arc<dyn Clock>, prefix: &str) -> Self {
        Self {
            servers,
            clock,
            prefix: format!("{prefix}limit:"),
            check: Script::new(include_str!("scripts/limit.lua")),
            give_back: Script::new(include_str!("scripts/limit_give_back.lua")),
        }
    }

    /// The Redis key: of bounded length, whatever is limited. The last part has no colon, so that
    /// rules do not meet.
    fn key(&self, rule: Rule, key: &str) -> String {
        let hash = Sha256::digest(key.as_bytes());
        format!("{}{}:{}", self.prefix, rule.name, hex::encode(&hash[..16]))
    }

    async fn decide(&self, rule: Rule, key: &str, amount: u32) -> Result<Spending, Fault> {
        let Some((now, interval)) = self.times(rule) else {
            return Ok(Spending::Left(u32::MAX));
        };
        // As long as whole intervals, or rounding would refuse the burst's last event.
        let period = interval * u64::from(rule.quota.burst.max(1));
        let arguments = [
            now.to_string(),
            interval.to_string(),
            period.to_string(),
            MARGIN_MS.to_string(),
            amount.to_string(),
        ];
        let answer = self.run(&self.check, rule, key, &arguments).await?;
        Ok(match u64::try_from(answer) {
            Ok(wait @ 1..) => Spending::Denied(Duration::from_micros(wait)),
            _ => Spending::Left(u32::try_from(answer.unsigned_abs()).unwrap_or(u32::MAX)),
        })
    }

    /// Now, and the time of one event, in microseconds. No quota comes of a period under a
    /// microsecond an event: nothing to limit there.
    fn times(&self, rule: Rule) -> Option<(i64, u64)> {
        let now = self.clock.now().as_millis().saturating_mul(1_000);
        let period = u64::try_from(rule.quota.period.as_micros()).unwrap_or(u64::MAX);
        let interval = period / u64::from(rule.quota.burst.max(1));
        (interval > 0).then_some((now, interval))
    }

    async fn run(
        &self,
        script: &Script,
        rule: Rule,
        key: &str,
        arguments: &[String],
    ) -> Result<i64, Fault> {
        let arguments: Vec<_> = arguments.iter().map(String::as_bytes).collect();
        let key = self.key(rule, key);
        match self.servers.script(script, &[&key], &arguments).await? {
            Value::Int(answer) => Ok(answer),
            _ => Err(Fault::Answer("a rate limit with something else")),
        }
    }
}

#[async_trait]
impl RateLimiter for RedisRateLimiter {
    async fn check(&self, rule: Rule, key: &str) -> Result<Decision, PortError> {
        Ok(match self.spend(rule, key, 1).await? {
            Spending::Left(_) => Decision::Allowed,
            Spending::Denied(wait) => Decision::Denied(wait),
        })
    }

    async fn spend(&self, rule: Rule, key: &str, amount: u32) -> Result<Spending, PortError> {
        let decided = self.decide(rule, key, amount).await;
        decided.map_err(|fault| fault.port(BACKEND))
    }

    async fn give_back(&self, rule: Rule, key: &str) -> Result<(), PortError> {
        let Some((now, interval)) = self.times(rule) else {
            return Ok(());
        };
        let arguments = [now.to_string(), interval.to_string()];
        let given_back = self.run(&self.give_back, rule, key, &arguments);
        given_back.await.map_err(|fault| fault.port(BACKEND))?;
        Ok(())
    }
}

/// Limits by Redis, and each instance by itself while Redis is not available: an outage then lets
/// through at most as many times the quota as there are instances, and stops nobody's messages.
pub(super) struct LenientRateLimiter {
    redis: Arc<RedisRateLimiter>,
    local: Arc<dyn RateLimiter>,
}

impl LenientRateLimiter {
    pub(super) fn new(redis: Arc<RedisRateLimiter>, local: Arc<dyn RateLimiter>) -> Self {
        Self { redis, local }
    }
}

#[async_trait]
impl RateLimiter for LenientRateLimiter {
    async fn check(&self, rule: Rule, key: &str) -> Result<Decision, PortError> {
        match self.redis.check(rule, key).await {
            Err(PortError::Unavailable { .. }) => self.local.check(rule, key).await,
            decision => decision,
        }
    }

    async fn spend(&self, rule: Rule, key: &str, amount: u32) -> Result<Spending, PortError> {
        match self.redis.spend(rule, key, amount).await {
            Err(PortError::Unavailable { .. }) => self.local.spend(rule, key, amount).await,
            spending => spending,
        }
    }

    async fn give_back(&self, rule: Rule, key: &str) -> Result<(), PortError> {
        match self.redis.give_back(rule, key).await {
            Err(PortError::Unavailable { .. }) => self.local.give_back(rule, key).await,
            given_back => given_back,
        }
    }
}
