//! The last place an error passes before it leaves: every one gets its `extensions.code` here, a
//! fault is logged here and nowhere else, and nothing internal gets out. Knows how async-graphql
//! reports each kind of error.

use std::sync::Arc;

use async_graphql::{ErrorExtensionValues, Response, ServerError};
use talksy_domain::error::{ApiError, ErrorCode, PortError, chain};

/// Most errors of one response; one hostile document can have thousands.
const MAX_ERRORS: usize = 32;

/// How the messages of argument and variable coercion begin, at validation and in resolvers.
const COERCION: [&str; 4] = [
    "Invalid value for argument",
    "Failed to parse \"",
    "Expected input type \"",
    "Invalid value for variable",
];

/// A refusal as a GraphQL error without location, to be completed.
pub fn server_error(refusal: &ApiError) -> ServerError {
    let mut error = ServerError::new(refusal.message.as_str(), None);
    error.source = Some(Arc::new(refusal.clone()));
    error
}

/// Logs the fault behind an error that a client is told in another form than a response.
pub fn log_fault(error: &ApiError) {
    let Some(fault) = &error.fault else { return };
    let chain = chain(&**fault);
    match &**fault {
        PortError::Unavailable { backend, .. } => {
            tracing::warn!(backend, error = %chain, "backend unavailable");
        }
        PortError::Corrupt { .. } => tracing::error!(error = %chain, "corrupt record"),
    }
}

/// Gives every error of a response its code, and hides and logs what is internal.
pub fn complete(response: &mut Response) {
    response.errors.truncate(MAX_ERRORS);
    for error in &mut response.errors {
        complete_error(error);
    }
}

fn extend(extensions: &mut ErrorExtensionValues, refusal: &ApiError) {
    extensions.set("code", refusal.code.as_str());
    if let Some(field) = &refusal.field {
        extensions.set("field", &**field);
    }
    if let Some(seconds) = refusal.retry_after {
        extensions.set("retryAfter", seconds);
    }
}

fn complete_error(error: &mut ServerError) {
    let extensions = error.extensions.as_ref();
    if extensions.is_some_and(|extensions| extensions.get("code").is_some()) {
        return;
    }
    let refusal = error.source::<ApiError>().cloned();
    let too_large = error.path.is_empty() && error.message == "Query is too complex.";
    if too_large {
        // async-graphql has only a message for it.
        "The operation asks for too many objects at once. Ask for smaller pages."
            .clone_into(&mut error.message);
    }
    let extensions = error.extensions.get_or_insert_default();
    if let Some(refusal) = refusal {
        log_fault(&refusal);
        extend(extensions, &refusal);
        return;
    }
    let code = if too_large {
        ErrorCode::QueryTooComplex
    } else if COERCION
        .iter()
        .any(|start| error.message.starts_with(start))
    {
        ErrorCode::BadUserInput
    } else if error.path.is_empty() {
        ErrorCode::GraphqlValidationFailed
    } else {
        tracing::error!(error = %error.message, path = ?error.path, "a resolver failed without a code");
        "The server failed to answer this. It has been logged.".clone_into(&mut error.message);
        ErrorCode::Internal
    };
    extensions.set("code", code.as_str());
}

/// Whether nothing was executed: the response then has no `data` entry at all (GraphQL
/// specification, "Request Error Result Format").
pub fn is_request_error(response: &Response) -> bool {
    response.data == async_graphql::Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty())
}

#[cfg(test)]
mod tests {
    use async_graphql::{PathSegment, Value};

    use super::*;

    fn completed(message: &str, path: Vec<PathSegment>) -> (String, Value) {
        let mut response =
            Response::from_errors(vec![ServerError::new(message, None).with_path(path)]);
        complete(&mut response);
        let error = response.errors.remove(0);
        let code = error.extensions.unwrap().get("code").unwrap().clone();
        (error.message, code)
    }

    #[test]
    fn an_error_without_code_gets_the_one_of_its_kind() {
        let path = || vec![PathSegment::Field("me".into())];
        assert_eq!(
            completed("Unknown field \"x\"", vec![]),
            (
                "Unknown field \"x\"".into(),
                Value::from("GRAPHQL_VALIDATION_FAILED")
            )
        );
        assert_eq!(
            completed("Invalid value for argument \"first\"", vec![]).1,
            Value::from("BAD_USER_INPUT")
        );
        assert_eq!(
            completed("Failed to parse \"Int\": no", path()).1,
            Value::from("BAD_USER_INPUT")
        );
        assert_eq!(
            completed("disk /dev/sda1 is full", path()),
            (
                "The server failed to answer this. It has been logged.".into(),
                Value::from("INTERNAL")
            )
        );
    }

    #[test]
    fn a_code_that_is_there_stays() {
        let refusal = ApiError::new(ErrorCode::RateLimited, "Wait.")
            .field("email")
            .retry_after(std::time::Duration::from_secs(7));
        let mut response = Response::from_errors(vec![server_error(&refusal)]);
        complete(&mut response);
        assert_eq!(
            serde_json::to_value(&response.errors).unwrap(),
            serde_json::json!([{
                "message": "Wait.",
                "extensions": {"code": "RATE_LIMITED", "field": "email", "retryAfter": 7}
            }])
        );
    }
}
