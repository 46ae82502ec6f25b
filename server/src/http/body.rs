//! Reads the body of a POST within its bounds, chunked or not, and the parameters in it.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, StatusCode};
use serde_json::value::RawValue;
use talksy_domain::error::ErrorCode;

use super::reply::Malformed;
use crate::graphql::Params;
use crate::graphql::operation::{NO_QUERY, from_object};

/// The operations of a POST.
#[derive(Debug)]
pub(super) enum Operations {
    /// A JSON object.
    One(Box<Params>),
    /// A JSON array of them.
    Batch(Vec<Params>),
}

/// How much of a body that is too large is read and dropped, in bytes. A connection closed over
/// unread bytes is reset, and the reset can overtake the answer.
const DRAINED: usize = 8 << 20;

/// Reads a body of at most `max` bytes.
///
/// # Errors
/// 413 beyond `max`, 408 beyond `timeout`, 400 where the connection breaks off.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    max: usize,
    timeout: Duration,
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
    let oversize = announced.is_some_and(|length| length > max);
    // Who waits for leave to send has sent nothing that must be read.
    if oversize && headers.contains_key(EXPECT) {
        return Err(too_large());
    }
    let read = async {
        let mut chunks = body.into_data_stream();
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        let mut length = 0_usize;
        let most = if oversize { 0 } else { max };
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Malformed::bad("The body ended early."))?;
            length = length.saturating_add(chunk.len());
            if length > most {
                (first, rest) = Default::default();
                if length - most > DRAINED {
                    break;
                }
                continue;
            }
            // A body mostly comes in one piece, which then needs no copy.
            if first.is_empty() && rest.is_empty() {
                first = chunk;
                continue;
            }
            rest.extend_from_slice(&std::mem::take(&mut first));
            rest.extend_from_slice(&chunk);
        }
        if length > most {
            return Err(too_large());
        }
        Ok(if rest.is_empty() {
            first
        } else {
            rest.freeze()
        })
    };
    tokio::time::timeout(timeout, read)
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
/// 400 where it is not JSON of the right shape or has no query, 413 beyond `max_batch`. A batched
/// operation without query is answered in its place.
pub(super) fn decode(body: &[u8], max_batch: usize) -> Result<Operations, Malformed> {
    let malformed = |error: serde_json::Error| {
        Malformed::bad(if error.is_data() {
            format!("The body is not a GraphQL request: {error}.")
        } else {
            format!("The body is not JSON: {error}.")
        })
    };
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'[') {
        let params: Box<Params> = serde_json::from_slice(body).map_err(malformed)?;
        return if params.name_a_document() {
            Ok(Operations::One(params))
        } else {
            Err(Malformed::bad(NO_QUERY))
        };
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
        )
        .of_batch(items.len()));
    }
    items
        .into_iter()
        .map(|item| from_object(item.get()).map_err(malformed))
        .collect::<Result<_, _>>()
        .map(Operations::Batch)
}
