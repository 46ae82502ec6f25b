//! The writes of the line of changes: the claim of numbers, the changed messages, and the fence
//! that takes a claim's number away. What they are for stands in `changes`.

use std::collections::HashMap;
use std::sync::Arc;

use mongodb::bson::{Bson, Document, Uuid, deserialize_from_slice, doc};
use serde::Deserialize;
use talksy_domain::events::Announcement;
use talksy_domain::id::{self, ChatId, MessageId};
use talksy_domain::messages::{Message, MessageText};
use talksy_domain::metadata::Metadata;
use talksy_domain::seq::Seq;

use super::call::Call;
use super::commands::Shape;
use super::documents::{
    CHATS, KeptChat, MESSAGES, NOBODY, Toggle, bson, date, key, keys, user_keys,
};
use super::fault::Fault;
use super::search::words_of;

/// A change that is to be written.
pub(super) struct Step {
    /// The message as it has to be found.
    pub(super) before: Message,
    /// As it will be, with its number.
    pub(super) after: Message,
    /// The reactions that it counts with that, or no longer counts. What it has counted last is
    /// replaced by them; see `reactions`.
    pub(super) toggles: Vec<Toggle>,
}

impl Step {
    /// Whether the message is deleted by it.
    pub(super) const fn is_deletion(&self) -> bool {
        self.before.deleted_at.is_none() && self.after.deleted_at.is_some()
    }
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// The majority has it.
    Done,
    /// It was not carried out, and never will be.
    Not,
    /// Others have changed the message since, so that nobody can tell.
    Unknown,
}

/// The filter for a message. It names the chat, by which messages are sharded.
pub(super) fn of(message: MessageId, chat: ChatId) -> Document {
    doc! { "_id": key(id::bytes(message)), "chatId": key(id::bytes(chat)) }
}

/// Claims the numbers behind the chat's last claim for these changes. False where another was
/// faster.
pub(super) async fn claim(call: &Call, kept: &KeptChat, writes: &[&Step]) -> Result<bool, Fault> {
    let (chat, last) = (kept.chat.id, kept.claimed_seq);
    let mut filter = doc! { "_id": key(id::bytes(chat)), "claimedSeq": i64::from(last) };
    if last == 0 {
        // A chat of an earlier release may lack it.
        filter.insert("claimedSeq", doc! { "$in": [0, Bson::Null] });
    }
    let reached = writes.last().map_or(last, |step| step.after.change_seq);
    let claim = doc! {
        "claimedSeq": i64::from(reached),
        "claims": claims_of(writes),
    };
    call.update_one(CHATS, filter, doc! { "$set": claim }).await
}

/// The messages for which these numbers are claimed, each at its number's place.
fn claims_of(writes: &[&Step]) -> Vec<Uuid> {
    let messages = writes.iter().map(|step| id::bytes(step.after.id));
    messages.map(key).collect()
}

/// Sees to it that the last claims are settled. A write that changes nothing is confirmed like any
/// other: behind it, the majority has the number that was found there.
pub(super) async fn fence(call: &Call, kept: &KeptChat) -> Result<(), Fault> {
    let claims = (1..=kept.claimed_seq).rev();
    let claims = claims.zip(kept.claims.iter().rev().copied());
    fence_off(call, kept.chat.id, claims).await
}

/// Sees to it that each of these messages has its number, or a greater one, or never gets it.
async fn fence_off(
    call: &Call,
    chat: ChatId,
    claims: impl Iterator<Item = (Seq, MessageId)>,
) -> Result<(), Fault> {
    let fences = claims.map(|(number, message)| {
        let number = i64::from(number);
        let mut without = of(message, chat);
        without.insert("changeSeq", doc! { "$not": { "$gte": number } });
        doc! { "q": without, "u": { "$max": { "fence": number } } }
    });
    call.update_each(MESSAGES, fences.collect()).await
}

/// Writes the changes, whose numbers are claimed, and tells of each what became of it. Where
/// something failed as well, it is what the rest failed with. `announced` has an event for each.
pub(super) async fn write(
    call: &Call,
    chat: ChatId,
    writes: &[&Step],
    announced: Vec<Announcement>,
) -> Result<(Vec<Written>, Option<Fault>), Fault> {
    let all = writes.len();
    let claims: Vec<_> = writes
        .iter()
        .map(|step| (step.after.change_seq, step.after.id))
        .collect();
    let (events, at_once) = (Arc::clone(&call.inner.events), announced.clone());
    let then = move |count: usize| {
        if count == all {
            events.put(at_once);
        }
    };
    let updates: Result<Vec<_>, Fault> = writes.iter().map(|step| update(step)).collect();
    let updates = updates?;
    let fault = match call.update_in_order(MESSAGES, updates, then).await {
        Ok(count) if count == all => return Ok((vec![Written::Done; all], None)),
        Ok(_) => None,
        Err(fault) => {
            // The command may be at work still.
            fence_off(call, chat, claims.iter().copied()).await?;
            (!fault.is_unsettled()).then_some(fault)
        }
    };
    let numbers = numbers(call, chat, writes).await?;
    let written = told_apart(&claims, &numbers);
    let announced = announced.into_iter().zip(&written);
    let durable = announced.filter(|(_, written)| **written == Written::Done);
    let durable = durable.map(|(announcement, _)| announcement);
    call.inner.events.put(durable.collect());
    Ok((written, fault))
}

/// What became of the writes of these claims, where their messages have these numbers now.
fn told_apart(claims: &[(Seq, MessageId)], numbers: &HashMap<MessageId, Seq>) -> Vec<Written> {
    let last = claims.last().map_or(0, |(claim, _)| *claim);
    let written = claims
        .iter()
        .map(|(claim, message)| match numbers.get(message) {
            Some(number) if *number > last => Written::Unknown,
            Some(number) if number >= claim => Written::Done,
            _ => Written::Not,
        });
    written.collect()
}

/// The numbers of a message's last change.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Numbered {
    #[serde(rename = "_id")]
    id: Uuid,
    #[serde(default)]
    change_seq: Seq,
}

/// The numbers that these messages have now.
async fn numbers(
    call: &Call,
    chat: ChatId,
    writes: &[&Step],
) -> Result<HashMap<MessageId, Seq>, Fault> {
    let messages: Vec<_> = writes.iter().map(|step| step.after.id).collect();
    let filter = doc! {
        "_id": { "$in": keys(&messages, id::bytes) },
        "chatId": key(id::bytes(chat)),
    };
    let shape = Shape {
        fields: Some(doc! { "changeSeq": 1 }),
        ..Shape::default()
    };
    let found = call.find_raw(MESSAGES, filter, shape).await?;
    let found = found.iter().map(|raw| {
        let found: Numbered = deserialize_from_slice(raw.as_bytes())
            .map_err(|error| Fault::document("the number of a message", error.into()))?;
        Ok((id::from_bytes(found.id.bytes()), found.change_seq))
    });
    found.collect()
}

/// The write of a change: where the message is as it was, and the claim was not fenced off.
fn update(step: &Step) -> Result<Document, Fault> {
    let Step { before, after, .. } = step;
    let mut filter = of(before.id, before.chat_id);
    let unchanged = match before.change_seq {
        0 => Bson::Null,
        number => Bson::Int64(number.into()),
    };
    filter.insert("changeSeq", unchanged);
    let number = i64::from(after.change_seq);
    filter.insert("fence", doc! { "$not": { "$gte": number } });
    let (mut set, mut unset) = (
        doc! { "changeSeq": number, "contentSeq": i64::from(after.content_seq) },
        doc! { "fence": "" },
    );
    match after.text.as_ref().map(MessageText::as_str) {
        Some(text) => set.insert("text", text),
        None => unset.insert("text", ""),
    };
    if after.text != before.text {
        match words_of(after) {
            Some(words) => set.insert("words", words),
            None => unset.insert("words", ""),
        };
    }
    match after.metadata.as_ref().map(Metadata::as_str) {
        Some(metadata) => set.insert("metadata", metadata),
        None => unset.insert("metadata", ""),
    };
    if after.mention_ids.is_empty() {
        unset.insert("mentionIds", "");
    } else {
        set.insert("mentionIds", user_keys(&after.mention_ids));
    }
    if after.reply_to.is_none() {
        unset.insert("replyTo", "");
    }
    if after.attachments.is_empty() {
        unset.insert("attachmentIds", "");
    }
    if let Some(at) = after.edited_at {
        set.insert("editedAt", date(at));
    }
    if let Some(at) = after.deleted_at {
        set.insert("deletedAt", date(at));
        set.insert("knownTo", NOBODY);
        unset.extend(doc! { "reactions": "", "toggles": "" });
    } else if !step.toggles.is_empty() {
        // None are kept as such: there are documents to be erased.
        set.insert("reactions", bson(&after.reactions)?);
        let toggles: Vec<Bson> = step.toggles.iter().map(Toggle::kept).collect();
        set.insert("toggles", toggles);
    }
    if after.pinned_seq != before.pinned_seq {
        if after.pinned_seq > 0 {
            set.insert("pinnedIn", key(id::bytes(after.chat_id)));
            set.insert("pinnedSeq", i64::from(after.pinned_seq));
        } else {
            unset.extend(doc! { "pinnedIn": "", "pinnedSeq": "" });
        }
    }
    Ok(doc! { "q": filter, "u": { "$set": set, "$unset": unset } })
}

#[cfg(test)]
mod tests {
    use super::Written::{Done, Not, Unknown};
    use super::*;

    #[test]
    fn what_became_of_a_write_is_told_by_its_message() {
        let [twice, once, other, gone] = [1_u8, 2, 3, 4].map(|n| id::from_bytes([n; 16]));
        let claims = [(8, twice), (9, once), (10, twice), (11, other), (12, gone)];
        let told =
            |numbers: &[(MessageId, Seq)]| told_apart(&claims, &numbers.iter().copied().collect());
        // Only the first of two changes of one message was carried out.
        let numbers = [(twice, 8), (once, 9), (other, 3)];
        assert_eq!(told(&numbers), [Done, Done, Not, Not, Not]);
        // The second of them: so the first was too.
        let numbers = [(twice, 10), (once, 0), (other, 11), (gone, 12)];
        assert_eq!(told(&numbers), [Done, Not, Done, Done, Done]);
        // Others have gone on.
        let numbers = [(twice, 13), (once, 9), (other, 11), (gone, 12)];
        assert_eq!(told(&numbers), [Unknown, Done, Unknown, Done, Done]);
    }
    /// Whoever fences claims off takes each at its number.
    #[test]
    fn claims_are_in_the_order_of_their_numbers() {
        let step = |n: u8, change_seq| {
            let [chat, sender] = [1, 2].map(|n: u8| [n; 16]);
            let text = MessageText::parse("hello").unwrap();
            let at = talksy_domain::clock::Timestamp::from_millis(0);
            let (chat, sender) = (id::from_bytes(chat), id::from_bytes(sender));
            let before = Message::draft(id::from_bytes([n; 16]), chat, sender, text, at);
            let after = Message {
                change_seq,
                ..before.clone()
            };
            Step {
                before,
                after,
                toggles: Vec::new(),
            }
        };
        let steps = [step(9, 1), step(3, 2), step(9, 3)];
        let claims = claims_of(&steps.iter().collect::<Vec<_>>());
        assert_eq!(claims, [9, 3, 9].map(|n: u8| key([n; 16])));
    }
}
