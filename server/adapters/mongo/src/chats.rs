//! Chats and members: the port.

use async_trait::async_trait;
use mongodb::bson::{Bson, Document, doc};
use talksy_domain::chats::{
    Chat, ChatKind, ChatStore, LargeGroups, Member, MemberPage, Participation, ReadMark,
    UnreadMentions,
};
use talksy_domain::clock::Timestamp;
use talksy_domain::cursor::ChatCursor;
use talksy_domain::error::PortError;
use talksy_domain::events::Announcement;
use talksy_domain::id::{self, ChatId, UserId};
use talksy_domain::page::{Page, Window};
use talksy_domain::seq::Seq;

use super::call::Call;
use super::commands::Shape;
use super::documents::{CHATS, ChatDocument, MEMBERS, MemberDocument, bson, date, key};
use super::fault::Fault;
use super::{
    MongoStore, chat_list, heads, left_chats, members, mentions, pair, search, sharing, unread,
};

#[async_trait]
impl ChatStore for MongoStore {
    /// 2 commands, one after the other.
    async fn chats(&self, ids: &[ChatId]) -> Result<Vec<Chat>, PortError> {
        Ok(heads::chats(&self.call(), ids).await?)
    }

    /// Chat, head above; for a new one chat, insert, \[members\], blocks, ready: 2 to 5; with a block also
    /// \[chat, members\].
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

    /// Ids, chats, heads above: 3. With a search ids, titles, names, chats, heads above: 5.
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
            None => chat_list::page(&call, &ids, window).await?,
            Some(text) => chat_list::titled(&call, user, &ids, text, window).await?,
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
    async fn left_chats_of(&self, user: UserId) -> Result<Vec<(ChatId, Seq)>, PortError> {
        Ok(left_chats::of(&self.call(), user).await?)
    }

    /// 1 command.
    async fn chats_ever_of(
        &self,
        user: UserId,
        after: Option<ChatId>,
        limit: usize,
    ) -> Result<Vec<ChatId>, PortError> {
        Ok(left_chats::ever_of(&self.call(), user, after, limit).await?)
    }

    /// 1 command.
    async fn participations(
        &self,
        user: UserId,
        chats: &[ChatId],
    ) -> Result<Vec<Participation>, PortError> {
        Ok(left_chats::participations(&self.call(), user, chats).await?)
    }

    /// 1 command.
    async fn membership_versions(&self, users: &[UserId]) -> Result<Vec<(UserId, u64)>, PortError> {
        Ok(left_chats::versions(&self.call(), users).await?)
    }

    /// 1 command.
    async fn memberships(&self, user: UserId, chats: &[ChatId]) -> Result<Vec<Member>, PortError> {
        Ok(members::of_user(&self.call(), user, chats).await?)
    }

    /// 1 command for all pages that have the same size and ask for the same, as those of one list do.
    async fn member_pages(&self, wanted: &[MemberPage]) -> Result<Vec<Page<Member>>, PortError> {
        Ok(members::pages(&self.call(), wanted).await?)
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

    /// Chats, update of those whose titles are not folded: 1 to 2.
    async fn fold_titles(
        &self,
        after: Option<ChatId>,
        most: usize,
    ) -> Result<Option<ChatId>, PortError> {
        Ok(search::fold_titles(&Call::of_store(&self.inner), after, most).await?)
    }

    /// Direct chats; for those who have none members: 1 to 2.
    async fn sharing(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, PortError> {
        Ok(sharing::sharing(&self.call(), user, others).await?)
    }

    /// Newest number, update; where it did not move another and the member; chat, head above: 4 to 6. The filter
    /// lets each place be moved to once, whoever asks how often.
    async fn mark_read(
        &self,
        chat: ChatId,
        user: UserId,
        seq: Seq,
        now: Timestamp,
        large: LargeGroups,
    ) -> Result<Option<ReadMark>, PortError> {
        let call = self.call();
        // Whoever waits for it may go away in the middle: what has moved is told.
        let marking =
            tokio::spawn(async move { mark_read(&call, chat, user, seq, now, large).await });
        Ok(marking.await.map_err(|_panic| Fault::Panicked)??)
    }

    /// Update; the member where nothing changed: 1 to 2.
    async fn mark_unread(
        &self,
        chat: ChatId,
        user: UserId,
        from_seq: Seq,
    ) -> Result<Option<Member>, PortError> {
        let value = i64::from(from_seq).into();
        let set = |before| Member {
            unread_from_seq: Some(from_seq),
            ..before
        };
        Ok(set_own(&self.call(), chat, user, ("unreadFromSeq", value), set).await?)
    }

    /// Update; the member where nothing changed: 1 to 2.
    async fn set_muted(
        &self,
        chat: ChatId,
        user: UserId,
        is_muted: bool,
    ) -> Result<Option<Member>, PortError> {
        let set = |before| Member { is_muted, ..before };
        Ok(set_own(&self.call(), chat, user, ("muted", is_muted.into()), set).await?)
    }

    /// Chat, members, their versions, chat: 4; of one that is closed the first alone.
    async fn close_direct(&self, chat: ChatId) -> Result<(), PortError> {
        Ok(close_direct(&Call::of_store(&self.inner), chat).await?)
    }

    /// 1 command.
    async fn erase_own_facts(&self, chat: ChatId, user: UserId) -> Result<(), PortError> {
        let who = doc! { "chatId": key(id::bytes(chat)), "userId": key(id::bytes(user)) };
        let (mut with_facts, mut left) = (who.clone(), who);
        let facts = [
            doc! { "lastReadAt": { "$exists": true } },
            doc! { "muted": true },
            doc! { "unreadFromSeq": { "$exists": true } },
        ];
        with_facts.insert("$or", facts.to_vec());
        left.insert("active", false);
        left.insert("lastReadSeq", doc! { "$gt": 0 });
        let updates = vec![
            doc! { "q": with_facts, "u": {
                "$unset": { "lastReadAt": "", "unreadFromSeq": "" },
                "$set": { "muted": false },
                "$inc": { "v": 1 },
            } },
            doc! { "q": left, "u": { "$set": { "lastReadSeq": 0 }, "$inc": { "v": 1 } } },
        ];
        let call = Call::of_store(&self.inner);
        Ok(call.update_each(MEMBERS, updates).await?)
    }

    /// \[members, chats\], heads above, what is not counted: 3.
    async fn unread_counts(
        &self,
        user: UserId,
        chats: &[ChatId],
    ) -> Result<Vec<(ChatId, u32)>, PortError> {
        Ok(unread::counts(&self.call(), user, chats).await?)
    }

    /// Members, mentions: 2.
    async fn unread_mentions(
        &self,
        user: UserId,
        chats: &[ChatId],
    ) -> Result<Vec<(ChatId, u32)>, PortError> {
        Ok(mentions::counts(&self.call(), user, chats).await?)
    }

    /// Members, mentions: 2. Of more than 100 users so many for each 100, at the same time.
    async fn unread_mentions_among(
        &self,
        chat: ChatId,
        users: &[UserId],
    ) -> Result<Vec<UnreadMentions>, PortError> {
        Ok(mentions::counts_among(&self.call(), chat, users).await?)
    }
}

/// Closes a direct chat. Its members' versions rise ahead of that, so that nobody misses it whom the bus
/// does not tell; where this instance dies in between, they rise once more.
async fn close_direct(call: &Call, chat: ChatId) -> Result<(), Fault> {
    let key = key(id::bytes(chat));
    let open = doc! { "_id": key, "kind": bson(&ChatKind::Direct)?, "closed": { "$ne": true } };
    let found = call.find_one::<ChatDocument>(open.clone(), Shape::default());
    if found.await?.is_none() {
        return Ok(());
    }
    let members = members::first(call, &[chat], doc! { "userId": 1 }, 2).await?;
    let raise = doc! { "$inc": { "v": 1 } };
    call.update_many(MEMBERS, doc! { "chatId": key }, raise)
        .await?;
    let told = members.iter();
    let told = told.map(|member| Announcement::viewer_chat_changed(member.user_id, chat));
    let announce = call.announcing(told.collect());
    let close = doc! { "$set": { "closed": true } };
    let then = |changed: Option<bool>| {
        if changed == Some(true) {
            announce();
        }
    };
    call.update_one_then(CHATS, open, close, then).await?;
    Ok(())
}

/// The membership, while it lasts.
fn member(chat: ChatId, user: UserId) -> Document {
    doc! {
        "chatId": key(id::bytes(chat)),
        "userId": key(id::bytes(user)),
        "active": true,
    }
}

async fn mark_read(
    call: &Call,
    chat: ChatId,
    user: UserId,
    seq: Seq,
    now: Timestamp,
    large: LargeGroups,
) -> Result<Option<ReadMark>, Fault> {
    let seq = seq.min(heads::last_place(call, chat).await?.seq);
    let who = member(chat, user);
    let mut behind = who.clone();
    behind.insert("lastReadSeq", doc! { "$lt": i64::from(seq) });
    let mark = doc! { "lastReadSeq": i64::from(seq), "lastReadAt": Bson::from(date(now)) };
    let before = match seq {
        0 => None,
        _ => update_read(call, behind, mark).await?,
    };
    let moved = before.is_some();
    let before = if let Some(before) = before {
        Some(Member {
            last_read_seq: seq,
            last_read_at: Some(now),
            ..before
        })
    } else {
        // What was shown as unread is read also where the mark was there already.
        let mut shown = who.clone();
        shown.insert("unreadFromSeq", doc! { "$exists": true });
        update_read(call, shown, Document::new()).await?
    };
    let ended_unread = before
        .as_ref()
        .is_some_and(|before| before.unread_from_seq.is_some());
    let member = match before {
        Some(before) => Some(Member {
            unread_from_seq: None,
            version: before.version.saturating_add(1),
            ..before
        }),
        None => {
            call.find_one::<MemberDocument>(who, Shape::default())
                .await?
        }
    };
    let Some(member) = member else {
        return Ok(None);
    };
    // Behind the mark: who is removed ahead of it is told of no such mark.
    let Some(chat) = heads::chats(call, &[chat]).await?.pop() else {
        return Ok(None);
    };
    let mark = ReadMark::new(member, chat, [moved, ended_unread], large);
    call.announce(mark.announcements());
    Ok(Some(mark))
}

/// Sets a read mark: the chat is shown as unread no more. The member as it was before, where it matches.
async fn update_read(
    call: &Call,
    filter: Document,
    set: Document,
) -> Result<Option<Member>, Fault> {
    let mut update = doc! { "$unset": { "unreadFromSeq": "" }, "$inc": { "v": 1_i64 } };
    if !set.is_empty() {
        update.insert("$set", set);
    }
    call.find_and_update::<MemberDocument>(filter, update, || {})
        .await
}

/// Sets fields of a membership and raises its version. The member as it was before, where it
/// matches.
/// Sets a field of the user's own in a membership, which `set` does to what was read of it. Where it is so
/// already, that is told again.
async fn set_own(
    call: &Call,
    chat: ChatId,
    user: UserId,
    (field, value): (&str, Bson),
    set: impl FnOnce(Member) -> Member + Send,
) -> Result<Option<Member>, Fault> {
    let changed = vec![Announcement::viewer_chat_changed(user, chat)];
    let who = member(chat, user);
    let mut other = who.clone();
    other.insert(field, doc! { "$ne": value.clone() });
    let announce = call.announcing(changed.clone());
    if let Some(before) = update_member(call, other, doc! { field: value }, announce).await? {
        let version = before.version.saturating_add(1);
        return Ok(Some(set(Member { version, ..before })));
    }
    let member = call.find_one::<MemberDocument>(who, Shape::default());
    let member = member.await?;
    if member.is_some() {
        call.announce(changed);
    }
    Ok(member)
}

async fn update_member(
    call: &Call,
    filter: Document,
    set: Document,
    announce: impl FnOnce() + Send + 'static,
) -> Result<Option<Member>, Fault> {
    let update = doc! { "$set": set, "$inc": { "v": 1_i64 } };
    call.find_and_update::<MemberDocument>(filter, update, announce)
        .await
}
