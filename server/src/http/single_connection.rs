//! GraphQL over Server-Sent Events, "single connection" mode: PUT reserves a stream, GET opens it,
//! POST starts operations whose results it brings, DELETE stops one
//! (<https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md>).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream::BoxStream;
use http::request::Parts;
use http::{HeaderName, StatusCode};
use serde::Deserialize;
use talksy_domain::error::ErrorCode;
use talksy_domain::viewer::Authentication;

use super::client::Caller;
use super::deadline::Deadline;
use super::delivery::{End, Outlet, deliver};
use super::event_queue::Framed;
use super::executions::Once;
use super::framing::{COMMENT, Framing, event, of_errors};
use super::media::Media;
use super::open_stream::OpenStream;
use super::reply::{self, Malformed};
use super::reservations::{NotOpened, NotReserved, NotStarted, Opened, SharedStream};
use super::shares::in_a_while;
use super::sse::{self, Source};
use super::{Transports, observe, ws};
use crate::graphql::{Answer, Params, Payload, RequestId};

/// The header of a stream's token. A browser's `EventSource`, which sends no headers, has it as the
/// parameter `token` of the URL.
const TOKEN: HeaderName = HeaderName::from_static("x-graphql-event-stream-token");

const TEXT: &str = "text/plain; charset=utf-8";

#[derive(Debug, Default, Deserialize)]
struct UrlParams {
    token: Option<String>,
    #[serde(rename = "operationId")]
    operation_id: Option<String>,
}

impl UrlParams {
    fn of(parts: &Parts) -> Self {
        Query::try_from_uri(&parts.uri).map_or_else(|_| Self::default(), |Query(params)| params)
    }
}

/// The token of the stream that a request is about.
pub(super) fn token(parts: &Parts) -> Option<String> {
    let header = parts.headers.get(TOKEN);
    let header = header.and_then(|value| value.to_str().ok());
    match header {
        Some(token) => Some(token.to_owned()),
        None => UrlParams::of(parts).token,
    }
}

/// `PUT /graphql`: reserves a stream, and answers with its token.
pub(super) async fn reserve(State(server): State<Arc<Transports>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let caller = match known(&server, &parts).await {
        Ok(caller) => caller,
        Err(refused) => return refused.reply(None),
    };
    let token: Arc<str> = server.app.secret().into();
    if let Err(refusal) = server.reservations.reserve(Arc::clone(&token), &caller) {
        return not_reserved(refusal).reply(None);
    }
    let reservations = Arc::clone(&server.reservations);
    let timeout = server.config.reservation_timeout;
    let response = reply::uncached(StatusCode::CREATED, TEXT, token.to_string());
    tokio::spawn(async move {
        tokio::time::sleep(timeout).await;
        reservations.expire(&token);
    });
    response
}

/// `GET /graphql` with a token: opens the stream, for as long as its viewer's token holds.
pub(super) async fn open(server: &Arc<Transports>, parts: &Parts, token: &str) -> Response {
    let caller = match known(server, parts).await {
        Ok(caller) => caller,
        Err(refused) => return refused.reply(None),
    };
    // A browser's `EventSource` sends no credentials: the stream is of who reserved it.
    let viewer = match server.reservations.viewer(token, &caller) {
        Ok(viewer) => viewer,
        Err(refusal) => return not_opened(refusal).reply(None),
    };
    let mut owner = caller.clone();
    if let Some((viewer, key_epoch)) = viewer {
        owner.authentication = Authentication::SignedIn(viewer);
        owner.key_epoch = key_epoch;
    }
    // Ahead of the reservation, which stays where there is no place.
    let open = match OpenStream::open(server, &owner, "sse_single") {
        Ok(open) => open,
        Err(full) => return full.reply(Media::Json),
    };
    let Opened {
        stream,
        events,
        end,
    } = match server.reservations.open(token, &caller) {
        Ok(opened) => opened,
        Err(refusal) => return not_opened(refusal).reply(None),
    };
    let answered = {
        let time = server.config.websocket.close_timeout;
        stream.executions().stopped(server.shutdown.clone(), time)
    };
    let refused = move |errors: &[u8]| {
        let mut last = Vec::new();
        for id in stream.running() {
            last.extend_from_slice(&result(&id, &of_errors(errors)));
            last.extend_from_slice(&complete(&id));
        }
        // Something to send, where nothing runs.
        last.extend_from_slice(&COMMENT);
        Bytes::from(last)
    };
    let source = Source {
        framing: Framing::EventStream,
        events,
        // It comes when the client goes.
        _held: Box::new(end),
        refused: Box::new(refused),
        answered: answered.boxed(),
        id: RequestId::current().unwrap_or_else(|| observe::new_id(server)),
    };
    sse::stream_of(server, source, open)
}

/// An operation whose results go to the stream: 202, or why it does not start.
pub(super) async fn operate(
    server: &Arc<Transports>,
    parts: &Parts,
    token: &str,
    params: Params,
    media: Media,
) -> Response {
    let refused = |malformed: Malformed| malformed.reply(Some(media));
    let caller = match known(server, parts).await {
        Ok(caller) => caller,
        Err(refusal) => return refused(refusal),
    };
    let Some(stream) = server.reservations.find(token, &caller) else {
        return refused(unknown_stream());
    };
    let Some(id) = params.operation_id().map(Box::<str>::from) else {
        return refused(Malformed::bad(
            "The request has no `extensions.operationId`: give each operation of a stream its own.",
        ));
    };
    let not_valid = |answer: Answer| {
        let body = answer.encode().body;
        reply::uncached(StatusCode::BAD_REQUEST, media.json().content_type(), body)
    };
    let mut prepared = match caller.prepare(&server.documents, params) {
        Ok(prepared) => prepared,
        Err(answer) => return not_valid(*answer),
    };
    if let Some(answer) = server.app.refusal(&mut prepared).await {
        return not_valid(answer);
    }
    let counted = match caller.begin_operation(server) {
        Ok(counted) => counted,
        Err(bound) => return bound.reply(media),
    };
    let request = RequestId::current().unwrap_or_else(|| observe::new_id(server));
    let most = server.config.websocket.max_operations;
    let deadline = Deadline::after(server.config.execution_timeout);
    let once = stream
        .executions()
        .once(prepared.operation.kind(), deadline);
    let running = (Arc::clone(server), Arc::clone(&stream), id.clone());
    let started = stream.start(&id, most, Some(counted), |number| async move {
        let (server, stream, id) = running;
        let payloads = ws::payloads(&server, prepared, None, (request.clone(), deadline));
        run(&stream, &id, number, (payloads, once), &request).await;
    });
    match started {
        Ok(()) => reply::uncached(StatusCode::ACCEPTED, TEXT, Body::empty()),
        Err(NotStarted::Ended) => refused(unknown_stream()),
        Err(NotStarted::Duplicate) => refused(conflict(
            "An operation with this `extensions.operationId` runs already.",
        )),
        Err(NotStarted::TooMany) => refused(Malformed::of(
            StatusCode::TOO_MANY_REQUESTS,
            in_a_while(
                ErrorCode::RateLimited,
                format!("This stream has {most} operations, the most it may have at a time."),
            ),
        )),
    }
}

/// `DELETE /graphql`: stops an operation.
pub(super) async fn stop(State(server): State<Arc<Transports>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let stopped = async {
        let token = token(&parts).ok_or_else(|| {
            Malformed::bad("The request names no stream: send `X-GraphQL-Event-Stream-Token`.")
        })?;
        let caller = known(&server, &parts).await?;
        let stream = server.reservations.find(&token, &caller);
        let stream = stream.ok_or_else(unknown_stream)?;
        let id = UrlParams::of(&parts).operation_id;
        let id = id.filter(|id| !id.is_empty()).ok_or_else(|| {
            Malformed::bad("The URL has no `operationId`: it says which operation to stop.")
        })?;
        stream.stop(&id);
        Ok::<_, Malformed>(())
    };
    match stopped.await {
        Ok(()) => reply::uncached(StatusCode::OK, TEXT, Body::empty()),
        Err(malformed) => malformed.reply(None),
    }
}

/// Sends an operation's payloads as they come, and its end.
async fn run(
    stream: &SharedStream,
    id: &str,
    number: u64,
    (payloads, once): (BoxStream<'static, Payload>, Option<Once>),
    request: &RequestId,
) {
    let outlet = Framed {
        queue: stream.queue(),
        frame: |response: &[u8]| result(id, response),
    };
    match deliver(&outlet, payloads, once.as_ref(), request).await {
        End::Complete => {}
        End::Failed(errors) => {
            if !outlet.send(of_errors(&errors).into()).await {
                return;
            }
        }
        End::Unwanted => return,
    }
    // The client may use the id again when it is told of the end.
    if stream.ended(id, number) {
        stream.queue().send(complete(id)).await;
    }
}

fn result(id: &str, response: &[u8]) -> Bytes {
    let id = json_string(id);
    let start = format!("{{\"id\":{id},\"payload\":");
    event("next", &[start.as_bytes(), response, b"}"].concat())
}

fn complete(id: &str) -> Bytes {
    event(
        "complete",
        format!("{{\"id\":{}}}", json_string(id)).as_bytes(),
    )
}

fn json_string(text: &str) -> Box<str> {
    // Writing a string to memory cannot fail.
    serde_json::value::to_raw_value(text).map_or_else(|_| "null".into(), |raw| raw.get().into())
}

/// The caller, whose credentials are none or good.
async fn known(server: &Transports, parts: &Parts) -> Result<Caller, Malformed> {
    let caller = Caller::of(&*server.app, &server.config.trusted_proxies, parts).await;
    if let Authentication::Refused(refusal) = &caller.authentication {
        let status = match refusal.code {
            ErrorCode::Unavailable | ErrorCode::Internal => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNAUTHORIZED,
        };
        return Err(Malformed::new(
            status,
            refusal.code,
            refusal.message.clone(),
        ));
    }
    Ok(caller)
}

fn unknown_stream() -> Malformed {
    Malformed::new(
        StatusCode::NOT_FOUND,
        ErrorCode::NotFound,
        "No stream is reserved under this token. Reserve one by PUT.",
    )
}

fn not_opened(refusal: NotOpened) -> Malformed {
    match refusal {
        NotOpened::Unknown => unknown_stream(),
        NotOpened::Twice => conflict("The stream is open already."),
    }
}

fn conflict(message: &str) -> Malformed {
    Malformed::new(StatusCode::CONFLICT, ErrorCode::Conflict, message)
}

fn not_reserved(refusal: NotReserved) -> Malformed {
    match refusal {
        NotReserved::OwnerFull => Malformed::of(
            StatusCode::TOO_MANY_REQUESTS,
            in_a_while(
                ErrorCode::RateLimited,
                "You have as many event streams as you may have. Close one first.",
            ),
        ),
        NotReserved::Full => Malformed::of(
            StatusCode::SERVICE_UNAVAILABLE,
            in_a_while(
                ErrorCode::Unavailable,
                "The server has as many event streams as it may have. Try again shortly.",
            ),
        ),
    }
}
