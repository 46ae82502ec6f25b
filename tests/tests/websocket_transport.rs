//! The `graphql-transport-ws` protocol, message by message:
//! <https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>.

use std::time::Duration;

use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{MESSAGE_ADDED, SEND};
use talksy_tests::websocket::{Received, Socket};
use talksy_tests::wire::{RawSocket, opcode};
use tokio_tungstenite::tungstenite::Error;

const PROTOCOL: &str = "graphql-transport-ws";

fn subscribe(id: &str, payload: Value) -> Value {
    json!({ "type": "subscribe", "id": id, "payload": payload })
}

/// The pong shows that everything sent before the ping has been dealt with.
async fn dealt_with(socket: &mut Socket) {
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.message().await, json!({ "type": "pong" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_mutations_and_subscriptions_share_a_socket() {
    let app = TestApp::start().await;
    let (ada, _bob, chat) = app.pair().await;
    let mut socket = ada.client.socket().await;
    let me = socket.run("q", "{ me { name } }", json!({})).await;
    assert_eq!(me, json!({ "data": { "me": { "name": "ada" } } }));

    socket
        .subscribe("s", MESSAGE_ADDED, json!({ "chatId": chat }))
        .await;
    dealt_with(&mut socket).await;
    let input = json!({ "input": { "chatId": chat, "text": "over the socket" } });
    socket.subscribe("m", SEND, input).await;
    let mut of_mutation = Vec::new();
    let mut of_subscription = Vec::new();
    for _ in 0..3 {
        let message = socket.message().await;
        match message["id"].as_str() {
            Some("m") => of_mutation.push(message),
            _ => of_subscription.push(message),
        }
    }
    assert_eq!(of_mutation[0]["type"], "next");
    let sent = &of_mutation[0]["payload"]["data"]["sendMessage"];
    assert_eq!(of_mutation[1], json!({ "id": "m", "type": "complete" }));
    let [added] = &*of_subscription else {
        panic!("not one event: {of_subscription:?}");
    };
    assert_eq!(
        (&added["id"], &added["type"]),
        (&json!("s"), &json!("next"))
    );
    let added = &added["payload"]["data"]["messageAdded"];
    assert_eq!(added["cursor"], sent["edge"]["cursor"]);
    assert_eq!(added["node"]["text"], "over the socket");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_completes_hears_nothing_more_and_may_use_the_id_again() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let mut socket = bob.client.socket().await;
    for round in 1..=2 {
        socket
            .subscribe("same", MESSAGE_ADDED, json!({ "chatId": chat }))
            .await;
        dealt_with(&mut socket).await;
        ada.send(&chat, "heard").await;
        let next = socket.message().await;
        assert_eq!(
            next["payload"]["data"]["messageAdded"]["node"]["seq"],
            2 * round - 1
        );
        socket
            .send(json!({ "type": "complete", "id": "same" }))
            .await;
        dealt_with(&mut socket).await;
        ada.send(&chat, "not heard").await;
        // Behind the message, and nothing of it.
        let last = socket.run("q", "{ me { name } }", json!({})).await;
        assert_eq!(last["data"]["me"]["name"], "bob");
    }
    socket
        .send(json!({ "type": "complete", "id": "unknown" }))
        .await;
    dealt_with(&mut socket).await;
    for _ in 0..2 {
        let again = socket.run("same", "{ __typename }", json!({})).await;
        assert_eq!(again, json!({ "data": { "__typename": "Query" } }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_cannot_run_ends_in_an_error_message_and_the_socket_stays() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let mut socket = ada.client.socket().await;
    let deep = format!(
        "{{ me {} id {} }}",
        "{ presence { user ".repeat(20),
        "} }".repeat(20)
    );
    for (payload, code) in [
        (json!({ "query": "{" }), "GRAPHQL_PARSE_FAILED"),
        (
            json!({ "query": "{ nothing }" }),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            json!({ "query": "subscription { nothing }" }),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            json!({ "query": "query($id: ID!) { node(id: $id) { id } }" }),
            "BAD_USER_INPUT",
        ),
        (
            json!({ "query": "query A { __typename } query B { __typename }" }),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (json!({ "query": deep }), "QUERY_TOO_COMPLEX"),
        (
            json!({ "query": format!("{{ __typename }} # {}", "x".repeat(40_000)) }),
            "PAYLOAD_TOO_LARGE",
        ),
        (
            json!({ "query": "subscription { messageAdded(chatId: \"x\") { cursor } }" }),
            "BAD_USER_INPUT",
        ),
        (
            json!({ "query": "subscription { messageAdded(chatId: \"cht_01h455vb4pex5vsknk084sn02q\") { cursor } }" }),
            "NOT_FOUND",
        ),
    ] {
        socket.send(subscribe("1", payload.clone())).await;
        let error = socket.message().await;
        assert_eq!(
            (&error["type"], &error["id"]),
            (&json!("error"), &json!("1")),
            "{payload}"
        );
        assert_eq!(error["payload"][0]["extensions"]["code"], code, "{error}");
        assert!(error["payload"][0]["message"].is_string());
    }
    // No `complete` follows an `error`.
    dealt_with(&mut socket).await;
    let named = json!({
        "query": "query A { __typename } query B { me { name } }",
        "operationName": "B", "variables": null, "extensions": {}
    });
    socket.send(subscribe("1", named)).await;
    let next = socket.message().await;
    assert_eq!(
        next["payload"],
        json!({ "data": { "me": { "name": "ada" } } })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_fails_is_a_next_with_errors_not_an_error_message() {
    let app = TestApp::start().await;
    let mut socket = app.client().socket().await;
    let partial = socket
        .run("1", "{ __typename chats { nodes { id } } }", json!({}))
        .await;
    assert_eq!(
        partial["data"],
        json!({ "__typename": "Query", "chats": null })
    );
    assert_eq!(partial["errors"][0]["path"], json!(["chats"]));
    assert_eq!(
        partial["errors"][0]["extensions"]["code"],
        "UNAUTHENTICATED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_are_answered_with_their_payload_before_and_after_the_acknowledgement() {
    let app = TestApp::start().await;
    let mut socket = Socket::connect(app.address, PROTOCOL).await;
    dealt_with(&mut socket).await;
    socket.init(None).await;
    for payload in [json!({ "a": [1, "\u{fc}\n"] }), json!({})] {
        socket
            .send(json!({ "type": "ping", "payload": payload }))
            .await;
        assert_eq!(
            socket.message().await,
            json!({ "type": "pong", "payload": payload })
        );
    }
    socket
        .send(json!({ "type": "pong", "payload": { "unasked": true } }))
        .await;
    dealt_with(&mut socket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_not_of_the_protocol_closes_with_4400() {
    let app = TestApp::start().await;
    for text in [
        "nonsense",
        "",
        "{}",
        "[]",
        "7",
        "null",
        "{\"type\":7}",
        "{\"type\":\"start\",\"id\":\"1\",\"payload\":{\"query\":\"{ __typename }\"}}",
        "{\"type\":\"connection_terminate\"}",
        "{\"type\":\"subscribe\",\"payload\":{\"query\":\"{ __typename }\"}}",
        "{\"type\":\"subscribe\",\"id\":\"\",\"payload\":{\"query\":\"{ __typename }\"}}",
        "{\"type\":\"subscribe\",\"id\":7,\"payload\":{\"query\":\"{ __typename }\"}}",
        "{\"type\":\"subscribe\",\"id\":\"1\"}",
        "{\"type\":\"subscribe\",\"id\":\"1\",\"payload\":null}",
        "{\"type\":\"subscribe\",\"id\":\"1\",\"payload\":\"{ __typename }\"}",
        "{\"type\":\"subscribe\",\"id\":\"1\",\"payload\":{}}",
        "{\"type\":\"subscribe\",\"id\":\"1\",\"payload\":{\"query\":7}}",
        "{\"type\":\"subscribe\",\"id\":\"1\",\"payload\":{\"query\":\"{ a }\",\"variables\":[]}}",
        "{\"type\":\"subscribe\",\"id\":\"1\",\"payload\":[\"{ __typename }\",null,null,null]}",
        "[\"ping\",null,null]",
        "{\"type\":\"complete\"}",
        "{\"type\":\"ping\",\"payload\":[]}",
        "{\"type\":\"ping\",\"payload\":\"x\"}",
        "{\"type\":\"pong\",\"payload\":7}",
    ] {
        let mut socket = app.client().socket().await;
        socket.send_raw(text.into()).await;
        match socket.next().await {
            Received::Closed(4400, reason) => {
                assert!(
                    !reason.is_empty() && reason.len() <= 123,
                    "{text}: {reason}"
                );
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    let mut socket = app.client().socket().await;
    socket.send_raw(vec![1, 2, 3].into()).await;
    assert_eq!(socket.closed().await, 4400, "binary");
    let mut socket = Socket::connect(app.address, PROTOCOL).await;
    socket
        .send(json!({ "type": "connection_init", "payload": [] }))
        .await;
    assert_eq!(socket.closed().await, 4400, "a payload that is no object");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_frames_of_text_close_with_the_codes_of_websocket() {
    let app = TestApp::builder()
        .config(|config| config.http.websocket.max_message_bytes = 1024)
        .start()
        .await;
    for (opcode, payload, code) in [
        (opcode::TEXT, &b"\xff\xfe"[..], 1007),
        (opcode::TEXT, &[b'x'; 1025], 1009),
        // So large that most of it cannot have been read when the socket is closed.
        (opcode::TEXT, &vec![b'x'; 4 << 20], 1009),
        (opcode::BINARY, &[0; 2000], 1009),
        (11, b"", 1002),
        (opcode::PING, &[b'x'; 126], 1002),
    ] {
        let mut socket = RawSocket::transport(app.address).await;
        socket.send(opcode, payload).await;
        assert_eq!(socket.closed().await.0, code);
    }
    let mut socket = RawSocket::transport(app.address).await;
    socket.message(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.next().await, Ok(json!({ "type": "connection_ack" })));
    let padded = format!(
        "{{\"type\":\"ping\",\"payload\":{{\"x\":\"{}\"}}}}",
        "x".repeat(990)
    );
    assert_eq!(padded.len(), 1024);
    socket.send(opcode::TEXT, &padded).await;
    assert_eq!(socket.next().await.unwrap()["type"], "pong");
    socket.send(opcode::PING, "are you there").await;
    assert_eq!(socket.frame().await, Some((10, b"are you there".to_vec())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_of_the_client_is_answered_with_its_code_and_ends_the_connection() {
    let app = TestApp::start().await;
    let mut socket = RawSocket::transport(app.address).await;
    socket.send(opcode::CLOSE, 1000_u16.to_be_bytes()).await;
    assert_eq!(socket.closed().await, (1000, String::new()));
    assert!(socket.ended().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_is_initialised_once_and_before_anything_else() {
    let app = TestApp::start().await;
    let mut socket = Socket::connect(app.address, PROTOCOL).await;
    socket
        .send(subscribe("1", json!({ "query": "{ __typename }" })))
        .await;
    assert_eq!(
        socket.next().await,
        Received::Closed(4401, "Unauthorized".into())
    );

    let mut socket = app.client().socket().await;
    socket.send_init(None).await;
    assert_eq!(
        socket.next().await,
        Received::Closed(4429, "Too many initialisation requests".into())
    );

    // Also while the first is still looked at.
    let ada = app.sign_in("ada").await;
    let mut socket = Socket::connect(app.address, PROTOCOL).await;
    socket.send_init(ada.client.token()).await;
    socket.send_init(ada.client.token()).await;
    assert_eq!(socket.closed().await, 4429);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_not_initialised_in_time_closes_with_4408() {
    let app = TestApp::builder()
        .config(|config| config.http.websocket.init_timeout = Duration::from_millis(50))
        .start()
        .await;
    let mut socket = Socket::connect(app.address, PROTOCOL).await;
    assert_eq!(
        socket.next().await,
        Received::Closed(4408, "Connection initialisation timeout".into())
    );
}

/// The server and the client share the thread, which has no time for either while it sleeps.
#[tokio::test]
async fn a_connection_that_the_server_is_too_slow_to_read_is_in_time() {
    let timeout = Duration::from_millis(200);
    let app = TestApp::builder()
        .config(move |config| config.http.websocket.init_timeout = timeout)
        .start()
        .await;
    let mut socket = Socket::connect(app.address, PROTOCOL).await;
    socket.send(json!({ "type": "connection_init" })).await;
    std::thread::sleep(2 * timeout);
    assert_eq!(socket.message().await, json!({ "type": "connection_ack" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_other_things_all_the_time_is_not_initialised_by_them() {
    let app = TestApp::builder()
        .config(|config| config.http.websocket.init_timeout = Duration::from_millis(50))
        .start()
        .await;
    let mut socket = Socket::connect(app.address, PROTOCOL).await;
    let ping = json!({ "type": "ping" });
    loop {
        for _ in 0..2 {
            socket.send(ping.clone()).await;
        }
        match socket.next().await {
            Received::Message(message) => assert_eq!(message["type"], "pong"),
            end => {
                let reason = "Connection initialisation timeout";
                assert_eq!(end, Received::Closed(4408, reason.into()));
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_in_use_closes_with_4409_and_a_reason_that_fits() {
    let app = TestApp::start().await;
    let (ada, _bob, chat) = app.pair().await;
    let follow = json!({ "query": MESSAGE_ADDED, "variables": { "chatId": chat } });
    let mut socket = ada.client.socket().await;
    for _ in 0..2 {
        socket.send(subscribe("1", follow.clone())).await;
    }
    assert_eq!(
        socket.next().await,
        Received::Closed(4409, "Subscriber for 1 already exists".into())
    );
    // A control frame carries 125 bytes, and no half characters.
    let mut socket = ada.client.socket().await;
    let id = "ä".repeat(128);
    for _ in 0..2 {
        socket.send(subscribe(&id, follow.clone())).await;
    }
    let cut = format!("Subscriber for {}", "ä".repeat(54));
    assert_eq!(cut.len(), 123);
    assert_eq!(socket.next().await, Received::Closed(4409, cut));
}

/// The protocol has no bound for them; a message has.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_may_be_long() {
    let app = TestApp::start().await;
    let mut socket = app.client().socket().await;
    for length in [257, 60_000] {
        let id = "x".repeat(length);
        let answer = socket.run(&id, "{ __typename }", json!({})).await;
        assert_eq!(answer, json!({ "data": { "__typename": "Query" } }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_without_a_protocol_that_is_spoken_here_closes_with_4406() {
    let app = TestApp::start().await;
    for headers in [
        vec![],
        vec![("Sec-WebSocket-Protocol", "mqtt")],
        vec![(
            "Sec-WebSocket-Protocol",
            "graphql-transport-ws2, GRAPHQL-TRANSPORT-WS",
        )],
    ] {
        let mut socket = RawSocket::open(app.address, &headers).await;
        assert_eq!(socket.upgraded.header("sec-websocket-protocol"), "");
        assert_eq!(
            socket.closed().await,
            (4406, "Subprotocol not acceptable".into())
        );
    }
    for (offered, chosen) in [
        ("graphql-transport-ws", "graphql-transport-ws"),
        ("mqtt, graphql-transport-ws", "graphql-transport-ws"),
        ("graphql-ws,graphql-transport-ws", "graphql-ws"),
        (
            "mqtt, graphql-transport-ws, graphql-ws",
            "graphql-transport-ws",
        ),
        ("graphql-ws", "graphql-ws"),
    ] {
        let headers = [("Sec-WebSocket-Protocol", offered)];
        let socket = RawSocket::open(app.address, &headers).await;
        assert_eq!(
            socket.upgraded.header("sec-websocket-protocol"),
            chosen,
            "{offered}"
        );
    }
}

/// A page of somewhere else opens no socket; one of this host, or of an allowed origin, does.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_pages_open_no_socket() {
    let app = TestApp::builder()
        .config(|config| config.http.cors_origins = vec!["https://app.example.org".into()])
        .start()
        .await;
    let open = async |origin: &str| {
        let headers = [("origin", origin)];
        Socket::try_connect_with(app.address, "graphql-transport-ws", &headers).await
    };
    let own = format!("http://{}", app.address);
    for origin in [&*own, "https://app.example.org"] {
        let Ok(mut socket) = open(origin).await else {
            panic!("{origin} opens no socket");
        };
        socket.init(None).await;
    }
    for origin in ["https://evil.example", "http://127.0.0.1:1", "null"] {
        match open(origin).await.err() {
            Some(Error::Http(answer)) => {
                assert_eq!(answer.status(), 403, "{origin}");
                let body = String::from_utf8(answer.into_body().unwrap_or_default()).unwrap();
                assert!(body.contains("FORBIDDEN"), "{body}");
            }
            other => panic!("{origin}: {other:?}"),
        }
    }
}
