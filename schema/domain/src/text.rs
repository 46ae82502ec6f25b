//! The rules that human text must keep, shared by the newtypes that hold it.

use unicode_normalization::char::is_combining_mark;

use crate::error::Invalid;

/// The most combining marks that stand on one character of a line. The scripts in use put up to
/// three there, Tibetan now and then four; more of them paint over the lines above and below.
const MAX_MARKS: usize = 4;

/// How a kind of text may look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextRule {
    /// The argument's name, for the error.
    pub(crate) field: &'static str,
    /// The most Unicode scalar values it may have.
    pub(crate) max_chars: usize,
    /// Whether line breaks and tabs are part of it.
    pub(crate) multi_line: bool,
}

impl TextRule {
    /// Checks length and characters.
    ///
    /// # Errors
    /// [`Invalid`] for text that is too long, or holds a control character; for one line also where
    /// it holds one that begins a new line or paragraph, one that reverses the reading direction of what
    /// follows it (which lets a name pose as another), or more than [`MAX_MARKS`] combining marks in a row.
    pub(crate) fn check(&self, text: &str) -> Result<(), Invalid> {
        // A scalar value takes at most four bytes: a huge text is refused without counting it.
        if text.len() > self.max_chars * 4 || text.chars().count() > self.max_chars {
            let rule = format!("must be at most {} characters long", self.max_chars);
            return Err(Invalid::new(self.field, rule));
        }
        if let Some(c) = text.chars().find(|&c| self.forbids(c)) {
            let rule = format!(
                "must not contain the control character U+{:04X}",
                u32::from(c)
            );
            return Err(Invalid::new(self.field, rule));
        }
        if !self.multi_line && text.chars().any(exceeds_marks()) {
            let rule = format!("must have at most {MAX_MARKS} combining marks on one character");
            return Err(Invalid::new(self.field, rule));
        }
        Ok(())
    }

    /// As much of the text as may be shown on a line: what is forbidden becomes a space, and what
    /// is too much is left out.
    pub(crate) fn visible_part(&self, text: &str) -> String {
        let mut exceeds = exceeds_marks();
        text.chars()
            .map(|c| if self.forbids(c) { ' ' } else { c })
            .filter(|&c| !exceeds(c))
            .take(self.max_chars)
            .collect()
    }

    /// Whether text of this kind may not contain the character.
    pub(crate) fn forbids(&self, c: char) -> bool {
        match c {
            '\n' | '\r' | '\t' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => {
                !self.multi_line
            }
            c => c.is_control(),
        }
    }
}

/// Asked of each character of a text in turn: whether it is a combining mark behind
/// [`MAX_MARKS`] others in a row.
fn exceeds_marks() -> impl FnMut(char) -> bool {
    let mut in_a_row = 0_usize;
    move |c| {
        in_a_row = if is_combining_mark(c) {
            in_a_row.saturating_add(1)
        } else {
            0
        };
        in_a_row > MAX_MARKS
    }
}

/// Whether a reader sees nothing of the text: white space, and the characters that are drawn
/// with no ink (zero-width ones, joiners, fillers, the byte order mark).
pub(crate) fn is_blank(text: &str) -> bool {
    text.chars().all(is_invisible)
}

/// Whether a reader sees nothing of the character.
pub(crate) fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '\u{AD}'
                | '\u{34F}'
                | '\u{61C}'
                | '\u{115F}'
                | '\u{1160}'
                | '\u{17B4}'
                | '\u{17B5}'
                | '\u{180B}'..='\u{180F}'
                | '\u{200B}'..='\u{200F}'
                | '\u{2060}'..='\u{206F}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{FE00}'..='\u{FE0F}'
                | '\u{FEFF}'
                | '\u{FFA0}'
        )
}

/// The rule of search texts: at most 100 characters.
pub(crate) fn check_search(search: Option<&str>) -> Result<(), Invalid> {
    match search {
        Some(text) if text.chars().take(101).count() > 100 => Err(Invalid::new(
            "search",
            "must be at most 100 characters long",
        )),
        _ => Ok(()),
    }
}
