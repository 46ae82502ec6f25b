//! Where stores under test hand over what follows from their commits.

use std::sync::Arc;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use talksy_domain::events::{Announcement, Bus, Event, EventSink, Topic};

/// Keeps what is handed over. A clone shares it.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Vec<(Topic, Event)>>>);

impl Recorder {
    /// What was handed over on this topic so far, in its order.
    pub fn on(&self, topic: Topic) -> Vec<Event> {
        let all = self.0.lock();
        let found = all.iter().filter(|(other, _)| *other == topic);
        found.map(|(_, event)| event.clone()).collect()
    }

    /// What was handed over so far, which is kept no longer.
    pub fn take(&self) -> Vec<(Topic, Event)> {
        std::mem::take(&mut self.0.lock())
    }
}

impl EventSink for Recorder {
    fn put(&self, announcements: Vec<Announcement>) {
        let events = announcements.into_iter().map(|one| (one.topic, one.event));
        self.0.lock().extend(events);
    }
}

/// Publishes at once, ahead of the answer to whoever waits for the commit: so that what a test does
/// is published when its call has returned, in the test's own order. A clone shares its bus.
#[derive(Clone, Default)]
pub struct PromptSink(Arc<Mutex<Option<Arc<dyn Bus>>>>);

impl PromptSink {
    /// From now on on this bus, whose `publish` must not wait.
    pub fn publish_on(&self, bus: Arc<dyn Bus>) {
        *self.0.lock() = Some(bus);
    }
}

impl EventSink for PromptSink {
    fn put(&self, announcements: Vec<Announcement>) {
        let Some(bus) = self.0.lock().clone() else {
            return;
        };
        for Announcement { topic, event, .. } in announcements {
            let published = bus.publish(topic, event).now_or_never();
            assert!(matches!(published, Some(Ok(()))), "{published:?}");
        }
    }
}
