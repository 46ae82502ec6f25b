//! Answers with files that Vite built and that lie compressed in the binary: each as a browser takes it,
//! kept forever where its name has a hash of its content, and asked for again elsewhere.
//!
//! Knows neither which pages there are nor what they may load: `graphiql` and `web` do.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read as _;

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use parking_lot::Mutex;
use rust_embed::EmbeddedFile;

use super::reply::uncached;

pub(super) const HTML: &str = "text/html; charset=utf-8";

/// A file in the forms that it is stored in.
pub(super) struct Packed {
    /// By gzip. What it is unpacked from for who takes no coding.
    pub(super) gzip: EmbeddedFile,
    /// By Brotli, where it was made: smaller, and taken by browsers over HTTPS and on this machine.
    pub(super) brotli: Option<EmbeddedFile>,
}

/// How an answer is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Brotli,
}

impl Coding {
    /// What the tag of the file in this form ends with: a form is an entity of its own.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Identity => "\"",
            Self::Gzip => "-gzip\"",
            Self::Brotli => "-br\"",
        }
    }

    const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Brotli => Some("br"),
        }
    }
}

/// Answers with a file as it is stored, or unpacked for a client that says of no form that it takes it.
pub(super) fn file(path: &str, packed: Packed, headers: &HeaderMap) -> Response {
    let coding = coding(&packed, headers);
    let tag = [
        "\"",
        &hex::encode(&packed.gzip.metadata.sha256_hash()[..16]),
        coding.suffix(),
    ]
    .concat();
    let mut response = if is_known(&tag, headers) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        match body(packed, coding) {
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
    let is_whole = response.status() == StatusCode::OK;
    let headers = response.headers_mut();
    if let Some(name) = coding.name().filter(|_| is_whole) {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(policy));
    headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// The answer, with what a page from here may do, and told to tell nobody where a reader comes from.
pub(super) fn confined(mut response: Response, policy: &HeaderValue) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn is_known(tag: &str, headers: &HeaderMap) -> bool {
    let known = headers.get(IF_NONE_MATCH);
    let known = known.and_then(|value| value.to_str().ok());
    known.is_some_and(|tags| {
        tags == "*"
            || tags
                .split(',')
                .any(|known| known.trim().trim_start_matches("W/") == tag)
    })
}

fn body(packed: Packed, coding: Coding) -> std::io::Result<Bytes> {
    Ok(match (coding, packed.brotli) {
        (Coding::Brotli, Some(brotli)) => stored(brotli.data),
        (Coding::Identity, _) => unpacked(&packed.gzip)?,
        _ => stored(packed.gzip.data),
    })
}

fn stored(data: Cow<'static, [u8]>) -> Bytes {
    match data {
        Cow::Borrowed(data) => Bytes::from_static(data),
        Cow::Owned(data) => data.into(),
    }
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

/// The form that the client likes best, the smaller one where it likes both alike.
fn coding(packed: &Packed, headers: &HeaderMap) -> Coding {
    let brotli = match packed.brotli {
        Some(_) => weight(headers, "br"),
        None => 0.0,
    };
    let gzip = weight(headers, "gzip");
    if brotli > 0.0 && brotli >= gzip {
        Coding::Brotli
    } else if gzip > 0.0 {
        Coding::Gzip
    } else {
        Coding::Identity
    }
}

/// How much `Accept-Encoding` likes a coding that it names, 0 to 1 (RFC 9110, 12.5.3). `*` alone
/// counts as nothing: it is sent by clients that take what they cannot read.
fn weight(headers: &HeaderMap, name: &str) -> f32 {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let mut codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings
        .find_map(|coding| {
            let (named, weight) = coding.split_once(';').unwrap_or((coding, ""));
            named.trim().eq_ignore_ascii_case(name).then(|| {
                let weight = weight.trim().strip_prefix("q=");
                weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0))
            })
        })
        .unwrap_or(0.0)
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => HTML,
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
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
    /// What stands for the file in the form of Brotli: nobody reads it here.
    const SMALLER: &[u8] = b"br";

    fn stored_as(data: &'static [u8]) -> EmbeddedFile {
        let metadata = rust_embed::Metadata::__rust_embed_new([7; 32], None, None);
        EmbeddedFile {
            data: data.into(),
            metadata,
        }
    }

    fn sample() -> Packed {
        Packed {
            gzip: stored_as(PACKED),
            brotli: None,
        }
    }

    fn in_both_forms() -> Packed {
        Packed {
            brotli: Some(stored_as(SMALLER)),
            ..sample()
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

    #[test]
    fn each_form_has_a_tag_of_its_own() {
        let tags = ["", "gzip", "br"].map(|codings| {
            let response = file("index.html", in_both_forms(), &accepting(codings));
            assert_eq!(response.headers()[VARY], "accept-encoding");
            response.headers()[ETAG].clone()
        });
        assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2]);
        let mut again = accepting("br");
        again.insert(IF_NONE_MATCH, tags[1].clone());
        let response = file("index.html", in_both_forms(), &again);
        assert_eq!(response.status(), StatusCode::OK, "of another form");
    }

    #[tokio::test]
    async fn a_file_is_unpacked_once() {
        let first = unpacked(&sample().gzip).unwrap();
        assert_eq!(first, "x");
        assert_eq!(unpacked(&sample().gzip).unwrap().as_ptr(), first.as_ptr());
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

    #[tokio::test]
    async fn the_smaller_form_is_sent_where_it_is_liked_no_less() {
        for (takes, coding, sent) in [
            ("gzip, deflate, br, zstd", Some("br"), SMALLER),
            ("br;q=0.9, gzip;q=0.9", Some("br"), SMALLER),
            ("gzip, br;q=0.5", Some("gzip"), PACKED),
            ("br;q=0, gzip", Some("gzip"), PACKED),
            ("br;q=0, gzip;q=0", None, b"x"),
        ] {
            let response = file("index.html", in_both_forms(), &accepting(takes));
            let told = response.headers().get(CONTENT_ENCODING);
            assert_eq!(
                told.and_then(|value| value.to_str().ok()),
                coding,
                "{takes}"
            );
            assert_eq!(body(response).await, sent, "{takes}");
        }
    }
}
