//! What the events of subscriptions cost their subscriber, and how many operations one may have:
//! nobody has more computed by subscribing than by asking.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use talksy_server::config::Quota;
use talksy_tests::app::TestApp;
use talksy_tests::client::{Client, start_of, string};
use talksy_tests::faulty_store::{Fault, FaultyStore};
use talksy_tests::wire::{Answer, Event, Events};
use talksy_tests::{eventually, soon};

const FOLLOW: &str = "subscription { chatUpdated { id } }";

/// About sixty values for each message.
fn costly() -> String {
    let texts: Vec<_> = (0..60).map(|n| format!("t{n}: text")).collect();
    let texts = texts.join(" ");
    format!(
        "subscription($chat: ID!, $after: String) {{
            messageAdded(chatId: $chat, after: $after) {{ cursor node {{ seq {texts} }} }} }}"
    )
}

/// So many points an hour: too few come back in ten seconds to be waited for.
fn an_hour(burst: u32) -> Quota {
    Quota {
        burst,
        period: Duration::from_hours(1),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_take_from_the_budget_and_whoever_has_spent_it_resumes_without_loss() {
    let app = TestApp::builder()
        .config(|config| config.limits.cost_user = an_hour(5_000))
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    let follow = async |after: &str| {
        let variables = json!({ "chat": chat, "after": after });
        ada.client.subscribe(&costly(), variables).await
    };
    let mut cursor = start_of(&chat);
    let mut follows = follow(&cursor).await;
    let mut seen = 0;
    let refusal = loop {
        // Each of them costs ada about 65 points, and bob less: he is not the one who has to wait.
        assert!(seen < 100, "{seen} events cost nothing");
        bob.send(&chat, "hi").await;
        let message = follows.socket().message().await;
        if message["type"] != "next" {
            break message;
        }
        seen += 1;
        let added = &message["payload"]["data"]["messageAdded"];
        assert_eq!(added["node"]["seq"], seen);
        cursor = string(&added["cursor"]);
    };
    assert!(seen > 30, "only {seen} events for 5,000 points");
    assert_eq!(refusal["type"], "error");
    let refusal = &refusal["payload"][0]["extensions"];
    assert_eq!(refusal["code"], "RATE_LIMITED");
    let wait = refusal["retryAfter"].as_u64().unwrap();
    assert!((11..=3_600).contains(&wait), "{wait}");
    // It is the same budget as that of queries.
    let users = "{ users(first: 100) { nodes { id name } } }";
    let reply = ada.client.run(users, json!({})).await;
    assert_eq!(reply.code(), "RATE_LIMITED");
    bob.client.data("{ me { name } }", json!({})).await;

    // The message that was not told comes first.
    app.clock.advance(Duration::from_mins(8));
    let mut follows = follow(&cursor).await;
    let next = follows.next().await;
    assert_eq!(next["messageAdded"]["node"]["seq"], seen + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_shared_costs_each_of_its_subscribers_next_to_nothing() {
    const SUBSCRIPTIONS: usize = 50;
    const EVENTS: usize = 10;
    // Each takes about 185 points to open. Executed for each alone, the events would take 32,000.
    let app = TestApp::builder()
        .config(|config| config.limits.cost_user = an_hour(15_000))
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    let mut all = Vec::new();
    for _ in 0..SUBSCRIPTIONS {
        let variables = json!({ "chat": chat, "after": start_of(&chat) });
        all.push(ada.client.subscribe(&costly(), variables).await);
    }
    for seq in 1..=EVENTS {
        bob.send(&chat, "hi").await;
        for follows in &mut all {
            assert_eq!(follows.next().await["messageAdded"]["node"]["seq"], seq);
        }
    }
    let me = ada.client.run("{ me { name } }", json!({})).await;
    assert_eq!(me.body["data"]["me"]["name"], "ada");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_to_wait_for_a_moment_is_slowed_and_told_everything_in_order() {
    const EVENTS: i64 = 40;
    // A tenth of a second for each hundred points, by a clock that this test moves: too few come
    // back while the messages are sent.
    let app = TestApp::builder()
        .config(|config| {
            config.limits.cost_user = Quota {
                burst: 1_000,
                period: Duration::from_secs(1),
            };
        })
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    let variables = json!({ "chat": chat, "after": start_of(&chat) });
    let mut follows = ada.client.subscribe(&costly(), variables).await;
    for seq in 1..=EVENTS {
        app.clock.advance(Duration::from_millis(20));
        bob.send(&chat, &format!("{seq}")).await;
    }
    let mut waits = 0;
    for seq in 1..=EVENTS {
        let added = async {
            loop {
                let passes = tokio::time::sleep(Duration::from_millis(20));
                tokio::select! {
                    added = follows.next() => break added,
                    () = passes => {
                        app.clock.advance(Duration::from_millis(100));
                        waits += 1;
                    }
                }
            }
        };
        let added = soon("an event that was waited for", added).await;
        assert_eq!(added["messageAdded"]["node"]["seq"], seq);
        assert_eq!(added["messageAdded"]["node"]["t0"], seq.to_string());
    }
    assert!(waits > 0, "nothing was waited for");
}

/// The code of the `error` message that comes next, and when to try again.
fn refusal(message: &Value) -> (&str, u64) {
    let extensions = &message["payload"][0]["extensions"];
    let code = extensions["code"].as_str().unwrap_or_default();
    (code, extensions["retryAfter"].as_u64().unwrap_or_default())
}

fn stream(client: &Client) -> reqwest::RequestBuilder {
    client
        .request(Method::POST, "/graphql")
        .header("accept", "text/event-stream")
        .json(&json!({ "query": FOLLOW }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_operations_on_all_sockets_and_streams_together() {
    let app = TestApp::builder()
        .config(|config| config.http.shares.operations_per_user = 3)
        .start()
        .await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    let mut first = ada.client.socket().await;
    first.subscribe("1", FOLLOW, json!({})).await;
    // Taken in order, so that the first is counted when the second socket comes.
    first.subscribe("2", FOLLOW, json!({})).await;
    first.send(json!({ "type": "ping" })).await;
    assert_eq!(first.message().await["type"], "pong");
    let mut events = Events::of(stream(&ada.client)).await;
    assert_eq!(events.next().await, Some(Event::Comment));

    let mut second = ada.client.socket().await;
    second.subscribe("1", FOLLOW, json!({})).await;
    let error = second.message().await;
    assert_eq!(
        (&error["type"], &error["id"]),
        (&json!("error"), &json!("1"))
    );
    assert_eq!(refusal(&error), ("RATE_LIMITED", 5));
    let answer = Answer::to(stream(&ada.client)).await;
    assert_eq!((answer.status, &*answer.code()), (429, "RATE_LIMITED"));
    assert_eq!(answer.header("retry-after"), "5");
    assert_eq!(answer.json()["errors"][0]["extensions"]["retryAfter"], 5);
    // What is answered at once needs no place, and others have their own.
    ada.client.data("{ me { name } }", json!({})).await;
    let mut other = bob.client.socket().await;
    let data = other.run("1", "{ me { name } }", json!({})).await;
    assert_eq!(data["data"]["me"]["name"], "bob");

    // The socket has stayed, and what ends makes room at once.
    first.send(json!({ "type": "complete", "id": "1" })).await;
    for socket in [&mut first, &mut second] {
        for id in ["3", "4"] {
            let data = socket.run(id, "{ me { name } }", json!({})).await;
            assert_eq!(data["data"]["me"]["name"], "ada");
        }
    }
    second.subscribe("3", FOLLOW, json!({})).await;
    second.send(json!({ "type": "ping" })).await;
    assert_eq!(second.message().await["type"], "pong");
    assert_eq!(Answer::to(stream(&ada.client)).await.status, 429);
    drop(events);
    eventually("room for a stream", async || {
        let response = stream(&ada.client).send().await.ok()?;
        (response.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_so_many_operations_of_who_has_not_signed_in() {
    const LOGIN: &str = "mutation($input: LoginInput!) { login(input: $input) { expiresIn } }";
    let store = FaultyStore::new();
    let app = TestApp::builder()
        .config(|config| config.http.shares.anonymous_operations_per_address = 1)
        .ports(store.install())
        .start()
        .await;
    let ada = app.sign_in("ada").await;
    store.set("codes.issue", Fault::Held);
    let mut asking = app.client().socket().await;
    let input = json!({ "input": { "email": "stranger@example.org" } });
    asking.subscribe("1", LOGIN, input).await;
    store.arrived("codes.issue").await;
    let mut other = app.client().socket().await;
    other.subscribe("1", "{ __typename }", json!({})).await;
    let error = other.message().await;
    assert_eq!(error["type"], "error");
    assert_eq!(refusal(&error), ("RATE_LIMITED", 5));
    // Users have their own share, wherever they are.
    let mut signed_in = ada.client.socket().await;
    let data = signed_in.run("1", "{ me { name } }", json!({})).await;
    assert_eq!(data["data"]["me"]["name"], "ada");
    store.release("codes.issue", 1);
    assert_eq!(asking.message().await["type"], "next");
    assert_eq!(asking.message().await["type"], "complete");
}
