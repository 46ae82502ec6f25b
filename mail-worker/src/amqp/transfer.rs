//! A confirmed, routed publication: the one way a job changes queues.

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection};

use super::connection::{AmqpError, Connector};

/// Counts the tries that have failed.
pub(super) const ATTEMPTS: &str = "x-talksy-attempts";
/// Says why a job is dead.
pub(super) const REASON: &str = "x-talksy-reason";
/// When a job died, in milliseconds since the Unix epoch.
pub(super) const DIED_AT: &str = "x-talksy-died-at";

/// Why the broker itself has set a job aside.
pub(super) const BROKERS_REASON: &str = "x-first-death-reason";

/// The trace that a job belongs to, as W3C Trace Context spells it.
pub(super) const TRACEPARENT: &str = "traceparent";

const PERSISTENT: u8 = 2;

/// A channel that confirms.
pub(super) async fn confirming(
    connector: &Connector,
    connection: &Connection,
) -> Result<Channel, AmqpError> {
    let channel = connector.within(connection.create_channel()).await?;
    let select = channel.confirm_select(ConfirmSelectOptions::default());
    connector.within(select).await?;
    Ok(channel)
}

/// What a job carries beside its body.
pub(super) fn properties(id: &str, headers: FieldTable) -> BasicProperties {
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(id.into())
        .with_headers(headers)
}

/// Puts a message into a queue. When it returns, the broker has it on disk.
pub(super) async fn publish(
    connector: &Connector,
    channel: &Channel,
    queue: &str,
    body: &[u8],
    properties: BasicProperties,
) -> Result<(), AmqpError> {
    // Unroutable messages come back, rather than being confirmed into nothing.
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let confirmed = async {
        let confirm = channel.basic_publish("".into(), queue.into(), options, body, properties);
        confirm.await?.await
    };
    match connector.within(confirmed).await? {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(_)) => Err(AmqpError::NotConfirmed("it has no such queue")),
        Confirmation::Nack(_) => Err(AmqpError::NotConfirmed("it refused")),
        Confirmation::NotRequested => Err(AmqpError::NotConfirmed("confirms are off")),
    }
}

/// A whole number among the headers.
pub(super) fn number(headers: Option<&FieldTable>, name: &str) -> Option<i64> {
    match headers?.inner().get(&ShortString::from(name))? {
        AMQPValue::LongLongInt(value) => Some(*value),
        AMQPValue::LongInt(value) => Some(i64::from(*value)),
        AMQPValue::LongUInt(value) => Some(i64::from(*value)),
        _ => None,
    }
}

/// A text among the headers.
pub(super) fn text(headers: Option<&FieldTable>, name: &str) -> Option<String> {
    match headers?.inner().get(&ShortString::from(name))? {
        AMQPValue::LongString(value) => Some(value.to_string()),
        AMQPValue::ShortString(value) => Some(value.to_string()),
        _ => None,
    }
}
