//! The words of a text.
//!
//! Words end where Unicode says (UAX #29), and at every ASCII character that is no letter or digit but
//! an apostrophe, which is left out: `isn't` is `isnt`, `example.com` two words. Each emoji is a word.
//!
//! Scripts that leave no spaces between words (Han, kana, Hangul, which does but with endings, Thai,
//! Lao, Khmer, Myanmar) are indexed by pairs of neighbours: 日本語 is 日本, 本語 and 語. The last
//! character stands alone, so that each character is the beginning of a word.

use std::collections::BTreeSet;

use unicode_segmentation::UnicodeSegmentation as _;

use super::fold::fold;
use crate::id::{self, UserId};

/// The most words of one message that are indexed, each counted once: the first of them.
pub const MAX_WORDS: usize = 1_000;

/// The most characters of a word, folded. What is longer is indexed as if it ended there.
pub const MAX_WORD_CHARS: usize = 64;

/// A part of a folded text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A word, an emoji.
    Word(String),
    /// Characters of a script without spaces, one behind the other.
    Run(Vec<char>),
}

/// The words of a text, folded, each once, in the order of their characters; the first
/// [`MAX_WORDS`] of the text. No word has a space, nor an ASCII character that is no lower-case letter
/// or digit.
pub fn words(text: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut add = |word: String| {
        if found.len() < MAX_WORDS {
            found.insert(word);
        }
    };
    for piece in pieces(&fold(text)) {
        match piece {
            Piece::Word(word) => add(cut(word)),
            Piece::Run(run) => {
                run.windows(2).for_each(|pair| add(pair.iter().collect()));
                if let Some(&last) = run.last() {
                    add(last.into());
                }
            }
        }
    }
    found.into_iter().collect()
}

/// The word that stores keep with all messages of a sender, so that a search of theirs is one for a
/// word more. No text has it.
pub fn sender_word(sender: UserId) -> String {
    format!("@{:x}", u128::from_be_bytes(id::bytes(sender)))
}

/// The word as it is indexed.
fn cut(mut word: String) -> String {
    if let Some((end, _)) = word.char_indices().nth(MAX_WORD_CHARS) {
        word.truncate(end);
    }
    word
}

/// The pieces of a folded text, in their order.
pub(super) fn pieces(folded: &str) -> Vec<Piece> {
    let mut found = Pieces::default();
    for segment in folded.split_word_bounds() {
        // A run goes on over the bounds that Unicode sees in it, a word does not.
        found.end_word();
        segment.chars().for_each(|c| found.put(c));
    }
    found.end_word();
    found.end_run();
    found.all
}

#[derive(Default)]
struct Pieces {
    all: Vec<Piece>,
    word: String,
    run: Vec<char>,
}

impl Pieces {
    fn put(&mut self, c: char) {
        match c {
            '\'' | '’' => {}
            c if is_unspaced(c) => {
                self.end_word();
                self.run.push(c);
            }
            c if is_pictograph(c) => {
                self.end_word();
                self.end_run();
                self.all.push(Piece::Word(c.into()));
            }
            c if is_part_of_word(c) => {
                self.end_run();
                self.word.push(c);
            }
            _ => {
                self.end_word();
                self.end_run();
            }
        }
    }

    fn end_word(&mut self) {
        if !self.word.is_empty() {
            self.all.push(Piece::Word(std::mem::take(&mut self.word)));
        }
    }

    fn end_run(&mut self) {
        if !self.run.is_empty() {
            self.all.push(Piece::Run(std::mem::take(&mut self.run)));
        }
    }
}

/// Letters, digits, the signs that folding has left with them, and the letters of flags.
fn is_part_of_word(c: char) -> bool {
    c.is_alphanumeric()
        || matches!(c, '\u{1F1E6}'..='\u{1F1FF}')
        || (!c.is_ascii() && unicode_normalization::char::is_combining_mark(c))
}

/// Arrows, technical signs, dingbats and emoji.
fn is_pictograph(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{23FF}' | '\u{25A0}'..='\u{27BF}' | '\u{2900}'..='\u{297F}'
        | '\u{2B00}'..='\u{2BFF}' | '\u{1F000}'..='\u{1F0FF}' | '\u{1F170}'..='\u{1F19F}'
        | '\u{1F300}'..='\u{1FBFF}')
}

/// Letters of scripts without spaces between words, and signs of them.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        // Thai and Lao, Myanmar, Hangul, Khmer.
        '\u{E01}'..='\u{E3A}' | '\u{E40}'..='\u{E4E}' | '\u{E81}'..='\u{ECE}' | '\u{EDC}'..='\u{EDF}'
        | '\u{1000}'..='\u{103F}' | '\u{1050}'..='\u{108F}' | '\u{AA60}'..='\u{AA7F}' | '\u{A9E0}'..='\u{A9FE}'
        | '\u{1100}'..='\u{11FF}' | '\u{3130}'..='\u{318F}' | '\u{A960}'..='\u{A97F}' | '\u{AC00}'..='\u{D7FF}'
        | '\u{1780}'..='\u{17D3}' | '\u{17DC}' | '\u{17DD}'
        // Kana with their marks, Bopomofo, Han.
        | '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{309F}' | '\u{30A1}'..='\u{30FA}' | '\u{30FC}'..='\u{30FF}'
        | '\u{31F0}'..='\u{31FF}' | '\u{3105}'..='\u{312F}' | '\u{31A0}'..='\u{31BF}'
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{1AFF0}'..='\u{1B16F}' | '\u{20000}'..='\u{3FFFD}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        words(text)
    }

    #[test]
    fn words_end_where_readers_see_it() {
        for (text, found) in [
            ("Hello, wide  world!", &["hello", "wide", "world"][..]),
            ("it isn't, isn’t it", &["isnt", "it"]),
            ("see example.com/a_b", &["a", "b", "com", "example", "see"]),
            ("3.14 and 1,000", &["000", "1", "14", "3", "and"]),
            ("café CAFÉ", &["cafe"]),
            ("日本語", &["日本", "本語", "語"]),
            ("猫", &["猫"]),
            ("東京tower", &["tower", "京", "東京"]),
            ("ｶﾞﾗｽ", &["ガラ", "ス", "ラス"]),
            ("한국어", &["국어", "어", "한국"]),
            ("ถนน", &["ถน", "น", "นน"]),
            ("👍🏽👩‍💻 ok", &["ok", "👍", "👩", "💻"]),
            ("🇩🇪", &["🇩🇪"]),
            ("שלום עולם", &["עולם", "שלום"]),
            ("مَرْحَبًا", &["مرحبا"]),
            ("संस्कृति", &["संस्कृति"]),
            ("!!! … —", &[]),
        ] {
            assert_eq!(of(text), found, "{text}");
        }
    }

    #[test]
    fn no_message_has_more_words_than_the_bound_and_none_is_longer() {
        let many: Vec<String> = (0..1_500).map(|n| n.to_string()).collect();
        assert_eq!(of(&many.join(" ")).len(), MAX_WORDS);
        assert_eq!(of(&"x".repeat(4_000)), ["x".repeat(MAX_WORD_CHARS)]);
        let marks = format!("a{} b", "\u{301}\u{20DD}".repeat(2_000));
        assert_eq!(of(&marks), ["a", "b"]);
        let signs = of(&format!("か{}", "\u{3099}".repeat(3_999)));
        assert!(signs.len() < 5, "{signs:?}");
    }
}
