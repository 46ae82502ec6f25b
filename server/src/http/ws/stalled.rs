//! The sockets whose clients do not read just now, and how much waits for all of them together. Where
//! that is too much, the one that has not been read for longest is closed: a thousand clients that
//! read nothing cost no more than a few.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::{Gauge, gauge};
use parking_lot::Mutex;

use super::close::Close;
use super::send_queue::{SendQueue, When};
use crate::metrics::SOCKETS_STALLED_BYTES;

/// See the module.
pub(in crate::http) struct Stalled {
    most: usize,
    bytes: AtomicUsize,
    line: Mutex<Line>,
    shown: Gauge,
}

/// By when they were last read; the numbers go up.
#[derive(Default)]
struct Line {
    queues: BTreeMap<u64, Arc<SendQueue>>,
    last: u64,
}

impl Stalled {
    /// For at most so many bytes.
    pub(in crate::http) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            bytes: AtomicUsize::new(0),
            line: Mutex::default(),
            shown: gauge!(SOCKETS_STALLED_BYTES),
        })
    }

    /// A client no longer reads. Gives its number.
    pub(super) fn add(&self, queue: &Arc<SendQueue>) -> u64 {
        let mut line = self.line.lock();
        line.last += 1;
        let number = line.last;
        line.queues.insert(number, Arc::clone(queue));
        number
    }

    /// It reads, or has gone.
    pub(super) fn remove(&self, number: u64) {
        self.line.lock().queues.remove(&number);
    }

    /// For one of them other bytes wait than before. Whether it is too much now, of all together.
    pub(super) fn changed(&self, before: usize, now: usize) -> bool {
        let all = if now >= before {
            let more = now - before;
            self.bytes.fetch_add(more, Ordering::Relaxed) + more
        } else {
            let less = before - now;
            self.bytes.fetch_sub(less, Ordering::Relaxed) - less
        };
        self.shown.set(u32::try_from(all).unwrap_or(u32::MAX));
        all > self.most
    }

    /// Closes the one that has not been read for longest.
    pub(super) fn relieve(&self) {
        let longest = self.line.lock().queues.pop_first();
        if let Some((_, queue)) = longest {
            queue.close(Close::SLOW, When::Now);
        }
    }
}
