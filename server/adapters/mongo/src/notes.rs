//! Repair notes: a note is written before a system message is, and deleted when its effect is in
//! the documents that follow from it (see `notices`). A crash in between leaves the note. The next
//! who commits to the chat, or reads its end, completes the effect without it; the note is for the
//! chat that nobody comes to.
//!
//! The message may come after its note for as long as a command can be on its way, so a note whose
//! message is not there is kept for an hour.

use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::doc;
use talksy_domain::clock::{Clock as _, SystemClock, Timestamp};
use talksy_domain::id::{self, ChatId, MessageId};

use super::Inner;
use super::call::Call;
use super::commands::Shape;
use super::documents::{MessageDocument, NOTES, Note, NoteDocument, date, key};
use super::fault::Fault;
use super::notices;

/// How often notes are looked for, and how old one is before somebody else than its writer sees
/// to it.
const SWEEP: Duration = Duration::from_secs(10);

/// How long a note waits for its message.
const LONGEST: Duration = Duration::from_hours(1);

/// The most notes that one sweep sees to.
const BATCH: i64 = 100;

/// Notes that the message is about to be written. Noting it again does nothing.
pub(super) async fn write(call: &Call, message: MessageId, chat: ChatId) -> Result<(), Fault> {
    let note = Note {
        message_id: message,
        chat_id: chat,
        at: SystemClock.now(),
    };
    call.insert(NOTES, NoteDocument::from(note)).await?;
    Ok(())
}

/// Deletes the note of a message that was applied, or will not be written. One that stays does no
/// harm.
pub(super) async fn done(call: &Call, message: MessageId) {
    let filter = doc! { "_id": key(id::bytes(message)) };
    if let Err(fault) = call.delete(NOTES, filter).await {
        tracing::debug!(%fault, "a repair note was not deleted");
    }
}

/// Applies what the notes from before `older_than` tell of, and says how many are done with.
pub(super) async fn sweep(call: &Call, older_than: Timestamp) -> Result<u32, Fault> {
    let filter = doc! { "at": { "$lt": date(older_than) } };
    let shape = Shape {
        sort: Some(doc! { "at": 1 }),
        limit: Some(BATCH),
        ..Shape::default()
    };
    let notes = call.find::<NoteDocument>(filter, shape).await?;
    let mut seen_to = 0;
    for note in notes {
        let filter = doc! { "_id": key(id::bytes(note.message_id)) };
        let message = call.find_one::<MessageDocument>(filter, Shape::default());
        match message.await? {
            Some(message) => {
                notices::catch_up(call, note.chat_id, message.seq).await?;
            }
            // What is not there by then never comes.
            None if note.at + LONGEST < older_than => {}
            None => continue,
        }
        done(call, note.message_id).await;
        seen_to += 1;
    }
    Ok(seen_to)
}

/// Sweeps now and then, until the store is closed or dropped.
pub(super) fn start(inner: &Arc<Inner>) {
    let inner = Arc::downgrade(inner);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            let Some(inner) = inner.upgrade() else {
                return;
            };
            let older_than = SystemClock.now() - SWEEP;
            match sweep(&Call::of_store(&inner), older_than).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "completed changes of groups after a crash"),
                Err(Fault::Closed) => return,
                Err(fault) => tracing::debug!(%fault, "repair notes were not looked through"),
            }
        }
    });
}
