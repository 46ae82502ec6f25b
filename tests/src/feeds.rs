//! Sees feeds open. The protocol has no word for it: an operation that was taken follows its topic
//! a moment later, and what happens in between is not its to tell.

use std::sync::Arc;

use talksy_domain::error::PortError;
use talksy_domain::events::{Bus, BusLayer, Interest, Receiver, Topic};
use talksy_domain::port::Layer;
use tokio::sync::watch;

/// Reads along with a bus. A clone shares its count.
#[derive(Clone)]
pub struct Feeds {
    behind: Arc<dyn Bus>,
    opened: watch::Sender<u64>,
}

impl Feeds {
    /// Reads along with this bus.
    pub fn new(behind: Arc<dyn Bus>) -> Self {
        Self {
            behind,
            opened: watch::Sender::new(0),
        }
    }

    /// How many feeds have opened so far, and each change of it. The watch over a socket's session
    /// is no feed.
    pub fn opened(&self) -> watch::Receiver<u64> {
        self.opened.subscribe()
    }
}

impl Layer<dyn Bus> for Feeds {
    fn inner(&self) -> &Arc<dyn Bus> {
        &self.behind
    }
}

impl BusLayer for Feeds {
    async fn subscribe(&self, interest: Interest, topics: &[Topic]) -> Result<Receiver, PortError> {
        let receiver = self.behind.subscribe(interest, topics).await?;
        if interest != Interest::SESSIONS {
            self.opened.send_modify(|opened| *opened += 1);
        }
        Ok(receiver)
    }
}
