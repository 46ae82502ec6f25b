//! Sign-in codes in memory, at most one an address.
//!
//! Knows hashes alone. Forgets a code when it has been expired for as long as it was valid, and
//! holds [`MAX_CODES`] at most: beyond, issuing fails until old ones are forgotten, rather than
//! take the codes of those who wait for their mail.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;
use talksy_domain::auth::{Attempt, CodeDigest, CodeKey, CodeStore, Issue, IssuedCode};
use talksy_domain::clock::Timestamp;
use talksy_domain::error::PortError;

/// How many addresses have a code at most, about 50 MB of them.
const MAX_CODES: usize = 200_000;
/// How often forgotten codes are dropped.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// Every address's code, and when old ones were last dropped.
struct Codes {
    by_address: HashMap<CodeKey, Issued>,
    swept_at: Timestamp,
}

/// An address's present code, and the one it replaced, which is back when it is withdrawn.
struct Issued {
    present: Entry,
    replaced: Option<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    code: IssuedCode,
    used: bool,
    forget_at: Timestamp,
}

impl Entry {
    fn new(code: &IssuedCode, resend_after: Duration) -> Self {
        let validity = code.expires_at.since(code.issued_at);
        let forget_at = (code.expires_at + validity).max(code.issued_at + resend_after);
        Self {
            code: *code,
            used: false,
            forget_at,
        }
    }

    fn attempt(&mut self, presented: CodeDigest, now: Timestamp) -> Attempt {
        if self.used || now >= self.forget_at {
            return Attempt::NoCode;
        }
        if self.code.tries == 0 || now >= self.code.expires_at {
            return Attempt::Expired;
        }
        if bool::from(self.code.digest.0.ct_eq(&presented.0)) {
            self.used = true;
            return Attempt::Accepted;
        }
        self.code.tries -= 1;
        Attempt::Wrong(self.code.tries)
    }
}

/// [`CodeStore`] for a single instance.
pub struct MemoryCodeStore {
    codes: Mutex<Codes>,
    max_codes: usize,
}

impl Default for MemoryCodeStore {
    fn default() -> Self {
        let codes = Codes {
            by_address: HashMap::new(),
            swept_at: Timestamp::from_millis(0),
        };
        Self {
            codes: Mutex::new(codes),
            max_codes: MAX_CODES,
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
    async fn issue(
        &self,
        key: CodeKey,
        code: &IssuedCode,
        resend_after: Duration,
    ) -> Result<Issue, PortError> {
        let now = code.issued_at;
        let mut codes = self.codes.lock();
        let replaced = codes.by_address.get(&key).map(|issued| issued.present);
        if let Some(earlier) = &replaced {
            let wait = resend_after.saturating_sub(now.since(earlier.code.issued_at));
            if !wait.is_zero() {
                return Ok(Issue::TooSoon(wait));
            }
        }
        let full = replaced.is_none() && codes.by_address.len() >= self.max_codes;
        if full || now.since(codes.swept_at) >= SWEEP_EVERY {
            codes
                .by_address
                .retain(|_, issued| now < issued.present.forget_at);
            codes.swept_at = now;
        }
        if full && codes.by_address.len() >= self.max_codes {
            return Err(PortError::unavailable(
                "sign-in codes",
                format!("{} codes are waiting", codes.by_address.len()),
            ));
        }
        let present = Entry::new(code, resend_after);
        codes.by_address.insert(key, Issued { present, replaced });
        Ok(Issue::Issued)
    }

    async fn withdraw(&self, key: CodeKey, id: [u8; 16]) -> Result<(), PortError> {
        let mut codes = self.codes.lock();
        if let Some(issued) = codes.by_address.get_mut(&key)
            && issued.present.code.id == id
        {
            match issued.replaced.take() {
                Some(earlier) => issued.present = earlier,
                None => {
                    codes.by_address.remove(&key);
                }
            }
        }
        Ok(())
    }

    async fn attempt(
        &self,
        key: CodeKey,
        presented: CodeDigest,
        now: Timestamp,
    ) -> Result<Attempt, PortError> {
        let mut codes = self.codes.lock();
        Ok(match codes.by_address.get_mut(&key) {
            Some(issued) => issued.present.attempt(presented, now),
            None => Attempt::NoCode,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::START;

    const ADA: CodeKey = CodeKey([1; 32]);
    const BOB: CodeKey = CodeKey([2; 32]);
    const WRONG: CodeDigest = CodeDigest([0; 32]);
    const RESEND: Duration = Duration::from_mins(1);
    const VALID: Duration = Duration::from_mins(5);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// A code whose id and digest are of this byte.
    fn code(byte: u8, issued_at: Timestamp) -> IssuedCode {
        IssuedCode {
            id: [byte; 16],
            digest: digest(byte),
            issued_at,
            expires_at: issued_at + VALID,
            tries: 3,
        }
    }

    fn digest(byte: u8) -> CodeDigest {
        CodeDigest([byte; 32])
    }

    async fn issue(store: &MemoryCodeStore, key: CodeKey, byte: u8, at: Timestamp) -> Issue {
        store.issue(key, &code(byte, at), RESEND).await.unwrap()
    }

    async fn attempt(store: &MemoryCodeStore, byte: u8, at: Timestamp) -> Attempt {
        store.attempt(ADA, digest(byte), at).await.unwrap()
    }

    #[tokio::test]
    async fn a_code_is_accepted_once() {
        let store = MemoryCodeStore::new();
        assert_eq!(attempt(&store, 7, START).await, Attempt::NoCode);
        assert_eq!(issue(&store, ADA, 7, START).await, Issue::Issued);
        assert_eq!(attempt(&store, 7, START).await, Attempt::Accepted);
        assert_eq!(attempt(&store, 7, START).await, Attempt::NoCode);
    }

    #[tokio::test]
    async fn a_wrong_code_costs_a_try_and_the_last_one_voids_the_code() {
        let store = MemoryCodeStore::new();
        issue(&store, ADA, 7, START).await;
        for left in [2, 1, 0] {
            assert_eq!(
                store.attempt(ADA, WRONG, START).await.unwrap(),
                Attempt::Wrong(left)
            );
        }
        assert_eq!(attempt(&store, 7, START).await, Attempt::Expired);
    }

    #[tokio::test]
    async fn a_code_expires_stays_known_as_long_again_and_is_forgotten() {
        let store = MemoryCodeStore::new();
        issue(&store, ADA, 7, START).await;
        let end = START + VALID;
        assert_eq!(attempt(&store, 7, end).await, Attempt::Expired);
        let known = end + seconds(299);
        assert_eq!(attempt(&store, 7, known).await, Attempt::Expired);
        assert_eq!(attempt(&store, 7, end + VALID).await, Attempt::NoCode);

        issue(&store, BOB, 8, end + VALID).await;
        assert_eq!(store.codes.lock().by_address.len(), 1, "ada's is swept");
    }

    #[tokio::test]
    async fn another_code_is_issued_after_a_minute_and_voids_the_first() {
        let store = MemoryCodeStore::new();
        issue(&store, ADA, 7, START).await;
        assert_eq!(attempt(&store, 7, START).await, Attempt::Accepted);
        let early = START + Duration::from_millis(59_500);
        assert_eq!(
            issue(&store, ADA, 8, early).await,
            Issue::TooSoon(Duration::from_millis(500)),
            "used up or not"
        );
        assert_eq!(issue(&store, BOB, 8, early).await, Issue::Issued);
        assert_eq!(issue(&store, ADA, 8, START + RESEND).await, Issue::Issued);
        assert_eq!(
            attempt(&store, 7, START + RESEND).await,
            Attempt::Wrong(2),
            "the first one's digest"
        );
        assert_eq!(attempt(&store, 8, START + RESEND).await, Attempt::Accepted);
    }

    #[tokio::test]
    async fn a_withdrawn_code_was_never_issued() {
        let store = MemoryCodeStore::new();
        issue(&store, ADA, 7, START).await;
        store.withdraw(ADA, [9; 16]).await.unwrap();
        assert_eq!(
            attempt(&store, 9, START).await,
            Attempt::Wrong(2),
            "another id's"
        );
        store.withdraw(ADA, [7; 16]).await.unwrap();
        assert_eq!(attempt(&store, 7, START).await, Attempt::NoCode);
        assert_eq!(issue(&store, ADA, 8, START).await, Issue::Issued);

        let later = START + RESEND;
        issue(&store, ADA, 9, later).await;
        store.withdraw(ADA, [9; 16]).await.unwrap();
        assert_eq!(attempt(&store, 9, later).await, Attempt::Wrong(2));
        assert_eq!(
            attempt(&store, 8, later).await,
            Attempt::Accepted,
            "the one before is back"
        );
    }

    #[tokio::test]
    async fn a_full_store_refuses_new_addresses_and_keeps_the_codes_it_has() {
        let store = MemoryCodeStore {
            max_codes: 1,
            ..MemoryCodeStore::new()
        };
        issue(&store, ADA, 7, START).await;
        let error = store.issue(BOB, &code(8, START), RESEND).await.unwrap_err();
        assert!(matches!(error, PortError::Unavailable { .. }));
        assert_eq!(issue(&store, ADA, 7, START + RESEND).await, Issue::Issued);
        assert_eq!(attempt(&store, 7, START + RESEND).await, Attempt::Accepted);
        let later = START + RESEND + VALID + VALID;
        assert_eq!(issue(&store, BOB, 8, later).await, Issue::Issued);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_concurrent_attempts_with_the_right_code_one_is_accepted() {
        let store = Arc::new(MemoryCodeStore::new());
        issue(&store, ADA, 7, START).await;
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { attempt(&store, 7, START).await })
            })
            .collect();
        let mut accepted = 0;
        for task in tasks {
            accepted += usize::from(task.await.unwrap() == Attempt::Accepted);
        }
        assert_eq!(accepted, 1);
    }
}
