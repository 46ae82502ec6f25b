//! Answers as bytes: the one place where a GraphQL response is serialized, for all transports.

use async_graphql::parser::types::OperationType;
use async_graphql::{Response, ServerError, Value};
use bytes::Bytes;
use serde::Serialize;
use talksy_domain::error::ApiError;

use super::errors::{complete, is_request_error, server_error};
use super::request_id::stamp;

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

/// One payload of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A serialized GraphQL response (`{"data":…}`), UTF-8 JSON on one line: one `next`.
    Next(Bytes),
    /// The operation ends with these serialized errors (a JSON array).
    Error(Bytes),
}

/// A serialized response.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The JSON.
    pub body: Bytes,
    /// Whether something was executed, so that `data` is there, if only as `null`.
    pub executed: bool,
}

/// What a request is answered: every error has its code, and nothing internal is in it.
#[derive(Debug)]
pub struct Answer(Response);

impl Answer {
    /// Completes the response of an operation that was executed. Its errors are logged here, where
    /// they are faults.
    pub fn new(response: Response, executed: OperationType) -> Self {
        Self::completed(response, Some(executed))
    }

    /// The answer to a request of which nothing was executed.
    pub fn refused(error: ServerError) -> Self {
        Self::completed(Response::from_errors(vec![error]), None)
    }

    fn completed(mut response: Response, executed: Option<OperationType>) -> Self {
        complete(&mut response, executed);
        Self(response)
    }

    /// Whether something was executed, so that `data` is there, if only as `null`.
    pub fn is_executed(&self) -> bool {
        !is_request_error(&self.0)
    }

    /// The code of the first error, or `OK`.
    pub fn code(&self) -> &str {
        let Some(error) = self.0.errors.first() else {
            return "OK";
        };
        match error.extensions.as_ref().and_then(|e| e.get("code")) {
            Some(Value::String(code)) => code,
            _ => "INTERNAL",
        }
    }

    /// Serializes it whole.
    pub fn encode(mut self) -> Encoded {
        stamp(&mut self.0.errors);
        let executed = self.is_executed();
        let wire = Wire {
            data: executed.then_some(&self.0.data),
            errors: &self.0.errors,
            extensions: (!self.0.extensions.is_empty()).then_some(&self.0.extensions),
        };
        Encoded {
            body: to_bytes(&wire),
            executed,
        }
    }

    /// What was answered, where it is data alone.
    pub(super) fn into_data(self) -> Option<Value> {
        let Response {
            data,
            errors,
            extensions,
            ..
        } = self.0;
        (errors.is_empty() && extensions.is_empty()).then_some(data)
    }

    /// Serializes it as one payload of an operation: errors before execution end the operation,
    /// anything else is a `next`.
    pub fn payload(mut self) -> Payload {
        if self.is_executed() {
            Payload::Next(self.encode().body)
        } else {
            self.end()
        }
    }

    /// Serializes its errors alone, which end an operation.
    pub(super) fn end(&mut self) -> Payload {
        stamp(&mut self.0.errors);
        Payload::Error(to_bytes(&self.0.errors))
    }

    /// Whether an event brought nothing but errors.
    pub(super) fn is_without_data(&self) -> bool {
        self.0.data == Value::Null && !self.0.errors.is_empty()
    }
}

impl From<&ApiError> for Answer {
    fn from(error: &ApiError) -> Self {
        Self::refused(server_error(error))
    }
}

/// A refusal that ends an operation.
pub fn error_payload(error: &ApiError) -> Payload {
    Answer::from(error).end()
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

    fn encode(response: Response) -> Encoded {
        Answer::new(response, OperationType::Query).encode()
    }

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
