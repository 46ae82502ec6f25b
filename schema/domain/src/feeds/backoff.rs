//! Retries what a feed needs of a backend until the backend answers.

use std::time::Duration;

use crate::error::{PortError, chain};

/// The pauses between tries: 50 ms, doubling up to 2 s.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Backoff {
    pub(super) const fn new() -> Self {
        Self(Duration::from_millis(50))
    }

    pub(super) async fn pause(&mut self, error: &PortError) {
        tracing::debug!(error = %chain(error), "a live feed waits for a backend");
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(Duration::from_secs(2));
    }
}

/// Evaluates a `Future<Output = Result<T, impl Into<FeedError>>>` until it yields something other
/// than that a backend is not available.
macro_rules! retry_unavailable {
    ($attempt:expr) => {{
        let mut backoff = $crate::feeds::backoff::Backoff::new();
        loop {
            let outcome = $attempt
                .await
                .map_err($crate::feeds::error::FeedError::from);
            match outcome
                .as_ref()
                .map_err($crate::feeds::error::FeedError::unavailable)
            {
                Err(Some(error)) => backoff.pause(error).await,
                _ => break outcome,
            }
        }
    }};
}

pub(super) use retry_unavailable;
