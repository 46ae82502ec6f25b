//! What a socket may cost: how many there are, what runs on one, how long a peer may be silent
//! or read slowly, and how sockets end with the server.

use std::time::Duration;

use serde_json::{Value, json};
use talksy_server::config::WebSocketLimits;
use talksy_tests::app::TestApp;
use talksy_tests::client::{SEND, User, string};
use talksy_tests::eventually;
use talksy_tests::faulty_store::{Fault, FaultyStore};
use talksy_tests::process::ServerProcess;
use talksy_tests::websocket::{Received, Socket};
use talksy_tests::wire::{RawSocket, opcode};

const PROTOCOL: &str = "graphql-transport-ws";

/// How often `large` repeats a message's text.
const REPEATED: usize = 50;
/// A message's longest text: 4,000 characters of four bytes.
const LONGEST: usize = 16_000;

/// Follows a chat with frames of 800 kB, so that a few fill what the kernel holds for a socket.
fn large(chat: &str, after: Option<&str>) -> Value {
    let texts = (0..REPEATED).fold(String::new(), |texts, n| format!("{texts} t{n}: text"));
    json!({
        "query": format!(
            "subscription($chat: ID!, $after: String) {{
                messageAdded(chatId: $chat, after: $after) {{ cursor node {{ seq {texts} }} }} }}"
        ),
        "variables": { "chat": chat, "after": after }
    })
}

fn longest_text() -> String {
    "😀".repeat(LONGEST / 4)
}

/// A socket of a client that reads only when the test does.
async fn unread(user: &User, chat: &str) -> RawSocket {
    let mut socket = RawSocket::transport(user.client.address()).await;
    let payload = json!({ "token": user.client.token() });
    socket
        .message(json!({ "type": "connection_init", "payload": payload }))
        .await;
    assert_eq!(socket.next().await, Ok(json!({ "type": "connection_ack" })));
    let payload = large(chat, None);
    socket
        .message(json!({ "type": "subscribe", "id": "1", "payload": payload }))
        .await;
    socket.message(json!({ "type": "ping" })).await;
    assert_eq!(socket.next().await, Ok(json!({ "type": "pong" })));
    socket
}

/// Checks a large frame, and gives its number and cursor.
fn take(message: &Value) -> (i64, String) {
    let added = &message["payload"]["data"]["messageAdded"];
    let last = &added["node"][format!("t{}", REPEATED - 1)];
    assert_eq!(last.as_str().map(str::len), Some(LONGEST));
    (
        added["node"]["seq"].as_i64().unwrap_or(0),
        string(&added["cursor"]),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_delays_nobody_is_closed_and_resumes_without_loss() {
    const COUNT: i64 = 40;
    let app = TestApp::builder()
        .config(|config| {
            // Longer than any client here that reads stops reading, also on a busy machine.
            config.http.websocket.write_timeout = Duration::from_secs(4);
            config.http.websocket.close_timeout = Duration::from_mins(1);
            config.presence.grace = Duration::ZERO;
            config.presence.sweep = Duration::from_millis(100);
        })
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    let mut stuck = unread(&bob, &chat).await;
    let presence = "subscription($ids: [ID!]!) { presenceChanged(userIds: $ids) { status } }";
    let mut bob_is = ada
        .client
        .subscribe(presence, json!({ "ids": [bob.id] }))
        .await;
    assert_eq!(bob_is.next().await["presenceChanged"]["status"], "ONLINE");

    let mut ada_sees = ada.follow(&chat, None).await;
    for seq in 1..=COUNT {
        ada.send(&chat, &longest_text()).await;
        assert_eq!(ada_sees.seqs(1).await, [seq]);
    }
    // His only socket is over for the server, with all that waited for it.
    assert_eq!(bob_is.next().await["presenceChanged"]["status"], "OFFLINE");

    let mut seen = Vec::new();
    let mut cursor = None;
    let end = loop {
        match stuck.next().await {
            Ok(message) => {
                let (seq, at) = take(&message);
                seen.push(seq);
                cursor = Some(at);
            }
            Err(end) => break end,
        }
    };
    assert_eq!(end, (1013, "The client reads too slowly".into()));
    let count = i64::try_from(seen.len()).unwrap();
    assert!(0 < count && count < COUNT, "{count} came");
    let mut socket = bob.client.socket().await;
    let payload = large(&chat, cursor.as_deref());
    socket
        .send(json!({ "type": "subscribe", "id": "1", "payload": payload }))
        .await;
    for _ in count..COUNT {
        seen.push(take(&socket.message().await).0);
    }
    assert_eq!(seen, (1..=COUNT).collect::<Vec<_>>());
}

/// What waits is more than such a client reads in the time that it has for each step, or between two
/// pings. It answers none.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_slowly_but_goes_on_reading_gets_all_of_it() {
    const ANSWERS: usize = 14;
    const MESSAGES: usize = 4;
    let app = TestApp::builder()
        .config(|config| {
            let limits = &mut config.http.websocket;
            limits.write_timeout = Duration::from_secs(4);
            limits.ping_interval = Duration::from_secs(5);
            limits.max_queued_bytes = 64 << 20;
            limits.max_stalled_bytes = 1 << 30;
            limits.max_executions = ANSWERS;
        })
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    for _ in 0..MESSAGES {
        ada.send(&chat, &longest_text()).await;
    }
    let texts = (0..60).fold(String::new(), |texts, n| format!("{texts} t{n}: text"));
    let query = format!(
        "query($id: ID!) {{ chat(id: $id) {{ messages(last: {MESSAGES}) {{ nodes {{ {texts} }} }} }} }}"
    );
    let mut slow = unread(&bob, &chat).await;
    for id in 0..ANSWERS {
        let payload = json!({ "query": query, "variables": { "id": chat } });
        let id = format!("query {id}");
        slow.message(json!({ "type": "subscribe", "id": id, "payload": payload }))
            .await;
    }
    let mut answers = 0;
    while answers < ANSWERS {
        let message = slow.next().await.unwrap();
        if message["type"] == "next" {
            let nodes = &message["payload"]["data"]["chat"]["messages"]["nodes"];
            let last = nodes[MESSAGES - 1]["t59"].as_str();
            assert_eq!(last.map(str::len), Some(LONGEST));
            answers += 1;
            // This is how slow it is.
            tokio::time::sleep(Duration::from_millis(1_100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_slow_client_has_not_read_waits_in_the_store_not_in_memory() {
    const COUNT: i64 = 48;
    let store = FaultyStore::new();
    let app = TestApp::builder()
        .config(|config| {
            config.live.mailbox = 16;
            config.http.websocket.write_timeout = Duration::from_mins(10);
            config.http.websocket.ping_interval = Duration::from_mins(10);
        })
        .ports(store.install())
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    let mut slow = unread(&bob, &chat).await;
    let mut bob_sees_elsewhere = bob.follow(&chat, None).await;
    for seq in 1..=COUNT {
        ada.send(&chat, &longest_text()).await;
        assert_eq!(bob_sees_elsewhere.seqs(1).await, [seq]);
    }
    // Had the server gone on taking messages for the slow socket, it would find none missing.
    let before = store.calls("messages.page");
    let mut seen = Vec::new();
    while seen.len() < usize::try_from(COUNT).unwrap() {
        seen.push(take(&slow.next().await.unwrap()).0);
    }
    assert_eq!(seen, (1..=COUNT).collect::<Vec<_>>());
    assert!(store.calls("messages.page") > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_waits_for_a_slow_socket_does_not_stop_that_sockets_close() {
    let app = TestApp::builder()
        .config(|config| {
            config.http.websocket.write_timeout = Duration::from_mins(10);
            config.http.websocket.close_timeout = Duration::from_mins(1);
            config.shutdown.drain = Duration::from_mins(1);
        })
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    let mut slow = unread(&bob, &chat).await;
    let mut ada_sees = ada.follow(&chat, None).await;
    for seq in 1..=24 {
        ada.send(&chat, &longest_text()).await;
        assert_eq!(ada_sees.seqs(1).await, [seq]);
    }
    // One that does not read on would be waited for.
    ada_sees.cut();
    let stopping = tokio::spawn(app.stop());
    // What the server had put into the queue comes first, whole and in order.
    let mut expected = 1;
    let end = loop {
        match slow.next().await {
            Ok(message) => {
                assert_eq!(take(&message).0, expected);
                expected += 1;
            }
            Err(end) => break end,
        }
    };
    assert_eq!(end, (1012, "The server is restarting".into()));
    assert!(expected > 1);
    slow.send(opcode::CLOSE, 1012_u16.to_be_bytes()).await;
    assert!(slow.ended().await);
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_closes_every_socket_with_a_code_to_come_back_on() {
    let app = TestApp::start().await;
    let (ada, _bob, chat) = app.pair().await;
    let mut busy = ada.follow(&chat, None).await;
    let mut idle = ada.client.socket().await;
    let mut new = Socket::connect(app.address, PROTOCOL).await;
    let stopping = tokio::spawn(app.stop());
    let restart = Received::Closed(1012, "The server is restarting".into());
    assert_eq!(busy.socket().next().await, restart);
    assert_eq!(idle.next().await, restart);
    assert_eq!(new.next().await, restart);
    // A close is done once it is answered, which these clients do when they read on.
    for socket in [busy.socket(), &mut idle, &mut new] {
        assert_eq!(socket.next().await, Received::Gone);
    }
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_peer_is_pinged_and_then_given_up() {
    let app = TestApp::builder()
        .config(|config| {
            config.http.websocket.ping_interval = Duration::from_millis(50);
            config.http.websocket.init_timeout = Duration::from_mins(1);
        })
        .start()
        .await;
    let mut dead = RawSocket::transport(app.address).await;
    let mut pings = 0;
    let end = loop {
        match dead.frame().await {
            Some((opcode::PING, payload)) => {
                assert_eq!(payload, b"");
                pings += 1;
            }
            Some((opcode::CLOSE, frame)) => break talksy_tests::wire::close_of(&frame),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(end.0, 1001);
    assert!(pings > 0);

    // One that answers stays, though it says nothing else. It gets time to do so.
    let app = TestApp::builder()
        .config(|config| config.http.websocket.ping_interval = Duration::from_secs(1))
        .start()
        .await;
    let mut alive = Socket::connect(app.address, PROTOCOL).await;
    let mut pings = 0;
    while pings < 4 {
        match alive.next_frame().await {
            Some(frame) if frame.is_ping() => pings += 1,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_is_answered_with_what_it_carries() {
    let app = TestApp::start().await;
    let mut socket = RawSocket::transport(app.address).await;
    for n in 0..200_u8 {
        let payload = [n; 125];
        socket.send(opcode::PING, payload).await;
        assert_eq!(socket.frame().await, Some((opcode::PONG, payload.into())));
    }
    socket.message(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.next().await, Ok(json!({ "type": "connection_ack" })));
    // Several at once: the last of them is answered, if not each.
    for n in 0..50_u8 {
        socket.send(opcode::PING, [n]).await;
    }
    while socket.frame().await != Some((opcode::PONG, vec![49])) {}
}

/// Sends what `flood` says until the server ends the connection or has taken 128 MB, and reads
/// nothing. Gives how much more memory the server then holds, in MB.
async fn flooded(server: &ServerProcess, first: &[Value], flood: &[u8], opcode: u8) -> u64 {
    let before = server.resident_megabytes();
    let mut socket = RawSocket::transport(server.address).await;
    for message in first {
        socket.message(message.clone()).await;
    }
    let mut sent = 0;
    while sent < 128_000_000 && socket.try_send(opcode, flood, 1_000).await {
        sent += flood.len() * 1_000;
    }
    server.resident_megabytes().saturating_sub(before)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_a_client_that_reads_nothing_does_not_pile_up() {
    let data = tempfile::tempdir().unwrap();
    // It is read as fast as it sends.
    let burst = ["--set", "http.websocket.messages.burst=1000000"];
    let period = ["--set", "http.websocket.messages.period=1s"];
    let server = ServerProcess::start(data.path(), &[burst, period].concat()).await;
    let init = json!({ "type": "connection_init" });
    let wrong = json!({ "type": "subscribe", "id": "1", "payload": { "query": "{" } }).to_string();
    let ping = json!({ "type": "ping", "payload": { "a": "b".repeat(100) } }).to_string();
    for (what, first, flood, opcode) in [
        (
            "pings before any token",
            vec![],
            &[b'x'; 125][..],
            opcode::PING,
        ),
        ("pings", vec![init.clone()], &[b'x'; 125], opcode::PING),
        (
            "the protocol's own pings",
            vec![],
            ping.as_bytes(),
            opcode::TEXT,
        ),
        (
            "operations that are refused",
            vec![init],
            wrong.as_bytes(),
            opcode::TEXT,
        ),
    ] {
        let grown = flooded(&server, &first, flood, opcode).await;
        assert!(grown < 32, "{what}: {grown} MB");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_too_many_is_refused_and_the_socket_stays() {
    let app = TestApp::builder()
        .config(|config| config.http.websocket.max_operations = 2)
        .start()
        .await;
    let ada = app.sign_in("ada").await;
    let mut socket = ada.client.socket().await;
    let follow = "subscription { chatUpdated { id } }";
    for id in ["1", "2"] {
        socket.subscribe(id, follow, json!({})).await;
    }
    socket.subscribe("3", follow, json!({})).await;
    let error = socket.message().await;
    assert_eq!(
        (&error["type"], &error["id"]),
        (&json!("error"), &json!("3"))
    );
    assert_eq!(error["payload"][0]["extensions"]["code"], "RATE_LIMITED");
    assert_eq!(error["payload"][0]["extensions"]["retryAfter"], 5);
    socket.send(json!({ "type": "complete", "id": "1" })).await;
    for _ in 0..5 {
        let data = socket.run("3", "{ me { name } }", json!({})).await;
        assert_eq!(data["data"]["me"]["name"], "ada");
    }
}

/// Somebody whose messages are held by the store, and the variables of one.
async fn held_sends(
    change: impl FnOnce(&mut WebSocketLimits) + 'static,
) -> (TestApp, FaultyStore, User, Value) {
    let store = FaultyStore::new();
    let app = TestApp::builder()
        .config(|config| change(&mut config.http.websocket))
        .ports(store.install())
        .start()
        .await;
    let (ada, _bob, chat) = app.pair().await;
    let send = json!({ "input": { "chatId": chat, "text": "hi" } });
    store.set("messages.append", Fault::Held);
    (app, store, ada, send)
}

#[tokio::test(flavor = "multi_thread")]
async fn mutations_beyond_those_that_are_executed_wait_for_their_turn() {
    let (_app, store, ada, send) = held_sends(|limits| limits.max_executions = 2).await;
    let mut socket = ada.client.socket().await;
    for id in ["1", "2"] {
        socket.subscribe(id, SEND, send.clone()).await;
        store.arrived("messages.append").await;
    }
    socket.subscribe("3", SEND, send.clone()).await;
    // What the protocol itself has to say, what is read, and what another socket asks, does not wait.
    let data = socket.run("read", "{ me { name } }", json!({})).await;
    assert_eq!(data["data"]["me"]["name"], "ada");
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.message().await, json!({ "type": "pong" }));
    let mut other = ada.client.socket().await;
    let data = other.run("1", "{ __typename }", json!({})).await;
    assert_eq!(data["data"]["__typename"], "Query");
    assert_eq!(store.calls("messages.append"), 2);
    store.release("messages.append", 3);
    let mut ended = Vec::new();
    while ended.len() < 3 {
        let message = socket.message().await;
        if message["type"] == "complete" {
            ended.push(string(&message["id"]));
        } else {
            assert_eq!(message["type"], "next", "{message}");
        }
    }
    ended.sort();
    assert_eq!(ended, ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mutations_that_were_given_up_still_count_while_they_run() {
    let (_app, store, ada, send) = held_sends(|limits| limits.max_operations = 2).await;
    let mut socket = ada.client.socket().await;
    for id in ["1", "2"] {
        socket.subscribe(id, SEND, send.clone()).await;
        socket.send(json!({ "type": "complete", "id": id })).await;
    }
    socket.subscribe("3", SEND, send.clone()).await;
    let error = socket.message().await;
    assert_eq!(
        (&error["type"], &error["id"]),
        (&json!("error"), &json!("3"))
    );
    assert_eq!(error["payload"][0]["extensions"]["code"], "RATE_LIMITED");
    let data = socket.run("4", "{ me { name } }", json!({})).await;
    assert_eq!(data["data"]["me"]["name"], "ada");
    store.set("messages.append", Fault::None);
    store.release("messages.append", 2);
    eventually("a place for a mutation", async || {
        socket.subscribe("5", SEND, send.clone()).await;
        let message = socket.message().await;
        let accepted = message["type"] == "next";
        if accepted {
            assert_eq!(socket.message().await["type"], "complete");
        }
        accepted.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_too_many_is_closed_with_a_code_to_come_back_on() {
    let app = TestApp::builder()
        .config(|config| config.http.websocket.max_sockets = 2)
        .start()
        .await;
    let ada = app.sign_in("ada").await;
    let first = ada.client.socket().await;
    let _second = ada.client.socket().await;
    let mut third = Socket::connect(app.address, PROTOCOL).await;
    assert_eq!(
        third.next().await,
        Received::Closed(1013, "Too many connections".into())
    );
    first.cut();
    eventually("a place for a socket", async || {
        let mut socket = Socket::connect(app.address, PROTOCOL).await;
        socket.send_init(None).await;
        matches!(socket.next().await, Received::Message(_)).then_some(())
    })
    .await;
}
