//! What becomes of a request whose backend fails, whose client goes away, or whose server stops.

use serde_json::json;
use talksy_tests::app::TestApp;
use talksy_tests::client::{SEND, User};
use talksy_tests::eventually;
use talksy_tests::faulty_store::{Fault, FaultyStore};
use talksy_tests::wire::Wire;

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_tells_nothing_of_the_inside_and_ends_one_request_only() {
    let store = FaultyStore::new();
    let app = TestApp::builder().ports(store.install()).start().await;
    let (ada, _bob, chat) = app.pair().await;
    let input = json!({ "input": { "chatId": chat, "text": "hello" } });
    for (fault, code) in [
        (Fault::Unavailable("disk /dev/sda1 is full"), "UNAVAILABLE"),
        (Fault::Panic("at /dev/sda1"), "INTERNAL"),
    ] {
        store.set("messages.append", fault);
        let reply = ada.client.run(SEND, input.clone()).await;
        assert_eq!(reply.code(), code);
        assert!(!reply.body.to_string().contains("sda1"), "{}", reply.body);
        let mut socket = ada.client.socket().await;
        socket.subscribe("1", SEND, input.clone()).await;
        let answer = socket.message().await;
        let errors = match answer["type"].as_str() {
            Some("error") => &answer["payload"],
            _ => &answer["payload"]["errors"],
        };
        assert_eq!(errors[0]["extensions"]["code"], code, "{answer}");
        assert!(!answer.to_string().contains("sda1"), "{answer}");
    }
    store.set("messages.append", Fault::None);
    assert_eq!(ada.send(&chat, "hello").await["message"]["seq"], 1);
}

async fn last_seq(user: &User, chat: &str) -> i64 {
    let query = "query($chat: ID!) { node(id: $chat) { ... on Chat { lastSeq } } }";
    let data = user.client.data(query, json!({ "chat": chat })).await;
    data["node"]["lastSeq"].as_i64().unwrap_or(-1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mutation_that_has_begun_is_finished_though_its_client_has_gone() {
    let store = FaultyStore::new();
    let app = TestApp::builder().ports(store.install()).start().await;
    let (ada, bob, chat) = app.pair().await;
    let mut bob_sees = bob.follow(&chat, None).await;
    store.set("messages.append", Fault::Held);
    let body = json!({ "query": SEND, "variables": { "input": { "chatId": chat, "text": "hi" } } })
        .to_string();
    let mut wire = Wire::connect(app.address).await;
    wire.write(format!(
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
        ada.client.token().unwrap(),
        body.len()
    ))
    .await;
    store.arrived("messages.append").await;
    drop(wire);
    store.release("messages.append", 1);
    assert_eq!(bob_sees.seqs(1).await, [1]);
    assert_eq!(last_seq(&bob, &chat).await, 1);

    // The same over a socket, whether it is cut or the operation given up.
    let input = json!({ "input": { "chatId": chat, "text": "hi" } });
    let mut socket = ada.client.socket().await;
    socket.subscribe("1", SEND, input.clone()).await;
    store.arrived("messages.append").await;
    socket.cut();
    store.release("messages.append", 1);
    assert_eq!(bob_sees.seqs(1).await, [2]);
    let mut socket = ada.client.socket().await;
    socket.subscribe("1", SEND, input).await;
    store.arrived("messages.append").await;
    socket.send(json!({ "type": "complete", "id": "1" })).await;
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.message().await, json!({ "type": "pong" }));
    store.release("messages.append", 1);
    assert_eq!(bob_sees.seqs(1).await, [3]);
    let data = socket.run("1", "{ me { name } }", json!({})).await;
    assert_eq!(data, json!({ "data": { "me": { "name": "ada" } } }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_mutations_that_have_begun() {
    let store = FaultyStore::new();
    let app = TestApp::builder().ports(store.install()).start().await;
    let (ada, bob, chat) = app.pair().await;
    store.set("messages.append", Fault::Held);
    let sending = {
        let (ada, chat) = (ada.clone(), chat.clone());
        tokio::spawn(async move { ada.send(&chat, "before the stop").await })
    };
    store.arrived("messages.append").await;
    app.begin_stop();
    // The listener is closed once the stop is under way.
    let address = app.address;
    eventually("the listener's end", async || {
        tokio::net::TcpStream::connect(address).await.err()
    })
    .await;
    store.release("messages.append", 1);
    assert_eq!(sending.await.unwrap()["message"]["seq"], 1);
    let data = app.stop().await;
    let app = TestApp::builder().data(data).start().await;
    let again = app.client().with_token(bob.client.token().unwrap());
    let bob = User {
        client: again,
        ..bob
    };
    assert_eq!(last_seq(&bob, &chat).await, 1);
}
