//! Keeps the write-ahead log short where somebody always reads.
//!
//! SQLite moves the log into the database by itself after a commit, but waits for nobody: it stops
//! at the oldest moment that a reader still sees, and goes on behind the log's end for as long as
//! anybody reads from the log. Where reads overlap without a pause that is for ever, and the log
//! grows until the disk is full. So where it has become long all the same, the writer waits for the
//! readers of that moment. New ones need not wait: they find all in the database.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;

/// The size of a page.
const PAGE: u64 = 4096;
/// How long the log's file is left after a burst of writes.
pub(super) const KEPT_BYTES: u32 = 64 << 20;
/// How long writes wait at a time for reads to end. Most take less than a millisecond.
const WAIT: Duration = Duration::from_millis(100);

/// How long the log's file becomes where readers do not hold it up and SQLite moves it after so
/// many pages.
pub(super) fn usual(checkpoint_pages: u32) -> u64 {
    u64::from(KEPT_BYTES).max(2 * PAGE * u64::from(checkpoint_pages))
}

/// Watches the length of the log.
pub(super) struct LogLength {
    file: PathBuf,
    /// What SQLite keeps by itself where readers let it.
    usual: u64,
    /// The length at which the readers are waited for.
    limit: u64,
    busy_timeout: Duration,
    /// Whether it is to be emptied whatever its length: it holds what was erased.
    empties: Arc<AtomicBool>,
}

impl LogLength {
    /// The log of the database at `path`, with its [`usual`] length. The writer else waits for
    /// `busy_timeout`. Where `empties` is set, the log is emptied at the next look.
    pub(super) fn new(
        path: &Path,
        usual: u64,
        busy_timeout: Duration,
        empties: Arc<AtomicBool>,
    ) -> Self {
        let mut file = path.as_os_str().to_owned();
        file.push("-wal");
        Self {
            file: file.into(),
            usual,
            limit: usual,
            busy_timeout,
            empties,
        }
    }

    /// To be called by the writer between transactions. Costs a look at the file's length.
    pub(super) fn check(&mut self, conn: &Connection) {
        let Ok(file) = std::fs::metadata(&self.file) else {
            return;
        };
        let empties = self.empties.swap(false, Ordering::AcqRel);
        if !empties && file.len() <= self.limit {
            return;
        }
        match self.truncate(conn) {
            Ok(true) => self.limit = self.usual,
            // Somebody reads for longer. Each commit would wait, so the next try is later.
            Ok(false) => {
                self.limit = file.len() + self.usual;
                self.empties.fetch_or(empties, Ordering::AcqRel);
            }
            Err(error) => {
                self.limit = file.len() + self.usual;
                tracing::warn!(%error, "the log could not be moved into the database");
            }
        }
    }

    /// Moves the log into the database and empties it. False where readers did not end in time.
    fn truncate(&self, conn: &Connection) -> rusqlite::Result<bool> {
        conn.busy_timeout(WAIT)?;
        let busy: rusqlite::Result<bool> =
            conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        conn.busy_timeout(self.busy_timeout)?;
        busy.map(|busy| !busy)
    }
}
