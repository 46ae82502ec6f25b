//! Rate limits in memory: GCRA, one table of keys a rule.
//!
//! Knows nothing of what is limited. Memory stays bounded in two ways: a key whose burst is whole
//! again is dropped some time after, and where a table would hold more than [`MAX_KEYS`], the key
//! that was asked for longest ago is dropped. So whoever commands that many keys makes the limiter
//! forget their own first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::{Mutex, RwLock};
use talksy_domain::clock::{Clock, Timestamp};
use talksy_domain::error::PortError;
use talksy_domain::limits::{Decision, Quota, RateLimiter, Rule, Spending};

/// How many keys a rule remembers at most, about 30 MB of them.
const MAX_KEYS: u64 = 100_000;

/// When a key's burst is whole again, in microseconds: GCRA's "theoretical arrival time".
type Arrival = Arc<Mutex<i64>>;

/// [`RateLimiter`] for a single instance.
pub struct MemoryRateLimiter {
    clock: Arc<dyn Clock>,
    max_keys: u64,
    tables: RwLock<HashMap<Rule, Cache<String, Arrival>>>,
}

impl MemoryRateLimiter {
    /// A limiter that has counted nothing yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            max_keys: MAX_KEYS,
            tables: RwLock::default(),
        }
    }

    /// The rule's table; made when the rule is first met.
    fn table(&self, rule: Rule) -> Cache<String, Arrival> {
        if let Some(table) = self.tables.read().get(&rule) {
            return table.clone();
        }
        let new = || {
            Cache::builder()
                .max_capacity(self.max_keys)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(rule.quota.period.max(Duration::from_secs(1)))
                .build()
        };
        self.tables.write().entry(rule).or_insert_with(new).clone()
    }

    /// Changes a key's arrival.
    fn with<T>(&self, rule: Rule, key: &str, change: impl FnOnce(&mut i64, Gcra) -> T) -> T {
        let gcra = Gcra::new(rule.quota, self.clock.now());
        let arrival = self.table(rule).get_with_by_ref(key, Arrival::default);
        let mut arrival = arrival.lock();
        change(&mut arrival, gcra)
    }
}

/// A quota at an instant, in microseconds.
struct Gcra {
    now: i64,
    /// Of one event.
    interval: i64,
    /// Of the whole burst.
    period: i64,
}

impl Gcra {
    fn new(quota: Quota, now: Timestamp) -> Self {
        let burst = i64::from(quota.burst.max(1));
        let period = i64::try_from(quota.period.as_micros()).unwrap_or(i64::MAX);
        // As long as whole intervals, or rounding would refuse the burst's last event.
        let interval = period / burst;
        Self {
            now: now.as_millis().saturating_mul(1_000),
            interval,
            period: interval * burst,
        }
    }

    /// A clock that was set back, or a rule that was made stricter, locks nobody out for longer
    /// than a period.
    fn bounded(&self, arrival: i64) -> i64 {
        arrival.clamp(self.now, self.now.saturating_add(self.period))
    }

    fn spend(&self, arrival: &mut i64, amount: u32) -> Spending {
        let time = self.interval.saturating_mul(amount.into()).min(self.period);
        let until = self.bounded(*arrival).saturating_add(time);
        let end = self.now.saturating_add(self.period);
        if let Ok(wait @ 1..) = u64::try_from(until.saturating_sub(end)) {
            return Spending::Denied(Duration::from_micros(wait));
        }
        *arrival = until;
        // Of a quota without an interval all is always left.
        let left = (end - until).checked_div(self.interval);
        Spending::Left(left.map_or(u32::MAX, |left| u32::try_from(left).unwrap_or(u32::MAX)))
    }

    fn check(&self, arrival: &mut i64) -> Decision {
        match self.spend(arrival, 1) {
            Spending::Left(_) => Decision::Allowed,
            Spending::Denied(wait) => Decision::Denied(wait),
        }
    }

    fn give_back(&self, arrival: &mut i64) {
        *arrival = self.bounded(*arrival) - self.interval;
    }
}

#[async_trait]
impl RateLimiter for MemoryRateLimiter {
    async fn check(&self, rule: Rule, key: &str) -> Result<Decision, PortError> {
        Ok(self.with(rule, key, |arrival, gcra| gcra.check(arrival)))
    }

    async fn spend(&self, rule: Rule, key: &str, amount: u32) -> Result<Spending, PortError> {
        Ok(self.with(rule, key, |arrival, gcra| gcra.spend(arrival, amount)))
    }

    async fn give_back(&self, rule: Rule, key: &str) -> Result<(), PortError> {
        self.with(rule, key, |arrival, gcra| gcra.give_back(arrival));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ManualClock, START};

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
    async fn several_are_spent_at_once_or_none() {
        let (clock, limiter) = limiter();
        let spend = async |amount| limiter.spend(LOGIN, "ada", amount).await.unwrap();
        assert_eq!(spend(0).await, Spending::Left(3));
        assert_eq!(spend(2).await, Spending::Left(1));
        let wait = Duration::from_secs(10);
        assert_eq!(spend(2).await, Spending::Denied(wait));
        assert_eq!(spend(1).await, Spending::Left(0));
        clock.advance(wait);
        assert_eq!(spend(0).await, Spending::Left(1));
        // More than the burst counts as the burst.
        clock.advance(wait * 2);
        assert_eq!(spend(1_000_000_000).await, Spending::Left(0));
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
    async fn what_did_not_happen_is_given_back() {
        let (_, limiter) = limiter();
        for _ in 0..3 {
            assert!(allowed(&limiter, LOGIN, "ada").await);
        }
        limiter.give_back(LOGIN, "ada").await.unwrap();
        assert!(allowed(&limiter, LOGIN, "ada").await);
        assert!(!allowed(&limiter, LOGIN, "ada").await);
        for _ in 0..10 {
            limiter.give_back(LOGIN, "bob").await.unwrap();
        }
        for _ in 0..3 {
            assert!(allowed(&limiter, LOGIN, "bob").await);
        }
        assert!(
            !allowed(&limiter, LOGIN, "bob").await,
            "no more than a burst"
        );
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_locks_nobody_out() {
        let (clock, limiter) = limiter();
        clock.advance(Duration::from_hours(1));
        for _ in 0..3 {
            assert!(allowed(&limiter, LOGIN, "ada").await);
        }
        clock.set(START);
        let wait = limiter.check(LOGIN, "ada").await.unwrap();
        assert_eq!(wait, Decision::Denied(Duration::from_secs(10)));
    }

    #[tokio::test]
    async fn a_full_table_forgets_the_keys_that_were_asked_for_longest_ago() {
        let (_, mut limiter) = limiter();
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
            limiter.table(hour).run_pending_tasks();
        }
        assert_eq!(limiter.table(hour).entry_count(), 10);
        for n in 10..20 {
            assert!(!allowed(&limiter, hour, &n.to_string()).await, "{n}");
        }
        assert!(allowed(&limiter, hour, "0").await);
    }
}
