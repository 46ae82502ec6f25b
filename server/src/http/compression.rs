//! Compresses answers to queries, and the schema.
//!
//! An attacker who can put text of their own into an answer, and can see how long it is on the wire,
//! may guess what else is in it (BREACH). What keeps them from it: a browser sends no credentials by
//! itself here, so that no page of somebody else's makes it fetch answers; answers with tokens, those
//! of mutations, are never compressed; nor are streams, whose events come one by one. What is left is
//! said in `docs/OPERATING.md`, with the setting that turns compression off.
//!
//! No zstd: graphql-tools asks for it also where its Node cannot read it (before version 22.15).
//!
//! Only what is handed to [`compressed`] is: a layer around all answers would also make of a mutation
//! that was carried out a 406, where the client accepts no encoding at all.

use std::future::ready;

use axum::body::{Body, HttpBody as _};
use axum::response::Response;
use http::header::{ACCEPT_ENCODING, VARY};
use http::{HeaderMap, HeaderValue, Request};
use tower::{ServiceExt as _, service_fn};
use tower_http::CompressionLevel;
use tower_http::compression::Compression;
use tower_http::compression::predicate::SizeAbove;

use crate::config::HttpConfig;

/// How many bytes of an answer that is compressed are held until the last of them is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uncompressed(pub(super) u64);

/// The answer in an encoding that the client of these headers accepts, where it is long enough.
pub(super) async fn compressed(
    config: &HttpConfig,
    headers: &HeaderMap,
    mut response: Response,
) -> Response {
    if !config.compression {
        return response;
    }
    let varies = HeaderValue::from_static("accept-encoding");
    response.headers_mut().append(VARY, varies);
    let length = response.body().size_hint().exact();
    let is_long = length.is_some_and(|length| length >= config.compression_min_bytes);
    if !is_long || !headers.contains_key(ACCEPT_ENCODING) {
        return response;
    }
    let mut request = Request::new(());
    for accepted in headers.get_all(ACCEPT_ENCODING) {
        request
            .headers_mut()
            .append(ACCEPT_ENCODING, accepted.clone());
    }
    let mut answer = Some(response);
    let once = service_fn(move |_: Request<()>| ready(answer.take().ok_or(())));
    // The levels above cost much more time and bring little for JSON.
    let compression = Compression::new(once)
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(0));
    let compressed = compression.oneshot(request).await;
    // The service is called once, and so has its answer.
    let mut response =
        compressed.map_or_else(|()| Response::default(), |response| response.map(Body::new));
    response
        .extensions_mut()
        .insert(Uncompressed(length.unwrap_or(0)));
    response
}
