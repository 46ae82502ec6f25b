//! The lines of all chats of an account, in the order of the chats.
//!
//! A stream waits most of its time, and holds one line a chat: they stand side by side, without the
//! free places of a hash map.

use super::line::Line;
use crate::id::ChatId;

/// The lines by their chats.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<Line>);

impl Lines {
    /// None yet, with room for so many.
    pub(super) fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    fn place(&self, chat: ChatId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&chat, |line| line.chat)
    }

    pub(super) fn get(&self, chat: &ChatId) -> Option<&Line> {
        self.0.get(self.place(*chat).ok()?)
    }

    pub(super) fn get_mut(&mut self, chat: &ChatId) -> Option<&mut Line> {
        let place = self.place(*chat).ok()?;
        self.0.get_mut(place)
    }

    pub(super) fn contains_key(&self, chat: &ChatId) -> bool {
        self.place(*chat).is_ok()
    }

    /// Puts a line in the place of the chat's. Many are best put in by the order of their chats.
    pub(super) fn insert(&mut self, line: Line) {
        match self.place(line.chat) {
            Ok(place) => self.0[place] = line,
            Err(place) => {
                // An account joins chats one by one, where a vector would take twice the room.
                if self.0.len() == self.0.capacity() {
                    self.0.reserve_exact(self.0.len() / 8 + 1);
                }
                self.0.insert(place, line);
            }
        }
    }

    pub(super) fn remove(&mut self, chat: &ChatId) -> Option<Line> {
        let place = self.place(*chat).ok()?;
        Some(self.0.remove(place))
    }

    /// The chats, in their order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &ChatId> {
        self.0.iter().map(|line| &line.chat)
    }

    /// The lines, in the order of the chats.
    pub(super) fn values(&self) -> impl Iterator<Item = &Line> {
        self.0.iter()
    }

    /// Keeps no room for more.
    pub(super) fn shrink_to_fit(&mut self) {
        self.0.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chats::model::{LargeGroups, Member};
    use crate::clock::Timestamp;
    use crate::id;
    use crate::messages::store::Head;

    fn line(chat: u8, last_seq: u32) -> Line {
        let (chat_id, user_id) = (id::from_bytes([chat; 16]), id::from_bytes([9; 16]));
        let member = Member::of_direct(chat_id, user_id, Timestamp::from_millis(0));
        let head = Head {
            chat_id,
            last_seq,
            last_change_seq: 0,
            applied_seq: 0,
            member_count: 2,
        };
        Line::new(&member, head, LargeGroups::NONE, true)
    }

    #[test]
    fn each_chat_has_one_line_in_their_order() {
        let mut lines = Lines::default();
        for (chat, last_seq) in [(5, 1), (1, 2), (3, 3), (5, 4)] {
            lines.insert(line(chat, last_seq));
        }
        let found: Vec<_> = lines.values().map(|line| line.place.seq).collect();
        assert_eq!(found, [2, 3, 4]);
        let chats: Vec<ChatId> = lines.keys().copied().collect();
        let expected: [ChatId; 3] = [1, 3, 5].map(|chat| id::from_bytes([chat; 16]));
        assert_eq!(chats, expected);
        assert!(lines.contains_key(&chats[1]));
        assert_eq!(lines.remove(&chats[1]).map(|line| line.place.seq), Some(3));
        assert!(lines.get(&chats[1]).is_none() && lines.remove(&chats[1]).is_none());
        assert_eq!(lines.get_mut(&chats[2]).map(|line| line.place.seq), Some(4));
    }

    /// An account of a hundred chats that waits is to hold some kilobytes.
    #[test]
    fn a_line_on_which_nothing_waits_is_small() {
        assert!(size_of::<Line>() <= 56, "{}", size_of::<Line>());
    }
}
