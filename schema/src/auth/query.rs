//! `sessions`.

use async_graphql::{Context, Object};
use talksy_domain::page::Window;

use super::types::{SessionConnection, SessionNode};
use crate::connection::cursor;
use crate::context::ContextExt as _;
use crate::error::Result;

/// Queries on sessions.
#[derive(Default)]
pub struct AuthQuery;

#[Object]
impl AuthQuery {
    /// The viewer's signed-in devices, last used first.
    async fn sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 0 to 100; 50 where absent.")] first: Option<i32>,
        #[graphql(desc = "Only sessions behind this cursor.")] after: Option<String>,
    ) -> Result<Option<SessionConnection>> {
        let viewer = ctx.viewer()?;
        let window = Window::forward(first, cursor(after.as_deref(), "after")?)?;
        let page = ctx.services().auth.sessions(viewer, &window).await?;
        Ok(Some(SessionConnection::new(
            page.map(SessionNode::new),
            SessionNode::cursor,
        )))
    }
}
