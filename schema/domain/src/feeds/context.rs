//! What all feeds of the process share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use super::policy::FeedPolicy;
use super::shared_reader::SharedReader;
use crate::access::Access;
use crate::chats::model::Member;
use crate::chats::store::ChatStore;
use crate::error::PortError;
use crate::events::bus::Bus;
use crate::events::event::{Event, Published};
use crate::id::{ChatId, UserId};
use crate::messages::model::Message;
use crate::messages::store::{Head, MessageStore};
use crate::page::{MAX_PAGE, Page, Window};
use crate::seq::Seq;

/// A page of a chat's messages as feeds share it.
pub(super) type Backlog = Arc<Vec<Arc<Published>>>;

/// How many memberships one store call asks for at most.
const MEMBERSHIPS: usize = 500;
/// Of how many chats one store call asks who has read least.
const MARKS: usize = 100;

/// What all feeds of the process share.
pub(super) struct FeedContext {
    pub(super) access: Arc<Access>,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) chats: Arc<dyn ChatStore>,
    messages: Arc<dyn MessageStore>,
    heads: SharedReader<ChatId, Head>,
    /// The sum of the versions of a user's memberships.
    versions: SharedReader<UserId, u64>,
    /// Pages that were read to fill holes. Messages do not move, so that a thousand feeds with
    /// the same hole read it once; short-lived, because a message may be edited or deleted.
    backlog: Cache<(ChatId, Seq), Backlog>,
    pub(super) policy: FeedPolicy,
}

impl FeedContext {
    /// Must be called on a Tokio runtime.
    pub(super) fn new(
        access: Arc<Access>,
        bus: Arc<dyn Bus>,
        chats: Arc<dyn ChatStore>,
        messages: Arc<dyn MessageStore>,
        policy: FeedPolicy,
    ) -> Arc<Self> {
        let store = Arc::clone(&messages);
        let heads = SharedReader::spawn(move |chats: Vec<ChatId>| {
            let store = Arc::clone(&store);
            async move {
                let heads = store.heads(&chats).await?;
                Ok(heads.into_iter().map(|head| (head.chat_id, head)).collect())
            }
        });
        let store = Arc::clone(&chats);
        let versions = SharedReader::spawn(move |users: Vec<UserId>| {
            let store = Arc::clone(&store);
            async move { store.membership_versions(&users).await }
        });
        let backlog = Cache::builder()
            .max_capacity(256)
            .time_to_live(Duration::from_secs(1))
            .build();
        Arc::new(Self {
            access,
            bus,
            chats,
            messages,
            heads,
            versions,
            backlog,
            policy,
        })
    }

    /// The ends of the chat's lines; `None` where there is no such chat.
    pub(super) async fn head(&self, chat: ChatId) -> Result<Option<Head>, PortError> {
        self.heads.one(chat).await
    }

    /// The ends of these chats' lines, where there are such chats.
    pub(super) async fn heads(&self, chats: &[ChatId]) -> Result<HashMap<ChatId, Head>, PortError> {
        self.heads.many(chats).await
    }

    /// Rises with every change of what the user alone has in a chat, and of which chats they have.
    pub(super) async fn version_of(&self, user: UserId) -> Result<u64, PortError> {
        Ok(self.versions.one(user).await?.unwrap_or(0))
    }

    /// How these chats stand for the user: their ends, and the memberships of those of which the user
    /// is a member. The ends are read first, so that what ends a membership that was read has a
    /// number above them, or above the membership's own.
    pub(super) async fn standing(
        &self,
        user: UserId,
        chats: &[ChatId],
    ) -> Result<(HashMap<ChatId, Head>, HashMap<ChatId, Member>), PortError> {
        let heads = self.heads.many(chats).await?;
        let mut members = HashMap::with_capacity(chats.len());
        for some in chats.chunks(MEMBERSHIPS) {
            let found = self.chats.memberships(user, some).await?;
            members.extend(found.into_iter().map(|member| (member.chat_id, member)));
        }
        Ok((heads, members))
    }

    /// How far all other members of these chats have read; 0 where there are none.
    pub(super) async fn read_by_all(
        &self,
        user: UserId,
        chats: &[ChatId],
    ) -> Result<HashMap<ChatId, Seq>, PortError> {
        let mut marks = HashMap::with_capacity(chats.len());
        for some in chats.chunks(MARKS) {
            // Those who have read least come first.
            for member in self.chats.lowest_read_marks(some).await? {
                if member.user_id != user {
                    marks.entry(member.chat_id).or_insert(member.last_read_seq);
                }
            }
        }
        Ok(marks)
    }

    /// Up to a page of the chat's changed messages behind `after`, by change.
    pub(super) async fn changes(
        &self,
        chat: ChatId,
        after: Seq,
    ) -> Result<Page<Message>, PortError> {
        let window = Window {
            after: Some(after),
            before: None,
            limit: MAX_PAGE,
            from_end: false,
        };
        self.messages.changes(chat, 1, &window).await
    }

    /// Has a page read anew that does not hold what it should.
    pub(super) async fn forget_backlog(&self, chat: ChatId, from: Seq) {
        self.backlog.invalidate(&(chat, from)).await;
    }

    /// Up to a page of the chat's messages from `from` on.
    pub(super) async fn backlog(&self, chat: ChatId, from: Seq) -> Result<Backlog, PortError> {
        let key = (chat, from);
        let read = async {
            let window = Window {
                after: Some(from - 1),
                before: None,
                limit: MAX_PAGE,
                from_end: false,
            };
            let page = self.messages.page(chat, &window).await?;
            let publish = |message| Published::new(Event::MessageAdded { message });
            Ok(Arc::new(
                page.items.into_iter().map(publish).collect::<Vec<_>>(),
            ))
        };
        let page = self.backlog.try_get_with(key, read).await;
        let page = page.map_err(|error: Arc<PortError>| (*error).clone())?;
        if page.is_empty() {
            self.backlog.invalidate(&key).await;
        }
        Ok(page)
    }
}
