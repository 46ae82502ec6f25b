//! The queue of the embedded default: in this process, bounded, and consumed here too.
//!
//! A job that waits is lost when the process ends: its code is then never mailed, and whoever
//! asked for it asks again. RabbitMQ keeps jobs across restarts.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metrics::{counter, gauge};
use talksy_domain::backoff::Backoff;
use talksy_domain::error::PortError;
use talksy_domain::mail::{MailJob, MailQueue};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, error_span};

use crate::metrics::{GIVEN_UP, QUEUE_DEPTH, RETRIES};
use crate::redact;
use crate::worker::MailWorker;

/// How many jobs wait at most.
const CAPACITY: usize = 1024;
/// How many jobs are done at a time.
const CONCURRENCY: usize = 8;
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
        depth(self.0.max_capacity() - self.0.capacity());
        taken.map_err(|error| PortError::unavailable("mail queue", error.to_string()))
    }
}

impl QueueConsumer {
    /// Does jobs until `stop`, then those that wait, until `abandon`.
    pub async fn run(
        mut self,
        worker: Arc<MailWorker>,
        stop: CancellationToken,
        abandon: CancellationToken,
    ) {
        let mut running = JoinSet::new();
        depth(self.0.len());
        loop {
            let job = tokio::select! {
                biased;
                () = abandon.cancelled() => break,
                Some(_) = running.join_next() => continue,
                job = self.0.recv(), if running.len() < CONCURRENCY => job,
                () = stop.cancelled(), if !self.0.is_closed() => {
                    self.0.close();
                    continue;
                }
            };
            match job {
                Some(Queued { job, traceparent }) => {
                    depth(self.0.len());
                    let span = job_span(&job, traceparent.as_deref());
                    let doing = do_job(Arc::clone(&worker), job, stop.clone());
                    running.spawn(doing.instrument(span));
                }
                None if running.is_empty() => return,
                None => {
                    tokio::select! {
                        () = abandon.cancelled() => break,
                        _ = running.join_next() => {}
                    }
                }
            }
        }
        let left = running.len() + self.0.len();
        if left > 0 {
            tracing::warn!(jobs = left, "mail jobs were given up at shutdown");
        }
    }
}

/// Shows how many jobs wait.
fn depth(jobs: usize) {
    // No queue is longer than a float can count.
    gauge!(QUEUE_DEPTH, "queue" => "jobs").set(u32::try_from(jobs).unwrap_or(u32::MAX));
}

/// Around all that is done for a job, as part of the trace of the request that asked for it.
pub(crate) fn job_span(job: &MailJob, traceparent: Option<&str>) -> Span {
    let span = error_span!("mail job", job = %job.id, otel.kind = "consumer");
    talksy_telemetry::continue_trace(&span, traceparent);
    span
}

/// Tries a job until it is done, in vain, or the process stops.
async fn do_job(worker: Arc<MailWorker>, job: MailJob, stop: CancellationToken) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    for attempt in 1..=TRIES {
        let error = match worker.handle(&job).await {
            Ok(()) => return,
            Err(error) => error,
        };
        let last = attempt == TRIES || stop.is_cancelled();
        if !error.is_transient() || last {
            counter!(GIVEN_UP).increment(1);
            tracing::error!(job = %job.id, attempt, error = %redact::reason(&error, &job.to), "a mail was not sent");
            return;
        }
        counter!(RETRIES).increment(1);
        tracing::warn!(job = %job.id, attempt, error = %redact::reason(&error, &job.to), "a mail is tried again");
        tokio::select! {
            () = tokio::time::sleep(backoff.next_wait()) => {}
            () = stop.cancelled() => {}
        }
    }
}
