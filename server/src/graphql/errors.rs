//! The last place an error passes before it leaves: every one gets its `extensions.code` here, a
//! fault is logged here and nowhere else, and nothing internal gets out. Knows how async-graphql
//! reports each kind of error.

use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use async_graphql::{ErrorExtensionValues, Response, ServerError};
use talksy_domain::error::{ApiError, ErrorCode, PortError, chain};

/// Most errors of one response; one hostile document can have thousands.
pub(super) const MAX_ERRORS: usize = 32;

/// How the messages of argument and variable coercion begin, at validation and in resolvers.
const COERCION: [&str; 4] = [
    "Invalid value for argument",
    "Failed to parse \"",
    "Expected input type \"",
    "Invalid value for variable",
];

/// The one argument that a mutation may have.
const MUTATION_ARGUMENT: &str = "input";

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

/// Gives every error of a response its code, and hides and logs what is internal. `executed` is
/// the kind of the operation that was executed, where one was.
pub fn complete(response: &mut Response, executed: Option<OperationType>) {
    response.errors.truncate(MAX_ERRORS);
    for error in &mut response.errors {
        let of_mutation = executed == Some(OperationType::Mutation) && error.path.len() == 1;
        complete_error(error, of_mutation);
    }
}

/// Names an argument of a mutation by its path, as the client wrote it: services know the members
/// of a mutation's one argument, `input`, and not the argument.
fn name_by_path(message: &mut String, refusal: &mut ApiError) {
    if let Some(field) = &mut refusal.field {
        let path = format!("{MUTATION_ARGUMENT}.{field}");
        *message = message.replace(&format!("`{field}`"), &format!("`{path}`"));
        *field = path.into();
    }
}

fn extend(extensions: &mut ErrorExtensionValues, refusal: &ApiError) {
    extensions.set("code", refusal.code.as_str());
    if let Some(field) = &refusal.field {
        extensions.set("field", field.as_ref());
    }
    if let Some(seconds) = refusal.retry_after {
        extensions.set("retryAfter", seconds);
    }
    if let Some(bytes) = refusal.left {
        extensions.set("left", bytes);
    }
}

fn complete_error(error: &mut ServerError, of_mutation: bool) {
    let extensions = error.extensions.as_ref();
    if extensions.is_some_and(|extensions| extensions.get("code").is_some()) {
        return;
    }
    let refusal = error.source::<ApiError>().cloned();
    let extensions = error.extensions.get_or_insert_default();
    if let Some(mut refusal) = refusal {
        log_fault(&refusal);
        if of_mutation {
            name_by_path(&mut error.message, &mut refusal);
        }
        extend(extensions, &refusal);
        return;
    }
    let code = if COERCION
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
    use talksy_domain::error::Invalid;

    use super::*;

    fn completed(message: &str, path: Vec<PathSegment>) -> (String, Value) {
        let mut response =
            Response::from_errors(vec![ServerError::new(message, None).with_path(path)]);
        complete(&mut response, None);
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
    fn an_argument_of_a_mutation_is_named_by_its_path() {
        let refusal = ApiError::from(Invalid::new("userIds.3", "is no id; ask `users` for them"));
        let told = |kind, path: &[&str]| {
            let path = path.iter().map(|&name| PathSegment::Field(name.into()));
            let error = server_error(&refusal).with_path(path.collect());
            let mut response = Response::from_errors(vec![error]);
            complete(&mut response, kind);
            let error = response.errors.remove(0);
            let field = error.extensions.unwrap().get("field").unwrap().clone();
            (error.message, field.to_string())
        };
        let plain = (
            "`userIds.3` is no id; ask `users` for them.".to_owned(),
            "\"userIds.3\"".to_owned(),
        );
        let named = (
            "`input.userIds.3` is no id; ask `users` for them.".to_owned(),
            "\"input.userIds.3\"".to_owned(),
        );
        let mutation = Some(OperationType::Mutation);
        assert_eq!(told(mutation, &["addMembers"]), named);
        // An argument of a field below is named as it is.
        assert_eq!(told(mutation, &["addMembers", "chat"]), plain);
        assert_eq!(told(Some(OperationType::Query), &["users"]), plain);
        assert_eq!(told(None, &[]), plain);
    }

    #[test]
    fn a_code_that_is_there_stays() {
        let refusal = ApiError::new(ErrorCode::RateLimited, "Wait.")
            .field("email")
            .retry_after(std::time::Duration::from_secs(7));
        let mut response = Response::from_errors(vec![server_error(&refusal)]);
        complete(&mut response, None);
        assert_eq!(
            serde_json::to_value(&response.errors).unwrap(),
            serde_json::json!([{
                "message": "Wait.",
                "extensions": {"code": "RATE_LIMITED", "field": "email", "retryAfter": 7}
            }])
        );
    }
}
