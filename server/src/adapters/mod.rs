//! What stands behind the domain's ports. The configuration picks; one function knows how.

pub mod backend;
pub mod memory;
mod observed;
pub mod restoring;
mod servers;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use talksy_domain::attachments::{AttachmentStore, ImageCodec, ObjectStore};
use talksy_domain::auth::CodeStore;
use talksy_domain::auth::SessionStore;
use talksy_domain::chats::ChatStore;
use talksy_domain::events::{Bus, Dispatcher, EventQueue, EventSink, Hub, LocalBus};
use talksy_domain::groups::GroupStore;
use talksy_domain::jobs::JobStore;
use talksy_domain::limits::RateLimiter;
use talksy_domain::mail::MailQueue;
use talksy_domain::messages::MessageStore;
use talksy_domain::presence::PresenceStore;
use talksy_domain::services::Ports;
use talksy_domain::users::UserStore;
use talksy_mail_worker::amqp::{AmqpOptions, AmqpQueue, InvalidAmqpUrl};
use talksy_mail_worker::queue::{self, QueueConsumer};
use talksy_mail_worker::transport::{FileTransport, SmtpOptions, SmtpTransport, Transport};
use talksy_mail_worker::{JobError, MailWorker};
use talksy_mongo::{MongoOpenError, MongoOptions, MongoStore};
use talksy_objects::{ImageLimits, Images, Objects, ObjectsError, S3Options};
use talksy_redis::{RedisAdapters, RedisOpenError, RedisOptions};
use talksy_sqlite::{OpenError, SqliteOptions, SqliteStore};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::app::Environment;
use crate::config::{Config, ConfigError, StoreLocation};
use crate::graphql::DocumentsError;
use crate::keys::{KeyError, KeyOptions, Keys};
use crate::lifecycle::Shutdown;
use backend::{Backend, Backends, Store};
pub use observed::observed;

use memory::{MemoryCodeStore, MemoryPresenceStore, MemoryRateLimiter};

/// How long events that wait are published still when the process ends. They take milliseconds.
const DISPATCH_TIMEOUT: Duration = Duration::from_secs(1);

/// The name of the folder of attachments in the data directory.
const ATTACHMENTS: &str = "attachments";

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
    /// MongoDB as the store.
    #[error("`store_url` cannot be used")]
    Mongo(#[from] MongoOpenError),
    /// Redis.
    #[error("`redis_url` cannot be used")]
    Redis(#[from] RedisOpenError),
    /// The mail.
    #[error("mail cannot be sent")]
    Mail(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store of attachments.
    #[error("the store of attachments cannot be used")]
    Objects(#[from] ObjectsError),
    /// The mail queue.
    #[error("`amqp_url` cannot be used")]
    Queue(#[from] InvalidAmqpUrl),
    /// The trusted documents.
    #[error("`http.documents.trusted` cannot be used")]
    Documents(#[from] DocumentsError),
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
    /// Redis, which has tasks to start.
    redis: Option<RedisAdapters>,
    /// What the store has committed, on its way to the bus.
    events: EventQueue,
    /// Its other end, until it is started.
    dispatcher: Arc<Mutex<Option<Dispatcher>>>,
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
        Self::open_with(config, environment, None).await
    }

    /// The same, with a store whose events go into `events` and nowhere else: for a test that
    /// publishes them itself.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn open_with(
        config: &Config,
        environment: &Environment,
        events: Option<Arc<dyn EventSink>>,
    ) -> Result<Self, StartError> {
        let (queue, dispatcher) = EventQueue::new();
        let events = events.unwrap_or_else(|| Arc::new(queue.clone()));
        let (clock, entropy) = (&environment.clock, &environment.entropy);
        let mut backends: Vec<Arc<dyn Backend>> = Vec::new();
        let (shared, redis) = shared(config, environment, &mut backends)?;
        let stores = stores(config, events, redis.as_ref(), &mut backends)?;
        let keys = KeyOptions::from(config);
        let keys = Keys::open(&config.keys_path(), keys, Arc::clone(clock), &**entropy)?;
        let keys = Arc::new(keys);
        let (mail, consumer) = mail_queue(config, environment, &mut backends)?;
        let ports = Ports {
            users: stores.users,
            sessions: stores.sessions,
            chats: stores.chats,
            messages: stores.messages,
            groups: stores.groups,
            attachments: stores.attachments,
            objects: objects(config)?,
            images: images(config),
            jobs: stores.jobs,
            codes: shared.codes,
            limiter: shared.limiter,
            presence: shared.presence,
            bus: shared.bus,
            mail,
            secret: Arc::clone(&keys) as _,
            lasting_secret: keys.lasting_secret(),
            tokens: Arc::clone(&keys) as _,
            clock: Arc::clone(clock),
            entropy: Arc::clone(entropy),
        };
        Ok(Self {
            ports,
            store: stores.store,
            backends: Backends::new(backends),
            keys,
            redis,
            events: queue,
            dispatcher: Arc::new(Mutex::new(Some(dispatcher))),
            mail: Arc::new(Mutex::new(consumer)),
        })
    }

    /// Starts the tasks that adapters need. Again is harmless.
    pub fn start(&self, shutdown: &Shutdown) {
        if let Some(redis) = &self.redis {
            redis.start();
        }
        if let Some((consumer, worker)) = self.mail.lock().take() {
            let (soft, hard) = (shutdown.soft().clone(), shutdown.hard().clone());
            shutdown.spawn(consumer.run(Arc::new(worker), soft, hard));
        }
        shutdown.spawn(Arc::clone(&self.keys).watch(shutdown.soft().clone()));
    }

    /// Starts to publish on the bus what the store commits, until [`Adapters::close`]. Again is
    /// harmless.
    pub fn dispatch(&self, bus: Arc<dyn Bus>) -> JoinHandle<()> {
        let dispatcher = self.dispatcher.lock().take();
        tokio::spawn(async move {
            if let Some(dispatcher) = dispatcher {
                dispatcher.run(bus).await;
            }
        })
    }

    /// Lets go of the backends: first of the store, which finishes what waits; then what it has
    /// committed is published by the task of [`Adapters::dispatch`]; then of the others, the bus
    /// among them.
    pub async fn close(&self, dispatching: JoinHandle<()>) {
        self.store.close().await;
        self.events.close();
        if timeout(DISPATCH_TIMEOUT, dispatching).await.is_err() {
            tracing::warn!("not all events were published; their followers find out by themselves");
        }
        self.backends.close().await;
    }
}

/// One store behind its ports.
struct Stores {
    users: Arc<dyn UserStore>,
    sessions: Arc<dyn SessionStore>,
    chats: Arc<dyn ChatStore>,
    messages: Arc<dyn MessageStore>,
    groups: Arc<dyn GroupStore>,
    attachments: Arc<dyn AttachmentStore>,
    jobs: Arc<dyn JobStore>,
    store: Arc<dyn Store>,
}

fn stores(
    config: &Config,
    events: Arc<dyn EventSink>,
    redis: Option<&RedisAdapters>,
    backends: &mut Vec<Arc<dyn Backend>>,
) -> Result<Stores, StartError> {
    match config.store_location()? {
        StoreLocation::Sqlite(path) => {
            let readers = NonZeroUsize::new(config.store.readers).unwrap_or_else(readers_by_cores);
            let options = SqliteOptions::new(readers, config.store.checkpoint_pages);
            Ok(behind_its_ports(
                SqliteStore::open(path, &options, events)?,
                backends,
            ))
        }
        StoreLocation::Mongo(url) => {
            let turns = redis.map(RedisAdapters::turns);
            let store = MongoStore::open_with(&url, &MongoOptions::default(), events, turns)?;
            Ok(behind_its_ports(store, backends))
        }
    }
}

/// How many connections read where no number is set: reads from memory take a core each.
fn readers_by_cores() -> NonZeroUsize {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    cores.clamp(
        const { NonZeroUsize::new(2).unwrap() },
        const { NonZeroUsize::new(16).unwrap() },
    )
}

fn behind_its_ports<S>(store: S, backends: &mut Vec<Arc<dyn Backend>>) -> Stores
where
    S: Store
        + UserStore
        + SessionStore
        + ChatStore
        + MessageStore
        + GroupStore
        + AttachmentStore
        + JobStore
        + 'static,
{
    let store = Arc::new(store);
    backends.push(Arc::clone(&store) as _);
    Stores {
        users: Arc::clone(&store) as _,
        sessions: Arc::clone(&store) as _,
        chats: Arc::clone(&store) as _,
        messages: Arc::clone(&store) as _,
        groups: Arc::clone(&store) as _,
        attachments: Arc::clone(&store) as _,
        jobs: Arc::clone(&store) as _,
        store,
    }
}

/// Where the bytes of attachments are kept.
fn objects(config: &Config) -> Result<Arc<dyn ObjectStore>, StartError> {
    let Some(url) = &config.objects_url else {
        let folder = config.data_dir.join(ATTACHMENTS);
        return Ok(Arc::new(Objects::in_folder(&folder)?));
    };
    let section = &config.objects;
    let key = section.access_key_id.clone();
    let options = S3Options {
        endpoint: section.endpoint.clone(),
        region: section.region.clone(),
        credentials: key.zip(section.secret_access_key.clone()),
        is_virtual_hosted: section.virtual_hosted,
    };
    Ok(Arc::new(Objects::in_bucket(url, &options)?))
}

fn images(config: &Config) -> Arc<dyn ImageCodec> {
    let section = &config.attachments;
    Arc::new(Images::new(ImageLimits {
        max_pixels: section.max_image_pixels,
        workers: NonZeroUsize::new(section.image_workers).unwrap_or(NonZeroUsize::MIN),
    }))
}

/// The jobs of a store, and the store itself, which is to be closed.
type JobsBeside = (Arc<dyn JobStore>, Arc<dyn Backend>);

/// The jobs in the store that the configuration names, for a command beside the server. Blocks.
///
/// # Errors
/// See [`StartError`].
pub fn jobs_beside(config: &Config) -> Result<JobsBeside, StartError> {
    Ok(match config.store_location()? {
        StoreLocation::Sqlite(path) => {
            let options = SqliteOptions::new(NonZeroUsize::MIN, config.store.checkpoint_pages);
            let store = Arc::new(SqliteStore::open_beside(path, &options)?);
            (Arc::clone(&store) as _, store)
        }
        StoreLocation::Mongo(url) => {
            let store = Arc::new(MongoStore::open(
                &url,
                &MongoOptions::default(),
                Arc::new(()),
            )?);
            (Arc::clone(&store) as _, store)
        }
    })
}

/// What instances share beside the store.
struct SharedPorts {
    codes: Arc<dyn CodeStore>,
    limiter: Arc<dyn RateLimiter>,
    presence: Arc<dyn PresenceStore>,
    bus: Arc<dyn Bus>,
}

fn shared(
    config: &Config,
    environment: &Environment,
    backends: &mut Vec<Arc<dyn Backend>>,
) -> Result<(SharedPorts, Option<RedisAdapters>), StartError> {
    let clock = &environment.clock;
    let Some(url) = &config.redis_url else {
        let embedded = SharedPorts {
            codes: Arc::new(MemoryCodeStore::new()),
            limiter: Arc::new(MemoryRateLimiter::new(Arc::clone(clock))),
            presence: Arc::new(MemoryPresenceStore::new()),
            bus: Arc::new(
                LocalBus::new(Hub::new(config.live.mailbox))
                    .traced_by(talksy_telemetry::traceparent),
            ),
        };
        return Ok((embedded, None));
    };
    let options = RedisOptions::new(&config.redis.prefix, config.live.mailbox);
    let redis = RedisAdapters::open(url, Arc::clone(clock), &options)?;
    backends.push(Arc::new(redis.clone()));
    let ports = SharedPorts {
        codes: redis.codes(),
        // Sends go on while Redis is away; codes, which must not be guessed, do not.
        limiter: redis.lenient_limiter(Arc::new(MemoryRateLimiter::new(Arc::clone(clock)))),
        presence: redis.presence(),
        bus: redis.bus(),
    };
    Ok((ports, Some(redis)))
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
        let options = SmtpOptions {
            ca_file: config.mail.smtp_ca_file.as_deref(),
            plain_credentials: config.mail.plain_credentials,
        };
        let transport = SmtpTransport::new(url, &options);
        Arc::new(transport.map_err(|error| StartError::Mail(error.into()))?)
    } else {
        let outbox = FileTransport::new(config.data_dir.join(OUTBOX));
        Arc::new(outbox.map_err(|error| StartError::Mail(error.into()))?)
    };
    let worker = MailWorker::new(
        transport,
        &config.mail.from.to_string(),
        Arc::clone(&environment.clock),
    );
    let mut worker = worker.map_err(|error: JobError| StartError::Mail(error.into()))?;
    if config.shows_codes() {
        worker = worker.logging_codes();
    }
    let (queue, consumer) = queue::in_process();
    Ok((Arc::new(queue), Some((consumer, worker))))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;

    use super::*;

    const DRIVERS: [&str; 5] = ["rusqlite", "mongodb", "redis", "object_store", "image"];

    /// The worker is configured apart. Server and worker must agree where neither is.
    #[test]
    fn without_settings_the_mail_worker_looks_where_the_server_puts_jobs() {
        let worker = talksy_mail_worker::cli::Cli::parse_from(["talksy-mail-worker"]);
        let config = Config::default();
        assert_eq!(worker.queue.options().prefix, config.amqp.prefix);
        assert_eq!(worker.mail.from, config.mail.from.to_string());
        let retries = worker.queue.options().retries;
        assert_eq!(retries, AmqpOptions::default().retries);
    }

    /// Each driver stays in its adapter's crate: the sources name none, nor does the manifest.
    #[test]
    fn the_server_names_no_driver() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
        let mut folders = vec![root.join("src")];
        let mut looked_at = 0;
        for driver in DRIVERS {
            let dependency = format!("{driver}.workspace");
            assert!(!manifest.lines().any(|line| line.starts_with(&dependency)));
        }
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                if path.extension().is_none_or(|extension| extension != "rs") {
                    continue;
                }
                looked_at += 1;
                let text = std::fs::read_to_string(&path).unwrap();
                for (line, text) in (1..).zip(text.lines()) {
                    let named = DRIVERS.iter().any(|driver| names(text, driver));
                    assert!(!named, "{}:{line}: {text}", path.display());
                }
            }
        }
        assert!(looked_at > 50, "{looked_at} files");
    }

    /// Whether a line has the crate's name as the start of a path.
    fn names(line: &str, driver: &str) -> bool {
        line.match_indices(&format!("{driver}::")).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            before.is_none_or(|c| !(c.is_alphanumeric() || c == '_'))
        })
    }
}
