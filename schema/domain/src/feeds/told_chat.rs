//! What was told of a chat to one user, and what is known of it since.

use std::sync::Arc;

use super::chat_run::Run;
use super::counted::Counted;
use super::ends::Ends;
use super::read_by_all::ReadByAll;
use super::viewer_chat::UnreadCount;
use crate::chats::model::Member;
use crate::events::event::{Event, Published};
use crate::id::UserId;
use crate::messages::model::Message;
use crate::messages::store::Head;
use crate::seq::Seq;

/// What was told of a chat, and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// The ends that the user knows, or is about to be told.
    pub ends: Ends,
    /// The user's membership.
    pub member: Member,
    /// The user is known to be a member behind this system message.
    pub confirmed: Seq,
    /// How much the user has not read.
    unread: UnreadCount,
    /// How much of that mentions them.
    mentions: UnreadCount,
    /// The events since the chat was told.
    pub run: Run,
    /// How far all others had read when it was told.
    pub read_by_all: ReadByAll,
    /// How many members there are.
    pub member_count: u32,
}

/// How far a chat was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    ends: Ends,
    joined_seq: Seq,
    /// That of the membership.
    pub version: u32,
}

impl Place {
    /// What is newer of both, part by part.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            ends: self.ends.max(other.ends),
            joined_seq: self.joined_seq.max(other.joined_seq),
            version: self.version.max(other.version),
        }
    }
}

impl Told {
    /// As the store has it.
    pub(super) fn new(head: &Head, member: Member) -> Self {
        let ends = Ends {
            // The ends may have been read before the membership.
            seq: head.last_seq.max(member.joined_seq),
            change_seq: head.last_change_seq,
        };
        let read_by_all = if member.joined_seq == 0 {
            // What the other side of a direct chat has read since it is told is found in any case.
            ReadByAll::told(0)
        } else {
            ReadByAll::Unknown
        };
        Self {
            ends,
            member,
            confirmed: 0,
            unread: UnreadCount::of(Counted::Messages),
            mentions: UnreadCount::of(Counted::Mentions),
            run: Run::at(ends),
            read_by_all,
            member_count: head.member_count,
        }
    }

    /// Whether the chat is a direct one, which nobody joins by a system message.
    pub(super) const fn is_direct(&self) -> bool {
        self.member.joined_seq == 0
    }

    /// How much the user has not read.
    pub(super) const fn unread(&self, of: Counted) -> &UnreadCount {
        match of {
            Counted::Messages => &self.unread,
            Counted::Mentions => &self.mentions,
        }
    }

    /// The same, to be asked for.
    pub(super) const fn unread_mut(&mut self, of: Counted) -> &mut UnreadCount {
        match of {
            Counted::Messages => &mut self.unread,
            Counted::Mentions => &mut self.mentions,
        }
    }

    /// Learns how far the other side of a direct chat has read; whether that is further than was known.
    fn see_mark(&mut self, user: UserId, seq: Seq) -> bool {
        let before = self.read_by_all;
        self.read_by_all = before.and_receipt(user, seq);
        before.is_outdated_by(self.read_by_all)
    }

    /// Whether it is to be found out how far all others have read, where this one of a group has read
    /// further.
    pub(super) fn may_be_moved_by(&self, user: UserId) -> bool {
        !self.is_direct() && self.read_by_all.may_move_by(user)
    }

    /// Takes what the store says of the user's membership, read behind this system message.
    pub(super) fn confirm(&mut self, confirmed: Seq, member: &Member) {
        if member.version > self.member.version {
            self.unread.set_member(member);
            self.mentions.set_member(member);
            self.member = member.clone();
        }
        self.confirmed = self.confirmed.max(confirmed);
    }

    /// Learns how far the chat goes.
    pub(super) fn advance(&mut self, ends: Ends) {
        self.ends = self.ends.max(ends);
    }

    /// How far it was told.
    pub(super) fn place(&self) -> Place {
        Place {
            ends: self.ends,
            joined_seq: self.member.joined_seq,
            version: self.member.version,
        }
    }

    /// Takes what is newer of what the store says.
    pub(super) fn update(&mut self, now: Self) {
        self.confirm(now.confirmed, &now.member);
        self.advance(now.ends);
        self.member_count = now.member_count;
    }

    /// It is told as it is at these ends.
    pub(super) fn tell(&mut self, ends: Ends) {
        self.ends = ends;
        self.run = Run::at(ends);
    }

    /// Takes an event that changes the chat for this user.
    pub(super) fn take(&mut self, published: &Arc<Published>, user: UserId) -> News {
        let event = &published.event;
        self.unread.take(event, user);
        self.mentions.take(event, user);
        self.run.take(published);
        let is_confirmed = match event {
            Event::MessageAdded { message } if message.seq <= self.ends.seq => return News::Old,
            Event::MessageChanged { message, .. } if message.change_seq <= self.ends.change_seq => {
                return News::Old;
            }
            Event::MessageAdded { message } => {
                self.ends.seq = message.seq;
                self.admit(message, user)
            }
            Event::MessageChanged { message, mseq } => {
                self.ends.change_seq = message.change_seq;
                *mseq <= self.confirmed
            }
            Event::ReadReceipt { receipt, .. } if receipt.user_id != user => {
                if !self.see_mark(receipt.user_id, receipt.last_read_seq) {
                    return News::Old;
                }
                true
            }
            _ => true,
        };
        if is_confirmed {
            News::Known
        } else {
            News::OfMembership
        }
    }

    /// What a system message says of who is a member; whether it says that the user still is.
    fn admit(&mut self, message: &Message, user: UserId) -> bool {
        if let Some(notice) = &message.notice {
            self.member_count = notice.member_count;
        }
        let is_confirmed = match &message.notice {
            _ if message.mseq <= self.confirmed => true,
            Some(notice) => {
                let mut effects = notice.effects.iter();
                notice.previous <= self.confirmed && !effects.any(|one| one.user_id == user)
            }
            None => false,
        };
        if is_confirmed {
            self.confirmed = self.confirmed.max(message.seq);
        }
        is_confirmed
    }
}

/// What an event is for a chat that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It came late: what it says is in what was told.
    Old,
    /// The chat is to be told.
    Known,
    /// The same, and the user may not be a member any more: the store is asked first.
    OfMembership,
}
