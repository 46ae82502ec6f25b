//! The heads of chats: their `lastSeq`, `activeAt`, `lastChangeSeq` and `appliedSeq`, which follow
//! the messages.
//!
//! An instance advances them after the insert of each message and after each change of one, and may
//! die in between. So whoever needs them exactly looks for messages above the document's `lastSeq`
//! in the index on (chat, seq), and for changes above its `lastChangeSeq` in the one on (chat,
//! changeSeq): one command for a page of chats, which finds nothing but such a remainder and what
//! is being sent at this instant. What it finds is written into the documents behind the answer;
//! but a system message among it is applied ahead of the answer (see `notices`), so that nobody who
//! has seen it finds its effect missing.

use std::collections::HashMap;

use futures_util::future::try_join_all;
use mongodb::bson::doc;
use talksy_domain::chats::Chat;
use talksy_domain::id::{self, ChatId};
use talksy_domain::seq::Seq;

use super::call::Call;
use super::chat_queue::{Head, furthest};
use super::commands::Shape;
use super::documents::{
    self, CHATS, ChatDocument, MESSAGES, Place, PlaceDocument, Tail, TailDocument, date, key, keys,
};
use super::fault::Fault;
use super::notices;

/// These chats, with their exact heads.
pub(super) async fn chats(call: &Call, ids: &[ChatId]) -> Result<Vec<Chat>, Fault> {
    exact(call, kept(call, ids).await?).await
}

/// These chats, as their documents have them.
async fn kept(call: &Call, ids: &[ChatId]) -> Result<Vec<Chat>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let filter = doc! { "_id": { "$in": keys(ids, id::bytes) }, "ready": true };
    let kept = call.find::<ChatDocument>(filter, Shape::default()).await?;
    Ok(kept.into_iter().map(|kept| kept.chat).collect())
}

/// The same chats with their exact heads.
pub(super) async fn exact(call: &Call, mut chats: Vec<Chat>) -> Result<Vec<Chat>, Fault> {
    let tails = tails(call, &chats).await?;
    if tails.is_empty() {
        return Ok(chats);
    }
    apply(call, &mut chats, &tails).await?;
    for chat in &mut chats {
        let Some(tail) = tails.get(&chat.id) else {
            continue;
        };
        repair(call, chat, *tail);
        chat.last_seq = chat.last_seq.max(tail.place.seq);
        chat.last_change_seq = chat.last_change_seq.max(tail.change_seq);
        chat.active_at = chat.active_at.max(tail.active_at.unwrap_or(chat.active_at));
    }
    Ok(chats)
}

/// The same chat with its exact head.
pub(super) async fn exact_one(call: &Call, chat: Chat) -> Result<Chat, Fault> {
    let exact = exact(call, vec![chat.clone()]).await?;
    Ok(exact.into_iter().next().unwrap_or(chat))
}

/// Of each of these chats that reaches further than it says, how far it does.
async fn tails(call: &Call, chats: &[Chat]) -> Result<HashMap<ChatId, Tail>, Fault> {
    if chats.is_empty() {
        return Ok(HashMap::new());
    }
    let ranges: Vec<_> = chats
        .iter()
        .flat_map(|chat| {
            let key = key(id::bytes(chat.id));
            let above = doc! { "$gt": i64::from(chat.last_seq) };
            let changed = doc! { "$gt": i64::from(chat.last_change_seq) };
            [
                doc! { "chatId": key, "seq": above },
                doc! { "chatId": key, "changeSeq": changed },
            ]
        })
        .collect();
    let pipeline = [
        doc! { "$match": { "$or": ranges } },
        doc! { "$group": {
            "_id": "$chatId",
            "lastSeq": { "$max": "$seq" },
            "mseq": { "$max": "$mseq" },
            "changeSeq": { "$max": "$changeSeq" },
            "activeAt": { "$max": "$createdAt" },
        } },
    ];
    let found = call.aggregate(MESSAGES, pipeline).await?;
    let found = documents::parse_all::<TailDocument>(&found);
    Ok(found.into_iter().collect())
}

/// Applies the system messages among the tails, and reads the chats again that had any.
async fn apply(
    call: &Call,
    chats: &mut [Chat],
    tails: &HashMap<ChatId, Tail>,
) -> Result<(), Fault> {
    let behind = chats.iter().filter_map(|chat| {
        let newest = tails.get(&chat.id)?.place.mseq;
        (newest > chat.applied_seq).then_some((chat.id, newest))
    });
    let applying = behind.map(|(chat, newest)| notices::catch_up(call, chat, newest));
    for kept in try_join_all(applying).await?.into_iter().flatten() {
        let same = chats.iter_mut().find(|chat| chat.id == kept.chat.id);
        if let Some(chat) = same {
            *chat = kept.chat;
        }
    }
    Ok(())
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

/// Advances the last change of the chat's document.
pub(super) async fn advance_changes(call: &Call, chat: ChatId, to: Seq) -> Result<(), Fault> {
    let filter = doc! { "_id": key(id::bytes(chat)) };
    let values = doc! { "lastChangeSeq": i64::from(to) };
    call.update_one(CHATS, filter, doc! { "$max": values })
        .await?;
    Ok(())
}

/// Advances the chat's document to its tail after the answer.
fn repair(call: &Call, chat: &Chat, tail: Tail) {
    let (call, chat) = (call.clone(), chat.clone());
    tokio::spawn(async move {
        let repaired = async {
            if tail.place.seq > chat.last_seq {
                advance(&call, chat.id, (tail.place.seq, tail.active_at)).await?;
            }
            if tail.change_seq > chat.last_change_seq {
                advance_changes(&call, chat.id, tail.change_seq).await?;
            }
            Ok::<_, Fault>(())
        };
        if let Err(fault) = repaired.await {
            tracing::debug!(%fault, "the head of a chat was not repaired");
        }
    });
}

/// The place of the chat's newest message: the last entry of the index.
pub(super) async fn last_place(call: &Call, chat: ChatId) -> Result<Place, Fault> {
    let filter = doc! { "chatId": key(id::bytes(chat)) };
    let shape = Shape {
        sort: Some(doc! { "seq": -1 }),
        fields: Some(doc! { "_id": 0, "seq": 1, "mseq": 1 }),
        ..Shape::default()
    };
    let last = call.find_one::<PlaceDocument>(filter, shape);
    Ok(last.await?.unwrap_or_default())
}
