//! Tells which operations give all their subscribers the same bytes but for the holes, so that an
//! event is rendered once for a thousand of them.
//!
//! An operation is shared where its selection on a type of events holds only fields that the types
//! declare. Directives are not looked into: what they leave out has to be declared as well. Whether
//! the document is valid is for the schema to say, before anything is rendered.

use std::collections::BTreeSet;
use std::convert::Infallible;

use async_graphql::parser::types::{
    ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::{Name, Value, Variables};
use sha2::{Digest as _, Sha256};
use talksy_domain::events::RenderKey;

use super::declaration::{SharedType, Sharing};
use super::registry::{event_types, shared_type};

/// How deeply selections may nest before an operation is not looked into any further. The query
/// guard admits less.
const MAX_DEPTH: usize = 64;

/// A subscription whose events are rendered once for all subscribers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedOperation {
    /// The types of events that are shared, each with the name of its rendering: the same for all
    /// operations that have the same text, name and variables below the subscription's own
    /// arguments. Of other types each subscriber has an execution of their own.
    types: Box<[(&'static str, RenderKey)]>,
    /// Whether it asks what a message replies to.
    asks_for_targets: bool,
}

/// The field that says what a message replies to.
const TARGET: &str = "replyTo";

impl SharedOperation {
    /// Looks at an operation of a document; `None` where each subscriber has an execution of their
    /// own.
    pub fn of(
        text: &str,
        document: &ExecutableDocument,
        operation: &OperationDefinition,
        operation_name: Option<&str>,
        variables: &Variables,
    ) -> Option<Self> {
        let root = root(operation)?;
        let selection = &root.selection_set.node;
        let mut used = BTreeSet::new();
        variables_of(document, selection, 0, &mut used)?;
        let scopes = shared_scopes(&root.name.node).into_iter();
        let shared = scopes.filter(|scope| is_shared(document, selection, *scope, 0));
        let types: Box<[_]> = shared
            .map(|scope| {
                let name = scope.type_name();
                (name, key(text, operation_name, name, &used, variables))
            })
            .collect();
        let asks_for_targets = selects(document, selection, TARGET, 0);
        (!types.is_empty()).then_some(Self {
            types,
            asks_for_targets,
        })
    }

    /// Whether its renderings differ between who may read what a message replies to, and who may not.
    pub const fn asks_for_targets(&self) -> bool {
        self.asks_for_targets
    }

    /// Names the rendering of events of this type; `None` where they are not shared.
    pub fn key(&self, type_name: &str) -> Option<RenderKey> {
        let mut types = self.types.iter();
        let (_, key) = types.find(|(name, _)| *name == type_name)?;
        Some(*key)
    }
}

/// The one field of a subscription that has no directives beside it.
fn root(operation: &OperationDefinition) -> Option<&Field> {
    let is_plain = operation.ty == OperationType::Subscription && operation.directives.is_empty();
    match operation.selection_set.node.items.as_slice() {
        [item] if is_plain => match &item.node {
            Selection::Field(root) if root.node.directives.is_empty() => Some(&root.node),
            _ => None,
        },
        _ => None,
    }
}

/// The fields that are shared of the events of a subscription: tests draw selections from them.
pub fn shared_scopes(subscription: &str) -> Vec<Scope> {
    let types = event_types(subscription).iter();
    let types = types.filter_map(|name| shared_type(name));
    types.map(|of| Scope { of, is_state: true }).collect()
}

/// What a selection is on.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    of: &'static SharedType,
    /// Whether it is part of the state of the chat whose numbers name the rendering.
    is_state: bool,
}

/// What a shared field holds.
#[derive(Clone, Copy, Debug)]
pub enum Holds {
    /// A leaf.
    Leaf,
    /// An object, or a list of them, with a selection of its own.
    Object(Scope),
}

impl Scope {
    /// The type.
    pub fn type_name(self) -> &'static str {
        self.of.name
    }

    /// The fields that are shared, each with what it holds.
    pub fn fields(self) -> Vec<(&'static str, Holds)> {
        let names = self.of.fields.iter().map(|field| field.name);
        let shared = names.filter_map(|name| Some((name, self.field(name)?)));
        shared.collect()
    }

    /// What the field holds; `None` where it is not shared.
    fn field(self, name: &str) -> Option<Holds> {
        if name == "__typename" {
            return Some(Holds::Leaf);
        }
        let field = self.of.fields.iter().find(|field| field.name == name)?;
        let is_of_event = matches!(field.sharing, Sharing::Event | Sharing::Own);
        if !is_of_event && !self.is_state {
            return None;
        }
        let Some(object) = field.object else {
            return Some(Holds::Leaf);
        };
        let of = shared_type(object)?;
        // Behind a field of the event the numbers of a chat are not the rendering's.
        let is_state = self.is_state && !is_of_event;
        Some(Holds::Object(Self { of, is_state }))
    }

    /// Whether a fragment on this type applies.
    fn meets(self, condition: &str) -> bool {
        self.of.name == condition || self.of.interfaces.contains(&condition)
    }
}

fn is_shared(
    document: &ExecutableDocument,
    selection: &SelectionSet,
    scope: Scope,
    depth: usize,
) -> bool {
    let is_shared =
        |selection: &SelectionSet, scope| is_shared(document, selection, scope, depth + 1);
    depth < MAX_DEPTH
        && selection.items.iter().all(|item| match &item.node {
            Selection::Field(field) => match scope.field(&field.node.name.node) {
                Some(Holds::Object(below)) => is_shared(&field.node.selection_set.node, below),
                Some(Holds::Leaf) => true,
                None => false,
            },
            Selection::FragmentSpread(spread) => {
                let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) else {
                    return false;
                };
                let fragment = &fragment.node;
                !scope.meets(&fragment.type_condition.node.on.node)
                    || is_shared(&fragment.selection_set.node, scope)
            }
            Selection::InlineFragment(fragment) => {
                let condition = fragment.node.type_condition.as_ref();
                condition.is_some_and(|condition| !scope.meets(&condition.node.on.node))
                    || is_shared(&fragment.node.selection_set.node, scope)
            }
        })
}

/// Whether a field of this name is selected somewhere. Too deep to look, it may be.
fn selects(
    document: &ExecutableDocument,
    selection: &SelectionSet,
    name: &str,
    depth: usize,
) -> bool {
    let below = |selection: &SelectionSet| selects(document, selection, name, depth + 1);
    depth >= MAX_DEPTH
        || selection.items.iter().any(|item| match &item.node {
            Selection::Field(field) => {
                field.node.name.node == name || below(&field.node.selection_set.node)
            }
            Selection::FragmentSpread(spread) => {
                let fragment = document.fragments.get(&spread.node.fragment_name.node);
                fragment.is_some_and(|fragment| below(&fragment.node.selection_set.node))
            }
            Selection::InlineFragment(fragment) => below(&fragment.node.selection_set.node),
        })
}

/// Collects the variables that a selection depends on.
fn variables_of(
    document: &ExecutableDocument,
    selection: &SelectionSet,
    depth: usize,
    used: &mut BTreeSet<Name>,
) -> Option<()> {
    if depth >= MAX_DEPTH {
        return None;
    }
    for item in &selection.items {
        let (arguments, directives, below) = match &item.node {
            Selection::Field(field) => {
                let field = &field.node;
                let arguments = field.arguments.as_slice();
                (arguments, &field.directives, &field.selection_set.node)
            }
            Selection::FragmentSpread(spread) => {
                let fragment = document.fragments.get(&spread.node.fragment_name.node)?;
                let below = &fragment.node.selection_set.node;
                (&[][..], &spread.node.directives, below)
            }
            Selection::InlineFragment(fragment) => {
                let below = &fragment.node.selection_set.node;
                (&[][..], &fragment.node.directives, below)
            }
        };
        let beside = directives.iter().flat_map(|one| &one.node.arguments);
        for (_, value) in arguments.iter().chain(beside) {
            // Nothing but the names is of interest.
            let noted = value.node.clone().into_const_with(|name| {
                used.insert(name);
                Ok::<_, Infallible>(Value::Null)
            });
            drop(noted);
        }
        variables_of(document, below, depth + 1, used)?;
    }
    Some(())
}

/// A hash of all that a rendering depends on. With the text the values say what they are coerced
/// to.
fn key(
    text: &str,
    operation_name: Option<&str>,
    type_name: &str,
    used: &BTreeSet<Name>,
    variables: &Variables,
) -> RenderKey {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    };
    add(text.as_bytes());
    add(operation_name.unwrap_or_default().as_bytes());
    add(type_name.as_bytes());
    for name in used {
        add(name.as_bytes());
        // Absent is not null: a default may stand in for what is absent.
        let value = variables.get(name).map(ToString::to_string);
        add(value.unwrap_or_default().as_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    let (half, _) = digest.split_first_chunk().unwrap_or((&[0; 16], &[]));
    RenderKey(u128::from_le_bytes(*half))
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use serde_json::json;

    use super::*;

    fn look_at(
        text: &str,
        name: Option<&str>,
        variables: serde_json::Value,
    ) -> Option<SharedOperation> {
        let document = parse_query(text).unwrap();
        let mut operations = document.operations.iter();
        let (_, operation) = operations
            .find(|(known, _)| name.is_none() || known.map(Name::as_str) == name)
            .unwrap();
        let variables = Variables::from_json(variables);
        SharedOperation::of(text, &document, &operation.node, name, &variables)
    }

    fn look(text: &str) -> Option<SharedOperation> {
        look_at(text, None, json!({}))
    }

    #[test]
    fn the_usual_operations_are_shared_whatever_they_follow() {
        let text = "subscription S($chatId: ID!, $after: String) {
            it: messageAdded(chatId: $chatId, after: $after) {
                cursor node { __typename ...M ... on Node { id } ... on User { email } } } }
            fragment M on Message { id seq words: text sender { id name } chat { title }
                system { kind title role actor { id } subjects { name } } }";
        let one = look_at(text, None, json!({ "chatId": "cht_1", "after": "x" })).unwrap();
        assert!(one.key("MessageEdge").is_some());
        let two = look_at(text, None, json!({ "chatId": "cht_2" })).unwrap();
        assert_eq!(one, two);
        for text in [
            "subscription { messageUpdated(chatId: \"c\") { cursor changeSeq message { text } } }",
            "subscription { readReceiptUpdated(chatId: \"c\") { id user { name } lastReadSeq } }",
            "subscription { chatUpdated { title unreadCount isMutedByViewer readCursor lastSeq readByAllSeq
                viewerMember { id role lastReadSeq } lastMessage { text sender { name } } } }",
        ] {
            assert!(look(text).is_some(), "{text}");
        }
    }

    #[test]
    fn it_is_known_which_ask_for_what_is_replied_to() {
        for (selection, asks) in [
            ("node { replyTo { text } }", true),
            ("node { ... { x: replyTo @skip(if: true) { text } } }", true),
            ("node { ...F }", true),
            ("node { replyTo: sender { name } }", false),
        ] {
            let text = format!(
                "subscription {{ messageAdded(chatId: \"c\") {{ {selection} }} }}
                fragment F on Message {{ id ...G }} fragment G on Message {{ replyTo {{ id }} }}"
            );
            assert_eq!(look(&text).unwrap().asks_for_targets(), asks, "{selection}");
        }
    }

    #[test]
    fn each_kind_of_event_is_shared_or_not() {
        let shared = look(
            "subscription { accountEvents { __typename cursor
                ... on MessageAdded { message { text sender { name } } }
                ... on MessageChange { message { isReadByAll } }
                ... on ChatChanged { chat { unreadCount } }
                ... on ViewerChanged { viewer { email } } } }",
        );
        let shared = shared.unwrap();
        let types: Vec<_> = shared.types.iter().map(|(name, _)| *name).collect();
        assert_eq!(types, ["MessageAdded", "ReceiptChanged", "ChatChanged"]);
        assert_ne!(shared.key("MessageAdded"), shared.key("ReceiptChanged"));
        assert_eq!(shared.key("ViewerChanged"), None);
    }

    #[test]
    fn what_depends_on_the_viewer_is_not_shared() {
        for selection in [
            "node { chat { unreadCount } }",
            "node { chat { lastSeq } }",
            "node { chat { lastMessage { text } } }",
            "node { isReadByAll }",
            "node { isReadByAll @skip(if: true) }",
            "node { ... @include(if: false) { isReadByAll } }",
            "node { ...F }",
            "node { sender { email } }",
            "node { sender { presence { status } } }",
            "node { chat { viewerMember { lastReadSeq } } }",
            "node { readBy { nodes { lastReadSeq } } }",
            "node { nothing }",
            "more: node { ...Missing }",
        ] {
            let text = format!(
                "subscription {{ messageAdded(chatId: \"c\") {{ {selection} }} }}
                fragment F on Message {{ ... {{ chat {{ ...G }} }} }}
                fragment G on Chat {{ members {{ nodes {{ role }} }} }}"
            );
            assert_eq!(look(&text), None, "{selection}");
        }
        for text in [
            "subscription { messageAdded(chatId: \"c\") @include(if: true) { cursor } }",
            "subscription { ... on Subscription { chatUpdated { id } } }",
            "subscription { chatUpdated { id } chatRemoved { chatId } }",
            "subscription { chatUpdated { peer { email } } }",
            "subscription { chatUpdated { lastMessage { chat { peer { name } } } } }",
            "subscription { chatUpdated { lastMessage { isReadByAll } } }",
            "subscription { readReceiptUpdated(chatId: \"c\") { chat { readByAllSeq } } }",
            "subscription { chatUpdated { lastMessage { chat { unreadCount } } } }",
            "subscription { chatUpdated { viewerMember { user { name } } } }",
            "subscription { presenceChanged(userIds: []) { status } }",
            "subscription { chatUpdated { ...F } } fragment F on Chat { ...F }",
            "query { chat(id: \"c\") { id } }",
        ] {
            assert_eq!(look(text), None, "{text}");
        }
    }

    #[test]
    fn documents_that_share_a_text_and_not_a_meaning_have_keys_of_their_own() {
        let text = "subscription A($c: ID!, $b: Boolean = true) {
                messageAdded(chatId: $c) { node { id text @skip(if: $b) } } }
            subscription B($c: ID!) { messageAdded(chatId: $c) { node { seq } } }";
        let key = |name, variables| {
            let shared = look_at(text, Some(name), variables).unwrap();
            shared.key("MessageEdge").unwrap()
        };
        let a = |b: serde_json::Value| key("A", json!({ "c": "1", "b": b }));
        let keys = [
            a(json!(true)),
            a(json!(false)),
            a(json!(null)),
            a(json!("true")),
            a(json!({ "b": true })),
            a(json!([true])),
            key("A", json!({ "c": "1" })),
            key("B", json!({ "c": "1" })),
        ];
        let unique: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(unique.len(), keys.len());
        assert_eq!(key("A", json!({ "c": "2", "b": true, "x": 1 })), keys[0]);
        for other in [" seq", "n: seq", "seq @skip(if: false)"] {
            let other = text.replace("seq", other);
            let variables = json!({ "c": "1" });
            let other = look_at(&other, Some("B"), variables).unwrap();
            assert_ne!(other.key("MessageEdge"), Some(keys[7]));
        }
    }
}
