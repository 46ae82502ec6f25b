//! Those whose clients do not read just now, and how much waits for all of them together. Where that
//! is too much, those that have not been read for longest are given up: a thousand clients that read
//! nothing cost no more than a few.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use metrics::{Gauge, gauge};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

/// Clients that read on within this time are not given up: under load, each waits now and then.
const PATIENCE: Duration = Duration::from_secs(1);

/// The same where there is a quarter more than there may be, so that it does not become much more.
const HASTE: Duration = Duration::from_millis(100);

/// How often is looked at least how much there is, while there is too much.
const LOOK: Duration = Duration::from_millis(20);

/// How long one that is given up has to let go of what it holds before the next one is.
const GOING: Duration = Duration::from_millis(1);

/// What waits for a client.
pub(super) trait Waiting: Send + Sync + 'static {
    /// Ends it: its client has not read for too long.
    fn give_up(&self);
}

/// See the module.
pub(super) struct Stalled<W> {
    most: usize,
    bytes: AtomicUsize,
    line: Mutex<Line<W>>,
    /// Some task gives up those that are not read, as long as there is too much.
    relieving: AtomicBool,
    shown: Gauge,
}

/// By when they were last read; the numbers go up.
struct Line<W> {
    waiting: BTreeMap<u64, (Instant, Arc<W>)>,
    last: u64,
}

impl<W: Waiting> Stalled<W> {
    /// For at most so many bytes, which are told by a gauge.
    pub(super) fn new(most: usize, metric: &'static str) -> Arc<Self> {
        Arc::new(Self {
            most,
            bytes: AtomicUsize::new(0),
            line: Mutex::new(Line {
                waiting: BTreeMap::new(),
                last: 0,
            }),
            relieving: AtomicBool::new(false),
            shown: gauge!(metric),
        })
    }

    /// A client no longer reads. Gives its number.
    pub(super) fn add(&self, waiting: &Arc<W>) -> u64 {
        let mut line = self.line.lock();
        line.last += 1;
        let number = line.last;
        line.waiting
            .insert(number, (Instant::now(), Arc::clone(waiting)));
        number
    }

    /// It reads, or has gone.
    pub(super) fn remove(&self, number: u64) {
        self.line.lock().waiting.remove(&number);
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

    /// There is too much: gives up those that have not been read for longest, until there is not.
    pub(super) fn relieve(self: &Arc<Self>) {
        if self.relieving.swap(true, Ordering::Relaxed) {
            return;
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            while this.bytes.load(Ordering::Relaxed) > this.most {
                match this.next() {
                    None => break,
                    Some(Ok(waiting)) => {
                        waiting.give_up();
                        // A moment for it to go, so that no more are given up than must be.
                        sleep(GOING).await;
                    }
                    Some(Err(wait)) => sleep(wait).await,
                }
            }
            this.relieving.store(false, Ordering::Relaxed);
        });
    }

    /// The one to give up, or how long to wait for it, at a time.
    fn next(&self) -> Option<Result<Arc<W>, Duration>> {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let is_far_too_much = bytes > self.most.saturating_add(self.most / 4);
        let mut line = self.line.lock();
        // Whoever waits alone is no crowd, however long the answer is.
        let patience = if is_far_too_much && line.waiting.len() > 1 {
            HASTE
        } else {
            PATIENCE
        };
        let first = line.waiting.first_entry()?;
        let unread = first.get().0.elapsed();
        Some(if unread < patience {
            Err(patience.saturating_sub(unread).min(LOOK))
        } else {
            Ok(first.remove().1)
        })
    }
}

impl<W> fmt::Debug for Stalled<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stalled")
            .field("most", &self.most)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Client {
        stalled: Arc<Stalled<Self>>,
        bytes: usize,
        is_over: AtomicBool,
    }

    impl Client {
        fn is_over(&self) -> bool {
            self.is_over.load(Ordering::Relaxed)
        }
    }

    impl Waiting for Client {
        fn give_up(&self) {
            self.is_over.store(true, Ordering::Relaxed);
            self.stalled.changed(self.bytes, 0);
        }
    }

    fn wait(stalled: &Arc<Stalled<Client>>, bytes: usize) -> Arc<Client> {
        let client = Arc::new(Client {
            stalled: Arc::clone(stalled),
            bytes,
            is_over: AtomicBool::new(false),
        });
        stalled.add(&client);
        if stalled.changed(0, bytes) {
            stalled.relieve();
        }
        client
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_given_up_sooner_where_there_is_far_too_much() {
        let stalled = Stalled::new(100, "test_bytes");
        let (first, second) = (wait(&stalled, 60), wait(&stalled, 50));
        sleep(Duration::from_millis(500)).await;
        assert!(
            !first.is_over() && !second.is_over(),
            "a little too much can wait"
        );
        let third = wait(&stalled, 50);
        sleep(Duration::from_millis(50)).await;
        assert!(first.is_over(), "the longest unread");
        sleep(Duration::from_secs(5)).await;
        assert!(!second.is_over() && !third.is_over());
    }

    #[tokio::test(start_paused = true)]
    async fn one_alone_has_a_second_for_whatever_it_is_sent() {
        let stalled = Stalled::new(100, "test_bytes");
        let only = wait(&stalled, 1_000);
        sleep(Duration::from_millis(900)).await;
        assert!(!only.is_over());
        sleep(Duration::from_millis(200)).await;
        assert!(only.is_over());
    }
}
