//! What an application keeps beside messages, users and groups for itself: JSON that the server does
//! not look into.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Invalid;

/// Any JSON value (RFC 8259) but null, as compact text: at most 4 KiB, nested at most 16 levels deep.
/// It is kept as it was given, with the order of its members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Metadata(Box<str>);

/// What is to become of what is kept: `None` leaves it as it is, `Some(None)` clears it.
pub type MetadataUpdate = Option<Option<Metadata>>;

impl Metadata {
    /// The most bytes of its text.
    pub const MAX_BYTES: usize = 4 * 1024;
    /// How many lists and objects may stand one inside the other.
    pub const MAX_DEPTH: usize = 16;

    /// Parses a JSON text.
    ///
    /// # Errors
    /// [`Invalid`] for the field `metadata` where it is too long, too deep or no JSON.
    pub fn parse(json: String) -> Result<Self, Invalid> {
        if json.len() > Self::MAX_BYTES {
            let rule = format!("must be at most {} bytes of JSON", Self::MAX_BYTES);
            return Err(Invalid::new("metadata", rule));
        }
        // Ahead of the parser, which goes as deep as the text does.
        if depth(&json) > Self::MAX_DEPTH {
            let most = Self::MAX_DEPTH;
            let rule = format!("must nest lists and objects at most {most} levels deep");
            return Err(Invalid::new("metadata", rule));
        }
        // Read whole: what is passed over may be what nobody can read, such as half a character.
        serde_json::from_str::<Value>(&json)
            .map_err(|_| Invalid::new("metadata", "must be JSON"))?;
        Ok(Self(json.into()))
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How deeply a text nests, should it be JSON.
fn depth(json: &str) -> usize {
    let (mut depth, mut most) = (0_usize, 0);
    let (mut is_text, mut is_escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b'[' | b'{' if !is_text => {
                depth += 1;
                most = most.max(depth);
            }
            b']' | b'}' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    most
}

impl TryFrom<String> for Metadata {
    type Error = Invalid;
    fn try_from(json: String) -> Result<Self, Invalid> {
        Self::parse(json)
    }
}

impl From<Metadata> for String {
    fn from(metadata: Metadata) -> Self {
        metadata.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule_of(json: &str) -> String {
        let refused = Metadata::parse(json.to_owned()).unwrap_err();
        assert_eq!(refused.field, "metadata");
        refused.rule
    }

    #[test]
    fn any_json_is_kept_as_it_is() {
        for json in [
            r#"{"b":1,"a":[true,null,1.5,"\"[{"]}"#,
            "[]",
            "7",
            r#""text""#,
            "false",
        ] {
            assert_eq!(Metadata::parse(json.to_owned()).unwrap().as_str(), json);
        }
        assert_eq!(rule_of("{a:1}"), "must be JSON");
        for none in ["", "1e999", r#""\ud800""#, "[1] 2"] {
            assert_eq!(rule_of(none), "must be JSON", "{none}");
        }
    }

    #[test]
    fn its_size_and_depth_are_bounded() {
        let longest = format!("\"{}\"", "x".repeat(Metadata::MAX_BYTES - 2));
        assert!(Metadata::parse(longest).is_ok());
        let longer = format!("\"{}\"", "x".repeat(Metadata::MAX_BYTES - 1));
        assert_eq!(rule_of(&longer), "must be at most 4096 bytes of JSON");
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Metadata::parse(nested(16)).is_ok());
        let rule = "must nest lists and objects at most 16 levels deep";
        assert_eq!(rule_of(&nested(17)), rule);
        assert_eq!(rule_of(&"{".repeat(4_000)), rule);
        // Brackets in a text, also behind an escaped quote, are none.
        let text = format!(r#"["\\\"{}", []]"#, "[".repeat(100));
        assert!(Metadata::parse(text).is_ok());
    }
}
