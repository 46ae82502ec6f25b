//! Unread counts.
//!
//! Numbers are dense, so that what lies above a read mark is a difference. From it goes what is no
//! news to the user: their own messages, system messages and those that were deleted. A member
//! who has a million unread messages, or has sent a million since they last read, costs what one
//! costs who has a hundred:
//!
//! A chat's line is divided into blocks of [`BLOCK`] numbers. When a block is full, `sent_counts`
//! notes for each sender in it how many messages they have sent up to its end. So the messages of
//! one sender between the ends of two blocks are the difference of two look-ups, and only the ends
//! of the range, which are shorter than a block, are looked through. An index entry for each message
//! would tell the same; but as it is ordered by sender, every send would write to one more page.
//! By blocks it is one for each sender in 32 messages.
//!
//! A deletion may lie anywhere, and would change all notes behind it. Deleted messages are
//! counted one by one in an index of them alone: a count costs what was deleted in its range.

use rusqlite::Connection;
use talksy_domain::id::{self, ChatId};
use talksy_domain::seq::Seq;

use super::fault::Fault;
use super::rows::{self, Key, change, each, one, statements, unread_base};

/// How many numbers a block has. The migration that fills `sent_counts` knows it, too.
const BLOCK: Seq = 32;

/// The sender of system messages in `sent_counts`.
const NOBODY: &[u8] = &[];

statements! {
    /// The range of the user's count where they are a member, and the count itself where it is no
    /// longer than ?3. Comparing with the sender leaves out system messages, which have none.
    UNREAD = concat!("SELECT m.chat_id, ", unread_base!(), ", c.last_seq,
        CASE WHEN c.last_seq - ", unread_base!(), " <= ?3 THEN
            (SELECT count(*) FROM messages AS x WHERE x.chat_id = ?1
            AND x.seq > ", unread_base!(), " AND x.seq <= c.last_seq
            AND x.sender_id <> ?2 AND x.deleted_at IS NULL) END
        FROM members AS m CROSS JOIN chats AS c ON c.id = m.chat_id
        WHERE m.chat_id = ?1 AND m.user_id = ?2 AND m.left_seq IS NULL");
    LOOKED_THROUGH = "SELECT count(*) FROM messages
        WHERE chat_id = ?1 AND seq > ?3 AND seq <= ?4
        AND sender_id <> ?2 AND deleted_at IS NULL";
    SENT_BEFORE = "SELECT count FROM sent_counts
        WHERE chat_id = ?1 AND sender_id = ?2 AND through_seq <= ?3
        ORDER BY through_seq DESC LIMIT 1";
    DELETED_OF_OTHERS = "SELECT count(*) FROM messages INDEXED BY messages_deleted
        WHERE chat_id = ?1 AND seq > ?3 AND seq <= ?4
        AND sender_id <> ?2 AND deleted_at IS NOT NULL";
    CLOSE_BLOCK = "INSERT INTO sent_counts (chat_id, sender_id, through_seq, count)
        SELECT ?1, coalesce(m.sender_id, x''), ?3, count(*) + coalesce(
            (SELECT b.count FROM sent_counts AS b WHERE b.chat_id = ?1
            AND b.sender_id = coalesce(m.sender_id, x'') AND b.through_seq < ?3
            ORDER BY b.through_seq DESC LIMIT 1), 0)
        FROM messages AS m WHERE m.chat_id = ?1 AND m.seq > ?2 AND m.seq <= ?3
        GROUP BY m.sender_id";
}

/// Notes who has sent how much, where the message of this number is the last of a block. Every
/// message that is inserted passes here, in the same transaction.
pub(super) fn message_inserted(conn: &Connection, chat: Key, seq: Seq) -> Result<(), Fault> {
    if seq.is_multiple_of(BLOCK) {
        change(conn, CLOSE_BLOCK, (chat, seq - BLOCK, seq))?;
    }
    Ok(())
}

/// What a count goes by.
struct Range {
    chat_id: ChatId,
    /// The number behind which it begins.
    base: Seq,
    /// The chat's newest number.
    last: Seq,
    /// The count, where the range is short.
    unread: Option<u32>,
}

/// For each of these chats of which the user is a member, how many messages are unread.
pub(super) fn counts(
    conn: &Connection,
    user: Key,
    chats: &[Key],
) -> Result<Vec<(ChatId, u32)>, Fault> {
    rows::snapshot(conn, || {
        let values = |chat| (chat, user, 2 * BLOCK);
        let ranges = each(conn, UNREAD, chats, values, |row| {
            Ok(Range {
                chat_id: id::from_bytes(row.get(0)?),
                base: row.get(1)?,
                last: row.get(2)?,
                unread: row.get(3)?,
            })
        })?;
        let count = |range: &Range| {
            let unread = match range.unread {
                Some(unread) => unread,
                None => long_count(conn, user, range)?,
            };
            Ok((range.chat_id, unread))
        };
        ranges.iter().map(count).collect()
    })
}

/// How many messages of a range of more than two blocks are unread.
fn long_count(conn: &Connection, user: Key, range: &Range) -> Result<u32, Fault> {
    let (chat, base, last) = (id::bytes(range.chat_id), range.base, range.last);
    let (start, end) = (base.next_multiple_of(BLOCK), last - last % BLOCK);
    let ends = counted(conn, LOOKED_THROUGH, chat, user, base, start)?
        + counted(conn, LOOKED_THROUGH, chat, user, end, last)?;
    let own = sent(conn, chat, &user, start, end)?;
    let system = sent(conn, chat, NOBODY, start, end)?;
    let deleted = counted(conn, DELETED_OF_OTHERS, chat, user, start, end)?;
    Ok(ends + (end - start).saturating_sub(own + system + deleted))
}

fn counted(
    conn: &Connection,
    sql: &str,
    chat: Key,
    user: Key,
    after: Seq,
    through: Seq,
) -> Result<u32, Fault> {
    if after == through {
        return Ok(0);
    }
    let count = one(conn, sql, (chat, user, after, through), |row| {
        Ok(row.get(0)?)
    })?;
    Ok(count.unwrap_or_default())
}

/// How many messages a sender has sent between the ends of two blocks.
fn sent(conn: &Connection, chat: Key, sender: &[u8], start: Seq, end: Seq) -> Result<u32, Fault> {
    let before = |seq: Seq| {
        let count = one(
            conn,
            SENT_BEFORE,
            (chat, sender, seq),
            |row| Ok(row.get(0)?),
        )?;
        Ok::<u32, Fault>(count.unwrap_or_default())
    };
    Ok(before(end)?.saturating_sub(before(start)?))
}
