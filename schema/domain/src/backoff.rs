//! How long to wait before something is tried again.

use std::time::Duration;

use crate::clock::{SystemEntropy, uniform};

/// The waits of a series of tries: each twice as long as the one before, up to a bound, and each
/// shortened by chance, by at most a half, so that those who lost the same server do not come
/// back all at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    /// What the next wait is at most.
    upcoming: Duration,
}

impl Backoff {
    /// Waits that begin with at most `first` and grow up to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            upcoming: first,
        }
    }

    /// The next wait, to the millisecond.
    pub fn next_wait(&mut self) -> Duration {
        let whole = self.upcoming;
        self.upcoming = (whole * 2).min(self.longest);
        let half = u32::try_from(whole.as_millis() / 2).unwrap_or(u32::MAX);
        let chance = uniform(&SystemEntropy, half.max(1));
        Duration::from_millis(u64::from(half) + u64::from(chance))
    }

    /// Begins anew, as a try went well.
    pub const fn reset(&mut self) {
        self.upcoming = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound_and_begin_anew() {
        const FIRST: Duration = Duration::from_millis(100);
        const LONGEST: Duration = Duration::from_secs(5);
        let mut backoff = Backoff::new(FIRST, LONGEST);
        let waits: Vec<_> = (0..20).map(|_| backoff.next_wait()).collect();
        assert!(waits[0] >= FIRST / 2 && waits[0] < FIRST);
        assert!(waits.iter().all(|wait| *wait < LONGEST));
        assert!(waits[19] >= LONGEST / 2);
        backoff.reset();
        assert!(backoff.next_wait() < FIRST);
    }
}
