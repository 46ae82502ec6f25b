//! RabbitMQ as the mail queue. What it is made of stands with the worker, which shares it.

use async_trait::async_trait;
use talksy_mail_worker::amqp::{AmqpError, AmqpQueue};
use talksy_schema::error::chain;

use super::backend::{Backend, NotReady};

#[async_trait]
impl Backend for AmqpQueue {
    fn name(&self) -> &'static str {
        "RabbitMQ"
    }

    async fn prepare(&self) -> Result<(), NotReady> {
        self.connect().await.map_err(|error| {
            let reason = chain(&error);
            if error.is_fatal() {
                NotReady::Ever(format!("check `amqp_url`: {reason}"))
            } else {
                NotReady::Yet(reason)
            }
        })
    }

    async fn ping(&self) -> Result<(), String> {
        self.connect()
            .await
            .map_err(|error: AmqpError| chain(&error))
    }

    async fn close(&self) {
        Self::close(self).await;
    }
}
