//! Connecting to the broker.

use std::fmt;
use std::time::Duration;

use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, ErrorKind};
use secrecy::{ExposeSecret as _, SecretString};

/// Why the broker did not do its part.
#[derive(Debug, thiserror::Error)]
pub enum AmqpError {
    /// It refused, or the connection broke.
    #[error("RabbitMQ failed")]
    Broker(#[from] lapin::Error),
    /// It did not answer in time.
    #[error("RabbitMQ did not answer within {0:?}")]
    TimedOut(Duration),
    /// It did not take charge of a message.
    #[error("RabbitMQ did not accept the message: {0}")]
    NotConfirmed(&'static str),
}

impl AmqpError {
    /// Whether trying again is in vain: wrong credentials, or no such virtual host.
    pub fn is_fatal(&self) -> bool {
        let Self::Broker(error) = self else {
            return false;
        };
        match error.kind() {
            // 403 ACCESS_REFUSED, 530 NOT_ALLOWED.
            ErrorKind::ProtocolError(error) => matches!(error.get_id(), 403 | 530),
            ErrorKind::AuthProviderError(_) | ErrorKind::InvalidProtocolVersion(_) => true,
            _ => false,
        }
    }
}

/// The AMQP URL is not one. The error does not repeat it: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the AMQP URL must be like `amqp://user:password@rabbitmq:5672/%2f`, or `amqps://…`")]
pub struct InvalidAmqpUrl;

/// Knows where the broker is.
#[derive(Clone)]
pub(super) struct Connector {
    uri: AMQPUri,
    name: &'static str,
    pub(super) timeout: Duration,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("host", &self.uri.authority.host)
            .field("port", &self.uri.authority.port)
            .finish_non_exhaustive()
    }
}

impl Connector {
    /// Nothing is connected yet. `name` is what the broker's management shows.
    pub(super) fn new(
        url: &SecretString,
        name: &'static str,
        timeout: Duration,
    ) -> Result<Self, InvalidAmqpUrl> {
        let mut uri: AMQPUri = url.expose_secret().parse().map_err(|_| InvalidAmqpUrl)?;
        // A broker that hangs is noticed by its silence.
        uri.query.heartbeat.get_or_insert(10);
        Ok(Self { uri, name, timeout })
    }

    pub(super) async fn connect(&self) -> Result<Connection, AmqpError> {
        let properties = ConnectionProperties::default().with_connection_name(self.name.into());
        self.within(Connection::connect_uri(self.uri.clone(), properties))
            .await
    }

    /// Waits for the broker as long as it may take.
    pub(super) async fn within<T>(
        &self,
        answer: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, AmqpError> {
        within(self.timeout, answer).await
    }
}

pub(super) async fn within<T>(
    timeout: Duration,
    answer: impl Future<Output = lapin::Result<T>>,
) -> Result<T, AmqpError> {
    match tokio::time::timeout(timeout, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_elapsed) => Err(AmqpError::TimedOut(timeout)),
    }
}
