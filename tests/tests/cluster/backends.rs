//! Backends that die, stand still and come back while people talk.

use serde_json::json;
use talksy_tests::client::{Client, SEND};
use talksy_tests::cluster::{Follower, client_at};
use talksy_tests::websocket::Received;
use talksy_tests::{eventually, soon};

use super::{Two, burst, report, verify};

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_messages_are_sent_and_afterwards_all_have_come_in_order() {
    let mut two = Two::start(&[]).await;
    let (a, b, _) = two.addresses();
    let at_a = Follower::start(&two.bob, &a, &two.chat).await;
    let at_b = Follower::start(&two.bob, &b, &two.chat).await;
    let mut sent = burst(&two.ada, &a, &two.chat, "before", 4, 10).await;

    // Killed in the middle of a burst; the last messages are published while it is down.
    let sending = burst(&two.ada, &a, &two.chat, "during", 8, 20);
    let killing = async {
        at_b.seqs(60).await;
        two.cluster.redis.0.kill().await;
    };
    let (during, ()) = tokio::join!(sending, killing);
    sent.extend(during);
    sent.extend(burst(&two.ada, &a, &two.chat, "down", 2, 5).await);
    two.cluster.redis.0.start().await;
    let all: Vec<i64> = (1..=210).collect();
    assert_eq!(at_b.seqs(210).await, all);
    assert_eq!(at_a.seqs(210).await, all);

    // Standing still, as behind a network that drops everything.
    two.cluster.redis.0.pause().await;
    sent.extend(burst(&two.ada, &a, &two.chat, "paused", 2, 5).await);
    two.cluster.redis.0.resume();
    sent.extend(burst(&two.ada, &a, &two.chat, "after", 2, 5).await);
    let all: Vec<i64> = (1..=230).collect();
    assert_eq!(at_b.seqs(230).await, all);
    assert_eq!(at_a.seqs(230).await, all);
    assert_eq!(
        (at_a.connections(), at_b.connections()),
        (1, 1),
        "nobody had to reconnect"
    );
    verify(&two.ada, &two.chat, &sent).await;

    // Who is there is known again. A socket may still be told to come back later.
    let watching = client_at(&two.ada, two.a.address());
    eventually("Bob's presence", async || {
        shows_online(&watching, &two.bob.id).await.then_some(())
    })
    .await;
    report("Redis killed, down and paused", &sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_mongodb_is_away_callers_are_told_and_nothing_acknowledged_is_lost() {
    let mut two = Two::start(&[]).await;
    let (_, b, both) = two.addresses();
    let follower = Follower::start(&two.bob, &b, &two.chat).await;
    let mut sent = burst(&two.ada, &both, &two.chat, "before", 4, 5).await;
    let sending = burst(&two.ada, &both, &two.chat, "during", 8, 12);
    let killing = async {
        follower.seqs(40).await;
        two.cluster.mongo.kill().await;
        // Told, and not left to wait.
        let input = json!({ "chatId": two.chat, "text": "down", "clientMessageId": "down" });
        let elsewhere = client_at(&two.bob, two.b.address());
        let refused = elsewhere.run(SEND, json!({ "input": input }));
        assert_eq!(soon("an answer", refused).await.code(), "UNAVAILABLE");
        let reason = eventually("an instance that is not ready", async || {
            let (status, reason) = two.b.page("/readyz").await?;
            (status == 503).then_some(reason)
        });
        let reason = reason.await;
        let told = ["MongoDB is not ready\n", "MongoDB does not answer\n"];
        assert!(told.contains(&&*reason), "{reason}");
        assert_eq!(two.b.page("/livez").await.unwrap().0, 200);
        two.cluster.mongo.start().await;
    };
    let (during, ()) = tokio::join!(sending, killing);
    sent.extend(during);
    two.b.ready().await;
    // The refused one was not kept, or it is found by its id: either way it is there once.
    sent.extend(burst(&two.bob, &both, &two.chat, "after", 2, 5).await);
    let retried = talksy_tests::cluster::send(&two.bob, &both, &two.chat, "down").await;
    let texts = follower.seqs(127).await;
    assert_eq!(texts, (1..=127).collect::<Vec<_>>());
    sent.insert("down".to_owned(), retried);
    verify(&two.ada, &two.chat, &sent).await;
    assert_eq!(follower.connections(), 1, "the follower waited");
    eventually("readiness", async || {
        (two.a.page("/readyz").await?.0 == 200).then_some(())
    })
    .await;
    report("MongoDB killed and restarted", &sent);
}

/// Whether a new socket shows the user online before it ends. One that is opened while a backend is
/// still being found again is closed with 1013, and a client opens another.
async fn shows_online(watching: &Client, user: &str) -> bool {
    const PRESENCE: &str = "subscription($ids: [ID!]!) {
        presenceChanged(userIds: $ids) { status } }";
    let Some(mut socket) = watching.try_socket().await else {
        return false;
    };
    socket
        .subscribe("1", PRESENCE, json!({ "ids": [user] }))
        .await;
    while let Received::Message(message) = socket.next().await {
        match message["type"].as_str() {
            Some("next") => {
                let status = &message["payload"]["data"]["presenceChanged"]["status"];
                if *status == json!("ONLINE") {
                    return true;
                }
            }
            _ => return false,
        }
    }
    false
}
