//! The contract suites over Redis: one server, a Cluster, and a primary that a Sentinel names.
//!
//! Tests share their servers, and have a key prefix of their own each.

#![expect(
    clippy::unwrap_used,
    reason = "a fixture that cannot be made fails the test"
)]

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use talksy_domain::auth::CodeStore;
use talksy_domain::clock::{Clock, Entropy as _, SystemClock, SystemEntropy};
use talksy_domain::presence::PresenceStore;
use talksy_redis::{RedisAdapters, RedisOptions};
use talksy_tests::clock::TestClock;
use talksy_tests::contract::bus::Buses;
use talksy_tests::contract::limits::Limits;
use talksy_tests::contract_suite;
use talksy_tests::servers::redis::{RedisCluster, RedisSentinel, RedisServer};
use tokio::sync::OnceCell;

contract_suite!(
    redis: codes = codes(standalone().await),
    limits = limits(standalone().await),
    presence = presence(standalone().await),
    bus = buses(standalone().await).await,
);
contract_suite!(
    redis_cluster: codes = codes(cluster().await),
    limits = limits(cluster().await),
    presence = presence(cluster().await),
    bus = buses(cluster().await).await,
);
contract_suite!(
    redis_sentinel: codes = codes(sentinel().await),
    presence = presence(sentinel().await),
    bus = buses(sentinel().await).await,
);

async fn standalone() -> SecretString {
    static SERVER: OnceCell<RedisServer> = OnceCell::const_new();
    SERVER.get_or_init(RedisServer::start).await.url()
}

async fn cluster() -> SecretString {
    static SERVERS: OnceCell<RedisCluster> = OnceCell::const_new();
    SERVERS.get_or_init(RedisCluster::start).await.url()
}

async fn sentinel() -> SecretString {
    static SERVERS: OnceCell<RedisSentinel> = OnceCell::const_new();
    SERVERS.get_or_init(RedisSentinel::start).await.url()
}

/// Options with a prefix that nobody has yet.
fn options() -> RedisOptions {
    let mut bytes = [0; 8];
    SystemEntropy.fill(&mut bytes);
    RedisOptions::new(format!("t{:x}:", u64::from_le_bytes(bytes)), 1_024)
}

fn open(url: &SecretString, clock: Arc<dyn Clock>, options: &RedisOptions) -> RedisAdapters {
    RedisAdapters::open(url, clock, options).unwrap()
}

fn codes(url: SecretString) -> Arc<dyn CodeStore> {
    open(&url, Arc::new(SystemClock), &options()).codes()
}

fn presence(url: SecretString) -> Arc<dyn PresenceStore> {
    open(&url, Arc::new(SystemClock), &options()).presence()
}

fn limits(url: SecretString) -> Limits {
    let clock = Arc::new(TestClock::default());
    Limits {
        limiter: open(&url, Arc::clone(&clock) as _, &options()).limiter(),
        period: Duration::from_mins(1),
        advance: Box::new(move |by| {
            clock.advance(by);
            Box::pin(std::future::ready(()))
        }),
    }
}

/// Two instances.
async fn buses(url: SecretString) -> Buses {
    let options = options();
    let instance = async || {
        let adapters = open(&url, Arc::new(SystemClock), &options);
        adapters.prepare().await.unwrap();
        adapters.start();
        adapters.bus()
    };
    Buses {
        here: instance().await,
        there: instance().await,
    }
}
