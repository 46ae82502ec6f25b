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

use crate::blocks::store::BlockStore;
use crate::chats::model::{Chat, Member, Participation};
use crate::chats::store::ChatStore;
use crate::error::{ApiError, ErrorCode, PortError};
use crate::id::{ChatId, UserId};
use crate::moderation::model::Operators;
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
    /// Nothing may be said to the user directly, as one of the two has blocked the other: not said
    /// which. Nobody is told more than that.
    #[error("This user cannot be contacted.")]
    NoContact,
    /// Nothing may be said in the direct chat, for the same reason.
    #[error("Nothing can be said in this chat.")]
    NotWritable,
    /// The other member of a direct chat has deleted their account.
    #[error("The other member has deleted their account. Nothing can be sent here any more.")]
    Closed,
    /// The viewer is no admin of the group.
    #[error("Only admins and owners of the group may do this.")]
    NotAdmin,
    /// The viewer is no owner of the group.
    #[error("Only owners of the group may do this.")]
    NotOwner,
    /// The viewer is no operator of the server.
    #[error("Only operators of this server may do this.")]
    NotOperator,
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        let (code, field) = match denied {
            Denied::NotOperator => return Self::new(ErrorCode::Forbidden, denied.to_string()),
            Denied::NoChat => (ErrorCode::NotFound, "chatId"),
            Denied::NotMember
            | Denied::NotAdmin
            | Denied::NotOwner
            | Denied::NotWritable
            | Denied::Closed => (ErrorCode::Forbidden, "chatId"),
            Denied::NoContact => (ErrorCode::Forbidden, "userId"),
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

/// Proves which part of a chat is its user's own to keep: what they may read as a member, and behind
/// the end of their membership what they could read until then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnPart(Participation);

impl OwnPart {
    /// The chat.
    pub const fn chat_id(&self) -> ChatId {
        self.0.member.chat_id
    }

    /// The membership, as it is or was.
    pub const fn member(&self) -> &Member {
        &self.0.member
    }

    /// The last message of the part: the one that has ended the membership; `None` while it lasts.
    pub const fn until(&self) -> Option<Seq> {
        self.0.left_seq
    }

    /// The place before the first message of the part.
    pub const fn before_visible(&self) -> Seq {
        self.0.member.visible_from_seq.saturating_sub(1)
    }

    /// Whether this message is in the part.
    pub fn may_read(&self, seq: Seq) -> bool {
        seq > self.before_visible() && self.until().is_none_or(|last| seq <= last)
    }
}

/// Proves that the viewer may see whether these users are there: they share a chat, and neither has
/// blocked the other, or are the viewer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquainted(Vec<UserId>);

impl Acquainted {
    /// The users, in no order.
    pub fn users(&self) -> &[UserId] {
        &self.0
    }
}

/// How somebody who shares a chat with a user may see whether the user is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// They see it.
    Seen,
    /// A block between the two hides it.
    Hidden,
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

/// Proves that the viewer may start a chat with this user, who exists and is not deleted, and add them
/// to groups: neither has blocked the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact(UserId);

impl Contact {
    /// The user.
    pub const fn user_id(self) -> UserId {
        self.0
    }
}

/// Proves that the viewer is an operator of the server, as of when it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operator(UserId);

impl Operator {
    /// The operator.
    pub const fn user_id(self) -> UserId {
        self.0
    }
}

/// Gives proofs.
pub struct Access {
    pub(crate) chats: Arc<dyn ChatStore>,
    pub(crate) users: Arc<dyn UserStore>,
    pub(crate) blocks: Arc<dyn BlockStore>,
    /// Whose profiles are open.
    pub(crate) directory: Directory,
    /// Who may do what operators do.
    pub(crate) operators: Operators,
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

    /// All memberships of the viewer.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn all_memberships(&self, viewer: &Viewer) -> Result<Vec<Membership>, PortError> {
        let chats = self.chats.chat_ids_of(viewer.user_id).await?;
        self.memberships(viewer, &chats).await
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

    /// The chats of which the viewer is or was a member, from the smallest id up: the first `limit`
    /// behind `after`.
    ///
    /// # Errors
    /// Where the store fails.
    pub(crate) async fn own_chats(
        &self,
        viewer: &Viewer,
        after: Option<ChatId>,
        limit: usize,
    ) -> Result<Vec<ChatId>, PortError> {
        self.chats.chats_ever_of(viewer.user_id, after, limit).await
    }

    /// The viewer's own part of a chat; `None` where they never were a member. What was read of the
    /// chat ahead of this call is judged by it without a gap: a message behind the end of the
    /// membership is committed behind that end.
    ///
    /// # Errors
    /// Where the store fails.
    pub(crate) async fn own_part(
        &self,
        viewer: &Viewer,
        chat: ChatId,
    ) -> Result<Option<OwnPart>, PortError> {
        let found = self.chats.participations(viewer.user_id, &[chat]).await?;
        Ok(found.into_iter().next().map(OwnPart))
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

    /// Those of these users whose presence the viewer may see: themself, and who shares a chat where
    /// neither has blocked the other.
    ///
    /// # Errors
    /// Where a store fails.
    pub async fn acquainted(
        &self,
        viewer: &Viewer,
        users: &[UserId],
    ) -> Result<Acquainted, PortError> {
        let known = self.known(viewer.user_id, users).await?;
        self.seen(viewer.user_id, known).await
    }

    /// The same of users all of whom must share a chat with the viewer. Whom a block hides is left
    /// out: it is not for the viewer to be told of it.
    ///
    /// # Errors
    /// The first who shares none, or the store's error.
    pub(crate) async fn all_acquainted(
        &self,
        viewer: &Viewer,
        users: &[UserId],
    ) -> Result<Result<Acquainted, UserId>, PortError> {
        let known = self.known(viewer.user_id, users).await?;
        if let Some(stranger) = users.iter().find(|user| !known.contains(user)) {
            return Ok(Err(*stranger));
        }
        Ok(Ok(self.seen(viewer.user_id, known).await?))
    }

    /// Those of these users, who are known to the viewer, whom no block hides.
    async fn seen(&self, viewer: UserId, known: Vec<UserId>) -> Result<Acquainted, PortError> {
        let blocked = self.blocked(viewer, &known).await?;
        let seen = known.into_iter().filter(|user| !blocked.contains(user));
        Ok(Acquainted(seen.collect()))
    }

    /// Those of these users who share a chat with the viewer, or are the viewer.
    async fn known(&self, viewer: UserId, users: &[UserId]) -> Result<Vec<UserId>, PortError> {
        let is_other = |user: &UserId| *user != viewer;
        let others: Vec<_> = users.iter().copied().filter(is_other).collect();
        let mut known = if others.is_empty() {
            Vec::new()
        } else {
            self.chats.sharing(viewer, &others).await?
        };
        if users.contains(&viewer) {
            known.push(viewer);
        }
        Ok(known)
    }

    /// Those of these users whom the viewer has blocked, or who have blocked the viewer.
    ///
    /// # Errors
    /// Where the store fails.
    pub(crate) async fn blocked(
        &self,
        viewer: UserId,
        users: &[UserId],
    ) -> Result<HashSet<UserId>, PortError> {
        let others = users.iter().copied().filter(|user| *user != viewer);
        let pairs: Vec<_> = others.map(|user| (viewer, user)).collect();
        let blocked = self.blocked_pairs(&pairs).await?;
        Ok(blocked.into_iter().map(|(_, user)| user).collect())
    }

    /// Those of these pairs of whom either has blocked the other. One store call.
    async fn blocked_pairs(
        &self,
        pairs: &[(UserId, UserId)],
    ) -> Result<HashSet<(UserId, UserId)>, PortError> {
        if pairs.is_empty() {
            return Ok(HashSet::new());
        }
        let turned = |&(one, other): &(UserId, UserId)| (other, one);
        let both: Vec<_> = pairs
            .iter()
            .copied()
            .chain(pairs.iter().map(turned))
            .collect();
        let found = self.blocks.blocks_among(&both).await?;
        let found: HashSet<_> = found.into_iter().collect();
        let is_blocked =
            |pair: &&(UserId, UserId)| found.contains(*pair) || found.contains(&turned(pair));
        Ok(pairs.iter().filter(is_blocked).copied().collect())
    }

    /// How the viewer of each of these pairs, of a viewer and a user, may see whether the user is
    /// there, as [`Self::acquainted`] says of one viewer; nothing of who shares no chat. One store call
    /// for each viewer or for each user, whichever are fewer, and one for the blocks.
    ///
    /// # Errors
    /// Where a store fails.
    pub(crate) async fn acquaintances(
        &self,
        pairs: &[(UserId, UserId)],
    ) -> Result<Vec<((UserId, UserId), Sight)>, PortError> {
        let (mut viewers, mut users) = (BTreeMap::new(), BTreeMap::new());
        let (own, others): (Vec<_>, Vec<_>) = pairs
            .iter()
            .copied()
            .partition(|(viewer, user)| viewer == user);
        for (viewer, user) in others {
            viewers.entry(viewer).or_insert_with(Vec::new).push(user);
            users.entry(user).or_insert_with(Vec::new).push(viewer);
        }
        let mut known = Vec::new();
        if viewers.len() <= users.len() {
            for (viewer, users) in viewers {
                let sharing = self.chats.sharing(viewer, &users).await?;
                known.extend(sharing.into_iter().map(|user| (viewer, user)));
            }
        } else {
            // Who shares a chat with somebody is somebody with whom they share it.
            for (user, viewers) in users {
                let sharing = self.chats.sharing(user, &viewers).await?;
                known.extend(sharing.into_iter().map(|viewer| (viewer, user)));
            }
        }
        let blocked = self.blocked_pairs(&known).await?;
        let sight = |pair| {
            if blocked.contains(&pair) {
                (pair, Sight::Hidden)
            } else {
                (pair, Sight::Seen)
            }
        };
        Ok(own.into_iter().chain(known).map(sight).collect())
    }

    /// Those of these users whose profile the viewer may read by its id: all where the directory
    /// shows everyone; else the viewer and who shares a chat with them. A block hides no profile, as
    /// it hides no message of a group that both are in.
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
            Directory::SharedChats | Directory::Off => self.known(viewer.user_id, &users).await?,
        }))
    }

    /// The users as whom the viewer may add to a group, each once and in their order. They exist, and
    /// none is deleted. Whomever the directory shows, but for blocks: an id cannot be guessed, and who
    /// knows one has met the user, or found them by their address.
    ///
    /// # Errors
    /// The place in `users` of the first who does not exist, or else of the first whom a block keeps
    /// apart from the viewer, and why; or the store's error.
    pub async fn contacts(
        &self,
        viewer: &Viewer,
        users: &[UserId],
    ) -> Result<Result<Vec<Contact>, (usize, Denied)>, PortError> {
        let found = self.users.users(users).await?;
        let is = |known: &User, user: UserId| known.id == user && !known.is_deleted();
        let exists = |user: &UserId| found.iter().any(|known| is(known, *user));
        if let Some(missing) = users.iter().position(|user| !exists(user)) {
            return Ok(Err((missing, Denied::NoUser)));
        }
        let blocked = self.blocked(viewer.user_id, users).await?;
        if let Some(place) = users.iter().position(|user| blocked.contains(user)) {
            return Ok(Err((place, Denied::NoContact)));
        }
        Ok(Ok(users.iter().copied().map(Contact).collect()))
    }

    /// The viewer as an operator of the server. Costs nothing where there is none.
    ///
    /// # Errors
    /// [`Denied::NotOperator`], or the store's error.
    pub async fn operator(&self, viewer: &Viewer) -> Result<Operator, AccessError> {
        if !self.operators.is_empty() {
            let user = self.users.users(&[viewer.user_id]).await?.pop();
            if user.is_some_and(|user| self.is_operator(&user)) {
                return Ok(Operator(viewer.user_id));
            }
        }
        Err(Denied::NotOperator.into())
    }

    /// Whether the account is an operator's.
    pub fn is_operator(&self, user: &User) -> bool {
        self.operators.contains(&user.email)
    }

    /// The user as somebody with whom the viewer may start a chat, as for [`Self::contacts`].
    ///
    /// # Errors
    /// [`Denied::NoUser`], [`Denied::NoContact`], or the store's error.
    pub async fn contact(&self, viewer: &Viewer, user: UserId) -> Result<Contact, AccessError> {
        match self.contacts(viewer, &[user]).await? {
            Ok(_) => Ok(Contact(user)),
            Err((_, denied)) => Err(denied.into()),
        }
    }
}
