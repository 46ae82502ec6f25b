//! The older `graphql-ws` subprotocol, of subscriptions-transport-ws:
//! <https://github.com/apollographql/subscriptions-transport-ws/blob/master/PROTOCOL.md>.

use std::time::Duration;

use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{MESSAGE_ADDED, SEND, User};
use talksy_tests::websocket::{Received, Socket};

const PROTOCOL: &str = "graphql-ws";

fn start(id: &str, query: &str, variables: Value) -> Value {
    json!({ "type": "start", "id": id, "payload": { "query": query, "variables": variables } })
}

async fn acknowledged(user: &User) -> Socket {
    let mut socket = Socket::connect(user.client.address(), PROTOCOL).await;
    socket.init(user.client.token()).await;
    assert_eq!(socket.message().await, json!({ "type": "ka" }));
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_start_bring_data_and_complete() {
    let app = TestApp::start().await;
    let (ada, _bob, chat) = app.pair().await;
    let mut socket = acknowledged(&ada).await;
    socket.send(start("q", "{ me { name } }", json!({}))).await;
    assert_eq!(
        socket.message().await,
        json!({ "type": "data", "id": "q", "payload": { "data": { "me": { "name": "ada" } } } })
    );
    assert_eq!(
        socket.message().await,
        json!({ "type": "complete", "id": "q" })
    );

    let follow = start("s", MESSAGE_ADDED, json!({ "chatId": chat }));
    socket.send(follow.clone()).await;
    // Read in order, so that the subscription is there before the message.
    socket.send(start("q", "{ __typename }", json!({}))).await;
    assert_eq!(socket.message().await["id"], "q");
    assert_eq!(socket.message().await["type"], "complete");
    ada.send(&chat, "hello").await;
    let data = socket.message().await;
    assert_eq!((&data["type"], &data["id"]), (&json!("data"), &json!("s")));
    assert_eq!(data["payload"]["data"]["messageAdded"]["node"]["seq"], 1);

    // The id in use is taken over by the newer operation, without a word.
    socket.send(follow).await;
    socket.send(start("q", "{ __typename }", json!({}))).await;
    assert_eq!(socket.message().await["id"], "q");
    assert_eq!(socket.message().await["type"], "complete");
    ada.send(&chat, "once").await;
    let data = socket.message().await;
    assert_eq!(data["payload"]["data"]["messageAdded"]["node"]["seq"], 2);

    socket.send(json!({ "type": "stop", "id": "s" })).await;
    assert_eq!(
        socket.message().await,
        json!({ "type": "complete", "id": "s" })
    );
    let input = json!({ "input": { "chatId": chat, "text": "not heard" } });
    socket.send(start("m", SEND, input)).await;
    assert_eq!(socket.message().await["id"], "m");
    assert_eq!(
        socket.message().await,
        json!({ "type": "complete", "id": "m" })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_cannot_run_has_one_error() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let mut socket = acknowledged(&ada).await;
    for (query, code) in [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ a b }", "GRAPHQL_VALIDATION_FAILED"),
        (
            "subscription { messageAdded(chatId: \"x\") { cursor } }",
            "BAD_USER_INPUT",
        ),
    ] {
        socket.send(start("1", query, json!({}))).await;
        let error = socket.message().await;
        assert_eq!(
            (&error["type"], &error["id"]),
            (&json!("error"), &json!("1"))
        );
        assert_eq!(error["payload"]["extensions"]["code"], code, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_need_not_wait_for_the_acknowledgement() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let mut socket = Socket::connect(app.address, PROTOCOL).await;
    socket.send_init(ada.client.token()).await;
    socket.send(start("q", "{ me { name } }", json!({}))).await;
    let mut types = Vec::new();
    for _ in 0..4 {
        types.push(socket.message().await["type"].clone());
    }
    assert_eq!(types, ["connection_ack", "ka", "data", "complete"]);
    let mut socket = Socket::connect(app.address, PROTOCOL).await;
    socket.send(start("q", "{ __typename }", json!({}))).await;
    assert_eq!(socket.closed().await, 4401, "not initialised at all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connection_is_told_why_before_it_is_closed() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    app.clock.advance(Duration::from_mins(11));
    for token in ["nonsense", ada.client.token().unwrap()] {
        let mut socket = Socket::connect(app.address, PROTOCOL).await;
        socket.send_init(Some(token)).await;
        let error = socket.message().await;
        assert_eq!(error["type"], "connection_error");
        let message = error["payload"]["message"].clone();
        assert_eq!(
            socket.next().await,
            Received::Closed(4403, message.as_str().unwrap().to_owned())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_terminates_the_connection() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let mut socket = acknowledged(&ada).await;
    socket.send(json!({ "type": "connection_terminate" })).await;
    assert_eq!(socket.closed().await, 1000);
    for newer in ["subscribe", "complete", "ping", "pong", "next"] {
        let mut socket = acknowledged(&ada).await;
        let message = json!({ "type": newer, "id": "1", "payload": { "query": "{ __typename }" } });
        socket.send(message).await;
        assert_eq!(socket.closed().await, 4400, "{newer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_connection_is_kept_alive_by_messages() {
    let app = TestApp::builder()
        .config(|config| config.http.websocket.ping_interval = Duration::from_secs(1))
        .start()
        .await;
    let ada = app.sign_in("ada").await;
    let mut socket = acknowledged(&ada).await;
    for _ in 0..3 {
        assert_eq!(socket.message().await, json!({ "type": "ka" }));
    }
    app.clock.advance(Duration::from_mins(11));
    assert_eq!(socket.closed().await, 4403);
}
