//! What may become of a message after it was sent: the rules by which a store judges a change in
//! the same commit.

use super::content::{MessageEdit, not_mentionable};
use super::model::{Message, MessageKind};
use crate::access::Denied;
use crate::chats::model::{ChatKind, Member, MemberRole};
use crate::clock::Timestamp;
use crate::error::{ApiError, ErrorCode};
use crate::id::{ChatId, MessageId, UserId};
use crate::seq::Seq;

/// A change of a message that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageChange {
    /// The message.
    pub message_id: MessageId,
    /// Its chat.
    pub chat_id: ChatId,
    /// Who asks.
    pub actor_id: UserId,
    /// When.
    pub at: Timestamp,
    /// What is to become of it.
    pub action: ChangeAction,
}

/// What is to become of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeAction {
    /// It gets other content.
    Edit {
        /// The content.
        edit: MessageEdit,
        /// The change that the editor has seen; an edit or a deletion behind it is a conflict.
        expected: Option<Seq>,
    },
    /// Its content goes for good; that it was there stays.
    Delete,
}

/// Why a change was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefusal {
    /// The actor is no member, or there is no such chat.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is no such message where the actor may read.
    #[error("There is no such message.")]
    NoMessage,
    /// A system message tells what happened and stays as it is.
    #[error("A system message cannot be changed.")]
    System,
    /// Somebody else's message.
    #[error("Only its sender may edit a message.")]
    NotSender,
    /// Somebody else's message, and the actor manages no group.
    #[error("Only its sender and the admins of a group may delete a message.")]
    MayNotDelete,
    /// The message was deleted.
    #[error("The message was deleted.")]
    Deleted,
    /// The content was changed behind what the editor had seen.
    #[error("The message was changed meanwhile. Look at it again.")]
    Outdated,
    /// Somebody who is to be mentioned, with this place in the list, is no member.
    #[error("Only members of the chat may be mentioned.")]
    NotMentionable(usize),
    /// The line of changes has no number left.
    #[error("The chat takes no further changes.")]
    LineIsFull,
}

impl From<ChangeRefusal> for ApiError {
    fn from(refusal: ChangeRefusal) -> Self {
        let (code, field) = match refusal {
            ChangeRefusal::Denied(denied) => return denied.into(),
            ChangeRefusal::NotMentionable(place) => return (&not_mentionable(place)).into(),
            ChangeRefusal::NoMessage => (ErrorCode::NotFound, "messageId"),
            ChangeRefusal::System | ChangeRefusal::NotSender | ChangeRefusal::MayNotDelete => {
                (ErrorCode::Forbidden, "messageId")
            }
            ChangeRefusal::Deleted | ChangeRefusal::LineIsFull => {
                (ErrorCode::Conflict, "messageId")
            }
            ChangeRefusal::Outdated => (ErrorCode::Conflict, "expectedChangeSeq"),
        };
        Self::new(code, refusal.to_string()).field(field)
    }
}

impl MessageChange {
    /// Whom the message is to mention. The store says who of them is a member; see
    /// [`Self::check_mentions`].
    pub fn mentioned(&self) -> &[UserId] {
        match &self.action {
            ChangeAction::Edit { edit, .. } => edit.mention_ids.as_deref().unwrap_or_default(),
            ChangeAction::Delete => &[],
        }
    }

    /// Judges whom the message is to mention: members, and who was mentioned before.
    ///
    /// # Errors
    /// [`ChangeRefusal::NotMentionable`].
    pub fn check_mentions(
        &self,
        before: &Message,
        is_member: impl Fn(UserId) -> bool,
    ) -> Result<(), ChangeRefusal> {
        let is_stranger = |user: &UserId| !before.mention_ids.contains(user) && !is_member(*user);
        match self.mentioned().iter().position(is_stranger) {
            Some(place) => Err(ChangeRefusal::NotMentionable(place)),
            None => Ok(()),
        }
    }

    /// The message as the change leaves it, under the change's number `change_seq`; `None` where
    /// it is so already. A pure function of what the store has: the store calls it within its
    /// commit, and again after each lost race.
    ///
    /// # Errors
    /// Where the actor may not, or the message is no longer what they have seen.
    pub fn apply(
        &self,
        message: &Message,
        chat_kind: ChatKind,
        actor: &Member,
        change_seq: Seq,
    ) -> Result<Option<Message>, ChangeRefusal> {
        if message.seq < actor.visible_from_seq || message.chat_id != self.chat_id {
            return Err(ChangeRefusal::NoMessage);
        }
        if message.kind == MessageKind::System {
            return Err(ChangeRefusal::System);
        }
        let is_sender = message.sender_id == Some(self.actor_id);
        let changed = match &self.action {
            ChangeAction::Edit { edit, expected } => {
                if !is_sender {
                    return Err(ChangeRefusal::NotSender);
                }
                if message.deleted_at.is_some() {
                    return Err(ChangeRefusal::Deleted);
                }
                let edited = edit.apply(message);
                if edited == *message {
                    return Ok(None);
                }
                if expected.is_some_and(|expected| message.content_seq > expected) {
                    return Err(ChangeRefusal::Outdated);
                }
                Message {
                    edited_at: Some(self.at),
                    ..edited
                }
            }
            ChangeAction::Delete => {
                let manages = chat_kind == ChatKind::Group && actor.role >= MemberRole::Admin;
                if !is_sender && !manages {
                    return Err(ChangeRefusal::MayNotDelete);
                }
                if message.deleted_at.is_some() {
                    return Ok(None);
                }
                Message {
                    text: None,
                    metadata: None,
                    reply_to: None,
                    mention_ids: Vec::new(),
                    attachments: Vec::new(),
                    deleted_at: Some(self.at),
                    ..message.clone()
                }
            }
        };
        if change_seq > crate::seq::MAX {
            return Err(ChangeRefusal::LineIsFull);
        }
        Ok(Some(Message {
            change_seq,
            content_seq: change_seq,
            ..changed
        }))
    }
}
