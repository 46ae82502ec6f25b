//! The chats that a user has left. A membership that has ended keeps its document.

use mongodb::bson::{RawDocument, Uuid, doc};
use serde::Deserialize;
use talksy_domain::id::{self, ChatId, UserId};
use talksy_domain::seq::Seq;

use super::call::Call;
use super::commands::Shape;
use super::documents::{MEMBERS, Stored, key};
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

/// A walk of the index on (user, active, chat).
pub(super) async fn of(call: &Call, user: UserId) -> Result<Vec<(ChatId, Seq)>, Fault> {
    let shape = Shape {
        fields: Some(doc! { "_id": 0, "chatId": 1, "leftSeq": 1 }),
        ..Shape::default()
    };
    let filter = doc! { "userId": key(id::bytes(user)), "active": false };
    call.find::<LeftChat>(filter, shape).await
}
