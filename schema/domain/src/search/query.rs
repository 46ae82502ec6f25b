//! What a search asks for.

use super::fold::fold;
use super::words::{MAX_WORD_CHARS, Piece, pieces};
use crate::error::Invalid;

/// A word that a hit has to have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    /// The word, folded.
    pub text: String,
    /// Whether words that begin with it will do.
    pub is_prefix: bool,
}

impl Term {
    /// Whether this word will do.
    pub fn matches(&self, word: &str) -> bool {
        if self.is_prefix {
            word.starts_with(&self.text)
        } else {
            word == self.text
        }
    }
}

/// The words of a query: all must match, the last one as the beginning of a word. At most 200
/// characters and 32 words.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SearchQuery {
    terms: Vec<Term>,
}

impl SearchQuery {
    /// The most characters that a query may have.
    pub const MAX_CHARS: usize = 200;
    /// The most words.
    pub const MAX_WORDS: usize = 32;
    const FIELD: &str = "query";

    /// Parses a query.
    ///
    /// # Errors
    /// [`Invalid`] for the field `query`, where it is too long, has no word, has too many, or one that
    /// is longer than what is indexed.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = |rule: String| Invalid::new(Self::FIELD, rule);
        if text.len() > Self::MAX_CHARS * 4 || text.chars().count() > Self::MAX_CHARS {
            let rule = format!("must be at most {} characters long", Self::MAX_CHARS);
            return Err(invalid(rule));
        }
        let pieces = pieces(&fold(text));
        let last = pieces.len().saturating_sub(1);
        let mut terms = Vec::new();
        for (place, piece) in pieces.into_iter().enumerate() {
            match piece {
                Piece::Word(text) => {
                    if text.chars().count() > MAX_WORD_CHARS {
                        let rule =
                            format!("must have no word of more than {MAX_WORD_CHARS} characters");
                        return Err(invalid(rule));
                    }
                    terms.push(Term {
                        text,
                        is_prefix: place == last,
                    });
                }
                Piece::Run(run) => terms.extend(of_run(&run)),
            }
        }
        let terms = distinct(terms);
        if terms.is_empty() {
            let rule = "must have a word: letters, digits or emoji";
            return Err(Invalid::new(Self::FIELD, rule));
        }
        if terms.len() > Self::MAX_WORDS {
            let rule = format!(
                "must have at most {} words; in scripts without spaces each pair of characters is one",
                Self::MAX_WORDS
            );
            return Err(invalid(rule));
        }
        Ok(Self { terms })
    }

    /// The words, each once, those ahead that few messages have as a rule: whole ones, longest first.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Whether these are the words of a hit.
    pub fn matches(&self, words: &[String]) -> bool {
        let is_there = |term: &Term| words.iter().any(|word| term.matches(word));
        self.terms.iter().all(is_there)
    }
}

/// The pairs of a run. A single character is found wherever it stands.
fn of_run(run: &[char]) -> Vec<Term> {
    let term = |text: String, is_prefix| Term { text, is_prefix };
    match run {
        [one] => vec![term((*one).into(), true)],
        run => {
            let pairs = run.windows(2).map(|pair| pair.iter().collect());
            pairs.map(|pair| term(pair, false)).collect()
        }
    }
}

/// Each word once, ordered by how few messages they find. A word that begins another says nothing.
fn distinct(mut terms: Vec<Term>) -> Vec<Term> {
    terms.sort_by_key(|term| (term.is_prefix, std::cmp::Reverse(term.text.chars().count())));
    let mut kept: Vec<Term> = Vec::with_capacity(terms.len());
    for term in terms {
        let is_implied =
            |other: &Term| *other == term || (term.is_prefix && other.text.starts_with(&term.text));
        if !kept.iter().any(is_implied) {
            kept.push(term);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use unicode_segmentation::UnicodeSegmentation as _;

    use super::*;
    use crate::search::words::words;

    fn query(text: &str) -> SearchQuery {
        SearchQuery::parse(text).unwrap()
    }

    #[test]
    fn all_words_must_match_and_the_last_one_as_a_prefix() {
        let words = words("The quick Brown fox, jumping over a café in 東京都");
        for found in [
            "quick",
            "qu",
            "FOX quick",
            "brown jum",
            "CAFÉ",
            "the the",
            "cafe 東京",
            "京都",
            "京",
            "jumping ",
            "都 quick",
        ] {
            assert!(query(found).matches(&words), "{found}");
        }
        for missed in ["qu fox", "quicker", "cat", "quick dog", "都東"] {
            assert!(!query(missed).matches(&words), "{missed}");
        }
    }

    #[test]
    fn queries_keep_their_rules() {
        let rule = |text: &str| {
            let error = SearchQuery::parse(text).unwrap_err();
            assert_eq!(error.field, "query");
            error.rule
        };
        let many = |n: usize| {
            (10..10 + n)
                .map(|n| format!("{n}"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert!(rule(&"x".repeat(201)).contains("at most 200 characters"));
        assert!(rule("").contains("must have a word"));
        assert!(rule(" \u{301}… !").contains("must have a word"));
        assert!(rule(&many(33)).contains("at most 32 words"));
        assert!(rule(&"x".repeat(65)).contains("more than 64 characters"));
        assert!(SearchQuery::parse(&many(32)).is_ok());
        assert!(SearchQuery::parse(&"x".repeat(64)).is_ok());
        assert!(SearchQuery::parse(&"😀".repeat(200)).is_ok());
    }

    /// Texts of many scripts, made of characters that are hard on tokenizers.
    #[test]
    fn what_begins_at_a_word_of_a_text_finds_the_text() {
        const PARTS: &[&str] = &[
            "hello",
            "Größe",
            "naïve",
            "e\u{301}\u{323}",
            "日本語",
            "東",
            "カタカナ",
            "ｶﾞ",
            "한국",
            "ไทย",
            "שָׁלוֹם",
            "مَرْحَبًا",
            "संस्कृति",
            "👍🏽",
            "👩‍💻",
            "🇩🇪",
            "1,000.5",
            "isn't",
            "a_b",
            "ﬁ",
            "ΣΊΣΥΦΟΣ",
            "İ",
            "\u{FDFA}",
            "x\u{200D}y",
            "\u{202E}rtl",
            "ß",
            "foo-bar",
            "C++",
            "①",
            "Å",
            "ǅ",
            "\u{1F468}\u{200D}\u{1F469}",
        ];
        const GAPS: &[&str] = &[" ", ", ", "\n", " — ", "…", "  "];
        let mut state = 7_u64;
        let mut draw = |most: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            usize::try_from(state >> 33).unwrap() % most
        };
        for _ in 0..3_000 {
            let mut text = String::new();
            let mut starts = Vec::new();
            for _ in 0..=draw(6) {
                starts.push(text.len());
                text.push_str(PARTS[draw(PARTS.len())]);
                text.push_str(GAPS[draw(GAPS.len())]);
            }
            let all = words(&text);
            assert_eq!(all, words(&text), "the same text has the same words");
            let start = starts[draw(starts.len())];
            let rest = &text[start..];
            // Who types ends with a whole character as readers see it.
            let length = 1 + draw(rest.graphemes(true).count());
            let part: String = rest.graphemes(true).take(length).collect();
            match SearchQuery::parse(&part) {
                Ok(query) => assert!(
                    query.matches(&all),
                    "{part:?} of {text:?}: {query:?} {all:?}"
                ),
                Err(error) => assert!(error.rule.contains("must have a word"), "{part:?}"),
            }
        }
    }
}
