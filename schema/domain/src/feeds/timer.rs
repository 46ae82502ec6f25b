//! The timer of a feed that waits for events until some time. It is kept from one wait to the next: to
//! make one for each event would cost more than what the event costs otherwise.

use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is kept.
#[derive(Debug)]
pub(super) struct Timer(Pin<Box<Sleep>>);

impl Timer {
    /// A timer that nobody waits for yet.
    pub(super) fn new() -> Self {
        Self(Box::pin(sleep_until(Instant::now())))
    }

    /// What comes of the future, which must be cancel-safe; `None` where it is not done by then.
    pub(super) async fn until<T>(
        &mut self,
        at: Instant,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        if self.0.deadline() != at {
            self.0.as_mut().reset(at);
        }
        let mut future = pin!(future);
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.0.as_mut().poll(cx).map(|()| None),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_done_in_time_comes_and_the_timer_serves_again() {
        let mut timer = Timer::new();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let wait = |seconds| async move {
            tokio::time::sleep_until(after(seconds)).await;
            seconds
        };
        assert_eq!(timer.until(after(2), wait(1)).await, Some(1));
        assert_eq!(timer.until(after(2), wait(3)).await, None);
        assert_eq!(Instant::now(), after(2));
        // It has passed already, and is put off.
        assert_eq!(timer.until(after(1), wait(3)).await, None);
        assert_eq!(timer.until(after(4), wait(3)).await, Some(3));
        assert_eq!(
            timer.until(after(4), std::future::pending::<()>()).await,
            None
        );
        assert_eq!(Instant::now(), after(4));
        assert_eq!(timer.until(start, std::future::ready(5)).await, Some(5));
    }
}
