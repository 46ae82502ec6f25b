//! Presence leases in memory. As many as there are sockets, which the transport bounds.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use talksy_domain::clock::Timestamp;
use talksy_domain::error::PortError;
use talksy_domain::id::UserId;
use talksy_domain::presence::{ConnectionId, PresenceStore};

/// A connection and when its lease ends. It runs before that instant and not at it.
type Lease = (ConnectionId, Timestamp);

#[derive(Default)]
struct Leases {
    /// Each user's, who is absent without one. Few a user: a list.
    by_user: HashMap<UserId, Vec<Lease>>,
    /// No lease ends before this instant, so that the frequent sweeps need not look at all.
    /// `None` where there are none.
    first_end: Option<Timestamp>,
}

impl Leases {
    fn may_end(&mut self, at: Timestamp) {
        self.first_end = Some(self.first_end.map_or(at, |first| first.min(at)));
    }
}

fn runs(leases: &[Lease], now: Timestamp) -> bool {
    leases.iter().any(|(_, end)| *end > now)
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
            let leases = all.by_user.entry(*user).or_default();
            if !runs(leases, now) {
                // Whoever asks sees them offline already, also where no sweep has said so.
                leases.clear();
                came.push(*user);
            }
            match leases.iter_mut().find(|(id, _)| id == connection) {
                Some((_, ends)) => *ends = end,
                None => leases.push((*connection, end)),
            }
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
        let leases = all.by_user.get_mut(&user);
        let lease = leases.and_then(|leases| leases.iter_mut().find(|(id, _)| *id == connection));
        if let Some((_, end)) = lease {
            *end = (*end).min(now + grace);
            let end = *end;
            all.may_end(end);
        }
        Ok(())
    }

    async fn expire(&self, now: Timestamp) -> Result<Vec<UserId>, PortError> {
        let mut all = self.0.lock();
        if all.first_end.is_none_or(|first| now < first) {
            return Ok(Vec::new());
        }
        let mut left = Vec::new();
        let mut first_end: Option<Timestamp> = None;
        all.by_user.retain(|user, leases| {
            leases.retain(|(_, end)| *end > now);
            let Some(first) = leases.iter().map(|(_, end)| *end).min() else {
                left.push(*user);
                return false;
            };
            first_end = Some(first_end.map_or(first, |end| end.min(first)));
            true
        });
        all.first_end = first_end;
        Ok(left)
    }

    async fn online(&self, users: &[UserId], now: Timestamp) -> Result<Vec<UserId>, PortError> {
        let all = self.0.lock();
        let online = |user: &&UserId| {
            all.by_user
                .get(*user)
                .is_some_and(|leases| runs(leases, now))
        };
        Ok(users.iter().filter(online).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use talksy_domain::id::from_bytes;

    use super::*;
    use crate::testing::START;

    const LEASE: Duration = Duration::from_secs(45);
    const GRACE: Duration = Duration::from_secs(3);
    const TAB: ConnectionId = ConnectionId(1);
    const PHONE: ConnectionId = ConnectionId(2);

    fn user(byte: u8) -> UserId {
        from_bytes([byte; 16])
    }

    fn at(seconds: u64) -> Timestamp {
        START + Duration::from_secs(seconds)
    }

    async fn renew(
        store: &MemoryPresenceStore,
        who: &[(UserId, ConnectionId)],
        now: Timestamp,
    ) -> Vec<UserId> {
        store.renew(who, now, LEASE).await.unwrap()
    }

    async fn online(store: &MemoryPresenceStore, now: Timestamp) -> Vec<UserId> {
        store
            .online(&[user(3), user(2), user(1)], now)
            .await
            .unwrap()
    }

    async fn expire(store: &MemoryPresenceStore, now: Timestamp) -> Vec<UserId> {
        let mut left = store.expire(now).await.unwrap();
        left.sort();
        left
    }

    #[tokio::test]
    async fn a_user_comes_once_however_many_sockets_open() {
        let store = MemoryPresenceStore::new();
        let both = [(user(1), TAB), (user(1), PHONE), (user(2), TAB)];
        assert_eq!(renew(&store, &both, START).await, [user(1), user(2)]);
        assert_eq!(renew(&store, &both, at(15)).await, []);
        assert_eq!(online(&store, at(15)).await, [user(2), user(1)]);
    }

    #[tokio::test]
    async fn a_lease_that_nobody_renews_ends_by_itself_and_is_told_once() {
        let store = MemoryPresenceStore::new();
        renew(&store, &[(user(1), TAB), (user(2), TAB)], START).await;
        renew(&store, &[(user(2), TAB)], at(30)).await;
        assert_eq!(expire(&store, at(44)).await, []);
        assert_eq!(online(&store, at(44)).await, [user(2), user(1)]);
        assert_eq!(online(&store, at(45)).await, [user(2)], "before any sweep");
        assert_eq!(expire(&store, at(45)).await, [user(1)]);
        assert_eq!(expire(&store, at(45)).await, []);
        assert_eq!(expire(&store, at(75)).await, [user(2)]);
        assert_eq!(store.0.lock().by_user.len(), 0);
        assert_eq!(renew(&store, &[(user(1), TAB)], at(76)).await, [user(1)]);
    }

    #[tokio::test]
    async fn a_closed_socket_lingers_for_the_grace_and_a_new_one_closes_the_gap() {
        let store = MemoryPresenceStore::new();
        renew(&store, &[(user(1), TAB)], START).await;
        store.release(user(1), TAB, at(10), GRACE).await.unwrap();
        assert_eq!(online(&store, at(12)).await, [user(1)]);
        assert_eq!(renew(&store, &[(user(1), PHONE)], at(12)).await, []);
        assert_eq!(expire(&store, at(13)).await, [], "the new socket holds");
        store.release(user(1), PHONE, at(20), GRACE).await.unwrap();
        assert_eq!(expire(&store, at(22)).await, []);
        assert_eq!(expire(&store, at(23)).await, [user(1)]);
    }

    #[tokio::test]
    async fn releasing_never_prolongs_and_never_makes_a_lease() {
        let store = MemoryPresenceStore::new();
        store.release(user(1), TAB, START, GRACE).await.unwrap();
        assert_eq!(online(&store, START).await, []);
        renew(&store, &[(user(1), TAB)], START).await;
        store.release(user(1), TAB, at(44), GRACE).await.unwrap();
        assert_eq!(online(&store, at(45)).await, []);
        renew(&store, &[(user(2), TAB)], START).await;
        store
            .release(user(2), TAB, at(1), Duration::ZERO)
            .await
            .unwrap();
        assert_eq!(online(&store, at(1)).await, [user(1)]);
        assert_eq!(expire(&store, at(1)).await, [user(2)]);
    }

    #[tokio::test]
    async fn a_user_who_returns_between_the_end_and_the_sweep_comes_and_does_not_leave() {
        let store = MemoryPresenceStore::new();
        renew(&store, &[(user(1), TAB)], START).await;
        assert_eq!(renew(&store, &[(user(1), PHONE)], at(50)).await, [user(1)]);
        assert_eq!(expire(&store, at(50)).await, []);
        assert_eq!(expire(&store, at(95)).await, [user(1)]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_concurrent_callers_one_is_told() {
        let store = Arc::new(MemoryPresenceStore::new());
        let all = |count: u128, store: &Arc<MemoryPresenceStore>| {
            (0..count)
                .map(|n| {
                    let store = Arc::clone(store);
                    tokio::spawn(async move {
                        let came = renew(&store, &[(user(1), ConnectionId(n))], START).await;
                        came.len()
                    })
                })
                .collect::<Vec<_>>()
        };
        let mut told = 0;
        for task in all(16, &store) {
            told += task.await.unwrap();
        }
        assert_eq!(told, 1);
        let sweeps: Vec<_> = (0..16)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { expire(&store, at(45)).await.len() })
            })
            .collect();
        let mut told = 0;
        for sweep in sweeps {
            told += sweep.await.unwrap();
        }
        assert_eq!(told, 1);
    }
}
