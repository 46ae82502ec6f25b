//! Counts a document's tokens and its deepest bracket without allocating, so that a hostile text
//! never reaches the recursive parser. Knows the lexical grammar of GraphQL and nothing else.

/// Deepest nesting of brackets of any kind. The parser recurses on them.
pub(super) const MAX_NESTING: usize = 64;

/// Longest name or number, in bytes. The longer a name is that the schema does not know, the longer
/// one that is like it is looked for.
pub(super) const MAX_WORD: usize = 512;

/// May stand wherever a blank may.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Why a text is not worth parsing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LexError {
    /// It has more tokens than allowed.
    TooManyTokens,
    /// Its brackets are nested more than [`MAX_NESTING`] deep.
    TooDeep,
    /// A name or a number is longer than [`MAX_WORD`].
    LongWord,
    /// A string starts at this byte and never ends. Refused here, because the parser would take
    /// an open block string for an empty string and go on inside it.
    OpenString(usize),
}

/// A token, as far as the structure of a document hangs on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A bracket that opens.
    Open(u8),
    /// A bracket that closes.
    Close(u8),
    /// Three dots.
    Dots,
    /// A name or a number.
    Word(&'a str),
    /// Anything else.
    Other,
}

/// Counts the tokens of `text`.
///
/// # Errors
/// See [`LexError`].
#[cfg(test)]
pub(super) fn scan(text: &str, max_tokens: usize) -> Result<usize, LexError> {
    scan_with(text, max_tokens, |_| {})
}

/// Counts the tokens of `text`, and tells of each.
///
/// # Errors
/// See [`LexError`].
pub(super) fn scan_with<'a>(
    text: &'a str,
    max_tokens: usize,
    mut tell: impl FnMut(Token<'a>),
) -> Result<usize, LexError> {
    let bytes = text.as_bytes();
    let mut tokens = 0_usize;
    let mut nesting = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let token = match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' => {
                at += 1;
                continue;
            }
            0xEF if bytes[at..].starts_with(BYTE_ORDER_MARK) => {
                at += BYTE_ORDER_MARK.len();
                continue;
            }
            b'#' => {
                at = skip_while(bytes, at, |b| b != b'\n' && b != b'\r');
                continue;
            }
            b'"' => {
                at = string_end(bytes, at).ok_or(LexError::OpenString(at))?;
                Token::Other
            }
            b'{' | b'[' | b'(' => {
                nesting += 1;
                if nesting > MAX_NESTING {
                    return Err(LexError::TooDeep);
                }
                at += 1;
                Token::Open(byte)
            }
            b'}' | b']' | b')' => {
                nesting = nesting.saturating_sub(1);
                at += 1;
                Token::Close(byte)
            }
            b'.' => {
                let start = at;
                at = skip_while(bytes, at, |b| b == b'.');
                // One is that of a number.
                if at - start == 3 {
                    Token::Dots
                } else {
                    Token::Other
                }
            }
            _ if is_word(byte) => {
                let end = skip_while(bytes, at, is_word);
                let word = text.get(at..end).unwrap_or_default();
                tokens += glued(word.as_bytes());
                if tokens < max_tokens && word.len() > MAX_WORD {
                    return Err(LexError::LongWord);
                }
                at = end;
                Token::Word(word)
            }
            _ => {
                at += 1;
                Token::Other
            }
        };
        tokens += 1;
        if tokens > max_tokens {
            return Err(LexError::TooManyTokens);
        }
        tell(token);
    }
    Ok(tokens)
}

/// Names and numbers: one token a run, but for [`glued`] ones.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// How many tokens a word holds beyond its first. The parser, unlike the specification, wants
/// nothing between `0`, `true`, `false` or `null` and the next value: it reads `000` as three.
fn glued(mut word: &[u8]) -> usize {
    let mut count = 0;
    while let Some(rest) = ["0", "true", "false", "null"]
        .iter()
        .find_map(|value| word.strip_prefix(value.as_bytes()))
        .filter(|rest| !rest.is_empty())
    {
        count += 1;
        word = rest;
    }
    count
}

fn skip_while(bytes: &[u8], mut at: usize, mut keep: impl FnMut(u8) -> bool) -> usize {
    while bytes.get(at).is_some_and(|byte| keep(*byte)) {
        at += 1;
    }
    at
}

/// The place after the string that starts at `at`, or nothing where it does not end.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes[at..].starts_with(b"\"\"\"") {
        let mut at = at + 3;
        while at < bytes.len() {
            if bytes[at..].starts_with(b"\\\"\"\"") {
                at += 4;
            } else if bytes[at..].starts_with(b"\"\"\"") {
                return Some(at + 3);
            } else {
                at += 1;
            }
        }
        return None;
    }
    let mut at = at + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\n' | b'\r' => return None,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_counted_as_the_grammar_has_them() {
        assert_eq!(scan("", 10), Ok(0));
        assert_eq!(scan("{ me { id, name } } # { { {", 10), Ok(7));
        assert_eq!(
            scan("query Q($a: [Int!] = [1, -2.5e3]) { f(a: $a) ...F }", 100),
            Ok(30)
        );
        assert_eq!(
            scan(r#"{ a(b: "x \" { {", c: """ " { \""" { """) }"#, 100),
            Ok(11)
        );
        assert_eq!(scan("{ a }", 2), Err(LexError::TooManyTokens));
    }

    #[test]
    fn nesting_is_bounded_whatever_the_bracket() {
        for open in ["{", "[", "(", "{a(b:[{c:"] {
            assert_eq!(
                scan(&open.repeat(10_000), 1_000_000),
                Err(LexError::TooDeep),
                "{open}"
            );
        }
        assert_eq!(scan(&"{".repeat(MAX_NESTING), 1_000), Ok(MAX_NESTING));
        assert_eq!(scan(&"[]".repeat(1_000), 10_000), Ok(2_000));
    }

    #[test]
    fn words_are_no_longer_than_they_may_be() {
        for letter in ["a", "_", "9"] {
            assert_eq!(scan(&letter.repeat(MAX_WORD), 10), Ok(1), "{letter}");
            let long = letter.repeat(MAX_WORD + 1);
            assert_eq!(scan(&long, 10), Err(LexError::LongWord), "{letter}");
        }
        // What is many values in one is counted as that.
        assert_eq!(scan(&"0".repeat(600), 10), Err(LexError::TooManyTokens));
        let text = format!("{{a(b: \"{}\")}} # {}", "x".repeat(600), "y".repeat(600));
        assert_eq!(scan(&text, 10), Ok(8));
    }

    #[test]
    fn an_open_string_hides_no_brackets() {
        assert_eq!(
            scan("{ a(b: \"\"\"[[[\" [[[) }", 100),
            Err(LexError::OpenString(7))
        );
        assert_eq!(
            scan("{ a(b: \"[[\n[[\") }", 100),
            Err(LexError::OpenString(7))
        );
        assert_eq!(scan("\"\\", 100), Err(LexError::OpenString(0)));
    }
}
