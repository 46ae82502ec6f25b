//! `moderation`.

use async_graphql::{Context, Object};

use super::types::ModerationObject;
use crate::context::ContextExt as _;
use crate::error::Result;

/// Queries of operators.
#[derive(Default)]
pub struct ModerationQuery;

#[Object]
impl ModerationQuery {
    /// For the operators of this server, whom its configuration names; `FORBIDDEN` for others.
    async fn moderation(&self, ctx: &Context<'_>) -> Result<Option<ModerationObject>> {
        let viewer = ctx.viewer()?;
        let operator = ctx.services().moderation.operator(viewer).await?;
        Ok(Some(ModerationObject(operator)))
    }
}
