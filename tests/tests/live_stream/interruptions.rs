//! What feeds of many chats do when the bus has lost something: they look at what that concerns and at
//! nothing else, a few of them at a time, and the cost does not grow with their number.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use talksy_domain::error::PortError;
use talksy_domain::events::{Event, Hub, LocalBus, Published, Topic};
use talksy_domain::feeds::AccountItem;
use talksy_domain::id::ChatId;
use talksy_domain::messages::{Head, MessageStore, MessageStoreLayer, MessageText};
use talksy_domain::port::{Layer, Layered};
use talksy_domain::services::{Ports, Services};
use talksy_domain::viewer::Viewer;
use talksy_tests::backend::instance;
use talksy_tests::faulty_store::Fault;
use talksy_tests::sidebars::{Chats, Kind, Sidebars};

use super::world::{Backend, next, no_heartbeat, nothing_waits};

/// Notes of which chats the ends are read.
#[derive(Clone)]
struct Reads {
    behind: Arc<dyn MessageStore>,
    heads: Arc<Mutex<BTreeSet<ChatId>>>,
}

impl Layer<dyn MessageStore> for Reads {
    fn inner(&self) -> &Arc<dyn MessageStore> {
        &self.behind
    }
}

impl MessageStoreLayer for Reads {
    async fn heads(&self, chats: &[ChatId]) -> Result<Vec<Head>, PortError> {
        self.heads.lock().extend(chats);
        self.behind.heads(chats).await
    }
}

/// Ben with twenty chats, on a bus that brings nothing by itself.
struct Inbox {
    _backend: Arc<Backend>,
    hub: Arc<Hub>,
    reads: Reads,
    services: Services,
    ben: Viewer,
    chats: Vec<ChatId>,
}

impl Inbox {
    async fn new() -> Self {
        let backend = Backend::open().await;
        let hub = Hub::new(4);
        let reads = Reads {
            behind: Arc::clone(&backend.ports.messages),
            heads: Arc::default(),
        };
        let ports = Ports {
            bus: Arc::new(LocalBus::new(Arc::clone(&hub))),
            messages: Arc::new(Layered(reads.clone())),
            ..backend.ports.clone()
        };
        let services = instance(ports, no_heartbeat());
        let (ann, ben) = (backend.person("ann").await, backend.person("ben").await);
        let mut chats = Vec::new();
        for _ in 0..20 {
            let other = backend.person("other").await;
            let started = services.chats.start_direct(&ben, other.user_id).await;
            chats.push(started.unwrap().0.id);
        }
        let started = services.chats.start_direct(&ann, ben.user_id).await;
        chats.push(started.unwrap().0.id);
        Self {
            _backend: backend,
            hub,
            reads,
            services,
            ben,
            chats,
        }
    }

    /// Ben says something in his chat of this number, which is not heard.
    async fn write(&self, number: usize) {
        let text = MessageText::parse("unheard").unwrap();
        let messages = &self.services.messages;
        let sent = messages.send(&self.ben, self.chats[number], text, None);
        sent.await.unwrap();
        self.reads.heads.lock().clear();
    }

    /// The numbers of the chats of which the ends were read.
    fn read(&self) -> Vec<usize> {
        let read = std::mem::take(&mut *self.reads.heads.lock());
        let numbers = self.chats.iter().enumerate();
        let numbers = numbers.filter(|(_, chat)| read.contains(chat));
        numbers.map(|(number, _)| number).collect()
    }
}

#[tokio::test]
async fn a_sidebar_looks_at_the_chats_that_an_interruption_names_and_at_no_other() {
    let inbox = Inbox::new().await;
    let mut feed = inbox.services.feeds.chats(&inbox.ben).await.unwrap();
    for number in [3, 5, 7] {
        inbox.write(number).await;
    }
    let named = [3, 7].map(|number| Topic::Chat(inbox.chats[number]));
    inbox.hub.interrupt_each(&named);
    let mut told = Vec::new();
    for _ in named {
        told.push(Topic::Chat(next(&mut feed).await.state.chat.id));
    }
    told.sort_unstable();
    let mut expected = named.to_vec();
    expected.sort_unstable();
    assert_eq!(told, expected);
    nothing_waits(&mut feed);
    assert_eq!(inbox.read(), [3, 7]);
}

#[tokio::test]
async fn an_account_looks_at_the_chats_that_an_interruption_names_and_at_no_other() {
    let inbox = Inbox::new().await;
    let feeds = &inbox.services.feeds;
    let mut feed = feeds.account(&inbox.ben, None, None).await.unwrap();
    while !matches!(next(&mut feed).await.item, AccountItem::Checkpoint { .. }) {}
    for number in [3, 5] {
        inbox.write(number).await;
    }
    inbox.hub.interrupt(Topic::Chat(inbox.chats[3]));
    let told = loop {
        if let AccountItem::MessageAdded(published) = next(&mut feed).await.item {
            break published.message().unwrap().chat_id;
        }
    };
    assert_eq!(told, inbox.chats[3]);
    assert_eq!(inbox.read(), [3]);
}

/// The chat that is busy fills the mailbox; the others stay as they were told.
#[tokio::test]
async fn a_sidebar_that_falls_behind_looks_at_the_chats_whose_events_were_dropped() {
    let inbox = Inbox::new().await;
    let mut feed = inbox.services.feeds.chats(&inbox.ben).await.unwrap();
    inbox.write(3).await;
    inbox.write(5).await;
    let busy = inbox.chats[3];
    for _ in 0..5 {
        let event = Published::new(Event::ViewerChatChanged { chat_id: busy });
        inbox.hub.deliver(Topic::Chat(busy), &event);
    }
    assert_eq!(next(&mut feed).await.state.chat.id, busy);
    assert_eq!(inbox.read(), [3]);
}

/// What concerns the user alone is one number, and no chat is looked at where it has not moved.
#[tokio::test]
async fn of_the_users_own_topic_only_a_version_is_read_where_nothing_happened() {
    let inbox = Inbox::new().await;
    let mut feed = inbox.services.feeds.chats(&inbox.ben).await.unwrap();
    inbox.write(3).await;
    inbox.write(5).await;
    inbox.hub.interrupt(Topic::User(inbox.ben.user_id));
    inbox.hub.interrupt(Topic::Chat(inbox.chats[5]));
    assert_eq!(next(&mut feed).await.state.chat.id, inbox.chats[5]);
    assert_eq!(inbox.read(), [5]);
    // It moves where he does something on another device.
    let muting = inbox.services.chats.mute(&inbox.ben, inbox.chats[5], true);
    muting.await.unwrap();
    inbox.hub.interrupt(Topic::User(inbox.ben.user_id));
    let mut told = Vec::new();
    for _ in 0..2 {
        told.push(next(&mut feed).await.state.chat.id);
    }
    told.sort_unstable();
    let mut expected = vec![inbox.chats[3], inbox.chats[5]];
    expected.sort_unstable();
    assert_eq!(told, expected);
    assert_eq!(
        inbox.read().len(),
        inbox.chats.len(),
        "then all are compared"
    );
}

/// Each has missed a message in a chat of their own.
#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_costs_each_feed_of_200_chats_a_few_store_calls() {
    // Each may be the only one that asks at its time: for the version, the ends and the marks of its chats, the
    // chat and its last message.
    const SIDEBAR: usize = 5;
    // For the profile, the version, the ends and the marks, the end of the chat and its messages.
    const ACCOUNT: usize = 6;
    const CHATS: usize = 200;
    let ports = Backend::open().await.ports.clone();
    let mut sidebars = Sidebars::new(ports, CHATS, Chats::Direct, no_heartbeat()).await;
    let mut before = 0;
    for chats in [50, CHATS] {
        sidebars.open(Kind::Chats, before..chats).await;
        before = chats;
        sidebars.miss_a_message(&[chats]).await;
        let cost = sidebars.cost();
        println!("{chats} of `chatUpdated`: {cost} store calls");
        assert!(cost <= SIDEBAR * chats, "{cost}");
    }
    before = 0;
    for accounts in [50, CHATS] {
        sidebars.open(Kind::Account, before..accounts).await;
        before = accounts;
        sidebars.miss_a_message(&[CHATS, accounts]).await;
        let cost = sidebars.cost();
        println!("{accounts} of `accountEvents` besides: {cost} store calls");
        let most = SIDEBAR * CHATS + ACCOUNT * accounts;
        assert!(cost <= most, "{cost} of {most}");
    }
}

/// All have joined a chat that they have not heard of, so each has to be asked for their chats.
#[tokio::test]
async fn few_sidebars_recover_at_a_time_and_whoever_comes_does_not_wait_for_them() {
    const FEEDS: usize = 40;
    const AT_ONCE: usize = 8;
    let backend = Backend::open().await;
    let ports = backend.ports.clone();
    let mut sidebars = Sidebars::new(ports, FEEDS, Chats::Direct, no_heartbeat()).await;
    sidebars.open(Kind::Chats, 0..FEEDS).await;
    let late = backend.person("late").await;
    for person in sidebars.people.iter().chain([&late]) {
        let ann = backend.person("ann").await;
        let chats = &sidebars.services.chats;
        chats.start_direct(&ann, person.user_id).await.unwrap();
    }
    let asked = "chats.chat_ids_of";
    let before = sidebars.calls.calls(asked);
    sidebars.calls.set(asked, Fault::Held);
    sidebars.hub.interrupt_all();
    for _ in 0..AT_ONCE {
        sidebars.calls.arrived(asked).await;
    }
    // Another one is opened meanwhile.
    let feeds = sidebars.counted.feeds.clone();
    let opened = tokio::spawn(async move { feeds.chats(&late).await.map(drop) });
    sidebars.calls.arrived(asked).await;
    assert_eq!(sidebars.calls.calls(asked), before + AT_ONCE + 1);
    sidebars.calls.set(asked, Fault::None);
    sidebars.calls.release(asked, AT_ONCE + 1);
    opened.await.unwrap().unwrap();
    sidebars.told(&[FEEDS]).await;
}
