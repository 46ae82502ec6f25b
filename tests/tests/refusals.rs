//! A refusal is the same over every transport: the same error, whether it came over HTTP by POST or GET,
//! in a batch, as an event of a stream of its own or of a shared one, as a part of a multipart
//! response, or over either protocol of sockets.

use std::fmt::Write as _;

use http::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use talksy_tests::app::TestApp;
use talksy_tests::client::Client;
use talksy_tests::multipart::Parts;
use talksy_tests::websocket::Socket;
use talksy_tests::wire::{Answer, Events};

const GRAPHQL: &str = "application/graphql-response+json";
const JSON: &str = "application/json";
const STREAM: &str = "text/event-stream";
const MULTIPART: &str = "multipart/mixed;subscriptionSpec=1.0";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Post,
    OlderPost,
    Get,
    Batch,
    EventStream,
    SharedStream,
    Multipart,
    Socket,
    OlderSocket,
}

use Transport::{
    Batch, EventStream, Get, Multipart, OlderPost, OlderSocket, Post, SharedStream,
    Socket as OfSocket,
};

/// Those that run any operation.
const ALL: [Transport; 9] = [
    Post,
    OlderPost,
    Get,
    Batch,
    EventStream,
    SharedStream,
    Multipart,
    OfSocket,
    OlderSocket,
];

/// Those that run subscriptions.
const OF_SUBSCRIPTIONS: [Transport; 5] =
    [EventStream, SharedStream, Multipart, OfSocket, OlderSocket];

fn post(client: &Client, accept: &str, body: &Value) -> reqwest::RequestBuilder {
    client
        .request(Method::POST, "/graphql")
        .header("accept", accept)
        .json(body)
}

/// The request's parameters in the URL.
fn get(client: &Client, request: &Value) -> reqwest::RequestBuilder {
    let mut path = String::from("/graphql?");
    for (name, value) in request.as_object().into_iter().flatten() {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        path.extend([name.as_str(), "="]);
        for byte in text.bytes() {
            // Writing to memory cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
        path.push('&');
    }
    client.request(Method::GET, &path).header("accept", GRAPHQL)
}

/// The answer to an operation of a shared stream: where it was sent, or on the stream.
async fn shared(client: &Client, mut request: Value) -> Value {
    let token = Answer::to(client.request(Method::PUT, "/graphql")).await;
    assert_eq!(token.status, 201);
    let token = token.text();
    let header = "x-graphql-event-stream-token";
    let opening = client
        .request(Method::GET, "/graphql")
        .header("accept", STREAM)
        .header(header, &token);
    let mut events = Events::of(opening).await;
    request["extensions"]["operationId"] = json!("1");
    let answer = Answer::to(post(client, JSON, &request).header(header, &token)).await;
    if answer.status != 202 {
        assert_eq!(answer.status, 400);
        return answer.json();
    }
    events.payload().await["payload"].take()
}

/// The answer on a socket, in the form of one over HTTP.
async fn on_socket(client: &Client, protocol: &str, request: &Value) -> Value {
    let mut socket = Socket::connect(client.address(), protocol).await;
    socket.init(client.token()).await;
    let start = match protocol {
        "graphql-ws" => "start",
        _ => "subscribe",
    };
    socket
        .send(json!({ "type": start, "id": "1", "payload": request }))
        .await;
    loop {
        let mut message = socket.message().await;
        let payload = message["payload"].take();
        match message["type"].as_str() {
            Some("next" | "data") => return payload,
            // The older protocol has one error where the newer has a list.
            Some("error") if payload.is_object() => return json!({ "errors": [payload] }),
            Some("error") => return json!({ "errors": payload }),
            Some("ka") => {}
            _ => panic!("unexpected: {message}"),
        }
    }
}

/// How a request is answered.
async fn answer(client: &Client, transport: Transport, request: &Value) -> Value {
    match transport {
        Post => Answer::to(post(client, GRAPHQL, request)).await.json(),
        OlderPost => Answer::to(post(client, JSON, request)).await.json(),
        Get => Answer::to(get(client, request)).await.json(),
        Batch => {
            let answer = Answer::to(post(client, GRAPHQL, &json!([request]))).await;
            assert_eq!(answer.status, 200);
            answer.json()[0].take()
        }
        EventStream => {
            let mut events = Events::of(post(client, STREAM, request)).await;
            let payload = events.payload().await;
            events.completed().await;
            payload
        }
        SharedStream => shared(client, request.clone()).await,
        Multipart => {
            let mut parts = Parts::of(post(client, MULTIPART, request)).await;
            parts.payload().await
        }
        OfSocket => on_socket(client, "graphql-transport-ws", request).await,
        OlderSocket => on_socket(client, "graphql-ws", request).await,
    }
}

/// The errors of an answer, without the ids of their requests, which all have one.
fn errors(answer: &Value, at: &str) -> Value {
    let mut errors = answer["errors"].clone();
    for error in errors.as_array_mut().into_iter().flatten() {
        assert!(error["message"].is_string(), "{at}: {answer}");
        let extensions = error["extensions"].as_object_mut();
        let id = extensions.and_then(|extensions| extensions.remove("requestId"));
        let id = id.as_ref().and_then(Value::as_str).unwrap_or_default();
        assert_eq!(id.len(), 32, "{at}: {answer}");
    }
    errors
}

/// Asserts that all of the transports refuse the request with this code and in the same words.
async fn refused(client: &Client, transports: &[Transport], request: Value, code: &str) {
    let mut first: Option<Value> = None;
    for &transport in transports {
        let at = format!("{transport:?}: {request}");
        let answer = answer(client, transport, &request).await;
        let errors = errors(&answer, &at);
        assert_eq!(errors[0]["extensions"]["code"], code, "{at}: {answer}");
        let of_first = first.get_or_insert_with(|| json!([errors, answer.get("data")]));
        assert_eq!(*of_first, json!([errors, answer.get("data")]), "{at}");
    }
}

fn persisted(text: &str) -> Value {
    let hash = hex::encode(Sha256::digest(text));
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_is_refused_the_same_over_every_transport() {
    let app = TestApp::builder()
        .config(|config| config.http.query.max_bytes = 1024)
        .start()
        .await;
    let ada = app.sign_in("ada").await.client;
    let of = |query: &str| json!({ "query": query });
    let deep = format!("{}a{}", "{ a ".repeat(30), " }".repeat(30));
    let node = "query Node($id: ID!) { node(id: $id) { id } }";
    for (request, code) in [
        (of("{"), "GRAPHQL_PARSE_FAILED"),
        (of("{ me(: 1) }"), "GRAPHQL_PARSE_FAILED"),
        (of("{ a(b: \"c) }"), "GRAPHQL_PARSE_FAILED"),
        (of("{ nothing }"), "GRAPHQL_VALIDATION_FAILED"),
        (
            of("query A { __typename } query B { __typename }"),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            json!({ "query": node, "operationName": "Other" }),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (of(node), "BAD_USER_INPUT"),
        (
            json!({
                "query": "query($n: Int) { users(first: $n) { nodes { id } } }",
                "variables": { "n": "x" },
            }),
            "BAD_USER_INPUT",
        ),
        (
            of("{ users(first: -1) { nodes { id } } }"),
            "BAD_USER_INPUT",
        ),
        (of(&deep), "QUERY_TOO_COMPLEX"),
        (
            of(&format!("{{ __typename }} # {}", "x".repeat(1024))),
            "PAYLOAD_TOO_LARGE",
        ),
        (
            json!({ "extensions": persisted("{ unknown }") }),
            "PERSISTED_QUERY_NOT_FOUND",
        ),
        (
            json!({ "query": "{ a }", "extensions": persisted("{ b }") }),
            "BAD_REQUEST",
        ),
        (
            json!({ "documentId": "me" }),
            "PERSISTED_QUERY_NOT_SUPPORTED",
        ),
    ] {
        refused(&ada, &ALL, request, code).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_so_the_same_over_every_transport() {
    let app = TestApp::start().await;
    let nobody = app.client();
    let chats = json!({ "query": "{ chats { nodes { id } } }" });
    refused(&nobody, &ALL, chats, "UNAUTHENTICATED").await;
    let updates = json!({ "query": "subscription { chatUpdated { id } }" });
    refused(&nobody, &OF_SUBSCRIPTIONS, updates, "UNAUTHENTICATED").await;
    // A subscription is none of the others' business, and they say whose it is.
    let updates = json!({ "query": "subscription { chatUpdated { id } }" });
    refused(
        &nobody,
        &[Post, OlderPost, Get, Batch],
        updates,
        "BAD_USER_INPUT",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_refused_the_same_over_every_transport() {
    let app = TestApp::start().await;
    let (_, bob, chat) = app.pair().await;
    let eve = app.sign_in("eve").await.client;
    let added = "subscription($chat: ID!, $after: String) {
        messageAdded(chatId: $chat, after: $after) { cursor } }";
    let of = |variables: Value| json!({ "query": added, "variables": variables });
    for (request, code) in [
        (of(json!({ "chat": "x" })), "BAD_USER_INPUT"),
        (of(json!({ "chat": chat, "after": "x" })), "BAD_USER_INPUT"),
        (of(json!({})), "BAD_USER_INPUT"),
        (
            json!({ "query": "subscription { nothing }" }),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            json!({ "query": "subscription { a: chatUpdated { id } b: chatUpdated { id } }" }),
            "GRAPHQL_VALIDATION_FAILED",
        ),
    ] {
        refused(&bob.client, &OF_SUBSCRIPTIONS, request, code).await;
    }
    let unknown = "cht_01h455vb4pex5vsknk084sn02q";
    let request = of(json!({ "chat": unknown }));
    refused(&eve, &OF_SUBSCRIPTIONS, request, "NOT_FOUND").await;
}

/// A server that runs registered documents only is as strict over every transport.
#[tokio::test(flavor = "multi_thread")]
async fn other_documents_than_registered_ones_are_refused_over_every_transport() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("documents.json");
    std::fs::write(&file, r#"{ "typename": "{ __typename }" }"#).unwrap();
    let app = TestApp::builder()
        .config(move |config| {
            config.http.documents.trusted = Some(file);
            config.http.documents.trusted_only = true;
        })
        .start()
        .await;
    let client = app.client();
    for transport in ALL {
        let request = json!({ "documentId": "typename" });
        let answer = answer(&client, transport, &request).await;
        let expected = json!({ "data": { "__typename": "Query" } });
        assert_eq!(answer, expected, "{transport:?}");
    }
    for query in ["{ __schema { queryType { name } } }", "{ me { id } }"] {
        let request = json!({ "query": query });
        refused(&client, &ALL, request, "PERSISTED_QUERY_ONLY").await;
    }
    let unknown = json!({ "documentId": "unknown" });
    refused(&client, &ALL, unknown, "PERSISTED_QUERY_NOT_FOUND").await;
}

/// The bytes of an answer, but for the ids of its request.
async fn written(client: &Client, request: &Value) -> String {
    let mut text = Answer::to(post(client, GRAPHQL, request)).await.text();
    let member = "\"requestId\":\"";
    while let Some(at) = text.find(member) {
        text.replace_range(at..=at + member.len() + 32, "");
    }
    text
}

/// What was found valid is not validated again: variables that do not fit are refused all the same, in
/// the same words, at the same place.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_has_run_is_refused_as_one_that_is_new() {
    let app = TestApp::start().await;
    let (ada, _, chat) = app.pair().await;
    let ada = ada.client;
    let many = "query Many($ids: [ID!]!, $first: Int, $on: Boolean! = true) {
        nodes(ids: $ids) { id } users(first: $first) @include(if: $on) { nodes { id } } }";
    let send = "mutation Send($input: SendMessageInput!) {
        sendMessage(input: $input) { message { id } } }";
    let parts = "mutation Parts($chat: ID!, $text: String, $seq: Int!) {
        sendMessage(input: { chatId: $chat, text: $text }) { message { text } }
        markRead(input: { chatId: $chat, seq: $seq }) { chat { id } } }";
    let added = "subscription Added($chat: ID!, $after: String) {
        messageAdded(chatId: $chat, after: $after) { cursor } }";
    let wrong =
        json!([true, -1, 1.5, 3_000_000_000_u64, "x", "", null, [], [null], {}, { "x": 1 }]);
    let wrong = wrong.as_array().unwrap();
    let mut tried = 0;
    for (query, right, runs_on) in [
        (
            many,
            json!({ "ids": [], "first": 1, "on": true }),
            [Post, Batch],
        ),
        (
            send,
            json!({ "input": { "chatId": chat, "text": "t" } }),
            [Post, OfSocket],
        ),
        (
            parts,
            json!({ "chat": chat, "text": "t", "seq": 0 }),
            [Post, EventStream],
        ),
        (
            added,
            json!({ "chat": "x", "after": "x" }),
            [EventStream, OfSocket],
        ),
    ] {
        // The subscription's variables are of their types, and refused behind that.
        answer(
            &ada,
            runs_on[1],
            &json!({ "query": query, "variables": right }),
        )
        .await;
        let mut cases: Vec<Value> = vec![json!({})];
        for name in right.as_object().unwrap().keys() {
            for value in wrong {
                let mut case = right.clone();
                case[name] = value.clone();
                cases.push(case);
            }
        }
        if query == send {
            for (name, value) in [("chatId", json!(true)), ("text", json!(7)), ("y", json!(1))] {
                let mut case = right.clone();
                case["input"][name] = value;
                cases.push(case);
            }
        }
        for variables in cases {
            tried += 1;
            let known = json!({ "query": query, "variables": variables });
            let new = json!({ "query": format!("{query} # {tried}"), "variables": variables });
            // What sends a message tells of it each time by another id.
            if written(&ada, &new).await.contains("\"errors\"") {
                assert_eq!(
                    written(&ada, &known).await,
                    written(&ada, &new).await,
                    "{known}"
                );
            }
            let new = json!({ "query": format!("{query} ## {tried}"), "variables": variables });
            for transport in runs_on {
                let at = format!("{transport:?}: {known}");
                let of_new = answer(&ada, transport, &new).await;
                if of_new["errors"].is_array() {
                    let of_known = answer(&ada, transport, &known).await;
                    assert_eq!(errors(&of_known, &at), errors(&of_new, &at), "{at}");
                    assert_eq!(of_known.get("data"), of_new.get("data"), "{at}");
                }
            }
        }
    }
}
