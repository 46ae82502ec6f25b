//! Backups, and what a restored store needs before it serves.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use talksy_domain::error::PortError;
use talksy_sqlite::{OpenError, SqliteStore};

use super::backend::{Backends, StartFailure};
use super::{StartError, stores};
use crate::config::{Config, StoreLocation};

/// Why a command on the store failed.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The configuration names a database that does not exist.
    #[error("there is no database at {}", .0.display())]
    NoDatabase(PathBuf),
    /// Another program makes the backup.
    #[error(
        "`store_url` names MongoDB, which `mongodump` backs up; run `talksy restored` after \
         `mongorestore`"
    )]
    NotSqlite,
    /// The store does not open.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The store is not there.
    #[error(transparent)]
    NotThere(#[from] StartFailure),
    /// The store failed.
    #[error("the store did not do it")]
    Failed(#[from] PortError),
    /// The copy failed.
    #[error("the database was not copied")]
    NotCopied(#[source] OpenError),
}

/// Gives the store of this configuration another incarnation: it was restored, so that its lines go
/// on from an older state, and what clients hold of them is of another past.
///
/// # Errors
/// Where the store is not there, or is a file that a server has open.
pub async fn renew_incarnation(config: &Config) -> Result<(), RestoreError> {
    embedded(config)?;
    let mut backends = Vec::new();
    let store = stores(config, Arc::new(()), None, &mut backends)?.store;
    let backends = Backends::new(backends);
    backends.prepare(config.start.timeout).await?;
    let renewed = store.renew_incarnation().await;
    backends.close().await;
    Ok(renewed?)
}

/// Copies the embedded database to a new file, also while a server has it open. The copy has an
/// incarnation of its own, so that nothing is to be done where it is restored.
///
/// # Errors
/// Where the store is no file, or the copy fails.
pub fn back_up(config: &Config, to: &Path) -> Result<(), RestoreError> {
    let database = embedded(config)?.ok_or(RestoreError::NotSqlite)?;
    SqliteStore::back_up(&database, to).map_err(RestoreError::NotCopied)
}

/// The embedded database's file, where the store is one. It must exist: opening would make it.
fn embedded(config: &Config) -> Result<Option<PathBuf>, RestoreError> {
    match config.store_location().map_err(StartError::from)? {
        StoreLocation::Sqlite(path) if path.exists() => Ok(Some(path)),
        StoreLocation::Sqlite(path) => Err(RestoreError::NoDatabase(path)),
        StoreLocation::Mongo(_) => Ok(None),
    }
}
