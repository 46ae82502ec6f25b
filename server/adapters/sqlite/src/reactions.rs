//! Reactions: a row for each user, message and emoji. How many there are stands in the message's own
//! row and is changed in the same transaction; see `messages`.

use rusqlite::Connection;
use talksy_domain::id::{self, JobId, MessageId, UserId};
use talksy_domain::jobs::Task;
use talksy_domain::messages::{
    Beside, ChangeAction, Emoji, MAX_PINS, Message, MessageChange, Reaction, ReactionPage,
};
use talksy_domain::page::Page;
use talksy_domain::seq::Seq;

use super::fault::Fault;
use super::jobs;
use super::rows::{self, Key, all, change, filled, one, statements};

statements! {
    HAS_REACTED = "SELECT 1 FROM reactions WHERE message_id = ?1 AND user_id = ?2 AND emoji = ?3";
    ADD = "INSERT INTO reactions (message_id, user_id, emoji, change_seq) VALUES (?1, ?2, ?3, ?4)";
    REMOVE = "DELETE FROM reactions WHERE message_id = ?1 AND user_id = ?2 AND emoji = ?3";
    OF_USER = "SELECT message_id, emoji FROM rarray(?2) AS wanted
        CROSS JOIN reactions ON message_id = wanted.value AND user_id = ?1";
    AMONG_USERS = "SELECT user_id, emoji FROM rarray(?2) AS wanted
        CROSS JOIN reactions ON message_id = ?1 AND user_id = wanted.value";
    PAGE = "SELECT user_id, change_seq FROM reactions
        WHERE message_id = ?1 AND emoji = ?2 AND (change_seq, user_id) > (?3, ?4)
        ORDER BY change_seq, user_id LIMIT ?5";
    IS_DELETED = "SELECT deleted_at IS NOT NULL FROM messages WHERE id = ?1";
    /// The first reactions to a message: some of them, to be erased.
    ERASE = "DELETE FROM reactions WHERE message_id = ?1 AND (user_id, emoji) IN
        (SELECT user_id, emoji FROM reactions WHERE message_id = ?1 LIMIT ?2)";
    /// Up to a number of a chat's pinned messages.
    PINS = "SELECT pinned_seq FROM messages WHERE chat_id = ?1 AND pinned_seq > 0 LIMIT ?2";
}

/// What the change is judged by beside the message.
pub(super) fn beside(conn: &Connection, change: &MessageChange) -> Result<Beside, Fault> {
    let mut beside = Beside::default();
    match &change.action {
        ChangeAction::React { emoji, .. } => {
            let who = (
                id::bytes(change.message_id),
                id::bytes(change.actor_id),
                emoji.as_str(),
            );
            beside.has_reacted = one(conn, HAS_REACTED, who, |_| Ok(()))?.is_some();
        }
        ChangeAction::Pin { is_pinned: true } => {
            let values = (id::bytes(change.chat_id), rows::limit(MAX_PINS));
            beside.pins = all(conn, PINS, values, |_| Ok(()))?.len();
        }
        _ => {}
    }
    Ok(beside)
}

/// Keeps what follows from a change that has made `before` into `after`.
pub(super) fn follow(
    conn: &Connection,
    asked: &MessageChange,
    before: &Message,
    after: &Message,
) -> Result<(), Fault> {
    let (message, user) = (id::bytes(asked.message_id), id::bytes(asked.actor_id));
    match &asked.action {
        ChangeAction::React { emoji, is_added } => {
            if *is_added {
                let row = (message, user, emoji.as_str(), after.change_seq);
                change(conn, ADD, row)?;
            } else {
                change(conn, REMOVE, (message, user, emoji.as_str()))?;
            }
        }
        ChangeAction::Delete | ChangeAction::Moderate { .. } if !before.reactions.is_empty() => {
            let task = Task::EraseReactions {
                chat_id: asked.chat_id,
                message_id: asked.message_id,
            };
            // A message is deleted once.
            let job: JobId = id::from_bytes(message);
            let job = task.job(job, asked.at, asked.at).map_err(Fault::json)?;
            jobs::insert(conn, &job)?;
        }
        _ => {}
    }
    Ok(())
}

/// With which emoji the user has reacted to these messages.
pub(super) fn of_user(
    conn: &Connection,
    user: Key,
    messages: &[Key],
) -> Result<Vec<(MessageId, Emoji)>, Fault> {
    all(conn, OF_USER, (user, rows::list(messages)), |row| {
        let message = id::from_bytes(row.get(0)?);
        Ok((message, emoji(row)?))
    })
}

/// With which emoji these users have reacted to the message.
pub(super) fn among_users(
    conn: &Connection,
    message: Key,
    users: &[Key],
) -> Result<Vec<(UserId, Emoji)>, Fault> {
    all(conn, AMONG_USERS, (message, rows::list(users)), |row| {
        let user = id::from_bytes(row.get(0)?);
        Ok((user, emoji(row)?))
    })
}

fn emoji(row: &rusqlite::Row<'_>) -> Result<Emoji, Fault> {
    let text: String = row.get(1)?;
    Ok(Emoji::stored(&text))
}

/// Each of these pages of those who have reacted.
pub(super) fn pages(
    conn: &Connection,
    wanted: &[ReactionPage],
) -> Result<Vec<Page<Reaction>>, Fault> {
    rows::snapshot(conn, || {
        let page = |page: &ReactionPage| {
            let message = id::bytes(page.message_id);
            if !matches!(is_deleted(conn, message)?, Some(false)) {
                return Ok(Page::from_overread(Vec::new(), &page.window));
            }
            let (seq, user) = match page.window.after {
                Some((seq, user)) => (seq, id::bytes(user).to_vec()),
                None => (0, Vec::new()),
            };
            let values = |limit| (message, page.emoji.as_str(), seq, user.as_slice(), limit);
            let found = filled(conn, PAGE, rows::overread(&page.window), values, |row| {
                Ok(Reaction {
                    user_id: id::from_bytes(row.get(0)?),
                    change_seq: row.get::<_, Seq>(1)?,
                })
            })?;
            Ok(Page::from_overread(found, &page.window))
        };
        wanted.iter().map(page).collect()
    })
}

/// Whether the message is deleted, where there is one.
fn is_deleted(conn: &Connection, message: Key) -> Result<Option<bool>, Fault> {
    one(conn, IS_DELETED, [message], |row| Ok(row.get(0)?))
}

/// Erases some of the reactions to a deleted message.
pub(super) fn erase(conn: &Connection, message: Key, most: usize) -> Result<Option<usize>, Fault> {
    if is_deleted(conn, message)? != Some(true) {
        return Ok(None);
    }
    change(conn, ERASE, (message, rows::limit(most))).map(Some)
}
