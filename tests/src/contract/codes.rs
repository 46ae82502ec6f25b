//! Sign-in codes: one an address, good once, for a while, and not to be guessed.

use std::sync::Arc;
use std::time::Duration;

use talksy_domain::auth::{Attempt, CodeDigest, CodeKey, CodeStore, Issue, IssuedCode};
use talksy_domain::clock::Timestamp;

use super::fixture::sorted;
use super::{at_once, now, random};

const RESEND: Duration = Duration::from_mins(1);
const VALID: Duration = Duration::from_mins(5);
const TRIES: u8 = 3;
const INSTANT: Duration = Duration::from_millis(1);

type Codes = Arc<dyn CodeStore>;

fn new_code(at: Timestamp) -> IssuedCode {
    IssuedCode {
        id: random(),
        digest: CodeDigest(random()),
        issued_at: at,
        expires_at: at + VALID,
        tries: TRIES,
    }
}

/// An address that nobody has yet.
fn address() -> CodeKey {
    CodeKey(random())
}

fn wrong() -> CodeDigest {
    CodeDigest(random())
}

async fn issue(codes: &Codes, key: CodeKey, code: &IssuedCode) -> Issue {
    codes.issue(key, code, RESEND).await.unwrap()
}

/// Issues a new code that must be taken.
async fn issued(codes: &Codes, key: CodeKey, at: Timestamp) -> IssuedCode {
    let code = new_code(at);
    assert_eq!(issue(codes, key, &code).await, Issue::Issued);
    code
}

async fn attempt(codes: &Codes, key: CodeKey, code: CodeDigest, at: Timestamp) -> Attempt {
    codes.attempt(key, code, at).await.unwrap()
}

/// Uses a code's tries up.
async fn void(codes: &Codes, key: CodeKey, at: Timestamp) {
    for left in (0..TRIES).rev() {
        let answer = attempt(codes, key, wrong(), at).await;
        assert_eq!(answer, Attempt::Wrong(left));
    }
}

/// The right code is accepted, and then used up.
pub async fn a_code_is_accepted_once(codes: &Codes) {
    let (key, now) = (address(), now());
    let code = issued(codes, key, now).await;
    let right = || attempt(codes, key, code.digest, now);
    assert_eq!(right().await, Attempt::Accepted);
    assert_eq!(right().await, Attempt::NoCode);
    assert_eq!(attempt(codes, key, wrong(), now).await, Attempt::NoCode);
}

/// Who has asked for no code has none.
pub async fn an_address_without_a_code_has_none(codes: &Codes) {
    let answer = attempt(codes, address(), wrong(), now()).await;
    assert_eq!(answer, Attempt::NoCode);
}

/// A code is its own address's, also where another's has the same digest.
pub async fn addresses_do_not_meet(codes: &Codes) {
    let (ada, bob, now) = (address(), address(), now());
    let code = issued(codes, ada, now).await;
    let others = issued(codes, bob, now).await;
    assert_eq!(
        attempt(codes, bob, code.digest, now).await,
        Attempt::Wrong(TRIES - 1)
    );
    codes.withdraw(bob, code.id).await.unwrap();
    assert_eq!(
        attempt(codes, ada, code.digest, now).await,
        Attempt::Accepted,
        "all its tries were left"
    );
    assert_eq!(
        attempt(codes, bob, others.digest, now).await,
        Attempt::Accepted
    );
}

/// Each wrong code costs a try; when none is left the code is void, for the right one too.
pub async fn wrong_codes_use_up_the_tries(codes: &Codes) {
    let (key, now) = (address(), now());
    let code = issued(codes, key, now).await;
    void(codes, key, now).await;
    for presented in [code.digest, wrong()] {
        let answer = attempt(codes, key, presented, now).await;
        assert_eq!(answer, Attempt::Expired);
    }
}

/// The right code is accepted as long as a try is left, and a new code has all of its own.
pub async fn a_new_code_has_tries_of_its_own(codes: &Codes) {
    let (key, now) = (address(), now());
    issued(codes, key, now).await;
    void(codes, key, now).await;
    let code = issued(codes, key, now + RESEND).await;
    for left in (1..TRIES).rev() {
        let answer = attempt(codes, key, wrong(), now + RESEND).await;
        assert_eq!(answer, Attempt::Wrong(left));
    }
    let answer = attempt(codes, key, code.digest, now + RESEND).await;
    assert_eq!(answer, Attempt::Accepted);
}

/// From the instant on at which it ends a code is refused, and stays known as expired for as
/// long again.
pub async fn a_code_expires_and_stays_known(codes: &Codes) {
    let (key, now) = (address(), now());
    let code = issued(codes, key, now).await;
    for at in [
        code.expires_at,
        code.expires_at + INSTANT,
        code.expires_at + VALID - INSTANT,
    ] {
        for presented in [code.digest, wrong()] {
            let answer = attempt(codes, key, presented, at).await;
            assert_eq!(answer, Attempt::Expired);
        }
    }
    let key = address();
    let code = issued(codes, key, now).await;
    let answer = attempt(codes, key, code.digest, code.expires_at - INSTANT).await;
    assert_eq!(answer, Attempt::Accepted, "until then it is good");
}

/// A code that was tried too often stays known as expired, too.
pub async fn a_void_code_stays_known(codes: &Codes) {
    let (key, now) = (address(), now());
    let code = issued(codes, key, now).await;
    void(codes, key, now).await;
    let last = code.expires_at + VALID - INSTANT;
    let answer = attempt(codes, key, code.digest, last).await;
    assert_eq!(answer, Attempt::Expired);
}

/// Another code is refused too soon after the first, which stays the code, and taken as soon as
/// the time has passed.
pub async fn another_code_has_to_wait(codes: &Codes) {
    let (key, now) = (address(), now());
    let first = issued(codes, key, now).await;
    for (passed, wait) in [
        (Duration::ZERO, RESEND),
        (Duration::from_secs(20), Duration::from_secs(40)),
        (RESEND.saturating_sub(INSTANT), INSTANT),
    ] {
        let soon = new_code(now + passed);
        let answer = issue(codes, key, &soon).await;
        assert_eq!(answer, Issue::TooSoon(wait));
        codes.withdraw(key, soon.id).await.unwrap();
    }
    let answer = attempt(codes, key, first.digest, now + RESEND - INSTANT).await;
    assert_eq!(answer, Attempt::Accepted);
    issued(codes, key, now + RESEND).await;
}

/// A new code is the code, and the one before is void.
pub async fn a_new_code_replaces_the_one_before(codes: &Codes) {
    let (key, now) = (address(), now());
    let first = issued(codes, key, now).await;
    let second = issued(codes, key, now + RESEND).await;
    let at = now + RESEND + INSTANT;
    let answer = attempt(codes, key, first.digest, at).await;
    assert_eq!(answer, Attempt::Wrong(TRIES - 1));
    let answer = attempt(codes, key, second.digest, at).await;
    assert_eq!(answer, Attempt::Accepted);
    let answer = attempt(codes, key, first.digest, at).await;
    assert_eq!(answer, Attempt::NoCode);
}

/// The time to wait counts from the last code, whether it was used, tried out or has expired.
pub async fn the_wait_counts_whatever_became_of_the_code(codes: &Codes) {
    let now = now();
    let soon = now + Duration::from_secs(20);
    let wait = Issue::TooSoon(Duration::from_secs(40));

    let used = address();
    let code = issued(codes, used, now).await;
    let answer = attempt(codes, used, code.digest, now).await;
    assert_eq!(answer, Attempt::Accepted);
    assert_eq!(issue(codes, used, &new_code(soon)).await, wait);
    issued(codes, used, now + RESEND).await;

    let tried = address();
    issued(codes, tried, now).await;
    void(codes, tried, now).await;
    assert_eq!(issue(codes, tried, &new_code(soon)).await, wait);
    issued(codes, tried, now + RESEND).await;

    let short = address();
    let code = IssuedCode {
        expires_at: now + Duration::from_secs(5),
        ..new_code(now)
    };
    assert_eq!(issue(codes, short, &code).await, Issue::Issued);
    assert_eq!(issue(codes, short, &new_code(soon)).await, wait);
    issued(codes, short, now + RESEND).await;
}

/// A code that was taken back was never issued: it is no code, and does not make others wait.
pub async fn a_withdrawn_code_was_never_issued(codes: &Codes) {
    let (key, now) = (address(), now());
    let code = issued(codes, key, now).await;
    codes.withdraw(key, code.id).await.unwrap();
    codes.withdraw(key, code.id).await.unwrap();
    let answer = attempt(codes, key, code.digest, now).await;
    assert_eq!(answer, Attempt::NoCode);
    let next = issued(codes, key, now).await;
    let answer = attempt(codes, key, next.digest, now).await;
    assert_eq!(answer, Attempt::Accepted);
}

/// When a code is taken back, the one that it replaced is the code again, with its tries and
/// its time.
pub async fn a_withdrawn_code_gives_way_to_the_one_before(codes: &Codes) {
    let (key, now) = (address(), now());
    let first = issued(codes, key, now).await;
    assert_eq!(
        attempt(codes, key, wrong(), now).await,
        Attempt::Wrong(TRIES - 1)
    );
    let at = now + RESEND;
    let second = issued(codes, key, at).await;
    codes.withdraw(key, second.id).await.unwrap();
    assert_eq!(
        attempt(codes, key, second.digest, at).await,
        Attempt::Wrong(TRIES - 2)
    );
    assert_eq!(
        attempt(codes, key, first.digest, at).await,
        Attempt::Accepted
    );
    let third = issued(codes, key, at).await;
    codes.withdraw(key, third.id).await.unwrap();
    assert_eq!(
        attempt(codes, key, first.digest, at).await,
        Attempt::NoCode,
        "a used one stays used"
    );
}

/// Taking back a code that is not the present one does nothing.
pub async fn only_the_present_code_is_withdrawn(codes: &Codes) {
    let (key, now) = (address(), now());
    let first = issued(codes, key, now).await;
    let second = issued(codes, key, now + RESEND).await;
    codes.withdraw(key, first.id).await.unwrap();
    codes.withdraw(key, random()).await.unwrap();
    codes.withdraw(address(), second.id).await.unwrap();
    let answer = attempt(codes, key, second.digest, now + RESEND).await;
    assert_eq!(answer, Attempt::Accepted);
}

/// Of many who present the right code at the same time one is let in.
pub async fn of_concurrent_right_codes_one_is_accepted(codes: &Codes) {
    let (key, now) = (address(), now());
    let code = issued(codes, key, now).await;
    let answers = at_once((0..16).map(|_| {
        let codes = Arc::clone(codes);
        async move { attempt(&codes, key, code.digest, now).await }
    }))
    .await;
    let count = |wanted| answers.iter().filter(|answer| **answer == wanted).count();
    assert_eq!(count(Attempt::Accepted), 1);
    assert_eq!(count(Attempt::NoCode), 15);
}

/// Many wrong codes at the same time are no more tries than one after the other.
pub async fn concurrent_wrong_codes_use_up_the_tries(codes: &Codes) {
    let (key, now) = (address(), now());
    let code = issued(codes, key, now).await;
    let answers = at_once((0..16).map(|_| {
        let codes = Arc::clone(codes);
        async move { attempt(&codes, key, wrong(), now).await }
    }))
    .await;
    let wrong = answers.iter().filter_map(|answer| match answer {
        Attempt::Wrong(left) => Some(*left),
        Attempt::Expired => None,
        other => panic!("{other:?}"),
    });
    assert_eq!(sorted(wrong), (0..TRIES).collect::<Vec<_>>());
    let answer = attempt(codes, key, code.digest, now).await;
    assert_eq!(answer, Attempt::Expired);
}

/// Of many codes that are issued at the same time one is the code, and the others too soon.
pub async fn of_concurrent_codes_one_is_issued(codes: &Codes) {
    let (key, now) = (address(), now());
    let answers = at_once((0..16).map(|_| {
        let codes = Arc::clone(codes);
        let code = new_code(now);
        async move { (issue(&codes, key, &code).await, code) }
    }))
    .await;
    let mut issued = Vec::new();
    for (answer, code) in answers {
        match answer {
            Issue::Issued => issued.push(code),
            Issue::TooSoon(wait) => assert_eq!(wait, RESEND),
        }
    }
    assert_eq!(issued.len(), 1);
    let answer = attempt(codes, key, issued[0].digest, now).await;
    assert_eq!(answer, Attempt::Accepted);
}

super::suite::rules! {
    codes_rules:
    a_code_is_accepted_once,
    an_address_without_a_code_has_none,
    addresses_do_not_meet,
    wrong_codes_use_up_the_tries,
    a_new_code_has_tries_of_its_own,
    a_code_expires_and_stays_known,
    a_void_code_stays_known,
    another_code_has_to_wait,
    a_new_code_replaces_the_one_before,
    the_wait_counts_whatever_became_of_the_code,
    a_withdrawn_code_was_never_issued,
    a_withdrawn_code_gives_way_to_the_one_before,
    only_the_present_code_is_withdrawn,
    of_concurrent_right_codes_one_is_accepted,
    concurrent_wrong_codes_use_up_the_tries,
    of_concurrent_codes_one_is_issued,
}
