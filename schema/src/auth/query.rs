//! `sessions`.

use async_graphql::{Context, Object};

use super::types::SessionNode;
use crate::context::ContextExt as _;
use crate::error::Result;

/// Queries on sessions.
#[derive(Default)]
pub struct AuthQuery;

#[Object]
impl AuthQuery {
    /// The viewer's signed-in devices, last used first.
    async fn sessions(&self, ctx: &Context<'_>) -> Result<Option<Vec<SessionNode>>> {
        let sessions = ctx.services().auth.sessions(ctx.viewer()?).await?;
        Ok(Some(sessions.into_iter().map(SessionNode::new).collect()))
    }
}
