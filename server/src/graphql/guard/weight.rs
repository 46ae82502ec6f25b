//! How much memory a checked document takes, reckoned from its syntax tree: a field takes a hundred
//! times what its text does, an argument or a long name far less, so that the text's length says little.
//!
//! What is reckoned is never less than what is allocated, and seldom more than twice as much: the
//! lists of an operation, which is kept twice, count as those of the parser, which have room to spare.

use std::collections::HashMap;

use async_graphql::parser::types::{
    BaseType, Directive, DocumentOperations, ExecutableDocument, OperationDefinition, Selection,
    SelectionSet, Type,
};
use async_graphql::{Name, Positioned};
use async_graphql_value::Value;

/// What an allocator adds to each block for itself.
const BLOCK: usize = 16;

/// What the counters of an `Arc` take.
const COUNTERS: usize = 16;

/// What a cache keeps beside an entry: its place in a table, in the order of use, and its weight.
pub(super) const ENTRY: usize = 512;

/// The bytes of a document's tree and of what it is chosen by, on the heap.
pub(super) fn of_document(document: &ExecutableDocument) -> usize {
    let mut once = Weight::times(1);
    let mut twice = Weight::times(2);
    if let DocumentOperations::Multiple(operations) = &document.operations {
        once.map(operations);
    }
    let operations = document.operations.iter();
    // The list of those that can be chosen. None is shorter than four.
    once.block(operations.len().max(4) * size_of::<super::Chosen>());
    for (name, operation) in operations {
        once.block(size_of::<Positioned<OperationDefinition>>() + COUNTERS);
        if let Some(name) = name {
            once.name(name);
        }
        twice.operation(&operation.node);
    }
    once.map(&document.fragments);
    for (name, fragment) in &document.fragments {
        once.name(name);
        once.name(&fragment.node.type_condition.node.on.node);
        once.directives(&fragment.node.directives);
        once.selections(&fragment.node.selection_set.node);
    }
    once.bytes.saturating_add(twice.bytes)
}

/// The bytes of a shared value of this size.
pub(super) const fn shared(size: usize) -> usize {
    size + COUNTERS + 2 * BLOCK
}

/// The places of a table of so many items: a power of two, of which an eighth stays free.
const fn places(items: usize) -> usize {
    let places = (items * 8 / 7 + 1).next_power_of_two();
    if places < 4 { 4 } else { places }
}

/// Sums up blocks.
struct Weight {
    /// How often what it walks is kept. Names are shared.
    times: usize,
    bytes: usize,
}

impl Weight {
    const fn times(times: usize) -> Self {
        Self { times, bytes: 0 }
    }

    /// A block of this size; none where it is empty.
    fn block(&mut self, size: usize) {
        if size > 0 {
            let block = size.next_multiple_of(BLOCK) + BLOCK;
            self.bytes = self.bytes.saturating_add(block.saturating_mul(self.times));
        }
    }

    fn list<T>(&mut self, list: &Vec<T>) {
        self.block(list.capacity().saturating_mul(size_of::<T>()));
    }

    /// A table of so many items, with a byte beside each place.
    fn table<T>(&mut self, items: usize) {
        if items > 0 {
            self.block(places(items) * (size_of::<T>() + 1) + BLOCK);
        }
    }

    fn map<K, V>(&mut self, map: &HashMap<K, V>) {
        self.table::<(K, V)>(map.capacity());
    }

    /// A name, which all copies share.
    fn name(&mut self, name: &Name) {
        let size = (name.len() + COUNTERS).next_multiple_of(BLOCK) + BLOCK;
        self.bytes = self.bytes.saturating_add(size);
    }

    fn operation(&mut self, operation: &OperationDefinition) {
        self.list(&operation.variable_definitions);
        for variable in &operation.variable_definitions {
            let variable = &variable.node;
            self.name(&variable.name.node);
            self.kind(&variable.var_type.node);
            self.directives(&variable.directives);
            if let Some(value) = &variable.default_value {
                self.value(&value.node.clone().into_value());
            }
        }
        self.directives(&operation.directives);
        self.selections(&operation.selection_set.node);
    }

    fn kind(&mut self, kind: &Type) {
        match &kind.base {
            BaseType::Named(name) => self.name(name),
            BaseType::List(inner) => {
                self.block(size_of::<Type>());
                self.kind(inner);
            }
        }
    }

    fn directives(&mut self, directives: &Vec<Positioned<Directive>>) {
        self.list(directives);
        for directive in directives {
            self.name(&directive.node.name.node);
            self.arguments(&directive.node.arguments);
        }
    }

    fn arguments(&mut self, arguments: &Vec<(Positioned<Name>, Positioned<Value>)>) {
        self.list(arguments);
        for (name, value) in arguments {
            self.name(&name.node);
            self.value(&value.node);
        }
    }

    /// Recursive: a document that is weighed nests no deeper than the guard allows.
    fn selections(&mut self, set: &SelectionSet) {
        self.list(&set.items);
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    self.name(&field.name.node);
                    if let Some(alias) = &field.alias {
                        self.name(&alias.node);
                    }
                    self.arguments(&field.arguments);
                    self.directives(&field.directives);
                    self.selections(&field.selection_set.node);
                }
                Selection::FragmentSpread(spread) => {
                    self.name(&spread.node.fragment_name.node);
                    self.directives(&spread.node.directives);
                }
                Selection::InlineFragment(fragment) => {
                    if let Some(condition) = &fragment.node.type_condition {
                        self.name(&condition.node.on.node);
                    }
                    self.directives(&fragment.node.directives);
                    self.selections(&fragment.node.selection_set.node);
                }
            }
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Variable(name) | Value::Enum(name) => self.name(name),
            Value::String(text) => self.block(text.capacity()),
            Value::Binary(bytes) => self.block(bytes.len() + COUNTERS),
            Value::List(items) => {
                self.list(items);
                for item in items {
                    self.value(item);
                }
            }
            Value::Object(fields) => {
                // The entries with their hashes, and the table of their places.
                self.block(places(fields.len()) * size_of::<(usize, Name, Value)>());
                self.table::<usize>(fields.len());
                for (name, field) in fields {
                    self.name(name);
                    self.value(field);
                }
            }
            Value::Null | Value::Number(_) | Value::Boolean(_) => {}
        }
    }
}
