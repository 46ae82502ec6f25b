//! Responses that go on: one operation as Server-Sent Events or as the parts of a multipart response,
//! or many operations of one client as events of one stream (see `single_connection`). Behind a client
//! that reads slowly operations wait, so nothing piles up.

use std::any::Any;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::{self, BoxFuture};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderValue, StatusCode};
use talksy_domain::error::ApiError;
use tokio::time::{Instant, Sleep};
use tokio_util::task::AbortOnDropHandle;

use super::Transports;
use super::client::Caller;
use super::delivery::{End, deliver};
use super::event_queue::{EventQueue, Events, Framed};
use super::framing::Framing;
use super::media::Media;
use super::observe;
use super::open_stream::OpenStream;
use super::reply;
use crate::graphql::response::error_payload;
use crate::graphql::{Encoded, Payload, Prepared, RequestId, metering};

/// Makes the last piece of errors (a JSON array).
type Refused = Box<dyn Fn(&[u8]) -> Bytes + Send>;

/// What a stream is fed from.
pub(super) struct Source {
    /// How it is cut into pieces.
    pub(super) framing: Framing,
    /// What it sends, each in its place. Where it ends, so does the stream.
    pub(super) events: Events,
    /// What goes with the stream.
    pub(super) _held: Box<dyn Any + Send>,
    /// The last piece of a stream that the server ends.
    pub(super) refused: Refused,
    /// Resolves when the server stops and what runs here was answered.
    pub(super) answered: BoxFuture<'static, ()>,
    /// The id that its errors carry.
    pub(super) id: RequestId,
}

/// One response, then the end.
pub(super) fn single(framing: Framing, encoded: Encoded) -> Response {
    let parts = [
        framing.opening(),
        framing.next(&encoded.body),
        framing.complete(),
    ];
    let parts = stream::iter(parts.map(Ok::<_, Infallible>));
    respond(framing, Body::from_stream(parts))
}

/// The payloads of a subscription. On a stop there is no end of the operation, so that the client
/// comes back.
pub(super) fn subscription(
    server: &Arc<Transports>,
    prepared: Prepared,
    caller: &Caller,
    framing: Framing,
    media: Media,
) -> Response {
    let counted = match caller.begin_operation(server) {
        Ok(counted) => counted,
        Err(bound) => return bound.reply(media),
    };
    let open = match OpenStream::open(server, caller, framing.name()) {
        Ok(open) => open,
        Err(bound) => return bound.reply(media),
    };
    let id = RequestId::current().unwrap_or_else(|| observe::new_id(server));
    let (queue, events) = EventQueue::new(server.config.websocket.max_queued_bytes);
    if let Some(connection) = &caller.connection {
        queue.connect(Arc::clone(connection));
    }
    let payloads = subscribe(server, prepared, id.clone());
    let request = id.clone();
    // In a task of its own, so that it goes on where others wait for it though nobody reads the body.
    let task = async move {
        let outlet = Framed {
            queue: &queue,
            frame: |response: &[u8]| framing.next(response),
        };
        let last = match deliver(&outlet, payloads, None, &request).await {
            End::Complete => framing.complete(),
            End::Failed(errors) => framing.failed(&errors),
            End::Unwanted => return,
        };
        drop(counted);
        queue.send(last).await;
    };
    let source = Source {
        framing,
        events,
        _held: Box::new(AbortOnDropHandle::new(tokio::spawn(task))),
        refused: Box::new(move |errors| framing.refused(errors)),
        answered: future::ready(()).boxed(),
        id,
    };
    stream_of(server, source, open)
}

/// A response that goes on until its source ends, or the stream has to.
pub(super) fn stream_of(server: &Transports, source: Source, open: OpenStream) -> Response {
    let framing = source.framing;
    let pause = server.config.sse_keep_alive;
    let feed = Feed {
        source,
        open,
        keep_alive: Box::pin(tokio::time::sleep(pause)),
        pause,
        stage: Stage::Open,
    };
    let pieces = stream::unfold(feed, |mut feed| async move {
        let piece = feed.piece().await?;
        Some((Ok::<_, Infallible>(piece), feed))
    });
    let opening = stream::iter([Ok(framing.opening())]);
    respond(framing, Body::from_stream(opening.chain(pieces)))
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

fn respond(framing: Framing, body: Body) -> Response {
    let response = reply::uncached(StatusCode::OK, framing.content_type(), body);
    let mut response = reply::negotiated(response);
    // nginx buffers whole responses otherwise.
    response
        .headers_mut()
        .insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// A response that goes on.
struct Feed {
    source: Source,
    open: OpenStream,
    keep_alive: Pin<Box<Sleep>>,
    pause: Duration,
    stage: Stage,
}

/// How far a stream is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The server stops: what has begun is answered.
    Stopping,
    /// Nothing new comes any more: what waits is sent.
    Draining,
    /// The last piece was sent.
    Over,
}

impl Feed {
    async fn piece(&mut self) -> Option<Bytes> {
        if self.stage == Stage::Over {
            return None;
        }
        let piece = loop {
            tokio::select! {
                biased;
                end = self.open.ended(), if self.stage == Stage::Open => match end {
                    Some(refusal) => {
                        self.stage = Stage::Over;
                        break self.refuse(&refusal);
                    }
                    None => self.stage = Stage::Stopping,
                },
                () = &mut self.source.answered, if self.stage == Stage::Stopping => {
                    self.source.events.close();
                    self.stage = Stage::Draining;
                }
                event = self.source.events.next() => break event?,
                () = &mut self.keep_alive => break self.source.framing.keep_alive(),
            }
        };
        self.keep_alive.as_mut().reset(Instant::now() + self.pause);
        Some(piece)
    }

    /// The last piece of a stream that is refused from now on.
    fn refuse(&self, refusal: &ApiError) -> Bytes {
        let payload = self.source.id.within(|| error_payload(refusal));
        let (Payload::Next(errors) | Payload::Error(errors)) = payload;
        (self.source.refused)(&errors)
    }
}
