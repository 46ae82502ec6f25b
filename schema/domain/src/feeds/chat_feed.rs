//! Which of a user's chats changed: what a sidebar needs. It names the chat; the state is read
//! when it is delivered, so that a burst of changes of one chat is delivered as one.
//!
//! The feed remembers of each chat the ends and the version of the membership that were told last.
//! After an interruption and on every heartbeat it compares all chats with the store, so that none
//! stays as it was because an event was lost.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use metrics::counter;
use tokio::time::Instant;

use super::context::FeedContext;
use super::error::FeedError;
use super::feed::Feed;
use super::retry::retry_unavailable;
use crate::chats::model::Member;
use crate::events::event::{Event, Interest, Topic};
use crate::events::hub::{Receiver, Signal};
use crate::id::{ChatId, UserId};
use crate::incarnation::Incarnation;
use crate::messages::store::Head;
use crate::metrics::RESYNCS;
use crate::seq::Seq;

/// The changing chats of one subscriber.
pub struct ChatFeed {
    context: Arc<FeedContext>,
    receiver: Receiver,
    user: UserId,
    /// The user's chats, as they were told last.
    told: HashMap<ChatId, Told>,
    /// Changed and not delivered yet, each once.
    changed: VecDeque<ChatId>,
    /// To be compared with the store before anything is delivered.
    stale: BTreeSet<ChatId>,
    /// Of which chats more was told than the store has, and since when.
    ahead: HashMap<ChatId, Instant>,
    /// The version of all the user's memberships together, as they were told; `None` where all are to
    /// be compared. Each only rises, so that none has changed while the sum has not.
    version: Option<u64>,
    /// The store's when the feed was opened.
    incarnation: Incarnation,
    /// All chats are to be compared at this time at the latest.
    compare_at: Instant,
}

/// What was told of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    last_seq: Seq,
    last_change_seq: Seq,
    joined_seq: Seq,
    version: u32,
}

impl Told {
    fn new(head: &Head, member: &Member) -> Self {
        Self {
            last_seq: head.last_seq,
            last_change_seq: head.last_change_seq,
            joined_seq: member.joined_seq,
            version: member.version,
        }
    }

    /// The same with these ends.
    const fn at(self, head: &Head) -> Self {
        Self {
            last_seq: head.last_seq,
            last_change_seq: head.last_change_seq,
            ..self
        }
    }

    /// What is newer of both, part by part.
    fn max(self, other: Self) -> Self {
        Self {
            last_seq: self.last_seq.max(other.last_seq),
            last_change_seq: self.last_change_seq.max(other.last_change_seq),
            joined_seq: self.joined_seq.max(other.joined_seq),
            version: self.version.max(other.version),
        }
    }
}

impl Feed for ChatFeed {
    type Item = ChatId;

    async fn next(&mut self) -> Result<ChatId, FeedError> {
        loop {
            self.context.check(self.incarnation)?;
            // First all that waits, so that changes of one chat meet.
            while let Some(signal) = self.receiver.try_recv() {
                self.take(&signal);
            }
            if self.compare_at <= Instant::now() {
                self.compare_all().await?;
            }
            if !self.stale.is_empty() {
                self.compare(self.stale.iter().copied().collect()).await?;
            }
            if let Some(chat) = self.changed.pop_front() {
                return Ok(chat);
            }
            if let Ok(signal) = tokio::time::timeout_at(self.compare_at, self.receiver.recv()).await
            {
                self.take(&signal);
            }
        }
    }
}

impl ChatFeed {
    pub(super) async fn open(context: Arc<FeedContext>, user: UserId) -> Result<Self, FeedError> {
        let interest = Interest::MESSAGES
            .and(Interest::CHANGES)
            .and(Interest::RECEIPTS)
            .and(Interest::MEMBERSHIP);
        let incarnation = context.incarnation.current().await?;
        let ids = context.chat_ids_of(user).await?;
        // All with one round trip.
        let chats = ids.iter().map(|chat| Topic::Chat(*chat));
        let topics: Vec<_> = chats.chain([Topic::User(user)]).collect();
        let receiver = context.bus.subscribe(interest, &topics).await?;
        let compare_at = context.heartbeats.next();
        // Before the memberships: what changes meanwhile is found when all are compared.
        let version = context.version_of(user).await?;
        let mut feed = Self {
            context,
            receiver,
            user,
            told: HashMap::new(),
            changed: VecDeque::new(),
            stale: BTreeSet::new(),
            ahead: HashMap::new(),
            version: Some(version),
            incarnation,
            compare_at,
        };
        // The client asks for its chats behind this: it has all of them as they are now.
        let ids = feed.context.chat_ids_of(user).await?;
        for chat in &ids {
            let topic = Topic::Chat(*chat);
            feed.context.bus.follow(&mut feed.receiver, topic).await?;
        }
        let (heads, members) = feed.context.standing(user, &ids).await?;
        for (chat, member) in members {
            if let Some(head) = heads.get(&chat) {
                feed.told.insert(chat, Told::new(head, &member));
            }
        }
        Ok(feed)
    }

    fn take(&mut self, signal: &Signal) {
        let event = match signal {
            Signal::Event(event) => event,
            Signal::Missed(Topic::Chat(chat)) => {
                self.stale.insert(*chat);
                return;
            }
            Signal::Missed(_) | Signal::Interrupted => {
                self.compare_at = Instant::now();
                return;
            }
        };
        match &event.event {
            // The state of the user's own, whose version the event does not carry.
            Event::ChatJoined { chat_id }
            | Event::ViewerChatChanged { chat_id }
            | Event::ChatLeft { chat_id, .. } => {
                self.stale.insert(*chat_id);
            }
            Event::ReadReceipt { receipt, .. } if receipt.user_id == self.user => {
                self.stale.insert(receipt.chat_id);
            }
            event => {
                if let Some(chat) = event.chat_changed_for(self.user) {
                    self.note(chat, event);
                }
            }
        }
    }

    /// Notes that an event changes a chat.
    fn note(&mut self, chat: ChatId, event: &Event) {
        let Some(told) = self.told.get_mut(&chat) else {
            return;
        };
        match event {
            // Late: what it says is in what was told.
            Event::MessageAdded { message } if message.seq <= told.last_seq => return,
            Event::MessageChanged { message, .. } if message.change_seq <= told.last_change_seq => {
                return;
            }
            Event::MessageAdded { message } => {
                // It may say something of the user, and so change the version.
                if let Some(notice) = &message.notice
                    && notice
                        .effects
                        .iter()
                        .any(|effect| effect.user_id == self.user)
                {
                    self.stale.insert(chat);
                }
                told.last_seq = told.last_seq.max(message.seq);
            }
            Event::MessageChanged { message, .. } => {
                told.last_change_seq = told.last_change_seq.max(message.change_seq);
            }
            _ => {}
        }
        self.mark(chat);
    }

    fn mark(&mut self, chat: ChatId) {
        if !self.changed.contains(&chat) {
            self.changed.push_back(chat);
        }
    }

    /// Compares all chats with the store.
    async fn compare_all(&mut self) -> Result<(), FeedError> {
        self.compare_at = self.context.heartbeats.next();
        // Before the memberships: what changes meanwhile is found the next time.
        let version = retry_unavailable!(self.context.version_of(self.user))?;
        let known = self.told.keys().copied();
        if self.version == Some(version) {
            // The chats are the same ones, and so is what the user has of them.
            let chats: Vec<_> = known.collect();
            let heads = retry_unavailable!(self.context.heads(&chats))?;
            for (chat, head) in heads {
                if let Some(told) = self.told.get(&chat).copied() {
                    self.tell(chat, told.at(&head));
                }
            }
        } else {
            let ids = retry_unavailable!(self.context.chat_ids_of(self.user))?;
            let chats: BTreeSet<_> = ids.into_iter().chain(known).collect();
            self.version = None;
            self.compare(chats.into_iter().collect()).await?;
            if self.ahead.is_empty() {
                self.version = Some(version);
            }
        }
        Ok(())
    }

    /// Compares these chats with what was told of them, and marks those that differ.
    async fn compare(&mut self, chats: Vec<ChatId>) -> Result<(), FeedError> {
        for chat in &chats {
            if !self.told.contains_key(chat) {
                let (bus, topic) = (&self.context.bus, Topic::Chat(*chat));
                retry_unavailable!(bus.follow(&mut self.receiver, topic))?;
            }
        }
        let (heads, members) = retry_unavailable!(self.context.standing(self.user, &chats))?;
        for chat in chats {
            self.stale.remove(&chat);
            let (Some(head), Some(member)) = (heads.get(&chat), members.get(&chat)) else {
                self.told.remove(&chat);
                self.ahead.remove(&chat);
                self.changed.retain(|changed| *changed != chat);
                self.receiver.unfollow(Topic::Chat(chat));
                continue;
            };
            self.tell(chat, Told::new(head, member));
        }
        Ok(())
    }

    /// Has a chat told that does not stand any more as it was told.
    fn tell(&mut self, chat: ChatId, now: Told) {
        let before = self.told.get(&chat).copied();
        let mut newest = before.map_or(now, |before| before.max(now));
        if newest == now {
            self.ahead.remove(&chat);
        } else {
            // A store that has failed over may tell of an older state for a moment. What stays
            // older was set back.
            let grace = self.context.policy.ahead_grace;
            let since = *self.ahead.entry(chat).or_insert_with(Instant::now);
            if since.elapsed() < grace {
                self.compare_at = self.compare_at.min(since + grace);
                self.version = None;
            } else {
                counter!(RESYNCS).increment(1);
                self.ahead.remove(&chat);
                newest = now;
            }
        }
        if let (Some(before), Some(version)) = (before, &mut self.version) {
            let risen = newest.version.saturating_sub(before.version);
            *version = version.saturating_add(risen.into());
        }
        if before != Some(newest) {
            self.told.insert(chat, newest);
            self.mark(chat);
        }
    }
}
