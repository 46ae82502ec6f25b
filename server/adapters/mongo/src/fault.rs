//! What can go wrong inside the store, and the one place where it becomes a [`PortError`].

use std::error::Error as StdError;
use std::fmt;

use mongodb::error::{Error as DriverError, ErrorKind, WriteFailure};
use talksy_domain::error::PortError;

/// The name under which failures of this store are reported.
const BACKEND: &str = "store";

/// The server's code for a value that a unique index has already.
pub(super) const DUPLICATE_KEY: i32 = 11_000;

/// Codes that say that a command itself is wrong, so that trying again cannot help: `BadValue`,
/// `FailedToParse`, `TypeMismatch`, `CommandNotFound`, `InvalidOptions`, `CommandNotSupported`.
const DEFECTS: [i32; 6] = [2, 9, 14, 59, 72, 115];

/// A failure inside the store.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The driver's or the server's refusal.
    #[error("{}", describe(.0))]
    Driver(DriverError),
    /// A document does not parse.
    #[error("{what} does not parse")]
    Document {
        /// Which document, by its collection and id.
        what: String,
        /// Why not.
        #[source]
        why: Why,
    },
    /// What was sent together failed.
    #[error("the message was not confirmed")]
    NotCommitted(#[source] PortError),
    /// The server refused one of several writes, with this code.
    #[error("the server refused a write ({0})")]
    Refused(i32),
    /// The majority has not confirmed a write in time.
    #[error("the write was not confirmed")]
    Unconfirmed,
    /// A task of the driver panicked. The panic hook has reported where.
    #[error("the store's code panicked")]
    Panicked,
    /// Too many commands, or sends to one chat, are on their way.
    #[error("too much work is waiting")]
    Busy,
    /// Other writers were faster each time.
    #[error("other writers were faster every time")]
    Contended,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The answer did not come in time.
    #[error("the answer took too long")]
    TimedOut,
}

/// Why a document does not parse.
pub(super) type Why = Box<dyn StdError + Send + Sync>;

impl From<DriverError> for Fault {
    fn from(error: DriverError) -> Self {
        Self::Driver(error)
    }
}

impl From<Fault> for PortError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Document { what, why } => Self::corrupt(what, why),
            Fault::NotCommitted(error) => error,
            fault if fault.is_defect() => Self::corrupt(BACKEND, fault),
            fault => Self::unavailable(BACKEND, fault),
        }
    }
}

impl Fault {
    /// The document of `what` does not parse.
    pub(super) fn document(what: impl fmt::Display, why: Why) -> Self {
        Self::Document {
            what: what.to_string(),
            why,
        }
    }

    /// The code of the server's answer, where it has answered.
    pub(super) fn code(&self) -> Option<i32> {
        let Self::Driver(error) = self else {
            return None;
        };
        match &*error.kind {
            ErrorKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
            ErrorKind::Write(WriteFailure::WriteConcernError(error)) => Some(error.code),
            ErrorKind::Command(error) => Some(error.code),
            _ => None,
        }
    }

    /// The name of the unique index that has the value already, where that is the failure. Empty
    /// where the server does not say.
    pub(super) fn duplicate(&self) -> Option<String> {
        if self.code() != Some(DUPLICATE_KEY) {
            return None;
        }
        let Self::Driver(error) = self else {
            return None;
        };
        let message = match &*error.kind {
            ErrorKind::Write(WriteFailure::WriteError(error)) => &error.message,
            ErrorKind::Command(error) => &error.message,
            _ => return None,
        };
        Some(index_name(message).to_owned())
    }

    /// Of an ordered insert of several documents, which was the first that a unique index refused,
    /// and the index's name. `None` where the failure is another, or those ahead of it were not
    /// confirmed.
    pub(super) fn refused_at(&self) -> Option<(usize, String)> {
        let Self::Driver(error) = self else {
            return None;
        };
        let ErrorKind::InsertMany(failure) = &*error.kind else {
            return None;
        };
        let first = failure.write_errors.as_ref()?.first()?;
        let is_certain = failure.write_concern_error.is_none() && first.code == DUPLICATE_KEY;
        is_certain.then(|| (first.index, index_name(&first.message).to_owned()))
    }

    /// Whether trying again cannot help.
    fn is_defect(&self) -> bool {
        let serialization =
            matches!(self, Self::Driver(error) if matches!(&*error.kind, ErrorKind::Bson(_)));
        serialization
            || self.duplicate().is_some()
            || self.code().is_some_and(|code| DEFECTS.contains(&code))
    }
}

/// `E11000 duplicate key error collection: talksy.messages index: by_seq dup key: { … }`
fn index_name(message: &str) -> &str {
    let behind = message.split_once(" index: ").map(|(_, rest)| rest);
    behind
        .and_then(|rest| rest.split_once(" dup key"))
        .map_or("", |(name, _)| name.trim())
}

/// The driver's error on one line, without what documents hold: that may be personal.
fn describe(error: &DriverError) -> String {
    match &*error.kind {
        ErrorKind::Write(WriteFailure::WriteError(error)) => refusal(error.code, &error.message),
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => {
            format!("the write was not confirmed: {}", error.message)
        }
        ErrorKind::InsertMany(failure) => {
            match (&failure.write_errors, &failure.write_concern_error) {
                (_, Some(error)) => format!("the write was not confirmed: {}", error.message),
                (errors, None) => errors
                    .iter()
                    .flatten()
                    .next()
                    .map(|error| refusal(error.code, &error.message))
                    .unwrap_or_default(),
            }
        }
        ErrorKind::Command(error) => refusal(error.code, &error.message),
        kind => kind.to_string(),
    }
}

fn refusal(code: i32, message: &str) -> String {
    if code == DUPLICATE_KEY {
        let name = index_name(message);
        return format!("the unique index `{name}` has the value already");
    }
    format!("the server refused ({code}): {message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicate_is_told_by_its_index_and_nothing_else() {
        for message in [
            "E11000 duplicate key error collection: talksy.users index: by_email dup key: { email: \"ada@example.org\" }",
            "E11000 duplicate key error collection: talksy.users index: by_email dup key: { : \" index: x dup key\" }",
        ] {
            assert_eq!(index_name(message), "by_email");
            assert!(!refusal(DUPLICATE_KEY, message).contains("ada"));
        }
        assert_eq!(index_name("something else"), "");
    }
}
