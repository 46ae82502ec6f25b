//! The embedded store: one SQLite file, one thread that writes, a few that read.
//!
//! Port calls hand a job to a thread and wait for its answer, so nothing blocks the async
//! runtime. Writes that wait at the same time are committed together (see `writer`); a write is
//! answered once it is durable. Every queue is bounded, and a call that finds its queue full, or
//! gets no answer in time, fails as unavailable.
//!
//! A row that does not parse fails the call that reads it, and names itself; it is never left out
//! silently, since a list with a hole would be taken for the truth.

mod attachments;
mod authors;
mod backup;
mod blocks;
mod chats;
mod checkpoint;
mod fault;
mod groups;
mod incarnation;
mod jobs;
mod mentions;
mod messages;
mod migrate;
mod moderation;
mod names;
mod open;
mod queue;
mod reactions;
mod readers;
mod replies;
mod rows;
mod search;
mod sessions;
#[cfg(test)]
mod tests;
mod unread;
mod users;
mod writer;

use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use talksy_domain::error::PortError;
use talksy_domain::events::{Announcement, EventSink};

use checkpoint::LogLength;
use fault::Fault;
use open::LockFile;
pub use open::OpenError;
use queue::Queue;

/// How the store is run.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// How many threads read.
    pub readers: NonZeroUsize,
    /// The most writes that one commit takes together.
    pub max_batch: NonZeroUsize,
    /// How many reads, and how many writes, may wait before further ones are refused.
    pub queue: NonZeroUsize,
    /// After how many pages of 4 KiB the log is moved into the database. SQLite's own 1,000
    /// make sends pay for it too often.
    pub checkpoint_pages: u32,
    /// How long a call waits for its answer.
    pub timeout: Duration,
    /// How long SQLite waits for a lock that another program holds, such as a backup's.
    pub busy_timeout: Duration,
    /// How long opening waits for another server to let go of the database: a restart may begin
    /// before the old process has ended.
    pub lock_timeout: Duration,
}

impl SqliteOptions {
    /// These, and for the rest what suits one server on one machine.
    pub const fn new(readers: NonZeroUsize, checkpoint_pages: u32) -> Self {
        Self {
            readers,
            max_batch: const { NonZeroUsize::new(256).unwrap() },
            queue: const { NonZeroUsize::new(8192).unwrap() },
            checkpoint_pages,
            timeout: Duration::from_secs(5),
            busy_timeout: Duration::from_secs(2),
            lock_timeout: Duration::from_secs(1),
        }
    }
}

/// Keeps accounts, chats and messages in a SQLite file. Cloning it is cheap; the clones share the
/// file, which is closed after [`SqliteStore::close`] or with the last clone.
#[derive(Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

struct Inner {
    writer: Queue<writer::Job>,
    readers: Queue<readers::Job>,
    calls: AtomicU64,
    /// Whether the log is to be moved into the database as soon as it can be.
    empty_log: Arc<AtomicBool>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the database at `path`, made with its folder where there is none, and brings its
    /// schema up to date. What follows from commits is handed over to `events`, in their order.
    /// Blocks: call it before the runtime serves, or on a blocking thread.
    ///
    /// # Errors
    /// [`OpenError`] where another server has it open, where it is newer than this release or
    /// another program's, or where the disk or SQLite refuses.
    pub fn open(
        path: impl AsRef<Path>,
        options: &SqliteOptions,
        events: Arc<dyn EventSink>,
    ) -> Result<Self, OpenError> {
        let path = path.as_ref();
        open::create_parent(path)?;
        let lock = LockFile::acquire(path, options.lock_timeout)?;
        drop(open::create_private(path)?);
        let mut conn = open::connect_writer(path, options.busy_timeout)?;
        migrate::check(&conn)?;
        open::set_up_writer(&conn, options.checkpoint_pages)?;
        migrate::migrate(&mut conn)?;
        Self::start(path, conn, Some(lock), options, events)
    }

    /// Opens a database that a server may have open, for a command that looks after its jobs. No
    /// event comes of what is written here, so anything else is the server's alone. Blocks.
    ///
    /// # Errors
    /// [`OpenError`] where there is no database, where it is of another version or another program's,
    /// or where SQLite refuses.
    pub fn open_beside(path: impl AsRef<Path>, options: &SqliteOptions) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let conn = open::connect_writer(path, options.busy_timeout)?;
        migrate::check_current(&conn)?;
        open::set_up_writer(&conn, options.checkpoint_pages)?;
        Self::start(path, conn, None, options, Arc::new(()))
    }

    fn start(
        path: &Path,
        conn: Connection,
        lock: Option<LockFile>,
        options: &SqliteOptions,
        events: Arc<dyn EventSink>,
    ) -> Result<Self, OpenError> {
        let (writer, write_jobs) = Queue::new(options.queue.get(), options.timeout);
        let (readers, read_jobs) = Queue::new(options.queue.get(), options.timeout);
        for number in 1..=options.readers.get() {
            let conn = open::connect_reader(path, options.busy_timeout)?;
            let read_jobs = read_jobs.clone();
            readers
                .spawn(format!("sqlite-read-{number}"), move || {
                    readers::run(conn, &read_jobs);
                })
                .map_err(OpenError::Thread)?;
        }
        let max_batch = options.max_batch.get();
        // One that was killed may have left a log with what it had erased.
        let empty_log = Arc::new(AtomicBool::new(true));
        let log = LogLength::new(
            path,
            checkpoint::usual(options.checkpoint_pages),
            options.busy_timeout,
            Arc::clone(&empty_log),
        );
        writer
            .spawn("sqlite-write".to_owned(), move || {
                writer::run(conn, &write_jobs, max_batch, &*events, log, lock);
            })
            .map_err(OpenError::Thread)?;
        let calls = AtomicU64::new(0);
        Ok(Self {
            inner: Arc::new(Inner {
                writer,
                readers,
                calls,
                empty_log,
            }),
        })
    }

    /// How many calls the ports have taken so far.
    pub fn calls(&self) -> u64 {
        self.inner.calls.load(Ordering::Relaxed)
    }

    /// Whether the store reads and writes at present. It writes a row, so that a full disk is
    /// noticed.
    pub async fn ping(&self) -> Result<(), PortError> {
        let read = |conn: &Connection| -> Result<(), Fault> {
            conn.prepare_cached("SELECT 1")?.query_row([], |_| Ok(()))?;
            Ok(())
        };
        readers::read(&self.inner.readers, read).await?;
        let write = |conn: &Connection| -> Result<(), Fault> {
            conn.prepare_cached("UPDATE probe SET writes = writes + 1")?
                .execute([])?;
            Ok(())
        };
        Ok(writer::write(&self.inner.writer, write, |()| Vec::new()).await?)
    }

    /// Takes no more calls, finishes those that wait, moves the log into the database file and
    /// gives up the lock. Closing again does nothing.
    pub async fn close(&self) {
        let inner = Arc::clone(&self.inner);
        let closed = tokio::task::spawn_blocking(move || {
            inner.readers.close();
            inner.readers.join();
            inner.writer.close();
            inner.writer.join();
        });
        if let Err(error) = closed.await {
            tracing::error!(%error, "closing the store was broken off");
        }
    }

    /// A port call that only reads.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, PortError> {
        self.inner.calls.fetch_add(1, Ordering::Relaxed);
        Ok(readers::read(&self.inner.readers, work).await?)
    }

    /// A read of the store's own, which no request has asked for: it is not counted.
    async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, PortError> {
        Ok(readers::read(&self.inner.readers, work).await?)
    }

    /// A write of the store's own, as [`SqliteStore::look`].
    async fn upkeep<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, PortError> {
        Ok(writer::write(&self.inner.writer, work, |_| Vec::new()).await?)
    }

    /// A port call that writes what nobody follows. The work may be run twice; see `writer`.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, PortError> {
        self.write_announced(work, |_| Vec::new()).await
    }

    /// A port call that writes, and from whose outcome events follow. The work may be run twice.
    async fn write_announced<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> Result<T, Fault> + Send + 'static,
        announce: impl Fn(&T) -> Vec<Announcement> + Send + 'static,
    ) -> Result<T, PortError> {
        self.inner.calls.fetch_add(1, Ordering::Relaxed);
        Ok(writer::write(&self.inner.writer, work, announce).await?)
    }
}
