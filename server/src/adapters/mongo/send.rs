//! Sending a message: the one write that numbers it and makes it durable.
//!
//! Number n + 1 is inserted where n is the chat's last, under the unique index on (chat, seq), so
//! that of two who try one succeeds and the other tries behind it. n is read from what the
//! majority has, or was made durable by this instance: it cannot be rolled back, so n + 1 leaves no
//! hole. A second unique index, on (chat, dedup), refuses what the sender has sent before.

use mongodb::bson::doc;
use talksy_schema::chats::Chat;
use talksy_schema::id;
use talksy_schema::messages::{Append, Appended, Message, Seq};

use super::call::{Call, Inserted, Shape};
use super::documents::{self, ChatDocument, ChatOfMember, MESSAGES, MessageDocument, key};
use super::ends;
use super::fault::Fault;
use super::indexes::MESSAGES_BY_SEQ;

/// Appends the draft to its chat.
pub(super) async fn send(call: &Call, draft: &Message) -> Result<Append, Fault> {
    let (chat, is_member) = tokio::try_join!(chat(call, draft), is_member(call, draft))?;
    let Some(chat) = chat else {
        return Ok(Append::NoChat);
    };
    if !is_member {
        return Ok(Append::NotMember);
    }
    let appended = match commit(call, draft).await? {
        Committed::Now(seq) => {
            let end = (seq, Some(draft.created_at));
            if let Err(fault) = ends::raise(call, chat.id, end).await {
                // The message is durable. Reads find it above the chat's end and mend that.
                tracing::debug!(%fault, "the end of a chat was not raised");
            }
            Appended {
                message: Message {
                    seq,
                    ..draft.clone()
                },
                chat: Chat {
                    last_seq: seq,
                    active_at: chat.active_at.max(draft.created_at),
                    ..chat
                },
                is_duplicate: false,
            }
        }
        Committed::Before(message) => Appended {
            message,
            chat: ends::chat(call, chat.id).await?.unwrap_or(chat),
            is_duplicate: true,
        },
    };
    Ok(Append::Done(Box::new(appended)))
}

async fn chat(call: &Call, draft: &Message) -> Result<Option<Chat>, Fault> {
    let filter = doc! { "_id": key(id::bytes(draft.chat_id)), "ready": true };
    let kept = call.find_one::<ChatDocument>(filter, Shape::default());
    Ok(kept.await?.map(|kept| kept.chat))
}

async fn is_member(call: &Call, draft: &Message) -> Result<bool, Fault> {
    let Some(sender) = draft.sender_id else {
        return Ok(true);
    };
    let filter = doc! {
        "chatId": key(id::bytes(draft.chat_id)),
        "userId": key(id::bytes(sender)),
    };
    let shape = Shape {
        fields: Some(doc! { "_id": 0, "chatId": 1 }),
        ..Shape::default()
    };
    Ok(call
        .find_one::<ChatOfMember>(filter, shape)
        .await?
        .is_some())
}

enum Committed {
    /// The draft is durable under this number.
    Now(Seq),
    /// The sender has sent it before: this message.
    Before(Message),
}

async fn commit(call: &Call, draft: &Message) -> Result<Committed, Fault> {
    let lane = call.inner.lanes.of(id::bytes(draft.chat_id));
    let mut hint = lane.enter(call).await?;
    // The end of the id is random.
    let spread = id::bytes(draft.id)[15];
    for attempt in 1_u32.. {
        let last = match hint.take() {
            Some(last) => last,
            None => ends::last_seq(call, draft.chat_id).await?,
        };
        let seq = last + 1;
        let document = MessageDocument::new(draft, seq);
        match call.insert(MESSAGES, document).await? {
            Inserted::Done => {
                hint.taken(seq);
                return Ok(Committed::Now(seq));
            }
            // Another instance was faster.
            Inserted::Duplicate(index) if index == MESSAGES_BY_SEQ => {}
            Inserted::Duplicate(_) => {
                if let Some(message) = sent_before(call, draft).await? {
                    return Ok(Committed::Before(message));
                }
                // It is not confirmed by the majority yet, or it is gone again.
            }
        }
        call.pause(attempt, spread.rotate_left(attempt)).await?;
    }
    Err(Fault::Contended)
}

/// The message that the draft repeats.
async fn sent_before(call: &Call, draft: &Message) -> Result<Option<Message>, Fault> {
    let filter = doc! {
        "chatId": key(id::bytes(draft.chat_id)),
        "dedup": documents::dedup(draft),
    };
    call.find_one::<MessageDocument>(filter, Shape::default())
        .await
}
