//! Draws selections of fields that are shared: with aliases, arguments, directives, fragments and
//! variables.

use serde_json::{Value, json};
use talksy_schema::sharing::{Scope, shared_scopes};

/// Draws numbers from a seed.
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end` (`SplitMix64`).
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let number = usize::try_from((mixed ^ (mixed >> 31)) & 0xFFFF_FFFF);
        number.unwrap_or(0) % end
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

/// How deep objects are followed.
const DEPTH: usize = 4;

/// A subscription in two forms that ask for the same.
pub struct Pair {
    /// Rendered once for all.
    pub shared: String,
    /// Executed for each subscriber: it names a field that is not shared, and skips it.
    pub alone: String,
    /// The variables of both.
    pub variables: Value,
}

/// How a subscription is drawn.
pub struct Form {
    pub name: &'static str,
    pub definitions: &'static str,
    pub arguments: &'static str,
    /// By which the test knows an event.
    pub sync: &'static str,
    /// What is not shared.
    pub denied: &'static str,
}

/// All subscriptions that are shared.
pub const FORMS: [Form; 5] = [
    Form {
        name: "messageAdded",
        definitions: "$chat: ID!, $after: String, ",
        arguments: "(chatId: $chat, after: $after)",
        sync: "sync: node { seq }",
        denied: "node { isReadByAll }",
    },
    Form {
        name: "messageUpdated",
        definitions: "$chat: ID!, $after: String, ",
        arguments: "(chatId: $chat, after: $after)",
        sync: "sync: message { seq changeSeq }",
        denied: "message { isReadByAll }",
    },
    Form {
        name: "readReceiptUpdated",
        definitions: "$chat: ID!, ",
        arguments: "(chatId: $chat)",
        sync: "sync: lastReadSeq who: user { id }",
        denied: "user { email }",
    },
    Form {
        name: "chatUpdated",
        definitions: "",
        arguments: "",
        sync: "sync: lastSeq changes: lastChangeSeq",
        denied: "readByAllSeq",
    },
    Form {
        name: "accountEvents",
        definitions: "",
        arguments: "",
        sync: "__typename ... on MessageAdded { sync: message { seq } }",
        denied: "... on MessageAdded { message { isReadByAll } }
            ... on MessageChange { message { isReadByAll } }
            ... on ReceiptChanged { receipt { user { email } } }
            ... on ChatChanged { chat { readByAllSeq } }",
    },
];

/// Draws a selection for a subscription.
pub fn draw(form: &Form, draw: &mut Draw) -> Pair {
    let mut writer = Writer { draw, aliases: 0 };
    let scopes = shared_scopes(form.name);
    // Whatever is drawn, both variables are used.
    let used = "used: __typename @include(if: $yes) @skip(if: $no)";
    let mut selection = format!("{} {used}", form.sync);
    let is_interface = form.name == "accountEvents";
    for scope in scopes {
        let fields = writer.selection(scope, DEPTH);
        selection += &if is_interface {
            format!(" ... on {} {{ {fields} }}", scope.type_name())
        } else {
            format!(" {fields}")
        };
    }
    let on = |more: &str| {
        format!(
            "subscription Drawn({}$yes: Boolean!, $no: Boolean = false) {{
                {}{} {{ {selection} {more} }} }}",
            form.definitions, form.name, form.arguments
        )
    };
    Pair {
        shared: on(""),
        alone: on(&format!("... @skip(if: true) {{ {} }}", form.denied)),
        variables: json!({ "yes": true }),
    }
}

/// Every field that is shared, each once.
pub fn everything(form: &Form) -> Pair {
    // A draw that never says no.
    draw(form, &mut Draw::new(0))
}

struct Writer<'a> {
    draw: &'a mut Draw,
    aliases: usize,
}

impl Writer<'_> {
    fn selection(&mut self, scope: Scope, depth: usize) -> String {
        let mut text = "__typename".to_owned();
        for (name, below) in scope.fields() {
            if (below.is_some() && depth == 0) || self.draw.one_in(4) {
                continue;
            }
            let alias = if self.draw.one_in(3) {
                self.aliases += 1;
                format!("a{}: ", self.aliases)
            } else {
                String::new()
            };
            let directive = match self.draw.below(8) {
                0 => " @include(if: $yes)",
                1 => " @skip(if: $yes)",
                2 => " @skip(if: $no)",
                _ => "",
            };
            let below = below.map_or(String::new(), |below| {
                format!(" {{ {} }}", self.selection(below, depth - 1))
            });
            let field = format!("{alias}{name}{directive}{below}");
            text += &match self.draw.below(6) {
                0 => format!(" ... {{ {field} }}"),
                1 => format!(
                    " ... on {} @include(if: $yes) {{ {field} }}",
                    scope.type_name()
                ),
                _ => format!(" {field}"),
            };
        }
        text
    }
}
