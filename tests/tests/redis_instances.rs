//! Two servers over one store and one Redis, as clients see them.

#![expect(
    clippy::unwrap_used,
    reason = "what is not as a test expects ends the test"
)]

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use talksy_domain::clock::{Clock as _, SystemClock};
use talksy_domain::presence::HOLD;
use talksy_domain::services::Ports;
use talksy_redis::{RedisAdapters, RedisOptions};
use talksy_server::config::Config;
use talksy_tests::app::TestApp;
use talksy_tests::client::User;
use talksy_tests::faulty_store::FaultyStore;
use talksy_tests::servers::redis::RedisServer;
use talksy_tests::websocket::{Socket, Subscription};
use talksy_tests::{DEADLINE, eventually, soon};
use tokio::sync::Semaphore;

/// A server on the Redis, and on the other's store and keys where there is another. Its feeds
/// look into the store by themselves too seldom for a test to see.
async fn server(redis: &RedisServer, other: Option<&TestApp>) -> TestApp {
    let no_faults = FaultyStore::new();
    server_with(redis, other, DEADLINE / 6, &no_faults, |config| {
        config.live.heartbeat = Duration::from_mins(10);
    })
    .await
}

/// The same, that waits for Redis for so long, with these faults and this configuration.
async fn server_with(
    redis: &RedisServer,
    other: Option<&TestApp>,
    timeout: Duration,
    faults: &FaultyStore,
    configure: impl FnOnce(&mut Config) + 'static,
) -> TestApp {
    let options = RedisOptions {
        timeout,
        ..RedisOptions::new("talksy:", 1_024)
    };
    let adapters = RedisAdapters::open(&redis.url(), Arc::new(SystemClock), &options).unwrap();
    adapters.prepare().await.unwrap();
    adapters.start();
    let other = other.map(|other| other.adapters.ports.clone());
    TestApp::builder()
        .config(|config| {
            config.http.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
            configure(config);
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
        .ports(faults.install())
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
    let users = json!({ "users": [bob.id] });
    let mut watch = ada.client.subscribe(PRESENCE, users).await;
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
    // Nobody is told that he was away for a moment.
    let end = leaves(&[&here, &there], &ada, &bob, socket).await;
    assert_eq!(watch.next().await, gone(&bob, &end));
}

const PRESENCE: &str = "subscription($users: [ID!]!) {
    presenceChanged(userIds: $users) { status lastSeenAt user { id } } }";

/// What who watches is told when somebody has left.
fn gone(who: &User, at: &str) -> Value {
    json!({ "presenceChanged": { "status": "OFFLINE", "lastSeenAt": at, "user": { "id": who.id } } })
}

/// Has a partner watch somebody come: how the watch goes on, and the socket.
async fn who_comes(asker: &User, who: &User) -> (Subscription, Socket) {
    asker.start_chat(who).await;
    let users = json!({ "users": [who.id] });
    let mut watch = asker.client.subscribe(PRESENCE, users).await;
    let status = |item: &Value| item["presenceChanged"]["status"].clone();
    assert_eq!(status(&watch.next().await), "OFFLINE");
    let socket = who.client.socket().await;
    assert_eq!(status(&watch.next().await), "ONLINE");
    (watch, socket)
}

/// Closes somebody's only socket, and waits until they are offline, which they are from the time on
/// that is returned.
async fn leaves(servers: &[&TestApp], asker: &User, who: &User, socket: Socket) -> String {
    let end = servers[0].clock.now() + Config::default().presence.grace;
    // The clocks are moved only once the lease is given up.
    drop(socket);
    let presence = &servers[0].adapters.ports.presence;
    let id = [who.id.parse().unwrap()];
    eventually("the lease that is given up", async || {
        let online = presence.online(&id, end + HOLD).await.ok()?;
        online.is_empty().then_some(())
    })
    .await;
    for server in servers {
        server.clock.advance(Config::default().presence.grace);
    }
    eventually("the end of the lease", async || {
        (presence_of(asker, who).await? == "OFFLINE").then_some(())
    })
    .await;
    end.to_string()
}

/// Feeds that look into the store all the time see no absence that is over in a moment.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_leaves_because_redis_has_lost_its_data() {
    let redis = RedisServer::start().await;
    let faults = FaultyStore::new();
    let impatient = |config: &mut Config| {
        config.live.heartbeat = Duration::from_millis(100);
        config.presence.sweep = Duration::from_millis(200);
    };
    let limit = DEADLINE / 6;
    let here = server_with(&redis, None, limit, &FaultyStore::new(), impatient).await;
    let there = server_with(&redis, Some(&here), limit, &faults, impatient).await;
    let (ada, bob) = (here.sign_in("ada").await, there.sign_in("bob").await);
    let (mut watch, socket) = who_comes(&ada, &bob).await;
    for _ in 0..3 {
        // An instance notices by what it knew before.
        let looks = faults.calls("presence.ended");
        eventually("a look", async || {
            (faults.calls("presence.ended") >= looks + 2).then_some(())
        })
        .await;
        let renewals = faults.calls("presence.renew");
        redis.run(&["FLUSHALL"]).await;
        eventually("leases that are back", async || {
            let is_renewed = faults.calls("presence.renew") > renewals;
            let status = presence_of(&ada, &bob).await?;
            (is_renewed && status == "ONLINE").then_some(())
        })
        .await;
    }
    let end = leaves(&[&here, &there], &ada, &bob, socket).await;
    assert_eq!(watch.next().await, gone(&bob, &end));
}

/// It stands still for longer than a lease lasts: every lease in it has ended when it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_leaves_because_redis_stood_still_for_longer_than_a_lease() {
    let redis = RedisServer::start().await;
    let faults = FaultyStore::new();
    let quick = |config: &mut Config| {
        config.live.heartbeat = Duration::from_mins(10);
        config.presence.lease = Duration::from_secs(5);
        config.presence.sweep = Duration::from_millis(200);
    };
    let limit = Duration::from_secs(1);
    let here = server_with(&redis, None, limit, &FaultyStore::new(), quick).await;
    let there = server_with(&redis, Some(&here), limit, &faults, quick).await;
    let (ada, bob) = (here.sign_in("ada").await, there.sign_in("bob").await);
    let (mut watch, socket) = who_comes(&ada, &bob).await;

    redis.0.pause().await;
    let renewals = faults.calls("presence.renew");
    eventually("renewals that fail", async || {
        (faults.calls("presence.renew") >= renewals + 3).then_some(())
    })
    .await;
    for server in [&here, &there] {
        server.clock.advance(Duration::from_secs(6));
    }
    redis.0.resume();
    eventually("an answer", async || {
        (presence_of(&ada, &bob).await? == "ONLINE").then_some(())
    })
    .await;
    // By then whoever was doubted before is told of.
    let looks = faults.calls("presence.ended");
    eventually("looks", async || {
        (faults.calls("presence.ended") >= looks + 20).then_some(())
    })
    .await;
    assert_eq!(presence_of(&ada, &bob).await.unwrap(), "ONLINE");
    let end = leaves(&[&here, &there], &ada, &bob, socket).await;
    assert_eq!(watch.next().await, gone(&bob, &end));
}

/// What somebody is told of another's presence when they ask.
async fn presence_of(asker: &User, whom: &User) -> Option<serde_json::Value> {
    let query = "query($id: ID!) { node(id: $id) { ... on User { presence { status } } } }";
    let reply = asker.client.try_run(query, json!({ "id": whom.id })).await;
    Some(reply.ok()?.body["data"]["node"]["presence"]["status"].take())
}
