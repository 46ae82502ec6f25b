//! Durable jobs.

use mongodb::bson::raw::RawDocument;
use mongodb::bson::{DateTime, Document, Uuid, doc};
use serde::{Deserialize, Serialize};
use talksy_domain::id::{self, JobId};
use talksy_domain::jobs::{Job, JobChange, JobState, NewJob};

use super::{JOBS, Stored, date, id_text, instant, key};
use crate::fault::Why;

/// A job as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    kind: String,
    payload: String,
    created_at: DateTime,
    state: State,
    due_at: DateTime,
    version: i64,
    attempts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum State {
    Waiting,
    Running,
    Failed,
}

impl From<JobState> for State {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Waiting => Self::Waiting,
            JobState::Running => Self::Running,
            JobState::Failed => Self::Failed,
        }
    }
}

/// The state as it stands in queries and updates.
pub(crate) const fn state_name(state: JobState) -> &'static str {
    match state {
        JobState::Waiting => "waiting",
        JobState::Running => "running",
        JobState::Failed => "failed",
    }
}

/// The update that makes the change.
pub(crate) fn update_of(change: &JobChange) -> Document {
    let mut set = doc! {
        "state": state_name(change.state),
        "dueAt": date(change.due_at),
        "attempts": i64::from(change.attempts),
    };
    let mut update = doc! { "$inc": { "version": 1_i64 } };
    if let Some(error) = &change.last_error {
        set.insert("lastError", error);
    } else {
        update.insert("$unset", doc! { "lastError": "" });
    }
    update.insert("$set", set);
    update
}

impl From<&NewJob> for JobDocument {
    fn from(job: &NewJob) -> Self {
        Self {
            id: key(id::bytes(job.id)),
            kind: job.kind.clone(),
            payload: job.payload.clone(),
            created_at: date(job.created_at),
            state: JobState::Waiting.into(),
            due_at: date(job.due_at),
            version: 0,
            attempts: 0,
            last_error: None,
        }
    }
}

impl Stored for JobDocument {
    type Value = Job;
    const COLLECTION: &'static str = JOBS;

    fn name(raw: &RawDocument) -> String {
        let id = id_text(raw, "_id", |bytes| {
            let id: JobId = id::from_bytes(bytes);
            id.to_string()
        });
        format!("job {id}")
    }

    fn value(self) -> Result<Job, Why> {
        Ok(Job {
            id: id::from_bytes(self.id.bytes()),
            kind: self.kind,
            payload: self.payload,
            created_at: instant(self.created_at),
            state: match self.state {
                State::Waiting => JobState::Waiting,
                State::Running => JobState::Running,
                State::Failed => JobState::Failed,
            },
            due_at: instant(self.due_at),
            version: self.version.try_into()?,
            attempts: self.attempts.try_into()?,
            last_error: self.last_error,
        })
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::serialize_to_bson;

    use super::*;

    #[test]
    fn states_are_asked_for_as_they_are_kept() {
        for state in [JobState::Waiting, JobState::Running, JobState::Failed] {
            let kept = serialize_to_bson(&State::from(state)).unwrap();
            assert_eq!(kept.as_str(), Some(state_name(state)));
        }
    }
}
