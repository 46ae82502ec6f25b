//! `User`.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};
use talksy_domain::cursor::{Cursor as _, UserCursor};
use talksy_domain::id::{AttachmentId, UserId};
use talksy_domain::users::{About, User};

use super::loaders::TotalUnreadOf;
use crate::attachments::{AttachmentNode, load_attachment};
use crate::blocks::BlockOf;
use crate::connection::connection;
use crate::context::ContextExt as _;
use crate::error::{Result, dangling};
use crate::metadata::Json;
use crate::presence::{PresenceObject, PresenceOf};
use crate::scalars::{DateTime, global_id, int};
use crate::sharing::{SharedField, SharedType};

/// What viewers share of users.
pub(crate) const SHARED: &[SharedType] = &[SharedType {
    name: "User",
    interfaces: &["Node"],
    fields: &[
        SharedField::event("id"),
        SharedField::event("name"),
        SharedField::event("about"),
        SharedField::event("metadata"),
        SharedField::event("avatar").of("Attachment"),
        SharedField::event("createdAt"),
        SharedField::event("isDeleted"),
    ],
}];

/// A user.
#[derive(Clone)]
pub struct UserNode {
    user: Arc<User>,
    signs_in: bool,
    /// The cursor, in a list that is not ordered by name.
    place: Option<Arc<str>>,
}

impl UserNode {
    /// A user as the viewer sees them.
    pub fn new(user: impl Into<Arc<User>>) -> Self {
        Self {
            user: user.into(),
            signs_in: false,
            place: None,
        }
    }

    /// A user at a place of a list that is not ordered by name.
    pub(crate) fn at(user: impl Into<Arc<User>>, cursor: &str) -> Self {
        Self {
            place: Some(cursor.into()),
            ..Self::new(user)
        }
    }

    /// The user's display name.
    pub(crate) fn name_text(&self) -> String {
        self.user.name.as_str().to_owned()
    }

    /// The user's picture.
    pub(crate) fn avatar_id(&self) -> Option<AttachmentId> {
        self.user.avatar_id
    }

    /// The user to whom the response gives tokens: the viewer from now on, though the request
    /// has none.
    pub(crate) fn signing_in(user: User) -> Self {
        Self {
            signs_in: true,
            ..Self::new(user)
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
        self.is_viewer(ctx).then(|| self.user.email.as_str())
    }

    /// What the user says of themself, up to 500 characters.
    async fn about(&self) -> Option<&str> {
        self.user.about.as_ref().map(About::as_str)
    }

    /// What the application keeps about the user, with `updateProfile`.
    async fn metadata(&self) -> Option<Json> {
        self.user.metadata.as_ref().map(Json::of)
    }

    /// The user's picture.
    async fn avatar(&self, ctx: &Context<'_>) -> Result<Option<AttachmentNode>> {
        load_attachment(ctx, self.user.avatar_id).await
    }

    /// When the account was made.
    async fn created_at(&self) -> DateTime {
        self.user.created_at.into()
    }

    /// The account was erased: the name is a stand-in, all else is empty.
    async fn is_deleted(&self) -> bool {
        self.user.is_deleted()
    }

    /// Whether the user is there. Null where the viewer shares no chat with this user, either has
    /// blocked the other, or the account was deleted.
    async fn presence(&self, ctx: &Context<'_>) -> Result<Option<PresenceObject>> {
        if self.user.is_deleted() {
            return Ok(None);
        }
        Ok(ctx
            .loaders()
            .load_one(PresenceOf(self.user.id))
            .await?
            .map(PresenceObject))
    }

    /// Whether the viewer has blocked the user. That a user has blocked the viewer is not told.
    async fn is_blocked_by_viewer(&self, ctx: &Context<'_>) -> Result<bool> {
        if self.is_viewer(ctx) {
            return Ok(false);
        }
        let block = ctx.loaders().load_one(BlockOf(self.user.id)).await?;
        Ok(block.is_some())
    }

    /// Whether the viewer may use `moderation`. Only for the viewer's own account.
    async fn is_operator(&self, ctx: &Context<'_>) -> Option<bool> {
        let access = &ctx.services().access;
        self.is_viewer(ctx).then(|| access.is_operator(&self.user))
    }

    /// Only for the viewer's own account: unread messages of the 1,000 most recently active chats that
    /// are not muted; not announced by `ViewerChanged`.
    async fn total_unread_count(&self, ctx: &Context<'_>) -> Result<Option<i32>> {
        if !self.is_viewer(ctx) {
            return Ok(None);
        }
        let total = ctx.loaders().load_one(TotalUnreadOf(self.user.id)).await?;
        Ok(total.map(int))
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
    /// Whether it is the account of who asks.
    fn is_viewer(&self, ctx: &Context<'_>) -> bool {
        let viewer = ctx.viewer();
        self.signs_in || viewer.is_ok_and(|viewer| viewer.user_id == self.user.id)
    }

    /// The user's place in the list that they were put at a place of.
    pub(crate) fn place(&self) -> String {
        self.place.as_deref().unwrap_or_default().to_owned()
    }

    /// The user's place in a list ordered by name.
    pub(crate) fn cursor(&self) -> String {
        UserCursor {
            name_key: self.user.name.sort_key(),
            user_id: self.user.id,
        }
        .encode()
    }
}

/// The user that a record refers to.
pub(crate) async fn load_user(ctx: &Context<'_>, user: UserId) -> Result<UserNode> {
    let found = ctx.loaders().load_one(user).await?;
    Ok(found
        .map(UserNode::new)
        .ok_or_else(|| dangling(user.to_string()))?)
}

/// The users of a list, in its order. Who does not exist is left out.
pub(crate) async fn load_users(ctx: &Context<'_>, users: &[UserId]) -> Result<Vec<UserNode>> {
    let mut found = ctx.loaders().load_many(users.to_vec()).await?;
    let found = users.iter().filter_map(|user| found.remove(user));
    Ok(found.map(UserNode::new).collect())
}
