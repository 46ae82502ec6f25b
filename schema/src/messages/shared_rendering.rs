//! Tells which `messageAdded` operations give every subscriber the same bytes, so that a message
//! is rendered once for a thousand subscribers and not a thousand times.
//!
//! An operation is shared only where this is plain to see: its selection holds no aliases, no
//! arguments and no directives, and only fields that are listed here as the same for all
//! viewers. Everything else is executed for each subscriber; that is slower and just as right.

use async_graphql::parser::types::{
    ExecutableDocument, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::{Name, Value, Variables};
use sha2::{Digest as _, Sha256};

use talksy_domain::events::RenderKey;

/// How deeply fragments may nest before an operation is not looked into any further.
const MAX_DEPTH: usize = 8;

/// A `messageAdded` operation whose result does not depend on who subscribes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedOperation {
    /// The argument `chatId`.
    pub chat_id: String,
    /// The argument `after`.
    pub after: Option<String>,
    /// Names the rendering: the same for all operations with the same text and name.
    pub key: RenderKey,
}

/// The fields of a type that are the same for all viewers, also for one who reads the message a
/// while after the first, whose bytes they get: leaves, and objects with their type.
type Fields = (
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
);

fn shared_fields(type_name: &str) -> Option<Fields> {
    Some(match type_name {
        "MessageEdge" => (&["cursor"], &[("node", "Message")]),
        "Message" => (
            &[
                "id",
                "cursor",
                "seq",
                "changeSeq",
                "kind",
                "text",
                "clientMessageId",
                "createdAt",
                "editedAt",
                "deletedAt",
            ],
            &[
                ("sender", "User"),
                ("chat", "Chat"),
                ("system", "SystemNotice"),
            ],
        ),
        "SystemNotice" => (
            &["kind", "title", "role"],
            &[("actor", "User"), ("subjects", "User")],
        ),
        "User" => (&["id", "name", "about", "createdAt"], &[]),
        "Chat" => (&["id", "kind", "createdAt"], &[]),
        _ => return None,
    })
}

impl SharedOperation {
    /// Looks at an operation of a document; `None` where it has to be executed for each subscriber,
    /// as it has where the document has other operations too.
    pub fn of(
        text: &str,
        document: &ExecutableDocument,
        operation: &OperationDefinition,
        operation_name: Option<&str>,
        variables: &Variables,
    ) -> Option<Self> {
        if document.operations.iter().count() != 1 {
            return None;
        }
        let plain = operation.ty == OperationType::Subscription && operation.directives.is_empty();
        let [root] = operation.selection_set.node.items.as_slice() else {
            return None;
        };
        let Selection::Field(root) = &root.node else {
            return None;
        };
        let root = &root.node;
        let plain = plain
            && root.name.node == "messageAdded"
            && root.alias.is_none()
            && root.directives.is_empty();
        if !plain {
            return None;
        }
        let mut arguments = Arguments {
            operation,
            variables,
            used: Vec::new(),
        };
        let mut chat_id = None;
        let mut after = None;
        for (name, value) in &root.arguments {
            let types: &[&str] = match name.node.as_str() {
                "chatId" => &["ID!"],
                "after" => &["String", "String!"],
                _ => return None,
            };
            let value = value.node.clone();
            let value = value
                .into_const_with(|variable| arguments.variable(variable, types))
                .ok()?;
            match (name.node.as_str(), value) {
                ("chatId", Value::String(text)) => chat_id = Some(text),
                ("after", Value::String(text)) => after = Some(text),
                ("after", Value::Null) => {}
                _ => return None,
            }
        }
        if arguments.used.len() != operation.variable_definitions.len() {
            return None;
        }
        let mut fragments = Vec::new();
        let selection = &root.selection_set.node;
        if !is_shared(
            document,
            selection,
            "MessageEdge",
            MAX_DEPTH,
            &mut fragments,
        ) {
            return None;
        }
        fragments.sort_unstable();
        fragments.dedup();
        if fragments.len() != document.fragments.len() {
            return None;
        }
        Some(Self {
            chat_id: chat_id?,
            after,
            key: key(text, operation_name),
        })
    }
}

/// Reads the variables of the root field's arguments, and remembers which were used.
struct Arguments<'a> {
    operation: &'a OperationDefinition,
    variables: &'a Variables,
    used: Vec<Name>,
}

impl Arguments<'_> {
    /// A variable's value; an error where it is not plainly valid.
    fn variable(&mut self, name: Name, types: &[&str]) -> Result<Value, ()> {
        let mut definitions = self.operation.variable_definitions.iter();
        let definition = definitions
            .find(|one| one.node.name.node == name)
            .ok_or(())?;
        let var_type = definition.node.var_type.node.to_string();
        let plain = types.contains(&var_type.as_str())
            && definition.node.default_value.is_none()
            && definition.node.directives.is_empty()
            && !self.used.contains(&name);
        let value = self.variables.get(&name).cloned().unwrap_or_default();
        self.used.push(name);
        if plain { Ok(value) } else { Err(()) }
    }
}

fn is_shared<'a>(
    document: &'a ExecutableDocument,
    selection: &'a SelectionSet,
    type_name: &str,
    depth: usize,
    fragments: &mut Vec<&'a Name>,
) -> bool {
    let (Some((leaves, objects)), Some(depth)) = (shared_fields(type_name), depth.checked_sub(1))
    else {
        return false;
    };
    !selection.items.is_empty()
        && selection.items.iter().all(|item| match &item.node {
            Selection::Field(field) => {
                let field = &field.node;
                let name = field.name.node.as_str();
                let plain = field.alias.is_none()
                    && field.arguments.is_empty()
                    && field.directives.is_empty();
                let inner = &field.selection_set.node;
                plain
                    && match objects.iter().find(|(object, _)| *object == name) {
                        Some((_, inner_type)) => {
                            is_shared(document, inner, inner_type, depth, fragments)
                        }
                        None => {
                            inner.items.is_empty()
                                && (name == "__typename" || leaves.contains(&name))
                        }
                    }
            }
            Selection::FragmentSpread(spread) => {
                let name = &spread.node.fragment_name.node;
                let Some(fragment) = document.fragments.get(name) else {
                    return false;
                };
                fragments.push(name);
                spread.node.directives.is_empty()
                    && fragment.node.directives.is_empty()
                    && fragment.node.type_condition.node.on.node == type_name
                    && is_shared(
                        document,
                        &fragment.node.selection_set.node,
                        type_name,
                        depth,
                        fragments,
                    )
            }
            Selection::InlineFragment(fragment) => {
                let condition = fragment.node.type_condition.as_ref();
                fragment.node.directives.is_empty()
                    && condition.is_none_or(|condition| condition.node.on.node == type_name)
                    && is_shared(
                        document,
                        &fragment.node.selection_set.node,
                        type_name,
                        depth,
                        fragments,
                    )
            }
        })
}

fn key(text: &str, operation_name: Option<&str>) -> RenderKey {
    let mut hash = Sha256::new();
    hash.update(operation_name.unwrap_or_default());
    hash.update([0]);
    hash.update(text);
    let digest: [u8; 32] = hash.finalize().into();
    let (half, _) = digest.split_first_chunk().unwrap_or((&[0; 16], &[]));
    RenderKey(u128::from_le_bytes(*half))
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn look(text: &str, variables: serde_json::Value) -> Option<SharedOperation> {
        let document = parse_query(text).unwrap();
        let (_, operation) = document.operations.iter().next().unwrap();
        let variables = Variables::from_json(variables);
        SharedOperation::of(text, &document, &operation.node, None, &variables)
    }

    #[test]
    fn the_usual_operation_is_shared_whatever_its_variables() {
        let text = "subscription S($chatId: ID!, $after: String) {
            messageAdded(chatId: $chatId, after: $after) {
                cursor node { __typename ...M } } }
            fragment M on Message { id cursor seq changeSeq text createdAt sender { id name }
                system { kind title role actor { id } subjects { name } } }";
        let one = look(text, serde_json::json!({ "chatId": "cht_1", "after": "x" })).unwrap();
        assert_eq!(
            (one.chat_id.as_str(), one.after.as_deref()),
            ("cht_1", Some("x"))
        );
        let two = look(text, serde_json::json!({ "chatId": "cht_1" })).unwrap();
        assert_eq!((two.after, two.key), (None, one.key));
        let literal = look(
            r#"subscription { messageAdded(chatId: "c") { cursor } }"#,
            serde_json::json!({}),
        );
        assert!(literal.is_some_and(|literal| literal.key != one.key));
    }

    #[test]
    fn what_depends_on_the_viewer_or_needs_validation_is_not_shared() {
        let variables = serde_json::json!({ "chatId": "cht_1", "b": true });
        for selection in [
            "node { chat { unreadCount } }",
            "node { chat { title } }",
            "node { chat { lastSeq } }",
            "node { isReadByAll }",
            "node { sender { email } }",
            "node { sender { presence { status } } }",
            "node { chat { viewerMember { lastReadSeq } } }",
            "node { readBy { nodes { lastReadSeq } } }",
            "node { text @skip(if: true) }",
            "node { a: text }",
            "node { nothing }",
            "node { text { x } }",
            "node",
            "node { ... on User { id } }",
        ] {
            let text = format!("subscription {{ messageAdded(chatId: \"c\") {{ {selection} }} }}");
            assert_eq!(look(&text, variables.clone()), None, "{selection}");
        }
        for text in [
            "subscription { messageAdded { cursor } }",
            "subscription { a: messageAdded(chatId: \"c\") { cursor } }",
            "subscription($x: ID!) { messageAdded(chatId: \"c\") { cursor } }",
            "subscription($chatId: String!) { messageAdded(chatId: $chatId) { cursor } }",
            "subscription { messageAdded(chatId: 5) { cursor } }",
            "subscription { messageAdded(chatId: \"c\", more: 1) { cursor } }",
            "subscription { chatUpdated { id } }",
            "subscription { messageAdded(chatId: \"c\") { cursor } } fragment F on Message { id }",
            "subscription { messageAdded(chatId: \"c\") { ...F } } fragment F on MessageEdge { ...F }",
        ] {
            assert_eq!(look(text, variables.clone()), None, "{text}");
        }
    }
}
