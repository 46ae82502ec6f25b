//! What a store has committed reaches subscribers by itself: whoever caused it, whether or not they
//! wait for it still, and whatever the bus does.

#![expect(
    clippy::unwrap_used,
    reason = "what is not as a test expects ends the test"
)]

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use talksy_domain::chats::{Chat, ChatKind, ChatTitle};
use talksy_domain::clock::{Clock as _, SystemClock, SystemEntropy};
use talksy_domain::error::PortError;
use talksy_domain::events::{Bus, BusLayer, Event, Topic};
use talksy_domain::groups::NewGroup;
use talksy_domain::id::{IdGenerator, UserId};
use talksy_domain::messages::{Message, MessageText};
use talksy_domain::port::{Layer, Layered};
use talksy_domain::seq::Seq;
use talksy_domain::services::Ports;
use talksy_tests::app::{Builder, TestApp};
use talksy_tests::client::{SEND, User};
use talksy_tests::faulty_store::{Fault, FaultyStore};
use talksy_tests::websocket::Subscription;

const CHATS: &str = "subscription { chatUpdated { id } }";

/// A server whose feeds do not look into the store by themselves before the test is over.
fn without_heartbeat() -> Builder {
    TestApp::builder().config(|config| config.live.heartbeat = Duration::from_mins(10))
}

fn ids() -> IdGenerator {
    IdGenerator::new(Arc::new(SystemClock), Arc::new(SystemEntropy))
}

fn id_of(user: &User) -> UserId {
    user.id.parse().unwrap()
}

async fn changed_chat(feed: &mut Subscription) -> Value {
    feed.next().await["chatUpdated"]["id"].clone()
}

/// A commit of which no service knows, as one is whose caller has gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_told_at_once_though_its_caller_is_gone() {
    let app = without_heartbeat().start().await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    let mut ada_sees = ada.client.subscribe(CHATS, json!({})).await;
    let mut bob_sees = bob.client.subscribe(CHATS, json!({})).await;
    let (ports, users) = (&app.adapters.ports, [id_of(&ada), id_of(&bob)]);
    let now = SystemClock.now();

    let chat = Chat {
        id: ids().next(),
        kind: ChatKind::Direct,
        created_at: now,
        active_at: now,
        last_seq: 0,
        member_count: 2,
        title: None,
        last_change_seq: 0,
        applied_seq: 0,
        metadata_seq: 0,
        is_closed: false,
        avatar_id: None,
    };
    ports.chats.open_direct(&chat, users).await.unwrap();
    let direct = json!(chat.id.to_string());
    for feed in [&mut ada_sees, &mut bob_sees] {
        assert_eq!(changed_chat(feed).await, direct);
    }

    let group = NewGroup {
        chat_id: ids().next(),
        message_id: ids().next(),
        creator_id: users[0],
        member_ids: vec![users[1]],
        title: ChatTitle::parse("A group").unwrap(),
        metadata: None,
        client_chat_id: None,
        avatar_id: None,
        at: now,
    };
    ports.groups.create_group(&group).await.unwrap();
    let group = json!(group.chat_id.to_string());
    for feed in [&mut ada_sees, &mut bob_sees] {
        assert_eq!(changed_chat(feed).await, group);
    }

    let mut messages = bob.follow(&chat.id.to_string(), None).await;
    let text = MessageText::parse("hello").unwrap();
    let draft = Message::draft(ids().next(), chat.id, users[0], text, now);
    let appending = tokio::spawn({
        let messages = Arc::clone(&ports.messages);
        async move { messages.append(&draft).await }
    });
    assert_eq!(messages.seqs(1).await, [1]);
    appending.await.unwrap().unwrap();
}

/// A send is answered before its message is published, and so without waiting for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_send_does_not_wait_for_the_bus() {
    let faults = FaultyStore::new();
    let app = without_heartbeat().ports(faults.install()).start().await;
    let (ada, bob, chat) = app.pair().await;
    let mut feed = bob.follow(&chat, None).await;
    faults.set("bus.publish", Fault::Held);
    for n in 1..=3 {
        ada.send(&chat, &n.to_string()).await;
    }
    faults.arrived("bus.publish").await;
    faults.set("bus.publish", Fault::None);
    // News of presence may be held too.
    faults.release("bus.publish", 100);
    assert_eq!(feed.seqs(3).await, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bus_that_is_down_does_not_take_feeds_find_by_themselves() {
    let faults = FaultyStore::new();
    let app = TestApp::builder()
        .config(|config| config.live.heartbeat = Duration::from_millis(100))
        .ports(faults.install())
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    let mut feed = bob.follow(&chat, None).await;
    for method in ["bus.publish", "bus.interrupt"] {
        faults.set(method, Fault::Unavailable("it is down"));
    }
    for n in 1..=3 {
        ada.send(&chat, &n.to_string()).await;
    }
    assert_eq!(feed.seqs(3).await, [1, 2, 3]);
}

/// Reads along with a bus: the numbers of the messages that were published.
struct Published {
    bus: Arc<dyn Bus>,
    numbers: Arc<Mutex<Vec<Seq>>>,
}

impl Layer<dyn Bus> for Published {
    fn inner(&self) -> &Arc<dyn Bus> {
        &self.bus
    }
}

impl BusLayer for Published {
    async fn publish(&self, topic: Topic, event: Event) -> Result<(), PortError> {
        if let Event::MessageAdded { message } = &event {
            self.numbers.lock().push(message.seq);
        }
        self.bus.publish(topic, event).await
    }
}

/// The stop begins while the last messages are being sent.
#[tokio::test(flavor = "multi_thread")]
async fn messages_are_published_in_the_order_of_their_commits_and_to_the_last() {
    let numbers = Arc::<Mutex<Vec<Seq>>>::default();
    let seen = Arc::clone(&numbers);
    let app = without_heartbeat()
        .ports(move |ports| Ports {
            bus: Arc::new(Layered(Published {
                bus: ports.bus,
                numbers: seen,
            })),
            ..ports
        })
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    let sends = (0..60).map(|n| {
        let client = if n % 2 == 0 { &ada } else { &bob }.client.clone();
        let input = json!({ "input": { "chatId": chat, "text": n.to_string() } });
        tokio::spawn(async move {
            let reply = client.try_run(SEND, input).await;
            reply.is_ok_and(|reply| reply.body["data"]["sendMessage"].is_object())
        })
    });
    let sends: Vec<_> = sends.collect();
    let mut sent = 0;
    for (n, send) in sends.into_iter().enumerate() {
        sent += usize::from(send.await.unwrap());
        if n == 30 {
            app.begin_stop();
        }
    }
    assert!(sent > 30, "only {sent} were sent");
    app.stop().await;
    let numbers = numbers.lock().clone();
    let expected: Vec<_> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected);
    assert!(numbers.len() >= sent, "{} of {sent}", numbers.len());
}
