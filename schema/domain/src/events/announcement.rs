//! Which events follow from a commit, and to whom a store hands them over.
//!
//! A store makes no events of its own: it calls these functions, or what an outcome of its port
//! says (`announcements`), at the moment at which it knows that the commit is durable.

use tracing::Span;

use super::event::{Event, Topic};
use crate::chats::model::{ChatKind, ReadReceipt};
use crate::id::{ChatId, SessionId, UserId};
use crate::messages::model::Message;
use crate::seq::Seq;

/// An event that followed from a commit, on its topic.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// Where it is published.
    pub topic: Topic,
    /// What happened.
    pub event: Event,
    /// The span of the call that has caused it.
    pub span: Span,
}

impl Announcement {
    fn new(topic: Topic, event: Event) -> Self {
        let span = Span::none();
        Self { topic, event, span }
    }

    /// The same, caused within this span.
    #[must_use]
    pub fn within(self, span: &Span) -> Self {
        let span = span.clone();
        Self { span, ..self }
    }

    /// A message was appended, or a retry has found it.
    pub fn message_added(message: Message) -> Self {
        let topic = Topic::Chat(message.chat_id);
        Self::new(topic, Event::MessageAdded { message })
    }

    /// A system message was appended and is carried out: first who has joined or left is told, so
    /// that they follow the chat, or no longer do.
    pub fn notice(message: &Message) -> Vec<Self> {
        let chat_id = message.chat_id;
        let mut all = Vec::new();
        if let Some(notice) = &message.notice {
            let joining = notice.joining().map(|user| Self::joined(user, chat_id));
            all.extend(joining);
            all.extend(notice.leaving().map(|user| {
                let left_seq = message.seq;
                Self::new(Topic::User(user), Event::ChatLeft { chat_id, left_seq })
            }));
        }
        all.push(Self::message_added(message.clone()));
        all
    }

    /// A message was changed, or a retry has found it so; `mseq` as in [`Event::mseq`].
    pub fn message_changed(message: Message, mseq: Seq) -> Self {
        let topic = Topic::Chat(message.chat_id);
        Self::new(topic, Event::MessageChanged { message, mseq })
    }

    /// A direct chat was made.
    pub fn direct_chat(chat: ChatId, users: [UserId; 2]) -> Vec<Self> {
        users.map(|user| Self::joined(user, chat)).into()
    }

    /// A read mark has moved, of which those on `audience` are told: the chat's topic, or the
    /// reader's own.
    pub fn read_mark(
        audience: Topic,
        receipt: ReadReceipt,
        chat_kind: ChatKind,
        mseq: Seq,
    ) -> Self {
        let event = Event::ReadReceipt {
            receipt,
            chat_kind,
            mseq,
        };
        Self::new(audience, event)
    }

    /// What the user alone has in a chat was changed.
    pub fn viewer_chat_changed(user: UserId, chat_id: ChatId) -> Self {
        Self::new(Topic::User(user), Event::ViewerChatChanged { chat_id })
    }

    /// The user's profile was changed.
    pub fn viewer_changed(user: UserId) -> Self {
        Self::new(Topic::User(user), Event::ViewerChanged)
    }

    /// A user has blocked another, or no longer: both are concerned, though only the first is told.
    pub fn block_changed(blocker: UserId, other: UserId) -> Vec<Self> {
        let event = Event::BlockChanged {
            blocker_id: blocker,
            blocked_id: other,
        };
        [blocker, other]
            .map(|user| Self::new(Topic::User(user), event.clone()))
            .into()
    }

    /// A session of the user was ended.
    pub fn session_revoked(user: UserId, session_id: SessionId) -> Self {
        Self::new(Topic::User(user), Event::SessionRevoked { session_id })
    }

    pub(super) fn joined(user: UserId, chat_id: ChatId) -> Self {
        Self::new(Topic::User(user), Event::ChatJoined { chat_id })
    }
}

/// Takes what followed from commits. A store is opened with one.
pub trait EventSink: Send + Sync {
    /// Takes the events in their order: those of one chat in the order of its numbers. Must not
    /// block or fail: it is called on the thread that commits, ahead of the answers.
    fn put(&self, announcements: Vec<Announcement>);
}

/// Takes nothing: for a store by which nothing is written that anybody follows, as a command opens
/// it beside the server.
impl EventSink for () {
    fn put(&self, _: Vec<Announcement>) {}
}
