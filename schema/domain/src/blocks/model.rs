//! A block, and its place in the list of who has set it.

use crate::cursor::Cursor;
use crate::error::Invalid;
use crate::id::{self, UserId};

/// The most users whom one may have blocked: more than anybody means by hand. It bounds what a look at
/// somebody's blocks reads, and the document in which a store keeps them.
pub const MAX_BLOCKS: usize = 1_000;

/// The number of a block among those of the same user. It is greater than that of each block which the
/// user has set before.
pub type BlockNumber = u32;

/// Whom a user has blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Blocked {
    /// Who is blocked.
    pub user_id: UserId,
    /// The block's number.
    pub number: BlockNumber,
}

/// The place of a block in the list of a user's blocks, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockCursor {
    /// Who has set it.
    pub blocker_id: UserId,
    /// Its number.
    pub number: BlockNumber,
}

impl BlockCursor {
    /// Parses a cursor and checks that it belongs to the list of this user.
    ///
    /// # Errors
    /// [`Invalid`] naming `field` where it is no cursor of blocks, or one of another user's.
    pub fn decode_in(text: &str, blocker: UserId, field: &'static str) -> Result<Self, Invalid> {
        let cursor = Self::decode(text, field)?;
        if cursor.blocker_id == blocker {
            Ok(cursor)
        } else {
            let rule = "must be a cursor of your own list, but is one of another user's";
            Err(Invalid::new(field, rule))
        }
    }
}

impl Cursor for BlockCursor {
    const TAG: u8 = b'b';

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(id::bytes(self.blocker_id));
        bytes.extend(self.number.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (blocker, number) = bytes.split_first_chunk()?;
        Some(Self {
            blocker_id: id::from_bytes(*blocker),
            number: BlockNumber::from_be_bytes(number.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_belongs_to_one_user() {
        let cursor = BlockCursor {
            blocker_id: id::from_bytes([1; 16]),
            number: 7,
        };
        let text = cursor.encode();
        let decode = |blocker| BlockCursor::decode_in(&text, blocker, "after");
        assert_eq!(decode(cursor.blocker_id), Ok(cursor));
        assert_eq!(decode(id::from_bytes([2; 16])).unwrap_err().field, "after");
        assert!(BlockCursor::decode(&text[..8], "after").is_err());
    }
}
