//! What stands behind the domain's ports. The configuration picks; one function knows how.

pub mod backend;
pub mod memory;
pub mod mongo;
mod rabbitmq;
pub mod sqlite;

use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use talksy_mail_worker::amqp::{AmqpOptions, AmqpQueue, InvalidAmqpUrl};
use talksy_mail_worker::queue::{self, QueueConsumer};
use talksy_mail_worker::transport::{FileTransport, SmtpTransport, Transport};
use talksy_mail_worker::{JobError, MailWorker};
use talksy_schema::clock::Timestamp;
use talksy_schema::error::{PortError, chain};
use talksy_schema::live::{Hub, LocalBus};
use talksy_schema::mail::MailQueue;
use talksy_schema::services::Ports;

use crate::app::Environment;
use crate::config::{Config, ConfigError, StoreLocation};
use crate::keys::{KeyError, KeyOptions, Keys};
use crate::lifecycle::Shutdown;
use backend::{Backend, Backends, NotReady, Store};
use memory::{MemoryCodeStore, MemoryPresenceStore, MemoryRateLimiter};
use sqlite::{OpenError, SqliteOptions, SqliteStore};

/// The outbox folder's name in the data directory.
const OUTBOX: &str = "outbox";

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration names something that cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The signing keys.
    #[error("the signing keys cannot be used")]
    Keys(#[from] KeyError),
    /// The store.
    #[error("the store cannot be opened")]
    Store(#[from] OpenError),
    /// The mail.
    #[error("mail cannot be sent")]
    Mail(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The mail queue.
    #[error("`amqp_url` cannot be used")]
    Queue(#[from] InvalidAmqpUrl),
}

/// The adapters that the configuration names.
#[derive(Clone)]
pub struct Adapters {
    /// What the domain sees of them. A test may put another adapter in a port's place.
    pub ports: Ports,
    /// The store, for what is not the domain's business.
    pub store: Arc<dyn Store>,
    /// The servers behind the adapters.
    pub backends: Backends,
    /// The signing keys.
    pub keys: Arc<Keys>,
    /// The other end of a mail queue in this process, until it is started.
    mail: Arc<Mutex<Option<(QueueConsumer, MailWorker)>>>,
}

impl Adapters {
    /// Opens what the configuration names. Nothing outside this machine is connected yet: see
    /// [`Backends::prepare`].
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn open(config: &Config, environment: &Environment) -> Result<Self, StartError> {
        let (clock, entropy) = (&environment.clock, &environment.entropy);
        let mut backends: Vec<Arc<dyn Backend>> = Vec::new();
        let StoreLocation::Sqlite(path) = config.store_location()?;
        let options = SqliteOptions {
            readers: NonZeroUsize::new(config.store.readers).unwrap_or(NonZeroUsize::MIN),
            checkpoint_pages: config.store.checkpoint_pages,
            ..SqliteOptions::default()
        };
        let store = Arc::new(SqliteStore::open(path, &options)?);
        backends.push(Arc::clone(&store) as _);
        let keys = KeyOptions::from(&config.auth);
        let keys = Keys::open(&config.keys_path(), keys, Arc::clone(clock), &**entropy)?;
        let keys = Arc::new(keys);
        let (mail, consumer) = mail_queue(config, environment, &mut backends)?;
        let ports = Ports {
            accounts: Arc::clone(&store) as _,
            chats: Arc::clone(&store) as _,
            messages: Arc::clone(&store) as _,
            codes: Arc::new(MemoryCodeStore::new()),
            limiter: Arc::new(MemoryRateLimiter::new(Arc::clone(clock))),
            presence: Arc::new(MemoryPresenceStore::new()),
            bus: Arc::new(LocalBus::new(Hub::new(config.live.mailbox))),
            mail,
            secret: keys.code_secret(),
            tokens: Arc::clone(&keys) as _,
            clock: Arc::clone(clock),
            entropy: Arc::clone(entropy),
        };
        Ok(Self {
            ports,
            store,
            backends: Backends::new(backends),
            keys,
            mail: Arc::new(Mutex::new(consumer)),
        })
    }

    /// Starts the tasks that adapters need. Again is harmless.
    pub fn start(&self, shutdown: &Shutdown) {
        if let Some((consumer, worker)) = self.mail.lock().take() {
            let (soft, hard) = (shutdown.soft().clone(), shutdown.hard().clone());
            shutdown.spawn(consumer.run(Arc::new(worker), soft, hard));
        }
        shutdown.spawn(Arc::clone(&self.keys).watch(shutdown.soft().clone()));
    }
}

/// A mail queue, with its other end where that is in this process too.
type Mail = (Arc<dyn MailQueue>, Option<(QueueConsumer, MailWorker)>);

fn mail_queue(
    config: &Config,
    environment: &Environment,
    backends: &mut Vec<Arc<dyn Backend>>,
) -> Result<Mail, StartError> {
    if let Some(url) = &config.amqp_url {
        let options = AmqpOptions {
            prefix: config.amqp.prefix.clone(),
            ..AmqpOptions::default()
        };
        let queue = Arc::new(AmqpQueue::new(url, &options)?);
        backends.push(Arc::clone(&queue) as _);
        return Ok((queue, None));
    }
    let transport: Arc<dyn Transport> = if let Some(url) = &config.smtp_url {
        Arc::new(SmtpTransport::new(url).map_err(|error| StartError::Mail(error.into()))?)
    } else {
        let outbox = FileTransport::new(config.data_dir.join(OUTBOX));
        Arc::new(outbox.map_err(|error| StartError::Mail(error.into()))?)
    };
    let worker = MailWorker::new(
        transport,
        &config.mail.from.to_string(),
        Arc::clone(&environment.clock),
    );
    let worker = worker.map_err(|error: JobError| StartError::Mail(error.into()))?;
    let (queue, consumer) = queue::in_process();
    Ok((Arc::new(queue), Some((consumer, worker))))
}

#[async_trait]
impl Backend for SqliteStore {
    fn name(&self) -> &'static str {
        "SQLite"
    }

    fn is_remote(&self) -> bool {
        false
    }

    async fn prepare(&self) -> Result<(), NotReady> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), String> {
        Self::ping(self).await.map_err(|error| chain(&error))
    }

    async fn close(&self) {
        Self::close(self).await;
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn calls(&self) -> u64 {
        Self::calls(self)
    }

    async fn purge_expired(&self, now: Timestamp) -> Result<(), PortError> {
        Self::purge_expired(self, now).await.map(drop)
    }
}
