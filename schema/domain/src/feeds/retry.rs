//! Retries what a feed needs of a backend until the backend answers.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::error::{PortError, chain};

/// The waits between tries: 50 ms, doubling up to 2 s.
pub(super) const fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(50), Duration::from_secs(2))
}

/// Waits for the next try.
pub(super) async fn pause(backoff: &mut Backoff, error: &PortError) {
    tracing::debug!(error = %chain(error), "a live feed waits for a backend");
    tokio::time::sleep(backoff.next_wait()).await;
}

/// Evaluates a `Future<Output = Result<T, impl Into<FeedError>>>` until it yields something other
/// than that a backend is not available.
macro_rules! retry_unavailable {
    ($attempt:expr) => {{
        let mut backoff = $crate::feeds::retry::backoff();
        loop {
            let outcome = $attempt
                .await
                .map_err($crate::feeds::error::FeedError::from);
            match outcome
                .as_ref()
                .map_err($crate::feeds::error::FeedError::unavailable)
            {
                Err(Some(error)) => $crate::feeds::retry::pause(&mut backoff, error).await,
                _ => break outcome,
            }
        }
    }};
}

pub(super) use retry_unavailable;
