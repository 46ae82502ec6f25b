//! Documents as strangers may send them. No text makes the guard panic or work longer than the text is
//! long; what it lets through is no more than its limits say, counted anew in the plainest way.

use std::collections::HashMap;

use async_graphql::parser::types::{Selection, SelectionSet};
use talksy_fuzz::proptest::prelude::*;
use talksy_fuzz::{Case, edited, fuzz};

use super::super::lexer::{LexError, scan};
use super::properties::fewest_tokens;
use super::*;

fn documents() -> Vec<String> {
    let mut documents = [
        INTROSPECTION,
        "query Q($a:[ID!]=[\"x\" 0 null]$b:Int@d){nodes(ids:$a){...on User{a:name@include(if:true)}}}",
        "mutation{login(input:{email:\"a\\\"{@\",deviceToken:\"\"\"b\\\"\"\"{\"\"\"}){challenge}}",
        "subscription S($c:ID!){messageAdded(chatId:$c){cursor node{...F}}}fragment F on Message{id}",
        "{...a ...b}fragment a on Query{...b me{id}}fragment b on Query{x:me{...c}}fragment c on User{id}",
        "{...a}fragment a on Query{...b}fragment b on Query{...a}",
        "query A{me{id}}query B{chats{nodes{messages(last:3){nodes{sender{name}}}}}}",
    ]
    .map(str::to_owned)
    .to_vec();
    documents.push(bomb(3, 3, "me{id}"));
    documents.push(bomb(8, 2, "a:id"));
    documents
}

const WORDS: [&str; 40] = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ":",
    "...",
    "$",
    "@",
    "!",
    "=",
    "|",
    "&",
    "-",
    "\"",
    "\"\"\"",
    "\\\"\"\"",
    "\\",
    "#",
    "\n",
    "\r",
    ",",
    "\u{feff}",
    "query",
    "subscription",
    "on ",
    "fragment ",
    "...a",
    "...F",
    "x:a",
    "0",
    "00",
    "1e9",
    "null",
    "truenull",
    "\u{e9}",
    "__schema{types{name}}",
    "{a{b{c}}}",
    "fields{type{",
];

/// Counts what an operation comes to with its fragments in place of their spreads, up to the limits.
struct Count<'a> {
    fragments: HashMap<&'a str, &'a SelectionSet>,
    selections: usize,
    aliases: usize,
    depth: usize,
    limits: &'a QueryLimits,
}

impl<'a> Count<'a> {
    fn new(document: &'a ExecutableDocument, limits: &'a QueryLimits) -> Self {
        let fragments = document.fragments.iter();
        let fragments = fragments
            .map(|(name, fragment)| (name.as_str(), &fragment.node.selection_set.node))
            .collect();
        Self {
            fragments,
            selections: 0,
            aliases: 0,
            depth: 0,
            limits,
        }
    }

    /// Every operation by itself, as each may be the one that runs.
    fn each_operation(document: &'a ExecutableDocument, limits: &'a QueryLimits) -> Case {
        for (_, operation) in document.operations.iter() {
            let mut count = Self::new(document, limits);
            let fields = count.set(&operation.node.selection_set.node, 1)?;
            let most = match operation.node.ty {
                OperationType::Subscription => 1,
                _ => usize::try_from(limits.max_root_fields).unwrap(),
            };
            prop_assert!(fields <= most, "{} fields at the root", fields);
        }
        Ok(())
    }

    /// The set's fields, with those of fragments, and all below them. Ends early beyond a limit.
    fn set(&mut self, set: &'a SelectionSet, level: usize) -> Result<usize, TestCaseError> {
        self.depth = self.depth.max(level);
        prop_assert!(self.depth <= usize::try_from(self.limits.max_depth).unwrap());
        let mut fields = 0;
        for selection in &set.items {
            self.selections += 1;
            let most = usize::try_from(self.limits.max_selections).unwrap();
            prop_assert!(self.selections <= most, "more than {} selections", most);
            match &selection.node {
                Selection::Field(field) => {
                    fields += 1;
                    self.aliases += usize::from(field.node.alias.is_some());
                    let most = usize::try_from(self.limits.max_aliases).unwrap();
                    prop_assert!(self.aliases <= most, "more than {} aliases", most);
                    let inner = &field.node.selection_set.node;
                    if !inner.items.is_empty() {
                        self.set(inner, level + 1)?;
                    }
                }
                Selection::InlineFragment(fragment) => {
                    fields += self.set(&fragment.node.selection_set.node, level + 1)?;
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    if let Some(inner) = self.fragments.get(name).copied() {
                        fields += self.set(inner, level + 1)?;
                    }
                }
            }
        }
        Ok(fields)
    }
}

fn is_bounded(guard: &Guard, limits: &QueryLimits, text: &str) -> Case {
    let scanned = scan(text, usize::MAX);
    if let Ok(tokens) = scanned {
        prop_assert!(tokens <= text.len());
    }
    match (scanned, parse_query(text)) {
        (Ok(tokens), Ok(document)) => {
            // The parser lets `on` run into the name of a fragment's type.
            let fewest = fewest_tokens(&document) - document.fragments.len();
            prop_assert!(fewest <= tokens, "{} counted, {} needed", tokens, fewest);
            let visited = measure::measure(&document, limits.max_depth);
            let visited = visited.map_or(0, |totals| totals.visited);
            prop_assert!(visited <= u64::try_from(text.len()).unwrap());
        }
        (Err(LexError::OpenString(at)), Ok(_)) => {
            // Only where the parser is wrong: it takes an open block string for an empty one.
            prop_assert!(text[at..].starts_with("\"\"\""));
        }
        _ => {}
    }
    match guard.check(text) {
        Ok(checked) => Count::each_operation(checked.document(), limits),
        Err(refused) => {
            // It shows the line that it is about, and marks the place.
            prop_assert!(refused.message.len() <= 1_024 + 4 * text.len());
            Ok(())
        }
    }
}

#[test]
fn what_passes_the_guard_is_within_its_limits() {
    let limits = QueryLimits {
        // Nothing is remembered, so that each text is looked at.
        cache_bytes: 0,
        ..QueryLimits::default()
    };
    // Small ones are met by small texts.
    let small = QueryLimits {
        max_tokens: 120,
        max_selections: 24,
        max_aliases: 3,
        max_root_fields: 2,
        max_depth: 5,
        ..limits.clone()
    };
    let sdl = talksy_schema::schema::sdl();
    let guards = [limits, small].map(|limits| (Guard::new(limits.clone(), &sdl, true), limits));
    fuzz(&edited(documents(), &WORDS), |text| {
        // Nesting that the parser does not bear is the lexer's to find, ahead of it.
        if scan(&text, usize::MAX) == Err(LexError::TooDeep) {
            return Ok(());
        }
        for (guard, limits) in &guards {
            is_bounded(guard, limits, &text)?;
        }
        Ok(())
    });
}
