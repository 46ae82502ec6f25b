//! What may become of a message after it was sent: the rules by which a store judges a change in
//! the same commit.

use super::content::{MessageEdit, not_mentionable};
use super::model::{Message, MessageKind};
use super::pins::MAX_PINS;
use super::reactions::{Emoji, Reactions, TooManyEmoji};
use crate::access::Denied;
use crate::chats::model::{ChatKind, Member, MemberRole};
use crate::clock::Timestamp;
use crate::error::{ApiError, ErrorCode};
use crate::id::{ChatId, MessageId, UserId};
use crate::moderation::audit::AuditEntry;
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
    /// An operator of the server deletes it, wherever it lies. The store logs it.
    Moderate {
        /// The entry of the log.
        entry: Box<AuditEntry>,
    },
    /// The actor reacts to it, or takes that back.
    React {
        /// The emoji.
        emoji: Emoji,
        /// Whether they are to have reacted with it.
        is_added: bool,
    },
    /// It is to be pinned in its chat, or no longer.
    Pin {
        /// Whether it is to be pinned.
        is_pinned: bool,
    },
}

/// What a change is judged by beside the message: what is kept elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Whether the actor has reacted with the emoji; asked for where they react.
    pub has_reacted: bool,
    /// How many messages are pinned in the chat, up to [`MAX_PINS`]; asked for where one is to be
    /// pinned.
    pub pins: usize,
}

/// By what right a change is made; see [`MessageChange::right`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right<'a> {
    /// A member's.
    Member(&'a Member),
    /// An operator's of the server: they may delete any message, wherever it lies.
    Operator,
    /// That of an account that is erased, whose user may be no member any more: they may delete what
    /// they have sent and take their reactions back, wherever that lies and whoever has blocked them.
    Erasure,
}

impl Right<'_> {
    /// Whether the message of this number may be seen.
    const fn reads(self, seq: Seq) -> bool {
        match self {
            Self::Member(member) => seq >= member.visible_from_seq,
            Self::Operator | Self::Erasure => true,
        }
    }

    /// Whether it is that of who manages a group.
    fn manages(self, kind: ChatKind) -> bool {
        match self {
            Self::Member(member) => kind == ChatKind::Group && member.role >= MemberRole::Admin,
            Self::Operator | Self::Erasure => false,
        }
    }

    /// Whether a block keeps from writing.
    const fn is_blocked(self) -> bool {
        match self {
            Self::Member(member) => member.is_blocked,
            Self::Operator | Self::Erasure => false,
        }
    }
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
    /// The message has as many different emoji as it may.
    #[error("A message has at most {} different emoji.", Reactions::MAX_EMOJI)]
    TooManyEmoji,
    /// In groups the admins and owners pin, in a direct chat both.
    #[error("Only admins and owners of the group may pin messages.")]
    MayNotPin,
    /// As many messages are pinned in the chat as may be.
    #[error("A chat has at most {MAX_PINS} pinned messages. Unpin another one first.")]
    TooManyPins,
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

impl ChangeRefusal {
    /// Whether the actor may not, or may not know of the message, as opposed to what the message is.
    pub const fn is_of_right(self) -> bool {
        matches!(self, Self::Denied(_) | Self::NoMessage | Self::MayNotDelete)
    }
}

impl From<ChangeRefusal> for ApiError {
    fn from(refusal: ChangeRefusal) -> Self {
        let (code, field) = match refusal {
            ChangeRefusal::Denied(denied) => return denied.into(),
            ChangeRefusal::NotMentionable(place) => return (&not_mentionable(place)).into(),
            ChangeRefusal::NoMessage => (ErrorCode::NotFound, "messageId"),
            ChangeRefusal::System
            | ChangeRefusal::NotSender
            | ChangeRefusal::MayNotDelete
            | ChangeRefusal::MayNotPin => (ErrorCode::Forbidden, "messageId"),
            ChangeRefusal::Deleted | ChangeRefusal::LineIsFull | ChangeRefusal::TooManyPins => {
                (ErrorCode::Conflict, "messageId")
            }
            ChangeRefusal::TooManyEmoji => (ErrorCode::Conflict, "emoji"),
            ChangeRefusal::Outdated => (ErrorCode::Conflict, "expectedChangeSeq"),
        };
        Self::new(code, refusal.to_string()).field(field)
    }
}

impl MessageChange {
    /// The entry of the log of operators' acts, where it is one.
    pub fn audit_entry(&self) -> Option<&AuditEntry> {
        match &self.action {
            ChangeAction::Moderate { entry } => Some(entry),
            _ => None,
        }
    }

    /// Whom the message is to mention. The store says who of them is a member; see
    /// [`Self::check_mentions`].
    pub fn mentioned(&self) -> &[UserId] {
        match &self.action {
            ChangeAction::Edit { edit, .. } => edit.mention_ids.as_deref().unwrap_or_default(),
            _ => &[],
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

    /// By what right the change is made: an operator's by theirs, that of an account that is erased by
    /// its own, and any other by a membership, where there is one. Who has none of these may change
    /// nothing in the chat.
    ///
    /// # Errors
    /// [`Denied::NotMember`].
    pub fn right<'a>(
        &self,
        is_erasure: bool,
        member: Option<&'a Member>,
    ) -> Result<Right<'a>, Denied> {
        if self.audit_entry().is_some() {
            return Ok(Right::Operator);
        }
        if is_erasure {
            return Ok(Right::Erasure);
        }
        member.map(Right::Member).ok_or(Denied::NotMember)
    }

    /// The message as the change leaves it, under the change's number `change_seq`; `None` where
    /// it is so already. A pure function of what the store has: the store calls it within its
    /// commit, and again after each lost race. Of reactions the counts alone are the message's.
    ///
    /// # Errors
    /// Where the actor may not, or the message is no longer what they have seen.
    pub fn apply(
        &self,
        message: &Message,
        chat_kind: ChatKind,
        right: Right<'_>,
        change_seq: Seq,
        beside: Beside,
    ) -> Result<Option<Message>, ChangeRefusal> {
        if !right.reads(message.seq) || message.chat_id != self.chat_id {
            return Err(ChangeRefusal::NoMessage);
        }
        if message.kind == MessageKind::System {
            return Err(ChangeRefusal::System);
        }
        let is_sender = message.sender_id == Some(self.actor_id);
        let manages = right.manages(chat_kind);
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
            ChangeAction::Delete | ChangeAction::Moderate { .. } => {
                if !is_sender && !manages && right != Right::Operator {
                    return Err(ChangeRefusal::MayNotDelete);
                }
                if message.deleted_at.is_some() {
                    return Ok(None);
                }
                deleted(message, self.at)
            }
            ChangeAction::React { emoji, is_added } => {
                match reacted(message, emoji, *is_added, beside.has_reacted)? {
                    Some(changed) => changed,
                    None => return Ok(None),
                }
            }
            ChangeAction::Pin { is_pinned } => {
                if chat_kind == ChatKind::Group && !manages {
                    return Err(ChangeRefusal::MayNotPin);
                }
                match pinned(message, *is_pinned, beside.pins, change_seq)? {
                    Some(pinned_seq) => Message {
                        pinned_seq,
                        ..message.clone()
                    },
                    None => return Ok(None),
                }
            }
        };
        if change_seq > crate::seq::MAX {
            return Err(ChangeRefusal::LineIsFull);
        }
        let is_deletion = matches!(
            self.action,
            ChangeAction::Delete | ChangeAction::Moderate { .. }
        );
        // What is said directly is refused; taking one's own words back is not.
        if !is_deletion && right.is_blocked() {
            return Err(Denied::NotWritable.into());
        }
        let is_edit = matches!(self.action, ChangeAction::Edit { .. });
        let content_seq = if is_deletion || is_edit {
            change_seq
        } else {
            message.content_seq
        };
        Ok(Some(Message {
            change_seq,
            content_seq,
            ..changed
        }))
    }
}

/// What is left of a message that is deleted.
fn deleted(message: &Message, at: Timestamp) -> Message {
    Message {
        text: None,
        metadata: None,
        reply_to: None,
        mention_ids: Vec::new(),
        attachments: Vec::new(),
        deleted_at: Some(at),
        reactions: Reactions::default(),
        pinned_seq: 0,
        ..message.clone()
    }
}

/// The message with one reaction more or less; `None` where the actor has reacted so already, or
/// has not.
fn reacted(
    message: &Message,
    emoji: &Emoji,
    is_added: bool,
    has_reacted: bool,
) -> Result<Option<Message>, ChangeRefusal> {
    if is_added && message.deleted_at.is_some() {
        return Err(ChangeRefusal::Deleted);
    }
    if is_added == has_reacted || message.deleted_at.is_some() {
        return Ok(None);
    }
    let reactions = message.reactions.clone();
    let reactions = if is_added {
        let with = reactions.with(emoji);
        with.map_err(|TooManyEmoji| ChangeRefusal::TooManyEmoji)?
    } else {
        reactions.without(emoji)
    };
    Ok(Some(Message {
        reactions,
        ..message.clone()
    }))
}

/// The number that a message is pinned by; `None` where it is pinned already, or is not.
fn pinned(
    message: &Message,
    is_pinned: bool,
    pins: usize,
    change_seq: Seq,
) -> Result<Option<Seq>, ChangeRefusal> {
    if is_pinned && message.deleted_at.is_some() {
        return Err(ChangeRefusal::Deleted);
    }
    if is_pinned == (message.pinned_seq > 0) {
        return Ok(None);
    }
    if is_pinned && pins >= MAX_PINS {
        return Err(ChangeRefusal::TooManyPins);
    }
    Ok(Some(if is_pinned { change_seq } else { 0 }))
}
