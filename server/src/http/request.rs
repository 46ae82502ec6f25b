//! From the parameters of a GraphQL request, whatever transport brought them, to a request that
//! is ready to run: checked, parsed, its operation chosen, its caller beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_graphql::parser::types::OperationDefinition;
use async_graphql::{Name, Positioned, Request, ServerError, Value, Variables};
use serde::Deserialize;
use serde::de::Error as _;
use talksy_domain::error::{ApiError, ErrorCode};

use super::client::Caller;
use super::errors::server_error;
use super::guard::{CheckedDocument, Guard, OperationType};
use super::observe;

/// What a client is told that sends no document.
pub(super) const NO_QUERY: &str =
    "The request has no `query`: send the GraphQL document as a string.";

/// The parameters of a GraphQL-over-HTTP request. Unknown ones are ignored, as the draft reserves
/// them for its future.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Params {
    /// The document.
    pub(super) query: Option<String>,
    /// Which of its operations to run; empty counts as absent.
    #[serde(rename = "operationName")]
    pub(super) operation_name: Option<String>,
    /// Values of the operation's variables.
    pub(super) variables: Option<BTreeMap<Name, Value>>,
    /// Left to extensions of the protocol.
    pub(super) extensions: Option<BTreeMap<String, Value>>,
}

/// Reads a JSON object. Serde would take an array of its fields for one as well.
///
/// # Errors
/// Where it is none, or a field has the wrong type.
pub(super) fn from_object<'a, T: Deserialize<'a>>(json: &'a str) -> serde_json::Result<T> {
    if json.trim_start().starts_with('[') {
        return Err(serde_json::Error::custom(
            "expected an object, found an array",
        ));
    }
    serde_json::from_str(json)
}

/// A request that is ready to run.
pub(super) struct Prepared {
    /// The request, with its document and caller.
    pub(super) request: Request,
    /// Its document.
    pub(super) document: Arc<CheckedDocument>,
    /// What its operation is.
    pub(super) kind: OperationType,
}

/// Checks a request's document and chooses its operation.
///
/// # Errors
/// `BAD_USER_INPUT` without a query or a required variable, and all of [`Guard::check`].
pub(super) fn prepare(
    guard: &Guard,
    params: Params,
    caller: &Caller,
) -> Result<Prepared, Box<ServerError>> {
    let prepared = check(guard, params, caller);
    prepared.inspect_err(|error| observe::refused(error))
}

fn check(guard: &Guard, params: Params, caller: &Caller) -> Result<Prepared, Box<ServerError>> {
    let refused = |refusal: ApiError| Box::new(server_error(&refusal));
    let query = params
        .query
        .ok_or_else(|| refused(ApiError::new(ErrorCode::BadUserInput, NO_QUERY)))?;
    let document = guard.check(&query)?;
    let name = params.operation_name.filter(|name| !name.is_empty());
    let operation = document.operation(name.as_deref()).map_err(refused)?;
    let mut variables = Variables::default();
    *variables = params.variables.unwrap_or_default();
    require_variables(operation, &variables)?;
    let kind = operation.node.ty;

    let mut request = Request::new(query).variables(variables);
    request.operation_name = name;
    if let Some(extensions) = params.extensions {
        request.extensions = async_graphql::Extensions(extensions.into_iter().collect());
    }
    request = request
        .data(caller.authentication.clone())
        .data(caller.client.clone());
    request.set_parsed_query(document.document().clone());
    Ok(Prepared {
        request,
        document,
        kind,
    })
}

/// `CoerceVariableValues` for what needs no schema: a variable of non-null type without default
/// must be there. async-graphql finds it out only in the resolver that reads it.
fn require_variables(
    operation: &Positioned<OperationDefinition>,
    variables: &Variables,
) -> Result<(), Box<ServerError>> {
    for definition in &operation.node.variable_definitions {
        let variable = &definition.node;
        let name = &variable.name.node;
        let missing = match variables.get(name) {
            None => variable.default_value.is_none(),
            Some(value) => *value == Value::Null,
        };
        if missing && !variable.var_type.node.nullable {
            let mut error = server_error(&ApiError::new(
                ErrorCode::BadUserInput,
                format!(
                    "The variable `${name}` of type `{}` has no value.",
                    variable.var_type.node
                ),
            ));
            error.locations.push(definition.pos);
            return Err(Box::new(error));
        }
    }
    Ok(())
}
