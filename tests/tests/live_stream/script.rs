//! A bus that does what the test says: hears or is deaf, keeps what is published for later, is
//! interrupted.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use talksy_domain::error::PortError;
use talksy_domain::events::{Bus, Event, Hub, Interest, Published, Receiver, Topic};
use talksy_domain::presence::PresenceStatus;
use tokio::sync::watch;

/// What becomes of events as they are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They arrive.
    #[default]
    Deliver,
    /// They are lost.
    Lose,
    /// They wait in [`ScriptBus::kept`].
    Keep,
}

/// A bus that follows a script.
pub struct ScriptBus {
    hub: Arc<Hub>,
    mode: Mutex<Mode>,
    kept: Mutex<Vec<(Topic, Event)>>,
    /// Whether news of somebody's leaving waits, and how much of it does.
    partings: watch::Sender<(bool, usize)>,
}

impl ScriptBus {
    /// A bus whose receivers hold `mailbox` events.
    pub fn new(mailbox: usize) -> Arc<Self> {
        Arc::new(Self {
            hub: Hub::new(mailbox),
            mode: Mutex::default(),
            kept: Mutex::default(),
            partings: watch::Sender::new((false, 0)),
        })
    }

    /// From now on.
    pub fn set(&self, mode: Mode) {
        *self.mode.lock() = mode;
    }

    /// What was kept, in the order of its publication; it is kept no longer.
    pub fn kept(&self) -> Vec<(Topic, Event)> {
        std::mem::take(&mut self.kept.lock())
    }

    /// Puts an event in the mailboxes, whatever the mode.
    pub fn deliver(&self, topic: Topic, event: Event) {
        self.hub.deliver(topic, &Published::new(event));
    }

    /// From now on it takes long to publish that somebody left.
    pub fn hold_up_partings(&self) {
        self.partings.send_modify(|(held_up, _)| *held_up = true);
    }

    /// Waits until somebody's leaving is being published.
    pub async fn parting_waits(&self) {
        let mut partings = self.partings.subscribe();
        partings
            .wait_for(|(_, waiting)| *waiting > 0)
            .await
            .unwrap();
    }

    /// It is published.
    pub fn let_partings_go(&self) {
        self.partings.send_modify(|(held_up, _)| *held_up = false);
    }

    /// Announces an interruption.
    pub fn interrupt(&self) {
        self.hub.interrupt_all();
    }
}

#[async_trait]
impl Bus for ScriptBus {
    async fn publish(&self, topic: Topic, event: Event) -> Result<(), PortError> {
        if matches!(&event, Event::PresenceChanged(state) if state.status == PresenceStatus::Offline)
        {
            self.partings.send_modify(|(_, waiting)| *waiting += 1);
            let mut partings = self.partings.subscribe();
            partings.wait_for(|(held_up, _)| !held_up).await.unwrap();
            self.partings.send_modify(|(_, waiting)| *waiting -= 1);
        }
        let mode = *self.mode.lock();
        match mode {
            Mode::Deliver => self.deliver(topic, event),
            Mode::Lose => {}
            Mode::Keep => self.kept.lock().push((topic, event)),
        }
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
