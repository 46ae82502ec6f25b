//! `User` and `Session`.

use async_graphql::{Context, ID, Object, Result};

use crate::accounts::model::{Session, User};
use crate::cursor::{Cursor as _, UserCursor};
use crate::graphql::{ContextExt as _, DateTime, connection, global_id};
use crate::loaders::PresenceOf;
use crate::presence::graphql::PresenceObject;

/// A user.
#[derive(Clone)]
pub struct UserNode(pub User);

/// A user.
#[Object(name = "User")]
impl UserNode {
    /// The user's global id.
    pub(crate) async fn id(&self) -> ID {
        global_id(self.0.id)
    }

    /// The name shown to others, 1 to 64 characters.
    async fn name(&self) -> &str {
        self.0.name.as_str()
    }

    /// The address that sign-in codes go to. Only for the viewer's own account.
    async fn email(&self, ctx: &Context<'_>) -> Option<&str> {
        let is_viewer = ctx.viewer().is_ok_and(|viewer| viewer.user_id == self.0.id);
        is_viewer.then(|| self.0.email.as_str())
    }

    /// What the user says of themself, up to 500 characters.
    async fn about(&self) -> Option<&str> {
        self.0.about.as_ref().map(crate::accounts::About::as_str)
    }

    /// When the account was made.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// Whether the user is there. Null where the viewer shares no chat with this user.
    async fn presence(&self, ctx: &Context<'_>) -> Result<Option<PresenceObject>> {
        Ok(ctx
            .loaders()
            .load_one(PresenceOf(self.0.id))
            .await?
            .map(PresenceObject))
    }
}

connection!(
    UserConnection,
    UserEdge,
    "UserConnection",
    "UserEdge",
    UserNode,
    "A page of users."
);

impl UserNode {
    /// The user's place in a list ordered by name.
    pub(crate) fn cursor(&self) -> String {
        UserCursor {
            name_key: self.0.name.sort_key(),
            user_id: self.0.id,
        }
        .encode()
    }
}

/// A device that is signed in.
#[derive(Clone)]
pub struct SessionNode(pub Session);

/// A device that is signed in.
#[Object(name = "Session")]
impl SessionNode {
    /// The session's global id.
    pub(crate) async fn id(&self) -> ID {
        global_id(self.0.id)
    }

    /// When the user signed in.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// When tokens were last issued for it.
    async fn last_used_at(&self) -> DateTime {
        self.0.last_used_at.into()
    }

    /// When it ends unless it is refreshed before.
    async fn expires_at(&self) -> DateTime {
        self.0.expires_at.into()
    }

    /// The client's `User-Agent` when the user signed in.
    async fn user_agent(&self) -> Option<&str> {
        self.0.user_agent.as_deref()
    }

    /// The client's IP address when the user signed in.
    async fn ip_address(&self) -> Option<String> {
        self.0.ip_address.map(|ip| ip.to_string())
    }

    /// Whether this request belongs to it.
    async fn is_current(&self, ctx: &Context<'_>) -> bool {
        ctx.viewer()
            .is_ok_and(|viewer| viewer.session_id == self.0.id)
    }
}
