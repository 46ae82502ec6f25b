//! `JSON`, the scalar of what an application keeps for itself.

use async_graphql::{InputValueResult, MaybeUndefined, Scalar, ScalarType, Value};
use talksy_domain::error::Invalid;
use talksy_domain::metadata::{Metadata, MetadataUpdate};

/// Any JSON value: at most 4 KiB as compact text, lists and objects nested at most 16 levels deep.
pub struct Json(pub Value);

/// Any JSON value: at most 4 KiB as compact text, lists and objects nested at most 16 levels deep.
#[Scalar(
    name = "JSON",
    specified_by_url = "https://www.rfc-editor.org/rfc/rfc8259"
)]
impl ScalarType for Json {
    /// Takes anything: the resolver's refusal names the field and the rule.
    fn parse(value: Value) -> InputValueResult<Self> {
        Ok(Self(value))
    }

    fn to_value(&self) -> Value {
        self.0.clone()
    }
}

impl Json {
    /// What is kept, as a client reads it. What is kept was parsed before, so that it can be read.
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self(serde_json::from_str(metadata.as_str()).unwrap_or_default())
    }

    /// What is to be kept.
    ///
    /// # Errors
    /// [`Invalid`] for the field `metadata`.
    pub(crate) fn metadata(&self) -> Result<Metadata, Invalid> {
        if has_name(&self.0) {
            let rule = "must be JSON, in which a word stands in quotes";
            return Err(Invalid::new("metadata", rule));
        }
        let json = serde_json::to_string(&self.0);
        Metadata::parse(json.map_err(|_| Invalid::new("metadata", "must be JSON"))?)
    }
}

/// Whether there is a name somewhere, as of an enum, which is a value of GraphQL and none of JSON.
fn has_name(value: &Value) -> bool {
    match value {
        Value::Enum(_) | Value::Binary(_) => true,
        Value::List(items) => items.iter().any(has_name),
        Value::Object(fields) => fields.values().any(has_name),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Boolean(_) => false,
    }
}

/// What becomes of what is kept: `None` where the argument is absent, `Some(None)` where it is null.
///
/// # Errors
/// [`Invalid`] for the field `metadata`.
pub(crate) fn metadata_change(input: &MaybeUndefined<Json>) -> Result<MetadataUpdate, Invalid> {
    Ok(match input {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(json) => Some(Some(json.metadata()?)),
    })
}

#[cfg(test)]
mod tests {
    use async_graphql::{Name, value};

    use super::*;

    #[test]
    fn what_is_kept_is_read_as_it_was_given() {
        let given = value!({ "b": 1, "a": [1.5, null, true, "é \" \\"], "": {} });
        let kept = Json(given.clone()).metadata().unwrap();
        assert_eq!(
            kept.as_str(),
            r#"{"b":1,"a":[1.5,null,true,"é \" \\"],"":{}}"#
        );
        let read = Json::of(&kept).to_value();
        assert_eq!(read, given);
        assert_eq!(serde_json::to_string(&read).unwrap(), kept.as_str());
    }

    #[test]
    fn a_name_is_no_json() {
        let name = Value::Enum(Name::new("NAME"));
        for given in [Value::List(vec![name.clone()]), name] {
            let refused = Json(given).metadata().unwrap_err();
            assert_eq!(refused.field, "metadata");
        }
    }
}
