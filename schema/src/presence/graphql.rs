//! Presence and typing in GraphQL.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject, Subscription};
use futures_util::{Stream, StreamExt as _};

use super::model::{Presence, PresenceStatus};
use crate::accounts::graphql::UserNode;
use crate::chats::graphql::{ChatNode, load_chat, load_user};
use crate::graphql::{ContextExt as _, DateTime};
use crate::id;
use crate::live::{Feed as _, TypingState};

/// Whether a user is there.
pub struct PresenceObject(pub Presence);

/// Whether a user is there.
#[Object(name = "Presence")]
impl PresenceObject {
    /// The user.
    async fn user(&self, ctx: &Context<'_>) -> Result<UserNode> {
        load_user(ctx, self.0.user_id).await
    }

    /// Online while the user has an open socket.
    async fn status(&self) -> PresenceStatus {
        self.0.status
    }

    /// When the user's last socket closed; null while online or before the first one closed.
    async fn last_seen_at(&self) -> Option<DateTime> {
        self.0.last_seen_at.map(DateTime)
    }
}

/// Whether a member types.
pub struct TypingStateObject(TypingState);

/// Whether a member types.
#[Object(name = "TypingState")]
impl TypingStateObject {
    /// The chat.
    async fn chat(&self, ctx: &Context<'_>) -> Result<ChatNode> {
        load_chat(ctx, self.0.chat_id).await
    }

    /// The member.
    async fn user(&self, ctx: &Context<'_>) -> Result<UserNode> {
        load_user(ctx, self.0.user_id).await
    }

    /// Whether they type.
    async fn is_typing(&self) -> bool {
        self.0.is_typing
    }
}

/// Whether the viewer types.
#[derive(InputObject)]
pub struct SetTypingInput {
    /// A chat of the viewer.
    chat_id: ID,
    /// Send true every three seconds or so while typing, false when done. Six seconds of silence
    /// or a sent message end it too.
    is_typing: bool,
}

/// The other members have been told.
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
    /// Tells the other members of a chat that the viewer types, or stopped.
    async fn set_typing(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Where, and whether.")] input: SetTypingInput,
    ) -> Result<SetTypingPayload> {
        let viewer = ctx.viewer()?;
        let chat = id::parse(&input.chat_id, "chatId")?;
        ctx.services()
            .presence
            .set_typing(viewer, chat, input.is_typing)
            .await?;
        Ok(SetTypingPayload {
            chat_id: input.chat_id,
        })
    }
}

/// Live feeds of presence.
#[derive(Default)]
pub struct PresenceSubscription;

#[Subscription]
impl PresenceSubscription {
    /// Another member of the chat started or stopped typing.
    async fn typing_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A chat of the viewer.")] chat_id: ID,
    ) -> Result<impl Stream<Item = Result<TypingStateObject>> + use<>> {
        let viewer = ctx.viewer()?;
        let chat = id::parse(&chat_id, "chatId")?;
        let live = &ctx.services().live;
        let states = live.typing(viewer, chat).await?.into_stream();
        Ok(states.map(|state| Ok(TypingStateObject(state?))))
    }

    /// First the state now of each user, then changes. Only users who share a chat with the
    /// viewer.
    async fn presence_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom to watch, at most 100 users.")] user_ids: Vec<ID>,
    ) -> Result<impl Stream<Item = Result<PresenceObject>> + use<>> {
        let viewer = ctx.viewer()?;
        let users: Result<Vec<_>, _> = user_ids
            .iter()
            .map(|user| id::parse(user, "userIds"))
            .collect();
        let live = &ctx.services().live;
        let states = live.presence(viewer, users?).await?.into_stream();
        Ok(states.map(|state| Ok(PresenceObject(state?))))
    }
}
