//! Answers as bytes: the one place where a GraphQL response is serialized, for all transports.

use std::io;

use async_graphql::parser::types::OperationType;
use async_graphql::{Response, ServerError, Value};
use bytes::Bytes;
use serde::Serialize;
use talksy_domain::error::ApiError;

use super::errors::{complete, is_request_error, server_error};
use super::request_id::stamp;
use super::too_much::too_large;

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

impl Payload {
    /// How many bytes it has.
    pub(super) fn bytes(&self) -> usize {
        let (Self::Next(json) | Self::Error(json)) = self;
        json.len()
    }
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
pub struct Answer {
    response: Response,
    /// The kind of the operation that was executed, where one was.
    executed: Option<OperationType>,
    /// Whether it stands in for an answer that cannot be given, although something was executed.
    in_place: bool,
    /// How many bytes it may have.
    max_bytes: usize,
}

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

    /// The answer of an operation that was executed, at least in part, and has no data.
    pub fn without_data(error: &ApiError, executed: OperationType) -> Self {
        let response = Response::from_errors(vec![server_error(error)]);
        Self::new(response, executed).in_place()
    }

    fn completed(mut response: Response, executed: Option<OperationType>) -> Self {
        complete(&mut response, executed);
        Self {
            response,
            executed,
            in_place: false,
            max_bytes: usize::MAX,
        }
    }

    /// The same, which stands in for an answer that cannot be given.
    pub(super) fn in_place(self) -> Self {
        Self {
            in_place: true,
            ..self
        }
    }

    /// The same, of at most so many bytes. One that is larger is told as that.
    pub(super) fn at_most(self, max_bytes: usize) -> Self {
        Self { max_bytes, ..self }
    }

    /// Tells something beside the data.
    pub(super) fn extend(&mut self, name: &str, value: Value) {
        self.response.extensions.insert(name.to_owned(), value);
    }

    /// Whether something was executed, so that `data` is there, if only as `null`.
    pub fn is_executed(&self) -> bool {
        self.in_place || !is_request_error(&self.response)
    }

    /// The code of the first error, or `OK`.
    pub fn code(&self) -> &str {
        let Some(error) = self.response.errors.first() else {
            return "OK";
        };
        match error.extensions.as_ref().and_then(|e| e.get("code")) {
            Some(Value::String(code)) => code,
            _ => "INTERNAL",
        }
    }

    /// Serializes it whole.
    pub fn encode(mut self) -> Encoded {
        stamp(&mut self.response.errors);
        let executed = self.is_executed();
        let body = match self.write(executed) {
            Written::Whole(body) => body,
            Written::Broken => Bytes::from_static(UNSERIALIZABLE),
            Written::TooLarge => {
                let told = too_large(self.max_bytes);
                let response = told.in_place_of(self.response, self.executed);
                return Self::completed(response, self.executed).in_place().encode();
            }
        };
        Encoded { body, executed }
    }

    fn write(&self, executed: bool) -> Written {
        let wire = Wire {
            data: executed.then_some(&self.response.data),
            errors: &self.response.errors,
            extensions: (!self.response.extensions.is_empty()).then_some(&self.response.extensions),
        };
        to_bytes(&wire, self.max_bytes)
    }

    /// What was answered, where it is data alone.
    pub(super) fn into_data(self) -> Option<Value> {
        let Response {
            data,
            errors,
            extensions,
            ..
        } = self.response;
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

    /// Serializes it as the payload of one event. An event without data ends the operation: to skip
    /// it would lose it, so the client is told and resumes. So does one that is too large.
    pub(super) fn event(mut self) -> Payload {
        let is_without_data = self.response.data == Value::Null && !self.response.errors.is_empty();
        if is_without_data {
            return self.end();
        }
        stamp(&mut self.response.errors);
        match self.write(true) {
            Written::Whole(body) => Payload::Next(body),
            Written::Broken => Payload::Next(Bytes::from_static(UNSERIALIZABLE)),
            Written::TooLarge => {
                let told = too_large(self.max_bytes).into_response();
                Self::completed(told, self.executed).end()
            }
        }
    }

    /// Serializes its errors alone, which end an operation.
    fn end(&mut self) -> Payload {
        stamp(&mut self.response.errors);
        Payload::Error(match to_bytes(&self.response.errors, usize::MAX) {
            Written::Whole(body) => body,
            Written::Broken | Written::TooLarge => Bytes::from_static(UNSERIALIZABLE),
        })
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

/// What came of writing a value.
enum Written {
    Whole(Bytes),
    TooLarge,
    Broken,
}

fn to_bytes(value: &impl Serialize, max_bytes: usize) -> Written {
    let mut bounded = Bounded {
        bytes: Vec::with_capacity(128),
        most: max_bytes,
    };
    match serde_json::to_writer(&mut bounded, value) {
        Ok(()) => Written::Whole(compact(bounded.bytes)),
        Err(error) if error.io_error_kind() == Some(FULL) => Written::TooLarge,
        Err(error) => {
            tracing::error!(%error, "a response could not be serialized");
            Written::Broken
        }
    }
}

/// Bytes that may be kept for a while, without the room that they have grown into where that is
/// much.
fn compact(mut bytes: Vec<u8>) -> Bytes {
    if bytes.capacity() - bytes.len() > SPARE {
        bytes.shrink_to_fit();
    }
    bytes.into()
}

/// So much room for nothing is no harm, in bytes.
const SPARE: usize = 4 * 1024;

/// How [`Bounded`] says that it is full.
const FULL: io::ErrorKind = io::ErrorKind::FileTooLarge;

/// Takes bytes up to a bound.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.most.saturating_sub(self.bytes.len()) {
            return Err(FULL.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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

    #[test]
    fn an_answer_takes_about_as_much_memory_as_it_has_bytes() {
        let text = "x".repeat(600_000);
        let body = encode(Response::new(value!({ "a": text }))).body;
        let length = body.len();
        let taken = Vec::from(body).capacity();
        assert!(taken <= length + SPARE, "{taken} for {length}");
    }

    #[test]
    fn an_answer_has_no_more_bytes_than_it_may() {
        let answer = |kind| Answer::new(Response::new(value!({"a": "x".repeat(100)})), kind);
        let whole = answer(OperationType::Query).encode().body;
        let same = answer(OperationType::Query).at_most(whole.len()).encode();
        assert_eq!(same.body, whole);
        let shorter = || whole.len() - 1;
        let query = answer(OperationType::Query).at_most(shorter()).encode();
        assert!(query.executed);
        let query: serde_json::Value = serde_json::from_slice(&query.body).unwrap();
        assert_eq!(query["data"], serde_json::Value::Null);
        assert!(query.as_object().unwrap().contains_key("data"));
        let code = "/errors/0/extensions/code";
        let too_large = serde_json::json!("RESPONSE_TOO_LARGE");
        assert_eq!(query.pointer(code), Some(&too_large));
        let Payload::Error(errors) = answer(OperationType::Subscription)
            .at_most(shorter())
            .event()
        else {
            panic!("an event that is too large ends the operation");
        };
        let errors: serde_json::Value = serde_json::from_slice(&errors).unwrap();
        assert_eq!(errors.pointer("/0/extensions/code"), Some(&too_large));
    }
}
