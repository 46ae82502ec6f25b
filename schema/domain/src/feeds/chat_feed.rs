//! Which of a user's chats changed: what a sidebar needs. It names the chat; the state is read
//! when it is delivered, so that a burst of changes of one chat is delivered as one.

use std::collections::VecDeque;
use std::sync::Arc;

use super::context::FeedContext;
use super::error::FeedError;
use super::feed::Feed;
use super::retry::retry_unavailable;
use crate::events::event::{Event, Interest, Topic};
use crate::events::hub::{Receiver, Signal};
use crate::id::{ChatId, UserId};
use crate::messages::model::Message;
use crate::page::{MAX_PAGE, Window};

/// The changing chats of one subscriber.
pub struct ChatFeed {
    context: Arc<FeedContext>,
    receiver: Receiver,
    user: UserId,
    /// Changed and not delivered yet, each once.
    changed: VecDeque<ChatId>,
    /// Said to be left, and not looked at yet.
    left: Vec<ChatId>,
}

impl Feed for ChatFeed {
    type Item = ChatId;

    async fn next(&mut self) -> Result<ChatId, FeedError> {
        loop {
            // First all that waits, so that changes of one chat meet.
            while let Some(signal) = self.receiver.try_recv() {
                self.take(signal).await?;
            }
            self.settle().await?;
            if let Some(chat) = self.changed.pop_front() {
                return Ok(chat);
            }
            let signal = self.receiver.recv().await;
            self.take(signal).await?;
        }
    }
}

impl ChatFeed {
    pub(super) async fn open(context: Arc<FeedContext>, user: UserId) -> Result<Self, FeedError> {
        let interest = Interest::MESSAGES
            .and(Interest::CHANGES)
            .and(Interest::RECEIPTS)
            .and(Interest::MEMBERSHIP);
        let receiver = context
            .bus
            .subscribe(interest, &[Topic::User(user)])
            .await?;
        let mut feed = Self {
            context,
            receiver,
            user,
            changed: VecDeque::new(),
            left: Vec::new(),
        };
        feed.follow_all().await?;
        Ok(feed)
    }

    async fn take(&mut self, signal: Signal) -> Result<(), FeedError> {
        let event = match signal {
            Signal::Event(event) => event,
            Signal::Interrupted => return self.recover().await,
        };
        match &event.event {
            Event::ChatJoined { chat_id } => {
                let context = Arc::clone(&self.context);
                context
                    .bus
                    .follow(&mut self.receiver, Topic::Chat(*chat_id))
                    .await?;
            }
            Event::ChatLeft { chat_id, .. } => self.left.push(*chat_id),
            Event::MessageAdded { message } if self.is_removed_by(message) => {
                self.left.push(message.chat_id);
                return Ok(());
            }
            _ => {}
        }
        if let Some(chat) = event.event.chat_changed_for(self.user) {
            self.mark(chat);
        }
        Ok(())
    }

    fn is_removed_by(&self, message: &Message) -> bool {
        let notice = message.notice.as_ref();
        notice.is_some_and(|notice| notice.removes(self.user))
    }

    /// Stops following the chats that were left, unless the user is back in one: the word of it may
    /// be late.
    async fn settle(&mut self) -> Result<(), FeedError> {
        while let Some(&chat) = self.left.last() {
            let chats = &self.context.chats;
            let memberships = retry_unavailable!(chats.memberships(self.user, &[chat]))?;
            self.left.retain(|left| *left != chat);
            if memberships.is_empty() {
                self.receiver.unfollow(Topic::Chat(chat));
                self.changed.retain(|changed| *changed != chat);
            }
        }
        Ok(())
    }

    fn mark(&mut self, chat: ChatId) {
        if !self.changed.contains(&chat) {
            self.changed.push_back(chat);
        }
    }

    /// Follows every chat of the user, also those whose `ChatJoined` was missed.
    async fn follow_all(&mut self) -> Result<(), FeedError> {
        for chat in self.context.chats.chat_ids_of(self.user).await? {
            self.context
                .bus
                .follow(&mut self.receiver, Topic::Chat(chat))
                .await?;
        }
        Ok(())
    }

    /// After an interruption the state of the most recently active chats is sent again.
    async fn recover(&mut self) -> Result<(), FeedError> {
        retry_unavailable!(self.follow_all())?;
        let window = Window {
            after: None,
            before: None,
            limit: MAX_PAGE,
            from_end: false,
        };
        let recent = retry_unavailable!(self.context.chats.chats_of(self.user, None, &window))?;
        // The list is newest first; the changes come oldest first.
        for chat in recent.items.iter().rev() {
            self.mark(chat.id);
        }
        Ok(())
    }
}
