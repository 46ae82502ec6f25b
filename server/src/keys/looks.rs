//! Looks at the key file for who presents a token of a key that is not known: another instance may have
//! just made the key.
//!
//! Anybody may present such tokens, as many as they like. So the file is looked at off the threads that
//! serve requests, by one at a time, for all who wait together, and at most once in a while; and for a
//! moment no look is given to an id that was not found.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use talksy_domain::error::chain;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::Held;

/// The least time between two looks.
const EVERY: Duration = Duration::from_millis(50);
/// For how long an id that was not found is not looked for again, and how many are remembered.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);
const UNKNOWN: u64 = 10_000;

/// The looks at one file.
pub(super) struct Looks {
    /// How many have begun.
    begun: Arc<AtomicU64>,
    /// Held while one is on its way: when it began.
    turn: Arc<Mutex<Option<Instant>>>,
    /// Ids of no key, and when each was looked for.
    unknown: Cache<Box<str>, Instant>,
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            begun: Arc::default(),
            turn: Arc::default(),
            unknown: Cache::new(UNKNOWN),
        }
    }
}

impl Looks {
    /// Whether a look is worth it for a key of this id, which is not known.
    pub(super) fn is_worth(&self, kid: &str) -> bool {
        let looked_for = self.unknown.get(kid);
        looked_for.is_none_or(|at| at.elapsed() >= UNKNOWN_FOR)
    }

    /// Remembers that there is no key of this id.
    pub(super) fn note_unknown(&self, kid: &str) {
        self.unknown.insert(kid.into(), Instant::now());
    }

    /// Has the file looked at by a look that begins after this call, whoever makes it. When it
    /// returns, what the file had by then is in force.
    pub(super) async fn look(&self, held: &Arc<Held>) {
        let before = self.begun.load(Ordering::SeqCst);
        let mut turn = Arc::clone(&self.turn).lock_owned().await;
        // Who has the turn knows that the looks that have begun are over.
        if self.begun.load(Ordering::SeqCst) > before {
            return;
        }
        if let Some(last) = *turn {
            sleep_until(last + EVERY).await;
        }
        let (begun, held) = (Arc::clone(&self.begun), Arc::clone(held));
        let look = tokio::task::spawn_blocking(move || {
            *turn = Some(Instant::now());
            begun.fetch_add(1, Ordering::SeqCst);
            if let Err(error) = held.reload() {
                tracing::error!(
                    error = %chain(&error),
                    "the changed key file cannot be used; the keys in force stay"
                );
            }
            // The turn ends with the look, also where nobody waits for it any more.
            drop(turn);
        });
        if let Err(error) = look.await {
            tracing::error!(%error, "reading the key file failed");
        }
    }

    /// How many looks have begun.
    #[cfg(test)]
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }
}
