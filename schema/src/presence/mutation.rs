//! `setTyping`.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use talksy_domain::id;

use crate::context::ContextExt as _;
use crate::error::Result;

/// Whether the viewer types.
#[derive(InputObject)]
pub struct SetTypingInput {
    /// A chat of the viewer.
    chat_id: ID,
    /// Send true every three seconds or so while typing, false when done. Six seconds of silence
    /// or a sent message end it too.
    is_typing: bool,
}

/// The other members have been told, but in a large group, and where one of two has blocked the other.
#[derive(SimpleObject)]
pub struct SetTypingPayload {
    /// The chat.
    chat_id: ID,
}

/// Mutations of presence.
#[derive(Default)]
pub struct PresenceMutation;

#[Object]
impl PresenceMutation {
    /// Tells the other members of a chat that the viewer types, or stopped. In a large group, and where
    /// one of two has blocked the other, nobody is told: see `Chat.readByAllSeq`.
    async fn set_typing(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Where, and whether.")] input: SetTypingInput,
    ) -> Result<Option<SetTypingPayload>> {
        let viewer = ctx.viewer()?;
        let chat = id::parse(&input.chat_id, "chatId")?;
        ctx.services()
            .presence
            .set_typing(viewer, chat, input.is_typing)
            .await?;
        Ok(Some(SetTypingPayload {
            chat_id: input.chat_id,
        }))
    }
}
