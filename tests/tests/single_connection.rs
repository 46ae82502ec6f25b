//! GraphQL over Server-Sent Events, "single connection" mode:
//! <https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md>.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use talksy_server::config::Quota;
use talksy_tests::app::TestApp;
use talksy_tests::client::{Client, MESSAGE_ADDED, SEND, User, string};
use talksy_tests::faulty_store::{Fault, FaultyStore};
use talksy_tests::wire::{Answer, Events};
use talksy_tests::{eventually, soon};

const STREAM: &str = "text/event-stream";
const TOKEN: &str = "x-graphql-event-stream-token";

/// Reserves a stream.
async fn reserve(client: &Client) -> String {
    let answer = Answer::to(client.request(Method::PUT, "/graphql")).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.text()
}

fn opening(client: &Client, token: &str) -> reqwest::RequestBuilder {
    client
        .request(Method::GET, "/graphql")
        .header("accept", STREAM)
        .header(TOKEN, token)
}

fn operation(
    client: &Client,
    token: &str,
    id: &str,
    query: &str,
    variables: Value,
) -> reqwest::RequestBuilder {
    client
        .request(Method::POST, "/graphql")
        .header(TOKEN, token)
        .json(&json!({
            "query": query,
            "variables": variables,
            "extensions": { "operationId": id },
        }))
}

/// Starts an operation whose results go to the stream.
async fn start(client: &Client, token: &str, id: &str, query: &str, variables: Value) {
    let answer = Answer::to(operation(client, token, id, query, variables)).await;
    assert_eq!((answer.status, &*answer.text()), (202, ""));
}

async fn stop(client: &Client, token: &str, id: &str) -> Answer {
    let path = format!("/graphql?operationId={id}");
    Answer::to(client.request(Method::DELETE, &path).header(TOKEN, token)).await
}

/// The next event's name and data.
async fn event(events: &mut Events) -> (String, Value) {
    let Some((name, data)) = events.event().await else {
        panic!("the stream has ended");
    };
    (name, serde_json::from_str(&data).unwrap_or(json!(data)))
}

async fn completed(events: &mut Events, id: &str) {
    let complete = ("complete".to_owned(), json!({ "id": id }));
    assert_eq!(event(events).await, complete);
}

/// The payload of the next event, a `next` of this operation.
async fn payload(events: &mut Events, id: &str) -> Value {
    let (name, mut data) = event(events).await;
    assert_eq!((&*name, &data["id"]), ("next", &json!(id)), "{data}");
    data["payload"].take()
}

fn code(payload: &Value) -> &Value {
    &payload["errors"][0]["extensions"]["code"]
}

/// A user with an open stream.
async fn with_stream(app: &TestApp, name: &str) -> (User, String, Events) {
    let user = app.sign_in(name).await;
    let token = reserve(&user.client).await;
    let events = Events::of(opening(&user.client, &token)).await;
    (user, token, events)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_operations_share_a_stream() {
    let app = TestApp::start().await;
    let (ada, token, mut events) = with_stream(&app, "ada").await;
    let bob = app.sign_in("bob").await;
    let chat = ada.start_chat(&bob).await;
    let first = bob.send(&chat, "first").await;
    let after = string(&first["edge"]["cursor"]);
    let follow = json!({ "chatId": chat, "after": after });

    start(&ada.client, &token, "a", "{ me { name } }", json!({})).await;
    let me = json!({ "data": { "me": { "name": "ada" } } });
    assert_eq!(payload(&mut events, "a").await, me);
    completed(&mut events, "a").await;

    start(&ada.client, &token, "s", MESSAGE_ADDED, follow.clone()).await;
    bob.send(&chat, "second").await;
    let added = payload(&mut events, "s").await;
    assert_eq!(added["data"]["messageAdded"]["node"]["seq"], 2);
    let twice = operation(&ada.client, &token, "s", "{ __typename }", json!({}));
    let twice = Answer::to(twice).await;
    assert_eq!((twice.status, &*twice.code()), (409, "CONFLICT"));

    // Behind the stop nothing more comes of it, and its id is free.
    assert_eq!(stop(&ada.client, &token, "s").await.status, 200);
    assert_eq!(stop(&ada.client, &token, "unknown").await.status, 200);
    let input = json!({ "input": { "chatId": chat, "text": "third" } });
    start(&ada.client, &token, "s", SEND, input).await;
    let sent = payload(&mut events, "s").await;
    assert_eq!(sent["data"]["sendMessage"]["message"]["seq"], 3);
    completed(&mut events, "s").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_the_stream_is_brought_when_it_opens() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let token = reserve(&ada.client).await;
    start(&ada.client, &token, "a\"b", "{ __typename }", json!({})).await;
    let mut events = Events::of(opening(&ada.client, &token)).await;
    let answered = json!({ "data": { "__typename": "Query" } });
    assert_eq!(payload(&mut events, "a\"b").await, answered);
    completed(&mut events, "a\"b").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_executed_for_a_stream_that_nobody_reads() {
    let app = TestApp::start().await;
    let (ada, _bob, chat) = app.pair().await;
    let token = reserve(&ada.client).await;
    let input = json!({ "input": { "chatId": chat, "text": "hello" } });
    start(&ada.client, &token, "a", SEND, input).await;
    let last = "query($id: ID!) { chat(id: $id) { lastSeq } }";
    for _ in 0..20 {
        let data = ada.client.data(last, json!({ "id": chat })).await;
        assert_eq!(data["chat"]["lastSeq"], 0);
    }
    let mut events = Events::of(opening(&ada.client, &token)).await;
    let sent = payload(&mut events, "a").await;
    assert_eq!(sent["data"]["sendMessage"]["message"]["seq"], 1);
    completed(&mut events, "a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_stays_where_its_stream_finds_no_place() {
    let app = TestApp::builder()
        .config(|config| config.http.shares.sockets_per_user = 1)
        .start()
        .await;
    let ada = app.sign_in("ada").await;
    let socket = ada.client.socket().await;
    let token = reserve(&ada.client).await;
    let answer = Answer::to(opening(&ada.client, &token)).await;
    assert_eq!((answer.status, &*answer.code()), (429, "RATE_LIMITED"));
    assert_eq!(answer.json()["errors"][0]["extensions"]["retryAfter"], 5);
    socket.cut();
    let mut response = eventually("a place for the stream", async || {
        let response = opening(&ada.client, &token).send().await.ok()?;
        (response.status() == 200).then_some(response)
    })
    .await;
    start(&ada.client, &token, "a", "{ me { name } }", json!({})).await;
    let mut read = Vec::new();
    let all = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            read.extend_from_slice(&chunk);
            if String::from_utf8_lossy(&read).contains("event: complete") {
                break;
            }
        }
    };
    soon("the answer on the stream", all).await;
    let read = String::from_utf8_lossy(&read);
    assert!(read.contains("{\"me\":{\"name\":\"ada\"}}"), "{read}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_for_who_reserved_it() {
    let app = TestApp::start().await;
    let (ada, eve) = (app.sign_in("ada").await, app.sign_in("eve").await);
    let token = reserve(&ada.client).await;
    let typename = "{ __typename }";
    for client in [&eve.client, &app.client()] {
        let answer = Answer::to(operation(client, &token, "a", typename, json!({}))).await;
        assert_eq!((answer.status, &*answer.code()), (404, "NOT_FOUND"));
        let answer = stop(client, &token, "a").await;
        assert_eq!((answer.status, &*answer.code()), (404, "NOT_FOUND"));
    }
    let answer = Answer::to(opening(&eve.client, &token)).await;
    assert_eq!((answer.status, &*answer.code()), (404, "NOT_FOUND"));
    let answer = Answer::to(opening(&ada.client, "unknown")).await;
    assert_eq!((answer.status, &*answer.code()), (404, "NOT_FOUND"));

    // A browser's `EventSource` sends neither headers nor credentials.
    let path = format!("/graphql?token={token}");
    let source = app
        .client()
        .request(Method::GET, &path)
        .header("accept", STREAM);
    let mut events = Events::of(source).await;
    let answer = Answer::to(opening(&ada.client, &token)).await;
    assert_eq!((answer.status, &*answer.code()), (409, "CONFLICT"));
    start(&ada.client, &token, "a", "{ me { name } }", json!({})).await;
    let me = payload(&mut events, "a").await;
    assert_eq!(me["data"]["me"]["name"], "ada");

    // Credentials that do not hold are none.
    let nobody = app.client().with_token("nonsense");
    for request in [
        nobody.request(Method::PUT, "/graphql"),
        opening(&nobody, &token),
        operation(&nobody, &token, "b", typename, json!({})),
    ] {
        let answer = Answer::to(request).await;
        assert_eq!((answer.status, &*answer.code()), (401, "UNAUTHENTICATED"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anonymous_stream_is_for_its_address() {
    let app = TestApp::builder()
        .config(|config| config.http.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()])
        .start()
        .await;
    let here = app.client().from_place("192.0.2.1");
    let there = app.client().from_place("192.0.2.2");
    let token = reserve(&here).await;
    let answer = Answer::to(opening(&there, &token)).await;
    assert_eq!((answer.status, &*answer.code()), (404, "NOT_FOUND"));
    let mut events = Events::of(opening(&here, &token)).await;
    start(&here, &token, "a", "{ chats { nodes { id } } }", json!({})).await;
    let refused = payload(&mut events, "a").await;
    assert_eq!(code(&refused), "UNAUTHENTICATED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_none_is_refused_where_it_was_sent() {
    let app = TestApp::start().await;
    let (ada, token, mut events) = with_stream(&app, "ada").await;
    let without_id = ada
        .client
        .request(Method::POST, "/graphql")
        .header(TOKEN, &token)
        .json(&json!({ "query": "{ __typename }" }));
    let batch = ada
        .client
        .request(Method::POST, "/graphql")
        .header(TOKEN, &token)
        .json(&json!([{ "query": "{ __typename }", "extensions": { "operationId": "a" } }]));
    let broken = operation(&ada.client, &token, "a", "{", json!({}));
    let misfit = operation(&ada.client, &token, "a", "{ nothing }", json!({}));
    let updates = "subscription { nothing }";
    let misfit_updates = operation(&ada.client, &token, "a", updates, json!({}));
    for (request, code) in [
        (without_id, "BAD_USER_INPUT"),
        (batch, "BAD_USER_INPUT"),
        (broken, "GRAPHQL_PARSE_FAILED"),
        (misfit, "GRAPHQL_VALIDATION_FAILED"),
        (misfit_updates, "GRAPHQL_VALIDATION_FAILED"),
    ] {
        let answer = Answer::to(request).await;
        assert_eq!((answer.status, &*answer.code()), (400, code));
    }
    let unnamed = ada
        .client
        .request(Method::DELETE, "/graphql")
        .header(TOKEN, &token);
    let nowhere = ada.client.request(Method::DELETE, "/graphql?operationId=a");
    for request in [unnamed, nowhere] {
        let answer = Answer::to(request).await;
        assert_eq!((answer.status, &*answer.code()), (400, "BAD_USER_INPUT"));
    }
    let no_stream = ada
        .client
        .request(Method::GET, "/graphql")
        .header("accept", "application/json")
        .header(TOKEN, &token);
    assert_eq!(Answer::to(no_stream).await.status, 406);
    // Nothing of it came on the stream, and the id is free.
    start(&ada.client, &token, "a", "{ __typename }", json!({})).await;
    let answered = json!({ "data": { "__typename": "Query" } });
    assert_eq!(payload(&mut events, "a").await, answered);
    completed(&mut events, "a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_paid_for_once_and_ahead_of_its_validation() {
    let app = TestApp::builder()
        .config(|config| {
            config.limits.cost_user = Quota {
                burst: 1_000,
                period: Duration::from_hours(1),
            };
        })
        .start()
        .await;
    let (ada, token, mut events) = with_stream(&app, "ada").await;
    let mut told = Vec::new();
    for id in ["a", "b"] {
        let request = ada.client.request(Method::POST, "/graphql");
        let request = request.header(TOKEN, &token).json(&json!({
            "query": "{ users(first: 10) { nodes { id name } } }",
            "extensions": { "operationId": id, "cost": true },
        }));
        assert_eq!(Answer::to(request).await.status, 202);
        let answer = payload(&mut events, id).await;
        let cost = |name: &str| answer["extensions"]["cost"][name].as_u64().unwrap();
        told.push((cost("points"), cost("left")));
        completed(&mut events, id).await;
    }
    assert!(told[0].0 > 0);
    assert_eq!(told[1], (told[0].0, told[0].1 - told[0].0));

    let page = "{ users(first: 100) { nodes { id name } } }";
    let mut pages = 0;
    while ada.client.run(page, json!({})).await.body["errors"].is_null() {
        pages += 1;
        assert!(pages < 20, "{pages} pages cost next to nothing");
    }
    // What has no budget is not even validated.
    let misfit = "{ users(first: 100) { nodes { id name } } nothing }";
    start(&ada.client, &token, "c", misfit, json!({})).await;
    let refused = payload(&mut events, "c").await;
    assert_eq!(code(&refused), "RATE_LIMITED");
    completed(&mut events, "c").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_their_operations_are_bounded() {
    let app = TestApp::builder()
        .config(|config| {
            config.http.max_reservations = 1;
            config.http.websocket.max_operations = 1;
        })
        .start()
        .await;
    let (ada, token, events) = with_stream(&app, "ada").await;
    let answer = Answer::to(ada.client.request(Method::PUT, "/graphql")).await;
    assert_eq!((answer.status, &*answer.code()), (503, "UNAVAILABLE"));
    let chats = "subscription { chatUpdated { id } }";
    start(&ada.client, &token, "a", chats, json!({})).await;
    let answer = Answer::to(operation(&ada.client, &token, "b", chats, json!({}))).await;
    assert_eq!((answer.status, &*answer.code()), (429, "RATE_LIMITED"));
    assert_eq!(answer.header("retry-after"), "5");
    // The stream is gone with its client, and makes room.
    drop(events);
    eventually("room for another stream", async || {
        let request = ada.client.request(Method::PUT, "/graphql");
        (Answer::to(request).await.status == 201).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_that_is_not_used_runs_out() {
    let app = TestApp::builder()
        .config(|config| {
            config.http.max_reservations = 1;
            config.http.reservation_timeout = Duration::from_millis(50);
        })
        .start()
        .await;
    let ada = app.sign_in("ada").await;
    let token = reserve(&ada.client).await;
    eventually("the end of the reservation", async || {
        (stop(&ada.client, &token, "a").await.status == 404).then_some(())
    })
    .await;
    let answer = Answer::to(opening(&ada.client, &token)).await;
    assert_eq!((answer.status, &*answer.code()), (404, "NOT_FOUND"));
    reserve(&ada.client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_token_and_tells_each_operation() {
    let app = TestApp::builder()
        .config(|config| config.http.sse_keep_alive = Duration::from_millis(50))
        .start()
        .await;
    let (ada, token, mut events) = with_stream(&app, "ada").await;
    let chats = "subscription { chatUpdated { id } }";
    start(&ada.client, &token, "a", chats, json!({})).await;
    app.clock.advance(Duration::from_mins(11));
    let refused = payload(&mut events, "a").await;
    assert_eq!(code(&refused), "TOKEN_EXPIRED");
    completed(&mut events, "a").await;
    assert_eq!(events.event().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_a_stream_without_completing_its_operations() {
    let app = TestApp::start().await;
    let (ada, token, mut events) = with_stream(&app, "ada").await;
    let chats = "subscription { chatUpdated { id } }";
    start(&ada.client, &token, "a", chats, json!({})).await;
    app.stop().await;
    assert_eq!(events.event().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_had_no_turn_in_time_is_told_so_and_never_begins() {
    let app = TestApp::builder()
        .config(|config| config.http.execution_timeout = Duration::from_millis(200))
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    let token = reserve(&ada.client).await;
    let send = |text: &str| json!({ "input": { "chatId": chat, "text": text } });
    // Nothing is executed before the stream is open.
    start(&ada.client, &token, "late", SEND, send("late")).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let mut events = Events::of(opening(&ada.client, &token)).await;
    let told = payload(&mut events, "late").await;
    assert_eq!(code(&told), "TIMEOUT", "{told}");
    assert_eq!(told.get("data"), None, "{told}");
    completed(&mut events, "late").await;
    let first = bob.send(&chat, "first").await;
    assert_eq!(first["message"]["seq"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_begun_is_answered_before_a_stop_ends_the_stream() {
    let store = FaultyStore::new();
    let app = TestApp::builder()
        .config(|config| config.http.websocket.close_timeout = Duration::from_mins(1))
        .ports(store.install())
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    let token = reserve(&ada.client).await;
    let mut events = Events::of(opening(&ada.client, &token)).await;
    let mut idle = Events::of(opening(&bob.client, &reserve(&bob.client).await)).await;
    store.set("messages.append", Fault::Held);
    let input = json!({ "input": { "chatId": chat, "text": "hi" } });
    start(&ada.client, &token, "a", SEND, input).await;
    store.arrived("messages.append").await;
    let stop = async {
        app.stop().await;
    };
    let answer = async {
        // By then it stops.
        assert_eq!(idle.event().await, None);
        store.release("messages.append", 1);
        let sent = payload(&mut events, "a").await;
        assert_eq!(sent["data"]["sendMessage"]["message"]["seq"], 1);
        completed(&mut events, "a").await;
        assert_eq!(events.event().await, None);
    };
    tokio::join!(stop, answer);
}
