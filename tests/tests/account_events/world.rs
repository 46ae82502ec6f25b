//! People, groups and the services on the embedded store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use talksy_domain::auth::{RefreshToken, Session};
use talksy_domain::chats::{Chat, ChatTitle, Member};
use talksy_domain::clock::{Clock as _, SystemEntropy};
use talksy_domain::events::Bus;
use talksy_domain::feeds::FeedPolicy;
use talksy_domain::id::{ChatId, IdGenerator};
use talksy_domain::limits::{Quota, Rule};
use talksy_domain::mail::EmailAddress;
use talksy_domain::messages::{HistoryFrom, Message, MessageText};
use talksy_domain::page::{MAX_PAGE, Window};
use talksy_domain::services::{Policies, Ports, Services};
use talksy_domain::users::{DisplayName, User};
use talksy_domain::viewer::Viewer;
use talksy_server::adapters::Adapters;
use talksy_server::app::Environment;
use talksy_server::config::Config;
use talksy_tests::clock::TestClock;
use talksy_tests::event_sinks::PromptSink;
use tempfile::TempDir;

/// A heartbeat that no test lives to feel.
pub const NEVER: Duration = Duration::from_hours(1);

/// How feeds behave without any configuration, with short waits and no heartbeat.
pub fn no_heartbeat() -> FeedPolicy {
    FeedPolicy {
        heartbeat: NEVER,
        reorder_grace: Duration::from_millis(5),
        ahead_grace: Duration::from_millis(50),
        checkpoint_after: NEVER,
        ..Policies::from(&Config::default()).feeds
    }
}

/// The same with a heartbeat that comes soon, and checkpoints.
pub fn quick() -> FeedPolicy {
    FeedPolicy {
        heartbeat: Duration::from_millis(40),
        checkpoint_events: 7,
        checkpoint_after: Duration::from_millis(30),
        ..no_heartbeat()
    }
}

/// The adapters, which many worlds may share.
pub struct Backend {
    adapters: Adapters,
    /// Publishes what the store commits on the bus of the newest world.
    events: PromptSink,
    clock: Arc<TestClock>,
    people: AtomicU32,
    _data: TempDir,
}

impl Backend {
    pub async fn open() -> Arc<Self> {
        let data = tempfile::tempdir().unwrap();
        let config = Config {
            data_dir: data.path().to_owned(),
            ..Config::default()
        };
        let clock = Arc::new(TestClock::default());
        let environment = Environment {
            clock: Arc::clone(&clock) as _,
            entropy: Arc::new(SystemEntropy),
        };
        let events = PromptSink::default();
        let sink = Arc::new(events.clone());
        let adapters = Adapters::open_with(&config, &environment, Some(sink)).await;
        Arc::new(Self {
            adapters: adapters.unwrap(),
            events,
            clock,
            people: AtomicU32::new(0),
            _data: data,
        })
    }

    /// What an operator does who has restored the store from a backup.
    pub async fn restore(&self) {
        self.adapters.store.renew_incarnation().await.unwrap();
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
            ..backend.adapters.ports.clone()
        };
        Self {
            ann: person(&backend, "ann").await,
            ben: person(&backend, "ben").await,
            cleo: person(&backend, "cleo").await,
            services: services(ports.clone(), live),
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
        services(ports, self.live)
    }

    pub async fn person(&self, name: &str) -> Viewer {
        person(&self.backend, name).await
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

    /// The viewer's membership, asked of the store.
    pub async fn member(&self, viewer: &Viewer, chat: ChatId) -> Option<Member> {
        let chats = &self.backend.adapters.ports.chats;
        let found = chats.memberships(viewer.user_id, &[chat]).await;
        found.unwrap().pop()
    }

    /// The chat, asked of the store.
    pub async fn chat(&self, chat: ChatId) -> Chat {
        let chats = &self.backend.adapters.ports.chats;
        chats.chats(&[chat]).await.unwrap().pop().unwrap()
    }

    /// The viewer's chats, asked of the store.
    pub async fn chats_of(&self, viewer: &Viewer) -> Vec<ChatId> {
        let chats = &self.backend.adapters.ports.chats;
        chats.chat_ids_of(viewer.user_id).await.unwrap()
    }

    /// What the member may read of the chat, asked of the store.
    pub async fn visible(&self, member: &Member) -> Vec<Message> {
        let store = &self.backend.adapters.ports.messages;
        let mut held: Vec<Message> = Vec::new();
        loop {
            let before = member.visible_from_seq - 1;
            let window = Window {
                after: Some(held.last().map_or(before, |message| message.seq)),
                before: None,
                limit: MAX_PAGE,
                from_end: false,
            };
            let page = store.page(member.chat_id, &window).await.unwrap();
            held.extend(page.items);
            if !page.has_next {
                return held;
            }
        }
    }
}

fn services(ports: Ports, feeds: FeedPolicy) -> Services {
    let free = |rule: &mut Rule| {
        rule.quota = Quota {
            burst: 1_000_000,
            period: Duration::from_secs(1),
        };
    };
    let mut policies = Policies::from(&Config::default());
    free(&mut policies.send);
    free(&mut policies.start_chat);
    policies.feeds = feeds;
    Services::new(ports, policies)
}

async fn person(backend: &Backend, name: &str) -> Viewer {
    let users = &backend.adapters.ports.users;
    let number = backend.people.fetch_add(1, Ordering::SeqCst);
    let email = EmailAddress::parse(&format!("{name}.{number}@example.org")).unwrap();
    let now = backend.clock.now();
    let ids = IdGenerator::new(Arc::clone(&backend.clock) as _, Arc::new(SystemEntropy));
    let candidate = User {
        id: ids.next(),
        name: DisplayName::of_address(&email),
        email,
        about: None,
        created_at: now,
        last_seen_at: None,
    };
    let (user, _) = users.find_or_create_user(&candidate).await.unwrap();
    let session = Session {
        id: ids.next(),
        user_id: user.id,
        created_at: now,
        last_used_at: now,
        expires_at: now + Duration::from_hours(24),
        user_agent: None,
        ip_address: None,
    };
    let token = RefreshToken::generate(session.id, &SystemEntropy).hash();
    let sessions = &backend.adapters.ports.sessions;
    sessions.create_session(&session, token).await.unwrap();
    Viewer {
        user_id: user.id,
        session_id: session.id,
        expires_at: session.expires_at,
    }
}
