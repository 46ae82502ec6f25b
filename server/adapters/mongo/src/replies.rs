//! Replies: counted and listed by an index on the message that they answer, which has no entry for a
//! message that answers none.
//!
//! The planner takes such an index for plain comparisons alone, and not for those with a document's own
//! values (see `lookups`). So each page is a lookup of its own, all of them in one pipeline.

use std::collections::HashMap;

use mongodb::bson::raw::{RawBsonRef, RawDocument};
use mongodb::bson::{Document, Uuid, deserialize_from_slice, doc};
use serde::Deserialize;
use talksy_domain::id::{self, ChatId};
use talksy_domain::messages::{Message, MessageAt, ReplyPage};
use talksy_domain::page::Page;
use talksy_domain::seq::Seq;

use super::call::Call;
use super::commands::Shape;
use super::documents::{MESSAGES, MessageDocument, Stored, key, limit, overread, parse_all};
use super::fault::{Fault, Why};

/// How many pages one command reads. A pipeline has at most 1,000 stages.
const PAGES: usize = 100;

/// How many replies a message has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CountDocument {
    #[serde(rename = "_id")]
    of: PlaceOfReplies,
    replies: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlaceOfReplies {
    chat_id: Uuid,
    reply_to: Seq,
}

impl Stored for CountDocument {
    type Value = (MessageAt, u32);
    const COLLECTION: &'static str = MESSAGES;

    fn name(_: &RawDocument) -> String {
        "a count of replies".to_owned()
    }

    fn value(self) -> Result<Self::Value, Why> {
        let chat: ChatId = id::from_bytes(self.of.chat_id.bytes());
        Ok(((chat, self.of.reply_to), self.replies))
    }
}

/// The replies to a message.
fn replies_to((chat, seq): MessageAt) -> Document {
    doc! { "chatId": key(id::bytes(chat)), "replyTo": i64::from(seq) }
}

/// How many replies each of these messages has.
pub(super) async fn counts(
    call: &Call,
    messages: &[MessageAt],
) -> Result<Vec<(MessageAt, u32)>, Fault> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let filters: Vec<_> = messages.iter().copied().map(replies_to).collect();
    let pipeline = [
        doc! { "$match": { "$or": filters } },
        doc! { "$group": {
            "_id": { "chatId": "$chatId", "replyTo": "$replyTo" },
            "replies": { "$sum": 1 },
        } },
    ];
    let found = call.aggregate(MESSAGES, pipeline).await?;
    let counts: HashMap<_, _> = parse_all::<CountDocument>(&found).into_iter().collect();
    let count = |of: &MessageAt| (*of, counts.get(of).copied().unwrap_or_default());
    Ok(messages.iter().map(count).collect())
}

/// Each of these pages.
pub(super) async fn pages(call: &Call, wanted: &[ReplyPage]) -> Result<Vec<Page<Message>>, Fault> {
    let mut pages = Vec::with_capacity(wanted.len());
    for wanted in wanted.chunks(PAGES) {
        pages.extend(some_pages(call, wanted).await?);
    }
    Ok(pages)
}

/// Which messages each page has, then these: in one document all of them might not have room.
async fn some_pages(call: &Call, wanted: &[ReplyPage]) -> Result<Vec<Page<Message>>, Fault> {
    let listed = listed(call, wanted).await?;
    let ids: Vec<_> = listed.iter().flatten().copied().collect();
    let messages: HashMap<Uuid, Message> = if ids.is_empty() {
        HashMap::new()
    } else {
        let filter = doc! { "_id": { "$in": ids } };
        let found = call.find::<MessageDocument>(filter, Shape::default());
        let found = found.await?.into_iter();
        found
            .map(|message| (key(id::bytes(message.id)), message))
            .collect()
    };
    let page = |(ids, ((_, seq), window)): (&Vec<Uuid>, &ReplyPage)| {
        let page = Page::from_overread(ids.clone(), window);
        let items = page.items.iter().filter_map(|id| messages.get(id));
        // One that was deleted meanwhile is none any more.
        let items = items.filter(|message| message.reply_to == Some(*seq));
        Page {
            items: items.cloned().collect(),
            has_next: page.has_next,
            has_previous: page.has_previous,
        }
    };
    Ok(listed.iter().zip(wanted).map(page).collect())
}

/// The ids of the replies of each page, one more than it holds, in order.
async fn listed(call: &Call, wanted: &[ReplyPage]) -> Result<Vec<Vec<Uuid>>, Fault> {
    let mut pipeline = vec![doc! { "$limit": 1 }, doc! { "$project": { "_id": 1 } }];
    pipeline.extend(wanted.iter().enumerate().map(|(n, page)| lookup(n, page)));
    let found = call.aggregate(MESSAGES, pipeline).await?;
    let mut listed = vec![Vec::new(); wanted.len()];
    let Some(found) = found.first() else {
        return Ok(listed);
    };
    for (n, ids) in listed.iter_mut().enumerate() {
        let part = found.get_array(name(n));
        let part = part.map_err(|error| Fault::document("a list of replies", error.into()))?;
        let items = part
            .into_iter()
            .flatten()
            .filter_map(RawBsonRef::as_document);
        let id = |item: &RawDocument| {
            let reply = deserialize_from_slice::<IdOfReply>(item.as_bytes());
            reply.ok().map(|reply| reply.id)
        };
        ids.extend(items.filter_map(id));
    }
    Ok(listed)
}

/// The id of a reply.
#[derive(Deserialize)]
struct IdOfReply {
    #[serde(rename = "_id")]
    id: Uuid,
}

/// What the page with this number is called in the document of all.
fn name(n: usize) -> String {
    format!("p{n}")
}

/// The stage that adds the page with this number.
fn lookup(n: usize, (of, window): &ReplyPage) -> Document {
    let mut filter = replies_to(*of);
    let after = i64::from(window.after.unwrap_or(0));
    filter.insert("seq", doc! { "$gt": after });
    let part = [
        doc! { "$match": filter },
        doc! { "$sort": { "seq": 1 } },
        doc! { "$limit": limit(overread(window)) },
        doc! { "$project": { "_id": 1 } },
    ];
    doc! { "$lookup": {
        "from": MESSAGES,
        "let": {},
        "pipeline": part.to_vec(),
        "as": name(n),
    } }
}
