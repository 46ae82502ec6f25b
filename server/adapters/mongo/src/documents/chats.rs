//! Chats and members.

use mongodb::bson::raw::RawDocument;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, Uuid};
use serde::{Deserialize, Serialize};
use talksy_domain::chats::{Chat, ChatKind, Member, MemberRole};
use talksy_domain::clock::Timestamp;
use talksy_domain::id::{self, ChatId, UserId};
use talksy_domain::seq::Seq;

use super::{CHATS, MEMBERS, Stored, date, field, id_text, instant, key, some_instant};
use crate::fault::Why;

/// The key of a pair's direct chat: both ids, the smaller first.
pub(crate) fn pair_key(users: [UserId; 2]) -> Binary {
    let mut pair = users.map(id::bytes);
    pair.sort_unstable();
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: pair.concat(),
    }
}

/// A chat.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChatDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    kind: ChatKind,
    /// See [`pair_key`].
    direct_key: Binary,
    created_at: DateTime,
    /// Advanced after each message; see `heads`.
    active_at: DateTime,
    /// Advanced after each message; see `heads`.
    last_seq: Seq,
    member_count: u32,
    membership_epoch: u32,
    /// Whether its members are all in.
    ready: bool,
}

/// A chat as its document has it.
pub(crate) struct KeptChat {
    /// The chat, whose end may lag behind its messages.
    pub(crate) chat: Chat,
    /// Whether its members are all in.
    pub(crate) ready: bool,
}

impl ChatDocument {
    /// A new direct chat of the pair, without members yet.
    pub(crate) fn direct(chat: &Chat, users: [UserId; 2]) -> Self {
        Self {
            id: key(id::bytes(chat.id)),
            kind: chat.kind,
            direct_key: pair_key(users),
            created_at: date(chat.created_at),
            active_at: date(chat.active_at),
            last_seq: chat.last_seq,
            member_count: chat.member_count,
            membership_epoch: 1,
            ready: false,
        }
    }
}

fn chat_text(bytes: [u8; 16]) -> String {
    let id: ChatId = id::from_bytes(bytes);
    id.to_string()
}

fn user_text(bytes: [u8; 16]) -> String {
    let id: UserId = id::from_bytes(bytes);
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
        let chat = Chat {
            id: id::from_bytes(self.id.bytes()),
            kind: self.kind,
            created_at: instant(self.created_at),
            active_at: instant(self.active_at),
            last_seq: self.last_seq,
            member_count: self.member_count,
            title: None,
            last_change_seq: 0,
            applied_seq: 0,
        };
        Ok(KeptChat {
            chat,
            ready: self.ready,
        })
    }
}

/// Of a direct chat, what finding it by its other member's name needs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PairDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    direct_key: Binary,
    active_at: DateTime,
}

/// A direct chat with its pair.
pub(crate) struct PeerDocument {
    /// The chat.
    pub(crate) chat: [u8; 16],
    /// When it was last active.
    pub(crate) active_at: Timestamp,
    pair: [[u8; 16]; 2],
}

impl PeerDocument {
    /// Who is in the chat beside `user`.
    pub(crate) fn other_than(&self, user: [u8; 16]) -> [u8; 16] {
        let [low, high] = self.pair;
        if low == user { high } else { low }
    }
}

impl Stored for PairDocument {
    type Value = PeerDocument;
    const COLLECTION: &'static str = CHATS;

    fn name(raw: &RawDocument) -> String {
        chat_name(raw)
    }

    fn value(self) -> Result<PeerDocument, Why> {
        let ids: [u8; 32] = self.direct_key.bytes.as_slice().try_into()?;
        let (low, high) = ids.split_at(16);
        Ok(PeerDocument {
            chat: self.id.bytes(),
            active_at: instant(self.active_at),
            pair: [low.try_into()?, high.try_into()?],
        })
    }
}

/// A user's membership of a chat. Its `_id` means nothing.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MemberDocument {
    chat_id: Uuid,
    user_id: Uuid,
    role: MemberRole,
    joined_at: DateTime,
    last_read_seq: Seq,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_read_at: Option<DateTime>,
}

impl MemberDocument {
    /// A plain member who has read nothing.
    pub(crate) fn new(chat: &Chat, user: UserId) -> Self {
        Self {
            chat_id: key(id::bytes(chat.id)),
            user_id: key(id::bytes(user)),
            role: MemberRole::Member,
            joined_at: date(chat.created_at),
            last_read_seq: 0,
            last_read_at: None,
        }
    }
}

fn member_name(raw: &RawDocument) -> String {
    let user = id_text(raw, "userId", user_text);
    format!("member {user} of {}", id_text(raw, "chatId", chat_text))
}

impl Stored for MemberDocument {
    type Value = Member;
    const COLLECTION: &'static str = MEMBERS;

    fn name(raw: &RawDocument) -> String {
        member_name(raw)
    }

    fn value(self) -> Result<Member, Why> {
        Ok(Member {
            chat_id: id::from_bytes(self.chat_id.bytes()),
            user_id: id::from_bytes(self.user_id.bytes()),
            role: self.role,
            joined_at: instant(self.joined_at),
            last_read_seq: self.last_read_seq,
            last_read_at: self.last_read_at.map(instant),
            joined_seq: 0,
            visible_from_seq: 1,
            is_muted: false,
            version: 1,
        })
    }

    fn stand_in(raw: &RawDocument) -> Option<Member> {
        let (chat, user): (Uuid, Uuid) = (field(raw, "chatId")?, field(raw, "userId")?);
        Some(Member {
            chat_id: id::from_bytes(chat.bytes()),
            user_id: id::from_bytes(user.bytes()),
            // The role with the fewest rights.
            role: field(raw, "role").unwrap_or(MemberRole::Member),
            joined_at: some_instant(raw, "joinedAt"),
            last_read_seq: field(raw, "lastReadSeq").unwrap_or_default(),
            last_read_at: field(raw, "lastReadAt").map(instant),
            joined_seq: 0,
            visible_from_seq: 1,
            is_muted: false,
            version: 1,
        })
    }
}

/// Of a membership, the chat.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChatOfMember {
    chat_id: Uuid,
}

impl Stored for ChatOfMember {
    type Value = ChatId;
    const COLLECTION: &'static str = MEMBERS;

    fn name(raw: &RawDocument) -> String {
        member_name(raw)
    }

    fn value(self) -> Result<ChatId, Why> {
        Ok(id::from_bytes(self.chat_id.bytes()))
    }
}

/// Of a membership, the user.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserOfMember {
    user_id: Uuid,
}

impl Stored for UserOfMember {
    type Value = UserId;
    const COLLECTION: &'static str = MEMBERS;

    fn name(raw: &RawDocument) -> String {
        member_name(raw)
    }

    fn value(self) -> Result<UserId, Why> {
        Ok(id::from_bytes(self.user_id.bytes()))
    }
}
