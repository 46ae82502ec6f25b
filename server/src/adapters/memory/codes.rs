//! Sign-in codes in memory: those of the challenges that are open, and how much was guessed.
//!
//! Knows hashes alone. Holds [`MAX_CODES`] and [`MAX_ADDRESSES`] at most: beyond, those are dropped
//! that were issued, or counted, longest ago.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use async_trait::async_trait;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;
use talksy_domain::auth::{
    AddressKey, Attempt, ChallengeKey, CodeDigest, CodeStore, Guesses, IssuedCode,
};
use talksy_domain::clock::Timestamp;
use talksy_domain::error::PortError;

/// How many challenges are open at most, about 40 MB of them.
const MAX_CODES: usize = 200_000;
/// Of how many addresses tries are counted at most, about 20 MB of them.
const MAX_ADDRESSES: u64 = 100_000;
/// For how long an address's tries are remembered behind the last code.
const REMEMBERED: Duration = Duration::from_hours(24);
/// The span by which all wrong codes are counted.
const SPAN: Duration = Duration::from_hours(1);

/// The codes of the challenges that are open.
#[derive(Default)]
struct Codes {
    by_challenge: HashMap<ChallengeKey, IssuedCode>,
    /// In the order in which they were issued, which is that in which they expire. Those that were
    /// used or withdrawn stay in it.
    issued: VecDeque<(Timestamp, ChallengeKey)>,
}

impl Codes {
    /// Drops those that have expired, and the oldest beyond `max`.
    fn sweep(&mut self, now: Timestamp, max: usize) {
        while let Some((expires_at, challenge)) = self.issued.front()
            && (*expires_at <= now || self.issued.len() > max)
        {
            self.by_challenge.remove(challenge);
            self.issued.pop_front();
        }
    }
}

/// Wrong codes of all addresses, in this span and in the one before.
#[derive(Clone, Copy, Default)]
struct Spans {
    number: i64,
    this: u32,
    before: u32,
}

impl Spans {
    fn at(self, now: Timestamp) -> Self {
        let span = i64::try_from(SPAN.as_millis()).unwrap_or(i64::MAX);
        let number = now.as_millis() / span;
        match number.saturating_sub(self.number) {
            0 => self,
            1 => Self {
                number,
                this: 0,
                before: self.this,
            },
            _ => Self {
                number,
                ..Self::default()
            },
        }
    }
}

/// [`CodeStore`] for a single instance.
pub struct MemoryCodeStore {
    codes: Mutex<Codes>,
    max_codes: usize,
    tries: Cache<AddressKey, u32>,
    spans: Mutex<Spans>,
}

impl Default for MemoryCodeStore {
    fn default() -> Self {
        let tries = Cache::builder()
            .max_capacity(MAX_ADDRESSES)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(REMEMBERED);
        Self {
            codes: Mutex::default(),
            max_codes: MAX_CODES,
            tries: tries.build(),
            spans: Mutex::default(),
        }
    }
}

impl MemoryCodeStore {
    /// A store without codes.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl CodeStore for MemoryCodeStore {
    async fn issue(&self, challenge: ChallengeKey, code: &IssuedCode) -> Result<(), PortError> {
        let mut codes = self.codes.lock();
        codes.by_challenge.insert(challenge, *code);
        codes.issued.push_back((code.expires_at, challenge));
        codes.sweep(code.issued_at, self.max_codes);
        Ok(())
    }

    async fn withdraw(&self, challenge: ChallengeKey) -> Result<(), PortError> {
        self.codes.lock().by_challenge.remove(&challenge);
        Ok(())
    }

    async fn attempt(
        &self,
        challenge: ChallengeKey,
        presented: CodeDigest,
        now: Timestamp,
    ) -> Result<Attempt, PortError> {
        let mut codes = self.codes.lock();
        let Some(code) = codes.by_challenge.get_mut(&challenge) else {
            return Ok(Attempt::Void);
        };
        if now >= code.expires_at || code.tries == 0 {
            return Ok(Attempt::Void);
        }
        if bool::from(code.digest.0.ct_eq(&presented.0)) {
            codes.by_challenge.remove(&challenge);
            return Ok(Attempt::Accepted);
        }
        code.tries -= 1;
        Ok(Attempt::Wrong(code.tries))
    }

    async fn count_tries(
        &self,
        address: AddressKey,
        tries: u8,
        now: Timestamp,
    ) -> Result<Guesses, PortError> {
        let more = u32::from(tries);
        let counted = self.tries.entry(address).and_upsert_with(|before| {
            before.map_or(more, |before| before.into_value().saturating_add(more))
        });
        let spans = self.spans.lock().at(now);
        Ok(Guesses {
            of_address: counted.into_value().saturating_sub(more),
            of_all: spans.this.saturating_add(spans.before),
        })
    }

    async fn note_wrong(&self, now: Timestamp) -> Result<(), PortError> {
        let mut spans = self.spans.lock();
        *spans = spans.at(now);
        spans.this = spans.this.saturating_add(1);
        Ok(())
    }

    async fn note_right(&self, address: AddressKey) -> Result<(), PortError> {
        self.tries.invalidate(&address);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::START;

    const VALID: Duration = Duration::from_mins(5);

    fn challenge(byte: u8) -> ChallengeKey {
        ChallengeKey([byte; 32])
    }

    fn code(byte: u8, issued_at: Timestamp) -> IssuedCode {
        IssuedCode {
            digest: CodeDigest([byte; 32]),
            issued_at,
            expires_at: issued_at + VALID,
            tries: 3,
        }
    }

    #[tokio::test]
    async fn what_has_expired_is_dropped_and_of_too_many_the_oldest() {
        let store = MemoryCodeStore {
            max_codes: 2,
            ..MemoryCodeStore::new()
        };
        for byte in 1..=3 {
            store
                .issue(challenge(byte), &code(byte, START))
                .await
                .unwrap();
        }
        for (byte, wanted) in [
            (1, Attempt::Void),
            (2, Attempt::Accepted),
            (3, Attempt::Accepted),
        ] {
            let digest = CodeDigest([byte; 32]);
            let answer = store.attempt(challenge(byte), digest, START).await;
            assert_eq!(answer.unwrap(), wanted, "{byte}");
        }
        store
            .issue(challenge(4), &code(4, START + VALID))
            .await
            .unwrap();
        let codes = store.codes.lock();
        assert_eq!((codes.by_challenge.len(), codes.issued.len()), (1, 1));
    }
}
