//! A message and its parts.

use serde::{Deserialize, Serialize};

use super::notice::SystemNotice;
use super::reactions::Reactions;
use crate::clock::Timestamp;
use crate::error::Invalid;
use crate::id::{AttachmentId, ChatId, MessageId, UserId};
use crate::metadata::Metadata;
use crate::seq::Seq;
use crate::text::{TextRule, is_blank};

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MessageKind {
    /// Has text.
    Text,
    /// Has at least one image.
    Image,
    /// Has at least one file, and no image.
    File,
    /// Says what happened in the chat; has no sender.
    System,
}

/// The text of a message: 1 to 4,000 characters, not blank, no control characters but line
/// breaks and tabs. Kept as sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MessageText(String);

impl MessageText {
    /// The most characters that it may have.
    pub const MAX_CHARS: usize = 4_000;
    const RULE: TextRule = TextRule {
        field: "text",
        max_chars: Self::MAX_CHARS,
        multi_line: true,
    };

    /// Parses a text.
    ///
    /// # Errors
    /// [`Invalid`] for the field `text`.
    pub fn parse(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        if is_blank(&text) {
            return Err(Invalid::new("text", "must not be empty"));
        }
        Self::RULE.check(&text)?;
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MessageText {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl From<MessageText> for String {
    fn from(text: MessageText) -> Self {
        text.0
    }
}

/// The sender's own id for a message: 1 to 64 characters, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientMessageId(String);

impl ClientMessageId {
    /// The most characters that it may have.
    pub const MAX_CHARS: usize = 64;
    const RULE: TextRule = TextRule {
        field: "clientMessageId",
        max_chars: Self::MAX_CHARS,
        multi_line: false,
    };

    /// Parses an id.
    ///
    /// # Errors
    /// [`Invalid`] for the field `clientMessageId`.
    pub fn parse(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        if text.is_empty() {
            return Err(Invalid::new("clientMessageId", "must not be empty"));
        }
        Self::RULE.check(&text)?;
        Ok(Self(text))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ClientMessageId {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl From<ClientMessageId> for String {
    fn from(id: ClientMessageId) -> Self {
        id.0
    }
}

/// Tells whether two drafts with one [`ClientMessageId`] say the same, also when the text is gone: a
/// part of an HMAC of what the sender gave. Not for clients, nor for other instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 8]);

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Identifies the message.
    pub id: MessageId,
    /// Its chat.
    pub chat_id: ChatId,
    /// Its number within the chat, from 1; 0 in a draft that no store has numbered.
    pub seq: Seq,
    /// The number of the newest system message up to and including this one, 0 for none.
    #[serde(default)]
    pub mseq: Seq,
    /// The number of its latest change within the chat, 0 where it was never changed.
    #[serde(default)]
    pub change_seq: Seq,
    /// The number of the latest change of its content (edit or deletion), 0 for none.
    #[serde(default)]
    pub content_seq: Seq,
    /// Its kind.
    pub kind: MessageKind,
    /// Who sent it; `None` for a system message.
    pub sender_id: Option<UserId>,
    /// What it says; `None` where it has no text or was deleted.
    pub text: Option<MessageText>,
    /// What the application keeps beside it; `None` where there is none or it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// The number of the message that it replies to; `None` where it is no reply or was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Seq>,
    /// Whom it mentions, each once; nobody where it was deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mention_ids: Vec<UserId>,
    /// Its attachments, in their order; none where it was deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<AttachmentId>,
    /// What happened, for a system message.
    #[serde(default)]
    pub notice: Option<SystemNotice>,
    /// The sender's own id for it.
    pub client_message_id: Option<ClientMessageId>,
    /// What was sent under that id.
    #[serde(skip)]
    pub fingerprint: Option<Fingerprint>,
    /// When it was sent.
    pub created_at: Timestamp,
    /// When its content was last changed.
    pub edited_at: Option<Timestamp>,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
    /// How many reactions it has.
    #[serde(default, skip_serializing_if = "Reactions::is_empty")]
    pub reactions: Reactions,
    /// The number of the change that has pinned it, 0 where it is not pinned.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pinned_seq: Seq,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_zero(seq: &Seq) -> bool {
    *seq == 0
}

impl Message {
    /// A text that no store has numbered.
    pub fn draft(
        id: MessageId,
        chat_id: ChatId,
        sender_id: UserId,
        text: MessageText,
        created_at: Timestamp,
    ) -> Self {
        Self {
            text: Some(text),
            ..Self::empty(id, chat_id, sender_id, created_at)
        }
    }

    /// The same, as yet without content.
    pub fn empty(id: MessageId, chat_id: ChatId, sender_id: UserId, created_at: Timestamp) -> Self {
        Self {
            id,
            chat_id,
            seq: 0,
            mseq: 0,
            change_seq: 0,
            content_seq: 0,
            kind: MessageKind::Text,
            sender_id: Some(sender_id),
            text: None,
            metadata: None,
            reply_to: None,
            mention_ids: Vec::new(),
            attachments: Vec::new(),
            notice: None,
            client_message_id: None,
            fingerprint: None,
            created_at,
            edited_at: None,
            deleted_at: None,
            reactions: Reactions::default(),
            pinned_seq: 0,
        }
    }

    /// A system message that no store has numbered.
    pub fn system(
        id: MessageId,
        chat_id: ChatId,
        notice: SystemNotice,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            chat_id,
            seq: 0,
            mseq: 0,
            change_seq: 0,
            content_seq: 0,
            kind: MessageKind::System,
            sender_id: None,
            text: None,
            metadata: None,
            reply_to: None,
            mention_ids: Vec::new(),
            attachments: Vec::new(),
            notice: Some(notice),
            client_message_id: None,
            fingerprint: None,
            created_at,
            edited_at: None,
            deleted_at: None,
            reactions: Reactions::default(),
            pinned_seq: 0,
        }
    }
}

impl Message {
    /// Whether it counts as a mention of the user: it names them, and is not their own.
    pub fn mentions(&self, user: UserId) -> bool {
        self.sender_id != Some(user) && self.mention_ids.contains(&user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_needs_text_of_a_bounded_size_without_control_characters() {
        assert_eq!(MessageText::parse("  hi\n").unwrap().as_str(), "  hi\n");
        for text in [
            "",
            " \n",
            "\u{200B}\u{2060}",
            "a\u{7}b",
            "a\u{0}",
            &"x".repeat(4001),
            &"😀".repeat(4001),
        ] {
            assert_eq!(MessageText::parse(text).unwrap_err().field, "text");
        }
        assert!(MessageText::parse("😀".repeat(4000)).is_ok());
    }

    #[test]
    fn a_client_message_id_is_short_and_on_one_line() {
        for text in ["", "a\nb", &"x".repeat(65)] {
            assert_eq!(
                ClientMessageId::parse(text).unwrap_err().field,
                "clientMessageId"
            );
        }
    }
}
