//! A client that keeps a replica of a group by following both of its lines, as of any client that is
//! cut off, removed and let in again.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::Arc;

use talksy_domain::access::{AccessError, Denied};
use talksy_domain::chats::Member;
use talksy_domain::feeds::{ChangeFeed, Feed as _, FeedError, MessageFeed};
use talksy_domain::messages::{Head, Message};
use talksy_domain::seq::Seq;
use talksy_domain::services::Services;
use talksy_domain::viewer::Viewer;
use talksy_tests::soon;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::world::{World, message};

/// What a client has of a membership.
#[derive(Clone, Debug, Default)]
struct Replica {
    messages: BTreeMap<Seq, Message>,
    /// The number of the last message that the feed of messages brought.
    seq: Seq,
    /// The number of the last change that the feed of changes brought.
    place: Seq,
    /// How many of the two feeds have ended.
    ended: usize,
}

impl Replica {
    /// Of two states of a message the one with the higher change is the newer, wherever each came from.
    fn apply(&mut self, message: Message) {
        let known = self.messages.get(&message.seq);
        if known.is_none_or(|known| known.change_seq <= message.change_seq) {
            self.messages.insert(message.seq, message);
        }
    }
}

/// A client of one user.
pub struct Client {
    pub viewer: Viewer,
    /// The membership that the replica is of, by what it began with.
    joined_seq: Option<Seq>,
    replica: Arc<watch::Sender<Replica>>,
    feeds: Vec<JoinHandle<()>>,
    /// Where the lines ended when that membership did, where it has.
    gone_at: Option<Head>,
    /// The instances that the client comes to by turns.
    instances: [Services; 2],
}

impl Client {
    /// A client that follows the group from its start, where its user is a member.
    pub async fn start(world: &World, viewer: Viewer) -> Self {
        let mut client = Self {
            viewer,
            joined_seq: None,
            replica: Arc::default(),
            feeds: Vec::new(),
            gone_at: None,
            instances: [world.services.clone(), world.other_instance()],
        };
        client.reconnect(world).await;
        client
    }

    /// Cuts the client off.
    pub async fn vanish(&mut self) {
        for feed in self.feeds.drain(..) {
            feed.abort();
            match feed.await {
                Err(failure) if failure.is_panic() => resume_unwind(failure.into_panic()),
                _ => {}
            }
        }
    }

    /// The membership that began with this message has ended, when the lines were this long.
    pub fn has_gone(&mut self, joined_seq: Seq, head: Head) {
        if self.joined_seq == Some(joined_seq) {
            self.gone_at.get_or_insert(head);
        }
    }

    /// Cuts the client off and lets it come back to another instance, from where it was.
    pub async fn reconnect(&mut self, world: &World) {
        self.vanish().await;
        self.check_bounds();
        self.instances.swap(0, 1);
        let membership = world.membership(&self.viewer).await;
        let joined_seq = membership.map(|member| member.joined_seq);
        if joined_seq.is_none() || joined_seq != self.joined_seq {
            // What the replica is of has ended: the next one is another.
            self.replica = Arc::default();
            self.gone_at = None;
        }
        self.joined_seq = joined_seq;
        let (seq, place) = {
            let replica = self.replica.borrow();
            (replica.seq, replica.place)
        };
        self.replica.send_modify(|replica| replica.ended = 0);
        let after = world.place(seq, Some(place));
        let feeds = &self.instances[0].feeds;
        let (viewer, chat) = (&self.viewer, world.chat);
        let messages = feeds.messages(viewer, chat, Some(&after)).await;
        let changes = feeds.changes(viewer, chat, Some(&after)).await;
        if joined_seq.is_none() {
            assert_ended(messages.err().unwrap());
            assert_ended(changes.err().unwrap());
            return;
        }
        let (messages, changes) = (messages.unwrap(), changes.unwrap());
        let replica = Arc::clone(&self.replica);
        self.feeds
            .push(tokio::spawn(follow_messages(messages, replica)));
        let replica = Arc::clone(&self.replica);
        self.feeds
            .push(tokio::spawn(follow_changes(changes, replica)));
    }

    /// Nothing has come of what lies behind the end of the membership: neither a message, nor a
    /// change. A message that the feed of messages brings is as it is in the store by then.
    fn check_bounds(&self) {
        let replica = self.replica.borrow();
        if let Some(head) = self.gone_at {
            assert!(replica.seq <= head.last_seq, "{} > {head:?}", replica.seq);
            let last = replica.messages.last_key_value();
            assert!(last.is_none_or(|(seq, _)| *seq <= head.last_seq));
            assert!(
                replica.place <= head.last_change_seq,
                "{replica:?}, {head:?}"
            );
        }
    }

    /// Waits until the client has all that it may have, and compares.
    pub async fn catch_up(&mut self, world: &World) {
        let membership = world.membership(&self.viewer).await;
        let joined_seq = membership.as_ref().map(|member| member.joined_seq);
        if joined_seq != self.joined_seq {
            self.end().await;
        }
        if joined_seq != self.joined_seq || self.feeds.is_empty() {
            self.reconnect(world).await;
        }
        let Some(member) = membership else { return };
        let visible = visible(world, &member).await;
        let end = visible.last_key_value().map_or(0, |(seq, _)| *seq);
        let place = visible.values().map(|message| message.change_seq).max();
        let place = place.unwrap_or_default();
        let mut replica = self.replica.subscribe();
        let caught_up = replica.wait_for(|replica| {
            assert_eq!(replica.ended, 0, "a member's feed has ended");
            replica.seq >= end && replica.place >= place
        });
        let caught_up = soon("a client to catch up", caught_up).await.unwrap();
        assert_eq!(caught_up.messages, visible);
    }

    /// Waits for the feeds of a membership that has ended to end, each for that reason.
    async fn end(&mut self) {
        for feed in self.feeds.drain(..) {
            soon("a feed's end", feed).await.unwrap();
        }
        self.check_bounds();
        // The feed of messages got as far as the notice, unless the client was away.
        let replica = self.replica.borrow();
        if let Some(head) = self.gone_at
            && replica.ended == 2
        {
            assert_eq!(replica.seq, head.last_seq, "the notice was not delivered");
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        for feed in &self.feeds {
            feed.abort();
        }
    }
}

async fn follow_messages(mut feed: MessageFeed, replica: Arc<watch::Sender<Replica>>) {
    loop {
        match feed.next().await {
            Ok(published) => replica.send_modify(|replica| {
                let message = message(&published);
                // Once each and in order; what is hidden is passed over.
                assert!(replica.seq == 0 || message.seq == replica.seq + 1);
                replica.seq = message.seq;
                replica.apply(message);
            }),
            Err(error) => {
                assert_ended(error);
                replica.send_modify(|replica| replica.ended += 1);
                return;
            }
        }
    }
}

async fn follow_changes(mut feed: ChangeFeed, replica: Arc<watch::Sender<Replica>>) {
    loop {
        match feed.next().await {
            Ok(item) => replica.send_modify(|replica| {
                let changed = message(&item.change);
                assert!(changed.change_seq > replica.place, "once each and in order");
                replica.place = changed.change_seq;
                replica.apply(changed);
            }),
            Err(error) => {
                assert_ended(error);
                replica.send_modify(|replica| replica.ended += 1);
                return;
            }
        }
    }
}

#[track_caller]
fn assert_ended(error: FeedError) {
    let ended = matches!(
        &error,
        FeedError::Access(AccessError::Denied(Denied::NotMember))
    );
    assert!(ended, "{error:?}");
}

/// What the member may see in the store.
async fn visible(world: &World, member: &Member) -> BTreeMap<Seq, Message> {
    let held = world.held().await.into_iter();
    held.filter(|message| message.seq >= member.visible_from_seq)
        .map(|message| (message.seq, message))
        .collect()
}
