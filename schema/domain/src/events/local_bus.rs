//! The bus of a single process.

use std::sync::Arc;

use async_trait::async_trait;

use super::bus::Bus;
use super::event::{Event, Interest, Published, Topic};
use super::hub::{Hub, Receiver};
use crate::error::PortError;

/// The bus of a single process: the hub alone. It loses nothing but what a full mailbox drops.
#[derive(Clone, Debug)]
pub struct LocalBus {
    hub: Arc<Hub>,
    trace: fn() -> Option<String>,
}

impl LocalBus {
    /// A bus over the hub.
    pub fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            trace: || None,
        }
    }

    /// Has each event carry what `trace` says is the publisher's span.
    #[must_use]
    pub fn traced_by(self, trace: fn() -> Option<String>) -> Self {
        Self { trace, ..self }
    }
}

#[async_trait]
impl Bus for LocalBus {
    async fn publish(&self, topic: Topic, event: Event) -> Result<(), PortError> {
        let event = Published::traced(event, (self.trace)());
        self.hub.deliver(topic, &event);
        Ok(())
    }

    async fn subscribe(&self, interest: Interest, topics: &[Topic]) -> Result<Receiver, PortError> {
        Ok(self.hub.follower(interest, topics))
    }

    async fn follow(&self, receiver: &mut Receiver, topic: Topic) -> Result<(), PortError> {
        receiver.follow(topic);
        Ok(())
    }

    async fn interrupt(&self, topic: Topic) -> Result<(), PortError> {
        self.hub.interrupt(topic);
        Ok(())
    }
}
