//! Rate limits: a burst, then as much as the period gives back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use talksy_domain::limits::{Decision, Quota, RateLimiter, Rule, Spending};

use super::{at_once, word};

/// A limiter and its time. Moving the time must disturb nobody else: a limiter with a clock that
/// the test moves is the rule's own.
pub struct Limits {
    /// The limiter.
    pub limiter: Arc<dyn RateLimiter>,
    /// The period of the quotas whose refilling is waited for. Where the time is real, as short
    /// as a few checks in a row surely take less than a share of it.
    pub period: Duration,
    /// Returns when so much of the limiter's time has passed, at least.
    pub advance: Box<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>,
}

impl Limits {
    async fn check(&self, rule: Rule, key: &str) -> Decision {
        self.limiter.check(rule, key).await.unwrap()
    }

    /// Checks that a burst of as many passes.
    async fn pass(&self, rule: Rule, key: &str, count: u32) {
        for n in 1..=count {
            let decision = self.check(rule, key).await;
            assert_eq!(decision, Decision::Allowed, "event {n} of {count}");
        }
    }

    /// Checks until it is denied, and returns for how long.
    async fn exhaust(&self, rule: Rule, key: &str) -> Duration {
        loop {
            if let Decision::Denied(wait) = self.check(rule, key).await {
                return wait;
            }
        }
    }
}

/// A rule whose period is too long for a test to see the end of.
fn slow(name: &'static str, burst: u32) -> Rule {
    let quota = Quota {
        burst,
        period: Duration::from_hours(24),
    };
    Rule { name, quota }
}

/// As many as the burst pass; the next is told to wait, no longer than for its own share.
pub async fn a_burst_passes_and_no_more(limits: &Limits) {
    for burst in [1, 2, 5, 60] {
        let (rule, key) = (slow("contract-burst", burst), word());
        limits.pass(rule, &key, burst).await;
        for _ in 0..3 {
            match limits.check(rule, &key).await {
                Decision::Denied(wait) => {
                    assert!(!wait.is_zero());
                    assert!(wait <= rule.quota.period / burst, "{wait:?}");
                }
                Decision::Allowed => panic!("more than the burst of {burst}"),
            }
        }
    }
}

/// After the time that it was told to wait a caller passes, however often it asked meanwhile:
/// what was denied does not count.
pub async fn who_waits_as_told_passes(limits: &Limits) {
    let quota = Quota {
        burst: 2,
        period: limits.period,
    };
    let rule = Rule {
        name: "contract-wait",
        quota,
    };
    let key = word();
    for _ in 0..4 {
        let wait = limits.exhaust(rule, &key).await;
        assert!(wait <= limits.period / 2, "{wait:?}");
        for _ in 0..20 {
            limits.check(rule, &key).await;
        }
        let wait = limits.exhaust(rule, &key).await;
        assert!(wait <= limits.period / 2, "{wait:?} after being denied");
        (limits.advance)(wait).await;
        limits.pass(rule, &key, 1).await;
    }
}

/// When the period has passed the whole burst is there again.
pub async fn a_burst_is_whole_again_after_the_period(limits: &Limits) {
    let quota = Quota {
        burst: 4,
        period: limits.period,
    };
    let rule = Rule {
        name: "contract-refill",
        quota,
    };
    let key = word();
    for _ in 0..2 {
        limits.exhaust(rule, &key).await;
        (limits.advance)(rule.quota.period).await;
        limits.pass(rule, &key, rule.quota.burst).await;
    }
}

/// What idles does not save up: the burst is never more than whole.
pub async fn a_burst_is_never_more_than_whole(limits: &Limits) {
    let quota = Quota {
        burst: 3,
        period: limits.period,
    };
    let rule = Rule {
        name: "contract-idle",
        quota,
    };
    let key = word();
    limits.pass(rule, &key, 1).await;
    (limits.advance)(limits.period * 2).await;
    limits.pass(rule, &key, quota.burst).await;
    let decision = limits.check(rule, &key).await;
    assert!(matches!(decision, Decision::Denied(_)));
}

/// Keys are counted each for themselves, exactly as they are written.
pub async fn keys_do_not_meet(limits: &Limits) {
    let rule = slow("contract-keys", 1);
    let base = word();
    let upper = base.to_uppercase();
    let keys = [
        base.clone(),
        upper,
        format!("{base} "),
        format!("{base}:"),
        format!("{base}:1"),
        format!("{base}*"),
        format!("{base}é"),
        format!("2001:db8::{base}"),
        base.repeat(16),
    ];
    for key in &keys {
        limits.pass(rule, key, 1).await;
    }
    for key in &keys {
        let decision = limits.check(rule, key).await;
        assert!(matches!(decision, Decision::Denied(_)), "{key}");
    }
}

/// Rules are counted each for themselves, also where name and key together read the same.
pub async fn rules_do_not_meet(limits: &Limits) {
    let key = word();
    let (one, other) = (slow("contract-one", 1), slow("contract-two", 1));
    limits.pass(one, &key, 1).await;
    limits.pass(other, &key, 1).await;
    let joined = format!("b:{key}");
    limits.pass(slow("contract-a", 1), &joined, 1).await;
    limits.pass(slow("contract-a:b", 1), &key, 1).await;
    for (rule, key) in [(one, &key), (other, &key), (slow("contract-a", 1), &joined)] {
        let decision = limits.check(rule, key).await;
        assert!(matches!(decision, Decision::Denied(_)), "{}", rule.name);
    }
}

/// However many check at the same time, the burst passes and no more.
pub async fn concurrent_checks_pass_the_burst_and_no_more(limits: &Limits) {
    let (rule, key) = (slow("contract-concurrent", 100), word());
    let passed = at_once((0..16).map(|_| {
        let (limiter, key) = (Arc::clone(&limits.limiter), key.clone());
        async move {
            let mut passed = 0;
            for _ in 0..20 {
                let decision = limiter.check(rule, &key).await.unwrap();
                passed += u32::from(decision == Decision::Allowed);
            }
            passed
        }
    }))
    .await;
    assert_eq!(passed.into_iter().sum::<u32>(), 100);
}

/// What was counted and did not happen is given back, for its own key and rule alone.
pub async fn what_did_not_happen_is_given_back(limits: &Limits) {
    let (rule, key, other) = (slow("contract-back", 3), word(), word());
    let denied = async |rule: Rule, key: &str| {
        let decision = limits.check(rule, key).await;
        assert!(matches!(decision, Decision::Denied(_)), "{}", rule.name);
    };
    limits.pass(rule, &key, 3).await;
    limits.pass(rule, &other, 3).await;
    denied(rule, &key).await;
    limits.limiter.give_back(rule, &key).await.unwrap();
    limits.pass(rule, &key, 1).await;
    denied(rule, &key).await;
    denied(rule, &other).await;
    let elsewhere = slow("contract-back-other", 3);
    limits.limiter.give_back(elsewhere, &other).await.unwrap();
    denied(rule, &other).await;
}

/// However often something is given back, the burst is never more than whole.
pub async fn giving_back_makes_no_more_than_a_burst(limits: &Limits) {
    let (rule, key, fresh) = (slow("contract-back-often", 3), word(), word());
    limits.pass(rule, &key, 1).await;
    for key in [&key, &fresh] {
        for _ in 0..10 {
            limits.limiter.give_back(rule, key).await.unwrap();
        }
        limits.pass(rule, key, 3).await;
        let decision = limits.check(rule, key).await;
        assert!(matches!(decision, Decision::Denied(_)));
    }
}

/// Several are counted at once, all or none, and it is told what is left.
pub async fn several_are_spent_at_once_or_none(limits: &Limits) {
    let (rule, key) = (slow("contract-spend", 100), word());
    let spend = async |amount| limits.limiter.spend(rule, &key, amount).await.unwrap();
    assert_eq!(spend(0).await, Spending::Left(100));
    assert_eq!(spend(60).await, Spending::Left(40));
    match spend(50).await {
        Spending::Denied(wait) => {
            let share = rule.quota.period / 100;
            assert!(wait > share * 9 && wait <= share * 10, "{wait:?}");
        }
        Spending::Left(left) => panic!("{left} left of 40"),
    }
    // What was denied is not counted; single events count with the others.
    limits.pass(rule, &key, 1).await;
    assert_eq!(spend(39).await, Spending::Left(0));
    assert!(matches!(spend(1).await, Spending::Denied(_)));
    let decision = limits.check(rule, &key).await;
    assert!(matches!(decision, Decision::Denied(_)));
}

/// What is more than the burst counts as the burst: it may happen, where nothing else does.
pub async fn more_than_the_burst_counts_as_the_burst(limits: &Limits) {
    let (rule, key, fresh) = (slow("contract-spend-all", 5), word(), word());
    let spend = async |key| limits.limiter.spend(rule, key, u32::MAX).await.unwrap();
    assert_eq!(spend(&*fresh).await, Spending::Left(0));
    limits.pass(rule, &key, 1).await;
    assert!(matches!(spend(&*key).await, Spending::Denied(_)));
}

super::suite::rules! {
    limits_rules:
    a_burst_passes_and_no_more,
    who_waits_as_told_passes,
    a_burst_is_whole_again_after_the_period,
    a_burst_is_never_more_than_whole,
    keys_do_not_meet,
    rules_do_not_meet,
    concurrent_checks_pass_the_burst_and_no_more,
    what_did_not_happen_is_given_back,
    giving_back_makes_no_more_than_a_burst,
    several_are_spent_at_once_or_none,
    more_than_the_burst_counts_as_the_burst,
}
