//! `blockUser` and `unblockUser`.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use talksy_domain::id;

use crate::context::ContextExt as _;
use crate::error::Result;
use crate::users::UserNode;

/// Whom to block.
#[derive(InputObject)]
pub struct BlockUserInput {
    /// Another user.
    user_id: ID,
}

/// The blocked user.
#[derive(SimpleObject)]
pub struct BlockUserPayload {
    /// The user.
    user: UserNode,
}

/// Whom to block no longer.
#[derive(InputObject)]
pub struct UnblockUserInput {
    /// Another user.
    user_id: ID,
}

/// The user, who is not blocked any more.
#[derive(SimpleObject)]
pub struct UnblockUserPayload {
    /// The user.
    user: UserNode,
}

/// Mutations of blocks.
#[derive(Default)]
pub struct BlockMutation;

#[Object]
impl BlockMutation {
    /// Blocks a user: from now on neither of the two can start a chat with the other, say anything in
    /// the direct chat that they have, or add the other to a group, and neither sees whether the other
    /// is there. What was said stays; groups that both are in stay as they are. Who is blocked is not
    /// told. A user who is blocked already stays so. At most 1,000 can be: `CONFLICT` for a further one.
    async fn block_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom to block.")] input: BlockUserInput,
    ) -> Result<Option<BlockUserPayload>> {
        let user = set(ctx, &input.user_id, true).await?;
        Ok(Some(BlockUserPayload { user }))
    }

    /// Ends the viewer's block of a user. One that is not there is no error.
    async fn unblock_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom to block no longer.")] input: UnblockUserInput,
    ) -> Result<Option<UnblockUserPayload>> {
        let user = set(ctx, &input.user_id, false).await?;
        Ok(Some(UnblockUserPayload { user }))
    }
}

async fn set(ctx: &Context<'_>, user: &ID, is_blocked: bool) -> Result<UserNode> {
    let viewer = ctx.viewer()?;
    let user = id::parse(user, "userId")?;
    let user = ctx.services().blocks.set(viewer, user, is_blocked).await?;
    Ok(UserNode::new(user))
}
