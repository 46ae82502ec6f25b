//! The bytes of attachments over plain HTTP: `PUT /uploads/…` and `GET /attachments/…`. Who may do
//! either, a signed URL says; what it is for, the application.
//!
//! Whatever users upload is given out so that no browser runs it: under the type that its content has
//! and no other, in a sandbox, and anything but an image to be saved and not shown.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use http_range_header::{RangeUnsatisfiableError, parse_range_header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use talksy_domain::attachments::{
    AttachmentKind, ContentType, FileName, Located, Presented, Variant,
};
use talksy_domain::error::{ApiError, ErrorCode};
use tracing::Instrument as _;

use super::Transports;
use super::reply::uncached;
use super::uploads::Incoming;
use crate::graphql::Answer;

/// What stands for itself in a file's name (RFC 8187, `attr-char`).
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// What a signed URL says behind its path.
#[derive(Deserialize)]
struct Signed {
    expires: i64,
    signature: String,
}

/// What a URL presents. One that lacks its signature is as one that was altered.
fn presented(attachment: String, variant: Variant, uri: &Uri) -> Presented {
    let signed = Query::<Signed>::try_from_uri(uri);
    let (expires, signature) = signed.map_or_else(
        |_| (0, String::new()),
        |Query(signed)| (signed.expires, signed.signature),
    );
    Presented {
        attachment,
        variant,
        expires,
        signature,
    }
}

/// `PUT /uploads/{id}`: what an announced upload consists of.
pub(super) async fn put(
    State(server): State<Arc<Transports>>,
    Path(attachment): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let presented = presented(attachment, Variant::Upload, &parts.uri);
    let length = length_of(&parts.headers);
    let app = Arc::clone(&server.app);
    let tasks = server.tasks.clone();
    // To its end also where the client goes away: then the body ends early, and nothing is left of it.
    let receiving = async move {
        let incoming = Incoming::new(body);
        let upload = incoming.pieces(&server);
        let received = app.receive_upload(presented, length, upload).await;
        if received.is_err() {
            incoming.drain(&server, &parts.headers).await;
        }
        received
    };
    match tasks.spawn(receiving.in_current_span()).await {
        Ok(Ok(())) => uncached(StatusCode::NO_CONTENT, "text/plain", Body::empty()),
        Ok(Err(error)) => refused(&error),
        Err(panic) => {
            tracing::error!(%panic, "an upload panicked");
            let message = "The server failed to receive this. It has been logged.";
            refused(&ApiError::new(ErrorCode::Internal, message))
        }
    }
}

/// Any other method.
pub(super) async fn put_only() -> Response {
    not_allowed("An upload is sent by PUT.", "PUT")
}

/// Any other method.
pub(super) async fn get_only() -> Response {
    not_allowed("An attachment is got by GET.", "GET, HEAD")
}

pub(super) fn not_allowed(message: &'static str, allowed: &'static str) -> Response {
    let error = ApiError::new(ErrorCode::BadUserInput, message);
    let mut response = refused(&error);
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    let allowed = HeaderValue::from_static(allowed);
    response.headers_mut().insert(http::header::ALLOW, allowed);
    response
}

fn length_of(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `GET /attachments/{id}/{variant}`: an attachment's bytes, or a part of them.
pub(super) async fn get(
    State(server): State<Arc<Transports>>,
    Path((attachment, variant)): Path<(String, String)>,
    request: Request,
) -> Response {
    let Some(variant) = Variant::readable(&variant) else {
        let message = "There is no such attachment.";
        return refused(&ApiError::new(ErrorCode::NotFound, message));
    };
    let presented = presented(attachment, variant, request.uri());
    let located = match server.app.locate_attachment(presented).await {
        Ok(located) => located,
        Err(error) => return refused(&error),
    };
    let headers = request.headers();
    let tag = format!("\"{}-{}\"", located.key.attachment, variant.name());
    if matches_tag(headers, &IF_NONE_MATCH, &tag) {
        return described(
            &server,
            &located,
            &tag,
            StatusCode::NOT_MODIFIED,
            Body::empty(),
        );
    }
    let Ok(range) = wanted(headers, &tag, located.byte_size) else {
        return unsatisfiable(&located);
    };
    let all = 0..located.byte_size;
    let part = range.clone().unwrap_or(all);
    let bytes = match server.app.read_attachment(&located, part.clone()).await {
        Ok(bytes) => bytes,
        Err(error) => return refused(&error),
    };
    let status = match range {
        Some(_) => StatusCode::PARTIAL_CONTENT,
        None => StatusCode::OK,
    };
    let mut response = described(&server, &located, &tag, status, Body::from_stream(bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
    if range.is_some() {
        let text = format!(
            "bytes {}-{}/{}",
            part.start,
            part.end - 1,
            located.byte_size
        );
        insert(headers, CONTENT_RANGE, &text);
    }
    response
}

/// The part that is wanted; `None` where all of it is. What is no range of bytes, or several of them,
/// is as none (RFC 9110, 14.2).
fn wanted(headers: &HeaderMap, tag: &str, byte_size: u64) -> Result<Option<Range<u64>>, ()> {
    let Some(range) = headers.get(RANGE) else {
        return Ok(None);
    };
    if headers.contains_key(IF_RANGE) && !matches_tag(headers, &IF_RANGE, tag) {
        return Ok(None);
    }
    let Ok(parsed) = range.to_str().map(parse_range_header) else {
        return Ok(None);
    };
    match parsed.and_then(|ranges| ranges.validate(byte_size)) {
        Ok(ranges) => Ok(match ranges.as_slice() {
            [range] => Some(half_open(range)),
            _ => None,
        }),
        Err(RangeUnsatisfiableError::Unsatisfiable) => Err(()),
        Err(_) => Ok(None),
    }
}

fn half_open(range: &RangeInclusive<u64>) -> Range<u64> {
    *range.start()..range.end().saturating_add(1)
}

fn matches_tag(headers: &HeaderMap, name: &HeaderName, tag: &str) -> bool {
    let values = headers.get_all(name).iter();
    let mut tags = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    tags.any(|given| {
        let given = given.trim();
        given == "*" || given.trim_start_matches("W/") == tag
    })
}

/// A response about what was located.
fn described(
    server: &Transports,
    located: &Located,
    tag: &str,
    status: StatusCode,
    body: Body,
) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let content_type = located.content_type;
    let name = if content_type == ContentType::TEXT {
        "text/plain; charset=utf-8"
    } else {
        content_type.as_str()
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(name));
    let sandbox = HeaderValue::from_static("default-src 'none'; sandbox");
    headers.insert(CONTENT_SECURITY_POLICY, sandbox);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    insert(headers, ETAG, tag);
    insert(headers, CONTENT_DISPOSITION, &disposition(located));
    // What is at a URL never changes, and nobody gets more of it by a cache than by the URL.
    let left = located.expires_at.since(server.app.now()).as_secs();
    let kept = format!("private, max-age={left}, immutable");
    insert(headers, CACHE_CONTROL, &kept);
    response
}

fn disposition(located: &Located) -> String {
    let kind = match located.kind {
        AttachmentKind::Image => "inline",
        AttachmentKind::File => "attachment",
    };
    let name = located.file_name.as_str();
    let encoded = utf8_percent_encode(name, PLAIN);
    format!(
        "{kind}; filename=\"{}\"; filename*=UTF-8''{encoded}",
        in_ascii(&located.file_name)
    )
}

/// The name for clients that do not know the other form of it.
fn in_ascii(name: &FileName) -> String {
    let plain = |c: char| {
        if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%' | ';') || c == ' ' {
            c
        } else {
            '_'
        }
    };
    name.as_str().chars().map(plain).collect()
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn unsatisfiable(located: &Located) -> Response {
    let message = format!("The attachment has {} bytes.", located.byte_size);
    let mut response = refused(&ApiError::new(ErrorCode::BadUserInput, message));
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    let all = format!("bytes */{}", located.byte_size);
    insert(response.headers_mut(), CONTENT_RANGE, &all);
    response
}

/// A refusal, in the form of GraphQL errors.
pub(super) fn refused(error: &ApiError) -> Response {
    let status = match error.code {
        ErrorCode::Unauthenticated | ErrorCode::TokenExpired => StatusCode::UNAUTHORIZED,
        ErrorCode::BadUserInput => StatusCode::BAD_REQUEST,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Conflict => StatusCode::CONFLICT,
        ErrorCode::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::Timeout => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let body = Answer::from(error).encode().body;
    let mut response = uncached(status, "application/json", body);
    let headers = response.headers_mut();
    if let Some(seconds) = error.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn one_range_of_bytes_is_given_and_anything_else_is_all() {
        let wanted = |range: &str| wanted(&headers(&[(RANGE, range)]), "\"a\"", 100);
        assert_eq!(wanted("bytes=0-0"), Ok(Some(0..1)));
        assert_eq!(wanted("bytes=10-"), Ok(Some(10..100)));
        assert_eq!(wanted("bytes=-10"), Ok(Some(90..100)));
        assert_eq!(wanted("bytes=90-1000"), Ok(Some(90..100)));
        assert_eq!(wanted("bytes=100-"), Err(()));
        for other in ["bytes=0-1,5-6", "lines=1-2", "bytes=x", "bytes=5-2"] {
            assert_eq!(wanted(other), Ok(None), "{other}");
        }
    }

    #[test]
    fn a_range_of_another_state_is_all_of_this_one() {
        let wanted = |if_range: &str| {
            let pairs = [(RANGE, "bytes=0-9"), (IF_RANGE, if_range)];
            wanted(&headers(&pairs), "\"a\"", 100)
        };
        assert_eq!(wanted("\"a\""), Ok(Some(0..10)));
        assert_eq!(wanted("\"b\""), Ok(None));
        assert_eq!(wanted("Mon, 30 Nov 2026 23:00:00 GMT"), Ok(None));
    }

    #[test]
    fn a_name_is_told_in_both_forms() {
        let name = FileName::cleaned("Grüße; 100%.pdf");
        assert_eq!(in_ascii(&name), "Gr__e_ 100_.pdf");
        assert_eq!(
            utf8_percent_encode(name.as_str(), PLAIN).to_string(),
            "Gr%C3%BC%C3%9Fe%3B%20100%25.pdf"
        );
    }
}
