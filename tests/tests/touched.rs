//! No member of the schema is without a test: fields, arguments, input fields and the values of enums. What
//! the tests have run is in the notes of `talksy_tests::touched`; `tests/run.sh` asks at its end.

#![expect(clippy::unwrap_used, reason = "what is not there ends the test")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use async_graphql::parser::types::{
    BaseType, ExecutableDocument, InputValueDefinition, Selection, SelectionSet, Type, TypeKind,
    TypeSystemDefinition,
};
use async_graphql::parser::{parse_query, parse_schema};
use async_graphql::{Name, Positioned, Value as GraphqlValue};
use serde_json::{Value, json};
use talksy_tests::touched::{FOLDER, Note, read};

const SDL: &str = include_str!("../../schema/schema.graphql");

/// What no test touches, by its schema coordinate. It is to stay empty.
const UNTOUCHED: [&str; 0] = [];

/// The error codes that stand in answers.
const CODES: &str = "ErrorCode";

#[derive(Default)]
struct Field {
    arguments: BTreeMap<String, String>,
    /// The name of its type, without lists and exclamation marks.
    of: String,
}

enum Kind {
    Object(BTreeMap<String, Field>),
    Input(BTreeMap<String, String>),
    Enum(BTreeSet<String>),
}

/// The types, by their names.
type Schema = HashMap<String, Kind>;

fn named(ty: &Type) -> String {
    match &ty.base {
        BaseType::Named(name) => name.to_string(),
        BaseType::List(inner) => named(inner),
    }
}

fn inputs(values: &[Positioned<InputValueDefinition>]) -> BTreeMap<String, String> {
    let values = values.iter().map(|value| &value.node);
    values
        .map(|value| (value.name.node.to_string(), named(&value.ty.node)))
        .collect()
}

fn schema(sdl: &str) -> Schema {
    // The parser knows no description of a schema, which stands on the line ahead of the roots.
    let (types, _) = sdl.rsplit_once("\nschema {").unwrap_or((sdl, ""));
    let types = types
        .rsplit_once("\n\"A GraphQL Schema")
        .map_or(types, |(types, _)| types);
    let mut found = Schema::new();
    for definition in parse_schema(types).unwrap().definitions {
        let TypeSystemDefinition::Type(definition) = definition else {
            continue;
        };
        let definition = definition.node;
        let kind = match definition.kind {
            TypeKind::Object(ref object) => fields(&object.fields),
            TypeKind::Interface(ref interface) => fields(&interface.fields),
            TypeKind::InputObject(input) => Kind::Input(inputs(&input.fields)),
            TypeKind::Enum(values) => Kind::Enum(
                values
                    .values
                    .iter()
                    .map(|value| value.node.value.node.to_string())
                    .collect(),
            ),
            TypeKind::Scalar | TypeKind::Union(_) => continue,
        };
        found.insert(definition.name.node.to_string(), kind);
    }
    found
}

fn fields(definitions: &[Positioned<async_graphql::parser::types::FieldDefinition>]) -> Kind {
    let definitions = definitions.iter().map(|definition| &definition.node);
    Kind::Object(
        definitions
            .map(|field| {
                let of = Field {
                    arguments: inputs(&field.arguments),
                    of: named(&field.ty.node),
                };
                (field.name.node.to_string(), of)
            })
            .collect(),
    )
}

/// The coordinates of all members.
fn members(schema: &Schema) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (ty, kind) in schema {
        match kind {
            Kind::Object(fields) => {
                for (name, field) in fields {
                    all.insert(format!("{ty}.{name}"));
                    let arguments = field.arguments.keys();
                    all.extend(arguments.map(|argument| format!("{ty}.{name}({argument}:)")));
                }
            }
            Kind::Input(fields) => all.extend(fields.keys().map(|name| format!("{ty}.{name}"))),
            Kind::Enum(values) => all.extend(values.iter().map(|value| format!("{ty}.{value}"))),
        }
    }
    all
}

/// What one operation touches.
struct Walk<'a> {
    schema: &'a Schema,
    document: &'a ExecutableDocument,
    note: &'a Note,
    touched: &'a mut BTreeSet<String>,
}

impl Walk<'_> {
    fn document(&mut self) {
        let document = self.document;
        for (_, operation) in document.operations.iter() {
            let operation = &operation.node;
            let root = format!("{:?}", operation.ty);
            for variable in &operation.variable_definitions {
                let variable = &variable.node;
                let given = self.variable(&variable.name.node);
                self.input(&named(&variable.var_type.node), &given);
            }
            self.selections(&root, &operation.selection_set.node, 0);
        }
    }

    fn variable(&self, name: &Name) -> GraphqlValue {
        let given = self.note.variables.get(name.as_str());
        GraphqlValue::from_json(given.cloned().unwrap_or_default()).unwrap_or_default()
    }

    fn selections(&mut self, ty: &str, selections: &SelectionSet, depth: usize) {
        // Some tests send what goes in circles.
        if depth > 32 {
            return;
        }
        for selection in &selections.items {
            match &selection.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    let Some(Kind::Object(fields)) = self.schema.get(ty) else {
                        continue;
                    };
                    let name = field.name.node.as_str();
                    let Some(known) = fields.get(name) else {
                        continue;
                    };
                    self.touched.insert(format!("{ty}.{name}"));
                    for (argument, value) in &field.arguments {
                        let Some(of) = known.arguments.get(argument.node.as_str()) else {
                            continue;
                        };
                        let coordinate = format!("{ty}.{name}({}:)", argument.node);
                        self.touched.insert(coordinate);
                        let value = value.node.clone();
                        let value = value
                            .into_const_with(|name| Ok::<_, ()>(self.variable(&name)))
                            .unwrap();
                        self.input(of, &value);
                    }
                    if let Some(Kind::Enum(values)) = self.schema.get(&known.of) {
                        let came = values
                            .iter()
                            .filter(|value| self.note.words.contains(*value));
                        let came = came.map(|value| format!("{}.{value}", known.of));
                        self.touched.extend(came);
                    }
                    self.selections(&known.of, &field.selection_set.node, depth + 1);
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    if let Some(fragment) = self.document.fragments.get(name) {
                        let on = fragment.node.type_condition.node.on.node.as_str();
                        self.selections(on, &fragment.node.selection_set.node, depth + 1);
                    }
                }
                Selection::InlineFragment(inline) => {
                    let on = inline.node.type_condition.as_ref();
                    let on = on.map_or(ty, |on| on.node.on.node.as_str());
                    self.selections(on, &inline.node.selection_set.node, depth + 1);
                }
            }
        }
    }

    fn input(&mut self, ty: &str, value: &GraphqlValue) {
        match (self.schema.get(ty), value) {
            (_, GraphqlValue::List(items)) => {
                for item in items {
                    self.input(ty, item);
                }
            }
            (Some(Kind::Input(fields)), GraphqlValue::Object(given)) => {
                for (name, value) in given {
                    if let Some(of) = fields.get(name.as_str()) {
                        self.touched.insert(format!("{ty}.{name}"));
                        self.input(of, value);
                    }
                }
            }
            (Some(Kind::Enum(values)), GraphqlValue::String(text)) if values.contains(text) => {
                self.touched.insert(format!("{ty}.{text}"));
            }
            (Some(Kind::Enum(_)), GraphqlValue::Enum(name)) => {
                self.touched.insert(format!("{ty}.{name}"));
            }
            _ => {}
        }
    }
}

/// Adds what a note touches. What is no GraphQL touches nothing but the code that refuses it.
fn add(schema: &Schema, note: &Note, touched: &mut BTreeSet<String>) {
    if let Some(Kind::Enum(codes)) = schema.get(CODES) {
        let told = codes.iter().filter(|code| note.words.contains(*code));
        touched.extend(told.map(|code| format!("{CODES}.{code}")));
    }
    if let Ok(document) = parse_query(&note.query) {
        let walk = &mut Walk {
            schema,
            document: &document,
            note,
            touched,
        };
        walk.document();
    }
}

/// The documents of the client examples, whose tests run them.
fn examples(folder: &Path, found: &mut Vec<Note>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "node_modules" {
                examples(&path, found);
            }
        } else if name.ends_with(".graphql") && name != "schema.graphql" {
            found.push(Note {
                query: std::fs::read_to_string(&path).unwrap(),
                variables: Value::Null,
                words: BTreeSet::new(),
            });
        }
    }
}

#[test]
#[ignore = "reads what all tests have noted: tests/run.sh runs it behind them"]
fn every_member_of_the_schema_is_touched_by_a_test() {
    let folder = std::env::var_os(FOLDER).unwrap_or_else(|| panic!("{FOLDER} names no folder"));
    let mut notes = read(Path::new(&folder));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../client-examples");
    examples(&root, &mut notes);
    let schema = schema(SDL);
    let mut touched = BTreeSet::new();
    for note in &notes {
        add(&schema, note, &mut touched);
    }
    let all = members(&schema);
    let missing: Vec<_> = all.difference(&touched).map(String::as_str).collect();
    assert_eq!(missing, UNTOUCHED, "of {} members", all.len());
}

#[test]
fn what_an_operation_touches_is_seen_in_documents_variables_and_answers() {
    let schema = schema(
        "interface Shape { id: ID! }
        type Circle implements Shape { id: ID! size(in: Unit): Size! colour: Colour }
        type Size { value: Int! other: Int! }
        type Query { shape(of: Wish!, last: Int): Shape all: [Circle!]! }
        input Wish { colour: Colour more: [Wish!] name: String }
        enum Unit { CM INCH }
        enum Colour { RED GREEN }",
    );
    assert_eq!(members(&schema).len(), 18);
    let note = Note {
        query: "query($wish: [Wish!]) { shape(of: { more: $wish }) { id ...Round ... on Nothing { id } } }
            fragment Round on Circle { size(in: CM) { other } colour }"
            .to_owned(),
        variables: json!({ "wish": [{ "name": "a" }, { "colour": "RED" }] }),
        words: BTreeSet::from(["GREEN".to_owned(), "INCH".to_owned()]),
    };
    let mut touched = BTreeSet::new();
    add(&schema, &note, &mut touched);
    let all = members(&schema);
    let missing: Vec<_> = all.difference(&touched).map(String::as_str).collect();
    let expected = [
        "Circle.id",
        "Query.all",
        "Query.shape(last:)",
        "Size.value",
        "Unit.INCH",
    ];
    assert_eq!(missing, expected);
}

#[test]
fn the_schema_is_read_whole() {
    let all = members(&schema(SDL));
    for known in [
        "Query.me",
        "Query.users(search:)",
        "AccountEvent.cursor",
        "SendMessageInput.replyToId",
        "ErrorCode.INTERNAL",
        "Subscription.presenceChanged(userIds:)",
        "UserEdge.cursor",
    ] {
        assert!(all.contains(known), "{known}");
    }
    assert!(all.len() > 400, "{}", all.len());
}
