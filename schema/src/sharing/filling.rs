//! What goes into the holes of a template for one viewer.

use async_graphql::resolver_utils::enum_value;
use async_graphql::{ScalarType as _, Value};
use talksy_domain::chats::Member;
use talksy_domain::events::{Hole, MemberHole};
use talksy_domain::incarnation::Incarnation;
use talksy_domain::seq::Seq;

use crate::chats::{MemberRoleEnum, member_id, read_cursor};
use crate::scalars::{DateTime, int};

/// What a viewer has for themself.
#[derive(Clone, Debug, Default)]
pub struct Filling {
    /// Their place behind the event.
    pub cursor: Option<String>,
    /// Their membership of the chat.
    pub member: Option<Member>,
    /// The store's incarnation, which is a part of cursors.
    pub incarnation: Option<Incarnation>,
    /// How much of the chat they have not read, at the template's own numbers.
    pub unread: Option<u32>,
    /// How far all others have read.
    pub read_by_all: Option<AllRead>,
    /// How much of that mentions them.
    pub unread_mentions: Option<u32>,
}

/// How far all others have read; `None` where there are none, and in a large group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllRead(pub Option<Seq>);

impl Filling {
    /// Writes what belongs into a hole, as an execution for this viewer alone gives it; `None` where it
    /// is not known.
    pub fn write(&self, hole: Hole, bytes: &mut Vec<u8>) -> Option<()> {
        match hole {
            Hole::Cursor => write_opaque(self.cursor.as_deref()?, bytes),
            Hole::UnreadCount => serde_json::to_writer(bytes, &int(self.unread?)).ok()?,
            Hole::UnreadMentionCount => {
                serde_json::to_writer(bytes, &int(self.unread_mentions?)).ok()?;
            }
            Hole::IsMuted => {
                let text = if self.member.as_ref()?.is_muted {
                    "true"
                } else {
                    "false"
                };
                bytes.extend_from_slice(text.as_bytes());
            }
            Hole::UnreadFrom => {
                let from = self.member.as_ref()?.unread_from_seq.map(int);
                serde_json::to_writer(bytes, &from).ok()?;
            }
            Hole::ReadCursor => {
                let member = self.member.as_ref()?;
                let cursor = read_cursor(member.chat_id, self.incarnation?, Some(member));
                write_opaque(&cursor, bytes);
            }
            Hole::ReadByAll => {
                let AllRead(seq) = self.read_by_all?;
                serde_json::to_writer(bytes, &seq.map(int)).ok()?;
            }
            Hole::Member(hole) => {
                serde_json::to_writer(bytes, &member_value(hole, self.member.as_ref()?)).ok()?;
            }
        }
        Some(())
    }
}

/// Writes a cursor, whose letters stand for themselves in JSON.
fn write_opaque(cursor: &str, bytes: &mut Vec<u8>) {
    bytes.push(b'"');
    bytes.extend_from_slice(cursor.as_bytes());
    bytes.push(b'"');
}

fn member_value(hole: MemberHole, member: &Member) -> Value {
    match hole {
        MemberHole::Id => member_id(member).0.into(),
        MemberHole::Role => enum_value(MemberRoleEnum::from(member.role)),
        MemberHole::JoinedAt => DateTime(member.joined_at).to_value(),
        MemberHole::VisibleFromSeq => int(member.visible_from_seq).into(),
        MemberHole::LastReadSeq => int(member.last_read_seq).into(),
        MemberHole::LastReadAt => {
            let at = member.last_read_at.map(DateTime);
            at.map_or(Value::Null, |at| at.to_value())
        }
    }
}
