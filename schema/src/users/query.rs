//! `me` and `users`.

use async_graphql::{Context, Object};
use talksy_domain::page::Window;
use talksy_domain::viewer::Authentication;

use super::types::{UserConnection, UserNode};
use crate::connection::cursor;
use crate::context::ContextExt as _;
use crate::error::Result;

/// Queries on users.
#[derive(Default)]
pub struct UserQuery;

#[Object]
impl UserQuery {
    /// The signed-in user; null where no credentials were sent.
    async fn me(&self, ctx: &Context<'_>) -> Result<Option<UserNode>> {
        if matches!(ctx.data_unchecked(), Authentication::Anonymous) {
            return Ok(None);
        }
        Ok(Some(UserNode::new(
            ctx.services().users.me(ctx.viewer()?).await?,
        )))
    }

    /// The other users whom the server's directory shows: everyone, those who share a chat with the
    /// viewer, or nobody; ordered by name. Whom the viewer has blocked and who has blocked the viewer
    /// is left out.
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Only users whose name starts with this, whatever the case and the accents; at most 100 characters. A \
                    mail address finds its user alone, whomever the directory shows."
        )]
        search: Option<String>,
        #[graphql(desc = "How many, 0 to 100; 50 where absent.")] first: Option<i32>,
        #[graphql(desc = "Only users behind this cursor.")] after: Option<String>,
    ) -> Result<Option<UserConnection>> {
        let viewer = ctx.viewer()?;
        let window = Window::forward(first, cursor(after.as_deref(), "after")?)?;
        let users = &ctx.services().users;
        let page = users
            .search(viewer, ctx.client(), search.as_deref(), &window)
            .await?;
        Ok(Some(UserConnection::new(
            page.map(UserNode::new),
            UserNode::cursor,
        )))
    }
}
