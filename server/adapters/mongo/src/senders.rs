//! Whether the senders of drafts are members at the numbers that the drafts get.
//!
//! Let m(n) be the number of the newest system message up to n; each message stores it, so that
//! whoever reads n has it too. A draft carries `checked`, up to which system messages were applied
//! *before* its sender's member document was read. It gets number n + 1 only where `checked` is
//! at least m(n); else what is missing is applied, and the document is read again. Then the
//! document has all effects up to m(n); and if the insert succeeds, there was no message above n
//! yet, hence no effect of one. So a sender of n + 1 is a member by what 1 to n say, wherever the
//! system messages come from.
//!
//! `checked` is what this instance has last known to be applied when it begins to read, so that
//! the chat and the member can be read at the same time. It is too low only after a change by
//! another instance, and at first.
//!
//! All reads are of what the majority has, by the primary. What was applied is written after the
//! members are, each confirmed by the majority, so the primary that said so has the members too. One
//! that was elected in between does as well, but until its own first write is confirmed, some
//! milliseconds after the election, it may still answer from a state before that. Only a read of the
//! chat by the one primary, and of the member by the next one in that time, would let a message pass
//! whose sender was removed just before; causally consistent sessions would close this.

use std::collections::VecDeque;

use mongodb::bson::doc;
use talksy_domain::access::Denied;
use talksy_domain::id::{self, ChatId, UserId};
use talksy_domain::messages::Message;

use super::call::Call;
use super::chat_queue::ChatQueue;
use super::commands::Shape;
use super::documents::{self, MessageDocument, Place, key};
use super::fault::Fault;
use super::waiting::{Committed, Waiting, Work};
use super::{members, notices};

/// Looks again at the senders of the drafts at the batch's start who were looked at before the
/// newest system message. Who is no member is answered.
pub(super) async fn check(
    call: &Call,
    queue: &ChatQueue,
    chat: ChatId,
    last: Place,
    batch: &mut VecDeque<Waiting>,
) -> Result<(), Fault> {
    let is_behind = |waiting: &Waiting| match &waiting.work {
        Work::Draft { draft, checked } if *checked < last.mseq => draft.sender_id,
        _ => None,
    };
    let drafts = batch.iter().take_while(|next| next.draft().is_some());
    let (count, senders): (usize, Vec<UserId>) =
        drafts.fold((0, Vec::new()), |(count, mut senders), next| {
            senders.extend(is_behind(next));
            (count + 1, senders)
        });
    if senders.is_empty() {
        return Ok(());
    }
    if queue.applied() < last.mseq {
        notices::catch_up(call, chat, last.mseq).await?;
    }
    let found = members::among(call, chat, &senders).await?;
    for place in (0..count).rev() {
        let Some(sender) = batch.get(place).and_then(is_behind) else {
            continue;
        };
        if found.iter().any(|member| member.user_id == sender) {
            if let Some(Work::Draft { checked, .. }) =
                batch.get_mut(place).map(|next| &mut next.work)
            {
                *checked = last.mseq;
            }
        } else {
            // A retry of what preceded the removal succeeds.
            let repeated = match batch.get(place).and_then(Waiting::draft) {
                Some(draft) => repeated(call, draft).await?,
                None => None,
            };
            if let Some(next) = batch.remove(place) {
                next.answer(Ok(match repeated {
                    Some(message) => Committed::Before(Box::new(message)),
                    None => Committed::Denied(Denied::NotMember),
                }));
            }
        }
    }
    Ok(())
}

/// The message that the draft repeats: with the same sender and their own id for it, or with its
/// own id.
pub(super) async fn repeated(call: &Call, draft: &Message) -> Result<Option<Message>, Fault> {
    let filter = doc! {
        "chatId": key(id::bytes(draft.chat_id)),
        "dedup": documents::dedup(draft),
    };
    call.find_one::<MessageDocument>(filter, Shape::default())
        .await
}
