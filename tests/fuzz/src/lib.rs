//! Fuzz targets as tests. A target is a function of what a stranger may send, which fails where what
//! it holds is not so. The targets stand beside what they try: `grep -rl talksy_fuzz::fuzz`.
//!
//! With the tests each runs a few hundred cases, the same in every run. `make fuzz FUZZ=60` runs each
//! for 60 seconds, with cases that no run before has had. Inputs are mostly valid ones with some edits,
//! as what is random from end to end is refused at the first byte and reaches nothing.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

pub use proptest;

/// Cases of a round. The tests run one round.
const CASES: u32 = 384;

/// How many seconds each target runs. Unset: one round.
const SECONDS: &str = "TALKSY_FUZZ_SECONDS";

/// The first round of a longer run, to repeat one that has failed.
const ROUND: &str = "TALKSY_FUZZ_ROUND";

/// The outcome of one case.
pub type Case = Result<(), TestCaseError>;

/// Runs a target.
///
/// # Panics
/// Where a case fails. The message has the least such input that was found.
pub fn fuzz<S: Strategy>(inputs: &S, target: impl Fn(S::Value) -> Case) {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let seconds = number(SECONDS);
    let length = Duration::from_secs(seconds.unwrap_or(0));
    // A longer run begins where none has begun, more or less.
    let first = number(ROUND).unwrap_or_else(|| match seconds {
        Some(_) => u64::from(std::process::id()) << 32,
        None => 0,
    });
    let started = Instant::now();
    for round in first.. {
        let config = Config {
            cases: CASES,
            failure_persistence: None,
            ..Config::default()
        };
        let mut runner = TestRunner::new_with_rng(config, generator(round));
        if let Err(failure) = runner.run(inputs, &target) {
            panic!("{ROUND}={round}: {failure}");
        }
        if started.elapsed() >= length {
            break;
        }
    }
}

fn generator(round: u64) -> TestRng {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&round.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &seed)
}

/// A change of a text. Places and lengths are parts of what is there.
#[derive(Clone, Debug)]
enum Edit {
    /// Takes some bytes away.
    Remove(Index, usize),
    /// Repeats some bytes somewhere else.
    Copy(Index, usize, Index),
    /// Puts a word somewhere.
    Insert(Index, String),
    /// Puts one byte in the place of another.
    Replace(Index, u8),
    /// Ends here.
    Cut(Index),
}

/// Texts that are there, with up to a dozen edits: bytes removed, copied, replaced, and these words
/// put in. Bytes that are no UTF-8 become replacement characters.
///
/// # Panics
/// Where there are no texts.
pub fn edited(texts: Vec<String>, words: &[&'static str]) -> impl Strategy<Value = String> + use<> {
    edited_bytes(texts, words).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The same as bytes, UTF-8 or not.
///
/// # Panics
/// Where there are no texts.
pub fn edited_bytes(
    texts: Vec<String>,
    words: &[&'static str],
) -> impl Strategy<Value = Vec<u8>> + use<> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let word = if words.is_empty() {
        ".{0,4}".boxed()
    } else {
        prop_oneof![8 => select(words), 1 => ".{0,4}"].boxed()
    };
    let edit = prop_oneof![
        2 => (any::<Index>(), 0..64_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        1 => (any::<Index>(), 0..256_usize, any::<Index>())
            .prop_map(|(from, length, to)| Edit::Copy(from, length, to)),
        4 => (any::<Index>(), word).prop_map(|(at, word)| Edit::Insert(at, word)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        1 => any::<Index>().prop_map(Edit::Cut),
    ];
    (select(texts), vec(edit, 0..12)).prop_map(|(text, edits)| {
        edits
            .into_iter()
            .fold(text.into_bytes(), |mut bytes, edit| {
                apply(&mut bytes, edit);
                bytes
            })
    })
}

fn apply(bytes: &mut Vec<u8>, edit: Edit) {
    // One more than there are bytes: the end is a place, too.
    let places = bytes.len() + 1;
    match edit {
        Edit::Remove(at, length) => {
            let at = at.index(places);
            bytes.drain(at..bytes.len().min(at + length));
        }
        Edit::Copy(from, length, to) => {
            let from = from.index(places);
            let part = bytes[from..bytes.len().min(from + length)].to_vec();
            let to = to.index(places);
            bytes.splice(to..to, part);
        }
        Edit::Insert(at, word) => {
            let at = at.index(places);
            bytes.splice(at..at, word.into_bytes());
        }
        Edit::Replace(at, byte) => {
            if let Some(place) = bytes.get_mut(at.index(places)) {
                *place = byte;
            }
        }
        Edit::Cut(at) => bytes.truncate(at.index(places)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn cases_are_the_same_in_each_run_and_differ_from_each_other() {
        let inputs = edited(vec!["{me{id}}".to_owned()], &["..."]);
        let seen = || {
            let seen = RefCell::new(Vec::new());
            fuzz(&inputs, |text| {
                seen.borrow_mut().push(text);
                Ok(())
            });
            seen.into_inner()
        };
        let first = seen();
        assert!(first.len() >= 384);
        if std::env::var_os(SECONDS).is_none() {
            assert_eq!(first, seen());
        }
        let different: std::collections::BTreeSet<_> = first.into_iter().collect();
        assert!(different.len() > 100, "{}", different.len());
    }

    #[test]
    fn a_case_that_fails_is_told_with_its_round() {
        let failed = catch_unwind(|| {
            fuzz(&(0..1_000_u32), |number| {
                prop_assert!(number < 500);
                Ok(())
            });
        });
        let message = failed.unwrap_err();
        let message = message.downcast_ref::<String>().unwrap();
        assert!(message.starts_with("TALKSY_FUZZ_ROUND="), "{message}");
        assert!(message.contains("minimal failing input: 500"), "{message}");
    }
}
