//! Chats and members: the port.

use std::cmp::Reverse;
use std::collections::HashSet;

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use talksy_domain::chats::{Chat, ChatStore, Member, MemberFilter, ReadMark};
use talksy_domain::clock::Timestamp;
use talksy_domain::cursor::{ChatCursor, MemberCursor};
use talksy_domain::error::PortError;
use talksy_domain::id::{self, ChatId, UserId};
use talksy_domain::page::{Page, Window};
use talksy_domain::seq::Seq;

use super::call::Call;
use super::commands::Shape;
use super::documents::{
    self, CHATS, ChatDocument, KeptChat, TitleDocument, TitleSource, date, key, keys, overread,
};
use super::fault::Fault;
use super::{MongoStore, heads, marks, members, names, pair, unread};

#[async_trait]
impl ChatStore for MongoStore {
    /// 2 commands, one after the other.
    async fn chats(&self, ids: &[ChatId]) -> Result<Vec<Chat>, PortError> {
        Ok(heads::chats(&self.call(), ids).await?)
    }

    /// Chat, head above; for a new one chat, insert, \[members\], ready: 2 to 4.
    async fn open_direct(
        &self,
        candidate: &Chat,
        users: [UserId; 2],
    ) -> Result<(Chat, bool), PortError> {
        let candidate = Chat {
            member_count: 2,
            ..candidate.clone()
        };
        let call = self.call();
        // Whoever waits for it may go away in the middle: the rest is done all the same.
        let opening = tokio::spawn(async move { pair::open(&call, &candidate, users).await });
        Ok(opening.await.map_err(|_panic| Fault::Panicked)??)
    }

    /// Ids, chats, heads above: 3. With a search ids, chats, names, heads above: 4.
    async fn chats_of(
        &self,
        user: UserId,
        search: Option<&str>,
        window: &Window<ChatCursor>,
    ) -> Result<Page<Chat>, PortError> {
        let call = self.call();
        let ids = members::chat_ids(&call, user).await?;
        let search = search.filter(|text| !text.is_empty());
        let kept = match search {
            None => page(&call, &ids, window).await?,
            Some(text) => titled(&call, user, &ids, text, window).await?,
        };
        let active_at: Vec<_> = kept.iter().map(|kept| kept.chat.active_at).collect();
        let chats = kept.into_iter().map(|kept| kept.chat).collect();
        let mut chats = heads::exact(&call, chats).await?;
        // The order, and with it the cursor, goes by the activity that the documents had.
        for (chat, active_at) in chats.iter_mut().zip(active_at) {
            chat.active_at = active_at;
        }
        Ok(Page::from_overread(chats, window))
    }

    /// 1 command.
    async fn chat_ids_of(&self, user: UserId) -> Result<Vec<ChatId>, PortError> {
        Ok(members::chat_ids(&self.call(), user).await?)
    }

    /// 1 command.
    async fn memberships(&self, user: UserId, chats: &[ChatId]) -> Result<Vec<Member>, PortError> {
        Ok(members::of_user(&self.call(), user, chats).await?)
    }

    /// 1 command. With a name, for each step of 256 to 8,192 members: members, names.
    async fn members(
        &self,
        chat: ChatId,
        filter: &MemberFilter,
        window: &Window<MemberCursor>,
    ) -> Result<Page<Member>, PortError> {
        Ok(members::page(&self.call(), chat, filter, window).await?)
    }

    /// Sizes, \[members, those of each chat of more than 100\]: 2.
    async fn first_members(
        &self,
        chats: &[ChatId],
        limit: usize,
    ) -> Result<Vec<Member>, PortError> {
        let order = doc! { "userId": 1 };
        Ok(members::first(&self.call(), chats, order, limit).await?)
    }

    /// Sizes, \[members, those of each chat of more than 100\]: 2.
    async fn lowest_read_marks(&self, chats: &[ChatId]) -> Result<Vec<Member>, PortError> {
        let order = doc! { "lastReadSeq": 1, "userId": 1 };
        Ok(members::first(&self.call(), chats, order, 2).await?)
    }

    /// Chats of the user, members: 2.
    async fn sharing(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, PortError> {
        Ok(members::sharing(&self.call(), user, others).await?)
    }

    /// Newest number, update; the member where it did not move: 2 to 3.
    async fn mark_read(
        &self,
        chat: ChatId,
        user: UserId,
        seq: Seq,
        now: Timestamp,
    ) -> Result<Option<ReadMark>, PortError> {
        Ok(marks::mark_read(&self.call(), chat, user, seq, now).await?)
    }

    /// Update; the member where nothing changed: 1 to 2.
    async fn set_muted(
        &self,
        chat: ChatId,
        user: UserId,
        is_muted: bool,
    ) -> Result<Option<Member>, PortError> {
        Ok(marks::set_muted(&self.call(), chat, user, is_muted).await?)
    }

    /// \[members, chats\], heads above, what is not counted: 3.
    async fn unread_counts(
        &self,
        user: UserId,
        chats: &[ChatId],
    ) -> Result<Vec<(ChatId, u32)>, PortError> {
        Ok(unread::counts(&self.call(), user, chats).await?)
    }
}

/// Of these chats the part that the window wants and one more, by activity. Each is read by its
/// id and sorted: as much work as the user has chats.
async fn page(
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
async fn titled(
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
