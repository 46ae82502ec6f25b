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

    /// The actor as somebody who is no member and whose account is erased: a plain member to whom
    /// nothing of the chat is hidden. So they may delete what they have sent and take reactions back.
    pub const fn of_erased(&self) -> Member {
        Member::of_direct(self.chat_id, self.actor_id, self.at)
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
        actor: &Member,
        change_seq: Seq,
        beside: Beside,
    ) -> Result<Option<Message>, ChangeRefusal> {
        if message.seq < actor.visible_from_seq || message.chat_id != self.chat_id {
            return Err(ChangeRefusal::NoMessage);
        }
        if message.kind == MessageKind::System {
            return Err(ChangeRefusal::System);
        }
        let is_sender = message.sender_id == Some(self.actor_id);
        let manages = chat_kind == ChatKind::Group && actor.role >= MemberRole::Admin;
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
                    reactions: Reactions::default(),
                    pinned_seq: 0,
                    ..message.clone()
                }
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
        let content_seq = match self.action {
            ChangeAction::Edit { .. } | ChangeAction::Delete => change_seq,
            ChangeAction::React { .. } | ChangeAction::Pin { .. } => message.content_seq,
        };
        Ok(Some(Message {
            change_seq,
            content_seq,
            ..changed
        }))
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
