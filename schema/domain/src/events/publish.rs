//! Publishing what has been committed.

use super::bus::Bus;
use super::event::{Event, Topic};
use crate::error::chain;

/// Publishes what has been committed. A bus that is down costs promptness, not the change:
/// followers find it in the store.
pub(crate) async fn announce(bus: &dyn Bus, topic: Topic, event: Event) {
    if let Err(error) = bus.publish(topic, event).await {
        tracing::warn!(error = %chain(&error), "an event was not published");
    }
}
