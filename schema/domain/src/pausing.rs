//! What a subscription that is left alone must not keep from others.
//!
//! Whoever drives a connection polls its subscriptions, and leaves them alone while the client takes
//! nothing: what they made would have to be kept. One that is left alone halfway would keep what others
//! wait for: its turn among all who read, or a read or rendering that many share. So a subscription goes
//! on, full or not, while it holds such a thing ([`holding`]); as few can hold one at a time, so few
//! payloads are made for clients that do not read. In a queue for such a thing it gives up its place
//! ([`turn`]), and takes a new one once its client reads.
//!
//! Outside of a subscription nothing is ever paused.

use std::cell::RefCell;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use tokio::sync::Notify;

thread_local! {
    /// Of the subscription that this thread polls.
    static CURRENT: RefCell<Option<Arc<Marks>>> = const { RefCell::new(None) };
}

/// Where a subscription stands. Only the task that polls it writes here, one step after the other.
#[derive(Debug, Default)]
struct Marks {
    is_paused: AtomicBool,
    /// How many things it holds that others wait for.
    holds: AtomicUsize,
    /// In how many queues it stands.
    waits: AtomicUsize,
    /// Told of each change by which somebody has to give way, or may go on.
    changed: Notify,
}

impl Marks {
    fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Relaxed)
    }

    fn pause(&self, is_paused: bool) {
        if self.is_paused.swap(is_paused, Ordering::Relaxed) != is_paused {
            self.changed.notify_waiters();
        }
    }

    /// Whether it may be left alone.
    fn is_at_rest(&self) -> bool {
        self.holds.load(Ordering::Relaxed) == 0 && self.waits.load(Ordering::Relaxed) == 0
    }

    /// Whether it leaves the queues it stands in. While it holds something it stays in them: what it
    /// holds is to be given back soon.
    fn gives_way(&self) -> bool {
        self.is_paused() && self.holds.load(Ordering::Relaxed) == 0
    }

    async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Before it looks, so that no change is missed.
            changed.as_mut().enable();
            if is_so(self) {
                return;
            }
            changed.await;
        }
    }
}

/// One subscription, as it is polled.
#[derive(Debug, Default)]
pub struct Pausing(Arc<Marks>);

impl Pausing {
    /// Polls it by `poll`. Ready with `None` where it is to be paused and may be left alone until it is
    /// not; while it may not, it goes on.
    pub fn poll<T>(&self, is_paused: bool, poll: impl FnOnce() -> Poll<T>) -> Poll<Option<T>> {
        self.0.pause(is_paused);
        let may_be_left = || is_paused && self.0.is_at_rest();
        if may_be_left() {
            return Poll::Ready(None);
        }
        let polled = {
            let _within = Within::enter(Arc::clone(&self.0));
            poll()
        };
        match polled {
            Poll::Ready(made) => Poll::Ready(Some(made)),
            Poll::Pending if may_be_left() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// That this thread polls a subscription, also where polling it panics.
struct Within(Option<Arc<Marks>>);

impl Within {
    fn enter(marks: Arc<Marks>) -> Self {
        Self(CURRENT.with(|current| current.replace(Some(marks))))
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        CURRENT.with(|current| current.replace(self.0.take()));
    }
}

fn current() -> Option<Arc<Marks>> {
    CURRENT.with(|current| current.borrow().clone())
}

/// That a subscription holds what others wait for.
#[derive(Debug)]
pub struct Held(Option<Arc<Marks>>);

/// From now on the subscription that is polled is not left alone, until this is dropped.
pub fn hold() -> Held {
    let marks = current();
    if let Some(marks) = &marks {
        marks.holds.fetch_add(1, Ordering::Relaxed);
    }
    Held(marks)
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(marks) = &self.0
            && marks.holds.fetch_sub(1, Ordering::Relaxed) == 1
            && marks.is_paused()
        {
            // What it waits for elsewhere it gives up now.
            marks.changed.notify_waiters();
        }
    }
}

/// Does work that others wait for.
pub async fn holding<F: Future>(work: F) -> F::Output {
    let _held = hold();
    work.await
}

/// Waits in a queue, which `enter` enters. A subscription that is paused leaves it, and enters it anew.
pub async fn turn<F: Future>(mut enter: impl FnMut() -> F) -> F::Output {
    loop {
        if let Some(outcome) = in_turn(enter()).await {
            return outcome;
        }
    }
}

/// Waits for what `queue` waits for. `None` where the subscription was paused, and is not any more:
/// `queue` was dropped.
pub async fn in_turn<F: Future>(queue: F) -> Option<F::Output> {
    let Some(marks) = current() else {
        return Some(queue.await);
    };
    {
        let _waits = Waits::begin(&marks);
        tokio::select! {
            biased;
            () = marks.until(Marks::gives_way) => {}
            outcome = queue => return Some(outcome),
        }
    }
    marks.until(|marks| !marks.is_paused()).await;
    None
}

struct Waits<'a>(&'a Marks);

impl<'a> Waits<'a> {
    fn begin(marks: &'a Marks) -> Self {
        marks.waits.fetch_add(1, Ordering::Relaxed);
        Self(marks)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waits.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use futures_util::FutureExt as _;
    use futures_util::future::{join, join_all};
    use tokio::sync::{Semaphore, oneshot};

    use super::*;

    /// Work of a subscription, polled as its driver does.
    struct Driven<F> {
        pausing: Pausing,
        work: Pin<Box<F>>,
    }

    impl<F: Future> Driven<F> {
        fn new(work: F) -> Self {
            Self {
                pausing: Pausing::default(),
                work: Box::pin(work),
            }
        }

        fn poll(&mut self, is_full: bool) -> Poll<Option<F::Output>> {
            let mut cx = Context::from_waker(Waker::noop());
            let work = self.work.as_mut();
            self.pausing.poll(is_full, || work.poll(&mut cx))
        }
    }

    /// Takes the permit, waits for `read` and gives the permit back; then waits for `rest`.
    async fn reads(
        permits: &Semaphore,
        read: oneshot::Receiver<()>,
        rest: oneshot::Receiver<()>,
    ) -> bool {
        {
            let _permit = turn(|| permits.acquire()).await;
            holding(read).await.unwrap();
        }
        rest.await.is_ok()
    }

    #[test]
    fn who_holds_what_others_wait_for_is_not_left_alone() {
        let permits = Semaphore::new(1);
        let (read, reading) = oneshot::channel();
        let (_rest, resting) = oneshot::channel();
        let mut driven = Driven::new(reads(&permits, reading, resting));
        assert!(driven.poll(false).is_pending());
        // It has the permit: it is polled on.
        assert!(driven.poll(true).is_pending());
        read.send(()).unwrap();
        // It has given it back, and waits for what is its own.
        assert_eq!(driven.poll(true), Poll::Ready(None));
        assert_eq!(permits.available_permits(), 1);
        assert_eq!(driven.poll(true), Poll::Ready(None));
        assert!(driven.poll(false).is_pending());
    }

    #[test]
    fn who_waits_gives_up_its_place_and_takes_a_new_one() {
        let permits = Semaphore::new(1);
        let taken = permits.try_acquire().unwrap();
        let (_read, reading) = oneshot::channel();
        let (_rest, resting) = oneshot::channel();
        let mut driven = Driven::new(reads(&permits, reading, resting));
        assert!(driven.poll(false).is_pending());
        let mut other = pin!(permits.acquire());
        assert!(other.as_mut().now_or_never().is_none());
        // Its place is ahead of the other's until it is paused, even where it has been given the permit.
        drop(taken);
        assert!(other.as_mut().now_or_never().is_none());
        assert_eq!(driven.poll(true), Poll::Ready(None));
        let others = other.now_or_never().unwrap().unwrap();
        assert!(driven.poll(false).is_pending());
        drop(others);
        assert!(driven.poll(false).is_pending());
        assert_eq!(permits.available_permits(), 0);
    }

    #[test]
    fn who_holds_one_thing_keeps_its_place_for_another_until_it_holds_nothing() {
        let permits = Semaphore::new(0);
        let (done, doing) = oneshot::channel::<()>();
        let mut driven = Driven::new(join(holding(doing), turn(|| permits.acquire())));
        assert!(driven.poll(false).is_pending());
        assert!(driven.poll(true).is_pending());
        done.send(()).unwrap();
        // Now it holds nothing; it is woken to leave the queue.
        while driven.poll(true).is_pending() {}
        permits.add_permits(1);
        assert_eq!(permits.available_permits(), 1);
    }

    #[tokio::test]
    async fn those_within_one_subscription_are_woken_to_leave_and_to_return() {
        let permits = Arc::new(Semaphore::new(0));
        // As so many are polled by a set that polls only who was woken.
        let waiting = (0..100).map(|_| turn(|| permits.acquire()));
        let mut work = Box::pin(join_all(waiting));
        let pausing = Pausing::default();
        let mut is_full = false;
        let mut times = 0;
        let polled = poll_fn(|cx| {
            loop {
                times += 1;
                assert!(times < 1_000);
                match pausing.poll(is_full, || work.as_mut().poll(cx)) {
                    // Left alone, with nobody in the queue: the client reads again.
                    Poll::Ready(None) => {
                        assert!(is_full);
                        permits.add_permits(100);
                        assert_eq!(permits.available_permits(), 100);
                        is_full = false;
                    }
                    Poll::Ready(Some(all)) => return Poll::Ready(all.len()),
                    // The first time, the client stops reading.
                    Poll::Pending => is_full = true,
                }
            }
        });
        assert_eq!(polled.await, 100);
    }

    #[tokio::test]
    async fn outside_of_a_subscription_all_is_as_without() {
        let permits = Semaphore::new(1);
        let permit = turn(|| permits.acquire()).await.unwrap();
        let held = hold();
        assert!(turn(|| permits.acquire()).now_or_never().is_none());
        drop((permit, held));
        assert!(turn(|| permits.acquire()).now_or_never().is_some());
    }

    #[test]
    fn a_panic_leaves_the_thread_as_it_was() {
        let pausing = Pausing::default();
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pausing.poll(false, || -> Poll<()> { panic!("on purpose") })
        }));
        assert!(polled.is_err());
        assert!(current().is_none());
    }
}
