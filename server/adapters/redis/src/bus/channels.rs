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

#[derive(Default)]
struct Channel {
    /// Redis has confirmed it, on a connection that is not known to be lost.
    subscribed: bool,
    waiters: Vec<Waiter>,
}

#[derive(Default)]
struct State {
    by_topic: HashMap<Topic, Channel>,
    /// Those that Redis has not been asked for.
    wanted: Vec<Topic>,
}

/// The topics.
pub(super) struct Channels {
    hub: Arc<Hub>,
    unfollowed: Arc<Unfollowed>,
    state: Mutex<State>,
    any_wanted: Notify,
}

impl Channels {
    pub(super) fn new(hub: Arc<Hub>, unfollowed: Arc<Unfollowed>) -> Arc<Self> {
        Arc::new(Self {
            hub,
            unfollowed,
            state: Mutex::default(),
            any_wanted: Notify::new(),
        })
    }

    /// Asks Redis for a topic, which the hub follows already. `None` where the topic is
    /// subscribed; else the confirmation to wait for.
    pub(super) fn follow(&self, topic: Topic) -> Option<oneshot::Receiver<Result<(), Fault>>> {
        let mut state = self.state.lock();
        let State { by_topic, wanted } = &mut *state;
        let channel = by_topic.entry(topic).or_insert_with(|| {
            wanted.push(topic);
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

    /// Topics that Redis is to be asked for, each told once.
    pub(super) fn take_wanted(&self) -> Vec<Topic> {
        std::mem::take(&mut self.state.lock().wanted)
    }

    /// Marks every topic as not subscribed, and returns all, for Redis to be asked again.
    pub(super) fn reset(&self) -> Vec<Topic> {
        let mut state = self.state.lock();
        state.wanted.clear();
        for channel in state.by_topic.values_mut() {
            channel.subscribed = false;
        }
        state.by_topic.keys().copied().collect()
    }

    /// Redis has confirmed these.
    pub(super) fn subscribed(&self, topics: &[Topic]) {
        let mut state = self.state.lock();
        for topic in topics {
            if let Some(channel) = state.by_topic.get_mut(topic) {
                channel.subscribed = true;
                for waiter in channel.waiters.drain(..) {
                    // Who has gone needs no answer.
                    let _ = waiter.send(Ok(()));
                }
            }
        }
    }

    /// Redis has refused this one: who waits is told, and the next who follows asks anew.
    pub(super) fn refused(&self, topic: Topic, fault: &Fault) {
        let channel = self.state.lock().by_topic.remove(&topic);
        for waiter in channel.into_iter().flat_map(|channel| channel.waiters) {
            let _ = waiter.send(Err(fault.clone()));
        }
    }

    /// Whether Redis is believed to send what happens on the topic.
    pub(super) fn is_subscribed(&self, topic: Topic) -> bool {
        let state = self.state.lock();
        state
            .by_topic
            .get(&topic)
            .is_some_and(|channel| channel.subscribed)
    }

    /// Takes out the topics that nobody follows any more, and returns those that Redis knows of.
    pub(super) fn take_unfollowed(&self) -> Vec<Topic> {
        let candidates = std::mem::take(&mut *self.unfollowed.topics.lock());
        let mut state = self.state.lock();
        let mut gone = Vec::new();
        for topic in candidates {
            if self.hub.is_followed(topic) {
                continue;
            }
            if let Some(channel) = state.by_topic.remove(&topic) {
                if channel.subscribed {
                    gone.push(topic);
                } else {
                    state.wanted.retain(|wanted| *wanted != topic);
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
    use talksy_domain::events::Interest;
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

    #[test]
    fn redis_is_asked_once_however_many_follow() {
        let channels = channels();
        let mut receivers = Vec::new();
        let mut waiting = Vec::new();
        for _ in 0..3 {
            receivers.push(channels.hub.follower(Interest::TYPING, &[topic(1)]));
            waiting.push(channels.follow(topic(1)).unwrap());
        }
        assert_eq!(channels.take_wanted(), [topic(1)]);
        assert_eq!(channels.take_wanted(), []);
        channels.subscribed(&[topic(1)]);
        for mut waiting in waiting {
            assert!(matches!(waiting.try_recv(), Ok(Ok(()))));
        }
        assert!(channels.follow(topic(1)).is_none(), "it is subscribed");
        receivers.truncate(1);
        assert_eq!(channels.take_unfollowed(), []);
        receivers.clear();
        assert_eq!(channels.take_unfollowed(), [topic(1)]);
        assert_eq!(channels.count(), 0);
    }

    #[test]
    fn a_topic_that_is_followed_again_stays() {
        let channels = channels();
        let mut receiver = channels.hub.follower(Interest::TYPING, &[topic(1)]);
        assert!(channels.follow(topic(1)).is_some());
        channels.subscribed(&[topic(1)]);
        receiver.unfollow(topic(1));
        receiver.follow(topic(1));
        assert!(channels.follow(topic(1)).is_none());
        assert_eq!(channels.take_unfollowed(), []);
    }

    #[test]
    fn a_topic_that_nobody_waited_for_long_enough_is_not_asked_for() {
        let channels = channels();
        let receiver = channels.hub.follower(Interest::TYPING, &[topic(1)]);
        assert!(channels.follow(topic(1)).is_some());
        drop(receiver);
        assert_eq!(channels.take_unfollowed(), [], "Redis knows of none");
        assert_eq!(channels.take_wanted(), []);
    }

    #[test]
    fn after_a_reset_everything_is_asked_for_anew() {
        let channels = channels();
        let mut receiver = channels.hub.receiver(Interest::TYPING);
        for n in 1..=2 {
            receiver.follow(topic(n));
            assert!(channels.follow(topic(n)).is_some());
        }
        channels.subscribed(&[topic(1)]);
        assert_eq!(channels.reset().len(), 2);
        assert!(!channels.is_subscribed(topic(1)));
        assert_eq!(channels.take_wanted(), []);
        let mut waiting = channels.follow(topic(2)).unwrap();
        channels.refused(topic(2), &Fault::Closed);
        assert!(matches!(waiting.try_recv(), Ok(Err(Fault::Closed))));
        assert!(channels.follow(topic(2)).is_some());
        assert_eq!(channels.take_wanted(), [topic(2)]);
    }
}
