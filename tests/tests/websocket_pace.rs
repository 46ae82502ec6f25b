//! How fast a socket is read: what a client sends beyond its quota waits, and costs the others nothing.

use std::time::Duration;

use serde_json::json;
use talksy_server::config::Quota;
use talksy_tests::app::TestApp;
use talksy_tests::wire::RawSocket;

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_floods_is_read_no_faster_than_it_may() {
    let app = TestApp::builder()
        .config(|config| {
            config.http.websocket.messages = Quota {
                burst: 100,
                period: Duration::from_hours(1),
            };
            config.http.websocket.ping_interval = Duration::from_millis(300);
        })
        .start()
        .await;
    let init = json!({ "type": "connection_init" });
    let wrong = json!({ "type": "subscribe", "id": "1", "payload": { "query": "{" } });
    for (what, first, flood, kind, expected) in [
        ("pings", None, json!({ "type": "ping" }), "pong", 2),
        ("refused operations", Some(init), wrong, "error", 5),
    ] {
        let mut socket = RawSocket::transport(app.address).await;
        for message in first.into_iter().chain(vec![flood; 20]) {
            socket.message(message).await;
        }
        let mut answered = 0;
        let end = loop {
            match socket.next().await {
                Ok(message) if message["type"] == "connection_ack" => {}
                Ok(message) => {
                    assert_eq!(message["type"], kind, "{what}");
                    answered += 1;
                }
                Err(end) => break end,
            }
        };
        // The others were not read: of a client that says so much, nothing is heard.
        assert_eq!((answered, end.0), (expected, 1001), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_read_slowly_is_answered_all_the_same() {
    let app = TestApp::builder()
        .config(|config| {
            config.http.websocket.messages = Quota {
                burst: 100,
                period: Duration::from_millis(100),
            };
        })
        .start()
        .await;
    let ada = app.sign_in("ada").await;
    let mut socket = ada.client.socket().await;
    for n in 0..20 {
        socket
            .send(json!({ "type": "ping", "payload": { "n": n } }))
            .await;
    }
    socket.subscribe("1", "{ me { name } }", json!({})).await;
    for n in 0..20 {
        let pong = socket.message().await;
        assert_eq!(
            (&pong["type"], &pong["payload"]["n"]),
            (&json!("pong"), &json!(n))
        );
    }
    let next = socket.message().await;
    assert_eq!(next["payload"]["data"]["me"]["name"], "ada");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_whose_text_is_asked_for_counts_as_a_message_alone() {
    let app = TestApp::builder()
        .config(|config| {
            config.http.websocket.messages = Quota {
                burst: 100,
                period: Duration::from_hours(1),
            };
        })
        .start()
        .await;
    let mut socket = RawSocket::transport(app.address).await;
    socket.message(json!({ "type": "connection_init" })).await;
    let hash = json!({ "version": 1, "sha256Hash": "0".repeat(64) });
    for n in 0..20 {
        let payload = json!({ "extensions": { "persistedQuery": hash } });
        socket
            .message(json!({ "type": "subscribe", "id": n.to_string(), "payload": payload }))
            .await;
    }
    assert_eq!(socket.next().await, Ok(json!({ "type": "connection_ack" })));
    for n in 0..20 {
        let error = socket.next().await.unwrap();
        assert_eq!(error["id"], n.to_string());
        let code = &error["payload"][0]["extensions"]["code"];
        assert_eq!(code, "PERSISTED_QUERY_NOT_FOUND");
    }
}
