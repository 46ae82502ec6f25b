//! Signing in over RabbitMQ and the mail worker.

use talksy_tests::cluster::Cluster;
use talksy_tests::eventually;
use talksy_tests::process::{WorkerProcess, outbox_code};
use talksy_tests::servers::rabbitmq::RabbitMq;

#[tokio::test(flavor = "multi_thread")]
async fn codes_come_by_the_worker_and_a_broker_that_is_away_is_told_honestly() {
    let mut rabbitmq = RabbitMq::start().await;
    let outbox = tempfile::tempdir().unwrap();
    let cluster = Cluster::start().await.with_amqp(rabbitmq.url());
    let server = cluster.instance(&["auth.otp_resend=5m"]).await;
    let client = server.process.client();
    let worker = WorkerProcess::start(&rabbitmq.url(), outbox.path()).await;
    client.login("ada@example.org").await.data();
    let code = outbox_code(outbox.path(), "ada@example.org").await;
    client.verify("ada@example.org", &code).await.data();

    // Confirmed before the broker and the worker are killed: delivered after.
    worker.kill().await;
    client.login("bob@example.org").await.data();
    rabbitmq.server.kill().await;

    // While it is away: refused, and the code is withdrawn, so that another may be asked for at
    // once, five minutes of waiting or not.
    assert_eq!(client.login("cyd@example.org").await.code(), "UNAVAILABLE");
    eventually("a server that is not ready", async || {
        (server.page("/readyz").await?.0 == 503).then_some(())
    })
    .await;
    rabbitmq.start_again().await;
    let worker = WorkerProcess::start(&rabbitmq.url(), outbox.path()).await;
    let code = outbox_code(outbox.path(), "bob@example.org").await;
    client.verify("bob@example.org", &code).await.data();
    eventually("the queue's return", async || {
        let reply = client.login("cyd@example.org").await;
        reply.body.get("errors").is_none().then_some(())
    })
    .await;
    assert_eq!(client.login("cyd@example.org").await.code(), "RATE_LIMITED");
    let code = outbox_code(outbox.path(), "cyd@example.org").await;
    client.verify("cyd@example.org", &code).await.data();
    worker.kill().await;
}
