//! Two people with a chat, on the real services and the real embedded store.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use talksy_domain::access::{AccessError, Denied};
use talksy_domain::chats::{ChatTitle, ReadReceipt};
use talksy_domain::cursor::{Cursor as _, MessageCursor};
use talksy_domain::events::{Bus, Published};
use talksy_domain::feeds::{
    ChangeFeed, ChatFeed, ChatItem, Feed, FeedError, FeedPolicy, MessageFeed, StateFeed, StateItem,
};
use talksy_domain::id::ChatId;
use talksy_domain::incarnation::Incarnation;
use talksy_domain::messages::{ClientMessageId, HistoryFrom, Message, MessageText};
use talksy_domain::seq::Seq;
use talksy_domain::services::{Ports, Services};
use talksy_domain::viewer::Viewer;
pub use talksy_tests::backend::{Backend, NEVER, no_heartbeat, policies};
use talksy_tests::backend::{instance, messages_from};
use talksy_tests::soon;

use super::altered_store::AlteredStore;
use super::script::ScriptBus;

/// A heartbeat that comes soon.
pub const SHORT: Duration = Duration::from_millis(50);

/// No help from the heartbeat, but a quick one.
pub fn quick_heartbeat() -> FeedPolicy {
    FeedPolicy {
        heartbeat: SHORT,
        ..no_heartbeat()
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
        let store = AlteredStore::new(&backend.ports);
        let ports = store.install(Ports {
            bus,
            ..backend.ports.clone()
        });
        let services = instance(ports.clone(), live);
        let others = others(&backend, &ports, live);
        let ann = backend.person("ann").await;
        let ben = backend.person("ben").await;
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
        self.backend.person(name).await
    }

    /// The same user on another device.
    pub async fn other_device(&self, viewer: &Viewer) -> Viewer {
        self.backend.session(viewer.user_id).await
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

    /// What the store holds of the chat, asked of the embedded store itself.
    pub async fn held(&self) -> Vec<Message> {
        messages_from(&self.backend.ports, self.chat, 1).await
    }
}

/// An instance whose store is not altered.
fn others(backend: &Backend, ports: &Ports, live: FeedPolicy) -> Services {
    let ports = Ports {
        bus: Arc::clone(&ports.bus),
        ..backend.ports.clone()
    };
    instance(ports, live)
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
