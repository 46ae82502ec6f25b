//! Values by their dotted path.

use figment::value::{Dict, Value};

/// The value at `path`.
pub(super) fn find<'a>(values: &'a Dict, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    match (values.get(first)?, rest) {
        (value, []) => Some(value),
        (Value::Dict(_, inner), rest) => find(inner, rest),
        _ => None,
    }
}

/// Puts a value at `path`, in place of whatever is on the way.
pub(super) fn insert(values: &mut Dict, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        values.insert(first.clone(), value);
        return;
    }
    let entry = values
        .entry(first.clone())
        .or_insert_with(|| Value::from(Dict::new()));
    if !matches!(entry, Value::Dict(..)) {
        *entry = Value::from(Dict::new());
    }
    if let Value::Dict(_, inner) = entry {
        insert(inner, rest, value);
    }
}

/// Takes the value at `path` out, where there is one.
pub(super) fn remove(values: &mut Dict, path: &[String]) {
    match path {
        [] => {}
        [last] => {
            values.remove(last);
        }
        [first, rest @ ..] => {
            if let Some(Value::Dict(_, inner)) = values.get_mut(first) {
                remove(inner, rest);
            }
        }
    }
}

/// Lays `above` over `below`, table into table.
pub(super) fn overlay(below: &mut Dict, above: &Dict) {
    for (name, value) in above {
        match (below.get_mut(name), value) {
            (Some(Value::Dict(_, inner)), Value::Dict(_, value)) => overlay(inner, value),
            _ => {
                below.insert(name.clone(), value.clone());
            }
        }
    }
}
