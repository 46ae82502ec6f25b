//! How much a socket may have the server do: how fast it is read, and for how long at a time. A
//! client that sends more is read more slowly, and waits for its own messages; to close it would
//! have it come back, which takes more than to let it wait.

use tokio::time::Instant;

use crate::config::Quota;

/// What a ping counts besides: it is answered, and says nothing.
pub(super) const PING: u32 = 50;

/// What an operation counts besides that is refused before it runs, but for a hash whose text is asked
/// for: that is how a client begins, and it is found out by one look at memory.
pub(super) const REFUSAL: u32 = 20;

/// So many bytes of a message count one.
const UNIT: usize = 1024;

/// So many frames are read at a time, and no more after so many bytes. Then others have their turn.
const FRAMES_AT_A_TIME: u32 = 16;
const BYTES_AT_A_TIME: usize = 8 * 1024;

/// What a message of so many bytes counts.
pub(super) fn units(bytes: usize) -> u32 {
    u32::try_from(bytes / UNIT).map_or(u32::MAX, |units| units.saturating_add(1))
}

/// What a socket may still send: a bucket that fills evenly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// When the bucket is full again.
    full: Instant,
}

impl Pace {
    /// A full bucket.
    pub(super) const fn new(now: Instant) -> Self {
        Self { full: now }
    }

    /// Takes what a message has counted, also where there is less, but no more than a full bucket.
    /// Until the time that comes back, there is nothing in the bucket and the next message is not to be
    /// read.
    pub(super) fn take(&mut self, quota: Quota, units: u32, now: Instant) -> Option<Instant> {
        let burst = quota.burst.max(1);
        let refill = quota.period.saturating_mul(units.min(burst)) / burst;
        self.full = self.full.max(now) + refill;
        let until = self.full.checked_sub(quota.period)?;
        (until > now).then_some(until)
    }
}

/// What a socket has read at a time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    frames: u32,
    bytes: usize,
}

impl Turn {
    /// Counts a frame.
    pub(super) fn add(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Whether others come first now.
    pub(super) const fn is_over(&self) -> bool {
        self.frames >= FRAMES_AT_A_TIME || self.bytes >= BYTES_AT_A_TIME
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const QUOTA: Quota = Quota {
        burst: 100,
        period: Duration::from_secs(10),
    };

    #[test]
    fn a_burst_passes_and_then_as_much_as_comes_back() {
        let start = Instant::now();
        let at = |tenths: u64| start + Duration::from_millis(100 * tenths);
        let mut pace = Pace::new(start);
        assert_eq!(pace.take(QUOTA, 99, start), None);
        assert_eq!(pace.take(QUOTA, 1, start), None);
        // It was still read, and is paid for by the next.
        assert_eq!(pace.take(QUOTA, 5, start), Some(at(5)));
        assert_eq!(pace.take(QUOTA, 1, at(5)), Some(at(6)));
        // A second brings ten.
        assert_eq!(pace.take(QUOTA, 9, at(16)), None);
        assert_eq!(pace.take(QUOTA, 1, at(16)), None);
        assert_eq!(pace.take(QUOTA, 1, at(16)), Some(at(17)));
        // No more comes back than there was.
        assert_eq!(pace.take(QUOTA, 100, at(1_000)), None);
        assert_eq!(pace.take(QUOTA, 1, at(1_000)), Some(at(1_001)));
    }

    #[test]
    fn one_message_takes_no_more_than_there_may_be() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert_eq!(pace.take(QUOTA, u32::MAX, now), None);
        assert_eq!(pace.take(QUOTA, u32::MAX, now), Some(now + QUOTA.period));
    }

    #[test]
    fn messages_count_by_their_length() {
        assert_eq!([0, 1_023, 1_024, 32_768].map(units), [1, 1, 2, 33]);
        assert_eq!(units(usize::MAX), u32::MAX);
        // The longest that a socket may send holds it up for no longer than its silence is borne.
        let quota = crate::config::WebSocketLimits::default();
        let mut pace = Pace::new(Instant::now());
        let now = Instant::now();
        pace.take(quota.messages, quota.messages.burst, now);
        let most = units(quota.max_message_bytes) + REFUSAL.max(PING);
        let until = pace.take(quota.messages, most, now);
        assert!(until.is_some_and(|until| until < now + quota.ping_interval));
    }

    #[test]
    fn a_turn_ends_after_some_frames_or_bytes() {
        let mut turn = Turn::default();
        for _ in 0..FRAMES_AT_A_TIME {
            assert!(!turn.is_over());
            turn.add(1);
        }
        assert!(turn.is_over());
        let mut turn = Turn::default();
        turn.add(BYTES_AT_A_TIME - 1);
        assert!(!turn.is_over());
        turn.add(usize::MAX);
        assert!(turn.is_over());
    }
}
