//! Names that are too long, and arguments that are too many: what is compared with all its like.

use super::super::lexer::MAX_WORD;
use super::super::measure::MAX_ARGUMENTS;
use super::*;

#[test]
fn names_and_numbers_are_no_longer_than_they_may_be() {
    let guard = guard();
    let word = "a".repeat(MAX_WORD);
    passes(&guard, &format!("{{ {word} f(a: {word}) }}"));
    let number = "9".repeat(MAX_WORD + 1);
    too_complex(&guard, &format!("{{ f(a: {number}) }}"), "512 bytes");
    too_complex(&guard, &format!("{{ f(a: -0.{number}) }}"), "512 bytes");
    let long = "a".repeat(MAX_WORD + 1);
    for text in [
        format!("{{ {long} }}"),
        format!("{{ f(a: {long}) }}"),
        format!("{{ {long}: a }}"),
        format!("query {long} {{ a }}"),
        format!("query(${long}: I) {{ a }}"),
        format!("{{ ...{long} }}"),
        format!("{{ a @{long} }}"),
    ] {
        too_complex(&guard, &text, "512 bytes");
    }
    // Texts may be as long as the document.
    passes(&guard, &format!("{{ f(a: \"{}\") }}", "a".repeat(30_000)));
}

#[test]
fn a_field_has_no_more_arguments_than_are_compared_quickly() {
    let guard = guard();
    let arguments = |count: usize| {
        (0..count).fold(String::new(), |mut text, n| {
            let _ = write!(text, "a{n}: 1 ");
            text
        })
    };
    passes(&guard, &format!("{{ f({}) }}", arguments(MAX_ARGUMENTS)));
    let many = arguments(MAX_ARGUMENTS + 1);
    for text in [
        format!("{{ f({many}) }}"),
        format!("{{ x {{ ... on T {{ f({many}) {{ y }} }} }} }}"),
        format!("{{ x }} fragment F on T {{ f({many}) }}"),
    ] {
        too_complex(&guard, &text, "32 arguments");
    }
}
