//! What memberships that have ended are still good for: the chats that a user has left, what they
//! could read there, and the versions of all that they have or had. A membership that has ended keeps its document.

use mongodb::bson::{RawDocument, RawDocumentBuf, Uuid, doc};
use serde::Deserialize;
use talksy_domain::chats::Participation;
use talksy_domain::id::{self, ChatId, UserId};
use talksy_domain::seq::Seq;

use super::call::Call;
use super::commands::Shape;
use super::documents::{self, ChatOfMember, MEMBERS, MemberDocument, Stored, field, key, keys};
use super::fault::{Fault, Why};

/// Of a membership that has ended, the chat and where that was.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeftChat {
    chat_id: Uuid,
    #[serde(default)]
    left_seq: i64,
}

impl Stored for LeftChat {
    type Value = (ChatId, Seq);
    const COLLECTION: &'static str = MEMBERS;

    fn name(_: &RawDocument) -> String {
        "a membership that has ended".to_owned()
    }

    fn value(self) -> Result<(ChatId, Seq), Why> {
        let left_seq = Seq::try_from(self.left_seq).unwrap_or_default();
        Ok((id::from_bytes(self.chat_id.bytes()), left_seq))
    }
}

/// The sum of the versions of a user's memberships.
#[derive(Deserialize)]
struct VersionSum {
    #[serde(rename = "_id")]
    user_id: Uuid,
    sum: i64,
}

impl Stored for VersionSum {
    type Value = (UserId, u64);
    const COLLECTION: &'static str = MEMBERS;

    fn name(_: &RawDocument) -> String {
        "a sum of versions".to_owned()
    }

    fn value(self) -> Result<(UserId, u64), Why> {
        let sum = u64::try_from(self.sum).unwrap_or_default();
        Ok((id::from_bytes(self.user_id.bytes()), sum))
    }
}

/// From the index on (user, v).
pub(super) async fn versions(call: &Call, users: &[UserId]) -> Result<Vec<(UserId, u64)>, Fault> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let pipeline = [
        doc! { "$match": { "userId": { "$in": keys(users, id::bytes) } } },
        doc! { "$project": { "_id": 0, "userId": 1, "v": 1 } },
        doc! { "$group": { "_id": "$userId", "sum": { "$sum": "$v" } } },
    ];
    let found = call.aggregate(MEMBERS, pipeline).await?;
    Ok(documents::parse_all::<VersionSum>(&found))
}

/// A walk of the index on (user, active, chat), in one document.
pub(super) async fn of(call: &Call, user: UserId) -> Result<Vec<(ChatId, Seq)>, Fault> {
    let filter = doc! { "userId": key(id::bytes(user)), "active": false };
    call.gather::<LeftChat>(filter, &["chatId", "leftSeq"])
        .await
}

/// Two walks of the same index, by chat, merged by the server.
pub(super) async fn ever_of(
    call: &Call,
    user: UserId,
    after: Option<ChatId>,
    wanted: usize,
) -> Result<Vec<ChatId>, Fault> {
    let mut filter = doc! {
        "userId": key(id::bytes(user)),
        "active": { "$in": [false, true] },
    };
    if let Some(after) = after {
        filter.insert("chatId", doc! { "$gt": key(id::bytes(after)) });
    }
    let shape = Shape {
        sort: Some(doc! { "chatId": 1 }),
        fields: Some(doc! { "_id": 0, "chatId": 1 }),
        ..Shape::default()
    };
    call.find_first::<ChatOfMember>(filter, shape, wanted).await
}

/// From the index on (chat, user).
pub(super) async fn participations(
    call: &Call,
    user: UserId,
    chats: &[ChatId],
) -> Result<Vec<Participation>, Fault> {
    if chats.is_empty() {
        return Ok(Vec::new());
    }
    let filter = doc! {
        "userId": key(id::bytes(user)),
        "chatId": { "$in": keys(chats, id::bytes) },
    };
    let found = call.find_raw(MEMBERS, filter, Shape::default()).await?;
    let participation = |raw: &RawDocumentBuf| {
        let member = documents::parse_all::<MemberDocument>(std::slice::from_ref(raw)).pop()?;
        // Where it is not known to last, it has ended, before all messages where it is not known when.
        let left_seq = match field(raw, "active") {
            Some(true) => None,
            Some(false) | None => Some(field(raw, "leftSeq").unwrap_or_default()),
        };
        Some(Participation { member, left_seq })
    };
    Ok(found.iter().filter_map(participation).collect())
}
