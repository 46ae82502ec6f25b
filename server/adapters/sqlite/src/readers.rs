//! A few threads that read, each with a connection of its own that cannot write. In WAL mode
//! they neither wait for the writer nor hold it up.
//!
//! A read whose caller has gone is interrupted: a few slow searches that nobody waits for any more
//! would otherwise keep all readers from those who do.

use std::sync::{Arc, Weak};

use crossbeam_channel::Receiver;
use parking_lot::Mutex;
use rusqlite::Connection;

use super::fault::Fault;
use super::queue::{self, Queue};

/// After how many instructions of SQLite's machine a read looks whether somebody waits for it: some
/// ten microseconds.
const INSTRUCTIONS: std::ffi::c_int = 1000;

/// A job of a reader.
pub(super) struct Job {
    work: Box<dyn FnOnce(&Connection) + Send>,
    caller: Caller,
}

/// Lives for as long as somebody waits for the answer.
type Caller = Weak<()>;

/// Runs `work` on a reader thread and waits for the outcome.
pub(super) async fn read<T: Send + 'static>(
    queue: &Queue<Job>,
    work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let waiting = Arc::new(());
    let caller = Arc::downgrade(&waiting);
    queue
        .call(|reply| Job {
            work: Box::new(move |conn| {
                // The caller may have given up meanwhile; then nobody needs to know.
                let _ = reply.send(queue::guard(|| work(conn)));
            }),
            caller,
        })
        .await
}

/// The thread: ends when the queue is closed and empty.
pub(super) fn run(mut conn: Connection, jobs: &Receiver<Job>) {
    let running = Arc::<Mutex<Option<Caller>>>::default();
    let watched = Arc::clone(&running);
    let is_abandoned = move || watched.lock().as_ref().is_some_and(is_gone);
    if let Err(error) = conn.progress_handler(INSTRUCTIONS, Some(is_abandoned)) {
        tracing::error!(%error, "reads without a caller will not be interrupted");
    }
    for Job { work, caller } in jobs {
        if is_gone(&caller) {
            continue;
        }
        *running.lock() = Some(caller);
        work(&conn);
        *running.lock() = None;
        end_transaction(&conn);
    }
}

fn is_gone(caller: &Caller) -> bool {
    caller.strong_count() == 0
}

/// Ends the transaction that a job which failed has left open.
fn end_transaction(conn: &Connection) {
    if !conn.is_autocommit()
        && let Err(error) = conn.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "a read could not be ended");
    }
}
