//! What waits to be written to one socket, and the operations that write there. Operations wait
//! while it is full; whoever drives the socket takes all that waits at once. Knows no protocol
//! and no socket.

mod started;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use axum::extract::ws::{Message, Utf8Bytes};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

pub(super) use started::Operation;

use super::close::Close;
use crate::http::stalled::{Stalled, Waiting};

/// Its frames are no longer wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// Why an operation was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartError {
    /// Its id is in use.
    Duplicate,
    /// The socket has as many operations as it may.
    TooMany,
}

/// What is there for the socket's driver.
#[derive(Debug, PartialEq)]
pub(super) enum Taken {
    /// Frames were moved to the driver.
    Frames,
    /// Close the socket: everything that should go before has been taken.
    Close(Close),
}

/// Bounds of a send queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) frames: usize,
    pub(super) bytes: usize,
    pub(super) operations: usize,
}

/// See the module.
pub(in crate::http) struct SendQueue {
    state: Mutex<State>,
    /// Whether operations should make nothing more for now. Written under the lock; read without
    /// it, for each payload.
    full: AtomicBool,
    /// Told when there is room again, or never will be.
    room: Notify,
    bounds: Bounds,
    /// Those whose clients do not read, of all sockets.
    stalled: Arc<Stalled<Self>>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Message>,
    /// Frames and bytes that wait or are being written.
    frames: usize,
    bytes: usize,
    /// Bytes of frames that operations hold until there is room.
    outside: usize,
    /// The most bytes there were at a time, outside and in here.
    peak: usize,
    operations: HashMap<Box<str>, Running>,
    close: Option<(Close, When)>,
    /// No frame is accepted any more.
    shut: bool,
    driver: Option<Waker>,
    /// The driver sleeps until there is a frame.
    idle: bool,
    /// Some operation waits for room.
    wanted: bool,
    /// The client does not read.
    stall: Option<Stall>,
}

/// That a client does not read, as it counts among all such.
#[derive(Debug)]
struct Stall {
    number: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Running {
    operation: Arc<Operation>,
    abort: AbortHandle,
}

/// When a close takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// What waits is dropped.
    Now,
    /// What waits is written first.
    Written,
}

impl State {
    /// Whether frames of the operation are wanted.
    fn takes(&self, operation: &Operation) -> bool {
        !self.shut && self.close.is_none() && operation.is_live()
    }

    /// Whether what operations make now would have to wait outside, or would pass what does.
    fn is_full(&self, bounds: Bounds) -> bool {
        self.outside > 0 || !self.has_room(bounds, 0)
    }

    fn has_room(&self, bounds: Bounds, bytes: usize) -> bool {
        self.frames == 0
            || (self.frames < bounds.frames && self.bytes.saturating_add(bytes) <= bounds.bytes)
    }

    fn admits(&self, bounds: Bounds, id: &str) -> Result<(), StartError> {
        if self.operations.contains_key(id) {
            Err(StartError::Duplicate)
        } else if self.operations.len() >= bounds.operations {
            Err(StartError::TooMany)
        } else {
            Ok(())
        }
    }

    fn push(&mut self, frame: Utf8Bytes) {
        if self.shut || self.close.is_some() {
            return;
        }
        self.frames += 1;
        self.bytes += frame.len();
        self.peak = self.peak.max(self.bytes + self.outside);
        self.waiting.push_back(Message::Text(frame));
        self.wake_idle();
    }

    fn wake_idle(&mut self) {
        if std::mem::take(&mut self.idle)
            && let Some(driver) = &self.driver
        {
            driver.wake_by_ref();
        }
    }
}

impl Waiting for SendQueue {
    fn give_up(&self) {
        self.close(Close::SLOW, When::Now);
    }
}

impl SendQueue {
    pub(super) fn new(bounds: Bounds, stalled: Arc<Stalled<Self>>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            full: AtomicBool::new(false),
            room: Notify::new(),
            bounds,
            stalled,
        })
    }

    /// Whether operations should make nothing more, as it would have to wait outside. May be a
    /// moment late.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Waits until the queue is not full.
    ///
    /// # Errors
    /// [`Gone`] once the operation was cancelled or the socket closes.
    pub(super) async fn room(&self, operation: &Operation) -> Result<(), Gone> {
        loop {
            let room = {
                let mut state = self.state.lock();
                if !state.takes(operation) {
                    return Err(Gone);
                }
                if !self.is_full() {
                    return Ok(());
                }
                state.wanted = true;
                // Made under the lock, so that no notification is missed.
                self.room.notified()
            };
            room.await;
        }
    }

    /// Queues an operation's frame, waiting for room. While it waits, the queue is full.
    ///
    /// # Errors
    /// [`Gone`] once the operation was cancelled or the socket closes.
    pub(super) async fn send(&self, operation: &Operation, frame: Utf8Bytes) -> Result<(), Gone> {
        let mut outside = None;
        loop {
            let room = {
                let mut state = self.state.lock();
                if !state.takes(operation) {
                    return Err(Gone);
                }
                if state.has_room(self.bounds, frame.len()) {
                    if let Some(outside) = outside.take() {
                        Outside::end(outside, &mut state);
                    }
                    state.push(frame);
                    self.changed(state);
                    return Ok(());
                }
                state.wanted = true;
                // Made under the lock, so that no notification is missed.
                let room = self.room.notified();
                if outside.is_none() {
                    outside = Some(Outside::begin(self, &mut state, frame.len()));
                    self.changed(state);
                }
                room
            };
            room.await;
        }
    }

    /// Says whether the queue is full, after what it holds has changed, and wakes who waits for
    /// that it is not.
    fn changed(&self, mut state: MutexGuard<'_, State>) {
        let held = state.bytes + state.outside;
        let too_much = match &mut state.stall {
            None => false,
            Some(stall) => {
                let before = std::mem::replace(&mut stall.bytes, held);
                self.stalled.changed(before, held)
            }
        };
        let full = too_much || state.is_full(self.bounds);
        if full != self.is_full() {
            self.full.store(full, Ordering::Relaxed);
        }
        let has_room = !full && std::mem::take(&mut state.wanted);
        drop(state);
        if has_room {
            self.room.notify_waiters();
        }
        if too_much {
            self.stalled.relieve();
        }
    }

    /// The client does not read: what waits counts among what waits for all such clients, until it
    /// is [`written`](Self::written). Told again where it has read a part, and no more.
    pub(super) fn stall(self: &Arc<Self>) {
        let number = self.stalled.add(self);
        let mut state = self.state.lock();
        self.end_stall(&mut state);
        state.stall = Some(Stall { number, bytes: 0 });
        self.changed(state);
    }

    fn end_stall(&self, state: &mut State) {
        if let Some(stall) = state.stall.take() {
            self.stalled.remove(stall.number);
            self.stalled.changed(stall.bytes, 0);
        }
    }

    /// Queues the driver's own frame. It does not wait: the driver reads no further message
    /// while the send queue is full, so there is at most one such frame beyond the bounds.
    pub(super) fn reply(&self, frame: Utf8Bytes) {
        let mut state = self.state.lock();
        state.push(frame);
        self.changed(state);
    }

    /// Whether any operation runs.
    pub(super) fn has_operations(&self) -> bool {
        !self.state.lock().operations.is_empty()
    }

    /// Registers an operation and spawns it; `spawn` gives the handle that aborts it.
    ///
    /// # Errors
    /// See [`StartError`].
    pub(super) fn start(
        &self,
        operation: &Arc<Operation>,
        spawn: impl FnOnce() -> AbortHandle,
    ) -> Result<(), StartError> {
        let mut state = self.state.lock();
        state.admits(self.bounds, &operation.id)?;
        // Under the lock, so that the operation cannot end before it is registered.
        let running = Running {
            operation: Arc::clone(operation),
            abort: spawn(),
        };
        state.operations.insert(operation.id.clone(), running);
        Ok(())
    }

    /// Whether an operation could be started, so that nothing is spent on one that cannot.
    ///
    /// # Errors
    /// See [`StartError`].
    pub(super) fn admits(&self, id: &str) -> Result<(), StartError> {
        self.state.lock().admits(self.bounds, id)
    }

    /// Ends an operation with its last frame. Its id is free before the client can know of the
    /// end. Nothing happens if it was cancelled, or has ended. Does not wait: beyond the bounds
    /// there is at most one last frame for each operation the socket may have.
    pub(super) fn finish(&self, operation: &Arc<Operation>, frame: impl FnOnce() -> Utf8Bytes) {
        let mut state = self.state.lock();
        let is_this = state
            .operations
            .get(&operation.id)
            .is_some_and(|running| Arc::ptr_eq(&running.operation, operation));
        if is_this {
            state.operations.remove(&operation.id);
            operation.end();
            state.push(frame());
            self.changed(state);
        }
    }

    /// Cancels an operation; whether there was one.
    pub(super) fn cancel(&self, id: &str) -> bool {
        let mut state = self.state.lock();
        let Some(running) = state.operations.remove(id) else {
            return false;
        };
        running.operation.end();
        let wanted = std::mem::take(&mut state.wanted);
        drop(state);
        running.abort.abort();
        if wanted {
            self.room.notify_waiters();
        }
        true
    }

    /// Has the driver close the socket. The first close counts, except that [`When::Now`] comes
    /// before [`When::Written`].
    pub(super) fn close(&self, close: Close, when: When) {
        let mut state = self.state.lock();
        let earlier = matches!(&state.close, Some((_, When::Now)))
            || (state.close.is_some() && when == When::Written);
        if state.shut || earlier {
            return;
        }
        if when == When::Now {
            state.waiting.clear();
            self.end_stall(&mut state);
        }
        state.close = Some((close, when));
        state.idle = false;
        if let Some(driver) = &state.driver {
            driver.wake_by_ref();
        }
        drop(state);
        self.room.notify_waiters();
    }

    /// Moves all that waits into `taken`, which must be empty. Pending means that nothing waits;
    /// the driver is woken when something does.
    pub(super) fn poll_take(&self, cx: &Context<'_>, taken: &mut VecDeque<Message>) -> Poll<Taken> {
        let mut state = self.state.lock();
        if let Some((close, when)) = &state.close
            && (*when == When::Now || state.waiting.is_empty())
        {
            return Poll::Ready(Taken::Close(close.clone()));
        }
        if !state.waiting.is_empty() {
            std::mem::swap(&mut state.waiting, taken);
            return Poll::Ready(Taken::Frames);
        }
        if !state
            .driver
            .as_ref()
            .is_some_and(|driver| driver.will_wake(cx.waker()))
        {
            state.driver = Some(cx.waker().clone());
        }
        state.idle = true;
        Poll::Pending
    }

    /// A close that does not wait for anything to be written, or whether there is room for what
    /// the client's next message may bring.
    pub(super) fn poll_urgent(&self) -> Result<bool, Close> {
        let state = self.state.lock();
        match &state.close {
            Some((close, When::Now)) => Err(close.clone()),
            _ => Ok(state.has_room(self.bounds, 0)),
        }
    }

    /// All that was taken has been written.
    pub(super) fn written(&self) {
        let mut state = self.state.lock();
        state.frames = state.waiting.len();
        state.bytes = state.waiting.iter().map(length).sum();
        self.end_stall(&mut state);
        // Also where frames wait outside, so that it stays full: theirs come first.
        let wanted = std::mem::take(&mut state.wanted);
        self.changed(state);
        if wanted {
            self.room.notify_waiters();
        }
    }

    /// Drops all that waits, and ends all operations; the socket is over. Gives the most bytes that
    /// waited for it at a time, in the queue and outside of it.
    pub(super) fn shut(&self) -> usize {
        let mut state = self.state.lock();
        state.shut = true;
        state.driver = None;
        let waiting = std::mem::take(&mut state.waiting);
        let operations = std::mem::take(&mut state.operations);
        let peak = state.peak;
        self.end_stall(&mut state);
        for running in operations.values() {
            running.operation.end();
        }
        drop(state);
        drop(waiting);
        for running in operations.into_values() {
            running.abort.abort();
        }
        self.room.notify_waiters();
        peak
    }
}

/// A frame that waits outside of the queue, as long as it does.
struct Outside<'a> {
    queue: &'a SendQueue,
    bytes: usize,
}

impl<'a> Outside<'a> {
    fn begin(queue: &'a SendQueue, state: &mut State, bytes: usize) -> Self {
        state.outside += bytes;
        queue.full.store(true, Ordering::Relaxed);
        state.peak = state.peak.max(state.bytes + state.outside);
        Self { queue, bytes }
    }

    /// Ends it under the lock.
    fn end(mut self, state: &mut State) {
        state.outside -= std::mem::take(&mut self.bytes);
    }
}

/// Its operation has ended.
impl Drop for Outside<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            let mut state = self.queue.state.lock();
            state.outside -= self.bytes;
            self.queue.changed(state);
        }
    }
}

fn length(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
        Message::Close(_) => 0,
    }
}
