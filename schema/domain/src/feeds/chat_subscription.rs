//! What every feed of one chat has: the chat's signals, as long as the user is a member.

use std::sync::Arc;

use super::context::{Backlog, FeedContext};
use super::error::FeedError;
use super::retry::retry_unavailable;
use crate::access::{AccessError, Denied, Membership};
use crate::error::PortError;
use crate::events::event::{Interest, Topic};
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
    /// The number of the newest system message at which the viewer was known to be a member.
    mseq: Seq,
    /// The system message by which the viewer joined: the feed is of that membership.
    joined_seq: Option<Seq>,
    /// Received, and not admitted yet.
    received: Option<Signal>,
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
            mseq: 0,
            joined_seq: None,
            received: None,
        })
    }

    /// The viewer's membership.
    ///
    /// # Errors
    /// [`Denied::NotMember`] also where the membership is not the one that was found before: who was
    /// removed and has joined again may not read what lies between.
    pub(super) async fn membership(&mut self) -> Result<Membership, AccessError> {
        let access = &self.context.access;
        let membership = access.membership(&self.viewer, self.chat).await?;
        let joined_seq = membership.member().joined_seq;
        if *self.joined_seq.get_or_insert(joined_seq) != joined_seq {
            return Err(Denied::NotMember.into());
        }
        Ok(membership)
    }

    /// The ends of the chat's lines.
    pub(super) async fn head(&self) -> Result<Head, FeedError> {
        let head = self.context.head(self.chat).await?;
        Ok(head.ok_or(AccessError::from(Denied::NoChat))?)
    }

    /// Up to a page of messages from `from` on.
    pub(super) async fn backlog(&self, from: Seq) -> Result<Backlog, PortError> {
        self.context.backlog(self.chat, from).await
    }

    /// The next signal of the chat, whether or not the user is still a member: for a feed that
    /// finds that out by the line. Cancel-safe.
    pub(super) async fn any_signal(&mut self) -> Signal {
        self.receiver.recv().await
    }

    /// A signal that waits already, as [`Self::any_signal`].
    pub(super) fn waiting_signal(&mut self) -> Option<Signal> {
        self.receiver.try_recv()
    }

    /// The next signal of the chat, as long as the user is a member. Cancel-safe.
    ///
    /// # Errors
    /// [`Denied::NotMember`] once the user is no member, also where the event that said so was
    /// lost: every event carries the number of the newest system message.
    pub(super) async fn signal(&mut self) -> Result<Signal, FeedError> {
        if self.received.is_none() {
            self.received = Some(self.receiver.recv().await);
        }
        if let Some(Signal::Event(event)) = &self.received
            && let Some(mseq) = event.event.mseq()
        {
            self.confirm(mseq).await?;
        }
        // It is there, and was admitted.
        Ok(self.received.take().unwrap_or(Signal::Interrupted))
    }

    /// Makes sure that the user is a member behind this system message.
    pub(super) async fn confirm(&mut self, mseq: Seq) -> Result<(), FeedError> {
        if mseq > self.mseq {
            retry_unavailable!(self.membership())?;
            self.mseq = mseq;
        }
        Ok(())
    }
}
