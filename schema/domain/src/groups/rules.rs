//! Who may change a group, and what a change does: pure functions of what the store has, which the
//! store calls within its commit, and again after each lost race.

use super::model::{GroupAction, GroupChange, GroupUpdate, NewGroup};
use crate::access::Denied;
use crate::chats::model::{Chat, ChatKind, ChatTitle, Member, MemberRole};
use crate::error::{ApiError, ErrorCode};
use crate::id::UserId;
use crate::messages::notice::{
    HistoryFrom, MemberEffect, MetadataChange, SystemNotice, SystemNoticeKind,
};
use crate::metadata::Metadata;
use crate::seq::Seq;

/// What a store knows of a group at the number before the change's.
#[derive(Clone, Copy, Debug)]
pub struct GroupState<'a> {
    /// The chat, with all system messages so far applied.
    pub chat: &'a Chat,
    /// The actor's membership.
    pub actor: Option<&'a Member>,
    /// The memberships of those [`GroupChange::subjects`] that are members.
    pub subjects: &'a [Member],
    /// How many owners there are.
    pub owners: u32,
    /// Of the members without the role of an owner and other than the subjects, who takes over
    /// when the last owner leaves: the admin who joined first, else the member who did (by
    /// [`Member::joined_seq`], then by user id). Asked for where
    /// [`GroupChange::may_need_successor`].
    pub successor: Option<UserId>,
    /// What the application keeps about the group. Asked for where [`GroupChange::sets_metadata`].
    pub metadata: Option<&'a Metadata>,
}

/// Why a change of a group was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupRefusal {
    /// The actor may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Direct chats have two members for good.
    #[error("Only groups can be changed, and this is a direct chat.")]
    DirectChat,
    /// The user is no member.
    #[error("The user is no member of the group.")]
    NoMember,
    /// An admin may remove plain members only.
    #[error("Only owners of the group may remove its admins and owners.")]
    Outranked,
    /// A group has an owner.
    #[error("The last owner cannot give up the role. Make another member an owner first.")]
    LastOwner,
    /// The group would grow beyond its bound.
    #[error("A group may have at most {0} members.")]
    TooManyMembers(u32),
    /// The chat's line has no number left.
    #[error("The chat takes no further messages.")]
    Full,
}

impl From<GroupRefusal> for ApiError {
    fn from(refusal: GroupRefusal) -> Self {
        let (code, field) = match refusal {
            GroupRefusal::Denied(denied) => return denied.into(),
            GroupRefusal::DirectChat => (ErrorCode::BadUserInput, "chatId"),
            GroupRefusal::NoMember => (ErrorCode::NotFound, "userId"),
            GroupRefusal::Outranked => (ErrorCode::Forbidden, "userId"),
            GroupRefusal::LastOwner => (ErrorCode::Conflict, "role"),
            GroupRefusal::TooManyMembers(_) => (ErrorCode::BadUserInput, "userIds"),
            GroupRefusal::Full => (ErrorCode::Conflict, "chatId"),
        };
        Self::new(code, refusal.to_string()).field(field)
    }
}

impl NewGroup {
    /// What the group's first message says.
    pub fn notice(&self) -> SystemNotice {
        let joins = |user_id, role| MemberEffect {
            user_id,
            role: Some(role),
            joins: Some(HistoryFrom::All),
        };
        let others = self.member_ids.iter();
        let mut effects = vec![joins(self.creator_id, MemberRole::Owner)];
        effects.extend(others.map(|user| joins(*user, MemberRole::Member)));
        SystemNotice {
            kind: SystemNoticeKind::ChatCreated,
            actor_id: Some(self.creator_id),
            subject_ids: self.member_ids.clone(),
            title: Some(self.title.clone()),
            metadata: self.metadata.is_some().then(|| MetadataChange {
                to: self.metadata.clone(),
            }),
            avatar_id: self.avatar_id,
            has_avatar_beside: false,
            role: None,
            member_count: count(effects.len()),
            effects,
            previous: 0,
        }
    }

    /// The chat as its first message leaves it.
    pub fn chat(&self) -> Chat {
        Chat {
            id: self.chat_id,
            kind: ChatKind::Group,
            created_at: self.at,
            active_at: self.at,
            last_seq: 1,
            member_count: count(self.member_ids.len() + 1),
            title: Some(self.title.clone()),
            avatar_id: self.avatar_id,
            last_change_seq: 0,
            applied_seq: 1,
            metadata_seq: Seq::from(self.metadata.is_some()),
            is_closed: false,
        }
    }
}

impl GroupChange {
    /// What the system message says that makes the change; `None` where the group is so already.
    ///
    /// # Errors
    /// Where the actor may not, or the group would break a rule.
    pub fn decide(&self, state: GroupState<'_>) -> Result<Option<SystemNotice>, GroupRefusal> {
        let actor = state.actor.ok_or(Denied::NotMember)?;
        if state.chat.kind != ChatKind::Group {
            return Err(GroupRefusal::DirectChat);
        }
        let member = |user: UserId| state.subjects.iter().find(|member| member.user_id == user);
        let notice = match &self.action {
            GroupAction::Update(update) => {
                admin(actor)?;
                let Some(notice) = self.update(state, update) else {
                    return Ok(None);
                };
                notice
            }
            GroupAction::Add { users, history } => {
                admin(actor)?;
                let new: Vec<UserId> = users
                    .iter()
                    .copied()
                    .filter(|user| member(*user).is_none())
                    .collect();
                if new.is_empty() {
                    return Ok(None);
                }
                let most = self.max_members;
                if state.chat.member_count.saturating_add(count(new.len())) > most {
                    return Err(GroupRefusal::TooManyMembers(most));
                }
                let joins = |&user_id: &UserId| MemberEffect {
                    user_id,
                    role: Some(MemberRole::Member),
                    joins: Some(*history),
                };
                let effects = new.iter().map(joins).collect();
                SystemNotice {
                    subject_ids: new,
                    ..self.notice(state, SystemNoticeKind::MemberAdded, effects)
                }
            }
            GroupAction::Remove(user) if *user == self.actor_id => self.end(state, actor),
            GroupAction::Leave => self.end(state, actor),
            GroupAction::Remove(user) => {
                admin(actor)?;
                let Some(subject) = member(*user) else {
                    return Ok(None);
                };
                if actor.role < MemberRole::Owner && subject.role >= MemberRole::Admin {
                    return Err(GroupRefusal::Outranked);
                }
                self.end(state, subject)
            }
            GroupAction::SetRole { user, role } => {
                if actor.role < MemberRole::Owner {
                    return Err(Denied::NotOwner.into());
                }
                let subject = member(*user).ok_or(GroupRefusal::NoMember)?;
                if subject.role == *role {
                    return Ok(None);
                }
                if subject.role == MemberRole::Owner && state.owners <= 1 {
                    return Err(GroupRefusal::LastOwner);
                }
                let effect = MemberEffect {
                    user_id: *user,
                    role: Some(*role),
                    joins: None,
                };
                SystemNotice {
                    subject_ids: vec![*user],
                    role: Some(*role),
                    ..self.notice(state, SystemNoticeKind::RoleChanged, vec![effect])
                }
            }
        };
        if state.chat.last_seq >= crate::seq::MAX {
            return Err(GroupRefusal::Full);
        }
        Ok(Some(notice))
    }

    /// Gives the group other details; `None` where it has them already.
    fn update(&self, state: GroupState<'_>, update: &GroupUpdate) -> Option<SystemNotice> {
        let is_new = |title: &&ChatTitle| state.chat.title.as_ref() != Some(*title);
        let title = update.title.as_ref().filter(is_new).cloned();
        let metadata = update.metadata.clone();
        let metadata = metadata.filter(|metadata| metadata.as_ref() != state.metadata);
        let avatar = update.avatar_id;
        let avatar = avatar.filter(|avatar| *avatar != state.chat.avatar_id);
        // What most look at first gives its name to all of it.
        let kind = match (&title, avatar, &metadata) {
            (Some(_), ..) => SystemNoticeKind::TitleChanged,
            (None, Some(_), _) => SystemNoticeKind::AvatarChanged,
            (None, None, Some(_)) => SystemNoticeKind::SettingsChanged,
            (None, None, None) => return None,
        };
        Some(SystemNotice {
            title,
            metadata: metadata.map(|to| MetadataChange { to }),
            avatar_id: avatar.flatten(),
            has_avatar_beside: avatar.is_some() && kind != SystemNoticeKind::AvatarChanged,
            ..self.notice(state, kind, Vec::new())
        })
    }

    /// Ends a membership. Who takes over from a last owner does so in the same notice.
    fn end(&self, state: GroupState<'_>, subject: &Member) -> SystemNotice {
        let mut effects = vec![MemberEffect {
            user_id: subject.user_id,
            role: None,
            joins: None,
        }];
        if subject.role == MemberRole::Owner
            && state.owners <= 1
            && let Some(successor) = state.successor
        {
            effects.push(MemberEffect {
                user_id: successor,
                role: Some(MemberRole::Owner),
                joins: None,
            });
        }
        let kind = if subject.user_id == self.actor_id {
            SystemNoticeKind::MemberLeft
        } else {
            SystemNoticeKind::MemberRemoved
        };
        SystemNotice {
            subject_ids: vec![subject.user_id],
            ..self.notice(state, kind, effects)
        }
    }

    fn notice(
        &self,
        state: GroupState<'_>,
        kind: SystemNoticeKind,
        effects: Vec<MemberEffect>,
    ) -> SystemNotice {
        let joining = effects.iter().filter(|effect| effect.joins.is_some());
        let leaving = effects.iter().filter(|effect| effect.role.is_none());
        let more = state
            .chat
            .member_count
            .saturating_add(count(joining.count()));
        SystemNotice {
            kind,
            actor_id: Some(self.actor_id),
            subject_ids: Vec::new(),
            title: None,
            metadata: None,
            avatar_id: None,
            has_avatar_beside: false,
            role: None,
            member_count: more.saturating_sub(count(leaving.count())),
            effects,
            previous: state.chat.applied_seq,
        }
    }
}

fn admin(actor: &Member) -> Result<(), Denied> {
    if actor.role < MemberRole::Admin {
        return Err(Denied::NotAdmin);
    }
    Ok(())
}

fn count(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
