//! RabbitMQ between the server and the mail worker: durable, confirmed, at least once.
//!
//! A job's way: the [`AmqpQueue`] publishes it to the jobs queue and waits for the broker's
//! confirm; the [`AmqpConsumer`] does it and acknowledges. One that may succeed later goes to a
//! retry queue, where it waits for the queue's time to live and is dead-lettered back to the jobs
//! queue; one that cannot succeed, or has failed too often, goes to the dead-letter queue, where
//! an operator finds it ([`DeadLetters`]) for as long as its code is good. Moving a job is publish,
//! confirm, acknowledge: a crash in between makes it twice, never lost, and a job's id tells the
//! worker what it has done.
//!
//! Needs no plugin. Knows the driver; nobody outside this folder does.

mod connection;
mod consumer;
mod dead_letters;
mod publisher;
mod topology;
mod transfer;

use std::time::Duration;

pub use connection::{AmqpError, InvalidAmqpUrl};
pub use consumer::{AmqpConsumer, ConsumerState};
pub use dead_letters::{DeadLetter, DeadLetters};
pub use publisher::AmqpQueue;

/// How RabbitMQ is used. Server and worker must agree on `prefix`.
#[derive(Clone, Debug)]
pub struct AmqpOptions {
    /// The queues' names start with it. Default `talksy.mail`.
    pub prefix: String,
    /// How long the broker may take to answer. Default 3 s.
    pub timeout: Duration,
    /// How long a job waits before each further try; as many tries as pauses, and the first.
    /// Default 2 s, 8 s, 30 s, 60 s, 120 s: together less than a sign-in code is valid.
    pub retries: Vec<Duration>,
    /// How many jobs one worker holds at a time. Default 16.
    pub prefetch: u16,
}

impl Default for AmqpOptions {
    fn default() -> Self {
        Self {
            prefix: "talksy.mail".to_owned(),
            timeout: Duration::from_secs(3),
            retries: [2, 8, 30, 60, 120].map(Duration::from_secs).into(),
            prefetch: 16,
        }
    }
}
