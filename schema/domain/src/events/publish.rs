//! Publishing what no store commits: that somebody came, went, types.

use super::bus::Bus;
use super::event::{Event, Topic};
use crate::error::chain;

/// Publishes what lasts a moment. Nothing is kept where the bus is down: the next state follows.
pub(crate) async fn announce(bus: &dyn Bus, topic: Topic, event: Event) {
    if let Err(error) = bus.publish(topic, event).await {
        tracing::warn!(error = %chain(&error), "an event was not published");
    }
}
