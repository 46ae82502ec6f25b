//! The mail worker as a process: its start, its health, its stop, and its operator's commands.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::Stdio;

use secrecy::ExposeSecret as _;
use talksy_domain::mail::{MailJob, MailQueue as _};
use talksy_mail_worker::amqp::{AmqpOptions, AmqpQueue};
use talksy_tests::mailbox::sign_in_job;
use talksy_tests::process::{binary, outbox_code};
use talksy_tests::servers::free_port;
use talksy_tests::servers::rabbitmq::RabbitMq;
use talksy_tests::{eventually, soon};
use tokio::process::{Child, Command};

struct Worker {
    child: Child,
    port: u16,
}

impl Worker {
    fn start(url: &str, outbox: &Path, arguments: &[&str]) -> Self {
        let port = free_port();
        let mut command = Command::new(binary("talksy-mail-worker"));
        command
            .env("TALKSY_AMQP_URL", url)
            .arg("--outbox")
            .arg(outbox)
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Self {
            child: command.spawn().unwrap(),
            port,
        }
    }

    /// The status and text of a health page.
    async fn page(&self, path: &str) -> (u16, String) {
        eventually("the worker's health page", async || {
            let url = format!("http://127.0.0.1:{}{path}", self.port);
            let response = talksy_tests::http_client().get(url).send().await.ok()?;
            Some((response.status().as_u16(), response.text().await.ok()?))
        })
        .await
    }

    async fn ready(&self) {
        eventually("a ready worker", async || {
            (self.page("/readyz").await.0 == 200).then_some(())
        })
        .await;
    }

    async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let mut kill = Command::new("kill");
        kill.args(["-s", name, &id]).status().await.unwrap();
    }

    /// Its exit code and what it wrote to standard error.
    async fn ended(self) -> (Option<i32>, String) {
        let output = soon("the worker's end", self.child.wait_with_output()).await;
        let output = output.unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_waits_for_its_broker_sends_and_stops_in_order() {
    let mut rabbitmq = RabbitMq::start().await;
    let url = rabbitmq.url().expose_secret().to_owned();
    rabbitmq.server.kill().await;
    let outbox = tempfile::tempdir().unwrap();
    let worker = Worker::start(&url, outbox.path(), &[]);
    assert_eq!(worker.page("/livez").await, (200, "ok\n".to_owned()));
    let (status, reason) = worker.page("/readyz").await;
    assert_eq!(status, 503);
    assert!(reason.starts_with("waiting for RabbitMQ"), "{reason}");

    rabbitmq.start_again().await;
    worker.ready().await;
    let queue = AmqpQueue::new(&rabbitmq.url(), &AmqpOptions::default()).unwrap();
    queue
        .enqueue(&sign_in_job("ada@example.org"))
        .await
        .unwrap();
    assert_eq!(
        outbox_code(outbox.path(), "ada@example.org").await,
        "042137"
    );
    worker.signal("TERM").await;
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(0), "{log}");
    let waits = log.matches("waiting for RabbitMQ").count();
    assert_eq!(waits, 1, "said once: {log}");
    assert!(!log.contains("guest:guest"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stays_away_or_refuses_ends_the_worker_with_one_clear_line() {
    let outbox = tempfile::tempdir().unwrap();
    let nobody = format!("amqp://u:hunter2@127.0.0.1:{}/%2f", free_port());
    let worker = Worker::start(&nobody, outbox.path(), &["--start-timeout", "300ms"]);
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(1));
    let last = log.lines().last().unwrap();
    assert!(
        last.starts_with("talksy-mail-worker: RabbitMQ was waited for in vain for 300ms"),
        "{log}"
    );
    assert!(!log.contains("hunter2"), "{log}");

    let worker = Worker::start("nonsense", outbox.path(), &[]);
    let (code, log) = worker.ended().await;
    assert_eq!(code, Some(1));
    assert!(log.contains("the AMQP URL must be like"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_lists_retries_and_drops_dead_letters() {
    let rabbitmq = RabbitMq::start().await;
    let url = rabbitmq.url().expose_secret().to_owned();
    let queue = AmqpQueue::new(&rabbitmq.url(), &AmqpOptions::default()).unwrap();
    let outbox = tempfile::tempdir().unwrap();
    let future = MailJob {
        version: 99,
        ..sign_in_job("ada@example.org")
    };
    queue.enqueue(&future).await.unwrap();
    let worker = Worker::start(&url, outbox.path(), &[]);
    worker.ready().await;

    let letters = async |arguments: &[&str]| {
        let mut command = Command::new(binary("talksy-mail-worker"));
        command.env("TALKSY_AMQP_URL", &url).arg("dead-letters");
        let output = soon("the command", command.args(arguments).output())
            .await
            .unwrap();
        (
            output.status.code(),
            String::from_utf8([output.stdout, output.stderr].concat()).unwrap(),
        )
    };
    let listed = eventually("the dead letter", async || {
        let (_, listed) = letters(&["list"]).await;
        listed.ends_with("1 dead\n").then_some(listed)
    })
    .await;
    let id = future.id.to_string();
    assert!(
        listed.contains(&id) && listed.contains("version 99"),
        "{listed}"
    );
    assert!(
        listed.contains("…@example.org") && !listed.contains("ada"),
        "{listed}"
    );
    // Tried again, it dies again.
    let (code, said) = letters(&["retry", &id]).await;
    assert!(said.ends_with("1 put back\n"), "{code:?}: {said}");
    eventually("the dead letter's return", async || {
        letters(&["list"])
            .await
            .1
            .ends_with("1 dead\n")
            .then_some(())
    })
    .await;
    assert_eq!(
        letters(&["drop"]).await.0,
        Some(2),
        "drop wants ids or --all"
    );
    assert!(
        letters(&["drop", "--all"])
            .await
            .1
            .ends_with("1 thrown away\n")
    );
    assert_eq!(letters(&["list"]).await, (Some(0), "0 dead\n".to_owned()));
}
