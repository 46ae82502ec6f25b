//! `Presence` and `TypingState`.

use async_graphql::{Context, Enum, ID, Object};
use talksy_domain::feeds::TypingState;
use talksy_domain::presence::Presence;

use crate::chats::{ChatNode, load_chat};
use crate::error::Result;
use crate::scalars::{DateTime, compound_id};
use crate::users::{UserNode, load_user};

/// Whether a user is there.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(
    name = "PresenceStatus",
    remote = "talksy_domain::presence::PresenceStatus"
)]
pub enum PresenceStatusEnum {
    /// Has at least one open socket.
    Online,
    /// Has none.
    Offline,
}

/// Whether a user is there.
pub struct PresenceObject(pub Presence);

/// Whether a user is there.
#[Object(name = "Presence")]
impl PresenceObject {
    /// The presence's own id: always the same for this user, and no other object's. For caches;
    /// `node` does not know it.
    async fn id(&self) -> ID {
        compound_id("presence", &[&self.0.user_id])
    }

    /// The user.
    async fn user(&self, ctx: &Context<'_>) -> Result<UserNode> {
        load_user(ctx, self.0.user_id).await
    }

    /// Online while the user has an open socket.
    async fn status(&self) -> PresenceStatusEnum {
        self.0.status.into()
    }

    /// When the user's last socket closed; null while online or before the first one closed.
    async fn last_seen_at(&self) -> Option<DateTime> {
        self.0.last_seen_at.map(DateTime)
    }
}

/// Whether a member types.
pub struct TypingStateObject(pub TypingState);

/// Whether a member types.
#[Object(name = "TypingState")]
impl TypingStateObject {
    /// The state's own id: always the same for this user in this chat, and no other object's. For
    /// caches; `node` does not know it.
    async fn id(&self) -> ID {
        compound_id("typing", &[&self.0.chat_id, &self.0.user_id])
    }

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
