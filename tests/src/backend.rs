//! The services on the embedded adapters, without a server around them: people, instances, and what
//! the store itself says.

#![expect(
    clippy::unwrap_used,
    reason = "what is not as a test expects ends the test"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use talksy_domain::auth::{Session, TokenHash};
use talksy_domain::chats::Member;
use talksy_domain::clock::{Clock as _, SystemEntropy};
use talksy_domain::feeds::FeedPolicy;
use talksy_domain::id::{ChatId, IdGenerator, UserId};
use talksy_domain::limits::{Quota, Rule};
use talksy_domain::mail::EmailAddress;
use talksy_domain::messages::Message;
use talksy_domain::page::{MAX_PAGE, Window};
use talksy_domain::seq::Seq;
use talksy_domain::services::{Policies, Ports, Services};
use talksy_domain::users::{DisplayName, User};
use talksy_domain::viewer::Viewer;
use talksy_server::adapters::Adapters;
use talksy_server::adapters::backend::Store;
use talksy_server::app::Environment;
use talksy_server::config::Config;
use tempfile::TempDir;

use crate::clock::TestClock;
use crate::event_sinks::PromptSink;

/// A heartbeat that no test lives to feel: what arrives has arrived without it.
pub const NEVER: Duration = Duration::from_hours(1);

/// The domain's tunables as they are without any configuration.
pub fn policies() -> Policies {
    Policies::from(&Config::default())
}

/// Feeds without help from the heartbeat or regular looks at sessions, and with a short wait for what is late.
pub fn no_heartbeat() -> FeedPolicy {
    FeedPolicy {
        heartbeat: NEVER,
        session_check: NEVER,
        reorder_grace: Duration::from_millis(5),
        ahead_grace: Duration::from_millis(50),
        absence_grace: Duration::from_millis(50),
        checkpoint_after: NEVER,
        ..policies().feeds
    }
}

/// The services as one process has them, without limits on how quickly anybody acts.
pub fn instance(ports: Ports, feeds: FeedPolicy) -> Services {
    let free = |rule: &mut Rule| {
        rule.quota = Quota {
            burst: 1_000_000,
            period: Duration::from_secs(1),
        };
    };
    let mut policies = policies();
    free(&mut policies.send);
    free(&mut policies.react);
    free(&mut policies.block);
    free(&mut policies.start_chat);
    free(&mut policies.change_chats);
    free(&mut policies.mark_read);
    free(&mut policies.users.update_profile);
    free(&mut policies.typing);
    policies.feeds = feeds;
    policies.presence.sweep = Duration::from_millis(10);
    policies.presence.doubt = Duration::ZERO;
    Services::new(ports, policies)
}

/// The embedded adapters, which many worlds may share.
pub struct Backend {
    /// The ports of the adapters themselves.
    pub ports: Ports,
    /// Publishes what the store commits on the bus of the newest world.
    pub events: PromptSink,
    /// What the adapters take for the time.
    pub clock: Arc<TestClock>,
    store: Arc<dyn Store>,
    people: AtomicU32,
    data: TempDir,
}

impl Backend {
    /// Opens the adapters in a new folder.
    ///
    /// # Panics
    /// Where that fails.
    pub async fn open() -> Arc<Self> {
        Self::open_in(&std::env::temp_dir()).await
    }

    /// The same in a new folder in this one.
    ///
    /// # Panics
    /// Where that fails.
    pub async fn open_in(parent: &std::path::Path) -> Arc<Self> {
        let data = tempfile::tempdir_in(parent).unwrap();
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
        let adapters = adapters.unwrap();
        Arc::new(Self {
            ports: adapters.ports,
            events,
            store: adapters.store,
            clock,
            people: AtomicU32::new(0),
            data,
        })
    }

    /// What an operator does who has restored the store from a backup.
    ///
    /// # Panics
    /// Where the store fails.
    pub async fn restore(&self) {
        self.store.renew_incarnation().await.unwrap();
    }

    /// The folder of the adapters, which goes with them.
    pub fn folder(&self) -> &std::path::Path {
        self.data.path()
    }

    /// Signs up somebody whose address nobody else has, and signs them in.
    ///
    /// # Panics
    /// Where the store fails.
    pub async fn person(&self, name: &str) -> Viewer {
        let number = self.people.fetch_add(1, Ordering::SeqCst);
        let candidate = self.candidate(name, number);
        let users = &self.ports.users;
        let (user, _) = users.find_or_create_user(&candidate).await.unwrap();
        self.session(user.id).await
    }

    /// A user with this name, whose address has this number in it.
    ///
    /// # Panics
    /// Where the name is no part of an address.
    pub fn candidate(&self, name: &str, number: u32) -> User {
        let email = EmailAddress::parse(&format!("{name}.{number}@example.org")).unwrap();
        User {
            id: ids(&self.ports).next(),
            name: DisplayName::of_address(&email),
            email,
            about: None,
            metadata: None,
            avatar_id: None,
            created_at: self.clock.now(),
            last_seen_at: None,
            block_version: 0,
            deleted_at: None,
        }
    }

    /// Signs a user in.
    ///
    /// # Panics
    /// Where the store fails.
    pub async fn session(&self, user_id: UserId) -> Viewer {
        session(&self.ports, user_id).await
    }
}

/// Makes ids by the clock of these ports.
pub(crate) fn ids(ports: &Ports) -> IdGenerator {
    IdGenerator::new(Arc::clone(&ports.clock), Arc::new(SystemEntropy))
}

/// Signs a user in, in this store.
///
/// # Panics
/// Where the store fails.
pub async fn session(ports: &Ports, user_id: UserId) -> Viewer {
    let now = ports.clock.now();
    let session = Session {
        id: ids(ports).next(),
        user_id,
        created_at: now,
        last_used_at: now,
        expires_at: now + Duration::from_hours(24),
        user_agent: None,
        ip_address: None,
    };
    // Nobody refreshes it.
    let token = TokenHash([0; 32]);
    let created = ports.sessions.create_session(&session, token).await;
    created.unwrap();
    Viewer {
        user_id,
        session_id: session.id,
        expires_at: session.expires_at,
    }
}

/// Somebody's membership of a chat, as the store has it.
///
/// # Panics
/// Where the store fails.
pub async fn membership(ports: &Ports, user: UserId, chat: ChatId) -> Option<Member> {
    let found = ports.chats.memberships(user, &[chat]).await;
    found.unwrap().pop()
}

/// The messages of a chat from this one on, as the store has them.
///
/// # Panics
/// Where the store fails.
pub async fn messages_from(ports: &Ports, chat: ChatId, from: Seq) -> Vec<Message> {
    let mut held: Vec<Message> = Vec::new();
    loop {
        let before = from.saturating_sub(1);
        let window = Window {
            after: Some(held.last().map_or(before, |message| message.seq)),
            before: None,
            limit: MAX_PAGE,
            from_end: false,
        };
        let page = ports.messages.page(chat, &window).await.unwrap();
        held.extend(page.items);
        if !page.has_next {
            return held;
        }
    }
}
