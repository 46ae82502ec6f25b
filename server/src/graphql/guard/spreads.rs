//! How many selections the fragments of a document come to at least, counted from its tokens: a
//! document that multiplies is refused without being parsed. Knows where definitions begin and end,
//! and what a spread looks like; [`super::measure`] counts exactly what is parsed.

use std::collections::HashMap;
use std::ops::Range;

use super::lexer::Token;

/// How deep fragments are followed. Those below count nothing, here.
const MAX_LEVELS: u32 = 64;

/// What stands before a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Before {
    /// Nothing, or a whole definition.
    #[default]
    Definitions,
    /// The word that begins a fragment.
    Fragment,
    /// The dots of a spread, or of an inline fragment.
    Dots,
    /// Anything else.
    Other,
}

/// The spreads of a document, by definition.
#[derive(Debug, Default)]
pub(super) struct Spreads<'a> {
    /// The name of each definition that is a fragment, and its first spread.
    definitions: Vec<(Option<&'a str>, usize)>,
    /// The name behind each three dots; empty where they begin an inline fragment.
    names: Vec<&'a str>,
    /// How many brackets are open.
    open: usize,
    before: Before,
}

impl<'a> Spreads<'a> {
    /// Takes the next token.
    pub(super) fn see(&mut self, token: Token<'a>) {
        let before = std::mem::replace(&mut self.before, Before::Other);
        if before == Before::Definitions {
            self.definitions.push((None, self.names.len()));
        }
        match token {
            Token::Word("fragment") if before == Before::Definitions => {
                self.before = Before::Fragment;
            }
            Token::Word(name) if before == Before::Fragment => {
                if let Some((of, _)) = self.definitions.last_mut() {
                    *of = Some(name);
                }
            }
            // The parser lets `on` run into the type behind it.
            Token::Word(name) if before == Before::Dots && !name.starts_with("on") => {
                if let Some(last) = self.names.last_mut() {
                    *last = name;
                }
            }
            Token::Dots => {
                self.names.push("");
                self.before = Before::Dots;
            }
            Token::Open(_) => self.open += 1,
            Token::Close(bracket) => {
                self.open = self.open.saturating_sub(1);
                if self.open == 0 && bracket == b'}' {
                    self.before = Before::Definitions;
                }
            }
            Token::Word(_) | Token::Other => {}
        }
    }

    /// Whether the document has more selections than this, with its fragments spread out, by its
    /// spreads alone. False for a circle, which is another's to find.
    pub(super) fn exceed(&self, most: u64) -> bool {
        let ends = self.definitions.iter().skip(1).map(|(_, start)| *start);
        let ends = ends.chain([self.names.len()]);
        let definitions = self.definitions.iter().zip(ends);
        let definitions: Vec<_> = definitions
            .map(|((name, start), end)| (*name, *start..end))
            .collect();
        let fragments = definitions.iter();
        let fragments = fragments.filter_map(|(name, spreads)| Some(((*name)?, spreads.clone())));
        let mut count = Count {
            names: &self.names,
            fragments: fragments.collect(),
            known: HashMap::new(),
        };
        let mut sum = 0_u64;
        for (name, spreads) in definitions {
            let selections = match name {
                Some(name) => count.fragment(name, 0),
                None => count.set(spreads, 0),
            };
            let Some(selections) = selections else {
                return false;
            };
            sum = sum.saturating_add(selections);
        }
        sum > most
    }
}

struct Count<'a, 'b> {
    names: &'b [&'a str],
    fragments: HashMap<&'a str, Range<usize>>,
    /// `None` while the fragment is being counted.
    known: HashMap<&'a str, Option<u64>>,
}

impl<'a> Count<'a, '_> {
    /// `None` for a circle.
    fn set(&mut self, spreads: Range<usize>, level: u32) -> Option<u64> {
        let names = self.names.get(spreads).unwrap_or_default();
        names.iter().try_fold(0, |sum: u64, &name| {
            let inner = self.fragment(name, level + 1)?;
            Some(sum.saturating_add(inner).saturating_add(1))
        })
    }

    fn fragment(&mut self, name: &'a str, level: u32) -> Option<u64> {
        if let Some(known) = self.known.get(name) {
            return *known;
        }
        let Some(spreads) = self.fragments.get(name).cloned() else {
            return Some(0);
        };
        if level > MAX_LEVELS {
            return Some(0);
        }
        self.known.insert(name, None);
        let count = self.set(spreads, level)?;
        self.known.insert(name, Some(count));
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::super::lexer::scan_with;
    use super::*;

    /// The most that a document exceeds, plus one: what is counted of it.
    fn count(text: &str) -> u64 {
        let mut spreads = Spreads::default();
        scan_with(text, usize::MAX, |token| spreads.see(token)).unwrap();
        (0..100_000).find(|most| !spreads.exceed(*most)).unwrap()
    }

    #[test]
    fn spreads_are_counted_with_what_they_stand_for() {
        assert_eq!(count("{ a b { c } }"), 0);
        assert_eq!(count("{ ...F } fragment F on Q { a }"), 1);
        assert_eq!(
            count("{ ... on Q { a } ...@d{ b } ...{ c } ...onQ{ d } }"),
            4
        );
        // F once, G and its two spreads three times: in F, in the operation, by itself.
        let text = "{ ...F x { ...G } } fragment F on Q { ...G } fragment G on Q { ...H ...H }";
        assert_eq!(count(text), (1 + 3) + (1 + 2) + (1 + 2) + 2);
        assert_eq!(count("{ f(a: 1.5, b: [0.1 -2.5e3]) ...F }"), 1);
        // In arguments, strings and comments there are none, and a bracket there ends no definition.
        let text = "query($a: I = { b: [1] }) @d(c: { d: 1 }) { ...F(a: { b: \"}...F\" }) # }...F
            } fragment F on Q @d(c: {}) { ...G }";
        assert_eq!(count(text), 2 + 1);
        assert_eq!(
            count("{ fragment ...fragment } fragment fragment on Q { ...G }"),
            3
        );
    }

    #[test]
    fn a_circle_is_left_to_who_tells_of_it() {
        let text = "{ ...A ...A } fragment A on Q { ...B } fragment B on Q { ...A ...A }";
        assert_eq!(count(text), 0);
    }

    #[test]
    fn a_long_chain_is_followed_no_deeper_than_it_must() {
        let mut chain = String::new();
        for n in 0..10_000 {
            write!(chain, "fragment f{n} on Q{{...f{}}}", n + 1).unwrap();
        }
        let mut spreads = Spreads::default();
        scan_with(&chain, usize::MAX, |token| spreads.see(token)).unwrap();
        assert!(spreads.exceed(10_000));
    }
}
