//! The embedded store, but it loses members and shows less than it holds. It can be down, too.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use talksy_domain::access::Denied;
use talksy_domain::chats::{Chat, ChatStore, ChatStoreLayer, Member};
use talksy_domain::cursor::{ChatCursor, MemberCursor};
use talksy_domain::error::PortError;
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::messages::{Append, Head, Message, MessageStore, MessageStoreLayer};
use talksy_domain::page::{Page, Window};
use talksy_domain::port::{Layer, Layered};
use talksy_domain::seq::Seq;
use talksy_domain::services::Ports;
use talksy_tests::faulty_store::{Fault, FaultyStore};

/// The store whose answers are altered. A clone shares its alterations.
#[derive(Clone)]
pub struct AlteredStore {
    chats: Arc<dyn ChatStore>,
    messages: Arc<dyn MessageStore>,
    faults: FaultyStore,
    changes: Arc<Mutex<Changes>>,
}

#[derive(Default)]
struct Changes {
    removed: HashSet<(ChatId, UserId)>,
    /// What is added to a chat's membership epoch.
    later: HashMap<ChatId, u32>,
    /// The last message that a chat shows.
    shown: HashMap<ChatId, Seq>,
}

impl Changes {
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

impl AlteredStore {
    /// The store of these ports, not altered yet.
    pub fn new(ports: &Ports) -> Self {
        let faults = FaultyStore::new();
        let ports = faults.in_front_of(ports.clone());
        Self {
            chats: ports.chats,
            messages: ports.messages,
            faults,
            changes: Arc::default(),
        }
    }

    /// Puts this store in front of the one of the ports.
    pub fn install(&self, ports: Ports) -> Ports {
        Ports {
            chats: Arc::new(Layered(self.clone())),
            messages: Arc::new(Layered(self.clone())),
            ..ports
        }
    }

    /// From now on nothing can be read. Messages can still be sent, by others as it were.
    pub fn go_down(&self) {
        for port in ["chats", "messages"] {
            let outage = Fault::Unavailable("it is down");
            self.faults.set(port, outage);
        }
        for write in ["chats.mark_read", "messages.append"] {
            self.faults.set(write, Fault::None);
        }
    }

    /// Ends the outage.
    pub fn come_back(&self) {
        for port in ["chats", "messages"] {
            self.faults.set(port, Fault::None);
        }
    }

    /// Waits until this many calls were refused since the outage began.
    pub async fn refused(&self, times: usize) {
        self.faults.refused(times).await;
    }

    /// Takes a member away, and raises the chat's membership epoch with it.
    pub fn remove(&self, chat: ChatId, user: UserId) {
        self.changes.lock().removed.insert((chat, user));
        self.raise_epoch(chat);
    }

    /// The membership of somebody changed.
    pub fn raise_epoch(&self, chat: ChatId) {
        *self.changes.lock().later.entry(chat).or_default() += 1;
    }

    /// Hides the chat's messages behind this one, as if they were not sent yet.
    pub fn show_up_to(&self, chat: ChatId, seq: Seq) {
        self.changes.lock().shown.insert(chat, seq);
    }

    /// How many pages of messages were read so far.
    pub fn pages_read(&self) -> usize {
        self.faults.calls("messages.page")
    }

    fn altered(&self, mut chat: Chat) -> Chat {
        let changes = self.changes.lock();
        chat.membership_epoch += changes.epoch(chat.id);
        chat.last_seq = chat.last_seq.min(changes.shown(chat.id));
        chat
    }
}

impl Layer<dyn MessageStore> for AlteredStore {
    fn inner(&self) -> &Arc<dyn MessageStore> {
        &self.messages
    }
}

impl MessageStoreLayer for AlteredStore {
    async fn append(&self, draft: &Message) -> Result<Append, PortError> {
        let sender = draft.sender_id;
        if sender.is_some_and(|sender| !self.changes.lock().is_member(draft.chat_id, sender)) {
            return Ok(Append::Denied(Denied::NotMember));
        }
        Ok(match self.messages.append(draft).await? {
            Append::Done(mut appended) => {
                appended.chat = self.altered(appended.chat);
                Append::Done(appended)
            }
            refused @ Append::Denied(_) => refused,
        })
    }

    async fn page(&self, chat: ChatId, window: &Window<Seq>) -> Result<Page<Message>, PortError> {
        let mut page = self.messages.page(chat, window).await?;
        let shown = self.changes.lock().shown(chat);
        page.items.retain(|message| message.seq <= shown);
        Ok(page)
    }

    async fn heads(&self, chats: &[ChatId]) -> Result<Vec<Head>, PortError> {
        let mut heads = self.messages.heads(chats).await?;
        let changes = self.changes.lock();
        for head in &mut heads {
            head.membership_epoch += changes.epoch(head.chat_id);
            head.last_seq = head.last_seq.min(changes.shown(head.chat_id));
        }
        Ok(heads)
    }
}

impl Layer<dyn ChatStore> for AlteredStore {
    fn inner(&self) -> &Arc<dyn ChatStore> {
        &self.chats
    }
}

impl ChatStoreLayer for AlteredStore {
    async fn chats(&self, ids: &[ChatId]) -> Result<Vec<Chat>, PortError> {
        let chats = self.chats.chats(ids).await?;
        Ok(chats.into_iter().map(|chat| self.altered(chat)).collect())
    }

    async fn chats_of(
        &self,
        user: UserId,
        search: Option<&str>,
        window: &Window<ChatCursor>,
    ) -> Result<Page<Chat>, PortError> {
        let mut page = self.chats.chats_of(user, search, window).await?;
        let changes = self.changes.lock();
        page.items.retain(|chat| changes.is_member(chat.id, user));
        Ok(page)
    }

    async fn chat_ids_of(&self, user: UserId) -> Result<Vec<ChatId>, PortError> {
        let mut ids = self.chats.chat_ids_of(user).await?;
        let changes = self.changes.lock();
        ids.retain(|chat| changes.is_member(*chat, user));
        Ok(ids)
    }

    async fn memberships(&self, user: UserId, chats: &[ChatId]) -> Result<Vec<Member>, PortError> {
        let mut members = self.chats.memberships(user, chats).await?;
        let changes = self.changes.lock();
        members.retain(|member| changes.is_member(member.chat_id, user));
        Ok(members)
    }

    async fn members(
        &self,
        chat: ChatId,
        read_from: Option<Seq>,
        window: &Window<MemberCursor>,
    ) -> Result<Page<Member>, PortError> {
        let mut page = self.chats.members(chat, read_from, window).await?;
        let changes = self.changes.lock();
        page.items
            .retain(|member| changes.is_member(chat, member.user_id));
        Ok(page)
    }

    async fn sharing(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, PortError> {
        let mut sharing = self.chats.sharing(user, others).await?;
        let changes = self.changes.lock();
        // Who was removed from anywhere shares nothing: each pair has one chat here.
        sharing.retain(|other| {
            let gone = |who: UserId| changes.removed.iter().any(|(_, removed)| *removed == who);
            !gone(*other) && !gone(user)
        });
        Ok(sharing)
    }
}
