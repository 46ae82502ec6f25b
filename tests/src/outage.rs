//! A bus that a test can take away and give back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use talksy_domain::error::PortError;
use talksy_domain::events::{Bus, Event, Interest, Receiver, Topic};
use talksy_domain::services::Ports;

/// The bus, in front of the real one.
#[derive(Default)]
pub struct OutageBus {
    behind: OnceLock<Arc<dyn Bus>>,
    down: AtomicBool,
}

impl OutageBus {
    /// Puts this bus in front of the one of the ports.
    pub fn install(self: &Arc<Self>) -> impl FnOnce(Ports) -> Ports + 'static {
        let this = Arc::clone(self);
        move |mut ports| {
            this.behind.get_or_init(|| Arc::clone(&ports.bus));
            ports.bus = this;
            ports
        }
    }

    /// Takes the bus away, or gives it back.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    fn up(&self) -> Result<&dyn Bus, PortError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(PortError::unavailable("bus", "it was taken away"));
        }
        match self.behind.get() {
            Some(bus) => Ok(&**bus),
            None => panic!("the bus was not installed"),
        }
    }
}

#[async_trait]
impl Bus for OutageBus {
    async fn publish(&self, topic: Topic, event: Event) -> Result<(), PortError> {
        self.up()?.publish(topic, event).await
    }

    async fn subscribe(&self, interest: Interest, topics: &[Topic]) -> Result<Receiver, PortError> {
        self.up()?.subscribe(interest, topics).await
    }

    async fn follow(&self, receiver: &mut Receiver, topic: Topic) -> Result<(), PortError> {
        self.up()?.follow(receiver, topic).await
    }
}
