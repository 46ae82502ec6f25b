//! Chats and members: the port.

use std::cmp::Reverse;
use std::collections::HashSet;

use async_trait::async_trait;
use mongodb::bson::{Bson, Document, Uuid, doc};
use talksy_domain::chats::{Chat, ChatStore, Member, ReadMark};
use talksy_domain::clock::Timestamp;
use talksy_domain::cursor::{ChatCursor, MemberCursor};
use talksy_domain::error::PortError;
use talksy_domain::id::{self, ChatId, UserId};
use talksy_domain::page::{Page, Window};
use talksy_domain::seq::Seq;

use super::call::Call;
use super::commands::Shape;
use super::documents::{
    self, CHATS, ChatDocument, KeptChat, MemberDocument, PairDocument, UserKey, date, key, keys,
    overread,
};
use super::fault::Fault;
use super::{MongoStore, heads, left_chats, members, names, pair, unread};

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
        let mut chats: Vec<Chat> = kept.into_iter().map(|kept| kept.chat).collect();
        // The order, and with it the cursor, goes by the activity that the documents have.
        let above = heads::above(&call, &chats).await?;
        for (chat, (seq, _)) in chats.iter_mut().zip(above) {
            chat.last_seq = chat.last_seq.max(seq);
        }
        Ok(Page::from_overread(chats, window))
    }

    /// 1 command.
    async fn chat_ids_of(&self, user: UserId) -> Result<Vec<ChatId>, PortError> {
        Ok(members::chat_ids(&self.call(), user).await?)
    }

    /// 1 command.
    async fn left_chats_of(&self, user: UserId) -> Result<Vec<(ChatId, Seq)>, PortError> {
        Ok(left_chats::of(&self.call(), user).await?)
    }

    /// 1 command.
    async fn memberships(&self, user: UserId, chats: &[ChatId]) -> Result<Vec<Member>, PortError> {
        Ok(members::of_user(&self.call(), user, chats).await?)
    }

    /// 1 command.
    async fn members(
        &self,
        chat: ChatId,
        filter: &talksy_domain::chats::MemberFilter,
        window: &Window<MemberCursor>,
    ) -> Result<Page<Member>, PortError> {
        Ok(members::page(&self.call(), chat, filter.has_read, window).await?)
    }

    /// 1 command.
    async fn first_members(
        &self,
        chats: &[ChatId],
        limit: usize,
    ) -> Result<Vec<Member>, PortError> {
        let order = doc! { "userId": 1 };
        Ok(members::first(&self.call(), chats, order, limit).await?)
    }

    /// 1 command.
    async fn lowest_read_marks(&self, chats: &[ChatId]) -> Result<Vec<Member>, PortError> {
        let order = doc! { "lastReadSeq": 1, "userId": 1 };
        Ok(members::first(&self.call(), chats, order, 2).await?)
    }

    /// Chats of the user, members: 2.
    async fn sharing(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, PortError> {
        Ok(members::sharing(&self.call(), user, others).await?)
    }

    /// Newest number, update; the member where it did not move: 2 to 3. The filter lets each place
    /// be moved to once, whoever asks how often.
    async fn mark_read(
        &self,
        chat: ChatId,
        user: UserId,
        seq: Seq,
        now: Timestamp,
    ) -> Result<Option<ReadMark>, PortError> {
        let call = self.call();
        let seq = seq.min(heads::last_seq(&call, chat).await?);
        let who = doc! { "chatId": key(id::bytes(chat)), "userId": key(id::bytes(user)) };
        if seq > 0 {
            let mut behind = who.clone();
            behind.insert("lastReadSeq", doc! { "$lt": i64::from(seq) });
            let mark = doc! { "lastReadSeq": i64::from(seq), "lastReadAt": Bson::from(date(now)) };
            let before = call.find_and_update::<MemberDocument>(behind, doc! { "$set": mark });
            if let Some(before) = before.await? {
                let member = Member {
                    last_read_seq: seq,
                    last_read_at: Some(now),
                    ..before
                };
                return Ok(Some(ReadMark {
                    member,
                    moved: true,
                }));
            }
        }
        let member = call.find_one::<MemberDocument>(who, Shape::default());
        Ok(member.await?.map(|member| ReadMark {
            member,
            moved: false,
        }))
    }

    /// \[members, chats\], heads above, what is not counted: 3.
    async fn set_muted(&self, _: ChatId, _: UserId, _: bool) -> Result<Option<Member>, PortError> {
        Err(PortError::unavailable("store", "not yet"))
    }

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

/// The same of the direct chats among them whose other member's name contains the text.
async fn titled(
    call: &Call,
    user: UserId,
    ids: &[ChatId],
    text: &str,
    window: &Window<ChatCursor>,
) -> Result<Vec<KeptChat>, Fault> {
    let Some(pattern) = names::containing(text) else {
        return Ok(Vec::new());
    };
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let kind = documents::bson(&talksy_domain::chats::ChatKind::Direct)?;
    let filter = doc! { "_id": { "$in": keys(ids, id::bytes) }, "kind": kind, "ready": true };
    let found = call.find_raw(CHATS, filter, Shape::default()).await?;
    let mut peers = Vec::with_capacity(found.len());
    for raw in &found {
        if let Some(chat) = documents::parse_all::<PairDocument>(std::slice::from_ref(raw)).pop() {
            peers.push((chat.other_than(id::bytes(user)), chat, raw));
        }
    }
    let wanted: Vec<Uuid> = peers.iter().map(|(peer, ..)| key(*peer)).collect();
    let filter = doc! { "_id": { "$in": wanted }, "nameKey": { "$regex": pattern } };
    let shape = Shape {
        fields: Some(doc! { "_id": 1 }),
        ..Shape::default()
    };
    let named: HashSet<[u8; 16]> = call
        .find::<UserKey>(filter, shape)
        .await?
        .into_iter()
        .collect();
    peers.retain(|(peer, chat, _)| {
        let place = (chat.active_at, chat.chat);
        let is_behind = window
            .after
            .is_none_or(|after| place < (after.active_at, id::bytes(after.chat_id)));
        is_behind && named.contains(peer)
    });
    peers.sort_by_key(|(_, chat, _)| Reverse((chat.active_at, chat.chat)));
    let readable = peers.into_iter().filter_map(|(_, _, raw)| {
        let mut chats = documents::parse_all::<ChatDocument>(std::slice::from_ref(raw));
        chats.pop()
    });
    Ok(readable.take(overread(window)).collect())
}
