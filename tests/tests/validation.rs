//! Each rule of the specification's chapter on validation, with a document that breaks it and one that
//! is next to it and does not. What async-graphql does not check is checked by the server's own rules.

use serde_json::{Value, json};
use talksy_tests::app::TestApp;

/// A rule; a document that breaks it, and what the refusal says; a document that does not.
struct Case {
    rule: &'static str,
    broken: &'static str,
    says: &'static str,
    whole: &'static str,
}

const fn case(
    rule: &'static str,
    broken: &'static str,
    says: &'static str,
    whole: &'static str,
) -> Case {
    Case {
        rule,
        broken,
        says,
        whole,
    }
}

/// Of documents and operations: 5.1 and 5.2.
const OPERATIONS: [Case; 5] = [
    case(
        "Executable Definitions",
        "{ __typename } type Query { a: Int }",
        "",
        "{ __typename }",
    ),
    case(
        "Operation Name Uniqueness",
        "query A { __typename } query A { __typename }",
        "",
        "query A { __typename }",
    ),
    case(
        "Lone Anonymous Operation",
        "{ __typename } query A { __typename }",
        "",
        "query A { __typename }",
    ),
    case(
        "Subscription Operation: Single Root Field",
        "subscription { chatUpdated { id } chatRemoved { chatId } }",
        "exactly one field",
        "{ __typename }",
    ),
    case(
        "Subscription Operation: No Introspection",
        "subscription { __typename }",
        "",
        "{ __typename }",
    ),
];

/// Of fields and arguments: 5.3 and 5.4.
const FIELDS: [Case; 16] = [
    case(
        "Field Selections",
        "{ nothing }",
        "nothing",
        "{ me { id } }",
    ),
    case(
        "Field Selections on an interface",
        "{ node(id: \"a\") { name } }",
        "name",
        "{ node(id: \"a\") { ... on User { name } } }",
    ),
    case(
        "Field Selection Merging: other fields",
        "{ me { a: id a: name } }",
        "different fields",
        "{ me { a: id a: id } }",
    ),
    case(
        "Field Selection Merging: other arguments",
        "{ users(first: 1) { nodes { id } } users(first: 2) { nodes { id } } }",
        "differing arguments",
        "{ users(first: 1) { nodes { id } } users(first: 1) { nodes { name } } }",
    ),
    case(
        "Field Selection Merging: no arguments beside some",
        "{ users { nodes { id } } users(first: 2) { nodes { id } } }",
        "differing arguments",
        "{ users { nodes { id } } users { nodes { name } } }",
    ),
    case(
        "Field Selection Merging: below fields that meet",
        "{ me { a: id } me { a: name } }",
        "different fields",
        "{ me { a: id } me { b: name } }",
    ),
    case(
        "Field Selection Merging: in a fragment",
        "{ me { a: id ...F } } fragment F on User { a: name }",
        "different fields",
        "{ me { a: id ...F } } fragment F on User { a: id }",
    ),
    case(
        "Field Selection Merging: in a fragment on the type itself",
        "{ me { a: id ... on User { a: name } } }",
        "different fields",
        "{ me { a: id ... on User { b: name } } }",
    ),
    case(
        "Field Selection Merging: on an interface and an object",
        "{ node(id: \"a\") { a: id ... on User { a: name } } }",
        "different fields",
        "{ node(id: \"a\") { a: id ... on User { a: id } } }",
    ),
    case(
        "Field Selection Merging: types of other shape",
        "{ node(id: \"a\") { ... on User { a: name } ... on Chat { a: lastSeq } } }",
        "conflicting types",
        "{ node(id: \"a\") { ... on User { a: id } ... on Chat { a: id } } }",
    ),
    case(
        "Field Selection Merging: below types of the same shape",
        "{ node(id: \"a\") { ... on Message { x: chat { a: lastSeq } }
            ... on Chat { x: lastMessage { a: text } } } }",
        "conflicting types",
        "{ node(id: \"a\") { ... on User { a: name } ... on Chat { b: unreadCount } } }",
    ),
    case(
        "Leaf Field Selections: a leaf",
        "{ me { id { id } } }",
        "id",
        "{ me { id } }",
    ),
    case(
        "Leaf Field Selections: an object",
        "{ me }",
        "me",
        "{ me { id } }",
    ),
    case(
        "Argument Names",
        "{ users(nothing: 1) { nodes { id } } }",
        "nothing",
        "{ users(first: 1) { nodes { id } } }",
    ),
    case(
        "Argument Uniqueness",
        "{ users(first: 1, first: 1) { nodes { id } } }",
        "first",
        "{ users(first: 1) { nodes { id } } }",
    ),
    case(
        "Required Arguments",
        "{ node { id } }",
        "id",
        "{ node(id: \"a\") { id } }",
    ),
];

/// Of fragments: 5.5.
const FRAGMENTS: [Case; 8] = [
    case(
        "Fragment Name Uniqueness",
        "{ me { ...F } } fragment F on User { id } fragment F on User { id }",
        "",
        "{ me { ...F } } fragment F on User { id }",
    ),
    case(
        "Fragment Spread Type Existence",
        "{ me { ...F } } fragment F on Nothing { id }",
        "Nothing",
        "{ me { ...F } } fragment F on Node { id }",
    ),
    case(
        "Fragment Spread Type Existence, inline",
        "{ me { ... on Nothing { id } } }",
        "Nothing",
        "{ me { ... on Node { id } } }",
    ),
    case(
        "Fragments on Object, Interface or Union Types",
        "{ me { id ...F } } fragment F on DateTime { id }",
        "DateTime",
        "{ me { id ...F } } fragment F on User { id }",
    ),
    case(
        "Fragments Must Be Used",
        "{ me { id } } fragment F on User { id }",
        "F",
        "{ me { ...F } } fragment F on User { id }",
    ),
    case(
        "Fragment Spread Target Defined",
        "{ me { ...F } }",
        "F",
        "{ me { ...F } } fragment F on User { id }",
    ),
    case(
        "Fragment Spreads Must Not Form Cycles",
        "{ me { ...F } } fragment F on User { id ...G } fragment G on User { ...F }",
        "itself",
        "{ me { ...F } } fragment F on User { id ...G } fragment G on User { id }",
    ),
    case(
        "Fragment Spread Is Possible",
        "{ me { id ... on Chat { id } } }",
        "Chat",
        "{ me { id ... on Node { id } } }",
    ),
];

/// Of values: 5.6.
const VALUES: [Case; 9] = [
    case(
        "Values of Correct Type",
        "{ users(first: \"x\") { nodes { id } } }",
        "first",
        "{ users(first: 1) { nodes { id } } }",
    ),
    case(
        "Values of Correct Type: null",
        "{ node(id: null) { id } }",
        "id",
        "{ users(first: null) { nodes { id } } }",
    ),
    case(
        "Values of Correct Type: in a list",
        "{ nodes(ids: [\"a\", true]) { id } }",
        "ids",
        "{ nodes(ids: [\"a\", \"b\"]) { id } }",
    ),
    case(
        "Values of Correct Type: of a directive",
        "{ me { id @skip(if: 1) name } }",
        "if",
        "{ me { id @skip(if: true) name } }",
    ),
    case(
        "Values of Correct Type: a default",
        "query($n: Int = \"x\") { users(first: $n) { nodes { id } } }",
        "n",
        "query($n: Int = 1) { users(first: $n) { nodes { id } } }",
    ),
    case(
        "Input Object Field Names",
        "mutation { markRead(input: { chatId: \"a\", seq: 1, nothing: 1 }) { chat { id } } }",
        "nothing",
        "{ __typename }",
    ),
    case(
        "Input Object Field Uniqueness",
        "mutation { markRead(input: { chatId: \"a\", seq: 1, seq: 1 }) { chat { id } } }",
        "There can be only one input field named \"seq\".",
        "{ __typename }",
    ),
    case(
        "Input Object Field Uniqueness, in a default",
        "query($a: Int = 1, $b: MarkReadInput = { seq: 1, chatId: \"a\", seq: 2 }) {
            users(first: $a) { nodes { id } } }",
        "There can be only one input field named \"seq\".",
        "{ __typename }",
    ),
    case(
        "Input Object Required Fields",
        "mutation { markRead(input: { chatId: \"a\" }) { chat { id } } }",
        "seq",
        "{ __typename }",
    ),
];

/// Of directives: 5.7.
const DIRECTIVES: [Case; 6] = [
    case(
        "Directives Are Defined",
        "{ me { id @nothing } }",
        "nothing",
        "{ me { id @skip(if: false) } }",
    ),
    case(
        "Directives Are Defined, on a variable",
        "query($n: Int @nothing) { users(first: $n) { nodes { id } } }",
        "Unknown directive \"@nothing\".",
        "query($n: Int) { users(first: $n) { nodes { id } } }",
    ),
    case(
        "Directives Are in Valid Locations",
        "query @skip(if: false) { me { id } }",
        "skip",
        "query { me { id } }",
    ),
    case(
        "Directives Are in Valid Locations, on a variable",
        "query($n: Int @skip(if: true)) { users(first: $n) { nodes { id } } }",
        "Directive \"@skip\" may not be used on VARIABLE_DEFINITION.",
        "query($n: Int) { users(first: $n) { nodes { id } } }",
    ),
    case(
        "Directives Are Unique per Location",
        "{ me { id @skip(if: false) @skip(if: false) } }",
        "skip",
        "{ me { id @skip(if: false) @include(if: true) } }",
    ),
    case(
        "Required Arguments of a directive",
        "{ me { id @skip } }",
        "if",
        "{ me { id @skip(if: false) } }",
    ),
];

/// Of variables: 5.8.
const VARIABLES: [Case; 13] = [
    case(
        "Variable Uniqueness",
        "query($n: Int, $n: Int) { users(first: $n) { nodes { id } } }",
        "n",
        "query($n: Int) { users(first: $n) { nodes { id } } }",
    ),
    case(
        "Variables Are Input Types",
        "query($n: User) { users(first: $n) { nodes { id } } }",
        "User",
        "query($n: Int) { users(first: $n) { nodes { id } } }",
    ),
    case(
        "Variables Are Input Types: of types that there are",
        "query($n: Nothing) { users(first: $n) { nodes { id } } }",
        "Nothing",
        "query($n: Int) { users(first: $n) { nodes { id } } }",
    ),
    case(
        "All Variable Uses Defined",
        "query A { users(first: $n) { nodes { id } } }",
        "n",
        "query A($n: Int) { users(first: $n) { nodes { id } } }",
    ),
    case(
        "All Variable Uses Defined: of a directive, in a fragment",
        "query A { me { ...F } } fragment F on User { id @skip(if: $n) }",
        "n",
        "query A($n: Boolean!) { me { ...F } } fragment F on User { id name @skip(if: $n) }",
    ),
    case(
        "All Variables Used",
        "query($n: Int) { me { id } }",
        "n",
        "query($n: Int) { users(first: $n) { nodes { id } } }",
    ),
    case(
        "All Variable Usages Are Allowed",
        "query($a: String) { node(id: $a) { id } }",
        "Variable \"$a\" of type \"String\" used in position expecting type \"ID!\".",
        "query($a: ID!) { node(id: $a) { id } }",
    ),
    case(
        "All Variable Usages Are Allowed: another type",
        "query($a: Int) { node(id: $a) { id } }",
        "Variable \"$a\" of type \"Int\" used in position expecting type \"ID!\".",
        "query($a: ID = \"x\") { node(id: $a) { id } }",
    ),
    case(
        "All Variable Usages Are Allowed: nullable",
        "query($a: ID) { node(id: $a) { id } }",
        "Variable \"$a\" of type \"ID\" used in position expecting type \"ID!\".",
        "query($a: ID = \"x\") { node(id: $a) { id } }",
    ),
    case(
        "All Variable Usages Are Allowed: a list",
        "query($a: ID!) { nodes(ids: $a) { id } }",
        "Variable \"$a\" of type \"ID!\" used in position expecting type \"[ID!]!\".",
        "query($a: ID!) { nodes(ids: [$a]) { id } }",
    ),
    case(
        "All Variable Usages Are Allowed: an item",
        "query($a: ID) { nodes(ids: [\"x\", $a]) { id } }",
        "Variable \"$a\" of type \"ID\" used in position expecting type \"ID!\".",
        "query($a: [ID!]!) { nodes(ids: $a) { id } }",
    ),
    case(
        "All Variable Usages Are Allowed: a member of an input object",
        "mutation($a: Int) { markRead(input: { chatId: \"x\", seq: $a }) { chat { id } } }",
        "Variable \"$a\" of type \"Int\" used in position expecting type \"Int!\".",
        "{ __typename }",
    ),
    case(
        "All Variable Usages Are Allowed: a directive, in a fragment",
        "query($a: Boolean) { me { ...F } } fragment F on User { id name @skip(if: $a) }",
        "Variable \"$a\" of type \"Boolean\" used in position expecting type \"Boolean!\".",
        "query($a: Boolean = false) { me { ...F } } fragment F on User { id name @skip(if: $a) }",
    ),
];

/// Variables that are right for each whole document that needs some.
fn variables(document: &str) -> Value {
    if document.contains("$a: [ID!]!") {
        json!({ "a": ["x"] })
    } else if document.contains("$a: ID!") {
        json!({ "a": "x" })
    } else if document.contains("$n: Boolean!") {
        json!({ "n": true })
    } else {
        json!({})
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rule_refuses_what_breaks_it() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let cases = OPERATIONS.iter().chain(&FIELDS).chain(&FRAGMENTS);
    let cases = cases.chain(&VALUES).chain(&DIRECTIVES).chain(&VARIABLES);
    let mut wrong = Vec::new();
    for Case {
        rule,
        broken,
        says,
        whole,
    } in cases
    {
        // Twice, as what was found valid is not validated again.
        for _ in 0..2 {
            let reply = ada.client.run(broken, variables(broken)).await;
            let is_request_error = reply.body.get("data").is_none();
            let message = reply.body["errors"][0]["message"].as_str();
            let message = message.unwrap_or_default();
            if !is_request_error || !message.contains(says) {
                wrong.push(format!("{rule}: {broken}\n  {}", reply.body));
            }
            let reply = ada.client.run(whole, variables(whole)).await;
            let code = &reply.body["errors"][0]["extensions"]["code"];
            if code == "GRAPHQL_VALIDATION_FAILED" || code == "BAD_USER_INPUT" {
                wrong.push(format!("{rule}: {whole}\n  {}", reply.body));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Nothing of a mutation is carried out whose variable may not stand where it is used.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_not_executed() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let send = "mutation($chat: String!, $text: String) {
        sendMessage(input: { chatId: $chat, text: $text }) { message { seq } } }";
    let variables = json!({ "chat": chat, "text": "hi" });
    let reply = ada.client.run(send, variables).await;
    let error = &reply.body["errors"][0];
    assert_eq!(
        error["message"],
        "Variable \"$chat\" of type \"String!\" used in position expecting type \"ID!\"."
    );
    assert_eq!(
        error["locations"],
        json!([{ "line": 1, "column": 10 }, { "line": 2, "column": 38 }])
    );
    assert_eq!(error["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED");
    let first = bob.send(&chat, "first").await;
    assert_eq!(first["message"]["seq"], 1);
}
