//! Every message of a chat, exactly once and in order, over a bus that loses, doubles and
//! reorders.
//!
//! The feed knows the number of the message it delivers next. The bus brings messages quickly;
//! what it does not bring is read from the store: when a message comes whose forerunners are
//! missing, when the bus was interrupted, and on a slow heartbeat.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::time::Instant;

use super::chat_subscription::ChatSubscription;
use super::error::FeedError;
use super::feed::Feed;
use super::retry::retry_unavailable;
use super::sequencer::Sequencer;
use crate::events::event::{Event, Published};
use crate::events::hub::Signal;
use crate::messages::store::Head;
use crate::metrics::{GAP_REPAIRS, RESYNCS};
use crate::seq::Seq;

/// How many early messages wait for a hole to fill before it is read from the store at once.
const MAX_EARLY: usize = 128;

/// The messages of one chat for one subscriber.
pub struct MessageFeed {
    subscription: ChatSubscription,
    sequencer: Sequencer<Arc<Published>>,
    /// Up to here the chat is known to go; what has not been delivered of it is in the store.
    known_head: Seq,
    /// The membership epoch at which the subscriber was last known to be a member.
    epoch: u32,
    /// Since when an early message waits.
    gap_since: Option<Instant>,
}

impl Feed for MessageFeed {
    type Item = Arc<Published>;

    async fn next(&mut self) -> Result<Arc<Published>, FeedError> {
        loop {
            if let Some(message) = self.sequencer.pop() {
                return Ok(message);
            }
            if self.sequencer.expected() <= self.known_head {
                self.read_on().await?;
                continue;
            }
            let signal = match self.subscription.waiting_signal()? {
                Some(signal) => Some(signal),
                None => self.wait().await?,
            };
            match signal {
                Some(Signal::Event(event)) => {
                    if let Some(message) = self.take(event).await? {
                        return Ok(message);
                    }
                }
                Some(Signal::Interrupted) => self.catch_up().await?,
                // The wait was over: for a hole to fill by itself, or for the heartbeat.
                None => match self.sequencer.gap_before() {
                    Some(early) => self.repair(early),
                    None => self.catch_up().await?,
                },
            }
        }
    }
}

impl MessageFeed {
    pub(super) async fn open(
        subscription: ChatSubscription,
        after: Option<Seq>,
    ) -> Result<Self, FeedError> {
        let head = subscription.head().await?;
        // In this order: a membership that changes after the head was read has a later epoch, and
        // the first event that carries it makes the feed check again.
        subscription.membership().await?;
        let after = after.unwrap_or(head.last_seq).min(head.last_seq);
        let limit = subscription.context.policy.replay_limit;
        if head.last_seq - after > limit {
            counter!(RESYNCS).increment(1);
            return Err(FeedError::ResyncRequired(limit));
        }
        Ok(Self {
            subscription,
            sequencer: Sequencer::new(after + 1),
            known_head: head.last_seq,
            epoch: head.membership_epoch,
            gap_since: None,
        })
    }

    /// Waits for a signal; `None` when the time is up.
    async fn wait(&mut self) -> Result<Option<Signal>, FeedError> {
        let policy = self.subscription.context.policy;
        // Asked of the sequencer and not remembered: what fills one hole may leave another.
        let timeout = if self.sequencer.gap_before().is_some() {
            let since = *self.gap_since.get_or_insert_with(Instant::now);
            policy.reorder_grace.saturating_sub(since.elapsed())
        } else {
            policy.heartbeat
        };
        match tokio::time::timeout(timeout, self.subscription.signal()).await {
            Ok(signal) => signal.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Takes an event from the bus; returns the message where it is due.
    async fn take(&mut self, event: Arc<Published>) -> Result<Option<Arc<Published>>, FeedError> {
        let (seq, epoch) = match &event.event {
            Event::MessageAdded {
                message,
                membership_epoch,
            } => (message.seq, *membership_epoch),
            _ => return Ok(None),
        };
        if epoch > self.epoch {
            retry_unavailable!(self.subscription.membership())?;
            self.epoch = epoch;
        }
        let due = self.sequencer.offer(seq, event);
        match self.sequencer.gap_before() {
            None => self.gap_since = None,
            Some(early) if self.sequencer.waiting() > MAX_EARLY => self.repair(early),
            Some(_) => {
                self.gap_since.get_or_insert_with(Instant::now);
            }
        }
        Ok(due)
    }

    /// Has the hole before an early message read from the store.
    fn repair(&mut self, early: Seq) {
        counter!(GAP_REPAIRS, "found_by" => "event").increment(1);
        self.known_head = self.known_head.max(early - 1);
    }

    /// Compares with the store after something may have been missed.
    async fn catch_up(&mut self) -> Result<(), FeedError> {
        let Head {
            last_seq,
            membership_epoch,
            ..
        } = retry_unavailable!(self.subscription.head())?;
        if membership_epoch != self.epoch {
            retry_unavailable!(self.subscription.membership())?;
            self.epoch = membership_epoch;
        }
        let limit = self.subscription.context.policy.replay_limit;
        if (last_seq + 1).saturating_sub(self.sequencer.expected()) > limit {
            counter!(RESYNCS).increment(1);
            return Err(FeedError::ResyncRequired(limit));
        }
        if last_seq >= self.sequencer.expected() {
            counter!(GAP_REPAIRS, "found_by" => "head").increment(1);
        }
        self.known_head = self.known_head.max(last_seq);
        Ok(())
    }

    /// Reads the next page of what the bus did not bring.
    async fn read_on(&mut self) -> Result<(), FeedError> {
        let from = self.sequencer.expected();
        let page = retry_unavailable!(self.subscription.backlog(from))?;
        let first = page.first().and_then(|published| published.message());
        if first.is_none_or(|message| message.seq > from) {
            // The store lags behind what it has told, or has lost it: give it a moment.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for published in page.iter() {
            // Up to the known head the subscriber is known to have been a member; what the page
            // holds beyond it may have been sent after they were removed.
            if let Some(message) = published.message()
                && message.seq <= self.known_head
            {
                self.sequencer.hold(message.seq, Arc::clone(published));
            }
        }
        self.gap_since = None;
        Ok(())
    }
}
