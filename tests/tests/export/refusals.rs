//! Who has no archive, and which are broken off.

use std::time::Duration;

use http::Method;
use serde_json::json;
use talksy_server::config::Quota;
use talksy_tests::app::TestApp;
use talksy_tests::client::User;
use talksy_tests::faulty_store::{Fault, FaultyStore};
use talksy_tests::soon;
use talksy_tests::wire::Answer;

use super::{Archive, get};

async fn ask(user: &User) -> Answer {
    Answer::to(user.client.request(Method::GET, "/export")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_but_by_the_header() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let token = ada.client.token().unwrap();
    for path in [
        "/export".to_owned(),
        format!("/export?token={token}"),
        format!("/export?access_token={token}"),
        format!("/export?authorization=Bearer%20{token}"),
    ] {
        let answer = Answer::to(app.client().request(Method::GET, &path)).await;
        assert_eq!(
            (answer.status, &*answer.code()),
            (401, "UNAUTHENTICATED"),
            "{path}"
        );
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    let forged = app.client().with_token("a.b.c");
    let answer = Answer::to(forged.request(Method::GET, "/export")).await;
    assert_eq!((answer.status, &*answer.code()), (401, "UNAUTHENTICATED"));
    ada.client
        .data("mutation { logout { sessionId } }", json!({}))
        .await;
    assert_eq!(ask(&ada).await.status, 401);
    let bob = app.sign_in("bob").await;
    app.clock.advance(Duration::from_hours(1));
    let answer = ask(&bob).await;
    assert_eq!((answer.status, &*answer.code()), (401, "TOKEN_EXPIRED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_begin_nothing() {
    let app = TestApp::builder()
        .config(|config| {
            config.limits.export = Quota {
                burst: 1,
                period: Duration::from_hours(1),
            };
        })
        .start()
        .await;
    let ada = app.sign_in("ada").await;
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = Answer::to(ada.client.request(method, "/export")).await;
        assert_eq!((answer.status, &*answer.code()), (405, "BAD_USER_INPUT"));
        assert_eq!(answer.header("allow"), "GET, HEAD");
    }
    for _ in 0..3 {
        let answer = Answer::to(ada.client.request(Method::HEAD, "/export")).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        assert_eq!(answer.header("content-type"), "application/x-tar");
    }
    let stranger = app.client().request(Method::HEAD, "/export");
    assert_eq!(Answer::to(stranger).await.status, 401);
    Archive::of(&ada).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_user_has_so_many_in_a_time() {
    let app = TestApp::builder()
        .config(|config| {
            config.limits.export = Quota {
                burst: 2,
                period: Duration::from_hours(2),
            };
        })
        .start()
        .await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    for _ in 0..2 {
        Archive::of(&ada).await;
    }
    let answer = ask(&ada).await;
    assert_eq!((answer.status, &*answer.code()), (429, "RATE_LIMITED"));
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((3_000..=3_600).contains(&wait), "{wait}");
    let told = &answer.json()["errors"][0]["extensions"];
    assert_eq!(told["retryAfter"], json!(wait));
    Archive::of(&bob).await;
    app.clock.advance(Duration::from_mins(61));
    let ada = User::of(
        &app.client(),
        &app.client().refresh(&ada.refresh_token).await.data()["refreshSession"],
    );
    Archive::of(&ada).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_at_a_time_than_may_be_and_one_of_a_user() {
    let store = FaultyStore::new();
    let app = TestApp::builder()
        .config(|config| config.http.max_exports = 1)
        .ports(store.install())
        .start()
        .await;
    let (ada, bob, _) = app.pair().await;
    store.set("sessions.sessions_of", Fault::Held);
    let first = get(&ada.client).await;
    let reading = tokio::spawn(first.bytes());
    store.arrived("sessions.sessions_of").await;
    for (user, status, code) in [(&ada, 429, "RATE_LIMITED"), (&bob, 503, "UNAVAILABLE")] {
        let answer = ask(user).await;
        assert_eq!((answer.status, &*answer.code()), (status, code));
        assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
    }
    store.set("sessions.sessions_of", Fault::None);
    store.release("sessions.sessions_of", 1);
    let bytes = soon("the archive", reading).await.unwrap().unwrap();
    Archive::read(&bytes).await;
    Archive::of(&bob).await;
    Archive::of(&ada).await;
}

/// Begins an archive that waits for the store.
async fn held(store: &FaultyStore, user: &User) -> reqwest::Response {
    store.set("messages.page", Fault::Held);
    let response = get(&user.client).await;
    assert_eq!(response.status(), 200);
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_signed_out_meanwhile_has_no_whole_archive() {
    let store = FaultyStore::new();
    let app = TestApp::builder().ports(store.install()).start().await;
    let (ada, _, chat) = app.pair().await;
    ada.send(&chat, "hello").await;
    let reading = tokio::spawn(held(&store, &ada).await.bytes());
    store.arrived("messages.page").await;
    ada.client
        .data("mutation { logout { sessionId } }", json!({}))
        .await;
    let read = soon("the end of the archive", reading).await.unwrap();
    assert!(read.is_err(), "a clean end");
    store.set("messages.page", Fault::None);
    store.release("messages.page", 1);
    // Its place is free.
    app.clock.advance(Duration::from_secs(61));
    Archive::of(&app.sign_in("ada").await).await;
}

/// Nobody need tell of it: the store is asked ahead of the last entry.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_not_called_complete_without_a_session() {
    let store = FaultyStore::new();
    let app = TestApp::builder().ports(store.install()).start().await;
    let ada = app.sign_in("ada").await;
    store.set("attachments.of_owner", Fault::Held);
    let response = get(&ada.client).await;
    let reading = tokio::spawn(response.bytes());
    store.arrived("attachments.of_owner").await;
    let sessions = app.adapters.ports.sessions.clone();
    let (session, user) = (ada.session_id.parse().unwrap(), ada.id.parse().unwrap());
    assert!(sessions.delete_session(session, user).await.unwrap());
    store.set("attachments.of_owner", Fault::None);
    store.release("attachments.of_owner", 1);
    let read = soon("the end of the archive", reading).await.unwrap();
    assert!(read.is_err(), "a clean end");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_refuses_an_archive_or_breaks_it_off() {
    let store = FaultyStore::new();
    let app = TestApp::builder()
        .ports(store.install())
        .config(|config| {
            config.limits.export = Quota {
                burst: 2,
                period: Duration::from_hours(2),
            };
        })
        .start()
        .await;
    let (ada, _, chat) = app.pair().await;
    ada.send(&chat, "hello").await;
    store.set("users.users", Fault::Unavailable("away"));
    for _ in 0..3 {
        let answer = ask(&ada).await;
        assert_eq!(
            (answer.status, &*answer.code()),
            (503, "UNAVAILABLE"),
            "not counted"
        );
    }
    store.set("users.users", Fault::None);
    store.set("messages.page", Fault::Unavailable("away"));
    let response = get(&ada.client).await;
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err(), "a clean end");
    store.set("messages.page", Fault::None);
    Archive::of(&ada).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_takes_too_long_is_broken_off() {
    let store = FaultyStore::new();
    let app = TestApp::builder()
        .ports(store.install())
        .config(|config| config.http.export_timeout = Duration::from_millis(200))
        .start()
        .await;
    let (ada, _, chat) = app.pair().await;
    ada.send(&chat, "hello").await;
    let response = held(&store, &ada).await;
    let read = soon("the end of the archive", response.bytes()).await;
    assert!(read.is_err(), "a clean end");
}
