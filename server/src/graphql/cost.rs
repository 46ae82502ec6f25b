//! What an operation costs at most, known before it runs: how many values its answer may have, and
//! how many bytes, with texts as long as they may be and pages as large as they were asked for.
//!
//! Knows the schema by its SDL and by [`talksy_schema::sizes`]. The guard has bounded the document
//! before, so that the walk is short and ends.

use std::collections::HashMap;
use std::convert::Infallible;

use async_graphql::parser::types::{
    BaseType, Directive, ExecutableDocument, Field, FieldDefinition, OperationDefinition,
    OperationType, Selection, SelectionSet, Type, TypeKind,
};
use async_graphql::{Name, Positioned, Value, Variables};
use talksy_domain::page::{DEFAULT_PAGE, MAX_PAGE};
use talksy_schema::sizes::{ListLength, extra_values, list_length, text_bytes};

use super::types_of;

/// So many bytes cost as much as one value.
const BYTES_PER_POINT: u64 = 8 * 1024;

/// So much weight of introspection costs as much as one value: the guard weighs generously, and
/// nothing is loaded for it.
const WEIGHT_PER_POINT: u64 = 2;

/// The bytes of a value of introspection, at most as a mean: there are more names than descriptions.
const BYTES_PER_WEIGHT: u64 = 64;

/// What copying a value of an argument takes beside its text, told in bytes that cost as much: four
/// values cost a point.
const COPY: u64 = 2 * 1024;

/// How often introspection may read an argument: once for each type.
const INTROSPECTED: u64 = 128;

/// What a text without a bound counts as: more than any answer may have.
const UNBOUNDED: u64 = 1 << 40;

/// The most bytes of a type's name.
const TYPE_NAME: u64 = 64;

/// The quotes, the colon and the comma of a member of an object.
const AROUND_KEY: u64 = 4;

/// What something costs at most. All sums saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// How many values the answer has: fields, each as often as lists repeat it.
    values: u64,
    /// How many bytes the answer's data has.
    bytes: u64,
    /// How many bytes of arguments are read, each as often as its field is resolved, with what their
    /// values take to be copied.
    input: u64,
}

impl Cost {
    /// The cost as one number: a point for each value, for each 8 KiB of the answer and of the
    /// arguments, and for each four values in these.
    pub const fn points(self) -> u64 {
        let bytes = self.bytes.saturating_add(self.input);
        self.values.saturating_add(bytes / BYTES_PER_POINT)
    }

    /// How many bytes the data of the answer has at most.
    pub const fn bytes(self) -> u64 {
        self.bytes
    }

    fn add(&mut self, other: Self) {
        self.values = self.values.saturating_add(other.values);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.input = self.input.saturating_add(other.input);
    }

    fn times(self, length: ListLength) -> Self {
        let (usual, most) = (number(length.usual), number(length.most));
        Self {
            values: self.values.saturating_mul(usual),
            bytes: self.bytes.saturating_mul(most),
            input: self.input.saturating_mul(usual),
        }
    }
}

/// What the fields of a schema cost.
#[derive(Debug)]
pub(super) struct Prices {
    types: HashMap<Name, HashMap<Name, Price>>,
}

/// What a field costs.
#[derive(Debug)]
struct Price {
    /// The name of its type, without lists.
    of: Name,
    /// How often that stands in the answer.
    length: Length,
    /// How many bytes one has, without what is selected of it.
    bytes: u64,
    /// How many values it counts as beside its own, for what it reads.
    extra: u64,
}

/// What says how many items a field has.
#[derive(Debug)]
enum Length {
    /// The arguments `first` and `last`: it is a connection.
    Page,
    /// The length of this argument.
    Argument(Name),
    /// The field itself.
    Fixed(ListLength),
}

impl Prices {
    /// The prices of a schema, given as SDL.
    pub(super) fn new(sdl: &str) -> Self {
        let definitions = types_of(sdl);
        let enums: HashMap<_, _> = definitions
            .iter()
            .filter_map(|definition| match &definition.kind {
                TypeKind::Enum(one) => {
                    let names = one.values.iter().map(|value| value.node.value.node.len());
                    Some((definition.name.node.clone(), names.max().unwrap_or(0)))
                }
                _ => None,
            })
            .collect();
        let types = definitions.into_iter().filter_map(|definition| {
            let fields = match definition.kind {
                TypeKind::Object(object) => object.fields,
                TypeKind::Interface(interface) => interface.fields,
                _ => return None,
            };
            let of = definition.name.node;
            let fields = fields.into_iter().map(|field| {
                let price = Price::new(&of, &field.node, &enums);
                (field.node.name.node, price)
            });
            Some((of.clone(), fields.collect()))
        });
        let types: HashMap<Name, HashMap<Name, Price>> = types.collect();
        let objects: Vec<_> = types.keys().cloned().collect();
        Self { types }.with_objects(&objects)
    }

    /// Objects have no bytes but their braces.
    fn with_objects(mut self, objects: &[Name]) -> Self {
        for price in self.types.values_mut().flat_map(HashMap::values_mut) {
            if objects.contains(&price.of) {
                price.bytes = 4;
            }
        }
        self
    }

    /// What an operation costs at most. `introspection` is what the guard found its document's
    /// introspection to weigh.
    pub(super) fn cost(
        &self,
        document: &ExecutableDocument,
        operation: &OperationDefinition,
        variables: &Variables,
        introspection: u64,
    ) -> Cost {
        let defaults = operation.variable_definitions.iter().filter_map(|one| {
            let default = one.node.default_value.as_ref()?;
            Some((&one.node.name.node, &default.node))
        });
        // Those that are given come last, and count.
        let variables = defaults.chain(variables.iter()).map(|(name, value)| {
            let told = Variable {
                bytes: bytes_of(value),
                value: match value {
                    Value::Number(_) => value.clone(),
                    Value::List(items) => Value::from(items.len()),
                    _ => Value::Null,
                },
            };
            (name, told)
        });
        let mut walk = Walk {
            prices: self,
            document,
            variables: variables.collect(),
            fragments: HashMap::new(),
            once: 0,
        };
        let root = match operation.ty {
            OperationType::Query => "Query",
            OperationType::Mutation => "Mutation",
            OperationType::Subscription => "Subscription",
        };
        let mut cost = walk.selections(root, &operation.selection_set.node);
        walk.directives(&operation.directives);
        walk.other_fragments();
        let variables = walk.variables.values();
        let given = variables.fold(0, |sum: u64, one| sum.saturating_add(one.bytes));
        let introspected = if introspection > 0 { INTROSPECTED } else { 0 };
        cost.add(Cost {
            values: introspection / WEIGHT_PER_POINT,
            bytes: introspection.saturating_mul(BYTES_PER_WEIGHT),
            input: given.saturating_mul(introspected).saturating_add(walk.once),
        });
        cost
    }
}

impl Price {
    fn new(parent: &str, field: &FieldDefinition, enums: &HashMap<Name, usize>) -> Self {
        let name = field.name.node.as_str();
        let (of, is_list) = base(&field.ty.node);
        let arguments = || field.arguments.iter().map(|argument| &argument.node);
        let length = if arguments().any(|one| one.name.node == "first") {
            Length::Page
        } else if !is_list {
            Length::Fixed(ListLength::ONE)
        } else if let Some(list) = arguments().find(|one| base(&one.ty.node).1) {
            Length::Argument(list.name.node.clone())
        } else {
            Length::Fixed(list_length(parent, name))
        };
        let bytes = match of.as_str() {
            "Boolean" => 5,
            "Int" => 11,
            "Float" => 24,
            "DateTime" => 32,
            "ID" => 130,
            "String" | "JSON" => {
                text_bytes(parent, name).map_or(UNBOUNDED, |bytes| number(bytes) + 2)
            }
            other => enums
                .get(other)
                .map_or(UNBOUNDED, |bytes| number(*bytes) + 2),
        };
        Self {
            of: of.clone(),
            length,
            bytes,
            extra: number(extra_values(parent, name)),
        }
    }
}

/// The type's name without lists, and whether it is one.
fn base(ty: &Type) -> (&Name, bool) {
    match &ty.base {
        BaseType::Named(name) => (name, false),
        BaseType::List(item) => (base(item).0, true),
    }
}

/// What counts of a variable: its bytes, its number, its length.
struct Variable {
    bytes: u64,
    /// A number as it is, the length of a list, null for all else.
    value: Value,
}

/// What stands in the place of a variable, and a value without variables.
type Filled = Result<Value, Infallible>;

struct Walk<'a> {
    prices: &'a Prices,
    document: &'a ExecutableDocument,
    variables: HashMap<&'a Name, Variable>,
    fragments: HashMap<&'a Name, Cost>,
    /// The input of what is read once: directives, and fragments that the operation does not spread.
    once: u64,
}

impl<'a> Walk<'a> {
    fn directives(&mut self, directives: &'a [Positioned<Directive>]) {
        for (_, value) in directives.iter().flat_map(|one| &one.node.arguments) {
            let (bytes, _) = self.read(|variable| value.node.clone().into_const_with(variable));
            self.once = self.once.saturating_add(bytes);
        }
    }

    /// Validation reads the arguments of all fragments, whichever operation runs.
    fn other_fragments(&mut self) {
        let document = self.document;
        for name in document.fragments.keys() {
            if !self.fragments.contains_key(name) {
                let input = self.fragment(name).input;
                self.once = self.once.saturating_add(input);
            }
        }
    }

    fn selections(&mut self, of: &str, set: &'a SelectionSet) -> Cost {
        let mut sum = Cost::default();
        for selection in &set.items {
            self.directives(selection.node.directives());
            sum.add(match &selection.node {
                Selection::Field(field) => self.field(of, &field.node),
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    let of = condition.map_or(of, |condition| condition.node.on.node.as_str());
                    self.selections(of, &fragment.node.selection_set.node)
                }
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node),
            });
        }
        sum
    }

    fn fragment(&mut self, name: &'a Name) -> Cost {
        if let Some(known) = self.fragments.get(name) {
            return *known;
        }
        let Some(fragment) = self.document.fragments.get(name) else {
            return Cost::default();
        };
        self.directives(&fragment.node.directives);
        let on = fragment.node.type_condition.node.on.node.as_str();
        let cost = self.selections(on, &fragment.node.selection_set.node);
        self.fragments.insert(name, cost);
        cost
    }

    fn field(&mut self, parent: &str, field: &'a Field) -> Cost {
        let mut cost = Cost {
            values: 1,
            bytes: number(field.response_key().node.len()) + AROUND_KEY,
            input: 0,
        };
        let name = field.name.node.as_str();
        if name == "__typename" {
            cost.bytes += TYPE_NAME;
            return cost;
        }
        let fields = self.prices.types.get(parent);
        let price = fields.and_then(|fields| fields.get(name));
        let mut items = None;
        for (argument, value) in &field.arguments {
            let (bytes, size) = self.read(|variable| value.node.clone().into_const_with(variable));
            cost.input = cost.input.saturating_add(bytes);
            if price.is_some_and(|price| price.length.is_said_by(&argument.node)) {
                items = items.max(size);
            }
        }
        // What is not in the schema is refused later. Introspection is weighed by the guard.
        let Some(price) = price else {
            return cost;
        };
        cost.values += price.extra;
        let mut item = self.selections(&price.of, &field.selection_set.node);
        // The comma behind it.
        item.bytes = item.bytes.saturating_add(price.bytes).saturating_add(1);
        cost.add(item.times(price.length.of(items)));
        cost
    }

    /// The bytes of an argument, and the number of items that it asks for, should it be one that
    /// says so. `fill` puts something in the place of each variable.
    fn read(
        &self,
        fill: impl FnOnce(&mut dyn FnMut(Name) -> Filled) -> Filled,
    ) -> (u64, Option<u64>) {
        let mut of_variables = 0_u64;
        let Ok(value) = fill(&mut |name| {
            let variable = self.variables.get(&name);
            of_variables = of_variables.saturating_add(variable.map_or(0, |one| one.bytes));
            Ok(variable.map_or(Value::Null, |one| one.value.clone()))
        });
        let size = match &value {
            Value::Number(size) => size.as_u64(),
            Value::List(items) => Some(number(items.len())),
            _ => None,
        };
        (of_variables.saturating_add(bytes_of(&value)), size)
    }
}

impl Length {
    fn is_said_by(&self, argument: &Name) -> bool {
        match self {
            Self::Page => argument == "first" || argument == "last",
            Self::Argument(list) => argument == list,
            Self::Fixed(_) => false,
        }
    }

    /// How many items there are, where the arguments ask for as many. More than a page holds are
    /// refused by the field.
    fn of(&self, asked: Option<u64>) -> ListLength {
        let absent = match self {
            Self::Page => number(DEFAULT_PAGE),
            Self::Argument(_) => 1,
            Self::Fixed(length) => return *length,
        };
        let items = asked.unwrap_or(absent).clamp(1, number(MAX_PAGE));
        ListLength::exactly(usize::try_from(items).unwrap_or(MAX_PAGE))
    }
}

/// What a value takes where it is copied: its bytes, and [`COPY`] for each value in it.
fn bytes_of(value: &Value) -> u64 {
    let inside = match value {
        Value::String(text) => number(text.len()),
        Value::List(items) => items
            .iter()
            .fold(0, |sum: u64, item| sum.saturating_add(bytes_of(item))),
        Value::Object(fields) => fields.iter().fold(0, |sum: u64, (key, field)| {
            sum.saturating_add(number(key.len()))
                .saturating_add(bytes_of(field))
        }),
        _ => 0,
    };
    inside.saturating_add(COPY)
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
