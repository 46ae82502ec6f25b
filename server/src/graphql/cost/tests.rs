//! What operations cost: by hand, against the plainest way of counting, and for hostile ones.

use std::time::Instant;

use async_graphql::parser::parse_query;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn prices() -> Prices {
    Prices::new(&talksy_schema::schema::sdl())
}

fn cost_with(text: &str, variables: &str) -> Cost {
    let document = parse_query(text).unwrap();
    let (_, operation) = document.operations.iter().next().unwrap();
    let variables: Variables = serde_json::from_str(variables).unwrap();
    prices().cost(&document, &operation.node, &variables, 0)
}

fn cost(text: &str) -> Cost {
    cost_with(text, "{}")
}

#[test]
fn a_value_is_a_point_and_a_page_as_many_as_it_may_hold() {
    let values = |text: &str| cost(text).values;
    assert_eq!(values("{ me { id name } }"), 3);
    assert_eq!(values("{ __typename me { __typename } }"), 3);
    // The connection, and of each item `nodes` and `id`.
    assert_eq!(values("{ users(first: 10) { nodes { id } } }"), 1 + 10 * 2);
    assert_eq!(values("{ users { nodes { id } } }"), 1 + 50 * 2);
    assert_eq!(values("{ users(first: 0) { nodes { id } } }"), 1 + 2);
    assert_eq!(
        values("{ users(first: 1000000) { nodes { id } } }"),
        1 + 100 * 2
    );
    assert_eq!(
        values("{ chat(id: \"x\") { messages(last: 3) { edges { node { seq } } } } }"),
        1 + 1 + 3 * 3
    );
    assert_eq!(
        values("{ nodes(ids: [\"a\", \"b\", \"c\"]) { id } }"),
        1 + 3
    );
    assert_eq!(values("{ nodes(ids: \"a\") { id } }"), 1 + 1);
    assert_eq!(
        values("{ nothing { at { all } } me { nothing } }"),
        1 + 2,
        "what is not in the schema is refused later"
    );
}

#[test]
fn sizes_may_come_by_variables_and_their_defaults() {
    let text = "query($first: Int = 7, $ids: [ID!]!) {
        users(first: $first) { nodes { id } } nodes(ids: $ids) { id } }";
    let values = |variables: &str| cost_with(text, variables).values;
    assert_eq!(values(r#"{"ids": []}"#), 1 + 7 * 2 + 1 + 1);
    assert_eq!(
        values(r#"{"ids": ["a", "b"], "first": 30}"#),
        1 + 30 * 2 + 1 + 2
    );
    assert_eq!(
        values(r#"{"ids": 7, "first": "many"}"#),
        1 + 50 * 2 + 1 + 7,
        "what has the wrong type is refused later"
    );
}

#[test]
fn texts_count_as_long_as_they_may_be_under_every_alias() {
    let page = |fields: &str| {
        cost(&format!(
            "{{ chat(id: \"x\") {{ messages(first: 100) {{ nodes {{ {fields} }} }} }} }}"
        ))
    };
    let text = 4 * 4_000;
    let one = page("text").bytes();
    assert!((100 * text..101 * text).contains(&one), "{one}");
    let three = page("a: text b: text text").bytes();
    assert!((300 * text..303 * text).contains(&three), "{three}");
    assert!(page("seq").bytes() < 10_000);
    // A long alias is written as often as its field.
    let long = "a".repeat(10_000);
    let aliased = page(&format!("{long}: seq")).bytes();
    assert!((1_000_000..1_010_000).contains(&aliased), "{aliased}");
    assert!(page(&format!("{long}: __typename")).bytes() > 1_000_000);
}

#[test]
fn what_reads_much_counts_for_more_than_its_answer() {
    let total = cost_with("{ me { name totalUnreadCount } }", "{}");
    let name = cost_with("{ me { name } }", "{}");
    assert_eq!(total.values, name.values + 101);
}

#[test]
fn arguments_count_as_often_as_they_are_read() {
    let text = "query($after: String) { nodes(ids: [$after, $after, $after]) {
        ... on Message { readBy(after: $after) { nodes { user { id } } } } } }";
    let variables = format!(r#"{{"after": "{}"}}"#, "x".repeat(100_000));
    // Three times in the list, and once for each of its three items.
    let input = cost_with(text, &variables).input;
    assert!((600_000..640_000).contains(&input), "{input}");
}

/// Validation copies a variable wherever it stands, also where it is not of the right type.
#[test]
fn a_long_list_costs_as_often_as_it_is_copied() {
    let most = crate::config::QueryLimits::default().max_cost;
    let variables = format!("{{\"v\": [{}0]}}", "0,".repeat(49_999));
    let points = |text: &str| cost_with(text, &variables).points();
    let once = points("query($v: [ID!]!) { nodes(ids: $v) { id } }");
    assert!((12_500..14_000).contains(&once), "{once}");
    let skips = "id @skip(if: $v) ".repeat(10);
    for text in [
        "query($v: [ID!]!) { a: nodes(ids: $v) { id } b: nodes(ids: $v) { id } }",
        "query($v: [ID!]!) { ...F ...F } fragment F on Query { nodes(ids: $v) { id } }",
        "query A($v: [ID!]!) { me { id } ...F } query B($v: [ID!]!) { ...G }
            fragment F on Query { nodes(ids: $v) { id } }
            fragment G on Query { nodes(ids: $v) { id } }",
        &format!("query($v: Boolean!) {{ me {{ {skips} }} }}"),
        "query($v: Boolean!) { ...F @skip(if: $v) ... @skip(if: $v) { me { id } } }
            fragment F on Query { me { id } }",
        "query($v: Boolean!) @skip(if: $v) { ...F } fragment F on Query @skip(if: $v) { me { id } }",
        "query($v: Int) { nothing(a: $v, b: [$v]) { id } }",
    ] {
        let points = points(text);
        assert!(points > most, "{points}: {text}");
    }
    // Introspection may read it once for each type.
    let document = parse_query(
        "query($v: Boolean) { __schema { types {
        fields(includeDeprecated: $v) { name } } } }",
    );
    let document = document.unwrap();
    let (_, operation) = document.operations.iter().next().unwrap();
    let variables: Variables = serde_json::from_str(&variables).unwrap();
    let points = prices()
        .cost(&document, &operation.node, &variables, 1)
        .points();
    assert!(points > 50 * most, "{points}");
    // A hundred ids, and a condition on each of their fields, are nothing.
    let ids = format!("{{\"v\": [{}\"\"], \"on\": true}}", "\"\",".repeat(99));
    let honest = "query($v: [ID!]!, $on: Boolean!) { nodes(ids: $v) { id @include(if: $on) } }";
    assert!(cost_with(honest, &ids).points() < 250);
}

#[test]
fn bombs_cost_far_too_much_and_are_counted_quickly() {
    let aliases: Vec<_> = (0..90).map(|n| format!("a{n}: text")).collect();
    let aliases = aliases.join(" ");
    let ids = "\"msg_01h455vb4pex5vsknk084sn02q\" ".repeat(100);
    let repeated = format!("{{ nodes(ids: [{ids}]) {{ ... on Message {{ {aliases} }} }} }}");
    assert!(repeated.len() < 6_000, "{}", repeated.len());
    let nested = "{ chats(first: 100) { nodes { members(first: 100) { nodes { user { name } } }
        messages(first: 100) { nodes { readBy(first: 100) { nodes { user { about } } } } } } } }";
    let spread = "{ ...a } fragment a on Query { chats(first: 100) { nodes { ...b } } }
        fragment b on Chat { x: messages(first: 100) { nodes { ...c } } y: messages(first: 100) {
        nodes { ...c } } } fragment c on Message { a: text b: text chat { id } }";
    let prices = prices();
    for bomb in [repeated.as_str(), nested, spread] {
        let document = parse_query(bomb).unwrap();
        let (_, operation) = document.operations.iter().next().unwrap();
        let start = Instant::now();
        let mut points = 0;
        for _ in 0..1_000 {
            let cost = prices.cost(&document, &operation.node, &Variables::default(), 0);
            points = cost.points();
        }
        assert!(points > 25_000, "{points}: {bomb}");
        // Printed, not asserted: a slow machine is no defect.
        println!("{points} points in {:?}", start.elapsed() / 1_000);
    }
}

#[test]
fn what_honest_clients_ask_for_costs_little() {
    for (text, most) in [
        (
            "mutation { sendMessage(input: { chatId: \"x\", text: \"hi\" }) {
                edge { cursor node { id seq text createdAt sender { id name } } } } }",
            20,
        ),
        (
            "{ chats(first: 50) { nodes { id title unreadCount isMutedByViewer headCursor
                peer { id name presence { status lastSeenAt } }
                lastMessage { id seq text sender { id name } } } } }",
            1_500,
        ),
        (
            "{ chat(id: \"x\") { messages(last: 100) { nodes { id seq changeSeq kind text cursor
                clientMessageId createdAt editedAt deletedAt sender { id name }
                system { kind actor { id name } subjects { id name } title role } }
                pageInfo { hasPreviousPage startCursor } } } }",
            7_000,
        ),
    ] {
        let points = cost(text).points();
        assert!(points <= most, "{points} points: {text}");
    }
}

/// A selection on a user, a chat or a message, and what it counts.
#[derive(Clone, Debug)]
struct Counted {
    text: String,
    values: u64,
}

fn leaves() -> impl Strategy<Value = Vec<Counted>> {
    let leaf =
        prop_oneof![Just("id"), Just("createdAt"), Just("__typename")].prop_map(|name| Counted {
            text: name.to_owned(),
            values: 1,
        });
    vec(leaf, 1..4)
}

/// Selections on a chat: leaves, the chat of its last message, pages of members and messages.
fn selections() -> impl Strategy<Value = Vec<Counted>> {
    leaves().prop_recursive(4, 24, 3, |inner| {
        let of_chat = inner.clone().prop_map(|inside| {
            let inside = joined(&inside);
            Counted {
                text: format!("lastMessage {{ chat {{ {} }} }}", inside.text),
                values: 2 + inside.values,
            }
        });
        let page = (inner.clone(), 1..=100_u64, any::<bool>()).prop_map(|(inside, size, last)| {
            let inside = joined(&inside);
            let end = if last { "last" } else { "first" };
            Counted {
                text: format!(
                    "messages({end}: {size}) {{ nodes {{ chat {{ {} }} }} }}",
                    inside.text
                ),
                values: 1 + size * (2 + inside.values),
            }
        });
        let inline = inner.prop_map(|inside| {
            let inside = joined(&inside);
            Counted {
                text: format!("... on Chat {{ {} }}", inside.text),
                values: inside.values,
            }
        });
        vec(prop_oneof![of_chat, page, inline], 1..4)
    })
}

fn joined(parts: &[Counted]) -> Counted {
    let texts: Vec<_> = parts.iter().map(|part| part.text.as_str()).collect();
    Counted {
        text: texts.join(" "),
        values: parts
            .iter()
            .fold(0, |sum: u64, part| sum.saturating_add(part.values)),
    }
}

proptest! {
    /// Written out and by a fragment that is spread twice it costs the same, and as many values as
    /// the plainest count has.
    #[test]
    fn values_are_counted_as_by_hand_whatever_the_form(selection in selections()) {
        let all = joined(&selection);
        let plain = cost(&format!("{{ chat(id: \"x\") {{ {0} {0} }} }}", all.text));
        prop_assert_eq!(plain.values, 1 + 2 * all.values);
        let spread = cost(&format!(
            "{{ chat(id: \"x\") {{ ...f ...f }} }} fragment f on Chat {{ {} }}",
            all.text
        ));
        prop_assert_eq!(plain, spread);
        prop_assert!(plain.bytes() >= plain.values, "each value has a byte at least");
    }

    /// Asking for more never costs less.
    #[test]
    fn a_larger_page_costs_no_less(selection in selections(), size in 1..100_u64) {
        let all = joined(&selection).text;
        let page = |size: u64| {
            cost(&format!("{{ chats(first: {size}) {{ nodes {{ {all} }} }} }}"))
        };
        let (small, large) = (page(size), page(size + 1));
        prop_assert!(small.values <= large.values);
        prop_assert!(small.bytes() <= large.bytes());
        prop_assert!(small.points() <= large.points());
    }
}
