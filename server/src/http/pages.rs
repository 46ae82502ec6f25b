//! The small pages beside GraphQL: health, schema and keys.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::Transports;
use super::compression::compressed;
use super::reply::uncached;

const TEXT: &str = "text/plain; charset=utf-8";

/// `/livez`: the process answers.
pub(super) async fn live() -> Response {
    uncached(StatusCode::OK, TEXT, "ok\n")
}

/// `/readyz`: requests can be served, or 503 and which part is missing. Why is for operators, on the
/// page of the same name beside the metrics.
pub(super) async fn ready(State(server): State<Arc<Transports>>) -> Response {
    if server.shutdown.is_cancelled() {
        return uncached(StatusCode::SERVICE_UNAVAILABLE, TEXT, "stopping\n");
    }
    let unready = server.app.unready();
    if unready.is_empty() {
        return uncached(StatusCode::OK, TEXT, "ok\n");
    }
    let text = unready.join("\n") + "\n";
    uncached(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
}

/// `/schema.graphql`.
pub(super) async fn schema(State(server): State<Arc<Transports>>, headers: HeaderMap) -> Response {
    let schema = cached(
        uncached(StatusCode::OK, TEXT, server.sdl.clone()),
        "public, max-age=60",
    );
    compressed(&server.config, &headers, schema).await
}

/// `/.well-known/jwks.json`. Verifiers should look again soon after a key was added.
pub(super) async fn jwks(State(server): State<Arc<Transports>>) -> Response {
    cached(
        uncached(StatusCode::OK, "application/json", server.app.jwks()),
        "public, max-age=300",
    )
}

fn cached(mut response: Response, policy: &'static str) -> Response {
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static(policy));
    response
}
