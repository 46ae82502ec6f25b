//! Where chats end: their `lastSeq` and `activeAt`, which follow the messages.
//!
//! They are raised (`$max`) behind the insert of each message, and an instance may die in between.
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
use super::commands::Shape;
use super::documents::{self, CHATS, ChatDocument, EndDocument, MESSAGES, date, key, keys};
use super::fault::Fault;
use super::lanes::{End, furthest};

/// These chats, with their exact ends.
pub(super) async fn chats(call: &Call, ids: &[ChatId]) -> Result<Vec<Chat>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let filter = doc! { "_id": { "$in": keys(ids, id::bytes) }, "ready": true };
    let kept = call.find::<ChatDocument>(filter, Shape::default()).await?;
    exact(call, kept.into_iter().map(|kept| kept.chat).collect()).await
}

/// The same chats with their exact ends.
pub(super) async fn exact(call: &Call, mut chats: Vec<Chat>) -> Result<Vec<Chat>, Fault> {
    let ends = above(call, &chats).await?;
    for (chat, (seq, active_at)) in chats.iter_mut().zip(ends) {
        chat.last_seq = chat.last_seq.max(seq);
        chat.active_at = chat.active_at.max(active_at.unwrap_or(chat.active_at));
    }
    Ok(chats)
}

/// The same chat with its exact end.
pub(super) async fn exact_one(call: &Call, chat: Chat) -> Result<Chat, Fault> {
    let exact = exact(call, vec![chat.clone()]).await?;
    Ok(exact.into_iter().next().unwrap_or(chat))
}

/// Of each of these chats, the end as far as it lies above what the chat says.
pub(super) async fn above(call: &Call, chats: &[Chat]) -> Result<Vec<End>, Fault> {
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
    let found = documents::parse_all::<EndDocument>(&found);
    let found: HashMap<ChatId, (Seq, Timestamp)> = found
        .into_iter()
        .map(|(chat, seq, at)| (chat, (seq, at)))
        .collect();
    for (&chat, &(seq, at)) in &found {
        mend(call, chat, (seq, Some(at)));
    }
    let end = |chat: &Chat| {
        found
            .get(&chat.id)
            .map_or((0, None), |&(seq, at)| (seq, Some(at)))
    };
    Ok(chats.iter().map(end).collect())
}

/// Raises the chat's document to `end`. Those who do so at the same time share one update. The
/// messages are durable whatever becomes of it.
pub(super) async fn raise(call: &Call, chat: ChatId, end: End) -> Result<(), Fault> {
    let lane = call.inner.lanes.of(id::bytes(chat));
    lane.note(end);
    let mut written = call.wait(lane.written.lock()).await?;
    if furthest(*written, end) == *written {
        return Ok(());
    }
    // By now others may have gone further.
    let known = lane.note(end);
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

/// Raises the chat's document behind the answer.
fn mend(call: &Call, chat: ChatId, end: End) {
    let call = call.clone();
    tokio::spawn(async move {
        if let Err(fault) = raise(&call, chat, end).await {
            tracing::debug!(%fault, "the end of a chat was not mended");
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
