//! What is asked of a Redis that is well.

use std::time::Duration;

use talksy_domain::auth::{AddressKey, Attempt, ChallengeKey, CodeDigest};
use talksy_domain::events::Topic;
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::presence::ConnectionId;
use talksy_tests::eventually;
use talksy_tests::servers::redis::RedisServer;

use super::{LEASE, RULE, event, follow, ids, instance, new_code, now, random, typing};

/// Checks how many commands a step asks of the server, once that knows the scripts.
async fn costs(server: &RedisServer, what: &str, commands: u64, step: impl AsyncFn()) {
    step().await;
    server.run(&["CONFIG", "RESETSTAT"]).await;
    step().await;
    let calls = server.calls("evalsha").await + server.calls("zmscore").await;
    assert_eq!(calls, commands, "{what}");
    assert_eq!(server.calls("eval").await, 0, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_costs_one_subscription_and_an_event_one_message_an_instance() {
    let server = RedisServer::start().await;
    let (here, there) = (instance(&server.url()).await, instance(&server.url()).await);
    let chat: ChatId = ids().next();
    let channel = format!("talksy:bus:chat:{chat}");
    server.run(&["CONFIG", "RESETSTAT"]).await;
    let mut receivers = Vec::new();
    for _ in 0..100 {
        receivers.push(follow(&there, chat).await);
    }
    receivers.push(follow(&here, chat).await);
    assert_eq!(server.calls("subscribe").await, 2);
    let followers = async || {
        let count = server.run(&["PUBSUB", "NUMSUB", &channel]).await;
        count.lines().last().unwrap().parse::<u32>().unwrap()
    };
    assert_eq!(followers().await, 2, "one connection an instance");

    for _ in 0..50 {
        let sent = typing(chat);
        here.bus()
            .publish(Topic::Chat(chat), sent.clone())
            .await
            .unwrap();
        for receiver in &mut receivers {
            assert_eq!(event(receiver).await, sent);
        }
    }
    for receiver in &mut receivers {
        assert!(receiver.try_recv().is_none(), "each event came once");
    }
    assert_eq!(server.calls("publish").await, 50);

    drop(receivers);
    eventually("a channel that nobody follows", async || {
        (followers().await == 0).then_some(())
    })
    .await;
    assert_eq!(server.calls("unsubscribe").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_costs_a_fixed_number_of_commands() {
    let server = RedisServer::start().await;
    let adapters = instance(&server.url()).await;
    let (codes, presence, limiter) = (adapters.codes(), adapters.presence(), adapters.limiter());
    let start = now();
    costs(&server, "issue a code", 1, async || {
        let code = new_code(start);
        codes.issue(ChallengeKey(random()), &code).await.unwrap();
    })
    .await;
    costs(&server, "count its tries", 3, async || {
        let guesses = codes.count_tries(AddressKey(random()), 5, start).await;
        assert_eq!(guesses.unwrap().of_address, 0);
    })
    .await;
    costs(&server, "present a code", 1, async || {
        let answer = codes.attempt(ChallengeKey(random()), CodeDigest(random()), start);
        assert_eq!(answer.await.unwrap(), Attempt::Void);
    })
    .await;
    costs(&server, "check a limit", 1, async || {
        limiter.check(RULE, "key").await.unwrap();
    })
    .await;
    let users: Vec<UserId> = (0..100).map(|_| ids().next()).collect();
    let lease = |user: &UserId| (*user, ConnectionId(u128::from_le_bytes(random())));
    let leases: Vec<_> = users.iter().cycle().take(600).map(lease).collect();
    costs(&server, "renew 600 leases", 3, async || {
        presence.renew(&leases, start, LEASE).await.unwrap();
    })
    .await;
    costs(&server, "ask who of 100 is online", 1, async || {
        let online = presence.online(&users, start).await.unwrap();
        assert_eq!(online.len(), 100);
    })
    .await;
    costs(&server, "look for leases that have ended", 1, async || {
        assert_eq!(presence.ended(start, LEASE).await.unwrap(), []);
    })
    .await;
    let ended = presence.ended(start + LEASE, LEASE).await.unwrap();
    assert_eq!(ended.len(), 100);
    costs(&server, "take 100 users out", 1, async || {
        presence.expire(&ended).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_in_redis_for_ever() {
    let server = RedisServer::start().await;
    let adapters = instance(&server.url()).await;
    let (codes, key, start) = (adapters.codes(), ChallengeKey(random()), now());
    let address = AddressKey(random());
    codes.count_tries(address, 5, start).await.unwrap();
    codes.issue(key, &new_code(start)).await.unwrap();
    codes
        .attempt(key, CodeDigest(random()), start)
        .await
        .unwrap();
    codes.note_wrong(start).await.unwrap();
    adapters.limiter().check(RULE, "other").await.unwrap();
    adapters.limiter().give_back(RULE, "other").await.unwrap();
    adapters.limiter().check(RULE, "key").await.unwrap();
    let (user, connection) = (ids().next(), ConnectionId(1));
    let presence = adapters.presence();
    presence
        .renew(&[(user, connection)], start, LEASE)
        .await
        .unwrap();
    presence
        .release(user, connection, start, Duration::ZERO)
        .await
        .unwrap();
    let ended = presence.ended(start, LEASE).await.unwrap();
    assert_eq!(ended.len(), 1);
    let keys = server.run(&["KEYS", "*"]).await;
    let keys: Vec<_> = keys.lines().collect();
    assert_eq!(keys.len(), 9, "{keys:?}");
    for key in keys {
        assert!(key.starts_with("talksy:"), "{key}");
        let expiry = server.run(&["PTTL", key]).await;
        assert!(expiry.trim().parse::<i64>().unwrap() > 0, "{key}: {expiry}");
    }
}
