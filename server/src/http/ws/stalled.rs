//! The sockets whose clients do not read just now, and how much waits for all of them together. Where
//! that is too much, their operations make nothing more, and those that have not been read for longest
//! are closed: a thousand clients that read nothing cost no more than a few.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use metrics::{Gauge, gauge};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::close::Close;
use super::send_queue::{SendQueue, When};
use crate::metrics::SOCKETS_STALLED_BYTES;

/// Clients that read on within this time are not closed: under load, each waits now and then.
const PATIENCE: Duration = Duration::from_secs(1);

/// See the module.
pub(in crate::http) struct Stalled {
    most: usize,
    bytes: AtomicUsize,
    line: Mutex<Line>,
    /// Some task closes those that are not read, as long as there is too much.
    relieving: AtomicBool,
    shown: Gauge,
}

/// By when they were last read; the numbers go up.
#[derive(Default)]
struct Line {
    queues: BTreeMap<u64, (Instant, Arc<SendQueue>)>,
    last: u64,
}

impl Stalled {
    /// For at most so many bytes.
    pub(in crate::http) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            bytes: AtomicUsize::new(0),
            line: Mutex::default(),
            relieving: AtomicBool::new(false),
            shown: gauge!(SOCKETS_STALLED_BYTES),
        })
    }

    /// A client no longer reads. Gives its number.
    pub(super) fn add(&self, queue: &Arc<SendQueue>) -> u64 {
        let mut line = self.line.lock();
        line.last += 1;
        let number = line.last;
        line.queues
            .insert(number, (Instant::now(), Arc::clone(queue)));
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

    /// There is too much: has those closed that have not been read for longest, until there is not.
    pub(super) fn relieve(self: &Arc<Self>) {
        if self.relieving.swap(true, Ordering::Relaxed) {
            return;
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            while this.bytes.load(Ordering::Relaxed) > this.most {
                match this.next() {
                    None => break,
                    Some(Ok(queue)) => queue.close(Close::SLOW, When::Now),
                    Some(Err(wait)) => sleep(wait).await,
                }
            }
            this.relieving.store(false, Ordering::Relaxed);
        });
    }

    /// The one to close, or how long to wait for it.
    fn next(&self) -> Option<Result<Arc<SendQueue>, Duration>> {
        let mut line = self.line.lock();
        let first = line.queues.first_entry()?;
        let unread = first.get().0.elapsed();
        Some(if unread < PATIENCE {
            Err(PATIENCE.saturating_sub(unread))
        } else {
            Ok(first.remove().1)
        })
    }
}
