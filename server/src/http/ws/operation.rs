//! One operation of a socket, from its first payload to its last frame.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::super::delivery::{End, Outlet, deliver};
use super::super::executions::Once;
use super::super::graphql::panicked;
use super::protocol::{self, Protocol};
use super::send_queue::{Operation, SendQueue};
use crate::graphql::response::error_payload;
use crate::graphql::{Payload, RequestId};

/// Sends an operation's payloads as they come, and its end.
pub(super) async fn run(
    mut running: Running,
    payloads: BoxStream<'static, Payload>,
    once: Option<Once>,
) {
    let end = deliver(&running, payloads, once.as_ref(), &running.request).await;
    match end {
        End::Complete => running.completed = true,
        End::Failed(errors) => {
            let (protocol, operation) = (running.protocol, &running.operation);
            running
                .send_queue
                .finish(operation, || protocol.error(&operation.id, &errors));
        }
        End::Unwanted => {}
    }
    // It runs until its client is told of its end.
    drop(running);
    drop(once);
}

/// An operation that has been started. However it ends, even by a panic, the client is told.
pub(super) struct Running {
    pub(super) protocol: Protocol,
    pub(super) send_queue: Arc<SendQueue>,
    pub(super) operation: Arc<Operation>,
    pub(super) request: RequestId,
    /// Whether all its payloads were sent.
    pub(super) completed: bool,
}

impl Outlet for Running {
    fn is_full(&self) -> bool {
        self.send_queue.is_full()
    }

    async fn room(&self) -> bool {
        self.send_queue.room(&self.operation).await.is_ok()
    }

    async fn send(&self, response: Bytes) -> bool {
        let Some(frame) = protocol::next(&self.operation.next_prefix, &response) else {
            tracing::error!("a payload is not UTF-8");
            return false;
        };
        drop(response);
        let sent = self.send_queue.send(&self.operation, frame);
        sent.await.is_ok()
    }
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
