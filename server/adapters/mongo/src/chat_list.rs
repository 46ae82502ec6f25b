//! The chats of a user by activity, and those among them with a title.
//!
//! When a chat was last active stands in its document alone, which each message changes. So the ids of
//! a user's chats are read from the members' index in one document, at some 40 bytes each, and the
//! server reads these chats by id, sorts them and returns the page: 4 µs of its time for each chat, 8 ms
//! for a user with 2,000. Why the activity stands in no index that a page could be cut from is in
//! `docs/adr/0013-keys-of-a-divided-store.md`.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use mongodb::bson::{Document, doc};
use talksy_domain::cursor::ChatCursor;
use talksy_domain::id::{self, ChatId, UserId};
use talksy_domain::page::Window;
use talksy_domain::search::fold_key;

use super::call::Call;
use super::commands::Shape;
use super::documents::{
    ChatDocument, KeptChat, TitleDocument, TitleSource, TitledChat, UserKey, date, key, keys,
    overread,
};
use super::fault::Fault;
use super::names;

/// Of these chats the part that the window wants and one more, by activity. The server reads each by
/// its id and sorts them, and returns that part alone.
pub(super) async fn page(
    call: &Call,
    ids: &[ChatId],
    window: &Window<ChatCursor>,
) -> Result<Vec<KeptChat>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut filter = doc! { "_id": { "$in": keys(ids, id::bytes) }, "ready": true };
    if let Some(after) = &window.after {
        let active_at = date(after.active_at);
        let behind: [Document; 2] = [
            doc! { "activeAt": { "$lt": active_at } },
            doc! { "activeAt": active_at, "_id": { "$lt": key(id::bytes(after.chat_id)) } },
        ];
        filter.insert("$or", behind.to_vec());
    }
    let shape = Shape {
        sort: Some(doc! { "activeAt": -1, "_id": -1 }),
        ..Shape::default()
    };
    call.find_first::<ChatDocument>(filter, shape, overread(window))
        .await
}

/// The same of those of them whose title for the user contains the text: a group's own title, a
/// direct chat's other member's name. Of all chats the titles are read, of those that are shown the
/// documents.
pub(super) async fn titled(
    call: &Call,
    user: UserId,
    ids: &[ChatId],
    text: &str,
    window: &Window<ChatCursor>,
) -> Result<Vec<KeptChat>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let filter = doc! { "_id": { "$in": keys(ids, id::bytes) }, "ready": true };
    let fields = ["_id", "kind", "directKey", "activeAt", "titleKey"];
    let mut chats = call.gather::<TitleDocument>(filter, &fields).await?;
    let user = id::bytes(user);
    let peers = chats.iter().filter_map(|chat| chat.title.peer_of(user));
    let peers: Vec<UserId> = peers.map(id::from_bytes).collect();
    let named = match names::containing(text) {
        Some(pattern) => named_among(call, &peers, &pattern).await?,
        None => HashSet::new(),
    };
    let text = fold_key(text);
    chats.retain(|chat| {
        let place = (chat.active_at, chat.chat);
        let is_behind = window
            .after
            .is_none_or(|after| place < (after.active_at, id::bytes(after.chat_id)));
        is_behind
            && match &chat.title {
                TitleSource::Own(title) => title.contains(&text),
                pair @ TitleSource::Pair(_) => {
                    pair.peer_of(user).is_some_and(|peer| named.contains(&peer))
                }
            }
    });
    chats.sort_by_key(|chat| Reverse((chat.active_at, chat.chat)));
    documents_of(call, &chats, overread(window)).await
}

/// The documents of the first of these chats, in their order. Those that do not parse are read past.
async fn documents_of(
    call: &Call,
    chats: &[TitledChat],
    wanted: usize,
) -> Result<Vec<KeptChat>, Fault> {
    let (mut found, mut rest) = (Vec::new(), chats);
    while found.len() < wanted && !rest.is_empty() {
        let (next, later) = rest.split_at(rest.len().min(wanted - found.len()));
        rest = later;
        let ids: Vec<ChatId> = next.iter().map(|chat| id::from_bytes(chat.chat)).collect();
        let filter = doc! { "_id": { "$in": keys(&ids, id::bytes) } };
        let kept = call.find::<ChatDocument>(filter, Shape::default()).await?;
        let mut kept: HashMap<ChatId, KeptChat> =
            kept.into_iter().map(|kept| (kept.chat.id, kept)).collect();
        for (id, place) in ids.iter().zip(next) {
            if let Some(mut kept) = kept.remove(id) {
                // The order, and with it the cursor, goes by what was sorted.
                kept.chat.active_at = place.active_at;
                found.push(kept);
            }
        }
    }
    Ok(found)
}

/// Those of these users whose name matches.
async fn named_among(
    call: &Call,
    users: &[UserId],
    pattern: &str,
) -> Result<HashSet<[u8; 16]>, Fault> {
    if users.is_empty() {
        return Ok(HashSet::new());
    }
    let filter = doc! {
        "_id": { "$in": keys(users, id::bytes) },
        "nameKey": { "$regex": pattern },
    };
    let found = call.gather::<UserKey>(filter, &["_id"]).await?;
    Ok(found.into_iter().collect())
}
