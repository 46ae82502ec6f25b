//! The queues and what they are made of. Declaring them is idempotent; server and worker both do.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ErrorKind};

use super::AmqpOptions;
use super::connection::{AmqpError, within};

/// How often the broker itself redelivers a job whose worker died with it, before it sets the job
/// aside. The broker counts this in quorum queues only.
const CRASHES: i32 = 20;

/// How often a dead letter may be looked at. RabbitMQ 4 counts each look and drops the message at
/// twenty where nothing is said.
const LOOKS: i32 = 1_000_000;

/// How long a letter is kept at most, where no worker takes it and among the dead: as long as the
/// longest-lived sign-in code is good (`auth.otp_ttl`). Letters that are published, or set aside by the
/// worker, say themselves when they expire, most sooner; this is for those of which it is not known.
pub(super) const KEPT: Duration = Duration::from_hours(1);

/// The names of the queues.
#[derive(Clone, Debug)]
pub(super) struct Topology {
    /// Where jobs wait for a worker.
    pub(super) jobs: String,
    /// Where jobs wait for their next try: the queue, and for how long.
    pub(super) retries: Vec<(String, Duration)>,
    /// Where jobs end that cannot be done.
    pub(super) dead: String,
    timeout: Duration,
}

impl Topology {
    pub(super) fn new(options: &AmqpOptions) -> Self {
        let prefix = &options.prefix;
        // The pause is part of the name: changed settings make new queues, and jobs in the old
        // ones still find back.
        let retry = |pause: &Duration| (format!("{prefix}.retry.{}", pause.as_millis()), *pause);
        Self {
            jobs: format!("{prefix}.jobs"),
            retries: options.retries.iter().map(retry).collect(),
            dead: format!("{prefix}.dead"),
            timeout: options.timeout,
        }
    }

    /// Makes the queues that are not there.
    pub(super) async fn declare(&self, connection: &Connection) -> Result<(), AmqpError> {
        let dead = [("x-delivery-limit", AMQPValue::LongInt(LOOKS))];
        let kept = [("x-message-ttl", millis(KEPT))];
        self.queue(connection, &self.dead, &dead, &kept).await?;
        let dead_letter_to = |queue: &str| {
            [
                ("x-dead-letter-exchange", text("")),
                ("x-dead-letter-routing-key", text(queue)),
            ]
        };
        let limit = [("x-delivery-limit", AMQPValue::LongInt(CRASHES))];
        let [exchange, key] = dead_letter_to(&self.dead);
        let [to_stay] = kept.clone();
        let jobs = [exchange, key, to_stay];
        self.queue(connection, &self.jobs, &limit, &jobs).await?;
        for (name, pause) in &self.retries {
            // The broker confirms the way back to the jobs queue to itself before it forgets.
            let quorum = [
                ("x-dead-letter-strategy", text("at-least-once")),
                ("x-overflow", text("reject-publish")),
            ];
            let [exchange, key] = dead_letter_to(&self.jobs);
            let common = [exchange, key, ("x-message-ttl", millis(*pause))];
            self.queue(connection, name, &quorum, &common).await?;
        }
        Ok(())
    }

    /// Makes a durable queue: a quorum queue, or a classic one where the broker refuses that. One
    /// that exists with other properties, which an operator may have chosen, is taken as it is.
    async fn queue(
        &self,
        connection: &Connection,
        name: &str,
        quorum: &[(&'static str, AMQPValue)],
        common: &[(&'static str, AMQPValue)],
    ) -> Result<(), AmqpError> {
        let durable = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let passive = QueueDeclareOptions {
            passive: true,
            ..durable
        };
        let quorum_type = [("x-queue-type", text("quorum"))];
        let as_quorum = table(quorum_type.iter().chain(quorum).chain(common));
        let attempts = [
            (durable, as_quorum),
            (passive, FieldTable::default()),
            (durable, table(common)),
        ];
        let mut refused = None;
        for (options, arguments) in attempts {
            // A refusal closes the channel.
            let channel = within(self.timeout, connection.create_channel()).await?;
            let declared = channel.queue_declare(name.into(), options, arguments);
            match within(self.timeout, declared).await {
                Ok(_) => {
                    let closed = channel.close(200, "done".into());
                    return within(self.timeout, closed).await;
                }
                Err(AmqpError::Broker(error)) if is_refusal(&error) => {
                    refused = Some(AmqpError::Broker(error));
                }
                Err(error) => return Err(error),
            }
        }
        Err(refused.unwrap_or(AmqpError::NotConfirmed("no queue was declared")))
    }
}

/// Whether the broker refused the declaration, rather than broke down.
fn is_refusal(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if matches!(error.get_id(), 404..=406))
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn millis(time: Duration) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

fn table<'a>(entries: impl IntoIterator<Item = &'a (&'static str, AMQPValue)>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    table
}
