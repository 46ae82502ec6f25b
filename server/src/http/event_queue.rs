//! What waits for the client of an event stream to read it. While there is too much, who makes it waits.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::connections::{Connection, Held};
use super::delivery::Outlet;

/// Events that wait for a client to read them.
const MAX_WAITING: usize = 16;

/// An event, and what it takes until it is on its way: room, and memory of its connection's.
type Waiting = (Bytes, OwnedSemaphorePermit, Option<Held>);

/// Where events are put.
#[derive(Debug)]
pub(super) struct EventQueue {
    events: mpsc::Sender<Waiting>,
    /// Most bytes of events that wait.
    most_bytes: usize,
    /// How many more bytes may wait.
    room: Arc<Semaphore>,
    /// The connection that brings the events.
    connection: OnceLock<Arc<Connection>>,
}

/// Where events are taken.
#[derive(Debug)]
pub(super) struct Events(mpsc::Receiver<Waiting>);

impl Events {
    /// The next event; none where there will be no more.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        let (event, _room, _held) = self.0.recv().await?;
        Some(event)
    }

    /// Nothing is put here any more. What waits is still to be taken.
    pub(super) fn close(&mut self) {
        self.0.close();
    }
}

impl EventQueue {
    /// A queue of at most so many bytes; one event that is larger waits alone.
    pub(super) fn new(most_bytes: usize) -> (Self, Events) {
        let (events, taken) = mpsc::channel(MAX_WAITING);
        let queue = Self {
            events,
            most_bytes,
            room: Arc::new(Semaphore::new(most_bytes.min(Semaphore::MAX_PERMITS))),
            connection: OnceLock::new(),
        };
        (queue, Events(taken))
    }

    /// From now on what waits counts as memory of this connection's. To be called once.
    pub(super) fn connect(&self, connection: Arc<Connection>) {
        self.connection.set(connection).ok();
    }

    /// Puts an event on its way to the client, and waits while others do. False where the client has
    /// gone.
    pub(super) async fn send(&self, event: Bytes) -> bool {
        // Also while it waits for room.
        let held = self.connection.get();
        let held = held.map(|connection| Held::new(connection, event.len()));
        let bytes = event.len().min(self.most_bytes);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(bytes).await else {
            return false;
        };
        self.events.send((event, room, held)).await.is_ok()
    }

    /// Whether operations should make nothing more, as it would have to wait outside.
    pub(super) fn is_full(&self) -> bool {
        // Who waits for room holds all that there is.
        self.room.available_permits() == 0 || self.events.capacity() == 0
    }

    /// Waits until there is room. False where the client has gone.
    pub(super) async fn room(&self) -> bool {
        self.room.acquire().await.is_ok() && self.events.reserve().await.is_ok()
    }

    /// The client has gone.
    pub(super) fn close(&self) {
        self.room.close();
    }
}

/// The queue, as one operation uses it, of whose responses `frame` makes events.
pub(super) struct Framed<'a, F> {
    pub(super) queue: &'a EventQueue,
    pub(super) frame: F,
}

impl<F: Fn(&[u8]) -> Bytes + Sync> Outlet for Framed<'_, F> {
    fn is_full(&self) -> bool {
        self.queue.is_full()
    }

    async fn room(&self) -> bool {
        self.queue.room().await
    }

    async fn send(&self, response: Bytes) -> bool {
        self.queue.send((self.frame)(&response)).await
    }
}
