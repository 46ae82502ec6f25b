//! Every section of the configuration: a setting's name, type, default, bounds, rules and
//! documentation, each said here and nowhere else.

mod attachments;
mod auth;
mod backends;
mod http;
mod live;
mod process;

pub use attachments::{AttachmentsConfig, ObjectsConfig};
pub use auth::{AuthConfig, LimitsConfig, UsersConfig};
pub use backends::{AmqpConfig, MailConfig, RedisConfig, StoreConfig};
pub use http::{DocumentsConfig, HttpConfig, QueryLimits, ShareLimits, WebSocketLimits};
pub use live::{ChatsConfig, LiveConfig, PresenceConfig};
pub use process::{
    JobsConfig, LogConfig, MetricsConfig, ShutdownConfig, StartConfig, TelemetryConfig,
};
