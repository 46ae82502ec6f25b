//! What goes into the holes of a template for one viewer.

use async_graphql::ScalarType as _;
use async_graphql::Value;
use async_graphql::resolver_utils::enum_value;
use serde::Serialize;
use talksy_domain::chats::Member;
use talksy_domain::clock::Timestamp;
use talksy_domain::events::{Hole, MemberHole};

use crate::chats::{MemberRoleEnum, member_id, read_cursor};
use crate::scalars::{DateTime, int};

/// What a viewer has for themself.
#[derive(Clone, Debug, Default)]
pub struct Filling {
    /// Their place behind the event.
    pub cursor: Option<String>,
    /// Their membership of the chat.
    pub member: Option<Member>,
    /// How much of the chat they have not read, at the template's own numbers.
    pub unread: Option<u32>,
}

/// Writes what belongs into a hole, as an execution for this viewer alone would; `None` where it is
/// not known.
pub fn fill(hole: Hole, filling: &Filling, bytes: &mut Vec<u8>) -> Option<()> {
    match hole {
        Hole::Cursor => write(filling.cursor.as_ref()?, bytes),
        Hole::UnreadCount => write(&int(filling.unread?), bytes),
        Hole::IsMuted => write(&filling.member.as_ref()?.is_muted, bytes),
        Hole::ReadCursor => {
            let member = filling.member.as_ref()?;
            write(&read_cursor(member.chat_id, Some(member)), bytes)
        }
        Hole::Member(hole) => write_member(hole, filling.member.as_ref()?, bytes),
    }
}

fn write_member(hole: MemberHole, member: &Member, bytes: &mut Vec<u8>) -> Option<()> {
    match hole {
        MemberHole::Id => write(&member_id(member).as_str(), bytes),
        MemberHole::Role => write(&enum_value(MemberRoleEnum::from(member.role)), bytes),
        MemberHole::JoinedAt => write_time(member.joined_at, bytes),
        MemberHole::VisibleFromSeq => write(&int(member.visible_from_seq), bytes),
        MemberHole::LastReadSeq => write(&int(member.last_read_seq), bytes),
        MemberHole::LastReadAt => match member.last_read_at {
            Some(at) => write_time(at, bytes),
            None => write(&Value::Null, bytes),
        },
    }
}

fn write_time(at: Timestamp, bytes: &mut Vec<u8>) -> Option<()> {
    write(&DateTime(at).to_value(), bytes)
}

fn write(value: &(impl Serialize + ?Sized), bytes: &mut Vec<u8>) -> Option<()> {
    serde_json::to_writer(bytes, value).ok()
}
