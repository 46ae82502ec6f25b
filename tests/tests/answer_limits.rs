//! How much a server answers, for how long it works, and what it computes for one user: hostile
//! documents are refused or cut off, and who asks for too much by mistake is told so.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use talksy_server::config::{Introspection, Quota};
use talksy_tests::app::TestApp;
use talksy_tests::client::{Client, MESSAGE_ADDED, Reply, SEND, User, start_of, string};
use talksy_tests::eventually;
use talksy_tests::faulty_store::{Fault, FaultyStore};
use talksy_tests::wire::Answer;

const KIB: usize = 1024;

/// The longest text in bytes: 16,000 of them.
fn long_text() -> String {
    "😀".repeat(4_000)
}

/// `text` under as many aliases.
fn texts(count: usize) -> String {
    let aliases: Vec<_> = (0..count).map(|n| format!("t{n}: text")).collect();
    aliases.join(" ")
}

/// A field under aliases of 20,000 letters together.
fn long_aliases(field: &str) -> String {
    let long = "a".repeat(500);
    let aliases: Vec<_> = (0..40).map(|n| format!("{long}{n}: {field}")).collect();
    aliases.join(" ")
}

/// A query for the same messages again and again.
fn repeated(fields: &str) -> String {
    format!("query($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on Message {{ {fields} }} }} }}")
}

async fn send_long(user: &User, chat: &str) -> String {
    string(&user.send(chat, &long_text()).await["message"]["id"])
}

async fn last_seq(user: &User, chat: &str) -> Value {
    let query = "query($id: ID!) { chat(id: $id) { lastSeq } }";
    user.client.data(query, json!({ "id": chat })).await["chat"]["lastSeq"].clone()
}

/// A server whose answers have at most 64 KiB, and may cost what they want.
async fn narrow() -> TestApp {
    TestApp::builder()
        .config(|config| {
            config.http.max_answer_bytes = 64 * KIB;
            config.http.query.max_cost = 100_000_000;
        })
        .start()
        .await
}

#[track_caller]
fn assert_too_large(reply: &Reply) {
    assert_eq!((reply.status, reply.code()), (200, "RESPONSE_TOO_LARGE"));
    let data = reply.body.get("data");
    assert_eq!(data, Some(&Value::Null), "something was executed");
    assert_eq!(reply.body["errors"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_asked_for_again_and_again_is_refused_before_it_is_read() {
    let store = FaultyStore::new();
    let app = TestApp::builder().ports(store.install()).start().await;
    let (ada, _bob, chat) = app.pair().await;
    let id = send_long(&ada, &chat).await;
    let before = store.calls("messages");
    let ids = json!({ "ids": vec![id.clone(); 100] });
    let reply = ada.client.run(&repeated(&texts(90)), ids).await;
    assert_eq!((reply.status, reply.code()), (400, "QUERY_TOO_COMPLEX"));
    assert_eq!(store.calls("messages"), before);

    // An argument counts as often as it is copied.
    let variables = "$a ".repeat(1_000);
    let query = format!("query($a: ID!) {{ nodes(ids: [{variables}]) {{ id }} }}");
    let reply = ada
        .client
        .run(&query, json!({ "a": "x".repeat(200_000) }))
        .await;
    assert_eq!(reply.code(), "QUERY_TOO_COMPLEX");
    assert_eq!(store.calls("messages"), before);

    // What people ask for is answered, with the longest of texts.
    let ids = json!({ "ids": vec![id; 100] });
    let nodes = ada.client.data(&repeated("text"), ids).await;
    assert_eq!(nodes["nodes"].as_array().map(Vec::len), Some(100));
    assert_eq!(nodes["nodes"][99]["text"], json!(long_text()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_grows_too_large_is_cut_off() {
    let app = narrow().await;
    let (ada, _bob, chat) = app.pair().await;
    let id = send_long(&ada, &chat).await;
    let ids = |count: usize| json!({ "ids": vec![id.clone(); count] });
    for (fields, count) in [
        (texts(1), 5),
        (texts(90), 100),
        // Resolvers that wait for each other hold nothing back.
        (
            format!("sender {{ name }} chat {{ title }} {}", texts(20)),
            50,
        ),
        (texts(5), 1),
        // What is written may be too large though little is resolved.
        (long_aliases("__typename"), 10),
        (long_aliases("seq"), 10),
    ] {
        let reply = ada.client.run(&repeated(&fields), ids(count)).await;
        assert_too_large(&reply);
        // The same over a socket.
        let mut socket = ada.client.socket().await;
        let payload = socket.run("1", &repeated(&fields), ids(count)).await;
        assert_eq!(payload["data"], Value::Null);
        assert_eq!(
            payload["errors"][0]["extensions"]["code"],
            "RESPONSE_TOO_LARGE"
        );
    }
    // Below the bound the answer is whole, although it might have been larger.
    let data = ada.client.data(&repeated(&texts(2)), ids(2)).await;
    assert_eq!(data["nodes"][1]["t1"], json!(long_text()));
    let data = ada.client.data(&repeated("id seq createdAt"), ids(3)).await;
    assert_eq!(data["nodes"][2]["seq"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mutation_did_is_told_though_its_answer_is_too_large() {
    let app = narrow().await;
    let (ada, bob, chat) = app.pair().await;
    let mutation = format!(
        "mutation($chat: ID!, $text: String!) {{
            a: sendMessage(input: {{ chatId: $chat, text: $text }}) {{ message {{ {} }} }}
            b: sendMessage(input: {{ chatId: $chat, text: \"b\" }}) {{ message {{ seq }} }}
            c: sendMessage(input: {{ chatId: $chat, text: \"\" }}) {{ message {{ seq }} }} }}",
        texts(10)
    );
    let variables = json!({ "chat": chat, "text": long_text() });
    let reply = ada.client.run(&mutation, variables).await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.body["data"],
        json!({ "a": null, "b": null, "c": null })
    );
    let errors = reply.body["errors"].as_array().unwrap();
    let told: Vec<_> = errors
        .iter()
        .map(|error| {
            let extensions = &error["extensions"];
            (&error["path"], &extensions["code"], &extensions["done"])
        })
        .collect();
    let (done, too_large) = (json!(true), json!("RESPONSE_TOO_LARGE"));
    assert_eq!(
        told,
        [
            (&json!(["a"]), &too_large, &done),
            (&json!(["b"]), &too_large, &done),
            (&json!(["c"]), &json!("BAD_USER_INPUT"), &Value::Null),
        ]
    );
    assert_eq!(last_seq(&bob, &chat).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_too_large_ends_its_subscription_and_no_other() {
    let app = narrow().await;
    let (ada, bob, chat) = app.pair().await;
    let large = format!(
        "subscription($chatId: ID!, $after: String) {{
            messageAdded(chatId: $chatId, after: $after) {{ node {{ seq {} }} }} }}",
        texts(10)
    );
    let variables = json!({ "chatId": chat, "after": start_of(&chat) });
    let mut greedy = bob.client.subscribe(&large, variables.clone()).await;
    let mut modest = bob.client.subscribe(MESSAGE_ADDED, variables).await;
    ada.send(&chat, "short").await;
    assert_eq!(greedy.next().await["messageAdded"]["node"]["seq"], 1);
    send_long(&ada, &chat).await;
    assert_eq!(greedy.error_code().await, "RESPONSE_TOO_LARGE");
    assert_eq!(modest.seqs(2).await, [1, 2]);
}

fn post(client: &Client, body: &Value) -> reqwest::RequestBuilder {
    client
        .request(Method::POST, "/graphql")
        .header("accept", "application/graphql-response+json")
        .json(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answers_of_a_batch_are_bounded_together() {
    let app = TestApp::builder()
        .config(|config| config.http.max_batch_answer_bytes = 64 * KIB)
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    let id = send_long(&ada, &chat).await;
    let query = repeated(&texts(3));
    let three = json!({ "query": query, "variables": { "ids": [id] } });
    let input = json!({ "chatId": chat, "text": "done" });
    let send = json!({ "query": SEND, "variables": { "input": input } });
    let batch = json!([three, three, send]);
    let answers = Answer::to(post(&ada.client, &batch)).await;
    assert_eq!(answers.status, 200);
    assert!(answers.body.len() <= 64 * KIB, "{}", answers.body.len());
    let answers = answers.json();
    assert_eq!(answers[0]["data"]["nodes"][0]["t2"], json!(long_text()));
    assert_eq!(answers[1]["data"], Value::Null);
    let code = &answers[1]["errors"][0]["extensions"]["code"];
    assert_eq!(code, "RESPONSE_TOO_LARGE");
    // What fits in what is left is told.
    assert_eq!(answers[2]["data"]["sendMessage"]["message"]["seq"], 2);
    assert_eq!(last_seq(&bob, &chat).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operations_of_a_batch_are_afforded_together_or_none_is_done() {
    let app = TestApp::builder()
        .config(|config| config.http.query.max_cost = 150)
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    let input = json!({ "chatId": chat, "text": "hi" });
    let send = json!({ "query": SEND, "variables": { "input": input } });
    let users = json!({ "query": "{ users(first: 50) { nodes { id } } }" });
    let one = Answer::to(post(&ada.client, &json!([users, { "query": "{" }]))).await;
    assert!(one.json()[0]["data"]["users"]["nodes"].is_array());
    let batch = json!([send, users, { "query": "{" }, users]);
    let answers = Answer::to(post(&ada.client, &batch)).await.json();
    let codes = [0, 1, 2, 3].map(|n| answers[n]["errors"][0]["extensions"]["code"].clone());
    let too_much = "QUERY_TOO_COMPLEX";
    let expected = [too_much, too_much, "GRAPHQL_PARSE_FAILED", too_much];
    assert_eq!(codes, expected.map(|code| json!(code)));
    assert_eq!(last_seq(&bob, &chat).await, 0);
}

const TYPING: &str = "subscription($id: ID!) {
    typingChanged(chatId: $id) { isTyping user { name } } }";

/// A server that gives up soon, in front of whose store a test may put faults, with two users in a
/// chat: they were signed in on one that does not.
async fn hasty(store: &FaultyStore) -> (TestApp, Client, Client, String) {
    let patient = TestApp::start().await;
    let (ada, bob, chat) = patient.pair().await;
    let data = patient.stop().await;
    let app = TestApp::builder()
        .data(data)
        .ports(store.install())
        .config(|config| config.http.execution_timeout = Duration::from_millis(300))
        .start()
        .await;
    let at = |user: &User| {
        app.client()
            .with_token(user.client.token().unwrap_or_default())
    };
    let (ada, bob) = (at(&ada), at(&bob));
    (app, ada, bob, chat)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_takes_too_long_is_stopped() {
    let store = FaultyStore::new();
    let (_app, ada, _bob, _chat) = hasty(&store).await;
    store.set("users", Fault::Held);
    let reply = ada.run("{ me { name } }", json!({})).await;
    assert_eq!((reply.status, reply.code()), (200, "TIMEOUT"));
    assert_eq!(reply.body.get("data"), Some(&Value::Null));
    let mut socket = ada.socket().await;
    let payload = socket.run("1", "{ me { name } }", json!({})).await;
    assert_eq!(payload["errors"][0]["extensions"]["code"], "TIMEOUT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mutation_that_takes_too_long_is_told_so_and_done() {
    let store = FaultyStore::new();
    let (_app, ada, bob, chat) = hasty(&store).await;
    store.set("messages.append", Fault::Held);
    let input = json!({ "chatId": chat, "text": "late" });
    let reply = ada.run(SEND, json!({ "input": input })).await;
    assert_eq!((reply.status, reply.code()), (200, "TIMEOUT"));
    assert_eq!(reply.body.get("data"), Some(&Value::Null));
    store.arrived("messages.append").await;
    store.release("messages.append", 1);
    let query = "query($id: ID!) { chat(id: $id) { lastSeq } }";
    eventually("the message", async || {
        let reply = bob.run(query, json!({ "id": chat })).await;
        (reply.body["data"]["chat"]["lastSeq"] == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_batch_has_not_begun_in_time_does_not_begin() {
    let store = FaultyStore::new();
    let (_app, ada, bob, chat) = hasty(&store).await;
    let calls = store.calls("messages.append");
    store.set("messages.append", Fault::Held);
    let send = |text: &str| {
        let input = json!({ "chatId": chat, "text": text });
        json!({ "query": SEND, "variables": { "input": input } })
    };
    let batch = json!([send("first"), send("second")]);
    let answers = Answer::to(post(&ada, &batch)).await.json();
    for n in [0_usize, 1] {
        let code = &answers[n]["errors"][0]["extensions"]["code"];
        assert_eq!(code, "TIMEOUT", "{answers}");
    }
    assert_eq!(answers[0].get("data"), Some(&Value::Null), "it runs on");
    assert_eq!(answers[1].get("data"), None, "it was not executed");
    store.arrived("messages.append").await;
    store.release("messages.append", 2);
    let query = "query($id: ID!) { chat(id: $id) { lastSeq } }";
    eventually("the first message", async || {
        let reply = bob.run(query, json!({ "id": chat })).await;
        (reply.body["data"]["chat"]["lastSeq"] == 1).then_some(())
    })
    .await;
    assert_eq!(store.calls("messages.append"), calls + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_execution_takes_too_long_ends_its_subscription() {
    let store = FaultyStore::new();
    let (_app, ada, bob, chat) = hasty(&store).await;
    let mut typing = bob.subscribe(TYPING, json!({ "id": chat })).await;
    let mut messages = bob
        .subscribe(
            MESSAGE_ADDED,
            json!({ "chatId": chat, "after": start_of(&chat) }),
        )
        .await;
    store.set("users", Fault::Held);
    let set = "mutation($id: ID!) {
        setTyping(input: { chatId: $id, isTyping: true }) { chatId } }";
    // They are carried out whatever the answer says.
    ada.run(set, json!({ "id": chat })).await;
    assert_eq!(typing.error_code().await, "TIMEOUT");
    let input = json!({ "chatId": chat, "text": "hi" });
    ada.run(SEND, json!({ "input": input })).await;
    assert_eq!(messages.error_code().await, "TIMEOUT");
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection_is_switched_off_by_a_setting_and_where_others_connect() {
    let ask = "{ __schema { queryType { name } } }";
    let by_type = "{ me { name } __type(name: \"User\") { name } }";
    let local = TestApp::start().await;
    let data = local.client().data(ask, json!({})).await;
    assert_eq!(data["__schema"]["queryType"]["name"], "Query");
    let off = TestApp::builder()
        .config(|config| config.http.introspection = Introspection::Off)
        .start()
        .await;
    let open = TestApp::builder()
        .config(|config| config.listen = ([0, 0, 0, 0], 4000).into())
        .start()
        .await;
    let spread = "{ ...S } fragment S on Query { __schema { types { name } } }";
    for app in [&off, &open] {
        for document in [ask, by_type, spread] {
            let reply = app.client().run(document, json!({})).await;
            assert_eq!(
                (reply.status, reply.code()),
                (400, "GRAPHQL_VALIDATION_FAILED"),
                "{document}"
            );
        }
        let data = app
            .client()
            .data("{ __typename me { name } }", json!({}))
            .await;
        assert_eq!(data["__typename"], "Query");
        let schema = app.client().request(Method::GET, "/schema.graphql");
        assert!(Answer::to(schema).await.text().contains("type Query"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_spent_their_budget_waits_and_nobody_else_does() {
    let app = TestApp::builder()
        .config(|config| {
            config.limits.cost_user = Quota {
                burst: 1_000,
                period: Duration::from_mins(1),
            };
        })
        .start()
        .await;
    let (ada, bob, _chat) = app.pair().await;
    // 200 points and a few.
    let users = "{ users(first: 100) { nodes { id } } }";
    let mut answered = 0;
    let refused = loop {
        let reply = ada.client.run(users, json!({})).await;
        if reply.body.get("errors").is_some() {
            break reply;
        }
        answered += 1;
    };
    assert!((3..=5).contains(&answered), "{answered}");
    assert_eq!((refused.status, refused.code()), (400, "RATE_LIMITED"));
    let wait = refused.error()["extensions"]["retryAfter"]
        .as_u64()
        .unwrap();
    assert!((1..=13).contains(&wait), "{wait}");
    // Over a socket too, for a subscription as for a query.
    let page = "subscription { chatUpdated { members(first: 100) { nodes { user { name } } } } }";
    let mut subscription = ada.client.subscribe(page, json!({})).await;
    assert_eq!(subscription.error_code().await, "RATE_LIMITED");
    bob.client.data(users, json!({})).await;
    app.clock.advance(Duration::from_secs(wait));
    ada.client.data(users, json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cost_of_an_operation_is_told_when_it_is_asked_for() {
    let app = TestApp::builder()
        .config(|config| {
            config.limits.cost_user = Quota {
                burst: 10_000,
                period: Duration::from_mins(1),
            };
        })
        .start()
        .await;
    let ada = app.sign_in("ada").await;
    let query = "{ me { id name } }";
    let asking = json!({ "query": query, "extensions": { "cost": true } });
    let told = |left: u64| json!({ "cost": { "points": 3, "most": 20_000, "left": left } });
    let answer = Answer::to(post(&ada.client, &asking)).await.json();
    assert_eq!(answer["data"]["me"]["name"], "ada");
    assert_eq!(answer["extensions"], told(9_997));
    for quiet in [
        json!({}),
        json!({ "cost": false }),
        json!({ "cost": "yes" }),
    ] {
        let silent = json!({ "query": query, "extensions": quiet });
        let answer = Answer::to(post(&ada.client, &silent)).await.json();
        assert_eq!(answer.get("extensions"), None);
    }
    // The three before count as well.
    let path = "/graphql?query=%7Bme%7Bid%20name%7D%7D&extensions=%7B%22cost%22%3Atrue%7D";
    let by_get = Answer::to(ada.client.request(Method::GET, path)).await;
    assert_eq!(by_get.json()["extensions"], told(9_985));
    let mut socket = ada.client.socket().await;
    let subscribe = json!({ "type": "subscribe", "id": "1", "payload": asking });
    socket.send(subscribe).await;
    let next = socket.message().await;
    assert_eq!(next["payload"]["extensions"], told(9_982));
    // Who has not signed in has the budget of the address.
    let nobody = Answer::to(post(&app.client(), &asking)).await.json();
    let left = nobody["extensions"]["cost"]["left"].as_u64().unwrap();
    assert!(left > 1_000_000_000, "{left}");
}
