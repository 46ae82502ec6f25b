//! Whether each variable may stand where it is used ("All Variable Usages Are Allowed" in the GraphQL
//! specification). async-graphql has this rule, but never shows it an argument. Says what is wrong in
//! the words of graphql-js.

use std::collections::{HashMap, HashSet};

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{
    Directive, ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
    SelectionSet, VariableDefinition,
};
use async_graphql::registry::{MetaInputValue, MetaType, MetaTypeName, Registry};
use async_graphql::{Pos, Positioned, ServerError, Value};
use async_graphql_value::Value as Literal;

use super::Findings;
use crate::graphql::guard::CheckedDocument;

/// Finds the variables that may not stand where they are used. Each operation looks at what it
/// reaches, each fragment once.
pub(super) fn find<'a>(
    registry: &'a Registry,
    checked: &'a CheckedDocument,
    findings: &mut Findings,
) {
    let document = checked.document();
    let collect = |root: Option<&'a MetaType>, directives, set| {
        let mut uses = Uses::default();
        Collector { registry }.definition(&mut uses, root, directives, set);
        uses
    };
    let fragments: HashMap<&str, Uses<'a>> = document
        .fragments
        .iter()
        .map(|(name, fragment)| {
            let on = fragment.node.type_condition.node.on.node.as_str();
            let root = registry.types.get(on);
            let fragment = &fragment.node;
            let uses = collect(root, &fragment.directives, &fragment.selection_set.node);
            (name.as_str(), uses)
        })
        .collect();
    for operation in in_order(document) {
        let root = root_of(registry, operation.node.ty);
        let node = &operation.node;
        let own = collect(root, &node.directives, &node.selection_set.node);
        let variables = node.variable_definitions.iter();
        let mut look = Look {
            checked,
            fragments: &fragments,
            variables: variables
                .map(|variable| (variable.node.name.node.as_str(), variable))
                .collect(),
            seen: HashSet::new(),
        };
        if !look.at(&own, findings) {
            return;
        }
    }
}

/// The operations as they stand in the document.
pub(super) fn in_order(document: &ExecutableDocument) -> Vec<&Positioned<OperationDefinition>> {
    let operations = document.operations.iter();
    let mut operations: Vec<_> = operations.map(|(_, operation)| operation).collect();
    operations.sort_by_key(|operation| (operation.pos.line, operation.pos.column));
    operations
}

/// The type that operations of a kind begin at.
pub(super) fn root_of(registry: &Registry, kind: OperationType) -> Option<&MetaType> {
    let root = match kind {
        OperationType::Query => Some(registry.query_type.as_str()),
        OperationType::Mutation => registry.mutation_type.as_deref(),
        OperationType::Subscription => registry.subscription_type.as_deref(),
    };
    root.and_then(|root| registry.types.get(root))
}

/// What a definition uses by itself, in the order of the document.
#[derive(Default)]
struct Uses<'a> {
    variables: Vec<Use<'a>>,
    fragments: Vec<&'a str>,
}

/// A variable in the place of a value.
struct Use<'a> {
    name: &'a str,
    place: Place<'a>,
    /// Where the argument's value begins, and how many variables stand before this one in it: the
    /// parser keeps no position of what is inside a value.
    value: Pos,
    before: usize,
}

/// What is expected of a value.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// The type, as it is written in the SDL.
    of: &'a str,
    has_default: bool,
    /// The input object of which this is a member, where that has exactly one.
    one_of: Option<&'a str>,
}

impl<'a> Place<'a> {
    fn of(known: &'a MetaInputValue) -> Self {
        Self {
            of: &known.ty,
            has_default: known.default_value.is_some(),
            one_of: None,
        }
    }
}

/// The argument of `__type`, which stands in no schema.
const TYPE_NAME: Place<'static> = Place {
    of: "String!",
    has_default: false,
    one_of: None,
};

struct Collector<'a> {
    registry: &'a Registry,
}

impl<'a> Collector<'a> {
    fn definition(
        &self,
        uses: &mut Uses<'a>,
        root: Option<&'a MetaType>,
        directives: &'a [Positioned<Directive>],
        set: &'a SelectionSet,
    ) {
        self.directives(uses, directives);
        self.selections(uses, root, set);
    }

    fn selections(&self, uses: &mut Uses<'a>, of: Option<&'a MetaType>, set: &'a SelectionSet) {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => self.field(uses, of, &field.node),
                Selection::InlineFragment(fragment) => {
                    let fragment = &fragment.node;
                    let of = match &fragment.type_condition {
                        Some(on) => self.registry.types.get(on.node.on.node.as_str()),
                        None => of,
                    };
                    self.definition(uses, of, &fragment.directives, &fragment.selection_set.node);
                }
                Selection::FragmentSpread(spread) => {
                    self.directives(uses, &spread.node.directives);
                    uses.fragments.push(spread.node.fragment_name.node.as_str());
                }
            }
        }
    }

    fn field(&self, uses: &mut Uses<'a>, of: Option<&'a MetaType>, field: &'a Field) {
        let name = field.name.node.as_str();
        let known = of.and_then(|of| of.field_by_name(name));
        for (argument, value) in &field.arguments {
            let place = match known {
                Some(known) => known.args.get(argument.node.as_str()).map(Place::of),
                None => (name == "__type").then_some(TYPE_NAME),
            };
            self.value(uses, place, &value.node, value.pos, &mut 0);
        }
        self.directives(uses, &field.directives);
        let of = known.and_then(|known| self.registry.concrete_type_by_name(&known.ty));
        self.selections(uses, of, &field.selection_set.node);
    }

    fn directives(&self, uses: &mut Uses<'a>, directives: &'a [Positioned<Directive>]) {
        for directive in directives {
            let known = self.registry.directives.get(&*directive.node.name.node);
            for (argument, value) in &directive.node.arguments {
                let place = known.and_then(|known| known.args.get(argument.node.as_str()));
                self.value(uses, place.map(Place::of), &value.node, value.pos, &mut 0);
            }
        }
    }

    /// Nothing is known of what stands where nothing is expected: in a scalar of the schema's own,
    /// or in an argument that there is not.
    fn value(
        &self,
        uses: &mut Uses<'a>,
        place: Option<Place<'a>>,
        value: &'a Literal,
        at: Pos,
        before: &mut usize,
    ) {
        match value {
            Literal::Variable(name) => {
                if let Some(place) = place {
                    uses.variables.push(Use {
                        name: name.as_str(),
                        place,
                        value: at,
                        before: *before,
                    });
                }
                *before += 1;
            }
            Literal::List(items) => {
                let item = place.and_then(|place| match nullable(place.of) {
                    MetaTypeName::List(of) => Some(Place {
                        of,
                        has_default: false,
                        one_of: None,
                    }),
                    _ => None,
                });
                for value in items {
                    self.value(uses, item, value, at, before);
                }
            }
            Literal::Object(members) => {
                let known = place.and_then(|place| self.members(place.of));
                for (name, value) in members {
                    let member = known.and_then(|(known, one_of)| {
                        let place = Place::of(known.get(name.as_str())?);
                        Some(Place { one_of, ..place })
                    });
                    self.value(uses, member, value, at, before);
                }
            }
            _ => {}
        }
    }

    /// The members of an input object, which may stand for a list of one; its name too, where it has
    /// exactly one of them.
    fn members(
        &self,
        of: &'a str,
    ) -> Option<(&'a IndexMap<String, MetaInputValue>, Option<&'a str>)> {
        match self.registry.concrete_type_by_name(of)? {
            MetaType::InputObject {
                name,
                input_fields,
                oneof,
                ..
            } => Some((input_fields, oneof.then_some(name.as_str()))),
            _ => None,
        }
    }
}

fn nullable(of: &str) -> MetaTypeName<'_> {
    MetaTypeName::create(of).unwrap_non_null()
}

/// Looks at what an operation reaches.
struct Look<'a, 'b> {
    checked: &'a CheckedDocument,
    fragments: &'b HashMap<&'a str, Uses<'a>>,
    variables: HashMap<&'a str, &'a Positioned<VariableDefinition>>,
    seen: HashSet<&'a str>,
}

impl<'a> Look<'a, '_> {
    /// False where no more is looked at.
    fn at(&mut self, own: &Uses<'a>, findings: &mut Findings) -> bool {
        let fragments = self.fragments;
        let mut rest: Vec<&Uses<'a>> = vec![own];
        while let Some(uses) = rest.pop() {
            for one in &uses.variables {
                if !findings.step() {
                    return false;
                }
                // A variable that is not declared is another rule's.
                if let Some(variable) = self.variables.get(one.name) {
                    self.judge(variable, one, findings);
                }
            }
            for name in uses.fragments.iter().rev() {
                if !findings.step() {
                    return false;
                }
                if let Some(uses) = fragments.get(name)
                    && self.seen.insert(name)
                {
                    rest.push(uses);
                }
            }
        }
        true
    }

    fn judge(
        &self,
        variable: &Positioned<VariableDefinition>,
        one: &Use<'a>,
        findings: &mut Findings,
    ) {
        let given = variable.node.var_type.node.to_string();
        let (name, wanted) = (one.name, one.place.of);
        let is_nullable = !MetaTypeName::create(&given).is_non_null();
        let message = if !is_allowed(&given, &variable.node, &one.place) {
            format!(
                "Variable \"${name}\" of type \"{given}\" used in position expecting type \
                 \"{wanted}\"."
            )
        } else if let Some(object) = one.place.one_of
            && is_nullable
        {
            format!(
                "Variable \"${name}\" is of type \"{given}\" but must be non-nullable to be used \
                 for OneOf Input Object \"{object}\"."
            )
        } else {
            return;
        };
        if findings.is_full() {
            return;
        }
        let mut error = ServerError::new(message, None);
        let used = self.checked.variable_at(one.value, one.before);
        error.locations = vec![variable.pos, used];
        findings.add(error);
    }
}

/// `IsVariableUsageAllowed` of the specification. What has a default may be left out.
fn is_allowed(given: &str, variable: &VariableDefinition, place: &Place<'_>) -> bool {
    match (MetaTypeName::create(given), MetaTypeName::create(place.of)) {
        (MetaTypeName::Named(_) | MetaTypeName::List(_), MetaTypeName::NonNull(wanted)) => {
            let default = variable.default_value.as_ref();
            let has_default = default.is_some_and(|default| default.node != Value::Null);
            (has_default || place.has_default) && fits(given, wanted)
        }
        _ => fits(given, place.of),
    }
}

/// `AreTypesCompatible` of the specification.
fn fits(given: &str, wanted: &str) -> bool {
    match (MetaTypeName::create(given), MetaTypeName::create(wanted)) {
        (MetaTypeName::NonNull(given), MetaTypeName::NonNull(wanted))
        | (MetaTypeName::List(given), MetaTypeName::List(wanted)) => fits(given, wanted),
        (_, MetaTypeName::NonNull(_)) => false,
        (MetaTypeName::NonNull(given), _) => fits(given, wanted),
        (MetaTypeName::Named(given), MetaTypeName::Named(wanted)) => given == wanted,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
