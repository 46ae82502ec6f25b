//! Whether an operation begins or is given up, where it waits for its turn while its time runs out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::{Instant, timeout_at};

/// The start of one operation: claimed by who executes it, or by who no longer waits for that.
#[derive(Clone, Debug)]
pub struct Start {
    by: Instant,
    is_claimed: Arc<AtomicBool>,
}

impl Start {
    /// It begins by then, or never: also where nobody waits for it any more.
    pub fn by(deadline: Instant) -> Self {
        Self {
            by: deadline,
            is_claimed: Arc::default(),
        }
    }

    /// Whether nobody has claimed it before.
    pub fn claim(&self) -> bool {
        !self.is_claimed.swap(true, Ordering::AcqRel)
    }

    /// Waits for its turn, and claims it. `None` where it does not begin.
    pub(super) async fn at<T>(&self, turn: impl Future<Output = T>) -> Option<T> {
        let turn = timeout_at(self.by, turn).await.ok()?;
        self.claim().then_some(turn)
    }
}
