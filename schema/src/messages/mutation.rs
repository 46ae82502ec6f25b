//! Sending messages.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use talksy_domain::id;
use talksy_domain::messages::{ClientMessageId, MessageText};

use super::types::{MessageEdge, MessageNode};
use crate::chats::ChatNode;
use crate::context::ContextExt as _;
use crate::error::Result;

/// A message to send.
#[derive(InputObject)]
pub struct SendMessageInput {
    /// A chat of the viewer.
    chat_id: ID,
    /// What it says: 1 to 4,000 characters, not blank.
    text: Option<String>,
    /// The sender's own id for this message, at most 64 characters: a retry with the same one,
    /// at any later time, returns the first message.
    client_message_id: Option<String>,
}

/// The message as it was sent, now or by an earlier try.
#[derive(SimpleObject)]
pub struct SendMessagePayload {
    /// The message with its cursor.
    edge: MessageEdge,
    /// The message.
    message: MessageNode,
    /// Its chat.
    chat: ChatNode,
}

/// Mutations of messages.
#[derive(Default)]
pub struct MessageMutation;

#[Object]
impl MessageMutation {
    /// Sends a message. When the answer comes, the message is durable.
    async fn send_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The message.")] input: SendMessageInput,
    ) -> Result<Option<SendMessagePayload>> {
        let viewer = ctx.viewer()?;
        let chat = id::parse(&input.chat_id, "chatId")?;
        let text = MessageText::parse(input.text.unwrap_or_default())?;
        let own_id = input
            .client_message_id
            .map(ClientMessageId::parse)
            .transpose()?;
        let sent = ctx
            .services()
            .messages
            .send(viewer, chat, text, own_id)
            .await?;
        let message = MessageNode::new(sent.message);
        Ok(Some(SendMessagePayload {
            edge: MessageEdge {
                cursor: message.place(),
                node: message.clone(),
            },
            message,
            chat: ChatNode(sent.chat),
        }))
    }
}
