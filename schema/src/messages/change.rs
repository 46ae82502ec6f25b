//! `MessageChange`.

use std::sync::Arc;

use async_graphql::{Context, Object};
use talksy_domain::cursor::{Cursor as _, MessageCursor};
use talksy_domain::events::Hole;
use talksy_domain::incarnation::Incarnation;
use talksy_domain::messages::Message;
use talksy_domain::seq::Seq;

use super::types::MessageNode;
use crate::connection::connection;
use crate::context::ContextExt as _;
use crate::scalars::int;

/// A message as it is now, and the place behind its latest change.
#[derive(Clone)]
pub struct MessageChangeObject {
    message: MessageNode,
    cursor: String,
}

/// A message as it is now, and the place behind its latest change.
#[Object(name = "MessageChange")]
impl MessageChangeObject {
    /// The place: give it as `after` to `changes` or `messageUpdated`.
    pub(crate) async fn cursor(&self, ctx: &Context<'_>) -> String {
        if ctx.is_hole(Hole::Cursor) {
            return String::new();
        }
        self.place()
    }

    /// The number of the change within the chat.
    async fn change_seq(&self) -> i32 {
        int(self.message.message().change_seq)
    }

    /// The message now.
    async fn message(&self) -> &MessageNode {
        &self.message
    }
}

impl MessageChangeObject {
    /// The change of a message, for who has the chat's messages up to `seq`.
    pub(crate) fn new(message: Arc<Message>, incarnation: Incarnation, seq: Seq) -> Self {
        let cursor = MessageCursor {
            chat_id: message.chat_id,
            incarnation,
            seq,
            change_seq: Some(message.change_seq),
        };
        Self {
            message: MessageNode::new(message),
            cursor: cursor.encode(),
        }
    }

    /// The change of a message at a place.
    pub(crate) fn at(message: Message, cursor: MessageCursor) -> Self {
        Self::told(message, cursor.encode())
    }

    /// The change of a message, told with a cursor.
    pub(crate) fn told(message: Message, cursor: String) -> Self {
        Self {
            message: MessageNode::new(message),
            cursor,
        }
    }

    /// The place behind the change.
    pub(crate) fn place(&self) -> String {
        self.cursor.clone()
    }
}

connection!(
    MessageChangeConnection,
    MessageChangeEdge,
    "MessageChangeConnection",
    "MessageChangeEdge",
    MessageChangeObject,
    "A page of changed messages, in the order of their latest change."
);
