//! How much a user, and an address, may have computed in a time: the budget of costs.
//!
//! The rate limiter keeps the budgets. It is not asked for each operation, which may be a call to
//! another machine: what operations cost is added up here first, and asked for together. So a budget
//! may be overdrawn by a hundredth for each instance.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use talksy_domain::auth::addresses;
use talksy_domain::error::{ApiError, ErrorCode};
use talksy_domain::limits::{Quota, RateLimiter, Rule, Spending};
use talksy_domain::viewer::{Authentication, ClientInfo};
use tokio::time::{Instant, sleep};

/// How many users, and networks, are remembered whose costs have not been asked for yet. Who is
/// forgotten gets less than a hundredth of a budget for nothing.
const MAX_KEYS: u64 = 100_000;

/// Costs are asked for in parts of the budget: this many.
const PARTS: u64 = 100;

/// So many points are one event for the limiter, whose time is too coarse for single ones.
const UNIT: u32 = 100;

/// How long who owes something is waited for until a budget has room for it. Who would have to wait
/// for longer is told so.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How long is waited at least before a budget is asked again.
const SHORTEST_WAIT: Duration = Duration::from_millis(50);

/// The budgets of all.
pub struct Budgets {
    limiter: Arc<dyn RateLimiter>,
    user: Rule,
    address: Rule,
    unspent: Cache<String, Arc<AtomicU64>>,
}

impl Budgets {
    /// The budget of each user and of each address, in points.
    pub fn new(limiter: Arc<dyn RateLimiter>, user: Rule, address: Rule) -> Self {
        let (user, address) = (in_units(user), in_units(address));
        let period = user.quota.period.max(address.quota.period);
        let unspent = Cache::builder()
            .max_capacity(MAX_KEYS)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(period)
            .build();
        Self {
            limiter,
            user,
            address,
            unspent,
        }
    }

    /// Takes what an operation costs from the budgets of who asks: the user's, and that of the
    /// address. The user's comes first, so that what it refuses takes nothing from others at the
    /// address; and an address has one budget for its users and one for whoever has not signed in, so
    /// that strangers take nothing from users. Tells what is left of the smallest one where that is
    /// asked for. Where the limiter does not answer, nothing is refused: an outage is nobody's fault.
    ///
    /// # Errors
    /// `RATE_LIMITED` with the time to wait.
    pub(super) async fn spend(
        &self,
        authentication: &Authentication,
        client: &ClientInfo,
        points: u64,
        tell: bool,
    ) -> Result<Option<u32>, ApiError> {
        let spent = self.take(authentication, client, points, tell).await;
        spent.map_err(ApiError::from)
    }

    /// Puts what was done for somebody on the bill of the same budgets. Says whether it is time to
    /// [`settle`](Self::settle) it.
    pub(super) fn owe(
        &self,
        authentication: &Authentication,
        client: &ClientInfo,
        points: u64,
    ) -> bool {
        let mut is_due = false;
        for budget in self.budgets(authentication, client) {
            let unspent = self.unspent.get_with_by_ref(&budget.key, Arc::default);
            is_due |= add(&unspent, points) >= part(budget.rule);
        }
        is_due
    }

    /// Takes what is owed from the budgets, and waits while they have no room for it, 10 seconds at
    /// most.
    ///
    /// # Errors
    /// `RATE_LIMITED` with the time to wait, where that is longer. What is owed stays so.
    pub(super) async fn settle(
        &self,
        authentication: &Authentication,
        client: &ClientInfo,
    ) -> Result<(), ApiError> {
        let until = Instant::now() + LONGEST_WAIT;
        loop {
            match self.take(authentication, client, 0, false).await {
                Ok(_) if !self.owe(authentication, client, 0) => return Ok(()),
                // A budget was not enough for all.
                Ok(_) => sleep(SHORTEST_WAIT).await,
                Err(spent) if Instant::now() + spent.wait > until => return Err(spent.into()),
                Err(spent) => sleep(spent.wait.max(SHORTEST_WAIT)).await,
            }
        }
    }

    /// The budgets of who asks, the user's first.
    fn budgets(
        &self,
        authentication: &Authentication,
        client: &ClientInfo,
    ) -> impl Iterator<Item = Budget> {
        let user = match authentication {
            Authentication::SignedIn(viewer) => Some(Budget {
                whose: "user",
                rule: self.user,
                key: format!("user {}", viewer.user_id),
            }),
            _ => None,
        };
        let at_address = if user.is_some() { "users" } else { "strangers" };
        let address = self.address;
        let places = client.ip.into_iter().flat_map(addresses);
        let places = places.map(move |place| Budget {
            whose: "address",
            rule: place.rule(address),
            key: format!("{at_address} at {}", place.name),
        });
        user.into_iter().chain(places)
    }

    async fn take(
        &self,
        authentication: &Authentication,
        client: &ClientInfo,
        points: u64,
        tell: bool,
    ) -> Result<Option<u32>, Spent> {
        let mut least = None;
        for budget in self.budgets(authentication, client) {
            let left = self
                .take_one(budget.rule, &budget.key, points, tell)
                .await
                .map_err(|wait| Spent {
                    whose: budget.whose,
                    wait,
                })?;
            least = smaller(least, left);
        }
        Ok(least)
    }

    async fn take_one(
        &self,
        rule: Rule,
        key: &str,
        points: u64,
        tell: bool,
    ) -> Result<Option<u32>, Duration> {
        let unspent = self.unspent.get_with_by_ref(key, Arc::default);
        if add(&unspent, points) < part(rule) && !tell {
            return Ok(None);
        }
        // Another request may have taken it meanwhile.
        let sum = unspent.swap(0, Ordering::Relaxed);
        let unit = u64::from(UNIT);
        // More than the whole budget is owed for longer.
        let most = u64::from(rule.quota.burst).max(points / unit);
        let amount = (sum / unit).min(most);
        let asked = u32::try_from(amount).unwrap_or(u32::MAX);
        match self.limiter.spend(rule, key, asked).await {
            Ok(Spending::Left(left)) => {
                let rest = sum.saturating_sub(amount.saturating_mul(unit));
                add(&unspent, rest);
                let rest = u32::try_from(rest).unwrap_or(u32::MAX);
                Ok(Some(left.saturating_mul(UNIT).saturating_sub(rest)))
            }
            Ok(Spending::Denied(wait)) => {
                // What others have cost stays to be asked for; this is not done.
                add(&unspent, sum.saturating_sub(points));
                Err(wait)
            }
            // Logged and counted by who watches the port.
            Err(_) => Ok(None),
        }
    }
}

/// One of the budgets of who asks.
struct Budget {
    whose: &'static str,
    rule: Rule,
    key: String,
}

/// A budget is spent, and has room again after this time.
struct Spent {
    whose: &'static str,
    wait: Duration,
}

impl From<Spent> for ApiError {
    fn from(spent: Spent) -> Self {
        let whose = spent.whose;
        let message = format!(
            "Too much was asked for by this {whose} in too short a time. Wait, and ask for less."
        );
        Self::new(ErrorCode::RateLimited, message).retry_after(spent.wait)
    }
}

/// From how many points on the limiter is asked: what it does not take, as it is less than one event,
/// is always less.
fn part(rule: Rule) -> u64 {
    let unit = u64::from(UNIT);
    (u64::from(rule.quota.burst) * unit / PARTS).max(unit)
}

/// Adds to what is not asked for yet, and gives the sum.
fn add(unspent: &AtomicU64, points: u64) -> u64 {
    let before = unspent.fetch_add(points, Ordering::Relaxed);
    before.saturating_add(points)
}

fn in_units(rule: Rule) -> Rule {
    let quota = Quota {
        burst: (rule.quota.burst / UNIT).max(1),
        ..rule.quota
    };
    Rule { quota, ..rule }
}

fn smaller(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use talksy_domain::clock::Timestamp;
    use talksy_domain::id;
    use talksy_domain::viewer::Viewer;

    use super::*;
    use crate::adapters::memory::MemoryRateLimiter;
    use crate::testing::ManualClock;

    fn rule(name: &'static str, burst: u32) -> Rule {
        let period = Duration::from_mins(1);
        Rule {
            name,
            quota: Quota { burst, period },
        }
    }

    fn budgets(user: u32, address: u32) -> (Arc<ManualClock>, Budgets) {
        let clock = Arc::new(ManualClock::default());
        let limiter = Arc::new(MemoryRateLimiter::new(Arc::clone(&clock) as _));
        let (user, address) = (rule("cost-user", user), rule("cost-address", address));
        (clock, Budgets::new(limiter, user, address))
    }

    fn user(number: u8) -> Authentication {
        Authentication::SignedIn(Viewer {
            user_id: id::from_bytes([number; 16]),
            session_id: id::from_bytes([0; 16]),
            expires_at: Timestamp::from_millis(0),
        })
    }

    fn from(ip: &str) -> ClientInfo {
        ClientInfo {
            ip: Some(ip.parse::<IpAddr>().unwrap()),
            user_agent: None,
            renewal: None,
        }
    }

    #[tokio::test]
    async fn who_has_spent_a_budget_waits_and_nobody_else_does() {
        let (clock, budgets) = budgets(1_000, 10_000);
        let (ada, here) = (user(1), from("192.0.2.1"));
        let spend = async |who: &Authentication| budgets.spend(who, &here, 100, false).await;
        for _ in 0..10 {
            assert_eq!(spend(&ada).await.map(|left| left.is_some()), Ok(true));
        }
        let refused = spend(&ada).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::RateLimited);
        assert_eq!(refused.retry_after, Some(6));
        assert!(spend(&user(2)).await.is_ok());
        clock.advance(Duration::from_secs(6));
        assert!(spend(&ada).await.is_ok());
        assert!(spend(&ada).await.is_err());
    }

    #[tokio::test]
    async fn what_is_owed_beyond_whole_parts_is_left_for_later() {
        let (_, budgets) = budgets(1_000, 10_000);
        let (ada, here) = (user(1), from("192.0.2.1"));
        assert!(!budgets.owe(&ada, &here, 99));
        assert!(budgets.owe(&ada, &here, 51));
        assert!(budgets.settle(&ada, &here).await.is_ok());
        assert!(!budgets.owe(&ada, &here, 49));
        assert!(budgets.owe(&ada, &here, 1));
    }

    #[tokio::test]
    async fn an_address_has_a_budget_for_all_users_and_one_for_those_who_have_not_signed_in() {
        let (_, budgets) = budgets(1_000, 1_500);
        let here = from("2001:db8::1");
        let same = from("2001:db8::2");
        assert!(budgets.spend(&user(1), &here, 1_000, false).await.is_ok());
        assert!(budgets.spend(&user(2), &same, 1_000, false).await.is_err());
        let anonymous = Authentication::Anonymous;
        let spent = budgets.spend(&anonymous, &same, 1_500, false).await;
        assert!(spent.is_ok());
        assert!(budgets.spend(&anonymous, &same, 500, false).await.is_err());
        // Strangers have taken nothing from the users there.
        assert!(budgets.spend(&user(3), &same, 500, false).await.is_ok());
        assert!(budgets.spend(&user(4), &same, 500, false).await.is_err());
        let elsewhere = from("2001:db8:0:1::1");
        assert!(
            budgets
                .spend(&anonymous, &elsewhere, 1_500, false)
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn what_a_user_is_refused_takes_nothing_from_others_at_the_address() {
        let (_, budgets) = budgets(1_000, 2_000);
        let here = from("192.0.2.1");
        let spend = async |number| budgets.spend(&user(number), &here, 1_000, false).await;
        assert!(spend(1).await.is_ok());
        for _ in 0..10 {
            assert!(spend(1).await.is_err());
        }
        assert!(spend(2).await.is_ok());
        assert!(spend(3).await.is_err(), "they share what the address has");
    }

    #[tokio::test]
    async fn small_costs_are_asked_for_together_and_told_when_asked() {
        let (_, budgets) = budgets(10_000, 100_000);
        let (ada, here) = (user(1), from("192.0.2.1"));
        for _ in 0..9 {
            let left = budgets.spend(&ada, &here, 10, false).await.unwrap();
            assert_eq!(left, None);
        }
        let left = budgets.spend(&ada, &here, 17, true).await.unwrap();
        assert_eq!(left, Some(9_893));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_owed_is_waited_for_and_stays_owed_where_that_takes_too_long() {
        let (clock, budgets) = budgets(1_000, 100_000);
        let (ada, here) = (user(1), from("192.0.2.1"));
        assert!(!budgets.owe(&ada, &here, 9), "less than a hundredth");
        assert!(budgets.owe(&ada, &here, 1_091));
        // All that the budget has, and a hundred more, which it has after six seconds.
        let passes = async {
            sleep(Duration::from_secs(1)).await;
            clock.advance(Duration::from_secs(6));
        };
        let (settled, ()) = tokio::join!(budgets.settle(&ada, &here), passes);
        assert_eq!(settled, Ok(()));
        assert!(!budgets.owe(&ada, &here, 0), "nothing is owed any more");

        budgets.owe(&ada, &here, 500);
        let refused = budgets.settle(&ada, &here).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::RateLimited);
        assert_eq!(refused.retry_after, Some(30));
        // It counts for what is asked next, and for nobody else.
        assert!(budgets.spend(&ada, &here, 100, false).await.is_err());
        assert!(budgets.spend(&user(2), &here, 100, false).await.is_ok());
        clock.advance(Duration::from_secs(30));
        assert_eq!(budgets.settle(&ada, &here).await, Ok(()));
    }
}
