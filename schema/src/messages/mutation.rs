//! Sending, editing and deleting messages.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use talksy_domain::error::Invalid;
use talksy_domain::id::{self, AttachmentKindTag};
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
    /// What it says: 1 to 4,000 characters, not blank. Needed where there are no attachments.
    text: Option<String>,
    /// Attachments of the viewer that were uploaded and are not used yet, at most 10, each once.
    attachment_ids: Option<Vec<ID>>,
    /// The sender's own id for this message, at most 64 characters: a retry with the same one,
    /// at any later time, returns the first message; other content under it is refused with
    /// `CONFLICT`.
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

/// Another text for a message.
#[derive(InputObject)]
pub struct EditMessageInput {
    /// A message of the viewer.
    message_id: ID,
    /// What it is to say: 1 to 4,000 characters, not blank.
    text: Option<String>,
    /// The message's `changeSeq` as the editor has seen it: `CONFLICT` where the content was edited
    /// or deleted behind this number. Without it the last edit wins.
    expected_change_seq: Option<i32>,
}

/// The message as it is now.
#[derive(SimpleObject)]
pub struct EditMessagePayload {
    /// The message.
    message: MessageNode,
}

/// Which message to delete.
#[derive(InputObject)]
pub struct DeleteMessageInput {
    /// A message of the viewer, or, for the admins and owners of a group, of anybody.
    message_id: ID,
}

/// What is left of the message.
#[derive(SimpleObject)]
pub struct DeleteMessagePayload {
    /// The message, without its content.
    message: MessageNode,
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
        let attachments = input.attachment_ids.unwrap_or_default();
        let attachments = id::parse_all::<AttachmentKindTag>(&attachments, "attachmentIds")?;
        let text = match input.text {
            None if !attachments.is_empty() => None,
            text => Some(MessageText::parse(text.unwrap_or_default())?),
        };
        let own_id = input
            .client_message_id
            .map(ClientMessageId::parse)
            .transpose()?;
        let services = ctx.services();
        // First: where it cannot be read, nothing was sent.
        let incarnation = services.feeds.incarnation().await?;
        let messages = &services.messages;
        let sending = messages.send_with(viewer, chat, text, &attachments, own_id);
        let sent = sending.await?;
        let message = MessageNode::new(sent.message);
        Ok(Some(SendMessagePayload {
            edge: MessageEdge {
                cursor: message.place(incarnation),
                node: message.clone(),
            },
            message,
            chat: ChatNode::new(sent.chat),
        }))
    }

    /// Gives a message of the viewer another text. All who follow `messageUpdated` are told.
    async fn edit_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The message and its text.")] input: EditMessageInput,
    ) -> Result<Option<EditMessagePayload>> {
        let viewer = ctx.viewer()?;
        let message = id::parse(&input.message_id, "messageId")?;
        let text = MessageText::parse(input.text.unwrap_or_default())?;
        let expected = input
            .expected_change_seq
            .map(u32::try_from)
            .transpose()
            .map_err(|_| Invalid::new("expectedChangeSeq", "must not be negative"))?;
        let messages = &ctx.services().messages;
        let message = messages.edit(viewer, message, text, expected).await?;
        Ok(Some(EditMessagePayload {
            message: MessageNode::new(message),
        }))
    }

    /// Deletes a message: its content is gone for good, its place in the chat stays. Deleting it
    /// again changes nothing.
    async fn delete_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which message.")] input: DeleteMessageInput,
    ) -> Result<Option<DeleteMessagePayload>> {
        let viewer = ctx.viewer()?;
        let message = id::parse(&input.message_id, "messageId")?;
        let message = ctx.services().messages.delete(viewer, message).await?;
        Ok(Some(DeleteMessagePayload {
            message: MessageNode::new(message),
        }))
    }
}
