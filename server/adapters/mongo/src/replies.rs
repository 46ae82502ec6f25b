//! Replies: counted and listed by an index on the message that they answer, which has no entry for a
//! message that answers none.
//!
//! The planner takes such an index for plain comparisons alone, and not for those of a `$lookup` (see
//! `lookups`). So the pages of many messages are the parts of one union, each a query of its own.

use std::collections::HashMap;

use mongodb::bson::raw::RawDocument;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use serde::Deserialize;
use talksy_domain::id::{self, ChatId};
use talksy_domain::messages::{Message, MessageAt, ReplyPage};
use talksy_domain::page::Page;
use talksy_domain::seq::Seq;

use super::call::Call;
use super::documents::{self, MESSAGES, MessageDocument, Stored, key, overread, parse_all};
use super::fault::{Fault, Why};
use super::lookups;

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
    chat_id: mongodb::bson::Uuid,
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

async fn some_pages(call: &Call, wanted: &[ReplyPage]) -> Result<Vec<Page<Message>>, Fault> {
    let mut parts = wanted.iter().enumerate().map(|(n, page)| part(n, page));
    let mut pipeline = parts.next().unwrap_or_default();
    pipeline.extend(parts.map(|part| {
        doc! { "$unionWith": { "coll": MESSAGES, "pipeline": part } }
    }));
    let mut found: Vec<Vec<RawDocumentBuf>> = vec![Vec::new(); wanted.len()];
    for raw in call.aggregate(MESSAGES, pipeline).await? {
        if let Some((n, item)) = lookups::item(&raw)
            && let Some(page) = found.get_mut(n)
        {
            page.push(item);
        }
    }
    let pages = found.iter().zip(wanted);
    Ok(pages
        .map(|(found, (_, window))| {
            let mut replies = parse_all::<MessageDocument>(found);
            // A union has no order.
            replies.sort_unstable_by_key(|message| message.seq);
            Page::from_overread(replies, window)
        })
        .collect())
}

/// The stages that read a page, the one with this number: no more than it holds, and one.
fn part(n: usize, (of, window): &ReplyPage) -> Vec<Document> {
    let mut filter = replies_to(*of);
    let after = i64::from(window.after.unwrap_or(0));
    filter.insert("seq", doc! { "$gt": after });
    vec![
        doc! { "$match": filter },
        doc! { "$sort": { "seq": 1 } },
        doc! { "$limit": documents::limit(overread(window)) },
        doc! { "$project": {
            "_id": 0,
            "n": { "$literal": Bson::Int64(documents::limit(n)) },
            "item": "$$ROOT",
        } },
    ]
}
