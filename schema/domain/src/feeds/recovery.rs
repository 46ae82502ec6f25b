//! How the feeds of many chats look at the store after an interruption: spread over time and a few at
//! once, so that neither requests nor feeds that are just being opened wait behind all of them.
//!
//! A feed that missed events of many chats begins at its own time within a window, which grows with the
//! feeds of the process: so processes that share a store do not all ask it at the same moment. Then it
//! waits for its turn, in the order of their coming. Until it begins, it goes on telling what the bus
//! brings. A feed that missed events of few chats looks at once, as others that missed the same do,
//! whose questions meet in one store call.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::events::event::Topic;
use crate::id::ChatId;
use crate::pausing::{self, Held};

/// How many feeds look at the same time. Fewer than feeds may read alone (see
/// [`super::context::FeedContext`]), so that recovering ones leave room for those that are opened.
pub(super) const AT_ONCE: usize = 8;
/// How much of the window belongs to each feed. A look at 200 chats takes the embedded store some
/// milliseconds, and eight go on at a time.
const EACH: Duration = Duration::from_millis(1);
/// Who missed events of so few chats looks at once.
const FEW: usize = 16;
/// The longest window. Within it a feed looks because of its heartbeat in any case.
const LONGEST: Duration = Duration::from_secs(10);
/// So much of a window lies between two feeds that are interrupted one after the other: the golden
/// ratio, in parts of 2^64, spreads any number of them evenly.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A feed's turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
    _held: Held,
}

/// What all feeds of many chats share.
#[derive(Debug)]
pub(super) struct Recovery {
    feeds: AtomicUsize,
    /// Counts those that were given a time.
    next: AtomicU64,
    running: Arc<Semaphore>,
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            feeds: AtomicUsize::new(0),
            next: AtomicU64::new(0),
            running: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Recovery {
    /// Counts a feed until it is dropped.
    pub(super) fn join(self: &Arc<Self>) -> Recoverer {
        self.feeds.fetch_add(1, Ordering::Relaxed);
        Recoverer {
            shared: Arc::clone(self),
            missed: Missed::default(),
            at: None,
        }
    }

    /// When a feed begins that is interrupted now.
    fn time(&self) -> Instant {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        // 16 bits are fine enough for ten seconds.
        let part = number.wrapping_mul(STEP) >> 48;
        let part = u32::try_from(part).unwrap_or_default();
        Instant::now() + self.window() * part / (1 << 16)
    }

    /// Within how long all feeds begin that are interrupted now.
    fn window(&self) -> Duration {
        let feeds = self.feeds.load(Ordering::Relaxed);
        // The first one has nobody to wait for.
        let others = u32::try_from(feeds.saturating_sub(1)).unwrap_or(u32::MAX);
        EACH.saturating_mul(others).min(LONGEST)
    }
}

/// Of what events may have been missed.
#[derive(Clone, Debug, Default)]
pub(super) struct Missed {
    /// Of anything.
    pub(super) all: bool,
    /// Of what concerns the user alone.
    pub(super) own: bool,
    /// Of these chats.
    pub(super) chats: BTreeSet<ChatId>,
}

/// One feed's part in it.
#[derive(Debug)]
pub(super) struct Recoverer {
    shared: Arc<Recovery>,
    missed: Missed,
    /// When the feed begins.
    at: Option<Instant>,
}

impl Recoverer {
    /// Notes that events of this topic may have been missed, or of any.
    pub(super) fn note(&mut self, topic: Option<Topic>) {
        match topic {
            None => self.missed.all = true,
            Some(Topic::Chat(chat)) => {
                self.missed.chats.insert(chat);
            }
            Some(Topic::User(_) | Topic::Presence(_)) => self.missed.own = true,
        }
    }

    fn missed_few(&self) -> bool {
        !self.missed.all && self.missed.chats.len() <= FEW
    }

    /// When the feed is to look; `None` where it has missed nothing. To be asked once all signals that
    /// wait were noted.
    pub(super) fn at(&mut self) -> Option<Instant> {
        let Missed { all, own, chats } = &self.missed;
        if !all && !own && chats.is_empty() {
            return None;
        }
        if self.missed_few() {
            return Some(Instant::now());
        }
        Some(*self.at.get_or_insert_with(|| self.shared.time()))
    }

    /// Waits for the feed's turn, and says what to look at.
    pub(super) async fn turn(&self) -> (Option<Turn>, Missed) {
        if self.missed_few() {
            return (None, self.missed.clone());
        }
        let enter = || Arc::clone(&self.shared.running).acquire_owned();
        // The semaphore is never closed.
        let permit = pausing::turn(enter).await.ok();
        let turn = Turn {
            _permit: permit,
            _held: pausing::hold(),
        };
        (Some(turn), self.missed.clone())
    }

    /// The feed has looked at all that it missed.
    pub(super) fn done(&mut self) {
        self.missed = Missed::default();
        self.at = None;
    }
}

impl Drop for Recoverer {
    fn drop(&mut self) {
        self.shared.feeds.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::id;

    fn interrupted(recovery: &Arc<Recovery>) -> Recoverer {
        let mut feed = recovery.join();
        feed.note(None);
        feed
    }

    #[tokio::test(start_paused = true)]
    async fn the_window_grows_with_the_feeds_and_is_filled_evenly() {
        let recovery = Arc::new(Recovery::default());
        let mut one = interrupted(&recovery);
        assert_eq!(one.at(), Some(Instant::now()), "nobody else is there");
        for (feeds, window) in [
            (100_u64, Duration::from_millis(100)),
            (1_000, Duration::from_secs(1)),
            (20_000, LONGEST),
        ] {
            let mut others: Vec<_> = (0..feeds).map(|_| interrupted(&recovery)).collect();
            let mut tenths = [0; 10];
            for feed in &mut others {
                let at = feed.at().unwrap();
                assert_eq!(feed.at(), Some(at), "it is given one time");
                let after = at - Instant::now();
                assert!(after < window, "{after:?} of {window:?}");
                tenths[usize::try_from(10 * after.as_nanos() / window.as_nanos()).unwrap()] += 1;
            }
            let even = feeds / 10;
            for count in tenths {
                assert!(count + 5 >= even && count <= even + 5, "{tenths:?}");
            }
        }
        assert_eq!(recovery.window(), Duration::ZERO, "the others have gone");
    }

    #[tokio::test]
    async fn few_have_their_turn_at_once_and_the_others_in_their_order() {
        let recovery = Arc::new(Recovery::default());
        let feeds: Vec<_> = (0..AT_ONCE + 2).map(|_| interrupted(&recovery)).collect();
        let mut turns: Vec<_> = feeds.iter().map(|feed| Box::pin(feed.turn())).collect();
        let mut held = Vec::new();
        for turn in &mut turns[..AT_ONCE] {
            held.push(turn.as_mut().now_or_never().unwrap());
        }
        for turn in &mut turns[AT_ONCE..] {
            assert!(turn.as_mut().now_or_never().is_none());
        }
        held.pop();
        assert!(turns[AT_ONCE + 1].as_mut().now_or_never().is_none());
        assert!(turns[AT_ONCE].as_mut().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_missed_events_of_few_chats_looks_at_once_and_takes_nobodys_turn() {
        let recovery = Arc::new(Recovery::default());
        let others: Vec<_> = (0..100).map(|_| interrupted(&recovery)).collect();
        let turns = others[..AT_ONCE]
            .iter()
            .map(|feed| feed.turn().now_or_never().unwrap());
        let _held: Vec<_> = turns.collect();
        let mut feed = recovery.join();
        assert_eq!(feed.at(), None);
        for n in 0..FEW {
            feed.note(Some(Topic::Chat(id::from_bytes((n as u128).to_be_bytes()))));
        }
        feed.note(Some(Topic::User(id::from_bytes([1; 16]))));
        assert_eq!(feed.at(), Some(Instant::now()));
        let (_, missed) = feed.turn().now_or_never().unwrap();
        assert_eq!(
            (missed.all, missed.own, missed.chats.len()),
            (false, true, FEW)
        );
        feed.note(Some(Topic::Chat(id::from_bytes([9; 16]))));
        assert!(feed.turn().now_or_never().is_none(), "these are many");
        feed.done();
        assert_eq!(feed.at(), None);
    }
}
