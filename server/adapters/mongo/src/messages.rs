//! Messages. How one is appended stands in `send`, and how one is changed in `changes`.

use std::collections::HashMap;

use async_trait::async_trait;
use mongodb::bson::doc;
use talksy_domain::error::PortError;
use talksy_domain::id::{self, ChatId, MessageId, UserId};
use talksy_domain::incarnation::Incarnation;
use talksy_domain::messages::{
    Append, Changed, Emoji, Head, Message, MessageAt, MessageChange, MessageStore, Reaction,
    ReactionOf, ReactionPage, ReplyPage,
};
use talksy_domain::page::{Page, Window};
use talksy_domain::search::{MessageSearch, SearchPage};
use talksy_domain::seq::Seq;

use super::call::Call;
use super::commands::Shape;
use super::documents::{ChatDocument, MessageDocument, key, keys, overread};
use super::fault::Fault;
use super::{
    MongoStore, changes, finding, heads, incarnation, pages, pins, reactions, replies, search, send,
};

#[async_trait]
impl MessageStore for MongoStore {
    /// \[chat, member, with the sender's own id the message of before, for a reply and
    /// for mentions the members' documents\], insert, chat's head; at every
    /// eighth insert, and in turns, the newest place: 3 to 4. Each lost race adds the newest place and
    /// an insert: + 2. In turns Redis is asked for the turn and passes it on.
    /// Behind a change of the group by another instance: chat, member: + 2. A retry: the first, head
    /// above: 2.
    async fn append(&self, draft: &Message) -> Result<Append, PortError> {
        let (call, draft) = (self.call(), draft.clone());
        // Whoever waits for it may go away in the middle: the send goes on.
        let sending = tokio::spawn(async move { send::send(&call, &draft).await });
        Ok(sending.await.map_err(|_panic| Fault::Panicked)??)
    }

    /// 1 command.
    async fn repeated(&self, draft: &Message) -> Result<Option<Message>, PortError> {
        Ok(send::sent_before(&self.call(), draft).await?)
    }

    /// 1 command.
    async fn messages(&self, ids: &[MessageId]) -> Result<Vec<Message>, PortError> {
        let call = self.call();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let filter = doc! { "_id": { "$in": keys(ids, id::bytes) } };
        Ok(call
            .find::<MessageDocument>(filter, Shape::default())
            .await?)
    }

    /// 1 command.
    async fn page(&self, chat: ChatId, window: &Window<Seq>) -> Result<Page<Message>, PortError> {
        let mut range = doc! { "$gt": i64::from(window.after.unwrap_or(0)) };
        if let Some(before) = window.before {
            range.insert("$lt", i64::from(before));
        }
        let shape = Shape {
            sort: Some(doc! { "seq": if window.from_end { -1 } else { 1 } }),
            ..Shape::default()
        };
        let filter = doc! { "chatId": key(id::bytes(chat)), "seq": range };
        let call = self.call();
        let messages = call.find_first::<MessageDocument>(filter, shape, overread(window));
        let messages = messages.await?;
        Ok(Page::from_overread(messages, window))
    }

    /// Chats, heads above, messages: 3.
    async fn pages(
        &self,
        wanted: &[(ChatId, Window<Seq>)],
    ) -> Result<Vec<Page<Message>>, PortError> {
        Ok(pages::of_chats(&self.call(), wanted).await?)
    }

    /// \[chat, member, message\], claim, message, chat's head: 4. Each lost race adds all but the last.
    /// Reactions read their documents behind the first, and write them beside the last; a pin counts
    /// the pinned ones behind the first: 5. A deletion of what has reactions writes its job: 5.
    async fn change(&self, change: &MessageChange) -> Result<Changed, PortError> {
        let (call, change) = (self.call(), change.clone());
        // Whoever waits for it may go away in the middle: a claim that was taken is used.
        let changing = tokio::spawn(async move { changes::change(&call, &change, false).await });
        Ok(changing.await.map_err(|_panic| Fault::Panicked)??)
    }

    /// As [`MessageStore::change`].
    async fn erase(&self, change: &MessageChange) -> Result<Changed, PortError> {
        let (call, change) = (self.call(), change.clone());
        let changing = tokio::spawn(async move { changes::change(&call, &change, true).await });
        Ok(changing.await.map_err(|_panic| Fault::Panicked)??)
    }

    /// 1 command, in the index that tells whose unread counts leave a message out: its sender's, until it
    /// is deleted.
    async fn sent_by(
        &self,
        chat: ChatId,
        user: UserId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Message>, PortError> {
        let filter = doc! {
            "chatId": key(id::bytes(chat)),
            "knownTo": key(id::bytes(user)),
            "seq": { "$gt": i64::from(after) },
        };
        let shape = Shape {
            sort: Some(doc! { "seq": 1 }),
            ..Shape::default()
        };
        let call = Call::of_store(&self.inner);
        Ok(call
            .find_first::<MessageDocument>(filter, shape, limit)
            .await?)
    }

    /// Reactions; ahead of the first messages with toggles, and where there are some their writes: 2 to 3.
    async fn reacted_by(
        &self,
        user: UserId,
        after: Option<&ReactionOf>,
        limit: usize,
    ) -> Result<Vec<ReactionOf>, PortError> {
        let call = Call::of_store(&self.inner);
        Ok(reactions::by_user(&call, user, after, limit).await?)
    }

    /// 1 command.
    async fn changes(
        &self,
        chat: ChatId,
        from: Seq,
        window: &Window<Seq>,
    ) -> Result<Page<Message>, PortError> {
        let wanted = [(chat, from, window.clone())];
        let mut pages = pages::of_changes(&self.call(), &wanted).await?;
        Ok(pages
            .pop()
            .unwrap_or_else(|| Page::from_overread(Vec::new(), window)))
    }

    /// 1 command for all pages of the same size, as those of one list are.
    async fn change_pages(
        &self,
        wanted: &[(ChatId, Seq, Window<Seq>)],
    ) -> Result<Vec<Page<Message>>, PortError> {
        Ok(pages::of_changes(&self.call(), wanted).await?)
    }

    /// For 200 chats 2 to 8 commands, in 2 to 4 round trips: how frequent some of the words are and how
    /// far a page may look; what is found; where hits begin that were sent at once.
    async fn search(&self, search: &MessageSearch) -> Result<SearchPage, PortError> {
        Ok(finding::find(&self.call(), search).await?)
    }

    /// Messages, update of those that lack their words: 1 to 2.
    async fn index_messages(
        &self,
        after: Option<MessageId>,
        most: usize,
    ) -> Result<Option<MessageId>, PortError> {
        Ok(search::index(&Call::of_store(&self.inner), after, most).await?)
    }

    /// 1 command.
    async fn reply_counts(
        &self,
        messages: &[MessageAt],
    ) -> Result<Vec<(MessageAt, u32)>, PortError> {
        Ok(replies::counts(&self.call(), messages).await?)
    }

    /// For 100 pages their ids, messages: 2.
    async fn reply_pages(&self, wanted: &[ReplyPage]) -> Result<Vec<Page<Message>>, PortError> {
        Ok(replies::pages(&self.call(), wanted).await?)
    }

    /// Reads the message at each chat's end and what lies above it, which is nearly always one
    /// message a chat. Chats, messages: 2.
    async fn last_messages(&self, chats: &[ChatId]) -> Result<Vec<Message>, PortError> {
        let call = self.call();
        if chats.is_empty() {
            return Ok(Vec::new());
        }
        let filter = doc! { "_id": { "$in": keys(chats, id::bytes) }, "ready": true };
        let kept = call.find::<ChatDocument>(filter, Shape::default()).await?;
        if kept.is_empty() {
            return Ok(Vec::new());
        }
        let ranges: Vec<_> = kept
            .iter()
            .map(|kept| {
                let end = doc! { "$gte": i64::from(kept.chat.last_seq) };
                doc! { "chatId": key(id::bytes(kept.chat.id)), "seq": end }
            })
            .collect();
        let found = call
            .find::<MessageDocument>(doc! { "$or": ranges }, Shape::default())
            .await?;
        let mut newest: HashMap<ChatId, Message> = HashMap::with_capacity(kept.len());
        for message in found {
            let known = newest.get(&message.chat_id).map_or(0, |known| known.seq);
            if message.seq > known {
                newest.insert(message.chat_id, message);
            }
        }
        Ok(newest.into_values().collect())
    }

    /// 1 command, not among the store's figures: the process asks, not a request.
    async fn incarnation(&self) -> Result<Incarnation, PortError> {
        Ok(incarnation::read(&Call::of_store(&self.inner)).await?)
    }

    /// Messages with toggles, reactions: 2; where there are toggles, their writes in between: 3.
    async fn reactions_of(
        &self,
        user: UserId,
        messages: &[(ChatId, MessageId)],
    ) -> Result<Vec<(MessageId, Emoji)>, PortError> {
        Ok(reactions::of_user(&self.call(), user, messages).await?)
    }

    /// As [`MessageStore::reactions_of`].
    async fn reactions_among(
        &self,
        message: (ChatId, MessageId),
        users: &[UserId],
    ) -> Result<Vec<(UserId, Emoji)>, PortError> {
        Ok(reactions::among(&self.call(), message, users).await?)
    }

    /// As [`MessageStore::reactions_of`], for all pages of the same size.
    async fn reaction_pages(
        &self,
        wanted: &[ReactionPage],
    ) -> Result<Vec<Page<Reaction>>, PortError> {
        Ok(reactions::pages(&self.call(), wanted).await?)
    }

    /// Message, reactions, deletion: 3, not among the store's figures: a job asks, not a request.
    async fn erase_reactions(
        &self,
        chat: ChatId,
        message: MessageId,
        most: usize,
    ) -> Result<Option<usize>, PortError> {
        let call = Call::of_store(&self.inner);
        Ok(reactions::erase(&call, chat, message, most).await?)
    }

    /// Places, messages: 2.
    async fn pinned_pages(
        &self,
        wanted: &[(ChatId, Seq, Window<Seq>)],
    ) -> Result<Vec<Page<Message>>, PortError> {
        Ok(pins::pages(&self.call(), wanted).await?)
    }

    /// 2 commands, one after the other.
    async fn heads(&self, chats: &[ChatId]) -> Result<Vec<Head>, PortError> {
        let chats = heads::chats(&self.call(), chats).await?;
        let head = |chat: &talksy_domain::chats::Chat| Head {
            chat_id: chat.id,
            last_seq: chat.last_seq,
            last_change_seq: chat.last_change_seq,
            applied_seq: chat.applied_seq,
            member_count: chat.member_count,
        };
        Ok(chats.iter().map(head).collect())
    }
}
