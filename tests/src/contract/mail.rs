//! The mail queue with its consumer: a job that was taken is done, once, and tried again where
//! that may help.
//!
//! Whoever consumes takes every job there is, so these rules want a queue of their own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use talksy_domain::id::MailJobId;
use talksy_domain::mail::{EmailAddress, MAIL_JOB_VERSION, MailContent, MailJob, MailQueue};
use talksy_mail_worker::transport::{SendError, Transport};
use tokio::sync::mpsc;

use super::fixture::sorted;
use super::{at_once, ids, now, word};

/// A queue whose consumer runs and sends by the outbox.
pub struct Mailing {
    /// The queue.
    pub queue: Arc<dyn MailQueue>,
    /// What the consumer's [`talksy_mail_worker::MailWorker`] sends by.
    pub outbox: Arc<Outbox>,
}

/// A mail that was sent.
struct Sent {
    job: MailJobId,
    text: String,
}

/// How a mail fails.
#[derive(Clone, Copy)]
enum Failure {
    Transient,
    Permanent,
}

/// A transport that shows what it sends, and fails where a rule wants it to.
pub struct Outbox {
    plans: Mutex<HashMap<MailJobId, Vec<Failure>>>,
    tries: Mutex<HashMap<MailJobId, usize>>,
    sent: mpsc::UnboundedSender<Sent>,
    shown: tokio::sync::Mutex<mpsc::UnboundedReceiver<Sent>>,
}

impl Default for Outbox {
    fn default() -> Self {
        let (sent, shown) = mpsc::unbounded_channel();
        Self {
            plans: Mutex::default(),
            tries: Mutex::default(),
            sent,
            shown: tokio::sync::Mutex::new(shown),
        }
    }
}

impl Outbox {
    /// Has the job's first mails fail in these ways.
    fn fail(&self, job: &MailJob, failures: &[Failure]) {
        let failures = failures.iter().rev().copied().collect();
        self.plans.lock().insert(job.id, failures);
    }

    /// Has the job's mails fail no more.
    fn mend(&self, job: &MailJob) {
        self.plans.lock().remove(&job.id);
    }

    /// How often the job's mail was given to the outbox.
    fn tries(&self, job: &MailJob) -> usize {
        self.tries.lock().get(&job.id).copied().unwrap_or_default()
    }

    /// The next mail that is sent, which must come.
    async fn next(&self) -> Sent {
        let mut shown = self.shown.lock().await;
        crate::soon("a mail", shown.recv()).await.unwrap()
    }

    /// Checks that no further mail was sent.
    async fn assert_nothing(&self) {
        assert!(self.shown.lock().await.try_recv().is_err(), "another mail");
    }
}

#[async_trait]
impl Transport for Outbox {
    async fn send(&self, job: MailJobId, mail: &lettre::Message) -> Result<(), SendError> {
        *self.tries.lock().entry(job).or_default() += 1;
        let failure = self.plans.lock().get_mut(&job).and_then(Vec::pop);
        match failure {
            Some(Failure::Transient) => Err(SendError::Transient("451 try again".into())),
            Some(Failure::Permanent) => Err(SendError::Permanent("550 no such user".into())),
            None => {
                let text = String::from_utf8_lossy(&mail.formatted()).into_owned();
                // Nobody looks any more once the rule has passed.
                let _ = self.sent.send(Sent { job, text });
                Ok(())
            }
        }
    }
}

/// A job that nobody has yet, for an address that nobody has.
pub fn new_job(code: &str) -> MailJob {
    MailJob {
        version: MAIL_JOB_VERSION,
        id: ids().next(),
        to: EmailAddress::parse(&format!("{}@contract.example", word())).unwrap(),
        content: MailContent::SignInCode {
            code: code.to_owned(),
            expires_in: 3_600,
        },
        created_at: now(),
    }
}

async fn enqueue(mailing: &Mailing, job: &MailJob) {
    mailing.queue.enqueue(job).await.unwrap();
}

/// What the job says is mailed to whom it says.
pub async fn a_job_is_mailed_as_it_says(mailing: &Mailing) {
    for code in ["012345", "987654"] {
        let job = new_job(code);
        enqueue(mailing, &job).await;
        let mail = mailing.outbox.next().await;
        assert_eq!(mail.job, job.id);
        assert!(mail.text.contains(code), "{}", mail.text);
        let to = format!("To: {}\r\n", job.to);
        assert!(mail.text.contains(&to), "{}", mail.text);
    }
    mailing.outbox.assert_nothing().await;
}

/// Of many jobs that are enqueued at the same time each is done once.
pub async fn each_of_many_jobs_is_done_once(mailing: &Mailing) {
    let jobs = at_once((0..60).map(|_| {
        let (queue, job) = (Arc::clone(&mailing.queue), new_job("123456"));
        async move {
            queue.enqueue(&job).await.unwrap();
            job
        }
    }))
    .await;
    let mut sent = Vec::new();
    for _ in &jobs {
        sent.push(mailing.outbox.next().await.job);
    }
    assert_eq!(sorted(sent), sorted(jobs.iter().map(|job| job.id)));
    mailing.outbox.assert_nothing().await;
    assert!(jobs.iter().all(|job| mailing.outbox.tries(job) == 1));
}

/// A mail that cannot be sent now is sent later.
pub async fn a_transient_failure_is_tried_again(mailing: &Mailing) {
    let job = new_job("123456");
    mailing.outbox.fail(&job, &[Failure::Transient; 2]);
    enqueue(mailing, &job).await;
    assert_eq!(mailing.outbox.next().await.job, job.id);
    assert_eq!(mailing.outbox.tries(&job), 3);
}

/// A job that waits to be tried again holds up no other.
pub async fn a_failing_job_holds_up_no_other(mailing: &Mailing) {
    let failing = new_job("123456");
    mailing.outbox.fail(&failing, &[Failure::Transient; 5]);
    let others = [(); 20].map(|()| new_job("654321"));
    enqueue(mailing, &failing).await;
    for job in &others {
        enqueue(mailing, job).await;
    }
    let mut sent = Vec::new();
    for _ in &others {
        sent.push(mailing.outbox.next().await.job);
    }
    assert_eq!(sorted(sent), sorted(others.map(|job| job.id)));
    mailing.outbox.mend(&failing);
    assert_eq!(mailing.outbox.next().await.job, failing.id);
}

/// However many jobs wait to be tried again, they hold up no other.
pub async fn many_failing_jobs_hold_up_no_other(mailing: &Mailing) {
    let failing = [(); 30].map(|()| new_job("123456"));
    for job in &failing {
        mailing.outbox.fail(job, &[Failure::Transient; 6]);
        enqueue(mailing, job).await;
    }
    crate::eventually("a first try of each", async || {
        let tried = |job: &MailJob| mailing.outbox.tries(job) > 0;
        failing.iter().all(tried).then_some(())
    })
    .await;
    let other = new_job("654321");
    enqueue(mailing, &other).await;
    assert_eq!(mailing.outbox.next().await.job, other.id);
    for job in &failing {
        mailing.outbox.mend(job);
    }
    let mut sent = Vec::new();
    for _ in &failing {
        sent.push(mailing.outbox.next().await.job);
    }
    assert_eq!(sorted(sent), sorted(failing.map(|job| job.id)));
}

/// A mail that is refused for good is not tried again, and the queue goes on.
pub async fn a_permanent_failure_is_given_up(mailing: &Mailing) {
    let refused = new_job("123456");
    mailing.outbox.fail(&refused, &[Failure::Permanent]);
    enqueue(mailing, &refused).await;
    // This one is tried three times, so longer than a second try of the other would have taken.
    let other = new_job("654321");
    mailing.outbox.fail(&other, &[Failure::Transient; 2]);
    enqueue(mailing, &other).await;
    assert_eq!(mailing.outbox.next().await.job, other.id);
    assert_eq!(mailing.outbox.tries(&refused), 1);
    mailing.outbox.assert_nothing().await;
}

/// A job that nobody can do is given up, and the queue goes on: one of a version that is not
/// known, and one whose code is no longer good.
pub async fn a_job_that_cannot_be_done_is_given_up(mailing: &Mailing) {
    let unknown = MailJob {
        version: MAIL_JOB_VERSION + 1,
        ..new_job("111111")
    };
    let mut expired = new_job("222222");
    expired.created_at = now() - Duration::from_hours(24);
    let good = new_job("333333");
    for job in [&unknown, &expired, &good] {
        enqueue(mailing, job).await;
    }
    assert_eq!(mailing.outbox.next().await.job, good.id);
    let last = new_job("444444");
    enqueue(mailing, &last).await;
    assert_eq!(mailing.outbox.next().await.job, last.id);
    assert_eq!(mailing.outbox.tries(&unknown), 0);
    assert_eq!(mailing.outbox.tries(&expired), 0);
}

super::suite::rules! {
    mail_rules:
    a_job_is_mailed_as_it_says,
    each_of_many_jobs_is_done_once,
    a_transient_failure_is_tried_again,
    a_failing_job_holds_up_no_other,
    many_failing_jobs_hold_up_no_other,
    a_permanent_failure_is_given_up,
    a_job_that_cannot_be_done_is_given_up,
}
