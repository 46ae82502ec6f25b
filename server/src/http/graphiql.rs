//! `/graphiql`: the explorer's page and assets, built into the binary, compressed. Without a build
//! there is a page that says how to make one.

use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode};
use rust_embed::RustEmbed;

use super::embedded::{HTML, Packed, confined, file};
use super::reply::uncached;

/// What Vite built, with the base `/graphiql/`; each file gzipped, under its name with `.gz`.
#[derive(RustEmbed)]
#[folder = "../client-examples/graphiql/dist"]
#[allow_missing = true]
struct Assets;

/// Own scripts only, which reach this server alone: for browsers `'self'` holds its sockets too (CSP
/// level 3). Monaco writes styles into the page and starts workers from blobs.
static POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; worker-src 'self' blob:; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

const NOT_BUILT: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
    <title>GraphiQL is not built</title>\n<h1>GraphiQL is not built</h1>\n\
    <p>Run <code>make pages</code> (it needs Node), then build the server again.</p>\n\
    <p>The schema is at <a href=\"/schema.graphql\">/schema.graphql</a>; \
    any GraphQL client can use <code>/graphql</code>.</p></html>\n";

/// `/graphiql`.
pub(super) async fn index(headers: HeaderMap) -> Response {
    let page = match packed("index.html") {
        Some(page) => file("index.html", page, &headers),
        None => uncached(StatusCode::OK, HTML, NOT_BUILT),
    };
    confined(page, &POLICY)
}

/// `/graphiql/…`.
pub(super) async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    match packed(&path) {
        Some(asset) => confined(file(&path, asset, &headers), &POLICY),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn packed(path: &str) -> Option<Packed> {
    let gzip = Assets::get(&format!("{path}.gz"))?;
    Some(Packed { gzip, brotli: None })
}
