//! A message store that a test can hold up, break or blow up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use parking_lot::Mutex;
use talksy_domain::error::PortError;
use talksy_domain::id::{ChatId, MessageId};
use talksy_domain::messages::{Append, Head, Message, MessageStore};
use talksy_domain::page::{Page, Window};
use talksy_domain::seq::Seq;
use talksy_domain::services::Ports;
use tokio::sync::Semaphore;

use crate::soon;

/// What becomes of a message that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is stored.
    Stored,
    /// It is stored after the test has released it.
    Held,
    /// The store says that it is not available, with this detail.
    Refused(&'static str),
    /// The store panics, with this detail.
    Panic(&'static str),
}

/// The store, in front of the real one.
pub struct Hindrance {
    behind: OnceLock<Arc<dyn MessageStore>>,
    fate: Mutex<Fate>,
    arrived: Semaphore,
    released: Semaphore,
    pages: AtomicUsize,
}

impl Hindrance {
    /// A store that does not hinder yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            behind: OnceLock::new(),
            fate: Mutex::new(Fate::Stored),
            arrived: Semaphore::new(0),
            released: Semaphore::new(0),
            pages: AtomicUsize::new(0),
        })
    }

    /// Puts this store in front of the one of the ports.
    pub fn install(self: &Arc<Self>) -> impl FnOnce(Ports) -> Ports + 'static {
        let this = Arc::clone(self);
        move |mut ports| {
            this.behind.get_or_init(|| Arc::clone(&ports.messages));
            ports.messages = this;
            ports
        }
    }

    /// Decides on the messages from now on.
    pub fn set(&self, fate: Fate) {
        *self.fate.lock() = fate;
    }

    /// Waits until a message that is held has come to the store.
    pub async fn arrived(&self) {
        match soon("a message at the store", self.arrived.acquire()).await {
            Ok(permit) => permit.forget(),
            Err(closed) => panic!("{closed}"),
        }
    }

    /// Lets so many messages go on that are held.
    pub fn release(&self, count: usize) {
        self.released.add_permits(count);
    }

    /// How often messages were read by their numbers.
    pub fn pages(&self) -> usize {
        self.pages.load(Ordering::SeqCst)
    }

    fn behind(&self) -> &dyn MessageStore {
        match self.behind.get() {
            Some(store) => &**store,
            None => panic!("the store was not installed"),
        }
    }
}

#[async_trait]
impl MessageStore for Hindrance {
    async fn append(&self, draft: &Message) -> Result<Append, PortError> {
        let fate = *self.fate.lock();
        match fate {
            Fate::Stored => {}
            Fate::Held => {
                self.arrived.add_permits(1);
                if let Ok(permit) = self.released.acquire().await {
                    permit.forget();
                }
            }
            Fate::Refused(detail) => return Err(PortError::unavailable("store", detail)),
            Fate::Panic(detail) => panic!("{detail}"),
        }
        self.behind().append(draft).await
    }

    async fn messages(&self, ids: &[MessageId]) -> Result<Vec<Message>, PortError> {
        self.behind().messages(ids).await
    }

    async fn page(&self, chat: ChatId, window: &Window<Seq>) -> Result<Page<Message>, PortError> {
        self.pages.fetch_add(1, Ordering::SeqCst);
        self.behind().page(chat, window).await
    }

    async fn last_messages(&self, chats: &[ChatId]) -> Result<Vec<Message>, PortError> {
        self.behind().last_messages(chats).await
    }

    async fn heads(&self, chats: &[ChatId]) -> Result<Vec<Head>, PortError> {
        self.behind().heads(chats).await
    }
}
