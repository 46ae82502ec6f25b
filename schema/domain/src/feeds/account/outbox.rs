//! What an account's feed delivers next.

use std::collections::VecDeque;

use super::item::{AccountEvent, AccountItem};
use super::line::Line;
use crate::chats::model::LargeGroups;
use crate::incarnation::Incarnation;

/// Up to so many places are kept when the last event is delivered: a stream that has caught up waits
/// most of its time, and has no use for the room of what it had missed.
const KEPT: usize = 4;

/// Events in the order in which they are delivered.
#[derive(Debug)]
pub(super) struct Outbox {
    /// The store's, which the places of chats carry.
    incarnation: Incarnation,
    /// In which groups receipts are not told.
    pub(super) large: LargeGroups,
    events: VecDeque<AccountEvent>,
}

impl Outbox {
    pub(super) const fn new(incarnation: Incarnation, large: LargeGroups) -> Self {
        Self {
            incarnation,
            large,
            events: VecDeque::new(),
        }
    }

    /// Puts in an event of a chat, behind what was put out of its lines.
    pub(super) fn put(&mut self, line: &Line, item: AccountItem) {
        self.push(line.event(self.incarnation, item));
    }

    pub(super) fn push(&mut self, event: AccountEvent) {
        self.events.push_back(event);
    }

    /// The next event.
    pub(super) fn take(&mut self) -> Option<AccountEvent> {
        let event = self.events.pop_front()?;
        if self.events.is_empty() && self.events.capacity() > KEPT {
            self.events = VecDeque::new();
        }
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feeds::account::{AccountCursor, EventCursor};
    use crate::id;

    #[test]
    fn what_was_delivered_leaves_no_room_behind() {
        let mut outbox = Outbox::new(Incarnation::default(), LargeGroups::NONE);
        let user = id::from_bytes([1; 16]);
        for n in 0..100_u8 {
            outbox.push(AccountEvent {
                item: AccountItem::ChatReset(id::from_bytes([n; 16])),
                cursor: EventCursor::Event(AccountCursor::of_viewer(user)),
            });
        }
        for n in 0..100 {
            let event = outbox.take().unwrap();
            let expected = id::from_bytes([n; 16]);
            assert!(matches!(event.item, AccountItem::ChatReset(chat) if chat == expected));
        }
        assert!(outbox.take().is_none());
        assert!(outbox.events.capacity() <= KEPT);
    }
}
