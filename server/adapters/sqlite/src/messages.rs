//! Messages.

use async_trait::async_trait;
use rusqlite::Connection;
use talksy_domain::access::Denied;
use talksy_domain::clock::Timestamp;
use talksy_domain::error::PortError;
use talksy_domain::id::{self, ChatId, MessageId};
use talksy_domain::messages::{
    Append, Appended, ClientMessageId, Head, Message, MessageStore, MessageText,
};
use talksy_domain::page::{Page, Window};
use talksy_domain::seq::Seq;

use super::SqliteStore;
use super::fault::Fault;
use super::rows::{self, Key, all, change, chat_columns, filled, message_columns, one, statements};

statements! {
    MESSAGE_OF_CLIENT_ID = concat!("SELECT ", message_columns!(), " FROM messages
        WHERE chat_id = ?1 AND sender_id = ?2 AND client_message_id = ?3");
    /// Takes the chat's next number, if the sender is a member: one statement for both.
    ADVANCE = concat!("UPDATE chats SET last_seq = last_seq + 1, active_at = max(active_at, ?3)
        WHERE id = ?1
        AND EXISTS (SELECT 1 FROM members AS m WHERE m.chat_id = ?1 AND m.user_id = ?2)
        RETURNING ", chat_columns!());
    /// The same for a system message.
    ADVANCE_BY_SYSTEM = concat!("UPDATE chats
        SET last_seq = last_seq + 1, active_at = max(active_at, ?2)
        WHERE id = ?1 RETURNING ", chat_columns!());
    INSERT_MESSAGE = concat!("INSERT INTO messages (", message_columns!(), ")
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)");
    CHAT = concat!("SELECT ", chat_columns!(), " FROM chats WHERE id = ?1");
    IS_MEMBER = "SELECT 1 FROM members WHERE chat_id = ?1 AND user_id = ?2";
    MESSAGES = concat!("SELECT ", message_columns!(), " FROM rarray(?1) AS wanted
        CROSS JOIN messages ON id = wanted.value");
    PAGE_FROM_START = concat!("SELECT ", message_columns!(), " FROM messages
        WHERE chat_id = ?1 AND seq > ?2 AND seq < ?3 ORDER BY seq LIMIT ?4");
    PAGE_FROM_END = concat!("SELECT ", message_columns!(), " FROM messages
        WHERE chat_id = ?1 AND seq > ?2 AND seq < ?3 ORDER BY seq DESC LIMIT ?4");
    LAST_MESSAGES = concat!("SELECT ", message_columns!(), " FROM rarray(?1) AS wanted
        CROSS JOIN messages ON chat_id = wanted.value
        AND seq = (SELECT last_seq FROM chats WHERE chats.id = wanted.value)");
    HEADS = "SELECT id, last_seq, membership_epoch FROM rarray(?1) AS wanted
        CROSS JOIN chats ON id = wanted.value";
}

#[async_trait]
impl MessageStore for SqliteStore {
    async fn append(&self, draft: &Message) -> Result<Append, PortError> {
        let draft = draft.clone();
        self.write(move |conn| append(conn, &draft)).await
    }

    async fn messages(&self, ids: &[MessageId]) -> Result<Vec<Message>, PortError> {
        let keys = rows::keys(ids, id::bytes);
        self.read(move |conn| all(conn, MESSAGES, [rows::list(&keys)], rows::message))
            .await
    }

    async fn page(&self, chat: ChatId, window: &Window<Seq>) -> Result<Page<Message>, PortError> {
        let sql = if window.from_end {
            PAGE_FROM_END
        } else {
            PAGE_FROM_START
        };
        let (chat, wanted) = (id::bytes(chat), rows::overread(window));
        let after = window.after.unwrap_or(0);
        let before = window.before.map_or(i64::MAX, i64::from);
        let values = move |limit| (chat, after, before, limit);
        let messages = self
            .read(move |conn| filled(conn, sql, wanted, values, rows::message))
            .await?;
        Ok(Page::from_overread(messages, window))
    }

    async fn last_messages(&self, chats: &[ChatId]) -> Result<Vec<Message>, PortError> {
        let keys = rows::keys(chats, id::bytes);
        self.read(move |conn| all(conn, LAST_MESSAGES, [rows::list(&keys)], rows::message))
            .await
    }

    async fn heads(&self, chats: &[ChatId]) -> Result<Vec<Head>, PortError> {
        let keys = rows::keys(chats, id::bytes);
        self.read(move |conn| {
            all(conn, HEADS, [rows::list(&keys)], |row| {
                Ok(Head {
                    chat_id: id::from_bytes(row.get(0)?),
                    last_seq: row.get(1)?,
                    membership_epoch: row.get(2)?,
                })
            })
        })
        .await
    }
}

/// The hot path: up to three statements, each a descent of one or two B-trees.
fn append(conn: &Connection, draft: &Message) -> Result<Append, Fault> {
    let chat_key = id::bytes(draft.chat_id);
    let sender = draft.sender_id.map(id::bytes);
    if let (Some(sender), Some(own_id)) = (sender, &draft.client_message_id) {
        let values = (chat_key, sender, own_id.as_str());
        if let Some(message) = one(conn, MESSAGE_OF_CLIENT_ID, values, rows::message)? {
            return repeat(conn, chat_key, sender, message);
        }
    }
    let now = draft.created_at.as_millis();
    let advanced = match sender {
        Some(sender) => one(conn, ADVANCE, (chat_key, sender, now), rows::chat)?,
        None => one(conn, ADVANCE_BY_SYSTEM, (chat_key, now), rows::chat)?,
    };
    let Some(chat) = advanced else {
        let exists = one(conn, CHAT, [chat_key], rows::chat)?.is_some();
        return Ok(if exists {
            Append::Denied(Denied::NotMember)
        } else {
            Append::Denied(Denied::NoChat)
        });
    };
    let message = Message {
        seq: chat.last_seq,
        ..draft.clone()
    };
    let values = (
        chat_key,
        message.seq,
        id::bytes(message.id),
        rows::message_kind(message.kind),
        sender,
        now,
        message.edited_at.map(Timestamp::as_millis),
        message.deleted_at.map(Timestamp::as_millis),
        message
            .client_message_id
            .as_ref()
            .map(ClientMessageId::as_str),
        message.text.as_ref().map(MessageText::as_str),
    );
    change(conn, INSERT_MESSAGE, values)?;
    Ok(Append::Done(Box::new(Appended {
        message,
        chat,
        is_duplicate: false,
    })))
}

/// Answers a retry with the message that the first attempt has made.
fn repeat(
    conn: &Connection,
    chat_key: Key,
    sender: Key,
    message: Message,
) -> Result<Append, Fault> {
    let Some(chat) = one(conn, CHAT, [chat_key], rows::chat)? else {
        return Ok(Append::Denied(Denied::NoChat));
    };
    if one(conn, IS_MEMBER, (chat_key, sender), |_| Ok(()))?.is_none() {
        return Ok(Append::Denied(Denied::NotMember));
    }
    Ok(Append::Done(Box::new(Appended {
        message,
        chat,
        is_duplicate: true,
    })))
}
