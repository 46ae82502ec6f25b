//! Changing a message: the line of changes.
//!
//! A message keeps the number of its latest change, `changeSeq`, so that the changed messages of a
//! chat, in the order of that number, are what a follower reads. That order is all: a row only
//! moves to a greater number. So a follower at place p loses nothing **if no row ever gets a number
//! that is not above all that anybody could have seen**.
//!
//! A unique index on the number does not see to that. A writer that read k as the last number and
//! was held up could still write k + 1 where others had given one message k + 1 and then k + 2: the
//! row has moved on, and k + 1 is free again, but a follower is at k + 2. So a number is **claimed**
//! first, in the one document that all writers of a chat share, and never twice:
//!
//! 1. The chat, the member and the message are read, and the change is judged.
//! 2. The last claim, number k for message x, has to be **settled**: x has number k or a greater
//!    one, or never gets k. That the chat's `lastChangeSeq` has reached k says so, or that this
//!    instance has written k. Else its writer is given a moment, and then x gets a `fence` of k,
//!    unless it has the number.
//! 3. The chat takes the claim, number k + 1 for this message, if its last claim is still k.
//! 4. The message takes the change and number k + 1, if its `changeSeq` is still what was read and
//!    its fence is below k + 1.
//! 5. `lastChangeSeq` of the chat is advanced.
//!
//! Where step 3 or 4 finds another there, all begins anew with what is there then. A claim that
//! comes to nothing leaves a number that no row ever has, as does a change that is superseded.
//!
//! Each write is confirmed by the majority before the next step. Hence k is visible or fenced off
//! before k + 1 is claimed, also where the writer of k does not know whether it succeeded, and in
//! every state that the majority has the rows up to the greatest are complete.
//!
//! Within one instance changes of a chat wait for each other, and instances that meet there take
//! turns (see `turns`); nothing depends on that for being right.
//!
//! A crash behind step 3 costs the next change the moment of step 2; one behind step 4 leaves
//! `lastChangeSeq` behind, which readers notice and repair (see `heads`).

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};
use talksy_domain::access::Denied;
use talksy_domain::chats::Chat;
use talksy_domain::events::Announcement;
use talksy_domain::id::{self, ChatId, MessageId};
use talksy_domain::messages::{
    ChangeRefusal, Changed, ChangedMessage, Message, MessageChange, MessageText,
};
use talksy_domain::seq::Seq;
use tokio::time::Instant;

use super::call::Call;
use super::chat_queue::ChatQueue;
use super::commands::Shape;
use super::documents::{
    CHATS, ChatDocument, KeptChat, MESSAGES, MessageDocument, NOBODY, date, key,
};
use super::fault::Fault;
use super::turns::ChatTurn;
use super::{heads, members};

/// How long the writer of a claim is given before it is fenced off. More than a write takes, also
/// where the majority is slow; and what a crash may cost the next change of the chat, once.
const CLAIM_TIMEOUT: Duration = Duration::from_millis(300);

/// Changes a message.
pub(super) async fn change(call: &Call, change: &MessageChange) -> Result<Changed, Fault> {
    let queue = call.inner.change_queues.of(id::bytes(change.chat_id));
    let _place = queue.line.try_acquire().map_err(|_full| Fault::Busy)?;
    let mut turn = ChatTurn::new(call, &queue, format!("changes:{}", change.chat_id));
    let outcome = {
        // Only instances contend; within this one, changes of a chat come one after the other.
        let _alone = call.wait(queue.alone.lock()).await?;
        commit(call, &queue, &mut turn, change).await
    };
    turn.pass().await;
    let outcome = outcome?;
    match &outcome {
        Changed::Done(done) if done.is_new => {
            let number = done.message.change_seq;
            if let Err(fault) = heads::advance_changes(call, change.chat_id, number).await {
                // The change is durable. Reads find it above the chat's head and repair that.
                tracing::debug!(%fault, "the last change of a chat was not advanced");
            }
        }
        // What is new was told with its write.
        outcome => call.announce(outcome.announcements()),
    }
    Ok(outcome)
}

/// Judges and writes the change until it is done or refused.
async fn commit(
    call: &Call,
    queue: &ChatQueue,
    turn: &mut ChatTurn,
    change: &MessageChange,
) -> Result<Changed, Fault> {
    let spread = id::bytes(change.message_id)[15];
    let asking = [change.actor_id];
    let mut unsettled: Option<(Seq, Instant)> = None;
    for attempt in 0_u32.. {
        if attempt > 0 {
            call.pause(attempt, spread.rotate_left(attempt)).await?;
        }
        turn.take(attempt).await;
        let (kept, actor, message) = tokio::try_join!(
            chat(call, change),
            members::among(call, change.chat_id, &asking),
            message(call, change),
        )?;
        let Some(kept) = kept else {
            return Ok(Changed::Refused(Denied::NoChat.into()));
        };
        let Some(actor) = actor.first() else {
            return Ok(Changed::Refused(Denied::NotMember.into()));
        };
        let Some(message) = message else {
            return Ok(Changed::Refused(ChangeRefusal::NoMessage));
        };
        let number = kept.claimed_seq.saturating_add(1);
        let changed = match change.apply(&message, kept.chat.kind, actor, number) {
            Err(refusal) => return Ok(Changed::Refused(refusal)),
            Ok(None) => {
                let chat = heads::exact_one(call, kept.chat).await?;
                return Ok(done(message, chat, false));
            }
            Ok(Some(changed)) => changed,
        };
        if kept.chat.last_change_seq.max(queue.settled()) < kept.claimed_seq {
            let since = unsettled.filter(|(seq, _)| *seq == kept.claimed_seq);
            let (_, since) = *unsettled.insert(since.unwrap_or((kept.claimed_seq, Instant::now())));
            if since.elapsed() < CLAIM_TIMEOUT {
                continue;
            }
            fence(call, &kept).await?;
        }
        let writing = async {
            Ok::<_, Fault>(
                claim(call, &kept.chat, message.id, kept.claimed_seq).await?
                    && write(call, &message, &changed, kept.chat.applied_seq).await?,
            )
        };
        // Looks whether others stand in line.
        if turn.measured(2, writing).await? {
            queue.note_settled(number);
            let chat = Chat {
                last_change_seq: number,
                ..kept.chat
            };
            return Ok(done(changed, chat, true));
        }
    }
    Err(Fault::Contended)
}

fn done(message: Message, chat: Chat, is_new: bool) -> Changed {
    Changed::Done(Box::new(ChangedMessage {
        message,
        chat,
        is_new,
    }))
}

async fn chat(call: &Call, change: &MessageChange) -> Result<Option<KeptChat>, Fault> {
    let filter = doc! { "_id": key(id::bytes(change.chat_id)), "ready": true };
    call.find_one::<ChatDocument>(filter, Shape::default())
        .await
}

async fn message(call: &Call, change: &MessageChange) -> Result<Option<Message>, Fault> {
    let filter = of(change.message_id, change.chat_id);
    call.find_one::<MessageDocument>(filter, Shape::default())
        .await
}

/// The filter for a message. It names the chat, by which messages are sharded.
fn of(message: MessageId, chat: ChatId) -> Document {
    doc! { "_id": key(id::bytes(message)), "chatId": key(id::bytes(chat)) }
}

/// Sees to it that the last claim is settled. A write that changes nothing is confirmed like any
/// other: behind it, the majority has the number that was found there.
async fn fence(call: &Call, kept: &KeptChat) -> Result<(), Fault> {
    let Some(claimed_for) = kept.claimed_for else {
        return Ok(());
    };
    let number = i64::from(kept.claimed_seq);
    let mut without = of(claimed_for, kept.chat.id);
    without.insert("changeSeq", doc! { "$not": { "$gte": number } });
    let fence = doc! { "$max": { "fence": number } };
    call.update_one(MESSAGES, without, fence).await?;
    Ok(())
}

/// Claims the number behind `last` for the message. False where another was faster.
async fn claim(call: &Call, chat: &Chat, message: MessageId, last: Seq) -> Result<bool, Fault> {
    let mut filter = doc! { "_id": key(id::bytes(chat.id)), "claimedSeq": i64::from(last) };
    if last == 0 {
        // A chat of an earlier release may lack it.
        filter.insert("claimedSeq", doc! { "$in": [0, Bson::Null] });
    }
    let claim = doc! {
        "claimedSeq": i64::from(last) + 1,
        "claimedFor": key(id::bytes(message)),
    };
    call.update_one(CHATS, filter, doc! { "$set": claim }).await
}

/// Writes the change, whose number is claimed. False where the message has changed meanwhile, or
/// the claim was fenced off. System messages up to `mseq` are applied.
async fn write(call: &Call, before: &Message, changed: &Message, mseq: Seq) -> Result<bool, Fault> {
    let mut filter = of(before.id, before.chat_id);
    let unchanged = match before.change_seq {
        0 => Bson::Null,
        number => Bson::Int64(number.into()),
    };
    filter.insert("changeSeq", unchanged);
    let number = i64::from(changed.change_seq);
    filter.insert("fence", doc! { "$not": { "$gte": number } });
    let (mut set, mut unset) = (
        doc! { "changeSeq": number, "contentSeq": i64::from(changed.content_seq) },
        doc! { "fence": "" },
    );
    match changed.text.as_ref().map(MessageText::as_str) {
        Some(text) => set.insert("text", text),
        None => unset.insert("text", ""),
    };
    if let Some(at) = changed.edited_at {
        set.insert("editedAt", date(at));
    }
    if let Some(at) = changed.deleted_at {
        set.insert("deletedAt", date(at));
        set.insert("knownTo", NOBODY);
    }
    let update = doc! { "$set": set, "$unset": unset };
    let announce = vec![Announcement::message_changed(changed.clone(), mseq)];
    let announce = call.announcing(announce);
    let then = |written: Option<bool>| {
        if written == Some(true) {
            announce();
        }
    };
    call.update_one_then(MESSAGES, filter, update, then).await
}
