//! `blockedUsers`.

use async_graphql::{Context, Object};
use talksy_domain::blocks::{BlockCursor, Blocked};
use talksy_domain::cursor::Cursor as _;
use talksy_domain::page::{Page, Window};

use crate::context::ContextExt as _;
use crate::error::Result;
use crate::users::{UserConnection, UserNode};

/// The query on blocks.
#[derive(Default)]
pub struct BlockQuery;

#[Object]
impl BlockQuery {
    /// Whom the viewer has blocked, newest block first. Nobody else can read it.
    async fn blocked_users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 0 to 100; 50 where absent.")] first: Option<i32>,
        #[graphql(desc = "Only users behind this cursor of the list.")] after: Option<String>,
    ) -> Result<Option<UserConnection>> {
        let viewer = ctx.viewer()?;
        let blocker_id = viewer.user_id;
        let place = |text: String| BlockCursor::decode_in(&text, blocker_id, "after");
        let after = after.map(place).transpose()?;
        let window = Window::forward(first, after.map(|after| after.number))?;
        let page = ctx.services().blocks.list(viewer, &window).await?;
        let blocked = page.items.iter().map(|blocked| blocked.user_id);
        let mut users = ctx.loaders().load_many(blocked.collect::<Vec<_>>()).await?;
        let node = |blocked: &Blocked| {
            let number = blocked.number;
            let cursor = BlockCursor { blocker_id, number };
            Some(UserNode::at(
                users.remove(&blocked.user_id)?,
                &cursor.encode(),
            ))
        };
        let nodes = Page {
            has_next: page.has_next,
            has_previous: page.has_previous,
            items: page.items.iter().filter_map(node).collect(),
        };
        Ok(Some(UserConnection::new(nodes, UserNode::place)))
    }
}
