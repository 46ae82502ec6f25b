//! From the parameters of a GraphQL request, whatever transport brought them, to a request that
//! is ready to run: checked, parsed, its operation chosen, its caller beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_graphql::parser::types::OperationDefinition;
use async_graphql::{Name, Positioned, Request, ServerError, Value};
use serde::Deserialize;
use serde::de::Error as _;
use talksy_domain::attachments::FilePart;
use talksy_domain::error::{ApiError, ErrorCode};
use talksy_domain::viewer::{Authentication, ClientInfo};

use super::cost::Cost;
use super::documents::{self, Documents};
use super::errors::server_error;
use super::guard::{CheckedDocument, OperationType};
use super::metering;
use super::response::Answer;

/// What a client is told that sends no document.
pub const NO_QUERY: &str = "The request has no `query`: send the GraphQL document as a string.";

/// The values of an operation's variables, as the request gives them.
pub type Variables = BTreeMap<Name, Value>;

/// The parameters of a GraphQL-over-HTTP request. Unknown ones are ignored, as the draft reserves
/// them for its future.
#[derive(Debug, Default, Deserialize)]
pub struct Params {
    /// The document.
    pub query: Option<String>,
    /// The name under which the document is registered.
    #[serde(rename = "documentId")]
    pub document_id: Option<String>,
    /// Which of its operations to run; empty counts as absent.
    #[serde(rename = "operationName")]
    pub operation_name: Option<String>,
    /// Values of the operation's variables.
    pub variables: Option<Variables>,
    /// Left to extensions of the protocol.
    pub extensions: Option<BTreeMap<String, Value>>,
}

impl Params {
    /// Whether they say which document to run: its text, or one of its names.
    pub fn name_a_document(&self) -> bool {
        self.query.is_some() || self.document_id.is_some() || self.persisted_query().is_some()
    }

    /// The id by which a client tells an operation from its others on one event stream.
    pub fn operation_id(&self) -> Option<&str> {
        match self.extensions.as_ref()?.get("operationId")? {
            Value::String(id) if !id.is_empty() => Some(id),
            _ => None,
        }
    }

    /// Puts what stands for a file at a place among the variables, `input.file` say, where null stands.
    /// False where it does not.
    pub fn place_file(&mut self, path: &str, file: &str) -> bool {
        let mut names = path.split('.');
        let variables = self.variables.as_mut();
        let first = names.next().and_then(|name| variables?.get_mut(name));
        let found = names.try_fold(first, |value, name| match value {
            Some(Value::Object(members)) => Some(members.get_mut(name)),
            _ => None,
        });
        match found.flatten() {
            Some(value @ Value::Null) => {
                *value = Value::String(file.to_owned());
                true
            }
            _ => false,
        }
    }

    /// What the extensions say of a persisted query.
    pub(super) fn persisted_query(&self) -> Option<&Value> {
        let extension = self.extensions.as_ref()?.get(documents::EXTENSION)?;
        (*extension != Value::Null).then_some(extension)
    }
}

/// Reads a JSON object. Serde would take an array of its fields for one as well.
///
/// # Errors
/// Where it is none, or a field has the wrong type.
pub fn from_object<'a, T: Deserialize<'a>>(json: &'a str) -> serde_json::Result<T> {
    if json.trim_start().starts_with('[') {
        return Err(serde_json::Error::custom(
            "expected an object, found an array",
        ));
    }
    serde_json::from_str(json)
}

/// The operation that a request runs: chosen once, for all that follows.
#[derive(Clone, Debug)]
pub struct Operation {
    document: Arc<CheckedDocument>,
    definition: Arc<Positioned<OperationDefinition>>,
    /// The `operationName` of the request.
    name: Option<String>,
    /// The name that stands in the document.
    label: Option<Name>,
}

impl Operation {
    /// The document that it is of, with its fragments.
    pub fn document(&self) -> &CheckedDocument {
        &self.document
    }

    /// What it selects.
    pub fn definition(&self) -> &OperationDefinition {
        &self.definition.node
    }

    /// Whether it is a query, a mutation or a subscription.
    pub fn kind(&self) -> OperationType {
        self.definition.node.ty
    }

    /// The name by which the request chose it, where it did.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The name that it has, where it has one that tells it from others.
    pub fn label(&self) -> Option<&str> {
        self.name.as_deref().or(self.label.as_deref())
    }

    /// A request that runs it, without variables and data.
    pub(super) fn request(&self) -> Request {
        // The text is not needed where the parsed document is there.
        let mut request = Request::new(String::new());
        request.operation_name.clone_from(&self.name);
        request.set_parsed_query(self.document.document().clone());
        request
    }
}

/// A request that is ready to run.
#[derive(Debug)]
pub struct Prepared {
    /// What it runs.
    pub operation: Operation,
    /// The values of its variables.
    pub(super) variables: async_graphql::Variables,
    /// Who asks.
    pub(super) authentication: Authentication,
    /// From where.
    pub(super) client: ClientInfo,
    /// What it costs at most.
    pub(super) cost: Cost,
    /// How many points of that are still to be taken from the budgets.
    pub(super) owed: u64,
    /// How many bytes its answer may have, where that is less than any answer may.
    pub(super) max_answer_bytes: usize,
    /// The file that came with it.
    file: FilePart,
    extensions: Option<BTreeMap<String, Value>>,
}

/// The member of `extensions` that asks for the cost of an operation.
const COST: &str = "cost";

impl Prepared {
    /// The points that it costs at most.
    pub fn points(&self) -> u64 {
        self.cost.points()
    }

    /// The same, whose answer has at most so many bytes.
    #[must_use]
    pub fn answered_within(mut self, bytes: usize) -> Self {
        self.max_answer_bytes = bytes;
        self
    }

    /// The same, with a file.
    #[must_use]
    pub fn with_file(mut self, file: FilePart) -> Self {
        self.file = file;
        self
    }

    /// Whether the request asks what it costs: by `"extensions": {"cost": true}`.
    pub(super) fn wants_cost(&self) -> bool {
        let extensions = self.extensions.as_ref();
        extensions.and_then(|extensions| extensions.get(COST)) == Some(&Value::Boolean(true))
    }

    /// The request as the executor takes it.
    pub(super) fn into_request(self) -> Request {
        let mut request = self.operation.request().variables(self.variables);
        if let Some(extensions) = self.extensions {
            request.extensions = async_graphql::Extensions(extensions.into_iter().collect());
        }
        request
            .data(self.authentication)
            .data(self.client)
            .data(self.file)
    }
}

/// Finds and checks a request's document and chooses its operation.
///
/// # Errors
/// `BAD_USER_INPUT` without a document or a required variable, and all that the document is refused
/// for (see [`Documents`]).
pub fn prepare(
    documents: &Documents,
    params: Params,
    authentication: &Authentication,
    client: &ClientInfo,
) -> Result<Prepared, Box<Answer>> {
    let refused = |error: Box<ServerError>| {
        let answer = Answer::refused(*error);
        metering::refused(&answer);
        Box::new(answer)
    };
    let operation = choose(documents, &params).map_err(refused)?;
    let mut variables = async_graphql::Variables::default();
    *variables = params.variables.unwrap_or_default();
    require_variables(&operation.definition, &variables).map_err(refused)?;
    let cost = documents
        .guard()
        .cost(&operation.document, &operation.definition.node, &variables)
        .map_err(refused)?;
    Ok(Prepared {
        operation,
        variables,
        authentication: authentication.clone(),
        client: client.clone(),
        cost,
        owed: cost.points(),
        max_answer_bytes: usize::MAX,
        file: FilePart::default(),
        extensions: params.extensions,
    })
}

fn choose(documents: &Documents, params: &Params) -> Result<Operation, Box<ServerError>> {
    let document = documents.find(params)?;
    let name = params.operation_name.clone();
    let name = name.filter(|name| !name.is_empty());
    let (label, definition) = document
        .operation(name.as_deref())
        .map_err(|refusal| Box::new(server_error(&refusal)))?;
    Ok(Operation {
        document,
        definition,
        name,
        label,
    })
}

/// `CoerceVariableValues` for what needs no schema: a variable of non-null type without default
/// must be there. async-graphql finds it out only in the resolver that reads it.
fn require_variables(
    operation: &Positioned<OperationDefinition>,
    variables: &async_graphql::Variables,
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
