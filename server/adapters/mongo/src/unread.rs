//! Unread counts.
//!
//! Numbers are dense, so that what lies between a read mark (or where the member joined, if that is
//! later) and a chat's head is a difference. From it goes what is no news to the user: their own messages, and those that were deleted or that
//! nobody sent. These are counted in the index on (chat, knownTo, seq) alone: a member who has not
//! read for a year costs as little as one who has.

use std::collections::HashMap;

use mongodb::bson::doc;
use serde::Deserialize;
use talksy_domain::chats::{Chat, Member};
use talksy_domain::id::{self, ChatId, UserId};

use super::call::Call;
use super::documents::{MESSAGES, NOBODY, Stored, key, parse_all};
use super::fault::{Fault, Why};
use super::{heads, members};

/// How many messages of a chat unread counts leave out.
#[derive(Deserialize)]
struct ExcludedDocument {
    #[serde(rename = "_id")]
    chat_id: mongodb::bson::Uuid,
    excluded: u32,
}

impl Stored for ExcludedDocument {
    type Value = (ChatId, u32);
    const COLLECTION: &'static str = MESSAGES;

    fn name(_: &mongodb::bson::raw::RawDocument) -> String {
        "a count of messages".to_owned()
    }

    fn value(self) -> Result<(ChatId, u32), Why> {
        Ok((id::from_bytes(self.chat_id.bytes()), self.excluded))
    }
}

/// Of each of these chats of which the user is a member, how many messages are unread.
pub(super) async fn counts(
    call: &Call,
    user: UserId,
    chats: &[ChatId],
) -> Result<Vec<(ChatId, u32)>, Fault> {
    let (members, chats) = tokio::try_join!(
        members::of_user(call, user, chats),
        heads::chats(call, chats)
    )?;
    let chats: HashMap<ChatId, Chat> = chats.into_iter().map(|chat| (chat.id, chat)).collect();
    let last_seq = |member: &Member| {
        let chat = chats.get(&member.chat_id);
        chat.map_or(0, |chat| chat.last_seq)
    };
    let ranges: Vec<_> = members
        .iter()
        .filter(|member| last_seq(member) > member.unread_base())
        .map(|member| {
            doc! {
                "chatId": key(id::bytes(member.chat_id)),
                "knownTo": { "$in": [key(id::bytes(user)), NOBODY] },
                "seq": {
                    "$gt": i64::from(member.unread_base()),
                    "$lte": i64::from(last_seq(member)),
                },
            }
        })
        .collect();
    let excluded = excluded(call, ranges).await?;
    Ok(members
        .iter()
        .map(|member| {
            let above = last_seq(member).saturating_sub(member.unread_base());
            let excluded = excluded.get(&member.chat_id).copied();
            (
                member.chat_id,
                above.saturating_sub(excluded.unwrap_or_default()),
            )
        })
        .collect())
}

async fn excluded(
    call: &Call,
    ranges: Vec<mongodb::bson::Document>,
) -> Result<HashMap<ChatId, u32>, Fault> {
    if ranges.is_empty() {
        return Ok(HashMap::new());
    }
    let pipeline = [
        doc! { "$match": { "$or": ranges } },
        doc! { "$group": { "_id": "$chatId", "excluded": { "$sum": 1 } } },
    ];
    let found = call.aggregate(MESSAGES, pipeline).await?;
    Ok(parse_all::<ExcludedDocument>(&found).into_iter().collect())
}
