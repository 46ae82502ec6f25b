//! How many operations of one kind (queries, mutations, subscriptions that are opened) of one user are
//! executed at a time, over all their connections. Further ones wait in the order in which they came:
//! who asks for very much waits for themselves, and others find the threads free.
//!
//! Only users are counted. Many who have not signed in may share an address, and wait for a backend
//! that is slow; what they may ask for has bounds of its own.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use talksy_domain::id::UserId;
use talksy_domain::viewer::Authentication;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// The turns of all users, for one kind of operations.
#[derive(Debug)]
pub(super) struct Turns {
    /// Most of a user.
    most: usize,
    /// Most of all users together, where that is bounded. Who has the most turns of their own waits
    /// here behind as many at most of each other.
    of_all: Option<Semaphore>,
    /// Of those who have an operation that is executed, or waits.
    users: Mutex<HashMap<UserId, Arc<Semaphore>>>,
}

impl Turns {
    /// So many operations of a user at a time.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.min(Semaphore::MAX_PERMITS),
            of_all: None,
            users: Mutex::default(),
        }
    }

    /// So many of a user, and so many of all together.
    pub(super) fn within(most: usize, of_all: usize) -> Self {
        Self {
            of_all: Some(Semaphore::new(of_all.min(Semaphore::MAX_PERMITS))),
            ..Self::new(most)
        }
    }

    /// Waits for a turn of the user; at once where there is none. It lasts until it is dropped.
    pub(super) async fn take(&self, authentication: &Authentication) -> Option<Turn<'_>> {
        let Authentication::SignedIn(viewer) = authentication else {
            return None;
        };
        let user = viewer.user_id;
        let semaphore = Arc::clone(
            self.users
                .lock()
                .entry(user)
                .or_insert_with(|| Arc::new(Semaphore::new(self.most))),
        );
        // There before it waits, since it may be given up meanwhile.
        let mut turn = Turn {
            turns: self,
            user,
            permits: None,
        };
        // Neither is ever closed.
        let own = semaphore.acquire_owned().await.ok();
        let of_all = match &self.of_all {
            Some(of_all) => of_all.acquire().await.ok(),
            None => None,
        };
        turn.permits = Some((own, of_all));
        Some(turn)
    }
}

/// A turn, or the wait for one.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    user: UserId,
    permits: Option<Permits<'a>>,
}

/// One of the user's, and one of all users'.
type Permits<'a> = (Option<OwnedSemaphorePermit>, Option<SemaphorePermit<'a>>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut users = self.turns.users.lock();
        drop(self.permits.take());
        // Nobody else has one, or waits: whoever does holds it as well.
        if users
            .get(&self.user)
            .is_some_and(|semaphore| Arc::strong_count(semaphore) == 1)
        {
            users.remove(&self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;
    use talksy_domain::clock::Timestamp;
    use talksy_domain::id;
    use talksy_domain::viewer::Viewer;

    use super::*;

    fn user(number: u8) -> Authentication {
        Authentication::SignedIn(Viewer {
            user_id: id::from_bytes([number; 16]),
            session_id: id::from_bytes([number; 16]),
            expires_at: Timestamp::from_millis(0),
        })
    }

    #[tokio::test]
    async fn a_user_has_so_many_turns_and_waits_for_the_next() {
        let turns = Turns::new(2);
        let (ada, bob) = (user(1), user(2));
        let first = turns.take(&ada).await;
        let second = turns.take(&ada).await;
        assert!(first.is_some() && second.is_some());
        let mut third = pin!(turns.take(&ada));
        let mut fourth = pin!(turns.take(&ada));
        assert!(third.as_mut().now_or_never().is_none());
        assert!(fourth.as_mut().now_or_never().is_none());
        // Nobody else waits.
        assert!(turns.take(&bob).now_or_never().is_some());
        for _ in 0..10 {
            let stranger = turns.take(&Authentication::Anonymous).now_or_never();
            assert!(stranger.is_some_and(|turn| turn.is_none()));
        }
        drop(second);
        // In the order in which they came.
        assert!(fourth.as_mut().now_or_never().is_none());
        let third = third.await;
        drop(first);
        let fourth = fourth.await;
        assert!(third.is_some() && fourth.is_some());
    }

    #[tokio::test]
    async fn all_users_share_what_is_bounded_for_all_and_each_comes_to_it() {
        let turns = Turns::within(2, 3);
        let (ada, bob, eve) = (user(1), user(2), user(3));
        let first = turns.take(&ada).await;
        let _second = turns.take(&ada).await;
        let _third = turns.take(&bob).await;
        // Ada has two, and waits for her own before she waits among all.
        let mut fourth = pin!(turns.take(&ada));
        assert!(fourth.as_mut().now_or_never().is_none());
        let mut fifth = pin!(turns.take(&eve));
        assert!(fifth.as_mut().now_or_never().is_none());
        drop(first);
        let fifth = fifth.now_or_never();
        assert!(fifth.is_some());
        assert!(fourth.as_mut().now_or_never().is_none());
        drop(fifth);
        assert!(fourth.now_or_never().is_some());
    }

    #[tokio::test]
    async fn nothing_is_kept_of_who_has_no_operation_or_gives_up() {
        let turns = Turns::new(1);
        let ada = user(1);
        let first = turns.take(&ada).await;
        {
            let mut given_up = pin!(turns.take(&ada));
            assert!(given_up.as_mut().now_or_never().is_none());
        }
        assert_eq!(turns.users.lock().len(), 1);
        assert!(turns.take(&ada).now_or_never().is_none());
        drop(first);
        assert_eq!(turns.users.lock().len(), 0);
        // One that waits keeps it, and has its turn.
        let first = turns.take(&ada).await;
        let mut next = pin!(turns.take(&ada));
        assert!(next.as_mut().now_or_never().is_none());
        drop(first);
        assert_eq!(turns.users.lock().len(), 1);
        drop(next.await);
        assert_eq!(turns.users.lock().len(), 0);
    }
}
