//! Members of chats.

use mongodb::bson::raw::RawDocument;
use mongodb::bson::{DateTime, Uuid};
use serde::{Deserialize, Serialize};
use talksy_domain::chats::{Chat, Member, MemberRole};
use talksy_domain::id::{self, ChatId, UserId};
use talksy_domain::seq::Seq;

use super::chats::chat_text;
use super::{BlockMark, MEMBERS, Stored, date, field, id_text, instant, key, some_instant};
use crate::fault::Why;

/// A user's membership of a chat. Its `_id` means nothing. It stays when the membership ends, and
/// is used again when the user rejoins.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MemberDocument {
    chat_id: Uuid,
    user_id: Uuid,
    /// Whether the user is a member at present.
    active: bool,
    role: MemberRole,
    joined_at: DateTime,
    joined_seq: Seq,
    visible_from_seq: Seq,
    last_read_seq: Seq,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_read_at: Option<DateTime>,
    /// From where on the chat is shown as unread by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unread_from_seq: Option<Seq>,
    muted: bool,
    /// In a direct chat, whether the one with the smaller id has blocked the other; see `blocks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    low_blocks: Option<BlockMark>,
    /// The other way round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    high_blocks: Option<BlockMark>,
    /// The newest system message whose effect it has; see `notices`.
    at: Seq,
    /// Rises with every change of the document.
    v: u32,
}

impl MemberDocument {
    /// A member of a direct chat who has read nothing.
    pub(crate) fn new(chat: &Chat, user: UserId) -> Self {
        let member = Member::of_direct(chat.id, user, chat.created_at);
        Self {
            chat_id: key(id::bytes(chat.id)),
            user_id: key(id::bytes(user)),
            active: true,
            role: member.role,
            joined_at: date(member.joined_at),
            joined_seq: member.joined_seq,
            visible_from_seq: member.visible_from_seq,
            last_read_seq: member.last_read_seq,
            last_read_at: None,
            unread_from_seq: None,
            muted: member.is_muted,
            low_blocks: None,
            high_blocks: None,
            at: 0,
            v: member.version,
        }
    }
}

fn user_text(bytes: [u8; 16]) -> String {
    let id: UserId = id::from_bytes(bytes);
    id.to_string()
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
            joined_seq: self.joined_seq,
            visible_from_seq: self.visible_from_seq,
            last_read_seq: self.last_read_seq,
            last_read_at: self.last_read_at.map(instant),
            unread_from_seq: self.unread_from_seq,
            is_muted: self.muted,
            is_blocked: BlockMark::any([self.low_blocks, self.high_blocks]),
            version: self.v,
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
            joined_seq: field(raw, "joinedSeq").unwrap_or_default(),
            // Nothing rather than too much.
            visible_from_seq: field(raw, "visibleFromSeq").unwrap_or(Seq::MAX),
            last_read_seq: field(raw, "lastReadSeq").unwrap_or_default(),
            last_read_at: field(raw, "lastReadAt").map(instant),
            unread_from_seq: field(raw, "unreadFromSeq"),
            is_muted: field(raw, "muted").unwrap_or_default(),
            is_blocked: BlockMark::any([field(raw, "lowBlocks"), field(raw, "highBlocks")]),
            version: field(raw, "v").unwrap_or(1),
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
