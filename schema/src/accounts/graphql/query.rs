//! `me`, `users`, `sessions`.

use async_graphql::{Context, Object, Result};

use super::types::{SessionNode, UserConnection, UserNode};
use crate::context::Authentication;
use crate::graphql::{ContextExt as _, cursor, page_cost};
use crate::page::Window;

/// Queries on accounts.
#[derive(Default)]
pub struct AccountQuery;

#[Object]
impl AccountQuery {
    /// The signed-in user; null where no credentials were sent.
    async fn me(&self, ctx: &Context<'_>) -> Result<Option<UserNode>> {
        if matches!(ctx.data_unchecked(), Authentication::Anonymous) {
            return Ok(None);
        }
        Ok(Some(UserNode::new(
            ctx.services().accounts.me(ctx.viewer()?).await?,
        )))
    }

    /// Everyone but the viewer, ordered by name.
    #[graphql(complexity = "page_cost([first, None], child_complexity)")]
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Only users whose name starts with this, whatever the case; at most 100 characters."
        )]
        search: Option<String>,
        #[graphql(desc = "How many, 0 to 100; 50 where absent.")] first: Option<i32>,
        #[graphql(desc = "Only users behind this cursor.")] after: Option<String>,
    ) -> Result<UserConnection> {
        let viewer = ctx.viewer()?;
        let window = Window::forward(first, cursor(after.as_deref(), "after")?)?;
        let accounts = &ctx.services().accounts;
        let page = accounts.search(viewer, search.as_deref(), &window).await?;
        Ok(UserConnection::new(
            page.map(UserNode::new),
            UserNode::cursor,
        ))
    }

    /// The viewer's signed-in devices, last used first.
    async fn sessions(&self, ctx: &Context<'_>) -> Result<Vec<SessionNode>> {
        let sessions = ctx.services().accounts.sessions(ctx.viewer()?).await?;
        Ok(sessions.into_iter().map(SessionNode::new).collect())
    }
}
