//! What is told of HTTP requests and sockets: an id for each request, that answers and log lines
//! carry; a span around each; and counts.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue, Method};
use metrics::{Label, counter, gauge, histogram};
use tracing::{Instrument as _, error_span, field};

use super::Transports;
use super::client::is_trusted_peer;
use super::ws::Close;
use crate::graphql::RequestId;
use crate::metrics::{
    HTTP_DURATION, HTTP_REQUESTS, Held, SLOW_CONSUMERS, SOCKET_CLOSES, SOCKET_QUEUE_PEAK,
    SOCKETS_OPEN,
};

/// The header of the request's id, in both directions.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken from a trusted proxy.
const MAX_ID: usize = 64;

/// A new id for a request, or for one operation of a socket.
pub(super) fn new_id(server: &Transports) -> RequestId {
    RequestId::new(server.app.request_id())
}

/// The id that a trusted proxy gave the request, or a new one.
fn id_of(server: &Transports, request: &Request) -> RequestId {
    let given = request.headers().get(REQUEST_ID);
    let given = given.and_then(|value| value.to_str().ok()).filter(|id| {
        (1..=MAX_ID).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            && is_trusted_peer(&server.config.trusted_proxies, request.extensions())
    });
    given.map_or_else(|| new_id(server), RequestId::new)
}

/// Around every HTTP request.
pub(super) async fn request(
    State(server): State<Arc<Transports>>,
    request: Request,
    next: Next,
) -> Response {
    let id = id_of(&server, &request);
    let method = method(request.method());
    let route: Arc<str> = match request.extensions().get::<MatchedPath>() {
        Some(path) => path.as_str().into(),
        None => "other".into(),
    };
    let span = error_span!(
        "request",
        request_id = %id,
        otel.name = %format_args!("{method} {route}"),
        otel.kind = "server",
        http.response.status_code = field::Empty,
    );
    // A stranger's would tie requests together as they like, and have all of them traced.
    let caller = request.headers().get("traceparent");
    let caller = caller
        .filter(|_| is_trusted_peer(&server.config.trusted_proxies, request.extensions()))
        .and_then(|value| value.to_str().ok());
    talksy_telemetry::continue_trace(&span, caller);
    let started = Instant::now();
    let answer = id.clone().scope(next.run(request));
    let mut response = answer.instrument(span.clone()).await;

    let status = response.status();
    if talksy_telemetry::is_traced() {
        span.record("http.response.status_code", status.as_u16());
    }
    let took = started.elapsed();
    span.in_scope(|| {
        tracing::debug!(
            method,
            route = &*route,
            status = status.as_u16(),
            seconds = took.as_secs_f64(),
            "answered"
        );
    });
    let labels = [
        Label::from_static_parts("method", method),
        Label::new("route", Arc::clone(&route)),
    ];
    histogram!(HTTP_DURATION, labels.iter()).record(took);
    let [method, route] = labels;
    let status_label = Label::new("status", status.as_str().to_owned());
    counter!(HTTP_REQUESTS, vec![method, route, status_label]).increment(1);
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Methods are the client's to invent.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Counts an open socket or event stream until it is dropped.
pub(super) fn open(protocol: &'static str) -> Held {
    Held::new(gauge!(SOCKETS_OPEN, "protocol" => protocol))
}

/// So many bytes waited for a socket, which is over, when they were most.
pub(super) fn queue_peak(bytes: usize) {
    histogram!(SOCKET_QUEUE_PEAK).record(u32::try_from(bytes).unwrap_or(u32::MAX));
}

/// A socket is being closed: with our code, or because the peer went.
pub(super) fn closed(close: Option<&Close>) {
    let code = close.map_or_else(|| "peer".to_owned(), |close| close.code.to_string());
    counter!(SOCKET_CLOSES, "code" => code).increment(1);
    if close == Some(&Close::SLOW) {
        counter!(SLOW_CONSUMERS).increment(1);
    }
}
