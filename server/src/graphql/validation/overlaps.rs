//! Whether fields that are answered under one name are one field ("Field Selection Merging" in the
//! GraphQL specification). async-graphql compares those that stand in one selection set under one
//! type; this compares all that come together, as the specification wants. Says what is wrong in the
//! words of graphql-js, of the innermost fields.

use std::collections::HashSet;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{ExecutableDocument, Field, Selection, SelectionSet};
use async_graphql::registry::{MetaType, MetaTypeName, Registry};
use async_graphql::{Positioned, ServerError};

use super::Findings;
use super::positions::{in_order, root_of};

/// Finds fields that cannot be merged. What is looked at is what the document selects with its
/// fragments spread out; where objects of several types overlap in many ways it is more, up to what
/// [`Findings::step`] allows.
pub(super) fn find(registry: &Registry, document: &ExecutableDocument, findings: &mut Findings) {
    for operation in in_order(document) {
        let root = root_of(registry, operation.node.ty);
        let mut merge = Merge {
            registry,
            document,
            findings,
            seen: HashSet::new(),
        };
        let all = merge.collect(&[(root, &operation.node.selection_set.node)]);
        for (name, fields) in &all {
            merge.identities(name, fields);
        }
        // Who is told of other fields need not be told of their types.
        if merge.findings.errors.is_empty() {
            for (name, fields) in &all {
                merge.shapes(name, fields);
            }
        }
    }
}

/// A field, and the type on which it is selected.
#[derive(Clone, Copy)]
struct Selected<'a> {
    on: Option<&'a MetaType>,
    field: &'a Positioned<Field>,
}

type ByName<'a> = IndexMap<&'a str, Vec<Selected<'a>>>;

struct Merge<'a, 'b> {
    registry: &'a Registry,
    document: &'a ExecutableDocument,
    findings: &'b mut Findings,
    /// The groups of fields that were compared, by the places of the fields.
    seen: HashSet<Vec<(usize, usize)>>,
}

impl<'a> Merge<'a, '_> {
    /// The fields of selection sets by the names under which they are answered.
    fn collect(&mut self, sets: &[(Option<&'a MetaType>, &'a SelectionSet)]) -> ByName<'a> {
        let mut fields = ByName::new();
        let mut spread = HashSet::new();
        let mut rest: Vec<_> = sets.iter().rev().copied().collect();
        while let Some((on, set)) = rest.pop() {
            for item in &set.items {
                if !self.findings.step() {
                    return ByName::new();
                }
                match &item.node {
                    Selection::Field(field) => {
                        let name = field.node.response_key().node.as_str();
                        let selected = Selected { on, field };
                        fields.entry(name).or_default().push(selected);
                    }
                    Selection::InlineFragment(fragment) => {
                        let inner = &fragment.node.selection_set.node;
                        let on = match &fragment.node.type_condition {
                            Some(on) => self.registry.types.get(on.node.on.node.as_str()),
                            None => on,
                        };
                        rest.push((on, inner));
                    }
                    Selection::FragmentSpread(of) => {
                        let name = of.node.fragment_name.node.as_str();
                        if let Some(fragment) = self.document.fragments.get(name)
                            && spread.insert(name)
                        {
                            let on = fragment.node.type_condition.node.on.node.as_str();
                            let inner = &fragment.node.selection_set.node;
                            rest.push((self.registry.types.get(on), inner));
                        }
                    }
                }
            }
        }
        fields
    }

    fn type_of(one: Selected<'a>) -> Option<&'a str> {
        let name = one.field.node.name.node.as_str();
        match one.on.and_then(|on| on.field_by_name(name)) {
            Some(known) => Some(&known.ty),
            None => (name == "__typename").then_some("String!"),
        }
    }

    fn children(&mut self, fields: &[Selected<'a>]) -> ByName<'a> {
        let sets: Vec<_> = fields
            .iter()
            .filter(|one| !one.field.node.selection_set.node.items.is_empty())
            .map(|one| {
                let of = Self::type_of(*one);
                let of = of.and_then(|of| self.registry.concrete_type_by_name(of));
                (of, &one.field.node.selection_set.node)
            })
            .collect();
        if sets.is_empty() {
            return ByName::new();
        }
        self.collect(&sets)
    }

    /// `SameResponseShape` of the specification: whatever the object turns out to be, a name is
    /// answered with one type. This is an equivalence, so that all are compared with the first.
    fn shapes(&mut self, name: &str, fields: &[Selected<'a>]) {
        if let Some((first, others)) = fields.split_first() {
            let of = Self::type_of(*first);
            for other in others {
                let (Some(one), Some(two)) = (of, Self::type_of(*other)) else {
                    continue;
                };
                if !self.are_alike(one, two) {
                    let why = format!("they return conflicting types \"{one}\" and \"{two}\"");
                    self.conflict(name, &why, *first, *other);
                    return;
                }
            }
        }
        for (name, fields) in self.children(fields) {
            self.shapes(name, &fields);
        }
    }

    fn are_alike(&self, one: &str, two: &str) -> bool {
        match (MetaTypeName::create(one), MetaTypeName::create(two)) {
            (MetaTypeName::NonNull(one), MetaTypeName::NonNull(two))
            | (MetaTypeName::List(one), MetaTypeName::List(two)) => self.are_alike(one, two),
            (MetaTypeName::Named(one), MetaTypeName::Named(two)) => {
                let is_composite = |name| {
                    let known = self.registry.types.get(name);
                    known.is_some_and(MetaType::is_composite)
                };
                one == two || (is_composite(one) && is_composite(two))
            }
            _ => false,
        }
    }

    /// What is answered under one name for one object is one field with the same arguments. Fields on
    /// two different types of objects never meet; those on an interface or a union meet both.
    fn identities(&mut self, name: &str, fields: &[Selected<'a>]) {
        let mut of_any = Vec::new();
        let mut of_objects: IndexMap<&str, Vec<Selected<'a>>> = IndexMap::new();
        for &one in fields {
            match one.on {
                Some(on @ MetaType::Object { .. }) => {
                    of_objects.entry(on.name()).or_default().push(one);
                }
                _ => of_any.push(one),
            }
        }
        if of_objects.is_empty() {
            self.same(name, &of_any);
        }
        for (_, mut fields) in of_objects {
            fields.extend(of_any.iter().copied());
            self.same(name, &fields);
        }
    }

    fn same(&mut self, name: &str, fields: &[Selected<'a>]) {
        let mut places: Vec<_> = fields
            .iter()
            .map(|one| (one.field.pos.line, one.field.pos.column))
            .collect();
        places.sort_unstable();
        places.dedup();
        if !self.seen.insert(places) {
            return;
        }
        if let Some((first, others)) = fields.split_first() {
            for other in others {
                let (one, two) = (&first.field.node, &other.field.node);
                let why = if one.name.node != two.name.node {
                    let (one, two) = (&one.name.node, &two.name.node);
                    format!("\"{one}\" and \"{two}\" are different fields")
                } else if has_same_arguments(one, two) {
                    continue;
                } else {
                    "they have differing arguments".to_owned()
                };
                self.conflict(name, &why, *first, *other);
                return;
            }
        }
        for (name, fields) in &self.children(fields) {
            self.identities(name, fields);
        }
    }

    fn conflict(&mut self, name: &str, why: &str, one: Selected<'a>, two: Selected<'a>) {
        let message = format!(
            "Fields \"{name}\" conflict because {why}. Use different aliases on the fields to fetch \
             both if this was intentional."
        );
        let mut error = ServerError::new(message, None);
        error.locations = vec![one.field.pos, two.field.pos];
        error.locations.sort_by_key(|at| (at.line, at.column));
        self.findings.add(error);
    }
}

fn has_same_arguments(one: &Field, two: &Field) -> bool {
    one.arguments.len() == two.arguments.len()
        && one.arguments.iter().all(|(name, value)| {
            let other = two.get_argument(&name.node);
            other.is_some_and(|other| other.node == value.node)
        })
}
