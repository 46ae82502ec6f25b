//! Opening the database: the file and its lock, the connections and their settings.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::checkpoint::KEPT_BYTES;

/// How often a lock that is held is tried again.
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A file or folder could not be made or opened.
    #[error("cannot open {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process has it open.
    #[error(
        "{} is in use by another server; stop that one first, or give this one a data directory of its own",
        path.display()
    )]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// It was written by a newer release. It was not changed.
    #[error(
        "the database has schema version {found}, but this release knows only up to {known}; run a newer one"
    )]
    Newer {
        /// The file's version.
        found: usize,
        /// The newest version this binary knows.
        known: usize,
    },
    /// It was written by an older release, and is opened beside a server, which alone may change its
    /// schema.
    #[error(
        "the database has schema version {found}, but this release needs {known}; start its server once"
    )]
    Older {
        /// The file's version.
        found: usize,
        /// The version that this binary needs.
        known: usize,
    },
    /// It is the database of another program. It was not changed.
    #[error("the file is a database of another program")]
    Foreign,
    /// SQLite refused.
    #[error("SQLite cannot open the database")]
    Sqlite(#[from] rusqlite::Error),
    /// A thread could not be started.
    #[error("cannot start a thread of the store")]
    Thread(#[source] io::Error),
}

/// Keeps other processes away from the database for as long as it lives.
#[derive(Debug)]
pub(super) struct LockFile {
    /// The system gives up the lock when the file is closed, so also when the process dies.
    _file: File,
}

impl LockFile {
    /// Locks `<database>.lock`, waiting for at most `timeout` for another holder to end. SQLite's
    /// own locks would let two servers alternate, each unaware of the other's live events.
    pub(super) fn acquire(database: &Path, timeout: Duration) -> Result<Self, OpenError> {
        let mut path = database.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let file = create_private(&path)?;
        let mut left = timeout;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::Error(source)) => return Err(OpenError::File { path, source }),
                Err(TryLockError::WouldBlock) if left.is_zero() => {
                    return Err(OpenError::InUse {
                        path: database.to_owned(),
                    });
                }
                Err(TryLockError::WouldBlock) => {
                    let pause = left.min(LOCK_RETRY);
                    thread::sleep(pause);
                    left -= pause;
                }
            }
        }
    }
}

/// Makes the folder that holds `path`, for the owner alone.
pub(super) fn create_parent(path: &Path) -> Result<(), OpenError> {
    let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    else {
        return Ok(());
    };
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(parent).map_err(|source| OpenError::File {
        path: parent.to_owned(),
        source,
    })
}

/// Opens a file, made readable for the owner alone where it is new. SQLite gives its log and
/// index files the mode of the database.
pub(super) fn create_private(path: &Path) -> Result<File, OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|source| OpenError::File {
        path: path.to_owned(),
        source,
    })
}

/// A connection that may write, not yet set up.
pub(super) fn connect_writer(path: &Path, busy: Duration) -> rusqlite::Result<Connection> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, busy)
}

/// Settings of the writer. Every commit is in the log and synced to the disk before it returns
/// (`synchronous = FULL` in WAL mode). The log is moved into the database when it has
/// `checkpoint_pages` pages, and is cut back when a burst has made it long. What is deleted is written
/// over, so that nothing of it is left in the file. The file is not mapped into memory: a disk error would kill the process instead of failing one call.
pub(super) fn set_up_writer(conn: &Connection, checkpoint_pages: u32) -> rusqlite::Result<()> {
    conn.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA secure_delete = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -32768;",
    )?;
    conn.pragma_update(None, "journal_size_limit", KEPT_BYTES)?;
    conn.pragma_update(None, "wal_autocheckpoint", checkpoint_pages)
}

/// A connection that can only read.
pub(super) fn connect_reader(path: &Path, busy: Duration) -> rusqlite::Result<Connection> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, busy)?;
    conn.execute_batch(
        "PRAGMA query_only = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -8192;",
    )?;
    Ok(conn)
}

fn connect(path: &Path, mode: OpenFlags, busy: Duration) -> rusqlite::Result<Connection> {
    // Each connection belongs to one thread. Without the URI flag a path is a path.
    let conn = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(busy)?;
    // A plan does not depend on values. Without this SQLite parses and plans a statement with
    // `LIMIT ?` anew each time that it is run.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_prepared_statement_cache_capacity(128);
    rusqlite::vtab::array::load_module(&conn)?;
    Ok(conn)
}
