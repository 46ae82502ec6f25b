//! Replies: counted and listed by an index on the message that they answer, which has no entry for a
//! message that answers none.

use rusqlite::Connection;
use talksy_domain::id::{self, ChatId};
use talksy_domain::messages::{Message, MessageAt, ReplyPage};
use talksy_domain::page::Page;
use talksy_domain::seq::Seq;

use super::fault::Fault;
use super::rows::{self, filled, message_columns, one, statements};

statements! {
    REPLY_COUNT = "SELECT count(*) FROM messages INDEXED BY messages_by_reply
        WHERE chat_id = ?1 AND reply_to = ?2";
    REPLIES = concat!("SELECT ", message_columns!(), " FROM messages INDEXED BY messages_by_reply
        WHERE chat_id = ?1 AND reply_to = ?2 AND seq > ?3 ORDER BY seq LIMIT ?4");
}

/// How many replies each of these messages has.
pub(super) fn counts(
    conn: &Connection,
    messages: &[MessageAt],
) -> Result<Vec<(MessageAt, u32)>, Fault> {
    let count = |&(chat, seq): &(ChatId, Seq)| {
        let count = one(conn, REPLY_COUNT, (id::bytes(chat), seq), |row| {
            Ok(row.get(0)?)
        })?;
        Ok(((chat, seq), count.unwrap_or_default()))
    };
    rows::snapshot(conn, || messages.iter().map(count).collect())
}

/// Each of these pages.
pub(super) fn pages(conn: &Connection, wanted: &[ReplyPage]) -> Result<Vec<Page<Message>>, Fault> {
    let page = |((chat, seq), window): &ReplyPage| {
        let (chat, after) = (id::bytes(*chat), window.after.unwrap_or(0));
        let values = |limit| (chat, *seq, after, limit);
        let replies = filled(conn, REPLIES, rows::overread(window), values, rows::message)?;
        Ok(Page::from_overread(replies, window))
    };
    rows::snapshot(conn, || wanted.iter().map(page).collect())
}
