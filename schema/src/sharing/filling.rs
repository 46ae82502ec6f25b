//! What goes into the holes of a template for one viewer.

use async_graphql::resolver_utils::enum_value;
use async_graphql::{ScalarType as _, Value};
use talksy_domain::chats::Member;
use talksy_domain::events::{Hole, MemberHole};
use talksy_domain::incarnation::Incarnation;
use talksy_domain::messages::{Emoji, Message};
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
    /// With which of the emoji of the event's message they have reacted.
    pub reacted: Option<Reacted>,
}

/// With which of a message's emoji a viewer has reacted: a bit for each, at its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reacted(u64);

impl Reacted {
    /// Those of the message's emoji that are among these.
    pub fn of(message: &Message, own: &[Emoji]) -> Self {
        let counts = message.reactions.counts().iter().zip(0..u64::BITS);
        let own = counts.filter(|(counted, _)| own.contains(&counted.emoji));
        Self(own.fold(0, |bits, (_, place)| bits | 1 << place))
    }

    /// Whether the emoji at this place is one of them.
    fn has(self, place: u8) -> bool {
        let bits = self.0.checked_shr(place.into());
        bits.is_some_and(|bits| bits & 1 == 1)
    }
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
            Hole::IsMuted => write_bool(self.member.as_ref()?.is_muted, bytes),
            Hole::UnreadFrom => {
                let from = self.member.as_ref()?.unread_from_seq.map(int);
                serde_json::to_writer(bytes, &from).ok()?;
            }
            Hole::HasReacted(place) => write_bool(self.reacted?.has(place), bytes),
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

fn write_bool(value: bool, bytes: &mut Vec<u8>) {
    let text = if value { "true" } else { "false" };
    bytes.extend_from_slice(text.as_bytes());
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

#[cfg(test)]
mod tests {
    use talksy_domain::clock::Timestamp;
    use talksy_domain::id;
    use talksy_domain::messages::{MessageText, Reactions};

    use super::*;

    #[test]
    fn what_the_viewer_has_reacted_with_is_known_by_its_place() {
        let emoji = ["👍", "❤️", "🎉"].map(Emoji::stored);
        let [chat, sender] = [[1; 16], [2; 16]];
        let text = MessageText::parse("hello").unwrap();
        let at = Timestamp::from_millis(0);
        let (chat, sender) = (id::from_bytes(chat), id::from_bytes(sender));
        let mut message = Message::draft(id::from_bytes([3; 16]), chat, sender, text, at);
        for emoji in &emoji {
            message.reactions = message.reactions.with(emoji).unwrap();
        }
        assert_eq!(message.reactions.counts().len(), 3);
        const { assert!(Reactions::MAX_EMOJI <= 64) };
        let gone = Emoji::stored("🚀");
        let reacted = Reacted::of(&message, &[emoji[2].clone(), gone, emoji[0].clone()]);
        let filling = Filling {
            reacted: Some(reacted),
            ..Filling::default()
        };
        let written = [0, 1, 2, 49, 255].map(|place| {
            let mut bytes = Vec::new();
            filling.write(Hole::HasReacted(place), &mut bytes).unwrap();
            String::from_utf8(bytes).unwrap()
        });
        assert_eq!(written, ["true", "false", "true", "false", "false"]);
        let unknown = Filling::default().write(Hole::HasReacted(0), &mut Vec::new());
        assert_eq!(unknown, None);
    }
}
