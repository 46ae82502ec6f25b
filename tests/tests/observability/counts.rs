//! The numbers are right: what was done is what is counted.

use serde_json::json;
use talksy_tests::client::MESSAGE_ADDED;
use talksy_tests::eventually;
use talksy_tests::websocket::{Received, Socket};

use crate::scrape::{Page, Scraped};

/// By how much each series grew.
fn grown(before: &Page, after: &Page, name: &str, labels: &[(&str, &str)]) -> f64 {
    after.get(name, labels) - before.get(name, labels)
}

#[track_caller]
fn assert_grown(before: &Page, after: &Page, name: &str, labels: &[(&str, &str)], by: i32) {
    let grown = grown(before, after, name, labels);
    assert!(
        (grown - f64::from(by)).abs() < 1e-9,
        "{name} {labels:?}: {grown}, not {by}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_counted_by_name_and_code() {
    let data = tempfile::tempdir().unwrap();
    let scraped = Scraped::start(data.path(), &[]).await;
    let ada = scraped.server.sign_in(data.path(), "ada").await;
    let before = scraped.scrape().await;
    for _ in 0..3 {
        ada.client
            .data(
                "query Chats { chats(first: 1) { nodes { id } } }",
                json!({}),
            )
            .await;
    }
    ada.client.data("{ me { id } }", json!({})).await;
    scraped
        .server
        .client()
        .run(
            "query Chats { chats(first: 1) { nodes { id } } }",
            json!({}),
        )
        .await;
    ada.client.run("query Chats { nonsense }", json!({})).await;
    ada.client.run("query {", json!({})).await;
    ada.client
        .run("query Invented { nonsense }", json!({}))
        .await;
    let after = scraped.scrape().await;
    let assert = |name: &str, labels: &[(&str, &str)], by: i32| {
        assert_grown(&before, &after, name, labels, by);
    };
    let operations = "talksy_graphql_operations_total";
    let chats = |code| [("type", "query"), ("name", "Chats"), ("code", code)];
    assert(operations, &chats("OK"), 3);
    assert(operations, &chats("UNAUTHENTICATED"), 1);
    assert(operations, &chats("GRAPHQL_VALIDATION_FAILED"), 1);
    assert(operations, &[("name", "anonymous"), ("code", "OK")], 1);
    assert(
        operations,
        &[("type", "none"), ("code", "GRAPHQL_PARSE_FAILED")],
        1,
    );
    assert(
        operations,
        &[("name", "other"), ("code", "GRAPHQL_VALIDATION_FAILED")],
        1,
    );
    assert(operations, &[], 8);
    let duration = "talksy_graphql_operation_duration_seconds_count";
    assert(duration, &[("type", "query"), ("name", "Chats")], 5);
    let requests = "talksy_http_requests_total";
    let answered = |status| {
        [
            ("method", "POST"),
            ("route", "/graphql"),
            ("status", status),
        ]
    };
    assert(requests, &answered("200"), 5);
    assert(requests, &answered("400"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_clients_invent_do_not_multiply_series() {
    let data = tempfile::tempdir().unwrap();
    let scraped = Scraped::start(data.path(), &[]).await;
    let client = scraped.server.client();
    for index in 0..260 {
        client
            .data(&format!("query Name{index} {{ __typename }}"), json!({}))
            .await;
        client
            .run(&format!("query Wrong{index} {{ nonsense }}"), json!({}))
            .await;
        let path = format!("/made-up/{index}");
        client
            .request(http::Method::GET, &path)
            .send()
            .await
            .unwrap();
    }
    let page = scraped.scrape().await;
    let names = page.values("talksy_graphql_operations_total", "name");
    assert_eq!(names.len(), 201, "200 and `other`: {names:?}");
    assert!(names.contains("other") && !names.iter().any(|name| name.starts_with("Wrong")));
    let routes = page.values("talksy_http_requests_total", "route");
    assert_eq!(
        routes.into_iter().collect::<Vec<_>>(),
        ["/graphql", "other"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_subscriptions_and_deliveries_are_counted() {
    let data = tempfile::tempdir().unwrap();
    let scraped = Scraped::start(data.path(), &[]).await;
    let ada = scraped.server.sign_in(data.path(), "ada").await;
    let bob = scraped.server.sign_in(data.path(), "bob").await;
    let chat = ada.start_chat(&bob).await;
    let before = scraped.scrape().await;
    let mut socket = bob.client.socket().await;
    socket
        .subscribe("1", MESSAGE_ADDED, json!({ "chatId": chat }))
        .await;
    eventually("the subscription", async || {
        let page = scraped.scrape().await;
        (page.get("talksy_subscriptions_open", &[]) > 0.0).then_some(())
    })
    .await;
    // The count is of the operation's start; that it stands is shown by its answer to a message.
    for text in ["one", "two", "three"] {
        ada.send(&chat, text).await;
    }
    for _ in 0..3 {
        assert!(matches!(socket.next().await, Received::Message(_)));
    }
    let open = scraped.scrape().await;
    let protocol = [("protocol", "graphql-transport-ws")];
    let field = [("field", "messageAdded")];
    assert_grown(&before, &open, "talksy_sockets_open", &protocol, 1);
    assert_grown(&before, &open, "talksy_subscriptions_open", &field, 1);
    assert_grown(&before, &open, "talksy_deliveries_total", &field, 3);
    assert_grown(&before, &open, "talksy_presence_connections", &[], 1);
    assert_grown(
        &before,
        &open,
        "talksy_messages_sent_total",
        &[("outcome", "new")],
        3,
    );
    let append = [("port", "messages"), ("method", "append")];
    assert_grown(
        &before,
        &open,
        "talksy_store_call_duration_seconds_count",
        &append,
        3,
    );
    // Presence of the new socket is published too, at a moment of its own.
    let published = grown(
        &before,
        &open,
        "talksy_bus_publish_duration_seconds_count",
        &[],
    );
    assert!((3.0..=4.0).contains(&published), "{published}");

    drop(socket);
    let mut stranger = Socket::connect(scraped.server.address, "graphql-transport-ws").await;
    stranger.subscribe("1", "{ me { id } }", json!({})).await;
    assert!(matches!(stranger.next().await, Received::Closed(4401, _)));
    let closed = eventually("the closed sockets", async || {
        let page = scraped.scrape().await;
        (page.get("talksy_sockets_open", &[]) < 0.5).then_some(page)
    })
    .await;
    assert_grown(&open, &closed, "talksy_subscriptions_open", &field, -1);
    assert_grown(
        &open,
        &closed,
        "talksy_socket_closes_total",
        &[("code", "4401")],
        1,
    );
    assert_grown(
        &open,
        &closed,
        "talksy_socket_closes_total",
        &[("code", "peer")],
        1,
    );
    let subscription = [("type", "subscription"), ("code", "OK")];
    assert_grown(
        &open,
        &closed,
        "talksy_graphql_operations_total",
        &subscription,
        1,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_and_mails_are_counted_by_what_came_of_them() {
    let data = tempfile::tempdir().unwrap();
    let limit = ["--set", "limits.login_ip.burst=3"];
    let scraped = Scraped::start(data.path(), &limit).await;
    let before = scraped.scrape().await;
    let client = scraped.server.client();
    scraped.server.sign_in(data.path(), "ada").await;
    client.login("bob@example.org").await.data();
    assert_eq!(client.login("bob@example.org").await.code(), "RATE_LIMITED");
    client.login("cyd@example.org").await.data();
    assert_eq!(client.login("dan@example.org").await.code(), "RATE_LIMITED");
    assert_eq!(
        client.verify("eve@example.org", "000000").await.code(),
        "BAD_USER_INPUT"
    );
    // One time in a million it is right.
    let wrong = client.verify("cyd@example.org", "000000").await;
    assert_eq!(wrong.code(), "OTP_INVALID");
    let sent = |page: &Page| page.get("talksy_mail_attempts_total", &[("outcome", "sent")]);
    let after = eventually("three mails", async || {
        let page = scraped.scrape().await;
        (sent(&page) > 2.5).then_some(page)
    })
    .await;
    for (outcome, by) in [("issued", 3), ("withdrawn", 0)] {
        let labels = [("outcome", outcome)];
        assert_grown(&before, &after, "talksy_signin_codes_total", &labels, by);
    }
    for (outcome, by) in [("accepted", 1), ("wrong", 1), ("void", 0)] {
        let labels = [("outcome", outcome)];
        assert_grown(&before, &after, "talksy_signin_attempts_total", &labels, by);
    }
    for rule in ["login-ip", "login-resend"] {
        let labels = [("rule", rule)];
        assert_grown(
            &before,
            &after,
            "talksy_rate_limit_refusals_total",
            &labels,
            1,
        );
    }
    assert_grown(&before, &after, "talksy_mail_attempts_total", &[], 3);
    assert_grown(
        &before,
        &after,
        "talksy_mail_publish_duration_seconds_count",
        &[],
        3,
    );
    assert_grown(&before, &after, "talksy_mail_queue_depth", &[], 0);
}
