//! Mails by way of RabbitMQ and a worker's process, or of the server's own queue.

use std::collections::HashSet;
use std::ffi::OsStr;

use secrecy::{ExposeSecret as _, SecretString};
use talksy_domain::mail::{MailJob, MailQueue as _};
use talksy_mail_worker::amqp::{AmqpOptions, AmqpQueue, DeadLetter, DeadLetters};
use talksy_tests::client::Client;
use talksy_tests::eventually;
use talksy_tests::mailbox::sign_in_job;
use talksy_tests::process::{ServerProcess, WorkerProcess};
use talksy_tests::servers::rabbitmq::RabbitMq;
use talksy_tests::servers::smtp::{Event, Mail, Security, SmtpServer};

use super::FROM;

/// A worker between queues of its own and a mail server.
struct Post {
    worker: WorkerProcess,
    queue: AmqpQueue,
    dead: DeadLetters,
}

impl Post {
    async fn start(prefix: &str, server: &SmtpServer, url: &SecretString, more: &[&str]) -> Self {
        let rabbitmq = RabbitMq::shared().await;
        let options = AmqpOptions {
            prefix: prefix.to_owned(),
            ..AmqpOptions::default()
        };
        let ca_file = server.ca_file();
        let usual = ["--prefix", prefix, "--from", FROM];
        let mut arguments: Vec<_> = usual.iter().chain(more).map(OsStr::new).collect();
        let url = url.expose_secret();
        if url.contains("tls") || url.starts_with("smtps") {
            arguments.extend([OsStr::new("--smtp-ca-file"), ca_file.as_os_str()]);
        }
        let environment = [("TALKSY_SMTP_URL", url)];
        Self {
            worker: WorkerProcess::start_with(&rabbitmq.url(), &arguments, &environment).await,
            queue: AmqpQueue::new(&rabbitmq.url(), &options).unwrap(),
            dead: DeadLetters::new(&rabbitmq.url(), &options).unwrap(),
        }
    }

    async fn enqueue(&self, to: &str) -> MailJob {
        let job = sign_in_job(to);
        self.queue.enqueue(&job).await.unwrap();
        job
    }

    /// The only dead letter, once it is there.
    async fn dead_letter(&self) -> DeadLetter {
        eventually("the dead letter", async || {
            let mut letters = self.dead.list().await.unwrap();
            assert!(letters.len() < 2, "{letters:?}");
            letters.pop()
        })
        .await
    }

    /// The pauses that the log speaks of, in order.
    fn pauses(&self) -> Vec<String> {
        let log = self.worker.log();
        let lines = log.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["pause"].as_str().map(str::to_owned)
        });
        lines.flatten().collect()
    }
}

fn code_of(mail: &Mail) -> String {
    let text = mail.part("text/plain").unwrap();
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let is_code = |word: &&str| word.len() == 6 && word.bytes().all(|b| b.is_ascii_digit());
    words.find(is_code).unwrap().to_owned()
}

/// Signs in with the code of the mail that comes.
async fn sign_in(client: &Client, server: &SmtpServer) {
    eventually("a ready server", async || {
        let ready = client.request(http::Method::GET, "/readyz").send().await;
        ready.ok()?.status().is_success().then_some(())
    })
    .await;
    client.login("ada@example.org").await.data();
    let mails = server.received(1).await;
    let mail = &mails[0];
    assert!(mail.over.tls);
    assert_eq!(mail.recipients, ["ada@example.org"]);
    assert_eq!(mail.header("From"), [FROM]);
    let code = code_of(mail);
    assert_eq!(
        mail.header("Subject"),
        [format!("{code} is your Talksy sign-in code")]
    );
    assert!(mail.part("text/html").unwrap().contains(&code));
    client.verify("ada@example.org", &code).await.data();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_comes_over_broker_worker_and_mail_server_and_signs_in() {
    let server = SmtpServer::with_password(Security::StartTls).await;
    let post = Post::start("whole", &server, &server.url(), &[]).await;
    let data = tempfile::tempdir().unwrap();
    let rabbitmq = RabbitMq::shared().await.url();
    let settings = format!("amqp_url={}", rabbitmq.expose_secret());
    let arguments = ["--set", &settings, "--set", "amqp.prefix=whole"];
    let talksy = ServerProcess::start(data.path(), &arguments).await;
    sign_in(&talksy.client(), &server).await;
    assert!(post.pauses().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_alone_sends_its_mail_itself() {
    let server = SmtpServer::with_password(Security::Tls).await;
    let data = tempfile::tempdir().unwrap();
    let settings = [
        format!("smtp_url={}", server.url().expose_secret()),
        format!("mail.smtp_ca_file={}", server.ca_file().display()),
        format!("mail.from={FROM}"),
    ];
    let arguments: Vec<_> = settings.iter().flat_map(|set| ["--set", set]).collect();
    let talksy = ServerProcess::start(data.path(), &arguments).await;
    sign_in(&talksy.client(), &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_is_put_off_is_tried_again_after_growing_pauses_and_comes_once() {
    let server = SmtpServer::start(Security::Plain).await;
    let pauses = ["--retries", "20ms,40ms,80ms,160ms"];
    let post = Post::start("busy", &server, &server.url(), &pauses).await;
    let to = "busy-3@example.org";
    let job = post.enqueue(to).await;
    let mails = server.received(1).await;
    assert_eq!(server.refusals(to), [451, 451, 451]);
    // The log comes over a pipe, and so may come after the mail.
    let pauses = eventually("three pauses", async || {
        let pauses = post.pauses();
        (pauses.len() >= 3).then_some(pauses)
    });
    assert_eq!(pauses.await, ["20ms", "40ms", "80ms"]);
    assert_eq!(mails[0].recipients, [to]);

    // Once all tries are used up, it is set aside.
    let to = "busy-99@example.org";
    let given_up = post.enqueue(to).await;
    let letter = post.dead_letter().await;
    assert_eq!(letter.id, given_up.id.to_string());
    assert_eq!(letter.attempts, 5);
    assert!(letter.reason.contains("451"), "{letter:?}");
    assert_eq!(server.refusals(to), [451; 5]);
    let ids: Vec<_> = server
        .mails()
        .iter()
        .map(|mail| mail.header("Message-ID").join(""))
        .collect();
    assert_eq!(ids, [format!("<{}@talksy.example>", job.id)], "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_is_refused_is_set_aside_at_once() {
    let server = SmtpServer::start(Security::Plain).await;
    let post = Post::start("gone", &server, &server.url(), &["--retries", "10ms"]).await;
    let to = "gone@example.org";
    let job = post.enqueue(to).await;
    let letter = post.dead_letter().await;
    assert_eq!((letter.id, letter.attempts), (job.id.to_string(), 1));
    assert!(letter.reason.contains("550"), "{}", letter.reason);
    // The next mail is not held up, and the refused one was tried once.
    post.enqueue("ada@example.org").await;
    let mails = server.received(1).await;
    assert_eq!(mails[0].recipients, ["ada@example.org"]);
    assert_eq!(server.refusals(to), [550]);
    assert!(post.pauses().is_empty());
    assert!(!post.worker.log().contains(to), "{}", post.worker.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_sets_the_mail_aside_and_the_operator_puts_it_back() {
    let server = SmtpServer::with_password(Security::StartTls).await;
    let wrong = server.url_with("wrong-hunter2");
    let post = Post::start("wrong", &server, &wrong, &[]).await;
    let job = post.enqueue("ada@example.org").await;
    let letter = post.dead_letter().await;
    let reason = "does not accept the SMTP URL's user name and password";
    assert!(letter.reason.contains(reason), "{letter:?}");
    assert_eq!(letter.attempts, 1);
    assert!(!post.worker.log().contains("hunter2"));
    post.worker.kill().await;
    assert!(server.mails().is_empty());

    let post = Post::start("wrong", &server, &server.url(), &[]).await;
    let put_back = post.dead.retry(&[job.id.to_string()]).await.unwrap();
    assert_eq!(put_back.len(), 1);
    assert_eq!(server.received(1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_waits_for_a_server_that_was_killed() {
    let mut server = SmtpServer::start(Security::StartTls).await;
    // Tries enough for a mail server that takes a minute to start.
    let retries = ["100ms", "200ms", "400ms", "800ms"].into_iter();
    let retries: Vec<_> = retries.chain(std::iter::repeat_n("1s", 60)).collect();
    let retries = retries.join(",");
    let pauses = ["--retries", retries.as_str()];
    let post = Post::start("killed", &server, &server.url(), &pauses).await;
    post.enqueue("ada@example.org").await;
    server.received(1).await;
    server.server.kill().await;
    post.enqueue("bob@example.org").await;
    eventually("a first try", async || {
        (!post.pauses().is_empty()).then_some(())
    })
    .await;
    server.server.start().await;
    let mails = server.received(2).await;
    assert_eq!(mails[1].recipients, ["bob@example.org"]);
    assert_ne!(mails[0].over.connection, mails[1].over.connection);
    assert!(mails[1].over.tls);
    assert_eq!(post.dead.list().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_mails_share_a_connection() {
    const MAILS: usize = 30;
    let server = SmtpServer::with_password(Security::StartTls).await;
    // One after the other: with more at a time there would be more connections.
    let post = Post::start("pool", &server, &server.url(), &["--prefetch", "1"]).await;
    for n in 0..MAILS {
        post.enqueue(&format!("user{n}@example.org")).await;
    }
    let mails = server.received(MAILS).await;
    let over: HashSet<_> = mails.iter().map(|mail| &mail.over.connection).collect();
    // More than one, as a mail may begin while the connection of the one before is being put back.
    assert!(over.len() <= MAILS / 5, "{over:?}");
    let passwords = server.events();
    let passwords = passwords
        .iter()
        .filter(|event| matches!(event, Event::Password(_)));
    assert_eq!(passwords.count(), over.len(), "once a connection");
}
