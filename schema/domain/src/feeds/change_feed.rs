//! Every changed message of a chat as it is now, in the order of the changes, over a bus that
//! loses, doubles and reorders.
//!
//! A message keeps the number of its latest change only, so that the line has gaps where a change
//! was superseded by a later one of the same message. What comes from the bus is delivered where
//! it is the next number; else the store is read, whose rows only ever move to greater numbers: a
//! page of it leaves out nothing up to its last row. So the feed's place is the greatest number
//! that it has received, and never a head that it read elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::time::Instant;

use super::chat_subscription::ChatSubscription;
use super::ends::Ends;
use super::error::FeedError;
use super::feed::Feed;
use super::reply_target::ReplyTarget;
use super::retry::retry_unavailable;
use crate::cursor::MessageCursor;
use crate::events::event::{Event, Published};
use crate::events::hub::Signal;
use crate::messages::model::Message;
use crate::metrics::{GAP_REPAIRS, RESYNCS};
use crate::seq::Seq;

/// How many early changes wait for a gap to fill before the store is read at once.
const MAX_EARLY: usize = 128;

/// The changed messages of one chat for one subscriber.
pub struct ChangeFeed {
    subscription: ChatSubscription,
    /// The number of the last change that was received.
    place: Seq,
    /// Up to here the line is known to go; what was not received of it is in the store.
    known_head: Seq,
    /// Received, in order, and not delivered yet.
    ready: VecDeque<Arc<Published>>,
    /// Came early.
    early: BTreeMap<Seq, Arc<Published>>,
    /// Since when an early change waits.
    gap_since: Option<Instant>,
    /// Since when the store does not have what it should.
    missing_since: Option<Instant>,
    /// Messages below this one are hidden from the subscriber.
    visible_from: Seq,
    /// The place on the line of messages that cursors of this feed repeat.
    seq: Seq,
}

/// A changed message and the place behind its change.
#[derive(Clone, Debug)]
pub struct ChangeItem {
    /// The change, with the message now.
    pub change: Arc<Published>,
    /// The place.
    pub cursor: MessageCursor,
}

impl Feed for ChangeFeed {
    type Item = ChangeItem;

    async fn next(&mut self) -> Result<ChangeItem, FeedError> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                self.subscription.check_incarnation()?;
                let Some(message) = change.message() else {
                    continue;
                };
                if message.seq < self.visible_from {
                    continue;
                }
                let cursor = MessageCursor {
                    chat_id: message.chat_id,
                    incarnation: self.subscription.incarnation,
                    seq: self.seq,
                    change_seq: Some(message.change_seq),
                };
                return Ok(ChangeItem { change, cursor });
            }
            if self.place < self.known_head {
                self.read_on().await?;
                continue;
            }
            match self.wait().await? {
                Some(Signal::Event(event)) => self.take(&event),
                Some(Signal::Missed(_) | Signal::Interrupted) => self.catch_up().await?,
                // The wait was over: for a gap to fill by itself, or for the heartbeat.
                None => match self.early.last_key_value() {
                    Some((&last, _)) if self.gap_is_due() => self.repair(last),
                    _ => self.catch_up().await?,
                },
            }
        }
    }
}

impl ChangeFeed {
    pub(super) async fn open(
        mut subscription: ChatSubscription,
        after: Option<MessageCursor>,
    ) -> Result<Self, FeedError> {
        // A cursor that says nothing of changes stands before all of them.
        let after = after.map(|cursor| (cursor.seq, cursor.change_seq.unwrap_or(0)));
        let place = Ends {
            seq: 0,
            change_seq: after.map_or(0, |(_, place)| place),
        };
        let head = subscription.head_reaching(place).await?;
        let head = head.ok_or(FeedError::Ahead)?;
        let membership = subscription.membership().await?;
        subscription.confirm(head.applied_seq).await?;
        let (seq, place) = after.unwrap_or((head.last_seq, head.last_change_seq));
        let limit = subscription.context.policy.replay_limit;
        if head.last_change_seq.saturating_sub(place) > limit {
            counter!(RESYNCS).increment(1);
            return Err(FeedError::ResyncRequired(limit));
        }
        Ok(Self {
            subscription,
            place,
            known_head: head.last_change_seq,
            ready: VecDeque::new(),
            early: BTreeMap::new(),
            gap_since: None,
            missing_since: None,
            visible_from: membership.member().visible_from_seq,
            seq,
        })
    }

    /// What a message whose change was told replies to; `None` where it is no reply.
    pub fn reply_target(&self, told: &Message) -> Option<ReplyTarget> {
        ReplyTarget::of(told, self.visible_from)
    }

    /// Waits for a signal; `None` when the time is up.
    async fn wait(&mut self) -> Result<Option<Signal>, FeedError> {
        let grace = self.subscription.context.policy.reorder_grace;
        let gap_at = (!self.early.is_empty()).then(|| {
            let since = *self.gap_since.get_or_insert_with(Instant::now);
            since + grace
        });
        self.subscription.signal(gap_at).await
    }

    /// Whether a gap has had the time to fill by itself.
    fn gap_is_due(&self) -> bool {
        let grace = self.subscription.context.policy.reorder_grace;
        self.gap_since.is_some_and(|since| since.elapsed() >= grace)
    }

    /// Takes an event from the bus.
    fn take(&mut self, event: &Arc<Published>) {
        let Event::MessageChanged { message, .. } = &event.event else {
            return;
        };
        if message.change_seq > self.place {
            self.early.insert(message.change_seq, Arc::clone(event));
        }
        self.take_due();
        match self.early.last_key_value() {
            None => self.gap_since = None,
            Some((&last, _)) if self.early.len() > MAX_EARLY => self.repair(last),
            Some(_) => {
                self.gap_since.get_or_insert_with(Instant::now);
            }
        }
    }

    /// Takes the early changes whose turn has come, and drops those whose turn is over.
    fn take_due(&mut self) {
        while let Some(entry) = self.early.first_entry()
            && *entry.key() <= self.place.saturating_add(1)
        {
            let (number, change) = entry.remove_entry();
            if number > self.place {
                self.place = number;
                self.ready.push_back(change);
            }
        }
    }

    /// Has the gap before an early change read from the store.
    fn repair(&mut self, early: Seq) {
        counter!(GAP_REPAIRS, "found_by" => "event").increment(1);
        self.known_head = self.known_head.max(early);
    }

    /// Compares with the store after something may have been missed.
    async fn catch_up(&mut self) -> Result<(), FeedError> {
        let place = Ends {
            seq: 0,
            change_seq: self.place,
        };
        let head = self.subscription.look(place).await?;
        self.subscription.confirm(head.applied_seq).await?;
        let limit = self.subscription.context.policy.replay_limit;
        if head.last_change_seq.saturating_sub(self.place) > limit {
            counter!(RESYNCS).increment(1);
            return Err(FeedError::ResyncRequired(limit));
        }
        if head.last_change_seq > self.place {
            counter!(GAP_REPAIRS, "found_by" => "head").increment(1);
        }
        self.known_head = self.known_head.max(head.last_change_seq);
        Ok(())
    }

    /// Reads the next page of what the bus did not bring.
    async fn read_on(&mut self) -> Result<(), FeedError> {
        let (context, chat) = (&self.subscription.context, self.subscription.chat);
        let page = retry_unavailable!(context.changes(chat, self.place))?;
        if page.items.is_empty() {
            // The store lags behind what it has told, or has lost it: give it a moment.
            let since = *self.missing_since.get_or_insert_with(Instant::now);
            if since.elapsed() > context.policy.ahead_grace {
                counter!(RESYNCS).increment(1);
                return Err(FeedError::LineBroken);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Ok(());
        }
        self.missing_since = None;
        // Behind the rows: whoever was removed before one of them was made is known to be.
        let head = retry_unavailable!(self.subscription.head())?;
        self.subscription.confirm(head.applied_seq).await?;
        for message in page.items {
            if message.change_seq > self.place {
                self.place = message.change_seq;
                let mseq = head.applied_seq;
                let change = Published::new(Event::MessageChanged { message, mseq });
                self.ready.push_back(change);
            }
        }
        self.take_due();
        if self.early.is_empty() {
            self.gap_since = None;
        }
        Ok(())
    }
}
