//! Carrying out what system messages say.
//!
//! A system message is the truth about a group; its members' documents, and the chat's title,
//! member count and `appliedSeq`, follow from it and are written here alone. Whoever finds a system
//! message that is not applied applies it: the one who wrote it, the next who commits to the chat,
//! and a reader who finds messages above the chat's `lastSeq`. So whatever a crash leaves is
//! completed.
//!
//! System messages are applied in the order of their numbers; each names the one before it. Of
//! number k, first each member's document that has `at < k` takes the effect and `at = k`. Then the
//! chat, where its `appliedSeq` is less than k, takes `appliedSeq = k`. An effect is absolute, so
//! that two who apply the same do so once; and one who was held up finds a greater `at` and changes
//! nothing. A member's document that is not there yet is made, under the unique index on (chat,
//! user): a duplicate is a newer document.
//!
//! Members are written and confirmed by the majority before the chat is. Hence whoever has read
//! `appliedSeq = k`, and a member's document behind that, has one that has all effects up to k.
//! And as messages up to n are read from what the majority has, no effect can outlive its message.
//!
//! A system message is told to followers when it is applied: then all that it says is to be read.
//!
//! `lastSeq` of a chat never passes a system message that is not applied: a sender is let in only
//! behind those that are (see `senders`), and a reader applies before they repair.

use mongodb::bson::{Bson, Document, doc};
use talksy_domain::chats::ChatTitle;
use talksy_domain::events::Announcement;
use talksy_domain::id::{self, ChatId};
use talksy_domain::messages::{MemberEffect, Message};
use talksy_domain::seq::Seq;

use super::call::Call;
use super::commands::Shape;
use super::documents::{
    self, CHATS, ChatDocument, KeptChat, MEMBERS, MessageDocument, PlaceDocument, date, key,
};
use super::fault::Fault;

/// The chat, ready or not, with all system messages up to number `to` applied. `None` where there
/// is no such chat.
pub(super) async fn catch_up(
    call: &Call,
    chat: ChatId,
    to: Seq,
) -> Result<Option<KeptChat>, Fault> {
    let filter = doc! { "_id": key(id::bytes(chat)) };
    let kept = async || {
        let found = call.find_one::<ChatDocument>(filter.clone(), Shape::default());
        found.await
    };
    let Some(found) = kept().await? else {
        return Ok(None);
    };
    let found = if found.chat.applied_seq < to {
        for message in pending(call, chat, found.chat.applied_seq, to).await? {
            apply(call, &message).await?;
        }
        kept().await?
    } else {
        Some(found)
    };
    if let Some(found) = &found {
        let queue = call.inner.queues.of(id::bytes(chat));
        queue.note_applied(found.chat.applied_seq);
    }
    Ok(found)
}

/// The system messages above `applied` up to `to`, which is one, in order.
async fn pending(call: &Call, chat: ChatId, applied: Seq, to: Seq) -> Result<Vec<Message>, Fault> {
    let mut pending = Vec::new();
    let mut number = to;
    while number > applied {
        let filter = doc! { "chatId": key(id::bytes(chat)), "seq": i64::from(number) };
        let message = call.find_one::<MessageDocument>(filter, Shape::default());
        let Some(message) = message.await? else {
            // What the majority has is not lost, so that a damaged number has led here.
            let what = format!("message {number} of {chat}");
            return Err(Fault::document(what, "it is not there".into()));
        };
        number = match &message.notice {
            Some(notice) => notice.previous.min(number - 1),
            None => newest_before(call, chat, number).await?,
        };
        pending.push(message);
    }
    pending.reverse();
    Ok(pending)
}

/// The number of the newest system message below this one, for one whose notice does not parse.
async fn newest_before(call: &Call, chat: ChatId, number: Seq) -> Result<Seq, Fault> {
    let filter = doc! { "chatId": key(id::bytes(chat)), "seq": i64::from(number) - 1 };
    let before = call.find_one::<PlaceDocument>(filter, Shape::default());
    Ok(before.await?.unwrap_or_default().mseq)
}

/// Carries out what a system message says, which has its number. All before it are applied.
pub(super) async fn apply(call: &Call, message: &Message) -> Result<(), Fault> {
    let notice = message.notice.as_ref();
    let effects = notice.map_or(&[][..], |notice| &notice.effects);
    let effects: Result<Vec<_>, Fault> = effects
        .iter()
        .map(|effect| update_of(message, effect))
        .collect();
    call.update_each(MEMBERS, effects?).await?;
    let number = i64::from(message.seq);
    let mut set = doc! { "appliedSeq": number, "ready": true };
    let mut unset = doc! {};
    if let Some(notice) = notice {
        set.insert("memberCount", i64::from(notice.member_count));
        if let Some(title) = &notice.title {
            set.insert("title", ChatTitle::as_str(title));
            set.insert("titleKey", title.sort_key());
        }
        if let Some(change) = &notice.metadata {
            let number = if change.to.is_some() { number } else { 0 };
            set.insert("metadataSeq", number);
        }
        match notice.avatar_id {
            Some(avatar) if notice.sets_avatar() => {
                set.insert("avatarId", key(id::bytes(avatar)));
            }
            None if notice.sets_avatar() => {
                unset.insert("avatarId", "");
            }
            _ => {}
        }
    }
    let chat = doc! { "_id": key(id::bytes(message.chat_id)), "appliedSeq": { "$lt": number } };
    let reached = doc! { "lastSeq": number, "activeAt": date(message.created_at) };
    let mut update = doc! { "$set": set, "$max": reached };
    if !unset.is_empty() {
        update.insert("$unset", unset);
    }
    let announce = call.announcing(Announcement::notice(message));
    // Of two who apply, the one whose update it was tells it; and whoever cannot know whether it was.
    let then = move |changed: Option<bool>| {
        if changed != Some(false) {
            announce();
        }
    };
    call.update_one_then(CHATS, chat, update, then).await?;
    let queue = call.inner.queues.of(id::bytes(message.chat_id));
    queue.note_applied(message.seq);
    Ok(())
}

/// What an effect does to a member's document, as a statement of the command `update`.
fn update_of(message: &Message, effect: &MemberEffect) -> Result<Document, Fault> {
    let number = i64::from(message.seq);
    let member = doc! {
        "chatId": key(id::bytes(message.chat_id)),
        "userId": key(id::bytes(effect.user_id)),
        "at": { "$lt": number },
    };
    let mut set = doc! { "at": number };
    let mut update = doc! { "$inc": { "v": 1_i64 } };
    if let Some(role) = effect.role {
        set.insert("role", documents::bson(&role)?);
    } else {
        set.insert("leftSeq", number);
        set.insert("active", false);
    }
    // Rejoining uses the same document and replaces its range.
    if let Some(history) = effect.joins {
        set.insert("active", true);
        set.insert("joinedAt", date(message.created_at));
        set.insert("joinedSeq", number);
        set.insert(
            "visibleFromSeq",
            i64::from(history.first_visible(message.seq)),
        );
        set.insert("lastReadSeq", number);
        set.insert("muted", false);
        update.insert(
            "$unset",
            doc! { "lastReadAt": "", "leftSeq": "", "unreadFromSeq": "" },
        );
    }
    update.insert("$set", set);
    let upsert = Bson::Boolean(effect.joins.is_some());
    Ok(doc! { "q": member, "u": update, "upsert": upsert })
}
