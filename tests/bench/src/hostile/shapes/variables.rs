//! Documents that are short, with variables as large as a body may be.

use serde_json::{Value, json};

use super::{Shape, nest, repeat};

/// Variables as large as a body may be.
pub(in super::super) fn variables() -> Vec<Shape> {
    let nodes = "query($ids:[ID!]!){nodes(ids:$ids){id}}";
    let search = "query($s:String){users(search:$s){nodes{id}}}";
    let send = "mutation($i:SendMessageInput!){sendMessage(input:$i){message{id}}}";
    let fields = repeat(30, |n| format!("a{n}:nodes(ids:$v){{id}}"));
    let fields = format!("query($v:[ID!]!){{{fields}}}");
    let skips = format!(
        "query($v:Boolean!){{me{{{}}}}}",
        "id@skip(if:$v)".repeat(400)
    );
    let idle = repeat(300, |_| "nodes(ids:$v){id}".into());
    let idle = format!("{{me{{id}}}}fragment f on Query{{{idle}}}");
    let introspected = "query($v:Boolean){__schema{types{fields(includeDeprecated:$v){name}}}}";
    let zeros = || json!({ "v": vec![0; 50_000] });
    let deep = |open: &str, close: &str| {
        let text = nest(open, "1", close, 100);
        serde_json::from_str::<Value>(&text).unwrap_or(Value::Null)
    };
    let wide = (0..12_000).map(|n| (format!("field{n}"), json!(n)));
    let wide = Value::Object(wide.collect());
    vec![
        Shape::new("a list of 50,000 ids in variables", nodes).with(json!({ "ids": vec!["a"; 50_000] })),
        Shape::new("a list of 7,000 real ids in variables", nodes)
            .with(json!({ "ids": vec!["usr_01h455vb4pex5vsknk084sn02q"; 7_000] })),
        Shape::new("lists 100 deep in variables", nodes).with(json!({ "ids": deep("[", "]") })),
        Shape::new("objects 100 deep in variables", send).with(json!({ "i": deep("{\"a\":", "}") })),
        Shape::new("12,000 fields in variables", send).with(json!({ "i": wide })),
        Shape::new("12,000 variables that nobody knows", "{me{id}}").with(wide),
        Shape::new("a list of 50,000 numbers, for 30 fields", fields).with(zeros()),
        Shape::new("a list of 50,000 numbers, for 400 directives", skips).with(zeros()),
        Shape::new("a list of 50,000 numbers, for a fragment that is not spread", idle).with(zeros()),
        Shape::new("a list of 50,000 numbers, for introspection", introspected).with(zeros()),
        Shape::new("200 kB of text to search for", search).with(json!({ "s": "a".repeat(200_000) })),
        Shape::new("200 kB of a message", send)
            .with(json!({ "i": { "chatId": "cht_01h455vb4pex5vsknk084sn02q", "text": "a".repeat(200_000) } })),
        Shape::new("200 kB of combining marks", search).with(json!({ "s": "\u{301}".repeat(100_000) })),
    ]
}
