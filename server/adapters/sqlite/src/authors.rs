//! What a user has written in chats: their messages and their reactions.
//!
//! The messages of a chat are in no index by sender: every send would write to one more page. Which
//! blocks of them have some of the user's, `sent_counts` tells; those behind the last full block are
//! looked through. See `unread`.

use rusqlite::{Connection, Row};
use talksy_domain::id;
use talksy_domain::messages::{Emoji, Message, ReactionOf};
use talksy_domain::seq::Seq;

use super::fault::Fault;
use super::rows::{self, Key, all, filled, message_columns, statements};

statements! {
    /// Of the blocks of 32 in which the user has sent.
    SENT_IN_BLOCKS = concat!("SELECT ", message_columns!(), " FROM (
            SELECT through_seq FROM sent_counts
            WHERE chat_id = ?1 AND sender_id = ?2 AND through_seq > ?3
        ) AS block CROSS JOIN messages
        WHERE chat_id = ?1 AND seq > block.through_seq - 32 AND seq <= block.through_seq
        AND seq > ?3 AND sender_id = ?2 AND deleted_at IS NULL
        ORDER BY block.through_seq, seq LIMIT ?4");
    /// Of those behind the last full block.
    SENT_LAST = concat!("SELECT ", message_columns!(), " FROM messages
        WHERE chat_id = ?1 AND sender_id = ?2 AND deleted_at IS NULL
        AND seq > max(?3, (SELECT last_seq / 32 * 32 FROM chats WHERE id = ?1))
        ORDER BY seq LIMIT ?4");
    REACTED = "SELECT chat_id, r.message_id, r.emoji FROM reactions AS r
        CROSS JOIN messages ON id = r.message_id
        WHERE r.user_id = ?1 AND (r.message_id, r.emoji) > (?2, ?3)
        ORDER BY r.message_id, r.emoji LIMIT ?4";
}

/// The first messages of the user in the chat behind a number, without deleted ones.
pub(super) fn sent_by(
    conn: &Connection,
    chat: Key,
    user: Key,
    after: Seq,
    wanted: usize,
) -> Result<Vec<Message>, Fault> {
    rows::snapshot(conn, || {
        let values = |limit| (chat, user, after, limit);
        let mut found = filled(conn, SENT_IN_BLOCKS, wanted, values, rows::message)?;
        let rest = wanted - found.len();
        found.extend(filled(conn, SENT_LAST, rest, values, rows::message)?);
        Ok(found)
    })
}

/// The first reactions of the user behind one of them.
pub(super) fn reacted_by(
    conn: &Connection,
    user: Key,
    after: Option<&ReactionOf>,
    wanted: usize,
) -> Result<Vec<ReactionOf>, Fault> {
    let message = after.map_or_else(Vec::new, |after| id::bytes(after.message_id).to_vec());
    let emoji = after.map_or("", |after| after.emoji.as_str());
    all(
        conn,
        REACTED,
        (user, message, emoji, rows::limit(wanted)),
        |row: &Row<'_>| {
            let emoji: String = row.get(2)?;
            Ok(ReactionOf {
                chat_id: id::from_bytes(row.get(0)?),
                message_id: id::from_bytes(row.get(1)?),
                emoji: Emoji::stored(&emoji),
            })
        },
    )
}
