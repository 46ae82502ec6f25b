//! Documents as the domain's values. One that does not parse is reported by its collection and id,
//! and harms no other: what people wrote gets a stand-in, messages and members keep their place.
//!
//! Ids are UUIDs, times are BSON dates (milliseconds), enums and texts their names in the schema.
//! What is absent is left out, never null.

mod attachments;
mod blocks;
mod chats;
mod jobs;
mod members;
mod messages;
mod moderation;
mod reactions;
mod sessions;
mod users;

use mongodb::bson::raw::{RawBsonRef, RawDocument};
use mongodb::bson::{
    Bson, DateTime, RawDocumentBuf, Uuid, deserialize_from_bson, deserialize_from_slice,
};
use serde::de::DeserializeOwned;
use talksy_domain::clock::Timestamp;
use talksy_domain::damage;
use talksy_domain::page::Window;

use super::fault::{Fault, Why};

pub(super) use attachments::{AttachmentDocument, advance_of, attachment_state};
pub(super) use blocks::{BlockList, BlockMark, BlocksDocument};
pub(super) use chats::{
    ChatDocument, KeptChat, TitleDocument, TitleSource, TitledChat, group_key, pair_key,
};
pub(super) use jobs::{JobDocument, state_name, update_of};
pub(super) use members::{ChatOfMember, MemberDocument, UserOfMember};
pub(super) use messages::{
    MessageDocument, NOBODY, Place, PlaceDocument, Tail, TailDocument, dedup, user_keys,
};
pub(super) use moderation::{
    AuditDocument, ReportDocument, SuspensionDocument, open_slot, report_slot, report_state,
};
pub(super) use reactions::{
    KeptReaction, ReactionDocument, Toggle, Toggled, ToggledDocument, place,
};
pub(super) use sessions::{SessionDocument, binary};
pub(super) use users::{UserDocument, UserKey};

/// Users.
pub(super) const USERS: &str = "users";
/// Sessions with their refresh tokens.
pub(super) const SESSIONS: &str = "sessions";
/// Chats.
pub(super) const CHATS: &str = "chats";
/// Members of chats.
pub(super) const MEMBERS: &str = "members";
/// Messages.
pub(super) const MESSAGES: &str = "messages";
/// Who has reacted to messages.
pub(super) const REACTIONS: &str = "reactions";
/// What attachments are.
pub(super) const ATTACHMENTS: &str = "attachments";
/// Whom users have blocked.
pub(super) const BLOCKS: &str = "blocks";
/// Durable jobs.
pub(super) const JOBS: &str = "jobs";
/// What users have reported.
pub(super) const REPORTS: &str = "reports";
/// Accounts that may not be used.
pub(super) const SUSPENSIONS: &str = "suspensions";
/// What operators did.
pub(super) const AUDIT_LOG: &str = "auditLog";
/// Where earlier releases had what are repair jobs now; see `repair`.
pub(super) const FORMER_NOTES: &str = "repairNotes";
/// What the database itself is: its schema version, its incarnation.
pub(super) const META: &str = "meta";

/// A document of some collection, or a part of one.
pub(super) trait Stored: DeserializeOwned {
    /// What it means to the domain.
    type Value: Send + 'static;
    /// Where it is kept.
    const COLLECTION: &'static str;

    /// The document's name for people: its kind and id.
    fn name(raw: &RawDocument) -> String;

    /// The domain's value.
    fn value(self) -> Result<Self::Value, Why>;

    /// What stands in for a document that does not parse; `None` where nothing can be made of it.
    fn stand_in(_raw: &RawDocument) -> Option<Self::Value> {
        None
    }
}

/// Parses a document, or makes of it what can be made.
pub(super) fn parse<S: Stored>(raw: &RawDocument) -> Result<S::Value, Fault> {
    let document = deserialize_from_slice::<S>(raw.as_bytes()).map_err(Why::from);
    document.and_then(S::value).or_else(|why| {
        let what = format!("{} in collection `{}`", S::name(raw), S::COLLECTION);
        let Some(value) = S::stand_in(raw) else {
            return Err(Fault::document(what, why));
        };
        damage::stood_in_for(what);
        Ok(value)
    })
}

/// Parses documents. One of which nothing can be made is left out.
pub(super) fn parse_all<S: Stored>(raw: &[RawDocumentBuf]) -> Vec<S::Value> {
    raw.iter()
        .filter_map(|raw| match parse::<S>(raw) {
            Ok(value) => Some(value),
            Err(Fault::Document { what, .. }) => {
                damage::left_out(what);
                None
            }
            Err(_) => None,
        })
        .collect()
}

/// A field of a document that does not parse as a whole; `None` where it is not there or does not
/// parse either.
pub(super) fn field<T: DeserializeOwned>(raw: &RawDocument, name: &str) -> Option<T> {
    let value = Bson::try_from(raw.get(name).ok()??).ok()?;
    deserialize_from_bson(value).ok()
}

/// An instant in such a document; the start of time where there is none.
fn some_instant(raw: &RawDocument, name: &str) -> Timestamp {
    field(raw, name).map_or(Timestamp::from_millis(0), instant)
}

/// An id in such a document, of as many bytes as there are.
pub(super) fn id_bytes(raw: &RawDocument, name: &str) -> [u8; 16] {
    let mut id = [0; 16];
    let bytes = match raw.get(name) {
        Ok(Some(RawBsonRef::Binary(binary))) => binary.bytes.to_vec(),
        Ok(Some(RawBsonRef::ObjectId(object))) => object.bytes().to_vec(),
        Ok(Some(RawBsonRef::String(text))) => text.as_bytes().to_vec(),
        _ => Vec::new(),
    };
    id.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    id
}

/// An id as documents keep it.
pub(super) fn key(bytes: [u8; 16]) -> Uuid {
    Uuid::from_bytes(bytes)
}

/// Ids as the values of `$in`, each once, in order: neighbours in an index are read together.
pub(super) fn keys<I: Copy>(ids: &[I], bytes: impl Fn(I) -> [u8; 16]) -> Vec<Uuid> {
    let mut keys: Vec<[u8; 16]> = ids.iter().map(|&id| bytes(id)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().map(Uuid::from_bytes).collect()
}

/// An instant as documents keep it.
pub(super) fn date(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.as_millis())
}

/// An instant that a document keeps.
pub(super) fn instant(date: DateTime) -> Timestamp {
    Timestamp::from_millis(date.timestamp_millis())
}

/// A value as it stands in queries and updates.
pub(super) fn bson(value: &impl serde::Serialize) -> Result<Bson, Fault> {
    let value = mongodb::bson::serialize_to_bson(value);
    value.map_err(|error| Fault::Driver(error.into()))
}

/// A size as a query's limit.
pub(super) fn limit(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// How many documents tell whether there are more than the window wants.
pub(super) fn overread<C>(window: &Window<C>) -> usize {
    window.limit.saturating_add(1)
}

/// An id in a document that may be damaged, as people know it.
pub(super) fn id_text(raw: &RawDocument, field: &str, text: impl Fn([u8; 16]) -> String) -> String {
    let value = raw.get(field).ok().flatten();
    if let Some(RawBsonRef::Binary(binary)) = value
        && let Ok(bytes) = binary.bytes.try_into()
    {
        return text(bytes);
    }
    value.map_or_else(|| "without an id".to_owned(), |value| format!("{value:?}"))
}
