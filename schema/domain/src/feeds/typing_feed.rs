//! Who types in a chat. A typist who falls silent is taken to have stopped, also when the word
//! of it was lost.

use tokio::time::{Instant, sleep_until};

use super::chat_subscription::ChatSubscription;
use super::error::FeedError;
use super::feed::Feed;
use crate::events::event::Event;
use crate::id::{ChatId, UserId};

/// Whether a member types: the absolute state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypingState {
    /// The chat.
    pub chat_id: ChatId,
    /// The member.
    pub user_id: UserId,
    /// Whether they type.
    pub is_typing: bool,
}

/// The typing of a chat's other members for one subscriber.
pub struct TypingFeed {
    subscription: ChatSubscription,
    /// Who types, each until when they are believed without a further word.
    typists: Vec<(UserId, Instant)>,
}

impl Feed for TypingFeed {
    type Item = TypingState;

    async fn next(&mut self) -> Result<TypingState, FeedError> {
        loop {
            let first = self.typists.iter().copied().min_by_key(|(_, until)| *until);
            let event = match first {
                None => self.subscription.event().await?,
                Some((typist, until)) => tokio::select! {
                    event = self.subscription.event() => event?,
                    () = sleep_until(until) => {
                        self.forget(typist);
                        return Ok(self.state(typist, false));
                    }
                },
            };
            if let Some(event) = event
                && let Some(state) = self.take(&event.event)
            {
                return Ok(state);
            }
        }
    }
}

impl TypingFeed {
    pub(super) const fn new(subscription: ChatSubscription) -> Self {
        Self {
            subscription,
            typists: Vec::new(),
        }
    }

    /// What the event changes for the subscriber, who is not told of their own typing.
    fn take(&mut self, event: &Event) -> Option<TypingState> {
        let (user, is_typing) = match event {
            Event::Typing {
                user_id, is_typing, ..
            } => (*user_id, *is_typing),
            // Who has sent the message types it no longer.
            Event::MessageAdded { message, .. } => (message.sender_id?, false),
            _ => return None,
        };
        if user == self.subscription.viewer.user_id {
            return None;
        }
        let was_typing = self.forget(user);
        if is_typing {
            self.typists.push((
                user,
                Instant::now() + self.subscription.context.policy.typing_timeout,
            ));
        }
        (was_typing != is_typing).then(|| self.state(user, is_typing))
    }

    fn forget(&mut self, user: UserId) -> bool {
        let before = self.typists.len();
        self.typists.retain(|(typist, _)| *typist != user);
        self.typists.len() < before
    }

    const fn state(&self, user_id: UserId, is_typing: bool) -> TypingState {
        TypingState {
            chat_id: self.subscription.chat,
            user_id,
            is_typing,
        }
    }
}
