//! What goes into the holes of a template for one viewer.

use async_graphql::resolver_utils::enum_value;
use async_graphql::{ScalarType as _, Value};
use talksy_domain::chats::Member;
use talksy_domain::events::{Hole, MemberHole};
use talksy_domain::incarnation::Incarnation;

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
}

impl Filling {
    /// What belongs into a hole, as an execution for this viewer alone gives it; `None` where it is
    /// not known.
    pub fn value(&self, hole: Hole) -> Option<Value> {
        Some(match hole {
            Hole::Cursor => self.cursor.clone()?.into(),
            Hole::UnreadCount => int(self.unread?).into(),
            Hole::IsMuted => self.member.as_ref()?.is_muted.into(),
            Hole::ReadCursor => {
                let member = self.member.as_ref()?;
                read_cursor(member.chat_id, self.incarnation?, Some(member)).into()
            }
            Hole::Member(hole) => member_value(hole, self.member.as_ref()?),
        })
    }
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
