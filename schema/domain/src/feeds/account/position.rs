//! Where a client of `accountEvents` stands: the checkpoint, and the cursors of single chats.
//!
//! A checkpoint is a vector of places, one a chat, and the server keeps nothing of it. A chat is
//! named by 8 bytes of its id, or by all 16 where two chats of the vector share them: that makes 14
//! to 16 bytes a chat. It grants nothing: the feed goes through the viewer's memberships and only
//! looks their places up.
//!
//! | bytes | what |
//! |---|---|
//! | 1, 1 | tag, version of the form |
//! | 8 | the user: the last 8 bytes of their id |
//! | 4 | the store's incarnation |
//! | varint | the version of the memberships that have no place: of those that have ended |
//! | varint | how many chats |
//! | a chat: varint | its `seq`, shifted by 2; bit 0: without detail, bit 1: the whole id follows |
//! | 8 or 16 | the last 8 bytes of its id, or all |
//! | 3 varints | its `changeSeq`, the version of the membership, how far all others have read |

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::varint;
use crate::cursor::{Cursor, MessageCursor};
use crate::error::Invalid;
use crate::id::{self, ChatId, UserId};
use crate::incarnation::Incarnation;
use crate::seq::{self, Seq};

/// The most characters of a checkpoint and the cursors since, together.
pub const MAX_POSITION: usize = 256 * 1024;
/// The most cursors since a checkpoint.
pub const MAX_SINCE: usize = 1_000;

const CHECKPOINT: u8 = b'k';
const VERSION: u8 = 1;
/// A checkpoint that a server makes is no longer than one that it takes, with room for cursors.
const MAX_BYTES: usize = MAX_POSITION / 4 * 3 - 32 * 1024;

/// A place in one chat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Up to this message.
    pub seq: Seq,
    /// Up to this change.
    pub change_seq: Seq,
    /// The version of the viewer's membership that was told; 0 where it is not known.
    pub version: u32,
    /// How far all other members had read.
    pub read_by_all: Seq,
    /// Messages and changes up to here were not told: only that there are some.
    pub without_detail: bool,
}

/// The part of an id by which a vector names a chat.
pub(super) type Key = [u8; 8];

/// The last 8 bytes of an id, which are random.
fn tail(id: [u8; 16]) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(&id[8..]);
    key
}

pub(super) fn key(chat: ChatId) -> Key {
    tail(id::bytes(chat))
}

/// The places that a client has told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountPosition {
    /// The store's when it gave the places.
    incarnations: BTreeSet<Incarnation>,
    /// The version of all memberships together that the checkpoint did not name.
    others: u64,
    /// By a part of the id.
    short: BTreeMap<Key, Place>,
    /// By the whole id, with the number of the cursor in `since` that named it, where one did.
    full: BTreeMap<ChatId, (Place, Option<usize>)>,
}

impl AccountPosition {
    /// Reads what the client gave: its last checkpoint, and the newest cursor of each chat since.
    ///
    /// # Errors
    /// [`Invalid`] naming `after.checkpoint` or `after.since.N` where one is not what the server
    /// has given to this user, or there is too much of it.
    pub fn parse(user: UserId, checkpoint: &str, since: &[String]) -> Result<Self, Invalid> {
        if since.len() > MAX_SINCE {
            let rule = format!("must be at most {MAX_SINCE} cursors");
            return Err(Invalid::new("after.since", rule));
        }
        let too_long = |field| {
            let rule = format!("must be at most {MAX_POSITION} characters, the cursors together");
            Invalid::new(field, rule)
        };
        if checkpoint.len() > MAX_POSITION {
            return Err(too_long("after.checkpoint"));
        }
        if checkpoint.len() + since.iter().map(String::len).sum::<usize>() > MAX_POSITION {
            return Err(too_long("after.since"));
        }
        let mut position = Self::decode(user, checkpoint)?;
        for (number, text) in since.iter().enumerate() {
            match AccountCursor::decode(text) {
                Some(AccountCursor::Chat(chat)) => position.merge(&chat, number),
                // It has no place in a chat.
                Some(AccountCursor::Viewer(of)) if of == tail(id::bytes(user)) => {}
                _ => {
                    let rule = "must be the cursor of an event of `accountEvents` that is no \
                                checkpoint";
                    return Err(Invalid::new(format!("after.since.{number}"), rule));
                }
            }
        }
        Ok(position)
    }

    /// Whether all of it was given by this incarnation of the store.
    pub(super) fn is_of(&self, incarnation: Incarnation) -> bool {
        self.incarnations.iter().all(|given| *given == incarnation)
    }

    /// The vector of these places. Of more chats than a checkpoint may name, some are left out: they
    /// are reset at a resume. `others` is the version of all other memberships together.
    pub(super) fn encode(
        user: UserId,
        incarnation: Incarnation,
        others: u64,
        places: &[(ChatId, Place)],
    ) -> String {
        let mut named = HashMap::<Key, u32>::with_capacity(places.len());
        for (chat, _) in places {
            *named.entry(key(*chat)).or_default() += 1;
        }
        let mut entries = Vec::with_capacity(places.len() * 16);
        let mut count = 0_u32;
        for (chat, place) in places {
            if entries.len() >= MAX_BYTES {
                break;
            }
            let whole = named.get(&key(*chat)).is_some_and(|chats| *chats > 1);
            let flags = u64::from(place.without_detail) | u64::from(whole) << 1;
            varint::write(&mut entries, u64::from(place.seq) << 2 | flags);
            let bytes = id::bytes(*chat);
            entries.extend_from_slice(if whole { &bytes } else { &bytes[8..] });
            for number in [place.change_seq, place.version, place.read_by_all] {
                varint::write(&mut entries, u64::from(number));
            }
            count += 1;
        }
        let mut bytes = Vec::with_capacity(entries.len() + 20);
        bytes.extend([CHECKPOINT, VERSION]);
        bytes.extend(tail(id::bytes(user)));
        bytes.extend(incarnation.to_bytes());
        varint::write(&mut bytes, others);
        varint::write(&mut bytes, u64::from(count));
        bytes.extend(entries);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    fn decode(user: UserId, text: &str) -> Result<Self, Invalid> {
        let invalid = |rule| Invalid::new("after.checkpoint", rule);
        let other = "must be the cursor of a checkpoint of `accountEvents`";
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text);
        let bytes = bytes.map_err(|_| invalid(other))?;
        let Some((&[CHECKPOINT, version], bytes)) = bytes.split_first_chunk() else {
            return Err(invalid(other));
        };
        if version != VERSION {
            return Err(invalid("is of a form that this version does not know"));
        }
        let torn = "is not whole, or was altered";
        let (of, bytes) = bytes.split_first_chunk().ok_or_else(|| invalid(torn))?;
        if *of != tail(id::bytes(user)) {
            return Err(invalid(
                "must be a checkpoint of the viewer, but is another user's",
            ));
        }
        Self::read(bytes).ok_or_else(|| invalid(torn))
    }

    /// The places of a vector; `None` where the bytes are none.
    fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut position = Self::default();
        let (incarnation, rest) = bytes.split_first_chunk()?;
        bytes = rest;
        let incarnation = Incarnation::from_bytes(*incarnation);
        position.incarnations.insert(incarnation);
        position.others = varint::read(&mut bytes)?;
        let count = varint::read(&mut bytes)?;
        for _ in 0..count {
            let first = varint::read(&mut bytes)?;
            let id = bytes;
            let whole = first & 2 != 0;
            bytes = bytes.get(if whole { 16 } else { 8 }..)?;
            let place = Place {
                seq: number(first >> 2)?,
                without_detail: first & 1 != 0,
                change_seq: number(varint::read(&mut bytes)?)?,
                version: varint::read(&mut bytes)?.try_into().ok()?,
                read_by_all: number(varint::read(&mut bytes)?)?,
            };
            let is_second = if whole {
                let chat = id::from_bytes(*id.first_chunk()?);
                position.full.insert(chat, (place, None)).is_some()
            } else {
                position.short.insert(*id.first_chunk()?, place).is_some()
            };
            if is_second {
                return None;
            }
        }
        bytes.is_empty().then_some(position)
    }

    /// Moves a chat's place forward, by maximum. The cursor was made behind the checkpoint: where it
    /// is further in both, it says what its place means.
    fn merge(&mut self, cursor: &ChatPlace, number: usize) {
        self.incarnations.insert(cursor.incarnation);
        let chat = cursor.chat_id;
        let known = match (self.full.get_mut(&chat), self.short.get_mut(&key(chat))) {
            (Some((place, _)), _) => Some(place),
            (None, short) => short,
        };
        let Some(place) = known else {
            let place = Place {
                seq: cursor.seq,
                change_seq: cursor.change_seq,
                without_detail: cursor.without_detail,
                ..Place::default()
            };
            self.full.insert(chat, (place, Some(number)));
            return;
        };
        if cursor.seq >= place.seq && cursor.change_seq >= place.change_seq {
            place.without_detail = cursor.without_detail;
        } else {
            place.without_detail |= cursor.without_detail;
        }
        place.seq = place.seq.max(cursor.seq);
        place.change_seq = place.change_seq.max(cursor.change_seq);
        // An event may have said more than itself, such as a notice that the title is another. What
        // was to be told behind it may not have been: the chat is told as changed.
        place.version = 0;
    }

    /// Takes out the places of these chats, which are all that the viewer has or had. Two of them
    /// that one short name could mean have none.
    pub(super) fn take(&mut self, chats: &[ChatId]) -> HashMap<ChatId, Place> {
        let mut named = HashMap::<Key, u32>::new();
        for chat in chats {
            *named.entry(key(*chat)).or_default() += 1;
        }
        let mut places = HashMap::new();
        for chat in chats {
            let short = self.short.remove(&key(*chat));
            let is_clear = named.get(&key(*chat)) == Some(&1);
            let short = short.filter(|_| is_clear);
            let full = self.full.remove(chat).map(|(place, _)| place);
            if let Some(place) = full.or(short) {
                places.insert(*chat, place);
            }
        }
        places
    }

    /// Whether the memberships that the checkpoint did not name have stayed as they were, if their
    /// version is this one now. Where a cursor since then names a chat that the checkpoint did not,
    /// they have not. To be asked before places are taken.
    pub(super) fn has_others_at(&self, version: u64) -> bool {
        let mut full = self.full.values();
        self.others == version && full.all(|(_, number)| number.is_none())
    }

    /// Whether places are left that were not taken.
    pub(super) fn is_empty(&self) -> bool {
        self.short.is_empty() && self.full.is_empty()
    }

    /// The number of a cursor of `since` whose chat was not taken.
    pub(super) fn strange_cursor(&self) -> Option<usize> {
        let mut numbers = self.full.values().filter_map(|(_, number)| *number);
        numbers.next()
    }
}

/// A number of a line, where it is one.
fn number(value: u64) -> Option<Seq> {
    let number = Seq::try_from(value).ok()?;
    (number <= seq::MAX).then_some(number)
}

/// The place of an event in its chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChatPlace {
    /// The chat.
    pub chat_id: ChatId,
    /// The store's when it gave the place.
    pub incarnation: Incarnation,
    /// All messages up to this one.
    pub seq: Seq,
    /// All changes up to this one.
    pub change_seq: Seq,
    /// Messages and changes up to here were not told: only that there are some.
    pub without_detail: bool,
}

/// The cursor of an event, by which a feed resumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountCursor {
    /// A place in a chat. With detail it is the cursor of a message, which other fields take too.
    Chat(ChatPlace),
    /// Something of the user's own, which has no place: the user's part of the cursor.
    Viewer(Key),
}

/// A place without detail.
struct Undetailed(MessageCursor);

impl Cursor for Undetailed {
    const TAG: u8 = b'w';

    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        MessageCursor::read(bytes).map(Self)
    }
}

struct OfViewer(Key);

impl Cursor for OfViewer {
    const TAG: u8 = b'v';

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.0);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl AccountCursor {
    /// The cursor of what is the user's own.
    pub(super) fn of_viewer(user: UserId) -> Self {
        Self::Viewer(tail(id::bytes(user)))
    }

    /// The opaque text.
    pub fn encode(&self) -> String {
        match self {
            Self::Chat(place) => {
                let cursor = MessageCursor {
                    chat_id: place.chat_id,
                    incarnation: place.incarnation,
                    seq: place.seq,
                    change_seq: Some(place.change_seq),
                };
                if place.without_detail {
                    Undetailed(cursor).encode()
                } else {
                    cursor.encode()
                }
            }
            Self::Viewer(key) => OfViewer(*key).encode(),
        }
    }

    fn decode(text: &str) -> Option<Self> {
        let place = |cursor: MessageCursor, without_detail| {
            Self::Chat(ChatPlace {
                chat_id: cursor.chat_id,
                incarnation: cursor.incarnation,
                seq: cursor.seq,
                change_seq: cursor.change_seq.unwrap_or(0),
                without_detail,
            })
        };
        let detailed = MessageCursor::decode(text, "since").map(|cursor| place(cursor, false));
        let undetailed = || Undetailed::decode(text, "since").map(|cursor| place(cursor.0, true));
        let viewer = || OfViewer::decode(text, "since").map(|cursor| Self::Viewer(cursor.0));
        detailed
            .or_else(|_| undetailed())
            .or_else(|_| viewer())
            .ok()
    }
}

#[cfg(test)]
mod tests;
