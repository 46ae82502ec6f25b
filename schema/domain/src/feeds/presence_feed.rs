//! The presence of chosen users: the state now, then each change, as absolute state.
//!
//! What an event says may be overtaken by a later one. So an event only names the user, whose state
//! is read: once for all feeds of the process that ask at the same time.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::context::FeedContext;
use super::error::FeedError;
use super::feed::Feed;
use super::retry::retry_unavailable;
use crate::events::event::{Event, Interest, Topic};
use crate::events::hub::{Receiver, Signal};
use crate::id::UserId;
use crate::presence::model::Presence;
use crate::presence::service::PresenceService;
use crate::viewer::Viewer;

/// The presence of some users for one subscriber.
pub struct PresenceFeed {
    context: Arc<FeedContext>,
    receiver: Receiver,
    viewer: Viewer,
    users: Vec<UserId>,
    /// What was delivered last.
    told: HashMap<UserId, Presence>,
    /// Of whom the state is to be read.
    stale: BTreeSet<UserId>,
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
                let signal = timeout_at(self.heartbeat_at, self.receiver.recv()).await;
                match signal {
                    Ok(signal) => self.take(&signal),
                    Err(_elapsed) => self.take(&Signal::Interrupted),
                }
                continue;
            }
            let stale: Vec<_> = self.stale.iter().copied().collect();
            let (context, viewer) = (&self.context, self.viewer.user_id);
            let changed = retry_unavailable!(context.changed_presence(viewer, &stale, &self.told))?;
            self.pending = changed.into();
            self.stale.clear();
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
        let sharing = context.access.acquainted(&viewer, &users).await?;
        if let Some(stranger) = users.iter().find(|user| !sharing.users().contains(user)) {
            return Err(FeedError::NotShared(*stranger));
        }
        let topics: Vec<_> = users.iter().copied().map(Topic::Presence).collect();
        let receiver = context.bus.subscribe(Interest::PRESENCE, &topics).await?;
        let pending = presence.states(&sharing).await?.into();
        let heartbeat_at = context.heartbeats.next();
        Ok(Self {
            context,
            receiver,
            viewer,
            users,
            told: HashMap::new(),
            stale: BTreeSet::new(),
            pending,
            heartbeat_at,
        })
    }

    fn take(&mut self, signal: &Signal) {
        match signal {
            Signal::Event(event) => {
                if let Event::PresenceChanged(presence) = &event.event {
                    self.stale.insert(presence.user_id);
                }
            }
            Signal::Missed(Topic::Presence(user)) => {
                self.stale.insert(*user);
            }
            Signal::Missed(_) | Signal::Interrupted => {
                self.stale.extend(&self.users);
                self.heartbeat_at = self.context.heartbeats.next();
            }
        }
    }
}
