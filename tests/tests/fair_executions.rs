//! Who asks for very much at once waits for themselves.

use std::time::Duration;

use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{MESSAGE_ADDED, SEND, User, start_of, string};
use talksy_tests::faulty_store::{Fault, FaultyStore};
use talksy_tests::wire::RawSocket;
use tokio::task::JoinSet;

/// An app that executes two operations of a kind and user at a time, and its faults.
async fn two_at_a_time() -> (FaultyStore, TestApp) {
    let store = FaultyStore::new();
    let app = TestApp::builder()
        .config(|config| config.http.executions_per_user = 2)
        .ports(store.install())
        .start()
        .await;
    (store, app)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_executions_at_a_time_and_nobody_else_waits_for_them() {
    let (store, app) = two_at_a_time().await;
    let (ada, bob, chat) = app.pair().await;
    store.set("messages.append", Fault::Held);
    let mut sends = JoinSet::new();
    for _ in 0..5 {
        let client = ada.client.clone();
        let input = json!({ "input": { "chatId": chat, "text": "hi" } });
        sends.spawn(async move { client.run(SEND, input).await });
    }
    for _ in 0..2 {
        store.arrived("messages.append").await;
    }
    // Another connection of hers waits as well, and nobody else does. What she reads has turns of its own.
    let mut socket = ada.client.socket().await;
    let last = json!({ "input": { "chatId": chat, "text": "hi" } });
    socket.subscribe("1", SEND, last).await;
    for _ in 0..20 {
        let read = ada.client.data("{ me { name } }", json!({})).await;
        assert_eq!(read["me"]["name"], "ada");
        let data = bob.client.data("{ me { name } }", json!({})).await;
        assert_eq!(data["me"]["name"], "bob");
        let nobody = app.client().data("{ __typename }", json!({})).await;
        assert_eq!(nobody["__typename"], "Query");
    }
    assert_eq!(store.calls("messages.append"), 2);
    store.release("messages.append", 6);
    let mut sent = Vec::new();
    while let Some(reply) = sends.join_next().await {
        let data = reply.unwrap().data();
        sent.push(data["sendMessage"]["message"]["seq"].as_i64().unwrap());
    }
    let next = socket.message().await;
    let last = &next["payload"]["data"]["sendMessage"]["message"]["seq"];
    sent.push(last.as_i64().unwrap());
    sent.sort_unstable();
    assert_eq!(sent, [1, 2, 3, 4, 5, 6]);
}

/// Reads have so many turns, too.
#[tokio::test(flavor = "multi_thread")]
async fn reads_of_a_user_wait_for_each_other() {
    let (store, app) = two_at_a_time().await;
    let (ada, bob, chat) = app.pair().await;
    store.set("messages.pages", Fault::Held);
    let query = "query($id: ID!) { chat(id: $id) { messages { nodes { seq } } } }";
    let mut reads = JoinSet::new();
    for _ in 0..5 {
        let (client, variables) = (ada.client.clone(), json!({ "id": chat }));
        reads.spawn(async move { client.run(query, variables).await });
    }
    for _ in 0..2 {
        store.arrived("messages.pages").await;
    }
    // What she writes has turns of its own.
    ada.send(&chat, "hi").await;
    bob.send(&chat, "hi").await;
    assert_eq!(store.calls("messages.pages"), 2);
    store.release("messages.pages", 5);
    while let Some(reply) = reads.join_next().await {
        assert!(reply.unwrap().data()["chat"].is_object());
    }
}

/// So many subscriptions of a user are opened at a time; then they follow side by side.
#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_of_a_user_are_opened_in_turns() {
    const ADDED: &str = "subscription($id: ID!) { messageAdded(chatId: $id) { node { seq } } }";
    let (store, app) = two_at_a_time().await;
    let (ada, bob, chat) = app.pair().await;
    let mut socket = ada.client.socket().await;
    let before = store.calls("chats.memberships");
    store.set("chats.memberships", Fault::Held);
    for id in 0..5 {
        let variables = json!({ "id": chat });
        socket.subscribe(&id.to_string(), ADDED, variables).await;
    }
    for _ in 0..2 {
        store.arrived("chats.memberships").await;
    }
    // What she and others read has turns of its own.
    for _ in 0..20 {
        ada.client.data("{ me { name } }", json!({})).await;
        bob.client.data("{ me { name } }", json!({})).await;
    }
    assert_eq!(store.calls("chats.memberships") - before, 2);
    store.set("chats.memberships", Fault::None);
    store.release("chats.memberships", 2);
    let mut told = std::collections::BTreeSet::new();
    while told.len() < 5 {
        // Those that are open by then are told.
        bob.send(&chat, "hi").await;
        let next = socket.message().await;
        assert_eq!(next["type"], "next", "{next}");
        told.insert(next["id"].to_string());
    }
}

/// A socket and a user have turns for reads though all writes hang.
#[tokio::test(flavor = "multi_thread")]
async fn sixteen_writes_that_hang_hold_up_no_read_over_the_same_socket() {
    let store = FaultyStore::new();
    let app = TestApp::builder()
        .config(|config| {
            config.http.executions_per_user = 16;
            config.http.websocket.max_executions = 8;
        })
        .ports(store.install())
        .start()
        .await;
    let (ada, _, chat) = app.pair().await;
    store.set("messages.append", Fault::Held);
    let mut sockets = [ada.client.socket().await, ada.client.socket().await];
    for socket in &mut sockets {
        for id in 0..12 {
            let input = json!({ "input": { "chatId": chat, "text": "hi" } });
            socket.subscribe(&id.to_string(), SEND, input).await;
        }
    }
    for _ in 0..16 {
        store.arrived("messages.append").await;
    }
    for socket in &mut sockets {
        let read = socket.run("read", "{ me { name } }", json!({})).await;
        assert_eq!(read["data"]["me"]["name"], "ada");
    }
    store.release("messages.append", 24);
    app.stop().await;
}

/// Signs in on a socket that is not read any more.
async fn unread_socket(user: &User) -> RawSocket {
    let mut unread = RawSocket::transport(user.client.address()).await;
    let payload = json!({ "token": user.client.token() });
    let init = json!({ "type": "connection_init", "payload": payload });
    unread.message(init).await;
    assert_eq!(unread.next().await, Ok(json!({ "type": "connection_ack" })));
    unread
}

/// Asks for the chat's last message, which is long, until the server reads no more for the socket.
async fn fill(unread: &mut RawSocket, user: &User, chat: &str, store: &FaultyStore) {
    let texts: Vec<_> = (0..20).map(|n| format!("t{n}: text ")).collect();
    let texts = texts.concat();
    let query = format!(
        "query($id: ID!) {{ chat(id: $id) {{ messages(last: 1) {{ nodes {{ {texts} }} }} }} }}"
    );
    for id in 0..100 {
        let payload = json!({ "query": query, "variables": { "id": chat } });
        let id = format!("fill {id}");
        let message = json!({ "type": "subscribe", "id": id, "payload": payload });
        unread.message(message).await;
    }
    // Until nothing more is read for the socket, and some time beyond.
    let (mut reads, mut still) = (0, 0);
    while still < 50 {
        let me = user.client.data("{ me { name } }", json!({})).await;
        assert_eq!(me["me"]["name"], user.name);
        let now = store.calls("messages.pages");
        still = if now == reads { still + 1 } else { 0 };
        reads = now;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!((1..100).contains(&reads), "{reads}: it was read");
}

/// An app whose sockets may stay unread for long, with small queues.
async fn patient(store: &FaultyStore, executions_per_user: usize) -> TestApp {
    TestApp::builder()
        .config(move |config| {
            config.http.executions_per_user = executions_per_user;
            config.http.websocket.max_queued_bytes = 64 * 1024;
            // No deadline sets free what a socket holds.
            config.http.execution_timeout = Duration::from_mins(10);
            config.http.websocket.write_timeout = Duration::from_mins(10);
            config.http.websocket.ping_interval = Duration::from_mins(10);
        })
        .ports(store.install())
        .start()
        .await
}

/// What a client does not read holds up no other client of the same user.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_not_read_keeps_no_turn_of_its_user() {
    let store = FaultyStore::new();
    let app = patient(&store, 1).await;
    let (ada, _, chat) = app.pair().await;
    ada.send(&chat, &"😀".repeat(4_000)).await;
    let mut unread = unread_socket(&ada).await;
    fill(&mut unread, &ada, &chat, &store).await;
}

/// Subscriptions of a client that stops reading while they read what they missed: those that have their turn
/// come to the end of it, and those that wait leave the queue. Others read what they missed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_not_read_keeps_no_turn_of_all_who_catch_up() {
    const SUBSCRIPTIONS: usize = 20;
    let store = FaultyStore::new();
    let app = patient(&store, 16).await;
    let (ada, bob, chat) = app.pair().await;
    let mut cursors = vec![start_of(&chat)];
    for n in 1..SUBSCRIPTIONS {
        let sent = ada.send(&chat, &format!("message {n}")).await;
        cursors.push(string(&sent["edge"]["cursor"]));
    }
    ada.send(&chat, &"😀".repeat(4_000)).await;
    store.set("messages.page", Fault::Held);
    let before = store.calls("messages.page");
    let mut unread = unread_socket(&ada).await;
    for (id, after) in cursors.iter().enumerate() {
        let variables = json!({ "chatId": chat, "after": after });
        let payload = json!({ "query": MESSAGE_ADDED, "variables": variables });
        let message = json!({ "type": "subscribe", "id": id.to_string(), "payload": payload });
        unread.message(message).await;
    }
    // So many read at a time.
    for _ in 0..8 {
        store.arrived("messages.page").await;
    }
    fill(&mut unread, &ada, &chat, &store).await;
    assert_eq!(store.calls("messages.page") - before, 8);
    store.set("messages.page", Fault::None);
    store.release("messages.page", 8);
    let mut feed = bob.follow(&chat, Some(&cursors[1])).await;
    assert_eq!(feed.added().await["node"]["text"], "message 2");
    let reads = store.calls("messages.page") - before;
    assert!(reads < SUBSCRIPTIONS, "{reads}: those that wait went on");
}

/// Whoever is told that a mutation was not carried out finds that it never is.
#[tokio::test(flavor = "multi_thread")]
async fn what_had_no_turn_in_time_never_begins() {
    let store = FaultyStore::new();
    let app = TestApp::builder()
        .config(|config| {
            config.http.executions_per_user = 1;
            config.http.websocket.max_executions = 1;
            config.http.execution_timeout = Duration::from_secs(1);
        })
        .ports(store.install())
        .start()
        .await;
    let (ada, _, chat) = app.pair().await;
    let send = |text: &str| json!({ "input": { "chatId": chat, "text": text } });
    store.set("messages.append", Fault::Held);
    let mut socket = ada.client.socket().await;
    socket.subscribe("first", SEND, send("first")).await;
    store.arrived("messages.append").await;
    // One waits for its socket's turn, then for its user's; the others for their user's alone.
    socket.subscribe("second", SEND, send("second")).await;
    // Nobody waits for this one any more.
    let mut other = ada.client.socket().await;
    other.subscribe("gone", SEND, send("gone")).await;
    other.run("read", "{ me { name } }", json!({})).await;
    drop(other);
    let over_http = ada.client.run(SEND, send("fourth")).await;
    let is_refused = |errors: &Value| {
        assert_eq!(errors[0]["extensions"]["code"], "TIMEOUT", "{errors}");
        let message = errors[0]["message"].as_str().unwrap();
        assert!(message.contains("was not executed"), "{message}");
    };
    is_refused(&over_http.body["errors"]);
    assert_eq!(over_http.body.get("data"), None, "{}", over_http.body);
    let mut told = std::collections::BTreeMap::new();
    while told.len() < 2 {
        let message = socket.message().await;
        if message["type"] != "complete" {
            told.insert(string(&message["id"]), message);
        }
    }
    // This one has begun.
    assert_eq!(told["first"]["type"], "next");
    assert_eq!(told["first"]["payload"]["data"], Value::Null);
    assert_eq!(told["second"]["type"], "error");
    is_refused(&told["second"]["payload"]);
    store.set("messages.append", Fault::None);
    store.release("messages.append", 1);
    // They would have come ahead of this one.
    let last = ada.send(&chat, "last").await;
    assert_eq!(last["message"]["seq"], 2);
    assert_eq!(store.calls("messages.append"), 2);
}
