//! What the process knows of the store's incarnation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::{PortError, chain};
use crate::incarnation::Incarnation;
use crate::messages::store::MessageStore;

/// Above all incarnations: none is known yet.
const UNKNOWN: u64 = u64::MAX;

/// The store's incarnation, read once and again on every heartbeat of the process: a store may be
/// restored below a server that runs.
pub(super) struct KnownIncarnation {
    store: Arc<dyn MessageStore>,
    known: AtomicU64,
}

impl KnownIncarnation {
    /// Begins to read it. Must be called on a Tokio runtime.
    pub(super) fn watch(store: Arc<dyn MessageStore>, heartbeat: Duration) -> Arc<Self> {
        let known = AtomicU64::new(UNKNOWN);
        let this = Arc::new(Self { store, known });
        let weak = Arc::downgrade(&this);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(heartbeat).await;
                let Some(this) = weak.upgrade() else { return };
                if let Err(error) = this.read().await {
                    tracing::debug!(error = %chain(&error), "the store's incarnation was not read");
                }
            }
        });
        this
    }

    /// The incarnation as it was known last; where it never was, the store is asked.
    pub(super) async fn current(&self) -> Result<Incarnation, PortError> {
        match self.known() {
            Some(known) => Ok(known),
            None => self.read().await,
        }
    }

    /// Whether the store still has this past, as far as is known.
    pub(super) fn is(&self, incarnation: Incarnation) -> bool {
        self.known().is_none_or(|known| known == incarnation)
    }

    fn known(&self) -> Option<Incarnation> {
        u32::try_from(self.known.load(Ordering::Relaxed))
            .ok()
            .map(Incarnation)
    }

    async fn read(&self) -> Result<Incarnation, PortError> {
        let incarnation = self.store.incarnation().await?;
        let before = self.known.swap(u64::from(incarnation.0), Ordering::Relaxed);
        if before != UNKNOWN && before != u64::from(incarnation.0) {
            tracing::warn!("the store was restored: clients are told to refetch");
        }
        Ok(incarnation)
    }
}
