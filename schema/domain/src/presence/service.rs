//! Keeps the leases of this process's sockets alive, and tells who comes and goes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::model::{ConnectionId, Presence, PresenceStatus};
use super::store::PresenceStore;
use crate::access::{Access, AccessError, Acquainted};
use crate::clock::{Clock, Entropy, Timestamp};
use crate::error::service_error;
use crate::error::{ApiError, ErrorCode, PortError, chain};
use crate::events::bus::Bus;
use crate::events::event::{Event, Topic};
use crate::events::publish::announce;
use crate::id::{ChatId, UserId};
use crate::limits::{Decision, RateLimiter, Rule};
use crate::users::store::UserStore;
use crate::viewer::Viewer;

/// Why typing was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PresenceError {
    /// The viewer may not.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Too many changes.
    #[error("You change your typing state too quickly. Send it every few seconds.")]
    TooFast(Duration),
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl PresenceError {
    fn api_error(&self) -> ApiError {
        match self {
            Self::Access(error) => error.clone().into(),
            Self::TooFast(wait) => {
                ApiError::new(ErrorCode::RateLimited, self.to_string()).retry_after(*wait)
            }
            Self::Port(error) => error.into(),
        }
    }
}

service_error!(PresenceError);

/// How presence behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresencePolicy {
    /// How long a connection counts without being renewed. It is renewed every third of it.
    pub lease: Duration,
    /// How long a user stays online after the last socket closed, so that a reload shows no gap.
    pub grace: Duration,
    /// How often ended leases are looked for.
    pub sweep: Duration,
}

/// Rules of presence and typing.
pub struct PresenceService {
    pub(crate) store: Arc<dyn PresenceStore>,
    pub(crate) users: Arc<dyn UserStore>,
    pub(crate) access: Arc<Access>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) limiter: Arc<dyn RateLimiter>,
    pub(crate) typing_rule: Rule,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) policy: PresencePolicy,
    /// The sockets of this process.
    pub(crate) connections: Mutex<HashSet<(UserId, ConnectionId)>>,
}

/// Keeps a user online until it is dropped.
pub struct PresenceGuard {
    service: Arc<PresenceService>,
    user: UserId,
    connection: ConnectionId,
}

impl PresenceService {
    /// Counts a socket of the viewer. Must be called on a Tokio runtime.
    pub fn connect(self: &Arc<Self>, viewer: &Viewer) -> PresenceGuard {
        let mut id = [0; 16];
        self.entropy.fill(&mut id);
        let connection = ConnectionId(u128::from_le_bytes(id));
        let user = viewer.user_id;
        self.connections.lock().insert((user, connection));
        let service = Arc::clone(self);
        tokio::spawn(async move { service.renew(&[(user, connection)]).await });
        PresenceGuard {
            service: Arc::clone(self),
            user,
            connection,
        }
    }

    /// Renews and sweeps until `stop`. Run one such task a process.
    pub async fn run(&self, stop: CancellationToken) {
        let mut renewal = tokio::time::interval(self.policy.lease / 3);
        let mut sweep = tokio::time::interval(self.policy.sweep);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = renewal.tick() => self.renew_all().await,
                () = self.store.lost() => self.renew_all().await,
                _ = sweep.tick() => self.sweep().await,
            }
        }
    }

    /// The presence of these users now.
    ///
    /// # Errors
    /// Where a store fails.
    pub async fn states(&self, users: &Acquainted) -> Result<Vec<Presence>, PortError> {
        self.states_of(users.users()).await
    }

    /// The same for many viewers together, each of whom is told of those alone whom they may see.
    pub(crate) async fn states_of(&self, users: &[UserId]) -> Result<Vec<Presence>, PortError> {
        let there = self.store.online(users, self.clock.now()).await?;
        let known = self.users.users(users).await?;
        let state = |user: &crate::users::model::User| {
            if there.contains(&user.id) {
                online(user.id)
            } else {
                offline(user.id, user.last_seen_at)
            }
        };
        Ok(known.iter().map(state).collect())
    }

    /// Tells the chat's other members that the viewer types, or stopped.
    ///
    /// # Errors
    /// Where the viewer is no member or changes too quickly.
    pub async fn set_typing(
        &self,
        viewer: &Viewer,
        chat: ChatId,
        is_typing: bool,
    ) -> Result<(), PresenceError> {
        let user_id = viewer.user_id;
        let key = user_id.to_string();
        if let Decision::Denied(wait) = self.limiter.check(self.typing_rule, &key).await? {
            return Err(PresenceError::TooFast(wait));
        }
        let membership = self.access.membership(viewer, chat).await?;
        let mseq = self.access.newest_notice(&membership).await?;
        let event = Event::Typing {
            chat_id: chat,
            user_id,
            is_typing,
            mseq,
        };
        Ok(self.bus.publish(Topic::Chat(chat), event).await?)
    }

    async fn renew_all(&self) {
        let all: Vec<_> = self.connections.lock().iter().copied().collect();
        self.renew(&all).await;
    }

    async fn renew(&self, connections: &[(UserId, ConnectionId)]) {
        if connections.is_empty() {
            return;
        }
        match self
            .store
            .renew(connections, self.clock.now(), self.policy.lease)
            .await
        {
            Ok(came) => {
                for user in came {
                    self.tell(online(user)).await;
                }
            }
            Err(error) => tracing::warn!(error = %chain(&error), "presence was not renewed"),
        }
        // A socket that closed meanwhile may have been released before it was renewed.
        let closed: Vec<_> = {
            let open = self.connections.lock();
            connections
                .iter()
                .filter(|connection| !open.contains(connection))
                .copied()
                .collect()
        };
        for (user, connection) in closed {
            self.release(user, connection).await;
        }
    }

    async fn release(&self, user: UserId, connection: ConnectionId) {
        let (now, grace) = (self.clock.now(), self.policy.grace);
        if let Err(error) = self.store.release(user, connection, now, grace).await {
            tracing::warn!(error = %chain(&error), "a presence lease was not released");
        }
    }

    async fn sweep(&self) {
        let now = self.clock.now();
        let left = match self.store.expire(now).await {
            Ok(left) if left.is_empty() => return,
            Ok(left) => left,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "presence was not swept");
                return;
            }
        };
        if let Err(error) = self.users.set_last_seen(&left, now).await {
            tracing::warn!(error = %chain(&error), "the time users were last seen was not kept");
        }
        for user in &left {
            self.tell(offline(*user, Some(now))).await;
        }
        // Who came back meanwhile may have been told of before; that must be the last word.
        match self.store.online(&left, self.clock.now()).await {
            Ok(back) => {
                for user in back {
                    self.tell(online(user)).await;
                }
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "who came back was not looked up");
            }
        }
    }

    async fn tell(&self, state: Presence) {
        let event = Event::PresenceChanged(state);
        announce(&*self.bus, Topic::Presence(state.user_id), event).await;
    }
}

const fn online(user_id: UserId) -> Presence {
    Presence {
        user_id,
        status: PresenceStatus::Online,
        last_seen_at: None,
    }
}

const fn offline(user_id: UserId, last_seen_at: Option<Timestamp>) -> Presence {
    Presence {
        user_id,
        status: PresenceStatus::Offline,
        last_seen_at,
    }
}

impl Drop for PresenceGuard {
    fn drop(&mut self) {
        let (user, connection) = (self.user, self.connection);
        self.service.connections.lock().remove(&(user, connection));
        let service = Arc::clone(&self.service);
        // Without a runtime the process ends, and the lease with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { service.release(user, connection).await });
        }
    }
}
