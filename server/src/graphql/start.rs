//! Whether an operation begins or is given up, where it waits for its turn while its time runs out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The start of one operation: claimed by who executes it, or by who no longer waits for that.
#[derive(Clone, Debug, Default)]
pub struct Start(Arc<AtomicBool>);

impl Start {
    /// Whether nobody has claimed it before.
    pub fn claim(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}
