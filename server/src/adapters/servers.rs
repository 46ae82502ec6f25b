//! The adapters as backends of the process: their names, and what of their errors is worth
//! waiting for.

use async_trait::async_trait;
use talksy_domain::error::{PortError, chain};
use talksy_mail_worker::amqp::AmqpQueue;
use talksy_mongo::MongoStore;
use talksy_redis::RedisAdapters;
use talksy_sqlite::SqliteStore;

use super::backend::{Backend, NotReady, Store};

/// Tells what to wait for from what needs a hand, which is told the setting to look at.
fn not_ready(
    error: &(dyn std::error::Error + 'static),
    transient: bool,
    setting: &str,
) -> NotReady {
    let reason = chain(error);
    if transient {
        NotReady::Yet(reason)
    } else {
        NotReady::Ever(format!("{reason} (see `{setting}`)"))
    }
}

#[async_trait]
impl Backend for SqliteStore {
    fn name(&self) -> &'static str {
        "SQLite"
    }

    fn is_remote(&self) -> bool {
        false
    }

    async fn prepare(&self) -> Result<(), NotReady> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), String> {
        Self::ping(self).await.map_err(|error| chain(&error))
    }

    async fn close(&self) {
        Self::close(self).await;
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn calls(&self) -> u64 {
        Self::calls(self)
    }

    async fn renew_incarnation(&self) -> Result<(), PortError> {
        Self::renew_incarnation(self).await
    }
}

#[async_trait]
impl Backend for MongoStore {
    fn name(&self) -> &'static str {
        "MongoDB"
    }

    async fn prepare(&self) -> Result<(), NotReady> {
        let prepared = Self::prepare(self).await;
        prepared.map_err(|error| {
            if error.is_working() {
                return NotReady::Working(error.to_string());
            }
            not_ready(&error, error.is_transient(), "store_url")
        })
    }

    async fn ping(&self) -> Result<(), String> {
        Self::ping(self).await.map_err(|error| chain(&error))
    }

    async fn close(&self) {
        Self::close(self).await;
    }
}

#[async_trait]
impl Store for MongoStore {
    fn calls(&self) -> u64 {
        Self::calls(self)
    }

    async fn renew_incarnation(&self) -> Result<(), PortError> {
        Self::renew_incarnation(self).await
    }
}

#[async_trait]
impl Backend for RedisAdapters {
    fn name(&self) -> &'static str {
        "Redis"
    }

    async fn prepare(&self) -> Result<(), NotReady> {
        let prepared = Self::prepare(self).await;
        prepared.map_err(|error| not_ready(&error, error.is_transient(), "redis_url"))
    }

    async fn ping(&self) -> Result<(), String> {
        Self::ping(self).await
    }

    async fn close(&self) {
        Self::close(self).await;
    }
}

#[async_trait]
impl Backend for AmqpQueue {
    fn name(&self) -> &'static str {
        "RabbitMQ"
    }

    async fn prepare(&self) -> Result<(), NotReady> {
        let prepared = self.connect().await;
        prepared.map_err(|error| not_ready(&error, !error.is_fatal(), "amqp_url"))
    }

    async fn ping(&self) -> Result<(), String> {
        self.connect().await.map_err(|error| chain(&error))
    }

    async fn close(&self) {
        Self::close(self).await;
    }
}
