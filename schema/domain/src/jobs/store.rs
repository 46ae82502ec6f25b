//! The port through which jobs are kept.

use super::model::{Job, JobChange, JobState, NewJob};
use crate::clock::Timestamp;
use crate::error::PortError;
use crate::id::JobId;
use crate::port::port;

port! {
    /// Keeps jobs. Each method is atomic on its own. A store also writes jobs by itself, with what
    /// makes them needed.
    ///
    /// The store judges nothing: the steps of a job's life are those of [`Job`], and are taken by
    /// compare-and-set of the version. So of many who take one job one succeeds, and whoever has
    /// lost a job to another changes nothing of it any more.
    pub trait JobStore as "jobs" with JobStoreLayer {
        /// Keeps a job that waits. False where there is one of its id, which stays as it is.
        async fn enqueue(&self, job: &NewJob) -> Result<bool, PortError>;

        /// The first `limit` jobs of these kinds that wait and are due by `now`, earliest first.
        async fn due(
            &self,
            kinds: &[&str],
            now: Timestamp,
            limit: usize,
        ) -> Result<Vec<Job>, PortError>;

        /// The first `limit` jobs in this state, of any kind, ordered by kind, then by when they
        /// are due.
        async fn in_state(&self, state: JobState, limit: usize) -> Result<Vec<Job>, PortError>;

        /// A job, where there is one.
        async fn job(&self, id: JobId) -> Result<Option<Job>, PortError>;

        /// Changes a job that still has this version, which rises by one. False where it has another
        /// or is gone.
        async fn update(
            &self,
            id: JobId,
            version: u32,
            change: &JobChange,
        ) -> Result<bool, PortError>;

        /// Deletes a job that still has this version. False where it has another or is gone.
        async fn delete(&self, id: JobId, version: u32) -> Result<bool, PortError>;
    }
}
