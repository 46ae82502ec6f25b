//! Many people, each with the same number of chats and a feed over all of them, on a bus that brings
//! nothing: what they cost the store when they learn that they have missed something.

#![expect(
    clippy::unwrap_used,
    reason = "what is not as a test expects ends the test"
)]

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use talksy_domain::chats::ChatTitle;
use talksy_domain::events::{Hub, LocalBus};
use talksy_domain::feeds::{AccountEvent, AccountItem, Feed, FeedError, FeedPolicy};
use talksy_domain::id::ChatId;
use talksy_domain::mail::EmailAddress;
use talksy_domain::messages::{HistoryFrom, MessageText};
use talksy_domain::services::{Ports, Services};
use talksy_domain::users::{DisplayName, User};
use talksy_domain::viewer::Viewer;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::backend::{ids, instance, session};
use crate::faulty_store::FaultyStore;
use crate::soon;

/// How many are made at once.
const AT_ONCE: usize = 64;
/// The most members that one call adds to a group.
const ADDED: usize = 100;

/// What each has chats with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chats {
    /// A direct chat with each of the others: no two people have the same chats.
    Direct,
    /// So many groups of all.
    Groups(usize),
}

/// Which feed each follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The chats that change.
    Chats,
    /// Everything that concerns the viewer.
    Account,
}

/// The people, and a server for them whose store calls are counted.
pub struct Sidebars {
    /// Who has a feed, once it was opened.
    pub people: Vec<Viewer>,
    /// Who writes, and is in a chat with each.
    pub writer: Viewer,
    /// The chats in which the writer says something: one of each of the people.
    pub chats: Vec<ChatId>,
    /// What is done to chats unseen.
    pub services: Services,
    /// The server with the feeds.
    pub counted: Services,
    /// What it asks of the ports.
    pub calls: FaultyStore,
    /// What its bus is made of.
    pub hub: Arc<Hub>,
    /// The store calls before the interruption.
    before: usize,
    told: mpsc::UnboundedSender<usize>,
    tells: mpsc::UnboundedReceiver<usize>,
    stop: CancellationToken,
}

impl Sidebars {
    /// Makes the people with their chats on stores whose events go nowhere.
    ///
    /// # Panics
    /// Where a store fails.
    pub async fn new(ports: Ports, people: usize, chats: Chats, live: FeedPolicy) -> Self {
        let hub = Hub::new(64);
        let calls = FaultyStore::new();
        let ports = Ports {
            bus: Arc::new(LocalBus::new(Arc::clone(&hub))),
            ..ports
        };
        let services = instance(ports.clone(), live);
        let counted = instance(calls.in_front_of(ports.clone()), live);
        let signing_up = (0..=people).map(|_| sign_up(&ports));
        let mut all: Vec<_> = stream::iter(signing_up).buffered(AT_ONCE).collect().await;
        let writer = all.pop().unwrap();
        let chats = match chats {
            Chats::Direct => directs(&services, &all, &writer).await,
            Chats::Groups(count) => groups(&services, &all, &writer, count).await,
        };
        let (told, tells) = mpsc::unbounded_channel();
        Self {
            people: all,
            writer,
            chats,
            services,
            counted,
            calls,
            hub,
            before: 0,
            told,
            tells,
            stop: CancellationToken::new(),
        }
    }

    /// Opens a feed for each of these people, all of which are at the present then.
    ///
    /// # Panics
    /// Where one does not open.
    pub async fn open(&self, kind: Kind, people: std::ops::Range<usize>) {
        let feeds = &self.counted.feeds;
        for number in people {
            let viewer = &self.people[number];
            match kind {
                Kind::Chats => {
                    let feed = feeds.chats(viewer).await.unwrap();
                    self.drive(number, feed, |_| true);
                }
                Kind::Account => {
                    let mut feed = feeds.account(viewer, None, None).await.unwrap();
                    let is_present =
                        |item| matches!(item, AccountItem::Checkpoint { is_caught_up: true });
                    while !is_present(soon("the present", feed.next()).await.unwrap().item) {}
                    self.drive(number, feed, |event: &AccountEvent| {
                        matches!(event.item, AccountItem::MessageAdded(_))
                    });
                }
            }
        }
    }

    /// Follows a feed until the end of the test, and tells of what it brings.
    fn drive<F: Feed>(
        &self,
        number: usize,
        mut feed: F,
        counts: impl Fn(&F::Item) -> bool + Send + 'static,
    ) {
        let (stop, told) = (self.stop.clone(), self.told.clone());
        tokio::spawn(async move {
            loop {
                let item: Result<_, FeedError> = tokio::select! {
                    () = stop.cancelled() => return,
                    item = feed.next() => item,
                };
                match item {
                    Ok(item) if counts(&item) => drop(told.send(number)),
                    Ok(_) => {}
                    Err(error) => panic!("the feed has ended: {error}"),
                }
            }
        });
    }

    /// The writer says something in a chat of each, which nobody hears, and everybody is told that they may
    /// have missed something. Waits until so many feeds of each kind, of the first people each, have told of
    /// it once.
    ///
    /// # Panics
    /// Where they do not.
    pub async fn miss_a_message(&mut self, feeds: &[usize]) {
        for chat in &self.chats {
            let text = MessageText::parse("unheard").unwrap();
            let messages = &self.services.messages;
            let sent = messages.send(&self.writer, *chat, text, None);
            sent.await.unwrap();
        }
        self.before = self.store_calls();
        self.hub.interrupt_all();
        self.told(feeds).await;
    }

    /// Waits until so many feeds of each kind, of the first people each, have told something.
    ///
    /// # Panics
    /// Where they do not.
    pub async fn told(&mut self, feeds: &[usize]) {
        let mut expected: Vec<usize> = feeds.iter().flat_map(|count| 0..*count).collect();
        expected.sort_unstable();
        let mut who = Vec::with_capacity(expected.len());
        while who.len() < expected.len() {
            who.push(soon("what was missed", self.tells.recv()).await.unwrap());
        }
        who.sort_unstable();
        assert_eq!(who, expected);
    }

    /// How many calls of the stores the server has made since the interruption.
    pub fn cost(&self) -> usize {
        self.store_calls() - self.before
    }

    fn store_calls(&self) -> usize {
        let stores = ["users", "sessions", "chats", "messages", "groups"];
        stores.iter().map(|port| self.calls.calls(port)).sum()
    }
}

impl Drop for Sidebars {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn sign_up(ports: &Ports) -> Viewer {
    let (id, now) = (ids(ports).next(), ports.clock.now());
    let email = EmailAddress::parse(&format!("{id}@example.org")).unwrap();
    let user = User {
        id,
        name: DisplayName::parse("Somebody").unwrap(),
        email,
        about: None,
        metadata: None,
        avatar_id: None,
        created_at: now,
        last_seen_at: None,
        block_version: 0,
        deleted_at: None,
    };
    ports.users.find_or_create_user(&user).await.unwrap();
    session(ports, id).await
}

/// A direct chat of each two; returns those of the writer.
async fn directs(services: &Services, people: &[Viewer], writer: &Viewer) -> Vec<ChatId> {
    let pairs = people
        .iter()
        .enumerate()
        .flat_map(|(index, one)| people[..index].iter().map(move |other| (one, other)));
    let pairs = pairs.chain(people.iter().map(|one| (writer, one)));
    let starting = pairs.map(|(one, other)| async move {
        let (chat, _) = services
            .chats
            .start_direct(one, other.user_id)
            .await
            .unwrap();
        (one.user_id == writer.user_id).then_some(chat.id)
    });
    let started = stream::iter(starting).buffered(AT_ONCE);
    started
        .filter_map(|chat| async move { chat })
        .collect()
        .await
}

/// Groups of all; returns the first.
async fn groups(
    services: &Services,
    people: &[Viewer],
    writer: &Viewer,
    count: usize,
) -> Vec<ChatId> {
    let making = (0..count).map(|_| async {
        let title = ChatTitle::parse("A group").unwrap();
        let groups = &services.groups;
        let made = groups.create(writer, title, Vec::new(), None).await;
        let chat = made.unwrap().id;
        for some in people.chunks(ADDED) {
            let users = some.iter().map(|one| one.user_id).collect();
            let added = groups.add(writer, chat, users, HistoryFrom::All).await;
            added.unwrap();
        }
        chat
    });
    let mut made: Vec<ChatId> = stream::iter(making).buffered(8).collect().await;
    made.truncate(1);
    made
}
