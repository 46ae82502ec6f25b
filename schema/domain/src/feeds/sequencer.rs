//! The core of the loss-free stream, as a pure state machine: numbered items go in, in any order,
//! doubled or not; each comes out once, in order, and what is missing is named.

use std::collections::BTreeMap;

use crate::seq::Seq;

/// Puts numbered items in order.
#[derive(Debug)]
pub struct Sequencer<T> {
    expected: Seq,
    early: BTreeMap<Seq, T>,
}

impl<T> Sequencer<T> {
    /// A sequencer whose first item is `expected`.
    pub const fn new(expected: Seq) -> Self {
        Self {
            expected,
            early: BTreeMap::new(),
        }
    }

    /// The number of the next item to come out.
    pub const fn expected(&self) -> Seq {
        self.expected
    }

    /// Takes an item: one that has come out already is dropped, one that is due comes out at
    /// once, one that is early waits.
    pub fn offer(&mut self, seq: Seq, item: T) -> Option<T> {
        if seq == self.expected {
            // A twin that waited goes.
            self.early.remove(&seq);
            self.expected += 1;
            return Some(item);
        }
        self.hold(seq, item);
        None
    }

    /// Keeps an item until it is due, also one that is due now.
    pub fn hold(&mut self, seq: Seq, item: T) {
        if seq >= self.expected {
            self.early.entry(seq).or_insert(item);
        }
    }

    /// The due item, where it has waited.
    pub fn pop(&mut self) -> Option<T> {
        let item = self.early.remove(&self.expected)?;
        self.expected += 1;
        Some(item)
    }

    /// The number of the first item that waits, where something before it is missing.
    pub fn gap_before(&self) -> Option<Seq> {
        self.early
            .first_key_value()
            .map(|(seq, _)| *seq)
            .filter(|seq| *seq > self.expected)
    }

    /// How many items wait.
    pub fn waiting(&self) -> usize {
        self.early.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_items_wait_doubles_go_and_the_hole_is_named() {
        let mut sequencer = Sequencer::new(1);
        assert_eq!(sequencer.offer(3, "c"), None);
        assert_eq!(sequencer.gap_before(), Some(3));
        assert_eq!(sequencer.offer(1, "a"), Some("a"));
        assert_eq!(sequencer.offer(1, "a"), None);
        assert_eq!(sequencer.pop(), None);
        assert_eq!(sequencer.offer(2, "b"), Some("b"));
        assert_eq!(sequencer.gap_before(), None);
        assert_eq!(sequencer.pop(), Some("c"));
        assert_eq!(
            (sequencer.pop(), sequencer.expected(), sequencer.waiting()),
            (None, 4, 0)
        );
    }
}
