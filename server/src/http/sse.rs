//! GraphQL over Server-Sent Events, "distinct connections" mode: one operation, one response
//! that goes on. A client that reads slowly is not polled, so nothing piles up.

use std::any::Any;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderValue, StatusCode};
use talksy_domain::error::{ApiError, ErrorCode};
use talksy_domain::viewer::{Authentication, Viewer};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::Transports;
use super::client::Caller;
use super::media::Media;
use super::observe;
use super::reply::{self, Malformed};
use crate::graphql::response::error_payload;
use crate::graphql::{Encoded, Payload, Prepared, RequestId, metering};
use crate::metrics::Held;

/// Opens the stream, and keeps it open.
const COMMENT: Bytes = Bytes::from_static(b":\n\n");
/// The data line lets browsers' `EventSource` dispatch the event.
const COMPLETE: Bytes = Bytes::from_static(b"event: complete\ndata:\n\n");
/// How often the application's clock is asked whether the token has expired, at least.
const EXPIRY_CHECK: Duration = Duration::from_secs(30);

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
    let Ok(place) = Arc::clone(&server.connections).try_acquire_owned() else {
        return Malformed::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Unavailable,
            "The server has as many connections as it may have. Try again shortly.",
        )
        .reply(Some(media));
    };
    let viewer = match &caller.authentication {
        Authentication::SignedIn(viewer) => Some(*viewer),
        Authentication::Anonymous | Authentication::Refused(_) => None,
    };
    let id = RequestId::current().unwrap_or_else(|| observe::new_id(server));
    let feed = Feed {
        payloads: subscribe(server, prepared, id.clone()),
        id,
        end: end(Arc::clone(server), viewer).boxed(),
        server: Arc::clone(server),
        viewer,
        keep_alive: Box::pin(tokio::time::sleep(server.config.sse_keep_alive)),
        pause: server.config.sse_keep_alive,
        ending: false,
        _online: viewer.map(|viewer| server.app.connected(&viewer)),
        _place: place,
        _open: observe::open("sse"),
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
    end: BoxFuture<'static, Option<ApiError>>,
    server: Arc<Transports>,
    viewer: Option<Viewer>,
    keep_alive: Pin<Box<Sleep>>,
    pause: Duration,
    /// The last event was sent.
    ending: bool,
    _online: Option<Box<dyn Any + Send>>,
    _place: OwnedSemaphorePermit,
    _open: Held,
}

impl Feed {
    async fn event(&mut self) -> Option<Bytes> {
        if self.ending {
            return None;
        }
        let event = tokio::select! {
            biased;
            refusal = &mut self.end => {
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
            // The application's clock is asked here as well, since timers stand still where
            // machines sleep.
            () = &mut self.keep_alive => match self.viewer {
                Some(viewer) if token_left(&self.server, &viewer).is_zero() => {
                    self.ending = true;
                    self.id.within(|| refused(&expired()))
                }
                _ => COMMENT,
            },
        };
        self.keep_alive.as_mut().reset(Instant::now() + self.pause);
        Some(event)
    }
}

/// Resolves when the stream has to end: with what to tell the client, or with nothing on a stop.
async fn end(server: Arc<Transports>, viewer: Option<Viewer>) -> Option<ApiError> {
    let Some(viewer) = viewer else {
        server.shutdown.cancelled().await;
        return None;
    };
    let until_expiry = async {
        loop {
            let left = token_left(&server, &viewer);
            if left.is_zero() {
                break;
            }
            tokio::time::sleep(left.min(EXPIRY_CHECK)).await;
        }
    };
    tokio::select! {
        () = server.shutdown.cancelled() => None,
        () = until_expiry => Some(expired()),
        end = server.app.revoked(&viewer) => Some(match end {
            Ok(()) => ApiError::new(
                ErrorCode::Unauthenticated,
                "The session was revoked. Sign in again.",
            ),
            // An outage says nothing of the session.
            Err(refusal) => refusal,
        }),
    }
}

/// How long the viewer's token still holds.
fn token_left(server: &Transports, viewer: &Viewer) -> Duration {
    viewer.expires_at.since(server.app.now())
}

fn expired() -> ApiError {
    ApiError::new(
        ErrorCode::TokenExpired,
        "The access token has expired. Refresh the session and subscribe again.",
    )
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
