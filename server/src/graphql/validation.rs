//! Validates each document once: by async-graphql's rules, and by those of the specification that it
//! lacks ([`overlaps`], [`positions`], [`variables`]). What the rules say hangs on the document alone, but
//! for one: whether the value of an argument is of its type, where variables stand in it. That is looked
//! at for each request; where it does not hold, or may not, the whole document is validated again, so
//! that the errors are async-graphql's own, in its words and order.
//!
//! async-graphql validates whatever it executes. So the rules stand on a schema of their own, behind
//! which nothing is executed ([`rules`]), and operations run on one that has none
//! ([`talksy_schema::schema::validated_schema`]).

use std::sync::{Arc, OnceLock};

use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextExecute, NextValidation,
};
use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Directive, ExecutableDocument, Field, Selection, SelectionSet};
use async_graphql::registry::{MetaInputValue, MetaType, MetaTypeName, Registry};
use async_graphql::{
    Name, Positioned, Response, SchemaEnv, ServerError, ValidationResult, Value, Variables,
};
use async_graphql_value::Value as Literal;
use async_trait::async_trait;
use talksy_domain::error::{ApiError, ErrorCode};
use talksy_schema::schema::{TalksySchema, rules};

use super::errors::{MAX_ERRORS, server_error};
use super::guard::CheckedDocument;
use super::operation::Operation;

mod overlaps;
mod positions;
mod variables;

/// The longest document, in bytes, of whose unknown names it is told what is like them: names are
/// compared letter by letter, each with all that there are.
const MAX_SUGGESTING: usize = 4 * 1024;

/// Finds out what is wrong with operations before they run.
pub(super) struct Validator {
    rules: TalksySchema,
    /// The same without suggestions.
    terse: TalksySchema,
    /// The schema's types, once an operation was validated.
    types: Arc<OnceLock<SchemaEnv>>,
}

impl Validator {
    /// A validator of operations on the schema.
    pub(super) fn new() -> Self {
        let types = Arc::default();
        let rules = |suggests| rules(NothingRuns(Arc::clone(&types)), suggests);
        Self {
            rules: rules(true),
            terse: rules(false),
            types,
        }
    }

    /// What a request for the operation is refused with, as its document is not valid or a variable
    /// is not of its type; `None` where it can run. Variables that are absent have their defaults.
    pub(super) async fn refusal(
        &self,
        operation: &Operation,
        variables: &Variables,
    ) -> Option<Response> {
        let document = operation.document();
        if document.is_valid() && self.are_of_their_types(document.document(), variables) {
            return None;
        }
        let request = operation.request().variables(variables.clone());
        let is_short = document.text().len() <= MAX_SUGGESTING;
        let rules = if is_short { &self.rules } else { &self.terse };
        let mut response = Box::pin(rules.execute(request)).await;
        if !document.is_valid() {
            let found = self.lacking(document, response.is_ok());
            response.errors.extend(found);
        }
        if response.is_err() {
            return Some(response);
        }
        document.set_valid();
        None
    }

    /// What the rules find that async-graphql lacks. Those that it has in part tell only of what it
    /// has let pass.
    fn lacking(&self, document: &CheckedDocument, has_passed: bool) -> Vec<ServerError> {
        let Some(types) = self.types.get() else {
            return Vec::new();
        };
        let registry = &types.registry;
        let mut findings = Findings::default();
        positions::find(registry, document, &mut findings);
        variables::find(registry, document.document(), &mut findings);
        if has_passed {
            overlaps::find(registry, document.document(), &mut findings);
        }
        findings.told()
    }

    /// Whether all arguments of a valid document are of their types with these variables. False
    /// also where only an operation that is not run has others.
    fn are_of_their_types(&self, document: &ExecutableDocument, variables: &Variables) -> bool {
        // Arguments with a variable that is absent are not looked at.
        if variables.is_empty() {
            return true;
        }
        let Some(types) = self.types.get() else {
            return false;
        };
        let registry = &types.registry;
        Walk {
            registry,
            variables,
        }
        .document(document)
    }
}

/// How much the rules of our own look at, in fields and uses of variables, of all operations of a
/// document. A document of 4,000 tokens has at most a tenth of it where its operations share
/// fragments.
const MAX_STEPS: u32 = 1_000_000;

/// What the rules of our own find in a document.
#[derive(Debug, Default)]
struct Findings {
    errors: Vec<ServerError>,
    steps: u32,
}

impl Findings {
    /// Takes the next thing that is looked at. False where that is too much, or enough was found.
    fn step(&mut self) -> bool {
        self.steps = self.steps.saturating_add(1);
        self.steps <= MAX_STEPS && !self.is_full()
    }

    /// Whether a response has no place for more.
    fn is_full(&self) -> bool {
        self.errors.len() >= MAX_ERRORS
    }

    /// An error of a kind that is told once for each place.
    fn add(&mut self, error: ServerError) {
        let is_known = |one: &ServerError| {
            (&one.message, &one.locations) == (&error.message, &error.locations)
        };
        if !self.errors.iter().any(is_known) {
            self.errors.push(error);
        }
    }

    fn told(self) -> Vec<ServerError> {
        let mut errors = self.errors;
        if errors.is_empty() && self.steps > MAX_STEPS {
            errors.push(server_error(&ApiError::new(
                ErrorCode::QueryTooComplex,
                "The document's operations and fragments overlap in too many ways.",
            )));
        }
        errors
    }
}

/// Ends each execution behind the validation, and hands out the schema's types.
struct NothingRuns(Arc<OnceLock<SchemaEnv>>);

impl ExtensionFactory for NothingRuns {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self(Arc::clone(&self.0)))
    }
}

#[async_trait]
impl Extension for NothingRuns {
    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        self.0.get_or_init(|| ctx.schema_env.clone());
        next.run(ctx).await
    }

    async fn execute(
        &self,
        _ctx: &ExtensionContext<'_>,
        _operation_name: Option<&str>,
        _next: NextExecute<'_>,
    ) -> Response {
        Response::default()
    }
}

/// Looks at the arguments that have variables in them, as async-graphql's `ArgumentsOfCorrectType`
/// does, but for no errors. Bounded as the document and its variables are.
struct Walk<'a> {
    registry: &'a Registry,
    variables: &'a Variables,
}

impl Walk<'_> {
    fn document(&self, document: &ExecutableDocument) -> bool {
        let of_operations = document.operations.iter().all(|(_, operation)| {
            let root = positions::root_of(self.registry, operation.node.ty);
            self.directives(&operation.node.directives)
                && self.selections(root, &operation.node.selection_set.node)
        });
        of_operations
            && document.fragments.values().all(|fragment| {
                let on = fragment.node.type_condition.node.on.node.as_str();
                self.directives(&fragment.node.directives)
                    && self.selections(
                        self.registry.types.get(on),
                        &fragment.node.selection_set.node,
                    )
            })
    }

    fn selections(&self, of: Option<&MetaType>, set: &SelectionSet) -> bool {
        set.items.iter().all(|item| {
            self.directives(item.node.directives())
                && match &item.node {
                    Selection::Field(field) => self.field(of, &field.node),
                    Selection::InlineFragment(fragment) => {
                        let of = match &fragment.node.type_condition {
                            Some(on) => self.registry.types.get(on.node.on.node.as_str()),
                            None => of,
                        };
                        self.selections(of, &fragment.node.selection_set.node)
                    }
                    // Fragments are looked at by themselves.
                    Selection::FragmentSpread(_) => true,
                }
        })
    }

    /// Introspection is not in the types: its arguments are nobody's to look at.
    fn field(&self, of: Option<&MetaType>, field: &Field) -> bool {
        let set = &field.selection_set.node;
        if field.arguments.is_empty() && set.items.is_empty() {
            return true;
        }
        let Some(known) = of.and_then(|of| of.field_by_name(&field.name.node)) else {
            return self.selections(None, set);
        };
        self.arguments(&known.args, &field.arguments)
            && self.selections(self.registry.concrete_type_by_name(&known.ty), set)
    }

    fn directives(&self, directives: &[Positioned<Directive>]) -> bool {
        directives.iter().all(|directive| {
            let known = self.registry.directives.get(&*directive.node.name.node);
            known.is_none_or(|known| self.arguments(&known.args, &directive.node.arguments))
        })
    }

    fn arguments(
        &self,
        known: &IndexMap<String, MetaInputValue>,
        given: &[(Positioned<Name>, Positioned<Literal>)],
    ) -> bool {
        given.iter().all(|(name, value)| {
            let known = known.get(name.node.as_str());
            known.is_none_or(|known| self.argument(&known.ty, &value.node))
        })
    }

    /// Arguments without variables were looked at with the document. Those with one that is absent
    /// are left to who reads them.
    fn argument(&self, of: &str, value: &Literal) -> bool {
        match value {
            Literal::Variable(name) => {
                let value = self.variables.get(name);
                value.is_none_or(|value| self.is_of(of, value))
            }
            Literal::List(_) | Literal::Object(_) if has_variables(value) => {
                let variable = |name: Name| self.variables.get(&name).cloned().ok_or(());
                let Ok(value) = value.clone().into_const_with(variable) else {
                    return true;
                };
                self.is_of(of, &value)
            }
            _ => true,
        }
    }

    /// Whether a value is one of this type, which is written as in the SDL: `[ID!]!`.
    fn is_of(&self, of: &str, value: &Value) -> bool {
        match (MetaTypeName::create(of), value) {
            (MetaTypeName::NonNull(of), value) => *value != Value::Null && self.is_of(of, value),
            (_, Value::Null) => true,
            (MetaTypeName::List(of), Value::List(items)) => {
                items.iter().all(|item| self.is_of(of, item))
            }
            (MetaTypeName::List(of), one) => self.is_of(of, one),
            (MetaTypeName::Named(of), value) => match self.registry.types.get(of) {
                Some(MetaType::Scalar { is_valid, .. }) => {
                    is_valid.as_ref().is_none_or(|is_valid| is_valid(value))
                }
                Some(MetaType::Enum { enum_values, .. }) => match value {
                    Value::Enum(name) => enum_values.contains_key(name.as_str()),
                    Value::String(name) => enum_values.contains_key(name.as_str()),
                    _ => false,
                },
                Some(MetaType::InputObject {
                    input_fields,
                    oneof: false,
                    ..
                }) => self.is_object_of(input_fields, value),
                _ => false,
            },
        }
    }

    fn is_object_of(&self, fields: &IndexMap<String, MetaInputValue>, value: &Value) -> bool {
        let Value::Object(given) = value else {
            return false;
        };
        given.keys().all(|name| fields.contains_key(name.as_str()))
            && fields.values().all(|field| match given.get(&*field.name) {
                Some(value) => self.is_of(&field.ty, value),
                None => {
                    field.default_value.is_some() || !MetaTypeName::create(&field.ty).is_non_null()
                }
            })
    }
}

fn has_variables(value: &Literal) -> bool {
    match value {
        Literal::Variable(_) => true,
        Literal::List(items) => items.iter().any(has_variables),
        Literal::Object(fields) => fields.values().any(has_variables),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
