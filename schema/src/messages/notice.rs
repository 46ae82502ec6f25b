//! `SystemNotice`.

use async_graphql::{Context, Enum, Object};
use talksy_domain::chats::ChatTitle;
use talksy_domain::messages::{SystemNotice, SystemNoticeKind};

use crate::chats::MemberRoleEnum;
use crate::error::Result;
use crate::users::{UserNode, load_user, load_users};

/// What happened in a chat.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "SystemNoticeKind")]
pub enum SystemNoticeKindEnum {
    /// The group was made, with its first members.
    ChatCreated,
    /// Members were added.
    MemberAdded,
    /// A member was removed.
    MemberRemoved,
    /// A member left.
    MemberLeft,
    /// The title was changed, and maybe other details with it.
    TitleChanged,
    /// The group's picture was changed, and not the title.
    AvatarChanged,
    /// What the application keeps about the group was changed, or something that is newer than this
    /// server.
    SettingsChanged,
    /// A member's role was changed.
    RoleChanged,
}

impl From<SystemNoticeKind> for SystemNoticeKindEnum {
    fn from(kind: SystemNoticeKind) -> Self {
        match kind {
            SystemNoticeKind::ChatCreated => Self::ChatCreated,
            SystemNoticeKind::MemberAdded => Self::MemberAdded,
            SystemNoticeKind::MemberRemoved => Self::MemberRemoved,
            SystemNoticeKind::MemberLeft => Self::MemberLeft,
            SystemNoticeKind::TitleChanged => Self::TitleChanged,
            SystemNoticeKind::AvatarChanged => Self::AvatarChanged,
            SystemNoticeKind::RoleChanged => Self::RoleChanged,
            SystemNoticeKind::SettingsChanged | SystemNoticeKind::Unknown => Self::SettingsChanged,
        }
    }
}

/// What happened in a chat. One call is one notice, with all whom it concerns.
pub struct SystemNoticeObject(pub SystemNotice);

/// What happened in a chat. One call is one notice, with all whom it concerns.
#[Object(name = "SystemNotice")]
impl SystemNoticeObject {
    /// What happened.
    async fn kind(&self) -> SystemNoticeKindEnum {
        self.0.kind.into()
    }

    /// Who did it.
    async fn actor(&self, ctx: &Context<'_>) -> Result<Option<UserNode>> {
        match self.0.actor_id {
            Some(user) => Ok(Some(load_user(ctx, user).await?)),
            None => Ok(None),
        }
    }

    /// Whom it concerns, at most 100.
    async fn subjects(&self, ctx: &Context<'_>) -> Result<Vec<UserNode>> {
        load_users(ctx, &self.0.subject_ids).await
    }

    /// The title from then on, where it was set.
    async fn title(&self) -> Option<&str> {
        self.0.title.as_ref().map(ChatTitle::as_str)
    }

    /// The role that was given.
    async fn role(&self) -> Option<MemberRoleEnum> {
        self.0.role.map(Into::into)
    }
}
