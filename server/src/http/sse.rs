//! Responses that go on: one operation as Server-Sent Events or as the parts of a multipart response,
//! or many operations of one client as events of one stream (see `single_connection`). Behind a client
//! that reads slowly operations wait, so nothing piles up.

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
use super::delivery::{End, Outlet, deliver};
use super::event_queue::EventQueue;
use super::framing::Framing;
use super::media::Media;
use super::observe;
use super::open_stream::OpenStream;
use super::reply;
use crate::graphql::response::error_payload;
use crate::graphql::{Encoded, Payload, Prepared, RequestId, metering};

/// What a stream sends.
pub(super) enum Piece {
    /// More follows.
    Next(Bytes),
    /// Nothing follows.
    Last(Bytes),
}

/// Makes the last piece of errors (a JSON array).
type Refused = Box<dyn Fn(&[u8]) -> Bytes + Send>;

/// What a stream is fed from.
pub(super) struct Source {
    /// How it is cut into pieces.
    pub(super) framing: Framing,
    /// Its pieces. Where they end without a last one, so does the stream.
    pub(super) pieces: BoxStream<'static, Piece>,
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
        let results = Results { queue, framing };
        let last = match deliver(&results, payloads, None, &request).await {
            End::Complete => framing.complete(),
            End::Failed(errors) => framing.failed(&errors),
            End::Unwanted => return,
        };
        drop(counted);
        results.queue.send(last).await;
    };
    let task = AbortOnDropHandle::new(tokio::spawn(task));
    let pieces = stream::unfold((events, task), |(mut events, task)| async move {
        Some((Piece::Next(events.next().await?), (events, task)))
    });
    let source = Source {
        framing,
        pieces: pieces.boxed(),
        refused: Box::new(move |errors| framing.refused(errors)),
        answered: future::ready(()).boxed(),
        id,
    };
    stream_of(server, source, open)
}

/// Where the results of one operation go.
struct Results {
    queue: EventQueue,
    framing: Framing,
}

impl Outlet for Results {
    fn is_full(&self) -> bool {
        self.queue.is_full()
    }

    async fn room(&self) -> bool {
        self.queue.room().await
    }

    async fn send(&self, response: Bytes) -> bool {
        self.queue.send(self.framing.next(&response)).await
    }
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
        stopping: false,
        ending: false,
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
    /// The server stops.
    stopping: bool,
    /// The last piece was sent.
    ending: bool,
}

impl Feed {
    async fn piece(&mut self) -> Option<Bytes> {
        if self.ending {
            return None;
        }
        let piece = loop {
            tokio::select! {
                biased;
                refusal = self.open.ended(), if !self.stopping => match refusal {
                    Some(refusal) => break self.refuse(&refusal),
                    None => self.stopping = true,
                },
                piece = self.source.pieces.next() => break piece?,
                () = &mut self.source.answered, if self.stopping => return None,
                () = &mut self.keep_alive => break Piece::Next(self.source.framing.keep_alive()),
            }
        };
        self.keep_alive.as_mut().reset(Instant::now() + self.pause);
        Some(match piece {
            Piece::Next(bytes) => bytes,
            Piece::Last(bytes) => {
                self.ending = true;
                bytes
            }
        })
    }

    /// The last piece of a stream that is refused from now on.
    fn refuse(&self, refusal: &ApiError) -> Piece {
        let payload = self.source.id.within(|| error_payload(refusal));
        let (Payload::Next(errors) | Payload::Error(errors)) = payload;
        Piece::Last((self.source.refused)(&errors))
    }
}
