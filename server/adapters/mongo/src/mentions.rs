//! Unread mentions: counted in the index on (chat, who is mentioned, number), which has no entry for a
//! message that mentions nobody. An edit changes the message's list, and a deletion takes it away.

use std::collections::HashMap;

use futures_util::future::try_join_all;
use mongodb::bson::raw::RawDocument;
use mongodb::bson::{Document, doc};
use serde::Deserialize;
use talksy_domain::chats::{Member, UnreadMentions};
use talksy_domain::id::{self, ChatId, UserId};

use super::call::Call;
use super::documents::{MESSAGES, Stored, key, parse_all};
use super::fault::{Fault, Why};
use super::members;

/// How many users are counted for by one command: each has a range of the index of their own.
const USERS: usize = 100;

/// How many messages of a chat mention somebody, or mention one of many.
#[derive(Deserialize)]
struct CountDocument {
    #[serde(rename = "_id")]
    of: mongodb::bson::Uuid,
    mentions: u32,
}

impl Stored for CountDocument {
    type Value = ([u8; 16], u32);
    const COLLECTION: &'static str = MESSAGES;

    fn name(_: &RawDocument) -> String {
        "a count of mentions".to_owned()
    }

    fn value(self) -> Result<([u8; 16], u32), Why> {
        Ok((self.of.bytes(), self.mentions))
    }
}

/// The messages that mention a member and are not read.
fn unread(member: &Member) -> Document {
    let who = key(id::bytes(member.user_id));
    doc! {
        "chatId": key(id::bytes(member.chat_id)),
        "mentionIds": who,
        "seq": { "$gt": i64::from(member.unread_base()) },
        // One's own message is no news.
        "senderId": { "$ne": who },
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
    let ranges: Vec<_> = members.iter().map(unread).collect();
    let pipeline = [
        doc! { "$match": { "$or": ranges } },
        doc! { "$group": { "_id": "$chatId", "mentions": { "$sum": 1 } } },
    ];
    let found = call.aggregate(MESSAGES, pipeline).await?;
    let counts: HashMap<_, _> = parse_all::<CountDocument>(&found).into_iter().collect();
    Ok(members
        .iter()
        .map(|member| {
            let count = counts.get(&id::bytes(member.chat_id)).copied();
            (member.chat_id, count.unwrap_or_default())
        })
        .collect())
}

/// The same of one chat for many users, by their memberships.
pub(super) async fn counts_among(
    call: &Call,
    chat: ChatId,
    users: &[UserId],
) -> Result<Vec<UnreadMentions>, Fault> {
    let parts = users.chunks(USERS).map(async |some: &[UserId]| {
        let members = members::among(call, chat, some).await?;
        if members.is_empty() {
            return Ok::<_, Fault>(Vec::new());
        }
        let ranges: Vec<_> = members.iter().map(unread).collect();
        // A message may mention several of them: it is held against the range of each.
        let pipeline = [
            doc! { "$match": { "$or": ranges.clone() } },
            doc! { "$project": { "_id": 0, "chatId": 1, "mentionIds": 1, "seq": 1, "senderId": 1 } },
            doc! { "$unwind": "$mentionIds" },
            doc! { "$match": { "$or": ranges } },
            doc! { "$group": { "_id": "$mentionIds", "mentions": { "$sum": 1 } } },
        ];
        let found = call.aggregate(MESSAGES, pipeline).await?;
        let counts: HashMap<_, _> = parse_all::<CountDocument>(&found).into_iter().collect();
        let counted = |member: &Member| UnreadMentions {
            user_id: member.user_id,
            version: member.version,
            count: counts.get(&id::bytes(member.user_id)).copied().unwrap_or_default(),
        };
        Ok(members.iter().map(counted).collect())
    });
    Ok(try_join_all(parts).await?.concat())
}
