//! Both lines of one chat as an account's feed follows them: a state machine that is given what
//! comes from the bus and from the store, and puts out what is due.
//!
//! A change is put out behind the message that it changes, and behind all messages up to the system
//! message that was the newest when it was made. So nothing gets out behind the message that ends
//! the membership.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::item::{AccountEvent, AccountItem, EventCursor};
use super::position::{AccountCursor, ChatPlace, Place};
use crate::chats::model::{Member, ReadReceipt};
use crate::events::event::{Event, Published};
use crate::feeds::ends::Ends;
use crate::feeds::state_feed::{Age, Delivered};
use crate::feeds::told_chat::Told;
use crate::id::{ChatId, UserId};
use crate::incarnation::Incarnation;
use crate::messages::model::{Message, MessageKind};
use crate::messages::store::Head;
use crate::seq::Seq;

/// How many early items wait for a gap to fill before the store is read at once.
const MAX_EARLY: usize = 128;

/// A change, or a receipt, that waits until the messages up to `behind` are out.
#[derive(Debug)]
struct Waiting<T> {
    behind: Seq,
    item: T,
}

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

/// What waits on a line, and since when. A line on which nothing does has no room for it: an
/// account has many, and most of the time nothing happens on them.
#[derive(Debug, Default)]
struct Held {
    /// Messages that are early.
    messages: BTreeMap<Seq, Arc<Published>>,
    changes: BTreeMap<Seq, Waiting<Arc<Published>>>,
    receipts: Vec<Waiting<(ReadReceipt, Arc<Published>)>>,
    /// Changes that were read from the store, in order.
    rows: VecDeque<Waiting<Arc<Published>>>,
    /// Changes ahead of the place that a message has told already, as it came later than they.
    told: BTreeSet<Seq>,
    /// Members of whom it is no longer known what was put out: the store has to tell their mark.
    uncertain: Vec<UserId>,
    /// Since when something early waits.
    gap_since: Option<Instant>,
    /// Since when the store does not have what it should.
    missing_since: Option<Instant>,
    /// Since when the store does not go as far as what was put out.
    ahead_since: Option<Instant>,
}

impl Held {
    fn is_empty(&self) -> bool {
        let times = [self.gap_since, self.missing_since, self.ahead_since];
        !self.has_early()
            && self.rows.is_empty()
            && self.told.is_empty()
            && self.uncertain.is_empty()
            && times.iter().all(Option::is_none)
    }

    /// Whether something waits that came from the bus.
    fn has_early(&self) -> bool {
        !(self.messages.is_empty() && self.changes.is_empty() && self.receipts.is_empty())
    }
}

/// Both lines of a chat for one user.
#[derive(Debug)]
pub(super) struct Line {
    pub chat: ChatId,
    /// The store's, which places carry.
    incarnation: Incarnation,
    /// The system message by which the user joined. What the line says of them before it is past.
    pub joined_seq: Seq,
    visible_from: Seq,
    /// The version of the membership that was told.
    pub version: u32,
    /// How many members the chat had when the store was asked last.
    pub member_count: u32,
    /// How far all others had read when it was told; `None` where it was not.
    pub read_by_all: Option<Seq>,
    /// Whether messages and changes are told, or only that there are some.
    pub is_detailed: bool,
    /// Put out up to here.
    pub place: Ends,
    /// Up to here the lines are known to go; what was not put out of them is in the store.
    known: Ends,
    /// The message that is put out next.
    next: Option<Arc<Published>>,
    held: Option<Box<Held>>,
    /// The read marks that were put out.
    marks: Option<Box<Delivered>>,
    /// What system messages that were put out say.
    pub noticed: Noticed,
    /// The store says that the user is no member any more; the line has yet to say where that was.
    pub is_gone: bool,
    /// How the chat was told as a whole, once it was, and what is known of it since.
    pub chat_told: Option<Box<Told>>,
}

impl Line {
    /// A line at the chat's end, of which the user is a member.
    pub(super) fn new(
        member: &Member,
        head: Head,
        incarnation: Incarnation,
        is_detailed: bool,
    ) -> Self {
        let mut line = Self {
            chat: member.chat_id,
            incarnation,
            joined_seq: member.joined_seq,
            visible_from: member.visible_from_seq,
            version: member.version,
            member_count: head.member_count,
            read_by_all: None,
            is_detailed,
            place: Ends::default(),
            known: Ends::default(),
            next: None,
            held: None,
            marks: None,
            noticed: Noticed::Nothing,
            is_gone: false,
            chat_told: None,
        };
        line.restart(member, head.into());
        line
    }

    /// Puts the line to these ends, and drops what waits.
    pub(super) fn restart(&mut self, member: &Member, ends: Ends) {
        self.joined_seq = member.joined_seq;
        self.visible_from = member.visible_from_seq;
        self.version = member.version;
        self.is_gone = false;
        self.chat_told = None;
        self.skip_to(Ends {
            // The ends may have been read before the membership.
            seq: ends.seq.max(member.joined_seq),
            ..ends
        });
    }

    /// Puts the line to what it is known to go to, and drops what waits.
    pub(super) fn skip_to_known(&mut self) {
        self.skip_to(self.known);
    }

    fn skip_to(&mut self, ends: Ends) {
        self.place = ends;
        self.known = ends;
        self.next = None;
        let uncertain = self.take_uncertain();
        self.held = None;
        if !uncertain.is_empty() {
            self.held().uncertain = uncertain;
        }
    }

    fn held(&mut self) -> &mut Held {
        self.held.get_or_insert_default()
    }

    /// Frees the room for what waits, where nothing does.
    fn tidy(&mut self) {
        if self.held.as_ref().is_some_and(|held| held.is_empty()) {
            self.held = None;
        }
    }

    /// Since when something early waits.
    pub(super) fn gap_since(&self) -> Option<Instant> {
        self.held.as_ref()?.gap_since
    }

    /// The store does not have what it should. Tells since when.
    pub(super) fn note_missing(&mut self) -> Instant {
        *self.held().missing_since.get_or_insert_with(Instant::now)
    }

    /// The store has what it should.
    pub(super) fn note_found(&mut self) {
        if let Some(held) = &mut self.held {
            held.missing_since = None;
            self.tidy();
        }
    }

    /// The store does not go as far as what was put out. Tells since when.
    pub(super) fn note_ahead(&mut self) -> Instant {
        *self.held().ahead_since.get_or_insert_with(Instant::now)
    }

    /// The store goes as far as what was put out.
    pub(super) fn note_reached(&mut self) {
        if let Some(held) = &mut self.held {
            held.ahead_since = None;
            self.tidy();
        }
    }

    /// Whether there are members of whom it is no longer known what was put out.
    pub(super) fn is_uncertain(&self) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|held| !held.uncertain.is_empty())
    }

    /// Those members: the store has to tell their mark.
    pub(super) fn take_uncertain(&mut self) -> Vec<UserId> {
        let held = self.held.as_mut();
        let uncertain = held.map(|held| std::mem::take(&mut held.uncertain));
        self.tidy();
        uncertain.unwrap_or_default()
    }

    /// Puts the line back to these ends, which the store was set back to. What the user has of the
    /// chat may be older too.
    pub(super) fn set_back(&mut self, ends: Ends) {
        self.version = 0;
        self.chat_told = None;
        self.skip_to(ends);
    }

    /// Whether the chat is a direct one, which nobody joins by a system message.
    pub(super) const fn is_direct(&self) -> bool {
        self.joined_seq == 0
    }

    /// Learns how far the other side of a direct chat has read, which is told.
    pub(super) fn see_mark(&mut self, seq: Seq) {
        if self.is_direct() {
            self.read_by_all = self.read_by_all.max(Some(seq));
        }
    }

    /// Lets the line begin at a place that a client has told.
    pub(super) fn begin_at(&mut self, place: &Place) {
        self.place = Ends {
            seq: place.seq.max(self.visible_from.saturating_sub(1)),
            change_seq: place.change_seq,
        };
    }

    /// How many items the store is known to have that were not put out.
    pub(super) fn missed(&self) -> u64 {
        let messages = self.known.seq.saturating_sub(self.place.seq);
        let changes = self.known.change_seq.saturating_sub(self.place.change_seq);
        u64::from(messages) + u64::from(changes)
    }

    /// Where a client stands behind what was put out.
    pub(super) fn as_place(&self) -> Place {
        Place {
            seq: self.place.seq,
            change_seq: self.place.change_seq,
            version: self.version,
            read_by_all: self.read_by_all.unwrap_or(0),
            without_detail: !self.is_detailed,
        }
    }

    /// An event of the chat behind what was put out.
    pub(super) fn event(&self, item: AccountItem) -> AccountEvent {
        let place = ChatPlace {
            chat_id: self.chat,
            incarnation: self.incarnation,
            seq: self.place.seq,
            change_seq: self.place.change_seq,
            without_detail: !self.is_detailed,
        };
        let cursor = EventCursor::Event(AccountCursor::Chat(place));
        AccountEvent { item, cursor }
    }

    /// Learns how far the lines go.
    pub(super) fn know(&mut self, ends: Ends) {
        self.known = self.known.max(ends);
        if !self.is_detailed {
            self.place = self.known;
        }
    }

    /// Takes a message from the bus.
    pub(super) fn take_message(&mut self, message: &Message, published: &Arc<Published>) {
        if message.seq <= self.place.seq {
            return;
        }
        let waiting = self.held.as_ref().map_or(0, |held| held.messages.len());
        // Where the store is read anyway, it brings this one too.
        if self.place.seq < self.known.seq || waiting >= MAX_EARLY {
            self.known.seq = self.known.seq.max(message.seq);
            return;
        }
        let published = Arc::clone(published);
        if message.seq == self.place.seq + 1 {
            self.next.get_or_insert(published);
        } else {
            let messages = &mut self.held().messages;
            messages.entry(message.seq).or_insert(published);
        }
    }

    /// Takes a change from the bus, made when `mseq` was the newest system message.
    pub(super) fn take_change(&mut self, message: &Message, mseq: Seq, published: &Arc<Published>) {
        if message.change_seq <= self.place.change_seq {
            return;
        }
        let waiting = self.held.as_ref().map_or(0, |held| held.changes.len());
        if self.place.change_seq < self.known.change_seq || waiting >= MAX_EARLY {
            self.known.change_seq = self.known.change_seq.max(message.change_seq);
            return;
        }
        let waiting = Waiting {
            behind: mseq.max(message.seq),
            item: Arc::clone(published),
        };
        let changes = &mut self.held().changes;
        changes.entry(message.change_seq).or_insert(waiting);
    }

    /// Takes another member's receipt from the bus. One that finds too many waiting is dropped.
    pub(super) fn take_receipt(
        &mut self,
        receipt: ReadReceipt,
        mseq: Seq,
        published: &Arc<Published>,
    ) {
        let receipts = &mut self.held().receipts;
        if receipts.len() < MAX_EARLY {
            let (behind, item) = (mseq, (receipt, Arc::clone(published)));
            receipts.push(Waiting { behind, item });
        }
    }

    /// The user's membership ended with this message, if not before they joined.
    pub(super) fn take_end(&mut self, left_seq: Seq) {
        if left_seq > self.joined_seq {
            self.known.seq = self.known.seq.max(left_seq);
        }
    }

    /// Takes a page of messages that begins behind the place.
    pub(super) fn take_page(&mut self, page: &[Arc<Published>]) {
        for published in page {
            if let Some(message) = published.message()
                && message.seq > self.place.seq
            {
                let messages = &mut self.held().messages;
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
            self.known.seq = self.known.seq.max(behind);
            let item = Published::new(Event::MessageChanged { message, mseq });
            self.held().rows.push_back(Waiting { behind, item });
        }
    }

    /// What has to be read of the store next, where the lines go further than what was put out.
    pub(super) fn wants(&self) -> Option<Wanted> {
        if self.place.seq < self.known.seq {
            Some(Wanted::Messages)
        } else if self.place.change_seq < self.known.change_seq {
            Some(Wanted::Changes)
        } else if self.is_gone {
            Some(Wanted::End)
        } else {
            None
        }
    }

    /// Has read from the store what early items wait for.
    pub(super) fn repair(&mut self) {
        let Some(held) = &mut self.held else {
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

    /// Puts out what is due, for this user.
    pub(super) fn release(&mut self, user: UserId, out: &mut VecDeque<AccountEvent>) -> Course {
        loop {
            let course = self.release_messages(user, out);
            if course != Course::GoesOn {
                return course;
            }
            match self.next_change() {
                Some(change) => self.change(change, out),
                None => break,
            }
        }
        self.release_receipts(out);
        if let Some(held) = &mut self.held {
            held.gap_since = held
                .has_early()
                .then(|| held.gap_since.unwrap_or_else(Instant::now));
            self.tidy();
        }
        Course::GoesOn
    }

    /// The next message, where it is due or was put out already.
    fn next_message(&mut self) -> Option<Arc<Published>> {
        if let Some(next) = self.next.take() {
            return Some(next);
        }
        let first = self.held.as_mut()?.messages.first_entry()?;
        (*first.key() <= self.place.seq + 1).then(|| first.remove())
    }

    /// The next change, where it is due or was put out already.
    fn next_change(&mut self) -> Option<Arc<Published>> {
        let (place, held) = (self.place, self.held.as_mut()?);
        if let Some(row) = held.rows.front()
            && row.behind <= place.seq
        {
            return held.rows.pop_front().map(|row| row.item);
        }
        let first = held.changes.first_entry()?;
        let (number, behind) = (*first.key(), first.get().behind);
        let is_due =
            number <= place.change_seq || (number == place.change_seq + 1 && behind <= place.seq);
        is_due.then(|| first.remove().item)
    }

    fn release_messages(&mut self, user: UserId, out: &mut VecDeque<AccountEvent>) -> Course {
        while let Some(published) = self.next_message() {
            let Some(message) = published.message() else {
                continue;
            };
            let seq = message.seq;
            if seq <= self.place.seq {
                continue;
            }
            self.place.seq = seq;
            if seq < self.visible_from {
                continue;
            }
            if message.change_seq > self.place.change_seq {
                self.held().told.insert(message.change_seq);
            }
            let course = self.course_behind(user, message);
            out.push_back(self.event(AccountItem::MessageAdded(published)));
            if course != Course::GoesOn {
                return course;
            }
        }
        Course::GoesOn
    }

    fn course_behind(&mut self, user: UserId, message: &Message) -> Course {
        if message.kind != MessageKind::System || message.seq <= self.joined_seq {
            return Course::GoesOn;
        }
        let Some(notice) = &message.notice else {
            self.noticed = Noticed::Member;
            return Course::Unclear;
        };
        let is_concerned = notice.effects.iter().any(|effect| effect.user_id == user);
        let noticed = if is_concerned {
            Noticed::Member
        } else {
            Noticed::Chat
        };
        self.noticed = self.noticed.max(noticed);
        if notice.removes(user) {
            Course::Ends
        } else {
            Course::GoesOn
        }
    }

    fn change(&mut self, change: Arc<Published>, out: &mut VecDeque<AccountEvent>) {
        let Some(message) = change.message() else {
            return;
        };
        let (number, seq) = (message.change_seq, message.seq);
        if number <= self.place.change_seq {
            return;
        }
        self.place.change_seq = number;
        let is_told = self.held.as_mut().is_some_and(|held| {
            let is_told = held.told.remove(&number);
            held.told = held.told.split_off(&number);
            is_told
        });
        if !is_told && seq >= self.visible_from {
            out.push_back(self.event(AccountItem::MessageChanged(change)));
        }
    }

    /// Puts out receipts of which none is older than one that was put out of the same member.
    fn release_receipts(&mut self, out: &mut VecDeque<AccountEvent>) {
        let Some(held) = &mut self.held else {
            return;
        };
        let place = self.place.seq;
        let due: Vec<_> = held
            .receipts
            .extract_if(.., |waiting| waiting.behind <= place)
            .collect();
        for waiting in due {
            let (receipt, published) = waiting.item;
            let marks = self.marks.get_or_insert_default();
            match marks.age(receipt.user_id, receipt.last_read_seq) {
                Age::New => self.receipt(receipt, Some(published), out),
                Age::Old => {}
                Age::Forgotten => self.held().uncertain.push(receipt.user_id),
            }
        }
    }
}

impl Line {
    /// Puts out a receipt that is not older than what was put out of the same member.
    pub(super) fn receipt(
        &mut self,
        receipt: ReadReceipt,
        published: Option<Arc<Published>>,
        out: &mut VecDeque<AccountEvent>,
    ) {
        let marks = self.marks.get_or_insert_default();
        marks.note(receipt.user_id, receipt.last_read_seq);
        self.see_mark(receipt.last_read_seq);
        out.push_back(self.event(AccountItem::ReceiptChanged(receipt, published)));
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
