//! The embedded store, but it can be down, lose members, and show less than it holds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use talksy_domain::access::Denied;
use talksy_domain::chats::{Chat, ChatStore, Member, ReadMark};
use talksy_domain::clock::Timestamp;
use talksy_domain::cursor::{ChatCursor, MemberCursor};
use talksy_domain::error::PortError;
use talksy_domain::id::{ChatId, MessageId, UserId};
use talksy_domain::messages::{Append, Head, Message, MessageStore};
use talksy_domain::page::{Page, Window};
use talksy_domain::seq::Seq;
use talksy_domain::services::Ports;
use tokio::sync::watch;

/// The store with its moods.
pub struct MoodyStore {
    chats: Arc<dyn ChatStore>,
    messages: Arc<dyn MessageStore>,
    mood: Mutex<Mood>,
    /// How many calls were refused since the outage began.
    refusals: watch::Sender<usize>,
    /// How many pages of messages were read.
    pages: Mutex<usize>,
}

#[derive(Default)]
struct Mood {
    down: bool,
    removed: HashSet<(ChatId, UserId)>,
    /// What is added to a chat's membership epoch.
    later: HashMap<ChatId, u32>,
    /// The last message that a chat shows.
    shown: HashMap<ChatId, Seq>,
}

impl Mood {
    fn is_member(&self, chat: ChatId, user: UserId) -> bool {
        !self.removed.contains(&(chat, user))
    }

    fn epoch(&self, chat: ChatId) -> u32 {
        self.later.get(&chat).copied().unwrap_or_default()
    }

    fn shown(&self, chat: ChatId) -> Seq {
        self.shown.get(&chat).copied().unwrap_or(Seq::MAX)
    }
}

impl MoodyStore {
    /// The store in its best mood.
    pub fn new(ports: &Ports) -> Self {
        Self {
            chats: Arc::clone(&ports.chats),
            messages: Arc::clone(&ports.messages),
            mood: Mutex::default(),
            refusals: watch::Sender::new(0),
            pages: Mutex::default(),
        }
    }

    /// From now on nothing can be read. Messages can still be sent, by others as it were.
    pub fn go_down(&self) {
        self.refusals.send_replace(0);
        self.mood.lock().down = true;
    }

    /// Ends the outage.
    pub fn come_back(&self) {
        self.mood.lock().down = false;
    }

    /// Waits until so many calls were refused.
    pub async fn refused(&self, times: usize) {
        let enough = |count: &usize| *count >= times;
        let mut refusals = self.refusals.subscribe();
        refusals.wait_for(enough).await.unwrap();
    }

    /// Takes a member away, and raises the chat's membership epoch with it.
    pub fn remove(&self, chat: ChatId, user: UserId) {
        self.mood.lock().removed.insert((chat, user));
        self.raise_epoch(chat);
    }

    /// The membership of somebody changed.
    pub fn raise_epoch(&self, chat: ChatId) {
        *self.mood.lock().later.entry(chat).or_default() += 1;
    }

    /// Hides the chat's messages behind this one, as if they were not sent yet.
    pub fn show_up_to(&self, chat: ChatId, seq: Seq) {
        self.mood.lock().shown.insert(chat, seq);
    }

    /// How many pages of messages were read so far.
    pub fn pages_read(&self) -> usize {
        *self.pages.lock()
    }

    fn up(&self) -> Result<(), PortError> {
        if self.mood.lock().down {
            self.refusals.send_modify(|count| *count += 1);
            return Err(PortError::unavailable("store", "it is in a bad mood"));
        }
        Ok(())
    }

    fn moodily(&self, mut chat: Chat) -> Chat {
        let mood = self.mood.lock();
        chat.membership_epoch += mood.epoch(chat.id);
        chat.last_seq = chat.last_seq.min(mood.shown(chat.id));
        chat
    }
}

#[async_trait]
impl MessageStore for MoodyStore {
    async fn append(&self, draft: &Message) -> Result<Append, PortError> {
        let sender = draft.sender_id;
        if sender.is_some_and(|sender| !self.mood.lock().is_member(draft.chat_id, sender)) {
            return Ok(Append::Denied(Denied::NotMember));
        }
        Ok(match self.messages.append(draft).await? {
            Append::Done(mut appended) => {
                appended.chat = self.moodily(appended.chat);
                Append::Done(appended)
            }
            refused @ Append::Denied(_) => refused,
        })
    }

    async fn messages(&self, ids: &[MessageId]) -> Result<Vec<Message>, PortError> {
        self.up()?;
        self.messages.messages(ids).await
    }

    async fn page(&self, chat: ChatId, window: &Window<Seq>) -> Result<Page<Message>, PortError> {
        self.up()?;
        *self.pages.lock() += 1;
        let mut page = self.messages.page(chat, window).await?;
        let shown = self.mood.lock().shown(chat);
        page.items.retain(|message| message.seq <= shown);
        Ok(page)
    }

    async fn last_messages(&self, chats: &[ChatId]) -> Result<Vec<Message>, PortError> {
        self.up()?;
        self.messages.last_messages(chats).await
    }

    async fn heads(&self, chats: &[ChatId]) -> Result<Vec<Head>, PortError> {
        self.up()?;
        let mut heads = self.messages.heads(chats).await?;
        let mood = self.mood.lock();
        for head in &mut heads {
            head.membership_epoch += mood.epoch(head.chat_id);
            head.last_seq = head.last_seq.min(mood.shown(head.chat_id));
        }
        Ok(heads)
    }
}

#[async_trait]
impl ChatStore for MoodyStore {
    async fn chats(&self, ids: &[ChatId]) -> Result<Vec<Chat>, PortError> {
        self.up()?;
        let chats = self.chats.chats(ids).await?;
        Ok(chats.into_iter().map(|chat| self.moodily(chat)).collect())
    }

    async fn open_direct(
        &self,
        candidate: &Chat,
        users: [UserId; 2],
    ) -> Result<(Chat, bool), PortError> {
        self.up()?;
        self.chats.open_direct(candidate, users).await
    }

    async fn chats_of(
        &self,
        user: UserId,
        search: Option<&str>,
        window: &Window<ChatCursor>,
    ) -> Result<Page<Chat>, PortError> {
        self.up()?;
        let mut page = self.chats.chats_of(user, search, window).await?;
        let mood = self.mood.lock();
        page.items.retain(|chat| mood.is_member(chat.id, user));
        Ok(page)
    }

    async fn chat_ids_of(&self, user: UserId) -> Result<Vec<ChatId>, PortError> {
        self.up()?;
        let mut ids = self.chats.chat_ids_of(user).await?;
        let mood = self.mood.lock();
        ids.retain(|chat| mood.is_member(*chat, user));
        Ok(ids)
    }

    async fn memberships(&self, user: UserId, chats: &[ChatId]) -> Result<Vec<Member>, PortError> {
        self.up()?;
        let mut members = self.chats.memberships(user, chats).await?;
        let mood = self.mood.lock();
        members.retain(|member| mood.is_member(member.chat_id, user));
        Ok(members)
    }

    async fn members(
        &self,
        chat: ChatId,
        read_from: Option<Seq>,
        window: &Window<MemberCursor>,
    ) -> Result<Page<Member>, PortError> {
        self.up()?;
        let mut page = self.chats.members(chat, read_from, window).await?;
        let mood = self.mood.lock();
        page.items
            .retain(|member| mood.is_member(chat, member.user_id));
        Ok(page)
    }

    async fn first_members(
        &self,
        chats: &[ChatId],
        limit: usize,
    ) -> Result<Vec<Member>, PortError> {
        self.up()?;
        self.chats.first_members(chats, limit).await
    }

    async fn lowest_read_marks(&self, chats: &[ChatId]) -> Result<Vec<Member>, PortError> {
        self.up()?;
        self.chats.lowest_read_marks(chats).await
    }

    async fn sharing(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, PortError> {
        self.up()?;
        let mut sharing = self.chats.sharing(user, others).await?;
        let mood = self.mood.lock();
        // Who was removed from anywhere shares nothing: each pair has one chat here.
        sharing.retain(|other| {
            let gone = |who: UserId| mood.removed.iter().any(|(_, removed)| *removed == who);
            !gone(*other) && !gone(user)
        });
        Ok(sharing)
    }

    async fn mark_read(
        &self,
        chat: ChatId,
        user: UserId,
        seq: Seq,
        now: Timestamp,
    ) -> Result<Option<ReadMark>, PortError> {
        self.chats.mark_read(chat, user, seq, now).await
    }

    async fn unread_counts(
        &self,
        user: UserId,
        chats: &[ChatId],
    ) -> Result<Vec<(ChatId, u32)>, PortError> {
        self.up()?;
        self.chats.unread_counts(user, chats).await
    }
}
