//! Sending, editing and deleting messages.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use talksy_domain::error::Invalid;
use talksy_domain::id::{self, AttachmentKindTag, UserId};
use talksy_domain::messages::{ClientMessageId, MessageContent, MessageEdit, MessageText};

use super::types::{MessageEdge, MessageNode};
use crate::chats::ChatNode;
use crate::context::ContextExt as _;
use crate::error::Result;
use crate::metadata::{Json, metadata_change};

/// A message to send.
#[derive(InputObject)]
pub struct SendMessageInput {
    /// A chat of the viewer.
    chat_id: ID,
    /// What it says: 1 to 4,000 characters, not blank. Needed where there are no attachments.
    text: Option<String>,
    /// The message of the chat that it replies to, which the viewer may read.
    reply_to_id: Option<ID>,
    /// Whom it mentions: members of the chat, each once, at most 50.
    mention_ids: Option<Vec<ID>>,
    /// What the application is to keep beside the message.
    metadata: Option<Json>,
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

/// Other content for a message. What is absent stays as it is.
#[derive(InputObject)]
pub struct EditMessageInput {
    /// A message of the viewer.
    message_id: ID,
    /// What it is to say: 1 to 4,000 characters, not blank. Absent only where something else is given.
    text: Option<String>,
    /// Whom it is to mention: members of the chat, and who was mentioned before, each once, at most 50.
    mention_ids: Option<Vec<ID>>,
    /// What the application is to keep beside it; null clears it.
    metadata: MaybeUndefined<Json>,
    /// The message's `changeSeq` as the editor has seen it: `CONFLICT` where the content was edited
    /// or deleted behind this number; reactions and pins do not count. Without it the last edit wins.
    expected_change_seq: Option<i32>,
}

/// Reads a list of users; a refusal names the place in it.
fn mentions(ids: Option<&[ID]>) -> Result<Option<Vec<UserId>>, Invalid> {
    let parse = |ids: &[ID]| id::parse_all(ids, "mentionIds");
    ids.map(parse).transpose()
}

impl EditMessageInput {
    /// The content that is given.
    fn edit(&self) -> Result<MessageEdit, Invalid> {
        let mut edit = MessageEdit {
            text: None,
            metadata: metadata_change(&self.metadata)?,
            mention_ids: mentions(self.mention_ids.as_deref())?,
        };
        // Without anything else it is the text that is missing.
        if self.text.is_some() || edit == MessageEdit::default() {
            let text = self.text.clone().unwrap_or_default();
            edit.text = Some(MessageText::parse(text)?);
        }
        Ok(edit)
    }
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
    /// A message of the viewer, or, for the admins and owners of a group, of anybody there; for the
    /// operators of the server any message.
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
        let reply_to_id = input.reply_to_id.as_ref();
        let content = MessageContent {
            text,
            metadata: input.metadata.as_ref().map(Json::metadata).transpose()?,
            reply_to_id: reply_to_id
                .map(|message| id::parse(message, "replyToId"))
                .transpose()?,
            mention_ids: mentions(input.mention_ids.as_deref())?.unwrap_or_default(),
            attachment_ids: attachments,
        };
        let own_id = input
            .client_message_id
            .map(ClientMessageId::parse)
            .transpose()?;
        let services = ctx.services();
        // First: where it cannot be read, nothing was sent.
        let incarnation = services.feeds.incarnation().await?;
        let messages = &services.messages;
        let sent = messages.send(viewer, chat, content, own_id).await?;
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

    /// Gives a message of the viewer other content. All who follow `messageUpdated` are told.
    async fn edit_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The message and its content.")] input: EditMessageInput,
    ) -> Result<Option<EditMessagePayload>> {
        let viewer = ctx.viewer()?;
        let message = id::parse(&input.message_id, "messageId")?;
        let edit = input.edit()?;
        let expected = input
            .expected_change_seq
            .map(u32::try_from)
            .transpose()
            .map_err(|_| Invalid::new("expectedChangeSeq", "must not be negative"))?;
        let messages = &ctx.services().messages;
        let message = messages.edit(viewer, message, edit, expected).await?;
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
            message: MessageNode::out_of_chat(message),
        }))
    }
}
