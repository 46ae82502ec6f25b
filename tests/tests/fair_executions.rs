//! Who asks for very much at once waits for themselves.

use std::time::Duration;

use serde_json::json;
use talksy_tests::app::TestApp;
use talksy_tests::client::SEND;
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

/// What a client does not read holds up no other client of the same user.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_not_read_keeps_no_turn_of_its_user() {
    let store = FaultyStore::new();
    let app = TestApp::builder()
        .config(|config| {
            config.http.executions_per_user = 1;
            config.http.websocket.max_queued_bytes = 64 * 1024;
            // No deadline sets the turn free.
            config.http.websocket.write_timeout = Duration::from_mins(10);
            config.http.websocket.ping_interval = Duration::from_mins(10);
        })
        .ports(store.install())
        .start()
        .await;
    let (ada, _, chat) = app.pair().await;
    ada.send(&chat, &"😀".repeat(4_000)).await;
    let texts: Vec<_> = (0..20).map(|n| format!("t{n}: text ")).collect();
    let texts = texts.concat();
    let query = format!(
        "query($id: ID!) {{ chat(id: $id) {{ messages(last: 1) {{ nodes {{ {texts} }} }} }} }}"
    );
    let mut unread = RawSocket::transport(ada.client.address()).await;
    let payload = json!({ "token": ada.client.token() });
    let init = json!({ "type": "connection_init", "payload": payload });
    unread.message(init).await;
    assert_eq!(unread.next().await, Ok(json!({ "type": "connection_ack" })));
    for id in 0..100 {
        let payload = json!({ "query": query, "variables": { "id": chat } });
        let message = json!({ "type": "subscribe", "id": id.to_string(), "payload": payload });
        unread.message(message).await;
    }
    // Until nothing more is read for the socket, and some time beyond.
    let (mut reads, mut still) = (0, 0);
    while still < 50 {
        let me = ada.client.data("{ me { name } }", json!({})).await;
        assert_eq!(me["me"]["name"], "ada");
        let now = store.calls("messages.pages");
        still = if now == reads { still + 1 } else { 0 };
        reads = now;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!((1..100).contains(&reads), "{reads}: it was read");
}
