//! `typingChanged` and `presenceChanged`.

use async_graphql::{Context, ID, Subscription};
use futures_util::{Stream, StreamExt as _};
use talksy_domain::feeds::Feed as _;
use talksy_domain::id;

use super::types::{PresenceObject, TypingStateObject};
use crate::context::ContextExt as _;
use crate::error::Result;

/// Live feeds of presence.
#[derive(Default)]
pub struct PresenceSubscription;

#[Subscription]
impl PresenceSubscription {
    /// Another member of the chat started or stopped typing. Open and silent in a large group, where
    /// others' typing is not told: see `Chat.readByAllSeq`.
    async fn typing_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A chat of the viewer.")] chat_id: ID,
    ) -> Result<impl Stream<Item = Result<TypingStateObject>> + use<>> {
        let viewer = ctx.viewer()?;
        let chat = id::parse(&chat_id, "chatId")?;
        let feeds = &ctx.services().feeds;
        let states = feeds.typing(viewer, chat).await?.into_stream();
        Ok(states.map(|state| Ok(TypingStateObject(state?))))
    }

    /// First the state now of each user, then changes. Only users who share a chat with the
    /// viewer. Who is hidden by a block between the two is told as offline, without a time, where they
    /// were shown before, and then not at all.
    async fn presence_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom to watch, at most 100 users.")] user_ids: Vec<ID>,
    ) -> Result<impl Stream<Item = Result<PresenceObject>> + use<>> {
        let viewer = ctx.viewer()?;
        let users = id::parse_all(&user_ids, "userIds")?;
        let feeds = &ctx.services().feeds;
        let states = feeds.presence(viewer, users).await?.into_stream();
        Ok(states.map(|state| Ok(PresenceObject(state?))))
    }
}
