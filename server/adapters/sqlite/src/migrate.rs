//! The schema's versions. `PRAGMA user_version` says which one a file has; each migration runs
//! in a transaction with the step of that number, so a crash leaves one version or the next.

use rusqlite::Connection;

use super::OpenError;

/// Marks the file as Talksy's (`PRAGMA application_id`): "Tlks".
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"Tlks");

/// Migration `n` leads from version `n` to `n + 1`. Those that were released never change.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_lines.sql"),
    include_str!("migrations/0003_jobs.sql"),
    include_str!("migrations/0004_incarnation.sql"),
    include_str!("migrations/0005_reading.sql"),
    include_str!("migrations/0006_refresh_tokens.sql"),
    include_str!("migrations/0007_content.sql"),
    include_str!("migrations/0008_reactions.sql"),
    include_str!("migrations/0009_attachments.sql"),
    include_str!("migrations/0012_own_data.sql"),
];

/// Checks that this binary may use the file. Changes nothing.
pub(super) fn check(conn: &Connection) -> Result<(), OpenError> {
    let application: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let found = version(conn)?;
    let tables: u32 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_new = application == 0 && found == 0 && tables == 0;
    if application != APPLICATION_ID && !is_new {
        return Err(OpenError::Foreign);
    }
    if found > MIGRATIONS.len() {
        return Err(OpenError::Newer {
            found,
            known: MIGRATIONS.len(),
        });
    }
    Ok(())
}

/// Checks that the file is of this binary's version, as a server of the same release leaves it.
pub(super) fn check_current(conn: &Connection) -> Result<(), OpenError> {
    check(conn)?;
    let found = version(conn)?;
    if found < MIGRATIONS.len() {
        return Err(OpenError::Older {
            found,
            known: MIGRATIONS.len(),
        });
    }
    Ok(())
}

/// Brings the file to this binary's version.
pub(super) fn migrate(conn: &mut Connection) -> Result<(), OpenError> {
    for (from, sql) in MIGRATIONS.iter().enumerate().skip(version(conn)?) {
        let to = i64::try_from(from).unwrap_or(i64::MAX).saturating_add(1);
        let transaction = conn.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", to)?;
        transaction.commit()?;
        tracing::info!(version = to, "the database's schema was migrated");
    }
    Ok(())
}

fn version(conn: &Connection) -> rusqlite::Result<usize> {
    let version: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(version as usize)
}
