//! `/graphql` over plain HTTP: POST, GET and batches, per the GraphQL-over-HTTP draft. Reads the
//! request, decides the status; what a request means is decided in `request`, and how long
//! answers are written in `sse`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{ACCEPT, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use talksy_domain::error::{ApiError, ErrorCode};
use tokio::time::timeout_at;
use tracing::Instrument as _;

use super::body::{self, Operations};
use super::client::Caller;
use super::compression::compressed;
use super::deadline::Deadline;
use super::form;
use super::framing::Framing;
use super::media::{Accepted, Media, is_json};
use super::pieces::Pieces;
use super::reply::{self, Malformed};
use super::{Transports, single_connection, sse, ws};
use crate::graphql::metering::{self, Metered};
use crate::graphql::operation::{NO_QUERY, Variables};
use crate::graphql::{Answer, OperationType, Params, Prepared, Start, timeout_error};

/// `POST /graphql`.
pub(super) async fn post(State(server): State<Arc<Transports>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if form::is_form(&parts.headers) {
        return form::post(server, parts, body).await;
    }
    let accepted = Accepted::of(&parts.headers);
    let operations = async {
        if !is_json(&parts.headers) {
            return Err(Malformed::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                ErrorCode::BadUserInput,
                "Send the request as `Content-Type: application/json`, in UTF-8.",
            ));
        }
        let media = accepted.response.ok_or_else(not_acceptable)?;
        let config = &server.config;
        let body = body::read(
            &parts.headers,
            body,
            config.max_body_bytes,
            config.body_timeout,
        )
        .await?;
        Ok((media, body::decode(&body, config.max_batch)?))
    };
    let (media, operations) = match operations.await {
        Ok(read) => read,
        Err(malformed) => return malformed.reply(accepted.response),
    };
    if let Some(token) = single_connection::token(&parts) {
        return match operations {
            Operations::One(params) => {
                single_connection::operate(&server, &parts, &token, *params, media).await
            }
            Operations::Batch(_) => {
                let message = "A stream's operations are sent one by one.";
                Malformed::bad(message).reply(Some(media))
            }
        };
    }
    let caller = Caller::of(&*server.app, &server.config.trusted_proxies, &parts).await;
    match operations {
        Operations::One(params) => {
            let prepared = caller.prepare(&server.documents, *params);
            let form = (media, accepted.stream);
            finish(&server, prepared, &caller, form, &parts.headers).await
        }
        Operations::Batch(batch) => many(&server, batch, &caller, media, &parts.headers).await,
    }
}

/// `GET /graphql`: a WebSocket upgrade, or a query in the URL.
pub(super) async fn get(State(server): State<Arc<Transports>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    if wants_socket(&parts.headers) {
        return ws::upgrade(server, &mut parts).await;
    }
    let accepted = Accepted::of(&parts.headers);
    if let Some(token) = single_connection::token(&parts) {
        return if accepted.stream == Some(Framing::EventStream) {
            single_connection::open(&server, &parts, &token).await
        } else {
            let message = "Open the stream with `Accept: text/event-stream`.";
            Malformed::new(StatusCode::NOT_ACCEPTABLE, ErrorCode::BadUserInput, message).reply(None)
        };
    }
    if server.config.graphiql && parts.uri.query().is_none() && wants_page(&parts.headers) {
        return Redirect::temporary("/graphiql").into_response();
    }
    let (media, params) = match read_get(&parts, accepted) {
        Ok(read) => read,
        Err(malformed) => return malformed.reply(accepted.response),
    };
    let caller = Caller::of(&*server.app, &server.config.trusted_proxies, &parts).await;
    match caller.prepare(&server.documents, params) {
        Ok(prepared) if prepared.operation.kind() == OperationType::Mutation => Malformed::new(
            StatusCode::METHOD_NOT_ALLOWED,
            ErrorCode::BadUserInput,
            "A mutation is sent by POST.",
        )
        .reply(Some(media)),
        prepared => {
            let form = (media, accepted.stream);
            finish(&server, prepared, &caller, form, &parts.headers).await
        }
    }
}

/// Any other method.
pub(super) async fn method_not_allowed() -> Response {
    let mut response = Malformed::new(
        StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::BadUserInput,
        "Send GraphQL requests by POST, or queries by GET; PUT and DELETE are for event streams.",
    )
    .reply(None);
    let allow = http::HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE");
    response.headers_mut().insert(http::header::ALLOW, allow);
    response
}

async fn finish(
    server: &Arc<Transports>,
    prepared: Result<Prepared, Box<Answer>>,
    caller: &Caller,
    (media, stream): (Media, Option<Framing>),
    headers: &HeaderMap,
) -> Response {
    let is_query = prepared
        .as_ref()
        .is_ok_and(|prepared| is(prepared, OperationType::Query));
    let answer = match prepared {
        Ok(prepared) => {
            let framing = stream.filter(|_| is(&prepared, OperationType::Subscription));
            if let Some(framing) = framing {
                return sse::subscription(server, prepared, caller, framing, media);
            }
            let deadline = Deadline::after(server.config.execution_timeout);
            execute(server, prepared, deadline).await
        }
        Err(refused) => *refused,
    };
    let encoded = answer.encode();
    match media {
        Media::Stream(framing) => sse::single(framing, encoded),
        Media::GraphqlResponse | Media::Json => {
            let response = reply::graphql(media, encoded);
            if !is_query {
                return response;
            }
            compressed(&server.config, headers, response).await
        }
    }
}

/// A batch is executed in order, and answered with 200 and an array of responses. Its operations
/// share the bounds of one: what they may cost, the time, and the bytes of the answers. None begins
/// once the time is over.
async fn many(
    server: &Arc<Transports>,
    batch: Vec<Params>,
    caller: &Caller,
    media: Media,
    headers: &HeaderMap,
) -> Response {
    if matches!(media, Media::Stream(_)) {
        return not_acceptable().reply(None);
    }
    let prepared = batch
        .into_iter()
        .map(|params| caller.prepare(&server.documents, params));
    // All are prepared ahead of the first execution, so that a batch that costs too much does nothing.
    let prepared: Vec<_> = prepared.collect();
    let points = prepared.iter().flatten().map(Prepared::points);
    let mut able = prepared.iter().flatten();
    let has_mutation = able.any(|prepared| is(prepared, OperationType::Mutation));
    let affordable = server
        .documents
        .guard()
        .check_batch(points.fold(0, u64::saturating_add));
    let deadline = Deadline::after(server.config.execution_timeout);
    let mut left = server.config.max_batch_answer_bytes;
    let mut body = Pieces::default();
    for (place, prepared) in prepared.into_iter().enumerate() {
        let answer = match (prepared, &affordable) {
            (Err(refused), _) => *refused,
            (Ok(_), Err(refusal)) => {
                let answer = Answer::from(refusal);
                metering::refused(&answer);
                answer
            }
            // A mutation ahead of it may still run, which it must not overtake.
            (Ok(_), Ok(())) if deadline.is_over() => {
                let answer = deadline.not_begun();
                metering::refused(&answer);
                answer
            }
            (Ok(prepared), Ok(())) => {
                execute(server, prepared.answered_within(left), deadline).await
            }
        };
        let answer = answer.encode().body;
        left = left.saturating_sub(answer.len());
        body.push(Bytes::from_static(if place == 0 { b"[" } else { b"," }));
        body.push(answer);
    }
    body.push(Bytes::from_static(b"]"));
    let response = reply::uncached(StatusCode::OK, media.content_type(), body);
    let response = reply::negotiated(response);
    if has_mutation {
        return response;
    }
    compressed(&server.config, headers, response).await
}

fn is(prepared: &Prepared, kind: OperationType) -> bool {
    prepared.operation.kind() == kind
}

async fn execute(server: &Arc<Transports>, prepared: Prepared, deadline: Deadline) -> Answer {
    if is(&prepared, OperationType::Subscription) {
        return Answer::from(&ApiError::new(
            ErrorCode::BadUserInput,
            "Subscriptions are served over WebSocket (`graphql-transport-ws`), or to requests that \
             accept `text/event-stream` or `multipart/mixed;subscriptionSpec=1.0`.",
        ));
    }
    run_until(server, prepared, (), deadline).await
}

/// Executes a query or mutation. A query ends by the deadline. A mutation that has begun runs to its
/// end even if its client goes away or is told that it takes too long; `held` is dropped at that end.
/// What has not begun by the deadline never does. A panic becomes an `INTERNAL` error of this request
/// alone.
pub(super) async fn run_until(
    server: &Arc<Transports>,
    prepared: Prepared,
    held: impl Send + 'static,
    deadline: Deadline,
) -> Answer {
    let app = Arc::clone(&server.app);
    let metered = Metered::of(&prepared.operation);
    let span = metered.span();
    let kind = prepared.operation.kind();
    let is_mutation = kind == OperationType::Mutation;
    let start = Start::by(deadline.at);
    let starts = start.clone();
    let execution = async move {
        let _held = held;
        app.execute(prepared, starts).await
    };
    let answer = if is_mutation {
        let execution = execution.instrument(span).in_current_span();
        let mut running = server.tasks.spawn(execution);
        let ended = timeout_at(deadline.at, &mut running).await;
        if ended.is_err() && start.claim() {
            // It still waits for its turn.
            running.abort();
            Ok(Ok(None))
        } else {
            ended.map(|ended| ended.map_err(drop))
        }
    } else {
        let execution = AssertUnwindSafe(execution).catch_unwind();
        let ended = timeout_at(deadline.at, execution.instrument(span)).await;
        if ended.is_err() && start.claim() {
            Ok(Ok(None))
        } else {
            ended.map(|ended| ended.map_err(drop))
        }
    };
    let answer = match answer {
        Ok(Ok(Some(answer))) => answer,
        Ok(Ok(None)) => deadline.not_begun(),
        Ok(Err(())) => {
            tracing::error!("an operation panicked");
            Answer::from(&panicked())
        }
        Err(_) => {
            let timeout = deadline.time();
            tracing::warn!(
                ?timeout,
                is_mutation,
                "an operation was not answered in time"
            );
            Answer::without_data(&timeout_error(timeout, is_mutation), kind)
        }
    };
    metered.ended(&server.names, &answer);
    answer
}

/// What a client is told of a panic.
pub(super) fn panicked() -> ApiError {
    ApiError::new(
        ErrorCode::Internal,
        "The server failed to answer this. It has been logged.",
    )
}

pub(super) fn not_acceptable() -> Malformed {
    Malformed::new(
        StatusCode::NOT_ACCEPTABLE,
        ErrorCode::BadUserInput,
        "Accept `application/graphql-response+json` or `application/json`.",
    )
}

/// Other protocols than WebSocket are not switched to: such a wish may be ignored (RFC 9110, 7.8),
/// and `curl --http2` has it with every request.
fn wants_socket(headers: &HeaderMap) -> bool {
    let mut protocols = headers
        .get_all(UPGRADE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    protocols.any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
}

fn wants_page(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|a| a.contains("text/html"))
}

/// The parameters of a GET, each a string.
#[derive(Debug, Deserialize)]
struct GetParams {
    query: Option<String>,
    #[serde(rename = "documentId")]
    document_id: Option<String>,
    #[serde(rename = "operationName")]
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

/// Any page may have a browser send this. It comes without credentials, since bearer tokens are
/// none that browsers add by themselves; it changes nothing, and the page cannot read the answer.
fn read_get(parts: &Parts, accepted: Accepted) -> Result<(Media, Params), Malformed> {
    let media = accepted.response.ok_or_else(not_acceptable)?;
    let Query(params) = Query::<GetParams>::try_from_uri(&parts.uri)
        .map_err(|_| Malformed::bad("The URL's query component is not form-encoded."))?;
    let variables: Option<Variables> = json_parameter("variables", params.variables)?;
    let extensions = json_parameter("extensions", params.extensions)?;
    let params = Params {
        query: params.query,
        document_id: params.document_id,
        operation_name: params.operation_name,
        variables,
        extensions,
    };
    if !params.name_a_document() {
        return Err(Malformed::bad(NO_QUERY));
    }
    Ok((media, params))
}

fn json_parameter<T: DeserializeOwned>(
    name: &str,
    value: Option<String>,
) -> Result<Option<T>, Malformed> {
    match value.as_deref() {
        None | Some("") => Ok(None),
        Some(text) => serde_json::from_str(text)
            .map_err(|error| Malformed::bad(format!("`{name}` is not a JSON object: {error}."))),
    }
}
