//! How the payloads of an operation go to a client that reads as slowly as it likes.
//!
//! While the client's outlet is full, an operation is left alone, since what it made would have to be
//! kept. A query or mutation that has begun goes on: it may have a turn of its user's, for which
//! their other clients wait; and it has a turn of its connection's until its result is on its way, so
//! that there are never more results outside than turns. A subscription goes on while it holds what
//! others wait for ([`Pausing`]).

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use talksy_domain::pausing::Pausing;
use tokio::time::timeout_at;

use super::executions::Once;
use super::graphql::panicked;
use crate::graphql::response::error_payload;
use crate::graphql::{Payload, RequestId, metering};

/// Where the payloads of an operation go.
pub(super) trait Outlet: Sync {
    /// Whether operations should make nothing more, as it would have to wait outside. May be a moment
    /// late.
    fn is_full(&self) -> bool;

    /// Waits until it is not full. False where the payloads are not wanted any more.
    fn room(&self) -> impl Future<Output = bool> + Send;

    /// Puts a response on its way, and waits while there is no room. False as for [`room`](Self::room).
    fn send(&self, response: Bytes) -> impl Future<Output = bool> + Send;
}

/// How an operation ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All its payloads were sent.
    Complete,
    /// With these serialized errors, which are not sent yet.
    Failed(Bytes),
    /// Nobody wants its payloads any more.
    Unwanted,
}

/// Sends an operation's payloads as they come. `once` where it has one of them.
pub(super) async fn deliver(
    outlet: &impl Outlet,
    mut payloads: BoxStream<'static, Payload>,
    once: Option<&Once>,
    request: &RequestId,
) -> End {
    let pausing = Pausing::default();
    let mut turn = None;
    if let Some(Once {
        turns, deadline, ..
    }) = once
    {
        // Its result would have to wait behind what waits already.
        let begins = async {
            let turn = Arc::clone(turns).acquire_owned().await;
            outlet.room().await.then_some(turn)
        };
        match timeout_at(deadline.at, begins).await {
            // It is never closed.
            Ok(Some(granted)) => turn = granted.ok(),
            Ok(None) => return End::Unwanted,
            Err(_) => {
                let answer = deadline.not_begun();
                metering::refused(&answer);
                let payload = request.within(|| answer.payload());
                payloads = stream::iter([payload]).boxed();
            }
        }
    }
    loop {
        let next = poll_fn(|cx| {
            let is_full = turn.is_none() && outlet.is_full();
            pausing.poll(is_full, || payloads.poll_next_unpin(cx))
        });
        let payload = match AssertUnwindSafe(next).catch_unwind().await {
            Ok(Some(payload)) => payload,
            // It is left alone until there is room.
            Ok(None) if outlet.room().await => continue,
            Ok(None) => return End::Unwanted,
            Err(_) => {
                tracing::error!("an operation panicked");
                Some(request.within(|| error_payload(&panicked())))
            }
        };
        match payload {
            Some(Payload::Next(response)) => {
                if !outlet.send(response).await {
                    return End::Unwanted;
                }
            }
            Some(Payload::Error(errors)) => return End::Failed(errors),
            None => return End::Complete,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use parking_lot::Mutex;
    use talksy_domain::pausing;
    use tokio::sync::{Notify, oneshot};

    use super::*;
    use crate::graphql::OperationType;
    use crate::http::deadline::Deadline;
    use crate::http::executions::Executions;

    /// An outlet that is full or not.
    #[derive(Default)]
    struct Switch {
        is_full: AtomicBool,
        changed: Notify,
        sent: Mutex<Vec<Bytes>>,
    }

    impl Switch {
        fn set(&self, is_full: bool) {
            self.is_full.store(is_full, Ordering::SeqCst);
            self.changed.notify_one();
        }

        fn sent(&self) -> Vec<Bytes> {
            std::mem::take(&mut *self.sent.lock())
        }
    }

    impl Outlet for Switch {
        fn is_full(&self) -> bool {
            self.is_full.load(Ordering::SeqCst)
        }

        async fn room(&self) -> bool {
            while self.is_full() {
                self.changed.notified().await;
            }
            true
        }

        async fn send(&self, response: Bytes) -> bool {
            self.sent.lock().push(response);
            true
        }
    }

    const ONE: Bytes = Bytes::from_static(b"1");

    fn request() -> RequestId {
        RequestId::new("x")
    }

    /// A payload that is made once `ready` is told.
    fn one(ready: impl Future + Send + 'static) -> BoxStream<'static, Payload> {
        stream::once(async {
            ready.await;
            Payload::Next(ONE)
        })
        .boxed()
    }

    #[tokio::test]
    async fn a_subscription_is_left_alone_unless_others_wait_for_it() {
        for holds in [false, true] {
            let outlet = Switch::default();
            let (ready, waits) = oneshot::channel::<()>();
            let payloads = if holds {
                one(pausing::holding(waits))
            } else {
                one(waits)
            };
            let request = request();
            let mut delivery = Box::pin(deliver(&outlet, payloads, None, &request));
            assert_eq!(delivery.as_mut().now_or_never(), None);
            outlet.set(true);
            ready.send(()).unwrap();
            let ended = delivery.as_mut().now_or_never();
            // It is made, and what follows is not.
            assert_eq!(ended, None);
            assert_eq!(outlet.sent().len(), usize::from(holds));
            outlet.set(false);
            assert_eq!(delivery.await, End::Complete);
            assert_eq!(outlet.sent().len(), usize::from(!holds));
        }
    }

    #[tokio::test]
    async fn a_query_begins_where_there_is_room_and_then_goes_on() {
        let executions = Executions::new(1);
        let deadline = Deadline::after(Duration::from_mins(1));
        let once = executions.once(OperationType::Query, deadline);
        let outlet = Switch::default();
        outlet.set(true);
        let (ready, waits) = oneshot::channel::<()>();
        let request = request();
        let mut delivery = Box::pin(deliver(&outlet, one(waits), once.as_ref(), &request));
        assert_eq!(delivery.as_mut().now_or_never(), None);
        outlet.set(false);
        assert_eq!(delivery.as_mut().now_or_never(), None);
        outlet.set(true);
        ready.send(()).unwrap();
        assert_eq!(delivery.now_or_never(), Some(End::Complete));
        assert_eq!(outlet.sent(), [ONE]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_not_begun_in_time_is_told_so() {
        let executions = Executions::new(1);
        let deadline = Deadline::after(Duration::from_mins(1));
        for is_full in [false, true] {
            let once = executions.once(OperationType::Mutation, deadline).unwrap();
            // Without room, or without a turn.
            let turn = (!is_full).then(|| Arc::clone(&once.turns).try_acquire_owned());
            let outlet = Switch::default();
            outlet.set(is_full);
            let never = one(async { unreachable!() });
            let request = request();
            let delivery = deliver(&outlet, never, Some(&once), &request);
            let told = async {
                tokio::time::sleep_until(deadline.at + Duration::from_secs(1)).await;
                outlet.set(false);
            };
            let (ended, ()) = tokio::join!(delivery, told);
            let End::Failed(errors) = ended else {
                panic!("{ended:?}");
            };
            let errors = String::from_utf8(errors.to_vec()).unwrap();
            assert!(errors.contains("TIMEOUT") && errors.contains("was not executed"));
            drop(turn);
        }
    }

    #[tokio::test]
    async fn a_panic_is_told() {
        let outlet = Switch::default();
        let payloads = one(async { panic!("on purpose") });
        let request = request();
        let ended = deliver(&outlet, payloads, None, &request).await;
        assert!(matches!(ended, End::Failed(errors) if errors.starts_with(b"[{")));
    }
}
