//! Bringing the database up to date, by any number of instances at the same time: each step is
//! harmless twice, and the version is raised last.

use mongodb::bson::raw::RawDocument;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::ErrorKind;
use serde::Deserialize;
use talksy_domain::error::PortError;

use super::call::Call;
use super::commands::Shape;
use super::documents::{CHATS, MEMBERS, META, SESSIONS, Stored};
use super::fault::{Fault, Why};
use super::{indexes, search};

/// The newest schema version that this release knows.
///
/// - 1: the first.
/// - 2: groups. Members say whether they still are; chats say what was applied and claimed.
/// - 3: refresh tokens have a generation. Sessions keep the current one and the one before.
/// - 4: messages have words for searches, and names are folded. A job makes what is lacking.
/// - 5: among these words are what tells the sender and that there is a text. The same job.
const VERSION: i64 = 5;

/// How many documents a step that goes part by part looks at in one command.
const PART: i64 = 1_000;

/// The oldest server that will do, as its users know it.
const OLDEST_SERVER: i32 = 5;

/// The codes of `Unauthorized`, `AuthenticationFailed` and Atlas' own refusal.
const FORBIDDEN: [i32; 3] = [13, 18, 8000];

/// Why the database could not be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// It is not there at present. Try again.
    #[error(transparent)]
    Unavailable(PortError),
    /// It is there, and is being brought up to date. Ask again, however long it takes.
    #[error("at work on its {step}, which may take long")]
    Working {
        /// What is being done.
        step: String,
    },
    /// The user or password is wrong, or may not do what is needed.
    #[error(
        "MongoDB refuses the credentials of the store URL, or they lack the `readWrite` role on \
         the database"
    )]
    Credentials,
    /// It is older than MongoDB 5.0.
    #[error("the store needs MongoDB {OLDEST_SERVER}.0 or newer, but {found}")]
    ServerTooOld {
        /// What the server says it is.
        found: String,
    },
    /// It was written by a newer release. It was not changed.
    #[error(
        "the database has schema version {found}, but this release knows only up to {VERSION}; \
         run a newer one"
    )]
    Newer {
        /// The database's version.
        found: i64,
    },
    /// The server or the URL's options do not allow it, or what is there contradicts it.
    #[error("the database cannot be used")]
    Refused(#[source] PortError),
}

impl PrepareError {
    /// Whether trying again may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Working { .. })
    }

    /// Whether it goes on by itself, so that no time is too long for it.
    pub fn is_working(&self) -> bool {
        matches!(self, Self::Working { .. })
    }
}

impl From<Fault> for PrepareError {
    fn from(fault: Fault) -> Self {
        if let Fault::Driver(error) = &fault {
            match &*error.kind {
                ErrorKind::Authentication { .. } => return Self::Credentials,
                ErrorKind::ServerSelection { message, .. }
                | ErrorKind::InvalidResponse { message, .. }
                    if message.contains("wire version") =>
                {
                    return Self::ServerTooOld {
                        found: "the server speaks an older protocol".to_owned(),
                    };
                }
                ErrorKind::InvalidArgument { .. }
                | ErrorKind::InvalidTlsConfig { .. }
                | ErrorKind::IncompatibleServer { .. } => return Self::Refused(fault.into()),
                _ => {}
            }
        }
        if fault.code().is_some_and(|code| FORBIDDEN.contains(&code)) {
            return Self::Credentials;
        }
        // `CannotCreateIndex`, `IndexOptionsConflict`, `IndexKeySpecsConflict`.
        let conflicts = fault
            .code()
            .is_some_and(|code| [67, 85, 86].contains(&code));
        match PortError::from(fault) {
            error @ PortError::Corrupt { .. } => Self::Refused(error),
            error if conflicts => Self::Refused(error),
            error => Self::Unavailable(error),
        }
    }
}

/// What the database says of itself.
#[derive(Deserialize)]
struct SchemaDocument {
    version: i64,
}

impl Stored for SchemaDocument {
    type Value = i64;
    const COLLECTION: &'static str = META;

    fn name(_: &RawDocument) -> String {
        "the schema version".to_owned()
    }

    fn value(self) -> Result<i64, Why> {
        Ok(self.version)
    }
}

/// Checks, and changes nothing. The database's schema version, 0 where it has none yet.
pub(super) async fn check(call: &Call) -> Result<i64, PrepareError> {
    let build = call.command(doc! { "buildInfo": 1 }).await?;
    check_server(&build)?;
    let found = call
        .find_one::<SchemaDocument>(doc! { "_id": "schema" }, Shape::default())
        .await?
        .unwrap_or_default();
    if found > VERSION {
        return Err(PrepareError::Newer { found });
    }
    Ok(found)
}

/// Makes of a database of the version `found` one of this release.
pub(super) async fn bring_up_to_date(call: &Call, found: i64) -> Result<(), PrepareError> {
    indexes::create(call).await?;
    if found < VERSION {
        // Steps from an older version to the next, each harmless where it was done before.
        if found == 1 {
            call.inner.preparing.note("documents of schema version 1");
            to_2(call).await?;
        }
        if (1..3).contains(&found) {
            call.inner.preparing.note("sessions of earlier versions");
            to_3(call).await?;
        }
        if found > 0 {
            search::ask_for_job(call).await?;
        }
        let update = doc! { "$max": { "version": VERSION } };
        call.upsert_one(META, doc! { "_id": "schema" }, update)
            .await?;
    }
    Ok(())
}

/// All members of before are members of direct chats, in which nothing was ever changed. Messages
/// that lack what version 2 has are read as never changed, which they are.
async fn to_2(call: &Call) -> Result<(), Fault> {
    let member = doc! {
        "active": true,
        "joinedSeq": 0_i64,
        "visibleFromSeq": 1_i64,
        "at": 0_i64,
        "muted": false,
        "v": 1_i64,
    };
    let lacking = doc! { "active": { "$exists": false } };
    call.update_many(MEMBERS, lacking, doc! { "$set": member })
        .await?;
    let chat = doc! { "appliedSeq": 0_i64, "lastChangeSeq": 0_i64, "claimedSeq": 0_i64 };
    let lacking = doc! { "claimedSeq": { "$exists": false } };
    let update = doc! { "$set": chat, "$unset": { "membershipEpoch": "" } };
    call.update_many(CHATS, lacking, update).await?;
    indexes::drop_former(call).await
}

/// The refresh tokens of before name no generation and are not read any more, so that nobody can go
/// on with their sessions. They go part by part, by their ids: one command over all would not end in
/// time where there are many.
async fn to_3(call: &Call) -> Result<(), Fault> {
    let mut part = doc! {};
    loop {
        let shape = Shape {
            sort: Some(doc! { "_id": 1 }),
            limit: Some(PART),
            fields: Some(doc! { "_id": 1 }),
            ..Shape::default()
        };
        let found = call.find_raw(SESSIONS, part, shape).await?;
        let Some(last) = found.last() else {
            return Ok(());
        };
        let last = id_of(last)?;
        let ids: Vec<Bson> = found
            .iter()
            .map(|raw| id_of(raw))
            .collect::<Result<_, _>>()?;
        let before = doc! { "_id": { "$in": ids }, "generation": { "$exists": false } };
        call.delete(SESSIONS, before).await?;
        part = doc! { "_id": { "$gt": last } };
    }
}

fn id_of(raw: &RawDocument) -> Result<Bson, Fault> {
    let id = raw.get("_id").map(|id| id.map(Bson::try_from));
    match id {
        Ok(Some(Ok(id))) => Ok(id),
        Ok(Some(Err(error))) | Err(error) => Err(Fault::document("a session's id", error.into())),
        Ok(None) => Ok(Bson::Null),
    }
}

fn check_server(build: &Document) -> Result<(), PrepareError> {
    let version = build.get_str("version").unwrap_or("unknown");
    let major = version
        .split('.')
        .next()
        .and_then(|part| part.parse::<i32>().ok());
    if major.is_none_or(|major| major < OLDEST_SERVER) {
        return Err(PrepareError::ServerTooOld {
            found: format!("the server is version {version}"),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_server_is_named() {
        assert!(check_server(&doc! { "version": "5.0.0" }).is_ok());
        assert!(check_server(&doc! { "version": "10.1.2-rc0" }).is_ok());
        let refused = check_server(&doc! { "version": "4.4.29" }).unwrap_err();
        assert!(!refused.is_transient());
        assert_eq!(
            refused.to_string(),
            "the store needs MongoDB 5.0 or newer, but the server is version 4.4.29"
        );
    }
}
