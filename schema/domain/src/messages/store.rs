//! The port through which messages are kept.

use super::model::Message;
use crate::access::Denied;
use crate::chats::model::Chat;
use crate::error::PortError;
use crate::id::{ChatId, MessageId};
use crate::page::{Page, Window};
use crate::port::port;
use crate::seq::Seq;

/// A message that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The message with its number.
    pub message: Message,
    /// Its chat as of the same commit.
    pub chat: Chat,
    /// Whether it is an earlier message with the same `clientMessageId`, found and not made.
    pub is_duplicate: bool,
}

/// What came of appending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Append {
    /// The message is durable: a crash at any later moment does not lose it.
    Done(Box<Appended>),
    /// The sender may not write to the chat. Nothing was kept.
    Denied(Denied),
}

/// The end of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The chat.
    pub chat_id: ChatId,
    /// The number of its newest message, 0 for none.
    pub last_seq: Seq,
    /// See [`Chat::membership_epoch`].
    pub membership_epoch: u32,
}

port! {
    /// Keeps messages. Each method is atomic on its own. Methods that take many ids answer in any
    /// order and leave out what does not exist.
    pub trait MessageStore as "messages" with MessageStoreLayer {
        /// Gives the draft the next number of its chat and makes it durable, with the chat's
        /// `last_seq` and `active_at`. Where the sender has a message with the same
        /// `client_message_id` in the chat, that one is the answer. The sender must be a member.
        async fn append(&self, draft: &Message) -> Result<Append, PortError>;

        /// These messages.
        async fn messages(&self, ids: &[MessageId]) -> Result<Vec<Message>, PortError>;

        /// Messages of a chat by number, oldest first.
        async fn page(&self, chat: ChatId, window: &Window<Seq>) -> Result<Page<Message>, PortError>;

        /// The newest message of each of these chats.
        async fn last_messages(&self, chats: &[ChatId]) -> Result<Vec<Message>, PortError>;

        /// The ends of these chats.
        async fn heads(&self, chats: &[ChatId]) -> Result<Vec<Head>, PortError>;
    }
}
