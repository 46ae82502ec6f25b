//! What many instances share through Redis 7 (or Valkey): the bus, sign-in codes, rate limits,
//! presence, and turns at a busy chat. Nothing in it is precious: a Redis that comes back empty costs
//! the codes that were on their way, and a moment in which who asks is told of too few who are online.
//!
//! How Redis is written in a URL is told in `location`. All keys and channels begin with the
//! prefix of [`RedisOptions`]:
//!
//! | key or channel | holds | goes |
//! |---|---|---|
//! | `code:{hash}`, `…:before` | an address's sign-in code; the one before | a minute after it is forgotten |
//! | `limit:rule:hash` | a rule's counter of one key | a minute after it is whole again |
//! | `presence:{n}:ends` | users by the end of their last lease | a day after the last renewal |
//! | `presence:{n}:claims` | users whose leases have ended, by how long one instance looks at them | a minute after the last claim |
//! | `presence:{n}:epoch` | when Redis first held the bucket: another one than before says that data was lost | a day after the last renewal |
//! | `presence:{n}:user` | a user's leases by their end | a minute after the last one ends |
//! | `turns:{queue}:holder`, `…:line` | the instance whose turn it is; those that wait, in order | with the turn; 10 s after the last has come |
//! | `bus:kind:id` | (a channel) what happens on a topic | |
//!
//! What each step costs Redis, however much there is of anything:
//!
//! | step | commands |
//! |---|---|
//! | issue, withdraw or present a code; check a limit; release a lease | 1 script |
//! | renew up to 256 leases; look at up to 1,000 users whose leases have ended; take up to 1,000 out | 1 script (in a Cluster: one a bucket) |
//! | who of some users is online | 1 `ZMSCORE` (in a Cluster: one a bucket) |
//! | ask for a turn, pass it on, look whether others wait | 1 script |
//! | publish an event | 1 `PUBLISH`, one message to each instance that follows the topic |
//! | follow a topic | 1 `SUBSCRIBE` with the process's first follower, none with others |
//!
//! An eviction policy must not take keys away (`maxmemory-policy noeviction`): a Redis that is
//! full then refuses, and callers see it as unavailable.

mod address;
mod backoff;
mod bus;
mod codes;
mod discovery;
mod fault;
mod hello;
mod limits;
mod location;
mod map;
mod node;
mod prepare;
mod presence;
mod script;
mod servers;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use secrecy::SecretString;
use talksy_domain::auth::CodeStore;
use talksy_domain::clock::Clock;
use talksy_domain::error::chain;
use talksy_domain::events::Bus;
use talksy_domain::limits::RateLimiter;
use talksy_domain::presence::PresenceStore;
use talksy_domain::turns::Turns;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use self::bus::wire::Wire;
use self::bus::{BusTasks, RedisBus};
use self::codes::RedisCodeStore;
pub use self::fault::PrepareError;
use self::limits::{LenientRateLimiter, RedisRateLimiter};
use self::location::Location;
pub use self::location::RedisOpenError;
use self::presence::RedisPresenceStore;
use self::servers::Servers;
use self::turns::RedisTurns;

/// How long [`RedisAdapters::close`] waits for events that are on their way.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// How Redis is used.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// What all keys and channels begin with. Deployments that share a Redis differ in it.
    pub prefix: String,
    /// How many undelivered events a receiver of the bus holds.
    pub mailbox: usize,
    /// How long a call may take before it fails.
    pub timeout: Duration,
    /// How long a topic stays subscribed after its last follower has left: a page that is
    /// reloaded finds its topics subscribed, and topics left together are unsubscribed in one step.
    pub linger: Duration,
}

impl RedisOptions {
    /// These, and for the rest what suits a Redis nearby.
    pub fn new(prefix: impl Into<String>, mailbox: usize) -> Self {
        Self {
            prefix: prefix.into(),
            mailbox,
            timeout: Duration::from_secs(2),
            linger: Duration::from_millis(500),
        }
    }
}

/// The adapters over one Redis. Clones share everything.
#[derive(Clone)]
pub struct RedisAdapters(Arc<Inner>);

struct Inner {
    servers: Arc<Servers>,
    prefix: String,
    bus: Arc<RedisBus>,
    codes: Arc<RedisCodeStore>,
    limiter: Arc<RedisRateLimiter>,
    presence: Arc<RedisPresenceStore>,
    turns: Arc<RedisTurns>,
    /// Until they are started.
    tasks: Mutex<Option<BusTasks>>,
    stop: CancellationToken,
    running: TaskTracker,
    _guard: Arc<DropGuard>,
}

impl RedisAdapters {
    /// Adapters over the Redis at `url`. Connects to nothing: connections are made when they are
    /// needed.
    ///
    /// # Errors
    /// Where the URL or the prefix is malformed.
    pub fn open(
        url: &SecretString,
        clock: Arc<dyn Clock>,
        options: &RedisOptions,
    ) -> Result<Self, RedisOpenError> {
        let location = Location::parse(url)?;
        let prefix = &options.prefix;
        if prefix.contains(|c: char| "{}".contains(c) || c.is_whitespace() || c.is_control()) {
            return Err(RedisOpenError::Prefix);
        }
        if location.is_tls() {
            // The driver takes the process's default; another part of it may have set the same.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let wire = Wire::new(prefix, location.database);
        let servers = Servers::new(location, options.timeout);
        let away = Arc::new(Notify::new());
        let stop = CancellationToken::new();
        let guard = Arc::new(stop.clone().drop_guard());
        let (bus, tasks) = RedisBus::new(
            Arc::clone(&servers),
            wire,
            options,
            Arc::clone(&away),
            Arc::clone(&guard),
        );
        let limiter = RedisRateLimiter::new(Arc::clone(&servers), clock, prefix);
        Ok(Self(Arc::new(Inner {
            bus: Arc::new(bus),
            codes: Arc::new(RedisCodeStore::new(Arc::clone(&servers), prefix)),
            limiter: Arc::new(limiter),
            presence: Arc::new(RedisPresenceStore::new(Arc::clone(&servers), prefix, away)),
            turns: Arc::new(RedisTurns::new(Arc::clone(&servers), prefix)),
            prefix: prefix.clone(),
            servers,
            tasks: Mutex::new(Some(tasks)),
            stop,
            running: TaskTracker::new(),
            _guard: guard,
        })))
    }

    /// Connects, and checks that the server is one that will do.
    ///
    /// # Errors
    /// See [`PrepareError`]; [`PrepareError::is_transient`] tells whether to try again.
    pub async fn prepare(&self) -> Result<(), PrepareError> {
        prepare::prepare(&self.0.servers, &self.0.prefix).await
    }

    /// Starts the bus, without which nothing is published and nothing can be followed. Must be
    /// called on a Tokio runtime; again is harmless. The tasks end with [`Self::close`], or with
    /// the last clone of this and of the bus.
    pub fn start(&self) {
        if let Some(tasks) = self.0.tasks.lock().take() {
            self.0.running.spawn(tasks.run(self.0.stop.clone()));
        }
    }

    /// Whether all servers answer.
    ///
    /// # Errors
    /// On one line, what is wrong.
    pub async fn ping(&self) -> Result<(), String> {
        let answer = self.0.servers.ping().await;
        answer.map_err(|fault| chain(&fault))
    }

    /// Publishes what waits to be, and stops the bus.
    pub async fn close(&self) {
        self.0.stop.cancel();
        self.0.running.close();
        let ended = tokio::time::timeout(CLOSE_LIMIT, self.0.running.wait());
        if ended.await.is_err() {
            tracing::warn!("the bus did not stop in time");
        }
    }

    /// The bus.
    pub fn bus(&self) -> Arc<dyn Bus> {
        Arc::clone(&self.0.bus) as _
    }

    /// The sign-in codes.
    pub fn codes(&self) -> Arc<dyn CodeStore> {
        Arc::clone(&self.0.codes) as _
    }

    /// The rate limits. An outage of Redis is an error.
    pub fn limiter(&self) -> Arc<dyn RateLimiter> {
        Arc::clone(&self.0.limiter) as _
    }

    /// The rate limits, for which `local` decides while Redis is not available.
    pub fn lenient_limiter(&self, local: Arc<dyn RateLimiter>) -> Arc<dyn RateLimiter> {
        let redis = Arc::clone(&self.0.limiter);
        Arc::new(LenientRateLimiter::new(redis, local))
    }

    /// The presence leases.
    pub fn presence(&self) -> Arc<dyn PresenceStore> {
        Arc::clone(&self.0.presence) as _
    }

    /// Turns at queues that instances work on at the same time.
    pub fn turns(&self) -> Arc<dyn Turns> {
        Arc::clone(&self.0.turns) as _
    }

    /// How many calls have waited in vain for an answer. While Redis stands still only those do that
    /// were on their way: later ones fail at once, until a probe has found it there again.
    pub fn timeouts(&self) -> u64 {
        self.0.servers.timeouts()
    }

    /// How many events came from other instances that this version does not know.
    pub fn unknown_events(&self) -> u64 {
        self.0.bus.unknown_events()
    }
}
