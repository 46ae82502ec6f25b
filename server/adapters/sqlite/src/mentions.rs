//! Mentions: an index of who is mentioned where, beside the list that each message has.
//!
//! It has a row for each user whom a message counts for: not for its sender. An edit changes the rows with
//! the message, and a deletion takes them away, so that a count is one range of the index.

use rusqlite::Connection;
use talksy_domain::chats::UnreadMentions;
use talksy_domain::id::{self, ChatId, UserId};
use talksy_domain::messages::Message;

use super::fault::Fault;
use super::rows::{self, Key, all, change, each, statements, unread_base};

statements! {
    INSERT_MENTION = "INSERT INTO mentions (chat_id, user_id, seq) VALUES (?1, ?2, ?3)";
    DELETE_MENTION = "DELETE FROM mentions WHERE chat_id = ?1 AND user_id = ?2 AND seq = ?3";
    MEMBERS_AMONG = "SELECT user_id FROM rarray(?2) AS wanted
        CROSS JOIN members ON chat_id = ?1 AND user_id = wanted.value AND left_seq IS NULL";
    UNREAD_MENTIONS = concat!("SELECT m.chat_id, (SELECT count(*) FROM mentions AS x
            WHERE x.chat_id = ?1 AND x.user_id = ?2
            AND x.seq > ", unread_base!(), ")
        FROM members AS m WHERE m.chat_id = ?1 AND m.user_id = ?2 AND m.left_seq IS NULL");
    UNREAD_MENTIONS_AMONG = concat!("SELECT m.user_id, m.version, (SELECT count(*) FROM mentions AS x
            WHERE x.chat_id = ?1 AND x.user_id = m.user_id
            AND x.seq > ", unread_base!(), ")
        FROM rarray(?2) AS wanted
        CROSS JOIN members AS m ON m.chat_id = ?1 AND m.user_id = wanted.value
            AND m.left_seq IS NULL");
}

/// The list as the message's row has it: id behind id; NULL for none.
pub(super) fn column(mentioned: &[UserId]) -> Option<Vec<u8>> {
    let bytes = mentioned.iter().flat_map(|user| id::bytes(*user));
    (!mentioned.is_empty()).then(|| bytes.collect())
}

/// The list of a message's row.
pub(super) fn list(column: Option<&[u8]>) -> Vec<UserId> {
    let (ids, _) = column.unwrap_or_default().as_chunks::<16>();
    ids.iter().map(|key: &Key| id::from_bytes(*key)).collect()
}

/// The message mentions other users than `before`.
pub(super) fn changed(
    conn: &Connection,
    before: &[UserId],
    message: &Message,
) -> Result<(), Fault> {
    let (chat, now) = (id::bytes(message.chat_id), &message.mention_ids);
    let counts = |user: &UserId| Some(*user) != message.sender_id;
    for (sql, users, others) in [
        (DELETE_MENTION, before, now.as_slice()),
        (INSERT_MENTION, now.as_slice(), before),
    ] {
        for user in users.iter().filter(|user| counts(user)) {
            if !others.contains(user) {
                change(conn, sql, (chat, id::bytes(*user), message.seq))?;
            }
        }
    }
    Ok(())
}

/// Those of these users who are members of the chat.
pub(super) fn members(
    conn: &Connection,
    chat: Key,
    users: &[UserId],
) -> Result<Vec<UserId>, Fault> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let values = (chat, rows::list(&rows::keys(users, id::bytes)));
    all(conn, MEMBERS_AMONG, values, |row| {
        Ok(id::from_bytes(row.get(0)?))
    })
}

/// For each of these chats of which the user is a member, how many unread messages mention them.
pub(super) fn counts(
    conn: &Connection,
    user: Key,
    chats: &[Key],
) -> Result<Vec<(ChatId, u32)>, Fault> {
    let values = |chat| (chat, user);
    each(conn, UNREAD_MENTIONS, chats, values, |row| {
        Ok((id::from_bytes(row.get(0)?), row.get(1)?))
    })
}

/// The same of one chat for many users, by their memberships.
pub(super) fn counts_among(
    conn: &Connection,
    chat: Key,
    users: &[Key],
) -> Result<Vec<UnreadMentions>, Fault> {
    all(
        conn,
        UNREAD_MENTIONS_AMONG,
        (chat, rows::list(users)),
        |row| {
            Ok(UnreadMentions {
                user_id: id::from_bytes(row.get(0)?),
                version: row.get(1)?,
                count: row.get(2)?,
            })
        },
    )
}
