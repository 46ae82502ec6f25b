//! The chats that a user has left, as far as a feed has said so.

use std::collections::{BTreeMap, HashMap};

use crate::id::ChatId;
use crate::seq::Seq;

/// The chats that the user had and of which the client knows that they have no more: those that were
/// left when the feed was opened, and those of which it told since. Each with the number of a message
/// that is not before the one that says so.
///
/// What the store has beyond that is to be told, also of a chat that the feed never saw the user
/// have: the client may have read it in between.
#[derive(Debug, Default)]
pub(super) struct LeftChats(BTreeMap<ChatId, Seq>);

impl LeftChats {
    /// The client knows of these.
    pub(super) fn new(known: HashMap<ChatId, Seq>) -> Self {
        Self(known.into_iter().collect())
    }

    /// Whether the client knows that the user has left the chat with this message.
    pub(super) fn knows(&self, chat: ChatId, seq: Seq) -> bool {
        self.0.get(&chat).is_some_and(|known| *known >= seq)
    }

    /// The client is told so now.
    pub(super) fn note(&mut self, chat: ChatId, seq: Seq) {
        self.0.insert(chat, seq);
    }

    /// Of what the store has, what the client does not know yet. It is told so now.
    pub(super) fn note_all(&mut self, mut left: HashMap<ChatId, Seq>) -> HashMap<ChatId, Seq> {
        left.retain(|chat, seq| !self.knows(*chat, *seq));
        self.0.extend(&left);
        left
    }
}
