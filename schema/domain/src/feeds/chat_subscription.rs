//! What every feed of one chat has: the chat's signals, as long as the user is a member.

use std::sync::Arc;

use super::context::{Backlog, FeedContext};
use super::error::FeedError;
use crate::access::{AccessError, Denied, Membership};
use crate::error::PortError;
use crate::events::event::{Event, Interest, Topic};
use crate::events::hub::{Receiver, Signal};
use crate::id::ChatId;
use crate::messages::store::Head;
use crate::seq::Seq;
use crate::viewer::Viewer;

/// What every feed of one chat has: the chat's signals, as long as the user is a member.
pub(super) struct ChatSubscription {
    pub(super) context: Arc<FeedContext>,
    receiver: Receiver,
    pub(super) chat: ChatId,
    pub(super) viewer: Viewer,
}

impl ChatSubscription {
    /// First follows the chat, so that what happens while the caller looks is in the mailbox.
    /// The membership is the caller's to check.
    pub(super) async fn open(
        context: Arc<FeedContext>,
        viewer: &Viewer,
        chat: ChatId,
        interest: Interest,
    ) -> Result<Self, FeedError> {
        let interest = interest.and(Interest::MEMBERSHIP);
        let topics = [Topic::Chat(chat)];
        let receiver = context.bus.subscribe(interest, &topics).await?;
        Ok(Self {
            context,
            receiver,
            chat,
            viewer: *viewer,
        })
    }

    /// The viewer's membership.
    pub(super) async fn membership(&self) -> Result<Membership, AccessError> {
        self.context
            .access
            .membership(&self.viewer, self.chat)
            .await
    }

    /// The chat's head, and the membership epoch with it.
    pub(super) async fn head(&self) -> Result<Head, FeedError> {
        let head = self.context.head(self.chat).await?;
        Ok(head.ok_or(AccessError::from(Denied::NoChat))?)
    }

    /// Up to a page of messages from `from` on.
    pub(super) async fn backlog(&self, from: Seq) -> Result<Backlog, PortError> {
        self.context.backlog(self.chat, from).await
    }

    /// The next signal of the chat. Cancel-safe.
    ///
    /// # Errors
    /// [`Denied::NotMember`] once the user has been removed.
    pub(super) async fn signal(&mut self) -> Result<Signal, FeedError> {
        let signal = self.receiver.recv().await;
        self.admit(signal)
    }

    /// A signal that waits already.
    pub(super) fn waiting_signal(&mut self) -> Result<Option<Signal>, FeedError> {
        self.receiver
            .try_recv()
            .map(|signal| self.admit(signal))
            .transpose()
    }

    /// Every signal passes here: none reaches a user who was removed.
    fn admit(&self, signal: Signal) -> Result<Signal, FeedError> {
        match &signal {
            Signal::Event(event) if matches!(event.event, Event::MemberRemoved { user_id, .. } if user_id == self.viewer.user_id) => {
                Err(AccessError::from(Denied::NotMember).into())
            }
            _ => Ok(signal),
        }
    }
}
