//! The event streams that clients have reserved or opened in graphql-sse's "single connection" mode,
//! by their tokens: who may use each, how many there may be, and what runs on them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use talksy_domain::id::SessionId;
use talksy_domain::viewer::Viewer;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::application::KeyEpoch;
use super::client::Caller;
use super::event_queue::{EventQueue, Events};
use super::executions::Executions;
use super::operations::Counted;

/// Most streams of one session, or of one address where nobody is signed in: so many tabs share a
/// session.
const MAX_OF_OWNER: usize = 32;

/// Bounds of each stream: those that a socket has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Most bytes of events that wait; one event that is larger waits alone.
    pub(super) bytes: usize,
    /// Most queries, and most mutations, that are executed or whose results wait for room.
    pub(super) executions: usize,
}

/// Who has reserved a stream, and may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Owner {
    Session(SessionId),
    Address(Option<IpAddr>),
}

impl Owner {
    fn of(caller: &Caller) -> Self {
        match caller.viewer() {
            Some(viewer) => Self::Session(viewer.session_id),
            None => Self::Address(caller.client.ip),
        }
    }
}

/// A stream of many operations.
pub(super) struct SharedStream {
    owner: Owner,
    /// Who reserved it, as proved then.
    viewer: Option<Viewer>,
    key_epoch: KeyEpoch,
    /// From where it was reserved.
    address: Option<IpAddr>,
    queue: EventQueue,
    /// Its queries and mutations. None is executed before the stream is open: nobody would read what
    /// comes of them.
    executions: Executions,
    most_executions: usize,
    /// Taken by who opens the stream.
    unopened: Mutex<Option<Events>>,
    operations: Mutex<Operations>,
}

#[derive(Default)]
struct Operations {
    running: HashMap<Box<str>, Running>,
    /// How many were started: tells two of one id apart.
    started: u64,
    /// Whether the stream has ended.
    closed: bool,
}

struct Running {
    number: u64,
    task: AbortOnDropHandle<()>,
    /// It counts among the operations of its user.
    _counted: Option<Counted>,
}

/// Why an operation does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotStarted {
    /// Its id is in use.
    Duplicate,
    /// The stream has as many as it may have.
    TooMany,
    /// The stream has ended.
    Ended,
}

impl SharedStream {
    /// What waits for its client.
    pub(super) const fn queue(&self) -> &EventQueue {
        &self.queue
    }

    /// Its queries and mutations. Each keeps its turn until its result is on its way.
    pub(super) const fn executions(&self) -> &Executions {
        &self.executions
    }

    /// Starts an operation: `task` makes it, given its number. It counts as one until it ends.
    ///
    /// # Errors
    /// See [`NotStarted`].
    pub(super) fn start<F>(
        &self,
        id: &str,
        most: usize,
        counted: Option<Counted>,
        task: impl FnOnce(u64) -> F,
    ) -> Result<(), NotStarted>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut operations = self.operations.lock();
        if operations.closed {
            return Err(NotStarted::Ended);
        }
        if operations.running.contains_key(id) {
            return Err(NotStarted::Duplicate);
        }
        if operations.running.len() >= most {
            return Err(NotStarted::TooMany);
        }
        operations.started += 1;
        let number = operations.started;
        // It cannot end before it is in the list, which is locked.
        let running = Running {
            number,
            task: AbortOnDropHandle::new(tokio::spawn(task(number))),
            _counted: counted,
        };
        operations.running.insert(id.into(), running);
        Ok(())
    }

    /// Takes an operation that has come to its end off the list. False where the client has stopped
    /// it meanwhile.
    pub(super) fn ended(&self, id: &str, number: u64) -> bool {
        let mut operations = self.operations.lock();
        match operations.running.get(id) {
            Some(running) if running.number == number => {}
            _ => return false,
        }
        // Who asks is the task itself, and has something to say yet.
        if let Some(running) = operations.running.remove(id) {
            drop(running.task.detach());
        }
        true
    }

    /// Stops an operation. One that is unknown has ended.
    pub(super) fn stop(&self, id: &str) {
        let stopped = self.operations.lock().running.remove(id);
        drop(stopped);
    }

    /// The ids of all operations that run.
    pub(super) fn running(&self) -> Vec<Box<str>> {
        self.operations.lock().running.keys().cloned().collect()
    }

    fn is_of(&self, caller: &Caller) -> bool {
        self.owner == Owner::of(caller)
    }

    /// Whether the caller may open it. A browser's `EventSource` sends no credentials with the token;
    /// it comes from where the stream was reserved.
    fn may_be_opened_by(&self, caller: &Caller) -> bool {
        let anonymous = caller.viewer().is_none();
        self.is_of(caller) || (anonymous && self.address == caller.client.ip)
    }
}

/// All streams.
pub(super) struct Reservations {
    most: usize,
    bounds: Bounds,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    streams: HashMap<Arc<str>, Arc<SharedStream>>,
    owners: HashMap<Owner, usize>,
}

/// Why a stream is not reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotReserved {
    /// Its owner has as many as they may have.
    OwnerFull,
    /// There are as many as there may be.
    Full,
}

/// Why a stream is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotOpened {
    /// There is none, or it is somebody else's.
    Unknown,
    /// It is open already.
    Twice,
}

impl Reservations {
    /// At most so many, each within these bounds.
    pub(super) fn new(most: usize, bounds: Bounds) -> Self {
        let inner = Mutex::default();
        Self {
            most,
            bounds,
            inner,
        }
    }

    /// Reserves a stream under a token that nobody else knows.
    ///
    /// # Errors
    /// See [`NotReserved`].
    pub(super) fn reserve(&self, token: Arc<str>, caller: &Caller) -> Result<(), NotReserved> {
        let owner = Owner::of(caller);
        let mut inner = self.inner.lock();
        if inner.streams.len() >= self.most {
            return Err(NotReserved::Full);
        }
        let of_owner = inner.owners.entry(owner).or_default();
        if *of_owner >= MAX_OF_OWNER {
            return Err(NotReserved::OwnerFull);
        }
        *of_owner += 1;
        let (queue, unopened) = EventQueue::new(self.bounds.bytes);
        let stream = SharedStream {
            owner,
            viewer: caller.viewer(),
            key_epoch: caller.key_epoch,
            address: caller.client.ip,
            queue,
            executions: Executions::new(0),
            most_executions: self.bounds.executions.min(Semaphore::MAX_PERMITS),
            unopened: Mutex::new(Some(unopened)),
            operations: Mutex::default(),
        };
        inner.streams.insert(token, Arc::new(stream));
        Ok(())
    }

    /// A stream of the caller's.
    pub(super) fn find(&self, token: &str, caller: &Caller) -> Option<Arc<SharedStream>> {
        let found = self.inner.lock().streams.get(token).cloned();
        found.filter(|stream| stream.is_of(caller))
    }

    /// Whose stream it would be that this caller opens, as proved last.
    ///
    /// # Errors
    /// See [`NotOpened`].
    pub(super) fn viewer(
        &self,
        token: &str,
        caller: &Caller,
    ) -> Result<Option<(Viewer, KeyEpoch)>, NotOpened> {
        let inner = self.inner.lock();
        let stream = inner.streams.get(token);
        let stream = stream.filter(|stream| stream.may_be_opened_by(caller));
        let stream = stream.ok_or(NotOpened::Unknown)?;
        if stream.unopened.lock().is_none() {
            return Err(NotOpened::Twice);
        }
        let proof = caller.viewer().map(|viewer| (viewer, caller.key_epoch));
        Ok(proof.or_else(|| Some((stream.viewer?, stream.key_epoch))))
    }

    /// Opens a stream: its events. It is gone when what is returned is dropped.
    ///
    /// # Errors
    /// See [`NotOpened`].
    pub(super) fn open(
        self: &Arc<Self>,
        token: &str,
        caller: &Caller,
    ) -> Result<Opened, NotOpened> {
        let inner = self.inner.lock();
        let found = inner.streams.get_key_value(token);
        let (token, stream) = found
            .filter(|(_, stream)| stream.may_be_opened_by(caller))
            .ok_or(NotOpened::Unknown)?;
        let events = stream.unopened.lock().take().ok_or(NotOpened::Twice)?;
        if let Some(connection) = &caller.connection {
            // Once, since it is opened once.
            stream.queue.connect(Arc::clone(connection));
        }
        stream.executions.add(stream.most_executions);
        Ok(Opened {
            stream: Arc::clone(stream),
            events,
            end: End {
                reservations: Arc::clone(self),
                token: Arc::clone(token),
            },
        })
    }

    /// Ends a stream that nobody has opened.
    pub(super) fn expire(&self, token: &str) {
        let expired = {
            let mut inner = self.inner.lock();
            let is_unopened = |stream: &Arc<SharedStream>| stream.unopened.lock().is_some();
            if !inner.streams.get(token).is_some_and(is_unopened) {
                return;
            }
            inner.remove(token)
        };
        drop(expired);
    }
}

impl Inner {
    fn remove(&mut self, token: &str) -> Option<Arc<SharedStream>> {
        let stream = self.streams.remove(token)?;
        if let Some(of_owner) = self.owners.get_mut(&stream.owner) {
            *of_owner -= 1;
            if *of_owner == 0 {
                self.owners.remove(&stream.owner);
            }
        }
        // Operations hold the stream that holds them.
        let mut operations = stream.operations.lock();
        operations.closed = true;
        operations.running.clear();
        drop(operations);
        // One that has ended may still have that to say, and holds the stream meanwhile.
        stream.queue.close();
        drop(stream.unopened.lock().take());
        Some(stream)
    }
}

/// A stream that has been opened.
pub(super) struct Opened {
    /// The stream.
    pub(super) stream: Arc<SharedStream>,
    /// What it brings.
    pub(super) events: Events,
    /// Ends it, with all operations, when dropped.
    pub(super) end: End,
}

/// The end of a stream, when dropped.
pub(super) struct End {
    reservations: Arc<Reservations>,
    token: Arc<str>,
}

impl Drop for End {
    fn drop(&mut self) {
        let removed = self.reservations.inner.lock().remove(&self.token);
        drop(removed);
    }
}

#[cfg(test)]
mod tests;
