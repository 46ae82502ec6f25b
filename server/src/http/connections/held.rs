//! What the server holds for a connection: answers that are not written yet. While the client does
//! not read, that counts among what waits for all such clients.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::{Busy, Connection};

/// That a client does not read, as it counts among all such.
#[derive(Debug)]
pub(super) struct Stall {
    number: u64,
    /// How many bytes wait to be written at least.
    unwritten: usize,
    /// How many count.
    counted: usize,
}

impl Connection {
    /// Its client does not read, and so many bytes wait to be written at least. Until it reads, it
    /// is silent.
    pub(in crate::http) fn stalls(self: &Arc<Self>, unwritten: usize) -> Unread {
        self.connections.open.lock().add_silent(self);
        let number = self.connections.stalled.add(self);
        *self.stall.lock() = Some(Stall {
            number,
            unwritten,
            counted: 0,
        });
        self.recount();
        Unread(Arc::clone(self))
    }

    /// How many bytes are held for its client.
    #[cfg(test)]
    pub(in crate::http) fn held(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }

    /// Brings what counts up to date.
    fn recount(&self) {
        let mut stall = self.stall.lock();
        let Some(stalled) = &mut *stall else { return };
        let now = stalled
            .unwritten
            .max(self.held_bytes.load(Ordering::Relaxed));
        let before = std::mem::replace(&mut stalled.counted, now);
        let is_too_much = self.connections.stalled.changed(before, now);
        drop(stall);
        if is_too_much && now > before {
            self.connections.stalled.relieve();
        }
    }
}

/// That the client of a connection does not read, until it is dropped.
pub(in crate::http) struct Unread(Arc<Connection>);

impl Drop for Unread {
    fn drop(&mut self) {
        let connection = &self.0;
        let connections = &connection.connections;
        if let Some(stall) = connection.stall.lock().take() {
            connections.stalled.remove(stall.number);
            connections.stalled.changed(stall.counted, 0);
        }
        let mut open = connections.open.lock();
        if connection.is_answered() {
            open.remove_silent(connection);
        }
    }
}

/// So many bytes are held for a connection, until this is dropped.
#[derive(Debug)]
pub(in crate::http) struct Held {
    connection: Arc<Connection>,
    bytes: usize,
    /// Where they are of an answer: it goes on as long.
    answer: Option<Arc<Busy>>,
}

impl Held {
    pub(in crate::http) fn new(connection: &Arc<Connection>, bytes: usize) -> Self {
        Self::hold(connection, bytes, None)
    }

    /// Bytes of an answer.
    pub(in crate::http) fn of_answer(busy: &Arc<Busy>, bytes: usize) -> Self {
        Self::hold(busy.connection(), bytes, Some(Arc::clone(busy)))
    }

    fn hold(connection: &Arc<Connection>, bytes: usize, answer: Option<Arc<Busy>>) -> Self {
        connection.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        if bytes > 0 {
            connection.recount();
        }
        Self {
            connection: Arc::clone(connection),
            bytes,
            answer,
        }
    }

    /// Takes the first piece of an answer out of it, and keeps it held as long as it is somewhere.
    pub(in crate::http) fn piece(&mut self, bytes: Bytes) -> Bytes {
        let held = Self::hold(&self.connection, bytes.len(), self.answer.clone());
        self.let_go(bytes.len());
        Bytes::from_owner(HeldBytes { bytes, _held: held })
    }

    /// So many of the bytes are no longer held by this.
    pub(in crate::http) fn let_go(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        if bytes > 0 {
            self.connection
                .held_bytes
                .fetch_sub(bytes, Ordering::Relaxed);
            self.connection.recount();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.let_go(self.bytes);
    }
}

struct HeldBytes {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HttpConfig;
    use crate::http::connections::Connections;

    fn busy(connections: &Arc<Connections>) -> (super::super::Place, Arc<Busy>) {
        let (place, _) = connections.admit("192.0.2.1".parse().unwrap()).unwrap();
        let busy = Arc::new(place.connection().begin());
        (place, busy)
    }

    fn is_silent(connection: &Connection) -> bool {
        connection.silent_as.load(Ordering::Relaxed) != 0
    }

    #[tokio::test]
    async fn all_that_is_held_of_an_answer_counts_until_the_last_of_it_is_written() {
        let connections = Connections::new(&HttpConfig::default());
        let (place, busy) = busy(&connections);
        let connection = Arc::clone(place.connection());
        let counted = || {
            let stall = connection.stall.lock();
            stall.as_ref().map(|stall| stall.counted)
        };
        let mut answer = Held::of_answer(&busy, 1_000);
        drop(busy);
        let piece = answer.piece(Bytes::from(vec![0; 1_000]));
        drop(answer);
        let rest = piece.slice(900..);
        drop(piece);
        // A hundred bytes are left to be written; the thousand are in memory.
        let unread = connection.stalls(100);
        assert_eq!(counted(), Some(1_000));
        let next = Held::new(&connection, 500);
        assert_eq!(counted(), Some(1_500));
        drop(next);
        drop(rest);
        assert_eq!(counted(), Some(100));
        drop(unread);
        assert_eq!(counted(), None);
        assert!(!connections.stalled.changed(0, 0));
    }

    #[tokio::test]
    async fn who_reads_slowly_is_silent_only_while_nothing_is_read() {
        let connections = Connections::new(&HttpConfig::default());
        let (place, busy) = busy(&connections);
        let connection = place.connection();
        let mut answer = Held::of_answer(&busy, 1_000);
        drop(busy);
        let piece = answer.piece(Bytes::from(vec![0; 1_000]));
        drop(answer);
        assert!(!is_silent(connection), "the answer is being written");
        let unread = connection.stalls(900);
        assert!(is_silent(connection));
        drop(unread);
        assert!(!is_silent(connection), "some of it was read");
        drop(piece);
        assert!(is_silent(connection), "all of it was");
    }
}
