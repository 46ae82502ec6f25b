//! Which instance inserts next into a busy chat.
//!
//! The unique index lets one of several instances win a number. The one that has just won knows the
//! next number and inserts back to back; the others have to read it first, and by the time their
//! insert arrives the number is taken. Where an insert takes longer than a read they lose every
//! time. So instances that meet at a chat take turns, which something that all of them reach tells
//! ([`Turns`]; in the server: Redis). Numbers never come from there, and nothing depends on it for
//! being right: the index decides with turns as it does without.
//!
//! - Whoever loses a race stands in line, inserts one batch in its turn, and passes the turn on. In
//!   a turn the last number is read, since others have inserted meanwhile. What has come while it
//!   waited goes into the same insert.
//! - Whoever inserts several messages at once, or has more behind them, looks beside the insert
//!   whether others stand in line, and stands behind them from then on. One send after the other
//!   asks nothing: the time between two of them is enough for others.
//! - A turn ends by itself after a few inserts' time: an instance that has died holds up the others
//!   for that long, once.
//! - Waiting for a turn is bounded by a part of the call's time, and then the insert is tried
//!   without one. A question that is not answered within [`REACH`] is dropped, and after
//!   two of them, or one that fails, nothing is asked for a while: so a Redis that hangs delays a send by little.
//! - Where nobody can be asked, an instance that inserts back to back rests for one insert's time
//!   before it reads the last number, which it does after every eighth insert: long enough for
//!   another's read and insert.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mongodb::bson::oid::ObjectId;
use parking_lot::Mutex as SyncMutex;
use talksy_domain::backoff::Backoff;
use talksy_domain::error::{PortError, chain};
use talksy_domain::turns::{Turn, Turns};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Inner;
use super::call::Call;
use super::chat_queue::ChatQueue;

/// How long one question about turns may take.
const REACH: Duration = Duration::from_millis(100);
/// For how long nothing is asked after a question has failed, at first and at most; twice as long
/// with each further failure. A moment's delay costs little, an outage one question now and then.
const LEFT_ALONE_FIRST: Duration = Duration::from_millis(250);
const LEFT_ALONE_LONGEST: Duration = Duration::from_secs(5);
/// How long a turn lasts at least and at most. It is granted time for four inserts.
const SHORTEST_TURN: Duration = Duration::from_millis(100);
const LONGEST_TURN: Duration = Duration::from_millis(500);
/// How long a turn is waited for at most; no longer than a third of the call's time either.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// The time between two questions for a turn. It is an eighth of an insert's.
const SHORTEST_POLL: Duration = Duration::from_millis(1);
const LONGEST_POLL: Duration = Duration::from_millis(8);
/// For how long at least a chat counts as contended after others were seen there. It is four
/// inserts' time, so that senders who wait for their answers before they go on are still met. It
/// ends with a turn that nobody else waits for, so that a slow machine forgets no one in line.
const SHORTEST_MEMORY: Duration = Duration::from_millis(50);
/// The longest rest where nobody can be asked.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// Asks for turns, in time.
pub(super) struct TurnKeeper {
    turns: Option<Arc<dyn Turns>>,
    /// This instance's name in a line.
    worker: String,
    absence: SyncMutex<Absence>,
}

/// What failures to ask have led to.
struct Absence {
    /// Nothing is asked until then.
    until: Option<Instant>,
    backoff: Backoff,
    /// Whether the last answer came too late. One late answer is no absence: to leave the line for
    /// it would cost this instance its place, and the others the time of its turn.
    was_late: bool,
}

impl TurnKeeper {
    /// Turns by `turns`, where there is such a thing.
    pub(super) fn new(turns: Option<Arc<dyn Turns>>) -> Self {
        Self {
            turns,
            worker: ObjectId::new().to_hex(),
            absence: SyncMutex::new(Absence {
                until: None,
                backoff: Backoff::new(LEFT_ALONE_FIRST, LEFT_ALONE_LONGEST),
                was_late: false,
            }),
        }
    }

    /// What tells turns, where it is there.
    fn present(&self) -> Option<&Arc<dyn Turns>> {
        let turns = self.turns.as_ref()?;
        let absent_until = self.absence.lock().until;
        let is_absent = absent_until.is_some_and(|until| Instant::now() < until);
        (!is_absent).then_some(turns)
    }

    /// The answer, where one comes in time.
    async fn reach<T>(&self, answer: impl Future<Output = Result<T, PortError>>) -> Option<T> {
        let reason = match timeout(REACH, answer).await {
            Ok(Ok(answer)) => {
                let mut absence = self.absence.lock();
                absence.was_late = false;
                if absence.until.take().is_some() {
                    absence.backoff.reset();
                }
                return Some(answer);
            }
            Ok(Err(error)) => chain(&error),
            Err(_elapsed) => {
                if !std::mem::replace(&mut self.absence.lock().was_late, true) {
                    return None;
                }
                "answers took too long".to_owned()
            }
        };
        tracing::debug!(%reason, "turns at chats are not told; inserts go on without");
        let mut absence = self.absence.lock();
        // Those who asked at the same time fail at the same time: that is one failure.
        if absence.until.is_none_or(|until| until <= Instant::now()) {
            let pause = absence.backoff.next_wait();
            absence.until = Some(Instant::now() + pause);
        }
        None
    }

    async fn ask(&self, queue: &str, limit: Duration) -> Option<Turn> {
        let turns = self.present()?;
        self.reach(turns.ask(queue, &self.worker, limit)).await
    }

    async fn pass(&self, queue: &str, limit: Duration) -> Option<bool> {
        let turns = self.present()?;
        self.reach(turns.pass(queue, &self.worker, limit)).await
    }

    async fn others(&self, queue: &str) -> Option<bool> {
        let turns = self.present()?;
        self.reach(turns.others(queue, &self.worker)).await
    }
}

/// What this instance knows of a queue: how long an insert takes, when the last one ended, and
/// until when others are expected.
#[derive(Default)]
pub(super) struct Pace {
    insert: Duration,
    ended: Option<Instant>,
    /// Until then at least. Where there is none, nobody else is known of.
    contended_until: Option<Instant>,
    is_looking: Arc<AtomicBool>,
}

impl Pace {
    /// Notes that others work on the queue.
    fn met_others(&mut self) {
        let memory = (self.insert * 4).max(SHORTEST_MEMORY);
        self.contended_until = Some(Instant::now() + memory);
    }

    fn is_contended(&self) -> bool {
        self.contended_until.is_some()
    }

    /// Notes that nobody else was in line.
    fn met_nobody(&mut self) {
        self.contended_until = self.contended_until.filter(|until| Instant::now() < *until);
    }

    fn inserted(&mut self, started: Instant) {
        let now = Instant::now();
        self.insert = now - started;
        self.ended = Some(now);
    }

    fn turn_limit(&self) -> Duration {
        (self.insert * 4).clamp(SHORTEST_TURN, LONGEST_TURN)
    }

    fn poll(&self) -> Duration {
        (self.insert / 8).clamp(SHORTEST_POLL, LONGEST_POLL)
    }
}

/// A worker's turn at a queue, for one batch.
pub(super) struct ChatTurn {
    inner: Arc<Inner>,
    queue: Arc<ChatQueue>,
    name: String,
    /// Whether it stands in line or has the turn.
    is_known: bool,
    is_held: bool,
}

impl ChatTurn {
    /// No turn yet. `name` is the queue's for all instances.
    pub(super) fn new(call: &Call, queue: &Arc<ChatQueue>, name: String) -> Self {
        Self {
            inner: Arc::clone(&call.inner),
            queue: Arc::clone(queue),
            name,
            is_known: false,
            is_held: false,
        }
    }

    /// Whether it is this worker's turn.
    pub(super) const fn is_held(&self) -> bool {
        self.is_held
    }

    /// Waits for the turn where others work on the queue too: after `attempt` lost races, or where
    /// they were seen lately. Returns without it where it does not come in time.
    pub(super) async fn take(&mut self, attempt: u32) {
        let (limit, poll) = {
            let mut pace = self.queue.pace.lock();
            if attempt > 0 {
                pace.met_others();
            } else if self.is_held || !pace.is_contended() {
                return;
            }
            (pace.turn_limit(), pace.poll())
        };
        let wait = LONGEST_WAIT.min(self.inner.options.timeout / 3);
        let until = Instant::now() + wait;
        self.is_held = false;
        while self.inner.turns.present().is_some() {
            // A question that was not answered may have been heard.
            self.is_known = true;
            let turn = self.inner.turns.ask(&self.name, limit).await;
            self.is_held = turn == Some(Turn::Granted);
            if self.is_held || Instant::now() + poll >= until {
                return;
            }
            sleep(poll).await;
        }
    }

    /// Where nobody can be asked for turns, and no race was lost: lets others insert before this
    /// worker goes on.
    pub(super) async fn rest(&self, attempt: u32) {
        if attempt > 0 || self.inner.turns.present().is_some() {
            return;
        }
        let end = {
            let pace = self.queue.pace.lock();
            pace.ended.map(|at| at + pace.insert.min(LONGEST_REST))
        };
        if let Some(end) = end {
            sleep_until(end).await;
        }
    }

    /// Waits for the insert of `count` messages and remembers how long it took. Without a turn,
    /// and where the queue is busy, it looks beside it whether others stand in line.
    pub(super) async fn measured<T>(&self, count: usize, insert: impl Future<Output = T>) -> T {
        if !self.is_held && (count > 1 || self.queue.has_more()) {
            self.look();
        }
        let started = Instant::now();
        let outcome = insert.await;
        self.queue.pace.lock().inserted(started);
        outcome
    }

    /// Looks whether others stand in line, without making anybody wait for it.
    fn look(&self) {
        let is_looking = Arc::clone(&self.queue.pace.lock().is_looking);
        if self.inner.turns.present().is_none() || is_looking.swap(true, Ordering::Relaxed) {
            return;
        }
        let (inner, queue) = (Arc::clone(&self.inner), Arc::clone(&self.queue));
        let name = self.name.clone();
        tokio::spawn(async move {
            if inner.turns.others(&name).await == Some(true) {
                queue.pace.lock().met_others();
            }
            is_looking.store(false, Ordering::Relaxed);
        });
    }

    /// Passes the turn on, or leaves the line.
    pub(super) async fn pass(self) {
        if !self.is_known {
            return;
        }
        let limit = self.queue.pace.lock().turn_limit();
        let turns = &self.inner.turns;
        let mut others = turns.pass(&self.name, limit).await;
        if others.is_none() {
            // Others wait for it. Passing it twice changes nothing.
            others = turns.pass(&self.name, limit).await;
        }
        let mut pace = self.queue.pace.lock();
        match others {
            Some(true) => pace.met_others(),
            Some(false) => pace.met_nobody(),
            None => {}
        }
    }
}
