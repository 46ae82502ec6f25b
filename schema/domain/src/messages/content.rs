//! What people say in a message, as they ask for it to be sent or edited.

use super::model::{Message, MessageText};
use crate::error::Invalid;
use crate::id::{AttachmentId, MessageId, UserId};
use crate::metadata::{Metadata, MetadataUpdate};

/// The most users that a message mentions.
pub const MAX_MENTIONS: usize = 50;

/// The user with this place in the list is no member of the chat.
pub(crate) fn not_mentionable(place: usize) -> Invalid {
    Invalid::new(
        format!("mentionIds.{place}"),
        "must be a member of the chat",
    )
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageContent {
    /// What it says; `None` where it has attachments alone.
    pub text: Option<MessageText>,
    /// What the application keeps beside it.
    pub metadata: Option<Metadata>,
    /// The message of the chat that it replies to.
    pub reply_to_id: Option<MessageId>,
    /// Whom it mentions: members, each once, at most [`MAX_MENTIONS`].
    pub mention_ids: Vec<UserId>,
    /// What it attaches: the sender's own, each once, at most
    /// [`crate::attachments::MAX_ATTACHMENTS`].
    pub attachment_ids: Vec<AttachmentId>,
}

impl From<MessageText> for MessageContent {
    fn from(text: MessageText) -> Self {
        Self {
            text: Some(text),
            metadata: None,
            reply_to_id: None,
            mention_ids: Vec::new(),
            attachment_ids: Vec::new(),
        }
    }
}

/// Other content for a message. `None` leaves a part as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageEdit {
    /// The new text.
    pub text: Option<MessageText>,
    /// What the application is to keep beside it, or `Some(None)` to clear it.
    pub metadata: MetadataUpdate,
    /// Whom it is to mention: members, and who was mentioned before, each once, at most
    /// [`MAX_MENTIONS`].
    pub mention_ids: Option<Vec<UserId>>,
}

impl From<MessageText> for MessageEdit {
    fn from(text: MessageText) -> Self {
        Self {
            text: Some(text),
            ..Self::default()
        }
    }
}

impl MessageEdit {
    /// The message with the other content, and all else as it is.
    pub(super) fn apply(&self, message: &Message) -> Message {
        let mut edited = message.clone();
        if let Some(text) = &self.text {
            edited.text = Some(text.clone());
        }
        if let Some(metadata) = &self.metadata {
            edited.metadata.clone_from(metadata);
        }
        if let Some(users) = &self.mention_ids {
            edited.mention_ids.clone_from(users);
        }
        edited
    }
}
