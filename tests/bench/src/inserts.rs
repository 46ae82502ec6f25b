//! The machine's limit for durable sends: the same rows, into the same tables, with the same
//! settings, but without anything around it.

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::outcome::{Context as _, Outcome};
use super::sends::CONNECTIONS;
use super::stats::float;
use super::template::{own_id, text};

/// What makes the server's own tables, in the order of the files' names.
const MIGRATIONS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../server/adapters/sqlite/src/migrations"
);

/// The server's own settings (`set_up_writer` in its SQLite adapter).
const SETTINGS: &str = "PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -32768;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA wal_autocheckpoint = 4096;";

const INSERT: &str = "INSERT INTO messages
    (chat_id, seq, id, kind, sender_id, created_at, client_message_id, text)
    VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7)";

/// As many chats as the load on the server has.
const CHATS: u64 = 256;

/// A database that is filled without a server.
pub(super) struct Inserts {
    connection: Connection,
    rows: u64,
    folder: tempfile::TempDir,
}

impl Inserts {
    pub(super) fn open() -> Outcome<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let connection = Connection::open(folder.path().join("bare.db"))?;
        connection.execute_batch(SETTINGS)?;
        for migration in migrations()? {
            connection.execute_batch(&migration)?;
        }
        Ok(Self {
            connection,
            rows: 0,
            folder,
        })
    }

    /// Rows a second, in transactions of one for each connection that waits.
    pub(super) fn round(&mut self, length: Duration) -> Outcome<f64> {
        let text = text();
        let (started, before) = (Instant::now(), self.rows);
        while started.elapsed() < length {
            let batch = self.connection.transaction()?;
            for _ in 0..CONNECTIONS {
                let row = self.rows;
                self.rows += 1;
                let chat = key(0, row % CHATS);
                let values = (
                    chat,
                    i64::try_from(row / CHATS + 1)?,
                    // Like the ids of messages, each is larger than those before.
                    key(row + 1, row.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                    key(1, row % CHATS / 4),
                    1_700_000_000_000_i64 + i64::try_from(row / 16)?,
                    own_id(row),
                    &text,
                );
                batch.prepare_cached(INSERT)?.execute(values)?;
            }
            batch.commit()?;
        }
        Ok(float(self.rows - before) / started.elapsed().as_secs_f64())
    }

    /// How often a second a page can be appended to a file and synced.
    pub(super) fn syncs(&self, length: Duration) -> Outcome<f64> {
        let mut file = File::create(self.folder.path().join("synced"))?;
        let (started, mut count) = (Instant::now(), 0);
        while started.elapsed() < length {
            file.write_all(&[7; 4096])?;
            file.sync_data()?;
            count += 1;
        }
        Ok(float(count) / started.elapsed().as_secs_f64())
    }
}

fn migrations() -> Outcome<Vec<String>> {
    let folder = std::fs::read_dir(MIGRATIONS).context("no migrations")?;
    let mut files = folder
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    files.sort();
    let texts = files.iter().map(std::fs::read_to_string);
    Ok(texts.collect::<Result<Vec<_>, _>>()?)
}

fn key(high: u64, low: u64) -> [u8; 16] {
    ((u128::from(high) << 64) | u128::from(low)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_fit_the_tables() {
        let mut inserts = Inserts::open().unwrap();
        assert!(inserts.round(Duration::from_millis(1)).unwrap() > 0.0);
        assert!(inserts.syncs(Duration::from_millis(1)).unwrap() > 0.0);
        let count = "SELECT count(*) FROM messages";
        let count: i64 = inserts
            .connection
            .query_row(count, [], |row| row.get(0))
            .unwrap();
        assert_eq!(u64::try_from(count), Ok(inserts.rows));
    }
}
