//! One operation of a socket, from its first payload to its last frame.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, ready};

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::sync::Semaphore;

use super::super::graphql::panicked;
use super::protocol::{self, Protocol};
use super::send_queue::{Operation, SendQueue};
use crate::graphql::response::error_payload;
use crate::graphql::{Payload, RequestId};

/// What comes of waiting for an operation's next payload.
enum Next {
    Payload(Payload),
    /// There is none.
    End,
    /// The socket's send queue is full. The operation is left alone until it is not: it would have
    /// to keep what it makes.
    Full,
}

/// Sends an operation's payloads as they come, waiting while the socket's send queue is full.
///
/// A query or mutation begins when it has its turn, and keeps it until its result is in the queue:
/// so there are never more results outside of the queue than turns. What has begun is not left
/// halfway: it may have a turn of its user's, for which their other clients wait. A subscription makes
/// a payload only while there is room.
pub(super) async fn run(mut running: Running, mut payloads: BoxStream<'static, Payload>) {
    let turn = match running.turns.take() {
        Some(turns) => turns.acquire_owned().await.ok(),
        None => None,
    };
    let (runs_once, mut has_begun) = (turn.is_some(), false);
    loop {
        let next = poll_fn(|cx| {
            if !has_begun && running.send_queue.is_full() {
                return Poll::Ready(Next::Full);
            }
            has_begun = runs_once;
            let payload = ready!(payloads.poll_next_unpin(cx));
            Poll::Ready(payload.map_or(Next::End, Next::Payload))
        });
        match next.await {
            Next::Full => {
                let room = running.send_queue.room(&running.operation);
                if room.await.is_err() {
                    return;
                }
            }
            Next::Payload(Payload::Next(response)) => {
                let Some(frame) = protocol::next(&running.operation.next_prefix, &response) else {
                    tracing::error!("a payload is not UTF-8");
                    return;
                };
                drop(response);
                let sent = running.send_queue.send(&running.operation, frame);
                if sent.await.is_err() {
                    return;
                }
            }
            Next::Payload(Payload::Error(errors)) => {
                let (protocol, operation) = (running.protocol, &running.operation);
                running
                    .send_queue
                    .finish(operation, || protocol.error(&operation.id, &errors));
                return;
            }
            Next::End => {
                running.completed = true;
                return;
            }
        }
    }
}

/// An operation that has been started. However it ends, even by a panic, the client is told.
pub(super) struct Running {
    /// The turns of queries and mutations, where it is one.
    pub(super) turns: Option<Arc<Semaphore>>,
    pub(super) protocol: Protocol,
    pub(super) send_queue: Arc<SendQueue>,
    pub(super) operation: Arc<Operation>,
    pub(super) request: RequestId,
    /// Whether all its payloads were sent.
    pub(super) completed: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        let (protocol, operation) = (self.protocol, &self.operation);
        self.send_queue.finish(operation, || {
            if self.completed {
                return protocol::complete(&operation.id);
            }
            let (Payload::Next(errors) | Payload::Error(errors)) =
                self.request.within(|| error_payload(&panicked()));
            protocol.error(&operation.id, &errors)
        });
    }
}
