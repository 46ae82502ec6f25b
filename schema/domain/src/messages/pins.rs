//! Pinned messages: what the people of a chat want to find again.

use crate::cursor::Cursor;
use crate::error::Invalid;
use crate::id::{self, ChatId};
use crate::seq::Seq;

/// The most messages that are pinned in a chat.
pub const MAX_PINS: usize = 100;

/// The place of a message among those that are pinned in its chat, newest pin first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinCursor {
    /// The chat.
    pub chat_id: ChatId,
    /// The number of the change that has pinned the message.
    pub pinned_seq: Seq,
}

impl PinCursor {
    /// Parses a cursor and checks that it belongs to `chat_id`.
    ///
    /// # Errors
    /// [`Invalid`] naming `field` where it is no cursor of pinned messages, or one of another chat.
    pub fn decode_in(text: &str, chat_id: ChatId, field: &'static str) -> Result<Self, Invalid> {
        let cursor = Self::decode(text, field)?;
        if cursor.chat_id == chat_id {
            Ok(cursor)
        } else {
            let rule = "must be a cursor of this chat, but is one of another";
            Err(Invalid::new(field, rule))
        }
    }
}

impl Cursor for PinCursor {
    const TAG: u8 = b'i';

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(id::bytes(self.chat_id));
        bytes.extend(self.pinned_seq.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (chat_id, pinned_seq) = bytes.split_first_chunk()?;
        let pinned_seq = Seq::from_be_bytes(pinned_seq.try_into().ok()?);
        (pinned_seq <= crate::seq::MAX).then_some(Self {
            chat_id: id::from_bytes(*chat_id),
            pinned_seq,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_belongs_to_one_chat() {
        let cursor = PinCursor {
            chat_id: id::from_bytes([1; 16]),
            pinned_seq: 7,
        };
        let text = cursor.encode();
        assert_eq!(
            PinCursor::decode_in(&text, cursor.chat_id, "after"),
            Ok(cursor)
        );
        let other = PinCursor::decode_in(&text, id::from_bytes([2; 16]), "after");
        assert_eq!(other.unwrap_err().field, "after");
        assert!(PinCursor::decode(&text[..8], "after").is_err());
    }
}
