//! Groups around the size from which receipts and typing are not told to the others, as clients see
//! them and by what they cost.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use serde_json::{Value, json};
use talksy_domain::clock::{Clock as _, SystemClock, SystemEntropy};
use talksy_domain::error::PortError;
use talksy_domain::events::{Bus, BusLayer, Event, Topic};
use talksy_domain::id::IdGenerator;
use talksy_domain::mail::EmailAddress;
use talksy_domain::port::{Layer, Layered};
use talksy_domain::services::Ports;
use talksy_domain::users::{DisplayName, User as Account};
use talksy_tests::app::TestApp;
use talksy_tests::client::{User, string};
use talksy_tests::eventually;

const CREATE: &str = "mutation($ids: [ID!]!) {
    createGroup(input: { title: \"All\", memberIds: $ids }) { chat { id } } }";
const ADD: &str = "mutation($chat: ID!, $ids: [ID!]!) {
    addMembers(input: { chatId: $chat, userIds: $ids }) { chat { memberCount } } }";
const REMOVE: &str = "mutation($chat: ID!, $id: ID!) {
    removeMember(input: { chatId: $chat, userId: $id }) { chat { memberCount } } }";
const TYPE: &str = "mutation($chat: ID!) {
    setTyping(input: { chatId: $chat, isTyping: true }) { chatId } }";
const MARKS: &str = "query($id: ID!) { chat(id: $id) { memberCount readByAllSeq
    lastMessage { seq isReadByAll readBy { nodes { user { name } } } } } }";
const RECEIPTS: &str = "subscription($id: ID!) {
    readReceiptUpdated(chatId: $id) { lastReadSeq user { name } } }";
const TYPING: &str = "subscription($id: ID!) {
    typingChanged(chatId: $id) { isTyping user { name } } }";
const SIDEBAR: &str = "subscription { chatUpdated { id viewerMember { lastReadSeq } } }";

/// Reads along with a bus.
struct Published {
    bus: Arc<dyn Bus>,
    events: Arc<Mutex<Vec<(Topic, Event)>>>,
}

impl Layer<dyn Bus> for Published {
    fn inner(&self) -> &Arc<dyn Bus> {
        &self.bus
    }
}

impl BusLayer for Published {
    async fn publish(&self, topic: Topic, event: Event) -> Result<(), PortError> {
        self.events.lock().push((topic, event.clone()));
        self.bus.publish(topic, event).await
    }
}

async fn group(owner: &User, members: &[&User]) -> String {
    let ids: Vec<_> = members.iter().map(|user| &user.id).collect();
    let made = owner.client.data(CREATE, json!({ "ids": ids })).await;
    string(&made["createGroup"]["chat"]["id"])
}

async fn marks(user: &User, chat: &str) -> Value {
    let data = user.client.data(MARKS, json!({ "id": chat })).await;
    data["chat"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_members_have_read_is_told_up_to_the_limit_and_not_beyond_it() {
    let app = TestApp::builder()
        .config(|config| {
            config.chats.large_group_members = 2;
            config.live.heartbeat = Duration::from_mins(10);
        })
        .start()
        .await;
    let [ada, bob, cyd] = [
        app.sign_in("ada").await,
        app.sign_in("bob").await,
        app.sign_in("cyd").await,
    ];
    app.clock.advance(Duration::from_mins(1));
    let tablet = app.sign_in("ada").await;
    let chat = group(&ada, &[&bob]).await;
    let id = json!({ "id": chat });
    let mut own = tablet.client.subscribe(RECEIPTS, id.clone()).await;
    let mut others = bob.client.subscribe(RECEIPTS, id.clone()).await;
    let mut typing = bob.client.subscribe(TYPING, id.clone()).await;
    let mut sidebar = tablet.client.subscribe(SIDEBAR, json!({})).await;
    let receipt = |name: &str, seq: i64| json!({ "readReceiptUpdated": { "lastReadSeq": seq, "user": { "name": name } } });
    let own_mark = |seq: i64| json!({ "id": chat, "viewerMember": { "lastReadSeq": seq } });

    ada.send(&chat, "to the two of us").await;
    bob.mark_read(&chat, 2).await;
    let of_two = json!({ "memberCount": 2, "readByAllSeq": 2, "lastMessage": { "seq": 2,
        "isReadByAll": true, "readBy": { "nodes": [{ "user": { "name": "bob" } }] } } });
    assert_eq!(marks(&ada, &chat).await, of_two);
    assert_eq!(own.next().await, receipt("bob", 2));
    assert_eq!(others.next().await, receipt("bob", 2));

    let add = json!({ "chat": chat, "ids": [cyd.id] });
    ada.client.data(ADD, add).await;
    ada.send(&chat, "to all three").await;
    for reader in [&bob, &cyd, &ada] {
        reader.mark_read(&chat, 4).await;
    }
    ada.client.data(TYPE, json!({ "chat": chat })).await;
    let seen = marks(&ada, &chat).await;
    assert_eq!(seen["memberCount"], 3);
    assert_eq!(seen["readByAllSeq"], Value::Null);
    assert_eq!(seen["lastMessage"]["isReadByAll"], false);
    let readers = seen["lastMessage"]["readBy"]["nodes"].as_array().unwrap();
    assert_eq!(readers.len(), 2, "when it is asked: {seen}");
    assert_eq!(own.next().await, receipt("ada", 4));
    assert_eq!(others.next().await, receipt("bob", 4));
    while sidebar.next().await["chatUpdated"] != own_mark(4) {}

    let remove = json!({ "chat": chat, "id": cyd.id });
    ada.client.data(REMOVE, remove).await;
    ada.send(&chat, "to the two of us again").await;
    ada.mark_read(&chat, 6).await;
    bob.mark_read(&chat, 6).await;
    bob.client.data(TYPE, json!({ "chat": chat })).await;
    ada.client.data(TYPE, json!({ "chat": chat })).await;
    let seen = marks(&ada, &chat).await;
    assert_eq!(seen["readByAllSeq"], 6);
    assert_eq!(seen["lastMessage"]["isReadByAll"], true);
    for feed in [&mut own, &mut others] {
        let mut told = [feed.next().await, feed.next().await];
        told.sort_by_key(ToString::to_string);
        assert_eq!(told, [receipt("ada", 6), receipt("bob", 6)]);
    }
    let typist = json!({ "typingChanged": { "isTyping": true, "user": { "name": "ada" } } });
    assert_eq!(typing.next().await, typist);
}

/// Ticks of a group that is not large move live, with every receipt or without any.
#[tokio::test(flavor = "multi_thread")]
async fn that_all_others_have_read_on_is_told_as_it_happens() {
    const SIDEBAR: &str = "subscription { chatUpdated { lastSeq readByAllSeq } }";
    const ACCOUNT: &str = "subscription($of: [ID!]) { accountEvents(detailOf: $of) { __typename
        ... on ChatChanged { chat { lastSeq readByAllSeq } } } }";
    let app = TestApp::start().await;
    let [ada, bob, cyd] = [
        app.sign_in("ada").await,
        app.sign_in("bob").await,
        app.sign_in("cyd").await,
    ];
    let chat = group(&ada, &[&bob, &cyd]).await;
    let mut sidebar = ada.client.subscribe(SIDEBAR, json!({})).await;
    // Until the feed is open.
    let pause = Duration::from_millis(200);
    while tokio::time::timeout(pause, sidebar.next()).await.is_err() {
        ada.send(&chat, "is it open?").await;
    }
    let mut accounts = Vec::new();
    for of in [json!(null), json!([])] {
        let mut account = ada.client.subscribe(ACCOUNT, json!({ "of": of })).await;
        let first = account.next().await;
        assert_eq!(first["accountEvents"]["__typename"], "AccountCheckpoint");
        accounts.push(account);
    }
    for text in ["one", "two"] {
        let sent = ada.send(&chat, text).await;
        let seq = &sent["message"]["seq"];
        let until = json!({ "lastSeq": seq, "readByAllSeq": seq });
        for reader in [&cyd, &bob] {
            reader.mark_read(&chat, seq.as_i64().unwrap()).await;
        }
        while sidebar.next().await["chatUpdated"] != until {}
        for account in &mut accounts {
            while account.next().await["accountEvents"]["chat"] != until {}
        }
        let seen = marks(&ada, &chat).await;
        assert_eq!(&seen["readByAllSeq"], seq);
        assert_eq!(seen["lastMessage"]["isReadByAll"], true);
    }
}

/// Whoever is no member is told so, and not that there is nobody to be told.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_in_a_large_group_as_in_any() {
    let app = TestApp::builder()
        .config(|config| config.chats.large_group_members = 2)
        .start()
        .await;
    let mut people = Vec::new();
    for name in ["ada", "bob", "cyd", "eve"] {
        people.push(app.sign_in(name).await);
    }
    let chat = group(&people[0], &[&people[1], &people[2]]).await;
    let eve = &people[3].client;
    let typed = eve.run(TYPE, json!({ "chat": chat })).await;
    assert_eq!(typed.code(), "FORBIDDEN");
    let mark = "mutation($chat: ID!) { markRead(input: { chatId: $chat, seq: 1 }) {
        receipt { lastReadSeq } } }";
    let marked = eve.run(mark, json!({ "chat": chat })).await;
    assert_eq!(marked.code(), "FORBIDDEN");
}

/// How often each is measured. The least counts: whether the session is looked up is chance.
const TRIES: i64 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn reading_on_costs_the_same_in_a_group_of_two_thousand() {
    let events = Arc::<Mutex<Vec<(Topic, Event)>>>::default();
    let published = Arc::clone(&events);
    let app = TestApp::builder()
        .config(|config| {
            config.chats.max_members = 2_500;
            // What looks by itself is not counted.
            config.live.heartbeat = Duration::from_mins(10);
        })
        .ports(move |ports| Ports {
            bus: Arc::new(Layered(Published {
                bus: ports.bus,
                events: published,
            })),
            ..ports
        })
        .start()
        .await;
    let ada = app.sign_in("ada").await;
    let bob = app.sign_in("bob").await;
    let ids = IdGenerator::new(Arc::new(SystemClock), Arc::new(SystemEntropy));
    let users = &app.adapters.ports.users;
    let made = join_all((0..1_998).map(|n| {
        let email = EmailAddress::parse(&format!("member{n}@example.org")).unwrap();
        let account = Account {
            id: ids.next(),
            name: DisplayName::of_address(&email),
            email,
            about: None,
            metadata: None,
            avatar_id: None,
            created_at: SystemClock.now(),
            last_seen_at: None,
            block_version: 0,
            deleted_at: None,
        };
        async move {
            users
                .find_or_create_user(&account)
                .await
                .unwrap()
                .0
                .id
                .to_string()
        }
    }))
    .await;

    let chat = group(&ada, &[&bob]).await;
    let mut members = 2;
    let (mut seq, mut costs) = (1, Vec::new());
    for (size, is_large) in [(2, false), (100, false), (101, true), (2_000, true)] {
        while members < size {
            let some = &made[members - 2..(members - 2 + 100).min(size - 2)];
            let add = json!({ "chat": chat, "ids": some });
            ada.client.data(ADD, add).await;
            members += some.len();
            seq += 1;
        }
        for n in 0..TRIES {
            bob.send(&chat, &n.to_string()).await;
        }
        let seen = marks(&ada, &chat).await;
        assert_eq!(seen["memberCount"], size);
        assert_eq!(seen["readByAllSeq"].is_null(), is_large);
        let topic = if is_large {
            Topic::User(ada.id.parse().unwrap())
        } else {
            Topic::Chat(chat.parse().unwrap())
        };
        let mut least = (u64::MAX, u64::MAX);
        for _ in 0..TRIES {
            seq += 1;
            let receipts = async || {
                let told = events.lock();
                let all = told.iter();
                let receipts = all.filter(|(_, event)| matches!(event, Event::ReadReceipt { .. }));
                let receipts: Vec<_> = receipts.map(|(topic, _)| *topic).collect();
                (!receipts.is_empty()).then_some(receipts)
            };
            ada.client.data("{ __typename }", json!({})).await;
            events.lock().clear();
            let before = app.adapters.store.calls();
            ada.mark_read(&chat, seq).await;
            let marked = app.adapters.store.calls() - before;
            assert_eq!(eventually("the receipt", receipts).await, [topic]);
            let before = app.adapters.store.calls();
            ada.client.data(TYPE, json!({ "chat": chat })).await;
            let typed = app.adapters.store.calls() - before;
            least = (least.0.min(marked), least.1.min(typed));
        }
        let told = events.lock();
        let typing = told
            .iter()
            .filter(|(_, event)| matches!(event, Event::Typing { .. }));
        assert_eq!(typing.count(), usize::from(!is_large));
        costs.push(least);
    }
    println!("markRead and setTyping: {costs:?} store calls for 2, 100, 101 and 2,000 members");
    assert!(costs.iter().all(|cost| *cost == costs[0]), "{costs:?}");
}
