//! Both lines of one chat as an account's feed follows them: a state machine that is given what
//! comes from the bus and from the store, and puts out what is due.
//!
//! A change is put out behind the message that it changes, and behind all messages up to the system
//! message that was the newest when it was made. So nothing gets out behind the message that ends
//! the membership.

mod release;
mod rest;

use std::sync::Arc;

use tokio::time::Instant;

use self::rest::{Rest, Waiting};
use super::item::{AccountEvent, AccountItem, EventCursor};
use super::position::{AccountCursor, ChatPlace, Place};
use crate::chats::model::{LargeGroups, Member, ReadReceipt};
use crate::events::event::{Event, Published};
use crate::feeds::ends::Ends;
use crate::feeds::read_by_all::ReadByAll;
use crate::id::{ChatId, UserId};
use crate::incarnation::Incarnation;
use crate::messages::model::Message;
use crate::messages::store::Head;
use crate::seq::Seq;

/// How many early items wait for a gap to fill before the store is read at once.
const MAX_EARLY: usize = 128;

/// Whether the line goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// It does.
    GoesOn,
    /// The last message that was put out ends the membership.
    Ends,
    /// The last message that was put out is a system message that cannot be read.
    Unclear,
}

/// What system messages that were put out say of the chat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Noticed {
    /// None was put out.
    #[default]
    Nothing,
    /// It looks different.
    Chat,
    /// The user's own membership is another.
    Member,
}

/// Both lines of a chat for one user.
#[derive(Debug)]
pub(super) struct Line {
    pub chat: ChatId,
    /// The system message by which the user joined. What the line says of them before it is past.
    pub joined_seq: Seq,
    visible_from: Seq,
    /// The version of the membership that was told.
    pub version: u32,
    /// How far all others had read when it was told.
    pub read_by_all: ReadByAll,
    /// Whether it is a large group, of which that is not told.
    pub is_large: bool,
    /// Whether messages and changes are told, or only that there are some.
    pub is_detailed: bool,
    /// What system messages that were put out say.
    pub noticed: Noticed,
    /// The store says that the user is no member any more; the line has yet to say where that was.
    pub is_gone: bool,
    /// Put out up to here.
    pub place: Ends,
    rest: Option<Box<Rest>>,
}

impl Line {
    /// A line at the chat's end, of which the user is a member.
    pub(super) fn new(member: &Member, head: Head, large: LargeGroups, is_detailed: bool) -> Self {
        let mut line = Self {
            chat: member.chat_id,
            joined_seq: member.joined_seq,
            visible_from: member.visible_from_seq,
            version: member.version,
            read_by_all: ReadByAll::Unknown,
            is_large: large.contains(head.member_count),
            is_detailed,
            noticed: Noticed::Nothing,
            is_gone: false,
            place: Ends::default(),
            rest: None,
        };
        line.restart(member, head.into());
        line
    }

    /// The first message that the user may read.
    pub(super) const fn visible_from(&self) -> Seq {
        self.visible_from
    }

    /// Puts the line to these ends, and drops what waits.
    pub(super) fn restart(&mut self, member: &Member, ends: Ends) {
        self.joined_seq = member.joined_seq;
        self.visible_from = member.visible_from_seq;
        self.version = member.version;
        self.is_gone = false;
        self.forget_told();
        self.skip_to(Ends {
            // The ends may have been read before the membership.
            seq: ends.seq.max(member.joined_seq),
            ..ends
        });
    }

    /// Puts the line to what it is known to go to, and drops what waits.
    pub(super) fn skip_to_known(&mut self) {
        self.skip_to(self.known());
    }

    fn skip_to(&mut self, ends: Ends) {
        self.place = ends;
        let uncertain = self.take_uncertain();
        if let Some(rest) = &mut self.rest {
            rest.known = ends;
            rest.next = None;
            rest.held = None;
        }
        if !uncertain.is_empty() {
            self.held_mut().uncertain = uncertain;
        }
        self.tidy();
    }

    /// Up to here the lines are known to go.
    fn known(&self) -> Ends {
        let known = self.rest.as_ref().map(|rest| rest.known);
        known.map_or(self.place, |known| known.max(self.place))
    }

    /// Since when something early waits.
    pub(super) fn gap_since(&self) -> Option<Instant> {
        self.held()?.gap_since
    }

    /// The store does not have what it should. Tells since when.
    pub(super) fn note_missing(&mut self) -> Instant {
        *self
            .held_mut()
            .missing_since
            .get_or_insert_with(Instant::now)
    }

    /// The store has what it should.
    pub(super) fn note_found(&mut self) {
        if let Some(held) = self.waiting() {
            held.missing_since = None;
            self.tidy();
        }
    }

    /// The store does not go as far as what was put out. Tells since when.
    pub(super) fn note_ahead(&mut self) -> Instant {
        *self.held_mut().ahead_since.get_or_insert_with(Instant::now)
    }

    /// The store goes as far as what was put out.
    pub(super) fn note_reached(&mut self) {
        if let Some(held) = self.waiting() {
            held.ahead_since = None;
            self.tidy();
        }
    }

    /// Whether there are members of whom it is no longer known what was put out.
    pub(super) fn is_uncertain(&self) -> bool {
        self.held().is_some_and(|held| !held.uncertain.is_empty())
    }

    /// Those members: the store has to tell their mark.
    pub(super) fn take_uncertain(&mut self) -> Vec<UserId> {
        let uncertain = self
            .waiting()
            .map(|held| std::mem::take(&mut held.uncertain));
        self.tidy();
        uncertain.unwrap_or_default()
    }

    /// Puts the line back to these ends, which the store was set back to. What the user has of the
    /// chat may be older too.
    pub(super) fn set_back(&mut self, ends: Ends) {
        self.version = 0;
        self.forget_told();
        self.skip_to(ends);
    }

    /// Whether the chat is a direct one, which nobody joins by a system message.
    pub(super) const fn is_direct(&self) -> bool {
        self.joined_seq == 0
    }

    /// Learns how far the other side of a direct chat has read, which is told.
    pub(super) fn see_mark(&mut self, user: UserId, seq: Seq) {
        if self.is_direct() {
            self.read_by_all = self.read_by_all.and_receipt(user, seq);
        }
    }

    /// Whether it is to be found out how far all others have read, where this one of a group has read
    /// further.
    pub(super) fn may_be_moved_by(&self, user: UserId) -> bool {
        !self.is_direct() && !self.is_large && self.read_by_all.may_move_by(user)
    }

    /// Lets the line begin at a place that a client has told.
    pub(super) fn begin_at(&mut self, place: &Place) {
        let known = self.known();
        self.place = Ends {
            seq: place.seq.max(self.visible_from.saturating_sub(1)),
            change_seq: place.change_seq,
        };
        self.know(known);
    }

    /// How many items the store is known to have that were not put out.
    pub(super) fn missed(&self) -> u64 {
        let known = self.known();
        let messages = known.seq.saturating_sub(self.place.seq);
        let changes = known.change_seq.saturating_sub(self.place.change_seq);
        u64::from(messages) + u64::from(changes)
    }

    /// Where a client stands behind what was put out.
    pub(super) fn as_place(&self) -> Place {
        Place {
            seq: self.place.seq,
            change_seq: self.place.change_seq,
            version: self.version,
            read_by_all: self.read_by_all.seq().unwrap_or(0),
            without_detail: !self.is_detailed,
        }
    }

    /// An event of the chat behind what was put out.
    pub(super) fn event(&self, incarnation: Incarnation, item: AccountItem) -> AccountEvent {
        let place = ChatPlace {
            chat_id: self.chat,
            incarnation,
            seq: self.place.seq,
            change_seq: self.place.change_seq,
            without_detail: !self.is_detailed,
        };
        let cursor = EventCursor::Event(AccountCursor::Chat(place));
        AccountEvent { item, cursor }
    }

    /// Learns how far the lines go.
    pub(super) fn know(&mut self, ends: Ends) {
        let known = self.known().max(ends);
        if !self.is_detailed {
            self.place = known;
        } else if known != self.place {
            self.rest_mut().known = known;
        }
    }

    fn know_messages(&mut self, seq: Seq) {
        self.know(Ends { seq, change_seq: 0 });
    }

    /// Takes a message from the bus.
    pub(super) fn take_message(&mut self, message: &Message, published: &Arc<Published>) {
        if message.seq <= self.place.seq {
            return;
        }
        let waiting = self.held().map_or(0, |held| held.messages.len());
        // Where the store is read anyway, it brings this one too.
        if self.place.seq < self.known().seq || waiting >= MAX_EARLY {
            self.know_messages(message.seq);
            return;
        }
        let published = Arc::clone(published);
        if message.seq == self.place.seq + 1 {
            self.rest_mut().next.get_or_insert(published);
        } else {
            let messages = &mut self.held_mut().messages;
            messages.entry(message.seq).or_insert(published);
        }
    }

    /// Takes a change from the bus, made when `mseq` was the newest system message.
    pub(super) fn take_change(&mut self, message: &Message, mseq: Seq, published: &Arc<Published>) {
        if message.change_seq <= self.place.change_seq {
            return;
        }
        let waiting = self.held().map_or(0, |held| held.changes.len());
        if self.place.change_seq < self.known().change_seq || waiting >= MAX_EARLY {
            self.know(Ends {
                seq: 0,
                change_seq: message.change_seq,
            });
            return;
        }
        let waiting = Waiting {
            behind: mseq.max(message.seq),
            item: Arc::clone(published),
        };
        let changes = &mut self.held_mut().changes;
        changes.entry(message.change_seq).or_insert(waiting);
    }

    /// Takes another member's receipt from the bus. One that finds too many waiting is dropped.
    pub(super) fn take_receipt(
        &mut self,
        receipt: ReadReceipt,
        mseq: Seq,
        published: &Arc<Published>,
    ) {
        let receipts = &mut self.held_mut().receipts;
        if receipts.len() < MAX_EARLY {
            let (behind, item) = (mseq, (receipt, Arc::clone(published)));
            receipts.push(Waiting { behind, item });
        }
    }

    /// The user's membership ended with this message, if not before they joined.
    pub(super) fn take_end(&mut self, left_seq: Seq) {
        if left_seq > self.joined_seq {
            self.know_messages(left_seq);
        }
    }

    /// Takes a page of messages that begins behind the place.
    pub(super) fn take_page(&mut self, page: &[Arc<Published>]) {
        for published in page {
            if let Some(message) = published.message()
                && message.seq > self.place.seq
            {
                let messages = &mut self.held_mut().messages;
                messages.insert(message.seq, Arc::clone(published));
            }
        }
    }

    /// Takes changes that were read from the store, before `head`: whoever was removed before one of
    /// them was made is known to be at the messages up to its newest system message.
    pub(super) fn take_rows(&mut self, rows: Vec<Message>, head: Head) {
        for message in rows {
            let mseq = head.applied_seq;
            let behind = mseq.max(message.seq);
            self.know_messages(behind);
            let item = Published::new(Event::MessageChanged { message, mseq });
            self.held_mut().rows.push_back(Waiting { behind, item });
        }
    }

    /// What has to be read of the store next, where the lines go further than what was put out.
    pub(super) fn wants(&self) -> Option<Wanted> {
        let known = self.known();
        if self.place.seq < known.seq {
            Some(Wanted::Messages)
        } else if self.place.change_seq < known.change_seq {
            Some(Wanted::Changes)
        } else if self.is_gone {
            Some(Wanted::End)
        } else {
            None
        }
    }

    /// Has read from the store what early items wait for.
    pub(super) fn repair(&mut self) {
        let Some(held) = self.waiting() else {
            return;
        };
        held.gap_since = None;
        let message = held.messages.keys().next_back().copied();
        let changes = held.changes.values().map(|waiting| waiting.behind).max();
        let receipts = held.receipts.iter().map(|waiting| waiting.behind).max();
        let seqs = [message, changes, receipts];
        let change = held.changes.keys().next_back().copied();
        held.messages.clear();
        held.changes.clear();
        self.know(Ends {
            seq: seqs.into_iter().flatten().max().unwrap_or(0),
            change_seq: change.unwrap_or(0),
        });
    }
}

/// What has to be read of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Messages behind the place.
    Messages,
    /// Changes behind the place.
    Changes,
    /// How far the line goes, as the message that ends the membership is not put out yet.
    End,
}
