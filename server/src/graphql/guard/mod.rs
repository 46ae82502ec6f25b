//! The query guard: what a document costs is known before anything recursive or exponential
//! touches it. Order: bytes → tokens, nesting and spreads → parse → measure. What passes is kept, so that
//! the next request with the same text skips all of it.
//!
//! Knows GraphQL's syntax and the limits, of the schema the fields of introspection, and what an
//! operation on it costs by [`super::cost`].

mod lexer;
mod measure;
mod members;
mod spreads;
mod syntax;
mod weight;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{ExecutableDocument, OperationDefinition};
use async_graphql::{Name, Pos, Positioned, ServerError, Variables};
use moka::sync::Cache;
use talksy_domain::error::{ApiError, ErrorCode};

pub use async_graphql::parser::types::OperationType;

use super::cost::{Cost, Prices};
use super::errors::server_error;
use crate::config::QueryLimits;
use lexer::LexError;
use measure::MeasureError;
use members::Members;
use spreads::Spreads;

/// The most that introspection may weigh (see `measure`): one and a half times what the fullest query
/// of graphql-js does, which is answered with more than 115 kB. The weight is about the number of values of the
/// answer.
const MAX_INTROSPECTION: u64 = 27_000;

/// How many lists that lead from types to types introspection may nest. Tools nest one.
const MAX_INTROSPECTION_LISTS: u32 = 2;

/// A document that passed the guard. Equal texts mostly share one, as long as it is cached.
#[derive(Debug)]
pub struct CheckedDocument {
    text: Arc<str>,
    document: ExecutableDocument,
    operations: Vec<Chosen>,
    /// How much memory it takes.
    bytes: usize,
    /// What its introspection weighs.
    introspection: u64,
    /// Whether it was found valid, but for what depends on the values of variables.
    is_valid: AtomicBool,
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

    /// How much memory it takes, in bytes, reckoned from the tree: never less than what is allocated.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where in an argument's value, which begins at a position, a variable stands that has so many
    /// others before it. The value's own position where there is none.
    pub(super) fn variable_at(&self, value: Pos, before: usize) -> Pos {
        let text = &*self.text;
        let Some(start) = byte_at(text, value) else {
            return value;
        };
        let rest = text.get(start..).unwrap_or_default();
        let mut variables = Vec::new();
        // What is behind the variable may be cut off: brackets close that were not seen to open.
        let _ = lexer::scan_with(rest, usize::MAX, |token| {
            if let lexer::Token::Word(name) = token {
                let at = offset(text, name);
                if variables.len() <= before && text[..at].ends_with('$') {
                    variables.push(at - 1);
                }
            }
        });
        variables
            .get(before)
            .map_or(value, |at| position(text, *at))
    }

    /// Whether it was found valid against the schema before, but for what depends on the values of
    /// variables.
    pub(super) fn is_valid(&self) -> bool {
        self.is_valid.load(Ordering::Relaxed)
    }

    /// Remembers that it is valid, for as long as the document is kept.
    pub(super) fn set_valid(&self) {
        self.is_valid.store(true, Ordering::Relaxed);
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
    introspection: bool,
    prices: Prices,
    checked: Cache<Arc<str>, Arc<CheckedDocument>>,
}

impl Guard {
    /// A guard of a schema, given as SDL, with an empty cache. `introspection` says whether that may
    /// be asked for.
    pub fn new(limits: QueryLimits, sdl: &str, introspection: bool) -> Self {
        let checked = Cache::builder()
            .max_capacity(limits.cache_bytes)
            .weigher(|_, checked: &Arc<CheckedDocument>| {
                u32::try_from(checked.bytes + weight::ENTRY).unwrap_or(u32::MAX)
            })
            .build();
        Self {
            limits,
            introspection,
            prices: Prices::new(sdl),
            checked,
        }
    }

    /// What an operation of a checked document costs at most.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` where that is more than [`QueryLimits::max_cost`].
    pub fn cost(
        &self,
        document: &CheckedDocument,
        operation: &OperationDefinition,
        variables: &Variables,
    ) -> Result<Cost, Box<ServerError>> {
        let introspection = document.introspection;
        let cost = self
            .prices
            .cost(&document.document, operation, variables, introspection);
        let (points, limit) = (cost.points(), self.limits.max_cost);
        if points > limit {
            return too_complex(format!(
                "The operation asks for too much at once: it may cost {points} points, more than \
                 {limit}. Ask for smaller pages, or for fewer fields."
            ));
        }
        Ok(cost)
    }

    /// Checks what the operations of a batch cost together, in points.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` where that is more than one operation may cost.
    pub fn check_batch(&self, points: u64) -> Result<(), ApiError> {
        let most = self.limits.max_cost;
        if points <= most {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorCode::QueryTooComplex,
            format!(
                "The operations of the batch may cost {points} points together, more than {most}. \
                 None was executed: send fewer at once."
            ),
        ))
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
        let introspection = self.weigh(&document)?;
        let text: Arc<str> = text.into();
        let operations = document.operations.iter();
        let operations = operations
            .map(|(name, operation)| (name.cloned(), Arc::new(operation.clone())))
            .collect();
        let bytes = weight::shared(size_of::<CheckedDocument>())
            + weight::shared(text.len())
            + weight::of_document(&document);
        let checked = Arc::new(CheckedDocument {
            bytes,
            text: Arc::clone(&text),
            document,
            operations,
            introspection,
            is_valid: AtomicBool::new(false),
        });
        if self.limits.cache_bytes > 0 {
            self.checked.insert(text, Arc::clone(&checked));
            // Makes room at once: of what waits for that, hundreds of documents may be kept besides.
            self.checked.run_pending_tasks();
        }
        Ok(checked)
    }

    fn parse(&self, text: &str) -> Result<ExecutableDocument, Box<ServerError>> {
        let (mut spreads, mut members) = (Spreads::default(), Members::default());
        let seen = lexer::scan_with(text, self.limits.max_tokens, |token| {
            spreads.see(token);
            members.see(token);
        });
        match seen {
            Ok(_) => {}
            Err(LexError::LongWord) => {
                let most = lexer::MAX_WORD;
                return too_complex(format!(
                    "The document has a name or a number of more than {most} bytes."
                ));
            }
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
        if spreads.exceed(self.limits.max_selections) {
            return too_many(self.limits.max_selections, "selections");
        }
        let document = parse_query(text).map_err(|error| {
            let positions: Vec<Pos> = error.positions().collect();
            let mut error = server_error(&ApiError::new(
                ErrorCode::GraphqlParseFailed,
                syntax::sentence(text, &error),
            ));
            error.locations = positions;
            Box::new(error)
        })?;
        // The parser keeps the last of those that have one name.
        if let Some((first, second)) = members.twice() {
            let mut error = server_error(&ApiError::new(
                ErrorCode::GraphqlValidationFailed,
                format!("There can be only one input field named \"{first}\"."),
            ));
            let places = [first, second].map(|name| position(text, offset(text, name)));
            error.locations.extend(places);
            return Err(Box::new(error));
        }
        Ok(document)
    }

    /// Bounds what the document asks for, and tells what its introspection weighs.
    fn weigh(&self, document: &ExecutableDocument) -> Result<u64, Box<ServerError>> {
        let limits = &self.limits;
        let totals = match measure::measure(document, limits.max_depth) {
            Ok(totals) => totals,
            Err(MeasureError::TooDeep) => {
                let most = limits.max_depth;
                return too_complex(format!(
                    "The document is nested more than {most} levels deep."
                ));
            }
            Err(MeasureError::TooManyArguments) => {
                let most = measure::MAX_ARGUMENTS;
                return too_complex(format!("A field has more than {most} arguments."));
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
        if totals.measure.introspection > 0 && !self.introspection {
            return refuse(
                ErrorCode::GraphqlValidationFailed,
                "Introspection is switched off on this server. The schema is at \
                 `/schema.graphql`."
                    .into(),
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
                "The introspection asks for more than one and a half times the whole schema."
                    .into(),
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
                return too_many(most, what);
            }
        }
        Ok(totals.measure.introspection)
    }
}

fn refuse<T>(code: ErrorCode, message: String) -> Result<T, Box<ServerError>> {
    Err(Box::new(server_error(&ApiError::new(code, message))))
}

fn too_complex<T>(message: String) -> Result<T, Box<ServerError>> {
    refuse(ErrorCode::QueryTooComplex, message)
}

fn too_many<T>(most: u64, what: &str) -> Result<T, Box<ServerError>> {
    too_complex(format!(
        "The document has more than {most} {what}, with its fragments spread out."
    ))
}

/// Where in a text a part of it begins, in bytes.
fn offset(text: &str, part: &str) -> usize {
    let at = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    at.min(text.len())
}

/// The byte at a line and a column, both from 1, as the parser counts them.
fn byte_at(text: &str, at: Pos) -> Option<usize> {
    let (mut line, mut column) = (1, 1);
    for (byte, letter) in text.char_indices() {
        if (line, column) == (at.line, at.column) && !matches!(letter, '\r' | '\n') {
            return Some(byte);
        }
        match letter {
            '\r' => column = 1,
            '\n' => (line, column) = (line + 1, 1),
            _ => column += 1,
        }
    }
    None
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
