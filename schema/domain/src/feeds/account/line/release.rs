//! What is due of what waits on a line.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Course, Line, Noticed};
use crate::chats::model::{LargeGroups, ReadReceipt};
use crate::events::event::Published;
use crate::feeds::account::item::AccountItem;
use crate::feeds::account::outbox::Outbox;
use crate::feeds::state_feed::Age;
use crate::id::UserId;
use crate::messages::model::{Message, MessageKind};

impl Line {
    /// Puts out what is due, for this user.
    pub(in crate::feeds::account) fn release(&mut self, user: UserId, out: &mut Outbox) -> Course {
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
        if let Some(held) = self.waiting() {
            held.gap_since = held
                .has_early()
                .then(|| held.gap_since.unwrap_or_else(Instant::now));
        }
        self.tidy();
        Course::GoesOn
    }

    /// The next message, where it is due or was put out already.
    fn next_message(&mut self) -> Option<Arc<Published>> {
        let (place, rest) = (self.place, self.rest.as_mut()?);
        if let Some(next) = rest.next.take() {
            return Some(next);
        }
        let first = rest.held.as_mut()?.messages.first_entry()?;
        (*first.key() <= place.seq + 1).then(|| first.remove())
    }

    /// The next change, where it is due or was put out already.
    fn next_change(&mut self) -> Option<Arc<Published>> {
        let (place, held) = (self.place, self.waiting()?);
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

    fn release_messages(&mut self, user: UserId, out: &mut Outbox) -> Course {
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
                self.held_mut().told.insert(seq, message.change_seq);
            }
            let course = self.course_behind(user, message, out.large);
            out.put(self, AccountItem::MessageAdded(published));
            if course != Course::GoesOn {
                return course;
            }
        }
        Course::GoesOn
    }

    fn course_behind(&mut self, user: UserId, message: &Message, large: LargeGroups) -> Course {
        if message.kind != MessageKind::System || message.seq <= self.joined_seq {
            return Course::GoesOn;
        }
        let Some(notice) = &message.notice else {
            self.noticed = Noticed::Member;
            return Course::Unclear;
        };
        self.is_large = large.contains(notice.member_count);
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

    fn change(&mut self, change: Arc<Published>, out: &mut Outbox) {
        let Some(message) = change.message() else {
            return;
        };
        let (number, seq) = (message.change_seq, message.seq);
        if number <= self.place.change_seq {
            return;
        }
        self.place.change_seq = number;
        let is_told = self.waiting().is_some_and(|held| {
            let told = held.told.get(&seq).copied().unwrap_or(0);
            if told <= number {
                held.told.remove(&seq);
            }
            told >= number
        });
        if !is_told && seq >= self.visible_from {
            out.put(self, AccountItem::MessageChanged(change));
        }
    }

    /// Puts out receipts of which none is older than one that was put out of the same member.
    fn release_receipts(&mut self, out: &mut Outbox) {
        let place = self.place.seq;
        let Some(held) = self.waiting() else {
            return;
        };
        let due: Vec<_> = held
            .receipts
            .extract_if(.., |waiting| waiting.behind <= place)
            .collect();
        for waiting in due {
            let (receipt, published) = waiting.item;
            match self.marks_mut().age(receipt.user_id, receipt.last_read_seq) {
                Age::New => self.receipt(receipt, Some(published), out),
                Age::Old => {}
                Age::Forgotten => self.held_mut().uncertain.push(receipt.user_id),
            }
        }
    }

    /// Puts out a receipt that is not older than what was put out of the same member.
    pub(in crate::feeds::account) fn receipt(
        &mut self,
        receipt: ReadReceipt,
        published: Option<Arc<Published>>,
        out: &mut Outbox,
    ) {
        self.marks_mut()
            .note(receipt.user_id, receipt.last_read_seq);
        self.see_mark(receipt.user_id, receipt.last_read_seq);
        out.put(self, AccountItem::ReceiptChanged(receipt, published));
    }
}
