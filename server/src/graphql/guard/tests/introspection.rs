//! Introspection: what tools send passes, what multiplies does not.

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
    passes(&guard, &times(2));
    for count in [3, 10, 32] {
        too_complex(&guard, &times(count), "introspection");
    }
    let inside: Vec<_> = (0..32)
        .map(|n| format!("a{n}: types {{ ...FullType }}"))
        .collect();
    let inside = inside.join(" ");
    let inside = format!("{{ __schema {{ {inside} }} }} {fragments}");
    too_complex(&guard, &inside, "introspection");
    // An operation beside another is not run with it.
    let two = times(2).replacen('{', "query A {", 1) + "query B { __typename }";
    passes(&guard, &two);
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
            (10_000..MAX_INTROSPECTION / 2).contains(&weight),
            "{tool}: {weight}"
        );
    }
}
