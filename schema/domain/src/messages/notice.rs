//! What a system message says: what happened to a chat's members or title, with its whole effect.
//!
//! System messages are the truth about a group. The members, their roles, the title and the member
//! count that a store keeps beside them follow from the system messages alone.

use serde::{Deserialize, Serialize};

use crate::chats::model::{ChatTitle, MemberRole};
use crate::id::{AttachmentId, UserId};
use crate::metadata::Metadata;
use crate::seq::Seq;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SystemNoticeKind {
    /// The group was made, with its first members.
    ChatCreated,
    /// Members were added.
    MemberAdded,
    /// A member was removed.
    MemberRemoved,
    /// A member left.
    MemberLeft,
    /// The title was changed.
    TitleChanged,
    /// What the application keeps about the group was changed.
    SettingsChanged,
    /// The group's picture was changed.
    AvatarChanged,
    /// A member's role was changed.
    RoleChanged,
    /// Something that this version does not know.
    #[serde(other)]
    Unknown,
}

/// From where on a new member may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HistoryFrom {
    /// From the chat's first message.
    All,
    /// From the system message by which they join.
    Join,
}

impl HistoryFrom {
    /// The first message that a member may read who joins by message `joined`.
    pub const fn first_visible(self, joined: Seq) -> Seq {
        match self {
            Self::All => 1,
            Self::Join => joined,
        }
    }
}

/// What a system message does to one user's membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberEffect {
    /// The user.
    pub user_id: UserId,
    /// The role from then on; `None` where the membership ends.
    pub role: Option<MemberRole>,
    /// From where on one who joins may read; `None` for whom is a member already.
    pub joins: Option<HistoryFrom>,
}

/// What becomes of what the application keeps about a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataChange {
    /// What it keeps from then on; `None` where it was cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Metadata>,
}

/// What a system message says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemNotice {
    /// What happened.
    pub kind: SystemNoticeKind,
    /// Who did it.
    pub actor_id: Option<UserId>,
    /// Whom it concerns.
    pub subject_ids: Vec<UserId>,
    /// The title from then on, where it was set.
    pub title: Option<ChatTitle>,
    /// What the application keeps about the group from then on, where that was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataChange>,
    /// The picture from then on, where it [was set](Self::sets_avatar); `None` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_id: Option<AttachmentId>,
    /// Whether it says which picture the group has, though its kind names something else that was
    /// changed with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_avatar_beside: bool,
    /// The role that was given.
    pub role: Option<MemberRole>,
    /// What it does to memberships: to those of its subjects, and to that of who takes over from a
    /// last owner.
    pub effects: Vec<MemberEffect>,
    /// How many members there are afterwards.
    pub member_count: u32,
    /// The number of the system message before it, 0 for the first.
    pub previous: Seq,
}

impl SystemNotice {
    /// The number of the message that says what the application keeps about the group
    /// ([`crate::chats::model::Chat::metadata_seq`]), behind this one, which has the number `seq`;
    /// `before` is what it was.
    pub const fn metadata_seq(&self, seq: Seq, before: Seq) -> Seq {
        match &self.metadata {
            Some(MetadataChange { to: Some(_) }) => seq,
            Some(MetadataChange { to: None }) => 0,
            None => before,
        }
    }

    /// What the application keeps about the group, where it says so.
    pub fn set_metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()?.to.as_ref()
    }

    /// Whether it says which picture the group has from then on.
    pub const fn sets_avatar(&self) -> bool {
        self.has_avatar_beside
            || matches!(
                self.kind,
                SystemNoticeKind::ChatCreated | SystemNoticeKind::AvatarChanged
            )
    }

    /// Whether it ends the user's membership.
    pub fn removes(&self, user: UserId) -> bool {
        let mut effects = self.effects.iter();
        effects.any(|effect| effect.user_id == user && effect.role.is_none())
    }

    /// The users who join by it.
    pub fn joining(&self) -> impl Iterator<Item = UserId> {
        let effects = self.effects.iter();
        effects
            .filter(|effect| effect.joins.is_some())
            .map(|effect| effect.user_id)
    }

    /// The users whose membership ends by it.
    pub fn leaving(&self) -> impl Iterator<Item = UserId> {
        let effects = self.effects.iter();
        effects
            .filter(|effect| effect.role.is_none())
            .map(|effect| effect.user_id)
    }
}
