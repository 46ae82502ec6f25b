//! The configuration: what may be set, from where, and what each setting must satisfy.
//!
//! Four sources, each over the one before: the built-in defaults, `talksy.toml`, the environment
//! (`TALKSY_*`, a `__` between section and setting) and the command line. A name that is no
//! setting is an error, and every problem is reported at once, before anything is opened or
//! connected. Secrets appear neither in `Debug` output, nor in errors, nor in
//! `talksy check-config`.
//!
//! This module knows no other of this crate: it says what was asked for, not what comes of it.
//! Who needs a setting takes it from here, or gets it from `app` and `adapters`, which put the
//! server together.
//!
//! # To add a setting or a limit
//! 1. Declare it in its section, in `config/sections/*.rs` (what belongs to none is in this file):
//!    comment, name, type, default, bounds and rules; `section!` documents the form. The struct,
//!    the default, the check, `TALKSY_*`, `--set` and `check-config` follow.
//! 2. Run `make example`, which writes `talksy.example.toml`.
//! 3. Use it. The transports have their sections at hand. What the domain needs goes into its
//!    policy (`AuthPolicy`, `FeedPolicy` …) by way of `app/policies.rs`, what an adapter needs into
//!    its options by way of `adapters/mod.rs`; both fail to compile where it is forgotten.
//!
//! A new type of setting gets its form and bounds in `config/value.rs`, a new section its line in
//! [`Config`].

mod duration;
mod example;
mod layers;
mod problem;
mod read;
mod section;
mod sections;
#[cfg(test)]
mod tests;
mod tree;
mod value;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;
use talksy_mail_worker::transport::shows_credentials;

pub use layers::{DEFAULT_FILE, ENV_PREFIX, Sources};
pub use problem::{ConfigError, Problem};
pub use section::{SectionInfo, SettingInfo};
pub use sections::{
    AmqpConfig, AttachmentsConfig, AuthConfig, ChatsConfig, DocumentsConfig, HttpConfig,
    JobsConfig, LimitsConfig, LiveConfig, LogConfig, MailConfig, MetricsConfig, ObjectsConfig,
    PresenceConfig, QueryLimits, RedisConfig, ShareLimits, ShutdownConfig, StartConfig,
    StoreConfig, TelemetryConfig, UsersConfig, WebSocketLimits,
};
pub use values::{Directory, Introspection, LogFormat, Mailbox, Quota, SignUp, StoreLocation};

use problem::Problems;
use section::{Section as _, section};
use values::{
    NoStore, is_amqp_url, is_bucket_url, is_elsewhere, is_public_url, is_redis_url, is_smtp_url,
};

/// The usual name of the file of signing keys, in the data directory.
pub const KEY_FILE: &str = "keys.json";

/// The usual name of the embedded database, in the data directory.
const DATABASE_FILE: &str = "talksy.db";

section! {
    /// Every setting of the server. Made by [`Config::load`], or [`Config::default`] for a test.
    pub struct Config {
        /// The address and port that the server binds. Port 0 lets the system choose;
        /// `0.0.0.0:4000` lets other machines connect.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 4000));
        /// The `http(s)` URL that clients reach the server by, where it is not the bound address:
        /// behind a proxy, say.
        public_url: Option<String> = None, such as "https://chat.example.org",
            must "be a URL such as `https://chat.example.org`" =>
                |config| config.public_url.as_deref().is_none_or(is_public_url);
        /// The directory that holds all that the server keeps: the embedded database, the keys,
        /// the mail outbox. Made when absent, for the server's user alone.
        data_dir: PathBuf = PathBuf::from("data"),
            must "name a directory" => |config| !config.data_dir.as_os_str().is_empty();
        /// The file of the keys that access tokens are signed with. All instances need the same
        /// one: a shared volume, or a mounted secret. Without it: `keys.json` in `data_dir`.
        keys_file: Option<PathBuf> = None, such as "/run/secrets/talksy/keys.json";
        /// The store: an SQLite file, or `mongodb://user:password@host/database` for several
        /// instances. Without it: `talksy.db` in `data_dir`.
        store_url: Option<SecretString> = None, such as "sqlite:data/talksy.db",
            must "begin with `sqlite:` or `mongodb://`" =>
                |config| config.no_store() != Some(NoStore::Scheme),
            must "name a file and no more, as in `sqlite:data/talksy.db`" =>
                |config| config.no_store() != Some(NoStore::File);
        /// The mail server, which a server that others can connect to needs, unless a worker sends
        /// its mail (`amqp_url`): `smtps://` for TLS from the first byte, `smtp://…?tls=required` for
        /// STARTTLS; without either all goes in the clear. It may hold a password: consider giving
        /// it as `TALKSY_SMTP_URL`. Without it mails are written as `.eml` files to `outbox` in
        /// `data_dir`; sign-in codes go to the log where nobody else reaches the server, by `listen`,
        /// `public_url` and `http.trusted_proxies`.
        smtp_url: Option<SecretString> = None,
            such as "smtps://user:password@mail.example.org",
            must "be a URL such as `smtps://user:password@mail.example.org`" =>
                |config| config.smtp_url.as_ref().is_none_or(is_smtp_url),
            must "be set where `listen` is no loopback address, unless `amqp_url` is or `mail.outbox` is true" =>
                |config| config.sends_mail() || config.is_loopback() || config.mail.outbox,
            must "not have a password where TLS is not certain and the mail server is another machine, unless `mail.plain_credentials` is true" =>
                |config| config.mail.plain_credentials
                    || !config.smtp_url.as_ref().is_some_and(shows_credentials);
        /// Redis, which several instances need for live events, sign-in codes, rate limits and
        /// presence. Also `redis+sentinel://host:26379/name` and `redis+cluster://host1,host2`;
        /// `rediss…` for TLS. Without it they are kept in this process.
        redis_url: Option<SecretString> = None, such as "redis://user:password@redis:6379",
            must "be a URL such as `redis://user:password@redis:6379`" =>
                |config| config.redis_url.as_ref().is_none_or(is_redis_url);
        /// RabbitMQ, which carries mail jobs to `talksy-mail-worker`; `amqps://` for TLS. Without
        /// it the server sends mail itself.
        amqp_url: Option<SecretString> = None,
            such as "amqp://user:password@rabbitmq:5672/%2f",
            must "be a URL such as `amqp://user:password@rabbitmq:5672/%2f`" =>
                |config| config.amqp_url.as_ref().is_none_or(is_amqp_url);
        /// Where the bytes of attachments are kept: a bucket of a store that speaks the protocol of
        /// Amazon S3, which several instances need unless they share `data_dir`. Without it: the folder
        /// `attachments` in `data_dir`.
        objects_url: Option<String> = None, such as "s3://talksy-attachments",
            must "be a URL such as `s3://bucket` or `s3://bucket/prefix`" =>
                |config| config.objects_url.as_deref().is_none_or(is_bucket_url);
    }
    with {
        http: HttpConfig,
        mail: MailConfig,
        auth: AuthConfig,
        limits: LimitsConfig,
        users: UsersConfig,
        chats: ChatsConfig,
        attachments: AttachmentsConfig,
        live: LiveConfig,
        presence: PresenceConfig,
        jobs: JobsConfig,
        store: StoreConfig,
        objects: ObjectsConfig,
        redis: RedisConfig,
        amqp: AmqpConfig,
        start: StartConfig,
        shutdown: ShutdownConfig,
        log: LogConfig,
        metrics: MetricsConfig,
        telemetry: TelemetryConfig,
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
        match self.problems() {
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
            return Ok(StoreLocation::Sqlite(self.data_dir.join(DATABASE_FILE)));
        };
        values::store_location(url).map_err(|_| {
            let mut problems = self.problems();
            problems.retain(|problem| problem.setting == "store_url");
            ConfigError { problems }
        })
    }

    /// Whether only this machine can connect to the server.
    pub fn is_loopback(&self) -> bool {
        self.listen.ip().to_canonical().is_loopback()
    }

    /// Whether others than this machine reach the server: it listens for them, or a proxy does.
    pub fn is_public(&self) -> bool {
        !self.is_loopback()
            || self.public_url.as_deref().is_some_and(is_elsewhere)
            || !self.http.trusted_proxies.is_empty()
    }

    /// Whether sign-in codes are written where the process writes, as nobody is mailed and only this machine
    /// reaches the server.
    pub fn shows_codes(&self) -> bool {
        !self.sends_mail() && !self.is_public()
    }

    /// Whether mail leaves this machine, or goes to a worker.
    fn sends_mail(&self) -> bool {
        self.smtp_url.is_some() || self.amqp_url.is_some()
    }

    /// What the settings allow and an operator should know of, each in a sentence.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let is_open = self.auth.sign_up == SignUp::Open;
        if self.is_public() && is_open && self.users.directory.is_none() {
            warnings.push(
                "`users.directory` is not set and anybody may sign up (`auth.sign_up`): so anybody \
                 may list all users by name, and the name of a new account is the part of its mail \
                 address before the `@`. Choose `users.directory`: `everyone`, `shared_chats` or \
                 `off`."
                    .to_owned(),
            );
        }
        if self.is_public() && !self.sends_mail() {
            warnings.push(
                "Others reach the server, and neither `smtp_url` nor `amqp_url` is set: mails are \
                 written to files, and nobody is sent a sign-in code."
                    .to_owned(),
            );
        }
        warnings
    }

    /// Every broken bound and rule.
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        self.check("", &mut problems);
        problems.into_vec()
    }

    /// The configuration as TOML, secrets redacted: a `talksy.toml` that says everything.
    ///
    /// # Errors
    /// Where a value has no form in TOML: a path that is not UTF-8.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// Every section with its settings, as they are declared.
    pub fn describe() -> Vec<SectionInfo> {
        let mut sections = Vec::new();
        <Self as section::Section>::describe("", &mut sections);
        sections
    }

    /// The example file: every setting with its documentation and its default.
    pub fn example() -> String {
        example::render(&Self::describe())
    }

    fn no_store(&self) -> Option<NoStore> {
        let url = self.store_url.as_ref()?;
        values::store_location(url).err()
    }
}
