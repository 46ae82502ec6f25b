//! Reads the merged sources into a [`Config`], with every value that does not fit as a problem.
//!
//! Serde stops at the first error; a person wants all of them. So the error is noted, the
//! offending value taken out of the source it came from, which lets the source below show
//! through, and everything read again until it fits.

use figment::error::{Actual, Kind};
use figment::value::{Dict, Value};

use super::Config;
use super::layers::{Layer, LayerKind};
use super::problem::Problem;
use super::tree::{find, insert, overlay, remove};

/// Deserialises the merged layers; takes what does not fit out of them, a problem each.
pub(super) fn read(layers: &mut [Layer], problems: &mut Vec<Problem>) -> Option<Config> {
    // The value that is tried as a text, and the rule it broke as what it looked like.
    let mut retried: Option<(Vec<String>, String)> = None;
    loop {
        let mut merged = Dict::new();
        for layer in layers.iter() {
            overlay(&mut merged, &layer.values);
        }
        let error = match Value::from(merged).deserialize::<Config>() {
            Ok(config) => return Some(config),
            Err(error) => error,
        };
        let mut path = error.path.clone();
        let Some(layer) = topmost(layers, &mut path) else {
            problems.push(Problem {
                setting: error.path.join("."),
                rule: rule(&error.kind),
                origin: None,
            });
            return None;
        };
        if reread_as_list(layer, &path, &error.kind) {
            continue;
        }
        let before = retried.take().filter(|(tried, _)| *tried == path);
        if before.is_none() && reread_as_text(layer, &path) {
            retried = Some((path, rule(&error.kind)));
            continue;
        }
        problems.push(Problem {
            setting: path.join("."),
            rule: before.map_or_else(|| rule(&error.kind), |(_, rule)| rule),
            origin: layer.origin(&path),
        });
        remove(&mut layer.values, &path);
    }
}

/// The topmost source that holds the value at `path`. An error inside of a list or of a value
/// that was given whole has a longer path than the value: it is cut to what is there.
fn topmost<'a>(layers: &'a mut [Layer], path: &mut Vec<String>) -> Option<&'a mut Layer> {
    while !path.is_empty() {
        let found = layers
            .iter()
            .rposition(|layer| find(&layer.values, path).is_some());
        if let Some(index) = found {
            let layer = &mut layers[index];
            return (!matches!(layer.kind, LayerKind::Defaults)).then_some(layer);
        }
        path.pop();
    }
    None
}

/// Takes a text apart at its commas where its setting is a list: in the environment and on the command
/// line, `https://a.example.org, https://b.example.org` needs no brackets and no quotes.
fn reread_as_list(layer: &mut Layer, path: &[String], kind: &Kind) -> bool {
    let wants_list = matches!(kind, Kind::InvalidType(_, expected) if expected == "a sequence");
    if !wants_list || !matches!(layer.kind, LayerKind::Environment | LayerKind::CommandLine) {
        return false;
    }
    let Some(text) = find(&layer.values, path).and_then(text_of) else {
        return false;
    };
    let items = text.split(',').map(str::trim);
    let items = items.filter(|item| !item.is_empty()).map(Value::from);
    let items: Vec<Value> = items.collect();
    insert(&mut layer.values, path, Value::from(items));
    true
}

/// Undoes [`guess`] for a value that its setting refuses: `TALKSY_DATA_DIR=2026` is a path.
fn reread_as_text(layer: &mut Layer, path: &[String]) -> bool {
    if !matches!(layer.kind, LayerKind::Environment | LayerKind::CommandLine) {
        return false;
    }
    let value = find(&layer.values, path);
    let value = value.filter(|value| !matches!(value, Value::String(..)));
    let Some(text) = value.and_then(text_of) else {
        return false;
    };
    insert(&mut layer.values, path, Value::from(text));
    true
}

/// A value that is no list and no table, as the text that it was.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Num(_, number) => match number.to_actual() {
            Actual::Unsigned(n) => Some(n.to_string()),
            Actual::Signed(n) => Some(n.to_string()),
            Actual::Float(n) => Some(n.to_string()),
            _ => None,
        },
        Value::Bool(_, value) => Some(value.to_string()),
        Value::Char(_, value) => Some(value.to_string()),
        _ => None,
    }
}

/// What a type demands, as the end of a sentence, without repeating the value.
fn rule(kind: &Kind) -> String {
    match kind {
        Kind::Message(rule) => rule.clone(),
        Kind::UnknownField(_, known) => format!("is not a setting; there are {}", list(known)),
        Kind::UnknownVariant(_, known) => format!("must be one of {}", list(known)),
        Kind::InvalidType(actual, expected) => {
            format!("must be {}, not {}", wanted(expected), noun(actual))
        }
        Kind::InvalidValue(_, expected) => format!("must be {}", wanted(expected)),
        other => other.to_string(),
    }
}

fn list(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn wanted(expected: &str) -> &str {
    match expected {
        "u8" | "u32" | "u64" | "usize" => "a whole number, zero or more",
        "a sequence" => "a list",
        text if text.starts_with("struct ") => "a table of settings",
        text if text.starts_with("enum ") || text.starts_with("variant ") => "one of its names",
        text => text,
    }
}

fn noun(actual: &Actual) -> &'static str {
    match actual {
        Actual::Bool(_) => "a boolean",
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => "a number",
        Actual::Str(_) | Actual::Char(_) => "a string",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "what it is",
    }
}
