//! The presence of chosen users: the state now, then each change, as absolute state.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::{Event, Interest, Topic};
use super::feed::Feed;
use super::hub::{Receiver, Signal};
use super::patience::patiently;
use super::service::{Ground, LiveError};
use crate::chats::visible_users;
use crate::id::UserId;
use crate::presence::{Presence, PresenceService};

/// The presence of some users for one subscriber.
pub struct PresenceFeed {
    ground: Arc<Ground>,
    presence: Arc<PresenceService>,
    receiver: Receiver,
    viewer: UserId,
    users: Vec<UserId>,
    pending: VecDeque<Presence>,
}

impl Feed for PresenceFeed {
    type Item = Presence;

    async fn next(&mut self) -> Result<Presence, LiveError> {
        loop {
            if let Some(presence) = self.pending.pop_front() {
                return Ok(presence);
            }
            match self.receiver.recv().await {
                Signal::Event(event) => {
                    if let Event::PresenceChanged(presence) = event.event {
                        let user = [presence.user_id];
                        let seen =
                            patiently!(visible_users(&*self.ground.chats, self.viewer, &user))?;
                        if !seen.is_empty() {
                            return Ok(presence);
                        }
                    }
                }
                Signal::Interrupted => {
                    let users =
                        patiently!(visible_users(&*self.ground.chats, self.viewer, &self.users))?;
                    let states = patiently!(self.presence.states(&users))?;
                    self.pending = states.into();
                }
            }
        }
    }
}

impl PresenceFeed {
    pub(super) async fn open(
        ground: Arc<Ground>,
        presence: Arc<PresenceService>,
        viewer: UserId,
        mut users: Vec<UserId>,
    ) -> Result<Self, LiveError> {
        users.sort_unstable();
        users.dedup();
        let sharing = visible_users(&*ground.chats, viewer, &users).await?;
        if let Some(stranger) = users.iter().find(|user| !sharing.contains(user)) {
            return Err(LiveError::NotShared(*stranger));
        }
        let topics: Vec<_> = users.iter().copied().map(Topic::Presence).collect();
        let receiver = ground.bus.subscribe(Interest::PRESENCE, &topics).await?;
        let pending = presence.states(&users).await?.into();
        Ok(Self {
            ground,
            presence,
            receiver,
            viewer,
            users,
            pending,
        })
    }
}
