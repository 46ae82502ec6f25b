//! When feeds look at the store although nothing happened.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How many times within a heartbeat there are at which feeds look at the store: those that look at
/// the same time ask with one store call.
const TIMES: u32 = 16;
/// Over how many of them feeds that began at the same time are spread.
const SPREAD: u32 = 4;

/// Says when feeds look: together, so that they share store calls, but not all at once.
#[derive(Debug)]
pub(super) struct Heartbeats {
    heartbeat: Duration,
    epoch: Instant,
    turn: AtomicU32,
}

impl Heartbeats {
    pub(super) fn new(heartbeat: Duration) -> Self {
        Self {
            heartbeat,
            epoch: Instant::now(),
            turn: AtomicU32::new(0),
        }
    }

    /// When a feed that looks now looks again: within a heartbeat, and not before the greater part
    /// of it is over.
    pub(super) fn next(&self) -> Instant {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % SPREAD;
        self.at(Instant::now(), turn)
    }

    fn at(&self, now: Instant, turn: u32) -> Instant {
        let step = (self.heartbeat / TIMES).max(Duration::from_nanos(1));
        let latest = now + self.heartbeat - step * turn;
        let since = latest.saturating_duration_since(self.epoch);
        let late = since.as_nanos() % step.as_nanos();
        latest - Duration::from_nanos(u64::try_from(late).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn feeds_look_at_few_times_within_a_heartbeat_whenever_they_began() {
        let heartbeat = Duration::from_secs(30);
        let heartbeats = Heartbeats::new(heartbeat);
        let mut times = BTreeSet::new();
        for (n, turn) in (0..1_000).zip((0..SPREAD).cycle()) {
            let now = heartbeats.epoch + Duration::from_millis(29) * n;
            let next = heartbeats.at(now, turn);
            assert!(next <= now + heartbeat);
            assert!(next >= now + heartbeat * 3 / 4, "{:?}", next - now);
            times.insert(next);
        }
        // They began over 29 s.
        assert!(times.len() <= 20, "{}", times.len());
        let together: BTreeSet<_> = (0..100).map(|_| heartbeats.next()).collect();
        assert!((4..=5).contains(&together.len()), "{}", together.len());
    }
}
