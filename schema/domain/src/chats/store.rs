//! The port through which chats and members are kept.

use super::model::{Chat, LargeGroups, Member, Participation};
use crate::clock::Timestamp;
use crate::cursor::{ChatCursor, MemberCursor};
use crate::error::PortError;
use crate::events::announcement::Announcement;
use crate::events::event::Topic;
use crate::id::{ChatId, UserId};
use crate::page::{Page, Window};
use crate::port::port;
use crate::seq::Seq;

/// What came of moving a read mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadMark {
    /// The member as it is now.
    pub member: Member,
    /// The chat, read behind that.
    pub chat: Chat,
    /// Whether the mark moved; false where it was there already, or further.
    pub moved: bool,
    /// Whether the chat was shown as unread by hand before.
    pub ended_unread: bool,
    /// Whether the chat is a large group, whose other members are not told.
    pub is_large: bool,
}

impl ReadMark {
    /// What came of moving a mark, where these groups are large: whether it moved, and whether the chat
    /// was shown as unread by hand before.
    pub const fn new(
        member: Member,
        chat: Chat,
        [moved, ended_unread]: [bool; 2],
        large: LargeGroups,
    ) -> Self {
        let is_large = large.contains(chat.member_count);
        Self {
            member,
            chat,
            moved,
            ended_unread,
            is_large,
        }
    }

    /// What followers are told of it.
    pub fn announcements(&self) -> Vec<Announcement> {
        let receipt = self.member.receipt().filter(|_| self.moved);
        let (kind, mseq) = (self.chat.kind, self.chat.applied_seq);
        let audience = if self.is_large || self.member.is_blocked {
            Topic::User(self.member.user_id)
        } else {
            Topic::Chat(self.chat.id)
        };
        match receipt {
            Some(receipt) => vec![Announcement::read_mark(audience, receipt, kind, mseq)],
            // The viewer's other devices alone see a difference.
            None if self.ended_unread => {
                let (user, chat) = (self.member.user_id, self.chat.id);
                vec![Announcement::viewer_chat_changed(user, chat)]
            }
            None => Vec::new(),
        }
    }
}

/// Which members of a chat are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemberFilter {
    /// Only those who have read this message ([`Member::has_read`]).
    pub has_read: Option<Seq>,
    /// Only those whose name contains the text, both folded.
    pub name: Option<String>,
}

/// Which part of which chat's members is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MemberPage {
    /// The chat.
    pub chat: ChatId,
    /// Which of its members.
    pub filter: MemberFilter,
    /// Which part of those.
    pub window: Window<MemberCursor>,
}

/// How many unread messages of a chat mention a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnreadMentions {
    /// The member.
    pub user_id: UserId,
    /// The membership's version ([`Member::version`]) by which was counted.
    pub version: u32,
    /// How many.
    pub count: u32,
}

port! {
    /// Keeps chats and members. Each method is atomic on its own. Methods that take many ids answer
    /// in any order and leave out what does not exist.
    pub trait ChatStore as "chats" with ChatStoreLayer {
        /// These chats.
        async fn chats(&self, ids: &[ChatId]) -> Result<Vec<Chat>, PortError>;

        /// The direct chat of the two users, made from `candidate` with both as plain members where
        /// there is none. True when made. Concurrent calls for one pair, in either order, make one.
        async fn open_direct(
            &self,
            candidate: &Chat,
            users: [UserId; 2],
        ) -> Result<(Chat, bool), PortError>;

        /// Folds the titles of the next `most` chats behind `after`, by id, as
        /// [`UserStore::fold_names`](crate::users::store::UserStore::fold_names) folds names.
        async fn fold_titles(
            &self,
            after: Option<ChatId>,
            most: usize,
        ) -> Result<Option<ChatId>, PortError>;

        /// The user's chats, most recently active first, then by id, newest first. With `search`
        /// only those whose title for the user (a group's title; in a direct chat the other
        /// member's name) contains the text, both folded. Forward windows only.
        async fn chats_of(
            &self,
            user: UserId,
            search: Option<&str>,
            window: &Window<ChatCursor>,
        ) -> Result<Page<Chat>, PortError>;

        /// The ids of all chats of the user.
        async fn chat_ids_of(&self, user: UserId) -> Result<Vec<ChatId>, PortError>;

        /// The chats of which the user was a member and is none any more, each with the number of the
        /// system message that says so.
        async fn left_chats_of(&self, user: UserId) -> Result<Vec<(ChatId, Seq)>, PortError>;

        /// The ids of the chats of which the user is or was a member, from the smallest up: the first
        /// `limit` behind `after`.
        async fn chats_ever_of(
            &self,
            user: UserId,
            after: Option<ChatId>,
            limit: usize,
        ) -> Result<Vec<ChatId>, PortError>;

        /// The user's memberships of these chats, also those that have ended.
        async fn participations(
            &self,
            user: UserId,
            chats: &[ChatId],
        ) -> Result<Vec<Participation>, PortError>;

        /// For each of these users the sum of the versions of all memberships that they have or had;
        /// none for who never had one. It rises with every change of one of them.
        async fn membership_versions(
            &self,
            users: &[UserId],
        ) -> Result<Vec<(UserId, u64)>, PortError>;

        /// The user's membership of these chats.
        async fn memberships(&self, user: UserId, chats: &[ChatId]) -> Result<Vec<Member>, PortError>;

        /// Each of these pages, in their order: members of a chat, ordered by user id. Forward
        /// windows only.
        async fn member_pages(&self, wanted: &[MemberPage])
        -> Result<Vec<Page<Member>>, PortError>;

        /// The first `limit` members of each of these chats, ordered by user id.
        async fn first_members(&self, chats: &[ChatId], limit: usize)
        -> Result<Vec<Member>, PortError>;

        /// Of each of these chats the two members who have read least, least first; of equals the
        /// smaller user id first.
        async fn lowest_read_marks(&self, chats: &[ChatId]) -> Result<Vec<Member>, PortError>;

        /// Those of `others` who share a chat with the user.
        async fn sharing(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, PortError>;

        /// Moves the member's read mark to `seq`, at most to the chat's newest message, never back.
        /// `None` where the user is no member. The other members are told of it, but in a `large`
        /// group, and where one of two has blocked the other, the user's own devices alone. It ends [`ChatStore::mark_unread`], also where the mark
        /// does not move.
        async fn mark_read(
            &self,
            chat: ChatId,
            user: UserId,
            seq: Seq,
            now: Timestamp,
            large: LargeGroups,
        ) -> Result<Option<ReadMark>, PortError>;

        /// Shows the chat as unread from this message on, which lies where the member may read. Only the
        /// user's own devices are told. `None` where the user is no member.
        async fn mark_unread(
            &self,
            chat: ChatId,
            user: UserId,
            from_seq: Seq,
        ) -> Result<Option<Member>, PortError>;

        /// Says whether the member wants no notifications of the chat. `None` where the user is no
        /// member.
        async fn set_muted(
            &self,
            chat: ChatId,
            user: UserId,
            is_muted: bool,
        ) -> Result<Option<Member>, PortError>;

        /// Closes a direct chat ([`Chat::is_closed`]), for good, and tells its members: it looks
        /// different, at the least by its title. One that is closed is no error, nor is one that does
        /// not exist; a group stays as it is.
        async fn close_direct(&self, chat: ChatId) -> Result<(), PortError>;

        /// Erases what the user alone has of a chat, of which they may be no member any more: when they
        /// have read, that it is muted or shown as unread; and how far they have read, where they have
        /// left. In a chat where they are a member still, that stays, as the others' ticks show it.
        async fn erase_own_facts(&self, chat: ChatId, user: UserId) -> Result<(), PortError>;

        /// For each of these chats of which the user is a member: how many messages of others, not
        /// deleted, lie above the user's read mark. Exact, counted by index.
        async fn unread_counts(
            &self,
            user: UserId,
            chats: &[ChatId],
        ) -> Result<Vec<(ChatId, u32)>, PortError>;

        /// For each of these chats of which the user is a member: how many of those messages mention
        /// the user ([`Message::mentions`](crate::messages::model::Message::mentions)). Exact, counted
        /// by index.
        async fn unread_mentions(
            &self,
            user: UserId,
            chats: &[ChatId],
        ) -> Result<Vec<(ChatId, u32)>, PortError>;

        /// The same of one chat, for those of these users who are members, each with the version of
        /// the membership by which was counted.
        async fn unread_mentions_among(
            &self,
            chat: ChatId,
            users: &[UserId],
        ) -> Result<Vec<UnreadMentions>, PortError>;
    }
}
