//! A few threads that read, each with a connection of its own that cannot write. In WAL mode
//! they neither wait for the writer nor hold it up.

use crossbeam_channel::Receiver;
use rusqlite::Connection;

use super::fault::Fault;
use super::queue::{self, Queue};

/// A job of a reader.
pub(super) type Job = Box<dyn FnOnce(&Connection) + Send>;

/// Runs `work` on a reader thread and waits for the outcome.
pub(super) async fn read<T: Send + 'static>(
    queue: &Queue<Job>,
    work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    queue
        .call(|reply| -> Job {
            Box::new(move |conn| {
                if !reply.is_closed() {
                    // The caller may have given up meanwhile; then nobody needs to know.
                    let _ = reply.send(queue::guard(|| work(conn)));
                }
            })
        })
        .await
}

/// The thread: ends when the queue is closed and empty.
pub(super) fn run(conn: &Connection, jobs: &Receiver<Job>) {
    for job in jobs {
        job(conn);
    }
}
