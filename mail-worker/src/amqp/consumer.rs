//! The worker's end: takes jobs from the jobs queue and does them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer};
use metrics::{counter, gauge};
use moka::sync::Cache;
use secrecy::SecretString;
use talksy_domain::backoff::Backoff;
use talksy_domain::clock::{Clock, SystemClock};
use talksy_domain::error::chain;
use talksy_domain::id::MailJobId;
use talksy_domain::mail::MailJob;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::connection::{AmqpError, Connector, InvalidAmqpUrl};
use super::topology::{KEPT, Topology};
use super::{AmqpOptions, transfer};
use crate::metrics::{CONSUMING, GIVEN_UP, QUEUE_DEPTH, RETRIES};
use crate::queue::job_span;
use crate::redact;
use crate::worker::{MailWorker, expiry};

/// How often the broker is asked how many jobs wait.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// How many jobs are remembered as done, and for how long: longer than the broker takes to
/// deliver one again whose acknowledgement was lost.
const REMEMBERED: u64 = 10_000;
const REMEMBER: Duration = Duration::from_hours(1);

/// The waits between tries to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What stands between the consumer and its jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerState {
    /// Not connected, and why.
    Waiting(String),
    /// Taking jobs.
    Consuming,
}

/// Does the jobs of the queue.
pub struct AmqpConsumer {
    shared: Arc<Shared>,
    state: watch::Sender<ConsumerState>,
    prefetch: u16,
}

struct Shared {
    connector: Connector,
    topology: Topology,
    worker: MailWorker,
    /// Whether a job is done. Locked while it is being done, so that a job that is delivered
    /// again meanwhile waits for the outcome.
    jobs: Cache<MailJobId, Arc<tokio::sync::Mutex<bool>>>,
}

impl AmqpConsumer {
    /// A consumer that has `worker` do the jobs. Nothing is connected yet.
    ///
    /// # Errors
    /// Where the URL is none.
    pub fn new(
        url: &SecretString,
        options: &AmqpOptions,
        worker: MailWorker,
    ) -> Result<Self, InvalidAmqpUrl> {
        let jobs = Cache::builder()
            .max_capacity(REMEMBERED)
            .time_to_live(REMEMBER)
            .build();
        Ok(Self {
            shared: Arc::new(Shared {
                connector: Connector::new(url, "talksy-mail-worker", options.timeout)?,
                topology: Topology::new(options),
                worker,
                jobs,
            }),
            state: watch::Sender::new(ConsumerState::Waiting("not connected yet".to_owned())),
            prefetch: options.prefetch,
        })
    }

    /// Tells how the consumer stands.
    pub fn state(&self) -> watch::Receiver<ConsumerState> {
        self.state.subscribe()
    }

    /// Does jobs until `stop`, then finishes those it holds, until `abandon`. What is not
    /// finished then goes back to the queue. A broker that is away is waited for.
    ///
    /// # Errors
    /// Where the broker refuses for good: wrong credentials, or no such virtual host.
    pub async fn run(
        self,
        stop: CancellationToken,
        abandon: CancellationToken,
    ) -> Result<(), AmqpError> {
        let mut running = JoinSet::new();
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut said = false;
        while !stop.is_cancelled() {
            let error = match self.consume(&mut running, &stop, &abandon).await {
                Ok(()) => break,
                Err(Interruption::NotConnected(error)) if error.is_fatal() => return Err(error),
                Err(Interruption::NotConnected(error)) => error,
                Err(Interruption::Lost(error)) => {
                    backoff.reset();
                    said = false;
                    error
                }
            };
            let reason = chain(&error);
            // Said once for each time that the broker goes away.
            if !std::mem::replace(&mut said, true) {
                tracing::warn!(error = %reason, "waiting for RabbitMQ");
            }
            self.state.send_replace(ConsumerState::Waiting(reason));
            gauge!(CONSUMING).set(0);
            tokio::select! {
                () = tokio::time::sleep(backoff.next_wait()) => {}
                () = stop.cancelled() => {}
            }
        }
        finish(&mut running, &abandon).await;
        Ok(())
    }

    /// One connection's life.
    async fn consume(
        &self,
        running: &mut JoinSet<()>,
        stop: &CancellationToken,
        abandon: &CancellationToken,
    ) -> Result<(), Interruption> {
        let connector = &self.shared.connector;
        let opened = tokio::select! {
            opened = self.open() => opened,
            () = stop.cancelled() => return Ok(()),
        };
        let (connection, channel, mut deliveries) = opened.map_err(Interruption::NotConnected)?;
        self.state.send_replace(ConsumerState::Consuming);
        gauge!(CONSUMING).set(1);
        tracing::info!("taking mail jobs");
        // On a channel of its own: what the broker does not tell must not keep mails waiting.
        let _counting = match connector.within(connection.create_channel()).await {
            Ok(counted) => {
                AbortOnDropHandle::new(tokio::spawn(Arc::clone(&self.shared).count_jobs(counted)))
            }
            Err(error) => return Err(Interruption::Lost(error)),
        };
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = running.join_next() => {}
                delivery = deliveries.next() => match delivery {
                    Some(Ok(delivery)) => {
                        let (shared, channel) = (Arc::clone(&self.shared), channel.clone());
                        running.spawn(async move { shared.take(&channel, delivery).await });
                    }
                    Some(Err(error)) => return Err(Interruption::Lost(error.into())),
                    None => return Err(Interruption::Lost(AmqpError::NotConfirmed("the consumer was cancelled"))),
                },
            }
        }
        let cancelled = channel.basic_cancel(deliveries.tag(), BasicCancelOptions::default());
        if let Err(error) = connector.within(cancelled).await {
            tracing::debug!(%error, "the consumer was not cancelled in order");
        }
        finish(running, abandon).await;
        // What was delivered and not begun goes back with the connection.
        let closed = connection.close(200, "bye".into());
        if let Err(error) = connector.within(closed).await {
            tracing::debug!(%error, "RabbitMQ was not closed in order");
        }
        Ok(())
    }

    async fn open(&self) -> Result<(Connection, Channel, Consumer), AmqpError> {
        let Shared {
            connector,
            topology,
            ..
        } = &*self.shared;
        let connection = connector.connect().await?;
        topology.declare(&connection).await?;
        let channel = transfer::confirming(connector, &connection).await?;
        let qos = channel.basic_qos(self.prefetch, BasicQosOptions::default());
        connector.within(qos).await?;
        let consumed = channel.basic_consume(
            topology.jobs.as_str().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let deliveries = connector.within(consumed).await?;
        Ok((connection, channel, deliveries))
    }
}

/// Why a connection's life ended before the consumer's.
enum Interruption {
    /// It never began.
    NotConnected(AmqpError),
    /// It broke.
    Lost(AmqpError),
}

/// Lets what runs end; what has not by `abandon` is dropped unacknowledged.
async fn finish(running: &mut JoinSet<()>, abandon: &CancellationToken) {
    loop {
        tokio::select! {
            biased;
            next = running.join_next() => if next.is_none() { return },
            () = abandon.cancelled() => {
                tracing::warn!(jobs = running.len(), "mail jobs go back to the queue unfinished");
                running.shutdown().await;
                return;
            }
        }
    }
}

/// What becomes of a job that was tried.
enum Outcome {
    Done,
    Later,
    /// It is set aside, and why; no longer than for this time, in which it tells an operator
    /// something and its code signs in. Not at all where that is over.
    Never(String, Duration),
}

impl Shared {
    /// Shows how many jobs wait in the broker's queues, for as long as it tells.
    async fn count_jobs(self: Arc<Self>, channel: Channel) {
        let mut ticks = tokio::time::interval(COUNT_EVERY);
        loop {
            ticks.tick().await;
            if let Err(error) = self.count(&channel).await {
                tracing::debug!(error = %chain(&error), "waiting mails are not counted");
                return;
            }
        }
    }

    /// Asks the broker how many jobs wait in each queue.
    async fn count(&self, channel: &Channel) -> Result<(), AmqpError> {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let retries = self
            .topology
            .retries
            .iter()
            .map(|(name, _)| ("retry", name));
        let queues = [("jobs", &self.topology.jobs), ("dead", &self.topology.dead)];
        let mut depths = BTreeMap::from([("retry", 0)]);
        for (queue, name) in queues.into_iter().chain(retries) {
            let declared =
                channel.queue_declare(name.as_str().into(), passive, FieldTable::default());
            let jobs = self.connector.within(declared).await?.message_count();
            *depths.entry(queue).or_insert(0) += jobs;
        }
        for (queue, jobs) in depths {
            gauge!(QUEUE_DEPTH, "queue" => queue).set(jobs);
        }
        Ok(())
    }

    /// Does a job and settles it with the broker. Where that fails, the broker delivers the job
    /// again.
    async fn take(&self, channel: &Channel, delivery: Delivery) {
        let headers = delivery.properties.headers().as_ref();
        let failed = transfer::number(headers, transfer::ATTEMPTS).unwrap_or(0);
        let outcome = match serde_json::from_slice::<MailJob>(&delivery.data) {
            Ok(job) => {
                let traceparent = transfer::text(headers, transfer::TRACEPARENT);
                let span = job_span(&job, traceparent.as_deref());
                self.attempt(&job, failed).instrument(span).await
            }
            // What it holds is personal and stays out of the log.
            Err(error) => Outcome::Never(format!("not a mail job: {:?}", error.classify()), KEPT),
        };
        if let Err(error) = self.settle(channel, &delivery, failed, outcome).await {
            tracing::warn!(error = %chain(&error), "a job was not settled and will come again");
        }
    }

    async fn attempt(&self, job: &MailJob, failed: i64) -> Outcome {
        let entry = self.jobs.get_with(job.id, Arc::default);
        let mut done = entry.lock().await;
        if *done {
            tracing::info!(job = %job.id, "a job that was done came again");
            return Outcome::Done;
        }
        let Err(error) = self.worker.handle(job).await else {
            *done = true;
            return Outcome::Done;
        };
        let reason = redact::reason(&error, &job.to);
        let next = usize::try_from(failed).unwrap_or(usize::MAX);
        if error.is_transient()
            && let Some((_, pause)) = self.topology.retries.get(next)
        {
            let pause = humantime::format_duration(*pause);
            counter!(RETRIES).increment(1);
            tracing::warn!(job = %job.id, attempt = failed + 1, %pause, error = %reason, "a mail is tried again later");
            return Outcome::Later;
        }
        counter!(GIVEN_UP).increment(1);
        tracing::error!(job = %job.id, attempt = failed + 1, error = %reason, "a mail was not sent");
        Outcome::Never(chain(&error), expiry(job).since(SystemClock.now()))
    }

    async fn settle(
        &self,
        channel: &Channel,
        delivery: &Delivery,
        failed: i64,
        outcome: Outcome,
    ) -> Result<(), AmqpError> {
        let mut headers = delivery.properties.headers().clone().unwrap_or_default();
        let attempts = AMQPValue::LongLongInt(failed + 1);
        headers.insert(transfer::ATTEMPTS.into(), attempts);
        let mut kept = None;
        let queue = match outcome {
            Outcome::Done => None,
            Outcome::Never(_, left) if left.is_zero() => None,
            Outcome::Later => {
                let index = usize::try_from(failed).unwrap_or(usize::MAX);
                let retry = self.topology.retries.get(index);
                Some(retry.map_or(&self.topology.jobs, |(queue, _)| queue))
            }
            Outcome::Never(reason, left) => {
                kept = Some(left.min(KEPT));
                let reason: String = reason.chars().take(500).collect();
                let reason = AMQPValue::LongString(reason.into());
                headers.insert(transfer::REASON.into(), reason);
                let now = AMQPValue::LongLongInt(SystemClock.now().as_millis());
                headers.insert(transfer::DIED_AT.into(), now);
                Some(&self.topology.dead)
            }
        };
        if let Some(queue) = queue {
            let id = delivery.properties.message_id().as_ref();
            let id = id.map_or("", |id| id.as_str());
            let mut properties = transfer::properties(id, headers);
            if let Some(kept) = kept {
                properties = properties.with_expiration(kept.as_millis().to_string().into());
            }
            transfer::publish(&self.connector, channel, queue, &delivery.data, properties).await?;
        }
        let acked = delivery.acker.ack(BasicAckOptions::default());
        self.connector.within(acked).await.map(drop)
    }
}
