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
use crate::seq::Seq;

/// A chat of which the user is no member any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The chat.
    pub chat_id: ChatId,
    /// The number of the system message that says so; 0 where the event was lost that told it.
    pub left_seq: Seq,
}

/// The chats that one user leaves.
pub struct ChatRemovedFeed {
    context: Arc<FeedContext>,
    receiver: Receiver,
    user: UserId,
    /// The user's chats, so far as known: what goes from them unseen is found by comparing.
    chats: BTreeSet<ChatId>,
    pending: VecDeque<Removal>,
}

impl Feed for ChatRemovedFeed {
    type Item = Removal;

    async fn next(&mut self) -> Result<Removal, FeedError> {
        loop {
            if let Some(removal) = self.pending.pop_front() {
                return Ok(removal);
            }
            let heartbeat = self.context.policy.heartbeat;
            match tokio::time::timeout(heartbeat, self.receiver.recv()).await {
                Ok(Signal::Event(event)) => match event.event {
                    Event::ChatJoined { chat_id } => {
                        self.chats.insert(chat_id);
                    }
                    // Told once, also where it comes twice.
                    Event::ChatLeft { chat_id, left_seq } if self.chats.contains(&chat_id) => {
                        // Whoever is back already has not lost the chat.
                        self.compare(Some(Removal { chat_id, left_seq })).await?;
                    }
                    _ => {}
                },
                Ok(Signal::Interrupted) | Err(_) => self.compare(None).await?,
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

    /// Finds what has gone since the chats were last known; one of them was told.
    async fn compare(&mut self, told: Option<Removal>) -> Result<(), FeedError> {
        let now = retry_unavailable!(self.context.chats.chat_ids_of(self.user))?;
        let now: BTreeSet<ChatId> = now.into_iter().collect();
        let gone = self.chats.difference(&now).map(|&chat_id| {
            let told = told.filter(|told| told.chat_id == chat_id);
            told.unwrap_or(Removal {
                chat_id,
                left_seq: 0,
            })
        });
        self.pending.extend(gone);
        self.chats = now;
        Ok(())
    }
}
