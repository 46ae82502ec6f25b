//! Whether the directives of variables are known and may stand there. async-graphql looks at those of
//! everything else. Says what is wrong in the words of graphql-js.

use async_graphql::ServerError;
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::registry::{__DirectiveLocation, Registry};

use super::Findings;
use super::positions::in_order;

/// Finds directives that no variable may have.
pub(super) fn find(registry: &Registry, document: &ExecutableDocument, findings: &mut Findings) {
    let operations = in_order(document).into_iter();
    let variables = operations.flat_map(|operation| &operation.node.variable_definitions);
    for directive in variables.flat_map(|variable| &variable.node.directives) {
        if !findings.step() {
            return;
        }
        let name = &directive.node.name.node;
        let message = match registry.directives.get(name.as_str()) {
            None => format!("Unknown directive \"@{name}\"."),
            Some(known) => {
                if known
                    .locations
                    .contains(&__DirectiveLocation::VARIABLE_DEFINITION)
                {
                    continue;
                }
                format!("Directive \"@{name}\" may not be used on VARIABLE_DEFINITION.")
            }
        };
        findings.add(ServerError::new(message, Some(directive.pos)));
    }
}
