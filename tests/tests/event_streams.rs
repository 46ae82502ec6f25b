//! GraphQL over Server-Sent Events, "distinct connections" mode:
//! <https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md>.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{MESSAGE_ADDED, User, start_of};
use talksy_tests::eventually;
use talksy_tests::faulty_store::{Fault, FaultyStore};
use talksy_tests::websocket::Subscription;
use talksy_tests::wire::{Answer, Event, Events, Wire};

const STREAM: &str = "text/event-stream";

/// Follows the chat from its first message on. What is sent before the server has begun to
/// follow is replayed.
async fn follow(user: &User, chat: &str, after: &str) -> Events {
    let variables = json!({ "chatId": chat, "after": after });
    Events::of(user.client.ask(STREAM, MESSAGE_ADDED, variables)).await
}

fn seq(payload: &Value) -> &Value {
    &payload["data"]["messageAdded"]["node"]["seq"]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_brings_its_events_until_the_client_goes() {
    let app = TestApp::builder()
        .config(|config| {
            config.presence.grace = Duration::ZERO;
            config.presence.sweep = Duration::from_millis(100);
        })
        .start()
        .await;
    let (ada, bob, chat, cursor) = app.pair_with_message().await;
    let mut bob_sees = follow(&bob, &chat, &cursor).await;
    assert_eq!(bob_sees.next().await, Some(Event::Comment), "opens at once");
    for n in 2..=4 {
        ada.send(&chat, "line\nbreaks\r\nand\u{2028}more").await;
        let payload = bob_sees.payload().await;
        assert_eq!(seq(&payload), n);
        assert_eq!(
            payload["data"]["messageAdded"]["node"]["text"],
            "line\nbreaks\r\nand\u{2028}more"
        );
    }
    // The stream is what makes him present.
    let presence = "subscription($ids: [ID!]!) { presenceChanged(userIds: $ids) { status } }";
    let mut bob_is = ada
        .client
        .subscribe(presence, json!({ "ids": [bob.id] }))
        .await;
    assert_eq!(bob_is.next().await["presenceChanged"]["status"], "ONLINE");
    drop(bob_sees);
    assert_eq!(bob_is.next().await["presenceChanged"]["status"], "OFFLINE");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_clients_accept_both_and_get_a_stream_for_subscriptions_only() {
    let app = TestApp::start().await;
    let (ada, bob, chat, cursor) = app.pair_with_message().await;
    let urql = "application/graphql-response+json, application/graphql+json, application/json, \
        text/event-stream, multipart/mixed";
    let variables = json!({ "chatId": chat, "after": cursor });
    let mut events = Events::of(bob.client.ask(urql, MESSAGE_ADDED, variables.clone())).await;
    ada.send(&chat, "second").await;
    assert_eq!(seq(&events.payload().await), 2);
    let answer = Answer::to(bob.client.ask(urql, "{ me { name } }", json!({}))).await;
    assert_eq!(
        answer.json(),
        json!({ "data": { "me": { "name": "bob" } } })
    );

    // Without the wish for a stream, a subscription has no answer.
    let json = "application/graphql-response+json";
    let answer = Answer::to(bob.client.ask(json, MESSAGE_ADDED, variables)).await;
    assert_eq!((answer.status, &*answer.code()), (400, "BAD_USER_INPUT"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_one_event_where_nothing_but_a_stream_is_accepted() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let mut events = Events::of(ada.client.ask(STREAM, "{ me { name } }", json!({}))).await;
    assert_eq!(
        events.event().await,
        Some((
            "next".into(),
            "{\"data\":{\"me\":{\"name\":\"ada\"}}}".into()
        ))
    );
    events.completed().await;

    let get = ada
        .client
        .request(Method::GET, "/graphql?query=%7B__typename%7D")
        .header("accept", STREAM)
        .header("x-graphql-request", "true");
    let mut events = Events::of(get).await;
    assert_eq!(
        events.payload().await,
        json!({ "data": { "__typename": "Query" } })
    );
    events.completed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_an_operation_come_as_an_event_that_completes_it() {
    let app = TestApp::start().await;
    let (ada, _bob, chat, cursor) = app.pair_with_message().await;
    let refused = app.client().with_token("nonsense");
    let other = app.sign_in("eve").await.client;
    let after = json!({ "chatId": chat, "after": cursor });
    for (client, query, variables, code) in [
        (&ada.client, "{", json!({}), "GRAPHQL_PARSE_FAILED"),
        (
            &ada.client,
            "subscription { nothing }",
            json!({}),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (&ada.client, MESSAGE_ADDED, json!({}), "BAD_USER_INPUT"),
        (
            &ada.client,
            MESSAGE_ADDED,
            json!({ "chatId": chat, "after": "x" }),
            "BAD_USER_INPUT",
        ),
        (
            &app.client(),
            MESSAGE_ADDED,
            after.clone(),
            "UNAUTHENTICATED",
        ),
        (&refused, MESSAGE_ADDED, after.clone(), "UNAUTHENTICATED"),
        (&other, MESSAGE_ADDED, after, "NOT_FOUND"),
    ] {
        let mut events = Events::of(client.ask(STREAM, query, variables)).await;
        let payload = events.payload().await;
        let found = &payload["errors"][0]["extensions"]["code"];
        if code == "NOT_FOUND" {
            // Whether there is such a chat is not for a stranger to know.
            assert!(found == "NOT_FOUND" || found == "FORBIDDEN", "{payload}");
        } else {
            assert_eq!(found, code, "{payload}");
        }
        assert!(payload.get("data").is_none());
        events.completed().await;
    }
    // What is no request at all is refused before there is a stream.
    let answer = ada
        .client
        .request(Method::POST, "/graphql")
        .header("accept", STREAM)
        .header("content-type", "application/json")
        .body("{}");
    assert_eq!(Answer::to(answer).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_stream_is_kept_open_by_comments() {
    let app = TestApp::builder()
        .config(|config| config.http.sse_keep_alive = Duration::from_millis(50))
        .start()
        .await;
    let (ada, bob, chat, cursor) = app.pair_with_message().await;
    let mut events = follow(&bob, &chat, &cursor).await;
    for _ in 0..4 {
        assert_eq!(events.next().await, Some(Event::Comment));
    }
    ada.send(&chat, "second").await;
    assert_eq!(seq(&events.payload().await), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_token_and_with_its_session() {
    let app = TestApp::builder()
        .config(|config| config.http.sse_keep_alive = Duration::from_millis(50))
        .start()
        .await;
    let (ada, bob, chat, cursor) = app.pair_with_message().await;
    let mut of_ada = follow(&ada, &chat, &cursor).await;
    let mut of_bob = follow(&bob, &chat, &cursor).await;
    assert_eq!(of_bob.next().await, Some(Event::Comment));
    let logout = "mutation { logout { sessionId } }";
    bob.client.data(logout, json!({})).await;
    let payload = of_bob.payload().await;
    assert_eq!(
        payload["errors"][0]["extensions"]["code"],
        "UNAUTHENTICATED"
    );
    of_bob.completed().await;

    ada.send(&chat, "for ada alone").await;
    assert_eq!(seq(&of_ada.payload().await), 2);
    app.clock.advance(Duration::from_mins(11));
    let payload = of_ada.payload().await;
    assert_eq!(payload["errors"][0]["extensions"]["code"], "TOKEN_EXPIRED");
    of_ada.completed().await;
}

/// Follows a chat from its start with events of 800 kB, over a connection of which nothing is read
/// but that the stream is open.
async fn unread(user: &User, chat: &str) -> Wire {
    let texts = (0..50).fold(String::new(), |texts, n| format!("{texts} t{n}: text"));
    let query = format!(
        "subscription($chat: ID!, $after: String) {{
            messageAdded(chatId: $chat, after: $after) {{ node {{ {texts} }} }} }}"
    );
    let variables = json!({ "chat": chat, "after": start_of(chat) });
    let body = json!({ "query": query, "variables": variables }).to_string();
    let mut wire = Wire::narrow(user.client.address()).await;
    wire.write(format!(
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Accept: {STREAM}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
        user.client.token().unwrap_or_default(),
        body.len()
    ))
    .await;
    assert_eq!(wire.head().await.status, 200);
    wire
}

/// Sends so much to a chat that no connection holds it unread.
async fn fill(user: &User, chat: &str) {
    for _ in 0..24 {
        user.send(chat, &"😀".repeat(4_000)).await;
    }
}

/// Follows whether a user is online, and sees that they are.
async fn sees_online(user: &User, other: &User) -> Subscription {
    let presence = "subscription($ids: [ID!]!) { presenceChanged(userIds: $ids) { status } }";
    let variables = json!({ "ids": [other.id] });
    let mut seen = user.client.subscribe(presence, variables).await;
    assert_eq!(seen.next().await["presenceChanged"]["status"], "ONLINE");
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_not_read_ends_and_leaves_its_place_and_its_user_offline() {
    let app = TestApp::builder()
        .config(|config| {
            config.http.write_timeout = Duration::from_secs(1);
            config.http.shares.sockets_per_user = 1;
            config.presence.grace = Duration::ZERO;
            config.presence.sweep = Duration::from_millis(100);
        })
        .start()
        .await;
    let (ada, bob, chat, _) = app.pair_with_message().await;
    let mut stuck = unread(&bob, &chat).await;
    let mut bob_is = sees_online(&ada, &bob).await;
    fill(&ada, &chat).await;
    stuck.given_up().await;
    assert_eq!(bob_is.next().await["presenceChanged"]["status"], "OFFLINE");
    eventually("a place for a stream", async || {
        let variables = json!({ "chatId": chat, "after": start_of(&chat) });
        let again = bob.client.ask(STREAM, MESSAGE_ADDED, variables).send();
        (again.await.ok()?.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_not_read_ends_with_its_session_and_with_its_token_all_the_same() {
    let app = TestApp::builder()
        .config(|config| {
            // What is not read is no reason here.
            config.http.write_timeout = Duration::from_mins(10);
            config.http.websocket.close_timeout = Duration::from_secs(1);
            config.http.sse_keep_alive = Duration::from_millis(50);
            config.presence.grace = Duration::ZERO;
            config.presence.sweep = Duration::from_millis(100);
        })
        .start()
        .await;
    let (ada, bob, chat, _) = app.pair_with_message().await;
    let mut of_ada = unread(&ada, &chat).await;
    let mut of_bob = unread(&bob, &chat).await;
    let mut bob_is = sees_online(&ada, &bob).await;
    fill(&ada, &chat).await;
    let logout = "mutation { logout { sessionId } }";
    bob.client.data(logout, json!({})).await;
    assert_eq!(bob_is.next().await["presenceChanged"]["status"], "OFFLINE");
    of_bob.given_up().await;

    app.clock.advance(Duration::from_mins(11));
    of_ada.given_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_stream_that_is_not_read() {
    let app = TestApp::builder()
        .config(|config| {
            config.http.write_timeout = Duration::from_mins(10);
            config.http.websocket.close_timeout = Duration::from_secs(1);
            config.shutdown.drain = Duration::from_mins(10);
        })
        .start()
        .await;
    let (ada, bob, chat, _) = app.pair_with_message().await;
    let mut stuck = unread(&bob, &chat).await;
    fill(&ada, &chat).await;
    app.stop().await;
    stuck.given_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_streams_without_completing_them_so_that_clients_come_back() {
    let app = TestApp::start().await;
    let (ada, bob, chat, cursor) = app.pair_with_message().await;
    let mut events = follow(&bob, &chat, &cursor).await;
    ada.send(&chat, "second").await;
    let last = events.payload().await;
    app.stop().await;
    assert_eq!(events.event().await, None);
    assert_eq!(seq(&last), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_count_among_the_connections_that_may_be_open() {
    let app = TestApp::builder()
        .config(|config| config.http.websocket.max_sockets = 1)
        .start()
        .await;
    let (_ada, bob, chat, cursor) = app.pair_with_message().await;
    let first = follow(&bob, &chat, &cursor).await;
    let again = || {
        let variables = json!({ "chatId": chat, "after": cursor });
        bob.client.ask(STREAM, MESSAGE_ADDED, variables)
    };
    let answer = Answer::to(again()).await;
    assert_eq!((answer.status, &*answer.code()), (503, "UNAVAILABLE"));
    let query = Answer::to(bob.client.ask(STREAM, "{ __typename }", json!({}))).await;
    assert_eq!(query.status, 200, "one event is soon over");
    drop(first);
    eventually("a place for a stream", async || {
        (again().send().await.ok()?.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_bus_ends_a_stream_as_unavailable() {
    let store = FaultyStore::new();
    let app = TestApp::builder().ports(store.install()).start().await;
    let (ada, bob, chat, cursor) = app.pair_with_message().await;
    store.set("bus", Fault::Unavailable("taken away by the test"));
    let mut stream = follow(&bob, &chat, &cursor).await;
    let payload = stream.payload().await;
    assert_eq!(
        payload["errors"][0]["extensions"]["code"], "UNAVAILABLE",
        "{payload}"
    );
    stream.completed().await;
    store.set("bus", Fault::None);
    let mut stream = follow(&bob, &chat, &cursor).await;
    ada.send(&chat, "back").await;
    assert_eq!(seq(&stream.payload().await), 2);
}
