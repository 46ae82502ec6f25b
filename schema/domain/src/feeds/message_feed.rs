//! Every message of a chat, exactly once and in order, over a bus that loses, doubles and
//! reorders.
//!
//! The feed knows the number of the message it delivers next. The bus brings messages quickly;
//! what it does not bring is read from the store: when a message comes whose forerunners are
//! missing, when the bus was interrupted, and on a slow heartbeat.
//!
//! Who is a member stands on the same line, as system messages. So the feed of one who is removed
//! ends behind the message that says so, wherever it came from, and nothing behind it gets out.

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
use super::sequencer::Sequencer;
use crate::access::{AccessError, Denied};
use crate::events::event::{Event, Published};
use crate::events::hub::Signal;
use crate::messages::model::{Message, MessageKind};
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
    /// The system message by which the subscriber joined. What the line says of them before it is
    /// past.
    joined_seq: Seq,
    /// Messages below this one are hidden from the subscriber.
    visible_from: Seq,
    /// Whether the message that ends the membership was delivered.
    is_over: bool,
    /// Since when the store does not have what it should.
    missing_since: Option<Instant>,
    /// Since when an early message waits.
    gap_since: Option<Instant>,
}

impl Feed for MessageFeed {
    type Item = Arc<Published>;

    async fn next(&mut self) -> Result<Arc<Published>, FeedError> {
        if self.is_over {
            return Err(AccessError::from(Denied::NotMember).into());
        }
        let message = self.next_on_line().await?;
        self.subscription.check_incarnation()?;
        if self.look_for_the_end(&message) {
            Box::pin(self.confirm()).await?;
        }
        Ok(message)
    }
}

impl MessageFeed {
    pub(super) async fn open(
        mut subscription: ChatSubscription,
        after: Option<Seq>,
    ) -> Result<Self, FeedError> {
        let place = Ends {
            seq: after.unwrap_or(0),
            change_seq: 0,
        };
        let head = subscription.head_reaching(place).await?;
        let head = head.ok_or(FeedError::Ahead)?;
        // In this order: what ends a membership that was read behind the head has a number above
        // the head, or above the membership's own.
        let membership = subscription.membership().await?;
        let after = after.unwrap_or(head.last_seq);
        let after = after.max(membership.before_visible());
        let limit = subscription.context.policy.replay_limit;
        if head.last_seq.saturating_sub(after) > limit {
            counter!(RESYNCS).increment(1);
            return Err(FeedError::ResyncRequired(limit));
        }
        Ok(Self {
            subscription,
            sequencer: Sequencer::new(after.saturating_add(1)),
            known_head: head.last_seq,
            joined_seq: membership.member().joined_seq,
            visible_from: membership.member().visible_from_seq,
            is_over: false,
            missing_since: None,
            gap_since: None,
        })
    }

    /// What a message that was told replies to; `None` where it is no reply.
    pub fn reply_target(&self, told: &Message) -> Option<ReplyTarget> {
        ReplyTarget::of(told, self.visible_from)
    }

    /// The next message of the line.
    async fn next_on_line(&mut self) -> Result<Arc<Published>, FeedError> {
        loop {
            if let Some(message) = self.sequencer.pop() {
                return Ok(message);
            }
            if self.sequencer.expected() <= self.known_head {
                // What is rarely done waits in a box, so that a feed that waits is small.
                Box::pin(self.read_on()).await?;
                continue;
            }
            match self.wait().await {
                Some(Signal::Event(event)) => {
                    if let Some(message) = self.take(event) {
                        return Ok(message);
                    }
                }
                Some(Signal::Missed(_) | Signal::Interrupted) => Box::pin(self.catch_up()).await?,
                // The wait was over: for a hole to fill by itself, or for the heartbeat.
                None => match self.sequencer.gap_before() {
                    Some(early) if self.gap_is_due() => self.repair(early),
                    _ => Box::pin(self.catch_up()).await?,
                },
            }
        }
    }

    /// Notes where the message ends the subscriber's membership. True where it cannot be read what
    /// the message did, so that the store has to say.
    fn look_for_the_end(&mut self, published: &Published) -> bool {
        let Some(message) = published.message() else {
            return false;
        };
        if message.seq <= self.joined_seq {
            return false;
        }
        match &message.notice {
            Some(notice) => {
                self.is_over = notice.removes(self.subscription.viewer.user_id);
                false
            }
            None => message.kind == MessageKind::System || message.mseq == message.seq,
        }
    }

    /// Makes sure that the subscriber is still a member.
    async fn confirm(&mut self) -> Result<(), FeedError> {
        retry_unavailable!(self.subscription.membership())?;
        Ok(())
    }

    /// Waits for a signal; `None` when the time is up.
    async fn wait(&mut self) -> Option<Signal> {
        // Asked of the sequencer and not remembered: what fills one hole may leave another.
        let grace = self.subscription.context.policy.reorder_grace;
        let gap_at = self.sequencer.gap_before().is_some().then(|| {
            let since = *self.gap_since.get_or_insert_with(Instant::now);
            since + grace
        });
        self.subscription.any_signal(gap_at).await
    }

    /// Whether a hole has had the time to fill by itself.
    fn gap_is_due(&self) -> bool {
        let grace = self.subscription.context.policy.reorder_grace;
        self.gap_since.is_some_and(|since| since.elapsed() >= grace)
    }

    /// Takes an event from the bus; returns the message where it is due.
    fn take(&mut self, event: Arc<Published>) -> Option<Arc<Published>> {
        let Event::MessageAdded { message } = &event.event else {
            return None;
        };
        let due = self.sequencer.offer(message.seq, Arc::clone(&event));
        match self.sequencer.gap_before() {
            None => self.gap_since = None,
            Some(early) if self.sequencer.waiting() > MAX_EARLY => self.repair(early),
            Some(_) => {
                self.gap_since.get_or_insert_with(Instant::now);
            }
        }
        due
    }

    /// Has the hole before an early message read from the store.
    fn repair(&mut self, early: Seq) {
        counter!(GAP_REPAIRS, "found_by" => "event").increment(1);
        self.known_head = self.known_head.max(early - 1);
    }

    /// Compares with the store after something may have been missed.
    async fn catch_up(&mut self) -> Result<(), FeedError> {
        let place = Ends {
            seq: self.sequencer.expected() - 1,
            change_seq: 0,
        };
        let last_seq = self.subscription.look(place).await?.last_seq;
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
            let context = &self.subscription.context;
            let since = *self.missing_since.get_or_insert_with(Instant::now);
            if since.elapsed() > context.policy.ahead_grace {
                counter!(RESYNCS).increment(1);
                return Err(FeedError::LineBroken);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Ok(());
        }
        self.missing_since = None;
        for published in page.iter() {
            if let Some(message) = published.message() {
                self.sequencer.hold(message.seq, Arc::clone(published));
            }
        }
        self.gap_since = None;
        Ok(())
    }
}
