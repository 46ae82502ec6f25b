//! Reading memberships. Those that have ended keep their documents, and every query leaves them out.

use std::collections::{BTreeSet, HashSet};

use futures_util::future::try_join_all;
use mongodb::bson::{Document, doc};
use talksy_domain::chats::{Member, MemberFilter};
use talksy_domain::cursor::MemberCursor;
use talksy_domain::id::{self, ChatId, UserId};
use talksy_domain::page::{Page, Window};

use super::call::Call;
use super::commands::Shape;
use super::documents::{
    self, ChatOfMember, MEMBERS, MemberDocument, SizeDocument, UserKey, UserOfMember, key, keys,
    overread,
};
use super::fault::Fault;
use super::names;

/// How many members are looked at first for a name, and at most at once.
const FIRST_STEP: usize = 256;
const LONGEST_STEP: usize = 8_192;

/// Up to how many members a chat's are sorted together with those of others.
const SMALL: i32 = 100;

/// The ids of the user's chats: a walk of the index on (user, chat).
pub(super) async fn chat_ids(call: &Call, user: UserId) -> Result<Vec<ChatId>, Fault> {
    let shape = Shape {
        fields: Some(doc! { "_id": 0, "chatId": 1 }),
        ..Shape::default()
    };
    let filter = doc! { "userId": key(id::bytes(user)), "active": true };
    call.find::<ChatOfMember>(filter, shape).await
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
        "active": true,
        "chatId": { "$in": keys(chats, id::bytes) },
    };
    call.find::<MemberDocument>(filter, Shape::default()).await
}

/// The memberships of those of these users who are members of the chat.
pub(super) async fn among(
    call: &Call,
    chat: ChatId,
    users: &[UserId],
) -> Result<Vec<Member>, Fault> {
    let filter = doc! {
        "chatId": key(id::bytes(chat)),
        "userId": { "$in": keys(users, id::bytes) },
        "active": true,
    };
    call.find::<MemberDocument>(filter, Shape::default()).await
}

/// Members of a chat, by user id.
pub(super) async fn page(
    call: &Call,
    chat: ChatId,
    filter: &MemberFilter,
    window: &Window<MemberCursor>,
) -> Result<Page<Member>, Fault> {
    let wanted = overread(window);
    let after = window.after.as_ref().map(|after| after.user_id);
    let name = filter.name.as_deref().filter(|name| !name.is_empty());
    let members = match name {
        None => some(call, chat, filter, after, wanted).await?,
        Some(name) => named(call, chat, filter, name, after, wanted).await?,
    };
    Ok(Page::from_overread(members, window))
}

/// The first `wanted` members behind a user, whatever they are called.
async fn some(
    call: &Call,
    chat: ChatId,
    filter: &MemberFilter,
    after: Option<UserId>,
    wanted: usize,
) -> Result<Vec<Member>, Fault> {
    let mut matching = doc! { "chatId": key(id::bytes(chat)), "active": true };
    if let Some(after) = after {
        matching.insert("userId", doc! { "$gt": key(id::bytes(after)) });
    }
    if let Some(seq) = filter.has_read {
        matching.insert("lastReadSeq", doc! { "$gte": i64::from(seq) });
        matching.insert("joinedSeq", doc! { "$lt": i64::from(seq) });
    }
    let shape = Shape {
        sort: Some(doc! { "userId": 1 }),
        ..Shape::default()
    };
    call.find_first::<MemberDocument>(matching, shape, wanted)
        .await
}

/// The same of those whose name contains the text. Names stand with the users, so members are read
/// in steps, and the names of each step are looked through.
async fn named(
    call: &Call,
    chat: ChatId,
    filter: &MemberFilter,
    name: &str,
    mut after: Option<UserId>,
    wanted: usize,
) -> Result<Vec<Member>, Fault> {
    let mut found = Vec::new();
    let Some(pattern) = names::containing(name) else {
        return Ok(found);
    };
    let mut step = FIRST_STEP;
    loop {
        let members = some(call, chat, filter, after, step).await?;
        let ids: Vec<UserId> = members.iter().map(|member| member.user_id).collect();
        let matching = named_among(call, &ids, &pattern).await?;
        let is_last = members.len() < step;
        after = ids.last().copied().or(after);
        let matching = members
            .into_iter()
            .filter(|member| matching.contains(&id::bytes(member.user_id)));
        found.extend(matching);
        if is_last || found.len() >= wanted {
            found.truncate(wanted);
            return Ok(found);
        }
        step = LONGEST_STEP.min(step * 4);
    }
}

/// Those of these users whose name matches.
pub(super) async fn named_among(
    call: &Call,
    users: &[UserId],
    pattern: &str,
) -> Result<HashSet<[u8; 16]>, Fault> {
    if users.is_empty() {
        return Ok(HashSet::new());
    }
    let filter = doc! {
        "_id": { "$in": keys(users, id::bytes) },
        "nameKey": { "$regex": pattern },
    };
    let shape = Shape {
        fields: Some(doc! { "_id": 1 }),
        ..Shape::default()
    };
    let found = call.find::<UserKey>(filter, shape).await?;
    Ok(found.into_iter().collect())
}

/// Of each of these chats the first `limit` members in an order. Those of all small chats are
/// sorted in one go; a large one is asked for as many as are wanted.
pub(super) async fn first(
    call: &Call,
    chats: &[ChatId],
    order: Document,
    limit: usize,
) -> Result<Vec<Member>, Fault> {
    if chats.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let filter = doc! {
        "_id": { "$in": keys(chats, id::bytes) },
        "memberCount": { "$gt": SMALL },
    };
    let shape = Shape {
        fields: Some(doc! { "memberCount": 1 }),
        ..Shape::default()
    };
    let large = call.find::<SizeDocument>(filter, shape).await?;
    let large: Vec<ChatId> = large.into_iter().map(|(chat, _)| chat).collect();
    let small = chats.iter().filter(|chat| !large.contains(chat)).copied();
    let small: Vec<ChatId> = small.collect();
    let each = large.iter().map(|chat| {
        let filter = doc! { "chatId": key(id::bytes(*chat)), "active": true };
        let shape = Shape {
            sort: Some(order.clone()),
            ..Shape::default()
        };
        call.find_first::<MemberDocument>(filter, shape, limit)
    });
    let (mut members, each) = tokio::try_join!(
        first_of_small(call, &small, &order, limit),
        try_join_all(each)
    )?;
    members.extend(each.into_iter().flatten());
    Ok(members)
}

async fn first_of_small(
    call: &Call,
    chats: &[ChatId],
    order: &Document,
    limit: usize,
) -> Result<Vec<Member>, Fault> {
    if chats.is_empty() {
        return Ok(Vec::new());
    }
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    let mut sort = doc! { "chatId": 1 };
    sort.extend(order.clone());
    let pipeline = [
        doc! { "$match": { "chatId": { "$in": keys(chats, id::bytes) }, "active": true } },
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
        "active": true,
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
