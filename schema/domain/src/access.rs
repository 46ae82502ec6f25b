//! The one door: decides who may see and do what.
//!
//! [`Access`] turns a viewer and an id into a proof, which only this module makes. What a service
//! does for a viewer, it does with a proof in hand. Where the store itself judges while it commits
//! (appending a message, moving a read mark), what it refuses is told as this module's [`Denied`].
//!
//! What lies below an object that has been let through (a chat's members, a message's sender) is
//! reached by the object, without asking again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::chats::model::{Chat, Member};
use crate::chats::store::ChatStore;
use crate::error::{ApiError, ErrorCode, PortError};
use crate::id::{ChatId, UserId};
use crate::seq::Seq;
use crate::users::model::{Directory, User};
use crate::users::store::UserStore;
use crate::viewer::Viewer;

/// Why somebody may not do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is no such chat.
    #[error("There is no such chat.")]
    NoChat,
    /// The viewer is no member, or no longer.
    #[error("Only members of the chat may do this.")]
    NotMember,
    /// There is no such user.
    #[error("There is no such user.")]
    NoUser,
    /// The other member of a direct chat has deleted their account.
    #[error("The other member has deleted their account. Nothing can be sent here any more.")]
    Closed,
    /// The viewer is no admin of the group.
    #[error("Only admins and owners of the group may do this.")]
    NotAdmin,
    /// The viewer is no owner of the group.
    #[error("Only owners of the group may do this.")]
    NotOwner,
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        let (code, field) = match denied {
            Denied::NoChat => (ErrorCode::NotFound, "chatId"),
            Denied::NotMember | Denied::NotAdmin | Denied::NotOwner | Denied::Closed => {
                (ErrorCode::Forbidden, "chatId")
            }
            Denied::NoUser => (ErrorCode::NotFound, "userId"),
        };
        Self::new(code, denied.to_string()).field(field)
    }
}

/// Why a proof was not given.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AccessError {
    /// The viewer may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// It could not be found out.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<AccessError> for ApiError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Denied(denied) => denied.into(),
            AccessError::Port(error) => error.into(),
        }
    }
}

/// Proves that a user is a member of a chat, as of when it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership(Member);

impl Membership {
    /// The chat.
    pub const fn chat_id(&self) -> ChatId {
        self.0.chat_id
    }

    /// The member.
    pub const fn member(&self) -> &Member {
        &self.0
    }

    /// Whether the member may read this message.
    pub const fn may_read(&self, seq: Seq) -> bool {
        seq >= self.0.visible_from_seq
    }

    /// The place before the first message that the member may read.
    pub const fn before_visible(&self) -> Seq {
        self.0.visible_from_seq.saturating_sub(1)
    }
}

/// Proves that the viewer may see whether these users are there: they share a chat, or are the
/// viewer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquainted(Vec<UserId>);

impl Acquainted {
    /// The users, in no order.
    pub fn users(&self) -> &[UserId] {
        &self.0
    }
}

/// Proves that the viewer may read the profiles of these users, whether they exist or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadableProfiles(Vec<UserId>);

impl ReadableProfiles {
    /// The users.
    pub fn into_users(self) -> Vec<UserId> {
        self.0
    }
}

/// Proves that the viewer may start a chat with this user, who exists and is not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact(UserId);

impl Contact {
    /// The user.
    pub const fn user_id(self) -> UserId {
        self.0
    }
}

/// Gives proofs.
pub struct Access {
    pub(crate) chats: Arc<dyn ChatStore>,
    pub(crate) users: Arc<dyn UserStore>,
    /// Whose profiles are open.
    pub(crate) directory: Directory,
}

impl Access {
    /// The viewer's membership of the chat.
    ///
    /// # Errors
    /// [`Denied::NoChat`], [`Denied::NotMember`], or the store's error.
    pub async fn membership(
        &self,
        viewer: &Viewer,
        chat: ChatId,
    ) -> Result<Membership, AccessError> {
        match self.memberships(viewer, &[chat]).await?.pop() {
            Some(membership) => Ok(membership),
            None if self.chats.chats(&[chat]).await?.is_empty() => Err(Denied::NoChat.into()),
            None => Err(Denied::NotMember.into()),
        }
    }

    /// The viewer's memberships of those of these chats of which they are a member.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn memberships(
        &self,
        viewer: &Viewer,
        chats: &[ChatId],
    ) -> Result<Vec<Membership>, PortError> {
        let members = self.chats.memberships(viewer.user_id, chats).await?;
        Ok(members.into_iter().map(Membership).collect())
    }

    /// The same by chat; one may be named several times.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn memberships_by_chat(
        &self,
        viewer: &Viewer,
        chats: impl IntoIterator<Item = ChatId>,
    ) -> Result<HashMap<ChatId, Membership>, PortError> {
        let chats: HashSet<_> = chats.into_iter().collect();
        let chats: Vec<_> = chats.into_iter().collect();
        let memberships = self.memberships(viewer, &chats).await?.into_iter();
        Ok(memberships
            .map(|membership| (membership.chat_id(), membership))
            .collect())
    }

    /// The membership of somebody in a chat that the viewer has been let into.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn member(&self, chat: ChatId, user: UserId) -> Result<Option<Member>, PortError> {
        Ok(self.chats.memberships(user, &[chat]).await?.pop())
    }

    /// The member's chat; `None` where it is gone.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn chat(&self, membership: &Membership) -> Result<Option<Chat>, PortError> {
        Ok(self.chats.chats(&[membership.chat_id()]).await?.pop())
    }

    /// Those of these users whose presence the viewer may see: themself and who shares a chat.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn acquainted(
        &self,
        viewer: &Viewer,
        users: &[UserId],
    ) -> Result<Acquainted, PortError> {
        let viewer = viewer.user_id;
        let is_other = |user: &UserId| *user != viewer;
        let others: Vec<_> = users.iter().copied().filter(is_other).collect();
        let mut visible = if others.is_empty() {
            Vec::new()
        } else {
            self.chats.sharing(viewer, &others).await?
        };
        if users.contains(&viewer) {
            visible.push(viewer);
        }
        Ok(Acquainted(visible))
    }

    /// Those of these pairs, of a viewer and a user, of whom the viewer may see whether the user is
    /// there, as [`Self::acquainted`] says of one viewer. One store call for each viewer or for each
    /// user, whichever are fewer.
    ///
    /// # Errors
    /// Where the store fails.
    pub(crate) async fn acquaintances(
        &self,
        pairs: &[(UserId, UserId)],
    ) -> Result<Vec<(UserId, UserId)>, PortError> {
        let (mut viewers, mut users) = (BTreeMap::new(), BTreeMap::new());
        let (own, others): (Vec<_>, Vec<_>) = pairs
            .iter()
            .copied()
            .partition(|(viewer, user)| viewer == user);
        for (viewer, user) in others {
            viewers.entry(viewer).or_insert_with(Vec::new).push(user);
            users.entry(user).or_insert_with(Vec::new).push(viewer);
        }
        let mut seen = own;
        if viewers.len() <= users.len() {
            for (viewer, users) in viewers {
                let sharing = self.chats.sharing(viewer, &users).await?;
                seen.extend(sharing.into_iter().map(|user| (viewer, user)));
            }
        } else {
            // Who shares a chat with somebody is somebody with whom they share it.
            for (user, viewers) in users {
                let sharing = self.chats.sharing(user, &viewers).await?;
                seen.extend(sharing.into_iter().map(|viewer| (viewer, user)));
            }
        }
        Ok(seen)
    }

    /// Those of these users whose profile the viewer may read by its id: all where the directory
    /// shows everyone; else the viewer and who shares a chat with them.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn profiles(
        &self,
        viewer: &Viewer,
        users: Vec<UserId>,
    ) -> Result<ReadableProfiles, PortError> {
        Ok(ReadableProfiles(match self.directory {
            Directory::Everyone => users,
            Directory::SharedChats | Directory::Off => self.acquainted(viewer, &users).await?.0,
        }))
    }

    /// The users as whom the viewer may add to a group, each once and in their order. They exist, and
    /// none is deleted.
    /// Whomever the directory shows: an id cannot be guessed, and who knows one has met the user, or
    /// found them by their address.
    ///
    /// # Errors
    /// The place in `users` of the first who does not exist, or the store's error.
    pub async fn contacts(
        &self,
        _viewer: &Viewer,
        users: &[UserId],
    ) -> Result<Result<Vec<Contact>, usize>, PortError> {
        let found = self.users.users(users).await?;
        let is = |known: &User, user: UserId| known.id == user && !known.is_deleted();
        let exists = |user: &UserId| found.iter().any(|known| is(known, *user));
        if let Some(missing) = users.iter().position(|user| !exists(user)) {
            return Ok(Err(missing));
        }
        Ok(Ok(users.iter().copied().map(Contact).collect()))
    }

    /// The user as somebody with whom the viewer may start a chat: any, as for [`Self::contacts`].
    ///
    /// # Errors
    /// [`Denied::NoUser`], or the store's error.
    pub async fn contact(&self, _viewer: &Viewer, user: UserId) -> Result<Contact, AccessError> {
        let found = self.users.users(&[user]).await?.pop();
        if found.is_none_or(|known| known.is_deleted()) {
            return Err(Denied::NoUser.into());
        }
        Ok(Contact(user))
    }
}
