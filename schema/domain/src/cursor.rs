//! Opaque cursors: a tag that says what is paged, then the position, in unpadded base64url.
//!
//! A cursor means one place in one list: a message's cursor carries its chat, so that it is
//! refused in another chat. Cursors are positions, not permissions; they grant nothing.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::clock::Timestamp;
use crate::error::{ApiError, ErrorCode, Invalid, service_error};
use crate::id::{self, ChatId, SessionId, UserId};
use crate::incarnation::Incarnation;
use crate::seq::Seq;

/// Why a cursor of a line was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// It is no cursor of this list.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The store was restored since it gave the cursor in this argument.
    #[error(
        "The server was restored from a backup since it gave this cursor. Refetch the chat, then \
         go on from there."
    )]
    OtherIncarnation(&'static str),
}

impl CursorError {
    fn api_error(&self) -> ApiError {
        match self {
            Self::Invalid(invalid) => invalid.into(),
            Self::OtherIncarnation(field) => {
                ApiError::new(ErrorCode::ResyncRequired, self.to_string()).field(*field)
            }
        }
    }
}

service_error!(CursorError);

/// A position in a list, in its opaque text form.
pub trait Cursor: Sized {
    /// Tells kinds of cursors apart.
    const TAG: u8;

    /// Writes the position's fields.
    fn write(&self, bytes: &mut Vec<u8>);

    /// Reads them back; `None` where the bytes are no such position.
    fn read(bytes: &[u8]) -> Option<Self>;

    /// The opaque text.
    fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(48);
        bytes.push(Self::TAG);
        self.write(&mut bytes);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Parses the cursor given in argument `field`.
    ///
    /// # Errors
    /// [`Invalid`] naming `field` where the text is no cursor of this list.
    fn decode(text: &str, field: &'static str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new(field, "must be a cursor that this list has returned");
        if text.len() > 512 {
            return Err(invalid());
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid())?;
        match bytes.split_first() {
            Some((&tag, rest)) if tag == Self::TAG => Self::read(rest).ok_or_else(invalid),
            _ => Err(invalid()),
        }
    }
}

/// A place on both lines of a chat: behind a message, and behind a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageCursor {
    /// The chat.
    pub chat_id: ChatId,
    /// The store's when it gave the cursor.
    pub incarnation: Incarnation,
    /// The message's sequence number.
    pub seq: Seq,
    /// Whoever holds the cursor has all changes up to this number; `None` where the cursor says
    /// nothing of changes, as that of a single message.
    pub change_seq: Option<Seq>,
}

impl MessageCursor {
    /// Parses a cursor and checks that it belongs to `chat_id`, in the store as it is now. The place
    /// ahead of everything is the same in every incarnation.
    ///
    /// # Errors
    /// [`CursorError`] naming `field` where it is no cursor of a message, one of another chat, or
    /// one from before the store was restored.
    pub fn decode_in(
        text: &str,
        chat_id: ChatId,
        incarnation: Incarnation,
        field: &'static str,
    ) -> Result<Self, CursorError> {
        let cursor = Self::decode(text, field)?;
        if cursor.chat_id != chat_id {
            let rule = "must be a cursor of this chat, but is one of another";
            return Err(Invalid::new(field, rule).into());
        }
        let is_start = cursor.seq == 0 && cursor.change_seq.unwrap_or(0) == 0;
        if cursor.incarnation == incarnation || is_start {
            Ok(cursor)
        } else {
            Err(CursorError::OtherIncarnation(field))
        }
    }
}

impl Cursor for MessageCursor {
    const TAG: u8 = b'm';

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(id::bytes(self.chat_id));
        bytes.extend(self.incarnation.to_bytes());
        bytes.extend(self.seq.to_be_bytes());
        if let Some(change_seq) = self.change_seq {
            bytes.extend(change_seq.to_be_bytes());
        }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (chat_id, rest) = bytes.split_first_chunk()?;
        let (incarnation, rest) = rest.split_first_chunk()?;
        let (seq, rest) = rest.split_first_chunk()?;
        let change_seq = match rest {
            [] => None,
            change_seq => Some(Seq::from_be_bytes(change_seq.try_into().ok()?)),
        };
        let (seq, most) = (Seq::from_be_bytes(*seq), crate::seq::MAX);
        (seq <= most && change_seq.is_none_or(|number| number <= most)).then_some(Self {
            chat_id: id::from_bytes(*chat_id),
            incarnation: Incarnation::from_bytes(*incarnation),
            seq,
            change_seq,
        })
    }
}

/// The place of a chat in its member's list, most recently active first. Like those below it is a
/// place in an order and not on a line, and so good in every incarnation of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChatCursor {
    /// The chat's `activeAt` when the cursor was made.
    pub active_at: Timestamp,
    /// Breaks ties.
    pub chat_id: ChatId,
}

impl Cursor for ChatCursor {
    const TAG: u8 = b'c';

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.active_at.as_millis().to_be_bytes());
        bytes.extend(id::bytes(self.chat_id));
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (millis, chat_id) = bytes.split_first_chunk()?;
        Some(Self {
            active_at: Timestamp::from_millis(i64::from_be_bytes(*millis)),
            chat_id: id::from_bytes(chat_id.try_into().ok()?),
        })
    }
}

/// The place of a session among its user's, last used first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionCursor {
    /// The session's `lastUsedAt` when the cursor was made.
    pub last_used_at: Timestamp,
    /// Breaks ties.
    pub session_id: SessionId,
}

impl Cursor for SessionCursor {
    const TAG: u8 = b's';

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.last_used_at.as_millis().to_be_bytes());
        bytes.extend(id::bytes(self.session_id));
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (millis, session_id) = bytes.split_first_chunk()?;
        Some(Self {
            last_used_at: Timestamp::from_millis(i64::from_be_bytes(*millis)),
            session_id: id::from_bytes(session_id.try_into().ok()?),
        })
    }
}

/// The place of a user in a list ordered by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserCursor {
    /// The name as lists order it ([`crate::users::model::DisplayName::sort_key`]).
    pub name_key: String,
    /// Breaks ties.
    pub user_id: UserId,
}

impl Cursor for UserCursor {
    const TAG: u8 = b'u';

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(id::bytes(self.user_id));
        bytes.extend(self.name_key.as_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (user_id, name) = bytes.split_first_chunk()?;
        let name_key = std::str::from_utf8(name).ok()?.to_owned();
        Some(Self {
            name_key,
            user_id: id::from_bytes(*user_id),
        })
    }
}

/// The place of a member in a chat, ordered by user id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemberCursor {
    /// The chat.
    pub chat_id: ChatId,
    /// The member.
    pub user_id: UserId,
}

impl Cursor for MemberCursor {
    const TAG: u8 = b'p';

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(id::bytes(self.chat_id));
        bytes.extend(id::bytes(self.user_id));
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (chat_id, user_id) = bytes.split_first_chunk()?;
        Some(Self {
            chat_id: id::from_bytes(*chat_id),
            user_id: id::from_bytes(user_id.try_into().ok()?),
        })
    }
}

/// The place of a reply among those to one message, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyCursor {
    /// The chat.
    pub chat_id: ChatId,
    /// The number of the message that is replied to.
    pub reply_to: Seq,
    /// The reply's own number.
    pub seq: Seq,
}

impl ReplyCursor {
    /// Parses a cursor and checks that it belongs to the replies to that message.
    ///
    /// # Errors
    /// [`Invalid`] naming `field` where it does not.
    pub fn decode_of(
        text: &str,
        (chat_id, reply_to): (ChatId, Seq),
        field: &'static str,
    ) -> Result<Self, Invalid> {
        let cursor = Self::decode(text, field)?;
        if (cursor.chat_id, cursor.reply_to) != (chat_id, reply_to) {
            let rule = "must be a cursor of the replies to this message, but is one of another's";
            return Err(Invalid::new(field, rule));
        }
        Ok(cursor)
    }
}

impl Cursor for ReplyCursor {
    const TAG: u8 = b'y';

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(id::bytes(self.chat_id));
        bytes.extend(self.reply_to.to_be_bytes());
        bytes.extend(self.seq.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (chat_id, rest) = bytes.split_first_chunk()?;
        let (reply_to, seq) = rest.split_first_chunk()?;
        let seq = Seq::from_be_bytes(seq.try_into().ok()?);
        (seq <= crate::seq::MAX).then_some(Self {
            chat_id: id::from_bytes(*chat_id),
            reply_to: Seq::from_be_bytes(*reply_to),
            seq,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Incarnation = Incarnation(0x0102_0304);

    fn chat(n: u8) -> ChatId {
        id::from_bytes([n; 16])
    }

    #[test]
    fn a_cursor_from_before_a_restore_is_told_so_but_for_the_place_ahead_of_everything() {
        let decode = |seq, change_seq, incarnation| {
            let cursor = MessageCursor {
                chat_id: chat(1),
                incarnation: NOW,
                seq,
                change_seq,
            };
            let decoded = MessageCursor::decode_in(&cursor.encode(), chat(1), incarnation, "after");
            decoded.map(|decoded| assert_eq!(decoded, cursor))
        };
        let restored = Incarnation(5);
        for (seq, change_seq) in [(7, None), (0, Some(1)), (7, Some(0))] {
            assert_eq!(decode(seq, change_seq, NOW), Ok(()));
            let refused = decode(seq, change_seq, restored).unwrap_err();
            assert_eq!(refused, CursorError::OtherIncarnation("after"));
            let refused = ApiError::from(refused);
            assert_eq!(
                (refused.code, refused.field.as_deref()),
                (ErrorCode::ResyncRequired, Some("after"))
            );
        }
        assert_eq!(decode(0, None, restored), Ok(()));
        assert_eq!(decode(0, Some(0), restored), Ok(()));
    }

    #[test]
    fn cursors_round_trip() {
        for change_seq in [None, Some(0), Some(9)] {
            let message = MessageCursor {
                chat_id: chat(1),
                incarnation: NOW,
                seq: 7,
                change_seq,
            };
            assert_eq!(
                MessageCursor::decode(&message.encode(), "after"),
                Ok(message)
            );
        }
        let place = ChatCursor {
            active_at: Timestamp::from_millis(-5),
            chat_id: chat(2),
        };
        assert_eq!(ChatCursor::decode(&place.encode(), "after"), Ok(place));
        let session = SessionCursor {
            last_used_at: Timestamp::from_millis(7),
            session_id: id::from_bytes([5; 16]),
        };
        assert_eq!(
            SessionCursor::decode(&session.encode(), "after"),
            Ok(session)
        );
        assert!(ChatCursor::decode(&session.encode(), "after").is_err());
        let user = UserCursor {
            name_key: "åsa".into(),
            user_id: id::from_bytes([3; 16]),
        };
        assert_eq!(UserCursor::decode(&user.encode(), "after"), Ok(user));
        let member = MemberCursor {
            chat_id: chat(1),
            user_id: id::from_bytes([4; 16]),
        };
        assert_eq!(MemberCursor::decode(&member.encode(), "after"), Ok(member));
        let reply = ReplyCursor {
            chat_id: chat(1),
            reply_to: 7,
            seq: 9,
        };
        let decode = |of| ReplyCursor::decode_of(&reply.encode(), of, "after");
        assert_eq!(decode((chat(1), 7)), Ok(reply));
        for other in [(chat(1), 8), (chat(2), 7)] {
            assert_eq!(decode(other).unwrap_err().field, "after");
        }
    }

    #[test]
    fn a_cursor_of_another_list_or_chat_is_refused_and_names_the_field() {
        let message = MessageCursor {
            chat_id: chat(1),
            incarnation: NOW,
            seq: 7,
            change_seq: None,
        }
        .encode();
        assert_eq!(
            ChatCursor::decode(&message, "after").unwrap_err().field,
            "after"
        );
        let refused = MessageCursor::decode_in(&message, chat(2), NOW, "before").unwrap_err();
        let refused = ApiError::from(refused);
        assert_eq!(
            (refused.code, refused.field.as_deref()),
            (ErrorCode::BadUserInput, Some("before"))
        );
        for text in ["", "!", "bQ", "m1", &"A".repeat(600)] {
            assert!(MessageCursor::decode(text, "after").is_err(), "{text}");
        }
    }
}
