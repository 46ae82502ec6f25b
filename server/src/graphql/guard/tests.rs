//! The guard against documents that were made to hurt it, and against those that people send.

mod fuzz;
mod introspection;
mod properties;
mod words;

use std::fmt::Write as _;
use std::time::Instant;

use super::*;
use crate::graphql::response::Answer;

/// `getIntrospectionQuery` of graphql-js 16.15.0 with every option on, as `GraphiQL` sends it.
const INTROSPECTION: &str = include_str!("tests/introspection.graphql");

fn guard() -> Guard {
    guard_with(|_| {})
}

fn guard_with(change: impl FnOnce(&mut QueryLimits)) -> Guard {
    let mut limits = QueryLimits::default();
    change(&mut limits);
    Guard::new(limits, &talksy_schema::schema::sdl(), true)
}

/// A refusal's code, message and first position.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    code: String,
    message: String,
    at: Option<(usize, usize)>,
}

fn refused(guard: &Guard, text: &str) -> Refused {
    let error = *guard
        .check(text)
        .expect_err("the document should be refused");
    Refused {
        code: Answer::refused(error.clone()).code().to_owned(),
        at: error.locations.first().map(|pos| (pos.line, pos.column)),
        message: error.message,
    }
}

/// Refused as asking for too much, with a message that says of what.
fn too_complex(guard: &Guard, text: &str, what: &str) {
    let refused = refused(guard, text);
    assert_eq!(refused.code, "QUERY_TOO_COMPLEX", "{}", refused.message);
    assert!(refused.message.contains(what), "{}", refused.message);
}

fn passes(guard: &Guard, text: &str) -> Arc<CheckedDocument> {
    match guard.check(text) {
        Ok(checked) => checked,
        Err(error) => panic!("refused: {error:?}"),
    }
}

/// `levels` fragments, each of which spreads the next `times` times; the last selects `leaf`.
fn bomb(levels: usize, times: usize, leaf: &str) -> String {
    let mut text = String::from("{...f0}");
    for level in 0..levels {
        let spreads = format!("...f{}", level + 1).repeat(times);
        let _ = write!(text, "fragment f{level} on Query{{{spreads}}}");
    }
    let _ = write!(text, "fragment f{levels} on Query{{{leaf}}}");
    text
}

#[test]
fn a_fragment_bomb_is_refused_however_it_is_built() {
    let shallow = bomb(20, 2, "me{id}");
    let deep = bomb(30, 2, "me{id}");
    for text in [&shallow, &deep] {
        assert!((700..=1_100).contains(&text.len()), "{}", text.len());
        too_complex(&guard(), text, "2000 selections");
        // It is not even parsed.
        too_complex(&guard(), &format!("{text} !"), "2000 selections");
    }
    too_complex(&guard(), &bomb(6, 16, "id"), "2000 selections");
    // Fragments that no operation spreads are walked by validation all the same.
    let idle = shallow.replace("{...f0}", "{me{id}}");
    too_complex(&guard(), &idle, "2000 selections");
    // Dressed up in fields and inline fragments.
    let dressed = bomb(7, 3, "me{id}")
        .replace("...f1...", "me{...on User{...f1}}...")
        .replace("...f2...", "me{...on User{...f2}}...");
    assert!(dressed.contains("on User{...f2}"));
    too_complex(&guard(), &dressed, "2000 selections");
}

#[test]
fn the_bomb_s_sums_saturate_and_its_cost_is_that_of_its_text() {
    let text = bomb(40, 16, "a:id");
    let document = parse_query(&text).unwrap();
    let totals = measure::measure(&document, 100).unwrap();
    assert_eq!(totals.measure.selections, u64::MAX);
    assert_eq!(totals.measure.aliases, u64::MAX);
    assert_eq!(totals.measure.fields, u64::MAX);
    assert_eq!(totals.measure.depth, 42);
    // One spread in the operation, 16 in each of 40 fragments, one field.
    assert_eq!(totals.visited, 1 + 40 * 16 + 1);
}

#[test]
fn bombs_by_the_thousand_are_cheap() {
    let guard = guard();
    let text = bomb(20, 2, "me{id}");
    let document = parse_query(&text).unwrap();
    let start = Instant::now();
    for _ in 0..10_000 {
        let totals = measure::measure(&document, 24).unwrap();
        assert_eq!(totals.visited, 1 + 20 * 2 + 2);
    }
    let measured = start.elapsed();
    let start = Instant::now();
    for _ in 0..1_000 {
        assert!(guard.check(&text).is_err());
    }
    // Printed, not asserted: a slow machine is no defect.
    println!(
        "a bomb of {} bytes: {:?} to measure, {:?} with lexing and parsing",
        text.len(),
        measured / 10_000,
        start.elapsed() / 1_000
    );
}

#[test]
fn what_costs_too_much_is_refused_with_the_cost() {
    let guard = guard_with(|limits| limits.max_cost = 100);
    let cost = |first: u32| {
        let checked = passes(
            &guard,
            "query($n: Int) { users(first: $n) { nodes { id } } }",
        );
        let (_, operation) = checked.operation(None).unwrap();
        let mut variables = Variables::default();
        variables.insert(Name::new("n"), first.into());
        guard.cost(&checked, &operation.node, &variables)
    };
    // With a point for the variable.
    assert_eq!(cost(40).unwrap().points(), 82);
    let error = *cost(50).unwrap_err();
    assert!(error.message.contains("102 points"), "{}", error.message);
    assert_eq!(Answer::refused(error).code(), "QUERY_TOO_COMPLEX");
    assert!(guard.check_batch(100).is_ok());
    let refused = guard.check_batch(101).unwrap_err();
    assert_eq!(refused.code, ErrorCode::QueryTooComplex);
}

#[test]
fn a_long_document_is_refused_before_it_is_read() {
    let guard = guard_with(|limits| limits.max_bytes = 20);
    passes(&guard, "{ me { id } } #  20B");
    let refused = refused(&guard, "{ me { id } } #  21 B");
    assert_eq!(refused.code, "PAYLOAD_TOO_LARGE");
    // Bytes, not characters.
    assert!(guard.check("{ me(a: \"ööö\") }").is_ok());
    assert!(guard.check("{ me(a: \"öööööö\") }").is_err());
}

#[test]
fn tokens_are_capped_whatever_stands_between_them() {
    let guard = guard_with(|limits| limits.max_tokens = 10);
    passes(&guard, "{a b c d e f g h}");
    too_complex(&guard, "{a b c d e f g h i}", "10 tokens");
    // Commas, blanks and comments are none; a string is one, however long.
    passes(
        &guard,
        "{a,,,,,b,c,d # e f g h i { { {\n e \r\n f\t,g h},,,,",
    );
    passes(&guard, "{a(b: \"1 2 3 4 5 6 7 8 9 { [ (\") c d}");
    passes(&guard, "{a(b: \"\"\"1 2 \n 3 \\\"\"\" { [ (\"\"\") c d}");
    too_complex(&guard, "{a(b: \"1\" \"\"\"2\"\"\") c d e}", "10 tokens");
    // What is no GraphQL at all is counted too.
    too_complex(&guard, &"~".repeat(11), "10 tokens");
    too_complex(&guard, &"é".repeat(6), "10 tokens");
}

#[test]
fn a_word_hides_no_tokens() {
    // The parser takes each of these for a list of many values.
    let guard = guard_with(|limits| limits.max_tokens = 20);
    for values in ["0", "true", "false", "null", "a\u{feff}", "-0", "truenull"] {
        let text = format!("{{f(a:[{}])}}", values.repeat(30));
        assert!(parse_query(&text).is_ok(), "{values}");
        too_complex(&guard, &text, "20 tokens");
    }
    // Ordinary words and numbers are one each.
    let text = "{f(a:[10 1050 0 7000000000000 nullable trueish falsey]) x y}";
    assert!(
        guard_with(|limits| limits.max_tokens = 25)
            .check(text)
            .is_ok()
    );
}

#[test]
fn brackets_are_nested_no_deeper_than_the_parser_bears() {
    let nest = |open: &str, inner: &str, close: &str, times: usize| {
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    let guard = guard_with(|limits| limits.max_depth = 32);
    for (name, build) in [
        (
            "lists",
            &(|times| format!("{{a(b:{})}}", nest("[", "1", "]", times)))
                as &dyn Fn(usize) -> String,
        ),
        ("objects", &|times| {
            format!("{{a(b:{})}}", nest("{c:", "1", "}", times))
        }),
        ("types", &|times| {
            format!("query($v:{}){{a}}", nest("[", "Int", "]", times))
        }),
        ("default values", &|times| {
            format!("query($v:I={}){{a}}", nest("[", "1", "]", times))
        }),
        ("arguments of directives", &|times| {
            format!("{{a @b(c:{})}}", nest("[{d:", "1", "}]", times / 2))
        }),
    ] {
        // As deep as is let through, on a stack of the size that the runtime's threads have.
        let deepest = build(60);
        assert!(guard.check(&deepest).is_ok(), "{name}");
        too_complex(&guard, &build(70), "nests brackets");
        // No slower, and no deeper, where the text breaks off at its deepest.
        for cut in [deepest.len() / 2, deepest.len() / 2 - 1] {
            let broken = &deepest[..cut];
            assert_eq!(
                refused(&guard, broken).code,
                "GRAPHQL_PARSE_FAILED",
                "{name}"
            );
        }
        too_complex(&guard, &build(10_000 / 3), "nests brackets");
    }
}

#[test]
fn selection_sets_are_nested_no_deeper_than_the_limit() {
    let guard = guard();
    let fields =
        |levels: usize| format!("{}a{}", "{a".repeat(levels - 1) + "{", "}".repeat(levels));
    let inlines = |levels: usize| {
        let open = "{... on Q".repeat(levels - 1) + "{";
        format!("{open}a{}", "}".repeat(levels))
    };
    // A chain of fragments: the operation, those that spread, and the last.
    let chain = |levels: usize| bomb(levels - 2, 1, "a");
    for build in [fields, inlines, chain as fn(usize) -> String] {
        passes(&guard, &build(24));
        too_complex(&guard, &build(25), "24 levels");
        too_complex(&guard, &build(60), "24 levels");
    }
    too_complex(&guard, &fields(65), "nests brackets");
    // A long chain is left early, not walked to its end.
    let document = chain(600);
    let document = parse_query(&document).unwrap();
    assert_eq!(measure::measure(&document, 24), Err(MeasureError::TooDeep));
    // The depth of a fragment counts from where it is spread, also where it was measured before.
    let half = format!("fragment H on Q{}", fields(12));
    passes(&guard, &format!("{{...H}}{half}"));
    let spread_deep = format!("{}...H{}", "{a".repeat(12) + "{", "}".repeat(13));
    too_complex(
        &guard,
        &format!("query A{{...H}}query B{spread_deep}{half}"),
        "24 levels",
    );
}

#[test]
fn aliases_are_counted_with_fragments_spread_out() {
    let guard = guard_with(|limits| limits.max_aliases = 12);
    let aliases = |count: usize| {
        (0..count).fold(String::new(), |mut text, n| {
            let _ = write!(text, "a{n}:id ");
            text
        })
    };
    passes(&guard, &format!("{{me{{{}}}}}", aliases(12)));
    too_complex(&guard, &format!("{{me{{{}}}}}", aliases(13)), "12 aliases");
    // Four in the fragment, and four for each place where it is spread.
    let fragment = format!("fragment F on User{{{}}}", aliases(4));
    passes(&guard, &format!("{{me{{...F}} you{{...F}}}}{fragment}"));
    let thrice = format!("{{me{{...F}} you{{...F}} us{{...F}}}}{fragment}");
    too_complex(&guard, &thrice, "12 aliases");
    too_complex(&guard, &bomb(4, 2, "x:id"), "12 aliases");
}

#[test]
fn fields_at_the_root_are_counted_with_fragments_spread_out() {
    let guard = guard_with(|limits| limits.max_root_fields = 3);
    passes(&guard, "{a b c}");
    passes(&guard, "{a{a b c d e f g} b c}");
    too_complex(&guard, "{a b c d}", "3 fields at its root");
    too_complex(&guard, "mutation{a{x} ...{b c} d}", "3 fields at its root");
    let through = "query Q{...F ...F} fragment F on Query{a ...{b}}";
    too_complex(&guard, through, "3 fields at its root");
    // Each operation on its own, since one is run.
    passes(&guard, "query A{a b c} query B{d e f}");
    too_complex(
        &guard,
        "query A{a} query B{a b c d}",
        "3 fields at its root",
    );
}

#[test]
fn cyclic_fragments_are_no_valid_document() {
    let guard = guard();
    for text in [
        "{...A} fragment A on Q{...A}",
        "{...A} fragment A on Q{a{b{...A}}}",
        "{...A} fragment A on Q{...B} fragment B on Q{...A}",
        "{...A} fragment A on Q{x ...{...B}} fragment B on Q{...C} fragment C on Q{y{...A}}",
        // Not spread by any operation.
        "{a} fragment A on Q{...B} fragment B on Q{...A}",
        // A bomb with a fuse that leads back.
        &bomb(10, 2, "...f3"),
    ] {
        let refused = refused(&guard, text);
        assert_eq!(refused.code, "GRAPHQL_VALIDATION_FAILED", "{text}");
        assert!(refused.message.contains("spreads itself"), "{text}");
    }
    // One fragment in several places is no cycle.
    passes(
        &guard,
        "{...A ...B} fragment A on Q{...C} fragment B on Q{...C ...A} fragment C on Q{c}",
    );
}

#[test]
fn a_spread_of_no_fragment_is_left_to_validation() {
    let checked = passes(&guard(), "{a ...Nowhere}");
    assert_eq!(checked.document().fragments.len(), 0);
}

#[test]
fn a_subscription_selects_one_field_also_through_fragments() {
    let guard = guard();
    for text in [
        "subscription{a b}",
        "subscription S{a x:a}",
        "subscription{...F} fragment F on S{a b}",
        "subscription{a ...F} fragment F on S{b}",
        "subscription{...F ...F} fragment F on S{a}",
        "subscription{... on S{a ...{b}}}",
        "query Q{a b} subscription S{a b}",
    ] {
        let refused = refused(&guard, text);
        assert_eq!(refused.code, "GRAPHQL_VALIDATION_FAILED", "{text}");
        assert!(refused.message.contains("exactly one field"), "{text}");
    }
    for text in [
        "subscription{a{x y z}}",
        "subscription{...F} fragment F on S{...{a{x y}}}",
        "query Q{a b} mutation M{a b} subscription S{a}",
    ] {
        passes(&guard, text);
    }
}

#[test]
fn a_string_that_does_not_end_is_shown_where_it_starts() {
    let guard = guard();
    for (text, at) in [
        ("\"", (1, 1)),
        ("{ a(b: \"x) }", (1, 8)),
        ("{ a(b: \"x\\\") }", (1, 8)),
        ("{ a(b: \"x\n\") }", (1, 8)),
        ("{\n  ö(b: \"\"\"x) }", (2, 8)),
        ("{\r\n  a(b: \"\"\"x\"\" \\\"\"\") }", (2, 8)),
        ("{a(b:\"\",c:\"\"\"\"\"\",d:\"\"\"\")}", (1, 20)),
    ] {
        let refused = refused(&guard, text);
        assert_eq!(
            (refused.code.as_str(), refused.at),
            ("GRAPHQL_PARSE_FAILED", Some(at)),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_graphql_is_shown_where_it_goes_wrong() {
    for (text, at) in [
        ("", (1, 1)),
        ("{", (1, 2)),
        ("{ me {\n  id\n", (3, 1)),
        ("{ a(b: ) }", (1, 8)),
        ("query { ~ }", (1, 9)),
        ("{ a } } ", (1, 7)),
    ] {
        let refused = refused(&guard(), text);
        assert!(
            !refused.message.contains(['\n', '|', '_']),
            "{text:?}: {}",
            refused.message
        );
        let place = format!("Syntax error at line {}, column {}, where ", at.0, at.1);
        assert!(
            refused.message.starts_with(&place),
            "{text:?}: {}",
            refused.message
        );
        assert!(
            refused.message.ends_with('.'),
            "{text:?}: {}",
            refused.message
        );
        assert_eq!(
            (refused.code.as_str(), refused.at),
            ("GRAPHQL_PARSE_FAILED", Some(at)),
            "{text:?}: {}",
            refused.message
        );
    }
    assert_eq!(
        refused(&guard(), "fragment F on Q{a}").code,
        "GRAPHQL_PARSE_FAILED"
    );
}

#[test]
fn graphiql_s_introspection_passes_the_default_limits() {
    let checked = passes(&guard(), INTROSPECTION);
    assert!(checked.operation(Some("IntrospectionQuery")).is_ok());
    // With room to spare: what the documentation of the limits says of it.
    let totals = measure::measure(checked.document(), 24).unwrap();
    assert_eq!(totals.measure.depth, 18);
    assert!(totals.measure.selections <= QueryLimits::default().max_selections / 2);
}

#[test]
fn equal_texts_share_a_document_and_refused_ones_are_not_kept() {
    let guard = guard();
    let first = passes(&guard, "{ me { id } }");
    let again = passes(&guard, &String::from("{ me { id } }"));
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(&**first.text(), "{ me { id } }");
    let other = passes(&guard, "{ me { id }  }");
    assert!(!Arc::ptr_eq(&first, &other));

    for text in ["{", "{...A} fragment A on Q{...A}", &bomb(20, 2, "id")] {
        assert_eq!(refused(&guard, text), refused(&guard, text));
    }
    guard.checked.run_pending_tasks();
    assert_eq!(guard.checked.entry_count(), 2);
}

#[test]
fn the_cache_is_bounded_and_can_be_switched_off() {
    let text = |n: usize| format!("{{ me {{ id{n} }} }}");
    let guard = guard_with(|limits| limits.cache_bytes = 10_000);
    for n in 0..200 {
        passes(&guard, &text(n));
        assert!(guard.checked.weighted_size() <= 10_000, "also in between");
    }
    assert!(guard.checked.entry_count() > 0);

    let guard = guard_with(|limits| limits.cache_bytes = 0);
    assert!(!Arc::ptr_eq(
        &passes(&guard, &text(1)),
        &passes(&guard, &text(1))
    ));
    assert_eq!(guard.checked.entry_count(), 0);
}

#[test]
fn the_operation_is_chosen_by_name_or_is_the_only_one() {
    let guard = guard();
    let kind = |text: &str, name: Option<&str>| {
        passes(&guard, text)
            .operation(name)
            .map(|(_, operation)| operation.node.ty)
            .map_err(|refusal| (refusal.code, refusal.message))
    };
    let two = "query A{a} mutation B{b}";
    assert_eq!(kind("{a}", None), Ok(OperationType::Query));
    assert_eq!(kind("mutation A{a}", None), Ok(OperationType::Mutation));
    assert_eq!(kind(two, Some("A")), Ok(OperationType::Query));
    assert_eq!(kind(two, Some("B")), Ok(OperationType::Mutation));
    let long = "x".repeat(1_000);
    for (text, name) in [
        (two, None),
        (two, Some("C")),
        (two, Some("")),
        ("{a}", Some("A")),
        ("query A{a}", Some(long.as_str())),
    ] {
        let (code, message) = kind(text, name).unwrap_err();
        assert_eq!(code, ErrorCode::GraphqlValidationFailed);
        assert!(message.len() < 120, "a name is not sent back at any length");
    }
}
