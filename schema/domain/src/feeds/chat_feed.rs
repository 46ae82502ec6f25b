//! Which of a user's chats changed, and how each is now: what a sidebar needs. A burst of changes of
//! one chat is delivered as one. The chat is loaded once for all its viewers in the process (see
//! [`super::chat_states`]); what is the user's own is kept here (see [`super::viewer_chat`]).
//!
//! The feed remembers of each chat the ends and the membership that were told last. On every heartbeat
//! it compares all chats with the store, and after an interruption those that it concerns (see
//! [`super::recovery`]), so that none stays as it was because an event was lost.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use metrics::counter;
use tokio::time::Instant;

use super::chat_state::ChatState;
use super::context::FeedContext;
use super::counted::Counted;
use super::error::FeedError;
use super::feed::Feed;
use super::read_by_all::ReadByAll;
use super::readiness::{PAUSE, Readiness, readiness};
use super::recovery::Recoverer;
use super::retry::retry_unavailable;
use super::timer::Timer;
use super::told_chat::{News, Told};
use crate::chats::model::{ChatKind, Member};
use crate::events::event::{Event, Interest, Published, Topic};
use crate::events::hub::{Receiver, Signal};
use crate::id::{ChatId, UserId};
use crate::incarnation::Incarnation;
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
    /// Who is on the other side of direct chats that changed, where the store has just said so.
    peers: BTreeMap<ChatId, UserId>,
    /// To be compared with the store before anything is delivered.
    stale: BTreeSet<ChatId>,
    /// Chats that the user has joined and that are not shown yet: they are being made. What makes
    /// them shown changes no version of the user's own.
    unmade: BTreeSet<ChatId>,
    /// What the bus may not have brought.
    recoverer: Recoverer,
    /// Chats in which it may have moved how far all others have read.
    moved_marks: BTreeSet<ChatId>,
    /// Of which chats more was told than the store has, and since when.
    ahead: HashMap<ChatId, Instant>,
    /// The version of all the user's memberships together, as they were told; `None` where all are to
    /// be compared. Each only rises, so that none has changed while the sum has not.
    version: Option<u64>,
    /// The store's when the feed was opened.
    incarnation: Incarnation,
    /// All chats are to be compared at this time at the latest.
    compare_at: Instant,
    timer: Timer,
    /// Since when the first of the changed chats waits for the store or the bus, of which one is
    /// ahead of the other.
    waits_since: Option<Instant>,
}

/// A chat that looks different, or is new to the user.
#[derive(Clone, Debug)]
pub struct ChatItem {
    /// The chat, as all its viewers share it.
    pub state: Arc<ChatState>,
    /// The user's membership.
    pub member: Member,
    /// The store's incarnation.
    pub incarnation: Incarnation,
}

impl Feed for ChatFeed {
    type Item = ChatItem;

    async fn next(&mut self) -> Result<ChatItem, FeedError> {
        loop {
            self.context.check(self.incarnation)?;
            // First all that waits, so that changes of one chat meet.
            while let Some(signal) = self.receiver.try_recv() {
                self.take(&signal);
            }
            // What is seldom done is in boxes, so that an event needs no room for it.
            let recover_at = self.recoverer.at();
            if recover_at.is_some_and(|at| at <= Instant::now()) {
                Box::pin(self.recover()).await?;
            }
            if self.compare_at <= Instant::now() {
                Box::pin(self.compare_all()).await?;
            }
            if !self.stale.is_empty() {
                let stale = self.stale.iter().copied().collect();
                Box::pin(self.compare(stale)).await?;
            }
            if !self.moved_marks.is_empty() {
                let moved = self.moved_marks.iter().copied().collect();
                Box::pin(self.compare_marks(moved)).await?;
                self.moved_marks.clear();
            }
            if let Some(chat) = self.changed.front().copied() {
                if let Some(item) = self.deliver(chat).await? {
                    return Ok(item);
                }
            } else {
                let until = recover_at.map_or(self.compare_at, |at| at.min(self.compare_at));
                let signal = self.receiver.recv();
                if let Some(signal) = self.timer.until(until, signal).await {
                    self.take(&signal);
                }
            }
        }
    }
}

impl ChatFeed {
    /// How much of a delivered chat is unread; `None` where that is known for another place of the
    /// chat only.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn unread(&mut self, item: &ChatItem, of: Counted) -> Result<Option<u32>, FeedError> {
        let Some(told) = self.told.get_mut(&item.member.chat_id) else {
            return Ok(None);
        };
        let context = &self.context;
        Ok(told
            .unread_mut(of)
            .at(item.state.ends(), &item.member, context)
            .await?)
    }

    /// The same where it is in memory.
    pub fn known_unread(&self, item: &ChatItem, of: Counted) -> Option<u32> {
        let told = self.told.get(&item.member.chat_id)?;
        told.unread(of).known_at(item.state.ends())
    }

    /// How far all others have read of a delivered chat; `None` of a large group, and where there are no
    /// others.
    ///
    /// # Errors
    /// Where the store fails, which is seldom asked.
    pub async fn read_by_all(&mut self, item: &ChatItem) -> Result<Option<Seq>, FeedError> {
        let large = self.context.policy.large_groups;
        if large.contains(item.state.chat.member_count) {
            return Ok(None);
        }
        let chat = item.member.chat_id;
        let known = self.told.get(&chat).map(|told| told.read_by_all);
        if let Some(known) = known.filter(|known| known.is_exact()) {
            return Ok(known.seq());
        }
        let found = self.context.slowest_others(self.user, &[chat]).await?;
        let now = ReadByAll::of(found.get(&chat).copied().flatten());
        if let Some(told) = self.told.get_mut(&chat) {
            told.read_by_all = now;
        }
        Ok(now.seq())
    }

    /// The first of the changed chats; `None` where it has to wait, or there is nothing to tell.
    async fn deliver(&mut self, chat: ChatId) -> Result<Option<ChatItem>, FeedError> {
        let Some(told) = self.told.get_mut(&chat) else {
            self.drop_first();
            return Ok(None);
        };
        let (context, incarnation) = (&self.context, self.incarnation);
        let peer = self.peers.get(&chat).copied();
        match readiness(context, incarnation, told, peer, &mut self.waits_since).await? {
            Readiness::Ready(state) => {
                told.tell(state.ends());
                let member = told.member.clone();
                self.drop_first();
                return Ok(Some(ChatItem {
                    state,
                    member,
                    incarnation,
                }));
            }
            Readiness::Gone => self.drop_first(),
            Readiness::StoreIsBehind => tokio::time::sleep(PAUSE).await,
            Readiness::BusIsBehind(left) => {
                let (at, signal) = (Instant::now() + left, self.receiver.recv());
                if let Some(signal) = self.timer.until(at, signal).await {
                    self.take(&signal);
                }
            }
            Readiness::Unconfirmed => {
                let confirmed = told.confirmed;
                Box::pin(self.compare(vec![chat])).await?;
                if self.told.get(&chat).map(|told| told.confirmed) == Some(confirmed) {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        Ok(None)
    }

    fn drop_first(&mut self) {
        if let Some(chat) = self.changed.pop_front() {
            self.peers.remove(&chat);
        }
        self.waits_since = None;
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
            recoverer: context.recovery.join(),
            context,
            receiver,
            user,
            told: HashMap::new(),
            changed: VecDeque::new(),
            peers: BTreeMap::new(),
            stale: BTreeSet::new(),
            unmade: BTreeSet::new(),
            moved_marks: BTreeSet::new(),
            ahead: HashMap::new(),
            version: Some(version),
            incarnation,
            compare_at,
            timer: Timer::new(),
            waits_since: None,
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
                let mut told = Told::new(head, member);
                told.confirmed = head.applied_seq;
                feed.told.insert(chat, told);
            } else {
                feed.unmade.insert(chat);
            }
        }
        let chats = feed.told.keys().copied().collect();
        feed.compare_marks(chats).await?;
        feed.changed.clear();
        feed.peers.clear();
        Ok(feed)
    }

    fn take(&mut self, signal: &Signal) {
        let published = match signal {
            Signal::Event(event) => event,
            Signal::Missed(topic) => return self.recoverer.note(Some(*topic)),
            Signal::Interrupted => return self.recoverer.note(None),
        };
        match &published.event {
            // The state of the user's own, whose version the event does not carry.
            Event::ChatJoined { chat_id }
            | Event::ViewerChatChanged { chat_id }
            | Event::ChatLeft { chat_id, .. } => {
                self.stale.insert(*chat_id);
            }
            Event::ReadReceipt { receipt, .. } if receipt.user_id == self.user => {
                self.stale.insert(receipt.chat_id);
            }
            Event::ReadReceipt {
                receipt,
                chat_kind: ChatKind::Group,
                ..
            } => {
                let told = self.told.get(&receipt.chat_id);
                if told.is_some_and(|told| told.may_be_moved_by(receipt.user_id)) {
                    self.moved_marks.insert(receipt.chat_id);
                }
            }
            event => {
                if let Some(chat) = event.chat_changed_for(self.user) {
                    self.note(chat, published);
                }
            }
        }
    }

    /// Notes that an event changes a chat.
    fn note(&mut self, chat: ChatId, published: &Arc<Published>) {
        let Some(told) = self.told.get_mut(&chat) else {
            return;
        };
        let news = told.take(published, self.user);
        if published
            .message()
            .is_some_and(|message| message.notice.is_some())
        {
            self.moved_marks.insert(chat);
        }
        match news {
            News::Old => return,
            News::Known => {}
            News::OfMembership => {
                self.stale.insert(chat);
            }
        }
        self.mark(chat);
    }

    fn mark(&mut self, chat: ChatId) {
        if !self.changed.contains(&chat) {
            self.changed.push_back(chat);
        }
    }

    /// Compares with the store what the bus may not have brought.
    async fn recover(&mut self) -> Result<(), FeedError> {
        let (_turn, missed) = self.recoverer.turn().await;
        let is_same = if missed.all {
            false
        } else {
            let version = retry_unavailable!(self.context.version_of(self.user))?;
            self.version == Some(version)
        };
        if missed.all || (missed.own && !is_same) {
            self.compare_all().await?;
        } else if is_same {
            let known = |chat: &ChatId| self.told.contains_key(chat);
            let (known, others): (Vec<_>, Vec<_>) = missed.chats.into_iter().partition(known);
            self.stale.extend(others);
            self.moved_marks.extend(&known);
            self.compare_ends(known).await?;
        } else {
            self.moved_marks.extend(&missed.chats);
            self.stale.extend(missed.chats);
            self.compare(self.stale.iter().copied().collect()).await?;
        }
        self.recoverer.done();
        Ok(())
    }

    /// Compares the ends of these chats with what was told of them.
    async fn compare_ends(&mut self, chats: Vec<ChatId>) -> Result<(), FeedError> {
        let heads = retry_unavailable!(self.context.heads(&chats))?;
        for (chat, head) in heads {
            if let Some(told) = self.told.get(&chat) {
                let now = Told::new(&head, told.member.clone());
                self.tell(chat, now);
            }
        }
        Ok(())
    }

    /// Compares all chats with the store.
    async fn compare_all(&mut self) -> Result<(), FeedError> {
        self.compare_at = self.context.heartbeats.next();
        // Before the memberships: what changes meanwhile is found the next time.
        let version = retry_unavailable!(self.context.version_of(self.user))?;
        let known = self.told.keys().copied();
        if self.version == Some(version) {
            // The chats are the same ones, and so is what the user has of them.
            let chats = known.collect();
            self.compare_ends(chats).await?;
            if !self.unmade.is_empty() {
                self.compare(self.unmade.iter().copied().collect()).await?;
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
        let chats = self.told.keys().copied().collect();
        self.compare_marks(chats).await
    }

    /// Compares how far all others have read of these chats with what was told: that is on no line, and
    /// changes no version of the user's own. Of large groups it is not told.
    async fn compare_marks(&mut self, chats: Vec<ChatId>) -> Result<(), FeedError> {
        let large = self.context.policy.large_groups;
        let mut known = Vec::with_capacity(chats.len());
        for chat in chats {
            match self.told.get_mut(&chat) {
                Some(told) if !large.contains(told.member_count) => known.push(chat),
                Some(told) => told.read_by_all = ReadByAll::Unknown,
                None => {}
            }
        }
        let marks = retry_unavailable!(self.context.slowest_others(self.user, &known))?;
        for (chat, slowest) in marks {
            let Some(told) = self.told.get_mut(&chat) else {
                continue;
            };
            let (now, is_direct) = (ReadByAll::of(slowest), told.is_direct());
            let is_outdated = told.read_by_all.is_outdated_by(now);
            told.read_by_all = now;
            if is_outdated {
                self.mark(chat);
            }
            // Of a direct chat the other side is the only one.
            let peer = slowest.filter(|_| is_direct && self.changed.contains(&chat));
            self.peers.extend(peer.map(|peer| (chat, peer.user_id)));
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
        let (heads, mut members) = retry_unavailable!(self.context.standing(self.user, &chats))?;
        for chat in chats {
            self.stale.remove(&chat);
            self.unmade.remove(&chat);
            let (head, member) = (heads.get(&chat), members.remove(&chat));
            if head.is_none() && member.is_some() {
                self.unmade.insert(chat);
            }
            let (Some(head), Some(member)) = (head, member) else {
                self.told.remove(&chat);
                self.moved_marks.remove(&chat);
                self.peers.remove(&chat);
                self.ahead.remove(&chat);
                self.changed.retain(|changed| *changed != chat);
                self.waits_since = None;
                self.receiver.unfollow(Topic::Chat(chat));
                continue;
            };
            // Behind the ends: the user was a member when these were reached.
            let mut now = Told::new(head, member);
            now.confirmed = head.applied_seq;
            self.tell(chat, now);
        }
        Ok(())
    }

    /// Has a chat told that does not stand any more as it was told.
    fn tell(&mut self, chat: ChatId, now: Told) {
        let Some(told) = self.told.get_mut(&chat) else {
            if !now.is_direct() {
                self.moved_marks.insert(chat);
            }
            self.told.insert(chat, now);
            self.mark(chat);
            return;
        };
        let before = told.place();
        let mut newest = before.max(now.place());
        if newest == now.place() {
            self.ahead.remove(&chat);
            told.update(now);
        } else {
            // A store that has failed over may tell of an older state for a moment. What stays
            // older was set back.
            let grace = self.context.policy.ahead_grace;
            let since = *self.ahead.entry(chat).or_insert_with(Instant::now);
            if since.elapsed() < grace {
                self.compare_at = self.compare_at.min(since + grace);
                self.version = None;
                told.update(now);
            } else {
                counter!(RESYNCS).increment(1);
                self.ahead.remove(&chat);
                newest = now.place();
                *told = now;
            }
        }
        if let Some(version) = &mut self.version {
            let risen = newest.version.saturating_sub(before.version);
            *version = version.saturating_add(risen.into());
        }
        if before != newest {
            self.mark(chat);
        }
    }
}
