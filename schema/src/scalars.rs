//! Scalars, and how ids and numbers look in GraphQL.

use std::fmt::Display;

use async_graphql::{ID, InputValueError, InputValueResult, Scalar, ScalarType, Value};
use talksy_domain::clock::Timestamp;

/// What is expected of a text that is to be one.
const AN_INSTANT: &str = "an instant by RFC 3339, such as `2026-01-31T08:00:00.000Z`";

/// An instant: RFC 3339, UTC, millisecond precision (`2026-01-31T08:00:00.000Z`).
pub struct DateTime(pub Timestamp);

/// An instant: RFC 3339, UTC, millisecond precision (`2026-01-31T08:00:00.000Z`).
#[Scalar(
    name = "DateTime",
    specified_by_url = "https://scalars.graphql.org/andimarek/date-time"
)]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            // Why the parser did not take it is nothing that its sender could use.
            Value::String(text) => (text.parse().map(Self))
                .map_err(|_| InputValueError::custom(format!("must be {AN_INSTANT}"))),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

impl From<Timestamp> for DateTime {
    fn from(instant: Timestamp) -> Self {
        Self(instant)
    }
}

/// The id in its GraphQL form.
pub(crate) fn global_id<T: type_safe_id::StaticType>(id: type_safe_id::TypeSafeId<T>) -> ID {
    ID(id.to_string())
}

/// The id of an object that is no node: of what it belongs to, led by its kind. It never equals
/// another object's id, since a global id has no colon and kinds differ.
pub(crate) fn compound_id(kind: &'static str, parts: &[&dyn Display]) -> ID {
    let mut id = kind.to_owned();
    for part in parts {
        id.push(':');
        id.push_str(&part.to_string());
    }
    ID(id)
}

/// A number as a GraphQL `Int`, whose range ends at 2,147,483,647.
pub(crate) fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use async_graphql::Pos;

    use super::*;

    #[test]
    fn a_text_that_is_no_instant_is_told_what_one_looks_like() {
        for text in [
            "",
            "tomorrow",
            "2026-02-30T00:00:00Z",
            "9999999-01-01T00:00:00Z",
        ] {
            let refused = DateTime::parse(Value::String(text.to_owned())).err();
            let refused = refused.map(|refused| refused.into_server_error(Pos::default()).message);
            let told = "Failed to parse \"DateTime\": must be an instant by RFC 3339, such as \
                        `2026-01-31T08:00:00.000Z`";
            assert_eq!(refused.as_deref(), Some(told), "{text:?}");
        }
    }
}
