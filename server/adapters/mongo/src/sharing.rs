//! Who shares a chat with a user.
//!
//! Nearly always the two have a direct chat, which is one look-up in the unique index on the pair.
//! Whoever has none may share a group. For them the memberships of all who are left, and the user's
//! own, are walked in the index on (user, active, chat), and the server puts together those of one
//! chat: about a microsecond for each membership, and none of them is returned. A hundred users with
//! twenty chats each are 2,000 entries. To ask for the user's own chats in that index would save the
//! entries of others that lie between, but take the ids of these chats to the process and back: a
//! user with 2,000 chats would cost 80 KB each time.

use mongodb::bson::{Bson, Uuid, doc};
use serde::Deserialize;
use talksy_domain::id::{self, UserId};

use super::call::Call;
use super::commands::Shape;
use super::documents::{self, CHATS, MEMBERS, Stored, key, keys, pair_key};
use super::fault::{Fault, Why};

/// Those of `others` who share a chat with the user. No more documents are returned than there are
/// others, and one.
pub(super) async fn sharing(
    call: &Call,
    user: UserId,
    others: &[UserId],
) -> Result<Vec<UserId>, Fault> {
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let mut others = others.to_vec();
    others.sort_unstable();
    others.dedup();
    let peers = peers(call, user, &others).await?;
    let (mut found, rest): (Vec<UserId>, Vec<UserId>) =
        others.into_iter().partition(|other| peers.contains(other));
    if !rest.is_empty() {
        let sharing = in_any_chat(call, user, &rest).await?;
        found.extend(rest.into_iter().filter(|other| sharing.contains(other)));
    }
    Ok(found)
}

/// Those of `others` with whom the user has a direct chat, which both are in for good.
async fn peers(call: &Call, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, Fault> {
    let pairs = others.iter().filter(|&&other| other != user);
    let pairs: Vec<Bson> = pairs
        .map(|&other| Bson::Binary(pair_key([user, other])))
        .collect();
    let filter = doc! { "directKey": { "$in": pairs }, "ready": true };
    let shape = Shape {
        fields: Some(doc! { "_id": 0, "directKey": 1 }),
        ..Shape::default()
    };
    let found = call.find::<PairDocument>(filter, shape).await?;
    let other_of = |[low, high]: [UserId; 2]| if low == user { high } else { low };
    Ok(found.into_iter().map(other_of).collect())
}

async fn in_any_chat(call: &Call, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, Fault> {
    let all = [others, &[user]].concat();
    let pipeline = [
        doc! { "$match": { "userId": { "$in": keys(&all, id::bytes) }, "active": true } },
        doc! { "$group": { "_id": "$chatId", "users": { "$push": "$userId" } } },
        doc! { "$match": { "users": key(id::bytes(user)) } },
        doc! { "$unwind": "$users" },
        doc! { "$group": { "_id": "$users" } },
    ];
    let found = call.aggregate(MEMBERS, pipeline).await?;
    Ok(documents::parse_all::<SharingUser>(&found))
}

/// Of a direct chat, the two.
#[derive(Deserialize)]
struct PairDocument {
    #[serde(rename = "directKey")]
    pair: mongodb::bson::Binary,
}

impl Stored for PairDocument {
    type Value = [UserId; 2];
    const COLLECTION: &'static str = CHATS;

    fn name(_: &mongodb::bson::RawDocument) -> String {
        "a direct chat's pair".to_owned()
    }

    fn value(self) -> Result<[UserId; 2], Why> {
        let ids: [u8; 32] = self.pair.bytes.as_slice().try_into()?;
        let (low, high) = ids.split_at(16);
        Ok([
            id::from_bytes(low.try_into()?),
            id::from_bytes(high.try_into()?),
        ])
    }
}

/// Somebody in a chat of the user's.
#[derive(Deserialize)]
struct SharingUser {
    #[serde(rename = "_id")]
    user_id: Uuid,
}

impl Stored for SharingUser {
    type Value = UserId;
    const COLLECTION: &'static str = MEMBERS;

    fn name(_: &mongodb::bson::RawDocument) -> String {
        "somebody who shares a chat".to_owned()
    }

    fn value(self) -> Result<UserId, Why> {
        Ok(id::from_bytes(self.user_id.bytes()))
    }
}
