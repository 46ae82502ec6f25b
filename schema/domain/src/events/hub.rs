//! The fan-out within a process: topics, and the bounded mailbox of each receiver.
//!
//! A mailbox that is full is emptied, and its feed is told of which topics events were dropped: what
//! they said is in the store, and the feed reads it there. So a slow feed costs no memory and delays
//! nobody.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use futures_util::task::AtomicWaker;
use metrics::counter;
use parking_lot::Mutex;

use super::event::{Interest, Published, Topic};
use crate::metrics::{BUS_INTERRUPTIONS, MAILBOX_OVERFLOWS};

/// What a receiver is told.
#[derive(Clone, Debug)]
pub enum Signal {
    /// Something happened.
    Event(Arc<Published>),
    /// Events of this topic may have been missed.
    Missed(Topic),
    /// Events of any topic may have been missed.
    Interrupted,
}

/// How many topics an interruption names at most: beyond, it concerns all. A sidebar of 200 chats that
/// loses one of three servers of a bus is told of the third that this server carried.
const MAX_MISSED: usize = 256;

#[derive(Debug)]
struct Mailbox {
    /// The receiver's.
    id: u64,
    interest: Interest,
    capacity: usize,
    state: Mutex<MailboxState>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct MailboxState {
    queue: VecDeque<(Topic, Arc<Published>)>,
    missed: BTreeSet<Topic>,
    interrupted: bool,
}

impl MailboxState {
    /// What waits goes: the state that is read on account of the interruption is newer.
    fn interrupt(&mut self) {
        self.queue = VecDeque::new();
        self.missed = BTreeSet::new();
        self.interrupted = true;
    }

    /// What waits stays, as it may be of other topics: it comes behind the news.
    fn miss(&mut self, topic: Topic) {
        if self.interrupted {
            return;
        }
        self.missed.insert(topic);
        if self.missed.len() > MAX_MISSED {
            self.interrupt();
        }
    }

    /// What waits goes, and so does an event of this topic.
    fn overflow(&mut self, topic: Topic) {
        let dropped = std::mem::take(&mut self.queue);
        let topics = dropped.into_iter().map(|(topic, _)| topic);
        for topic in topics.chain([topic]) {
            self.miss(topic);
        }
    }
}

impl Mailbox {
    fn put(&self, topic: Topic, event: &Arc<Published>) {
        {
            let mut state = self.state.lock();
            if state.queue.len() >= self.capacity {
                state.overflow(topic);
                counter!(MAILBOX_OVERFLOWS).increment(1);
            } else {
                state.queue.push_back((topic, Arc::clone(event)));
            }
        }
        self.waker.wake();
    }

    fn interrupt(&self) {
        self.state.lock().interrupt();
        self.waker.wake();
    }

    fn miss(&self, topic: Topic) {
        self.state.lock().miss(topic);
        self.waker.wake();
    }

    fn take(&self) -> Option<Signal> {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.interrupted) {
            return Some(Signal::Interrupted);
        }
        if let Some(topic) = state.missed.pop_first() {
            return Some(Signal::Missed(topic));
        }
        let (_, event) = state.queue.pop_front()?;
        if state.queue.is_empty() && state.queue.capacity() > 4 {
            state.queue = VecDeque::new();
        }
        Some(Signal::Event(event))
    }
}

/// The mailboxes of a topic's followers, by their ids. An account follows hundreds of topics, and of
/// each has a place here: a pointer, where a hash map takes several times that.
#[derive(Debug, Default)]
struct Mailboxes(Vec<Arc<Mailbox>>);

impl Mailboxes {
    fn place(&self, id: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |mailbox| mailbox.id)
    }

    fn values(&self) -> impl Iterator<Item = &Arc<Mailbox>> {
        self.0.iter()
    }

    /// Whether it was not there. Ids rise, so that a new follower's place is at the end.
    fn insert(&mut self, mailbox: &Arc<Mailbox>) -> bool {
        let place = self.place(mailbox.id);
        if let Err(place) = place {
            // A quarter more, where a vector doubles: most topics have one follower or two, and those
            // of a large group many.
            if self.0.len() == self.0.capacity() {
                self.0.reserve_exact(self.0.len() / 4 + 1);
            }
            self.0.insert(place, Arc::clone(mailbox));
        }
        place.is_err()
    }

    fn remove(&mut self, id: u64) {
        if let Ok(place) = self.place(id) {
            self.0.remove(place);
            if self.0.len() < self.0.capacity() / 4 {
                self.0.shrink_to(self.0.len() * 2);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Is told when the last follower of a topic has left.
pub trait TopicWatcher: Send + Sync {
    /// Nobody follows the topic any more, unless somebody has begun to meanwhile: ask
    /// [`Hub::is_followed`]. Must not block; is called where receivers are dropped.
    fn unfollowed(&self, topic: Topic);
}

/// All topics that somebody in this process follows.
pub struct Hub {
    topics: DashMap<Topic, Mailboxes>,
    next_id: AtomicU64,
    capacity: usize,
    watcher: Option<Arc<dyn TopicWatcher>>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("topics", &self.topics)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// A hub whose receivers hold at most `capacity` undelivered events each.
    pub fn new(capacity: usize) -> Arc<Self> {
        Self::make(capacity, None)
    }

    /// The same, with somebody who is told of unfollowed topics: for a bus that subscribes
    /// elsewhere to what is followed here.
    pub fn watched(capacity: usize, watcher: Arc<dyn TopicWatcher>) -> Arc<Self> {
        Self::make(capacity, Some(watcher))
    }

    fn make(capacity: usize, watcher: Option<Arc<dyn TopicWatcher>>) -> Arc<Self> {
        Arc::new(Self {
            topics: DashMap::new(),
            next_id: AtomicU64::new(0),
            capacity: capacity.max(1),
            watcher,
        })
    }

    /// A receiver that follows nothing yet.
    pub fn receiver(self: &Arc<Self>, interest: Interest) -> Receiver {
        let mailbox = Mailbox {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            interest,
            capacity: self.capacity,
            state: Mutex::default(),
            waker: AtomicWaker::new(),
        };
        Receiver {
            hub: Arc::clone(self),
            mailbox: Arc::new(mailbox),
            topics: Vec::new(),
        }
    }

    /// A receiver that follows these topics in this process.
    pub fn follower(self: &Arc<Self>, interest: Interest, topics: &[Topic]) -> Receiver {
        let mut receiver = self.receiver(interest);
        receiver.topics.reserve_exact(topics.len());
        for topic in topics {
            receiver.follow(*topic);
        }
        receiver
    }

    /// Puts an event in the mailbox of each interested follower of the topic.
    pub fn deliver(&self, topic: Topic, event: &Arc<Published>) {
        let kind = event.event.interest();
        if let Some(mailboxes) = self.topics.get(&topic) {
            for mailbox in mailboxes
                .values()
                .filter(|mailbox| mailbox.interest.meets(kind))
            {
                mailbox.put(topic, event);
            }
        }
    }

    /// Tells the topic's followers that events may have been missed.
    pub fn interrupt(&self, topic: Topic) {
        self.interrupt_each(&[topic]);
    }

    /// Tells the followers of each of these topics that events of it may have been missed.
    pub fn interrupt_each(&self, topics: &[Topic]) {
        counter!(BUS_INTERRUPTIONS).increment(1);
        for topic in topics {
            if let Some(mailboxes) = self.topics.get(topic) {
                for mailbox in mailboxes.values() {
                    mailbox.miss(*topic);
                }
            }
        }
    }

    /// Tells all receivers that events may have been missed.
    pub fn interrupt_all(&self) {
        counter!(BUS_INTERRUPTIONS).increment(1);
        for mailboxes in &self.topics {
            for mailbox in mailboxes.values() {
                mailbox.interrupt();
            }
        }
    }

    /// Whether anybody follows the topic.
    pub fn is_followed(&self, topic: Topic) -> bool {
        self.topics.contains_key(&topic)
    }

    /// How many topics are followed.
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }
}

/// The receiving end of a feed. Follows nothing any more once it is dropped.
#[derive(Debug)]
pub struct Receiver {
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    topics: Vec<Topic>,
}

impl Receiver {
    /// Follows a topic in this process. A bus that spans processes calls it once its own
    /// subscription stands.
    pub fn follow(&mut self, topic: Topic) {
        let fresh = self
            .hub
            .topics
            .entry(topic)
            .or_default()
            .insert(&self.mailbox);
        if fresh {
            self.topics.push(topic);
        }
    }

    /// Whether the topic is followed.
    pub fn follows(&self, topic: Topic) -> bool {
        self.topics.contains(&topic)
    }

    /// Follows a topic no longer.
    pub fn unfollow(&mut self, topic: Topic) {
        if let Some(index) = self.topics.iter().position(|known| *known == topic) {
            self.topics.swap_remove(index);
            leave(&self.hub, self.mailbox.id, topic);
        }
    }

    /// What waits in the mailbox, without waiting for more.
    pub fn try_recv(&mut self) -> Option<Signal> {
        self.mailbox.take()
    }

    /// The next signal. Cancel-safe: dropping the future loses nothing.
    pub async fn recv(&mut self) -> Signal {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Signal> {
        if let Some(signal) = self.mailbox.take() {
            return Poll::Ready(signal);
        }
        self.mailbox.waker.register(cx.waker());
        // An event may have come between the look and the registration.
        self.mailbox.take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        for topic in self.topics.drain(..) {
            leave(&self.hub, self.mailbox.id, topic);
        }
    }
}

fn leave(hub: &Hub, id: u64, topic: Topic) {
    let mut unfollowed = false;
    if let Entry::Occupied(mut mailboxes) = hub.topics.entry(topic) {
        mailboxes.get_mut().remove(id);
        if mailboxes.get().is_empty() {
            mailboxes.remove();
            unfollowed = true;
        }
    }
    // The map is no longer locked here: the watcher may ask it.
    if unfollowed && let Some(watcher) = &hub.watcher {
        watcher.unfollowed(topic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::bus::Bus as _;
    use crate::events::event::Event;
    use crate::events::local_bus::LocalBus;
    use crate::id::{self, ChatId, UserId};

    fn chat() -> ChatId {
        id::from_bytes([1; 16])
    }

    fn topic(n: usize) -> Topic {
        Topic::Chat(id::from_bytes((n as u128).to_be_bytes()))
    }

    fn typing(user: u8) -> Event {
        Event::Typing {
            chat_id: chat(),
            user_id: id::from_bytes([user; 16]),
            is_typing: true,
            mseq: 0,
        }
    }

    fn typist(signal: &Signal) -> UserId {
        match signal {
            Signal::Event(event) => match event.event {
                Event::Typing { user_id, .. } => user_id,
                _ => panic!("another event"),
            },
            Signal::Missed(_) | Signal::Interrupted => panic!("interrupted"),
        }
    }

    #[tokio::test]
    async fn a_receiver_gets_what_it_wants_of_what_it_follows() {
        let hub = Hub::new(8);
        let bus = LocalBus::new(Arc::clone(&hub));
        let topic = Topic::Chat(chat());
        let mut typists = bus.subscribe(Interest::TYPING, &[topic]).await.unwrap();
        let mut others = bus.subscribe(Interest::MESSAGES, &[topic]).await.unwrap();
        bus.publish(topic, typing(7)).await.unwrap();
        assert_eq!(typist(&typists.recv().await), id::from_bytes([7; 16]));
        assert!(others.try_recv().is_none());
    }

    #[tokio::test]
    async fn a_full_mailbox_says_so_and_goes_on() {
        let hub = Hub::new(2);
        let bus = LocalBus::new(Arc::clone(&hub));
        let topic = Topic::Chat(chat());
        let mut receiver = bus.subscribe(Interest::TYPING, &[topic]).await.unwrap();
        for user in 1..=4 {
            bus.publish(topic, typing(user)).await.unwrap();
        }
        assert!(matches!(receiver.recv().await, Signal::Missed(missed) if missed == topic));
        assert_eq!(typist(&receiver.recv().await), id::from_bytes([4; 16]));
    }

    #[tokio::test]
    async fn a_full_mailbox_names_the_topics_of_which_it_dropped_events() {
        let hub = Hub::new(3);
        let topics: Vec<_> = (0..200).map(topic).collect();
        let bus = LocalBus::new(Arc::clone(&hub));
        let mut receiver = bus.subscribe(Interest::TYPING, &topics).await.unwrap();
        for n in [5, 7, 5, 9] {
            bus.publish(topics[n], typing(1)).await.unwrap();
        }
        let mut missed = Vec::new();
        while let Some(signal) = receiver.try_recv() {
            match signal {
                Signal::Missed(topic) => missed.push(topics.iter().position(|it| *it == topic)),
                other => panic!("{other:?}"),
            }
        }
        missed.sort_unstable();
        assert_eq!(missed, [5, 7, 9].map(Some));
    }

    #[tokio::test]
    async fn an_interruption_of_many_topics_is_told_to_each_of_its_own() {
        let hub = Hub::new(2);
        let topics: Vec<_> = (0..6).map(topic).collect();
        let bus = LocalBus::new(Arc::clone(&hub));
        let mut one = bus.subscribe(Interest::TYPING, &topics[..3]).await.unwrap();
        let mut other = bus.subscribe(Interest::TYPING, &topics[3..]).await.unwrap();
        hub.interrupt_each(&topics[2..4]);
        for (receiver, topic) in [(&mut one, topics[2]), (&mut other, topics[3])] {
            let signal = receiver.try_recv();
            assert!(matches!(signal, Some(Signal::Missed(missed)) if missed == topic));
            assert!(receiver.try_recv().is_none());
        }
    }

    #[tokio::test]
    async fn the_last_to_leave_a_topic_is_told_of_to_the_watcher() {
        #[derive(Default)]
        struct Unfollowed(Mutex<Vec<Topic>>);
        impl TopicWatcher for Unfollowed {
            fn unfollowed(&self, topic: Topic) {
                self.0.lock().push(topic);
            }
        }
        let unfollowed = Arc::new(Unfollowed::default());
        let hub = Hub::watched(2, Arc::clone(&unfollowed) as _);
        let topic = Topic::Chat(chat());
        let one = hub.follower(Interest::TYPING, &[topic, topic]);
        let mut two = hub.follower(Interest::TYPING, &[topic]);
        two.unfollow(topic);
        assert!(hub.is_followed(topic));
        assert_eq!(*unfollowed.0.lock(), []);
        drop(one);
        assert!(!hub.is_followed(topic));
        assert_eq!(*unfollowed.0.lock(), [topic]);
    }

    #[tokio::test]
    async fn one_topic_can_be_interrupted_alone() {
        let hub = Hub::new(2);
        let mut one = hub.follower(Interest::TYPING, &[Topic::Chat(chat())]);
        let other = Topic::Chat(id::from_bytes([2; 16]));
        let mut other = hub.follower(Interest::TYPING, &[other]);
        hub.interrupt(Topic::Chat(chat()));
        hub.interrupt(Topic::Chat(chat()));
        assert!(
            matches!(one.try_recv(), Some(Signal::Missed(topic)) if topic == Topic::Chat(chat()))
        );
        assert!(one.try_recv().is_none());
        assert!(other.try_recv().is_none());
    }

    #[tokio::test]
    async fn what_waits_stays_where_another_topic_is_interrupted_and_many_are_one() {
        let hub = Hub::new(8);
        let bus = LocalBus::new(Arc::clone(&hub));
        let topics: Vec<_> = (0..=MAX_MISSED).map(topic).collect();
        let mut receiver = bus.subscribe(Interest::TYPING, &topics).await.unwrap();
        bus.publish(topics[0], typing(7)).await.unwrap();
        hub.interrupt(topics[1]);
        assert!(matches!(receiver.try_recv(), Some(Signal::Missed(topic)) if topic == topics[1]));
        assert_eq!(
            typist(&receiver.try_recv().unwrap()),
            id::from_bytes([7; 16])
        );
        for topic in &topics {
            hub.interrupt(*topic);
        }
        assert!(matches!(receiver.try_recv(), Some(Signal::Interrupted)));
        assert!(receiver.try_recv().is_none());
    }

    #[tokio::test]
    async fn topics_nobody_follows_are_forgotten() {
        let hub = Hub::new(2);
        let one = hub.follower(Interest::TYPING, &[Topic::Chat(chat())]);
        let mut two = hub.follower(Interest::TYPING, &[Topic::Chat(chat())]);
        two.unfollow(Topic::Chat(chat()));
        assert_eq!(hub.topic_count(), 1);
        drop(one);
        assert_eq!(hub.topic_count(), 0);
    }
}
