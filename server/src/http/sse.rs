//! GraphQL over Server-Sent Events, "distinct connections" mode: one operation, one response
//! that goes on. For a client that reads slowly nothing is made, so nothing piles up; one that does
//! not read at all is given up (see `open_stream`).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use http::{HeaderValue, StatusCode};
use talksy_domain::error::ApiError;
use tokio::time::{Instant, Sleep};

use super::Transports;
use super::client::Caller;
use super::media::Media;
use super::observe;
use super::open_stream::OpenStream;
use super::reply;
use crate::graphql::response::error_payload;
use crate::graphql::{Encoded, Payload, Prepared, RequestId, metering};

/// Opens the stream, and keeps it open.
const COMMENT: Bytes = Bytes::from_static(b":\n\n");
/// The data line lets browsers' `EventSource` dispatch the event.
const COMPLETE: Bytes = Bytes::from_static(b"event: complete\ndata:\n\n");
/// One response, then the end.
pub(super) fn single(encoded: Encoded) -> Response {
    let parts = [next(&encoded.body), COMPLETE];
    respond(Body::from_stream(stream::iter(
        parts.map(Ok::<_, Infallible>),
    )))
}

/// The payloads of a subscription, until it ends, the token expires, the session is revoked or
/// the server stops. On a stop there is no `complete`, so that the client comes back.
pub(super) fn subscription(
    server: &Arc<Transports>,
    prepared: Prepared,
    caller: &Caller,
    media: Media,
) -> Response {
    let open = match OpenStream::open(server, caller, "sse") {
        Ok(open) => open,
        Err(bound) => return bound.reply(media),
    };
    let id = RequestId::current().unwrap_or_else(|| observe::new_id(server));
    let feed = Feed {
        payloads: subscribe(server, prepared, id.clone()),
        id,
        open,
        keep_alive: Box::pin(tokio::time::sleep(server.config.sse_keep_alive)),
        pause: server.config.sse_keep_alive,
        ending: false,
    };
    let events = stream::unfold(feed, |mut feed| async move {
        let event = feed.event().await?;
        Some((Ok::<_, Infallible>(event), feed))
    });
    respond(Body::from_stream(stream::iter([Ok(COMMENT)]).chain(events)))
}

/// Runs a subscription, watched.
pub(super) fn subscribe(
    server: &Transports,
    prepared: Prepared,
    id: RequestId,
) -> BoxStream<'static, Payload> {
    let operation = prepared.operation.clone();
    let names = Arc::clone(&server.names);
    metering::subscription(names, &operation, id, || server.app.subscribe(prepared))
}

fn respond(body: Body) -> Response {
    let mut response = reply::uncached(StatusCode::OK, Media::EventStream.content_type(), body);
    // nginx buffers whole responses otherwise.
    response
        .headers_mut()
        .insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// A running subscription.
struct Feed {
    payloads: BoxStream<'static, Payload>,
    id: RequestId,
    open: OpenStream,
    keep_alive: Pin<Box<Sleep>>,
    pause: Duration,
    /// The last event was sent.
    ending: bool,
}

impl Feed {
    async fn event(&mut self) -> Option<Bytes> {
        if self.ending {
            return None;
        }
        let event = tokio::select! {
            biased;
            refusal = self.open.ended() => {
                self.ending = true;
                let refusal = refusal?;
                self.id.within(|| refused(&refusal))
            }
            payload = self.payloads.next() => match payload {
                Some(Payload::Next(response)) => next(&response),
                Some(Payload::Error(errors)) => {
                    self.ending = true;
                    last(&errors)
                }
                None => {
                    self.ending = true;
                    COMPLETE
                }
            },
            () = &mut self.keep_alive => COMMENT,
        };
        self.keep_alive.as_mut().reset(Instant::now() + self.pause);
        Some(event)
    }
}

/// The last event of a stream that is refused from now on.
fn refused(refusal: &ApiError) -> Bytes {
    match error_payload(refusal) {
        Payload::Next(errors) | Payload::Error(errors) => last(&errors),
    }
}

fn next(json: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(json.len() + 32);
    event.extend_from_slice(b"event: next\n");
    // Payloads are one line; should one not be, each line is its own `data` field.
    for line in json.split(|byte| *byte == b'\n') {
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(line);
        event.put_u8(b'\n');
    }
    event.put_u8(b'\n');
    event.freeze()
}

/// Errors as a response, and the end.
fn last(errors: &[u8]) -> Bytes {
    let mut response = BytesMut::with_capacity(errors.len() + 16);
    response.extend_from_slice(b"{\"errors\":");
    response.extend_from_slice(errors);
    response.put_u8(b'}');
    let mut event = BytesMut::from(&next(&response)[..]);
    event.extend_from_slice(&COMPLETE);
    event.freeze()
}
