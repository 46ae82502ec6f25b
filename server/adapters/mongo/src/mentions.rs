//! Unread mentions: counted in the index on (chat, who is mentioned, number), which has no entry for a
//! message that mentions nobody. An edit changes the message's list, and a deletion takes it away.

use std::collections::HashMap;

use mongodb::bson::doc;
use mongodb::bson::raw::RawDocument;
use serde::Deserialize;
use talksy_domain::id::{self, ChatId, UserId};

use super::call::Call;
use super::documents::{MESSAGES, Stored, key, parse_all};
use super::fault::{Fault, Why};
use super::members;

/// How many messages of a chat mention somebody.
#[derive(Deserialize)]
struct CountDocument {
    #[serde(rename = "_id")]
    chat_id: mongodb::bson::Uuid,
    mentions: u32,
}

impl Stored for CountDocument {
    type Value = (ChatId, u32);
    const COLLECTION: &'static str = MESSAGES;

    fn name(_: &RawDocument) -> String {
        "a count of mentions".to_owned()
    }

    fn value(self) -> Result<(ChatId, u32), Why> {
        Ok((id::from_bytes(self.chat_id.bytes()), self.mentions))
    }
}

/// Of each of these chats of which the user is a member, how many unread messages mention them.
pub(super) async fn counts(
    call: &Call,
    user: UserId,
    chats: &[ChatId],
) -> Result<Vec<(ChatId, u32)>, Fault> {
    let members = members::of_user(call, user, chats).await?;
    if members.is_empty() {
        return Ok(Vec::new());
    }
    let who = key(id::bytes(user));
    let ranges: Vec<_> = members
        .iter()
        .map(|member| {
            doc! {
                "chatId": key(id::bytes(member.chat_id)),
                "mentionIds": who,
                "seq": { "$gt": i64::from(member.unread_base()) },
                // One's own message is no news.
                "senderId": { "$ne": who },
            }
        })
        .collect();
    let pipeline = [
        doc! { "$match": { "$or": ranges } },
        doc! { "$group": { "_id": "$chatId", "mentions": { "$sum": 1 } } },
    ];
    let found = call.aggregate(MESSAGES, pipeline).await?;
    let counts: HashMap<_, _> = parse_all::<CountDocument>(&found).into_iter().collect();
    Ok(members
        .iter()
        .map(|member| {
            let count = counts.get(&member.chat_id).copied();
            (member.chat_id, count.unwrap_or_default())
        })
        .collect())
}
