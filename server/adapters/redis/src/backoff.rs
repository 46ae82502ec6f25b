//! How long the bus waits before it comes back to a server that it has lost.

use std::time::Duration;

use talksy_domain::backoff::Backoff;

/// The waits between tries: 100 ms, doubling up to 5 s.
pub(super) const fn reconnect_backoff() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(5))
}
