//! What a client is told whose operation took too long or was answered with too much.
//!
//! Of a query nothing is told but that. What a mutation did is told, since it was done: each of its
//! fields is null, with an error that says `done`.

use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{PathSegment, Response, ServerError, Value};
use talksy_domain::error::{ApiError, ErrorCode};

use super::errors::server_error;

/// Why an operation has no data.
pub(super) struct TooMuch(ApiError);

/// The answer is larger than so many bytes.
pub(super) fn too_large(most: usize) -> TooMuch {
    TooMuch(ApiError::new(
        ErrorCode::ResponseTooLarge,
        format!(
            "The answer is larger than {most} bytes. Ask for smaller pages, for fewer fields, or \
             for less in one batch."
        ),
    ))
}

/// The execution took longer than this.
pub(super) fn timed_out(timeout: Duration) -> TooMuch {
    TooMuch(timeout_error(timeout, false))
}

/// What is told of an operation that has no answer in time.
pub fn timeout_error(timeout: Duration, is_mutation: bool) -> ApiError {
    let time = timeout.as_secs_f64();
    let message = if is_mutation {
        format!(
            "The mutation takes longer than {time} s. It was not stopped and may be done yet: look \
             before you repeat it. `sendMessage` is safe to repeat with the same \
             `clientMessageId`."
        )
    } else {
        format!("The execution took longer than {time} s, and was stopped.")
    };
    ApiError::new(ErrorCode::Timeout, message)
}

/// What is told of an operation whose time was over before it began.
pub fn not_begun_error(timeout: Duration) -> ApiError {
    let time = timeout.as_secs_f64();
    ApiError::new(
        ErrorCode::Timeout,
        format!(
            "The operations ahead of this one, in its batch or of its user, took longer than {time} s. \
             This one was not executed: send it again."
        ),
    )
}

impl TooMuch {
    /// The error alone, in place of all data.
    pub(super) fn into_response(self) -> Response {
        Response::from_errors(vec![server_error(&self.0)])
    }

    /// In place of a response that was made: of a mutation it says what was done.
    pub(super) fn in_place_of(
        self,
        response: Response,
        executed: Option<OperationType>,
    ) -> Response {
        match response.data {
            Value::Object(fields) if executed == Some(OperationType::Mutation) => {
                let refused: Vec<_> = response
                    .errors
                    .into_iter()
                    .filter(|error| error.path.len() == 1)
                    .collect();
                let mut errors = Vec::new();
                let mut data = fields;
                for (key, value) in &mut data {
                    let path = vec![PathSegment::Field(key.to_string())];
                    // `__typename` was not done.
                    let is_payload = !matches!(value, Value::String(_));
                    *value = Value::Null;
                    if is_payload && refused.iter().all(|error| error.path != path) {
                        errors.push(self.done(path));
                    }
                }
                errors.extend(refused);
                let mut response = Response::new(Value::Object(data));
                response.errors = errors;
                response
            }
            _ => self.into_response(),
        }
    }

    /// A field of a mutation was carried out, and its payload is not told.
    fn done(&self, path: Vec<PathSegment>) -> ServerError {
        let mut error = ServerError::new(
            format!(
                "This was done, but not all of it can be told. {}",
                self.0.message
            ),
            None,
        )
        .with_path(path);
        let extensions = error.extensions.get_or_insert_default();
        extensions.set("code", self.0.code.as_str());
        extensions.set("done", true);
        error
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::value;

    use super::*;

    fn failed(key: &str) -> ServerError {
        ServerError::new("refused", None).with_path(vec![PathSegment::Field(key.to_owned())])
    }

    #[test]
    fn what_a_mutation_did_is_told_and_what_it_did_not_is_not() {
        let mut response = Response::new(value!({
            "sent": { "text": "long" }, "refused": null, "empty": null, "__typename": "Mutation",
        }));
        let mut below = failed("sent");
        below.path.push(PathSegment::Field("chat".to_owned()));
        response.errors = vec![failed("refused"), below];
        let told = too_large(10).in_place_of(response, Some(OperationType::Mutation));
        assert_eq!(
            told.data,
            value!({ "sent": null, "refused": null, "empty": null, "__typename": null })
        );
        let errors: Vec<_> = told
            .errors
            .iter()
            .map(|error| {
                let done = error.extensions.as_ref().and_then(|one| one.get("done"));
                (error.path.clone(), done.cloned())
            })
            .collect();
        let path = |key: &str| vec![PathSegment::Field(key.to_owned())];
        assert_eq!(
            errors,
            [
                (path("sent"), Some(Value::from(true))),
                (path("empty"), Some(Value::from(true))),
                (path("refused"), None),
            ]
        );
    }

    #[test]
    fn a_query_has_no_data() {
        let response = Response::new(value!({ "me": { "name": "ada" } }));
        let told = too_large(10).in_place_of(response, Some(OperationType::Query));
        assert_eq!((told.data, told.errors.len()), (Value::Null, 1));
    }
}
