//! Finds a member that an input object has twice ("Input Object Field Uniqueness" in the GraphQL
//! specification): the parser forgets the first. Knows what an object looks like as a value, in text
//! that can be parsed.

use std::collections::HashMap;

use super::lexer::Token;

/// The members of the objects that are open.
#[derive(Debug, Default)]
pub(super) struct Members<'a> {
    open: Vec<Bracket<'a>>,
    /// The word before, which is a member's name where a colon follows.
    word: Option<&'a str>,
    twice: Option<(&'a str, &'a str)>,
}

#[derive(Debug)]
enum Bracket<'a> {
    /// Of a selection set.
    Selections,
    /// Of arguments, variables, or a list.
    Values,
    /// Of an object, with the names of its members.
    Object(HashMap<&'a str, &'a str>),
}

impl<'a> Members<'a> {
    /// Takes the next token.
    pub(super) fn see(&mut self, token: Token<'a>) {
        let word = self.word.take();
        match token {
            Token::Open(b'{') => self.open.push(match self.open.last() {
                None | Some(Bracket::Selections) => Bracket::Selections,
                Some(Bracket::Values | Bracket::Object(_)) => Bracket::Object(HashMap::new()),
            }),
            Token::Open(_) => self.open.push(Bracket::Values),
            Token::Close(_) => {
                self.open.pop();
            }
            Token::Word(name) => self.word = Some(name),
            // Nothing else stands behind a word in an object, where that is a name.
            Token::Other => {
                if let (Some(name), Some(Bracket::Object(members))) = (word, self.open.last_mut())
                    && !name.starts_with(|letter: char| letter.is_ascii_digit())
                    && let Some(first) = members.insert(name, name)
                {
                    self.twice.get_or_insert((first, name));
                }
            }
            Token::Dots => {}
        }
    }

    /// The first member that its object has twice: both names, as parts of the text.
    pub(super) const fn twice(&self) -> Option<(&'a str, &'a str)> {
        self.twice
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexer::scan_with;
    use super::*;

    fn twice(text: &str) -> Option<&str> {
        let mut members = Members::default();
        scan_with(text, usize::MAX, |token| members.see(token)).unwrap();
        members.twice().map(|(first, _)| first)
    }

    #[test]
    fn a_member_that_is_there_twice_is_found() {
        for text in [
            "{ f(a: { x: 1, x: 2 }) }",
            "{ f(a: { x: 1.5 y: $v z: A x: \"t\" }) }",
            "{ f(a: [{ b: { x: [1 2] x: null } }]) }",
            "query($a: I = { x: { y: 1 }, y: true, x: -2e3 }) { f }",
            "{ f @d(a: { x: 1, x: 2 }) { x x } }",
        ] {
            assert_eq!(twice(text), Some("x"), "{text}");
        }
    }

    #[test]
    fn members_of_others_and_values_are_none() {
        for text in [
            "{ x: a x: a f(x: 1) { x x } }",
            "{ f(a: { x: 1 }, b: { x: 1 }) }",
            "{ f(a: [{ x: { x: [{ x: x } { x: \"x: 1 x: 2\" }] } }]) }",
            "{ f(a: { y: x z: x, x: $x }) }",
            "{ f(a: { y: 1.5 z: 1.5, x: -1.5e3 w: -1.5e3 # x: 1, x: 2
            }) }",
            "query Q($x: I = { x: 1 } $y: I) { f(x: $x, y: $x) }",
        ] {
            assert_eq!(twice(text), None, "{text}");
        }
    }
}
