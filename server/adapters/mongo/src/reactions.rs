//! Reactions: a document for each user, message and emoji, and counts in the message.
//!
//! The message decides. A change of its counts is one of the changes of its line (see `changes`):
//! its compare-and-set stores the counts and the *toggles*, which are the reactions that it has
//! counted, or no longer counts, with its number. Those who wait for one message share it, so that
//! there are at most as many toggles as a batch has changes. Then each toggle is written into its
//! reaction's own document, where what is there has a lower number, and the toggles are taken out of
//! the message.
//!
//! An instance may die in between. Whoever replaces toggles writes them into the reactions'
//! documents first, and so does whoever reads these documents. So a reaction's document and the
//! message's toggles together tell exactly what the message has counted.
//!
//! A reaction that was taken back keeps its document, which says so: without it, a late write of an
//! earlier toggle would bring the reaction back. All documents of a message go when it is deleted: by
//! a job, which is written ahead of the deletion. No document grows with those who react.

use std::collections::HashMap;

use mongodb::bson::{Bson, Document, Uuid, doc};
use talksy_domain::clock::{Clock as _, SystemClock};
use talksy_domain::id::{self, ChatId, MessageId, UserId};
use talksy_domain::jobs::Task;
use talksy_domain::messages::{Emoji, Reaction, ReactionOf, ReactionPage};
use talksy_domain::page::Page;
use talksy_domain::seq::Seq;

use super::call::Call;
use super::change_writes;
use super::commands::Shape;
use super::documents::{
    KeptReaction, MESSAGES, REACTIONS, ReactionDocument, Toggle, Toggled, ToggledDocument, key,
    keys, limit, overread, place,
};
use super::fault::Fault;
use super::jobs;
use super::lookups::{self, Lookup};
use super::repair::HEAD_START;

/// Somebody's reaction to a message.
pub(super) type Who = (MessageId, UserId, Emoji);

/// Which of these reactions the messages of the chat have counted, by what was read of the messages
/// **before**; and whether one of them has been changed since.
pub(super) async fn counted(
    call: &Call,
    chat: ChatId,
    messages: &HashMap<MessageId, Toggled>,
    asked: &[Who],
) -> Result<(HashMap<Who, bool>, bool), Fault> {
    if asked.is_empty() {
        return Ok((HashMap::new(), false));
    }
    let chat_key = key(id::bytes(chat));
    let wanted: Vec<_> = asked
        .iter()
        .map(|(message, user, emoji)| {
            doc! {
                "chatId": chat_key,
                "messageId": key(id::bytes(*message)),
                "userId": key(id::bytes(*user)),
                "emoji": emoji.as_str(),
            }
        })
        .collect();
    let filter = doc! { "$or": wanted };
    let mut counted: HashMap<Who, (Seq, bool)> = HashMap::new();
    let mut is_newer = false;
    for kept in call
        .find::<ReactionDocument>(filter, Shape::default())
        .await?
    {
        let known = messages.get(&kept.message_id);
        is_newer |= known.is_some_and(|known| known.change_seq < kept.toggle.seq);
        let Toggle {
            user_id,
            emoji,
            is_on,
            seq,
        } = kept.toggle;
        counted.insert((kept.message_id, user_id, emoji), (seq, is_on));
    }
    for toggled in messages.values() {
        for toggle in &toggled.toggles {
            let who = (toggled.message_id, toggle.user_id, toggle.emoji.clone());
            let counted = counted.entry(who).or_default();
            *counted = (*counted).max((toggle.seq, toggle.is_on));
        }
    }
    let counted = counted.into_iter();
    let counted = counted.map(|(who, (_, is_on))| (who, is_on));
    Ok((counted.collect(), is_newer))
}

/// Writes toggles into the reactions' own documents, by their [`Toggle::update`].
pub(super) async fn write(call: &Call, toggles: Vec<Document>) -> Result<(), Fault> {
    call.update_each(REACTIONS, toggles).await
}

/// Takes toggles that are written out of their messages, where these have their last change still.
pub(super) async fn clear(
    call: &Call,
    chat: ChatId,
    messages: Vec<(MessageId, Seq)>,
) -> Result<(), Fault> {
    let updates = messages.into_iter().map(|(message, change_seq)| {
        let mut filter = change_writes::of(message, chat);
        filter.insert("changeSeq", i64::from(change_seq));
        doc! { "q": filter, "u": { "$unset": { "toggles": "" } } }
    });
    call.update_each(MESSAGES, updates.collect()).await
}

/// Says ahead of the deletion of a message that its reactions are to be erased.
pub(super) async fn announce_erasure(
    call: &Call,
    chat: ChatId,
    message: MessageId,
) -> Result<(), Fault> {
    let task = Task::EraseReactions {
        chat_id: chat,
        message_id: message,
    };
    let now = SystemClock.now();
    // One of its own for each try: one that comes too early may be done with.
    let job = task.job(id::from_bytes(Uuid::new().bytes()), now, now + HEAD_START);
    let job = job.map_err(|error| Fault::document("a job", error.into()))?;
    jobs::insert(call, &job).await?;
    Ok(())
}

/// What concerns the reactions of messages; of those alone with toggles where `left` says so.
async fn toggled(call: &Call, messages: &[MessageId], left: bool) -> Result<Vec<Toggled>, Fault> {
    let mut filter = doc! { "_id": { "$in": keys(messages, id::bytes) } };
    if left {
        filter.insert("toggles", doc! { "$exists": true });
    }
    let shape = Shape {
        fields: Some(toggled_fields()),
        ..Shape::default()
    };
    call.find::<ToggledDocument>(filter, shape).await
}

/// What is read of a message for its reactions.
fn toggled_fields() -> Document {
    doc! { "chatId": 1, "changeSeq": 1, "toggles": 1, "deletedAt": 1 }
}

/// Writes what an instance that died, or is at work, has left of these messages' toggles.
async fn settle(call: &Call, messages: &[Toggled]) -> Result<(), Fault> {
    let left = messages.iter().flat_map(Toggled::updates).collect();
    write(call, left).await?;
    let (call, mut by_chat) = (call.clone(), HashMap::<ChatId, Vec<_>>::new());
    for of in messages.iter().filter(|of| !of.toggles.is_empty()) {
        let known = by_chat.entry(of.chat_id).or_default();
        known.push((of.message_id, of.change_seq));
    }
    if by_chat.is_empty() {
        return Ok(());
    }
    tokio::spawn(async move {
        for (chat, messages) in by_chat {
            if let Err(fault) = clear(&call, chat, messages).await {
                tracing::debug!(%fault, "toggles that are written were not taken out");
            }
        }
    });
    Ok(())
}

/// With which emoji the user has reacted to these messages.
pub(super) async fn of_user(
    call: &Call,
    user: UserId,
    messages: &[(ChatId, MessageId)],
) -> Result<Vec<(MessageId, Emoji)>, Fault> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let (chats, messages): (Vec<_>, Vec<_>) = messages.iter().copied().unzip();
    settle(call, &toggled(call, &messages, true).await?).await?;
    let filter = doc! {
        "chatId": { "$in": keys(&chats, id::bytes) },
        "messageId": { "$in": keys(&messages, id::bytes) },
        "userId": key(id::bytes(user)),
        "on": true,
    };
    let found = call.find::<ReactionDocument>(filter, Shape::default());
    let found = found.await?.into_iter();
    Ok(found
        .map(|kept| (kept.message_id, kept.toggle.emoji))
        .collect())
}

/// With which emoji these users have reacted to the message.
pub(super) async fn among(
    call: &Call,
    (chat, message): (ChatId, MessageId),
    users: &[UserId],
) -> Result<Vec<(UserId, Emoji)>, Fault> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    settle(call, &toggled(call, &[message], true).await?).await?;
    let filter = doc! {
        "chatId": key(id::bytes(chat)),
        "messageId": key(id::bytes(message)),
        "userId": { "$in": keys(users, id::bytes) },
        "on": true,
    };
    let found = call.find::<ReactionDocument>(filter, Shape::default());
    let found = found.await?.into_iter();
    Ok(found
        .map(|kept| (kept.toggle.user_id, kept.toggle.emoji))
        .collect())
}

/// The first reactions of the user behind one of them, in the order of messages and emoji.
pub(super) async fn by_user(
    call: &Call,
    user: UserId,
    after: Option<&ReactionOf>,
    wanted: usize,
) -> Result<Vec<ReactionOf>, Fault> {
    let user = key(id::bytes(user));
    let mut filter = doc! { "userId": user, "on": true };
    if let Some(after) = after {
        let message = key(id::bytes(after.message_id));
        let behind = [
            doc! { "messageId": { "$gt": message } },
            doc! { "messageId": message, "emoji": { "$gt": after.emoji.as_str() } },
        ];
        filter.insert("$or", behind.to_vec());
    } else {
        // Before the first is read: what is in no document of its own yet.
        let shape = Shape {
            fields: Some(toggled_fields()),
            ..Shape::default()
        };
        let left = doc! { "toggles.userId": user };
        settle(call, &call.find::<ToggledDocument>(left, shape).await?).await?;
    }
    let shape = Shape {
        sort: Some(doc! { "messageId": 1, "emoji": 1 }),
        ..Shape::default()
    };
    let found = call.find_first::<ReactionDocument>(filter, shape, wanted);
    let found = found.await?.into_iter();
    let reaction = |kept: KeptReaction| ReactionOf {
        chat_id: kept.chat_id,
        message_id: kept.message_id,
        emoji: kept.toggle.emoji,
    };
    Ok(found.map(reaction).collect())
}

/// Each of these pages of those who have reacted.
pub(super) async fn pages(
    call: &Call,
    wanted: &[ReactionPage],
) -> Result<Vec<Page<Reaction>>, Fault> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let messages: Vec<_> = wanted.iter().map(|page| page.message_id).collect();
    let messages = toggled(call, &messages, false).await?;
    settle(call, &messages).await?;
    let is_there = |message| {
        let mut messages = messages.iter();
        messages.any(|of| of.message_id == message && !of.is_deleted)
    };
    let ranges = wanted.iter().filter(|page| is_there(page.message_id));
    let ranges = ranges.map(|page| {
        let after = page.window.after.map(|(seq, user)| place(seq, user));
        let values = vec![
            key(id::bytes(page.chat_id)).into(),
            key(id::bytes(page.message_id)).into(),
            Bson::String(page.emoji.as_str().to_owned()),
            Bson::Boolean(true),
            Bson::String(after.unwrap_or_default()),
        ];
        (overread(&page.window), values)
    });
    let lookup = |limit| Lookup {
        common: Document::new(),
        comparisons: vec![
            ("chatId", "$eq"),
            ("messageId", "$eq"),
            ("emoji", "$eq"),
            ("on", "$eq"),
            ("place", "$gt"),
        ],
        sort: doc! { "place": 1 },
        and_then: Vec::new(),
        limit,
    };
    let found = lookups::of_kinds::<_, ReactionDocument>(call, ranges, lookup).await?;
    let mut found = found.into_iter();
    let page = |page: &ReactionPage| {
        let found = is_there(page.message_id).then(|| found.next()).flatten();
        let found = found.unwrap_or_default().into_iter();
        let reactions = found.map(|kept| kept.reaction()).collect();
        Page::from_overread(reactions, &page.window)
    };
    Ok(wanted.iter().map(page).collect())
}

/// Erases some of the reactions to a deleted message.
pub(super) async fn erase(
    call: &Call,
    chat: ChatId,
    message: MessageId,
    most: usize,
) -> Result<Option<usize>, Fault> {
    let found = toggled(call, &[message], false).await?;
    if !found.first().is_some_and(|found| found.is_deleted) {
        return Ok(None);
    }
    let of_message = doc! {
        "chatId": key(id::bytes(chat)),
        "messageId": key(id::bytes(message)),
    };
    let shape = Shape {
        limit: Some(limit(most)),
        fields: Some(doc! { "_id": 1 }),
        ..Shape::default()
    };
    let some = call.find_raw(REACTIONS, of_message.clone(), shape).await?;
    let ids: Vec<Bson> = some
        .iter()
        .filter_map(|raw| Bson::try_from(raw.get("_id").ok()??).ok())
        .collect();
    if ids.is_empty() {
        return Ok(Some(0));
    }
    let mut these = of_message;
    these.insert("_id", doc! { "$in": ids });
    let count = call.delete(REACTIONS, these).await?;
    Ok(Some(usize::try_from(count).unwrap_or(usize::MAX)))
}
