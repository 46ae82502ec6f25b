//! What stands behind the domain's ports. The configuration picks; one function knows how.

pub mod memory;
pub mod redis;
pub mod sqlite;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use talksy_mail_worker::queue::{self, QueueConsumer};
use talksy_mail_worker::transport::{FileTransport, SmtpTransport, Transport};
use talksy_mail_worker::{JobError, MailWorker};
use talksy_schema::live::{Hub, LocalBus};
use talksy_schema::services::Ports;

use crate::app::Environment;
use crate::config::{Config, ConfigError, StoreLocation};
use crate::keys::{KeyError, KeyOptions, Keys};
use crate::lifecycle::Shutdown;
use memory::{MemoryCodeStore, MemoryPresenceStore, MemoryRateLimiter};
use sqlite::{OpenError, SqliteOptions, SqliteStore};

/// The outbox folder's name in the data directory.
const OUTBOX: &str = "outbox";

/// How long a check of readiness may take.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

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
}

/// The adapters, open.
#[derive(Clone)]
pub struct Adapters {
    /// What the domain sees of them. A test may put another adapter in a port's place.
    pub ports: Ports,
    /// The store.
    pub store: SqliteStore,
    /// The signing keys.
    pub keys: Arc<Keys>,
    /// The mail queue's other end, until it is started.
    mail: Arc<Mutex<Option<(QueueConsumer, MailWorker)>>>,
}

impl Adapters {
    /// Opens what the configuration names.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn open(config: &Config, environment: &Environment) -> Result<Self, StartError> {
        let (clock, entropy) = (&environment.clock, &environment.entropy);
        let StoreLocation::Sqlite(path) = config.store_location()?;
        let options = SqliteOptions {
            readers: NonZeroUsize::new(config.store.readers).unwrap_or(NonZeroUsize::MIN),
            checkpoint_pages: config.store.checkpoint_pages,
            ..SqliteOptions::default()
        };
        let store = SqliteStore::open(path, &options)?;
        let keys = KeyOptions::from(&config.auth);
        let keys = Keys::open(&config.data_dir, keys, Arc::clone(clock), &**entropy)?;
        let keys = Arc::new(keys);
        let (mail, consumer) = queue::in_process();
        let worker = mail_worker(config, environment)?;
        let ports = Ports {
            accounts: Arc::new(store.clone()),
            chats: Arc::new(store.clone()),
            messages: Arc::new(store.clone()),
            codes: Arc::new(MemoryCodeStore::new()),
            limiter: Arc::new(MemoryRateLimiter::new(Arc::clone(clock))),
            presence: Arc::new(MemoryPresenceStore::new()),
            bus: Arc::new(LocalBus::new(Hub::new(config.live.mailbox))),
            mail: Arc::new(mail),
            secret: keys.code_secret(),
            tokens: Arc::clone(&keys) as _,
            clock: Arc::clone(clock),
            entropy: Arc::clone(entropy),
        };
        Ok(Self {
            ports,
            store,
            keys,
            mail: Arc::new(Mutex::new(Some((consumer, worker)))),
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

    /// Whether all adapters answer.
    ///
    /// # Errors
    /// Which does not.
    pub async fn ready(&self) -> Result<(), String> {
        match tokio::time::timeout(READY_TIMEOUT, self.store.ping()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the store does not answer".to_owned()),
        }
    }

    /// Closes the store: what was acknowledged is in its file.
    pub async fn close(&self) {
        self.store.close().await;
    }
}

fn mail_worker(config: &Config, environment: &Environment) -> Result<MailWorker, StartError> {
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
    worker.map_err(|error: JobError| StartError::Mail(error.into()))
}
