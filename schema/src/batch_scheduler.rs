//! Decides when a batch of keys is loaded.
//!
//! A batch runs on the task that executes the request, and begins when every resolver that can go
//! on has done so: it then holds all keys of its level. A timer beside the request would be a
//! race between it and the resolvers, which a slow machine or a large page loses.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesUnordered};
use futures_util::task::AtomicWaker;
use futures_util::{Stream, StreamExt as _};
use parking_lot::Mutex;

/// Batches that a resolver has begun, and that nobody has polled yet.
pub(crate) type Started = Arc<Mutex<Vec<BoxFuture<'static, ()>>>>;

/// Runs a request and the batches that its resolvers wait for.
pub struct BatchScheduler {
    /// Begun by a resolver, and not polled yet.
    started: Started,
    running: FuturesUnordered<BoxFuture<'static, ()>>,
    resolvers: Arc<WakeFlag>,
}

/// Wakes the request's task, and remembers that it did.
#[derive(Default)]
struct WakeFlag {
    woken: AtomicBool,
    task: AtomicWaker,
}

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl BatchScheduler {
    /// Runs the batches that are put into `started`.
    pub(crate) fn new(started: Started) -> Self {
        Self {
            started,
            running: FuturesUnordered::new(),
            resolvers: Arc::default(),
        }
    }

    /// Runs a request to its end.
    pub async fn run<T>(mut self, request: impl Future<Output = T>) -> T {
        let mut request = pin!(request);
        std::future::poll_fn(|cx| self.poll(cx, |cx| request.as_mut().poll(cx))).await
    }

    /// Runs a subscription.
    pub fn run_stream<S: Stream>(mut self, events: S) -> impl Stream<Item = S::Item> {
        let mut events = Box::pin(events);
        stream::poll_fn(move |cx| self.poll(cx, |cx| events.as_mut().poll_next(cx)))
    }

    /// Goes on with the resolvers, then with the batches. A batch that ends wakes the resolvers
    /// that wait for it.
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        resolve: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.resolvers.task.register(cx.waker());
        self.resolvers.woken.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&self.resolvers));
        let outcome = resolve(&mut Context::from_waker(&waker));
        if outcome.is_pending() {
            // Resolvers that are many yield in between: then they come first once more.
            if !self.resolvers.woken.load(Ordering::Acquire) {
                self.running
                    .extend(std::mem::take(&mut *self.started.lock()));
            }
            while let Poll::Ready(Some(())) = self.running.poll_next_unpin(cx) {}
        }
        outcome
    }
}
