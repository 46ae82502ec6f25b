//! Durable jobs. There is no transaction that a job could share with its cause, so it is written
//! ahead of it, due a little later: a crash in between leaves a job that finds nothing to do. Each
//! change of a job is one update of one document, which its version is part of the filter of.
//!
//! The commands of jobs are nobody's request, so the store's figures leave them out.

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use talksy_domain::clock::Timestamp;
use talksy_domain::error::PortError;
use talksy_domain::id::{self, JobId};
use talksy_domain::jobs::{Job, JobChange, JobState, JobStore, NewJob};

use super::MongoStore;
use super::call::Call;
use super::commands::{Inserted, Shape};
use super::documents::{JOBS, JobDocument, date, key, limit, state_name, update_of};
use super::fault::Fault;

/// Keeps a job that waits. False where there is one of its id.
pub(super) async fn insert(call: &Call, job: &NewJob) -> Result<bool, Fault> {
    let inserted = call.insert(JOBS, JobDocument::from(job)).await?;
    Ok(inserted == Inserted::Done)
}

fn by_version(job: JobId, version: u32) -> Document {
    doc! { "_id": key(id::bytes(job)), "version": i64::from(version) }
}

impl MongoStore {
    fn upkeep(&self) -> Call {
        Call::of_store(&self.inner)
    }
}

/// Each is 1 command.
#[async_trait]
impl JobStore for MongoStore {
    async fn enqueue(&self, job: &NewJob) -> Result<bool, PortError> {
        Ok(insert(&self.upkeep(), job).await?)
    }

    async fn due(
        &self,
        kinds: &[&str],
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<Job>, PortError> {
        let filter = doc! {
            "state": state_name(JobState::Waiting),
            "kind": { "$in": kinds.to_vec() },
            "dueAt": { "$lte": date(now) },
        };
        let shape = Shape {
            sort: Some(doc! { "dueAt": 1 }),
            limit: Some(limit(most)),
            ..Shape::default()
        };
        Ok(self.upkeep().find::<JobDocument>(filter, shape).await?)
    }

    async fn in_state(&self, state: JobState, most: usize) -> Result<Vec<Job>, PortError> {
        let filter = doc! { "state": state_name(state) };
        let shape = Shape {
            sort: Some(doc! { "kind": 1, "dueAt": 1 }),
            limit: Some(limit(most)),
            ..Shape::default()
        };
        Ok(self.upkeep().find::<JobDocument>(filter, shape).await?)
    }

    async fn job(&self, job: JobId) -> Result<Option<Job>, PortError> {
        let filter = doc! { "_id": key(id::bytes(job)) };
        let call = self.upkeep();
        Ok(call
            .find_one::<JobDocument>(filter, Shape::default())
            .await?)
    }

    async fn update(
        &self,
        job: JobId,
        version: u32,
        change: &JobChange,
    ) -> Result<bool, PortError> {
        let filter = by_version(job, version);
        let call = self.upkeep();
        Ok(call.update_one(JOBS, filter, update_of(change)).await?)
    }

    async fn delete(&self, job: JobId, version: u32) -> Result<bool, PortError> {
        let call = self.upkeep();
        Ok(call.delete(JOBS, by_version(job, version)).await? > 0)
    }
}
