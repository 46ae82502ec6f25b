//! Introspection: what tools send passes, what multiplies does not.

use std::collections::HashMap;

use async_graphql::parser::types::{TypeDefinition, TypeKind};

use super::super::measure::{items, mean_items};
use super::*;

/// `levels` lists from types to types, one in the other.
fn nested(levels: usize) -> String {
    let lists = ["possibleTypes{", "interfaces{"];
    let open: String = lists.into_iter().cycle().take(levels).collect();
    format!("{open}name{}", "}".repeat(levels))
}

#[test]
fn introspection_that_multiplies_is_refused_however_it_is_written() {
    let guard = guard();
    for levels in [3, 5, 7, 9, 11, 18] {
        let bomb = nested(levels);
        for text in [
            format!("{{ __type(name: \"Node\") {{ {bomb} }} }}"),
            format!("{{ a: __type(name: \"Node\") {{ b: kind {bomb} }} }}"),
            format!("{{ __schema {{ types {{ {bomb} }} }} }}"),
            format!("{{ __schema {{ queryType {{ fields {{ type {{ {bomb} }} }} }} }} }}"),
            format!("mutation {{ __schema {{ types {{ {bomb} }} }} }}"),
            format!("subscription {{ __schema {{ types {{ {bomb} }} }} }}"),
            format!("{{ ...R }} fragment R on Query {{ __schema {{ types {{ {bomb} }} }} }}"),
            format!("{{ __type(name: \"Node\") {{ ...B }} }} fragment B on __Type {{ {bomb} }}"),
        ] {
            let refused = refused(&guard, &text);
            assert_eq!(refused.code, "QUERY_TOO_COMPLEX", "{text}");
        }
    }
    let spread = "{ __type(name: \"Node\") { ...A } }
        fragment A on __Type { possibleTypes { ...B } }
        fragment B on __Type { ... on __Type { interfaces { ...C } } }
        fragment C on __Type { possibleTypes { name } }";
    too_complex(&guard, spread, "possibleTypes");
    let by_input = "{ __schema { types { inputFields { type { inputFields { type {
        inputFields { name } } } } } } } }";
    too_complex(&guard, by_input, "inputFields");
    // The same names elsewhere are ordinary fields.
    passes(&guard, &format!("{{ me {{ {} }} }}", nested(11)));
    passes(
        &guard,
        &format!("{{ __type(name: \"Node\") {{ {} }} }}", nested(2)),
    );
}

#[test]
fn introspection_again_and_again_is_refused() {
    let guard = guard();
    let fragments = &INTROSPECTION[INTROSPECTION.find("fragment ").unwrap()..];
    let whole = "{ types { ...FullType } directives { name args { ...InputValue } } }";
    let times = |count: usize| {
        let aliased: Vec<_> = (0..count)
            .map(|n| format!("a{n}: __schema {whole}"))
            .collect();
        let aliased = aliased.join(" ");
        format!("{{ {aliased} }} {fragments}")
    };
    passes(&guard, &times(1));
    for count in [2, 3, 10, 32] {
        too_complex(&guard, &times(count), "introspection");
    }
    let inside: Vec<_> = (0..32)
        .map(|n| format!("a{n}: types {{ ...FullType }}"))
        .collect();
    let inside = inside.join(" ");
    let inside = format!("{{ __schema {{ {inside} }} }} {fragments}");
    too_complex(&guard, &inside, "introspection");
    // What costs little once may be asked for often, and not as often as one likes.
    let often = |count: usize, what: &str| {
        let aliased: Vec<_> = (0..count).map(|n| format!("a{n}: {what}")).collect();
        aliased.join(" ")
    };
    let names = "__schema { types { fields { name description } } }";
    passes(&guard, &format!("{{ {} }}", often(10, names)));
    too_complex(
        &guard,
        &format!("{{ {} }}", often(30, names)),
        "introspection",
    );
    let kinds = "types { kind name }";
    passes(
        &guard,
        &format!("{{ __schema {{ {} }} }}", often(50, kinds)),
    );
    let kinds = format!("{{ __schema {{ {} }} }}", often(100, kinds));
    too_complex(&guard, &kinds, "introspection");
    let fields = "fields { name } ".repeat(900);
    let fields = format!("{{ __type(name: \"Mutation\") {{ {fields} }} }}");
    too_complex(&guard, &fields, "introspection");
    // Each looks through the whole schema, whatever it finds.
    let nothing = often(32, "__type(name: \"\") { name }");
    let checked = passes(&guard, &format!("{{ {nothing} }}"));
    assert!(checked.introspection >= 32 * 100);
    // An operation beside another is not run with it.
    let two = times(1).replacen('{', "query A {", 1) + "query B { __typename }";
    passes(&guard, &two);
}

/// However large the schema has become: what is charged is what is answered.
#[test]
fn no_list_of_introspection_is_longer_than_it_weighs() {
    let number = |count: usize| u64::try_from(count).unwrap();
    let types = crate::graphql::types_of(&talksy_schema::schema::sdl());
    assert!(types.len() > 50);
    // Beside them are the scalars of the specification (5) and the types of introspection (8).
    assert!(number(types.len()) + 13 <= items("types"));
    let mut sums = HashMap::<&str, u64>::new();
    let mut add = |list: &'static str, count: usize| {
        assert!(number(count) <= items(list), "{list}: {count}");
        *sums.entry(list).or_default() += number(count);
    };
    for one in &types {
        match &one.kind {
            TypeKind::Object(object) => {
                add("fields", object.fields.len());
                add("interfaces", object.implements.len());
            }
            TypeKind::Interface(interface) => {
                add("fields", interface.fields.len());
                let name = &one.name.node;
                let implements = |other: &&TypeDefinition| match &other.kind {
                    TypeKind::Object(object) => object.implements.iter().any(|i| i.node == *name),
                    _ => false,
                };
                add("possibleTypes", types.iter().filter(implements).count());
            }
            TypeKind::InputObject(object) => add("inputFields", object.fields.len()),
            TypeKind::Enum(one) => add("enumValues", one.values.len()),
            TypeKind::Scalar | TypeKind::Union(_) => {}
        }
    }
    for (list, sum) in sums {
        assert!(
            sum <= mean_items(list) * number(types.len()),
            "{list}: {sum}"
        );
    }
}

#[test]
fn the_introspection_of_every_common_tool_passes() {
    let guard = guard();
    for (tool, text) in [
        ("graphql-js 16", INTROSPECTION),
        (
            "graphql-js 14, Relay",
            include_str!("introspection_14.graphql"),
        ),
        ("urql", include_str!("introspection_urql.graphql")),
        ("rover", include_str!("introspection_rover.graphql")),
    ] {
        let checked = passes(&guard, text);
        let totals = measure::measure(checked.document(), 24).unwrap();
        let weight = totals.measure.introspection;
        assert!(totals.measure.introspection_lists <= 1, "{tool}");
        assert!(
            (10_000..MAX_INTROSPECTION * 2 / 3).contains(&weight),
            "{tool}: {weight}"
        );
        // Some clients ask for the type of every object.
        passes(&guard, &text.replace('{', "{ __typename "));
    }
    // Code generators and inspectors send that of graphql-js with some of its options.
    for option in [
        "description",
        "specifiedByURL",
        "isOneOf",
        "isRepeatable",
        "deprecationReason",
        "(includeDeprecated: true)",
    ] {
        passes(&guard, &INTROSPECTION.replace(option, " "));
    }
}

#[test]
fn introspection_that_is_switched_off_is_refused_wherever_it_stands() {
    let guard = Guard::new(QueryLimits::default(), &talksy_schema::schema::sdl(), false);
    for text in [
        INTROSPECTION,
        "{ __schema { __typename } }",
        "{ me { id } a: __type(name: \"User\") { name } }",
        "mutation { __schema { types { name } } }",
        "{ ...Q } fragment Q on Query { ... { __schema { types { name } } } }",
    ] {
        assert_eq!(
            refused(&guard, text).code,
            "GRAPHQL_VALIDATION_FAILED",
            "{text}"
        );
    }
    passes(&guard, "{ __typename me { __typename id } }");
}

#[test]
fn introspection_costs_points_and_the_fullest_can_be_afforded() {
    let guard = guard();
    let cost = |text: &str| {
        let checked = passes(&guard, text);
        let (_, operation) = checked.operation(None).unwrap();
        guard.cost(&checked, &operation.node, &Variables::default())
    };
    let points = cost(INTROSPECTION).unwrap().points();
    assert!((1_000..=10_000).contains(&points), "{points}");
    assert!(cost("{ __schema { types { name } } }").unwrap().points() < 250);
    // Whatever the guard lets pass by its weight can be afforded alone.
    assert!(
        MAX_INTROSPECTION / 2 + MAX_INTROSPECTION * 64 / 8_192 < QueryLimits::default().max_cost
    );
}
