//! People, groups and the services on the embedded store.

use std::sync::Arc;
use std::time::Duration;

use talksy_domain::chats::ChatTitle;
use talksy_domain::events::Bus;
use talksy_domain::feeds::FeedPolicy;
use talksy_domain::id::ChatId;
use talksy_domain::messages::{HistoryFrom, Message, MessageText};
use talksy_domain::services::{Ports, Services};
use talksy_domain::viewer::Viewer;
use talksy_tests::backend::instance;
pub use talksy_tests::backend::{Backend, NEVER, no_heartbeat};

/// The same with a heartbeat that comes soon, and checkpoints.
pub fn quick() -> FeedPolicy {
    FeedPolicy {
        heartbeat: Duration::from_millis(40),
        checkpoint_events: 7,
        checkpoint_after: Duration::from_millis(30),
        ..no_heartbeat()
    }
}

/// No help from anything but a quick heartbeat.
pub fn quick_heartbeat() -> FeedPolicy {
    FeedPolicy {
        heartbeat: Duration::from_millis(40),
        ..no_heartbeat()
    }
}

/// Ann, who owns the groups, Ben, whose account is followed, and Cleo, who is in all of them.
pub struct World {
    pub backend: Arc<Backend>,
    pub ports: Ports,
    pub services: Services,
    pub ann: Viewer,
    pub ben: Viewer,
    pub cleo: Viewer,
    live: FeedPolicy,
}

impl World {
    pub async fn new(backend: Arc<Backend>, bus: Arc<dyn Bus>, live: FeedPolicy) -> Self {
        backend.events.publish_on(Arc::clone(&bus));
        let ports = Ports {
            bus,
            ..backend.ports.clone()
        };
        Self {
            ann: backend.person("ann").await,
            ben: backend.person("ben").await,
            cleo: backend.person("cleo").await,
            services: instance(ports.clone(), live),
            backend,
            ports,
            live,
        }
    }

    /// Another instance, on another bus.
    pub fn instance(&self, bus: Arc<dyn Bus>) -> Services {
        let ports = Ports {
            bus,
            ..self.ports.clone()
        };
        instance(ports, self.live)
    }

    pub async fn direct(&self, one: &Viewer, other: &Viewer) -> ChatId {
        let chats = &self.services.chats;
        chats.start_direct(one, other.user_id).await.unwrap().0.id
    }

    /// A group of Ann's with Cleo in it, and with these.
    pub async fn group(&self, title: &str, members: &[&Viewer]) -> ChatId {
        let title = ChatTitle::parse(title).unwrap();
        let members = members.iter().map(|viewer| viewer.user_id);
        let members = members.chain([self.cleo.user_id]).collect();
        let groups = &self.services.groups;
        groups
            .create(&self.ann, title, members, None)
            .await
            .unwrap()
            .id
    }

    pub async fn add(&self, chat: ChatId, who: &Viewer, history: HistoryFrom) {
        let groups = &self.services.groups;
        let users = vec![who.user_id];
        groups.add(&self.ann, chat, users, history).await.unwrap();
    }

    pub async fn remove(&self, chat: ChatId, who: &Viewer) {
        let groups = &self.services.groups;
        groups.remove(&self.ann, chat, who.user_id).await.unwrap();
    }

    pub async fn send(&self, chat: ChatId, who: &Viewer, text: &str) -> Message {
        let text = MessageText::parse(text).unwrap();
        let messages = &self.services.messages;
        messages.send(who, chat, text, None).await.unwrap().message
    }

    pub async fn edit(&self, message: &Message, who: &Viewer, text: &str) -> Message {
        let text = MessageText::parse(text).unwrap();
        let messages = &self.services.messages;
        messages.edit(who, message.id, text, None).await.unwrap()
    }
}
