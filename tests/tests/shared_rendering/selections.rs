//! Draws selections of fields that are shared: with aliases, arguments, directives, fragments and
//! variables.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use talksy_domain::cursor::{Cursor as _, MessageCursor};
use talksy_schema::sharing::{Holds, Scope, shared_scopes};
use talksy_tests::client::start_of;

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
}

/// How deep objects are followed.
const DEPTH: usize = 4;

/// A subscription in two forms that ask for the same.
pub struct Pair {
    /// Rendered once for all.
    pub shared: String,
    /// Executed for each subscriber: it names a field that is not shared, and skips it.
    pub alone: String,
}

/// What a subscription tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Each event.
    Events,
    /// How a chat is behind some of them: several may be told as one.
    Chats,
    /// Both.
    Account,
}

/// How a subscription is drawn.
pub struct Form {
    pub name: &'static str,
    /// What it tells of: each event, or how a chat is behind some of them.
    pub tells_of: Of,
    pub definitions: &'static str,
    pub arguments: &'static str,
    /// By which the test knows an event.
    pub sync: &'static str,
    /// What is not shared.
    pub denied: &'static str,
}

/// What was last done in a group.
#[derive(Clone, Copy, Debug, Default)]
pub struct Last<'a> {
    pub seq: i64,
    /// Whether the message changes what the chat is, and not only how far it goes.
    pub is_notice: bool,
    pub change_seq: i64,
    /// The newest mark, and whose it is.
    pub read: i64,
    pub reader: &'a str,
}

impl Form {
    /// Whether an event tells of what was last done.
    pub fn tells(&self, event: &Value, last: Last<'_>) -> bool {
        let sync = &event["sync"];
        match (self.name, self.tells_of) {
            ("messageUpdated", _) => sync["changeSeq"] == last.change_seq,
            ("readReceiptUpdated", _) => *sync == last.read && event["who"]["id"] == *last.reader,
            ("chatUpdated", _) => *sync == last.seq && event["changes"] == last.change_seq,
            (_, Of::Chats) => {
                let about = (&event["about"]["seq"], &event["about"]["changes"]);
                about == (&json!(last.seq), &json!(last.change_seq)) && is_at(event, last)
            }
            // Behind the message itself.
            (_, Of::Account) if last.is_notice => {
                event["about"]["seq"] == last.seq && is_at(event, last)
            }
            _ => sync["seq"] == last.seq,
        }
    }

    /// Whether it can be compared with an execution of its own: how a chat is, where it is at rest.
    pub fn is_comparable(&self, event: &Value, last: Last<'_>) -> bool {
        match self.tells_of {
            Of::Events => true,
            Of::Chats => self.tells(event, last),
            Of::Account => event["about"].is_null() || self.tells(event, last),
        }
    }

    /// Variables for a chat. Who gives others is told something else by the same text.
    pub fn variables(&self, chat: &str, kind: usize) -> Value {
        let mut variables = match kind % 3 {
            0 => json!({ "yes": true }),
            1 => json!({ "yes": false }),
            _ => json!({ "yes": true, "no": true }),
        };
        if self.arguments.contains("$chat") {
            variables["chat"] = json!(chat);
        }
        if self.arguments.contains("after") {
            variables["after"] = json!(start_of(chat));
        }
        variables
    }
}

const ACCOUNT_SYNC: &str = "__typename at: cursor ... on MessageAdded { sync: message { seq } }
    ... on ChatChanged { about: chat { seq: lastSeq changes: lastChangeSeq } }";
const ACCOUNT_DENIED: &str = "... on MessageAdded { message { isReadByAll } }
    ... on MessageChange { message { isReadByAll } }
    ... on ReceiptChanged { receipt { user { email } } }
    ... on ChatChanged { chat { peer { email } } }";

/// Whether an event of the account is behind what was last done.
fn is_at(event: &Value, last: Last<'_>) -> bool {
    let cursor = event["at"].as_str().unwrap_or_default();
    // Without detail it is a message's cursor but for what it is called.
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).unwrap();
    let place = bytes.get(1..).and_then(MessageCursor::read);
    place.is_some_and(|place| {
        let changes = place.change_seq.map(i64::from);
        (i64::from(place.seq), changes) == (last.seq, Some(last.change_seq))
    })
}

/// All subscriptions that are shared.
pub const FORMS: [Form; 6] = [
    Form {
        name: "messageAdded",
        tells_of: Of::Events,
        definitions: "$chat: ID!, $after: String, ",
        arguments: "(chatId: $chat, after: $after)",
        sync: "sync: node { seq }",
        denied: "node { isReadByAll }",
    },
    Form {
        name: "messageUpdated",
        tells_of: Of::Events,
        definitions: "$chat: ID!, $after: String, ",
        arguments: "(chatId: $chat, after: $after)",
        sync: "sync: message { seq changeSeq }",
        denied: "message { isReadByAll }",
    },
    Form {
        name: "readReceiptUpdated",
        tells_of: Of::Events,
        definitions: "$chat: ID!, ",
        arguments: "(chatId: $chat)",
        sync: "sync: lastReadSeq who: user { id }",
        denied: "user { email }",
    },
    Form {
        name: "chatUpdated",
        tells_of: Of::Chats,
        definitions: "",
        arguments: "",
        sync: "sync: lastSeq changes: lastChangeSeq",
        denied: "peer { email }",
    },
    Form {
        name: "accountEvents",
        tells_of: Of::Account,
        definitions: "",
        arguments: "",
        sync: ACCOUNT_SYNC,
        denied: ACCOUNT_DENIED,
    },
    Form {
        name: "accountEvents",
        tells_of: Of::Chats,
        definitions: "",
        arguments: "(detailOf: [])",
        sync: ACCOUNT_SYNC,
        denied: ACCOUNT_DENIED,
    },
];

/// Draws a selection for a subscription.
pub fn draw(form: &Form, draw: Draw) -> Pair {
    write(form, Some(draw))
}

/// Every field that is shared.
pub fn everything(form: &Form) -> Pair {
    write(form, None)
}

fn write(form: &Form, draw: Option<Draw>) -> Pair {
    let mut writer = Writer {
        draw,
        names: 0,
        fragments: String::new(),
    };
    // Whatever is drawn, both variables are used.
    let used = "... @include(if: $yes) @skip(if: $no) { used: __typename }";
    let mut selection = format!("{} {used}", form.sync);
    for scope in shared_scopes(form.name) {
        let fields = writer.selection(scope, DEPTH);
        // Of an interface, or of the type itself.
        let _ = write!(selection, " ... on {} {{ {fields} }}", scope.type_name());
    }
    let on = |more: &str| {
        format!(
            "subscription Drawn({}$yes: Boolean!, $no: Boolean = false) {{
                {}{} {{ {selection} {more} }} }} {}",
            form.definitions, form.name, form.arguments, writer.fragments
        )
    };
    Pair {
        shared: on(""),
        alone: on(&format!("... @skip(if: true) {{ {} }}", form.denied)),
    }
}

/// How a field is written.
enum Style {
    Plain,
    Inline,
    OnType,
    Spread,
}

struct Writer {
    /// Without it, every field is written.
    draw: Option<Draw>,
    /// Aliases and fragments so far.
    names: usize,
    fragments: String,
}

impl Writer {
    fn selection(&mut self, scope: Scope, depth: usize) -> String {
        let mut text = "__typename".to_owned();
        for (name, holds) in scope.fields() {
            let is_too_deep = depth == 0 && matches!(holds, Holds::Object(_));
            // What a reply answers may be a reply: it is followed once, at its first place.
            let is_too_deep = is_too_deep || (name == "replyTo" && depth < DEPTH - 1);
            if is_too_deep || self.draws_one_in(4, false) {
                continue;
            }
            text += &self.field(scope, name, holds, depth);
            // Once more, under another name or as the same field.
            if matches!(holds, Holds::Leaf) && self.draws_one_in(4, true) {
                text += &self.field(scope, name, holds, depth);
            }
        }
        text
    }

    fn field(&mut self, scope: Scope, name: &str, holds: Holds, depth: usize) -> String {
        // An object that is selected twice under one name could have one alias for two fields.
        let is_object = matches!(holds, Holds::Object(_));
        let alias = if self.draws_one_in(3, is_object) {
            format!("{}: ", self.name())
        } else {
            String::new()
        };
        let below = match holds {
            Holds::Object(below) => format!(" {{ {} }}", self.selection(below, depth - 1)),
            Holds::Leaf => String::new(),
        };
        let directive = match self.number(8) {
            Some(0) => " @include(if: $yes)",
            Some(1) => " @skip(if: $yes)",
            Some(2) => " @skip(if: $no)",
            _ => "",
        };
        let field = format!("{alias}{name}{directive}{below}");
        let on = scope.type_name();
        match self.style() {
            Style::Plain => format!(" {field}"),
            Style::Inline => format!(" ... {{ {field} }}"),
            Style::OnType => format!(" ... on {on} @include(if: $yes) {{ {field} }}"),
            Style::Spread => {
                let fragment = self.name();
                let _ = write!(self.fragments, " fragment {fragment} on {on} {{ {field} }}");
                format!(" ...{fragment} @skip(if: $no)")
            }
        }
    }

    fn style(&mut self) -> Style {
        match self.number(8) {
            Some(0) => Style::Inline,
            Some(1) => Style::OnType,
            Some(2) => Style::Spread,
            _ => Style::Plain,
        }
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("a{}", self.names)
    }

    /// A number below `end`, where something is drawn.
    fn number(&mut self, end: usize) -> Option<usize> {
        self.draw.as_mut().map(|draw| draw.below(end))
    }

    /// What is drawn in one of so many cases; where nothing is drawn, `else_is`.
    fn draws_one_in(&mut self, many: usize, else_is: bool) -> bool {
        self.number(many).map_or(else_is, |number| number == 0)
    }
}
