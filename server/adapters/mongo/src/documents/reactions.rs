//! Reactions, and what a message says of those that it has counted last.

use mongodb::bson::raw::RawDocument;
use mongodb::bson::{Bson, DateTime, Document, Uuid, doc};
use serde::Deserialize;
use serde::de::IgnoredAny;
use talksy_domain::id::{self, ChatId, MessageId, UserId};
use talksy_domain::messages::{Emoji, Reaction};
use talksy_domain::seq::Seq;

use super::{MESSAGES, REACTIONS, Stored, id_text, key};
use crate::fault::Why;

/// A reaction of a user that a message has counted, or has counted no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toggle {
    /// Who.
    pub(crate) user_id: UserId,
    /// With what.
    pub(crate) emoji: Emoji,
    /// Whether they have reacted so since.
    pub(crate) is_on: bool,
    /// The number of the change of the message.
    pub(crate) seq: Seq,
}

impl Toggle {
    /// As a message keeps it.
    pub(crate) fn kept(&self) -> Bson {
        Bson::Document(doc! {
            "userId": key(id::bytes(self.user_id)),
            "emoji": self.emoji.as_str(),
            "on": self.is_on,
            "seq": i64::from(self.seq),
        })
    }

    /// The update that makes the reaction's own document of it, or leaves a newer one.
    pub(crate) fn update(&self, chat: ChatId, message: MessageId) -> Document {
        let seq = i64::from(self.seq);
        let of = doc! {
            "chatId": key(id::bytes(chat)),
            "messageId": key(id::bytes(message)),
            "userId": key(id::bytes(self.user_id)),
            "emoji": self.emoji.as_str(),
            "seq": { "$lt": seq },
        };
        let now = doc! { "on": self.is_on, "seq": seq, "place": place(self.seq, self.user_id) };
        doc! { "q": of, "u": { "$set": now }, "upsert": true }
    }
}

/// A place among those who have reacted so, as a text that is ordered as the places are.
pub(crate) fn place(seq: Seq, user: UserId) -> String {
    let user = u128::from_be_bytes(id::bytes(user));
    format!("{seq:08x}{user:032x}")
}

/// A reaction as its own document has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReactionDocument {
    chat_id: Uuid,
    message_id: Uuid,
    user_id: Uuid,
    emoji: Emoji,
    on: bool,
    seq: Seq,
}

/// The same in the domain's terms.
pub(crate) struct KeptReaction {
    /// In which chat.
    pub(crate) chat_id: ChatId,
    /// To what.
    pub(crate) message_id: MessageId,
    /// The rest.
    pub(crate) toggle: Toggle,
}

impl KeptReaction {
    /// As those are told who have reacted.
    pub(crate) const fn reaction(&self) -> Reaction {
        Reaction {
            user_id: self.toggle.user_id,
            change_seq: self.toggle.seq,
        }
    }
}

impl Stored for ReactionDocument {
    type Value = KeptReaction;
    const COLLECTION: &'static str = REACTIONS;

    fn name(raw: &RawDocument) -> String {
        format!("a reaction to {}", id_text(raw, "messageId", message_text))
    }

    fn value(self) -> Result<KeptReaction, Why> {
        Ok(KeptReaction {
            chat_id: id::from_bytes(self.chat_id.bytes()),
            message_id: id::from_bytes(self.message_id.bytes()),
            toggle: Toggle {
                user_id: id::from_bytes(self.user_id.bytes()),
                emoji: self.emoji,
                is_on: self.on,
                seq: self.seq,
            },
        })
    }
}

fn message_text(bytes: [u8; 16]) -> String {
    let id: MessageId = id::from_bytes(bytes);
    id.to_string()
}

/// Of a message, what concerns its reactions. The counts are the message's own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToggledDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    chat_id: Uuid,
    #[serde(default)]
    change_seq: Seq,
    #[serde(default)]
    toggles: Vec<ToggleDocument>,
    #[serde(default)]
    reactions: Option<IgnoredAny>,
    #[serde(default)]
    deleted_at: Option<DateTime>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToggleDocument {
    user_id: Uuid,
    emoji: Emoji,
    on: bool,
    seq: Seq,
}

/// Of a message, what concerns its reactions.
#[derive(Debug)]
pub(crate) struct Toggled {
    /// The message.
    pub(crate) message_id: MessageId,
    /// Its chat.
    pub(crate) chat_id: ChatId,
    /// The number of its latest change.
    pub(crate) change_seq: Seq,
    /// What it has counted last, which may not be in the reactions' own documents.
    pub(crate) toggles: Vec<Toggle>,
    /// Whether it has had any reaction.
    pub(crate) has_reactions: bool,
    /// Whether it is deleted.
    pub(crate) is_deleted: bool,
}

impl Toggled {
    /// The updates that make the reactions' own documents of its toggles.
    pub(crate) fn updates(&self) -> impl Iterator<Item = Document> {
        let toggles = self.toggles.iter();
        toggles.map(|toggle| toggle.update(self.chat_id, self.message_id))
    }
}

impl Stored for ToggledDocument {
    type Value = Toggled;
    const COLLECTION: &'static str = MESSAGES;

    fn name(raw: &RawDocument) -> String {
        format!("the reactions of {}", id_text(raw, "_id", message_text))
    }

    fn value(self) -> Result<Toggled, Why> {
        let toggle = |kept: ToggleDocument| Toggle {
            user_id: id::from_bytes(kept.user_id.bytes()),
            emoji: kept.emoji,
            is_on: kept.on,
            seq: kept.seq,
        };
        Ok(Toggled {
            message_id: id::from_bytes(self.id.bytes()),
            chat_id: id::from_bytes(self.chat_id.bytes()),
            change_seq: self.change_seq,
            toggles: self.toggles.into_iter().map(toggle).collect(),
            has_reactions: self.reactions.is_some(),
            is_deleted: self.deleted_at.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_ordered_by_change_and_then_by_user() {
        let user = |n: u8| id::from_bytes([n; 16]);
        let places = [
            (1, user(9)),
            (2, user(1)),
            (2, user(0xA0)),
            (16, user(0)),
            (u32::MAX, user(0)),
        ];
        let texts = places.map(|(seq, user)| place(seq, user));
        assert!(texts.is_sorted(), "{texts:?}");
        assert!(texts.iter().all(|text| text.len() == 40));
    }
}
