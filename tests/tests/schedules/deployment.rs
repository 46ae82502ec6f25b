//! The stores under the instances: what they have in common, and how each is killed.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use talksy_domain::clock::Clock;
use talksy_domain::jobs::{JobRunner, JobService};
use talksy_domain::services::Ports;
use talksy_domain::users::User;
use talksy_mongo::MongoStore;
use talksy_sqlite::{SqliteOptions, SqliteStore};
use talksy_tests::DEADLINE;
use talksy_tests::backend::{Backend, policies};
use talksy_tests::clock::TestClock;
use talksy_tests::contract::Stores;
use talksy_tests::event_sinks::Recorder;
use talksy_tests::servers::mongo::{Mongo, patient};
use talksy_tests::slow_way::SlowWay;
use tokio::runtime::{Builder, Handle, Runtime};

use super::process::wait;

/// The store that a schedule's instances share.
pub enum Store {
    Sqlite { path: PathBuf, store: SqliteStore },
    Mongo { database: String, store: MongoStore },
}

/// A store and the other adapters, for schedules one after another.
pub struct Deployment {
    store: Store,
    /// What the SQLite store hands over.
    events: Recorder,
    backend: Arc<Backend>,
    numbers: AtomicU32,
    /// Where stores have the real time, and their tasks.
    real: Runtime,
}

impl Deployment {
    /// On a new SQLite file, in memory where the system has a folder for that.
    pub fn sqlite() -> Self {
        Self::new(|real, backend, events| {
            let _real = real.enter();
            let path = backend.folder().join("schedules.db");
            let store = open(&path, events);
            Store::Sqlite { path, store }
        })
    }

    /// On a new MongoDB database.
    pub fn mongo() -> Self {
        Self::new(|real, _, _| {
            real.block_on(async {
                let mongo = Mongo::shared().await;
                let database = mongo.new_database();
                let store = mongo.store_on(&database).await;
                Store::Mongo { database, store }
            })
        })
    }

    fn new(store: impl FnOnce(&Runtime, &Backend, &Recorder) -> Store) -> Self {
        let events = Recorder::default();
        let mut builder = Builder::new_multi_thread();
        let real = builder.worker_threads(1).enable_all().build().unwrap();
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let backend = real.block_on(Backend::open_in(&folder));
        Self {
            store: store(&real, &backend, &events),
            events,
            backend,
            numbers: AtomicU32::new(0),
            real,
        }
    }

    pub fn real(&self) -> &Handle {
        self.real.handle()
    }

    /// Whether a call of the store is one write, which is done once the call has ended.
    pub const fn writes_at_once(&self) -> bool {
        matches!(self.store, Store::Sqlite { .. })
    }

    /// A user whom nobody has seen.
    pub fn candidate(&self, name: &str) -> User {
        let number = self.numbers.fetch_add(1, Ordering::SeqCst);
        self.backend.candidate(name, number)
    }

    /// The ports for who looks from outside.
    pub fn ports(&self) -> Ports {
        match &self.store {
            Store::Sqlite { store, .. } => self.on(Stores::of(store.clone(), self.events.clone())),
            Store::Mongo { store, .. } => self.on(Stores::of(store.clone(), self.events.clone())),
        }
    }

    /// The ports of a new instance, with what its store hands over, and with its way to the store where
    /// one call is many writes.
    pub fn instance(&self) -> (Ports, Recorder, Option<SlowWay>) {
        let Store::Mongo { database, .. } = &self.store else {
            return (self.ports(), self.events.clone(), None);
        };
        let opened = async {
            let way = SlowWay::to(Mongo::shared().await).await;
            let events = Recorder::default();
            let sink = Arc::new(events.clone());
            let store = MongoStore::open(&way.url(database), &patient(), sink).unwrap();
            store.prepare().await.unwrap();
            let ports = self.on(Stores::of(store, events.clone()));
            (ports, events, Some(way))
        };
        wait(self.real(), opened, || false).unwrap()
    }

    fn on(&self, stores: Stores) -> Ports {
        Ports {
            users: stores.users,
            sessions: stores.sessions,
            chats: stores.chats,
            messages: stores.messages,
            groups: stores.groups,
            jobs: stores.jobs,
            ..self.backend.ports.clone()
        }
    }

    /// Has nobody told what was done so far.
    pub fn forget_events(&self) {
        self.events.take();
    }

    /// Goes on with what the disk has of the store, as after the end of its process. The next
    /// instances have it.
    pub fn kill(&mut self) {
        // A server of its own is not killed with the instances.
        if let Store::Sqlite { path, store } = &mut self.store {
            let number = self.numbers.fetch_add(1, Ordering::SeqCst);
            let copy = path.with_file_name(format!("schedules-{number}.db"));
            // The store goes on meanwhile. While another one writes, it neither empties the log nor begins
            // it anew, so that the two copies, of the file and then of its log, are of one moment.
            let other = Connection::open(&*path).unwrap();
            other.busy_timeout(DEADLINE).unwrap();
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
            for end in ["", "-wal"] {
                let [from, to] = [&*path, &copy].map(|path| format!("{}{end}", path.display()));
                std::fs::copy(from, to).unwrap();
            }
            drop(other);
            let _real = self.real.enter();
            *store = open(&copy, &self.events);
            *path = copy;
        }
    }

    /// Completes what instances that died have left, as the jobs do that they wrote ahead.
    pub fn sweep(&self) {
        if let Store::Mongo { store, .. } = &self.store {
            let clock = TestClock::default();
            clock.advance(Duration::from_hours(24 * 365 * 10));
            let clock: Arc<dyn Clock> = Arc::new(clock);
            let store = Arc::new(store.clone());
            let work = JobService {
                sessions: Arc::clone(&store) as _,
                users: Arc::clone(&store) as _,
                chats: Arc::clone(&store) as _,
                groups: Arc::clone(&store) as _,
                messages: Arc::clone(&store) as _,
                attachments: Arc::new(()),
                blocks: Arc::clone(&store) as _,
                moderation: Arc::clone(&store) as _,
                accounts: Arc::new(()),
                clock: Arc::clone(&clock),
            };
            let runner = JobRunner::new(store, Arc::new(work), clock, policies().jobs);
            let swept = async {
                runner.run_due().await.unwrap();
                runner.run_due().await.unwrap()
            };
            assert_eq!(wait(self.real(), swept, || false), Some(0));
        }
    }
}

fn open(path: &Path, events: &Recorder) -> SqliteStore {
    let options = SqliteOptions {
        timeout: DEADLINE,
        ..SqliteOptions::new(NonZeroUsize::MIN, 4_096)
    };
    SqliteStore::open(path, &options, Arc::new(events.clone())).unwrap()
}
