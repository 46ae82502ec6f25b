//! Sending a message.
//!
//! Whether it may be sent is asked in one go with what the chat is, and with whether it was sent
//! before: a retry of what preceded a removal, or a block, succeeds. That one of two has blocked the other
//! stands in the chat's own document (see `blocks`); a message that has read it goes on, so that what is
//! on its way to the insert when somebody is blocked is still sent. How it is numbered stands in `commit`. The
//! chat's head is advanced after it.

use mongodb::bson::doc;
use talksy_domain::access::Denied;
use talksy_domain::chats::{Chat, Member};
use talksy_domain::id::{self, UserId};
use talksy_domain::messages::{Append, Appended, Message};

use super::call::Call;
use super::commands::Shape;
use super::documents::{ChatDocument, ChatOfMember, KeptChat, Place, key};
use super::fault::Fault;
use super::waiting::{Committed, Work};
use super::{commit, heads, members, senders};

/// Appends the draft to its chat.
pub(super) async fn send(call: &Call, draft: &Message) -> Result<Append, Fault> {
    if draft.sender_id.is_none() {
        // System messages are made where groups are changed.
        return Ok(Append::Denied(Denied::NotMember));
    }
    let queue = call.inner.queues.of(id::bytes(draft.chat_id));
    // What was applied before the member's document is read.
    let mut checked = queue.applied();
    let (chat, mut is_member, before, mut refused) = tokio::try_join!(
        chat(call, draft),
        is_member(call, draft),
        sent_before(call, draft),
        judge_content(call, draft)
    )?;
    let Some(kept) = chat else {
        return Ok(Append::Denied(Denied::NoChat));
    };
    let mut chat = kept.chat;
    queue.note_applied(chat.applied_seq);
    if let Some(message) = before {
        return repeat(call, message, chat).await;
    }
    if !is_member || refused.is_some() {
        // Who is let in by a system message that is not applied yet is not known to be a member.
        chat = heads::exact_one(call, chat).await?;
        checked = chat.applied_seq;
        if checked > 0 {
            (is_member, refused) =
                tokio::try_join!(self::is_member(call, draft), judge_content(call, draft))?;
        }
    }
    if !is_member {
        return Ok(Append::Denied(Denied::NotMember));
    }
    if kept.is_blocked {
        return Ok(Append::Denied(Denied::NotWritable));
    }
    if chat.is_closed {
        return Ok(Append::Denied(Denied::Closed));
    }
    if let Some(refused) = refused {
        return Ok(refused);
    }
    let work = Work::Draft {
        draft: Box::new(draft.clone()),
        checked,
    };
    match commit::commit(call, draft.chat_id, work).await? {
        Committed::Now(place) => appended(call, draft, place, chat).await,
        Committed::Before(message) => repeat(call, *message, chat).await,
        Committed::Denied(denied) => Ok(Append::Denied(denied)),
        Committed::Full => Ok(Append::Full),
        // A draft is answered as one.
        Committed::Group(_) | Committed::Changed(_) => Err(Fault::Panicked),
    }
}

/// The message is durable at its place.
async fn appended(
    call: &Call,
    draft: &Message,
    place: Place,
    before: Chat,
) -> Result<Append, Fault> {
    let head = (place.seq, Some(draft.created_at));
    if let Err(fault) = heads::advance(call, before.id, head).await {
        // Reads find it above the chat's head and repair that.
        tracing::debug!(%fault, "the head of a chat was not advanced");
    }
    let chat = if before.applied_seq == place.mseq {
        before
    } else {
        // The group was changed since the chat was read.
        let kept = chat(call, draft).await?;
        kept.map_or(before, |kept| kept.chat)
    };
    let message = Message {
        seq: place.seq,
        mseq: place.mseq,
        ..draft.clone()
    };
    let chat = Chat {
        last_seq: chat.last_seq.max(place.seq),
        active_at: chat.active_at.max(draft.created_at),
        ..chat
    };
    Ok(Append::Done(Box::new(Appended {
        message,
        chat,
        is_duplicate: false,
    })))
}

/// Answers a retry with the message that the first attempt has made, also where the sender is no
/// member any more.
async fn repeat(call: &Call, message: Message, chat: Chat) -> Result<Append, Fault> {
    let outcome = Append::Done(Box::new(Appended {
        message,
        chat: heads::exact_one(call, chat).await?,
        is_duplicate: true,
    }));
    call.announce(outcome.announcements());
    Ok(outcome)
}

/// Why a member may not say what the draft does; `None` where it says nothing of the kind.
async fn judge_content(call: &Call, draft: &Message) -> Result<Option<Append>, Fault> {
    let says_nothing = draft.reply_to.is_none() && draft.mention_ids.is_empty();
    let Some(sender) = draft.sender_id.filter(|_| !says_nothing) else {
        return Ok(None);
    };
    let mut concerned = draft.mention_ids.clone();
    concerned.push(sender);
    let members = members::among(call, draft.chat_id, &concerned).await?;
    let member = |user: UserId| members.iter().find(|member| member.user_id == user);
    let hides = |member: &Member| {
        draft
            .reply_to
            .is_some_and(|seq| seq < member.visible_from_seq)
    };
    if member(sender).is_some_and(hides) {
        return Ok(Some(Append::NoReplyTarget));
    }
    let mut mentioned = draft.mention_ids.iter();
    let stranger = mentioned.position(|user| member(*user).is_none());
    Ok(stranger.map(Append::NotMentionable))
}

/// The message that a draft with its sender's own id repeats.
pub(super) async fn sent_before(call: &Call, draft: &Message) -> Result<Option<Message>, Fault> {
    match draft.client_message_id {
        Some(_) => senders::repeated(call, draft).await,
        None => Ok(None),
    }
}

async fn chat(call: &Call, draft: &Message) -> Result<Option<KeptChat>, Fault> {
    let filter = doc! { "_id": key(id::bytes(draft.chat_id)), "ready": true };
    call.find_one::<ChatDocument>(filter, Shape::default())
        .await
}

async fn is_member(call: &Call, draft: &Message) -> Result<bool, Fault> {
    let Some(sender) = draft.sender_id else {
        return Ok(false);
    };
    let filter = doc! {
        "chatId": key(id::bytes(draft.chat_id)),
        "userId": key(id::bytes(sender)),
        "active": true,
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
