//! Mail jobs through RabbitMQ: none is lost, and each ends where it should.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use parking_lot::Mutex;
use secrecy::ExposeSecret as _;
use talksy_domain::clock::{Clock as _, SystemClock, SystemEntropy};
use talksy_domain::error::PortError;
use talksy_domain::id::{IdGenerator, MailJobId};
use talksy_domain::mail::{EmailAddress, MAIL_JOB_VERSION, MailContent, MailJob, MailQueue as _};
use talksy_mail_worker::MailWorker;
use talksy_mail_worker::amqp::{
    AmqpConsumer, AmqpError, AmqpOptions, AmqpQueue, ConsumerState, DeadLetters,
};
use talksy_mail_worker::transport::{SendError, Transport};
use talksy_tests::servers::rabbitmq::RabbitMq;
use talksy_tests::{DEADLINE, eventually, soon};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What a mail server does with a mail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Take,
    /// Puts so many mails off, and takes those that come after.
    Busy(usize),
    Refuse,
    /// Takes the mail and does not say so.
    Hang,
}

/// A mail server that remembers what it took.
struct Recorder {
    sent: Mutex<Vec<MailJobId>>,
    mood: Mutex<Mood>,
    tried: Notify,
}

impl Recorder {
    fn new(mood: Mood) -> Arc<Self> {
        Arc::new(Self {
            sent: Mutex::default(),
            mood: Mutex::new(mood),
            tried: Notify::new(),
        })
    }

    fn sent(&self) -> Vec<MailJobId> {
        self.sent.lock().clone()
    }
}

#[async_trait]
impl Transport for Recorder {
    async fn send(&self, job: MailJobId, _mail: &lettre::Message) -> Result<(), SendError> {
        let mood = {
            let mut mood = self.mood.lock();
            let now = *mood;
            if let Mood::Busy(tries) = &mut *mood {
                *tries = tries.saturating_sub(1);
            }
            now
        };
        self.tried.notify_one();
        match mood {
            Mood::Take | Mood::Busy(0) => self.sent.lock().push(job),
            Mood::Busy(_) => return Err(SendError::Transient("451 busy".into())),
            Mood::Refuse => return Err(SendError::Permanent("550 no such user".into())),
            Mood::Hang => std::future::pending().await,
        }
        Ok(())
    }
}

fn options() -> AmqpOptions {
    AmqpOptions {
        retries: [20, 40, 80].map(Duration::from_millis).into(),
        timeout: DEADLINE / 3,
        ..AmqpOptions::default()
    }
}

fn job() -> MailJob {
    let ids = IdGenerator::new(Arc::new(SystemClock), Arc::new(SystemEntropy));
    MailJob {
        version: MAIL_JOB_VERSION,
        id: ids.next(),
        to: EmailAddress::parse("ada@example.org").unwrap(),
        content: MailContent::SignInCode {
            code: "042137".to_owned(),
            expires_in: 300,
        },
        created_at: SystemClock.now(),
    }
}

/// A worker that takes jobs.
struct Worker {
    stop: CancellationToken,
    abandon: CancellationToken,
    running: JoinHandle<Result<(), AmqpError>>,
}

impl Worker {
    async fn start(rabbitmq: &RabbitMq, transport: &Arc<Recorder>) -> Self {
        let transport = Arc::clone(transport) as Arc<dyn Transport>;
        let worker = MailWorker::new(transport, "a@example.org", Arc::new(SystemClock)).unwrap();
        let consumer = AmqpConsumer::new(&rabbitmq.url(), &options(), worker).unwrap();
        let mut state = consumer.state();
        let (stop, abandon) = (CancellationToken::new(), CancellationToken::new());
        let running = tokio::spawn(consumer.run(stop.clone(), abandon.clone()));
        let consuming = state.wait_for(|state| *state == ConsumerState::Consuming);
        drop(soon("a consuming worker", consuming).await.unwrap());
        Self {
            stop,
            abandon,
            running,
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        soon("the worker's stop", self.running)
            .await
            .unwrap()
            .unwrap();
    }

    /// Ends as a crash would: nothing is settled.
    async fn crash(self) {
        self.abandon.cancel();
        self.running.abort();
        let _ = self.running.await;
    }
}

async fn sent(recorder: &Recorder, count: usize) -> Vec<MailJobId> {
    eventually("the mails", async || {
        let sent = recorder.sent();
        (sent.len() >= count).then_some(sent)
    })
    .await
}

fn dead_letters(rabbitmq: &RabbitMq) -> DeadLetters {
    DeadLetters::new(&rabbitmq.url(), &options()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_job_is_done_once_and_one_that_comes_again_is_not_done_again() {
    let rabbitmq = RabbitMq::start().await;
    let publisher = AmqpQueue::new(&rabbitmq.url(), &options()).unwrap();
    let recorder = Recorder::new(Mood::Take);
    let worker = Worker::start(&rabbitmq, &recorder).await;
    let jobs: Vec<_> = (0..50).map(|_| job()).collect();
    for job in &jobs {
        publisher.enqueue(job).await.unwrap();
    }
    publisher.enqueue(&jobs[0]).await.unwrap();
    let last = job();
    publisher.enqueue(&last).await.unwrap();
    let done = sent(&recorder, 51).await;
    worker.stop().await;
    assert_eq!(recorder.sent().len(), 51);
    let unique: HashSet<_> = done.into_iter().collect();
    assert_eq!(unique.len(), 51);
    assert_eq!(dead_letters(&rabbitmq).list().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_mail_server_is_tried_again_and_at_last_the_job_is_set_aside_for_the_operator() {
    let rabbitmq = RabbitMq::start().await;
    let publisher = AmqpQueue::new(&rabbitmq.url(), &options()).unwrap();
    let recorder = Recorder::new(Mood::Busy(2));
    let worker = Worker::start(&rabbitmq, &recorder).await;
    let letters = dead_letters(&rabbitmq);

    // It takes the mail at the third try.
    let first = job();
    publisher.enqueue(&first).await.unwrap();
    assert_eq!(sent(&recorder, 1).await, [first.id]);
    assert!(*recorder.mood.lock() == Mood::Busy(0), "two tries before");

    // It never does: four tries, then the dead-letter queue.
    *recorder.mood.lock() = Mood::Busy(usize::MAX);
    let second = job();
    publisher.enqueue(&second).await.unwrap();
    let dead = eventually("a dead letter", async || {
        let dead = letters.list().await.unwrap();
        (!dead.is_empty()).then_some(dead)
    });
    let dead = dead.await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].id, second.id.to_string());
    assert_eq!(dead[0].attempts, 4);
    assert!(dead[0].reason.contains("451 busy"), "{:?}", dead[0]);
    assert_eq!(dead[0].domain.as_deref(), Some("example.org"));

    // The operator has it tried again.
    *recorder.mood.lock() = Mood::Take;
    assert_eq!(letters.retry(&["job_other".to_owned()]).await.unwrap(), []);
    assert_eq!(letters.retry(&[second.id.to_string()]).await.unwrap(), dead);
    assert_eq!(sent(&recorder, 2).await, [first.id, second.id]);
    assert_eq!(letters.list().await.unwrap(), []);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_mail_an_unknown_version_and_poison_are_set_aside_without_another_try() {
    let rabbitmq = RabbitMq::start().await;
    let publisher = AmqpQueue::new(&rabbitmq.url(), &options()).unwrap();
    let recorder = Recorder::new(Mood::Refuse);
    let worker = Worker::start(&rabbitmq, &recorder).await;
    let refused = job();
    let future = MailJob {
        version: 99,
        ..job()
    };
    for job in [&refused, &future] {
        publisher.enqueue(job).await.unwrap();
    }
    poison(&rabbitmq, b"{\"to\":\"secret@example.org\"").await;
    let letters = dead_letters(&rabbitmq);
    let dead = eventually("three dead letters", async || {
        let dead = letters.list().await.unwrap();
        (dead.len() == 3).then_some(dead)
    });
    let dead = dead.await;
    let reason = |id: &str| {
        let letter = dead.iter().find(|letter| letter.id == id).unwrap();
        assert_eq!(letter.attempts, 1);
        letter.reason.clone()
    };
    assert!(reason(&refused.id.to_string()).contains("550 no such user"));
    assert!(reason(&future.id.to_string()).contains("version 99"));
    let poison = reason("-");
    assert!(
        poison.contains("not a mail job") && !poison.contains("secret"),
        "{poison}"
    );
    assert_eq!(recorder.sent(), []);

    assert_eq!(letters.drop(&[]).await.unwrap().len(), 3);
    assert_eq!(letters.list().await.unwrap(), []);
    worker.stop().await;
}

/// A dead letter holds a code: it goes when the code is no longer good, whoever looked at it.
#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_expire_with_their_codes() {
    let rabbitmq = RabbitMq::start().await;
    let publisher = AmqpQueue::new(&rabbitmq.url(), &options()).unwrap();
    let recorder = Recorder::new(Mood::Refuse);
    let worker = Worker::start(&rabbitmq, &recorder).await;
    let letters = dead_letters(&rabbitmq);
    let valid_for = |seconds: u64| MailJob {
        created_at: SystemClock.now() - Duration::from_secs(5 * 60 - seconds),
        ..job()
    };
    let over = valid_for(0);
    let short = valid_for(12);
    let long = valid_for(300);
    for job in [&over, &short, &long] {
        publisher.enqueue(job).await.unwrap();
    }
    // The one whose code had expired is not among them.
    let ids = |jobs: &[&MailJob]| {
        let mut ids: Vec<_> = jobs.iter().map(|job| job.id.to_string()).collect();
        ids.sort();
        ids
    };
    let listed = async |wanted: &[String]| {
        eventually("the dead letters", async || {
            let dead = letters.list().await.unwrap();
            let mut ids: Vec<_> = dead.into_iter().map(|letter| letter.id).collect();
            ids.sort();
            (ids == wanted).then_some(())
        })
        .await;
    };
    listed(&ids(&[&short, &long])).await;
    listed(&ids(&[&long])).await;
    worker.stop().await;
    let left = queue_length(&rabbitmq, "talksy.mail.dead").await;
    assert_eq!(left, 1, "the broker holds the short one no longer");
}

/// A letter that no worker takes does not lie in the jobs queue for longer than its code is good; why it
/// was not sent is told for a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_no_worker_takes_expires_with_its_code() {
    let rabbitmq = RabbitMq::start().await;
    let publisher = AmqpQueue::new(&rabbitmq.url(), &options()).unwrap();
    let over = MailJob {
        content: MailContent::AccountDeletionCode {
            code: "042137".to_owned(),
            expires_in: 1,
        },
        ..job()
    };
    for job in [&over, &job()] {
        publisher.enqueue(job).await.unwrap();
    }
    let letters = dead_letters(&rabbitmq);
    let dead = eventually("a dead letter", async || {
        letters.list().await.unwrap().pop()
    })
    .await;
    assert_eq!(dead.id, over.id.to_string());
    assert_eq!(dead.reason, "no worker has taken it in time");
    assert_eq!(queue_length(&rabbitmq, "talksy.mail.jobs").await, 1);
}

async fn connect(rabbitmq: &RabbitMq) -> Connection {
    let url = rabbitmq.url();
    let properties = ConnectionProperties::default();
    let connected = Connection::connect(url.expose_secret(), properties);
    connected.await.unwrap()
}

/// How many messages a queue holds that nobody has taken.
async fn queue_length(rabbitmq: &RabbitMq, name: &str) -> u32 {
    let connection = connect(rabbitmq).await;
    let channel = connection.create_channel().await.unwrap();
    let passive = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let declared = channel.queue_declare(name.into(), passive, FieldTable::default());
    declared.await.unwrap().message_count()
}

/// Puts bytes into the jobs queue that are no job.
async fn poison(rabbitmq: &RabbitMq, body: &[u8]) {
    let connection = connect(rabbitmq).await;
    let channel = connection.create_channel().await.unwrap();
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .unwrap();
    let publish = channel.basic_publish(
        "".into(),
        "talksy.mail.jobs".into(),
        BasicPublishOptions::default(),
        body,
        BasicProperties::default(),
    );
    publish.await.unwrap().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_in_the_middle_of_a_job_leaves_it_to_the_next() {
    let rabbitmq = RabbitMq::start().await;
    let publisher = AmqpQueue::new(&rabbitmq.url(), &options()).unwrap();
    let recorder = Recorder::new(Mood::Hang);
    let worker = Worker::start(&rabbitmq, &recorder).await;
    let job = job();
    publisher.enqueue(&job).await.unwrap();
    soon("the job's begin", recorder.tried.notified()).await;
    worker.crash().await;
    *recorder.mood.lock() = Mood::Take;
    let worker = Worker::start(&rabbitmq, &recorder).await;
    assert_eq!(sent(&recorder, 1).await, [job.id]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_keeps_what_it_confirmed_and_queue_and_worker_come_back_by_themselves() {
    let mut rabbitmq = RabbitMq::start().await;
    let publisher = AmqpQueue::new(&rabbitmq.url(), &options()).unwrap();
    let before: Vec<_> = (0..20).map(|_| job()).collect();
    for job in &before {
        publisher.enqueue(job).await.unwrap();
    }
    rabbitmq.server.kill().await;
    let refused = soon("an answer", publisher.enqueue(&job())).await;
    assert!(
        matches!(refused, Err(PortError::Unavailable { .. })),
        "{refused:?}"
    );

    rabbitmq.start_again().await;
    let recorder = Recorder::new(Mood::Take);
    let worker = Worker::start(&rabbitmq, &recorder).await;
    let done: HashSet<_> = sent(&recorder, 20).await.into_iter().collect();
    assert_eq!(done, before.iter().map(|job| job.id).collect());

    // Under a worker that is connected, and a publisher that was.
    rabbitmq.restart().await;
    let after = job();
    eventually("the queue's return", async || {
        publisher.enqueue(&after).await.ok()
    })
    .await;
    let done = sent(&recorder, 21).await;
    assert_eq!(done.last(), Some(&after.id));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_hangs_is_unavailable_and_not_waited_for_without_end() {
    let rabbitmq = RabbitMq::start().await;
    let options = AmqpOptions {
        timeout: Duration::from_secs(4),
        ..options()
    };
    let publisher = AmqpQueue::new(&rabbitmq.url(), &options).unwrap();
    eventually("the queue", async || publisher.connect().await.ok()).await;
    rabbitmq.server.pause().await;
    let refused = soon("an answer", publisher.enqueue(&job())).await;
    assert!(
        matches!(refused, Err(PortError::Unavailable { .. })),
        "{refused:?}"
    );
    rabbitmq.server.resume();
    eventually("the queue's return", async || {
        publisher.enqueue(&job()).await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_stop_finishes_what_it_holds() {
    let rabbitmq = RabbitMq::start().await;
    let publisher = AmqpQueue::new(&rabbitmq.url(), &options()).unwrap();
    let recorder = Recorder::new(Mood::Hang);
    let worker = Worker::start(&rabbitmq, &recorder).await;
    publisher.enqueue(&job()).await.unwrap();
    soon("the job's begin", recorder.tried.notified()).await;
    worker.stop.cancel();
    assert!(!worker.running.is_finished());
    // The drain time is over: the job goes back.
    worker.abandon.cancel();
    soon("the worker's stop", worker.running)
        .await
        .unwrap()
        .unwrap();
    *recorder.mood.lock() = Mood::Take;
    let worker = Worker::start(&rabbitmq, &recorder).await;
    assert_eq!(sent(&recorder, 1).await.len(), 1);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_end_the_worker_and_wrong_urls_are_told_without_their_secret() {
    let rabbitmq = RabbitMq::start().await;
    let url = format!(
        "amqp://guest:hunter2@127.0.0.1:{}/%2f",
        rabbitmq.server.port
    )
    .into();
    let transport = Recorder::new(Mood::Take) as Arc<dyn Transport>;
    let worker = MailWorker::new(transport, "a@example.org", Arc::new(SystemClock)).unwrap();
    let consumer = AmqpConsumer::new(&url, &options(), worker).unwrap();
    let run = consumer.run(CancellationToken::new(), CancellationToken::new());
    let error = soon("the worker's end", run).await.unwrap_err();
    assert!(error.is_fatal());
    assert!(!format!("{error:?} {error}").contains("hunter2"));

    let wrong = "http://u:hunter2@x".to_owned().into();
    let error = AmqpQueue::new(&wrong, &options()).unwrap_err();
    assert!(!format!("{error:?} {error}").contains("hunter2"));
    assert!(error.to_string().contains("amqp://"), "{error}");
}
