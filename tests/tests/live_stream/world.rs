//! Two people with a chat, on the real services and the real embedded store.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use talksy_domain::access::{AccessError, Denied};
use talksy_domain::auth::{RefreshToken, Session};
use talksy_domain::chats::{ChatTitle, Member, ReadReceipt};
use talksy_domain::clock::{Clock as _, SystemEntropy};
use talksy_domain::cursor::{Cursor as _, MessageCursor};
use talksy_domain::events::{Bus, Published};
use talksy_domain::feeds::{
    ChangeFeed, ChatFeed, ChatItem, Feed, FeedError, FeedPolicy, MessageFeed, StateFeed, StateItem,
};
use talksy_domain::id::{ChatId, IdGenerator, UserId};
use talksy_domain::incarnation::Incarnation;
use talksy_domain::limits::{Quota, Rule};
use talksy_domain::mail::EmailAddress;
use talksy_domain::messages::{ClientMessageId, Head, HistoryFrom, Message, MessageText};
use talksy_domain::page::{MAX_PAGE, Window};
use talksy_domain::seq::Seq;
use talksy_domain::services::{Policies, Ports, Services};
use talksy_domain::users::{DisplayName, User};
use talksy_domain::viewer::Viewer;
use talksy_server::adapters::Adapters;
use talksy_server::app::Environment;
use talksy_server::config::Config;
use talksy_tests::clock::TestClock;
use talksy_tests::event_sinks::PromptSink;
use talksy_tests::soon;
use tempfile::TempDir;

use super::altered_store::AlteredStore;
use super::script::ScriptBus;

/// A heartbeat that no test lives to feel: what arrives has arrived without it.
pub const NEVER: Duration = Duration::from_hours(1);

/// A heartbeat that comes soon.
pub const SHORT: Duration = Duration::from_millis(50);

/// The domain's tunables as they are without any configuration.
pub fn policies() -> Policies {
    Policies::from(&Config::default())
}

/// No help from the heartbeat, and a short wait for what is late.
pub fn no_heartbeat() -> FeedPolicy {
    FeedPolicy {
        heartbeat: NEVER,
        reorder_grace: Duration::from_millis(5),
        ahead_grace: SHORT,
        ..policies().feeds
    }
}

/// The same with a heartbeat.
pub fn quick_heartbeat() -> FeedPolicy {
    FeedPolicy {
        heartbeat: SHORT,
        ..no_heartbeat()
    }
}

/// The adapters, which many worlds may share.
pub struct Backend {
    adapters: Adapters,
    /// Publishes what the store commits on the bus of the newest world.
    events: PromptSink,
    pub clock: Arc<TestClock>,
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

/// One instance, and two people who use it.
pub struct World {
    pub backend: Arc<Backend>,
    pub store: AlteredStore,
    pub ports: Ports,
    pub services: Services,
    pub ann: Viewer,
    pub ben: Viewer,
    /// The chat of the two.
    pub chat: ChatId,
    /// The store's.
    pub incarnation: Incarnation,
    /// What goes on while the store is away from [`Self::services`].
    pub others: Services,
    live: FeedPolicy,
}

impl World {
    /// A world on this bus.
    pub async fn new(backend: Arc<Backend>, bus: Arc<dyn Bus>, live: FeedPolicy) -> Self {
        backend.events.publish_on(Arc::clone(&bus));
        let store = AlteredStore::new(&backend.adapters.ports);
        let ports = store.install(Ports {
            bus,
            ..backend.adapters.ports.clone()
        });
        let services = instance(ports.clone(), live);
        let others = others(&backend, &ports, live);
        let ann = person(&backend, "ann").await;
        let ben = person(&backend, "ben").await;
        let (chat, _) = services
            .chats
            .start_direct(&ann, ben.user_id)
            .await
            .unwrap();
        Self {
            incarnation: services.feeds.incarnation().await.unwrap(),
            backend,
            store,
            ports,
            services,
            ann,
            ben,
            chat: chat.id,
            others,
            live,
        }
    }

    /// The same people and the same store, on another bus.
    pub fn on_another_bus(&self, bus: Arc<dyn Bus>) -> Self {
        let ports = Ports {
            bus,
            ..self.ports.clone()
        };
        Self {
            backend: Arc::clone(&self.backend),
            store: self.store.clone(),
            services: instance(ports.clone(), self.live),
            others: others(&self.backend, &ports, self.live),
            ports,
            ..*self
        }
    }

    /// A world of its own on a bus that follows the script.
    pub async fn scripted(mailbox: usize, live: FeedPolicy) -> (Self, Arc<ScriptBus>) {
        let bus = ScriptBus::new(mailbox);
        let backend = Backend::open().await;
        let world = Self::new(backend, Arc::clone(&bus) as _, live).await;
        (world, bus)
    }

    /// The same with a group of the two, which Ann owns, in the place of their direct chat. Its
    /// first message says that it was made.
    pub async fn in_a_group(self) -> Self {
        let title = ChatTitle::parse("A group").unwrap();
        let members = vec![self.ben.user_id];
        let groups = &self.services.groups;
        let made = groups.create(&self.ann, title, members, None).await;
        Self {
            chat: made.unwrap().id,
            ..self
        }
    }

    /// Ann makes somebody a member of the group; returns the number of the notice.
    pub async fn add(&self, whom: &Viewer, history: HistoryFrom) -> Seq {
        let users = vec![whom.user_id];
        let groups = &self.others.groups;
        let chat = groups.add(&self.ann, self.chat, users, history).await;
        chat.unwrap().applied_seq
    }

    /// Ann removes somebody from the group; returns the number of the notice.
    pub async fn remove(&self, whom: &Viewer) -> Seq {
        let groups = &self.others.groups;
        let chat = groups.remove(&self.ann, self.chat, whom.user_id).await;
        chat.unwrap().applied_seq
    }

    /// Ann gives the group another title; returns the number of the notice.
    pub async fn rename(&self, title: &str) -> Seq {
        let title = ChatTitle::parse(title).unwrap();
        let groups = &self.others.groups;
        let chat = groups.rename(&self.ann, self.chat, title).await;
        chat.unwrap().applied_seq
    }

    /// The sender gives a message another text; returns the message now.
    pub async fn edit(&self, sender: &Viewer, message: &Message, text: &str) -> Message {
        let text = MessageText::parse(text).unwrap();
        let messages = &self.others.messages;
        let edited = messages.edit(sender, message.id, text, None).await;
        edited.unwrap()
    }

    /// Somebody deletes a message; returns what is left of it.
    pub async fn delete(&self, who: &Viewer, message: &Message) -> Message {
        let messages = &self.others.messages;
        messages.delete(who, message.id).await.unwrap()
    }

    /// Another instance on the same adapters.
    pub fn other_instance(&self) -> Services {
        instance(self.ports.clone(), self.live)
    }

    /// Somebody else.
    pub async fn person(&self, name: &str) -> Viewer {
        person(&self.backend, name).await
    }

    /// The same user on another device.
    pub async fn other_device(&self, viewer: &Viewer) -> Viewer {
        session(&self.backend, viewer.user_id).await
    }

    /// Sends a message to the chat of the two.
    pub async fn send(&self, sender: &Viewer, text: &str) -> Message {
        self.send_to(self.chat, sender, text).await
    }

    pub async fn send_to(&self, chat: ChatId, sender: &Viewer, text: &str) -> Message {
        let text = MessageText::parse(text).unwrap();
        let messages = &self.services.messages;
        let sent = messages.send(sender, chat, text, None).await;
        sent.unwrap().message
    }

    /// Sends with an id of the sender's own; sending again is harmless.
    pub async fn send_once(&self, sender: &Viewer, own_id: &str) -> Message {
        let text = MessageText::parse(own_id).unwrap();
        let own_id = ClientMessageId::parse(own_id).unwrap();
        let messages = &self.services.messages;
        let sent = messages.send(sender, self.chat, text, Some(own_id)).await;
        sent.unwrap().message
    }

    /// Ann sends so many at once.
    pub async fn send_many(&self, count: usize) {
        let sends = (0..count).map(|_| self.send(&self.ann, "one of many"));
        futures_util::future::join_all(sends).await;
    }

    /// Ben's feed of the messages from now on.
    pub async fn follow(&self) -> MessageFeed {
        self.resume(None).await
    }

    /// Ben's feed of the messages behind this one.
    pub async fn follow_after(&self, seq: Seq) -> MessageFeed {
        self.resume(Some(seq)).await
    }

    async fn resume(&self, after: Option<Seq>) -> MessageFeed {
        self.try_follow(after).await.unwrap()
    }

    pub async fn try_follow(&self, after: Option<Seq>) -> Result<MessageFeed, FeedError> {
        let after = after.map(|seq| self.cursor(seq));
        let feeds = &self.services.feeds;
        feeds.messages(&self.ben, self.chat, after.as_deref()).await
    }

    /// Ben's feed of the changes from now on, or behind this one.
    pub async fn changes(&self, after: Option<Seq>) -> ChangeFeed {
        self.try_changes(after).await.unwrap()
    }

    pub async fn try_changes(&self, after: Option<Seq>) -> Result<ChangeFeed, FeedError> {
        let after = after.map(|number| self.place(0, Some(number)));
        let feeds = &self.services.feeds;
        feeds.changes(&self.ben, self.chat, after.as_deref()).await
    }

    /// The cursor of a message of the chat.
    pub fn cursor(&self, seq: Seq) -> String {
        self.place(seq, None)
    }

    /// The cursor of a place on both lines of the chat.
    pub fn place(&self, seq: Seq, change_seq: Option<Seq>) -> String {
        MessageCursor {
            chat_id: self.chat,
            incarnation: self.incarnation,
            seq,
            change_seq,
        }
        .encode()
    }

    /// Somebody's membership of the chat, asked of the embedded store itself.
    pub async fn membership(&self, whom: &Viewer) -> Option<Member> {
        let store = &self.backend.adapters.ports.chats;
        let found = store.memberships(whom.user_id, &[self.chat]).await;
        found.unwrap().pop()
    }

    /// The ends of the chat's lines, asked of the embedded store itself.
    pub async fn head(&self) -> Head {
        let store = &self.backend.adapters.ports.messages;
        store.heads(&[self.chat]).await.unwrap().pop().unwrap()
    }

    /// What the store holds of the chat, asked of the embedded store itself.
    pub async fn held(&self) -> Vec<Message> {
        let store = &self.backend.adapters.ports.messages;
        let mut held: Vec<Message> = Vec::new();
        loop {
            let window = Window {
                after: held.last().map(|message| message.seq),
                before: None,
                limit: MAX_PAGE,
                from_end: false,
            };
            let page = store.page(self.chat, &window).await.unwrap();
            held.extend(page.items);
            if !page.has_next {
                return held;
            }
        }
    }
}

/// An instance whose store is not altered.
fn others(backend: &Backend, ports: &Ports, live: FeedPolicy) -> Services {
    let ports = Ports {
        bus: Arc::clone(&ports.bus),
        ..backend.adapters.ports.clone()
    };
    instance(ports, live)
}

/// The services as one process has them.
fn instance(ports: Ports, feeds: FeedPolicy) -> Services {
    let free = |rule: &mut Rule| {
        rule.quota = Quota {
            burst: 1_000_000,
            period: Duration::from_secs(1),
        };
    };
    let mut policies = policies();
    free(&mut policies.send);
    free(&mut policies.start_chat);
    free(&mut policies.typing);
    policies.feeds = feeds;
    policies.presence.sweep = Duration::from_millis(10);
    Services::new(ports, policies)
}

/// Signs up somebody whose address nobody else has.
async fn person(backend: &Backend, name: &str) -> Viewer {
    let users = &backend.adapters.ports.users;
    let number = backend.people.fetch_add(1, Ordering::SeqCst);
    let email = EmailAddress::parse(&format!("{name}.{number}@example.org")).unwrap();
    let now = backend.clock.now();
    let candidate = User {
        id: ids(backend).next(),
        name: DisplayName::of_address(&email),
        email,
        about: None,
        created_at: now,
        last_seen_at: None,
    };
    let (user, _) = users.find_or_create_user(&candidate).await.unwrap();
    session(backend, user.id).await
}

/// Signs a user in.
async fn session(backend: &Backend, user_id: UserId) -> Viewer {
    let sessions = &backend.adapters.ports.sessions;
    let now = backend.clock.now();
    let session = Session {
        id: ids(backend).next(),
        user_id,
        created_at: now,
        last_used_at: now,
        expires_at: now + Duration::from_hours(24),
        user_agent: None,
        ip_address: None,
    };
    let token = RefreshToken::generate(session.id, &SystemEntropy).hash();
    sessions.create_session(&session, token).await.unwrap();
    Viewer {
        user_id,
        session_id: session.id,
        expires_at: session.expires_at,
    }
}

fn ids(backend: &Backend) -> IdGenerator {
    IdGenerator::new(Arc::clone(&backend.clock) as _, Arc::new(SystemEntropy))
}

/// The next item, which must come.
pub async fn next<F: Feed>(feed: &mut F) -> F::Item {
    match soon("the feed's next item", feed.next()).await {
        Ok(item) => item,
        Err(error) => panic!("the feed has ended: {error:?}"),
    }
}

/// The next so many items.
pub async fn take<F: Feed>(feed: &mut F, count: usize) -> Vec<F::Item> {
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(next(feed).await);
    }
    items
}

/// Why the feed ends, which it must before it delivers anything else.
pub async fn end<F: Feed<Item: Debug>>(feed: &mut F) -> FeedError {
    match soon("the feed's end", feed.next()).await {
        Ok(item) => panic!("the feed goes on with {item:?}"),
        Err(error) => error,
    }
}

/// A feed of which a test looks at a part of each item.
pub struct Seen<F: Feed, T> {
    feed: F,
    part: fn(F::Item) -> T,
}

impl<F: Feed, T: Send + 'static> Feed for Seen<F, T> {
    type Item = T;

    async fn next(&mut self) -> Result<T, FeedError> {
        Ok((self.part)(self.feed.next().await?))
    }
}

/// The chats that a sidebar is told of.
pub fn chats_in(feed: ChatFeed) -> Seen<ChatFeed, ChatId> {
    let part = |item: ChatItem| item.state.chat.id;
    Seen { feed, part }
}

/// The receipts of a feed.
pub fn receipts_in(feed: StateFeed<ReadReceipt>) -> Seen<StateFeed<ReadReceipt>, ReadReceipt> {
    let part = |item: StateItem<ReadReceipt>| item.state;
    Seen { feed, part }
}

/// Nothing waits in the feed. What needs another step to come is not found by this.
pub fn nothing_waits<F: Feed<Item: Debug>>(feed: &mut F) {
    if let Some(item) = feed.next().now_or_never() {
        panic!("something came: {item:?}");
    }
}

/// The feed ends as that of who is no member does.
pub async fn ends_for_no_member<F: Feed<Item: Debug>>(feed: &mut F) {
    assert_no_member(&end(feed).await);
}

#[track_caller]
pub fn assert_no_member(error: &FeedError) {
    let expected = FeedError::from(AccessError::from(Denied::NotMember));
    assert_eq!(format!("{error:?}"), format!("{expected:?}"));
}

/// The message that was published.
pub fn message(published: &Arc<Published>) -> Message {
    published.message().unwrap().clone()
}

/// The numbers of the next messages.
pub async fn seqs(feed: &mut MessageFeed, count: usize) -> Vec<Seq> {
    let items = take(feed, count).await;
    items.iter().map(|item| message(item).seq).collect()
}
