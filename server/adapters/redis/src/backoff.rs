//! How long to wait before the next try: longer each time, and by chance, so that instances which
//! lost the same server do not come back all at once.

use std::time::Duration;

use talksy_domain::clock::{SystemEntropy, uniform};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// The waits of a series of tries.
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Backoff {
    /// The next wait: between half and the whole of twice the last.
    pub(super) fn next(&mut self) -> Duration {
        let whole = self.0;
        self.0 = (whole * 2).min(LONGEST);
        let half = u32::try_from(whole.as_millis() / 2).unwrap_or(u32::MAX);
        let chance = uniform(&SystemEntropy, half.max(1));
        Duration::from_millis(u64::from(half) + u64::from(chance))
    }

    /// It went well.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound_and_begin_anew() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..20).map(|_| backoff.next()).collect();
        assert!(waits[0] >= FIRST / 2 && waits[0] < FIRST);
        assert!(waits.iter().all(|wait| *wait < LONGEST));
        assert!(waits[19] >= LONGEST / 2);
        backoff.reset();
        assert!(backoff.next() < FIRST);
    }
}
