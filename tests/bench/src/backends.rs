//! What shared backends cost: the same loads with a backend in place of the embedded one.
//!
//! Each figure stands beside the embedded one of the same round. A stand-in for MongoDB is never
//! measured: its speed says nothing about MongoDB. Two servers have to share a store, so where
//! there is no `mongod` they share the stand-in, and only their deliveries are shown.

use std::path::Path;

use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::account;
use super::http::Connection;
use super::options::{MOST, Plan};
use super::outcome::{Context as _, Outcome};
use super::process::Home;
use super::run::say;
use super::site::Site;
use super::stats::{Clock, Latency, Round, histogram};
use talksy_tests::servers::mongo::Mongo;
use talksy_tests::servers::rabbitmq::RabbitMq;
use talksy_tests::servers::redis::RedisServer;

/// Logins that are measured.
const LOGINS: usize = 300;

/// Rounds with each backend, side by side. Deliveries are those to 1,000 subscribers.
#[derive(Debug, Default, Serialize)]
pub(super) struct Backends {
    pub(super) embedded: Loads,
    /// SQLite, with Redis as the bus and for codes, limits and presence.
    pub(super) redis: Loads,
    /// The same with MongoDB for SQLite; empty where there is none.
    pub(super) mongo: Loads,
    /// Two servers on Redis and MongoDB or its stand-in, half of the subscribers at each. Sends
    /// are the store's, so there are none.
    pub(super) two: Loads,
    /// Whether MongoDB is a stand-in.
    pub(super) stand_in: bool,
    /// `login`, one at a time: the mail job in the process's own queue, and confirmed by RabbitMQ.
    pub(super) login_embedded: Latency,
    pub(super) login_rabbitmq: Latency,
}

/// The rounds of one set-up.
#[derive(Debug, Default, Serialize)]
pub(super) struct Loads {
    pub(super) sends: Vec<Round>,
    pub(super) deliveries: Vec<Round>,
}

/// Starts the backends, and servers on them.
pub(super) async fn measure(binary: &Path, plan: &Plan, clock: Clock) -> Outcome<Backends> {
    say("starting Redis, MongoDB and RabbitMQ");
    let (redis, mongo) = tokio::join!(RedisServer::start(), Mongo::start());
    let keys = tempfile::tempdir().context("cannot make a folder")?;
    let keys = keys.path().join("keys.json");
    // Each set-up has its own names in Redis, its own database and its own users.
    let on_redis = |name: &str| {
        vec![
            format!("redis_url={}", redis.url().expose_secret()),
            format!("redis.prefix={name}"),
        ]
    };
    let on_both = |name: &str| {
        let mut settings = on_redis(name);
        let store = mongo.url(name);
        settings.push(format!("store_url={}", store.expose_secret()));
        settings.push(format!("keys_file={}", keys.display()));
        settings
    };
    let home = |settings| Home::with(binary, settings);
    let mut out = Backends {
        stand_in: !Mongo::is_real(),
        ..Backends::default()
    };
    let mut embedded = Site::start(vec![home(Vec::new())?]).await?;
    let mut through_redis = Site::start(vec![home(on_redis("one"))?]).await?;
    let mut on_mongo = if out.stand_in {
        None
    } else {
        Some(Site::start(vec![home(on_both("mongo"))?]).await?)
    };
    let two = Site::start(vec![home(on_both("two"))?, home(on_both("two"))?]).await?;
    for round in 1..=plan.rounds {
        say(&format!("round {round} of {}: backends", plan.rounds));
        out.embedded.round(&mut embedded, plan, clock).await?;
        out.redis.round(&mut through_redis, plan, clock).await?;
        if let Some(on_mongo) = &mut on_mongo {
            out.mongo.round(on_mongo, plan, clock).await?;
        }
        let deliveries = two.deliveries(MOST, plan, clock).await?;
        out.two.deliveries.push(deliveries);
    }
    let sites = [embedded, through_redis, two].into_iter().chain(on_mongo);
    for site in sites {
        site.stop().await?;
    }
    say("logins");
    let rabbit = RabbitMq::start().await;
    out.login_embedded = logins(&home(Vec::new())?, clock).await?;
    let queued = vec![format!("amqp_url={}", rabbit.url().expose_secret())];
    out.login_rabbitmq = logins(&home(queued)?, clock).await?;
    Ok(out)
}

impl Loads {
    async fn round(&mut self, site: &mut Site, plan: &Plan, clock: Clock) -> Outcome<()> {
        self.sends.push(site.sends(plan, clock).await?);
        let deliveries = site.deliveries(MOST, plan, clock).await?;
        self.deliveries.push(deliveries);
        Ok(())
    }
}

/// How long `login` takes, one at a time, each of an address of its own.
async fn logins(home: &Home, clock: Clock) -> Outcome<Latency> {
    let (server, _) = home.start().await?;
    let mut connection = Connection::open(server.address).await?;
    let mut latency = histogram()?;
    for number in 0..LOGINS {
        let asked = clock.micros();
        account::login(&mut connection, &format!("login-{number}@bench.example")).await?;
        latency.record(clock.micros() - asked)?;
    }
    server.stop().await?;
    Ok(Latency::from(&latency))
}
