//! The embedded store, but it shows less than it holds, or not all of what it shows. It can be down,
//! too.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use talksy_domain::chats::ChatStore;
use talksy_domain::error::PortError;
use talksy_domain::id::ChatId;
use talksy_domain::messages::{Head, Message, MessageStore, MessageStoreLayer};
use talksy_domain::page::{Page, Window};
use talksy_domain::port::{Layer, Layered};
use talksy_domain::seq::Seq;
use talksy_domain::services::Ports;
use talksy_tests::eventually;
use talksy_tests::faulty_store::{Fault, FaultyStore};

/// The store whose answers are altered. A clone shares its alterations.
#[derive(Clone)]
pub struct AlteredStore {
    chats: Arc<dyn ChatStore>,
    messages: Arc<dyn MessageStore>,
    faults: FaultyStore,
    alterations: Arc<Mutex<Alterations>>,
}

#[derive(Default)]
struct Alterations {
    /// The last message that a chat shows.
    shown: HashMap<ChatId, Seq>,
    /// The last change that a chat shows.
    shown_changes: HashMap<ChatId, Seq>,
    /// Messages whose notice does not parse.
    damaged: HashSet<(ChatId, Seq)>,
    /// The chats that are shown, where others are not.
    made: Option<HashSet<ChatId>>,
}

impl Alterations {
    fn shown(&self, chat: ChatId) -> Seq {
        self.shown.get(&chat).copied().unwrap_or(Seq::MAX)
    }

    fn shown_changes(&self, chat: ChatId) -> Seq {
        self.shown_changes.get(&chat).copied().unwrap_or(Seq::MAX)
    }

    fn alter(&self, message: &mut Message) {
        if self.damaged.contains(&(message.chat_id, message.seq)) {
            message.notice = None;
        }
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
            alterations: Arc::default(),
        }
    }

    /// Puts this store in front of the one of the ports.
    pub fn install(&self, ports: Ports) -> Ports {
        Ports {
            chats: Arc::clone(&self.chats),
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

    /// Holds calls of a method until they are released.
    pub fn hold(&self, method: &str) {
        self.faults.set(method, Fault::Held);
    }

    /// Waits for a call that is held.
    pub async fn held(&self, method: &str) {
        self.faults.arrived(method).await;
    }

    /// Lets a call go on that is held.
    pub fn release(&self, method: &str) {
        self.faults.release(method, 1);
    }

    /// Hides the chat's messages behind this one, as if they were not sent yet.
    pub fn show_up_to(&self, chat: ChatId, seq: Seq) {
        self.alterations.lock().shown.insert(chat, seq);
    }

    /// Hides the messages whose latest change is behind this one, as a store does that lags.
    pub fn show_changes_up_to(&self, chat: ChatId, change_seq: Seq) {
        self.alterations
            .lock()
            .shown_changes
            .insert(chat, change_seq);
    }

    /// Shows these chats alone, as if the others were being made: their members are in already.
    pub fn show_only(&self, chats: &[ChatId]) {
        self.alterations.lock().made = Some(chats.iter().copied().collect());
    }

    /// Shows all chats.
    pub fn show_all(&self) {
        self.alterations.lock().made = None;
    }

    /// The notice of this message does not parse any more.
    pub fn damage_notice(&self, chat: ChatId, seq: Seq) {
        self.alterations.lock().damaged.insert((chat, seq));
    }

    /// Waits until the ends of chats were asked for this often.
    pub async fn heads_asked(&self, times: usize) {
        let asked = async || (self.faults.calls("messages.heads") >= times).then_some(());
        eventually("the ends to be asked for", asked).await;
    }

    /// How often the ends of chats were asked for so far.
    pub fn heads_so_far(&self) -> usize {
        self.faults.calls("messages.heads")
    }

    /// Waits until pages of changes were read this often.
    pub async fn changes_asked(&self, times: usize) {
        let asked = async || (self.changes_read() >= times).then_some(());
        eventually("changes to be asked for", asked).await;
    }

    /// How often chats were read so far.
    pub fn chats_read(&self) -> usize {
        self.faults.calls("chats.chats")
    }

    /// How often it was asked who has read least.
    pub fn marks_asked(&self) -> usize {
        self.faults.calls("chats.lowest_read_marks")
    }

    /// How many pages of messages were read so far.
    pub fn pages_read(&self) -> usize {
        self.faults.calls("messages.page")
    }

    /// How many pages of changes were read so far.
    pub fn changes_read(&self) -> usize {
        self.faults.calls("messages.changes")
    }
}

impl Layer<dyn MessageStore> for AlteredStore {
    fn inner(&self) -> &Arc<dyn MessageStore> {
        &self.messages
    }
}

impl MessageStoreLayer for AlteredStore {
    async fn page(&self, chat: ChatId, window: &Window<Seq>) -> Result<Page<Message>, PortError> {
        let mut page = self.messages.page(chat, window).await?;
        let alterations = self.alterations.lock();
        let shown = alterations.shown(chat);
        page.items.retain(|message| message.seq <= shown);
        for message in &mut page.items {
            alterations.alter(message);
        }
        Ok(page)
    }

    async fn last_messages(&self, chats: &[ChatId]) -> Result<Vec<Message>, PortError> {
        let mut messages = self.messages.last_messages(chats).await?;
        let alterations = self.alterations.lock();
        messages.retain(|message| message.seq <= alterations.shown(message.chat_id));
        for message in &mut messages {
            alterations.alter(message);
        }
        Ok(messages)
    }

    async fn changes(
        &self,
        chat: ChatId,
        from: Seq,
        window: &Window<Seq>,
    ) -> Result<Page<Message>, PortError> {
        let mut page = self.messages.changes(chat, from, window).await?;
        let shown = self.alterations.lock().shown_changes(chat);
        page.items.retain(|message| message.change_seq <= shown);
        Ok(page)
    }

    async fn heads(&self, chats: &[ChatId]) -> Result<Vec<Head>, PortError> {
        let mut heads = self.messages.heads(chats).await?;
        let alterations = self.alterations.lock();
        if let Some(made) = &alterations.made {
            heads.retain(|head| made.contains(&head.chat_id));
        }
        for head in &mut heads {
            let shown = alterations.shown(head.chat_id);
            head.last_seq = head.last_seq.min(shown);
            let shown = alterations.shown_changes(head.chat_id);
            head.last_change_seq = head.last_change_seq.min(shown);
        }
        Ok(heads)
    }
}
