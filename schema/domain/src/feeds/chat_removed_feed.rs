//! The chats of which the user is no member any more.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::context::FeedContext;
use super::error::FeedError;
use super::feed::Feed;
use super::retry::retry_unavailable;
use crate::events::event::{Event, Interest, Topic};
use crate::events::hub::{Receiver, Signal};
use crate::id::{ChatId, UserId};

/// The chats that one user leaves.
pub struct ChatRemovedFeed {
    context: Arc<FeedContext>,
    receiver: Receiver,
    user: UserId,
    /// The user's chats, so far as known: what goes from them unseen is found by comparing.
    chats: BTreeSet<ChatId>,
    pending: VecDeque<ChatId>,
}

impl Feed for ChatRemovedFeed {
    type Item = ChatId;

    async fn next(&mut self) -> Result<ChatId, FeedError> {
        loop {
            if let Some(chat) = self.pending.pop_front() {
                return Ok(chat);
            }
            let heartbeat = self.context.policy.heartbeat;
            match tokio::time::timeout(heartbeat, self.receiver.recv()).await {
                Ok(Signal::Event(event)) => match event.event {
                    Event::ChatJoined { chat_id } => {
                        self.chats.insert(chat_id);
                    }
                    // Told once, also where it comes twice.
                    Event::ChatLeft { chat_id, .. } if self.chats.contains(&chat_id) => {
                        // Whoever is back already has not lost the chat.
                        self.compare().await?;
                    }
                    _ => {}
                },
                Ok(Signal::Interrupted) | Err(_) => self.compare().await?,
            }
        }
    }
}

impl ChatRemovedFeed {
    pub(super) async fn open(context: Arc<FeedContext>, user: UserId) -> Result<Self, FeedError> {
        let topics = [Topic::User(user)];
        let receiver = context.bus.subscribe(Interest::MEMBERSHIP, &topics).await?;
        let chats = context.chats.chat_ids_of(user).await?;
        Ok(Self {
            context,
            receiver,
            user,
            chats: chats.into_iter().collect(),
            pending: VecDeque::new(),
        })
    }

    /// Finds what has gone since the chats were last known.
    async fn compare(&mut self) -> Result<(), FeedError> {
        let now = retry_unavailable!(self.context.chats.chat_ids_of(self.user))?;
        let now: BTreeSet<ChatId> = now.into_iter().collect();
        self.pending.extend(self.chats.difference(&now));
        self.chats = now;
        Ok(())
    }
}
