//! `Session`.

use async_graphql::{Context, ID, Object};
use talksy_domain::auth::Session;
use talksy_domain::cursor::{Cursor as _, SessionCursor};

use crate::connection::connection;
use crate::context::ContextExt as _;
use crate::scalars::{DateTime, global_id};

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

connection!(
    SessionConnection,
    SessionEdge,
    "SessionConnection",
    "SessionEdge",
    SessionNode,
    "A page of sessions."
);

impl SessionNode {
    /// The session's place among its user's, last used first.
    pub(crate) fn cursor(&self) -> String {
        SessionCursor {
            last_used_at: self.session.last_used_at,
            session_id: self.session.id,
        }
        .encode()
    }
}
