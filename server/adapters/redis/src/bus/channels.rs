//! Which topics this process follows, and whether Redis has confirmed it.
//!
//! A topic is followed in the hub first, then here. Only the subscriber's task takes topics out,
//! and it looks at the hub while it holds the lock: so a new follower either finds the topic
//! subscribed, or finds it gone and asks for it again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use talksy_domain::events::{Hub, Topic, TopicWatcher};
use tokio::sync::{Notify, oneshot};

use crate::fault::Fault;

/// Who waits for a confirmation.
type Waiter = oneshot::Sender<Result<(), Fault>>;

/// Topics whose last follower has left; some have followers again.
#[derive(Default)]
pub(super) struct Unfollowed {
    topics: Mutex<HashSet<Topic>>,
    any: Notify,
}

impl TopicWatcher for Unfollowed {
    fn unfollowed(&self, topic: Topic) {
        self.topics.lock().insert(topic);
        self.any.notify_one();
    }
}

impl Unfollowed {
    /// Resolves when topics may have lost their last follower.
    pub(super) async fn any(&self) {
        self.any.notified().await;
    }
}

/// A connection that carries channels.
pub(super) type LinkId = u64;

/// What a connection was asked for at one time. A number of its own, so that a late answer to an earlier
/// question is not taken for one to this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) link: LinkId,
    number: u64,
}

#[derive(Default)]
struct Channel {
    /// Who was asked for it; nobody where it is wanted.
    asked: Option<Ticket>,
    /// Redis has confirmed it, on a connection that is not known to be lost.
    subscribed: bool,
    /// It was subscribed before: its followers may have missed something.
    interrupted: bool,
    waiters: Vec<Waiter>,
}

impl Channel {
    fn lose(&mut self) {
        self.asked = None;
        self.interrupted |= std::mem::take(&mut self.subscribed);
    }
}

#[derive(Default)]
struct State {
    by_topic: HashMap<Topic, Channel>,
    /// Those that nobody is asked for.
    wanted: HashSet<Topic>,
    tickets: u64,
}

/// The topics.
pub(super) struct Channels {
    hub: Arc<Hub>,
    unfollowed: Arc<Unfollowed>,
    state: Mutex<State>,
    any_wanted: Notify,
    any_moved: Notify,
}

impl Channels {
    pub(super) fn new(hub: Arc<Hub>, unfollowed: Arc<Unfollowed>) -> Arc<Self> {
        Arc::new(Self {
            hub,
            unfollowed,
            state: Mutex::default(),
            any_wanted: Notify::new(),
            any_moved: Notify::new(),
        })
    }

    /// Asks Redis for a topic, which the hub follows already. `None` where the topic is
    /// subscribed; else the confirmation to wait for.
    pub(super) fn follow(&self, topic: Topic) -> Option<oneshot::Receiver<Result<(), Fault>>> {
        let mut state = self.state.lock();
        let State {
            by_topic, wanted, ..
        } = &mut *state;
        let channel = by_topic.entry(topic).or_insert_with(|| {
            wanted.insert(topic);
            Channel::default()
        });
        if channel.subscribed {
            return None;
        }
        let (waiter, confirmation) = oneshot::channel();
        if channel.waiters.len() == channel.waiters.capacity() {
            // Rather than grow, forget those who have gone meanwhile.
            channel.waiters.retain(|waiter| !waiter.is_closed());
        }
        channel.waiters.push(waiter);
        drop(state);
        self.any_wanted.notify_one();
        Some(confirmation)
    }

    /// Resolves when topics may be wanted.
    pub(super) async fn any_wanted(&self) {
        self.any_wanted.notified().await;
    }

    /// Resolves when another server may carry a topic than the one that was asked for it.
    pub(super) async fn any_moved(&self) {
        self.any_moved.notified().await;
    }

    /// Topics that somebody is to be asked for: [`Self::ask`] says who was, [`Self::want`] that nobody
    /// could be.
    pub(super) fn take_wanted(&self) -> Vec<Topic> {
        self.state.lock().wanted.drain().collect()
    }

    /// Nobody could be asked for these as yet.
    pub(super) fn want(&self, topics: &[Topic]) {
        let mut state = self.state.lock();
        for topic in topics {
            if state.by_topic.contains_key(topic) {
                state.wanted.insert(*topic);
            }
        }
    }

    /// A connection is asked for these.
    pub(super) fn ask(&self, link: LinkId, topics: &[Topic]) -> Ticket {
        let mut state = self.state.lock();
        state.tickets += 1;
        let number = state.tickets;
        let ticket = Ticket { link, number };
        for topic in topics {
            if let Some(channel) = state.by_topic.get_mut(topic) {
                channel.asked = Some(ticket);
            }
        }
        ticket
    }

    /// A connection has gone: nobody is asked for what it was asked for.
    pub(super) fn lost(&self, link: LinkId) {
        let mut state = self.state.lock();
        let State {
            by_topic, wanted, ..
        } = &mut *state;
        for (topic, channel) in by_topic {
            if channel.asked.is_some_and(|asked| asked.link == link) {
                channel.lose();
                wanted.insert(*topic);
            }
        }
    }

    /// The server at this connection carries the topic no longer.
    pub(super) fn moved(&self, link: LinkId, topic: Topic) {
        let mut state = self.state.lock();
        if let Some(channel) = state.by_topic.get_mut(&topic)
            && channel.asked.is_some_and(|asked| asked.link == link)
        {
            channel.lose();
            state.wanted.insert(topic);
            drop(state);
            self.any_moved.notify_one();
        }
    }

    /// Redis has confirmed these; returns those whose followers may have missed something.
    pub(super) fn subscribed(&self, ticket: Ticket, topics: &[Topic]) -> Vec<Topic> {
        let mut state = self.state.lock();
        let mut interrupted = Vec::new();
        for topic in topics {
            if let Some(channel) = state.by_topic.get_mut(topic)
                && channel.asked == Some(ticket)
            {
                channel.subscribed = true;
                if std::mem::take(&mut channel.interrupted) {
                    interrupted.push(*topic);
                }
                for waiter in channel.waiters.drain(..) {
                    // Who has gone needs no answer.
                    let _ = waiter.send(Ok(()));
                }
            }
        }
        interrupted
    }

    /// Redis has refused this one: who waits is told, and the next who follows asks anew.
    pub(super) fn refused(&self, topic: Topic, fault: &Fault) {
        let channel = self.state.lock().by_topic.remove(&topic);
        for waiter in channel.into_iter().flat_map(|channel| channel.waiters) {
            let _ = waiter.send(Err(fault.clone()));
        }
    }

    /// Whether Redis is believed to send what happens on the topic by this connection.
    pub(super) fn is_subscribed(&self, link: LinkId, topic: Topic) -> bool {
        let state = self.state.lock();
        state.by_topic.get(&topic).is_some_and(|channel| {
            channel.subscribed && channel.asked.is_some_and(|asked| asked.link == link)
        })
    }

    /// Takes out the topics that nobody follows any more, and returns those that a connection was asked
    /// for.
    pub(super) fn take_unfollowed(&self) -> Vec<(LinkId, Topic)> {
        let candidates = std::mem::take(&mut *self.unfollowed.topics.lock());
        let mut state = self.state.lock();
        let mut gone = Vec::new();
        for topic in candidates {
            if self.hub.is_followed(topic) {
                continue;
            }
            if let Some(channel) = state.by_topic.remove(&topic) {
                match channel.asked {
                    Some(asked) => gone.push((asked.link, topic)),
                    None => {
                        state.wanted.remove(&topic);
                    }
                }
            }
        }
        gone
    }

    /// How many topics Redis is asked for.
    pub(super) fn count(&self) -> usize {
        self.state.lock().by_topic.len()
    }
}

#[cfg(test)]
mod tests {
    use talksy_domain::events::{Interest, Receiver};
    use talksy_domain::id;

    use super::*;

    fn topic(byte: u8) -> Topic {
        Topic::Chat(id::from_bytes([byte; 16]))
    }

    fn channels() -> Arc<Channels> {
        let unfollowed = Arc::new(Unfollowed::default());
        let hub = Hub::watched(8, Arc::clone(&unfollowed) as _);
        Channels::new(hub, unfollowed)
    }

    fn follow(channels: &Channels, receiver: &mut Receiver, n: u8) -> Waiting {
        receiver.follow(topic(n));
        channels.follow(topic(n)).unwrap()
    }

    type Waiting = oneshot::Receiver<Result<(), Fault>>;

    /// Asks a connection for all that is wanted, which must be these.
    fn ask(channels: &Channels, link: LinkId, expected: &[Topic]) -> Ticket {
        let mut wanted = channels.take_wanted();
        wanted.sort_unstable();
        assert_eq!(wanted, expected);
        channels.ask(link, &wanted)
    }

    #[test]
    fn redis_is_asked_once_however_many_follow() {
        let channels = channels();
        let mut receivers = Vec::new();
        let mut waiting = Vec::new();
        for _ in 0..3 {
            let mut receiver = channels.hub.receiver(Interest::TYPING);
            waiting.push(follow(&channels, &mut receiver, 1));
            receivers.push(receiver);
        }
        let ticket = ask(&channels, 7, &[topic(1)]);
        assert_eq!(channels.take_wanted(), []);
        assert_eq!(channels.subscribed(ticket, &[topic(1)]), []);
        for mut waiting in waiting {
            assert!(matches!(waiting.try_recv(), Ok(Ok(()))));
        }
        assert!(channels.follow(topic(1)).is_none(), "it is subscribed");
        receivers.truncate(1);
        assert_eq!(channels.take_unfollowed(), []);
        receivers.clear();
        assert_eq!(channels.take_unfollowed(), [(7, topic(1))]);
        assert_eq!(channels.count(), 0);
    }

    #[test]
    fn a_topic_that_is_followed_again_stays() {
        let channels = channels();
        let mut receiver = channels.hub.receiver(Interest::TYPING);
        follow(&channels, &mut receiver, 1);
        let ticket = ask(&channels, 7, &[topic(1)]);
        channels.subscribed(ticket, &[topic(1)]);
        receiver.unfollow(topic(1));
        receiver.follow(topic(1));
        assert!(channels.follow(topic(1)).is_none());
        assert_eq!(channels.take_unfollowed(), []);
    }

    #[test]
    fn a_topic_that_nobody_waited_for_long_enough_is_not_asked_for() {
        let channels = channels();
        let mut receiver = channels.hub.receiver(Interest::TYPING);
        follow(&channels, &mut receiver, 1);
        drop(receiver);
        assert_eq!(channels.take_unfollowed(), [], "Redis knows of none");
        assert_eq!(channels.take_wanted(), []);
    }

    #[test]
    fn an_answer_to_an_earlier_question_confirms_nothing() {
        let channels = channels();
        let mut receiver = channels.hub.receiver(Interest::TYPING);
        follow(&channels, &mut receiver, 1);
        let earlier = ask(&channels, 7, &[topic(1)]);
        receiver.unfollow(topic(1));
        // It was asked for, and may be subscribed any moment.
        assert_eq!(channels.take_unfollowed(), [(7, topic(1))]);
        let mut waiting = follow(&channels, &mut receiver, 1);
        let ticket = ask(&channels, 7, &[topic(1)]);
        channels.subscribed(earlier, &[topic(1)]);
        assert!(waiting.try_recv().is_err());
        channels.subscribed(ticket, &[topic(1)]);
        assert!(matches!(waiting.try_recv(), Ok(Ok(()))));
    }

    #[test]
    fn what_a_lost_connection_carried_is_wanted_and_told_once_it_is_back() {
        let channels = channels();
        let mut receiver = channels.hub.receiver(Interest::TYPING);
        for n in 1..=3 {
            follow(&channels, &mut receiver, n);
        }
        channels.take_wanted();
        let one = channels.ask(7, &[topic(1)]);
        let other = channels.ask(8, &[topic(2), topic(3)]);
        channels.subscribed(one, &[topic(1)]);
        channels.subscribed(other, &[topic(2)]);
        channels.lost(8);
        assert!(channels.is_subscribed(7, topic(1)));
        assert!(!channels.is_subscribed(8, topic(2)));
        let again = ask(&channels, 9, &[topic(2), topic(3)]);
        let both = [topic(2), topic(3)];
        assert_eq!(channels.subscribed(other, &both), [], "it is too late");
        // Nothing was missed of the third, which was never subscribed.
        assert_eq!(channels.subscribed(again, &both), [topic(2)]);
        assert_eq!(channels.subscribed(again, &both), [], "that was told");
    }

    #[test]
    fn a_topic_that_moves_is_wanted_alone() {
        let channels = channels();
        let mut receiver = channels.hub.receiver(Interest::TYPING);
        for n in 1..=2 {
            follow(&channels, &mut receiver, n);
        }
        let ticket = ask(&channels, 7, &[topic(1), topic(2)]);
        channels.subscribed(ticket, &[topic(1), topic(2)]);
        channels.moved(8, topic(1));
        assert_eq!(channels.take_wanted(), [], "another connection's word");
        channels.moved(7, topic(1));
        let ticket = ask(&channels, 8, &[topic(1)]);
        assert_eq!(channels.subscribed(ticket, &[topic(1)]), [topic(1)]);
    }

    #[test]
    fn a_topic_that_is_refused_is_asked_for_by_the_next_who_follows() {
        let channels = channels();
        let mut receiver = channels.hub.receiver(Interest::TYPING);
        let mut waiting = follow(&channels, &mut receiver, 1);
        ask(&channels, 7, &[topic(1)]);
        channels.refused(topic(1), &Fault::Closed);
        assert!(matches!(waiting.try_recv(), Ok(Err(Fault::Closed))));
        assert!(channels.follow(topic(1)).is_some());
        assert_eq!(channels.take_wanted(), [topic(1)]);
    }
}
