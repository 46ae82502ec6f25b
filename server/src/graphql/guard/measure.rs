//! Measures what a parsed document asks for with every fragment spread out, in time linear in
//! the document: a fragment is measured once and its sums are added where it is spread. Knows
//! the syntax tree, and of the schema what every schema has: the fields of introspection.

use std::collections::HashMap;

use async_graphql::Positioned;
use async_graphql::parser::types::{ExecutableDocument, OperationType, Selection, SelectionSet};

/// How many items a list of introspection has at most, of any one type; 1 for a field that is no list.
/// `types` and `directives` are the schema's.
pub(super) fn items(field: &str) -> u64 {
    match field {
        "types" => 144,
        "enumValues" | "fields" => 40,
        "possibleTypes" => 16,
        "inputFields" | "directives" => 8,
        "interfaces" => 4,
        _ => 1,
    }
}

/// The same as a mean over all types: a type has fields, or input fields, or values.
pub(super) fn mean_items(field: &str) -> u64 {
    match field {
        "fields" => 3,
        "inputFields" | "enumValues" | "possibleTypes" | "interfaces" => 1,
        _ => items(field),
    }
}

/// What a field of introspection weighs that has no fields of its own. Descriptions are long.
fn leaf(field: &str) -> u64 {
    if field == "description" { 2 } else { 1 }
}

/// What it weighs that async-graphql looks through the whole schema for each of these fields.
const ROOT: u64 = 100;

/// Whether the list leads from a type to types, so that going through it again and again
/// multiplies. (graphql-js's `MaxIntrospectionDepthRule` counts the same.)
fn leads_to_types(field: &str) -> bool {
    matches!(
        field,
        "fields" | "inputFields" | "interfaces" | "possibleTypes"
    )
}

/// What a document, or a part of it, asks for. All sums saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Measure {
    /// Selections: fields, fragment spreads and inline fragments.
    pub(super) selections: u64,
    /// Fields with an alias.
    pub(super) aliases: u64,
    /// Fields at the top: the root fields of an operation.
    pub(super) fields: u64,
    /// Levels of selection sets, a fragment being one.
    pub(super) depth: u32,
    /// What introspection in it weighs: how many values the answer has, objects among them, seldom
    /// less and at most a few times as many.
    pub(super) introspection: u64,
    /// How many lists that lead from types to types its introspection nests at most.
    pub(super) introspection_lists: u32,
    /// The same two, should it stand within introspection, on one type.
    pub(super) weight: u64,
    pub(super) lists: u32,
    /// The weight as a mean over all types, should it stand on each of them.
    pub(super) mean_weight: u64,
}

impl Measure {
    fn add(&mut self, other: Self) {
        self.selections = self.selections.saturating_add(other.selections);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.introspection = self.introspection.saturating_add(other.introspection);
        self.introspection_lists = self.introspection_lists.max(other.introspection_lists);
    }

    /// Adds what a field with fields of its own weighs.
    fn weigh(&mut self, field: &str, inner: &Self) {
        let weight = |items: u64| {
            let item = match field {
                "types" => inner.mean_weight,
                // Each second type of a field or an argument wraps another, and so on.
                "ofType" => inner.weight / 2,
                _ => inner.weight,
            };
            let of_items = match items {
                1 => item,
                // Each item is an object, too.
                items => items.saturating_mul(item.saturating_add(1)),
            };
            of_items.saturating_add(1)
        };
        self.weight = self.weight.saturating_add(weight(items(field)));
        self.mean_weight = self.mean_weight.saturating_add(weight(mean_items(field)));
        let lists = inner.lists + u32::from(leads_to_types(field));
        self.lists = self.lists.max(lists);
        if matches!(field, "__schema" | "__type") {
            let weight = inner.weight.saturating_add(ROOT);
            self.introspection = self.introspection.saturating_add(weight);
            self.introspection_lists = self.introspection_lists.max(inner.lists);
        }
    }

    /// Adds what a field of introspection weighs that has no fields of its own.
    fn weigh_leaf(&mut self, field: &str) {
        self.weight = self.weight.saturating_add(leaf(field));
        self.mean_weight = self.mean_weight.saturating_add(leaf(field));
    }

    /// Adds what the fields of a fragment weigh.
    fn weigh_fragment(&mut self, inner: &Self) {
        self.fields = self.fields.saturating_add(inner.fields);
        self.weight = self.weight.saturating_add(inner.weight);
        self.mean_weight = self.mean_weight.saturating_add(inner.mean_weight);
        self.lists = self.lists.max(inner.lists);
    }
}

/// The most arguments of a field. Fields that may become one in the answer have each of their arguments
/// looked for among the other's.
pub(super) const MAX_ARGUMENTS: usize = 32;

/// Why a document cannot be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MeasureError<'a> {
    /// A fragment spreads itself, by way of others or not.
    Cycle(&'a str),
    /// Selection sets are nested deeper than allowed.
    TooDeep,
    /// A field has more than [`MAX_ARGUMENTS`].
    TooManyArguments,
}

/// The sums over all definitions of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Over all operations and fragments, used or not, since validation walks them all; the
    /// depth and the root fields are the largest of any one.
    pub(super) measure: Measure,
    /// The most root fields of any subscription.
    pub(super) subscription_fields: u64,
    /// How many selections were visited to find out: the work done, no more than the document
    /// has.
    pub(super) visited: u64,
}

/// Measures a document.
///
/// # Errors
/// See [`MeasureError`].
pub(super) fn measure(
    document: &ExecutableDocument,
    max_depth: u32,
) -> Result<Totals, MeasureError<'_>> {
    let mut walk = Walk {
        document,
        max_depth,
        fragments: HashMap::new(),
        visited: 0,
    };
    let mut totals = Totals::default();
    for (_, operation) in document.operations.iter() {
        let measure = walk.selection_set(&operation.node.selection_set, 1)?;
        totals.measure.add(measure);
        totals.measure.depth = totals.measure.depth.max(measure.depth);
        totals.measure.fields = totals.measure.fields.max(measure.fields);
        if operation.node.ty == OperationType::Subscription {
            totals.subscription_fields = totals.subscription_fields.max(measure.fields);
        }
    }
    for name in document.fragments.keys() {
        let measure = walk.fragment(name, 1)?;
        // It is answered only as often as operations spread it.
        totals.measure.add(Measure {
            introspection: 0,
            introspection_lists: 0,
            ..measure
        });
        totals.measure.depth = totals.measure.depth.max(measure.depth);
    }
    totals.visited = walk.visited;
    Ok(totals)
}

struct Walk<'a> {
    document: &'a ExecutableDocument,
    max_depth: u32,
    /// `None` while the fragment is being measured.
    fragments: HashMap<&'a str, Option<Measure>>,
    visited: u64,
}

impl<'a> Walk<'a> {
    /// `level` counts from 1. It bounds this walk's own recursion too, so that a long chain of
    /// fragments ends early.
    fn selection_set(
        &mut self,
        set: &'a Positioned<SelectionSet>,
        level: u32,
    ) -> Result<Measure, MeasureError<'a>> {
        if level > self.max_depth {
            return Err(MeasureError::TooDeep);
        }
        let mut sum = Measure {
            depth: 1,
            ..Measure::default()
        };
        for selection in &set.node.items {
            self.visited += 1;
            sum.selections = sum.selections.saturating_add(1);
            let inner = match &selection.node {
                Selection::Field(field) => {
                    sum.fields = sum.fields.saturating_add(1);
                    sum.aliases = sum
                        .aliases
                        .saturating_add(field.node.alias.is_some().into());
                    if field.node.arguments.len() > MAX_ARGUMENTS {
                        return Err(MeasureError::TooManyArguments);
                    }
                    let name = field.node.name.node.as_str();
                    if field.node.selection_set.node.items.is_empty() {
                        sum.weigh_leaf(name);
                        continue;
                    }
                    let inner = self.selection_set(&field.node.selection_set, level + 1)?;
                    sum.weigh(name, &inner);
                    inner
                }
                Selection::InlineFragment(fragment) => {
                    let inner = self.selection_set(&fragment.node.selection_set, level + 1)?;
                    sum.weigh_fragment(&inner);
                    inner
                }
                Selection::FragmentSpread(spread) => {
                    let inner = self.fragment(&spread.node.fragment_name.node, level + 1)?;
                    sum.weigh_fragment(&inner);
                    inner
                }
            };
            sum.add(inner);
            sum.depth = sum.depth.max(inner.depth.saturating_add(1));
        }
        if level - 1 + sum.depth > self.max_depth {
            return Err(MeasureError::TooDeep);
        }
        Ok(sum)
    }

    fn fragment(&mut self, name: &'a str, level: u32) -> Result<Measure, MeasureError<'a>> {
        match self.fragments.get(name) {
            Some(Some(known)) => return Ok(*known),
            Some(None) => return Err(MeasureError::Cycle(name)),
            None => {}
        }
        // A spread of an unknown fragment is for validation to refuse.
        let Some(fragment) = self.document.fragments.get(name) else {
            return Ok(Measure::default());
        };
        self.fragments.insert(name, None);
        let measure = self.selection_set(&fragment.node.selection_set, level)?;
        self.fragments.insert(name, Some(measure));
        Ok(measure)
    }
}
