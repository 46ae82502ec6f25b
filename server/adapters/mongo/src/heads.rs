//! The heads of chats: their `lastSeq` and `activeAt`, which follow the messages.
//!
//! An instance advances them (`$max`) after the insert of each message, and may die in between.
//! So whoever needs them exactly looks for messages above the document's `lastSeq` in the index on
//! (chat, seq): one command for a page of chats, which finds nothing but such a remainder and what
//! is being sent at this instant. What it finds is written into the documents behind the answer.

use std::collections::HashMap;

use mongodb::bson::doc;
use talksy_domain::chats::Chat;
use talksy_domain::clock::Timestamp;
use talksy_domain::id::{self, ChatId};
use talksy_domain::seq::Seq;

use super::call::Call;
use super::chat_queue::{Head, furthest};
use super::commands::Shape;
use super::documents::{self, CHATS, ChatDocument, HeadDocument, MESSAGES, date, key, keys};
use super::fault::Fault;

/// These chats, with their exact heads.
pub(super) async fn chats(call: &Call, ids: &[ChatId]) -> Result<Vec<Chat>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let filter = doc! { "_id": { "$in": keys(ids, id::bytes) }, "ready": true };
    let kept = call.find::<ChatDocument>(filter, Shape::default()).await?;
    exact(call, kept.into_iter().map(|kept| kept.chat).collect()).await
}

/// The same chats with their exact heads.
pub(super) async fn exact(call: &Call, mut chats: Vec<Chat>) -> Result<Vec<Chat>, Fault> {
    let heads = above(call, &chats).await?;
    for (chat, (seq, active_at)) in chats.iter_mut().zip(heads) {
        chat.last_seq = chat.last_seq.max(seq);
        chat.active_at = chat.active_at.max(active_at.unwrap_or(chat.active_at));
    }
    Ok(chats)
}

/// The same chat with its exact head.
pub(super) async fn exact_one(call: &Call, chat: Chat) -> Result<Chat, Fault> {
    let exact = exact(call, vec![chat.clone()]).await?;
    Ok(exact.into_iter().next().unwrap_or(chat))
}

/// Of each of these chats, the head as far as it lies above what the chat says.
pub(super) async fn above(call: &Call, chats: &[Chat]) -> Result<Vec<Head>, Fault> {
    if chats.is_empty() {
        return Ok(Vec::new());
    }
    let ranges: Vec<_> = chats
        .iter()
        .map(|chat| {
            let above = doc! { "$gt": i64::from(chat.last_seq) };
            doc! { "chatId": key(id::bytes(chat.id)), "seq": above }
        })
        .collect();
    let pipeline = [
        doc! { "$match": { "$or": ranges } },
        doc! { "$group": {
            "_id": "$chatId",
            "lastSeq": { "$max": "$seq" },
            "activeAt": { "$max": "$createdAt" },
        } },
    ];
    let found = call.aggregate(MESSAGES, pipeline).await?;
    let found = documents::parse_all::<HeadDocument>(&found);
    let found: HashMap<ChatId, (Seq, Timestamp)> = found
        .into_iter()
        .map(|(chat, seq, at)| (chat, (seq, at)))
        .collect();
    for (&chat, &(seq, at)) in &found {
        repair(call, chat, (seq, Some(at)));
    }
    let head = |chat: &Chat| {
        found
            .get(&chat.id)
            .map_or((0, None), |&(seq, at)| (seq, Some(at)))
    };
    Ok(chats.iter().map(head).collect())
}

/// Advances the chat's document to `head`. Callers at the same time share one update. The
/// messages are durable whether it succeeds or not.
pub(super) async fn advance(call: &Call, chat: ChatId, head: Head) -> Result<(), Fault> {
    let queue = call.inner.queues.of(id::bytes(chat));
    queue.note(head);
    let mut written = call.wait(queue.written.lock()).await?;
    if furthest(*written, head) == *written {
        return Ok(());
    }
    // By now others may have gone further.
    let known = queue.note(head);
    let mut values = doc! { "lastSeq": i64::from(known.0) };
    if let Some(at) = known.1 {
        values.insert("activeAt", date(at));
    }
    let filter = doc! { "_id": key(id::bytes(chat)) };
    call.update_one(CHATS, filter, doc! { "$max": values })
        .await?;
    *written = known;
    Ok(())
}

/// Advances the chat's document after the answer.
fn repair(call: &Call, chat: ChatId, head: Head) {
    let call = call.clone();
    tokio::spawn(async move {
        if let Err(fault) = advance(&call, chat, head).await {
            tracing::debug!(%fault, "the head of a chat was not repaired");
        }
    });
}

/// The number of the chat's newest message, 0 where there is none: the last entry of the index.
pub(super) async fn last_seq(call: &Call, chat: ChatId) -> Result<Seq, Fault> {
    let filter = doc! { "chatId": key(id::bytes(chat)) };
    let shape = Shape {
        sort: Some(doc! { "seq": -1 }),
        fields: Some(doc! { "_id": 0, "seq": 1 }),
        ..Shape::default()
    };
    let last = call.find_one::<documents::SeqDocument>(filter, shape);
    Ok(last.await?.unwrap_or_default())
}
