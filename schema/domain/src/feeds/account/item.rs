//! What an account's feed delivers.

use std::sync::Arc;

use super::position::AccountCursor;
use crate::chats::model::ReadReceipt;
use crate::events::event::Published;
use crate::id::ChatId;

/// Something that concerns the user.
#[derive(Clone, Debug)]
pub enum AccountItem {
    /// A message was added to a chat that is told in detail.
    MessageAdded(Arc<Published>),
    /// A message of a chat that is told in detail was changed: it now.
    MessageChanged(Arc<Published>),
    /// A chat looks different to the user, or is new: its state is to be read.
    ChatChanged(ChatId),
    /// The user is no member of the chat any more.
    ChatRemoved(ChatId),
    /// A member of a chat that is told in detail has read further; with the event that said so,
    /// where one did.
    ReceiptChanged(ReadReceipt, Option<Arc<Published>>),
    /// The user's own profile changed: it is to be read.
    ViewerChanged,
    /// What the client knows of the chat is to be dropped and read anew.
    ChatReset(ChatId),
    /// All before it has been delivered.
    Checkpoint {
        /// Whether nothing more was to be delivered when the store was last compared with.
        is_caught_up: bool,
    },
}

/// Something that concerns the user, and where the client stands behind it.
#[derive(Clone, Debug)]
pub struct AccountEvent {
    /// What it is.
    pub item: AccountItem,
    /// The place behind it.
    pub cursor: EventCursor,
}

/// The place behind an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventCursor {
    /// Of an event.
    Event(AccountCursor),
    /// Of a checkpoint: its text.
    Checkpoint(String),
}

impl EventCursor {
    /// The opaque text.
    pub fn encode(&self) -> String {
        match self {
            Self::Event(cursor) => cursor.encode(),
            Self::Checkpoint(text) => text.clone(),
        }
    }
}
