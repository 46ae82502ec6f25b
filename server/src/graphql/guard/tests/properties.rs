//! The guard's counts against the plainest way of counting, on random documents; and the lexer
//! against the parser, on random text.

use std::convert::Infallible;

use async_graphql::Value;
use async_graphql::parser::types::{Directive, Selection, SelectionSet};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::lexer::{LexError, scan, scan_with};
use super::super::measure::{Measure, MeasureError, measure};
use super::*;

/// A selection set as it is written, or with its fragments spread out.
type Set = Vec<Node>;

#[derive(Clone, Debug)]
enum Node {
    /// A field, with an alias or without, and what is selected of it.
    Field {
        aliased: bool,
        inner: Set,
    },
    Inline(Set),
    /// Spreads the fragment of this number.
    Spread(usize),
}

/// A document of operations, the first a subscription, and fragments.
#[derive(Clone, Debug)]
struct Source {
    operations: Vec<Set>,
    fragments: Vec<Set>,
}

/// Selection sets that spread fragments of the numbers `spreads`.
fn set(spreads: std::ops::Range<usize>) -> impl Strategy<Value = Set> {
    let field = any::<bool>().prop_map(|aliased| Node::Field {
        aliased,
        inner: Vec::new(),
    });
    let leaf = prop_oneof![2 => field, 1 => spreads.prop_map(Node::Spread)];
    let node = leaf.prop_recursive(3, 10, 3, |inner| {
        let set = vec(inner, 1..=3);
        prop_oneof![
            (any::<bool>(), set.clone())
                .prop_map(|(aliased, inner)| Node::Field { aliased, inner }),
            set.prop_map(Node::Inline),
        ]
    });
    vec(node, 1..=3)
}

/// Documents whose fragments spread only later ones, or none that exists: no cycle.
fn acyclic() -> impl Strategy<Value = Source> {
    (
        vec(set(0..6), 1..=3),
        (set(1..6), set(2..6), set(3..6), set(4..6)),
    )
        .prop_map(|(operations, (a, b, c, d))| Source {
            operations,
            fragments: vec![a, b, c, d],
        })
}

/// Documents whose fragments spread any.
fn tangled() -> impl Strategy<Value = Source> {
    (vec(set(0..6), 1..=2), vec(set(0..6), 0..=5)).prop_map(|(operations, fragments)| Source {
        operations,
        fragments,
    })
}

fn write_set(set: &Set, text: &mut String) {
    text.push('{');
    for node in set {
        match node {
            Node::Field { aliased, inner } => {
                text.push_str(if *aliased { " x:a" } else { " a" });
                if !inner.is_empty() {
                    write_set(inner, text);
                }
            }
            Node::Inline(inner) => {
                text.push_str("...on T");
                write_set(inner, text);
            }
            Node::Spread(number) => {
                let _ = write!(text, "...F{number}");
            }
        }
    }
    text.push('}');
}

impl Source {
    fn text(&self) -> String {
        let mut text = String::new();
        for (number, operation) in self.operations.iter().enumerate() {
            let kind = if number == 0 { "subscription" } else { "query" };
            let _ = write!(text, "{kind} Q{number}");
            write_set(operation, &mut text);
        }
        for (number, fragment) in self.fragments.iter().enumerate() {
            let _ = write!(text, "fragment F{number} on T");
            write_set(fragment, &mut text);
        }
        text
    }

    /// The set with an inline fragment in the place of each spread.
    fn spread_out(&self, set: &Set) -> Set {
        let spread = |node: &Node| match node {
            Node::Field { aliased, inner } => Node::Field {
                aliased: *aliased,
                inner: self.spread_out(inner),
            },
            Node::Inline(inner) => Node::Inline(self.spread_out(inner)),
            Node::Spread(number) => Node::Inline(
                self.fragments
                    .get(*number)
                    .map(|fragment| self.spread_out(fragment))
                    .unwrap_or_default(),
            ),
        };
        set.iter().map(spread).collect()
    }

    /// Whether a fragment leads back to itself.
    fn is_cyclic(&self) -> bool {
        fn spreads(set: &Set, found: &mut Vec<usize>) {
            for node in set {
                match node {
                    Node::Field { inner, .. } | Node::Inline(inner) => spreads(inner, found),
                    Node::Spread(number) => found.push(*number),
                }
            }
        }
        (0..self.fragments.len()).any(|start| {
            let mut reached = Vec::new();
            let mut ahead = vec![start];
            while let Some(number) = ahead.pop() {
                if let Some(fragment) = self.fragments.get(number) {
                    let mut next = Vec::new();
                    spreads(fragment, &mut next);
                    for number in next {
                        if number == start {
                            return true;
                        }
                        if !reached.contains(&number) {
                            reached.push(number);
                            ahead.push(number);
                        }
                    }
                }
            }
            false
        })
    }
}

/// How many selections are written.
fn written(set: &Set) -> u64 {
    let inside = |node: &Node| match node {
        Node::Field { inner, .. } | Node::Inline(inner) => 1 + written(inner),
        Node::Spread(_) => 1,
    };
    set.iter().map(inside).sum()
}

/// Counts a set that has no spreads left.
fn count(set: &Set) -> Measure {
    if set.is_empty() {
        return Measure::default();
    }
    let mut sum = Measure {
        depth: 1,
        ..Measure::default()
    };
    for node in set {
        let inner = match node {
            Node::Field { aliased, inner } => {
                sum.fields += 1;
                sum.aliases += u64::from(*aliased);
                let inner = count(inner);
                sum.weight += 1 + inner.weight;
                sum.mean_weight += 1 + inner.weight;
                inner
            }
            Node::Inline(inner) => {
                let inner = count(inner);
                sum.fields += inner.fields;
                sum.weight += inner.weight;
                sum.mean_weight += inner.mean_weight;
                inner
            }
            Node::Spread(_) => panic!("a spread was left"),
        };
        sum.selections += 1 + inner.selections;
        sum.aliases += inner.aliases;
        sum.depth = sum.depth.max(1 + inner.depth);
    }
    sum
}

/// The fewest tokens that such a document can be written with.
pub(super) fn fewest_tokens(document: &ExecutableDocument) -> usize {
    let operations = document.operations.iter().map(|(_, operation)| {
        let operation = &operation.node;
        let variables = operation.variable_definitions.iter().map(|variable| {
            let default = variable.node.default_value.as_ref();
            let default = default.map_or(0, |value| 1 + values(&value.node));
            // `$`, a name, a colon, a type.
            4 + default + directives(&variable.node.directives)
        });
        variables.sum::<usize>()
            + directives(&operation.directives)
            + selections(&operation.selection_set.node)
    });
    let fragments = document.fragments.values().map(|fragment| {
        // The type condition, and the keyword that the parser lets run into the name.
        3 + directives(&fragment.node.directives) + selections(&fragment.node.selection_set.node)
    });
    operations.sum::<usize>() + fragments.sum::<usize>()
}

fn selections(set: &SelectionSet) -> usize {
    if set.items.is_empty() {
        return 0;
    }
    let inside = |selection: &Positioned<Selection>| match &selection.node {
        Selection::Field(field) => {
            let field = &field.node;
            let called = Directive {
                name: field.name.clone(),
                arguments: field.arguments.clone(),
            };
            let alias = if field.alias.is_some() { 2 } else { 0 };
            alias
                + call(&called)
                + directives(&field.directives)
                + selections(&field.selection_set.node)
        }
        Selection::FragmentSpread(spread) => 2 + directives(&spread.node.directives),
        Selection::InlineFragment(fragment) => {
            let fragment = &fragment.node;
            1 + directives(&fragment.directives) + selections(&fragment.selection_set.node)
        }
    };
    2 + set.items.iter().map(inside).sum::<usize>()
}

fn directives(all: &[Positioned<Directive>]) -> usize {
    all.iter().map(|one| 1 + call(&one.node)).sum()
}

/// A name with its arguments.
fn call(called: &Directive) -> usize {
    let arguments = called.arguments.iter().map(|(_, value)| {
        let variable = |_| Ok::<_, Infallible>(Value::Null);
        2 + values(&value.node.clone().into_const_with(variable).unwrap())
    });
    let brackets = if called.arguments.is_empty() { 0 } else { 2 };
    1 + brackets + arguments.sum::<usize>()
}

fn values(value: &Value) -> usize {
    match value {
        Value::List(items) => 2 + items.iter().map(values).sum::<usize>(),
        // Of several fields with one name the tree keeps one.
        Value::Object(fields) => {
            2 + fields
                .values()
                .map(|value| 2 + values(value))
                .sum::<usize>()
        }
        _ => 1,
    }
}

/// Text of GraphQL's own parts, in an order that mostly means nothing.
fn soup() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ":",
        "...",
        "..",
        "$",
        "@",
        "!",
        "=",
        "|",
        "&",
        "-",
        "\"",
        "\"\"\"",
        "\\\"",
        "\\",
        "#",
        "\n",
        "\r",
        " ",
        ",",
        "\u{feff}",
        "query",
        "on",
        "fragment",
        "a",
        "b1",
        "_",
        "0",
        "12",
        "3.5e-7",
        "true",
        "null",
        "é",
        "\"s\"",
        "{a}",
        "a(b:1)",
        "query Q{a}",
        "...F",
        "fragment F on T{a}",
    ]);
    vec(part, 0..40).prop_map(|parts| parts.concat())
}

/// A document with one list of values, between whatever may stand between values.
fn lists() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec![
        "0",
        "-0",
        "7",
        "1.5",
        "2e9",
        "0.10",
        "true",
        "false",
        "null",
        "nullable",
        "E",
        "$v",
        "\"\"",
        "\"a\\\"[\"",
        "\"\"\"b\\\"\"\"{\"\"\"",
        "[]",
        "{}",
        "[1 2]",
        "{a:1 b:[]}",
    ]);
    let between = prop::sample::select(vec!["", "", "", " ", ",", "\n", "\u{feff}", "#[[\r"]);
    (any::<bool>(), vec((value, between), 0..8)).prop_map(|(dressed, parts)| {
        let list = parts.iter().flat_map(|(value, between)| [*value, *between]);
        let list = list.collect::<String>();
        if dressed {
            format!(
                "query Q($v:I=[1]@d(e:2)){{x:f(a:[{list}]) @d(b:3) ...F @e}}fragment F on T{{a}}"
            )
        } else {
            format!("{{f(a:[{list}])}}")
        }
    })
}

proptest! {
    #[test]
    fn measuring_equals_counting_with_fragments_spread_out(source in acyclic()) {
        let text = source.text();
        let document = parse_query(&text).unwrap();
        let totals = measure(&document, u32::MAX).unwrap();

        let (mut naive, mut subscription_fields) = (Measure::default(), 0);
        for (number, operation) in source.operations.iter().enumerate() {
            let counted = count(&source.spread_out(operation));
            naive.selections += counted.selections;
            naive.aliases += counted.aliases;
            naive.fields = naive.fields.max(counted.fields);
            naive.depth = naive.depth.max(counted.depth);
            if number == 0 {
                subscription_fields = counted.fields;
            }
        }
        for fragment in &source.fragments {
            let counted = count(&source.spread_out(fragment));
            naive.selections += counted.selections;
            naive.aliases += counted.aliases;
            naive.depth = naive.depth.max(counted.depth);
        }
        prop_assert_eq!(totals.measure, naive, "{}", text);
        prop_assert_eq!(totals.subscription_fields, subscription_fields, "{}", text);

        // What is counted before anything is parsed is never more.
        let mut spreads = Spreads::default();
        scan_with(&text, usize::MAX, |token| spreads.see(token)).unwrap();
        prop_assert!(!spreads.exceed(naive.selections), "{}", text);

        // Each selection that is written is visited once.
        let all = source.operations.iter().chain(&source.fragments);
        prop_assert_eq!(totals.visited, all.map(written).sum::<u64>());

        // The limit cuts where the depth is, whichever fragment is met first.
        prop_assert!(measure(&document, naive.depth).is_ok());
        let shallower = measure(&document, naive.depth - 1);
        prop_assert_eq!(shallower, Err(MeasureError::TooDeep), "{}", text);
    }

    #[test]
    fn cycles_are_found_and_nothing_else_is_taken_for_one(source in tangled()) {
        let text = source.text();
        let document = parse_query(&text).unwrap();
        let found = matches!(measure(&document, 1_000), Err(MeasureError::Cycle(_)));
        prop_assert_eq!(found, source.is_cyclic(), "{}", text);
    }

    #[test]
    fn any_text_is_answered_for(text in any::<String>()) {
        let tokens = scan(&text, usize::MAX);
        if let Ok(tokens) = tokens {
            prop_assert!(tokens <= text.len());
        }
        let _ = guard().check(&text);
    }

    #[test]
    fn what_the_parser_takes_the_lexer_has_counted(text in prop_oneof![soup(), lists()]) {
        match (scan(&text, usize::MAX), parse_query(&text)) {
            (Ok(tokens), Ok(document)) => {
                let fewest = fewest_tokens(&document);
                prop_assert!(fewest <= tokens, "{} counted, {} needed: {}", tokens, fewest, text);
            }
            (Err(LexError::OpenString(at)), Ok(_)) => {
                // Only where the parser is wrong: it takes an open block string for an empty one.
                prop_assert!(text[at..].starts_with("\"\"\""), "{}", text);
            }
            _ => {}
        }
        let _ = guard().check(&text);
    }

    #[test]
    fn the_place_of_an_open_string_is_where_it_is(before in "[ -~\n\r\u{e9}&&[^\"#]]{0,40}") {
        let text = format!("{before}\"open");
        if let Err(LexError::OpenString(at)) = scan(&text, usize::MAX) {
            prop_assert_eq!(at, before.len());
            let place = position(&text, at);
            let line = before.split('\n').next_back().unwrap_or_default();
            prop_assert_eq!(place.line, before.split('\n').count());
            prop_assert_eq!(place.column, line.chars().count() + 1);
        }
    }
}
