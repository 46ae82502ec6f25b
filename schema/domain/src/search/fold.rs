//! Folding: what searches take for the same.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::canonical_combining_class;

use crate::text::is_invisible;

/// The most characters of a folded name or title: more than any that people write folds to.
const MAX_KEY_CHARS: usize = 192;

/// The text as searches compare it: without case, without diacritics, and without differences of form
/// such as width and ligatures. Compatibility decomposition (NFKD), of which the marks are dropped that
/// change how a letter sounds but not which one it is; full case mappings, down, up and down, so that
/// `ß` is `ss` and every sigma one; then what is left is composed (NFC), for the sake of Hangul.
///
/// Signs that are letters of their own stay: the vowels and the virama of India's scripts, the vowels of
/// Thai, the voice marks of kana. Characters that nobody sees and skin tones are dropped. Folding what
/// was folded changes nothing.
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        let is_folded = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        return if is_folded {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(text.to_ascii_lowercase())
        };
    }
    let plain = text.nfkd().filter(|&c| !is_dropped(c));
    // Capitals that have none above them come down first, such as that of `ß`.
    let raised = plain
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase);
    let lowered = raised.flat_map(char::to_lowercase);
    // Letters with a case may be made of others, which have marks again.
    let plain = lowered.nfkd().filter(|&c| !is_dropped(c));
    Cow::Owned(plain.nfc().collect())
}

/// By what names and titles are ordered and searched: the folded text, cut at 192 characters.
pub fn fold_key(text: &str) -> String {
    let folded = fold(text);
    match folded.char_indices().nth(MAX_KEY_CHARS) {
        Some((end, _)) => folded.get(..end).unwrap_or_default().to_owned(),
        None => folded.into_owned(),
    }
}

/// Whether the character goes where a text is folded.
fn is_dropped(c: char) -> bool {
    match c {
        // Variation selectors, joiners and the like; spaces part words.
        c if c.is_whitespace() => false,
        // The keycap and others that enclose, skin tones, tags, further variation selectors.
        '\u{488}'
        | '\u{489}'
        | '\u{20DD}'..='\u{20E0}'
        | '\u{20E2}'..='\u{20E4}'
        | '\u{A670}'..='\u{A672}'
        | '\u{1F3FB}'..='\u{1F3FF}'
        | '\u{E0000}'..='\u{E0FFF}' => true,
        // 0: no diacritic. 8: voice marks of kana. 9: viramas.
        c => is_invisible(c) || !matches!(canonical_combining_class(c), 0 | 8 | 9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_diacritics_and_forms_are_folded() {
        for (text, folded) in [
            ("José", "jose"),
            ("JOSE\u{301}", "jose"),
            ("Straße", "strasse"),
            ("ΣΊΣΥΦΟΣ", "σισυφοσ"),
            ("σίσυφος", "σισυφοσ"),
            ("İstanbul", "istanbul"),
            ("Ｆｕｌｌ", "full"),
            ("ﬁn", "fin"),
            ("שָׁלוֹם", "שלום"),
            ("Ångström Nguyễn", "angstrom nguyen"),
            ("한국어", "한국어"),
            ("ガ", "ガ"),
            ("ｶﾞ", "ガ"),
            ("👍🏽", "👍"),
            ("की", "की"),
            ("ё Й", "е и"),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
    }

    #[test]
    fn folding_again_changes_nothing() {
        // Beyond are ideographs, private characters and tags. Of the many on the way some will do.
        let all = ('\0'..='\u{33FF}').chain('\u{A000}'..='\u{ABFF}');
        let all = all.chain(('\u{AC00}'..='\u{F8FF}').step_by(97));
        for c in all.chain('\u{F900}'..='\u{1FAFF}') {
            let text = format!("{c} a{c}b か{c}\u{301}");
            let once = fold(&text).into_owned();
            assert_eq!(fold(&once), once, "{text:?} {:04X}", u32::from(c));
        }
    }

    #[test]
    fn a_flood_of_marks_is_dropped_and_keys_are_cut() {
        assert_eq!(fold(&format!("a{}", "\u{301}".repeat(4_000))), "a");
        assert_eq!(fold_key(&"\u{FDFA}".repeat(64)).chars().count(), 192);
    }
}
