//! The query guard: what a document costs is known before anything recursive or exponential
//! touches it. Order: bytes → tokens and nesting → parse → measure. What passes is kept, so that
//! the next request with the same text skips all of it.
//!
//! Knows GraphQL's syntax and the limits, and of the schema the fields of introspection alone.

mod lexer;
mod measure;
mod syntax;

use std::sync::Arc;

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{ExecutableDocument, OperationDefinition};
use async_graphql::{Name, Pos, Positioned, ServerError};
use moka::sync::Cache;
use talksy_domain::error::{ApiError, ErrorCode};

pub use async_graphql::parser::types::OperationType;

use super::errors::server_error;
use crate::config::QueryLimits;
use lexer::LexError;
use measure::MeasureError;

/// A syntax tree takes about this many times its text's bytes.
const TREE_FACTOR: u32 = 32;

/// The most that an operation's introspection may weigh (see `measure`): a little more than twice
/// what the fullest query of graphql-js does, which is answered with 150 kB.
const MAX_INTROSPECTION: u64 = 150_000;

/// How many lists that lead from types to types introspection may nest. Tools nest one.
const MAX_INTROSPECTION_LISTS: u32 = 2;

/// A document that passed the guard. Equal texts mostly share one, as long as it is cached.
#[derive(Debug)]
pub struct CheckedDocument {
    text: Arc<str>,
    document: ExecutableDocument,
    operations: Vec<Chosen>,
}

/// An operation of a document, and its name where it has one.
type Chosen = (Option<Name>, Arc<Positioned<OperationDefinition>>);

impl CheckedDocument {
    /// The document's source text.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The parsed document.
    pub fn document(&self) -> &ExecutableDocument {
        &self.document
    }

    /// The operation that a request with this `operationName` runs, and its own name where the
    /// document names its operations (`GetOperation` in the GraphQL specification).
    ///
    /// # Errors
    /// `GRAPHQL_VALIDATION_FAILED` where none has the name, or several lack one to choose by.
    pub(super) fn operation(&self, name: Option<&str>) -> Result<Chosen, ApiError> {
        let refuse = |message| Err(ApiError::new(ErrorCode::GraphqlValidationFailed, message));
        match (&*self.operations, name) {
            ([only], None) => Ok(only.clone()),
            (_, None) => {
                refuse("The document has several operations: name one in `operationName`.".into())
            }
            (operations, Some(name)) => {
                let named = |(known, _): &&Chosen| known.as_deref() == Some(name);
                if let Some(chosen) = operations.iter().find(named) {
                    return Ok(chosen.clone());
                }
                let name: String = name.chars().take(64).collect();
                refuse(format!("The document has no operation named `{name}`."))
            }
        }
    }
}

/// Checks documents against [`QueryLimits`] and keeps those that pass.
#[derive(Debug)]
pub struct Guard {
    limits: QueryLimits,
    checked: Cache<Arc<str>, Arc<CheckedDocument>>,
}

impl Guard {
    /// A guard with an empty cache.
    pub fn new(limits: QueryLimits) -> Self {
        let checked = Cache::builder()
            .max_capacity(limits.cache_bytes)
            .weigher(|text: &Arc<str>, _| {
                u32::try_from(text.len())
                    .unwrap_or(u32::MAX)
                    .saturating_mul(TREE_FACTOR)
            })
            .build();
        Self { limits, checked }
    }

    /// Checks a document, or finds it among those checked before. The cache compares whole
    /// texts, so texts of equal hash are never confused.
    ///
    /// # Errors
    /// `PAYLOAD_TOO_LARGE`, `GRAPHQL_PARSE_FAILED`, `QUERY_TOO_COMPLEX`, or
    /// `GRAPHQL_VALIDATION_FAILED` for cyclic fragments and subscriptions of several fields.
    pub fn check(&self, text: &str) -> Result<Arc<CheckedDocument>, Box<ServerError>> {
        if text.len() > self.limits.max_bytes {
            return refuse(
                ErrorCode::PayloadTooLarge,
                format!(
                    "The document is longer than {} bytes.",
                    self.limits.max_bytes
                ),
            );
        }
        if let Some(known) = self.checked.get(text) {
            return Ok(known);
        }
        let document = self.parse(text)?;
        self.weigh(&document)?;
        let text: Arc<str> = text.into();
        let operations = document.operations.iter();
        let operations = operations
            .map(|(name, operation)| (name.cloned(), Arc::new(operation.clone())))
            .collect();
        let checked = Arc::new(CheckedDocument {
            text: Arc::clone(&text),
            document,
            operations,
        });
        if self.limits.cache_bytes > 0 {
            self.checked.insert(text, Arc::clone(&checked));
        }
        Ok(checked)
    }

    fn parse(&self, text: &str) -> Result<ExecutableDocument, Box<ServerError>> {
        match lexer::scan(text, self.limits.max_tokens) {
            Ok(_) => {}
            Err(LexError::TooManyTokens) => {
                let most = self.limits.max_tokens;
                return too_complex(format!("The document has more than {most} tokens."));
            }
            Err(LexError::TooDeep) => {
                let most = lexer::MAX_NESTING;
                return too_complex(format!(
                    "The document nests brackets more than {most} deep."
                ));
            }
            Err(LexError::OpenString(at)) => {
                let mut error = server_error(&ApiError::new(
                    ErrorCode::GraphqlParseFailed,
                    "A string that starts here does not end.",
                ));
                error.locations.push(position(text, at));
                return Err(Box::new(error));
            }
        }
        parse_query(text).map_err(|error| {
            let positions: Vec<Pos> = error.positions().collect();
            let mut error = server_error(&ApiError::new(
                ErrorCode::GraphqlParseFailed,
                syntax::sentence(text, &error),
            ));
            error.locations = positions;
            Box::new(error)
        })
    }

    fn weigh(&self, document: &ExecutableDocument) -> Result<(), Box<ServerError>> {
        let limits = &self.limits;
        let totals = match measure::measure(document, limits.max_depth) {
            Ok(totals) => totals,
            Err(MeasureError::TooDeep) => {
                let most = limits.max_depth;
                return too_complex(format!(
                    "The document is nested more than {most} levels deep."
                ));
            }
            Err(MeasureError::Cycle(name)) => {
                return refuse(
                    ErrorCode::GraphqlValidationFailed,
                    format!("The fragment `{name}` spreads itself."),
                );
            }
        };
        if totals.subscription_fields > 1 {
            return refuse(
                ErrorCode::GraphqlValidationFailed,
                "A subscription selects exactly one field at its root.".into(),
            );
        }
        if totals.measure.introspection_lists > MAX_INTROSPECTION_LISTS {
            return too_complex(format!(
                "The introspection nests `fields`, `inputFields`, `interfaces` and `possibleTypes` \
                 more than {MAX_INTROSPECTION_LISTS} deep."
            ));
        }
        if totals.measure.introspection > MAX_INTROSPECTION {
            return too_complex(
                "The introspection asks for more than twice the whole schema.".into(),
            );
        }
        for (count, most, what) in [
            (
                totals.measure.selections,
                limits.max_selections,
                "selections",
            ),
            (totals.measure.aliases, limits.max_aliases, "aliases"),
            (
                totals.measure.fields,
                limits.max_root_fields,
                "fields at its root",
            ),
        ] {
            if count > most {
                return too_complex(format!(
                    "The document has more than {most} {what}, with its fragments spread out."
                ));
            }
        }
        Ok(())
    }
}

fn refuse<T>(code: ErrorCode, message: String) -> Result<T, Box<ServerError>> {
    Err(Box::new(server_error(&ApiError::new(code, message))))
}

fn too_complex<T>(message: String) -> Result<T, Box<ServerError>> {
    refuse(ErrorCode::QueryTooComplex, message)
}

/// The line and column, both from 1, of a byte.
fn position(text: &str, at: usize) -> Pos {
    let before = text.get(..at).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    Pos {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

#[cfg(test)]
mod tests;
