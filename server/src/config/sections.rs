//! The sections of the configuration: each setting with its unit, range and default, and each
//! section with its own check.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use talksy_domain::limits;
use talksy_domain::mail::EmailAddress;
use tracing_subscriber::EnvFilter;
use url::Url;

use super::duration;
use super::problem::Problems;
use super::values::Mailbox;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// How mail is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailConfig {
    /// The sender of every mail. Default: `Talksy <no-reply@localhost>`.
    pub from: Mailbox,
    /// The file of the authorities, in PEM, that the mail server's certificate may come from.
    /// Default: none; it must come from a public one.
    pub smtp_ca_file: Option<PathBuf>,
}

/// Signing in and the life of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// How long an access token is valid; its socket closes then and the client refreshes.
    /// From 1 minute to 1 hour. Default: 10 minutes.
    #[serde(with = "duration")]
    pub access_token_ttl: Duration,
    /// How long a session lives after its last refresh. From 1 day to 365 days.
    /// Default: 30 days.
    #[serde(with = "duration")]
    pub session_ttl: Duration,
    /// How long a sign-in code is valid. From 1 minute to 1 hour. Default: 5 minutes.
    #[serde(with = "duration")]
    pub otp_ttl: Duration,
    /// How many wrong guesses a sign-in code survives. From 1 to 10. Default: 5.
    pub otp_tries: u8,
    /// The least time between two codes for one address. From 1 second to 1 hour, at most
    /// `otp_ttl`. Default: 60 seconds.
    #[serde(with = "duration")]
    pub otp_resend: Duration,
    /// How many verified access tokens are remembered, so that a token that comes again costs a
    /// lookup, not a signature check; about 300 bytes each. From 0 to 10,000,000.
    /// Default: 50,000.
    pub token_cache: u64,
}

impl AuthConfig {
    pub(super) fn validate(&self, problems: &mut Problems) {
        problems.span(
            "auth.access_token_ttl",
            self.access_token_ttl,
            MINUTE..=HOUR,
        );
        problems.span("auth.session_ttl", self.session_ttl, DAY..=365 * DAY);
        problems.span("auth.otp_ttl", self.otp_ttl, MINUTE..=HOUR);
        problems.range("auth.otp_tries", self.otp_tries, 1..=10);
        problems.span("auth.otp_resend", self.otp_resend, SECOND..=HOUR);
        if self.otp_resend > self.otp_ttl {
            problems.add("auth.otp_resend", "must not be longer than `auth.otp_ttl`");
        }
        problems.range("auth.token_cache", self.token_cache, 0..=10_000_000);
    }
}

/// How often something may happen: `burst` at once, refilled evenly over `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// How many may happen at once. From 1 to 1,000,000.
    pub burst: u32,
    /// The time in which a spent burst is whole again. From 1 second to 1 day.
    #[serde(with = "duration")]
    pub period: Duration,
}

impl Quota {
    const fn new(burst: u32, period: Duration) -> Self {
        Self { burst, period }
    }
}

impl From<Quota> for limits::Quota {
    fn from(quota: Quota) -> Self {
        Self {
            burst: quota.burst,
            period: quota.period,
        }
    }
}

/// Rate limits. Who goes over one gets `RATE_LIMITED` with the seconds to wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Sign-in codes asked for, an IP address. Default: 10 in 10 minutes.
    pub login_ip: Quota,
    /// Sign-in codes tried, an IP address. Default: 30 in 10 minutes.
    pub verify_ip: Quota,
    /// Sign-in codes tried, an e-mail address. Default: 20 in 1 hour.
    pub verify_address: Quota,
    /// Sessions refreshed, an IP address. Default: 60 in 1 minute.
    pub refresh_ip: Quota,
    /// Messages sent, a user. Default: 30 in 10 seconds.
    pub send: Quota,
    /// Typing signals, a user. Default: 20 in 10 seconds.
    pub typing: Quota,
    /// Chats started, a user. Default: 30 in 1 minute.
    pub start_chat: Quota,
}

impl LimitsConfig {
    pub(super) fn validate(&self, problems: &mut Problems) {
        let quotas = [
            ("login_ip", self.login_ip),
            ("verify_ip", self.verify_ip),
            ("verify_address", self.verify_address),
            ("refresh_ip", self.refresh_ip),
            ("send", self.send),
            ("typing", self.typing),
            ("start_chat", self.start_chat),
        ];
        for (name, quota) in quotas {
            problems.range(format!("limits.{name}.burst"), quota.burst, 1..=1_000_000);
            problems.span(format!("limits.{name}.period"), quota.period, SECOND..=DAY);
        }
    }
}

/// Live feeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveConfig {
    /// How many missed messages a resumed feed replays at most; beyond, it ends with
    /// `RESYNC_REQUIRED`. From 1 to 100,000. Default: 1,000.
    pub replay_limit: u32,
    /// How often the head of each followed chat is compared with the store.
    /// From 1 second to 10 minutes. Default: 30 seconds.
    #[serde(with = "duration")]
    pub heartbeat: Duration,
    /// How long a message that came too early waits for those before it until they are read from
    /// the store. From 0 to 1 second. Default: 25 milliseconds.
    #[serde(with = "duration")]
    pub reorder_grace: Duration,
    /// After how much silence a member is taken to have stopped typing.
    /// From 1 second to 1 minute. Default: 6 seconds.
    #[serde(with = "duration")]
    pub typing_timeout: Duration,
    /// How many undelivered events a subscription holds. One that falls further behind reads
    /// what it missed from the store. From 16 to 65,536. Default: 256.
    pub mailbox: usize,
}

impl LiveConfig {
    pub(super) fn validate(&self, problems: &mut Problems) {
        problems.range("live.replay_limit", self.replay_limit, 1..=100_000);
        problems.span("live.heartbeat", self.heartbeat, SECOND..=10 * MINUTE);
        problems.span(
            "live.reorder_grace",
            self.reorder_grace,
            Duration::ZERO..=SECOND,
        );
        problems.span("live.typing_timeout", self.typing_timeout, SECOND..=MINUTE);
        problems.range("live.mailbox", self.mailbox, 16..=65_536);
    }
}

/// Who is online.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresenceConfig {
    /// For how long a connection counts as present without a renewal: how late the end of a
    /// crashed instance's users is seen. It is renewed every third of it. From 5 seconds to 10 minutes. Default: 45 seconds.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// How long after its last connection a user still shows as online, so that a page reload
    /// does not flicker. From 0 to 1 minute, shorter than `lease`. Default: 3 seconds.
    #[serde(with = "duration")]
    pub grace: Duration,
    /// How often ended leases are looked for: how late an offline user is seen as such.
    /// From 100 milliseconds to 30 seconds. Default: 1 second.
    #[serde(with = "duration")]
    pub sweep: Duration,
}

impl PresenceConfig {
    pub(super) fn validate(&self, problems: &mut Problems) {
        problems.span("presence.lease", self.lease, 5 * SECOND..=10 * MINUTE);
        problems.span("presence.grace", self.grace, Duration::ZERO..=MINUTE);
        problems.span("presence.sweep", self.sweep, SECOND / 10..=30 * SECOND);
        if self.grace >= self.lease {
            problems.add("presence.grace", "must be shorter than `presence.lease`");
        }
    }
}

/// The embedded SQLite store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// How many connections read beside the one that writes. From 1 to 64. Default: 2.
    pub readers: usize,
    /// After how many pages of 4 KiB the write-ahead log is moved into the database.
    /// From 100 to 1,000,000. Default: 4,096.
    pub checkpoint_pages: u32,
}

impl StoreConfig {
    pub(super) fn validate(&self, problems: &mut Problems) {
        problems.range("store.readers", self.readers, 1..=64);
        problems.range(
            "store.checkpoint_pages",
            self.checkpoint_pages,
            100..=1_000_000,
        );
    }
}

/// How Redis is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// What all keys and channels begin with: deployments that share a Redis differ in it. 1 to
    /// 100 characters of letters, digits, `.`, `-`, `_` and `:`. Default: `talksy:`.
    pub prefix: String,
}

impl RedisConfig {
    pub(super) fn validate(&self, problems: &mut Problems) {
        if !is_name(&self.prefix) {
            problems.add("redis.prefix", NAME_RULE);
        }
    }
}

/// How RabbitMQ is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmqpConfig {
    /// What the queues' names start with; the worker's `--prefix`. 1 to 100 characters of
    /// letters, digits, `.`, `-`, `_` and `:`. Default: `talksy.mail`.
    pub prefix: String,
}

impl AmqpConfig {
    pub(super) fn validate(&self, problems: &mut Problems) {
        if !is_name(&self.prefix) {
            problems.add("amqp.prefix", NAME_RULE);
        }
    }
}

/// What a name on a backend looks like.
const NAME_RULE: &str = "must be 1 to 100 letters, digits, `.`, `-`, `_` or `:`";

fn is_name(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte))
}

/// How the process starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartConfig {
    /// How long backends that are not there yet are waited for, before the server gives up with
    /// exit code 1. From 1 second to 1 hour. Default: 2 minutes.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

impl StartConfig {
    pub(super) fn validate(&self, problems: &mut Problems) {
        problems.span("start.timeout", self.timeout, SECOND..=HOUR);
    }
}

/// How the process stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShutdownConfig {
    /// How long running requests may take to finish after SIGTERM. From 0 to 10 minutes.
    /// Default: 10 seconds.
    #[serde(with = "duration")]
    pub drain: Duration,
}

impl ShutdownConfig {
    pub(super) fn validate(&self, problems: &mut Problems) {
        problems.span("shutdown.drain", self.drain, Duration::ZERO..=10 * MINUTE);
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `pretty` on a terminal, `json` elsewhere.
    Auto,
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// `auto`, `pretty` or `json`. Default: `auto`.
    pub format: LogFormat,
    /// What is logged, in the syntax of `tracing_subscriber::EnvFilter`: `info`,
    /// `warn,talksy_server=debug`. Default: `info`.
    pub filter: String,
}

impl LogConfig {
    pub(super) fn validate(&self, problems: &mut Problems) {
        if EnvFilter::builder().parse(&self.filter).is_err() {
            problems.add(
                "log.filter",
                "must be a filter such as `info` or `warn,talksy_server=debug`",
            );
        }
    }
}

/// Where metrics are served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsConfig {
    /// The address and port of `/metrics` for Prometheus, with `/livez` and `/readyz` beside it:
    /// not the clients' one, so that clients do not reach it. Default: none; then nothing is
    /// counted.
    #[serde(default, deserialize_with = "optional_address")]
    pub listen: Option<SocketAddr>,
}

/// Where traces go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetryConfig {
    /// The base URL of an OpenTelemetry collector that takes OTLP over HTTP. Default: none; then
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` decides, and without that nothing is traced.
    pub otlp_endpoint: Option<String>,
}

impl TelemetryConfig {
    pub(super) fn validate(&self, problems: &mut Problems) {
        let is_base = |url: &str| {
            Url::parse(url).is_ok_and(|url| url.scheme() == "http" && url.query().is_none())
        };
        if self
            .otlp_endpoint
            .as_deref()
            .is_some_and(|url| !is_base(url))
        {
            problems.add(
                "telemetry.otlp_endpoint",
                "must be a URL such as `http://127.0.0.1:4318`",
            );
        }
    }
}

fn optional_address<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let address = Option::<String>::deserialize(deserializer)?;
    let parsed = address.map(|address| address.parse()).transpose();
    parsed.map_err(|_| D::Error::custom("must be an IP address and port such as `127.0.0.1:9464`"))
}

impl Default for MailConfig {
    #[expect(
        clippy::expect_used,
        reason = "a literal, and every test that loads the defaults reads it"
    )]
    fn default() -> Self {
        let address = EmailAddress::parse("no-reply@localhost").expect("an address");
        Self {
            from: Mailbox {
                name: Some("Talksy".to_owned()),
                address,
            },
            smtp_ca_file: None,
        }
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            access_token_ttl: 10 * MINUTE,
            session_ttl: 30 * DAY,
            otp_ttl: 5 * MINUTE,
            otp_tries: 5,
            otp_resend: MINUTE,
            token_cache: 50_000,
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            login_ip: Quota::new(10, 10 * MINUTE),
            verify_ip: Quota::new(30, 10 * MINUTE),
            verify_address: Quota::new(20, HOUR),
            refresh_ip: Quota::new(60, MINUTE),
            send: Quota::new(30, 10 * SECOND),
            typing: Quota::new(20, 10 * SECOND),
            start_chat: Quota::new(30, MINUTE),
        }
    }
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            replay_limit: 1_000,
            heartbeat: 30 * SECOND,
            reorder_grace: Duration::from_millis(25),
            typing_timeout: 6 * SECOND,
            mailbox: 256,
        }
    }
}

impl Default for PresenceConfig {
    fn default() -> Self {
        Self {
            lease: 45 * SECOND,
            grace: 3 * SECOND,
            sweep: SECOND,
        }
    }
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            prefix: "talksy:".to_owned(),
        }
    }
}

impl Default for AmqpConfig {
    fn default() -> Self {
        Self {
            prefix: "talksy.mail".to_owned(),
        }
    }
}

impl Default for StartConfig {
    fn default() -> Self {
        Self {
            timeout: 2 * MINUTE,
        }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            readers: 2,
            checkpoint_pages: 4_096,
        }
    }
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self { drain: 10 * SECOND }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            filter: "info".to_owned(),
        }
    }
}
