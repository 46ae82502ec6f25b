//! Finding users by name: ranges of the index, and patterns in which nothing is special.

use mongodb::bson::{Document, doc};
use talksy_domain::search::fold_key;

/// The longest text that may be part of a name: a folded one is cut there.
const LONGEST: usize = 64 * 3;

/// Name keys that start with the prefix, as a range. MongoDB sorts texts by their UTF-8 bytes, and
/// so by their characters: the range ends at the prefix with its last character raised, or nowhere
/// where none can be. A server that sorts texts by UTF-16 unit has others in that range, if only
/// with characters beyond the basic plane; so the pattern says it again.
pub(super) fn starting_with(prefix: &str) -> Document {
    let mut range = doc! { "$gte": prefix };
    if let Some(pattern) = literally(prefix) {
        range.insert("$regex", format!("^{pattern}"));
    }
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

/// A pattern for name keys that contain the text, folded; `None` where none can.
pub(super) fn containing(text: &str) -> Option<String> {
    literally(&fold_key(text))
}

/// A pattern for the text itself.
fn literally(text: &str) -> Option<String> {
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
        for (prefix, end) in [
            ("", None),
            ("a", Some("b")),
            ("a\u{10FFFF}", Some("b")),
            // Between the two lie the surrogates.
            ("\u{D7FF}", Some("\u{E000}")),
            ("\u{10FFFF}", None),
        ] {
            let range = starting_with(prefix);
            assert_eq!(range.get_str("$gte").ok(), Some(prefix));
            assert_eq!(range.get_str("$lt").ok(), end);
            assert_eq!(range.get_str("$regex").unwrap(), format!("^{prefix}"));
        }
        assert_eq!(starting_with("a.").get_str("$regex").unwrap(), "^a\\.");
        assert!(!starting_with("a\0").contains_key("$regex"));
    }

    #[test]
    fn nothing_is_special_in_a_pattern() {
        assert_eq!(containing("a.Ö\\E").unwrap(), "a\\.o\\\\e");
        assert_eq!(containing("a\0"), None);
        assert_eq!(literally(&"x".repeat(LONGEST + 1)), None);
    }
}
