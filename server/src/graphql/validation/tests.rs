//! What was validated before is refused as if it had not been.

use futures_util::FutureExt as _;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use serde_json::{Value as Json, json};
use talksy_domain::viewer::{Authentication, ClientInfo};

use super::*;
use crate::config::{DocumentsConfig, QueryLimits};
use crate::graphql::{Documents, Guard, Params, Prepared, prepare};

/// Each way in which a variable may reach an argument, with variables that are right.
fn documents() -> Vec<(&'static str, Json)> {
    vec![
        (
            "query($ids: [ID!]!, $first: Int, $on: Boolean!) {
                nodes(ids: $ids) { id } users(first: $first) @include(if: $on) { nodes { id } } }",
            json!({ "ids": ["a", "b"], "first": 7, "on": true }),
        ),
        (
            "mutation($input: SendMessageInput!) { sendMessage(input: $input) { message { id } } }",
            json!({ "input": { "chatId": "c", "text": "t", "clientMessageId": null } }),
        ),
        (
            "mutation($input: AddMembersInput!) { addMembers(input: $input) { chat { id } } }",
            json!({ "input": { "chatId": "c", "userIds": ["u"], "historyFrom": "ALL" } }),
        ),
        (
            "mutation($chat: ID!, $text: String, $seq: Int!) {
                sendMessage(input: { chatId: $chat, text: $text }) { message { id } }
                markRead(input: { chatId: $chat, seq: $seq }) { chat { id } } }",
            json!({ "chat": "c", "text": "t", "seq": 7 }),
        ),
        (
            "mutation($chat: ID!, $user: ID!, $role: MemberRole!) {
                setMemberRole(input: { chatId: $chat, userId: $user, role: $role }) {
                    member { id } } }",
            json!({ "chat": "c", "user": "u", "role": "OWNER" }),
        ),
        (
            "query($ids: [ID!]!, $first: Int) { ...F }
                fragment F on Query { users(first: $first) { nodes { id } }
                    nodes(ids: $ids) { id ... on User { name } } }",
            json!({ "ids": "a", "first": null }),
        ),
        (
            "query($id: ID!, $first: Int) {
                nodes(ids: [$id, \"x\"]) { id ... on Chat { messages(last: $first) { nodes { id } } } }
                __type(name: \"User\") { name } }",
            json!({ "id": "a", "first": 7 }),
        ),
    ]
}

/// Names of members of inputs, and one that none has.
const MEMBERS: [&str; 7] = [
    "chatId",
    "text",
    "clientMessageId",
    "userIds",
    "historyFrom",
    "seq",
    "nothing",
];

fn leaf() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        select(vec![0, -1, 7, 3_000_000_000, i64::MIN]).prop_map(Json::from),
        select(vec![1.0, 1.5, -1e300]).prop_map(Json::from),
        Just(Json::from(u64::MAX)),
        select(vec!["", "x", "OWNER", "ALL", "NOTHING"]).prop_map(Json::from),
    ]
}

fn value() -> impl Strategy<Value = Json> {
    let name = select(MEMBERS.to_vec()).prop_map(str::to_owned);
    prop_oneof![
        3 => leaf(),
        1 => vec(leaf(), 0..3).prop_map(Json::Array),
        1 => vec(vec(leaf(), 0..3).prop_map(Json::Array), 0..3).prop_map(Json::Array),
        1 => btree_map(name, leaf(), 0..4).prop_map(Json::from_iter),
    ]
}

/// The variables with up to two of them, or of the members of one, changed or taken away.
fn changed(right: Json) -> impl Strategy<Value = Json> {
    let names: Vec<String> = right.as_object().unwrap().keys().cloned().collect();
    let change = (
        select(names),
        select(MEMBERS.to_vec()),
        any::<bool>(),
        proptest::option::weighted(0.8, value()),
    );
    vec(change, 0..3).prop_map(move |changes| {
        let mut variables = right.clone();
        for (name, member, inside, value) in changes {
            let (object, name) = if inside && variables[&name].is_object() {
                (&mut variables[&name], member.to_owned())
            } else {
                (&mut variables, name)
            };
            let object = object.as_object_mut().unwrap();
            match value {
                Some(value) => object.insert(name, value),
                None => object.remove(&name),
            };
        }
        variables
    })
}

/// Documents of which none is kept.
fn forgetful() -> Documents {
    let limits = QueryLimits {
        cache_bytes: 0,
        ..QueryLimits::default()
    };
    let sdl = talksy_schema::schema::sdl();
    Documents::open(Guard::new(limits, &sdl, true), &DocumentsConfig::default()).unwrap()
}

/// A request that is ready to be validated, with a document that nobody has seen before; `None`
/// where it is refused earlier.
fn request(documents: &Documents, query: &str, name: Option<&str>, of: &Json) -> Option<Prepared> {
    let params = json!({ "query": query, "operationName": name, "variables": of });
    let params: Params = serde_json::from_value(params).unwrap();
    let nobody = (Authentication::default(), ClientInfo::default());
    prepare(documents, params, &nobody.0, &nobody.1).ok()
}

/// The errors that an operation is refused with, as they are written, in a firm order. Of several
/// members that an input does not have, async-graphql names one or the other.
fn errors(validator: &Validator, operation: &Operation, variables: &Variables) -> Vec<String> {
    let refusal = validator.refusal(operation, variables).now_or_never();
    let errors = refusal.unwrap().map(|refusal| refusal.errors);
    let errors = errors.unwrap_or_default();
    let mut errors: Vec<_> = errors
        .iter()
        .map(|error| {
            let text = serde_json::to_string(error).unwrap();
            let known = text.split("unknown field").next();
            known.unwrap_or_default().to_owned()
        })
        .collect();
    errors.sort_unstable();
    errors
}

/// An operation whose document was found valid before.
fn valid(documents: &Documents, validator: &Validator, query: &str, right: &Json) -> Operation {
    let right = request(documents, query, None, right).unwrap();
    let found = errors(validator, &right.operation, &right.variables);
    assert_eq!(found, Vec::<String>::new(), "{query}");
    assert!(right.operation.document().is_valid(), "{query}");
    right.operation
}

#[test]
fn a_document_that_is_known_is_refused_as_one_that_is_not() {
    let (documents_of, validator) = (forgetful(), Validator::new());
    let known: Vec<_> = documents()
        .into_iter()
        .map(|(query, right)| {
            let operation = valid(&documents_of, &validator, query, &right);
            (query, right, operation)
        })
        .collect();
    let rights: Vec<Json> = known.iter().map(|(_, right, _)| right.clone()).collect();
    let cases =
        (0..known.len()).prop_flat_map(move |which| (Just(which), changed(rights[which].clone())));
    let outcome = TestRunner::default().run(&cases, |(which, variables)| {
        let (query, _, warm) = &known[which];
        let Some(cold) = request(&documents_of, query, None, &variables) else {
            return Ok(());
        };
        prop_assert!(!cold.operation.document().is_valid());
        let expected = errors(&validator, &cold.operation, &cold.variables);
        let found = errors(&validator, warm, &cold.variables);
        prop_assert_eq!(&found, &expected, "{}: {}", query, variables);
        // What does not depend on an error that only the whole validation can word is not validated
        // again. A text in the place of an object is found out by who reads it.
        let document = warm.document().document();
        let skipped = validator.are_of_their_types(document, &cold.variables);
        prop_assert!(!skipped || expected.is_empty(), "{}: {}", query, variables);
        let is_odd = variables
            .get("input")
            .is_some_and(|input| !input.is_object());
        prop_assert_eq!(
            skipped,
            expected.is_empty() && !is_odd,
            "{}: {}",
            query,
            variables
        );
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn what_is_right_is_validated_once() {
    let (documents_of, validator) = (forgetful(), Validator::new());
    for (query, right) in documents() {
        let cold = request(&documents_of, query, None, &right).unwrap();
        assert!(!cold.operation.document().is_valid(), "{query}");
        let operation = valid(&documents_of, &validator, query, &right);
        let document = operation.document().document();
        assert!(
            validator.are_of_their_types(document, &cold.variables),
            "{query}"
        );
        // Another validator has not seen the schema's types yet.
        let other = Validator::new();
        assert!(
            !other.are_of_their_types(document, &cold.variables),
            "{query}"
        );
        let found = errors(&other, &operation, &cold.variables);
        assert_eq!(found, Vec::<String>::new(), "{query}");
        assert!(
            other.are_of_their_types(document, &cold.variables),
            "{query}"
        );
    }
}

#[test]
fn what_is_not_valid_is_never_remembered() {
    let (documents_of, validator) = (forgetful(), Validator::new());
    for query in [
        "{ nothing }",
        "{ me }",
        "{ me { id { id } } }",
        "{ me(a: 1) { id } }",
        "{ users(first: \"x\") { nodes { id } } }",
        "query($a: Int) { me { id } }",
        "query($a: Nothing) { node(id: $a) { id } }",
        "{ node(id: $a) { id } }",
        "{ me { id } } fragment F on User { id }",
        "{ me { a: id a: name } }",
        "{ me @nothing { id } }",
        "{ node(id: \"a\") { ... on Nothing { id } } }",
    ] {
        let request = request(&documents_of, query, None, &json!({ "a": "x" })).unwrap();
        for _ in 0..3 {
            let found = errors(&validator, &request.operation, &request.variables);
            assert_ne!(found, Vec::<String>::new(), "{query}");
            assert!(!request.operation.document().is_valid(), "{query}");
        }
    }
}

/// To look for what is like an unknown name takes longer than anything else.
#[test]
fn a_long_document_is_told_of_no_names_like_those_it_has() {
    let (documents_of, validator) = (forgetful(), Validator::new());
    let found = |query: &str| {
        let request = request(&documents_of, query, None, &json!({})).unwrap();
        errors(&validator, &request.operation, &request.variables).concat()
    };
    let short = found("{ me { nam } }");
    assert!(
        short.contains("Unknown field \\\"nam\\\"") && short.contains("Did you mean"),
        "{short}"
    );
    let long = found(&format!(
        "{{ me {{ nam }} }} # {}",
        "x".repeat(MAX_SUGGESTING)
    ));
    assert!(long.contains("Unknown field \\\"nam\\\""), "{long}");
    assert!(!long.contains("Did you mean"), "{long}");
}

/// A constant beside a variable that is absent is looked at once the variable is there.
#[test]
fn a_constant_beside_a_variable_is_looked_at_with_it() {
    let (documents_of, validator) = (forgetful(), Validator::new());
    let query = "mutation($text: String) {
        sendMessage(input: { chatId: true, text: $text }) { message { id } } }";
    let operation = valid(&documents_of, &validator, query, &json!({}));
    let with = request(&documents_of, query, None, &json!({ "text": "t" })).unwrap();
    let expected = errors(&validator, &with.operation, &with.variables);
    assert_eq!(expected.len(), 1, "{expected:?}");
    assert_eq!(errors(&validator, &operation, &with.variables), expected);
}

/// Of the operations of a document, each has variables of its own.
#[test]
fn a_variable_of_another_operation_is_not_held_against_the_one_that_runs() {
    let (documents_of, validator) = (forgetful(), Validator::new());
    let query = "query A($v: Int) { users(first: $v) { nodes { id } } }
        query B($v: ID!) { node(id: $v) { id } }";
    let variables = [json!({ "v": 7 }), json!({ "v": "x" }), json!({ "v": true })];
    for name in ["A", "B"] {
        let warm = request(&documents_of, query, Some(name), &variables[0]).unwrap();
        errors(&validator, &warm.operation, &warm.variables);
        for variables in &variables {
            let cold = request(&documents_of, query, Some(name), variables).unwrap();
            assert_eq!(
                errors(&validator, &warm.operation, &cold.variables),
                errors(&validator, &cold.operation, &cold.variables),
                "{name}: {variables}"
            );
        }
    }
}
