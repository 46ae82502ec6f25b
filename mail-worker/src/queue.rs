//! The queue of the embedded default: in this process, bounded, and consumed here too.
//!
//! A job that waits is lost when the process ends: its code is then never mailed, and whoever
//! asked for it asks again. RabbitMQ keeps jobs across restarts.
//!
//! A job that waits for another try holds no place of those that are tried, and further tries have
//! places of their own: addresses that are put off keep no other from its mail.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metrics::{counter, gauge};
use talksy_domain::backoff::Backoff;
use talksy_domain::error::PortError;
use talksy_domain::mail::{MailJob, MailQueue};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, error_span};

use crate::metrics::{GIVEN_UP, QUEUE_DEPTH, RETRIES};
use crate::redact;
use crate::worker::MailWorker;

/// How many jobs wait at most.
const CAPACITY: usize = 1024;
/// How many jobs are tried at a time for the first time, and how many again.
const FIRST_TRIES: usize = 8;
const FURTHER_TRIES: usize = 4;
/// How many jobs wait for another try at most; beyond, one that is put off is given up.
const WAITING: usize = 1024;
/// How often a job is tried.
const TRIES: u32 = 8;
/// The longest wait before the second try, and before the last; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(64);

/// The sending end.
#[derive(Clone, Debug)]
pub struct InProcessQueue(mpsc::Sender<Queued>);

/// The receiving end.
#[derive(Debug)]
pub struct QueueConsumer(mpsc::Receiver<Queued>);

/// A job that waits.
#[derive(Debug)]
struct Queued {
    job: MailJob,
    /// The trace that it belongs to.
    traceparent: Option<String>,
}

/// A job that was taken from the queue.
struct Taken {
    job: MailJob,
    /// Around all that is done for it.
    span: Span,
    /// How often it was tried.
    tries: u32,
    backoff: Backoff,
}

/// A queue and its consumer.
pub fn in_process() -> (InProcessQueue, QueueConsumer) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    (InProcessQueue(sender), QueueConsumer(receiver))
}

#[async_trait]
impl MailQueue for InProcessQueue {
    async fn enqueue(&self, job: &MailJob) -> Result<(), PortError> {
        let queued = Queued {
            job: job.clone(),
            traceparent: talksy_telemetry::traceparent(),
        };
        let taken = self.0.try_send(queued);
        depth("jobs", self.0.max_capacity() - self.0.capacity());
        taken.map_err(|error| PortError::unavailable("mail queue", error.to_string()))
    }
}

impl QueueConsumer {
    /// Does jobs until `stop`, then those that wait, each once, until `abandon`.
    pub async fn run(
        mut self,
        worker: Arc<MailWorker>,
        stop: CancellationToken,
        abandon: CancellationToken,
    ) {
        let mut first: JoinSet<Option<Taken>> = JoinSet::new();
        let mut further: JoinSet<Option<Taken>> = JoinSet::new();
        let mut waiting: JoinSet<Taken> = JoinSet::new();
        let mut is_open = true;
        depth("jobs", self.0.len());
        while is_open || !(first.is_empty() && further.is_empty() && waiting.is_empty()) {
            depth("retry", waiting.len());
            tokio::select! {
                biased;
                () = abandon.cancelled() => break,
                Some(tried) = first.join_next() => put_off(tried, &mut waiting, &stop),
                Some(tried) = further.join_next() => put_off(tried, &mut waiting, &stop),
                Some(taken) = waiting.join_next(), if further.len() < FURTHER_TRIES => {
                    if let Ok(taken) = taken {
                        further.spawn(attempt(Arc::clone(&worker), taken, stop.clone()));
                    }
                }
                queued = self.0.recv(), if is_open && first.len() < FIRST_TRIES => {
                    depth("jobs", self.0.len());
                    if let Some(queued) = queued {
                        first.spawn(attempt(Arc::clone(&worker), queued.take(), stop.clone()));
                    } else {
                        is_open = false;
                    }
                }
                () = stop.cancelled(), if !self.0.is_closed() => self.0.close(),
            }
        }
        let left = first.len() + further.len() + waiting.len() + self.0.len();
        if left > 0 {
            tracing::warn!(jobs = left, "mail jobs were given up at shutdown");
        }
    }
}

impl Queued {
    fn take(self) -> Taken {
        Taken {
            span: job_span(&self.job, self.traceparent.as_deref()),
            job: self.job,
            tries: 0,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
        }
    }
}

/// Shows how many jobs wait.
fn depth(queue: &'static str, jobs: usize) {
    // No queue is longer than a float can count.
    gauge!(QUEUE_DEPTH, "queue" => queue).set(u32::try_from(jobs).unwrap_or(u32::MAX));
}

/// Around all that is done for a job, as part of the trace of the request that asked for it.
pub(crate) fn job_span(job: &MailJob, traceparent: Option<&str>) -> Span {
    let span = error_span!("mail job", job = %job.id, otel.kind = "consumer");
    talksy_telemetry::continue_trace(&span, traceparent);
    span
}

/// Tries a job once. Returns it where it is worth another try.
async fn attempt(
    worker: Arc<MailWorker>,
    mut taken: Taken,
    stop: CancellationToken,
) -> Option<Taken> {
    let span = taken.span.clone();
    let trying = async move {
        taken.tries += 1;
        let Err(error) = worker.handle(&taken.job).await else {
            return None;
        };
        let (job, attempt) = (&taken.job, taken.tries);
        let reason = redact::reason(&error, &job.to);
        let last = attempt == TRIES || stop.is_cancelled();
        if !error.is_transient() || last {
            counter!(GIVEN_UP).increment(1);
            tracing::error!(job = %job.id, attempt, error = %reason, "a mail was not sent");
            return None;
        }
        counter!(RETRIES).increment(1);
        tracing::warn!(job = %job.id, attempt, error = %reason, "a mail is tried again");
        Some(taken)
    };
    trying.instrument(span).await
}

/// Has a job that is worth another try wait for it, or until the process stops.
fn put_off(
    tried: Result<Option<Taken>, JoinError>,
    waiting: &mut JoinSet<Taken>,
    stop: &CancellationToken,
) {
    let Ok(Some(mut taken)) = tried else {
        return;
    };
    if waiting.len() >= WAITING {
        counter!(GIVEN_UP).increment(1);
        let _entered = taken.span.enter();
        tracing::error!(job = %taken.job.id, "a mail was not sent: too many wait for another try");
        return;
    }
    let (pause, stop) = (taken.backoff.next_wait(), stop.clone());
    waiting.spawn(async move {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
        taken
    });
}
