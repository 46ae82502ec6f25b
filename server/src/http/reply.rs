//! HTTP responses that carry GraphQL.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, VARY};
use http::{HeaderValue, StatusCode};
use talksy_domain::error::{ApiError, ErrorCode};

use super::media::Media;
use crate::graphql::{Answer, Encoded};

/// A response with this body, that no cache keeps.
pub(super) fn uncached(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The response to a well-formed request. Under `application/json` it is 200 even where nothing
/// was executed; under `application/graphql-response+json` that is 400.
pub(super) fn graphql(media: Media, encoded: Encoded) -> Response {
    let status = match media {
        Media::GraphqlResponse if !encoded.executed => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    };
    negotiated(uncached(status, media.content_type(), encoded.body))
}

/// Says that the form of the answer depends on `Accept`.
pub(super) fn negotiated(mut response: Response) -> Response {
    let varies = HeaderValue::from_static("accept");
    response.headers_mut().append(VARY, varies);
    response
}

/// A batch is told of so many of its operations at most that each is refused: there may be many more
/// than any client means to send.
const MAX_LISTED: usize = 1_000;

/// Why a request is refused before its document is looked at: mostly because it is no well-formed
/// GraphQL-over-HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) status: StatusCode,
    pub(super) code: ErrorCode,
    pub(super) message: String,
    /// When to try again, in seconds.
    retry_after: Option<u64>,
    /// How many operations it refuses, where they came as a batch: the answer is a list, with the
    /// error for each.
    batch: Option<usize>,
}

impl Malformed {
    /// 400 `BAD_USER_INPUT`.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::BadUserInput, message)
    }

    pub(super) fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after: None,
            batch: None,
        }
    }

    /// An error that is known, under this status; where it says when to try again, so does the
    /// header `Retry-After`.
    pub(super) fn of(status: StatusCode, error: ApiError) -> Self {
        Self {
            retry_after: error.retry_after,
            ..Self::new(status, error.code, error.message)
        }
    }

    /// The refusal of a batch of so many operations.
    pub(super) fn of_batch(mut self, operations: usize) -> Self {
        self.batch = Some(operations.min(MAX_LISTED));
        self
    }

    /// The response, as a GraphQL one.
    pub(super) fn reply(self, media: Option<Media>) -> Response {
        let media = media.map_or(Media::Json, Media::json);
        let error = ApiError {
            retry_after: self.retry_after,
            ..ApiError::new(self.code, self.message)
        };
        let answer = Answer::from(&error);
        let mut body: Bytes = answer.encode().body;
        if let Some(operations) = self.batch {
            let each = vec![&*body; operations];
            body = [&b"["[..], &each.join(&b","[..]), b"]"].concat().into();
        }
        let mut response = negotiated(uncached(self.status, media.content_type(), body));
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}
