//! Presence leases: who came, who is there, who left; each told once.
//!
//! A sweep is for all users there are, so these rules want a namespace in which nobody else
//! sweeps meanwhile. What others have left there does not disturb them.

use std::sync::Arc;
use std::time::Duration;

use talksy_domain::clock::Timestamp;
use talksy_domain::id::UserId;
use talksy_domain::presence::{ConnectionId, PresenceStore};

use super::fixture::sorted;
use super::{at_once, ids, now, random};

const LEASE: Duration = Duration::from_secs(45);
const GRACE: Duration = Duration::from_secs(3);
const INSTANT: Duration = Duration::from_millis(1);

type Store = Arc<dyn PresenceStore>;

/// Users of one rule's own, before a store that may hold others'.
struct Users<'a, const N: usize> {
    store: &'a Store,
    who: [UserId; N],
    start: Timestamp,
}

impl<'a, const N: usize> Users<'a, N> {
    fn new(store: &'a Store) -> Self {
        Self {
            store,
            who: [(); N].map(|()| ids().next()),
            start: now(),
        }
    }

    fn at(&self, seconds: u64) -> Timestamp {
        self.start + Duration::from_secs(seconds)
    }

    async fn renew(&self, who: &[(UserId, ConnectionId)], at: Timestamp) -> Vec<UserId> {
        sorted(self.store.renew(who, at, LEASE).await.unwrap())
    }

    async fn release(&self, user: UserId, connection: ConnectionId, at: Timestamp) {
        let released = self.store.release(user, connection, at, GRACE);
        released.await.unwrap();
    }

    /// Who of these users left.
    async fn expire(&self, at: Timestamp) -> Vec<UserId> {
        let mut left = self.store.expire(at).await.unwrap();
        left.retain(|user| self.who.contains(user));
        sorted(left)
    }

    async fn online(&self, at: Timestamp) -> Vec<UserId> {
        sorted(self.store.online(&self.who, at).await.unwrap())
    }
}

fn connection() -> ConnectionId {
    ConnectionId(u128::from_be_bytes(random()))
}

/// A user is there from the first lease on, which is told once, and not by renewing it.
pub async fn a_user_comes_with_the_first_lease(store: &Store) {
    let users = Users::<2>::new(store);
    let ([ada, bob], tab, phone) = (users.who, connection(), connection());
    assert_eq!(users.online(users.start).await, []);
    assert_eq!(users.renew(&[(ada, tab)], users.start).await, [ada]);
    assert_eq!(users.renew(&[(ada, tab)], users.at(1)).await, []);
    assert_eq!(users.renew(&[(ada, phone)], users.at(2)).await, []);
    let both = [(ada, tab), (bob, connection()), (ada, phone)];
    assert_eq!(users.renew(&both, users.at(3)).await, [bob]);
    assert_eq!(users.online(users.at(3)).await, sorted([ada, bob]));
}

/// Who comes with several connections at once comes once.
pub async fn several_connections_at_once_are_one_coming(store: &Store) {
    let users = Users::<2>::new(store);
    let [ada, bob] = users.who;
    let all = [
        (ada, connection()),
        (bob, connection()),
        (ada, connection()),
    ];
    assert_eq!(users.renew(&all, users.start).await, sorted([ada, bob]));
    assert_eq!(users.renew(&[], users.start).await, []);
}

/// A lease runs until its end and not at it, and a renewed one until its new end.
pub async fn a_lease_ends_by_itself(store: &Store) {
    let users = Users::<1>::new(store);
    let ([ada], tab) = (users.who, connection());
    users.renew(&[(ada, tab)], users.start).await;
    users.renew(&[(ada, tab)], users.at(30)).await;
    let end = users.at(30) + LEASE;
    assert_eq!(users.online(end - INSTANT).await, [ada]);
    assert_eq!(users.expire(end - INSTANT).await, []);
    assert_eq!(users.online(end).await, [], "before any sweep");
    assert_eq!(users.expire(end).await, [ada]);
    assert_eq!(users.online(end).await, []);
}

/// A user's leaving is told once, and their next coming again.
pub async fn leaving_is_told_once(store: &Store) {
    let users = Users::<2>::new(store);
    let ([ada, bob], tab) = (users.who, connection());
    users.renew(&[(ada, tab), (bob, tab)], users.start).await;
    let end = users.start + LEASE;
    assert_eq!(users.expire(end).await, sorted([ada, bob]));
    assert_eq!(users.expire(end).await, []);
    assert_eq!(users.expire(users.at(3600)).await, []);
    let back = users.at(3601);
    assert_eq!(users.renew(&[(ada, tab)], back).await, [ada]);
    assert_eq!(users.expire(back + LEASE).await, [ada]);
}

/// Who has several leases is there until the last one ends.
pub async fn a_user_leaves_with_the_last_lease(store: &Store) {
    let users = Users::<1>::new(store);
    let [ada] = users.who;
    users.renew(&[(ada, connection())], users.start).await;
    users.renew(&[(ada, connection())], users.at(10)).await;
    assert_eq!(users.expire(users.start + LEASE).await, []);
    assert_eq!(users.online(users.start + LEASE).await, [ada]);
    assert_eq!(users.expire(users.at(10) + LEASE).await, [ada]);
}

/// A user whose lease is released is there until the grace is over.
pub async fn a_released_lease_ends_after_the_grace(store: &Store) {
    let users = Users::<1>::new(store);
    let ([ada], tab) = (users.who, connection());
    users.renew(&[(ada, tab)], users.start).await;
    users.release(ada, tab, users.at(10)).await;
    let end = users.at(10) + GRACE;
    assert_eq!(users.online(end - INSTANT).await, [ada]);
    assert_eq!(users.expire(end - INSTANT).await, []);
    assert_eq!(users.online(end).await, []);
    assert_eq!(users.expire(end).await, [ada]);
}

/// A connection that comes within the grace shows no gap: nobody left, nobody came.
pub async fn a_quick_return_shows_no_gap(store: &Store) {
    let users = Users::<1>::new(store);
    let ([ada], tab, again) = (users.who, connection(), connection());
    users.renew(&[(ada, tab)], users.start).await;
    users.release(ada, tab, users.at(10)).await;
    assert_eq!(users.renew(&[(ada, again)], users.at(12)).await, []);
    assert_eq!(users.expire(users.at(13)).await, []);
    assert_eq!(users.online(users.at(13)).await, [ada]);
    assert_eq!(users.expire(users.at(12) + LEASE).await, [ada]);
}

/// A released lease that is renewed runs on.
pub async fn a_released_lease_can_be_renewed(store: &Store) {
    let users = Users::<1>::new(store);
    let ([ada], tab) = (users.who, connection());
    users.renew(&[(ada, tab)], users.start).await;
    users.release(ada, tab, users.at(10)).await;
    assert_eq!(users.renew(&[(ada, tab)], users.at(11)).await, []);
    assert_eq!(users.expire(users.at(14)).await, []);
    assert_eq!(users.expire(users.at(11) + LEASE).await, [ada]);
}

/// Releasing never prolongs a lease, makes none, and is of one connection alone.
pub async fn releasing_never_prolongs(store: &Store) {
    let users = Users::<2>::new(store);
    let ([ada, bob], tab, phone) = (users.who, connection(), connection());
    users.release(bob, tab, users.start).await;
    assert_eq!(users.online(users.start).await, []);

    users.renew(&[(ada, tab)], users.start).await;
    users.release(ada, phone, users.at(1)).await;
    users.release(bob, tab, users.at(1)).await;
    assert_eq!(users.online(users.at(10)).await, [ada], "another's lease");
    users.release(ada, tab, users.at(44)).await;
    let end = users.start + LEASE;
    assert_eq!(users.online(end).await, []);
    assert_eq!(users.expire(end).await, [ada]);
    assert_eq!(users.expire(users.at(60)).await, [], "bob never came");
}

/// Without a grace a released lease ends at once.
pub async fn a_grace_may_be_none(store: &Store) {
    let users = Users::<1>::new(store);
    let ([ada], tab) = (users.who, connection());
    users.renew(&[(ada, tab)], users.start).await;
    let at = users.at(1);
    store.release(ada, tab, at, Duration::ZERO).await.unwrap();
    assert_eq!(users.online(at).await, []);
    assert_eq!(users.expire(at).await, [ada]);
}

/// Who returns after the lease has ended, and before a sweep, comes, and has not left.
pub async fn a_return_before_the_sweep_is_a_coming(store: &Store) {
    let users = Users::<1>::new(store);
    let [ada] = users.who;
    users.renew(&[(ada, connection())], users.start).await;
    let back = users.start + LEASE + GRACE;
    assert_eq!(users.renew(&[(ada, connection())], back).await, [ada]);
    assert_eq!(users.expire(back).await, []);
    assert_eq!(users.online(back).await, [ada]);
    assert_eq!(users.expire(back + LEASE).await, [ada]);
}

/// Of the users who are asked about, those who are there.
pub async fn online_tells_of_those_who_are_asked_about(store: &Store) {
    let users = Users::<3>::new(store);
    let ([ada, bob, eve], start) = (users.who, users.start);
    users
        .renew(&[(ada, connection()), (eve, connection())], start)
        .await;
    let online = async |asked: &[UserId]| sorted(store.online(asked, start).await.unwrap());
    assert_eq!(online(&[bob, eve, ids().next()]).await, [eve]);
    assert_eq!(online(&[eve, ada]).await, sorted([ada, eve]));
    assert_eq!(online(&[bob]).await, []);
    assert_eq!(online(&[]).await, []);
}

/// Of many connections of a user that come at the same time one is told that the user came.
pub async fn of_concurrent_comings_one_is_told(store: &Store) {
    let users = Users::<1>::new(store);
    let ([ada], start) = (users.who, users.start);
    let told = at_once((0..16).map(|_| {
        let (store, who) = (Arc::clone(store), [(ada, connection())]);
        async move { store.renew(&who, start, LEASE).await.unwrap() }
    }))
    .await;
    assert_eq!(told.concat(), [ada]);
}

/// Of many sweeps at the same time one is told that the user left.
pub async fn of_concurrent_sweeps_one_is_told(store: &Store) {
    let users = Users::<2>::new(store);
    let (both, end) = (users.who, users.start + LEASE);
    let leases = both.map(|user| (user, connection()));
    users.renew(&leases, users.start).await;
    let told = at_once((0..16).map(|_| {
        let store = Arc::clone(store);
        async move { store.expire(end).await.unwrap() }
    }))
    .await;
    let told = told.into_iter().flatten();
    assert_eq!(
        sorted(told.filter(|user| both.contains(user))),
        sorted(both)
    );
}

/// A user who returns while others sweep is told of as come if they had left, and ends there.
pub async fn a_return_among_sweeps_is_not_lost(store: &Store) {
    let users = Users::<1>::new(store);
    let ([ada], end) = (users.who, users.start + LEASE);
    users.renew(&[(ada, connection())], users.start).await;
    let told = at_once((0..8).map(|n| {
        let store = Arc::clone(store);
        let who = [(ada, connection())];
        async move {
            if n == 4 {
                (store.renew(&who, end, LEASE).await.unwrap(), vec![])
            } else {
                (vec![], store.expire(end).await.unwrap())
            }
        }
    }))
    .await;
    let (came, left): (Vec<_>, Vec<_>) = told.into_iter().unzip();
    assert_eq!(came.concat(), [ada], "the lease had ended");
    let left = left.concat();
    assert!(left.iter().filter(|user| **user == ada).count() <= 1);
    assert_eq!(users.online(end).await, [ada]);
    assert_eq!(users.expire(end + LEASE).await, [ada]);
}

super::suite::rules! {
    presence_rules:
    a_user_comes_with_the_first_lease,
    several_connections_at_once_are_one_coming,
    a_lease_ends_by_itself,
    leaving_is_told_once,
    a_user_leaves_with_the_last_lease,
    a_released_lease_ends_after_the_grace,
    a_quick_return_shows_no_gap,
    a_released_lease_can_be_renewed,
    releasing_never_prolongs,
    a_grace_may_be_none,
    a_return_before_the_sweep_is_a_coming,
    online_tells_of_those_who_are_asked_about,
    of_concurrent_comings_one_is_told,
    of_concurrent_sweeps_one_is_told,
    a_return_among_sweeps_is_not_lost,
}
