//! What stands behind the domain's ports. The configuration picks; one function knows how.

pub mod memory;
pub mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use talksy_mail_worker::MailWorker;
use talksy_mail_worker::queue::{InProcessQueue, QueueConsumer};
use talksy_mail_worker::transport::{FileTransport, SmtpTransport, Transport};
use talksy_schema::live::{Hub, LocalBus};
use talksy_schema::services::Ports;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::Environment;
use crate::config::{Config, ConfigError, StoreLocation};
use crate::keys::{KeyError, Keys};
use memory::{MemoryCodeStore, MemoryPresenceStore, MemoryRateLimiter};
use sqlite::{SqliteOptions, SqliteStore};
