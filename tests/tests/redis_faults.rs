//! What instances that share a Redis live through: it is killed, stands still, refuses, moves;
//! and what they ask of it while all is well.

#![expect(
    clippy::unwrap_used,
    reason = "a fixture that cannot be made fails the test"
)]

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use talksy_schema::accounts::codes::{Attempt, CodeDigest, CodeKey, Issue, IssuedCode};
use talksy_schema::clock::{Clock as _, Entropy as _, SystemClock, SystemEntropy, Timestamp};
use talksy_schema::error::PortError;
use talksy_schema::id::{ChatId, IdGenerator, UserId};
use talksy_schema::limits::{Decision, Quota, Rule};
use talksy_schema::live::{Bus, Event, Interest, Receiver, Signal, Topic};
use talksy_schema::presence::ConnectionId;
use talksy_server::adapters::redis::{PrepareError, RedisAdapters, RedisOptions};
use talksy_tests::servers::redis::{RedisCluster, RedisSentinel, RedisServer};
use talksy_tests::{eventually, soon};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

const LEASE: Duration = Duration::from_secs(45);

fn ids() -> IdGenerator {
    IdGenerator::new(Arc::new(SystemClock), Arc::new(SystemEntropy))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemEntropy.fill(&mut bytes);
    bytes
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn options() -> RedisOptions {
    RedisOptions {
        linger: Duration::from_millis(20),
        timeout: Duration::from_secs(1),
        ..RedisOptions::default()
    }
}

/// An instance that is not connected.
fn closed(url: &SecretString) -> RedisAdapters {
    RedisAdapters::open(url, Arc::new(SystemClock), &options()).unwrap()
}

/// An instance that runs.
async fn instance(url: &SecretString) -> RedisAdapters {
    let adapters = closed(url);
    adapters.prepare().await.unwrap();
    adapters.start();
    adapters
}

fn typing(chat_id: ChatId) -> Event {
    Event::Typing {
        chat_id,
        user_id: ids().next(),
        is_typing: true,
    }
}

/// The next event; interruptions are passed over.
async fn event(receiver: &mut Receiver) -> Event {
    soon("an event", async {
        loop {
            if let Signal::Event(published) = receiver.recv().await {
                return published.event.clone();
            }
        }
    })
    .await
}

/// Waits until the receiver is told that it may have missed something; events are passed over.
async fn interruption(receiver: &mut Receiver) {
    soon("an interruption", async {
        while !matches!(receiver.recv().await, Signal::Interrupted) {}
    })
    .await;
}

/// Publishes until one event gets through: a bus may lose some before it knows that it does.
async fn gets_through(bus: &dyn Bus, chat: ChatId, receiver: &mut Receiver) {
    soon("an event that gets through", async {
        loop {
            let sent = typing(chat);
            bus.publish(Topic::Chat(chat), sent.clone()).await.unwrap();
            let passes = async { while event(receiver).await != sent {} };
            if tokio::time::timeout(Duration::from_millis(100), passes)
                .await
                .is_ok()
            {
                return;
            }
        }
    })
    .await;
}

async fn follow(adapters: &RedisAdapters, chat: ChatId) -> Receiver {
    let topics = [Topic::Chat(chat)];
    let bus = adapters.bus();
    bus.subscribe(Interest::TYPING, &topics).await.unwrap()
}

fn assert_unavailable<T: std::fmt::Debug>(result: Result<T, PortError>) {
    assert!(
        matches!(result, Err(PortError::Unavailable { .. })),
        "{result:?}"
    );
}

fn new_code(at: Timestamp) -> IssuedCode {
    IssuedCode {
        id: random(),
        digest: CodeDigest(random()),
        issued_at: at,
        expires_at: at + Duration::from_mins(5),
        tries: 5,
    }
}

const RULE: Rule = Rule {
    name: "test",
    quota: Quota {
        burst: 2,
        period: Duration::from_hours(1),
    },
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
    let (here, there) = (instance(&server.url()).await, instance(&server.url()).await);
    let chat: ChatId = ids().next();
    let mut own = follow(&here, chat).await;
    let mut other = follow(&there, chat).await;
    here.limiter().check(RULE, "warm").await.unwrap();
    server.0.pause();

    let key = CodeKey(random());
    let presence = here.presence();
    let connection = (ids().next(), ConnectionId(1));
    soon("calls that end", async {
        let attempt = here.codes().attempt(key, CodeDigest(random()), now()).await;
        assert_unavailable(attempt);
        assert_unavailable(here.limiter().check(RULE, "key").await);
        assert_unavailable(presence.renew(&[connection], now(), LEASE).await);
        assert_unavailable(presence.expire(now()).await);
        let topics = [Topic::Chat(ids().next())];
        let following = here.bus().subscribe(Interest::TYPING, &topics).await;
        assert_unavailable(following.map(|_| ()));
        assert!(here.ping().await.is_err());
        // Each instance limits by itself meanwhile.
        let lenient = here.lenient_limiter();
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
    here.bus()
        .publish(Topic::Chat(chat), typing(chat))
        .await
        .unwrap();
    eventually("a refusal", async || {
        let errors = server.run(&["INFO", "errorstats"]).await;
        errors.contains(failed).then_some(())
    })
    .await;
    server.run(&["ACL", "SETUSER", "default", "+publish"]).await;
    let told = soon("word of what was missed", receiver.recv()).await;
    assert!(matches!(told, Signal::Interrupted), "{told:?}");
    gets_through(&*here.bus(), chat, &mut receiver).await;
    gets_through(&*here.bus(), quiet, &mut undisturbed).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_follows_hears_what_comes_however_many_come_and_go() {
    let server = RedisServer::start().await;
    let here = instance(&server.url()).await;
    let options = RedisOptions {
        linger: Duration::ZERO,
        mailbox: 100_000,
        ..options()
    };
    let there = RedisAdapters::open(&server.url(), Arc::new(SystemClock), &options).unwrap();
    there.start();
    let chats: [ChatId; 3] = [(); 3].map(|()| ids().next());
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let (here, there) = (here.bus(), there.bus());
            tokio::spawn(async move {
                for round in 0..60 {
                    let chat = chats[(n + round) % chats.len()];
                    let topic = Topic::Chat(chat);
                    let mut receiver = there.subscribe(Interest::TYPING, &[topic]).await.unwrap();
                    let sent = typing(chat);
                    here.publish(topic, sent.clone()).await.unwrap();
                    soon("what was published after following", async {
                        loop {
                            match receiver.recv().await {
                                Signal::Event(published) if published.event == sent => return,
                                Signal::Event(_) => {}
                                Signal::Interrupted => panic!("nothing was interrupted"),
                            }
                        }
                    })
                    .await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    eventually("no channels", async || {
        let channels = server.run(&["PUBSUB", "CHANNELS"]).await;
        channels.trim().is_empty().then_some(())
    })
    .await;
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
    let online = one.presence().online(&users, end).await.unwrap();
    assert_eq!(online, [], "before any sweep");
    let (one, other) = (one.presence(), other.presence());
    let told = tokio::join!(one.expire(end), other.expire(end));
    let mut left = [told.0.unwrap(), told.1.unwrap()].concat();
    left.sort();
    let mut all = users.clone();
    all.sort();
    assert_eq!(left, all);
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
    let came = presence.renew(&lease, now(), LEASE).await.unwrap();
    assert_eq!(came, [lease[0].0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_in_redis_for_ever() {
    let server = RedisServer::start().await;
    let adapters = instance(&server.url()).await;
    let (codes, key, start) = (adapters.codes(), CodeKey(random()), now());
    let resend = Duration::from_mins(1);
    codes.issue(key, &new_code(start), resend).await.unwrap();
    codes
        .issue(key, &new_code(start + resend), resend)
        .await
        .unwrap();
    codes
        .attempt(key, CodeDigest(random()), start)
        .await
        .unwrap();
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
    let keys = server.run(&["KEYS", "*"]).await;
    let keys: Vec<_> = keys.lines().collect();
    assert_eq!(keys.len(), 5, "{keys:?}");
    for key in keys {
        assert!(key.starts_with("talksy:"), "{key}");
        let expiry = server.run(&["PTTL", key]).await;
        assert!(expiry.trim().parse::<i64>().unwrap() > 0, "{key}: {expiry}");
    }
}

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
async fn each_step_costs_a_fixed_number_of_commands() {
    let server = RedisServer::start().await;
    let adapters = instance(&server.url()).await;
    let (codes, presence, limiter) = (adapters.codes(), adapters.presence(), adapters.limiter());
    let start = now();
    costs(&server, "issue a code", 1, async || {
        let code = new_code(start);
        let issued = codes.issue(CodeKey(random()), &code, Duration::ZERO);
        assert_eq!(issued.await.unwrap(), Issue::Issued);
    })
    .await;
    costs(&server, "present a code", 1, async || {
        let answer = codes.attempt(CodeKey(random()), CodeDigest(random()), start);
        assert_eq!(answer.await.unwrap(), Attempt::NoCode);
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
    costs(&server, "sweep", 1, async || {
        assert_eq!(presence.expire(start).await.unwrap(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_instance_says_is_left_alone_and_counted() {
    let server = RedisServer::start().await;
    let (here, there) = (instance(&server.url()).await, instance(&server.url()).await);
    let chat: ChatId = ids().next();
    let mut receiver = follow(&there, chat).await;
    let channel = format!("talksy:bus:chat:{chat}");
    for envelope in [
        r#"{"v":9}"#,
        r#"{"v":1,"from":"x","event":{"type":"reactionAdded"}}"#,
        "nonsense",
    ] {
        server.run(&["PUBLISH", &channel, envelope]).await;
    }
    let sent = typing(chat);
    here.bus()
        .publish(Topic::Chat(chat), sent.clone())
        .await
        .unwrap();
    assert_eq!(event(&mut receiver).await, sent);
    assert_eq!(there.unknown_events(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_before_the_start() {
    let server = RedisServer::with("requirepass s3cret").await;
    let port = server.0.port;
    let prepare = async |url: &str| closed(&SecretString::from(url)).prepare().await;
    for password in ["", ":wr0ng@"] {
        let error = prepare(&format!("redis://{password}127.0.0.1:{port}")).await;
        let error = error.unwrap_err();
        assert!(matches!(error, PrepareError::Credentials(_)), "{error:?}");
        assert!(!error.is_transient());
        assert!(!format!("{error:?}").contains("wr0ng"));
    }
    prepare(&format!("redis://:s3cret@127.0.0.1:{port}/5"))
        .await
        .unwrap();
    let setuser = [
        "ACL", "SETUSER", "guest", "on", ">pw", "+ping", "+hello", "~*", "&*",
    ];
    server
        .run(&[&["-a", "s3cret", "--no-auth-warning"], &setuser[..]].concat())
        .await;
    let error = prepare(&format!("redis://guest:pw@127.0.0.1:{port}")).await;
    assert!(
        matches!(error, Err(PrepareError::Permission(_))),
        "{error:?}"
    );

    let plain = RedisServer::start().await;
    for form in [
        "redis+cluster://127.0.0.1:{}",
        "redis+sentinel://127.0.0.1:{}/x",
    ] {
        let error = prepare(&form.replace("{}", &plain.0.port.to_string())).await;
        assert!(matches!(error, Err(PrepareError::Layout(_))), "{error:?}");
    }

    let nobody = format!("redis://127.0.0.1:{}", talksy_tests::servers::free_port());
    let error = prepare(&nobody).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_too_old_is_refused() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                    for _ in text.matches("HELLO") {
                        let hello = "%2\r\n$7\r\nversion\r\n$5\r\n6.2.7\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n";
                        stream.write_all(hello.as_bytes()).await.unwrap();
                    }
                    for _ in text.matches("SETINFO") {
                        stream.write_all(b"+OK\r\n").await.unwrap();
                    }
                }
            });
        }
    });
    let url = SecretString::from(format!("redis://127.0.0.1:{port}"));
    let error = soon("the check", closed(&url).prepare()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Redis 7 or newer is needed; this is version 6.2.7"
    );
    assert!(!error.is_transient());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_to_be_published_is_published_before_the_end() {
    let server = RedisServer::start().await;
    let (here, there) = (instance(&server.url()).await, instance(&server.url()).await);
    let chat: ChatId = ids().next();
    let mut receiver = follow(&there, chat).await;
    let sent: Vec<_> = (0..500).map(|_| typing(chat)).collect();
    for event in &sent {
        here.bus()
            .publish(Topic::Chat(chat), event.clone())
            .await
            .unwrap();
    }
    here.close().await;
    for expected in &sent {
        assert_eq!(event(&mut receiver).await, *expected);
    }
    let late = here.bus().publish(Topic::Chat(chat), typing(chat)).await;
    assert_unavailable(late);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentinel_failover_is_followed() {
    let mut group = RedisSentinel::start().await;
    let (here, there) = (instance(&group.url()).await, instance(&group.url()).await);
    let chat: ChatId = ids().next();
    let mut receiver = follow(&there, chat).await;
    gets_through(&*here.bus(), chat, &mut receiver).await;
    group.primary.0.kill().await;
    interruption(&mut receiver).await;
    gets_through(&*here.bus(), chat, &mut receiver).await;
    eventually("limits on the new primary", async || {
        here.limiter().check(RULE, "key").await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_node_that_is_lost_interrupts_and_comes_back() {
    let mut cluster = RedisCluster::start().await;
    let (here, there) = (
        instance(&cluster.url()).await,
        instance(&cluster.url()).await,
    );
    let chats: Vec<ChatId> = (0..12).map(|_| ids().next()).collect();
    let mut receivers = Vec::new();
    for chat in &chats {
        let mut receiver = follow(&there, *chat).await;
        gets_through(&*here.bus(), *chat, &mut receiver).await;
        receivers.push(receiver);
    }
    assert!(cluster.calls("spublish").await >= 12);
    assert_eq!(cluster.calls("publish").await, 0);
    cluster.nodes[1].0.restart().await;
    for (chat, receiver) in chats.iter().zip(&mut receivers) {
        interruption(receiver).await;
        gets_through(&*here.bus(), *chat, receiver).await;
    }
    let plain = SecretString::from(format!("redis://127.0.0.1:{}", cluster.nodes[0].0.port));
    let error = closed(&plain).prepare().await;
    assert!(matches!(error, Err(PrepareError::Layout(_))), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_moves_takes_its_channels_and_keys_along() {
    let cluster = RedisCluster::start().await;
    let (here, there) = (
        instance(&cluster.url()).await,
        instance(&cluster.url()).await,
    );
    let chat: ChatId = ids().next();
    let mut receiver = follow(&there, chat).await;
    gets_through(&*here.bus(), chat, &mut receiver).await;
    let channel = format!("talksy:bus:chat:{chat}");
    let slot = cluster.nodes[0]
        .run(&["CLUSTER", "KEYSLOT", &channel])
        .await;
    let slot = slot.trim();
    let number: u32 = slot.parse().unwrap();
    let source = usize::try_from(number * 3 / 16_384).unwrap();
    let target = (source + 1) % 3;
    let target = cluster.nodes[target].run(&["CLUSTER", "MYID"]).await;
    for node in &cluster.nodes {
        node.run(&["CLUSTER", "SETSLOT", slot, "NODE", target.trim()])
            .await;
    }
    interruption(&mut receiver).await;
    gets_through(&*here.bus(), chat, &mut receiver).await;
    gets_through(&*there.bus(), chat, &mut receiver).await;
}
