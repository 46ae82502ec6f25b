//! The chats of a user by activity, and those among them with a title.

use std::cmp::Reverse;
use std::collections::HashSet;

use mongodb::bson::{Document, doc};
use talksy_domain::cursor::ChatCursor;
use talksy_domain::id::{self, ChatId, UserId};
use talksy_domain::page::Window;

use super::call::Call;
use super::commands::Shape;
use super::documents::{
    self, CHATS, ChatDocument, KeptChat, TitleDocument, TitleSource, date, key, keys, overread,
};
use super::fault::Fault;
use super::{members, names};

/// Of these chats the part that the window wants and one more, by activity. Each is read by its
/// id and sorted: as much work as the user has chats.
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
/// direct chat's other member's name.
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
    let found = call.find_raw(CHATS, filter, Shape::default()).await?;
    let mut chats = Vec::with_capacity(found.len());
    for raw in &found {
        if let Some(chat) = documents::parse_all::<TitleDocument>(std::slice::from_ref(raw)).pop() {
            chats.push((chat, raw));
        }
    }
    let user = id::bytes(user);
    let peers = chats
        .iter()
        .filter_map(|(chat, _)| chat.title.peer_of(user));
    let peers: Vec<UserId> = peers.map(id::from_bytes).collect();
    let named = match names::containing(text) {
        Some(pattern) => members::named_among(call, &peers, &pattern).await?,
        None => HashSet::new(),
    };
    let text = text.to_lowercase();
    chats.retain(|(chat, _)| {
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
    chats.sort_by_key(|(chat, _)| Reverse((chat.active_at, chat.chat)));
    let readable = chats.into_iter().filter_map(|(_, raw)| {
        let mut chats = documents::parse_all::<ChatDocument>(std::slice::from_ref(raw));
        chats.pop()
    });
    Ok(readable.take(overread(window)).collect())
}
