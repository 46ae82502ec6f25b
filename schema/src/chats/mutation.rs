//! Starting chats, marking them as read, and muting them.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use talksy_domain::error::Invalid;
use talksy_domain::id;

use super::types::{ChatNode, ReadReceiptObject};
use crate::context::ContextExt as _;
use crate::error::Result;

/// With whom to start a chat.
#[derive(InputObject)]
pub struct StartChatInput {
    /// Another user.
    user_id: ID,
}

/// The direct chat of two users.
#[derive(SimpleObject)]
pub struct StartChatPayload {
    /// The chat.
    chat: ChatNode,
    /// False where the two already had one.
    created: bool,
}

/// How far the viewer has read.
#[derive(InputObject)]
pub struct MarkReadInput {
    /// A chat of the viewer.
    chat_id: ID,
    /// Read up to and including this message. The mark never goes back, nor beyond the newest
    /// message.
    seq: i32,
}

/// How far the viewer has read now.
#[derive(SimpleObject)]
pub struct MarkReadPayload {
    /// The chat, with its new unread count.
    chat: ChatNode,
    /// The viewer's receipt, as the other members see it.
    receipt: ReadReceiptObject,
}

/// From where on a chat is unread.
#[derive(InputObject)]
pub struct MarkUnreadInput {
    /// A chat of the viewer.
    chat_id: ID,
    /// The first message to show as unread, which the viewer may read.
    from_seq: i32,
}

/// The chat as the viewer has it now.
#[derive(SimpleObject)]
pub struct MarkUnreadPayload {
    /// The chat, with its new unread count.
    chat: ChatNode,
}

/// Whether to mute a chat.
#[derive(InputObject)]
pub struct MuteChatInput {
    /// A chat of the viewer.
    chat_id: ID,
    /// Whether the viewer wants no notifications of it.
    muted: bool,
}

/// The chat as the viewer has it now.
#[derive(SimpleObject)]
pub struct MuteChatPayload {
    /// The chat.
    chat: ChatNode,
}

/// Mutations of chats.
#[derive(Default)]
pub struct ChatMutation;

#[Object]
impl ChatMutation {
    /// Starts the direct chat with another user, or returns the one there is.
    async fn start_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "With whom.")] input: StartChatInput,
    ) -> Result<Option<StartChatPayload>> {
        let viewer = ctx.viewer()?;
        let user = id::parse(&input.user_id, "userId")?;
        let (chat, created) = ctx.services().chats.start_direct(viewer, user).await?;
        Ok(Some(StartChatPayload {
            chat: ChatNode::new(chat),
            created,
        }))
    }

    /// Marks a chat as read up to a message, and tells its other members at once; in a large group
    /// the viewer's other devices alone: see `Chat.readByAllSeq`. Call it when the viewer opens a chat
    /// and when messages come while it is open. It ends `markUnread`, also where there is nothing new.
    async fn mark_read(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How far.")] input: MarkReadInput,
    ) -> Result<Option<MarkReadPayload>> {
        let viewer = ctx.viewer()?;
        let chat = id::parse(&input.chat_id, "chatId")?;
        let seq =
            u32::try_from(input.seq).map_err(|_| Invalid::new("seq", "must not be negative"))?;
        let (chat, receipt) = ctx.services().chats.mark_read(viewer, chat, seq).await?;
        Ok(Some(MarkReadPayload {
            chat: ChatNode::new(chat),
            receipt: ReadReceiptObject(receipt),
        }))
    }

    /// Shows a chat as unread from a message on, on all of the viewer's devices, until `markRead`. Others
    /// are not told: what they know of how far the viewer has read stays.
    async fn mark_unread(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "From where on.")] input: MarkUnreadInput,
    ) -> Result<Option<MarkUnreadPayload>> {
        let viewer = ctx.viewer()?;
        let chat = id::parse(&input.chat_id, "chatId")?;
        let from = u32::try_from(input.from_seq)
            .map_err(|_| Invalid::new("fromSeq", "must not be negative"))?;
        let chat = ctx.services().chats.mark_unread(viewer, chat, from).await?;
        Ok(Some(MarkUnreadPayload {
            chat: ChatNode::new(chat),
        }))
    }

    /// Says whether the viewer wants no notifications of a chat. The viewer's other devices are told
    /// by `chatUpdated`; nobody else is.
    async fn mute_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which chat, and whether.")] input: MuteChatInput,
    ) -> Result<Option<MuteChatPayload>> {
        let viewer = ctx.viewer()?;
        let chat = id::parse(&input.chat_id, "chatId")?;
        let chat = ctx.services().chats.mute(viewer, chat, input.muted).await?;
        Ok(Some(MuteChatPayload {
            chat: ChatNode::new(chat),
        }))
    }
}
