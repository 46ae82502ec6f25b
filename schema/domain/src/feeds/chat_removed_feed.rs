//! The chats of which the user is no member any more.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::context::FeedContext;
use super::error::FeedError;
use super::feed::Feed;
use super::left_chats::LeftChats;
use super::retry::retry_unavailable;
use crate::events::event::{Event, Interest, Topic};
use crate::events::hub::{Receiver, Signal};
use crate::id::{ChatId, UserId};
use crate::incarnation::Incarnation;
use crate::seq::Seq;

/// A chat of which the user is no member any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The chat.
    pub chat_id: ChatId,
    /// The number of the system message that says so.
    pub left_seq: Seq,
    /// The store's.
    pub incarnation: Incarnation,
}

/// The chats that one user leaves.
pub struct ChatRemovedFeed {
    context: Arc<FeedContext>,
    receiver: Receiver,
    user: UserId,
    incarnation: Incarnation,
    left: LeftChats,
    /// The version of all the user's memberships when they were last compared.
    version: u64,
    pending: VecDeque<Removal>,
    /// They are compared at this time at the latest.
    heartbeat_at: Instant,
}

impl Feed for ChatRemovedFeed {
    type Item = Removal;

    async fn next(&mut self) -> Result<Removal, FeedError> {
        loop {
            self.context.check(self.incarnation)?;
            if let Some(removal) = self.pending.pop_front() {
                return Ok(removal);
            }
            match timeout_at(self.heartbeat_at, self.receiver.recv()).await {
                // Told once, also where it comes twice. Whoever is back already has not lost the chat,
                // so the store is asked.
                Ok(Signal::Event(event)) => {
                    if let Event::ChatLeft { chat_id, left_seq } = event.event
                        && !self.left.knows(chat_id, left_seq)
                    {
                        self.compare().await?;
                    }
                }
                Ok(Signal::Missed(_) | Signal::Interrupted) | Err(_) => self.compare().await?,
            }
        }
    }
}

impl ChatRemovedFeed {
    pub(super) async fn open(context: Arc<FeedContext>, user: UserId) -> Result<Self, FeedError> {
        let incarnation = context.incarnation.current().await?;
        let topics = [Topic::User(user)];
        let receiver = context.bus.subscribe(Interest::MEMBERSHIP, &topics).await?;
        let version = context.version_of(user).await?;
        let left = LeftChats::new(context.left_chats_of(user).await?);
        let heartbeat_at = context.heartbeats.next();
        Ok(Self {
            context,
            receiver,
            user,
            incarnation,
            left,
            version,
            pending: VecDeque::new(),
            heartbeat_at,
        })
    }

    /// Finds what was left that the client does not know of.
    async fn compare(&mut self) -> Result<(), FeedError> {
        let heartbeat_at = self.context.heartbeats.next();
        // Before the chats: what changes meanwhile is found the next time.
        let version = retry_unavailable!(self.context.version_of(self.user))?;
        if version != self.version {
            let left = retry_unavailable!(self.context.left_chats_of(self.user))?;
            let left = self.left.note_all(left).into_iter();
            self.pending.extend(left.map(|(chat_id, left_seq)| Removal {
                chat_id,
                left_seq,
                incarnation: self.incarnation,
            }));
            self.version = version;
        }
        self.heartbeat_at = heartbeat_at;
        Ok(())
    }
}
