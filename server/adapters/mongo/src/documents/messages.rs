//! Messages.

use mongodb::bson::raw::RawDocument;
use mongodb::bson::{DateTime, Uuid};
use serde::{Deserialize, Serialize};
use talksy_domain::clock::Timestamp;
use talksy_domain::id::{self, ChatId, MessageId};
use talksy_domain::messages::{ClientMessageId, Message, MessageKind, MessageText};
use talksy_domain::seq::Seq;

use super::{MESSAGES, Stored, date, field, id_bytes, id_text, instant, key, some_instant};
use crate::fault::Why;

/// Stands for a user's id in a message that counts as unread for nobody.
pub(crate) const NOBODY: Uuid = Uuid::from_bytes([0; 16]);

/// A message.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    chat_id: Uuid,
    seq: Seq,
    /// See [`dedup`].
    #[serde(skip_deserializing)]
    dedup: String,
    /// The user whose unread counts leave it out: its sender, or [`NOBODY`] where it was deleted or
    /// has no sender, and all leave it out. Whoever deletes a message changes this with it.
    #[serde(rename = "knownTo", skip_deserializing)]
    unread_excluded: Option<Uuid>,
    kind: MessageKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<MessageText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_message_id: Option<ClientMessageId>,
    created_at: DateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<DateTime>,
}

/// What no two messages of a chat have in common: the sender and their own id for the message, or
/// the message's id where there is none.
pub(crate) fn dedup(draft: &Message) -> String {
    match (draft.sender_id, &draft.client_message_id) {
        (Some(sender), Some(own_id)) => format!("{sender}:{}", own_id.as_str()),
        _ => draft.id.to_string(),
    }
}

impl MessageDocument {
    /// The draft as number `seq` of its chat.
    pub(crate) fn new(draft: &Message, seq: Seq) -> Self {
        let sender_id = draft.sender_id.map(|sender| key(id::bytes(sender)));
        let excluded = sender_id.filter(|_| draft.deleted_at.is_none());
        Self {
            id: key(id::bytes(draft.id)),
            chat_id: key(id::bytes(draft.chat_id)),
            seq,
            dedup: dedup(draft),
            unread_excluded: Some(excluded.unwrap_or(NOBODY)),
            kind: draft.kind,
            sender_id,
            text: draft.text.clone(),
            client_message_id: draft.client_message_id.clone(),
            created_at: date(draft.created_at),
            edited_at: draft.edited_at.map(date),
            deleted_at: draft.deleted_at.map(date),
        }
    }

    /// Its id and its number.
    pub(crate) fn place(&self) -> (Uuid, Seq) {
        (self.id, self.seq)
    }
}

fn message_name(raw: &RawDocument) -> String {
    let id = id_text(raw, "_id", |bytes| {
        let id: MessageId = id::from_bytes(bytes);
        id.to_string()
    });
    format!("message {id}")
}

impl Stored for MessageDocument {
    type Value = Message;
    const COLLECTION: &'static str = MESSAGES;

    fn name(raw: &RawDocument) -> String {
        message_name(raw)
    }

    fn value(self) -> Result<Message, Why> {
        Ok(Message {
            id: id::from_bytes(self.id.bytes()),
            chat_id: id::from_bytes(self.chat_id.bytes()),
            seq: self.seq,
            kind: self.kind,
            sender_id: self.sender_id.map(|sender| id::from_bytes(sender.bytes())),
            text: self.text,
            client_message_id: self.client_message_id,
            created_at: instant(self.created_at),
            edited_at: self.edited_at.map(instant),
            deleted_at: self.deleted_at.map(instant),
        })
    }

    /// Its place in the chat is all that it needs: a hole in the numbers would hold up every feed
    /// of the chat.
    fn stand_in(raw: &RawDocument) -> Option<Message> {
        let chat: Uuid = field(raw, "chatId")?;
        let sender: Option<Uuid> = field(raw, "senderId");
        Some(Message {
            id: id::from_bytes(id_bytes(raw, "_id")),
            chat_id: id::from_bytes(chat.bytes()),
            seq: field(raw, "seq")?,
            kind: field(raw, "kind").unwrap_or(MessageKind::Text),
            sender_id: sender.map(|sender| id::from_bytes(sender.bytes())),
            text: field(raw, "text"),
            client_message_id: field(raw, "clientMessageId"),
            created_at: some_instant(raw, "createdAt"),
            edited_at: field(raw, "editedAt").map(instant),
            deleted_at: field(raw, "deletedAt").map(instant),
        })
    }
}

/// Of a message, its number.
#[derive(Deserialize)]
pub(crate) struct SeqDocument {
    seq: Seq,
}

impl Stored for SeqDocument {
    type Value = Seq;
    const COLLECTION: &'static str = MESSAGES;

    fn name(raw: &RawDocument) -> String {
        message_name(raw)
    }

    fn value(self) -> Result<Seq, Why> {
        Ok(self.seq)
    }
}

/// What a group over the messages of a chat says: the number and time of the last, or how many
/// there are.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HeadDocument {
    #[serde(rename = "_id")]
    chat_id: Uuid,
    last_seq: Seq,
    active_at: DateTime,
}

impl Stored for HeadDocument {
    type Value = (ChatId, Seq, Timestamp);
    const COLLECTION: &'static str = MESSAGES;

    fn name(raw: &RawDocument) -> String {
        let id = id_text(raw, "_id", |bytes| {
            let id: ChatId = id::from_bytes(bytes);
            id.to_string()
        });
        format!("the head of chat {id}")
    }

    fn value(self) -> Result<Self::Value, Why> {
        let chat = id::from_bytes(self.chat_id.bytes());
        Ok((chat, self.last_seq, instant(self.active_at)))
    }
}
