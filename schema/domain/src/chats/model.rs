//! Chats and members.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::Invalid;
use crate::id::{AttachmentId, ChatId, UserId};
use crate::search::fold::fold_key;
use crate::seq::Seq;
use crate::text::{TextRule, is_blank};

/// What kind of chat it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChatKind {
    /// Between two users; there is at most one for each pair.
    Direct,
    /// Of any number of users, with a title.
    Group,
}

/// The title of a group: 1 to 100 characters on one line, not blank, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChatTitle(String);

impl ChatTitle {
    /// The most characters that it may have.
    pub const MAX_CHARS: usize = 100;
    const RULE: TextRule = TextRule {
        field: "title",
        max_chars: Self::MAX_CHARS,
        multi_line: false,
    };

    /// Parses a title; spaces around it are dropped.
    ///
    /// # Errors
    /// [`Invalid`] for the field `title`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let title = text.trim();
        if is_blank(title) {
            return Err(Invalid::new("title", "must not be empty"));
        }
        Self::RULE.check(title)?;
        Ok(Self(title.to_owned()))
    }

    /// The title.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The title as searches compare it ([`fold_key`]).
    pub fn sort_key(&self) -> String {
        fold_key(&self.0)
    }
}

/// Of a store, or another instance: it may be from when titles could have these ends of lines.
impl TryFrom<String> for ChatTitle {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text.replace(['\u{2028}', '\u{2029}'], " "))
    }
}

impl From<ChatTitle> for String {
    fn from(title: ChatTitle) -> Self {
        title.0
    }
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
    /// A group's title; `None` for a direct chat.
    pub title: Option<ChatTitle>,
    /// A group's picture.
    pub avatar_id: Option<AttachmentId>,
    /// The number of the newest change of a message, 0 where there was none.
    pub last_change_seq: Seq,
    /// The number of the newest system message whose effect on members, title and member count is
    /// in the store, 0 for none. Every event of the chat carries it, so that a feed whose view of
    /// the membership is older knows to check again.
    pub applied_seq: Seq,
    /// The number of the system message that says what the application keeps about the group, 0 where
    /// it keeps nothing.
    pub metadata_seq: Seq,
    /// Whether nobody can send to it any more: of a direct chat, one of the two has deleted their
    /// account.
    pub is_closed: bool,
}

/// Which groups are large: those with more members than this. In them nobody is told how far others
/// have read, nor that they type, as each member's word would go to all the others. At least 2, so
/// that a direct chat never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargeGroups {
    /// The most members of a group that is not large.
    pub above: u32,
}

impl LargeGroups {
    /// No group is.
    pub const NONE: Self = Self { above: u32::MAX };

    /// Whether a chat with so many members is a large group.
    pub const fn contains(self, member_count: u32) -> bool {
        member_count > self.above
    }
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MemberRole {
    /// May read and write.
    Member,
    /// May change the group's title and its plain members, and delete messages.
    Admin,
    /// Has made the group, or was given it: may do all.
    Owner,
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
    /// The number of the system message by which the user became a member, 0 for a direct chat.
    pub joined_seq: Seq,
    /// The first message that the member may read.
    pub visible_from_seq: Seq,
    /// The member has read up to and including this message; 0 for none.
    pub last_read_seq: Seq,
    /// When `last_read_seq` was last moved.
    pub last_read_at: Option<Timestamp>,
    /// From this message on the member shows the chat as unread by hand; `None` where they do not.
    pub unread_from_seq: Option<Seq>,
    /// Whether the member wants no notifications of the chat.
    pub is_muted: bool,
    /// Whether it is a direct chat and either of the two has blocked the other: then neither says
    /// anything in it, nor is told how far the other has read. Always false in a group.
    pub is_blocked: bool,
    /// Rises with every change of the membership, so that several devices of the user agree on
    /// which of two states is the newer one.
    pub version: u32,
}

/// A membership that a user has or had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participation {
    /// The membership, as it is or as it was when it ended.
    pub member: Member,
    /// The number of the system message that has ended it; `None` while it lasts.
    pub left_seq: Option<Seq>,
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
    /// A new member of a direct chat.
    pub const fn of_direct(chat_id: ChatId, user_id: UserId, joined_at: Timestamp) -> Self {
        Self {
            chat_id,
            user_id,
            role: MemberRole::Member,
            joined_at,
            joined_seq: 0,
            visible_from_seq: 1,
            last_read_seq: 0,
            last_read_at: None,
            unread_from_seq: None,
            is_muted: false,
            is_blocked: false,
            version: 1,
        }
    }

    /// The number above which messages count as unread: the read mark, or the place before the one
    /// from which on the member shows the chat as unread.
    pub fn unread_base(&self) -> Seq {
        match self.unread_from_seq {
            Some(from) => from.max(self.visible_from_seq).saturating_sub(1),
            None => self.last_read_seq.max(self.joined_seq),
        }
    }

    /// Whether the member has read this message. What was sent before they joined does not count.
    pub const fn has_read(&self, seq: Seq) -> bool {
        self.joined_seq < seq && seq <= self.last_read_seq
    }

    /// Whether how far the member has read is shown to this user: in a chat of two of whom one has
    /// blocked the other to the member alone.
    pub fn shows_marks_to(&self, user: UserId) -> bool {
        !self.is_blocked || self.user_id == user
    }

    /// The member as they are shown to this user, who sees nothing of marks that are not shown to
    /// them.
    #[must_use]
    pub fn as_shown_to(self, user: UserId) -> Self {
        if self.shows_marks_to(user) {
            return self;
        }
        Self {
            last_read_seq: 0,
            last_read_at: None,
            ..self
        }
    }

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
