//! What is published, and where.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rendering::Renderings;
use crate::chats::model::{ChatKind, ReadReceipt};
use crate::id::{ChatId, SessionId, UserId};
use crate::messages::model::Message;
use crate::presence::model::Presence;
use crate::seq::Seq;

/// A channel of the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// What happens in a chat.
    Chat(ChatId),
    /// What concerns one user alone, on all their devices.
    User(UserId),
    /// A user's coming and going.
    Presence(UserId),
}

/// Something that happened. Its JSON form travels between instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Event {
    /// A message was committed. On the chat's topic.
    MessageAdded {
        /// The message.
        message: Message,
    },
    /// A message was edited, deleted, reacted to or pinned, or is so no longer. On the chat's topic.
    MessageChanged {
        /// The message now.
        message: Message,
        /// See [`Event::mseq`].
        mseq: Seq,
    },
    /// A member's read mark moved. On the chat's topic; of a large group on the member's own.
    ReadReceipt {
        /// The mark now.
        receipt: ReadReceipt,
        /// The chat's kind.
        chat_kind: ChatKind,
        /// See [`Event::mseq`].
        #[serde(default)]
        mseq: Seq,
    },
    /// A member types, or stopped. On the chat's topic.
    Typing {
        /// The chat.
        chat_id: ChatId,
        /// The member.
        user_id: UserId,
        /// Whether they type.
        is_typing: bool,
        /// See [`Event::mseq`].
        #[serde(default)]
        mseq: Seq,
    },
    /// The user became a member of a chat. On the user's topic.
    ChatJoined {
        /// The chat.
        chat_id: ChatId,
    },
    /// The user is no longer a member of a chat. On the user's topic.
    ChatLeft {
        /// The chat.
        chat_id: ChatId,
        /// The number of the system message that says so.
        left_seq: Seq,
    },
    /// What the user alone has in a chat was changed: that it is muted. On the user's topic.
    ViewerChatChanged {
        /// The chat.
        chat_id: ChatId,
    },
    /// The user's own profile was changed. On the user's topic.
    ViewerChanged,
    /// A user has blocked another, or no longer. On the topics of both: the devices of the one show
    /// it, and from now on neither sees, or both see again, whether the other is there.
    BlockChanged {
        /// Who has.
        blocker_id: UserId,
        /// Whom.
        blocked_id: UserId,
    },
    /// A session was ended. On the user's topic.
    SessionRevoked {
        /// The session.
        session_id: SessionId,
    },
    /// A user came or went. On the user's presence topic.
    PresenceChanged(Presence),
}

/// A set of kinds of events: what a receiver wants to be woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest(u16);

impl Interest {
    /// Messages of a chat.
    pub const MESSAGES: Self = Self(1);
    /// Read marks.
    pub const RECEIPTS: Self = Self(2);
    /// Typing.
    pub const TYPING: Self = Self(4);
    /// Joining and leaving chats.
    pub const MEMBERSHIP: Self = Self(8);
    /// Sessions that end.
    pub const SESSIONS: Self = Self(16);
    /// Users who come and go.
    pub const PRESENCE: Self = Self(32);
    /// Changes of messages.
    pub const CHANGES: Self = Self(64);
    /// The user's own profile.
    pub const PROFILE: Self = Self(128);
    /// Blocks between the user and others.
    pub const BLOCKS: Self = Self(256);

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the sets share a kind.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Event {
    /// The chat that looks different by it in the list of this user's chats.
    pub fn chat_changed_for(&self, user: UserId) -> Option<ChatId> {
        match self {
            Self::MessageAdded { message } | Self::MessageChanged { message, .. } => {
                Some(message.chat_id)
            }
            // A mark changes its owner's unread count; in a direct chat also the tick that the
            // other side shows.
            Self::ReadReceipt {
                receipt, chat_kind, ..
            } if receipt.user_id == user || *chat_kind == ChatKind::Direct => Some(receipt.chat_id),
            Self::ChatJoined { chat_id } | Self::ViewerChatChanged { chat_id } => Some(*chat_id),
            _ => None,
        }
    }

    /// The chat that it is about; `None` where it is about a user alone.
    pub const fn chat_id(&self) -> Option<ChatId> {
        match self {
            Self::MessageAdded { message } | Self::MessageChanged { message, .. } => {
                Some(message.chat_id)
            }
            Self::ReadReceipt { receipt, .. } => Some(receipt.chat_id),
            Self::Typing { chat_id, .. }
            | Self::ChatJoined { chat_id }
            | Self::ChatLeft { chat_id, .. }
            | Self::ViewerChatChanged { chat_id } => Some(*chat_id),
            Self::ViewerChanged
            | Self::BlockChanged { .. }
            | Self::SessionRevoked { .. }
            | Self::PresenceChanged(_) => None,
        }
    }

    /// For an event of a chat: the number of the newest system message when it happened. A feed
    /// that knows of an older one only has to find out whether its viewer is still a member.
    pub const fn mseq(&self) -> Option<Seq> {
        match self {
            Self::MessageAdded { message } => Some(message.mseq),
            Self::MessageChanged { mseq, .. }
            | Self::ReadReceipt { mseq, .. }
            | Self::Typing { mseq, .. } => Some(*mseq),
            Self::ChatJoined { .. }
            | Self::ChatLeft { .. }
            | Self::ViewerChatChanged { .. }
            | Self::ViewerChanged
            | Self::BlockChanged { .. }
            | Self::SessionRevoked { .. }
            | Self::PresenceChanged(_) => None,
        }
    }

    /// The kinds of this event.
    pub const fn interest(&self) -> Interest {
        match self {
            Self::MessageAdded { message } if message.notice.is_some() => {
                Interest::MESSAGES.and(Interest::MEMBERSHIP)
            }
            Self::MessageAdded { .. } => Interest::MESSAGES,
            Self::MessageChanged { .. } => Interest::CHANGES,
            Self::ReadReceipt { .. } => Interest::RECEIPTS,
            Self::Typing { .. } => Interest::TYPING,
            Self::ChatJoined { .. } | Self::ChatLeft { .. } | Self::ViewerChatChanged { .. } => {
                Interest::MEMBERSHIP
            }
            Self::ViewerChanged => Interest::PROFILE,
            Self::BlockChanged { .. } => Interest::BLOCKS,
            Self::SessionRevoked { .. } => Interest::SESSIONS,
            Self::PresenceChanged(_) => Interest::PRESENCE,
        }
    }
}

/// An event as all subscribers of this process share it, with what it was rendered to. The
/// renderings go when the last subscriber has let go of the event.
#[derive(Debug)]
pub struct Published {
    /// What happened.
    pub event: Event,
    /// The span that published it, as a W3C `traceparent`; `None` where nothing is traced.
    pub trace: Option<Box<str>>,
    /// What it looks like.
    pub renderings: Renderings,
}

impl Published {
    /// Makes an event shareable.
    pub fn new(event: Event) -> Arc<Self> {
        Self::traced(event, None)
    }

    /// Makes an event shareable that belongs to a trace.
    pub fn traced(event: Event, trace: Option<String>) -> Arc<Self> {
        Arc::new(Self {
            event,
            trace: trace.map(String::into_boxed_str),
            renderings: Renderings::default(),
        })
    }

    /// The message, where one was added or changed.
    pub fn message(&self) -> Option<&Message> {
        match &self.event {
            Event::MessageAdded { message } | Event::MessageChanged { message, .. } => {
                Some(message)
            }
            _ => None,
        }
    }
}
