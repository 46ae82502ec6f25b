//! Rate limits in memory: GCRA by the `governor` crate, one table of keys a rule.
//!
//! Knows nothing of what is limited. Memory stays bounded in two ways: a key whose burst is whole
//! again is dropped by the next sweep, and a table that is larger than [`MAX_KEYS`] even after a
//! sweep is emptied, with a warning. Emptying favours service over strictness: whoever commands
//! that many live keys has that many bursts to spend anyway.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use parking_lot::RwLock;
use talksy_domain::clock::Clock;
use talksy_domain::error::PortError;
use talksy_domain::limits::{Decision, RateLimiter, Rule};

/// How many keys a rule remembers at most, about 25 MB of them.
const MAX_KEYS: usize = 250_000;
/// After how much time idle keys are dropped.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// After how many checks idle keys are dropped even if that time has not passed.
const SWEEP_AFTER_CHECKS: u32 = 20_000;

/// The port's clock in the form that `governor` reads.
#[derive(Clone)]
struct GovernorClock(Arc<dyn Clock>);

impl governor::clock::Clock for GovernorClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let millis = u64::try_from(self.0.now().as_millis()).unwrap_or_default();
        Nanos::new(millis.saturating_mul(1_000_000))
    }
}

type Limiter = governor::RateLimiter<
    Box<str>,
    DashMapStateStore<Box<str>>,
    GovernorClock,
    NoOpMiddleware<Nanos>,
>;

/// One rule's keys, and when they were last swept.
struct Table {
    keys: Limiter,
    swept_at: AtomicI64,
    checks: AtomicU32,
}

/// [`RateLimiter`] for a single instance.
pub struct MemoryRateLimiter {
    clock: GovernorClock,
    max_keys: usize,
    tables: RwLock<HashMap<Rule, Arc<Table>>>,
}

impl MemoryRateLimiter {
    /// A limiter that has counted nothing yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock: GovernorClock(clock),
            max_keys: MAX_KEYS,
            tables: RwLock::default(),
        }
    }

    /// The rule's table; made when the rule is first met.
    fn table(&self, rule: Rule) -> Arc<Table> {
        if let Some(table) = self.tables.read().get(&rule) {
            return Arc::clone(table);
        }
        Arc::clone(
            self.tables
                .write()
                .entry(rule)
                .or_insert_with(|| Arc::new(self.new_table(rule))),
        )
    }

    fn new_table(&self, rule: Rule) -> Table {
        let burst = NonZeroU32::new(rule.quota.burst).unwrap_or(NonZeroU32::MIN);
        // No quota comes of a period under one nanosecond an event: nothing to limit there.
        let quota = governor::Quota::with_period(rule.quota.period / burst.get())
            .unwrap_or_else(|| governor::Quota::per_second(NonZeroU32::MAX))
            .allow_burst(burst);
        Table {
            keys: Limiter::dashmap_with_clock(quota, self.clock.clone()),
            swept_at: AtomicI64::new(self.clock.0.now().as_millis()),
            checks: AtomicU32::new(0),
        }
    }

    /// Drops idle keys when it is time to; at most one caller at a time pays for it.
    fn sweep(&self, rule: Rule, table: &Table) {
        let now = self.clock.0.now().as_millis();
        let swept_at = table.swept_at.load(Ordering::Relaxed);
        let interval = i64::try_from(SWEEP_EVERY.as_millis()).unwrap_or(i64::MAX);
        let checks = table
            .checks
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        if now.saturating_sub(swept_at) < interval && checks < SWEEP_AFTER_CHECKS {
            return;
        }
        table.checks.store(0, Ordering::Relaxed);
        if table
            .swept_at
            .compare_exchange(swept_at, now, Ordering::Relaxed, Ordering::Relaxed)
            .is_err()
        {
            return;
        }
        table.keys.retain_recent();
        if table.keys.len() > self.max_keys {
            tracing::warn!(
                rule = rule.name,
                keys = table.keys.len(),
                "rate limit table full: emptied"
            );
            self.tables.write().remove(&rule);
        }
    }
}

#[async_trait]
impl RateLimiter for MemoryRateLimiter {
    async fn check(&self, rule: Rule, key: &str) -> Result<Decision, PortError> {
        let table = self.table(rule);
        let decision = match table.keys.check_key(&Box::from(key)) {
            Ok(()) => Decision::Allowed,
            // A wall clock that was set back must not lock anybody out for longer than a period.
            Err(denied) => Decision::Denied(
                denied
                    .wait_time_from(self.clock.now())
                    .min(rule.quota.period),
            ),
        };
        self.sweep(rule, &table);
        Ok(decision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ManualClock;
    use talksy_domain::limits::Quota;

    const LOGIN: Rule = Rule {
        name: "login",
        quota: Quota {
            burst: 3,
            period: Duration::from_secs(30),
        },
    };

    fn limiter() -> (Arc<ManualClock>, MemoryRateLimiter) {
        let clock = Arc::new(ManualClock::default());
        (Arc::clone(&clock), MemoryRateLimiter::new(clock))
    }

    async fn allowed(limiter: &MemoryRateLimiter, rule: Rule, key: &str) -> bool {
        limiter.check(rule, key).await.unwrap() == Decision::Allowed
    }

    #[tokio::test]
    async fn a_burst_passes_then_waits_for_its_share_of_the_period() {
        let (clock, limiter) = limiter();
        for _ in 0..3 {
            assert!(allowed(&limiter, LOGIN, "ada").await);
        }
        assert_eq!(
            limiter.check(LOGIN, "ada").await.unwrap(),
            Decision::Denied(Duration::from_secs(10))
        );
        clock.advance(Duration::from_secs(4));
        assert_eq!(
            limiter.check(LOGIN, "ada").await.unwrap(),
            Decision::Denied(Duration::from_secs(6)),
            "a denied event is not counted"
        );
        clock.advance(Duration::from_secs(6));
        assert!(allowed(&limiter, LOGIN, "ada").await);
        assert!(!allowed(&limiter, LOGIN, "ada").await);
    }

    #[tokio::test]
    async fn keys_and_rules_do_not_meet() {
        let (_, limiter) = limiter();
        let verify = Rule {
            name: "verify",
            ..LOGIN
        };
        for _ in 0..3 {
            assert!(allowed(&limiter, LOGIN, "ada").await);
        }
        assert!(!allowed(&limiter, LOGIN, "ada").await);
        assert!(allowed(&limiter, LOGIN, "bob").await);
        assert!(allowed(&limiter, verify, "ada").await);
    }

    #[tokio::test]
    async fn concurrent_checks_never_pass_more_than_the_burst() {
        let (_, limiter) = limiter();
        let limiter = Arc::new(limiter);
        let rule = Rule {
            name: "send",
            quota: Quota {
                burst: 100,
                period: Duration::from_mins(1),
            },
        };
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                tokio::spawn(async move {
                    let mut passed = 0;
                    for _ in 0..50 {
                        passed += u32::from(allowed(&limiter, rule, "ada").await);
                    }
                    passed
                })
            })
            .collect();
        let mut passed = 0;
        for task in tasks {
            passed += task.await.unwrap();
        }
        assert_eq!(passed, 100);
    }

    #[tokio::test]
    async fn idle_keys_are_dropped_and_live_ones_kept() {
        let (clock, limiter) = limiter();
        for n in 0..100 {
            assert!(allowed(&limiter, LOGIN, &format!("10.0.0.{n}")).await);
        }
        clock.advance(Duration::from_secs(20));
        for _ in 0..3 {
            assert!(allowed(&limiter, LOGIN, "ada").await);
        }
        clock.advance(Duration::from_secs(11));
        assert!(allowed(&limiter, LOGIN, "ada").await);
        assert_eq!(limiter.table(LOGIN).keys.len(), 1);
        assert!(
            !allowed(&limiter, LOGIN, "ada").await,
            "ada's spent burst was remembered"
        );
    }

    #[tokio::test]
    async fn a_table_of_live_keys_beyond_the_bound_is_emptied() {
        let (clock, mut limiter) = limiter();
        limiter.max_keys = 10;
        let hour = Rule {
            name: "hour",
            quota: Quota {
                burst: 1,
                period: Duration::from_hours(1),
            },
        };
        for n in 0..20 {
            assert!(allowed(&limiter, hour, &n.to_string()).await);
        }
        clock.advance(SWEEP_EVERY);
        assert!(!allowed(&limiter, hour, "0").await);
        assert!(limiter.table(hour).keys.is_empty());
    }
}
