//! The two subprotocols as messages: `graphql-transport-ws`, and the older `graphql-ws` of
//! subscriptions-transport-ws. What they share is one engine; how they differ is here.

use std::borrow::Cow;

use axum::extract::ws::Utf8Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::graphql::operation::from_object;

/// A subprotocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `graphql-transport-ws`, of the graphql-ws library.
    Transport,
    /// `graphql-ws`, of the subscriptions-transport-ws library.
    Legacy,
}

/// A client's message.
#[derive(Debug)]
pub(super) enum Incoming<'a> {
    /// `connection_init`.
    Init(Option<&'a RawValue>),
    /// `ping`, to be answered with its payload.
    Ping(Option<&'a RawValue>),
    /// `pong`.
    Pong,
    /// `subscribe` or `start`.
    Subscribe {
        /// The operation's id, not empty.
        id: Cow<'a, str>,
        /// The request's parameters.
        payload: &'a RawValue,
    },
    /// `complete` or `stop`.
    Complete(Cow<'a, str>),
    /// `connection_terminate`.
    Terminate,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

/// `Option<Cow<str>>` would always copy.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Protocol {
    /// All that are spoken here.
    const ALL: [Self; 2] = [Self::Transport, Self::Legacy];

    /// The name in `Sec-WebSocket-Protocol`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Transport => "graphql-transport-ws",
            Self::Legacy => "graphql-ws",
        }
    }

    /// The subprotocol of this name in `Sec-WebSocket-Protocol`.
    pub(super) fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|protocol| protocol.name() == name)
    }

    /// Reads a message.
    ///
    /// # Errors
    /// What is wrong with it, as the reason of a 4400.
    pub(super) fn decode(self, text: &str) -> Result<Incoming<'_>, String> {
        let Envelope { kind, id, payload } =
            from_object(text).map_err(|error| format!("Invalid message: {error}"))?;
        let payload = payload.filter(|payload| payload.get() != "null");
        let id = || match id {
            Some(Text(id)) if !id.is_empty() => Ok(id),
            Some(_) => Err("The message's 'id' is empty".to_owned()),
            None => Err("The message has no 'id'".to_owned()),
        };
        match (self, &*kind) {
            (_, "connection_init") => Ok(Incoming::Init(payload)),
            (Self::Transport, "ping" | "pong")
                if payload.is_some_and(|payload| !payload.get().starts_with('{')) =>
            {
                Err(format!("The payload of '{kind}' must be an object"))
            }
            (Self::Transport, "ping") => Ok(Incoming::Ping(payload)),
            (Self::Transport, "pong") => Ok(Incoming::Pong),
            (Self::Transport, "subscribe") | (Self::Legacy, "start") => match payload {
                Some(payload) => Ok(Incoming::Subscribe { id: id()?, payload }),
                None => Err("The message has no 'payload'".to_owned()),
            },
            (Self::Transport, "complete") | (Self::Legacy, "stop") => Ok(Incoming::Complete(id()?)),
            (Self::Legacy, "connection_terminate") => Ok(Incoming::Terminate),
            (_, kind) => Err(format!("Invalid message type '{}'", cut(kind))),
        }
    }

    /// Whether operations may be sent before the acknowledgement, and wait for it. The older
    /// library's client does so.
    pub(super) const fn operations_wait_for_ack(self) -> bool {
        matches!(self, Self::Legacy)
    }

    /// Whether an operation whose id is in use replaces the one that runs.
    pub(super) const fn replaces_duplicates(self) -> bool {
        matches!(self, Self::Legacy)
    }

    /// Whether a client's `stop` is answered with `complete`.
    pub(super) const fn confirms_stop(self) -> bool {
        matches!(self, Self::Legacy)
    }

    /// The message that keeps the connection alive, beside WebSocket pings.
    pub(super) fn keep_alive(self) -> Option<Utf8Bytes> {
        (self == Self::Legacy).then_some(Utf8Bytes::from_static(r#"{"type":"ka"}"#))
    }

    /// The message that precedes the close when the connection is refused.
    pub(super) fn refusal(self, message: &str) -> Option<Utf8Bytes> {
        (self == Self::Legacy).then(|| {
            let message = json_string(message);
            format!(r#"{{"type":"connection_error","payload":{{"message":{message}}}}}"#).into()
        })
    }

    /// An operation's result up to its payload.
    pub(super) fn next_prefix(self, id: &str) -> Box<str> {
        let kind = match self {
            Self::Transport => "next",
            Self::Legacy => "data",
        };
        format!(r#"{{"id":{},"type":"{kind}","payload":"#, json_string(id)).into()
    }

    /// An operation's end by errors: a JSON array of them. The older protocol has one error.
    pub(super) fn error(self, id: &str, errors: &[u8]) -> Utf8Bytes {
        let errors = String::from_utf8_lossy(errors);
        let payload: &str = match self {
            Self::Transport => &errors,
            Self::Legacy => serde_json::from_str::<Vec<&RawValue>>(&errors)
                .ok()
                .and_then(|errors| errors.first().map(|error| error.get()))
                .unwrap_or(r#"{"message":"The operation failed."}"#),
        };
        format!(
            r#"{{"id":{},"type":"error","payload":{payload}}}"#,
            json_string(id)
        )
        .into()
    }
}

/// The acknowledgement.
pub(super) fn ack() -> Utf8Bytes {
    Utf8Bytes::from_static(r#"{"type":"connection_ack"}"#)
}

/// An operation's end.
pub(super) fn complete(id: &str) -> Utf8Bytes {
    format!(r#"{{"id":{},"type":"complete"}}"#, json_string(id)).into()
}

/// The answer to a `ping` message.
pub(super) fn pong(payload: Option<&RawValue>) -> Utf8Bytes {
    match payload {
        None => Utf8Bytes::from_static(r#"{"type":"pong"}"#),
        Some(payload) => format!(r#"{{"type":"pong","payload":{}}}"#, payload.get()).into(),
    }
}

/// A result's frame: one copy of the payload. `None` where the payload is no UTF-8.
pub(super) fn next(prefix: &str, payload: &[u8]) -> Option<Utf8Bytes> {
    let payload = std::str::from_utf8(payload).ok()?;
    let mut frame = String::with_capacity(prefix.len() + payload.len() + 1);
    frame.push_str(prefix);
    frame.push_str(payload);
    frame.push('}');
    Some(frame.into())
}

fn json_string(text: &str) -> String {
    // Writing a string to memory cannot fail.
    serde_json::to_string(text).unwrap_or_default()
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(64)]
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_are_not_of_the_protocol_are_refused_with_a_reason() {
        for (text, reason) in [
            (
                r#"{"type":"start","id":"1","payload":{}}"#,
                "Invalid message type 'start'",
            ),
            (
                r#"{"type":"subscribe","payload":{}}"#,
                "The message has no 'id'",
            ),
            (
                r#"{"type":"subscribe","id":"","payload":{}}"#,
                "The message's 'id' is empty",
            ),
            (
                r#"{"type":"ping","payload":[]}"#,
                "The payload of 'ping' must be an object",
            ),
            (
                r#"{"type":"pong","payload":"x"}"#,
                "The payload of 'pong' must be an object",
            ),
            (
                r#"{"type":"subscribe","id":"1","payload":null}"#,
                "The message has no 'payload'",
            ),
            (r#"{"type":"complete"}"#, "The message has no 'id'"),
        ] {
            assert_eq!(
                Protocol::Transport.decode(text).unwrap_err(),
                reason,
                "{text}"
            );
        }
        for text in [
            "nonsense",
            "[]",
            "{}",
            r#"{"type":7}"#,
            r#"{"type":"complete","id":7}"#,
        ] {
            let reason = Protocol::Transport.decode(text).unwrap_err();
            assert!(reason.starts_with("Invalid message: "), "{text}: {reason}");
        }
    }

    #[test]
    fn ids_are_escaped_in_frames() {
        assert_eq!(
            next(
                &Protocol::Transport.next_prefix("a\"b"),
                br#"{"data":null}"#
            )
            .unwrap()
            .as_str(),
            r#"{"id":"a\"b","type":"next","payload":{"data":null}}"#
        );
        assert_eq!(
            complete("ü\n").as_str(),
            r#"{"id":"ü\n","type":"complete"}"#
        );
    }

    #[test]
    fn the_older_protocol_has_one_error_where_the_newer_has_a_list() {
        let errors = br#"[{"message":"a"},{"message":"b"}]"#;
        assert_eq!(
            Protocol::Transport.error("1", errors).as_str(),
            r#"{"id":"1","type":"error","payload":[{"message":"a"},{"message":"b"}]}"#
        );
        assert_eq!(
            Protocol::Legacy.error("1", errors).as_str(),
            r#"{"id":"1","type":"error","payload":{"message":"a"}}"#
        );
    }
}
