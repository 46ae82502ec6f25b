//! The queues in which sends to one chat, and changes of a group, wait for each other, so that only
//! instances contend for its next number. What waits at the same time is sent together; see
//! `commit`. Changes of its messages, which have numbers of their own, wait in another; see
//! `changes`.
//!
//! A queue remembers the last place that this instance has made durable, which saves reading it.
//! That is only ever a hint, and only ever too low: it is never taken from what was merely seen or
//! refused, which a failing primary could still lose, so the number behind it leaves no hole; and
//! where another instance has taken that, the unique index says so.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use parking_lot::Mutex as SyncMutex;
use talksy_domain::clock::Timestamp;
use talksy_domain::seq::Seq;
use tokio::sync::Mutex;

use super::documents::Place;
use super::fault::Fault;
use super::turns::Pace;
use super::waiting::Waiting;

/// How many chats are remembered. One that is forgotten costs a read; one that is forgotten while
/// it is in use costs a refused insert.
const REMEMBERED: u64 = 16_384;
/// For how long after the last send.
const IDLE: Duration = Duration::from_mins(10);

/// After how many inserts behind the hint the last number is read once. An instance that knows it
/// is always faster than one that has to read it, and would lock it out while sends keep coming.
const RUN: u32 = 8;

/// The queues of all chats.
pub(super) struct ChatQueues {
    queues: Cache<[u8; 16], Arc<ChatQueue>>,
    bound: usize,
}

impl ChatQueues {
    /// Queues in which at most `bound` sends wait each.
    pub(super) fn new(bound: usize) -> Self {
        let queues = Cache::builder().max_capacity(REMEMBERED).time_to_idle(IDLE);
        Self {
            queues: queues.build(),
            bound,
        }
    }

    /// The queue of a chat.
    pub(super) fn of(&self, chat: [u8; 16]) -> Arc<ChatQueue> {
        self.queues.get_with(chat, || {
            Arc::new(ChatQueue {
                state: SyncMutex::default(),
                bound: self.bound,
                pace: SyncMutex::default(),
                head: SyncMutex::default(),
                written: Mutex::default(),
                applied: AtomicU32::new(0),
                settled: AtomicU32::new(0),
            })
        })
    }
}

/// The head of a chat: its last number, and when it was last active.
pub(super) type Head = (Seq, Option<Timestamp>);

/// The sends that wait for one chat, and what is known of its head.
pub(super) struct ChatQueue {
    state: SyncMutex<State>,
    bound: usize,
    /// How fast this instance inserts, and whether others do too.
    pub(super) pace: SyncMutex<Pace>,
    /// How far this instance knows the chat to reach.
    head: SyncMutex<Head>,
    /// How far the chat's document says so, as far as this instance has seen to it.
    pub(super) written: Mutex<Head>,
    /// Up to here this instance knows that system messages are applied; see `notices`.
    applied: AtomicU32,
    /// Up to here this instance knows that numbers of changes are settled; see `changes`.
    settled: AtomicU32,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Whether a worker runs.
    has_worker: bool,
    hint: Hint,
}

impl State {
    fn fill(&mut self, batch: &mut VecDeque<Waiting>, limit: usize) {
        while batch.len() < limit
            && let Some(waiting) = self.waiting.pop_front()
        {
            if !waiting.is_given_up() {
                batch.push_back(waiting);
            }
        }
    }
}

/// What is known of a chat's last place.
#[derive(Default)]
pub(super) struct Hint {
    last: Option<Place>,
    run: u32,
}

impl Hint {
    /// Takes the hint. It is gone until [`Hint::reached`] says that a place is durable: an insert
    /// that is broken off leaves none.
    fn take(&mut self) -> Option<Place> {
        let last = self.last.take();
        if self.run >= RUN {
            self.run = 0;
            return None;
        }
        last
    }

    /// Remembers a place that this instance knows to be durable.
    fn reached(&mut self, place: Place) {
        self.last = Some(place);
        self.run += 1;
    }
}

impl ChatQueue {
    /// Queues a draft or a change. True where no worker runs, so that the caller has to start one.
    pub(super) fn enqueue(&self, waiting: Waiting) -> Result<bool, Fault> {
        let mut state = self.state.lock();
        if state.waiting.len() >= self.bound {
            return Err(Fault::Busy);
        }
        state.waiting.push_back(waiting);
        Ok(!std::mem::replace(&mut state.has_worker, true))
    }

    /// What is next, at most `limit`, for which somebody still waits. Where there are none, the queue
    /// has no worker from then on.
    pub(super) fn next(&self, limit: usize) -> VecDeque<Waiting> {
        let mut state = self.state.lock();
        let mut batch = VecDeque::new();
        state.fill(&mut batch, limit);
        if batch.is_empty() {
            state.has_worker = false;
        }
        batch
    }

    /// Adds to a worker's batch what has come meanwhile, up to `limit` in all.
    pub(super) fn fill(&self, batch: &mut VecDeque<Waiting>, limit: usize) {
        self.state.lock().fill(batch, limit);
    }

    /// Whether something waits that no batch has taken.
    pub(super) fn has_more(&self) -> bool {
        !self.state.lock().waiting.is_empty()
    }

    /// Notes that the worker is gone, and fails what waits.
    pub(super) fn abandon(&self) {
        let mut state = self.state.lock();
        state.has_worker = false;
        state.waiting.clear();
    }

    /// See [`Hint::take`].
    pub(super) fn hint(&self) -> Option<Place> {
        self.state.lock().hint.take()
    }

    /// See [`Hint::reached`].
    pub(super) fn reached(&self, place: Place) {
        self.state.lock().hint.reached(place);
    }

    /// Up to which system message this instance knows them to be applied.
    pub(super) fn applied(&self) -> Seq {
        self.applied.load(Ordering::Acquire)
    }

    /// Notes that system messages are applied at least up to this one.
    pub(super) fn note_applied(&self, seq: Seq) {
        self.applied.fetch_max(seq, Ordering::AcqRel);
    }

    /// Up to which number this instance knows changes to be settled.
    pub(super) fn settled(&self) -> Seq {
        self.settled.load(Ordering::Acquire)
    }

    /// Notes that changes are settled up to this number.
    pub(super) fn note_settled(&self, seq: Seq) {
        self.settled.fetch_max(seq, Ordering::AcqRel);
    }

    /// Notes that the chat reaches at least to `head`, and says how far it is known to.
    pub(super) fn note(&self, head: Head) -> Head {
        let mut known = self.head.lock();
        *known = furthest(*known, head);
        *known
    }
}

/// The later of each part.
pub(super) fn furthest(one: Head, other: Head) -> Head {
    (one.0.max(other.0), one.1.max(other.1))
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
            let place = Place { seq, mseq: 0 };
            hint.reached(place);
            match hint.take() {
                Some(last) => assert_eq!(last, place),
                None => reads += 1,
            }
            assert_eq!(hint.last, None, "a send that breaks off leaves no hint");
        }
        assert_eq!(reads, 100 / RUN);
    }

    #[test]
    fn a_head_never_goes_back() {
        let at = |millis| Some(Timestamp::from_millis(millis));
        let queue = ChatQueues::new(1).of([1; 16]);
        assert_eq!(queue.note((5, at(10))), (5, at(10)));
        assert_eq!(queue.note((4, at(20))), (5, at(20)));
        assert_eq!(queue.note((0, None)), (5, at(20)));
    }
}
