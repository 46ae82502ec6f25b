//! `chat` and `chats`.

use async_graphql::{Context, ID, Object};
use talksy_domain::id::ChatId;
use talksy_domain::page::Window;

use super::prefetch;
use super::types::{ChatConnection, ChatNode};
use crate::connection::cursor;
use crate::context::ContextExt as _;
use crate::error::Result;

/// Queries on chats.
#[derive(Default)]
pub struct ChatQuery;

#[Object]
impl ChatQuery {
    /// A chat of the viewer; null for an id that is unknown, malformed or not the viewer's to see.
    async fn chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The chat's id.")] id: ID,
    ) -> Result<Option<ChatNode>> {
        let viewer = ctx.viewer()?;
        let Ok(chat) = id.parse::<ChatId>() else {
            return Ok(None);
        };
        let mut found = ctx.services().chats.visible(viewer, &[chat]).await?;
        Ok(found.pop().map(ChatNode::new))
    }

    /// The viewer's chats, most recently active first.
    async fn chats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 0 to 100; 50 where absent.")] first: Option<i32>,
        #[graphql(desc = "Only chats behind this cursor.")] after: Option<String>,
        #[graphql(
            desc = "Only chats whose title contains this, whatever the case and the accents; at most 100 characters."
        )]
        search: Option<String>,
    ) -> Result<Option<ChatConnection>> {
        let viewer = ctx.viewer()?;
        let window = Window::forward(first, cursor(after.as_deref(), "after")?)?;
        let chats = &ctx.services().chats;
        let page = chats.list(viewer, search.as_deref(), &window).await?;
        prefetch::chats(ctx, viewer.user_id, &page.items).await;
        Ok(Some(ChatConnection::new(
            page.map(ChatNode::new),
            ChatNode::cursor,
        )))
    }
}
