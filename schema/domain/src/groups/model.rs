//! What somebody asks of a group.

use serde::{Deserialize, Serialize};

use crate::chats::model::{ChatTitle, MemberRole};
use crate::clock::Timestamp;
use crate::error::Invalid;
use crate::id::{AttachmentId, ChatId, MessageId, UserId};
use crate::messages::notice::HistoryFrom;
use crate::metadata::{Metadata, MetadataUpdate};
use crate::text::TextRule;

/// The most users that one call may name.
pub const MAX_SUBJECTS: usize = 100;

/// The creator's own id for a group: 1 to 64 characters, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientChatId(String);

impl ClientChatId {
    const RULE: TextRule = TextRule {
        field: "clientChatId",
        max_chars: 64,
        multi_line: false,
    };

    /// Parses an id.
    ///
    /// # Errors
    /// [`Invalid`] for the field `clientChatId`.
    pub fn parse(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        if text.is_empty() {
            return Err(Invalid::new("clientChatId", "must not be empty"));
        }
        Self::RULE.check(&text)?;
        Ok(Self(text))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ClientChatId {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl From<ClientChatId> for String {
    fn from(id: ClientChatId) -> Self {
        id.0
    }
}

/// What a group is called, what the application keeps about it, and how it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDetails {
    /// Its title.
    pub title: ChatTitle,
    /// What the application keeps about it.
    pub metadata: Option<Metadata>,
    /// Its picture: an image of the maker.
    pub avatar_id: Option<AttachmentId>,
}

impl From<ChatTitle> for GroupDetails {
    fn from(title: ChatTitle) -> Self {
        Self {
            title,
            metadata: None,
            avatar_id: None,
        }
    }
}

/// Other details of a group. `None` leaves a part as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupUpdate {
    /// The new title.
    pub title: Option<ChatTitle>,
    /// What the application is to keep about it, or `Some(None)` to clear it.
    pub metadata: MetadataUpdate,
    /// The new picture, or `Some(None)` for none.
    pub avatar_id: Option<Option<AttachmentId>>,
}

/// A group to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGroup {
    /// The chat's id, where it is made.
    pub chat_id: ChatId,
    /// The id of its first message, which says that it was made.
    pub message_id: MessageId,
    /// Who makes it, and will own it.
    pub creator_id: UserId,
    /// Its other first members, each once; without the creator.
    pub member_ids: Vec<UserId>,
    /// Its title.
    pub title: ChatTitle,
    /// What the application keeps about it.
    pub metadata: Option<Metadata>,
    /// Its picture.
    pub avatar_id: Option<AttachmentId>,
    /// The creator's own id for it.
    pub client_chat_id: Option<ClientChatId>,
    /// When.
    pub at: Timestamp,
}

/// A change of a group that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupChange {
    /// The id of the system message, where the change is made.
    pub message_id: MessageId,
    /// The group.
    pub chat_id: ChatId,
    /// Who asks.
    pub actor_id: UserId,
    /// When.
    pub at: Timestamp,
    /// The most members that the group may have.
    pub max_members: u32,
    /// What is to happen.
    pub action: GroupAction,
}

/// What is to happen to a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupAction {
    /// It gets other details.
    Update(GroupUpdate),
    /// Users become members.
    Add {
        /// Who, each once; 1 to [`MAX_SUBJECTS`].
        users: Vec<UserId>,
        /// From where on they may read.
        history: HistoryFrom,
    },
    /// Somebody else's membership ends.
    Remove(UserId),
    /// The actor's own membership ends.
    Leave,
    /// A member gets another role.
    SetRole {
        /// Who.
        user: UserId,
        /// Which.
        role: MemberRole,
    },
}

impl GroupAction {
    /// Gives the group another title.
    pub const fn rename(title: ChatTitle) -> Self {
        Self::Update(GroupUpdate {
            title: Some(title),
            metadata: None,
            avatar_id: None,
        })
    }

    /// Gives the group another picture, or none.
    pub const fn set_avatar(avatar: Option<AttachmentId>) -> Self {
        Self::Update(GroupUpdate {
            title: None,
            metadata: None,
            avatar_id: Some(avatar),
        })
    }
}

impl GroupChange {
    /// The users whose membership the change is about.
    pub fn subjects(&self) -> Vec<UserId> {
        match &self.action {
            GroupAction::Update(_) => Vec::new(),
            GroupAction::Add { users, .. } => users.clone(),
            GroupAction::Remove(user) | GroupAction::SetRole { user, .. } => vec![*user],
            GroupAction::Leave => vec![self.actor_id],
        }
    }

    /// Whether it says what the application keeps about the group, so that the store has to say what
    /// that is now.
    pub const fn sets_metadata(&self) -> bool {
        matches!(
            &self.action,
            GroupAction::Update(GroupUpdate {
                metadata: Some(_),
                ..
            })
        )
    }

    /// Whether it may end the actor's own membership or that of another owner, so that the store
    /// has to say who would take over.
    pub fn may_need_successor(&self) -> bool {
        matches!(self.action, GroupAction::Leave | GroupAction::Remove(_))
    }
}
