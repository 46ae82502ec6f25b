//! What a server says of itself: its published schema is the one that introspection shows, in every
//! part, and `server` tells what it is and can do.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fmt::Display;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    ConstDirective, FieldDefinition, InputValueDefinition, ServiceDocument, TypeDefinition,
    TypeKind, TypeSystemDefinition,
};
use async_graphql::{Name, Positioned, Value as GraphqlValue};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use talksy_tests::app::TestApp;
use talksy_tests::client::string;

const INTROSPECTION: &str =
    include_str!("../../server/src/graphql/guard/tests/introspection.graphql");

/// They are in introspection alone (GraphQL specification, section 3.5).
const BUILT_IN: [&str; 5] = ["Int", "Float", "String", "Boolean", "ID"];

/// What a schema says, each part by its path.
type Facts = BTreeMap<String, String>;

async fn published(app: &TestApp) -> String {
    let answer = app.client().request(http::Method::GET, "/schema.graphql");
    answer.send().await.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_published_schema_and_introspection_agree_in_everything() {
    let app = TestApp::start().await;
    // The parser knows no description of a schema, which stands on the line ahead of the roots.
    let sdl = published(&app).await;
    let (ahead, roots) = sdl.rsplit_once("\nschema {").unwrap();
    let (types, about) = ahead.rsplit_once('\n').unwrap();
    let mut of_sdl = of_document(&parse_schema(format!("{types}\nschema {{{roots}")).unwrap());
    of_sdl.insert("schema description".into(), about.trim_matches('"').into());
    let answer = app.client().data(INTROSPECTION, json!({})).await;
    let of_server = of_introspection(&answer["__schema"]);

    let keys = of_sdl.keys().chain(of_server.keys());
    let differing: Vec<_> = keys
        .filter(|key| of_sdl.get(*key) != of_server.get(*key))
        .map(|key| format!("{key}: {:?} and {:?}", of_sdl.get(key), of_server.get(key)))
        .collect();
    assert_eq!(differing, [""; 0]);
    // The comparison saw each kind of part.
    for (part, says) in [
        (
            "schema",
            "query Query, mutation Mutation, subscription Subscription",
        ),
        ("User", "OBJECT A user."),
        ("User implements", "Node"),
        (
            "Node possible",
            "Attachment, Chat, Message, Report, Session, User",
        ),
        (
            "User.name",
            "String! The name shown to others, 1 to 64 characters.",
        ),
        ("Query.chat(id)", "ID! The chat's id."),
        (
            "LoginInput.email",
            "String! The mail address. Case and spaces around it do not matter.",
        ),
        ("ErrorCode.FORBIDDEN", "The viewer may not do this."),
    ] {
        assert_eq!(of_sdl.get(part).map(String::as_str), Some(says), "{part}");
    }
    let instant = of_sdl
        .get("DateTime")
        .map(String::as_str)
        .unwrap_or_default();
    assert!(
        instant.ends_with("specifiedBy https://scalars.graphql.org/andimarek/date-time"),
        "{instant}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_says_what_it_is_and_can_do_to_who_has_no_token() {
    let app = TestApp::start().await;
    let query = "{ server { version schemaHash features errorCodes }
        __type(name: \"ErrorCode\") { enumValues { name } } }";
    let data = app.client().data(query, json!({})).await;
    let server = &data["server"];
    assert_eq!(server["version"], json!(env!("CARGO_PKG_VERSION")));
    let hash = hex::encode(Sha256::digest(published(&app).await));
    assert_eq!(server["schemaHash"], json!(hash[..16]));

    let names = items(&data["__type"]["enumValues"]).map(|value| value["name"].clone());
    let codes = &server["errorCodes"];
    assert_eq!(*codes, names.collect::<Value>());
    assert!(items(codes).any(|code| *code == json!("FORBIDDEN")));

    let guide = include_str!("../../docs/CLIENTS.md");
    let features: Vec<_> = items(&server["features"]).map(string).collect();
    assert!(features.is_sorted() && features.contains(&"directChats".to_owned()));
    for feature in features {
        assert!(
            guide.contains(&format!("| `{feature}` |")),
            "{feature} is not explained"
        );
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The parts that are there, with spaces between.
fn joined<const N: usize>(parts: [String; N]) -> String {
    let there = parts.iter().filter(|part| !part.is_empty());
    there.map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn listed(mut names: Vec<String>) -> String {
    names.sort_unstable();
    names.join(", ")
}

fn optional(lead: &str, text: Option<impl Display>) -> String {
    text.map(|text| format!("{lead}{text}")).unwrap_or_default()
}

// The SDL.

fn of_document(document: &ServiceDocument) -> Facts {
    let mut facts = Facts::new();
    for definition in &document.definitions {
        match definition {
            TypeSystemDefinition::Schema(schema) => {
                let root = |name: &Option<Positioned<Name>>| name.as_ref().unwrap().node.clone();
                let schema = &schema.node;
                let roots = format!(
                    "query {}, mutation {}, subscription {}",
                    root(&schema.query),
                    root(&schema.mutation),
                    root(&schema.subscription)
                );
                facts.insert("schema".into(), roots);
            }
            TypeSystemDefinition::Type(definition) => of_type(&mut facts, &definition.node),
            TypeSystemDefinition::Directive(directive) => {
                let directive = &directive.node;
                let name = format!("@{}", directive.name.node);
                let locations = directive.locations.iter();
                // `FieldDefinition` for FIELD_DEFINITION. The parser takes all for repeatable; none is.
                let locations =
                    locations.map(|location| format!("{:?}", location.node).to_lowercase());
                let about = [
                    listed(locations.collect()),
                    description(directive.description.as_ref()),
                ];
                of_inputs(&mut facts, &name, &directive.arguments);
                facts.insert(name, joined(about));
            }
        }
    }
    facts
}

fn of_type(facts: &mut Facts, definition: &TypeDefinition) {
    let name = &definition.name.node;
    let (kind, fields, implements) = match &definition.kind {
        TypeKind::Scalar => ("SCALAR", None, None),
        TypeKind::Object(object) => ("OBJECT", Some(&object.fields), Some(&object.implements)),
        TypeKind::Interface(one) => ("INTERFACE", Some(&one.fields), Some(&one.implements)),
        TypeKind::Union(union) => {
            let members = union.members.iter().map(|member| member.node.to_string());
            facts.insert(format!("{name} possible"), listed(members.collect()));
            ("UNION", None, None)
        }
        TypeKind::Enum(one) => {
            for value in &one.values {
                let value = &value.node;
                let about = [
                    description(value.description.as_ref()),
                    deprecation(&value.directives),
                ];
                facts.insert(format!("{name}.{}", value.value.node), joined(about));
            }
            ("ENUM", None, None)
        }
        TypeKind::InputObject(input) => {
            for field in &input.fields {
                let key = format!("{name}.{}", field.node.name.node);
                facts.insert(key, of_input(&field.node));
            }
            ("INPUT_OBJECT", None, None)
        }
    };
    for field in fields.into_iter().flatten() {
        of_field(facts, name, &field.node);
    }
    let implemented = implements.into_iter().flatten();
    let implemented: Vec<_> = implemented.map(|one| one.node.to_string()).collect();
    for interface in &implemented {
        let possible = facts.entry(format!("{interface} possible")).or_default();
        let mut all: Vec<_> = possible.split(", ").filter(|one| !one.is_empty()).collect();
        all.push(name);
        *possible = listed(all.into_iter().map(str::to_owned).collect());
    }
    if !implemented.is_empty() {
        facts.insert(format!("{name} implements"), listed(implemented));
    }
    let directives = &definition.directives;
    let one_of = directives.iter().any(|one| one.node.name.node == "oneOf");
    let about = [
        kind.to_owned(),
        description(definition.description.as_ref()),
        optional("specifiedBy ", argument(directives, "specifiedBy", "url")),
        optional("", one_of.then_some("oneOf")),
    ];
    facts.insert(name.to_string(), joined(about));
}

fn of_field(facts: &mut Facts, of: &str, field: &FieldDefinition) {
    let name = format!("{of}.{}", field.name.node);
    let about = [
        field.ty.node.to_string(),
        description(field.description.as_ref()),
        deprecation(&field.directives),
    ];
    of_inputs(facts, &name, &field.arguments);
    facts.insert(name, joined(about));
}

fn of_inputs(facts: &mut Facts, of: &str, inputs: &[Positioned<InputValueDefinition>]) {
    for input in inputs {
        let name = format!("{of}({})", input.node.name.node);
        facts.insert(name, of_input(&input.node));
    }
}

fn of_input(input: &InputValueDefinition) -> String {
    joined([
        input.ty.node.to_string(),
        optional("= ", input.default_value.as_ref().map(|value| &value.node)),
        description(input.description.as_ref()),
        deprecation(&input.directives),
    ])
}

fn description(text: Option<&Positioned<String>>) -> String {
    text.map(|text| text.node.clone()).unwrap_or_default()
}

fn deprecation(directives: &[Positioned<ConstDirective>]) -> String {
    optional("deprecated ", argument(directives, "deprecated", "reason"))
}

/// The text of a directive's argument.
fn argument(directives: &[Positioned<ConstDirective>], name: &str, key: &str) -> Option<String> {
    let mut directives = directives.iter().map(|directive| &directive.node);
    let directive = directives.find(|directive| directive.name.node == name)?;
    match directive.get_argument(key).map(|value| &value.node) {
        Some(GraphqlValue::String(text)) => Some(text.clone()),
        other => panic!("{name} has {other:?}"),
    }
}

// Introspection.

fn of_introspection(schema: &Value) -> Facts {
    let mut facts = Facts::new();
    let root = |kind: &str| text(&schema[format!("{kind}Type")]["name"]);
    let roots = ["query", "mutation", "subscription"].map(|kind| format!("{kind} {}", root(kind)));
    facts.insert("schema".into(), roots.join(", "));
    facts.insert("schema description".into(), text(&schema["description"]));
    for one in items(&schema["types"]) {
        let name = text(&one["name"]);
        if name.starts_with("__") || BUILT_IN.contains(&&*name) {
            continue;
        }
        for field in items(&one["fields"]) {
            let key = format!("{name}.{}", text(&field["name"]));
            inputs(&mut facts, &key, &field["args"]);
            let about = [
                type_of(&field["type"]),
                text(&field["description"]),
                deprecated(field),
            ];
            facts.insert(key, joined(about));
        }
        for field in items(&one["inputFields"]) {
            facts.insert(format!("{name}.{}", text(&field["name"])), input(field));
        }
        for value in items(&one["enumValues"]) {
            let about = [text(&value["description"]), deprecated(value)];
            facts.insert(format!("{name}.{}", text(&value["name"])), joined(about));
        }
        for (list, what) in [("interfaces", "implements"), ("possibleTypes", "possible")] {
            let names: Vec<_> = items(&one[list]).map(|one| text(&one["name"])).collect();
            if !names.is_empty() {
                facts.insert(format!("{name} {what}"), listed(names));
            }
        }
        let about = [
            text(&one["kind"]),
            text(&one["description"]),
            optional("specifiedBy ", one["specifiedByURL"].as_str()),
            optional("", (one["isOneOf"] == true).then_some("oneOf")),
        ];
        facts.insert(name, joined(about));
    }
    for directive in items(&schema["directives"]) {
        let name = format!("@{}", text(&directive["name"]));
        let locations =
            items(&directive["locations"]).map(|one| text(one).to_lowercase().replace('_', ""));
        let about = [
            listed(locations.collect()),
            optional(
                "",
                (directive["isRepeatable"] == true).then_some("repeatable"),
            ),
            text(&directive["description"]),
        ];
        inputs(&mut facts, &name, &directive["args"]);
        facts.insert(name, joined(about));
    }
    facts
}

fn inputs(facts: &mut Facts, of: &str, list: &Value) {
    for one in items(list) {
        facts.insert(format!("{of}({})", text(&one["name"])), input(one));
    }
}

fn input(one: &Value) -> String {
    joined([
        type_of(&one["type"]),
        optional("= ", one["defaultValue"].as_str()),
        text(&one["description"]),
        deprecated(one),
    ])
}

fn deprecated(part: &Value) -> String {
    let reason = (part["isDeprecated"] == true).then(|| text(&part["deprecationReason"]));
    optional("deprecated ", reason)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn type_of(reference: &Value) -> String {
    let inner = || type_of(&reference["ofType"]);
    match reference["kind"].as_str() {
        Some("NON_NULL") => format!("{}!", inner()),
        Some("LIST") => format!("[{}]", inner()),
        _ => text(&reference["name"]),
    }
}
