//! Responses as bytes: the one place where a GraphQL response is serialized, for all transports.

use async_graphql::{Response, ServerError, Value};
use bytes::Bytes;
use serde::Serialize;
use talksy_domain::error::ApiError;

use super::application::Payload;
use super::errors::{complete, is_request_error, server_error};
use super::observe::stamp;

/// What stands in for a response that cannot be serialized. Values of async-graphql always can
/// be; the constant spares a panic.
const UNSERIALIZABLE: &[u8] =
    br#"{"errors":[{"message":"The server failed to write its answer.","extensions":{"code":"INTERNAL"}}]}"#;

/// A response as it goes over the wire: `data` is absent where nothing was executed.
#[derive(Serialize)]
struct Wire<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ServerError],
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<&'a std::collections::BTreeMap<String, Value>>,
}

/// A serialized response.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    /// The JSON.
    pub(super) body: Bytes,
    /// Whether something was executed, so that `data` is there, if only as `null`.
    pub(super) executed: bool,
}

/// Completes the error codes of a response and serializes it.
pub(super) fn encode(mut response: Response) -> Encoded {
    complete(&mut response);
    stamp(&mut response.errors);
    let executed = !is_request_error(&response);
    let wire = Wire {
        data: executed.then_some(&response.data),
        errors: &response.errors,
        extensions: (!response.extensions.is_empty()).then_some(&response.extensions),
    };
    Encoded {
        body: to_bytes(&wire),
        executed,
    }
}

/// The response of a request that was refused before it was executed.
pub(super) fn encode_error(error: ServerError) -> Encoded {
    encode(Response::from_errors(vec![error]))
}

/// Completes a response's error codes and serializes it as one payload of an operation: errors
/// before execution end the operation, anything else is a `next`.
pub fn payload(mut response: Response) -> Payload {
    complete(&mut response);
    if is_request_error(&response) {
        stamp(&mut response.errors);
        Payload::Error(to_bytes(&response.errors))
    } else {
        Payload::Next(encode(response).body)
    }
}

/// A refusal that ends an operation.
pub fn error_payload(refusal: &ApiError) -> Payload {
    let mut errors = [server_error(refusal)];
    stamp(&mut errors);
    Payload::Error(to_bytes(&errors))
}

fn to_bytes(value: &impl Serialize) -> Bytes {
    match serde_json::to_vec(value) {
        Ok(bytes) => bytes.into(),
        Err(error) => {
            tracing::error!(%error, "a response could not be serialized");
            Bytes::from_static(UNSERIALIZABLE)
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{PathSegment, value};

    use super::*;

    #[test]
    fn a_request_error_has_no_data_and_a_field_error_has_null() {
        let request_error = encode(Response::from_errors(vec![ServerError::new("no", None)]));
        assert!(!request_error.executed);
        assert_eq!(
            request_error.body,
            r#"{"errors":[{"message":"no","extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]}"#
        );
        let path = vec![PathSegment::Field("me".into())];
        let mut field_error = ServerError::new("no", None).with_path(path);
        field_error
            .extensions
            .get_or_insert_default()
            .set("code", "FORBIDDEN");
        let response = encode(Response::from_errors(vec![field_error]));
        assert!(response.executed);
        assert_eq!(
            response.body,
            r#"{"data":null,"errors":[{"message":"no","path":["me"],"extensions":{"code":"FORBIDDEN"}}]}"#
        );
        assert_eq!(
            encode(Response::new(value!({"a": 1}))).body,
            r#"{"data":{"a":1}}"#
        );
    }
}
