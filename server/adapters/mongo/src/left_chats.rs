//! What memberships that have ended are still good for: the chats that a user has left, and the
//! versions of all that they have or had. A membership that has ended keeps its document.

use mongodb::bson::{RawDocument, Uuid, doc};
use serde::Deserialize;
use talksy_domain::id::{self, ChatId, UserId};
use talksy_domain::seq::Seq;

use super::call::Call;
use super::documents::{self, MEMBERS, Stored, key, keys};
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
