//! Reading memberships. Those that have ended keep their documents, and every query leaves them out.

use mongodb::bson::{Bson, Document, doc};
use talksy_domain::chats::{Member, MemberPage};
use talksy_domain::id::{self, ChatId, UserId};
use talksy_domain::page::Page;
use talksy_domain::search::fold_key;

use super::call::Call;
use super::commands::Shape;
use super::documents::{ChatOfMember, MemberDocument, USERS, key, keys, overread};
use super::fault::Fault;
use super::lookups::{self, Lookup};

/// The ids of the user's chats: a walk of the index on (user, active, chat), whose entries come in
/// one document.
pub(super) async fn chat_ids(call: &Call, user: UserId) -> Result<Vec<ChatId>, Fault> {
    let filter = doc! { "userId": key(id::bytes(user)), "active": true };
    call.gather::<ChatOfMember>(filter, &["chatId"]).await
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

/// Of each of these pages its members, by user id. One command for all that have the same size and
/// ask for the same: a list within a list is one.
pub(super) async fn pages(call: &Call, wanted: &[MemberPage]) -> Result<Vec<Page<Member>>, Fault> {
    let ranges = wanted.iter().map(|page| (Kind::of(page), range(page)));
    let found = lookups::of_kinds::<_, MemberDocument>(call, ranges, Kind::lookup).await?;
    let pages = found.into_iter().zip(wanted);
    Ok(pages
        .map(|(members, page)| Page::from_overread(members, &page.window))
        .collect())
}

/// What pages that are read by one command have in common.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    readers: bool,
    named: bool,
    limit: usize,
}

/// The text that names have to contain, where there is one.
fn name_in(page: &MemberPage) -> Option<&str> {
    page.filter.name.as_deref().filter(|name| !name.is_empty())
}

impl Kind {
    fn of(page: &MemberPage) -> Self {
        Self {
            readers: page.filter.has_read.is_some(),
            named: name_in(page).is_some(),
            limit: overread(&page.window),
        }
    }

    /// The order is that of the index on (chat, active, user). Of a chat's readers it is also
    /// possible to walk those who have read that far in the index on their marks, and sort them: the
    /// server tries both, which matters where few have read a message of a large group.
    fn lookup(self) -> Lookup {
        let mut comparisons = vec![("chatId", "$eq"), ("userId", "$gt")];
        if self.readers {
            comparisons.extend([("lastReadSeq", "$gte"), ("joinedSeq", "$lt")]);
        }
        let and_then = if self.named {
            names_that_contain(&lookups::value(comparisons.len())).to_vec()
        } else {
            Vec::new()
        };
        Lookup {
            common: doc! { "active": true },
            comparisons,
            sort: doc! { "userId": 1 },
            and_then,
            limit: self.limit,
        }
    }
}

/// The values of a page, as [`Kind::lookup`] compares them.
fn range(page: &MemberPage) -> Vec<Bson> {
    let after = page.window.after.as_ref();
    // Ahead of all ids where the page is the first.
    let after = after.map_or([0; 16], |after| id::bytes(after.user_id));
    let mut values: Vec<Bson> = vec![key(id::bytes(page.chat)).into(), key(after).into()];
    if let Some(seq) = page.filter.has_read {
        values.extend([Bson::Int64(seq.into()), Bson::Int64(seq.into())]);
    }
    values.extend(name_in(page).map(|name| Bson::String(format!("={}", fold_key(name)))));
    values
}

/// Keeps the members whose name contains a text. Names stand with the users, which are looked up by
/// id one after the other until enough match: nobody else's name leaves the server, and where hardly
/// anybody matches it looks at all members. `value` is the text behind one more character, so that
/// none that begins with `$` is taken for a field's name.
fn names_that_contain(value: &str) -> [Document; 3] {
    let length = doc! { "$subtract": [{ "$strLenBytes": value }, 1] };
    let text = doc! { "$substrBytes": [value, 1, length] };
    let name = doc! { "$arrayElemAt": ["$user.nameKey", 0] };
    [
        doc! { "$lookup": {
            "from": USERS,
            "localField": "userId",
            "foreignField": "_id",
            "as": "user",
        } },
        doc! { "$match": { "$expr": { "$gte": [{ "$indexOfBytes": [name, text] }, 0] } } },
        doc! { "$project": { "user": 0 } },
    ]
}

/// Of each of these chats the first `limit` members in an order, of which there is an index behind
/// (chat, active).
pub(super) async fn first(
    call: &Call,
    chats: &[ChatId],
    order: Document,
    limit: usize,
) -> Result<Vec<Member>, Fault> {
    if chats.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let lookup = Lookup {
        common: doc! { "active": true },
        comparisons: vec![("chatId", "$eq")],
        sort: order,
        and_then: Vec::new(),
        limit,
    };
    let ranges = keys(chats, id::bytes).into_iter();
    let ranges: Vec<Vec<Bson>> = ranges.map(|chat| vec![chat.into()]).collect();
    let found = lookup.of_each::<MemberDocument>(call, &ranges).await?;
    Ok(found.into_iter().flatten().collect())
}
