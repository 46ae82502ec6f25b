//! What an error leaves of a response (GraphQL specification, "Handling Execution Errors"): a field
//! that failed is null and, where its type allows no null, so is the nearest parent that may be.
//!
//! async-graphql leaves failed fields out and their parents as they are. Generated types and
//! normalising caches believe the schema, so the answer is put right here, before it becomes
//! bytes. Only responses with errors cost anything.

use std::collections::HashMap;

use async_graphql::parser::types::{
    BaseType, ExecutableDocument, FieldDefinition, OperationDefinition, OperationType, Selection,
    SelectionSet, Type, TypeKind,
};
use async_graphql::{Name, PathSegment, Positioned, Response, Value};

use super::types_of;

/// The types of all fields, by the schema.
#[derive(Debug)]
pub struct NullRules {
    types: HashMap<Name, HashMap<Name, Type>>,
}

/// A selection on values of a type.
type Scope<'a> = (&'a str, &'a SelectionSet);

impl NullRules {
    /// The rules of a schema, given as SDL. Of text that is none, a schema without types.
    pub fn new(sdl: &str) -> Self {
        let types = types_of(sdl)
            .into_iter()
            .filter_map(|definition| {
                let fields = match definition.kind {
                    TypeKind::Object(object) => object.fields,
                    TypeKind::Interface(interface) => interface.fields,
                    _ => return None,
                };
                let field =
                    |field: Positioned<FieldDefinition>| (field.node.name.node, field.node.ty.node);
                let fields = fields.into_iter().map(field).collect();
                Some((definition.name.node, fields))
            })
            .collect();
        Self { types }
    }

    /// Puts the data of an executed operation right.
    pub fn apply(
        &self,
        document: &ExecutableDocument,
        operation: &OperationDefinition,
        response: &mut Response,
    ) {
        let root = match operation.ty {
            OperationType::Query => "Query",
            OperationType::Mutation => "Mutation",
            OperationType::Subscription => "Subscription",
        };
        let scope = (root, &operation.selection_set.node);
        // First every failed field is there, and null: an object whose fields all failed is
        // missing altogether.
        let mut failed = Vec::new();
        for error in response
            .errors
            .iter()
            .filter(|error| !error.path.is_empty())
        {
            if let Some(nullable) = self.nullable(document, scope, &error.path) {
                fill(&mut response.data, &error.path);
                failed.push((error.path.as_slice(), nullable));
            }
        }
        for (path, nullable) in failed {
            match nullable.iter().rposition(|nullable| *nullable) {
                Some(last) => clear(&mut response.data, &path[..=last]),
                None => response.data = Value::Null,
            }
        }
    }

    /// For each step of the path, whether what stands there may be null. `None` where the path
    /// leads out of the schema: into introspection, which does not fail.
    fn nullable(
        &self,
        document: &ExecutableDocument,
        root: Scope<'_>,
        path: &[PathSegment],
    ) -> Option<Vec<bool>> {
        let mut scopes = vec![root];
        let mut here: Option<&Type> = None;
        let mut nullable = Vec::with_capacity(path.len());
        for segment in path {
            let next = match segment {
                PathSegment::Field(key) => {
                    let mut found = Found::default();
                    for (type_name, selection) in std::mem::take(&mut scopes) {
                        self.look(document, type_name, selection, key, &mut found);
                    }
                    scopes = found.scopes;
                    found.field_type?
                }
                PathSegment::Index(_) => match &here?.base {
                    BaseType::List(item) => item,
                    BaseType::Named(_) => return None,
                },
            };
            nullable.push(next.nullable);
            here = Some(next);
        }
        Some(nullable)
    }

    /// Finds what stands under a response key. Validation has seen to it that all selections with
    /// one key have types of one shape.
    fn look<'a>(
        &'a self,
        document: &'a ExecutableDocument,
        type_name: &'a str,
        selection: &'a SelectionSet,
        key: &str,
        found: &mut Found<'a>,
    ) {
        for item in &selection.items {
            match &item.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    let fields = self.types.get(type_name);
                    if field.response_key().node == key
                        && let Some(ty) = fields.and_then(|fields| fields.get(&field.name.node))
                    {
                        found.field_type = Some(ty);
                        found
                            .scopes
                            .push((base_name(ty), &field.selection_set.node));
                    }
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node)
                    {
                        let on = fragment.node.type_condition.node.on.node.as_str();
                        let selection = &fragment.node.selection_set.node;
                        self.look(document, on, selection, key, found);
                    }
                }
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    let on =
                        condition.map_or(type_name, |condition| condition.node.on.node.as_str());
                    let selection = &fragment.node.selection_set.node;
                    self.look(document, on, selection, key, found);
                }
            }
        }
    }
}

/// What stands under a response key.
#[derive(Default)]
struct Found<'a> {
    field_type: Option<&'a Type>,
    scopes: Vec<Scope<'a>>,
}

/// The type's name without its lists.
fn base_name(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(item) => base_name(item),
    }
}

/// Makes what stands at the path null, and the way to it where it is missing.
fn fill(value: &mut Value, path: &[PathSegment]) {
    let Some((segment, rest)) = path.split_first() else {
        *value = Value::Null;
        return;
    };
    match segment {
        PathSegment::Field(key) => {
            if *value == Value::Null {
                *value = Value::Object(async_graphql::indexmap::IndexMap::new());
            }
            if let Value::Object(fields) = value {
                fill(fields.entry(Name::new(key)).or_insert(Value::Null), rest);
            }
        }
        PathSegment::Index(index) => {
            if let Value::List(items) = value
                && let Some(item) = items.get_mut(*index)
            {
                fill(item, rest);
            }
        }
    }
}

/// Makes what stands at the path null, unless something on the way is already.
fn clear(value: &mut Value, path: &[PathSegment]) {
    let Some((segment, rest)) = path.split_first() else {
        *value = Value::Null;
        return;
    };
    let inner = match (segment, value) {
        (PathSegment::Field(key), Value::Object(fields)) => fields.get_mut(key.as_str()),
        (PathSegment::Index(index), Value::List(items)) => items.get_mut(*index),
        _ => None,
    };
    if let Some(inner) = inner {
        clear(inner, rest);
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use async_graphql::{ServerError, value};

    use super::*;

    const SDL: &str = "
        interface Node { id: ID! }
        type Query { me: User node: Node users: [User!]! maybe: [User]! }
        type User implements Node { id: ID! name: String! about: String friends: [User!] best: User! }
        type Chat implements Node { id: ID! title: String! }";

    fn path(text: &str) -> Vec<PathSegment> {
        let segment = |part: &str| match part.parse() {
            Ok(index) => PathSegment::Index(index),
            Err(_) => PathSegment::Field(part.to_owned()),
        };
        text.split('.').map(segment).collect()
    }

    /// The data after the fields at `failed` failed.
    fn after(query: &str, data: Value, failed: &[&str]) -> Value {
        let mut response = Response::new(data);
        response.errors = failed
            .iter()
            .map(|at| ServerError::new("no", None).with_path(path(at)))
            .collect();
        let document = parse_query(query).unwrap();
        let (_, operation) = document.operations.iter().next().unwrap();
        NullRules::new(SDL).apply(&document, &operation.node, &mut response);
        response.data
    }

    #[test]
    fn a_failed_field_is_null_or_its_nearest_parent_that_may_be() {
        let query = "{ me { id name about best { name } } node { id } }";
        let whole = || value!({ "node": { "id": "1" }, "me": { "id": "2" } });
        let me = |me: Value| {
            let mut data = whole();
            if let Value::Object(fields) = &mut data {
                fields.insert(Name::new("me"), me);
            }
            data
        };
        assert_eq!(
            after(query, whole(), &["me.about"]),
            me(value!({ "id": "2", "about": null }))
        );
        assert_eq!(after(query, whole(), &["me.name"]), me(Value::Null));
        assert_eq!(after(query, whole(), &["me.best.name"]), me(Value::Null));
        assert_eq!(
            after(query, whole(), &["me.name", "me.about"]),
            me(Value::Null)
        );
        assert_eq!(
            after("{ me { id } }", Value::Null, &["me"]),
            value!({ "me": null })
        );
        assert_eq!(
            after("{ me { about } }", value!({ "me": null }), &["me.about"]),
            value!({ "me": { "about": null } })
        );
        assert_eq!(
            after(
                "{ users { id } me { id } }",
                value!({ "me": null }),
                &["users"]
            ),
            Value::Null
        );
    }

    #[test]
    fn items_of_lists_and_selections_behind_aliases_and_fragments_follow_the_same_rule() {
        let query = "{ maybe { ...U } all: users { a: about best { id } } }
            fragment U on User { friends { n: name } }";
        let data = || value!({ "maybe": [{ "friends": [{}] }, { "friends": null }], "all": [{}] });
        assert_eq!(
            after(query, data(), &["maybe.0.friends.0.n"]),
            value!({ "maybe": [{ "friends": null }, { "friends": null }], "all": [{}] })
        );
        assert_eq!(
            after(query, data(), &["all.0.a"]),
            value!({ "maybe": [{ "friends": [{}] }, { "friends": null }], "all": [{ "a": null }] })
        );
        assert_eq!(after(query, data(), &["all.0.best"]), Value::Null);
        let query = "{ node { ... on Chat { title } ... on User { name } } }";
        assert_eq!(
            after(query, value!({ "node": null }), &["node.title"]),
            value!({ "node": null })
        );
    }

    #[test]
    fn what_the_schema_does_not_know_is_left_alone() {
        let data = value!({ "__schema": { "types": [] } });
        let query = "{ __schema { types { name } } }";
        assert_eq!(after(query, data.clone(), &["__schema.types"]), data);
    }
}
