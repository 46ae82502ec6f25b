//! The one thread that writes. It commits all waiting jobs together, so that many sends share
//! one fsync, and only then hands over the events that follow from them, and answers them. An event
//! follows from the outcome that was committed, so that a job that ran twice is told of once, and
//! one whose caller has given up meanwhile is told of too.
//!
//! Jobs of a batch run one after the other in one transaction, at first without savepoints: they
//! rarely fail. When one does, perhaps halfway through its writes, the transaction is rolled back
//! and every job runs again under a savepoint of its own, so that the failure is nobody else's.
//! Jobs must therefore depend on nothing but the database and what they were made with.

use crossbeam_channel::Receiver;
use rusqlite::Connection;
use talksy_domain::error::PortError;
use talksy_domain::events::{Announcement, EventSink};
use tokio::sync::oneshot;
use tracing::Span;

use super::LockFile;
use super::checkpoint::LogLength;
use super::fault::Fault;
use super::queue::{self, Queue};

/// A job of the writer.
pub(super) type Job = Box<dyn Write>;

/// Work on the database whose answer waits for the commit.
pub(super) trait Write: Send {
    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool;
    /// Does the work and keeps its outcome. False where it failed.
    fn run(&mut self, conn: &Connection) -> bool;
    /// The events that follow from its outcome, once that is committed.
    fn announcements(&self) -> Vec<Announcement>;
    /// Tells the outcome, or that nothing was committed.
    fn answer(self: Box<Self>, committed: Result<(), PortError>);
}

/// The usual job: a function of the connection.
struct Task<T, F, A> {
    work: F,
    announce: A,
    /// Of the call.
    span: Span,
    outcome: Result<T, Fault>,
    reply: oneshot::Sender<Result<T, Fault>>,
}

impl<T, F, A> Write for Task<T, F, A>
where
    T: Send,
    F: FnMut(&Connection) -> Result<T, Fault> + Send,
    A: Fn(&T) -> Vec<Announcement> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(&mut self, conn: &Connection) -> bool {
        self.outcome = queue::guard(|| (self.work)(conn));
        self.outcome.is_ok()
    }

    fn announcements(&self) -> Vec<Announcement> {
        let Ok(outcome) = &self.outcome else {
            return Vec::new();
        };
        let announcements = (self.announce)(outcome).into_iter();
        announcements.map(|one| one.within(&self.span)).collect()
    }

    fn answer(self: Box<Self>, committed: Result<(), PortError>) {
        let outcome = match committed {
            Ok(()) => self.outcome,
            Err(error) => Err(Fault::NotCommitted(error)),
        };
        // The caller may have given up meanwhile; then nobody needs to know.
        let _ = self.reply.send(outcome);
    }
}

/// Runs `work` on the writer thread and waits until it is durable. What `announce` makes of its
/// outcome is handed over with the commit.
pub(super) async fn write<T: Send + 'static>(
    queue: &Queue<Job>,
    work: impl FnMut(&Connection) -> Result<T, Fault> + Send + 'static,
    announce: impl Fn(&T) -> Vec<Announcement> + Send + 'static,
) -> Result<T, Fault> {
    queue
        .call(|reply| -> Job {
            Box::new(Task {
                work,
                announce,
                span: Span::current(),
                outcome: Err(Fault::Closed),
                reply,
            })
        })
        .await
}

/// The thread: ends when the queue is closed and empty, and then moves the log into the database
/// file and gives up the lock. Without a lock there is a server beside, whose log it is.
pub(super) fn run(
    conn: Connection,
    jobs: &Receiver<Job>,
    max_batch: usize,
    events: &dyn EventSink,
    mut log: LogLength,
    lock: Option<LockFile>,
) {
    let mut batch = Vec::with_capacity(max_batch);
    while let Ok(first) = jobs.recv() {
        batch.push(first);
        batch.extend(jobs.try_iter().take(max_batch - 1));
        batch.retain(|job| !job.is_abandoned());
        let committed = commit(&conn, &mut batch).map_err(|fault| {
            undo(&conn);
            PortError::from(fault)
        });
        if committed.is_ok() {
            let announcements = batch.iter().flat_map(|job| job.announcements());
            events.put(announcements.collect());
        }
        for job in batch.drain(..) {
            job.answer(committed.clone());
        }
        if lock.is_some() {
            log.check(&conn);
        }
    }
    let checkpoint = match &lock {
        Some(_) => conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())),
        None => Ok(()),
    };
    if let Err(error) = checkpoint.and_then(|()| conn.close().map_err(|(_, error)| error)) {
        tracing::warn!(%error, "the database was not closed cleanly; its log is kept");
    }
    drop(lock);
}

/// Runs the batch in one transaction and makes it durable.
fn commit(conn: &Connection, batch: &mut [Job]) -> Result<(), Fault> {
    if batch.is_empty() {
        return Ok(());
    }
    execute(conn, "BEGIN IMMEDIATE")?;
    if !batch.iter_mut().all(|job| job.run(conn)) {
        undo(conn);
        if batch.len() == 1 {
            return Ok(());
        }
        execute(conn, "BEGIN IMMEDIATE")?;
        for job in batch {
            run_apart(conn, job)?;
        }
    }
    execute(conn, "COMMIT")
}

/// Runs a job so that its failure leaves no trace.
fn run_apart(conn: &Connection, job: &mut Job) -> Result<(), Fault> {
    execute(conn, "SAVEPOINT job")?;
    if !job.run(conn) {
        // A full disk or a failed read can make SQLite roll back everything by itself.
        if conn.is_autocommit() {
            return Err(Fault::RolledBack);
        }
        execute(conn, "ROLLBACK TO job")?;
    }
    execute(conn, "RELEASE job")
}

fn undo(conn: &Connection) {
    if !conn.is_autocommit()
        && let Err(error) = execute(conn, "ROLLBACK")
    {
        tracing::error!(%error, "a transaction could not be rolled back");
    }
}

fn execute(conn: &Connection, sql: &str) -> Result<(), Fault> {
    conn.prepare_cached(sql)?.execute([])?;
    Ok(())
}
