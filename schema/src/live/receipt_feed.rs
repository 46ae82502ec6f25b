//! The read marks of a chat's members, as absolute state.

use std::collections::VecDeque;

use super::event::Event;
use super::feed::Feed;
use super::hub::Signal;
use super::patience::patiently;
use super::service::{ChatWatch, LiveError};
use crate::chats::ReadReceipt;
use crate::page::{MAX_PAGE, Window};

/// The read marks of one chat for one subscriber.
pub struct ReceiptFeed {
    watch: ChatWatch,
    pending: VecDeque<ReadReceipt>,
}

impl Feed for ReceiptFeed {
    type Item = ReadReceipt;

    async fn next(&mut self) -> Result<ReadReceipt, LiveError> {
        loop {
            if let Some(receipt) = self.pending.pop_front() {
                return Ok(receipt);
            }
            match self.watch.signal().await? {
                Signal::Event(event) => {
                    if let Event::ReadReceipt { receipt, .. } = event.event {
                        return Ok(receipt);
                    }
                }
                Signal::Interrupted => self.pending = patiently!(self.state())?,
            }
        }
    }
}

impl ReceiptFeed {
    pub(super) const fn new(watch: ChatWatch) -> Self {
        Self {
            watch,
            pending: VecDeque::new(),
        }
    }

    /// The marks now: of the first page of members, which is all of them in most chats.
    async fn state(&self) -> Result<VecDeque<ReadReceipt>, LiveError> {
        self.watch.member().await?;
        let window = Window {
            after: None,
            before: None,
            limit: MAX_PAGE,
            from_end: false,
        };
        let page = self
            .watch
            .ground
            .chats
            .members(self.watch.chat, None, &window)
            .await?;
        Ok(page
            .items
            .iter()
            .filter_map(crate::chats::Member::receipt)
            .collect())
    }
}
