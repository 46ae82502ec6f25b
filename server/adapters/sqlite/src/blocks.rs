//! Blocks: a row for each, and what follows from it in the memberships of the two in their direct chat,
//! in one transaction.

use async_trait::async_trait;
use rusqlite::{Connection, Row};
use talksy_domain::blocks::{BlockNumber, BlockOutcome, BlockStore, Blocked, MAX_BLOCKS};
use talksy_domain::error::PortError;
use talksy_domain::events::Announcement;
use talksy_domain::id::{self, UserId};
use talksy_domain::page::{Page, Window};

use super::SqliteStore;
use super::fault::Fault;
use super::rows::{self, Key, all, change, filled, one, statements};

statements! {
    BLOCK = "SELECT 1 FROM blocks WHERE blocker_id = ?1 AND blocked_id = ?2";
    /// Up to a number of a user's blocks.
    COUNT = "SELECT number FROM blocks WHERE blocker_id = ?1 LIMIT ?2";
    ADVANCE = "UPDATE users SET block_version = block_version + 1 WHERE id = ?1
        RETURNING block_version";
    ADD = "INSERT INTO blocks (blocker_id, blocked_id, number) VALUES (?1, ?2, ?3)";
    REMOVE = "DELETE FROM blocks WHERE blocker_id = ?1 AND blocked_id = ?2";
    MARK_MEMBERS = "UPDATE members SET is_blocked = ?3, version = version + 1
        WHERE chat_id = (SELECT chat_id FROM direct_chats
            WHERE low_user_id = ?1 AND high_user_id = ?2)
        AND is_blocked <> ?3";
    PAGE = "SELECT blocked_id, number FROM blocks WHERE blocker_id = ?1 AND number < ?2
        ORDER BY number DESC LIMIT ?3";
    SET_BY = "SELECT blocker_id, blocked_id FROM blocks WHERE blocker_id = ?1 LIMIT ?2";
    SET_AGAINST = "SELECT blocker_id, blocked_id FROM blocks WHERE blocked_id = ?1 LIMIT ?2";
}

#[async_trait]
impl BlockStore for SqliteStore {
    async fn set_blocked(
        &self,
        blocker: UserId,
        other: UserId,
        is_blocked: bool,
    ) -> Result<BlockOutcome, PortError> {
        let pair = (id::bytes(blocker), id::bytes(other));
        let work = move |conn: &Connection| set(conn, pair, is_blocked);
        let announce = move |outcome: &BlockOutcome| outcome.announcements(blocker, other);
        self.write_announced(work, announce).await
    }

    async fn blocks_among(
        &self,
        pairs: &[(UserId, UserId)],
    ) -> Result<Vec<(UserId, UserId)>, PortError> {
        let mut pairs = pairs.to_vec();
        pairs.sort_unstable();
        pairs.dedup();
        self.read(move |conn| {
            rows::snapshot(conn, || {
                let mut found = Vec::new();
                for pair in pairs {
                    if is_set(conn, (id::bytes(pair.0), id::bytes(pair.1)))? {
                        found.push(pair);
                    }
                }
                Ok(found)
            })
        })
        .await
    }

    async fn blocked_by(
        &self,
        blocker: UserId,
        window: &Window<BlockNumber>,
    ) -> Result<Page<Blocked>, PortError> {
        let (blocker, wanted) = (id::bytes(blocker), rows::overread(window));
        let behind = window.after.map_or(i64::MAX, i64::from);
        let blocks = self
            .read(move |conn| {
                let values = |limit| (blocker, behind, limit);
                filled(conn, PAGE, wanted, values, blocked)
            })
            .await?;
        Ok(Page::from_overread(blocks, window))
    }

    /// A block is one transaction here, so that whatever is there is complete.
    async fn complete_block(&self, _: UserId, _: UserId) -> Result<(), PortError> {
        Ok(())
    }

    async fn erase_blocks_of(&self, user: UserId, most: usize) -> Result<usize, PortError> {
        let user = id::bytes(user);
        let work = move |conn: &Connection| erase(conn, user, most);
        let announce = |ended: &Vec<(UserId, UserId)>| {
            let told = |pair: &(UserId, UserId)| Announcement::block_changed(pair.0, pair.1);
            ended.iter().flat_map(told).collect()
        };
        Ok(self.write_announced(work, announce).await?.len())
    }
}

fn blocked(row: &Row<'_>) -> Result<Blocked, Fault> {
    Ok(Blocked {
        user_id: id::from_bytes(row.get(0)?),
        number: row.get(1)?,
    })
}

fn is_set(conn: &Connection, pair: (Key, Key)) -> Result<bool, Fault> {
    Ok(one(conn, BLOCK, pair, |_| Ok(()))?.is_some())
}

/// Whether either of the two has blocked the other.
pub(super) fn is_between(conn: &Connection, [one, other]: [Key; 2]) -> Result<bool, Fault> {
    Ok(is_set(conn, (one, other))? || is_set(conn, (other, one))?)
}

fn set(conn: &Connection, pair: (Key, Key), is_blocked: bool) -> Result<BlockOutcome, Fault> {
    if is_set(conn, pair)? == is_blocked {
        return Ok(BlockOutcome::Done { is_new: false });
    }
    if is_blocked {
        let values = (pair.0, rows::limit(MAX_BLOCKS));
        if all(conn, COUNT, values, |_| Ok(()))?.len() >= MAX_BLOCKS {
            return Ok(BlockOutcome::TooMany);
        }
    }
    put(conn, pair, is_blocked)?;
    Ok(BlockOutcome::Done { is_new: true })
}

/// Adds the block or takes it away, with what follows.
fn put(conn: &Connection, (blocker, other): (Key, Key), is_blocked: bool) -> Result<(), Fault> {
    let number = one(conn, ADVANCE, [blocker], |row| {
        Ok(row.get::<_, BlockNumber>(0)?)
    })?;
    if is_blocked {
        // Who has no account has set no blocks before.
        change(conn, ADD, (blocker, other, number.unwrap_or(1)))?;
    } else {
        change(conn, REMOVE, (blocker, other))?;
    }
    let mut pair = [blocker, other];
    pair.sort_unstable();
    let is_between = is_between(conn, pair)?;
    change(conn, MARK_MEMBERS, (pair[0], pair[1], is_between))?;
    Ok(())
}

fn erase(conn: &Connection, user: Key, most: usize) -> Result<Vec<(UserId, UserId)>, Fault> {
    let pair = |row: &Row<'_>| Ok((row.get::<_, Key>(0)?, row.get::<_, Key>(1)?));
    let mut found = all(conn, SET_BY, (user, rows::limit(most)), pair)?;
    let left = most.saturating_sub(found.len());
    found.extend(all(conn, SET_AGAINST, (user, rows::limit(left)), pair)?);
    for pair in &found {
        put(conn, *pair, false)?;
    }
    let ended = found.into_iter();
    Ok(ended
        .map(|(one, other)| (id::from_bytes(one), id::from_bytes(other)))
        .collect())
}
