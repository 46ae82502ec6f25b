//! What was told of a chat to one user, and what is known of it since.

use std::sync::Arc;

use super::chat_run::Run;
use super::counted::Counted;
use super::ends::Ends;
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
    /// How far the other side of a direct chat is known to have read.
    peer_read: Seq,
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
        Self {
            ends,
            member,
            confirmed: 0,
            unread: UnreadCount::of(Counted::Messages),
            mentions: UnreadCount::of(Counted::Mentions),
            run: Run::at(ends),
            peer_read: 0,
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
    pub(super) fn see_mark(&mut self, seq: Seq) -> bool {
        let is_news = seq > self.peer_read;
        self.peer_read = self.peer_read.max(seq);
        is_news
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
                if !self.see_mark(receipt.last_read_seq) {
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
