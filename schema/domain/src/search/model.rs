//! A search of messages, and what comes of it.

use std::cmp::Ordering;

use super::query::SearchQuery;
use crate::clock::Timestamp;
use crate::cursor::Cursor;
use crate::error::Invalid;
use crate::id::{self, ChatId, UserId};
use crate::messages::model::Message;
use crate::seq::Seq;

/// What is searched for, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageSearch {
    /// The words.
    pub query: SearchQuery,
    /// Only messages of this sender.
    pub sender: Option<UserId>,
    /// The chats that are searched, each once, with the first number that may be found there.
    pub parts: Vec<(ChatId, Seq)>,
    /// Only hits behind this place.
    pub after: Option<SearchPlace>,
    /// The most hits, 0 to [`crate::page::MAX_PAGE`].
    pub limit: usize,
}

/// A part of the hits, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPage {
    /// The hits.
    pub hits: Vec<Message>,
    /// Where the search goes on: behind the last hit, or further on where a store has looked at as much
    /// as one page may cost and found fewer. `None` where there are no more.
    pub next: Option<SearchPlace>,
}

/// The place of a hit among the hits of a search, newest first. Of messages that were sent in the same
/// millisecond the one with the greater number comes first, and of those the one of the greater chat id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SearchPlace {
    /// When the message was sent.
    pub at: Timestamp,
    /// Its chat.
    pub chat_id: ChatId,
    /// Its number.
    pub seq: Seq,
}

impl SearchPlace {
    /// The place of a message.
    pub fn of(message: &Message) -> Self {
        Self {
            at: message.created_at,
            chat_id: message.chat_id,
            seq: message.seq,
        }
    }

    /// Parses a cursor and checks that it belongs to a search of this chat, or of all.
    ///
    /// # Errors
    /// [`Invalid`] naming `field` where it is no cursor of a search, or one of another chat.
    pub fn decode_in(
        text: &str,
        chat: Option<ChatId>,
        field: &'static str,
    ) -> Result<Self, Invalid> {
        let place = Self::decode(text, field)?;
        if chat.is_some_and(|chat| chat != place.chat_id) {
            let rule = "must be a cursor of this search, but is one of another chat";
            return Err(Invalid::new(field, rule));
        }
        Ok(place)
    }
}

/// Greater is newer.
impl Ord for SearchPlace {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |place: &Self| (place.at, place.seq, id::bytes(place.chat_id));
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for SearchPlace {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Cursor for SearchPlace {
    const TAG: u8 = b'f';

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.at.as_millis().to_be_bytes());
        bytes.extend(id::bytes(self.chat_id));
        bytes.extend(self.seq.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (at, rest) = bytes.split_first_chunk()?;
        let (chat_id, seq) = rest.split_first_chunk()?;
        let seq = Seq::from_be_bytes(seq.try_into().ok()?);
        (seq <= crate::seq::MAX).then_some(Self {
            at: Timestamp::from_millis(i64::from_be_bytes(*at)),
            chat_id: id::from_bytes(*chat_id),
            seq,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_place_of_a_search() {
        let place = SearchPlace {
            at: Timestamp::from_millis(-7),
            chat_id: id::from_bytes([1; 16]),
            seq: 9,
        };
        let text = place.encode();
        for chat in [None, Some(place.chat_id)] {
            assert_eq!(SearchPlace::decode_in(&text, chat, "after"), Ok(place));
        }
        let other = Some(id::from_bytes([2; 16]));
        let refused = SearchPlace::decode_in(&text, other, "after").unwrap_err();
        assert_eq!(refused.field, "after");
        assert!(SearchPlace::decode(&text[..12], "after").is_err());
        let earlier = SearchPlace { seq: 8, ..place };
        assert!(earlier < place);
    }
}
