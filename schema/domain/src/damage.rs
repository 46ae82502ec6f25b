//! What stores do with a record that does not parse: it harms nobody but itself. A field that
//! cannot be read gets a stand-in; a record of which nothing can be made is left out of lists.
//! Each is reported by its id, without what it holds, since that may be personal.

use std::fmt::Display;

/// The field's value, or its stand-in where it does not parse.
pub fn or_stand_in<T, E>(
    value: Result<T, E>,
    record: impl FnOnce() -> String,
    field: &'static str,
    stand_in: impl FnOnce() -> T,
) -> T {
    value.unwrap_or_else(|_| {
        let record = record();
        tracing::error!(%record, field, "a field of a record does not parse and is stood in for");
        stand_in()
    })
}

/// Reports a record of which parts are stood in for.
pub fn stood_in_for(record: impl Display) {
    tracing::error!(%record, "a record does not parse and is partly stood in for");
}

/// Reports a record that is left out of a list.
pub fn left_out(record: impl Display) {
    tracing::error!(%record, "a record does not parse and is left out");
}
