//! A feed outlives an outage: it tries again, ever more slowly, while a backend is down.

use std::time::Duration;

use crate::error::{PortError, chain};

/// The pauses between tries: 50 ms, doubling up to 2 s.
#[derive(Debug)]
pub(super) struct Patience(Duration);

impl Patience {
    pub(super) const fn new() -> Self {
        Self(Duration::from_millis(50))
    }

    pub(super) async fn pause(&mut self, error: &PortError) {
        tracing::debug!(error = %chain(error), "a live feed waits for a backend");
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(Duration::from_secs(2));
    }
}

/// Evaluates a `Future<Output = Result<T, impl Into<LiveError>>>` until it yields something other
/// than that a backend is not available.
macro_rules! patiently {
    ($attempt:expr) => {{
        let mut patience = $crate::live::patience::Patience::new();
        loop {
            match $attempt.await.map_err($crate::live::LiveError::from) {
                Err($crate::live::LiveError::Port(
                    error @ $crate::error::PortError::Unavailable { .. },
                )) => patience.pause(&error).await,
                outcome => break outcome,
            }
        }
    }};
}

pub(super) use patiently;
