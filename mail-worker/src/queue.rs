//! The queue of the embedded default: in this process, bounded, and consumed here too.
//!
//! A job that waits is lost when the process ends: its code is then never mailed, and whoever
//! asked for it asks again. RabbitMQ keeps jobs across restarts.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use talksy_schema::error::{PortError, chain};
use talksy_schema::mail::{MailJob, MailQueue};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::worker::MailWorker;

/// How many jobs wait at most.
const CAPACITY: usize = 1024;
/// How many jobs are done at a time.
const CONCURRENCY: usize = 8;
/// How often a job is tried.
const TRIES: u32 = 8;
/// The pause before the second try; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The sending end.
#[derive(Clone, Debug)]
pub struct InProcessQueue(mpsc::Sender<MailJob>);

/// The receiving end.
#[derive(Debug)]
pub struct QueueConsumer(mpsc::Receiver<MailJob>);

/// A queue and its consumer.
pub fn in_process() -> (InProcessQueue, QueueConsumer) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    (InProcessQueue(sender), QueueConsumer(receiver))
}

#[async_trait]
impl MailQueue for InProcessQueue {
    async fn enqueue(&self, job: &MailJob) -> Result<(), PortError> {
        self.0
            .try_send(job.clone())
            .map_err(|error| PortError::unavailable("mail queue", error.to_string()))
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
                Some(job) => {
                    running.spawn(do_job(Arc::clone(&worker), job, stop.clone()));
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

/// Tries a job until it is done, in vain, or the process stops.
async fn do_job(worker: Arc<MailWorker>, job: MailJob, stop: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    for attempt in 1..=TRIES {
        let error = match worker.handle(&job).await {
            Ok(()) => return,
            Err(error) => error,
        };
        let last = attempt == TRIES || stop.is_cancelled();
        if !error.is_transient() || last {
            tracing::error!(job = %job.id, attempt, error = %chain(&error), "a mail was not sent");
            return;
        }
        tracing::warn!(job = %job.id, attempt, error = %chain(&error), "a mail is tried again");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
        pause *= 2;
    }
}
