//! Presence leases: who came, who is there, who left; each told once.
//!
//! A look is for all users there are, so these rules want a namespace in which nobody else
//! looks meanwhile. What others have left there does not disturb them.

use std::sync::Arc;
use std::time::Duration;

use talksy_domain::clock::Timestamp;
use talksy_domain::id::UserId;
use talksy_domain::presence::{ConnectionId, Departure, HOLD, PresenceStore};

use super::fixture::sorted;
use super::{at_once, ids, now, random};

const LEASE: Duration = Duration::from_secs(45);
const GRACE: Duration = Duration::from_secs(3);
/// How long whoever has seen a lease end has to look again.
const CLAIM: Duration = Duration::from_secs(10);
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

    /// Whose leases have ended, and whom nobody else looks at.
    async fn ended(&self, at: Timestamp) -> Vec<Departure> {
        let mut ended = self.store.ended(at, CLAIM).await.unwrap();
        ended.retain(|departure| self.who.contains(&departure.user_id));
        sorted(ended)
    }

    async fn expire(&self, departures: &[Departure]) -> Vec<UserId> {
        let left = self.store.expire(departures).await.unwrap();
        sorted(left.iter().map(|departure| departure.user_id))
    }

    /// Who of these users is seen to have left, and is told so.
    async fn leave(&self, at: Timestamp) -> Vec<UserId> {
        let ended = self.ended(at).await;
        self.expire(&ended).await
    }

    async fn online(&self, at: Timestamp) -> Vec<UserId> {
        sorted(self.store.online(&self.who, at).await.unwrap())
    }
}

fn departure(user_id: UserId, ended_at: Timestamp) -> Departure {
    Departure { user_id, ended_at }
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
    assert_eq!(users.ended(end - INSTANT).await, []);
    let ended = users.ended(end).await;
    assert_eq!(ended, [departure(ada, end)]);
    assert_eq!(users.online(end).await, [ada], "nobody was told yet");
    assert_eq!(users.expire(&ended).await, [ada]);
    assert_eq!(users.online(end).await, []);
}

/// A user's leaving is told once, and their next coming again.
pub async fn leaving_is_told_once(store: &Store) {
    let users = Users::<2>::new(store);
    let ([ada, bob], tab) = (users.who, connection());
    users.renew(&[(ada, tab), (bob, tab)], users.start).await;
    let end = users.start + LEASE;
    assert_eq!(users.leave(end).await, sorted([ada, bob]));
    assert_eq!(users.leave(end).await, []);
    assert_eq!(users.leave(users.at(3600)).await, []);
    let back = users.at(3601);
    assert_eq!(users.renew(&[(ada, tab)], back).await, [ada]);
    assert_eq!(users.leave(back + LEASE).await, [ada]);
}

/// Who has several leases is there until the last one ends.
pub async fn a_user_leaves_with_the_last_lease(store: &Store) {
    let users = Users::<1>::new(store);
    let [ada] = users.who;
    users.renew(&[(ada, connection())], users.start).await;
    users.renew(&[(ada, connection())], users.at(10)).await;
    assert_eq!(users.leave(users.start + LEASE).await, []);
    assert_eq!(users.online(users.start + LEASE).await, [ada]);
    assert_eq!(users.leave(users.at(10) + LEASE).await, [ada]);
}

/// A user whose lease is released is there until the grace is over.
pub async fn a_released_lease_ends_after_the_grace(store: &Store) {
    let users = Users::<1>::new(store);
    let ([ada], tab) = (users.who, connection());
    users.renew(&[(ada, tab)], users.start).await;
    users.release(ada, tab, users.at(10)).await;
    let end = users.at(10) + GRACE;
    assert_eq!(users.leave(end - INSTANT).await, []);
    assert_eq!(users.online(end - INSTANT).await, [ada]);
    assert_eq!(users.ended(end).await, [departure(ada, end)]);
    assert_eq!(users.expire(&[departure(ada, end)]).await, [ada]);
    assert_eq!(users.online(end).await, []);
}

/// A connection that comes within the grace shows no gap: nobody left, nobody came.
pub async fn a_quick_return_shows_no_gap(store: &Store) {
    let users = Users::<1>::new(store);
    let ([ada], tab, again) = (users.who, connection(), connection());
    users.renew(&[(ada, tab)], users.start).await;
    users.release(ada, tab, users.at(10)).await;
    assert_eq!(users.renew(&[(ada, again)], users.at(12)).await, []);
    assert_eq!(users.leave(users.at(13)).await, []);
    assert_eq!(users.online(users.at(13)).await, [ada]);
    assert_eq!(users.leave(users.at(12) + LEASE).await, [ada]);
}

/// A released lease that is renewed runs on.
pub async fn a_released_lease_can_be_renewed(store: &Store) {
    let users = Users::<1>::new(store);
    let ([ada], tab) = (users.who, connection());
    users.renew(&[(ada, tab)], users.start).await;
    users.release(ada, tab, users.at(10)).await;
    assert_eq!(users.renew(&[(ada, tab)], users.at(11)).await, []);
    assert_eq!(users.leave(users.at(14)).await, []);
    assert_eq!(users.leave(users.at(11) + LEASE).await, [ada]);
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
    assert_eq!(users.leave(end).await, [ada]);
    assert_eq!(users.online(end).await, []);
    assert_eq!(users.leave(users.at(60)).await, [], "bob never came");
}

/// Without a grace a released lease ends at once.
pub async fn a_grace_may_be_none(store: &Store) {
    let users = Users::<1>::new(store);
    let ([ada], tab) = (users.who, connection());
    users.renew(&[(ada, tab)], users.start).await;
    let at = users.at(1);
    store.release(ada, tab, at, Duration::ZERO).await.unwrap();
    assert_eq!(users.leave(at).await, [ada]);
    assert_eq!(users.online(at).await, []);
}

/// Who returns after the lease has ended, and before that was told, has not left and does not come.
pub async fn a_return_before_the_leaving_was_told_is_no_news(store: &Store) {
    let users = Users::<2>::new(store);
    let ([ada, bob], tab) = (users.who, connection());
    users.renew(&[(ada, tab), (bob, tab)], users.start).await;
    let back = users.start + LEASE + GRACE;
    assert_eq!(users.renew(&[(ada, connection())], back).await, []);
    let end = users.start + LEASE;
    assert_eq!(users.ended(back).await, [departure(bob, end)]);
    // Bob's lease is renewed between the looks, as of an instance that was kept from it.
    let later = back + INSTANT;
    assert_eq!(users.renew(&[(bob, tab)], later).await, []);
    assert_eq!(users.expire(&[departure(bob, end)]).await, []);
    assert_eq!(users.online(later).await, sorted([ada, bob]));
    // The look at his lease is over with that: the next end is seen at once.
    let end = later + Duration::from_secs(1);
    let shortly = Duration::from_secs(1);
    let released = store.release(bob, tab, later, shortly);
    released.await.unwrap();
    assert_eq!(users.ended(end).await, [departure(bob, end)]);
    // Whoever looked at that has not told it in time.
    assert_eq!(users.leave(back + LEASE).await, sorted([ada, bob]));
}

/// Who has seen a lease end has it for a time; then another one goes on, and one of them is told.
pub async fn a_departure_is_one_callers_for_a_time(store: &Store) {
    let users = Users::<1>::new(store);
    let [ada] = users.who;
    users.renew(&[(ada, connection())], users.start).await;
    let end = users.start + LEASE;
    let all = [departure(ada, end)];
    assert_eq!(users.ended(end).await, all);
    assert_eq!(users.ended(end + CLAIM - INSTANT).await, []);
    assert_eq!(users.ended(end + CLAIM).await, all);
    assert_eq!(users.expire(&all).await, [ada]);
    assert_eq!(users.expire(&all).await, []);
    assert_eq!(users.ended(end + CLAIM * 2).await, []);
}

/// Nobody is online for ever, though no one takes them out.
pub async fn whom_nobody_takes_out_is_offline_after_a_time(store: &Store) {
    let users = Users::<1>::new(store);
    let ([ada], tab) = (users.who, connection());
    users.renew(&[(ada, tab)], users.start).await;
    let gone = users.start + LEASE + HOLD;
    assert_eq!(users.online(gone - INSTANT).await, [ada]);
    assert_eq!(users.online(gone).await, []);
    assert_eq!(users.renew(&[(ada, tab)], gone).await, [ada]);
    assert_eq!(users.online(gone).await, [ada]);
    assert_eq!(users.leave(gone + LEASE).await, [ada]);
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

/// Of many looks at the same time one has seen that the user left, and of many who would say so one
/// does.
pub async fn of_concurrent_looks_one_is_told(store: &Store) {
    let users = Users::<2>::new(store);
    let (both, end) = (users.who, users.start + LEASE);
    let leases = both.map(|user| (user, connection()));
    users.renew(&leases, users.start).await;
    let seen = at_once((0..16).map(|_| {
        let store = Arc::clone(store);
        async move { store.ended(end, CLAIM).await.unwrap() }
    }))
    .await;
    let mut seen = seen.concat();
    seen.retain(|departure| both.contains(&departure.user_id));
    let all = sorted(both.map(|user| departure(user, end)));
    assert_eq!(sorted(seen), all);
    let told = at_once((0..16).map(|_| {
        let (store, all) = (Arc::clone(store), all.clone());
        async move { store.expire(&all).await.unwrap() }
    }))
    .await;
    assert_eq!(sorted(told.concat()), all);
}

/// A user who returns while others look is told of as come if they had left, and is there.
pub async fn a_return_among_looks_is_not_lost(store: &Store) {
    let users = Users::<1>::new(store);
    let ([ada], end) = (users.who, users.start + LEASE);
    users.renew(&[(ada, connection())], users.start).await;
    let told = at_once((0..8).map(|n| {
        let store = Arc::clone(store);
        let who = [(ada, connection())];
        async move {
            if n == 4 {
                return (store.renew(&who, end, LEASE).await.unwrap(), vec![]);
            }
            let ended = store.ended(end, CLAIM).await.unwrap();
            (vec![], store.expire(&ended).await.unwrap())
        }
    }))
    .await;
    let (came, left): (Vec<_>, Vec<_>) = told.into_iter().unzip();
    let mut left = left.concat();
    left.retain(|departure| departure.user_id == ada);
    assert!(left.len() <= 1, "{left:?}");
    assert_eq!(
        came.concat().len(),
        left.len(),
        "told of as left, then as come"
    );
    assert_eq!(users.online(end).await, [ada]);
    assert_eq!(users.leave(end + LEASE).await, [ada]);
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
    a_return_before_the_leaving_was_told_is_no_news,
    a_departure_is_one_callers_for_a_time,
    whom_nobody_takes_out_is_offline_after_a_time,
    online_tells_of_those_who_are_asked_about,
    of_concurrent_comings_one_is_told,
    of_concurrent_looks_one_is_told,
    a_return_among_looks_is_not_lost,
}
