//! Making and changing groups.

use std::sync::Arc;

use super::model::{
    ClientChatId, GroupAction, GroupChange, GroupDetails, GroupUpdate, MAX_SUBJECTS, NewGroup,
};
use super::rules::GroupRefusal;
use super::store::{GroupOutcome, GroupStore};
use crate::access::{Access, AccessError, Denied};
use crate::attachments::error::AttachmentError;
use crate::attachments::model::{Attachment, UsedBy};
use crate::attachments::service::AttachmentService;
use crate::chats::model::{Chat, ChatKind, ChatTitle, Member, MemberRole};
use crate::clock::Clock;
use crate::error::{ApiError, ErrorCode, Invalid, PortError, service_error};
use crate::id::{ChatId, IdGenerator, UserId};
use crate::limits::{Decision, RateLimiter, Rule};
use crate::messages::notice::HistoryFrom;
use crate::user_list;
use crate::viewer::Viewer;

/// Why a group was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GroupError {
    /// An argument breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The viewer may not, or the group would break a rule.
    #[error(transparent)]
    Refused(#[from] GroupRefusal),
    /// A user may not be added: the argument, the place in it, and why.
    #[error("{2}")]
    NoContact(&'static str, usize, Denied),
    /// Too many groups were made.
    #[error("You start chats too quickly. Wait a little.")]
    TooFast(std::time::Duration),
    /// Too many changes of groups.
    #[error("You change groups too quickly. Wait a little.")]
    TooManyChanges(std::time::Duration),
    /// The picture was refused.
    #[error(transparent)]
    Avatar(#[from] AttachmentError),
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl GroupError {
    fn api_error(&self) -> ApiError {
        match self {
            Self::Invalid(invalid) => invalid.into(),
            Self::Refused(refusal) => (*refusal).into(),
            Self::NoContact(field, place, denied) => {
                ApiError::from(*denied).field(format!("{field}.{place}"))
            }
            Self::TooFast(wait) | Self::TooManyChanges(wait) => {
                ApiError::new(ErrorCode::RateLimited, self.to_string()).retry_after(*wait)
            }
            Self::Avatar(error) => error.clone().into(),
            Self::Port(error) => error.into(),
        }
    }
}

service_error!(GroupError);

/// Rules of groups.
pub struct GroupService {
    /// The groups.
    pub(crate) store: Arc<dyn GroupStore>,
    /// Who may do what.
    pub(crate) access: Arc<Access>,
    /// Their pictures.
    pub(crate) attachments: Arc<AttachmentService>,
    /// Holds back who makes groups too quickly.
    pub(crate) limiter: Arc<dyn RateLimiter>,
    /// How quickly one may start chats.
    pub(crate) start_rule: Rule,
    /// How quickly one may change groups.
    pub(crate) change_rule: Rule,
    /// The most members of a group.
    pub(crate) max_members: u32,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// New ids.
    pub(crate) ids: IdGenerator,
}

impl GroupService {
    /// Makes a group of the viewer, who owns it, and of `members`. A retry with the same
    /// `client_chat_id` answers with the first group.
    ///
    /// # Errors
    /// Where a member does not exist or may not be contacted, is named twice or there are too many, and where the picture is not
    /// an image of the viewer or is used.
    pub async fn create(
        &self,
        viewer: &Viewer,
        details: impl Into<GroupDetails>,
        members: Vec<UserId>,
        client_chat_id: Option<ClientChatId>,
    ) -> Result<Chat, GroupError> {
        let GroupDetails {
            title,
            metadata,
            avatar_id: avatar,
        } = details.into();
        user_list::check("memberIds", &members, MAX_SUBJECTS)?;
        if members.len() >= self.max_members as usize {
            return Err(GroupRefusal::TooManyMembers(self.max_members).into());
        }
        let key = viewer.user_id.to_string();
        if let Decision::Denied(wait) = self.limiter.check(self.start_rule, &key).await? {
            return Err(GroupError::TooFast(wait));
        }
        self.check_contacts(viewer, "memberIds", &members).await?;
        let is_other = |user: &UserId| *user != viewer.user_id;
        let chat_id = self.ids.next();
        let group = NewGroup {
            chat_id,
            message_id: self.ids.next_message(chat_id),
            creator_id: viewer.user_id,
            member_ids: members.into_iter().filter(is_other).collect(),
            title,
            metadata,
            avatar_id: avatar,
            client_chat_id,
            at: self.clock.now(),
        };
        let claim = self
            .attachments
            .claim_picture(viewer, avatar, None, UsedBy::Chat(chat_id));
        // The picture of a group that is made again is used, or gone where it has another one by now.
        if let Err(refused) = claim.await
            && self.store.repeated_group(&group).await?.is_none()
        {
            return Err(refused.into());
        }
        done(self.store.create_group(&group).await?)
    }

    /// Gives the group another title.
    ///
    /// # Errors
    /// [`GroupRefusal`], or where the viewer changes groups too quickly.
    pub async fn rename(
        &self,
        viewer: &Viewer,
        chat: ChatId,
        title: ChatTitle,
    ) -> Result<Chat, GroupError> {
        self.change(viewer, chat, GroupAction::rename(title)).await
    }

    /// Gives the group other details, all with one system message. What it has already is no error.
    ///
    /// # Errors
    /// [`GroupRefusal`], where the picture is not an image of the viewer or is used, or where the viewer
    /// changes groups too quickly.
    pub async fn update(
        &self,
        viewer: &Viewer,
        chat: ChatId,
        update: GroupUpdate,
    ) -> Result<Chat, GroupError> {
        let Some(avatar) = update.avatar_id else {
            return self.change(viewer, chat, GroupAction::Update(update)).await;
        };
        self.admit(viewer).await?;
        let membership = self.access.membership(viewer, chat).await?;
        if membership.member().role < MemberRole::Admin {
            return Err(GroupRefusal::from(Denied::NotAdmin).into());
        }
        let before = self.access.chat(&membership).await?;
        let before = before.ok_or(GroupRefusal::Denied(Denied::NoChat))?;
        if before.kind != ChatKind::Group {
            return Err(GroupRefusal::DirectChat.into());
        }
        let by = UsedBy::Chat(chat);
        let claim = self
            .attachments
            .claim_picture(viewer, avatar, before.avatar_id, by);
        let claimed: Vec<Attachment> = claim.await?;
        let changed = self.apply(viewer, chat, GroupAction::Update(update)).await;
        if let Err(GroupError::Refused(_)) = changed {
            self.attachments.release(&claimed).await?;
        }
        changed
    }

    /// Makes users members, all or none.
    ///
    /// # Errors
    /// Where a user does not exist, may not be contacted or is named twice, there are none or too many, and
    /// [`GroupRefusal`].
    pub async fn add(
        &self,
        viewer: &Viewer,
        chat: ChatId,
        users: Vec<UserId>,
        history: HistoryFrom,
    ) -> Result<Chat, GroupError> {
        if users.is_empty() {
            return Err(Invalid::new("userIds", "must name at least one user").into());
        }
        user_list::check("userIds", &users, MAX_SUBJECTS)?;
        self.admit(viewer).await?;
        // A stranger is not told who exists.
        self.access.membership(viewer, chat).await?;
        self.check_contacts(viewer, "userIds", &users).await?;
        let action = GroupAction::Add { users, history };
        self.apply(viewer, chat, action).await
    }

    /// Ends a membership. One that has ended is no error.
    ///
    /// # Errors
    /// [`GroupRefusal`], or where the viewer changes groups too quickly.
    pub async fn remove(
        &self,
        viewer: &Viewer,
        chat: ChatId,
        user: UserId,
    ) -> Result<Chat, GroupError> {
        self.change(viewer, chat, GroupAction::Remove(user)).await
    }

    /// Ends the viewer's own membership. One that has ended is no error.
    ///
    /// # Errors
    /// [`GroupRefusal`], where the chat is no group or there is none.
    pub async fn leave(&self, viewer: &Viewer, chat: ChatId) -> Result<(), GroupError> {
        match self.change(viewer, chat, GroupAction::Leave).await {
            Ok(_) | Err(GroupError::Refused(GroupRefusal::Denied(Denied::NotMember))) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Gives a member another role.
    ///
    /// # Errors
    /// [`GroupRefusal`], or where the viewer changes groups too quickly.
    pub async fn set_role(
        &self,
        viewer: &Viewer,
        chat: ChatId,
        user: UserId,
        role: MemberRole,
    ) -> Result<Member, GroupError> {
        let action = GroupAction::SetRole { user, role };
        self.change(viewer, chat, action).await?;
        // Who has left in the meantime is no member.
        let member = self.access.member(chat, user).await?;
        Ok(member.ok_or(GroupRefusal::NoMember)?)
    }

    async fn check_contacts(
        &self,
        viewer: &Viewer,
        field: &'static str,
        users: &[UserId],
    ) -> Result<(), GroupError> {
        match self.access.contacts(viewer, users).await? {
            Ok(_) => Ok(()),
            Err((place, denied)) => Err(GroupError::NoContact(field, place, denied)),
        }
    }

    async fn admit(&self, viewer: &Viewer) -> Result<(), GroupError> {
        let key = viewer.user_id.to_string();
        match self.limiter.check(self.change_rule, &key).await? {
            Decision::Denied(wait) => Err(GroupError::TooManyChanges(wait)),
            Decision::Allowed => Ok(()),
        }
    }

    async fn change(
        &self,
        viewer: &Viewer,
        chat_id: ChatId,
        action: GroupAction,
    ) -> Result<Chat, GroupError> {
        self.admit(viewer).await?;
        self.apply(viewer, chat_id, action).await
    }

    /// Makes a change that has been counted.
    async fn apply(
        &self,
        viewer: &Viewer,
        chat_id: ChatId,
        action: GroupAction,
    ) -> Result<Chat, GroupError> {
        let change = GroupChange {
            message_id: self.ids.next_message(chat_id),
            chat_id,
            actor_id: viewer.user_id,
            at: self.clock.now(),
            max_members: self.max_members,
            action,
        };
        done(self.store.change_group(&change).await?)
    }
}

fn done(outcome: GroupOutcome) -> Result<Chat, GroupError> {
    match outcome {
        GroupOutcome::Done { chat, .. } => Ok(*chat),
        GroupOutcome::Refused(refusal) => Err(refusal.into()),
    }
}

impl From<AccessError> for GroupError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Denied(denied) => Self::Refused(denied.into()),
            AccessError::Port(error) => Self::Port(error),
        }
    }
}
