//! Apollo's protocol for subscriptions over HTTP:
//! <https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol>.

use std::time::Duration;

use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{MESSAGE_ADDED, User};
use talksy_tests::eventually;
use talksy_tests::multipart::{Part, Parts};
use talksy_tests::wire::Answer;

/// What Apollo Client 4 and 3 send, and the shortest form.
const ACCEPTED: [&str; 3] = [
    "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0,application/graphql-response+json,application/json;q=0.9",
    "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json",
    "multipart/mixed; subscriptionSpec=\"1.0\"",
];

async fn follow(user: &User, chat: &str, after: &str) -> Parts {
    let variables = json!({ "chatId": chat, "after": after });
    Parts::of(user.client.ask(ACCEPTED[0], MESSAGE_ADDED, variables)).await
}

fn seq(payload: &Value) -> &Value {
    &payload["data"]["messageAdded"]["node"]["seq"]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_brings_each_event_at_once_and_keeps_its_user_online() {
    let app = TestApp::builder()
        .config(|config| {
            config.presence.grace = Duration::ZERO;
            config.presence.sweep = Duration::from_millis(100);
        })
        .start()
        .await;
    let (ada, bob, chat, cursor) = app.pair_with_message().await;
    let presence = "subscription($ids: [ID!]!) { presenceChanged(userIds: $ids) { status } }";
    let mut bob_is = ada
        .client
        .subscribe(presence, json!({ "ids": [bob.id] }))
        .await;
    for accept in ACCEPTED {
        let variables = json!({ "chatId": chat, "after": cursor });
        let mut parts = Parts::of(bob.client.ask(accept, MESSAGE_ADDED, variables)).await;
        let sent = ada.send(&chat, "line\r\n--graphql--\r\nmore").await;
        loop {
            // What was sent for the forms before is replayed.
            let payload = parts.payload().await;
            if *seq(&payload) == sent["message"]["seq"] {
                let text = &payload["data"]["messageAdded"]["node"]["text"];
                assert_eq!(text, "line\r\n--graphql--\r\nmore");
                break;
            }
        }
        // He may have been told offline between two forms.
        while bob_is.next().await["presenceChanged"]["status"] != "ONLINE" {}
        drop(parts);
        while bob_is.next().await["presenceChanged"]["status"] != "OFFLINE" {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_answered_as_json_or_as_one_part() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let me = json!({ "data": { "me": { "name": "ada" } } });
    let query = |accept| ada.client.ask(accept, "{ me { name } }", json!({}));
    for accept in [ACCEPTED[0], ACCEPTED[1]] {
        assert_eq!(Answer::to(query(accept)).await.json(), me, "{accept}");
    }
    let mut parts = Parts::of(query(ACCEPTED[2])).await;
    assert_eq!(parts.payload().await, me);
    assert_eq!(parts.next().await, Part::Terminated);
    // Without the parameter it is another protocol, which has no subscriptions.
    let other = "multipart/mixed;deferSpec=20220824,application/json";
    let chats = "subscription { chatUpdated { id } }";
    let answer = Answer::to(ada.client.ask(other, chats, json!({}))).await;
    assert_eq!((answer.status, &*answer.code()), (200, "BAD_USER_INPUT"));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_an_operation_come_as_its_payload_and_end_it() {
    let app = TestApp::start().await;
    let (ada, _bob, chat, cursor) = app.pair_with_message().await;
    let after = json!({ "chatId": chat, "after": cursor });
    for (client, query, variables, code) in [
        (
            &ada.client,
            "subscription { nothing }",
            json!({}),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            &ada.client,
            MESSAGE_ADDED,
            json!({ "chatId": chat, "after": "x" }),
            "BAD_USER_INPUT",
        ),
        (&app.client(), MESSAGE_ADDED, after, "UNAUTHENTICATED"),
    ] {
        let mut parts = Parts::of(client.ask(ACCEPTED[0], query, variables)).await;
        let payload = parts.payload().await;
        assert_eq!(
            payload["errors"][0]["extensions"]["code"], code,
            "{payload}"
        );
        assert!(payload.get("data").is_none());
        assert_eq!(parts.next().await, Part::Terminated);
    }
    // What cannot begin is told in the format of queries.
    let broken = ada.client.ask(ACCEPTED[0], "subscription {", json!({}));
    let answer = Answer::to(broken).await;
    assert_eq!(
        (answer.status, &*answer.code()),
        (400, "GRAPHQL_PARSE_FAILED")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_response_is_kept_open_by_heartbeats_and_ends_with_token_and_session() {
    let app = TestApp::builder()
        .config(|config| config.http.sse_keep_alive = Duration::from_millis(50))
        .start()
        .await;
    let (ada, bob, chat, cursor) = app.pair_with_message().await;
    let mut of_ada = follow(&ada, &chat, &cursor).await;
    let mut of_bob = follow(&bob, &chat, &cursor).await;
    for _ in 0..3 {
        assert_eq!(of_ada.next().await, Part::Json(json!({})));
    }
    bob.client
        .data("mutation { logout { sessionId } }", json!({}))
        .await;
    let ended = |part: Part, code: &str| match part {
        Part::Json(part) => {
            assert_eq!(part["payload"], json!(null));
            assert!(
                part.as_object()
                    .is_some_and(|part| part.contains_key("payload"))
            );
            assert_eq!(part["errors"][0]["extensions"]["code"], code, "{part}");
        }
        other => panic!("{other:?}"),
    };
    ended(of_bob.message().await, "UNAUTHENTICATED");
    assert_eq!(of_bob.next().await, Part::Terminated);
    ada.send(&chat, "for ada alone").await;
    assert_eq!(*seq(&of_ada.payload().await), 2);
    app.clock.advance(Duration::from_mins(11));
    ended(of_ada.message().await, "TOKEN_EXPIRED");
    assert_eq!(of_ada.next().await, Part::Terminated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_leaves_the_last_delimiter_out_so_that_clients_come_back() {
    let app = TestApp::start().await;
    let (ada, bob, chat, cursor) = app.pair_with_message().await;
    let mut parts = follow(&bob, &chat, &cursor).await;
    ada.send(&chat, "second").await;
    assert_eq!(*seq(&parts.payload().await), 2);
    app.stop().await;
    assert_eq!(parts.message().await, Part::Cut);
}

#[tokio::test(flavor = "multi_thread")]
async fn multipart_responses_count_among_the_connections_that_may_be_open() {
    let app = TestApp::builder()
        .config(|config| config.http.websocket.max_sockets = 1)
        .start()
        .await;
    let (_ada, bob, chat, cursor) = app.pair_with_message().await;
    let first = follow(&bob, &chat, &cursor).await;
    let again = || {
        let variables = json!({ "chatId": chat, "after": cursor });
        bob.client.ask(ACCEPTED[0], MESSAGE_ADDED, variables)
    };
    let answer = Answer::to(again()).await;
    assert_eq!((answer.status, &*answer.code()), (503, "UNAVAILABLE"));
    drop(first);
    eventually("a place for a response", async || {
        (again().send().await.ok()?.status() == 200).then_some(())
    })
    .await;
}
