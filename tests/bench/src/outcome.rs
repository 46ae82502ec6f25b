//! Errors for people to read: a sentence, with what it came from behind a colon.

use std::error::Error;
use std::fmt::Display;

/// What went wrong.
pub(super) type Failure = Box<dyn Error + Send + Sync>;

/// Something, or why there is none.
pub(super) type Outcome<T> = Result<T, Failure>;

/// Says what was being done when something failed.
pub(super) trait Context<T> {
    /// Puts `what` before the error.
    fn context(self, what: impl Display) -> Outcome<T>;
}

impl<T, E: Display> Context<T> for Result<T, E> {
    fn context(self, what: impl Display) -> Outcome<T> {
        self.map_err(|error| format!("{what}: {error}").into())
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, what: impl Display) -> Outcome<T> {
        self.ok_or_else(|| what.to_string().into())
    }
}
