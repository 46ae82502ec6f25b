//! Sees feeds open. The protocol has no word for it: an operation that was taken follows its topic
//! a moment later, and what happens in between is not its to tell.

use std::sync::Arc;

use async_trait::async_trait;
use talksy_domain::error::PortError;
use talksy_domain::events::{Bus, Event, Interest, Receiver, Topic};
use tokio::sync::watch;

/// Reads along with a bus.
pub struct Feeds {
    behind: Arc<dyn Bus>,
    opened: watch::Sender<u64>,
}

impl Feeds {
    /// Reads along with this bus.
    pub fn new(behind: Arc<dyn Bus>) -> Arc<Self> {
        Arc::new(Self {
            behind,
            opened: watch::Sender::new(0),
        })
    }

    /// How many feeds have opened so far, and each change of it. The watch over a socket's session
    /// is no feed.
    pub fn opened(&self) -> watch::Receiver<u64> {
        self.opened.subscribe()
    }
}

#[async_trait]
impl Bus for Feeds {
    async fn publish(&self, topic: Topic, event: Event) -> Result<(), PortError> {
        self.behind.publish(topic, event).await
    }

    async fn subscribe(&self, interest: Interest, topics: &[Topic]) -> Result<Receiver, PortError> {
        let receiver = self.behind.subscribe(interest, topics).await?;
        if interest != Interest::SESSIONS {
            self.opened.send_modify(|opened| *opened += 1);
        }
        Ok(receiver)
    }

    async fn follow(&self, receiver: &mut Receiver, topic: Topic) -> Result<(), PortError> {
        self.behind.follow(receiver, topic).await
    }
}
