//! Presence leases in memory. As many as there are sockets, which the transport bounds.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use talksy_domain::clock::Timestamp;
use talksy_domain::error::PortError;
use talksy_domain::id::UserId;
use talksy_domain::presence::{ConnectionId, Departure, HOLD, PresenceStore};

/// A connection and when its lease ends. It runs before that instant and not at it.
type Lease = (ConnectionId, Timestamp);

/// What there is of a user who is online.
#[derive(Default)]
struct UserLeases {
    /// Few: a list. Those that have ended stay until one is renewed or the user is taken out.
    leases: Vec<Lease>,
    /// Until when somebody looks at their end.
    claimed_until: Option<Timestamp>,
}

impl UserLeases {
    fn last_end(&self) -> Option<Timestamp> {
        self.leases.iter().map(|(_, end)| *end).max()
    }

    fn is_online(&self, now: Timestamp) -> bool {
        self.last_end().is_some_and(|end| end + HOLD > now)
    }
}

#[derive(Default)]
struct Leases {
    /// Who is not there is offline.
    by_user: HashMap<UserId, UserLeases>,
    /// No user's last lease ends before this instant, so that the frequent looks need not look at all.
    /// `None` where there are none.
    first_end: Option<Timestamp>,
}

impl Leases {
    fn may_end(&mut self, at: Timestamp) {
        self.first_end = Some(self.first_end.map_or(at, |first| first.min(at)));
    }
}

/// [`PresenceStore`] for a single instance.
#[derive(Default)]
pub struct MemoryPresenceStore(Mutex<Leases>);

impl MemoryPresenceStore {
    /// A store in which nobody is online.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl PresenceStore for MemoryPresenceStore {
    async fn renew(
        &self,
        connections: &[(UserId, ConnectionId)],
        now: Timestamp,
        lease: Duration,
    ) -> Result<Vec<UserId>, PortError> {
        let end = now + lease;
        let mut came = Vec::new();
        let mut all = self.0.lock();
        for (user, connection) in connections {
            let user_leases = all.by_user.entry(*user).or_default();
            if !user_leases.is_online(now) {
                came.push(*user);
            }
            user_leases.claimed_until = None;
            let leases = &mut user_leases.leases;
            leases.retain(|(id, end)| id != connection && *end > now);
            leases.push((*connection, end));
        }
        if !connections.is_empty() {
            all.may_end(end);
        }
        Ok(came)
    }

    async fn release(
        &self,
        user: UserId,
        connection: ConnectionId,
        now: Timestamp,
        grace: Duration,
    ) -> Result<(), PortError> {
        let mut all = self.0.lock();
        let leases = all.by_user.get_mut(&user).map(|user| &mut user.leases);
        let lease = leases.and_then(|leases| leases.iter_mut().find(|(id, _)| *id == connection));
        if let Some((_, end)) = lease {
            *end = (*end).min(now + grace);
            let end = *end;
            all.may_end(end);
        }
        Ok(())
    }

    async fn ended(&self, now: Timestamp, claim: Duration) -> Result<Vec<Departure>, PortError> {
        let mut all = self.0.lock();
        if all.first_end.is_none_or(|first| now < first) {
            return Ok(Vec::new());
        }
        let mut departures = Vec::new();
        let mut first_end: Option<Timestamp> = None;
        for (user, leases) in &mut all.by_user {
            let Some(ended_at) = leases.last_end() else {
                continue;
            };
            first_end = Some(first_end.map_or(ended_at, |first| first.min(ended_at)));
            if ended_at > now || leases.claimed_until.is_some_and(|until| until > now) {
                continue;
            }
            leases.claimed_until = Some(now + claim);
            let user_id = *user;
            departures.push(Departure { user_id, ended_at });
        }
        all.first_end = first_end;
        Ok(departures)
    }

    async fn expire(&self, departures: &[Departure]) -> Result<Vec<Departure>, PortError> {
        let mut all = self.0.lock();
        let mut has_left = |departure: &&Departure| {
            let leases = all.by_user.get(&departure.user_id);
            let has_left = leases.and_then(UserLeases::last_end) == Some(departure.ended_at);
            if has_left {
                all.by_user.remove(&departure.user_id);
            }
            has_left
        };
        Ok(departures.iter().filter(&mut has_left).copied().collect())
    }

    async fn online(&self, users: &[UserId], now: Timestamp) -> Result<Vec<UserId>, PortError> {
        let all = self.0.lock();
        let is_online = |user: &&UserId| {
            let leases = all.by_user.get(*user);
            leases.is_some_and(|leases| leases.is_online(now))
        };
        Ok(users.iter().filter(is_online).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use talksy_domain::id::from_bytes;

    use super::*;
    use crate::testing::START;

    /// What a lease is in all stores, the contract suite says.
    #[tokio::test]
    async fn nothing_is_kept_of_who_has_left() {
        let store = MemoryPresenceStore::new();
        let lease = Duration::from_secs(45);
        let both = [1, 2].map(|byte| (from_bytes([byte; 16]), ConnectionId(1)));
        store.renew(&both, START, lease).await.unwrap();
        let departures = store.ended(START + lease, lease).await.unwrap();
        let left = store.expire(&departures).await.unwrap();
        assert_eq!(left.len(), 2);
        assert!(store.0.lock().by_user.is_empty());
    }
}
