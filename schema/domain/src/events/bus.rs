//! The port of the event bus.

use super::event::{Event, Interest, Topic};
use super::hub::Receiver;
use crate::error::PortError;
use crate::port::port;

port! {
    /// Carries events to all instances, at most once, in no promised order. What is missed is
    /// announced where the bus knows of it, as [`super::Signal::Missed`] where it knows of which topics,
    /// else as [`super::Signal::Interrupted`].
    pub trait Bus as "bus" with BusLayer {
        /// Sends an event to all who follow the topic. Does not wait for a network: it hands the event
        /// on, and what is lost behind that is announced as an interruption.
        async fn publish(&self, topic: Topic, event: Event) -> Result<(), PortError>;

        /// A receiver that follows the topics: when it returns, no later event is missed unless an
        /// interruption is signalled.
        async fn subscribe(&self, interest: Interest, topics: &[Topic]) -> Result<Receiver, PortError>;

        /// Lets the receiver follow another topic, under the same promise.
        async fn follow(&self, receiver: &mut Receiver, topic: Topic) -> Result<(), PortError>;

        /// Tells all who follow the topic that they may have missed something.
        async fn interrupt(&self, topic: Topic) -> Result<(), PortError>;
    }
}
