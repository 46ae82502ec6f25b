//! The queues in which sends to one chat wait for each other, so that only instances contend for
//! its next number.
//!
//! A lane remembers the last number that this instance has made durable, which saves reading it.
//! That is only ever a hint, and only ever too low: it is never taken from what was read or
//! refused, which a failing primary could still lose, so the number behind it leaves no hole; and
//! where another instance has taken that, the unique index says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use parking_lot::Mutex as SyncMutex;
use talksy_schema::clock::Timestamp;
use talksy_schema::messages::Seq;
use tokio::sync::{Mutex, MutexGuard};

use super::call::Call;
use super::fault::Fault;

/// How many chats are remembered. One that is forgotten costs a read; one that is forgotten while
/// it is in use costs a refused insert.
const REMEMBERED: u64 = 16_384;
/// For how long after the last send.
const IDLE: Duration = Duration::from_mins(10);

/// After how many numbers taken by the hint the last one is read once. An instance that knows it
/// is always faster than one that has to read it, and would lock it out while sends keep coming.
const RUN: u32 = 8;

/// The lanes of all chats.
pub(super) struct Lanes {
    lanes: Cache<[u8; 16], Arc<Lane>>,
    bound: usize,
}

impl Lanes {
    /// Lanes in which at most `bound` sends wait each.
    pub(super) fn new(bound: usize) -> Self {
        let lanes = Cache::builder().max_capacity(REMEMBERED).time_to_idle(IDLE);
        Self {
            lanes: lanes.build(),
            bound,
        }
    }

    /// The lane of a chat.
    pub(super) fn of(&self, chat: [u8; 16]) -> Arc<Lane> {
        self.lanes.get_with(chat, || {
            Arc::new(Lane {
                hint: Mutex::default(),
                waiting: AtomicUsize::new(0),
                bound: self.bound,
                end: SyncMutex::default(),
                written: Mutex::default(),
            })
        })
    }
}

/// The end of a chat: its last number, and when it was last active.
pub(super) type End = (Seq, Option<Timestamp>);

/// The lane of a chat.
pub(super) struct Lane {
    hint: Mutex<Hint>,
    waiting: AtomicUsize,
    bound: usize,
    /// How far this instance knows the chat to reach.
    end: SyncMutex<End>,
    /// How far the chat's document says so, as far as this instance has seen to it.
    pub(super) written: Mutex<End>,
}

/// What is known of a chat's last number.
#[derive(Default)]
pub(super) struct Hint {
    last: Option<Seq>,
    run: u32,
}

impl Hint {
    /// Takes the hint. It is gone until [`Hint::taken`] says that a number is durable: a send that
    /// is broken off leaves none.
    pub(super) fn take(&mut self) -> Option<Seq> {
        let last = self.last.take();
        if self.run >= RUN {
            self.run = 0;
            return None;
        }
        last
    }

    /// Remembers a number that this instance has made durable.
    pub(super) fn taken(&mut self, seq: Seq) {
        self.last = Some(seq);
        self.run += 1;
    }
}

impl Lane {
    /// Waits for one's turn.
    pub(super) async fn enter(&self, call: &Call) -> Result<MutexGuard<'_, Hint>, Fault> {
        let place = Place(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::SeqCst) >= self.bound {
            return Err(Fault::Busy);
        }
        let turn = call.wait(self.hint.lock()).await;
        drop(place);
        turn
    }

    /// Notes that the chat reaches at least to `end`, and says how far it is known to.
    pub(super) fn note(&self, end: End) -> End {
        let mut known = self.end.lock();
        *known = furthest(*known, end);
        *known
    }
}

/// The later of each part.
pub(super) fn furthest(one: End, other: End) -> End {
    (one.0.max(other.0), one.1.max(other.1))
}

/// A place in the queue, given up also where the caller goes away.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_used_once_and_given_up_now_and_then() {
        let mut hint = Hint::default();
        assert_eq!(hint.take(), None);
        let mut reads = 0;
        for seq in 1..=100 {
            hint.taken(seq);
            match hint.take() {
                Some(last) => assert_eq!(last, seq),
                None => reads += 1,
            }
            assert_eq!(hint.last, None, "a send that breaks off leaves no hint");
        }
        assert_eq!(reads, 100 / RUN);
    }

    #[test]
    fn an_end_never_goes_back() {
        let at = |millis| Some(Timestamp::from_millis(millis));
        let lane = Lanes::new(1).of([1; 16]);
        assert_eq!(lane.note((5, at(10))), (5, at(10)));
        assert_eq!(lane.note((4, at(20))), (5, at(20)));
        assert_eq!(lane.note((0, None)), (5, at(20)));
    }
}
