//! The configuration: what may be set, from where, and what each setting must satisfy.
//!
//! Four sources, each over the one before: the built-in defaults, `talksy.toml`, the environment
//! (`TALKSY_*`, a `__` between section and setting) and the command line. A name that is no
//! setting is an error, and every problem is reported at once, before anything is opened or
//! connected. Secrets appear neither in `Debug` output, nor in errors, nor in
//! `talksy check-config`.
//!
//! This module knows no adapter: it says what was asked for, not what comes of it.

pub mod duration;
mod layers;
mod policies;
mod problem;
mod read;
mod sections;
#[cfg(test)]
mod tests;
mod tree;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::http::HttpConfig;
use crate::keys::KEY_FILE;

pub use layers::{DEFAULT_FILE, ENV_PREFIX, Sources};
pub use problem::{ConfigError, Problem, Problems};
pub use sections::{
    AmqpConfig, AuthConfig, LimitsConfig, LiveConfig, LogConfig, LogFormat, MailConfig,
    MetricsConfig, PresenceConfig, Quota, RedisConfig, ShutdownConfig, StartConfig, StoreConfig,
    TelemetryConfig,
};
pub use values::{Mailbox, StoreLocation};

/// Every setting of the server. Made by [`Config::load`], or [`Config::default`] for a test.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address and port that the server binds. Port 0 lets the system choose.
    /// Default: `127.0.0.1:4000`, which only this machine reaches.
    #[serde(deserialize_with = "listen")]
    pub listen: SocketAddr,
    /// The `http(s)` URL that clients reach the server by, where it is not the bound address:
    /// behind a proxy, say. Default: none.
    pub public_url: Option<String>,
    /// The directory that holds all that the server keeps: the embedded database, the keys, the
    /// mail outbox. Made when absent, for the server's user alone. Default: `./data`.
    pub data_dir: PathBuf,
    /// The file of the keys that access tokens are signed with. All instances need the same one:
    /// a shared volume, or a mounted secret. Default: `keys.json` in `data_dir`.
    pub keys_file: Option<PathBuf>,
    /// The store: `sqlite:<file>`, or `mongodb://user:password@host/database` for several
    /// instances. Default: `talksy.db` in `data_dir`.
    #[serde(serialize_with = "values::redacted")]
    pub store_url: Option<SecretString>,
    /// The mail server: `smtp://user:password@host:587?tls=required` for STARTTLS, or `smtps://`
    /// for TLS from the first byte; without either all goes in the clear. Default: none; mails are written as `.eml` files to `outbox` in `data_dir`.
    #[serde(serialize_with = "values::redacted")]
    pub smtp_url: Option<SecretString>,
    /// Redis, which several instances need for live events, sign-in codes, rate limits and
    /// presence: `redis://`, `rediss://`, `redis+sentinel://` or `redis+cluster://`. Default:
    /// none; they are kept in this process.
    #[serde(serialize_with = "values::redacted")]
    pub redis_url: Option<SecretString>,
    /// RabbitMQ, which carries mail jobs to `talksy-mail-worker`:
    /// `amqp://user:password@host:5672/%2f`, or `amqps://`. Default: none; the server sends mail
    /// itself.
    #[serde(serialize_with = "values::redacted")]
    pub amqp_url: Option<SecretString>,
    /// The transports: HTTP, event streams and WebSockets.
    pub http: HttpConfig,
    /// How mail is sent.
    pub mail: MailConfig,
    /// Signing in and the life of tokens.
    pub auth: AuthConfig,
    /// Rate limits.
    pub limits: LimitsConfig,
    /// Live feeds.
    pub live: LiveConfig,
    /// Who is online.
    pub presence: PresenceConfig,
    /// The embedded store.
    pub store: StoreConfig,
    /// How Redis is used.
    pub redis: RedisConfig,
    /// How RabbitMQ is used.
    pub amqp: AmqpConfig,
    /// How the process starts.
    pub start: StartConfig,
    /// How the process stops.
    pub shutdown: ShutdownConfig,
    /// What is logged, and how.
    pub log: LogConfig,
    /// Where metrics are served.
    pub metrics: MetricsConfig,
    /// Where traces go.
    pub telemetry: TelemetryConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4000)),
            public_url: None,
            data_dir: PathBuf::from("data"),
            keys_file: None,
            store_url: None,
            smtp_url: None,
            redis_url: None,
            amqp_url: None,
            http: HttpConfig::default(),
            mail: MailConfig::default(),
            auth: AuthConfig::default(),
            limits: LimitsConfig::default(),
            live: LiveConfig::default(),
            presence: PresenceConfig::default(),
            store: StoreConfig::default(),
            redis: RedisConfig::default(),
            amqp: AmqpConfig::default(),
            start: StartConfig::default(),
            shutdown: ShutdownConfig::default(),
            log: LogConfig::default(),
            metrics: MetricsConfig::default(),
            telemetry: TelemetryConfig::default(),
        }
    }
}

impl Config {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem of every source.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        layers::load(sources)
    }

    /// Checks every rule that a type alone does not ensure.
    ///
    /// # Errors
    /// [`ConfigError`] with every broken rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        self.check(&mut problems);
        match problems.into_vec() {
            problems if problems.is_empty() => Ok(()),
            problems => Err(ConfigError { problems }),
        }
    }

    /// Where the keys are.
    pub fn keys_path(&self) -> PathBuf {
        match &self.keys_file {
            Some(path) => path.clone(),
            None => self.data_dir.join(KEY_FILE),
        }
    }

    /// Where the store is.
    ///
    /// # Errors
    /// [`ConfigError`] where `store_url` names no store that this build has an adapter for.
    pub fn store_location(&self) -> Result<StoreLocation, ConfigError> {
        let Some(url) = &self.store_url else {
            return Ok(StoreLocation::Sqlite(self.data_dir.join("talksy.db")));
        };
        values::store_location(url).map_err(|rule| {
            let mut problems = Problems::default();
            problems.add("store_url", rule);
            ConfigError {
                problems: problems.into_vec(),
            }
        })
    }

    /// The configuration as TOML, secrets redacted: a `talksy.toml` that says everything.
    ///
    /// # Errors
    /// Where a value has no form in TOML: a path that is not UTF-8.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    fn check(&self, problems: &mut Problems) {
        if let Some(url) = &self.public_url
            && !is_public_url(url)
        {
            problems.add(
                "public_url",
                "must be a URL such as `https://chat.example.org`",
            );
        }
        if self.data_dir.as_os_str().is_empty() {
            problems.add("data_dir", "must name a directory");
        }
        if let Some(Err(rule)) = self.store_url.as_ref().map(values::store_location) {
            problems.add("store_url", rule);
        }
        if let Some(url) = &self.smtp_url
            && !is_smtp_url(url)
        {
            problems.add(
                "smtp_url",
                "must be a URL such as `smtps://user:password@mail.example.org`",
            );
        }
        if let Some(url) = &self.redis_url
            && !names_scheme(url, &["redis", "rediss"])
        {
            problems.add(
                "redis_url",
                "must be a URL such as `redis://user:password@redis:6379`",
            );
        }
        if let Some(url) = &self.amqp_url
            && !is_amqp_url(url)
        {
            problems.add(
                "amqp_url",
                "must be a URL such as `amqp://user:password@rabbitmq:5672/%2f`",
            );
        }
        self.http.validate(problems);
        self.auth.validate(problems);
        self.limits.validate(problems);
        self.live.validate(problems);
        self.presence.validate(problems);
        self.store.validate(problems);
        self.redis.validate(problems);
        self.amqp.validate(problems);
        self.start.validate(problems);
        self.shutdown.validate(problems);
        self.log.validate(problems);
        self.telemetry.validate(problems);
    }
}

fn is_public_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

fn is_smtp_url(text: &SecretString) -> bool {
    names_host(text, &["smtp", "smtps"])
}

fn is_amqp_url(text: &SecretString) -> bool {
    names_host(text, &["amqp", "amqps"])
}

/// Whether the URL's scheme is one of these, with any kind of deployment behind a `+`. The
/// adapter knows the rest of it.
fn names_scheme(text: &SecretString, schemes: &[&str]) -> bool {
    let scheme = text.expose_secret().split_once("://");
    scheme.is_some_and(|(scheme, _)| {
        let family = scheme.split_once('+').map_or(scheme, |(family, _)| family);
        schemes.contains(&family)
    })
}

fn names_host(text: &SecretString, schemes: &[&str]) -> bool {
    Url::parse(text.expose_secret()).is_ok_and(|url| {
        schemes.contains(&url.scheme()) && url.host_str().is_some_and(|host| !host.is_empty())
    })
}

fn listen<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    values::parsed(
        deserializer,
        "must be an IP address and port such as `127.0.0.1:4000`",
    )
}
