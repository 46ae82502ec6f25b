//! Turns at a queue that several instances work on, so that none of them starves.
//!
//! Turns are a courtesy, not a lock: nothing may depend on them for being right. Whoever cannot ask
//! for one, or has waited for one long enough, goes on without it, and what keeps the work right
//! (for the numbers of a chat, the store's unique index) decides as ever.

use std::time::Duration;

use async_trait::async_trait;

use crate::error::PortError;

/// What came of asking for a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is the asker's, until it is passed on or its time is up.
    Granted,
    /// Others are ahead. The asker has a place in the line, which it keeps while it asks again.
    Waiting,
}

/// Gives turns at queues. A queue is named by whoever works on it; a worker is named by its
/// instance, and stands in a queue's line once.
#[async_trait]
pub trait Turns: Send + Sync {
    /// Asks for the next turn, which lasts no longer than `limit` from when it is granted.
    ///
    /// # Errors
    /// Where nobody can tell whose turn it is.
    async fn ask(&self, queue: &str, worker: &str, limit: Duration) -> Result<Turn, PortError>;

    /// Ends the worker's turn, or its waiting for one. The next in line has the turn then, for at
    /// most `limit`. Says whether there is one.
    ///
    /// # Errors
    /// Where that was not to be done. The turn ends by its time.
    async fn pass(&self, queue: &str, worker: &str, limit: Duration) -> Result<bool, PortError>;

    /// Whether another worker has the turn or waits for it.
    ///
    /// # Errors
    /// Where nobody can tell.
    async fn others(&self, queue: &str, worker: &str) -> Result<bool, PortError>;
}
