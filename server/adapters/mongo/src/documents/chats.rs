//! Chats.

use mongodb::bson::raw::RawDocument;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Uuid, deserialize_from_bson};
use serde::{Deserialize, Serialize};
use talksy_domain::chats::{Chat, ChatKind, ChatTitle};
use talksy_domain::clock::Timestamp;
use talksy_domain::damage::or_stand_in;
use talksy_domain::groups::NewGroup;
use talksy_domain::id::{self, ChatId, MessageId, UserId};
use talksy_domain::seq::Seq;

use super::{BlockMark, CHATS, Stored, date, id_text, instant, key};
use crate::fault::Why;

/// What is unique about a pair's direct chat: both ids, the smaller first.
pub(crate) fn pair_key(users: [UserId; 2]) -> Binary {
    let mut pair = users.map(id::bytes);
    pair.sort_unstable();
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: pair.concat(),
    }
}

/// What is unique about a group: its creator and their own id for it, or the chat's id where there
/// is none. A text, and so never equal to a pair's key.
pub(crate) fn group_key(group: &NewGroup) -> String {
    match &group.client_chat_id {
        Some(own_id) => format!("{}:{}", group.creator_id, own_id.as_str()),
        None => group.chat_id.to_string(),
    }
}

/// A chat.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChatDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    kind: ChatKind,
    /// See [`pair_key`] and [`group_key`].
    #[serde(rename = "directKey")]
    unique_key: Bson,
    created_at: DateTime,
    /// Advanced after each message; see `heads`.
    active_at: DateTime,
    /// Advanced after each message; see `heads`.
    last_seq: Seq,
    /// Follows the system messages; see `notices`.
    member_count: u32,
    /// Follows the system messages; see `notices`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<Bson>,
    /// Follows the system messages; see `notices`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    avatar_id: Option<Uuid>,
    /// The newest system message that was applied; see `notices`.
    #[serde(default)]
    applied_seq: Seq,
    /// The system message that says what the application keeps about the group; see `notices`.
    #[serde(default)]
    metadata_seq: Seq,
    /// Advanced after each change of a message; see `changes`.
    #[serde(default)]
    last_change_seq: Seq,
    /// The last number of a change that was claimed; see `changes`.
    #[serde(default)]
    claimed_seq: Seq,
    /// For which messages the last numbers were claimed, in the order of the numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    claims: Vec<Uuid>,
    /// Of a direct chat, whether the one with the smaller id has blocked the other; see `blocks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    low_blocks: Option<BlockMark>,
    /// The other way round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    high_blocks: Option<BlockMark>,
    /// Whether its members are all in.
    ready: bool,
    /// Whether nobody can send to it any more. None is made so.
    #[serde(default, skip_serializing)]
    closed: bool,
}

/// A chat as its document has it.
#[derive(Clone)]
pub(crate) struct KeptChat {
    /// The chat, whose ends may lag behind its messages.
    pub(crate) chat: Chat,
    /// The last number of a change that was claimed.
    pub(crate) claimed_seq: Seq,
    /// For which messages the last numbers were claimed, in the order of the numbers.
    pub(crate) claims: Vec<MessageId>,
    /// Whether it is a direct chat and either of the two has blocked the other.
    pub(crate) is_blocked: bool,
    /// Whether its members are all in.
    pub(crate) ready: bool,
}

impl ChatDocument {
    /// A new direct chat of the pair, without members yet.
    pub(crate) fn direct(chat: &Chat, users: [UserId; 2]) -> Self {
        Self::new(chat, Bson::Binary(pair_key(users)))
    }

    /// A new group, without its first message yet.
    pub(crate) fn group(group: &NewGroup) -> Self {
        let nothing_applied = Chat {
            last_seq: 0,
            applied_seq: 0,
            metadata_seq: 0,
            member_count: 0,
            ..group.chat()
        };
        Self::new(&nothing_applied, Bson::String(group_key(group)))
    }

    fn new(chat: &Chat, unique_key: Bson) -> Self {
        Self {
            id: key(id::bytes(chat.id)),
            kind: chat.kind,
            unique_key,
            created_at: date(chat.created_at),
            active_at: date(chat.active_at),
            last_seq: chat.last_seq,
            member_count: chat.member_count,
            title: None,
            avatar_id: None,
            applied_seq: chat.applied_seq,
            metadata_seq: chat.metadata_seq,
            last_change_seq: chat.last_change_seq,
            claimed_seq: chat.last_change_seq,
            claims: Vec::new(),
            low_blocks: None,
            high_blocks: None,
            ready: false,
            closed: false,
        }
    }
}

fn message_ids(keys: &[Uuid]) -> Vec<MessageId> {
    keys.iter().map(|key| id::from_bytes(key.bytes())).collect()
}

pub(super) fn chat_text(bytes: [u8; 16]) -> String {
    let id: ChatId = id::from_bytes(bytes);
    id.to_string()
}

fn chat_name(raw: &RawDocument) -> String {
    format!("chat {}", id_text(raw, "_id", chat_text))
}

impl Stored for ChatDocument {
    type Value = KeptChat;
    const COLLECTION: &'static str = CHATS;

    fn name(raw: &RawDocument) -> String {
        chat_name(raw)
    }

    fn value(self) -> Result<KeptChat, Why> {
        let chat_id: ChatId = id::from_bytes(self.id.bytes());
        let title = self.title.map(deserialize_from_bson::<ChatTitle>);
        let record = || format!("chat {chat_id}");
        let chat = Chat {
            id: chat_id,
            kind: self.kind,
            created_at: instant(self.created_at),
            active_at: instant(self.active_at),
            last_seq: self.last_seq,
            member_count: self.member_count,
            title: or_stand_in(title.transpose(), record, "title", || None),
            avatar_id: self.avatar_id.map(|one| id::from_bytes(one.bytes())),
            last_change_seq: self.last_change_seq,
            applied_seq: self.applied_seq,
            metadata_seq: self.metadata_seq,
            is_closed: self.closed,
        };
        Ok(KeptChat {
            chat,
            claimed_seq: self.claimed_seq,
            claims: message_ids(&self.claims),
            is_blocked: BlockMark::any([self.low_blocks, self.high_blocks]),
            ready: self.ready,
        })
    }
}

/// Of a chat, what finding it by its title for one of its members needs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TitleDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    kind: ChatKind,
    #[serde(rename = "directKey")]
    unique_key: Bson,
    active_at: DateTime,
    #[serde(default)]
    title_key: Option<Bson>,
}

/// A chat with what its title is for its members.
pub(crate) struct TitledChat {
    /// The chat.
    pub(crate) chat: [u8; 16],
    /// When it was last active.
    pub(crate) active_at: Timestamp,
    /// Where its title comes from.
    pub(crate) title: TitleSource,
}

/// Where a chat's title comes from.
pub(crate) enum TitleSource {
    /// From the name of the other one of the two.
    Pair([[u8; 16]; 2]),
    /// The title itself, as searches compare it.
    Own(String),
}

impl TitleSource {
    /// Whose name is the title for `user`.
    pub(crate) fn peer_of(&self, user: [u8; 16]) -> Option<[u8; 16]> {
        let Self::Pair([low, high]) = self else {
            return None;
        };
        Some(if *low == user { *high } else { *low })
    }
}

impl Stored for TitleDocument {
    type Value = TitledChat;
    const COLLECTION: &'static str = CHATS;

    fn name(raw: &RawDocument) -> String {
        chat_name(raw)
    }

    fn value(self) -> Result<TitledChat, Why> {
        let title = match (self.kind, self.unique_key) {
            (ChatKind::Direct, Bson::Binary(pair)) => {
                let ids: [u8; 32] = pair.bytes.as_slice().try_into()?;
                let (low, high) = ids.split_at(16);
                TitleSource::Pair([low.try_into()?, high.try_into()?])
            }
            (ChatKind::Direct, _) => return Err("its pair is none".into()),
            (ChatKind::Group, _) => {
                let key = self.title_key.as_ref().and_then(Bson::as_str);
                TitleSource::Own(key.unwrap_or_default().to_owned())
            }
        };
        Ok(TitledChat {
            chat: self.id.bytes(),
            active_at: instant(self.active_at),
            title,
        })
    }
}
