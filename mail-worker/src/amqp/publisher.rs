//! The server's end: puts jobs into the jobs queue.

use std::time::Duration;

use async_trait::async_trait;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection};
use secrecy::SecretString;
use talksy_domain::error::PortError;
use talksy_domain::mail::{MailJob, MailQueue};
use tokio::sync::Mutex;

use super::connection::{AmqpError, Connector, InvalidAmqpUrl};
use super::topology::{KEPT, Topology};
use super::{AmqpOptions, transfer};

const BACKEND: &str = "mail queue";

/// Puts mail jobs into RabbitMQ. Connects when it is first needed, and again after a failure.
#[derive(Debug)]
pub struct AmqpQueue {
    connector: Connector,
    topology: Topology,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    channel: Channel,
}

impl AmqpQueue {
    /// A queue at this URL. Nothing is connected yet.
    ///
    /// # Errors
    /// Where the URL is none.
    pub fn new(url: &SecretString, options: &AmqpOptions) -> Result<Self, InvalidAmqpUrl> {
        Ok(Self {
            connector: Connector::new(url, "talksy", options.timeout)?,
            topology: Topology::new(options),
            open: Mutex::new(None),
        })
    }

    /// Connects where there is no connection, and makes the queues.
    ///
    /// # Errors
    /// Where the broker is down or refuses.
    pub async fn connect(&self) -> Result<(), AmqpError> {
        self.channel().await.map(drop)
    }

    /// Closes the connection. The next job opens another.
    pub async fn close(&self) {
        if let Some(open) = self.open.lock().await.take() {
            let closing = open.connection.close(200, "bye".into());
            if let Err(error) = self.connector.within(closing).await {
                tracing::debug!(%error, "RabbitMQ was not closed in order");
            }
        }
    }

    /// The channel, opened where there is none that works. Those who come meanwhile wait for
    /// the one who opens it.
    async fn channel(&self) -> Result<Channel, AmqpError> {
        let mut slot = self.open.lock().await;
        if let Some(open) = &*slot {
            if open.channel.status().connected() && open.connection.status().connected() {
                return Ok(open.channel.clone());
            }
            *slot = None;
        }
        let connection = self.connector.connect().await?;
        self.topology.declare(&connection).await?;
        let channel = transfer::confirming(&self.connector, &connection).await?;
        *slot = Some(Open {
            connection,
            channel: channel.clone(),
        });
        Ok(channel)
    }

    async fn publish(&self, job: &MailJob, body: &[u8]) -> Result<(), AmqpError> {
        let channel = self.channel().await?;
        let mut headers = FieldTable::default();
        if let Some(traceparent) = talksy_telemetry::traceparent() {
            let traceparent = AMQPValue::LongString(traceparent.into());
            headers.insert(transfer::TRACEPARENT.into(), traceparent);
        }
        // Beyond that it says nothing any more, but still has an address and a code.
        let expires = Duration::from_secs(u64::from(job.content.expires_in())).min(KEPT);
        let properties = transfer::properties(&job.id.to_string(), headers);
        let properties = properties.with_expiration(expires.as_millis().to_string().into());
        let queue = &self.topology.jobs;
        let outcome = transfer::publish(&self.connector, &channel, queue, body, properties).await;
        if outcome.is_err() {
            // Whatever was wrong with the connection, the next job starts with another. Only this
            // one: a neighbour may have replaced it already.
            let mut slot = self.open.lock().await;
            if slot
                .as_ref()
                .is_some_and(|open| open.channel.id() == channel.id())
            {
                *slot = None;
            }
        }
        outcome
    }
}

#[async_trait]
impl MailQueue for AmqpQueue {
    async fn enqueue(&self, job: &MailJob) -> Result<(), PortError> {
        let body = serde_json::to_vec(job)
            .map_err(|error| PortError::corrupt(format!("mail job {}", job.id), error))?;
        self.publish(job, &body)
            .await
            .map_err(|error| PortError::unavailable(BACKEND, error))
    }
}
