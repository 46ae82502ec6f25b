//! Copying the database while it is in use.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::open::{self, OpenError};
use super::{SqliteStore, incarnation, migrate};

/// How long a lock on the database is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

impl SqliteStore {
    /// Copies the database of one moment to a new file, also while a server has it open. The copy
    /// has an incarnation of its own: a server that is started on it knows cursors of the original
    /// for what they are. Blocks.
    ///
    /// # Errors
    /// [`OpenError`] where the file exists, is not Talksy's, or cannot be read or written.
    pub fn back_up(database: &Path, to: &Path) -> Result<(), OpenError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::File { path, source }
        };
        if to.exists() {
            return Err(failed(to)(io::ErrorKind::AlreadyExists.into()));
        }
        // Under another name until it is whole.
        let mut partial = to.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        fs::remove_file(&partial)
            .or_else(unless_missing)
            .map_err(failed(&partial))?;
        drop(open::create_private(&partial)?);
        let conn = open::connect_reader(database, BUSY_TIMEOUT)?;
        migrate::check(&conn)?;
        conn.execute_batch("PRAGMA query_only = OFF")?;
        conn.execute("VACUUM INTO ?1", [partial.to_string_lossy()])?;
        let copy = open::connect_writer(&partial, BUSY_TIMEOUT)?;
        copy.execute_batch("PRAGMA synchronous = FULL")?;
        incarnation::renew(&copy)?;
        copy.close().map_err(|(_, error)| error)?;
        fs::rename(&partial, to).map_err(failed(to))?;
        // The name is durable with its folder.
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed(folder))
    }
}

fn unless_missing(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    }
}
