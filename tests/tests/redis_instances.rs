//! Two servers over one store and one Redis, as clients see them.

#![expect(
    clippy::unwrap_used,
    reason = "what is not as a test expects ends the test"
)]

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use talksy_domain::clock::SystemClock;
use talksy_domain::services::Ports;
use talksy_redis::{RedisAdapters, RedisOptions};
use talksy_tests::app::TestApp;
use talksy_tests::client::User;
use talksy_tests::servers::redis::RedisServer;
use talksy_tests::{DEADLINE, eventually, soon};
use tokio::sync::Semaphore;

/// A server on the Redis, and on the other's store and keys where there is another. Its feeds
/// look into the store by themselves too seldom for a test to see.
async fn server(redis: &RedisServer, other: Option<&TestApp>) -> TestApp {
    let options = RedisOptions {
        timeout: DEADLINE / 6,
        ..RedisOptions::new("talksy:", 1_024)
    };
    let adapters = RedisAdapters::open(&redis.url(), Arc::new(SystemClock), &options).unwrap();
    adapters.prepare().await.unwrap();
    adapters.start();
    let other = other.map(|other| other.adapters.ports.clone());
    TestApp::builder()
        .config(|config| {
            config.live.heartbeat = Duration::from_mins(10);
            config.http.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        })
        .ports(move |ports| {
            let shared = other.unwrap_or_else(|| ports.clone());
            Ports {
                users: shared.users,
                sessions: shared.sessions,
                chats: shared.chats,
                messages: shared.messages,
                tokens: shared.tokens,
                secret: shared.secret,
                codes: adapters.codes(),
                limiter: adapters.lenient_limiter(ports.limiter),
                presence: adapters.presence(),
                bus: adapters.bus(),
                ..ports
            }
        })
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_lost_or_doubled_between_instances_while_redis_is_killed() {
    const MESSAGES: usize = 120;
    let mut redis = RedisServer::start().await;
    let here = server(&redis, None).await;
    let there = server(&redis, Some(&here)).await;
    let (ada, bob) = (here.sign_in("ada").await, there.sign_in("bob").await);
    let chat = ada.start_chat(&bob).await;
    let first = ada.send(&chat, "first").await;
    let cursor = first["edge"]["cursor"].as_str().unwrap().to_owned();
    let mut feeds = Vec::new();
    for reader in [&ada, &bob] {
        feeds.push(reader.follow(&chat, Some(&cursor)).await);
    }

    // Ada sends all the while; Redis dies when a quarter is sent and is back when half is.
    let sent = Arc::new(Semaphore::new(0));
    let sending = tokio::spawn({
        let (sent, chat) = (Arc::clone(&sent), chat.clone());
        async move {
            for n in 0..MESSAGES {
                ada.send(&chat, &format!("message {n}")).await;
                sent.add_permits(1);
            }
        }
    });
    let quarter = u32::try_from(MESSAGES / 4).unwrap();
    for step in 0..2 {
        let permits = soon("a quarter of the messages", sent.acquire_many(quarter));
        permits.await.unwrap().forget();
        if step == 0 {
            redis.0.kill().await;
        } else {
            redis.0.start().await;
        }
    }
    let expected: Vec<i64> = (2..).take(MESSAGES).collect();
    for feed in &mut feeds {
        let seqs = soon("all messages", feed.seqs(MESSAGES)).await;
        assert_eq!(seqs, expected);
    }
    soon("the end of sending", sending).await.unwrap();
}

/// Codes, their tries, what was guessed and how many letters were asked for are the same for all.
#[tokio::test(flavor = "multi_thread")]
async fn instances_share_all_of_signing_in() {
    let redis = RedisServer::start().await;
    let here = server(&redis, None).await;
    let there = server(&redis, Some(&here)).await;
    let email = "ada@example.org";
    let place = |app: &TestApp, n: usize| app.client().from_place(&format!("10.0.{n}.1"));
    let (one, other) = (place(&here, 0), place(&there, 0));
    one.login(email).await.data();
    let challenge = one.challenge(email);
    let code = here.mailbox.code(email).unwrap();
    assert_eq!(other.login(email).await.code(), "RATE_LIMITED");
    let (head, last) = code.split_at(5);
    let wrong = format!("{head}{}", (last.parse::<u32>().unwrap() + 1) % 10);
    for client in [&one, &other, &other, &one] {
        let reply = client.present(&challenge, &wrong).await;
        assert_eq!(reply.code(), "OTP_INVALID");
    }
    let auth = other.present(&challenge, &code).await.data();
    let device = auth["verifyOtp"]["deviceToken"].as_str().unwrap();
    assert_eq!(one.present(&challenge, &code).await.code(), "OTP_EXPIRED");
    // The device's share is one too.
    one.login_on(email, Some(device)).await.data();
    let again = other.login_on(email, Some(device)).await;
    assert_eq!(again.code(), "RATE_LIMITED");

    for n in 1..=19 {
        let app = if n % 2 == 0 { &here } else { &there };
        place(app, n).login(email).await.data();
    }
    for (app, n) in [(&here, 20), (&there, 21)] {
        let sent = place(app, n).login(email).await.data();
        assert_eq!(sent["login"]["codeLength"], json!(8));
    }
    // What was not mailed was not asked for, on neither.
    let fresh = place(&here, 30);
    here.mailbox.set_broken(true);
    assert_eq!(fresh.login(email).await.code(), "UNAVAILABLE");
    place(&there, 30).login(email).await.data();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_ended_on_one_instance_ends_its_sockets_on_another() {
    let redis = RedisServer::start().await;
    let here = server(&redis, None).await;
    let there = server(&redis, Some(&here)).await;
    let ada = here.sign_in("ada").await;
    let elsewhere = User {
        client: talksy_tests::client::Client::new(there.address)
            .with_token(ada.client.token().unwrap()),
        ..ada.clone()
    };
    let mut socket = elsewhere.client.socket().await;
    let me = socket.run("me", "{ me { id } }", json!({})).await;
    assert_eq!(me["data"]["me"]["id"], json!(ada.id));
    let logout = "mutation { logout { sessionId } }";
    ada.client.data(logout, json!({})).await;
    assert_eq!(soon("the socket's end", socket.closed()).await, 4403);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_on_one_instance_is_seen_on_another() {
    let mut redis = RedisServer::start().await;
    let here = server(&redis, None).await;
    let there = server(&redis, Some(&here)).await;
    let (ada, bob) = (here.sign_in("ada").await, there.sign_in("bob").await);
    ada.start_chat(&bob).await;
    let presence = "subscription($users: [ID!]!) {
        presenceChanged(userIds: $users) { status user { id } } }";
    let users = json!({ "users": [bob.id] });
    let mut watch = ada.client.subscribe(presence, users).await;
    let status = |item: &serde_json::Value| item["presenceChanged"]["status"].clone();
    assert_eq!(status(&watch.next().await), json!("OFFLINE"));
    let socket = bob.client.socket().await;
    assert_eq!(status(&watch.next().await), json!("ONLINE"));

    // A Redis that has forgotten everything learns it anew.
    redis.0.restart().await;
    eventually("bob's being there again", async || {
        let status = presence_of(&ada, &bob).await?;
        (status == "ONLINE").then_some(())
    })
    .await;
    // Whether it was told that he was away for a moment or not, the end is told.
    drop(socket);
    eventually("the end of bob's lease", async || {
        for server in [&here, &there] {
            server.clock.advance(Duration::from_secs(1));
        }
        let status = presence_of(&ada, &bob).await?;
        (status == "OFFLINE").then_some(())
    })
    .await;
    assert_eq!(status(&watch.next().await), json!("OFFLINE"));
}

/// What somebody is told of another's presence when they ask.
async fn presence_of(asker: &User, whom: &User) -> Option<serde_json::Value> {
    let query = "query($id: ID!) { node(id: $id) { ... on User { presence { status } } } }";
    let reply = asker.client.try_run(query, json!({ "id": whom.id })).await;
    Some(reply.ok()?.body["data"]["node"]["presence"]["status"].take())
}
