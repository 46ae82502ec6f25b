//! Names and titles as they are kept for searches, beside what is shown.

use rusqlite::Row;
use talksy_domain::error::PortError;
use talksy_domain::search::fold_key;

use super::SqliteStore;
use super::fault::{Fault, Why};
use super::rows::{self, Key, change};

/// What is searched by name.
pub(super) struct Named {
    /// Its id.
    pub(super) key: Key,
    name: String,
    /// The name as it is kept for searches.
    folded: String,
}

/// Something with a name: its id, its name, and that as it is kept for searches.
pub(super) fn named(row: &Row<'_>) -> Result<Named, Fault> {
    let key = row.get(0)?;
    let parse = || -> Result<Named, Why> {
        Ok(Named {
            key,
            name: rows::text(row, 1)?.unwrap_or_default(),
            folded: rows::text(row, 2)?.unwrap_or_default(),
        })
    };
    parse().map_err(|why| Fault::row("a name", why))
}

impl SqliteStore {
    /// Folds those of these names that are not, by a statement for each.
    pub(super) async fn set_folded(
        &self,
        names: Vec<Named>,
        sql: &'static str,
    ) -> Result<(), PortError> {
        let stale = names.into_iter().filter_map(|named| {
            let folded = fold_key(&named.name);
            (folded != named.folded).then_some((named.key, named.name, folded))
        });
        let stale: Vec<_> = stale.collect();
        if stale.is_empty() {
            return Ok(());
        }
        self.upkeep(move |conn| {
            for (key, name, folded) in &stale {
                change(conn, sql, (key, name, folded))?;
            }
            Ok(())
        })
        .await
    }
}
