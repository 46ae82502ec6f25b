//! How far both lines of a chat go.

use crate::messages::store::Head;
use crate::seq::Seq;

/// Ends of both lines of a chat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub seq: Seq,
    pub change_seq: Seq,
}

impl From<Head> for Ends {
    fn from(head: Head) -> Self {
        Self {
            seq: head.last_seq,
            change_seq: head.last_change_seq,
        }
    }
}

impl Ends {
    /// The further of both, of each line.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            seq: self.seq.max(other.seq),
            change_seq: self.change_seq.max(other.change_seq),
        }
    }

    /// Whether both lines go as far as there.
    pub(super) const fn reach(self, other: Self) -> bool {
        self.seq >= other.seq && self.change_seq >= other.change_seq
    }
}
