//! Reads the body of a POST within its bounds, chunked or not, and the parameters in it.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use serde_json::value::RawValue;
use talksy_schema::error::ErrorCode;

use super::reply::Malformed;
use super::request::Params;

/// The operations of a POST.
#[derive(Debug)]
pub(super) enum Operations {
    /// A JSON object.
    One(Box<Params>),
    /// A JSON array of them.
    Batch(Vec<Params>),
}

/// Reads a body of at most `max` bytes.
///
/// # Errors
/// 413 beyond `max`, 408 beyond `patience`, 400 where the connection breaks off.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    max: usize,
    patience: Duration,
) -> Result<Bytes, Malformed> {
    let too_large = || {
        Malformed::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::PayloadTooLarge,
            format!("The body is larger than {max} bytes."),
        )
    };
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    if announced.is_some_and(|length| length > max) {
        return Err(too_large());
    }
    let read = async {
        let mut chunks = body.into_data_stream();
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Malformed::bad("The body ended early."))?;
            if first.len() + rest.len() + chunk.len() > max {
                return Err(too_large());
            }
            // A body mostly comes in one piece, which then needs no copy.
            if first.is_empty() && rest.is_empty() {
                first = chunk;
                continue;
            }
            rest.extend_from_slice(&std::mem::take(&mut first));
            rest.extend_from_slice(&chunk);
        }
        Ok(if rest.is_empty() {
            first
        } else {
            rest.freeze()
        })
    };
    tokio::time::timeout(patience, read)
        .await
        .unwrap_or_else(|_| {
            Err(Malformed::new(
                StatusCode::REQUEST_TIMEOUT,
                ErrorCode::BadUserInput,
                "The body did not arrive in time.",
            ))
        })
}

/// Decodes a body into at most `max_batch` operations.
///
/// # Errors
/// 400 where it is not JSON of the right shape, 413 beyond `max_batch`.
pub(super) fn decode(body: &[u8], max_batch: usize) -> Result<Operations, Malformed> {
    let malformed = |error: serde_json::Error| {
        Malformed::bad(if error.is_data() {
            format!("The body is not a GraphQL request: {error}.")
        } else {
            format!("The body is not JSON: {error}.")
        })
    };
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'[') {
        return serde_json::from_slice(body)
            .map(Operations::One)
            .map_err(malformed);
    }
    let items: Vec<&RawValue> = serde_json::from_slice(body).map_err(malformed)?;
    if items.is_empty() {
        return Err(Malformed::bad("The batch is empty."));
    }
    if items.len() > max_batch {
        return Err(Malformed::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::PayloadTooLarge,
            format!("The batch has more than {max_batch} operations."),
        ));
    }
    items
        .into_iter()
        .map(|item| serde_json::from_str(item.get()).map_err(malformed))
        .collect::<Result<_, _>>()
        .map(Operations::Batch)
}
