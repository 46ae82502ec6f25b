//! Syntax errors as a sentence. The parser's own message is a drawing of several lines.

use async_graphql::parser::Error;

/// Longest part of the document that is told back, in characters.
const SHOWN: usize = 24;

/// What the parser calls the end of a document.
const END: &str = "EOI";

/// What is wrong with the document, on one line.
pub(super) fn sentence(text: &str, error: &Error) -> String {
    let message = error.to_string();
    let Error::Syntax { start, .. } = error else {
        return format!(
            "The document is not GraphQL: {}.",
            message.trim_end_matches('.')
        );
    };
    // The last line of the drawing says what was expected: `  = expected selection`.
    let last = message.lines().last().unwrap_or_default().trim();
    let problem = last.strip_prefix("= ").unwrap_or(last);
    let problem = problem.trim_end_matches('.');
    let problem = problem
        .replace(END, "the end of the document")
        .replace('_', " ");
    let line = text.lines().nth(start.line.saturating_sub(1));
    let rest: String = line
        .unwrap_or_default()
        .chars()
        .skip(start.column.saturating_sub(1))
        .collect();
    let found: String = rest
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .chars()
        .take(SHOWN)
        .collect();
    let found = if found.is_empty() {
        "the line ends".to_owned()
    } else {
        format!("there is `{found}`")
    };
    let (line, column) = (start.line, start.column);
    format!("Syntax error at line {line}, column {column}, where {found}: {problem}.")
}
