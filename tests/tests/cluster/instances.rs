//! Servers beside each other: one order for all, ended sessions, crashes, rolling restarts.

use std::time::Duration;

use serde_json::{Value, json};
use talksy_domain::clock::{Clock as _, SystemClock, Timestamp};
use talksy_domain::users::UserStore as _;
use talksy_tests::client::MESSAGE_ADDED;
use talksy_tests::cluster::{Follower, client_at};
use talksy_tests::{eventually, soon};

use super::{Two, burst, report, verify};

const PRESENCE: &str = "subscription($ids: [ID!]!) {
    presenceChanged(userIds: $ids) { status lastSeenAt user { id } } }";
const SECOND: Duration = Duration::from_secs(1);

fn last_seen(presence: &Value) -> Option<Timestamp> {
    presence["lastSeenAt"].as_str()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_on_both_servers_make_one_order_that_all_see() {
    let two = Two::start(&[]).await;
    let (a, b, _) = two.addresses();
    let at_a = Follower::start(&two.bob, &a, &two.chat).await;
    let at_b = Follower::start(&two.ada, &b, &two.chat).await;
    // A stand-in for MongoDB looks through all messages of a chat for the newest.
    let (mut sent, more) = tokio::join!(
        burst(&two.ada, &a, &two.chat, "a", 16, 50),
        burst(&two.bob, &b, &two.chat, "b", 16, 50),
    );
    sent.extend(more);
    let all: Vec<i64> = (1..=1_600).collect();
    assert_eq!(at_a.seqs(1_600).await, all);
    assert_eq!(at_b.seqs(1_600).await, all);
    assert_eq!(at_a.texts(), at_b.texts());
    assert_eq!((at_a.connections(), at_b.connections()), (1, 1));
    verify(&two.ada, &two.chat, &sent).await;
    report("two servers, 16 senders each", &sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_on_one_server_closes_its_sockets_on_the_other() {
    let two = Two::start(&[]).await;
    let elsewhere = client_at(&two.ada, two.b.address());
    let variables = json!({ "chatId": two.chat });
    let mut feed = elsewhere.subscribe(MESSAGE_ADDED, variables).await;
    two.ada
        .client
        .data("mutation { logout { sessionId } }", json!({}))
        .await;
    assert_eq!(feed.socket().closed().await, 4403);
    // The token is refused everywhere within a second.
    eventually("a refused token", async || {
        let reply = elsewhere.run("{ me { id } }", json!({})).await;
        (reply.body.get("errors").is_some() && reply.code() == "UNAUTHENTICATED").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_load_loses_nothing_and_its_users_go_offline() {
    let two = Two::start(&[
        "presence.lease=5s",
        "presence.grace=1s",
        "presence.sweep=200ms",
    ])
    .await;
    let (_, b, both) = two.addresses();
    let bob_sees = Follower::start(&two.bob, &both, &two.chat).await;

    // Ada is online through the first server alone.
    let mut presence = client_at(&two.bob, two.b.address())
        .subscribe(PRESENCE, json!({ "ids": [two.ada.id] }))
        .await;
    assert_eq!(
        presence.next().await["presenceChanged"]["status"],
        json!("OFFLINE")
    );
    let ada_socket = two.ada.client.socket().await;
    assert_eq!(
        presence.next().await["presenceChanged"]["status"],
        json!("ONLINE")
    );

    let Two { a, ada, chat, .. } = two;
    let sending = burst(&ada, &both, &chat, "k", 8, 40);
    let killing = async {
        bob_sees.seqs(60).await;
        let before = SystemClock.now();
        a.process.kill().await;
        before
    };
    let (sent, killed_at) = tokio::join!(sending, killing);
    assert_eq!(bob_sees.seqs(320).await, (1..=320).collect::<Vec<_>>());
    assert!(
        bob_sees.connections() >= 2,
        "it was on the server that died"
    );
    let ada_at_b = talksy_tests::client::User {
        client: client_at(&ada, two.b.address()),
        ..ada
    };
    verify(&ada_at_b, &chat, &sent).await;
    // Where a machine is so busy that the lease was not renewed in time, she came and went before.
    soon("the end of the lease", async {
        loop {
            let state = &presence.next().await["presenceChanged"];
            // In whole seconds.
            let is_since = last_seen(state).is_some_and(|at| at + SECOND > killed_at);
            if state["status"] == json!("OFFLINE") && is_since {
                return;
            }
        }
    })
    .await;
    drop((ada_socket, b));
    report("one of two servers killed", &sent);
}

/// Of the leases nothing is left that could end. The server that goes on finds out by its heartbeat.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_on_a_server_that_died_together_with_redis_was_last_seen_shortly_before() {
    let two = Two::start(&[
        "live.heartbeat=1s",
        "presence.sweep=200ms",
        "presence.last_seen_interval=1s",
    ])
    .await;
    let mut presence = client_at(&two.bob, two.b.address())
        .subscribe(PRESENCE, json!({ "ids": [two.ada.id] }))
        .await;
    let status = |told: &Value| told["presenceChanged"]["status"].clone();
    assert_eq!(status(&presence.next().await), json!("OFFLINE"));
    let opened_at = SystemClock.now();
    let ada_socket = two.ada.client.socket().await;
    assert_eq!(status(&presence.next().await), json!("ONLINE"));
    let Two {
        cluster, a, b, ada, ..
    } = two;
    // What the store is told while she is online is not shown, but kept.
    let store = cluster.mongo.store_on("talksy").await;
    let id = ada.id.parse().unwrap();
    eventually("that she is here", async || {
        let found = store.users(&[id]).await.ok()?;
        (found[0].last_seen_at? > opened_at).then_some(())
    })
    .await;
    a.process.kill().await;
    let killed_at = SystemClock.now();
    cluster.redis.run(&["FLUSHALL"]).await;
    soon("her leaving", async {
        loop {
            let state = &presence.next().await["presenceChanged"];
            if state["status"] == json!("OFFLINE") {
                let seen = last_seen(state).unwrap();
                assert!(opened_at < seen && seen <= killed_at, "{state}");
                return;
            }
        }
    })
    .await;
    drop((ada_socket, b));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_fails_no_send_and_loses_nothing() {
    let two = Two::start(&["shutdown.drain=5s"]).await;
    let (_, _, both) = two.addresses();
    let follower = Follower::start(&two.bob, &both, &two.chat).await;
    let Two {
        cluster,
        mut a,
        mut b,
        ada,
        chat,
        ..
    } = two;
    let sending = burst(&ada, &both, &chat, "r", 6, 80);
    let restarting = async {
        follower.seqs(30).await;
        a.process.signal("TERM").await;
        assert!(a.process.ended().await.success());
        let next_a = cluster.instance(&[]).await;
        both.set(&[next_a.address(), b.address()]);
        let so_far = follower.seqs(1).await.len();
        follower.seqs(so_far + 30).await;
        b.process.signal("TERM").await;
        assert!(b.process.ended().await.success());
        let next_b = cluster.instance(&[]).await;
        both.set(&[next_a.address(), next_b.address()]);
        (next_a, next_b)
    };
    let (sent, (next_a, _next_b)) = tokio::join!(sending, restarting);
    assert_eq!(follower.seqs(480).await, (1..=480).collect::<Vec<_>>());
    let ada = talksy_tests::client::User {
        client: client_at(&ada, next_a.address()),
        ..ada
    };
    verify(&ada, &chat, &sent).await;
    report("both servers restarted one after the other", &sent);
}
