//! What can go wrong inside the store, and the one place where it becomes a [`PortError`].

use std::error::Error as StdError;
use std::fmt;

use rusqlite::ErrorCode;
use talksy_domain::error::PortError;

/// The name under which failures of this store are reported.
const BACKEND: &str = "store";

/// A failure inside the store.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// SQLite refused.
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    /// A row does not parse.
    #[error("{what} does not parse")]
    Row {
        /// Which row, by its id.
        what: String,
        /// Why not.
        #[source]
        why: Why,
    },
    /// A value cannot be written as JSON.
    #[error("a value cannot be written as JSON")]
    Json(#[source] serde_json::Error),
    /// A job panicked. The panic hook has reported where.
    #[error("the store's code panicked")]
    Panicked,
    /// An error of one job undid the transaction of all.
    #[error("the transaction was rolled back by the failure of another write")]
    RolledBack,
    /// The commit failed, and with it every job of the batch.
    #[error("nothing was committed")]
    NotCommitted(#[source] PortError),
    /// The queue is at its bound.
    #[error("too much work is waiting")]
    QueueFull,
    /// The store was closed, or its thread has died.
    #[error("the store is closed")]
    Closed,
    /// The answer did not come in time.
    #[error("the answer took too long")]
    TimedOut,
}

/// Why a row does not parse.
pub(super) type Why = Box<dyn StdError + Send + Sync>;

impl Fault {
    /// A value cannot be written as JSON.
    pub(super) const fn json(error: serde_json::Error) -> Self {
        Self::Json(error)
    }

    /// The row of `what` does not parse.
    pub(super) fn row(what: impl fmt::Display, why: Why) -> Self {
        Self::Row {
            what: what.to_string(),
            why,
        }
    }
}

impl From<Fault> for PortError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Row { what, why } => Self::corrupt(what, why),
            Fault::Sql(error) if is_defect(&error) => Self::corrupt(BACKEND, error),
            Fault::NotCommitted(error) => Self::unavailable(BACKEND, error),
            fault => Self::unavailable(BACKEND, fault),
        }
    }
}

/// Whether trying again cannot help: the file or a value in it is damaged, or a statement breaks
/// a constraint that the code should have kept.
fn is_defect(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(cause, _) => matches!(
            cause.code,
            ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
        ),
        _ => true,
    }
}
