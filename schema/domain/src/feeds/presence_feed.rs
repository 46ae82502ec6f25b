//! The presence of chosen users: the state now, then each change, as absolute state.
//!
//! What an event says may be overtaken by a later one. So an event only names the user, whose state
//! is read: once for all feeds of the process that ask at the same time.
//!
//! An absence that no event has told, but a look after an interruption or on the heartbeat finds, is
//! looked at again before it is told: leases that the backend has lost are renewed a moment later.
//!
//! A block between the viewer and a user hides the user: they are told as away once, and not at all
//! until nobody blocks anybody any more. The event of it is on the viewer's own topic. What it has
//! changed is looked for after an interruption too, of those who were told as there; and no state is
//! told without a look at the blocks.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::context::FeedContext;
use super::error::FeedError;
use super::feed::Feed;
use super::retry::retry_unavailable;
use crate::events::event::{Event, Interest, Topic};
use crate::events::hub::{Receiver, Signal};
use crate::id::UserId;
use crate::presence::model::{Presence, PresenceStatus};
use crate::presence::service::PresenceService;
use crate::viewer::Viewer;

/// The presence of some users for one subscriber.
pub struct PresenceFeed {
    context: Arc<FeedContext>,
    receiver: Receiver,
    viewer: Viewer,
    users: Vec<UserId>,
    /// Of whom it is to be found out whether a block hides them, though their state is the same.
    doubtful: BTreeSet<UserId>,
    /// What was delivered last.
    told: HashMap<UserId, Presence>,
    /// Of whom the state is to be read.
    stale: BTreeSet<UserId>,
    /// Whose absence is told where it is read: an event has told it, or it was doubted for long enough.
    believed: BTreeSet<UserId>,
    /// Whose absence is doubted, and until when.
    doubted: BTreeMap<UserId, Instant>,
    pending: VecDeque<Presence>,
    /// All are to be read at this time at the latest.
    heartbeat_at: Instant,
}

impl Feed for PresenceFeed {
    type Item = Presence;

    async fn next(&mut self) -> Result<Presence, FeedError> {
        loop {
            if let Some(presence) = self.pending.pop_front() {
                self.told.insert(presence.user_id, presence);
                return Ok(presence);
            }
            // First all that waits, so that it is read together.
            while let Some(signal) = self.receiver.try_recv() {
                self.take(&signal);
            }
            if self.stale.is_empty() {
                let doubts = self.doubted.values().copied();
                let until = doubts.fold(self.heartbeat_at, Instant::min);
                match timeout_at(until, self.receiver.recv()).await {
                    Ok(signal) => self.take(&signal),
                    Err(_elapsed) => self.take_time(),
                }
                continue;
            }
            let stale: Vec<_> = self.stale.iter().copied().collect();
            let (context, viewer) = (&self.context, self.viewer.user_id);
            let (told, doubtful) = (&self.told, &self.doubtful);
            let changed =
                retry_unavailable!(context.changed_presence(viewer, &stale, told, doubtful))?;
            self.pending = self.credible(changed);
            self.stale.clear();
            self.believed.clear();
            self.doubtful.clear();
        }
    }
}

impl PresenceFeed {
    pub(super) async fn open(
        context: Arc<FeedContext>,
        presence: &PresenceService,
        viewer: Viewer,
        mut users: Vec<UserId>,
    ) -> Result<Self, FeedError> {
        users.sort_unstable();
        users.dedup();
        let topics = users.iter().copied().map(Topic::Presence);
        let topics: Vec<_> = topics.chain([Topic::User(viewer.user_id)]).collect();
        let interest = Interest::PRESENCE.and(Interest::BLOCKS);
        // Ahead of the look, so that no block comes between.
        let receiver = context.bus.subscribe(interest, &topics).await?;
        let sharing = context.access.all_acquainted(&viewer, &users).await?;
        let sharing = sharing.map_err(FeedError::NotShared)?;
        let pending = presence.states(&sharing).await?.into();
        let heartbeat_at = context.heartbeats.next();
        Ok(Self {
            context,
            receiver,
            viewer,
            users,
            doubtful: BTreeSet::new(),
            told: HashMap::new(),
            stale: BTreeSet::new(),
            believed: BTreeSet::new(),
            doubted: BTreeMap::new(),
            pending,
            heartbeat_at,
        })
    }

    /// Those of the states that were read which are told now.
    fn credible(&mut self, states: Vec<Presence>) -> VecDeque<Presence> {
        let again_at = Instant::now() + self.context.policy.absence_grace;
        let was_online = |told: Option<&Presence>| {
            told.is_some_and(|told| told.status == PresenceStatus::Online)
        };
        let (mut told, mut doubted) = (VecDeque::new(), BTreeMap::new());
        for state in states {
            let user = state.user_id;
            if state.status == PresenceStatus::Offline
                && was_online(self.told.get(&user))
                && !self.believed.contains(&user)
            {
                let since = self.doubted.get(&user);
                doubted.insert(user, since.copied().unwrap_or(again_at));
            } else {
                told.push_back(state);
            }
        }
        // Who was read and is not absent is not doubted any more.
        self.doubted.retain(|user, _| !self.stale.contains(user));
        self.doubted.append(&mut doubted);
        told
    }

    /// Something is due: the heartbeat, or another look at who was absent.
    fn take_time(&mut self) {
        let now = Instant::now();
        if self.heartbeat_at <= now {
            self.look_at_all();
        }
        let due = self.doubted.iter().filter(|(_, until)| **until <= now);
        let due: Vec<_> = due.map(|(user, _)| *user).collect();
        self.stale.extend(&due);
        self.doubtful.extend(&due);
        self.believed.extend(due);
    }

    fn take(&mut self, signal: &Signal) {
        match signal {
            Signal::Event(event) => match &event.event {
                Event::PresenceChanged(presence) => {
                    self.stale.insert(presence.user_id);
                    self.believed.insert(presence.user_id);
                }
                Event::BlockChanged {
                    blocker_id,
                    blocked_id,
                } => {
                    for user in [blocker_id, blocked_id] {
                        if *user != self.viewer.user_id && self.users.contains(user) {
                            self.stale.insert(*user);
                            self.believed.insert(*user);
                            self.doubtful.insert(*user);
                        }
                    }
                }
                _ => {}
            },
            Signal::Missed(Topic::Presence(user)) => {
                self.stale.insert(*user);
            }
            Signal::Missed(_) | Signal::Interrupted => {
                let told = self.told.values();
                let there = told.filter(|told| told.status == PresenceStatus::Online);
                self.doubtful.extend(there.map(|told| told.user_id));
                self.look_at_all();
            }
        }
    }

    /// Has the states of all users read.
    fn look_at_all(&mut self) {
        self.stale.extend(&self.users);
        self.heartbeat_at = self.context.heartbeats.next();
    }
}
