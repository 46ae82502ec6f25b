//! How an HTTP response that goes on is cut into pieces: Server-Sent Events of graphql-sse's
//! "distinct connections" mode, or the parts of Apollo's multipart protocol for subscriptions
//! (<https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol>).

use bytes::{BufMut as _, Bytes, BytesMut};

/// Opens an event stream, and keeps it open.
pub(super) const COMMENT: Bytes = Bytes::from_static(b":\n\n");
/// The data line lets browsers' `EventSource` dispatch the event.
const COMPLETE: Bytes = Bytes::from_static(b"event: complete\ndata:\n\n");

/// The delimiter of parts. Each part is sent with the one behind it: a client takes a part when it
/// has seen the next delimiter. (async-graphql's own writer sends it with the next part, so that each
/// event would come one late.)
const DELIMITER: Bytes = Bytes::from_static(b"\r\n--graphql");
/// Between a delimiter and the JSON of its part.
const PART: &[u8] = b"\r\ncontent-type: application/json\r\n\r\n";
/// A part that says nothing, and the delimiter behind it.
const HEARTBEAT: Bytes =
    Bytes::from_static(b"\r\ncontent-type: application/json\r\n\r\n{}\r\n--graphql");
/// Makes of the delimiter before it the last one.
const TERMINATOR: Bytes = Bytes::from_static(b"--\r\n");

/// A way to cut a response into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// `text/event-stream`.
    EventStream,
    /// `multipart/mixed` with `subscriptionSpec=1.0`.
    Multipart,
}

impl Framing {
    /// The `Content-Type` of the response.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::EventStream => "text/event-stream; charset=utf-8",
            Self::Multipart => "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0",
        }
    }

    /// Its name in metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::EventStream => "sse",
            Self::Multipart => "multipart",
        }
    }

    /// The first bytes, which tell the client that it is answered.
    pub(super) const fn opening(self) -> Bytes {
        match self {
            Self::EventStream => COMMENT,
            Self::Multipart => DELIMITER,
        }
    }

    /// What keeps an idle response open.
    pub(super) const fn keep_alive(self) -> Bytes {
        match self {
            Self::EventStream => COMMENT,
            Self::Multipart => HEARTBEAT,
        }
    }

    /// The operation has ended.
    pub(super) const fn complete(self) -> Bytes {
        match self {
            Self::EventStream => COMPLETE,
            Self::Multipart => TERMINATOR,
        }
    }

    /// A response of the operation.
    pub(super) fn next(self, response: &[u8]) -> Bytes {
        match self {
            Self::EventStream => event("next", response),
            Self::Multipart => part(&[b"{\"payload\":", response, b"}"]),
        }
    }

    /// The operation's errors (a JSON array), and its end.
    pub(super) fn failed(self, errors: &[u8]) -> Bytes {
        joined(&self.next(&of_errors(errors)), &self.complete())
    }

    /// Why the server ends an operation that has not failed (a JSON array of errors): not a response
    /// of the operation's, where the protocol tells the two apart.
    pub(super) fn refused(self, errors: &[u8]) -> Bytes {
        match self {
            Self::EventStream => self.failed(errors),
            Self::Multipart => {
                let errors = part(&[b"{\"payload\":null,\"errors\":", errors, b"}"]);
                joined(&errors, &TERMINATOR)
            }
        }
    }
}

/// An event with its name and data.
pub(super) fn event(name: &str, data: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(name.len() + data.len() + 32);
    event.extend_from_slice(b"event: ");
    event.extend_from_slice(name.as_bytes());
    event.put_u8(b'\n');
    // Payloads are one line; should one not be, each line is its own `data` field.
    for line in data.split(|byte| *byte == b'\n') {
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(line);
        event.put_u8(b'\n');
    }
    event.put_u8(b'\n');
    event.freeze()
}

/// A part with the delimiter behind it.
fn part(json: &[&[u8]]) -> Bytes {
    let length: usize = json.iter().map(|piece| piece.len()).sum();
    let mut part = BytesMut::with_capacity(PART.len() + length + DELIMITER.len());
    part.extend_from_slice(PART);
    for piece in json {
        part.extend_from_slice(piece);
    }
    part.extend_from_slice(&DELIMITER);
    part.freeze()
}

/// A response that has nothing but errors (a JSON array).
pub(super) fn of_errors(errors: &[u8]) -> Vec<u8> {
    [&b"{\"errors\":"[..], errors, b"}"].concat()
}

fn joined(first: &[u8], second: &[u8]) -> Bytes {
    [first, second].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_stream_is_cut_into_events() {
        let framing = Framing::EventStream;
        assert_eq!(
            framing.next(b"{\"data\":1}"),
            "event: next\ndata: {\"data\":1}\n\n"
        );
        assert_eq!(
            framing.failed(b"[7]"),
            "event: next\ndata: {\"errors\":[7]}\n\nevent: complete\ndata:\n\n"
        );
        assert_eq!(framing.refused(b"[7]"), framing.failed(b"[7]"));
        assert_eq!(event("x", b"a\nb"), "event: x\ndata: a\ndata: b\n\n");
    }

    #[test]
    fn a_multipart_response_is_whole_with_its_terminator() {
        let framing = Framing::Multipart;
        let body = [
            framing.opening(),
            framing.keep_alive(),
            framing.next(b"{\"data\":1}"),
            framing.complete(),
        ]
        .concat();
        assert_eq!(
            String::from_utf8(body).unwrap(),
            "\r\n--graphql\r\ncontent-type: application/json\r\n\r\n{}\
             \r\n--graphql\r\ncontent-type: application/json\r\n\r\n{\"payload\":{\"data\":1}}\
             \r\n--graphql--\r\n"
        );
        assert_eq!(
            framing.failed(b"[7]"),
            "\r\ncontent-type: application/json\r\n\r\n{\"payload\":{\"errors\":[7]}}\r\n--graphql--\r\n"
        );
        assert_eq!(
            framing.refused(b"[7]"),
            "\r\ncontent-type: application/json\r\n\r\n{\"payload\":null,\"errors\":[7]}\r\n--graphql--\r\n"
        );
    }
}
