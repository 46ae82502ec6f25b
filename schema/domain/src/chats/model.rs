//! Chats and members.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{ChatId, UserId};
use crate::seq::Seq;

/// What kind of chat it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChatKind {
    /// Between two users; there is at most one for each pair.
    Direct,
    /// Of any number of users, with a title.
    Group,
}

/// A chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// Identifies the chat.
    pub id: ChatId,
    /// Its kind.
    pub kind: ChatKind,
    /// When it was started.
    pub created_at: Timestamp,
    /// When something last happened in it.
    pub active_at: Timestamp,
    /// The sequence number of its newest message, 0 where there is none.
    pub last_seq: Seq,
    /// How many members it has.
    pub member_count: u32,
    /// Counts the changes of its membership. Every message event carries it, so that a stream
    /// whose view of the membership is older knows to check again.
    pub membership_epoch: u32,
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MemberRole {
    /// Has made the group, or was given it.
    Owner,
    /// May change the group and its members.
    Admin,
    /// May read and write.
    Member,
}

/// A user's membership of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The chat.
    pub chat_id: ChatId,
    /// The user.
    pub user_id: UserId,
    /// What the member may do.
    pub role: MemberRole,
    /// Since when.
    pub joined_at: Timestamp,
    /// The member has read up to and including this message; 0 for none.
    pub last_read_seq: Seq,
    /// When `last_read_seq` was last moved.
    pub last_read_at: Option<Timestamp>,
}

/// How far a member has read: the absolute state, so that applying one twice is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadReceipt {
    /// The chat.
    pub chat_id: ChatId,
    /// The member.
    pub user_id: UserId,
    /// Read up to and including this message.
    pub last_read_seq: Seq,
    /// When.
    pub read_at: Timestamp,
}

impl Member {
    /// The member's receipt, where anything was read.
    pub fn receipt(&self) -> Option<ReadReceipt> {
        self.last_read_at.map(|read_at| ReadReceipt {
            chat_id: self.chat_id,
            user_id: self.user_id,
            last_read_seq: self.last_read_seq,
            read_at,
        })
    }
}
