//! Documents that are made to cost much: the known bombs, and texts of at most 32 KB in every shape
//! that we could think of.

mod variables;

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::people::Person;
pub(super) use variables::variables;

/// The longest document that the server takes by itself, less what tells copies apart.
const LONGEST: usize = 32_000;

/// As many tokens and pieces as pass the guard by itself. A piece of more than one selection has twice
/// as many tokens.
const PASSING_TOKENS: usize = 3_900;
const PASSING_PIECES: usize = 1_900;

/// One shape, and the variables that belong to it.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) document: String,
    pub(super) variables: Value,
    /// The same, so long as it passes the guard and is validated.
    within: Option<String>,
}

impl Shape {
    fn new(name: &str, document: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            document: document.into(),
            variables: Value::Null,
            within: None,
        }
    }

    /// As many pieces between `open` and `close` as a document may be long, and, in another document,
    /// as many as the guard lets through.
    fn filled(name: &str, open: &str, close: &str, piece: impl Fn(usize) -> String) -> Self {
        let within = fill(open, close, PASSING_PIECES, PASSING_TOKENS, &piece);
        Self {
            within: Some(within),
            ..Self::new(name, fill(open, close, usize::MAX, usize::MAX, &piece))
        }
    }

    /// The one that is as long as may be, and the one that passes the guard.
    fn both(mut self) -> impl Iterator<Item = Self> {
        let passing = self.within.take().map(|document| Self {
            name: format!("{}, no more than is validated", self.name),
            document,
            variables: Value::Null,
            within: None,
        });
        [Some(self), passing].into_iter().flatten()
    }

    fn with(self, variables: Value) -> Self {
        Self { variables, ..self }
    }

    /// The body of a request. Each copy has a text of its own, so that nothing remembers it.
    pub(super) fn body(&self, copy: usize) -> String {
        let query = format!("{} #{copy}", self.document);
        json!({ "query": query, "variables": self.variables }).to_string()
    }
}

/// At most so many pieces and tokens between `open` and `close`, and no more than a document may have.
fn fill(
    open: &str,
    close: &str,
    most_pieces: usize,
    most_tokens: usize,
    piece: impl Fn(usize) -> String,
) -> String {
    let mut text = open.to_owned();
    let mut left = most_tokens.saturating_sub(tokens(open) + tokens(close));
    for number in 0..most_pieces {
        let piece = piece(number);
        let tokens = tokens(&piece);
        if text.len() + piece.len() + close.len() > LONGEST || tokens > left {
            break;
        }
        left -= tokens;
        text.push_str(&piece);
    }
    text + close
}

/// Words and signs, no fewer than the tokens there are.
fn tokens(text: &str) -> usize {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let signs = text.chars().filter(|c| !is_word(*c) && !c.is_whitespace());
    let words = text.split(|c| !is_word(c)).filter(|word| !word.is_empty());
    signs.count() + words.count()
}

/// So many pieces.
fn repeat(count: usize, piece: impl Fn(usize) -> String) -> String {
    (0..count).map(piece).collect()
}

/// `levels` fragments, each of which spreads the next `times` times.
fn fragments(levels: usize, times: usize, leaf: &str) -> String {
    let mut text = String::from("{...f0}");
    for level in 0..levels {
        let spreads = format!("...f{}", level + 1).repeat(times);
        let _ = write!(text, "fragment f{level} on Query{{{spreads}}}");
    }
    let _ = write!(text, "fragment f{levels} on Query{{{leaf}}}");
    text
}

/// `open` so often, the leaf, and as often `close`.
fn nest(open: &str, leaf: &str, close: &str, times: usize) -> String {
    format!("{}{leaf}{}", open.repeat(times), close.repeat(times))
}

/// Documents of which it is known that they bring servers down.
pub(super) fn bombs() -> Vec<Shape> {
    let deep = nest("fields{type{", "name", "}}", 9);
    let types = nest("possibleTypes{interfaces{", "name", "}}", 9);
    let wide = repeat(30, |n| {
        format!("a{n}:__schema{{types{{fields{{name description}}}}}} ")
    });
    vec![
        Shape::new(
            "a million fields from 1 KB of fragments",
            fragments(20, 2, "me{id}"),
        ),
        Shape::new("fragments 30 deep, each twice", fragments(30, 2, "me{id}")),
        Shape::new("fragments, each 16 times", fragments(6, 16, "me{id}")),
        Shape::new(
            "deep introspection, fields of types",
            format!("{{__schema{{types{{{deep}}}}}}}"),
        ),
        Shape::new(
            "deep introspection, possible types",
            format!("{{__schema{{types{{{types}}}}}}}"),
        ),
        Shape::new("wide introspection, 30 aliases", format!("{{{wide}}}")),
        Shape::new(
            "1,000 aliases of a field",
            format!("{{{}}}", repeat(1_000, |n| format!("a{n}:me{{id}} "))),
        ),
        Shape::new(
            "a fragment in a circle",
            "{...a}fragment a on Query{...b}fragment b on Query{...a}",
        ),
        Shape::new("10,000 brackets", "[".repeat(10_000)),
        Shape::new("selections 1,000 deep", nest("{a", "", "}", 1_000)),
        Shape::new(
            "lists 1,000 deep",
            format!("{{node(id:{}){{id}}}}", nest("[", "1", "]", 1_000)),
        ),
        Shape::new(
            "3,000 directives on one field",
            format!("{{me{}{{id}}}}", "@a".repeat(3_000)),
        ),
        Shape::new(
            "a list of 10,000 zeros without a blank",
            format!("{{node(id:[{}]){{id}}}}", "0".repeat(10_000)),
        ),
        Shape::new(
            "a string that does not end",
            format!("{{node(id:\"\"\"{}", "[".repeat(10_000)),
        ),
    ]
}

/// What the parser and validation have to do with.
pub(super) fn texts() -> Vec<Shape> {
    let mut shapes = selections();
    shapes.extend(directives_and_fragments());
    shapes.extend(values());
    shapes.extend(lexical());
    shapes.into_iter().flat_map(Shape::both).collect()
}

fn selections() -> Vec<Shape> {
    let overlap = |n| format!("messages(first:{n}){{pageInfo{{hasNextPage}}}} ");
    vec![
        Shape::filled("unknown fields, all different", "{me{", "}}", |n| {
            format!("field{n} ")
        }),
        Shape::filled("unknown fields, nearly known", "{me{", "}}", |n| {
            format!("nam{n}e ")
        }),
        Shape::filled("one field again and again", "{chats{nodes{", "}}}", |_| {
            "peer{id}".into()
        }),
        Shape::new(
            "__typename again and again",
            format!("{{me{{{}}}}}", "__typename ".repeat(1_900)),
        ),
        Shape::new(
            "as many aliases as may be",
            format!("{{me{{{}}}}}", repeat(100, |n| format!("a{n}:name "))),
        ),
        Shape::filled(
            "one response name, other arguments",
            "{chat(id:\"x\"){",
            "}}",
            overlap,
        ),
        Shape::filled(
            "one response name, other arguments, 20 inline fragments deep",
            &format!("{{chat(id:\"x\"){{{}", "...on Chat{".repeat(20)),
            &"}".repeat(22),
            |n| format!("messages(first:{n} last:{n} after:\"{n}\" before:\"{n}\"){{__typename}}"),
        ),
        Shape::filled(
            "one response name, 32 unknown arguments",
            &format!("{{me{{{}", "...on User{".repeat(20)),
            &"}".repeat(22),
            |n| format!("id({})", repeat(32, |argument| format!("a{argument}:{n} "))),
        ),
        Shape::filled("one response name, many times nested", "{me{", "}}", |_| {
            "name ".into()
        }),
        Shape::filled("unknown arguments", "{me(", "){id}}", |n| {
            format!("a{n}:1 ")
        }),
        Shape::filled("one argument again and again", "{node(", "){id}}", |n| {
            format!("id:\"{n}\" ")
        }),
        Shape::filled("many operations", "", "", |n| {
            format!("query q{n}{{me{{id}}}}")
        }),
        Shape::filled("many operations of one name", "", "", |_| {
            "query q{me{id}}".into()
        }),
        Shape::filled("a subscription of many fields", "subscription{", "}", |n| {
            format!("a{n}:chatUpdated{{id}} ")
        }),
        Shape::filled("selections of leaves", "{me{", "}}", |_| "id{id}".into()),
        Shape::filled(
            "composites without selections",
            "{chats{nodes{",
            "}}}",
            |_| "peer ".into(),
        ),
    ]
}

fn directives_and_fragments() -> Vec<Shape> {
    let include = |_| "@include(if:true)".to_owned();
    let on_user = |n| format!("fragment f{n} on User{{id}}");
    let chain = repeat(600, |n| format!("fragment f{n} on Query{{...f{}}}", n + 1));
    let circle = |n: usize| format!("fragment f{n} on Query{{...f{}}}", (n + 1) % 500);
    let inline = format!("{{me{}}}", nest("{...on User", "{id}", "}", 20));
    let uses = repeat(150, |_| "id@skip(if:$v)".to_owned());
    let uses = format!("fragment f on Query{{me{{{uses}}}}}");
    vec![
        Shape::filled("one directive again and again", "{me", "{id}}", include),
        Shape::filled("a directive on each field", "{me{", "}}", |_| {
            "id@skip(if:false) ".into()
        }),
        Shape::filled("unknown directives", "{me", "{id}}", |n| {
            format!("@d{n}(a:{n})")
        }),
        Shape::filled("directives on the operation", "query", "{me{id}}", |n| {
            format!("@d{n}")
        }),
        Shape::filled("fragments that nobody spreads", "{me{id}}", "", on_user),
        Shape::filled("fragments of one name", "{me{...f}}", "", |_| {
            "fragment f on User{id}".into()
        }),
        Shape::filled("fragments on unknown types", "{me{id}}", "", |n| {
            format!("fragment f{n} on T{n}{{id}}")
        }),
        Shape::filled("unknown fragments", "{", "}", |n| format!("...f{n} ")),
        Shape::filled("operations that share uses of variables", "", &uses, |n| {
            format!("query q{n}($v:Boolean!){{...f}}")
        }),
        Shape::new(
            "a chain of 600 fragments",
            format!("{{...f0}}{chain}fragment f600 on Query{{me{{id}}}}"),
        ),
        Shape::new(
            "a circle of 500 fragments",
            format!("{{...f0}}{}", repeat(500, circle)),
        ),
        Shape::filled(
            "32 KB of spreads of one fragment",
            "{me{",
            "}}fragment f on User{id}",
            |_| "...f ".into(),
        ),
        Shape::new("a bomb as long as may be", fragments(9, 600, "me{id}")),
        Shape::new("inline fragments 20 deep", inline),
        Shape::filled(
            "inline fragments of all types",
            "{node(id:\"x\"){",
            "}}",
            |_| "...on User{id}...on Chat{id}...on Message{id}".into(),
        ),
    ]
}

fn values() -> Vec<Shape> {
    let objects = nest("{email:", "1", "}", 30);
    vec![
        Shape::filled("variables without use", "query(", "){me{id}}", |n| {
            format!("$v{n}:Int ")
        }),
        Shape::filled("variables of unknown types", "query(", "){me{id}}", |n| {
            format!("$v{n}:T{n} ")
        }),
        Shape::filled(
            "variables with long defaults",
            "query($v:[Int!]=[",
            "]){me{id}}",
            |n| format!("{n} "),
        ),
        Shape::new(
            "types 60 lists deep",
            format!("query($v:{}){{me{{id}}}}", nest("[", "Int", "]", 60)),
        ),
        Shape::new(
            "lists 60 deep",
            format!("{{nodes(ids:{}){{id}}}}", nest("[", "1", "]", 60)),
        ),
        Shape::new(
            "a list of 3,000 ids",
            format!("{{nodes(ids:[{}]){{id}}}}", "\"\" ".repeat(3_000)),
        ),
        Shape::new(
            "input objects 30 deep",
            format!("mutation{{login(input:{objects}){{expiresIn}}}}"),
        ),
        Shape::filled(
            "a wide input object",
            "mutation{login(input:{",
            "}){expiresIn}}",
            |n| format!("a{n}:{n} "),
        ),
        Shape::filled("a flood of numbers", "{nodes(ids:[", "]){id}}", |n| {
            format!("{n} ")
        }),
        Shape::new(
            "a number of 30,000 digits",
            format!("{{users(first:{}){{nodes{{id}}}}}}", "9".repeat(30_000)),
        ),
        Shape::filled(
            "numbers beyond all bounds",
            "{nodes(ids:[",
            "]){id}}",
            |n| format!("1e{n} -{n}.5E-999 "),
        ),
        Shape::filled("a flood of enums", "{nodes(ids:[", "]){id}}", |n| {
            format!("E{n} ")
        }),
        Shape::new(
            "30,000 characters of text",
            format!("{{node(id:\"{}\"){{id}}}}", "x".repeat(30_000)),
        ),
        Shape::new(
            "a block string of 15,000 lines",
            format!("{{node(id:\"\"\"{}\"\"\"){{id}}}}", " \n".repeat(15_000)),
        ),
        Shape::new(
            "escapes",
            format!("{{node(id:\"{}\"){{id}}}}", "\\u0000".repeat(5_000)),
        ),
        Shape::new(
            "text beyond the basic plane",
            format!("{{node(id:\"{}\"){{id}}}}", "😀".repeat(7_500)),
        ),
        Shape::new(
            "combining marks",
            format!(
                "{{users(search:\"a{}\"){{nodes{{id}}}}}}",
                "\u{301}".repeat(15_000)
            ),
        ),
    ]
}

fn lexical() -> Vec<Shape> {
    vec![
        Shape::new("comments alone", "#\n".repeat(LONGEST / 2)),
        Shape::new("commas alone", ",".repeat(LONGEST)),
        Shape::new("byte order marks", "\u{feff}".repeat(LONGEST / 3)),
        Shape::new(
            "a name of 30,000 letters",
            format!("{{{}}}", "a".repeat(30_000)),
        ),
        Shape::new("30,000 points", ".".repeat(30_000)),
        Shape::new("quotes alone", "\"".repeat(LONGEST)),
        Shape::new(
            "backslashes in a string",
            format!("{{node(id:\"{}\"){{id}}}}", "\\\\".repeat(15_000)),
        ),
        Shape::new("no GraphQL at all", "~".repeat(LONGEST)),
        Shape::new("letters of other scripts", "Ω".repeat(LONGEST / 2)),
        Shape::new("control characters", "\u{1}".repeat(5_000)),
        Shape::filled("opened again and again", "", "", |_| "{a(".into()),
        Shape::filled("nearly a document", "{me{id}", "", |_| "a(b:c){".into()),
    ]
}

/// What is executed, as who has this account and chat.
pub(super) fn executed(person: &Person, chat: &str) -> Vec<Shape> {
    let id = &person.id;
    let roots = |field: &dyn Fn(usize) -> String| format!("{{{}}}", repeat(32, field));
    let walk = nest("messages(last:100){nodes{chat{", "id", "}}}", 6);
    let walk = format!("chats(first:100){{nodes{{{walk}}}}}");
    let members = "members(first:100){nodes{user{id name}}}";
    let reads = "messages(last:100){nodes{readBy(first:100){nodes{user{id name}}}}}";
    vec![
        Shape::new(
            "all of introspection",
            include_str!("../../../../server/src/graphql/guard/tests/introspection.graphql"),
        ),
        Shape::new(
            "32 lists of all users",
            roots(&|n| format!("a{n}:users(first:100){{nodes{{id name}}}} ")),
        ),
        Shape::new(
            "32 searches",
            roots(&|n| format!("a{n}:users(search:\"{n}\" first:100){{nodes{{id}}}} ")),
        ),
        Shape::new(
            "32 lists of chats with their messages",
            roots(&|n| {
                format!("a{n}:chats(first:100){{nodes{{messages(last:100){{nodes{{text}}}}}}}} ")
            }),
        ),
        Shape::new("chats, their messages, their chat", format!("{{{walk}}}")),
        Shape::new(
            "members and readers of one chat, 32 times",
            roots(&|n| format!("a{n}:chat(id:\"{chat}\"){{{members} {reads}}} ")),
        ),
        Shape::new(
            "32 ids that are none",
            roots(&|n| format!("a{n}:node(id:\"usr_{n}\"){{id}} ")),
        ),
        Shape::new(
            "32 cursors that are none",
            roots(&|n| format!("a{n}:chats(after:\"{n}\"){{nodes{{id}}}} ")),
        ),
        Shape::new(
            "100 users, 100 times",
            format!(
                "{{nodes(ids:[{}]){{{}}}}}",
                format!("\"{id}\" ").repeat(100),
                repeat(90, |n| format!("...on User{{a{n}:name}} "))
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_as_long_as_they_may_be_or_as_they_pass() {
        let texts = texts();
        for shape in &texts {
            assert!(shape.document.len() <= 32_768, "{}", shape.name);
        }
        let filled = Shape::filled("f", "{me{", "}}", |n| format!("field{n} "));
        let [long, passing]: [Shape; 2] = filled.both().collect::<Vec<_>>().try_into().unwrap();
        assert!((31_900..=LONGEST).contains(&long.document.len()));
        assert_eq!(passing.document.matches("field").count(), PASSING_PIECES);
        let filled = Shape::filled("f", "{me{", "}}", |_| "peer{id}".into());
        let passing = filled.both().nth(1).unwrap().document;
        assert!((3_880..=PASSING_TOKENS).contains(&tokens(&passing)));
    }

    #[test]
    fn each_copy_has_a_text_of_its_own() {
        let shape = Shape::new("s", "{me{id}}").with(json!({ "a": 1 }));
        assert_ne!(shape.body(1), shape.body(2));
        assert!(shape.body(1).contains("\"variables\":{\"a\":1}"));
    }
}
