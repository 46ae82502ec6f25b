//! How far all other members of a chat have read, as a feed knows it for its viewer.
//!
//! No number of the chat tells that it has moved. But it moves by the one alone who has read least, so that
//! the others' receipts cost a look at memory, and the store is asked when that one has read further.

use crate::id::{self, UserId};
use crate::seq::Seq;

/// Who has read least of all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slowest {
    /// The member.
    pub(super) user_id: UserId,
    /// Read up to and including this message, 0 for none.
    pub(super) seq: Seq,
}

/// How far all others have read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ReadByAll {
    /// Nothing was told of it.
    #[default]
    Unknown,
    /// There are no others.
    Nobody,
    /// Up to and including a message.
    To {
        /// Its number, 0 for none.
        seq: Seq,
        /// Who has read least, where the store, or that member's own receipt, has said so.
        slowest: Option<Mark>,
    },
}

/// A part of a user's id: a feed that follows many chats has no room for more, and whoever is taken for
/// somebody else costs a question to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(u16);

impl Mark {
    fn of(user: UserId) -> Self {
        // The last bytes of an id are random.
        let [.., one, other] = id::bytes(user);
        Self(u16::from_le_bytes([one, other]))
    }
}

impl ReadByAll {
    /// As it was told before; what the store has now may be another.
    pub(super) const fn told(seq: Seq) -> Self {
        Self::To { seq, slowest: None }
    }

    /// As the store has it.
    pub(super) fn of(slowest: Option<Slowest>) -> Self {
        slowest.map_or(Self::Nobody, |slowest| Self::To {
            seq: slowest.seq,
            slowest: Some(Mark::of(slowest.user_id)),
        })
    }

    /// Behind a receipt of the only other member.
    #[must_use]
    pub(super) fn and_receipt(self, user: UserId, seq: Seq) -> Self {
        Self::To {
            seq: self.seq().unwrap_or(0).max(seq),
            slowest: Some(Mark::of(user)),
        }
    }

    /// Up to which message, where there are others.
    pub(super) const fn seq(self) -> Option<Seq> {
        match self {
            Self::Unknown | Self::Nobody => None,
            Self::To { seq, .. } => Some(seq),
        }
    }

    /// Whether it is what the store had when it was last asked, or a receipt has said since.
    pub(super) const fn is_exact(self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Nobody => true,
            Self::To { slowest, .. } => slowest.is_some(),
        }
    }

    /// Whether it may have moved where this member has read further.
    pub(super) fn may_move_by(self, user: UserId) -> bool {
        match self {
            Self::Unknown | Self::Nobody => true,
            Self::To { slowest, .. } => slowest.is_none_or(|slowest| slowest == Mark::of(user)),
        }
    }

    /// Whether something was told that is not so any more.
    pub(super) fn is_outdated_by(self, now: Self) -> bool {
        self != Self::Unknown && self.seq().unwrap_or(0) != now.seq().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(n: u8) -> UserId {
        id::from_bytes([n; 16])
    }

    fn slowest(n: u8, seq: Seq) -> ReadByAll {
        let user_id = user(n);
        ReadByAll::of(Some(Slowest { user_id, seq }))
    }

    #[test]
    fn it_may_move_by_whoever_has_read_least_and_by_nobody_else() {
        let known = slowest(1, 5);
        assert!(known.is_exact() && known.may_move_by(user(1)) && !known.may_move_by(user(2)));
        for unsure in [ReadByAll::Unknown, ReadByAll::Nobody, ReadByAll::told(5)] {
            assert!(unsure.may_move_by(user(2)), "{unsure:?}");
        }
        assert!(!ReadByAll::told(5).is_exact() && !ReadByAll::Unknown.is_exact());
    }

    #[test]
    fn what_was_never_told_is_not_outdated() {
        let (none, five) = (ReadByAll::of(None), slowest(1, 5));
        assert!(!ReadByAll::Unknown.is_outdated_by(five));
        assert!(none.is_outdated_by(five) && five.is_outdated_by(none));
        assert!(ReadByAll::told(4).is_outdated_by(five));
        let another = slowest(2, 5);
        assert!(!five.is_outdated_by(another) && !ReadByAll::told(5).is_outdated_by(five));
        assert_eq!((none.seq(), five.seq()), (None, Some(5)));
    }

    #[test]
    fn a_receipt_of_the_other_side_never_leads_back() {
        let first = ReadByAll::Unknown.and_receipt(user(1), 5);
        assert_eq!(first.and_receipt(user(1), 3), first);
        assert_eq!(first.and_receipt(user(1), 6).seq(), Some(6));
        assert!(first.is_exact());
    }

    /// Each chat of an account has one.
    #[test]
    fn it_is_small() {
        assert!(size_of::<ReadByAll>() <= 8, "{}", size_of::<ReadByAll>());
    }
}
