//! Reading memberships.

use std::collections::BTreeSet;

use mongodb::bson::{Document, doc};
use talksy_domain::chats::Member;
use talksy_domain::cursor::MemberCursor;
use talksy_domain::id::{self, ChatId, UserId};
use talksy_domain::page::{Page, Window};
use talksy_domain::seq::Seq;

use super::call::Call;
use super::commands::Shape;
use super::documents::{
    self, ChatOfMember, MEMBERS, MemberDocument, UserOfMember, key, keys, overread,
};
use super::fault::Fault;

/// The ids of the user's chats: a walk of the index on (user, chat).
pub(super) async fn chat_ids(call: &Call, user: UserId) -> Result<Vec<ChatId>, Fault> {
    let shape = Shape {
        fields: Some(doc! { "_id": 0, "chatId": 1 }),
        ..Shape::default()
    };
    call.find::<ChatOfMember>(doc! { "userId": key(id::bytes(user)) }, shape)
        .await
}

/// The user's membership of these chats.
pub(super) async fn of_user(
    call: &Call,
    user: UserId,
    chats: &[ChatId],
) -> Result<Vec<Member>, Fault> {
    if chats.is_empty() {
        return Ok(Vec::new());
    }
    let filter = doc! {
        "userId": key(id::bytes(user)),
        "chatId": { "$in": keys(chats, id::bytes) },
    };
    call.find::<MemberDocument>(filter, Shape::default()).await
}

/// Members of a chat, by user id.
pub(super) async fn page(
    call: &Call,
    chat: ChatId,
    read_from: Option<Seq>,
    window: &Window<MemberCursor>,
) -> Result<Page<Member>, Fault> {
    let mut filter = doc! { "chatId": key(id::bytes(chat)) };
    if let Some(after) = &window.after {
        filter.insert("userId", doc! { "$gt": key(id::bytes(after.user_id)) });
    }
    if let Some(seq) = read_from {
        filter.insert("lastReadSeq", doc! { "$gte": i64::from(seq) });
    }
    let shape = Shape {
        sort: Some(doc! { "userId": 1 }),
        ..Shape::default()
    };
    let members = call
        .find_first::<MemberDocument>(filter, shape, overread(window))
        .await?;
    Ok(Page::from_overread(members, window))
}

/// Of each of these chats the first `limit` members in an order.
pub(super) async fn first(
    call: &Call,
    chats: &[ChatId],
    order: Document,
    limit: usize,
) -> Result<Vec<Member>, Fault> {
    if chats.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    let mut sort = doc! { "chatId": 1 };
    sort.extend(order);
    let pipeline = [
        doc! { "$match": { "chatId": { "$in": keys(chats, id::bytes) } } },
        doc! { "$sort": sort },
        doc! { "$group": { "_id": "$chatId", "members": { "$push": "$$ROOT" } } },
        doc! { "$project": { "members": { "$slice": ["$members", limit] } } },
        doc! { "$unwind": "$members" },
        doc! { "$replaceRoot": { "newRoot": "$members" } },
    ];
    let found = call.aggregate(MEMBERS, pipeline).await?;
    Ok(documents::parse_all::<MemberDocument>(&found))
}

/// Those of `others` who share a chat with the user.
pub(super) async fn sharing(
    call: &Call,
    user: UserId,
    others: &[UserId],
) -> Result<Vec<UserId>, Fault> {
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let chats = chat_ids(call, user).await?;
    if chats.is_empty() {
        return Ok(Vec::new());
    }
    let filter = doc! {
        "userId": { "$in": keys(others, id::bytes) },
        "chatId": { "$in": keys(&chats, id::bytes) },
    };
    let shape = Shape {
        fields: Some(doc! { "_id": 0, "userId": 1 }),
        ..Shape::default()
    };
    let found = call.find::<UserOfMember>(filter, shape).await?;
    let found: BTreeSet<UserId> = found.into_iter().collect();
    Ok(found.into_iter().collect())
}
