//! Sign-in codes: each good once, for a while, with its challenge alone, and not to be guessed.

use std::sync::Arc;
use std::time::Duration;

use talksy_domain::auth::{
    AddressKey, Attempt, ChallengeKey, CodeDigest, CodeStore, Guesses, IssuedCode,
};
use talksy_domain::clock::Timestamp;

use super::fixture::sorted;
use super::{at_once, now, random};

const VALID: Duration = Duration::from_mins(5);
const TRIES: u8 = 3;
const INSTANT: Duration = Duration::from_millis(1);

type Codes = Arc<dyn CodeStore>;

/// A challenge that nobody has yet.
fn challenge() -> ChallengeKey {
    ChallengeKey(random())
}

/// An address that nobody has yet.
fn address() -> AddressKey {
    AddressKey(random())
}

fn wrong() -> CodeDigest {
    CodeDigest(random())
}

/// Opens the challenge with a new code.
async fn issued(codes: &Codes, challenge: ChallengeKey, at: Timestamp) -> IssuedCode {
    let code = IssuedCode {
        digest: CodeDigest(random()),
        issued_at: at,
        expires_at: at + VALID,
        tries: TRIES,
    };
    codes.issue(challenge, &code).await.unwrap();
    code
}

async fn attempt(codes: &Codes, key: ChallengeKey, code: CodeDigest, at: Timestamp) -> Attempt {
    codes.attempt(key, code, at).await.unwrap()
}

/// Uses a code's tries up.
async fn void(codes: &Codes, key: ChallengeKey, at: Timestamp) {
    for left in (0..TRIES).rev() {
        let answer = attempt(codes, key, wrong(), at).await;
        assert_eq!(answer, Attempt::Wrong(left));
    }
}

/// How many tries of the address were counted before.
async fn counted(codes: &Codes, address: AddressKey, tries: u8) -> u32 {
    let guesses = codes.count_tries(address, tries, now()).await;
    guesses.unwrap().of_address
}

/// The right code is accepted, and then used up.
pub async fn a_code_is_accepted_once(codes: &Codes) {
    let (key, now) = (challenge(), now());
    let code = issued(codes, key, now).await;
    let right = || attempt(codes, key, code.digest, now);
    assert_eq!(right().await, Attempt::Accepted);
    assert_eq!(right().await, Attempt::Void);
    assert_eq!(attempt(codes, key, wrong(), now).await, Attempt::Void);
}

/// A challenge that was never opened has no code.
pub async fn a_challenge_that_is_not_open_has_no_code(codes: &Codes) {
    let answer = attempt(codes, challenge(), wrong(), now()).await;
    assert_eq!(answer, Attempt::Void);
}

/// A code is its own challenge's, and what becomes of others is nothing to it.
pub async fn challenges_do_not_meet(codes: &Codes) {
    let (one, other, now) = (challenge(), challenge(), now());
    let code = issued(codes, one, now).await;
    let others = issued(codes, other, now).await;
    assert_eq!(
        attempt(codes, other, code.digest, now).await,
        Attempt::Wrong(TRIES - 1)
    );
    for _ in 0..20 {
        let strangers = challenge();
        issued(codes, strangers, now).await;
        void(codes, strangers, now).await;
    }
    assert_eq!(
        attempt(codes, other, others.digest, now).await,
        Attempt::Accepted
    );
    let answer = attempt(codes, one, code.digest, now).await;
    assert_eq!(answer, Attempt::Accepted, "all its tries were left");
}

/// Each wrong code costs a try; when none is left the code is void, for the right one too.
pub async fn wrong_codes_use_up_the_tries(codes: &Codes) {
    let (key, now) = (challenge(), now());
    let code = issued(codes, key, now).await;
    void(codes, key, now).await;
    for presented in [code.digest, wrong()] {
        let answer = attempt(codes, key, presented, now).await;
        assert_eq!(answer, Attempt::Void);
    }
}

/// From the instant on at which it ends a code is refused, and until then it is good.
pub async fn a_code_expires(codes: &Codes) {
    let (key, now) = (challenge(), now());
    let code = issued(codes, key, now).await;
    for at in [code.expires_at, code.expires_at + VALID] {
        for presented in [code.digest, wrong()] {
            let answer = attempt(codes, key, presented, at).await;
            assert_eq!(answer, Attempt::Void);
        }
    }
    // A clock that is behind finds it as it was: what was presented too late was no try.
    let answer = attempt(codes, key, code.digest, code.expires_at - INSTANT).await;
    assert_eq!(answer, Attempt::Accepted);
}

/// A code that was taken back was never issued.
pub async fn a_withdrawn_code_is_no_code(codes: &Codes) {
    let (key, other, now) = (challenge(), challenge(), now());
    let code = issued(codes, key, now).await;
    let others = issued(codes, other, now).await;
    for _ in 0..2 {
        codes.withdraw(key).await.unwrap();
    }
    let answer = attempt(codes, key, code.digest, now).await;
    assert_eq!(answer, Attempt::Void);
    let answer = attempt(codes, other, others.digest, now).await;
    assert_eq!(answer, Attempt::Accepted);
}

/// Of many who present the right code at the same time one is let in.
pub async fn of_concurrent_right_codes_one_is_accepted(codes: &Codes) {
    let (key, now) = (challenge(), now());
    let code = issued(codes, key, now).await;
    let answers = at_once((0..16).map(|_| {
        let codes = Arc::clone(codes);
        async move { attempt(&codes, key, code.digest, now).await }
    }))
    .await;
    let count = |wanted| answers.iter().filter(|answer| **answer == wanted).count();
    assert_eq!(count(Attempt::Accepted), 1);
    assert_eq!(count(Attempt::Void), 15);
}

/// Many wrong codes at the same time are no more tries than one after the other.
pub async fn concurrent_wrong_codes_use_up_the_tries(codes: &Codes) {
    let (key, now) = (challenge(), now());
    let code = issued(codes, key, now).await;
    let answers = at_once((0..16).map(|_| {
        let codes = Arc::clone(codes);
        async move { attempt(&codes, key, wrong(), now).await }
    }))
    .await;
    let wrong = answers.iter().filter_map(|answer| match answer {
        Attempt::Wrong(left) => Some(*left),
        Attempt::Void => None,
        other @ Attempt::Accepted => panic!("{other:?}"),
    });
    assert_eq!(sorted(wrong), (0..TRIES).collect::<Vec<_>>());
    let answer = attempt(codes, key, code.digest, now).await;
    assert_eq!(answer, Attempt::Void);
}

/// The tries that codes of an address are given add up, until a right code is presented.
pub async fn tries_add_up_until_a_right_code(codes: &Codes) {
    let (ada, bob) = (address(), address());
    for before in [0, 5, 10] {
        assert_eq!(counted(codes, ada, 5).await, before);
    }
    assert_eq!(counted(codes, bob, 3).await, 0);
    codes.note_right(ada).await.unwrap();
    codes.note_right(address()).await.unwrap();
    assert_eq!(counted(codes, ada, 5).await, 0);
    assert_eq!(counted(codes, bob, 3).await, 3);
}

/// However many codes are made at the same time, each is told another number of tries before it: so
/// no more of them are short than one after the other.
pub async fn concurrent_codes_are_counted_one_after_the_other(codes: &Codes) {
    let address = address();
    let before = at_once((0..16).map(|_| {
        let codes = Arc::clone(codes);
        async move { counted(&codes, address, 5).await }
    }))
    .await;
    assert_eq!(sorted(before), (0..16).map(|n| n * 5).collect::<Vec<_>>());
}

/// Wrong codes of all are counted for an hour at least, and two at most. Others may count too.
pub async fn wrong_codes_of_all_are_counted_for_about_an_hour(codes: &Codes) {
    const HOUR: Duration = Duration::from_hours(1);
    let of_all = async |at: Timestamp| {
        let guesses: Guesses = codes.count_tries(address(), 1, at).await.unwrap();
        guesses.of_all
    };
    // A time that is the test's own: nobody else counts a year ahead.
    let ahead = u32::from(u16::from_le_bytes(random())) * 4;
    let start = now() + Duration::from_hours(24 * 365) + HOUR * ahead;
    assert_eq!(of_all(start).await, 0);
    for _ in 0..7 {
        codes.note_wrong(start).await.unwrap();
    }
    for (later, wanted) in [(Duration::ZERO, 7), (HOUR, 7), (HOUR * 2, 0)] {
        assert_eq!(of_all(start + later).await, wanted, "{later:?}");
    }
}

super::suite::rules! {
    codes_rules:
    a_code_is_accepted_once,
    a_challenge_that_is_not_open_has_no_code,
    challenges_do_not_meet,
    wrong_codes_use_up_the_tries,
    a_code_expires,
    a_withdrawn_code_is_no_code,
    of_concurrent_right_codes_one_is_accepted,
    concurrent_wrong_codes_use_up_the_tries,
    tries_add_up_until_a_right_code,
    concurrent_codes_are_counted_one_after_the_other,
    wrong_codes_of_all_are_counted_for_about_an_hour,
}
