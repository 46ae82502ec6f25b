//! The presence of chosen users: the state now, then each change, as absolute state.

use std::collections::VecDeque;
use std::sync::Arc;

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
    presence: Arc<PresenceService>,
    receiver: Receiver,
    viewer: Viewer,
    users: Vec<UserId>,
    pending: VecDeque<Presence>,
}

impl Feed for PresenceFeed {
    type Item = Presence;

    async fn next(&mut self) -> Result<Presence, FeedError> {
        loop {
            if let Some(presence) = self.pending.pop_front() {
                return Ok(presence);
            }
            match self.receiver.recv().await {
                Signal::Event(event) => {
                    if let Event::PresenceChanged(presence) = event.event {
                        let user = [presence.user_id];
                        let seen = retry_unavailable!(
                            self.context.access.acquainted(&self.viewer, &user)
                        )?;
                        if !seen.users().is_empty() {
                            return Ok(presence);
                        }
                    }
                }
                Signal::Interrupted => {
                    let users = retry_unavailable!(
                        self.context.access.acquainted(&self.viewer, &self.users)
                    )?;
                    let states = retry_unavailable!(self.presence.states(&users))?;
                    self.pending = states.into();
                }
            }
        }
    }
}

impl PresenceFeed {
    pub(super) async fn open(
        context: Arc<FeedContext>,
        presence: Arc<PresenceService>,
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
        Ok(Self {
            context,
            presence,
            receiver,
            viewer,
            users,
            pending,
        })
    }
}
