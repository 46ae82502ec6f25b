//! Picks up a key file that was changed while the server runs.

use std::sync::Arc;
use std::time::Duration;

use talksy_domain::error::chain;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Keys;

/// How often the file is looked at. SIGHUP makes it at once.
const EVERY: Duration = Duration::from_secs(2);

impl Keys {
    /// Keeps the keys in step with the file until `stop` is cancelled. A file that cannot be used
    /// is logged once and changes nothing.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut hangup = match signal(SignalKind::hangup()) {
            Ok(signal) => Some(signal),
            Err(error) => {
                tracing::warn!(%error, "cannot listen for SIGHUP");
                None
            }
        };
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let hung_up = async {
                match &mut hangup {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
                _ = hung_up => {}
            }
            let keys = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || keys.reload()).await {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => tracing::info!("signing keys were changed and are in force"),
                Ok(Err(error)) => tracing::error!(
                    error = %chain(&error),
                    "the changed key file cannot be used; the keys in force stay"
                ),
                Err(error) => tracing::error!(%error, "reading the key file failed"),
            }
        }
    }
}
