//! `/graphiql`: the explorer's page and assets, built into the binary, compressed. Without a build
//! there is a page that says how to make one.

use std::collections::BTreeMap;
use std::io::Read as _;

use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH,
    VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use parking_lot::Mutex;
use rust_embed::{EmbeddedFile, RustEmbed};

use super::reply::uncached;

/// What Vite built, with the base `/graphiql/`; each file gzipped, under its name with `.gz`.
#[derive(RustEmbed)]
#[folder = "../client-examples/graphiql/dist"]
#[allow_missing = true]
struct Assets;

const HTML: &str = "text/html; charset=utf-8";

/// Own scripts only, which reach this server alone: for browsers `'self'` holds its sockets too (CSP
/// level 3). Monaco writes styles into the page and starts workers from blobs.
const POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self' blob:; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const NOT_BUILT: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
    <title>GraphiQL is not built</title>\n<h1>GraphiQL is not built</h1>\n\
    <p>Run <code>make graphiql</code> (it needs Node), then build the server again.</p>\n\
    <p>The schema is at <a href=\"/schema.graphql\">/schema.graphql</a>; \
    any GraphQL client can use <code>/graphql</code>.</p></html>\n";

/// `/graphiql`.
pub(super) async fn index(headers: HeaderMap) -> Response {
    match packed("index.html") {
        Some(page) => file("index.html", page, &headers),
        None => with_policy(uncached(StatusCode::OK, HTML, NOT_BUILT)),
    }
}

/// `/graphiql/…`.
pub(super) async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    match packed(&path) {
        Some(asset) => file(&path, asset, &headers),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn packed(path: &str) -> Option<EmbeddedFile> {
    Assets::get(&format!("{path}.gz"))
}

/// Answers with a file as it is stored, or unpacked for a client that does not say that it takes
/// gzip.
fn file(path: &str, packed: EmbeddedFile, headers: &HeaderMap) -> Response {
    let gzip = accepts_gzip(headers);
    let mut tag = String::with_capacity(40);
    tag.push('"');
    tag.push_str(&hex::encode(&packed.metadata.sha256_hash()[..16]));
    tag.push_str(if gzip { "-gzip\"" } else { "\"" });
    let known = headers
        .get(IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|tags| {
            tags == "*"
                || tags
                    .split(',')
                    .any(|t| t.trim().trim_start_matches("W/") == tag)
        });
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else if gzip {
        let data = match packed.data {
            std::borrow::Cow::Borrowed(data) => Bytes::from_static(data),
            std::borrow::Cow::Owned(data) => data.into(),
        };
        let mut response = uncached(StatusCode::OK, content_type(path), data);
        let headers = response.headers_mut();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        match unpacked(&packed) {
            Ok(data) => uncached(StatusCode::OK, content_type(path), data),
            Err(error) => {
                tracing::error!(path, %error, "a built-in file is damaged");
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
        }
    };
    // Vite puts a hash of the content into the names under `assets/`.
    let policy = if path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(policy));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    with_policy(response)
}

/// The file as Vite built it. Made at the first request for it and kept, so that nobody has the
/// server unpack megabytes again and again.
fn unpacked(packed: &EmbeddedFile) -> std::io::Result<Bytes> {
    static UNPACKED: Mutex<BTreeMap<[u8; 32], Bytes>> = Mutex::new(BTreeMap::new());
    let mut kept = UNPACKED.lock();
    let key = packed.metadata.sha256_hash();
    if let Some(data) = kept.get(&key) {
        return Ok(data.clone());
    }
    let mut data = Vec::new();
    GzDecoder::new(&*packed.data).read_to_end(&mut data)?;
    Ok(kept.entry(key).or_insert(data.into()).clone())
}

/// Whether `Accept-Encoding` names gzip without refusing it by a weight of zero (RFC 9110, 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let mut codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight
            .trim()
            .strip_prefix("q=")
            .and_then(|weight| weight.parse::<f32>().ok())
            .is_some_and(|weight| weight <= 0.0);
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

fn with_policy(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => HTML,
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("ttf") => "font/ttf",
        Some("woff") => "font/woff",
        Some("woff2") => "font/woff2",
        Some("wasm") => "application/wasm",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `x`, gzipped.
    const PACKED: &[u8] = &[
        31, 139, 8, 0, 0, 0, 0, 0, 2, 255, 171, 0, 0, 131, 22, 220, 140, 1, 0, 0, 0,
    ];

    fn sample() -> EmbeddedFile {
        let metadata = rust_embed::Metadata::__rust_embed_new([7; 32], None, None);
        EmbeddedFile {
            data: PACKED.into(),
            metadata,
        }
    }

    fn accepting(codings: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(codings))])
    }

    async fn body(response: Response) -> Bytes {
        let body = axum::body::to_bytes(response.into_body(), usize::MAX);
        body.await.unwrap()
    }

    #[test]
    fn hashed_assets_are_kept_forever_and_pages_are_asked_for_again() {
        let response = file("assets/index-4f2a.js", sample(), &HeaderMap::new());
        assert_eq!(
            response.headers()[CACHE_CONTROL],
            "public, max-age=31536000, immutable"
        );
        assert_eq!(
            response.headers()["content-type"],
            "text/javascript; charset=utf-8"
        );
        let mut again = HeaderMap::new();
        again.insert(IF_NONE_MATCH, response.headers()[ETAG].clone());
        let response = file("index.html", sample(), &again);
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()[CACHE_CONTROL], "no-cache");
    }

    #[tokio::test]
    async fn a_file_is_unpacked_once() {
        let first = unpacked(&sample()).unwrap();
        assert_eq!(first, "x");
        assert_eq!(unpacked(&sample()).unwrap().as_ptr(), first.as_ptr());
    }

    #[tokio::test]
    async fn files_are_unpacked_for_those_who_do_not_take_gzip() {
        for takes in ["gzip", "deflate, GZIP;q=0.5, br"] {
            let response = file("index.html", sample(), &accepting(takes));
            assert_eq!(response.headers()[CONTENT_ENCODING], "gzip", "{takes}");
            assert_eq!(body(response).await, PACKED, "{takes}");
        }
        for refuses in ["", "br", "identity", "gzip;q=0", "*"] {
            let response = file("index.html", sample(), &accepting(refuses));
            assert_eq!(response.headers().get(CONTENT_ENCODING), None, "{refuses}");
            assert_eq!(body(response).await, "x", "{refuses}");
        }
    }
}
