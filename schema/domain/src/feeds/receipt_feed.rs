//! The read marks of a chat's members, as absolute state.

use std::collections::VecDeque;

use super::chat_subscription::ChatSubscription;
use super::error::FeedError;
use super::feed::Feed;
use super::retry::retry_unavailable;
use crate::chats::model::ReadReceipt;
use crate::chats::store::MemberFilter;
use crate::events::event::Event;
use crate::events::hub::Signal;
use crate::page::{MAX_PAGE, Window};

/// The read marks of one chat for one subscriber.
pub struct ReceiptFeed {
    subscription: ChatSubscription,
    pending: VecDeque<ReadReceipt>,
}

impl Feed for ReceiptFeed {
    type Item = ReadReceipt;

    async fn next(&mut self) -> Result<ReadReceipt, FeedError> {
        loop {
            if let Some(receipt) = self.pending.pop_front() {
                return Ok(receipt);
            }
            match self.subscription.signal().await? {
                Signal::Event(event) => {
                    if let Event::ReadReceipt { receipt, .. } = event.event {
                        return Ok(receipt);
                    }
                }
                Signal::Interrupted => self.pending = retry_unavailable!(self.state())?,
            }
        }
    }
}

impl ReceiptFeed {
    pub(super) const fn new(subscription: ChatSubscription) -> Self {
        Self {
            subscription,
            pending: VecDeque::new(),
        }
    }

    /// The marks now: of the first page of members, which is all of them in most chats.
    async fn state(&mut self) -> Result<VecDeque<ReadReceipt>, FeedError> {
        let window = Window {
            after: None,
            before: None,
            limit: MAX_PAGE,
            from_end: false,
        };
        let page = self
            .subscription
            .context
            .chats
            .members(self.subscription.chat, &MemberFilter::default(), &window)
            .await?;
        // Behind the page: whoever was removed before a mark of it moved is known to be.
        self.subscription.membership().await?;
        Ok(page
            .items
            .iter()
            .filter_map(crate::chats::model::Member::receipt)
            .collect())
    }
}
