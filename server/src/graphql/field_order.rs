//! Puts a response's fields in the order in which the operation selects them (GraphQL
//! specification, section 7.2.2). async-graphql answers in the order in which they were resolved.

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{
    ExecutableDocument, OperationDefinition, Selection, SelectionSet,
};
use async_graphql::{Name, Value};

/// How deep fragments are followed. The query guard admits less.
const MAX_DEPTH: usize = 64;

/// The response keys of an operation, in order, with those of each object below. Where fragments
/// on several types select the same keys in different orders, the first counts for all.
#[derive(Debug, Default)]
pub(super) struct Order(IndexMap<Name, Order>);

impl Order {
    /// The order of an operation of the document.
    pub(super) fn of(document: &ExecutableDocument, operation: &OperationDefinition) -> Self {
        let mut order = Self::default();
        order.add(document, &operation.selection_set.node, 0);
        order
    }

    fn add(&mut self, document: &ExecutableDocument, selections: &SelectionSet, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        for selection in &selections.items {
            match &selection.node {
                Selection::Field(field) => {
                    let key = field.node.response_key().node.clone();
                    let below = self.0.entry(key).or_default();
                    below.add(document, &field.node.selection_set.node, depth + 1);
                }
                Selection::InlineFragment(fragment) => {
                    self.add(document, &fragment.node.selection_set.node, depth + 1);
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    if let Some(fragment) = document.fragments.get(name) {
                        self.add(document, &fragment.node.selection_set.node, depth + 1);
                    }
                }
            }
        }
    }

    /// Orders a value and everything below. Costs a walk where it is in order already.
    pub(super) fn apply(&self, value: &mut Value) {
        match value {
            Value::List(items) => items.iter_mut().for_each(|item| self.apply(item)),
            Value::Object(fields) => {
                if !fields
                    .keys()
                    .filter_map(|key| self.0.get_index_of(key))
                    .is_sorted()
                {
                    fields.sort_by_cached_key(|key, _| self.0.get_index_of(key));
                }
                for (key, field) in fields {
                    if let (Some(below), Value::List(_) | Value::Object(_)) =
                        (self.0.get(key), &field)
                    {
                        below.apply(field);
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn ordered(query: &str, operation: Option<&str>, answer: &str) -> String {
        let document = parse_query(query).unwrap();
        let mut answer: Value = serde_json::from_str(answer).unwrap();
        let named =
            |name: Option<&Name>| operation.is_none() || name.map(Name::as_str) == operation;
        let mut operations = document.operations.iter();
        let (_, chosen) = operations.find(|(name, _)| named(*name)).unwrap();
        Order::of(&document, &chosen.node).apply(&mut answer);
        serde_json::to_string(&answer).unwrap()
    }

    #[test]
    fn fields_come_as_they_were_selected_at_every_level() {
        let query = "query A { z } query B { me { id name } ...F users { nodes { b a } } }
            fragment F on Query { first: me { ... on User { y x } id } }";
        let answer = r#"{"users":{"nodes":[{"a":1,"b":2},{"b":3},null]},
            "first":{"id":1,"x":2,"y":3},"me":{"name":"n","id":"i"}}"#;
        assert_eq!(
            ordered(query, Some("B"), answer),
            r#"{"me":{"id":"i","name":"n"},"first":{"y":3,"x":2,"id":1},"users":{"nodes":[{"b":2,"a":1},{"b":3},null]}}"#
        );
    }

    #[test]
    fn what_was_not_selected_by_name_stays() {
        let answer = r#"{"b":{"x":1},"a":2}"#;
        assert_eq!(ordered("{ a b }", None, answer), r#"{"a":2,"b":{"x":1}}"#);
    }
}
