//! Repair notes.

use mongodb::bson::raw::RawDocument;
use mongodb::bson::{DateTime, Uuid};
use serde::{Deserialize, Serialize};
use talksy_domain::clock::Timestamp;
use talksy_domain::id::{self, ChatId, MessageId};

use super::{NOTES, Stored, date, id_text, instant, key};
use crate::fault::Why;

/// Says that a system message may be about to be written, whose effect has to follow.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NoteDocument {
    #[serde(rename = "_id")]
    message_id: Uuid,
    chat_id: Uuid,
    at: DateTime,
}

/// A repair note.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note {
    /// The system message.
    pub(crate) message_id: MessageId,
    /// Its chat.
    pub(crate) chat_id: ChatId,
    /// When the note was written.
    pub(crate) at: Timestamp,
}

impl From<Note> for NoteDocument {
    fn from(note: Note) -> Self {
        Self {
            message_id: key(id::bytes(note.message_id)),
            chat_id: key(id::bytes(note.chat_id)),
            at: date(note.at),
        }
    }
}

impl Stored for NoteDocument {
    type Value = Note;
    const COLLECTION: &'static str = NOTES;

    fn name(raw: &RawDocument) -> String {
        let id = id_text(raw, "_id", |bytes| {
            let id: MessageId = id::from_bytes(bytes);
            id.to_string()
        });
        format!("the repair note of message {id}")
    }

    fn value(self) -> Result<Note, Why> {
        Ok(Note {
            message_id: id::from_bytes(self.message_id.bytes()),
            chat_id: id::from_bytes(self.chat_id.bytes()),
            at: instant(self.at),
        })
    }
}
