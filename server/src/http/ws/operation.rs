//! One operation of a socket, from its first payload to its last frame.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;

use super::super::graphql::panicked;
use super::protocol::{self, Protocol};
use super::send_queue::{Operation, SendQueue};
use crate::graphql::response::error_payload;
use crate::graphql::{Payload, RequestId};

/// Sends an operation's payloads as they come, waiting while the socket's send queue is full.
pub(super) async fn run(mut running: Running, mut payloads: BoxStream<'static, Payload>) {
    while let Some(payload) = payloads.next().await {
        match payload {
            Payload::Next(response) => {
                let Some(frame) = protocol::next(&running.operation.next_prefix, &response) else {
                    tracing::error!("a payload is not UTF-8");
                    return;
                };
                drop(response);
                if running
                    .send_queue
                    .send(&running.operation, frame)
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Payload::Error(errors) => {
                let (protocol, operation) = (running.protocol, &running.operation);
                running
                    .send_queue
                    .finish(operation, || protocol.error(&operation.id, &errors));
                return;
            }
        }
    }
    running.completed = true;
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
