//! The operator's view of jobs that could not be done.

use std::time::Duration;

use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection};
use secrecy::SecretString;
use talksy_domain::clock::Timestamp;
use talksy_domain::mail::MailJob;

use super::connection::{AmqpError, Connector, InvalidAmqpUrl};
use super::topology::Topology;
use super::{AmqpOptions, transfer};

/// How often, and with what pauses, the broker is asked whether it has taken messages back.
const SETTLE_TRIES: u32 = 40;
const SETTLE_PAUSE: Duration = Duration::from_millis(25);

/// A job that could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The job's id, or `-` where it had none.
    pub id: String,
    /// Why it was given up.
    pub reason: String,
    /// How often it was tried.
    pub attempts: i64,
    /// When it was given up.
    pub died_at: Option<Timestamp>,
    /// The domain of the recipient's address; the rest is nobody's business here.
    pub domain: Option<String>,
}

/// Looks after the dead-letter queue. A look takes all its messages and gives back those that
/// are to stay, so two operators at once each see a part.
pub struct DeadLetters {
    connector: Connector,
    topology: Topology,
}

/// What to do with a letter.
enum Fate {
    Stay,
    Retry,
    Drop,
}

impl DeadLetters {
    /// The dead letters at this URL. Nothing is connected yet.
    ///
    /// # Errors
    /// Where the URL is none.
    pub fn new(url: &SecretString, options: &AmqpOptions) -> Result<Self, InvalidAmqpUrl> {
        Ok(Self {
            connector: Connector::new(url, "talksy-mail-worker dead-letters", options.timeout)?,
            topology: Topology::new(options),
        })
    }

    /// All of them, oldest first.
    ///
    /// # Errors
    /// Where the broker is down or refuses.
    pub async fn list(&self) -> Result<Vec<DeadLetter>, AmqpError> {
        self.sort(|_| Fate::Stay).await
    }

    /// Puts these, or all where none is named, back into the jobs queue, with all their tries
    /// before them. Returns what was put back.
    ///
    /// # Errors
    /// Where the broker is down or refuses; what was moved until then stays moved.
    pub async fn retry(&self, ids: &[String]) -> Result<Vec<DeadLetter>, AmqpError> {
        let fate = |letter: &DeadLetter| {
            if chosen(ids, letter) {
                Fate::Retry
            } else {
                Fate::Stay
            }
        };
        let mut letters = self.sort(fate).await?;
        letters.retain(|letter| chosen(ids, letter));
        Ok(letters)
    }

    /// Throws these, or all where none is named, away. Returns what was thrown away.
    ///
    /// # Errors
    /// Where the broker is down or refuses; what was thrown away until then is gone.
    pub async fn drop(&self, ids: &[String]) -> Result<Vec<DeadLetter>, AmqpError> {
        let fate = |letter: &DeadLetter| {
            if chosen(ids, letter) {
                Fate::Drop
            } else {
                Fate::Stay
            }
        };
        let mut letters = self.sort(fate).await?;
        letters.retain(|letter| chosen(ids, letter));
        Ok(letters)
    }

    async fn sort(&self, fate: impl Fn(&DeadLetter) -> Fate) -> Result<Vec<DeadLetter>, AmqpError> {
        let connection = self.connector.connect().await?;
        self.topology.declare(&connection).await?;
        let channel = transfer::confirming(&self.connector, &connection).await?;
        let sorted = self.sort_on(&channel, fate).await;
        self.close(&connection).await;
        sorted
    }

    async fn sort_on(
        &self,
        channel: &Channel,
        fate: impl Fn(&DeadLetter) -> Fate,
    ) -> Result<Vec<DeadLetter>, AmqpError> {
        // All are taken before any is dealt with: one that is put back may die again at once, and
        // would be met a second time.
        let mut taken = Vec::new();
        loop {
            let queue = self.topology.dead.as_str();
            let next = channel.basic_get(queue.into(), BasicGetOptions::default());
            let Some(message) = self.connector.within(next).await? else {
                break;
            };
            taken.push(message.delivery);
        }
        let mut letters = Vec::with_capacity(taken.len());
        let mut staying = Vec::new();
        for delivery in taken {
            let letter = describe(&delivery);
            match fate(&letter) {
                Fate::Stay => staying.push(delivery),
                Fate::Retry => {
                    self.put_back(channel, &delivery).await?;
                    self.ack(&delivery).await?;
                }
                Fate::Drop => self.ack(&delivery).await?,
            }
            letters.push(letter);
        }
        let kept = staying.len();
        for delivery in staying {
            let options = BasicNackOptions {
                requeue: true,
                ..BasicNackOptions::default()
            };
            self.connector.within(delivery.acker.nack(options)).await?;
        }
        self.settle(channel, kept).await?;
        Ok(letters)
    }

    /// Waits until what was given back can be taken again, so that the next look sees it: a
    /// quorum queue agrees on that a moment later.
    async fn settle(&self, channel: &Channel, kept: usize) -> Result<(), AmqpError> {
        let passive = QueueDeclareOptions {
            passive: true,
            durable: true,
            ..QueueDeclareOptions::default()
        };
        for _ in 0..SETTLE_TRIES {
            let name = self.topology.dead.as_str().into();
            let declared = channel.queue_declare(name, passive, FieldTable::default());
            let ready = self.connector.within(declared).await?.message_count();
            if usize::try_from(ready).is_ok_and(|ready| ready >= kept) {
                break;
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
        Ok(())
    }

    async fn put_back(&self, channel: &Channel, delivery: &Delivery) -> Result<(), AmqpError> {
        let id = delivery.properties.message_id().as_ref();
        let id = id.map_or("", ShortString::as_str);
        let properties = transfer::properties(id, FieldTable::default());
        let jobs = &self.topology.jobs;
        transfer::publish(&self.connector, channel, jobs, &delivery.data, properties).await
    }

    async fn ack(&self, delivery: &Delivery) -> Result<(), AmqpError> {
        let acked = delivery.acker.ack(BasicAckOptions::default());
        self.connector.within(acked).await.map(drop)
    }

    async fn close(&self, connection: &Connection) {
        let closed = connection.close(200, "bye".into());
        if let Err(error) = self.connector.within(closed).await {
            tracing::debug!(%error, "RabbitMQ was not closed in order");
        }
    }
}

fn chosen(ids: &[String], letter: &DeadLetter) -> bool {
    ids.is_empty() || ids.contains(&letter.id)
}

fn describe(delivery: &Delivery) -> DeadLetter {
    let headers = delivery.properties.headers().as_ref();
    let job = serde_json::from_slice::<MailJob>(&delivery.data).ok();
    let id = delivery.properties.message_id().as_ref();
    DeadLetter {
        id: id
            .map(ToString::to_string)
            .filter(|id| !id.is_empty())
            .or_else(|| job.as_ref().map(|job| job.id.to_string()))
            .unwrap_or_else(|| "-".to_owned()),
        // Without a reason of ours it was the broker that gave the job up.
        reason: transfer::text(headers, transfer::REASON).unwrap_or_else(|| {
            let brokers = transfer::text(headers, transfer::BROKERS_REASON);
            match brokers.as_deref() {
                Some("expired") => "no worker has taken it in time",
                _ => "its workers died with it too often",
            }
            .to_owned()
        }),
        attempts: transfer::number(headers, transfer::ATTEMPTS).unwrap_or(0),
        died_at: transfer::number(headers, transfer::DIED_AT).map(Timestamp::from_millis),
        domain: job.and_then(|job| Some(job.to.as_str().rsplit_once('@')?.1.to_owned())),
    }
}
