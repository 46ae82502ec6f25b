//! Repair jobs: one is written ahead of each system message, and deleted when the message's effect
//! is in the documents that follow from it (see `notices`). A crash in between leaves the job. The
//! next who commits to the chat, or reads its end, completes the effect without it; the job is for
//! the chat that nobody comes to.
//!
//! The job has the id of its message, so that writing it again does nothing. It is due only when an
//! instance that lives has long deleted it. The message may come after its job for as long as a
//! command can be on its way; the task waits for it that long.

use std::time::Duration;

use mongodb::bson::raw::RawDocument;
use mongodb::bson::{DateTime, Uuid, doc};
use serde::Deserialize;
use talksy_domain::clock::{Clock as _, SystemClock, Timestamp};
use talksy_domain::id::{self, ChatId, JobId, MessageId};
use talksy_domain::jobs::Task;

use super::call::Call;
use super::commands::Shape;
use super::documents::{FORMER_NOTES, JOBS, MessageDocument, Stored, id_text, instant, key};
use super::fault::{Fault, Why};
use super::{jobs, notices};

/// How long the instance that wrote a job has to delete it.
pub(super) const HEAD_START: Duration = Duration::from_secs(10);

/// How many notes of earlier releases are read at once.
const BATCH: i64 = 1_000;

/// Says that the message is about to be written.
pub(super) async fn announce(call: &Call, message: MessageId, chat: ChatId) -> Result<(), Fault> {
    write(call, message, chat, SystemClock.now()).await
}

async fn write(call: &Call, message: MessageId, chat: ChatId, at: Timestamp) -> Result<(), Fault> {
    let task = Task::CompleteGroupChange {
        chat_id: chat,
        message_id: message,
    };
    let job = task.job(id_of(message), at, at + HEAD_START);
    let job = job.map_err(|error| Fault::document("a repair job", error.into()))?;
    jobs::insert(call, &job).await?;
    Ok(())
}

fn id_of(message: MessageId) -> JobId {
    id::from_bytes(id::bytes(message))
}

/// Deletes the job of a message that was applied, or will not be written. One that stays does no
/// harm.
pub(super) async fn done(call: &Call, message: MessageId) {
    let filter = doc! { "_id": key(id::bytes(message)) };
    if let Err(fault) = call.delete(JOBS, filter).await {
        tracing::debug!(%fault, "a repair job was not deleted");
    }
}

/// Applies the system message, and all before it, where it is there.
pub(super) async fn complete(call: &Call, chat: ChatId, message: MessageId) -> Result<bool, Fault> {
    let filter = doc! { "_id": key(id::bytes(message)) };
    let found = call.find_one::<MessageDocument>(filter, Shape::default());
    let Some(found) = found.await? else {
        return Ok(false);
    };
    notices::catch_up(call, chat, found.seq).await?;
    Ok(true)
}

/// A repair note, as earlier releases have written it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FormerNote {
    #[serde(rename = "_id")]
    message_id: Uuid,
    chat_id: Uuid,
    at: DateTime,
}

impl Stored for FormerNote {
    type Value = (MessageId, ChatId, Timestamp);
    const COLLECTION: &'static str = FORMER_NOTES;

    fn name(raw: &RawDocument) -> String {
        let id = id_text(raw, "_id", |bytes| {
            let id: MessageId = id::from_bytes(bytes);
            id.to_string()
        });
        format!("the repair note of message {id}")
    }

    fn value(self) -> Result<Self::Value, Why> {
        let message = id::from_bytes(self.message_id.bytes());
        Ok((
            message,
            id::from_bytes(self.chat_id.bytes()),
            instant(self.at),
        ))
    }
}

/// Makes jobs of the notes that an earlier release has left. Instances of that release, which may
/// still run, see to their own as long as they live; so it is done at each start. Their writer's
/// attempt to delete a note that is a job by now does no harm.
pub(super) async fn take_over_notes(call: &Call) -> Result<(), Fault> {
    loop {
        let shape = Shape {
            limit: Some(BATCH),
            ..Shape::default()
        };
        let notes = call.find::<FormerNote>(doc! {}, shape).await?;
        if notes.is_empty() {
            return Ok(());
        }
        for (message, chat, at) in notes {
            write(call, message, chat, at).await?;
            let note = doc! { "_id": key(id::bytes(message)) };
            call.delete(FORMER_NOTES, note).await?;
        }
    }
}
