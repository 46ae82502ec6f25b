//! What becomes of events, calls and leases while Redis is away.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use talksy_domain::auth::{ChallengeKey, CodeDigest};
use talksy_domain::clock::SystemClock;
use talksy_domain::events::{Interest, Signal, Topic};
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::limits::Decision;
use talksy_domain::presence::ConnectionId;
use talksy_redis::{RedisAdapters, RedisOptions};
use talksy_server::adapters::memory::MemoryRateLimiter;
use talksy_tests::servers::redis::{RedisSentinel, RedisServer};
use talksy_tests::{eventually, soon};
use tokio_util::sync::CancellationToken;

use super::{
    LEASE, RULE, assert_unavailable, event, follow, gets_through, ids, instance, interruption, now,
    options, random, started, typing,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_in_a_burst_is_told_of_and_followed_anew() {
    let mut server = RedisServer::start().await;
    let (here, there) = (instance(&server.url()).await, instance(&server.url()).await);
    let chat: ChatId = ids().next();
    let mut receivers = [follow(&here, chat).await, follow(&there, chat).await];
    let stop = CancellationToken::new();
    let burst = tokio::spawn({
        let (bus, stop) = (here.bus(), stop.clone());
        async move {
            let mut sent = 0;
            while !stop.is_cancelled() {
                bus.publish(Topic::Chat(chat), typing(chat)).await.unwrap();
                sent += 1;
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            sent
        }
    });
    for receiver in &mut receivers {
        event(receiver).await;
    }
    server.0.kill().await;
    server.0.start().await;
    for receiver in &mut receivers {
        interruption(receiver).await;
    }
    stop.cancel();
    assert!(burst.await.unwrap() > 0);
    let [_, mut other] = receivers;
    gets_through(&*here.bus(), chat, &mut other).await;
    gets_through(&*there.bus(), chat, &mut other).await;
    let mut late = follow(&there, chat).await;
    gets_through(&*here.bus(), chat, &mut late).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_stands_still_fails_calls_and_stops_no_publisher() {
    let server = RedisServer::start().await;
    let options = RedisOptions {
        timeout: Duration::from_secs(4),
        ..options()
    };
    let impatient = || RedisAdapters::open(&server.url(), Arc::new(SystemClock), &options).unwrap();
    let (here, there) = (started(impatient()).await, started(impatient()).await);
    let chat: ChatId = ids().next();
    let mut own = follow(&here, chat).await;
    let mut other = follow(&there, chat).await;
    here.limiter().check(RULE, "warm").await.unwrap();
    server.0.pause().await;

    let key = ChallengeKey(random());
    let presence = here.presence();
    let connection = (ids().next(), ConnectionId(1));
    soon("calls that end", async {
        let (codes, limiter, bus) = (here.codes(), here.limiter(), here.bus());
        let topics = [Topic::Chat(ids().next())];
        let (connections, at) = ([connection], now());
        let (attempt, limit, renewed, expired, following, pinged) = tokio::join!(
            codes.attempt(key, CodeDigest(random()), at),
            limiter.check(RULE, "key"),
            presence.renew(&connections, at, LEASE),
            presence.ended(at, LEASE),
            bus.subscribe(Interest::TYPING, &topics),
            here.ping(),
        );
        assert_unavailable(attempt);
        assert_unavailable(limit);
        assert_unavailable(renewed);
        assert_unavailable(expired);
        assert_unavailable(following.map(|_| ()));
        assert!(pinged.is_err());
        // Each instance limits by itself meanwhile.
        let lenient = here.lenient_limiter(Arc::new(MemoryRateLimiter::new(Arc::new(SystemClock))));
        for _ in 0..2 {
            let decision = lenient.check(RULE, "key").await.unwrap();
            assert_eq!(decision, Decision::Allowed);
        }
        let decision = lenient.check(RULE, "key").await.unwrap();
        assert!(matches!(decision, Decision::Denied(_)));
    })
    .await;

    let sent = typing(chat);
    let publish = here.bus();
    publish
        .publish(Topic::Chat(chat), sent.clone())
        .await
        .unwrap();
    assert_eq!(event(&mut own).await, sent, "one's own followers have it");

    server.0.resume();
    interruption(&mut other).await;
    interruption(&mut own).await;
    gets_through(&*here.bus(), chat, &mut other).await;
    eventually("calls that succeed again", async || {
        here.ping().await.ok()?;
        here.limiter().check(RULE, "other").await.ok()
    })
    .await;
}

/// How often in a row something is asked of a Redis that stands still, and the time between: in all
/// that is longer than the pauses after which it is tried whether it is there again.
const IN_A_ROW: usize = 500;
const BETWEEN: Duration = Duration::from_millis(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_stands_still_is_waited_for_once() {
    let server = RedisServer::start().await;
    let here = instance(&server.url()).await;
    let local = Arc::new(MemoryRateLimiter::new(Arc::new(SystemClock)));
    let lenient = here.lenient_limiter(local);
    let (strict, codes) = (here.limiter(), here.codes());
    strict.check(RULE, "warm").await.unwrap();
    assert_eq!(here.timeouts(), 0);
    server.0.pause().await;

    // One call finds out; who comes behind it is not made to wait, whatever they ask for.
    assert_unavailable(soon("the first call", strict.check(RULE, "first")).await);
    let waited = here.timeouts();
    assert!(waited >= 1, "somebody has to find out");
    soon("calls that do not wait", async {
        for n in 0..IN_A_ROW {
            assert_unavailable(strict.check(RULE, "key").await);
            let decision = lenient.check(RULE, &n.to_string()).await.unwrap();
            assert_eq!(
                decision,
                Decision::Allowed,
                "each instance limits by itself"
            );
            let attempt = codes.attempt(ChallengeKey(random()), CodeDigest(random()), now());
            assert_unavailable(attempt.await);
            tokio::time::sleep(BETWEEN).await;
        }
    })
    .await;
    assert_eq!(here.timeouts(), waited, "a call has waited");

    server.0.resume();
    eventually("calls that succeed again", async || {
        strict.check(RULE, "other").await.ok()
    })
    .await;
}

/// A primary that stands still and its Sentinel, which does too: nobody can say where Redis is.
#[tokio::test(flavor = "multi_thread")]
async fn a_sentinel_that_stands_still_is_waited_for_once() {
    let servers = RedisSentinel::start().await;
    let here = instance(&servers.url()).await;
    let limiter = here.limiter();
    limiter.check(RULE, "warm").await.unwrap();
    servers.pause().await;

    // The first finds out about the primary, the next, who asks where it is now, about the Sentinel.
    for _ in 0..2 {
        assert_unavailable(soon("a first call", limiter.check(RULE, "first")).await);
    }
    let waited = here.timeouts();
    assert!(waited >= 1, "somebody has to find out");
    soon("calls that do not wait", async {
        for _ in 0..IN_A_ROW {
            assert_unavailable(limiter.check(RULE, "key").await);
            tokio::time::sleep(BETWEEN).await;
        }
    })
    .await;
    assert_eq!(here.timeouts(), waited, "a call has waited");

    servers.resume();
    eventually("calls that succeed again", async || {
        limiter.check(RULE, "other").await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_one_instance_could_not_publish_are_told_of_to_the_others() {
    let server = RedisServer::start().await;
    let (here, there) = (instance(&server.url()).await, instance(&server.url()).await);
    let (chat, quiet): (ChatId, ChatId) = (ids().next(), ids().next());
    let mut receiver = follow(&there, chat).await;
    let mut undisturbed = follow(&there, quiet).await;
    gets_through(&*here.bus(), chat, &mut receiver).await;
    // Subscriptions stand, and nobody may publish.
    server.run(&["ACL", "SETUSER", "default", "-publish"]).await;
    let failed = "NOPERM:count=";
    let refused = typing(chat);
    here.bus()
        .publish(Topic::Chat(chat), refused.clone())
        .await
        .unwrap();
    eventually("a refusal", async || {
        let errors = server.run(&["INFO", "errorstats"]).await;
        errors.contains(failed).then_some(())
    })
    .await;
    server.run(&["ACL", "SETUSER", "default", "+publish"]).await;
    soon("word of what was missed", async {
        while let Signal::Event(published) = receiver.recv().await {
            assert_ne!(published.event, refused, "it came though it was refused");
        }
    })
    .await;
    gets_through(&*here.bus(), chat, &mut receiver).await;
    gets_through(&*here.bus(), quiet, &mut undisturbed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_that_redis_has_forgotten_are_asked_for() {
    let mut server = RedisServer::start().await;
    let adapters = instance(&server.url()).await;
    let chat: ChatId = ids().next();
    // Whoever follows something knows that the bus stands.
    let _receiver = follow(&adapters, chat).await;
    let presence = adapters.presence();
    let lease = [(ids().next(), ConnectionId(1))];
    presence.renew(&lease, now(), LEASE).await.unwrap();
    server.0.restart().await;
    soon("word of the loss", presence.lost()).await;
    let came = eventually("a renewal", async || {
        presence.renew(&lease, now(), LEASE).await.ok()
    });
    assert_eq!(came.await, [lease[0].0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_on_an_instance_that_died_leaves_once() {
    let server = RedisServer::start().await;
    let dying = instance(&server.url()).await;
    let (one, other) = (instance(&server.url()).await, instance(&server.url()).await);
    let users: Vec<UserId> = (0..50).map(|_| ids().next()).collect();
    let connections: Vec<_> = users
        .iter()
        .map(|user| (*user, ConnectionId(u128::from_le_bytes(random()))))
        .collect();
    let start = now();
    let came = dying.presence().renew(&connections, start, LEASE).await;
    assert_eq!(came.unwrap().len(), 50);
    drop(dying);
    let online = one.presence().online(&users, start).await.unwrap();
    assert_eq!(online, users);
    let end = start + LEASE;
    let (one, other) = (one.presence(), other.presence());
    let seen = tokio::join!(one.ended(end, LEASE), other.ended(end, LEASE));
    let seen = [seen.0.unwrap(), seen.1.unwrap()].concat();
    assert_eq!(
        one.online(&users, end).await.unwrap(),
        users,
        "as nobody was told"
    );
    let told = tokio::join!(one.expire(&seen), other.expire(&seen));
    let left = [told.0.unwrap(), told.1.unwrap()].concat();
    let mut left: Vec<_> = left.iter().map(|departure| departure.user_id).collect();
    left.sort();
    let mut all = users.clone();
    all.sort();
    assert_eq!(left, all);
    assert_eq!(one.online(&users, end).await.unwrap(), []);
}

/// A connection that stands says nothing of it: the epoch does.
#[tokio::test(flavor = "multi_thread")]
async fn leases_that_redis_has_lost_without_a_word_are_asked_for() {
    let server = RedisServer::start().await;
    let (here, there) = (instance(&server.url()).await, instance(&server.url()).await);
    let (here, there) = (here.presence(), there.presence());
    let own = [(ids().next(), ConnectionId(1))];
    here.renew(&own, now(), LEASE).await.unwrap();
    there.ended(now(), LEASE).await.unwrap();
    here.ended(now(), LEASE).await.unwrap();
    assert!(here.lost().now_or_never().is_none(), "nothing was lost yet");
    server.run(&["FLUSHALL"]).await;
    // Whoever comes first makes the new epoch, and the other finds it.
    let new = [(ids().next(), ConnectionId(2))];
    there.renew(&new, now(), LEASE).await.unwrap();
    soon("word of the loss there", there.lost()).await;
    here.ended(now(), LEASE).await.unwrap();
    soon("word of the loss here", here.lost()).await;
    assert_eq!(here.renew(&own, now(), LEASE).await.unwrap(), [own[0].0]);
    here.ended(now(), LEASE).await.unwrap();
    assert!(here.lost().now_or_never().is_none(), "it is told once");
}
