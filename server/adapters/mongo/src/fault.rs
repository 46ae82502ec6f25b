//! What can go wrong inside the store, and the one place where it becomes a [`PortError`].

use std::error::Error as StdError;
use std::fmt;

use mongodb::error::{Error as DriverError, ErrorKind, RETRYABLE_WRITE_ERROR, WriteFailure};
use talksy_domain::error::PortError;

use super::indexes;

/// The name under which failures of this store are reported.
const BACKEND: &str = "store";

/// The server's code for a value that a unique index has already.
pub(super) const DUPLICATE_KEY: i32 = 11_000;

/// Codes that say that a command itself is wrong, so that trying again cannot help: `BadValue`,
/// `FailedToParse`, `TypeMismatch`, `CommandNotFound`, `InvalidOptions`, `CommandNotSupported`,
/// `DocumentValidationFailure`, `NotImplemented`, `BSONObjectTooLarge`.
const DEFECTS: [i32; 9] = [2, 9, 14, 59, 72, 115, 121, 238, 10_334];

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
        refusal_of(error).map(|(code, _)| code)
    }

    /// The name of the unique index that has the value already, where that is the failure. Empty
    /// where it cannot be told.
    pub(super) fn duplicate(&self) -> Option<String> {
        let Self::Driver(error) = self else {
            return None;
        };
        let (code, message) = refusal_of(error)?;
        (code == DUPLICATE_KEY).then(|| index_name(message).to_owned())
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

    /// Whether a write that failed so may have been carried out, or be carried out still.
    pub(super) fn is_unsettled(&self) -> bool {
        let Self::Driver(error) = self else {
            return false;
        };
        match &*error.kind {
            ErrorKind::Io(_) => true,
            ErrorKind::InsertMany(failure) if failure.write_concern_error.is_some() => true,
            _ => error.contains_label(RETRYABLE_WRITE_ERROR),
        }
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

/// The code and the wording of the server's refusal. Of an insert of several documents, of the
/// first that was refused; but a write that was not confirmed may have been carried out, which
/// says more than what was refused behind it.
fn refusal_of(error: &DriverError) -> Option<(i32, &str)> {
    match &*error.kind {
        ErrorKind::Write(WriteFailure::WriteError(error)) => Some((error.code, &error.message)),
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => {
            Some((error.code, &error.message))
        }
        ErrorKind::InsertMany(failure) => {
            if let Some(error) = &failure.write_concern_error {
                return Some((error.code, &error.message));
            }
            let first = failure.write_errors.iter().flatten().next()?;
            Some((first.code, &first.message))
        }
        ErrorKind::Command(error) => Some((error.code, &error.message)),
        _ => None,
    }
}

/// The name of the unique index of ours that a duplicate key's wording tells, by the name that we
/// gave it or the one that a server makes of its fields. Empty where none is told for sure: then
/// the caller asks the store.
///
/// The wording is all that there is: of a write error the driver keeps code and message only, and
/// drops `keyPattern`. Each server that speaks the protocol has its own; what they have in common
/// is the word "index" ahead of the name. What follows a brace are values, in which users may have
/// written anything.
fn index_name(message: &str) -> &'static str {
    let ahead_of_values = message.split('{').next().unwrap_or_default();
    let mut words = ahead_of_values
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        if word.eq_ignore_ascii_case("index") {
            return words.next().and_then(indexes::unique_by_name).unwrap_or("");
        }
    }
    ""
}

/// The driver's error on one line, without what documents hold: that may be personal.
fn describe(error: &DriverError) -> String {
    let unconfirmed = match &*error.kind {
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => Some(error),
        ErrorKind::InsertMany(failure) => failure.write_concern_error.as_ref(),
        _ => None,
    };
    if let Some(error) = unconfirmed {
        return format!("the write was not confirmed: {}", error.message);
    }
    match refusal_of(error) {
        Some((code, message)) => refusal(code, message),
        None => error.kind.to_string(),
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
    use mongodb::bson::{Document, deserialize_from_document, doc};
    use mongodb::error::{CommandError, InsertManyError, WriteError};

    use super::*;

    /// What servers say of a value that the index on (chat, seq) has already.
    const TAKEN: [&str; 7] = [
        // mongod 5 to 8, mongo-java-server
        "E11000 duplicate key error collection: talksy.messages index: by_seq dup key: { chatId: UUID(\"01\"), seq: 7 }",
        // mongod, with a collation
        "E11000 duplicate key error collection: talksy.messages index: by_seq collation: { locale: \"en\" } dup key: { seq: 7 }",
        // A database and a dedup key that are named to mislead
        "E11000 duplicate key error collection: by_dedup.index_messages index: by_seq dup key: { dedup: \" index: by_dedup dup key\" }",
        // Amazon DocumentDB
        "E11000 duplicate key error collection: talksy.messages index: by_seq",
        // DocumentDB for PostgreSQL, FerretDB 2
        "Duplicate key violation on the requested collection: Index 'by_seq'",
        // An index that is named by its fields
        "E11000 duplicate key error collection: talksy.messages index: chatId_1_seq_1 dup key: { : 7 }",
        "duplicate key, Index: chatId_1_seq_1",
    ];

    /// What does not say which index it is.
    const UNTOLD: [&str; 5] = [
        // Azure Cosmos DB
        "E11000 duplicate key error collection: talksy.messages. Failed _id or unique index constraint.",
        // FerretDB 1
        "E11000 duplicate key error collection: talksy.messages",
        // PostgreSQL's own
        "duplicate key value violates unique constraint \"messages_by_seq_5a7b_idx\" Key (dedup)=(by_seq)",
        "E11000 duplicate key error collection: talksy.messages dup key: { dedup: \"index: by_seq\" }",
        "",
    ];

    fn write_error(code: i32, message: &str) -> Document {
        doc! { "index": 2, "code": code, "errmsg": message }
    }

    fn one(code: i32, message: &str) -> Fault {
        let error: WriteError = deserialize_from_document(write_error(code, message)).unwrap();
        Fault::Driver(ErrorKind::Write(WriteFailure::WriteError(error)).into())
    }

    fn many(reply: Document) -> Fault {
        let error: InsertManyError = deserialize_from_document(reply).unwrap();
        Fault::Driver(ErrorKind::InsertMany(error).into())
    }

    fn several(code: i32, message: &str) -> Fault {
        many(doc! { "writeErrors": [write_error(code, message)] })
    }

    fn is_transient(fault: Fault) -> bool {
        matches!(PortError::from(fault), PortError::Unavailable { .. })
    }

    #[test]
    fn a_duplicate_is_told_by_its_index_however_a_server_words_it() {
        for message in TAKEN {
            let index = Some("by_seq".to_owned());
            assert_eq!(one(DUPLICATE_KEY, message).duplicate(), index, "{message}");
            let at = several(DUPLICATE_KEY, message).refused_at();
            assert_eq!(at, Some((2, "by_seq".to_owned())), "{message}");
        }
        let id =
            "E11000 duplicate key error collection: talksy.users index: _id_ dup key: { _id: 1 }";
        assert_eq!(index_name(id), "_id_");
    }

    #[test]
    fn an_index_that_is_not_told_is_not_guessed() {
        for message in UNTOLD {
            assert_eq!(index_name(message), "", "{message}");
            let at = several(DUPLICATE_KEY, message).refused_at();
            assert_eq!(at, Some((2, String::new())), "{message}");
        }
    }

    #[test]
    fn what_a_duplicate_held_is_not_described() {
        let message = "E11000 duplicate key error collection: talksy.users index: by_email dup key: { email: \"ada@example.org\" }";
        for fault in [one(DUPLICATE_KEY, message), several(DUPLICATE_KEY, message)] {
            let told = "the unique index `by_email` has the value already";
            assert_eq!(fault.to_string(), told);
        }
    }

    #[test]
    fn what_trying_again_cannot_help_is_told_from_what_it_can() {
        let command = |code: i32| {
            let error = doc! { "code": code, "codeName": "NotImplemented", "errmsg": "no" };
            let error: CommandError = deserialize_from_document(error).unwrap();
            Fault::Driver(ErrorKind::Command(error).into())
        };
        for code in DEFECTS {
            assert!(!is_transient(command(code)), "{code}");
            assert!(!is_transient(one(code, "no")), "{code}");
            assert!(!is_transient(several(code, "no")), "{code}");
        }
        // `InterruptedDueToReplStateChange`.
        for fault in [command(11_602), one(11_602, "no"), several(11_602, "no")] {
            assert!(is_transient(fault));
        }
        // What was not confirmed may have been carried out, whatever was refused behind it.
        let unconfirmed = many(doc! {
            "writeErrors": [write_error(2, "no")],
            "writeConcernError": { "code": 64, "codeName": "WriteConcernFailed", "errmsg": "late" },
        });
        assert_eq!(unconfirmed.refused_at(), None);
        assert!(unconfirmed.is_unsettled());
        assert!(!several(2, "no").is_unsettled());
        assert_eq!(unconfirmed.to_string(), "the write was not confirmed: late");
        assert!(is_transient(unconfirmed));
    }
}
