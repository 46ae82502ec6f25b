//! MongoDB: `mongod` where it is installed, else the server in `tests/mongo`, which speaks its
//! protocol and is built on first use by a JDK and Maven.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use secrecy::SecretString;
use talksy_mongo::{MongoOptions, MongoStore};
use tokio::process::Command;
use tokio::sync::OnceCell;

use super::{Managed, Start, installed};
use crate::app::must;
use crate::event_sinks::Recorder;
use crate::{DEADLINE, eventually};

/// Ends `mongod` with its input.
const WATCHED: &str = r#"
exec 3<&0
trap "" TERM
mongod "$@" 3<&- & server=$!
(cat <&3 >/dev/null; kill -9 "$server"; rm -rf "$DISPOSABLE") &
wait "$server"
"#;

/// Names the folder that the server removes when its input ends: a server that all tests share
/// lives as long as their process, and nobody is left to do it.
const DISPOSABLE: &str = "DISPOSABLE";

/// A MongoDB of one's own, which can be stopped, killed and paused.
pub struct Mongo {
    server: Managed,
    databases: AtomicUsize,
}

impl Deref for Mongo {
    type Target = Managed;
    fn deref(&self) -> &Managed {
        &self.server
    }
}

impl DerefMut for Mongo {
    fn deref_mut(&mut self) -> &mut Managed {
        &mut self.server
    }
}

impl Mongo {
    /// A server with an empty folder, not started yet.
    ///
    /// # Panics
    /// Where there is neither `mongod` nor what its stand-in is built with.
    pub fn new() -> Self {
        Self::started_by(command)
    }

    fn started_by(start: Start) -> Self {
        if !Self::is_real() {
            // Builds it, which may take longer than a start may.
            stand_in();
        }
        Self {
            server: Managed::new("MongoDB", start),
            databases: AtomicUsize::new(0),
        }
    }

    /// A running server.
    ///
    /// # Panics
    /// Where it cannot be.
    pub async fn start() -> Self {
        Self::new().run().await
    }

    /// A stand-in that speaks the protocol of a MongoDB which is too old.
    ///
    /// # Panics
    /// Where it cannot be.
    pub async fn start_old() -> Self {
        stand_in();
        let start = |port, folder: &Path| {
            let mut command = stand_in_command(port, folder);
            command.env("WIRE_VERSION", "8");
            command
        };
        Self::started_by(start).run().await
    }

    async fn run(mut self) -> Self {
        self.server.start().await;
        self
    }

    /// The server that all tests of this process share, each in a database of its own.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Mongo> = OnceCell::const_new();
        let start = || Self::started_by(disposable).run();
        SHARED.get_or_init(start).await
    }

    /// Whether it is a real MongoDB, with indexes for other things than uniqueness.
    pub fn is_real() -> bool {
        installed(&["mongod"]).is_some()
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> SecretString {
        format!("mongodb://127.0.0.1:{}/{database}", self.port).into()
    }

    /// The name of a database that nobody has used.
    pub fn new_database(&self) -> String {
        format!("test-{}", self.databases.fetch_add(1, Ordering::Relaxed))
    }

    /// A store on this database, prepared. It is [`patient`].
    ///
    /// # Panics
    /// Where it cannot be.
    pub async fn store_on(&self, database: &str) -> MongoStore {
        self.store_with(database, &patient()).await
    }

    /// A store on this database that is run so, prepared.
    ///
    /// # Panics
    /// Where it cannot be.
    pub async fn store_with(&self, database: &str, options: &MongoOptions) -> MongoStore {
        self.store_announcing(database, options, Recorder::default())
            .await
    }

    /// The same, which hands over what follows from its commits.
    ///
    /// # Panics
    /// Where it cannot be.
    pub async fn store_announcing(
        &self,
        database: &str,
        options: &MongoOptions,
        events: Recorder,
    ) -> MongoStore {
        let events = Arc::new(events);
        let store = must(MongoStore::open(&self.url(database), options, events));
        eventually("a prepared database", async || {
            match store.prepare().await {
                Ok(()) => Some(()),
                Err(error) if error.is_transient() => None,
                Err(error) => panic!("{error}"),
            }
        })
        .await;
        store
    }

    /// A store on a new database, prepared, and what it hands over.
    pub async fn store(&self) -> (MongoStore, Recorder) {
        let events = Recorder::default();
        let database = self.new_database();
        let options = patient();
        let store = self.store_announcing(&database, &options, events.clone());
        (store.await, events)
    }
}

/// For tests that are not about outages, and machines that have other work to do.
pub fn patient() -> MongoOptions {
    MongoOptions {
        timeout: DEADLINE / 2,
        reach_timeout: DEADLINE / 3,
        prepare_timeout: DEADLINE / 2,
        ..MongoOptions::default()
    }
}

impl Default for Mongo {
    fn default() -> Self {
        Self::new()
    }
}

fn command(port: u16, folder: &Path) -> Command {
    if Mongo::is_real() {
        mongod(port, folder)
    } else {
        stand_in_command(port, folder)
    }
}

fn disposable(port: u16, folder: &Path) -> Command {
    let mut command = command(port, folder);
    command.env(DISPOSABLE, folder);
    command
}

fn mongod(port: u16, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .env(DISPOSABLE, "")
        .args(["-c", WATCHED, "sh", "--quiet", "--nounixsocket"])
        .args(["--bind_ip", "127.0.0.1", "--port", &port.to_string()])
        .arg("--dbpath")
        .arg(folder);
    command
}

fn stand_in_command(port: u16, folder: &Path) -> Command {
    let built = stand_in();
    let mut command = Command::new("java");
    command
        .args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg("-cp")
        .arg(format!(
            "{}:{}",
            built.join("test-mongo.jar").display(),
            built.join("lib/*").display(),
        ))
        .arg("talksy.TestMongo")
        .arg(folder)
        .arg(port.to_string());
    command
}

/// Where the stand-in is built.
fn stand_in() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("mongo/build.sh");
        let built = must(std::process::Command::new(&script).output());
        assert!(
            built.status.success(),
            "these tests need a MongoDB: install `mongod` 5.0 or newer, or, for the stand-in in \
             tests/mongo, a JDK 17 or newer and Maven\n{}",
            String::from_utf8_lossy(&built.stderr),
        );
        PathBuf::from(String::from_utf8_lossy(&built.stdout).trim())
    })
}
