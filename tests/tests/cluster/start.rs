//! The order in which things start does not matter.

use secrecy::ExposeSecret as _;
use serde_json::json;
use talksy_tests::cluster::Cluster;
use talksy_tests::eventually;
use talksy_tests::process::run_talksy;
use talksy_tests::slow_way::SlowWay;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_first_says_what_it_waits_for_and_serves_when_it_is_there() {
    let mut cluster = Cluster::start().await;
    cluster.mongo.kill().await;
    cluster.redis.0.kill().await;
    let mut server = cluster.starting(&[]).await;
    let reason = eventually("the reason", async || {
        let (status, reason) = server.page("/readyz").await?;
        assert_eq!(status, 503);
        reason.starts_with("waiting for").then_some(reason)
    });
    // Which, and not why: the log has that.
    let reason = reason.await;
    assert!(
        ["waiting for MongoDB\n", "waiting for Redis\n"].contains(&&*reason),
        "{reason}"
    );
    assert_eq!(server.page("/livez").await.unwrap().0, 200);
    let reply = server.process.client().login("ada@example.org").await;
    assert_eq!(reply.code(), "UNAVAILABLE");
    server.process.log_line("waiting for a backend").await;

    cluster.redis.0.start().await;
    cluster.mongo.start().await;
    server.ready().await;
    let ada = server.sign_in("ada").await;
    let me = ada.client.data("{ me { id } }", json!({})).await;
    assert_eq!(me["me"]["id"], json!(ada.id));
}

/// A server whose indexes take longer to build than a backend is waited for says so, lives, and serves
/// when they are there.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_lives_as_long_as_its_indexes_take() {
    let cluster = Cluster::start().await;
    let way = SlowWay::to(&cluster.mongo).await;
    way.hold_builds(true);
    let url = way.url("talksy");
    let url = format!("store_url={}", url.expose_secret());
    // Behind the others, so that it is the one that counts. Less than the store takes to say that it
    // is at work.
    let mut server = cluster.starting(&[&url, "start.timeout=1s"]).await;
    eventually("the reason", async || {
        let (status, reason) = server.page("/readyz").await?;
        assert_eq!(status, 503);
        (reason == "preparing MongoDB\n").then_some(())
    })
    .await;
    let text = "at work on its indexes of `users`";
    server.process.log_line(text).await;
    assert_eq!(server.page("/livez").await.unwrap().0, 200);
    let reply = server.process.client().login("ada@example.org").await;
    assert_eq!(reply.code(), "UNAVAILABLE");
    way.hold_builds(false);
    server.ready().await;
    let ada = server.sign_in("ada").await;
    let me = ada.client.data("{ me { id } }", json!({})).await;
    assert_eq!(me["me"]["id"], json!(ada.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_stays_away_or_refuses_ends_the_start_with_one_clear_line() {
    // For backends that stay away; the others answer, and may take their time.
    const BRIEF: &str = "start.timeout=1s";
    let data = tempfile::tempdir().unwrap();
    let start = async |settings: &[&str]| {
        let mut arguments = vec!["--listen", "127.0.0.1:0"];
        for setting in settings {
            arguments.extend(["--set", setting]);
        }
        let output = run_talksy(data.path(), &arguments).await;
        assert_eq!(output.status.code(), Some(1));
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(
            !log.contains("hunter2") && !log.contains("panicked"),
            "{log}"
        );
        log.lines().last().unwrap_or_default().to_owned()
    };
    let away = start(&[BRIEF, "redis_url=redis://:hunter2@127.0.0.1:1"]).await;
    assert!(
        away.starts_with("talksy: Redis was waited for in vain for 1s"),
        "{away}"
    );
    let away = start(&[BRIEF, "store_url=mongodb://u:hunter2@127.0.0.1:1/talksy"]).await;
    assert!(
        away.starts_with("talksy: MongoDB was waited for in vain"),
        "{away}"
    );
    let away = start(&[BRIEF, "amqp_url=amqp://u:hunter2@127.0.0.1:1/%2f"]).await;
    assert!(
        away.starts_with("talksy: RabbitMQ was waited for in vain"),
        "{away}"
    );
    let wrong = start(&["redis_url=redis://u:hunter2@a b"]).await;
    assert!(wrong.contains("redis_url"), "{wrong}");
    let wrong = start(&["store_url=mongodb://u:hunter2@/?w=x&nonsense"]).await;
    assert!(wrong.contains("store_url"), "{wrong}");

    let redis = talksy_tests::servers::redis::RedisServer::with("requirepass secret").await;
    let url = format!("redis_url=redis://:hunter2@127.0.0.1:{}", redis.0.port);
    let refused = start(&[&url]).await;
    assert!(
        refused.starts_with("talksy: Redis cannot be used") && refused.contains("`redis_url`"),
        "{refused}"
    );
}
