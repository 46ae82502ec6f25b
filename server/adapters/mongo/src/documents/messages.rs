//! Messages.

use mongodb::bson::raw::RawDocument;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, Uuid};
use serde::{Deserialize, Serialize};
use talksy_domain::clock::Timestamp;
use talksy_domain::id::{self, AttachmentId, ChatId, MessageId, UserId};
use talksy_domain::messages::{
    ClientMessageId, Fingerprint, Message, MessageKind, MessageText, Reactions, SystemNotice,
};
use talksy_domain::metadata::Metadata;
use talksy_domain::seq::Seq;

use super::{MESSAGES, Stored, date, field, id_bytes, id_text, instant, key, some_instant};
use crate::fault::Why;
use crate::search::words_of;

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
    /// The newest system message up to and including this one.
    #[serde(default)]
    mseq: Seq,
    /// The number of its latest change, see `changes`; absent where it was never changed.
    #[serde(default, skip_serializing_if = "is_zero")]
    change_seq: Seq,
    /// The number of the latest change of its content.
    #[serde(default, skip_serializing_if = "is_zero")]
    content_seq: Seq,
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
    /// The words of its text, folded, and what a search needs besides; see `search`. Whoever changes the text changes them with it.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    words: Option<Vec<String>>,
    /// Its text: values of JSON are not all values of BSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
    /// The message that it answers. The index `by_reply` has those alone that have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<Seq>,
    /// Whom it mentions. The index `by_mention` has those alone that have it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    mention_ids: Vec<Uuid>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attachment_ids: Vec<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<SystemNotice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_message_id: Option<ClientMessageId>,
    /// What was sent under that id.
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<Binary>,
    created_at: DateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<DateTime>,
    /// How many reactions it has; absent where it never had one. Beside it are those that were
    /// counted last; see `reactions`.
    #[serde(default, skip_serializing)]
    reactions: Reactions,
    /// The change that has pinned it; see `pins`.
    #[serde(default, skip_serializing)]
    pinned_seq: Seq,
}

/// What no two messages of a chat have in common: the sender and their own id for the message, or
/// the message's id where there is none.
pub(crate) fn dedup(draft: &Message) -> String {
    match (draft.sender_id, &draft.client_message_id) {
        (Some(sender), Some(own_id)) => format!("{sender}:{}", own_id.as_str()),
        _ => draft.id.to_string(),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_zero(seq: &Seq) -> bool {
    *seq == 0
}

/// Users in the order in which they are listed.
pub(crate) fn user_keys(users: &[UserId]) -> Vec<Uuid> {
    users.iter().map(|user| key(id::bytes(*user))).collect()
}

fn users_of(keys: &[Uuid]) -> Vec<UserId> {
    keys.iter().map(|key| id::from_bytes(key.bytes())).collect()
}

/// The ids of a message's attachments, as documents keep them in their order.
pub(crate) fn attachment_keys(message: &Message) -> Vec<Uuid> {
    let ids = message.attachments.iter();
    ids.map(|&one| key(id::bytes(one))).collect()
}

fn attachment_ids(keys: &[Uuid]) -> Vec<AttachmentId> {
    keys.iter().map(|key| id::from_bytes(key.bytes())).collect()
}

fn fingerprint_of(binary: &Binary) -> Option<Fingerprint> {
    binary.bytes.as_slice().try_into().ok().map(Fingerprint)
}

impl MessageDocument {
    /// The draft at its place in its chat.
    pub(crate) fn new(draft: &Message, Place { seq, mseq }: Place) -> Self {
        let sender_id = draft.sender_id.map(|sender| key(id::bytes(sender)));
        let excluded = sender_id.filter(|_| draft.deleted_at.is_none());
        Self {
            id: key(id::bytes(draft.id)),
            chat_id: key(id::bytes(draft.chat_id)),
            seq,
            mseq,
            change_seq: draft.change_seq,
            content_seq: draft.content_seq,
            dedup: dedup(draft),
            unread_excluded: Some(excluded.unwrap_or(NOBODY)),
            kind: draft.kind,
            sender_id,
            text: draft.text.clone(),
            words: words_of(draft),
            metadata: draft.metadata.clone(),
            reply_to: draft.reply_to,
            mention_ids: user_keys(&draft.mention_ids),
            attachment_ids: attachment_keys(draft),
            notice: draft.notice.clone(),
            client_message_id: draft.client_message_id.clone(),
            fingerprint: draft.fingerprint.map(|print| Binary {
                subtype: BinarySubtype::Generic,
                bytes: print.0.to_vec(),
            }),
            created_at: date(draft.created_at),
            edited_at: draft.edited_at.map(date),
            deleted_at: draft.deleted_at.map(date),
            reactions: Reactions::default(),
            pinned_seq: 0,
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
            mseq: self.mseq,
            change_seq: self.change_seq,
            content_seq: self.content_seq,
            kind: self.kind,
            sender_id: self.sender_id.map(|sender| id::from_bytes(sender.bytes())),
            text: self.text,
            metadata: self.metadata,
            reply_to: self.reply_to,
            mention_ids: users_of(&self.mention_ids),
            attachments: attachment_ids(&self.attachment_ids),
            notice: self.notice,
            client_message_id: self.client_message_id,
            fingerprint: self.fingerprint.as_ref().and_then(fingerprint_of),
            created_at: instant(self.created_at),
            edited_at: self.edited_at.map(instant),
            deleted_at: self.deleted_at.map(instant),
            reactions: self.reactions,
            pinned_seq: self.pinned_seq,
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
            mseq: field(raw, "mseq").unwrap_or_default(),
            change_seq: field(raw, "changeSeq").unwrap_or_default(),
            content_seq: field(raw, "contentSeq").unwrap_or_default(),
            kind: field(raw, "kind").unwrap_or(MessageKind::Text),
            sender_id: sender.map(|sender| id::from_bytes(sender.bytes())),
            text: field(raw, "text"),
            metadata: field(raw, "metadata"),
            reply_to: field(raw, "replyTo"),
            mention_ids: users_of(&field::<Vec<Uuid>>(raw, "mentionIds").unwrap_or_default()),
            attachments: attachment_ids(
                &field::<Vec<Uuid>>(raw, "attachmentIds").unwrap_or_default(),
            ),
            notice: field(raw, "notice"),
            client_message_id: field(raw, "clientMessageId"),
            fingerprint: field(raw, "fingerprint").as_ref().and_then(fingerprint_of),
            created_at: some_instant(raw, "createdAt"),
            edited_at: field(raw, "editedAt").map(instant),
            deleted_at: field(raw, "deletedAt").map(instant),
            reactions: field(raw, "reactions").unwrap_or_default(),
            pinned_seq: field(raw, "pinnedSeq").unwrap_or_default(),
        })
    }
}

/// Of a message, its place.
#[derive(Deserialize)]
pub(crate) struct PlaceDocument {
    seq: Seq,
    #[serde(default)]
    mseq: Seq,
}

/// A place on a chat's line of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The number of the message there, 0 ahead of the first.
    pub(crate) seq: Seq,
    /// The number of the newest system message up to and including it, 0 for none.
    pub(crate) mseq: Seq,
}

impl Stored for PlaceDocument {
    type Value = Place;
    const COLLECTION: &'static str = MESSAGES;

    fn name(raw: &RawDocument) -> String {
        message_name(raw)
    }

    fn value(self) -> Result<Place, Why> {
        Ok(Place {
            seq: self.seq,
            mseq: self.mseq,
        })
    }
}

/// How far a chat's messages reach beyond what its document says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TailDocument {
    #[serde(rename = "_id")]
    chat_id: Uuid,
    last_seq: Seq,
    #[serde(default)]
    mseq: Option<Seq>,
    #[serde(default)]
    change_seq: Option<Seq>,
    active_at: DateTime,
}

/// How far a chat reaches; what is 0 is not known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tail {
    /// The newest message that was found, and the newest system message up to it.
    pub(crate) place: Place,
    /// The greatest number of a change that was found.
    pub(crate) change_seq: Seq,
    /// When the newest message that was found was sent.
    pub(crate) active_at: Option<Timestamp>,
}

impl Stored for TailDocument {
    type Value = (ChatId, Tail);
    const COLLECTION: &'static str = MESSAGES;

    fn name(raw: &RawDocument) -> String {
        let id = id_text(raw, "_id", |bytes| {
            let id: ChatId = id::from_bytes(bytes);
            id.to_string()
        });
        format!("the tail of chat {id}")
    }

    fn value(self) -> Result<Self::Value, Why> {
        let place = Place {
            seq: self.last_seq,
            mseq: self.mseq.unwrap_or_default(),
        };
        let tail = Tail {
            place,
            change_seq: self.change_seq.unwrap_or_default(),
            active_at: Some(instant(self.active_at)),
        };
        Ok((id::from_bytes(self.chat_id.bytes()), tail))
    }
}
