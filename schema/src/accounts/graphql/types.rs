//! `User` and `Session`.

use async_graphql::{Context, ID, Object, Result};

use crate::accounts::model::{Session, User};
use crate::cursor::{Cursor as _, UserCursor};
use crate::graphql::{ContextExt as _, DateTime, connection, global_id};
use crate::loaders::PresenceOf;
use crate::presence::graphql::PresenceObject;

/// A user.
#[derive(Clone)]
pub struct UserNode {
    user: User,
    signs_in: bool,
}

impl UserNode {
    /// A user as the viewer sees them.
    pub fn new(user: User) -> Self {
        Self {
            user,
            signs_in: false,
        }
    }

    /// The user's display name.
    pub(crate) fn into_name(self) -> String {
        self.user.name.into()
    }

    /// The user to whom the response gives tokens: the viewer from now on, though the request
    /// has none.
    pub(crate) fn signing_in(user: User) -> Self {
        Self {
            user,
            signs_in: true,
        }
    }
}

/// A user.
#[Object(name = "User")]
impl UserNode {
    /// The user's global id.
    pub(crate) async fn id(&self) -> ID {
        global_id(self.user.id)
    }

    /// The name shown to others, 1 to 64 characters.
    async fn name(&self) -> &str {
        self.user.name.as_str()
    }

    /// The address that sign-in codes go to. Only for the viewer's own account.
    async fn email(&self, ctx: &Context<'_>) -> Option<&str> {
        let is_viewer = ctx
            .viewer()
            .is_ok_and(|viewer| viewer.user_id == self.user.id);
        (self.signs_in || is_viewer).then(|| self.user.email.as_str())
    }

    /// What the user says of themself, up to 500 characters.
    async fn about(&self) -> Option<&str> {
        self.user.about.as_ref().map(crate::accounts::About::as_str)
    }

    /// When the account was made.
    async fn created_at(&self) -> DateTime {
        self.user.created_at.into()
    }

    /// Whether the user is there. Null where the viewer shares no chat with this user.
    async fn presence(&self, ctx: &Context<'_>) -> Result<Option<PresenceObject>> {
        Ok(ctx
            .loaders()
            .load_one(PresenceOf(self.user.id))
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
            name_key: self.user.name.sort_key(),
            user_id: self.user.id,
        }
        .encode()
    }
}

/// A device that is signed in.
#[derive(Clone)]
pub struct SessionNode {
    session: Session,
    signs_in: bool,
}

impl SessionNode {
    /// A session of the viewer.
    pub fn new(session: Session) -> Self {
        Self {
            session,
            signs_in: false,
        }
    }

    /// The session whose tokens are in the response.
    pub(crate) fn signing_in(session: Session) -> Self {
        Self {
            session,
            signs_in: true,
        }
    }
}

/// A device that is signed in.
#[Object(name = "Session")]
impl SessionNode {
    /// The session's global id.
    pub(crate) async fn id(&self) -> ID {
        global_id(self.session.id)
    }

    /// When the user signed in.
    async fn created_at(&self) -> DateTime {
        self.session.created_at.into()
    }

    /// When tokens were last issued for it.
    async fn last_used_at(&self) -> DateTime {
        self.session.last_used_at.into()
    }

    /// When it ends unless it is refreshed before.
    async fn expires_at(&self) -> DateTime {
        self.session.expires_at.into()
    }

    /// The client's `User-Agent` when the user signed in.
    async fn user_agent(&self) -> Option<&str> {
        self.session.user_agent.as_deref()
    }

    /// The client's IP address when the user signed in.
    async fn ip_address(&self) -> Option<String> {
        self.session.ip_address.map(|ip| ip.to_string())
    }

    /// Whether this request belongs to it, or its tokens are in this response.
    async fn is_current(&self, ctx: &Context<'_>) -> bool {
        let is_viewers = ctx
            .viewer()
            .is_ok_and(|viewer| viewer.session_id == self.session.id);
        self.signs_in || is_viewers
    }
}
