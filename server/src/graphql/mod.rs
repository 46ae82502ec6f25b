//! GraphQL over the schema, whatever transport brought the request: what a document costs, which
//! operation runs, how it is executed, and how its answer becomes bytes.
//!
//! A request goes [`documents`] → [`guard`] → [`operation`] → [`executor`] → [`errors`] → [`response`]. Each
//! operation is chosen once, by [`operation::prepare`], each document validated once, by `validation`,
//! and each error completed and logged once, by [`errors`]. Knows no transport.

pub mod budget;
pub mod cost;
pub mod documents;
pub mod errors;
mod event_costs;
pub mod executor;
pub mod field_order;
pub mod guard;
mod meter;
pub mod metering;
pub mod null_propagation;
pub mod operation;
pub mod request_id;
pub mod response;
mod sender_cache;
mod shared_execution;
mod start;
mod template;
mod too_much;
mod turns;
mod validation;

pub use budget::Budgets;
pub use cost::Cost;
pub use documents::{Documents, DocumentsError};
pub use executor::{ExecutionLimits, Executor};
pub use guard::{CheckedDocument, Guard, OperationType};
pub use operation::{Operation, Params, Prepared, prepare};
pub use request_id::RequestId;
pub use response::{Answer, Encoded, Payload};
pub use start::Start;
pub use too_much::{not_begun_error, timeout_error};

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{TypeDefinition, TypeSystemDefinition};

/// The types of a schema, given as SDL; of text that is none, no types. async-graphql's parser knows
/// no description of a schema, so that the schema's own definition, which stands last, is left out.
fn types_of(sdl: &str) -> Vec<TypeDefinition> {
    let types = match sdl.rsplit_once("\nschema {") {
        Some((types, _)) => match types.rsplit_once('\n') {
            Some((types, described)) if described.starts_with('"') => types,
            _ => types,
        },
        None => sdl,
    };
    let definitions = parse_schema(types).map_or_else(|_| Vec::new(), |sdl| sdl.definitions);
    let types = definitions.into_iter().filter_map(|one| match one {
        TypeSystemDefinition::Type(definition) => Some(definition.node),
        _ => None,
    });
    types.collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_types_of_the_schema_can_be_read() {
        let types = super::types_of(&talksy_schema::schema::sdl());
        let names: Vec<_> = types.iter().map(|one| one.name.node.as_str()).collect();
        assert!(
            names.contains(&"Query") && names.contains(&"UserEdge"),
            "{names:?}"
        );
        assert_eq!(super::types_of("no schema").len(), 0);
    }

    /// The text of every source below a folder of this crate, with its path.
    fn sources(folder: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut folders = vec![
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("src")
                .join(folder),
        ];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    found.push((path.display().to_string(), text));
                }
            }
        }
        assert!(!found.is_empty());
        found
    }

    fn names(folder: &str, what: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        for (path, text) in sources(folder) {
            let lines = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            for line in lines {
                if what.iter().any(|what| line.contains(&format!("{what}::"))) {
                    found.push(format!("{path}: {line}"));
                }
            }
        }
        found
    }

    #[test]
    fn transports_know_no_schema_and_graphql_no_transport() {
        let none = Vec::<String>::new();
        assert_eq!(names("http", &["talksy_schema", "async_graphql"]), none);
        assert_eq!(names("graphql", &["crate::http", "axum"]), none);
        assert!(!names("graphql", &["async_graphql"]).is_empty());
    }
}
