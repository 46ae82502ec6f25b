//! Which past the file has. See [`talksy_domain::incarnation`].

use rusqlite::Connection;
use talksy_domain::error::PortError;
use talksy_domain::incarnation::Incarnation;

use super::fault::Fault;
use super::rows::{one, statements};
use super::{SqliteStore, readers};

statements! {
    INCARNATION = "SELECT incarnation FROM store WHERE id = 1";
    /// Adds 1 to 2^31, so that it is another one.
    RENEW_INCARNATION = "UPDATE store
        SET incarnation = (incarnation + 1 + (random() & 2147483647)) & 4294967295 WHERE id = 1";
}

impl SqliteStore {
    /// Which past the file has. The store's own question, and so not among its calls.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(super) async fn read_incarnation(&self) -> Result<Incarnation, PortError> {
        Ok(readers::read(&self.inner.readers, incarnation).await?)
    }

    /// Gives the file another past: it was restored.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub async fn renew_incarnation(&self) -> Result<(), PortError> {
        let renew = |conn: &Connection| -> Result<(), Fault> { Ok(renew(conn)?) };
        self.upkeep(renew).await
    }
}

/// Gives the file another past.
pub(super) fn renew(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute(RENEW_INCARNATION, []).map(drop)
}

fn incarnation(conn: &Connection) -> Result<Incarnation, Fault> {
    let found = one(conn, INCARNATION, [], |row| Ok(Incarnation(row.get(0)?)))?;
    found.ok_or_else(|| Fault::row("the store's incarnation", "it is missing".into()))
}
