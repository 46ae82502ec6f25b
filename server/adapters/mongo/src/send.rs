//! Sending a message.
//!
//! Whether it may be sent is asked in one go with what the chat is; how it is numbered stands in
//! `commit`. The chat's head is advanced after it.

use mongodb::bson::doc;
use talksy_domain::access::Denied;
use talksy_domain::chats::Chat;
use talksy_domain::id;
use talksy_domain::messages::{Append, Appended, Message};

use super::call::Call;
use super::chat_queue::Committed;
use super::commands::Shape;
use super::documents::{ChatDocument, ChatOfMember, key};
use super::fault::Fault;
use super::{commit, heads};

/// Appends the draft to its chat.
pub(super) async fn send(call: &Call, draft: &Message) -> Result<Append, Fault> {
    let (chat, is_member) = tokio::try_join!(chat(call, draft), is_member(call, draft))?;
    let Some(chat) = chat else {
        return Ok(Append::Denied(Denied::NoChat));
    };
    if !is_member {
        return Ok(Append::Denied(Denied::NotMember));
    }
    let appended = match commit::commit(call, draft).await? {
        Committed::Now(seq) => {
            let head = (seq, Some(draft.created_at));
            if let Err(fault) = heads::advance(call, chat.id, head).await {
                // The message is durable. Reads find it above the chat's head and repair that.
                tracing::debug!(%fault, "the head of a chat was not advanced");
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
            message: *message,
            chat: heads::exact_one(call, chat).await?,
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
