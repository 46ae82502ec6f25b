//! Finding users by name: ranges of the index, and patterns in which nothing is special.

use mongodb::bson::{Document, doc};

/// The longest text that may be part of a name. Names have 64 characters; lower-casing one may
/// make it up to three times as long.
const LONGEST: usize = 64 * 3;

/// Name keys that start with the prefix, as a range. MongoDB sorts texts by their UTF-8 bytes, and
/// so by their characters: the range ends at the prefix with its last character raised, or nowhere
/// where none can be.
pub(super) fn starting_with(prefix: &str) -> Document {
    let mut range = doc! { "$gte": prefix };
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // The range steps over the surrogates, which are no characters.
        if let Some(next) = (last..=char::MAX).nth(1) {
            end.push(next);
            range.insert("$lt", end);
            break;
        }
    }
    range
}

/// A pattern for name keys that contain the text in any case; `None` where none can.
pub(super) fn containing(text: &str) -> Option<String> {
    let text = text.to_lowercase();
    // A pattern cannot hold a zero, and no name does.
    if text.contains('\0') || text.chars().count() > LONGEST {
        return None;
    }
    let mut pattern = String::with_capacity(text.len() * 2);
    for character in text.chars() {
        if character.is_ascii_punctuation() {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    Some(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_behind_every_text_with_the_prefix() {
        assert_eq!(starting_with(""), doc! { "$gte": "" });
        assert_eq!(starting_with("a"), doc! { "$gte": "a", "$lt": "b" });
        let raised = doc! { "$gte": "a\u{10FFFF}", "$lt": "b" };
        assert_eq!(starting_with("a\u{10FFFF}"), raised);
        let stepped = doc! { "$gte": "\u{D7FF}", "$lt": "\u{E000}" };
        assert_eq!(starting_with("\u{D7FF}"), stepped);
        let endless = doc! { "$gte": "\u{10FFFF}" };
        assert_eq!(starting_with("\u{10FFFF}"), endless);
    }

    #[test]
    fn nothing_is_special_in_a_pattern() {
        assert_eq!(containing("a.Ö\\E").unwrap(), "a\\.ö\\\\e");
        assert_eq!(containing("a\0"), None);
        assert_eq!(containing(&"x".repeat(LONGEST + 1)), None);
    }
}
