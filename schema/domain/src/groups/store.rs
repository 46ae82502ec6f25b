//! The port through which groups are made and changed.

use super::model::{GroupChange, NewGroup};
use super::rules::GroupRefusal;
use crate::chats::model::Chat;
use crate::error::PortError;
use crate::events::announcement::Announcement;
use crate::id::{ChatId, MessageId, UserId};
use crate::messages::model::Message;
use crate::port::port;

/// What came of asking for a group or a change of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupOutcome {
    /// It is as it was asked for, durably.
    Done {
        /// The chat as of the same commit.
        chat: Box<Chat>,
        /// The system message; `None` where it was so already.
        message: Option<Box<Message>>,
    },
    /// It was refused. Nothing was changed.
    Refused(GroupRefusal),
}

impl GroupOutcome {
    /// What followers are told of it: nothing where it was so already.
    pub fn announcements(&self) -> Vec<Announcement> {
        match self {
            Self::Done {
                message: Some(message),
                ..
            } => Announcement::notice(message),
            Self::Done { message: None, .. } | Self::Refused(_) => Vec::new(),
        }
    }
}

port! {
    /// Makes and changes groups. Each method is atomic on its own: it appends one system message,
    /// or nothing, and what the store keeps of members, title and member count follows it.
    pub trait GroupStore as "groups" with GroupStoreLayer {
        /// Makes the group with its first message and its members. Where the creator has made one
        /// under the same `client_chat_id`, that one is the answer.
        async fn create_group(&self, group: &NewGroup) -> Result<GroupOutcome, PortError>;

        /// The group that [`GroupStore::create_group`] would answer with instead of making this one: of
        /// the same creator, under the same `client_chat_id`. `None` for one without, and for one whose
        /// making was broken off.
        async fn repeated_group(&self, group: &NewGroup) -> Result<Option<Chat>, PortError>;

        /// Changes the group by [`GroupChange::decide`], judged at the number that the system
        /// message gets.
        async fn change_group(&self, change: &GroupChange) -> Result<GroupOutcome, PortError>;

        /// Forgets up to `limit` of the ids of their own under which the user has made groups, and says
        /// how many. Fewer than `limit` are all.
        async fn forget_client_ids(&self, user: UserId, limit: usize) -> Result<usize, PortError>;

        /// Completes the change of the chat that this system message is, and all before it, where
        /// the instance that made it has died in the middle. False where there is no such message.
        /// A store that makes a change in one transaction has nothing to complete.
        async fn complete_change(
            &self,
            chat: ChatId,
            message: MessageId,
        ) -> Result<bool, PortError>;
    }
}
