//! Durable jobs. A job whose cause is a write of this store goes into the same transaction by
//! [`insert`]. A change of a group needs none: message and effect are one transaction.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use talksy_domain::clock::Timestamp;
use talksy_domain::error::PortError;
use talksy_domain::id::{self, JobId};
use talksy_domain::jobs::{Job, JobChange, JobState, JobStore, NewJob};

use super::SqliteStore;
use super::fault::{Fault, Why};
use super::rows::{self, all, change, one, statements};

/// What [`job`] reads.
macro_rules! job_columns {
    () => {
        "id, kind, payload, created_at, state, due_at, version, attempts, last_error"
    };
}

statements! {
    INSERT = concat!("INSERT INTO jobs (", job_columns!(), ")
        VALUES (?1, ?2, ?3, ?4, 0, ?5, 0, 0, NULL) ON CONFLICT (id) DO NOTHING");
    DUE = concat!("SELECT ", job_columns!(), " FROM jobs
        WHERE state = 0 AND kind = ?1 AND due_at <= ?2 ORDER BY due_at LIMIT ?3");
    IN_STATE = concat!("SELECT ", job_columns!(), " FROM jobs
        WHERE state = ?1 ORDER BY kind, due_at LIMIT ?2");
    JOB = concat!("SELECT ", job_columns!(), " FROM jobs WHERE id = ?1");
    UPDATE = "UPDATE jobs SET state = ?3, due_at = ?4, attempts = ?5, last_error = ?6,
        version = version + 1 WHERE id = ?1 AND version = ?2";
    DELETE = "DELETE FROM jobs WHERE id = ?1 AND version = ?2";
}

/// Keeps a job in the transaction of its cause. False where there is one of its id.
pub(super) fn insert(conn: &Connection, job: &NewJob) -> Result<bool, Fault> {
    let values = params![
        id::bytes(job.id),
        job.kind,
        job.payload,
        job.created_at.as_millis(),
        job.due_at.as_millis(),
    ];
    Ok(change(conn, INSERT, values)? > 0)
}

#[async_trait]
impl JobStore for SqliteStore {
    async fn enqueue(&self, job: &NewJob) -> Result<bool, PortError> {
        let job = job.clone();
        self.upkeep(move |conn| insert(conn, &job)).await
    }

    async fn due(
        &self,
        kinds: &[&str],
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Job>, PortError> {
        let kinds: Vec<String> = kinds.iter().map(|&kind| kind.to_owned()).collect();
        self.look(move |conn| {
            let mut due = Vec::new();
            for kind in &kinds {
                let values = (kind, now.as_millis(), rows::limit(limit));
                due.extend(all(conn, DUE, values, job)?);
            }
            due.sort_by_key(|job| job.due_at);
            due.truncate(limit);
            Ok(due)
        })
        .await
    }

    async fn in_state(&self, state: JobState, limit: usize) -> Result<Vec<Job>, PortError> {
        let values = (code(state), rows::limit(limit));
        self.look(move |conn| all(conn, IN_STATE, values, job))
            .await
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>, PortError> {
        self.look(move |conn| one(conn, JOB, [id::bytes(id)], job))
            .await
    }

    async fn update(&self, id: JobId, version: u32, to: &JobChange) -> Result<bool, PortError> {
        let to = to.clone();
        self.upkeep(move |conn| {
            let values = params![
                id::bytes(id),
                version,
                code(to.state),
                to.due_at.as_millis(),
                to.attempts,
                to.last_error,
            ];
            Ok(change(conn, UPDATE, values)? > 0)
        })
        .await
    }

    async fn delete(&self, id: JobId, version: u32) -> Result<bool, PortError> {
        let values = (id::bytes(id), version);
        self.upkeep(move |conn| Ok(change(conn, DELETE, values)? > 0))
            .await
    }
}

fn code(state: JobState) -> i64 {
    match state {
        JobState::Waiting => 0,
        JobState::Running => 1,
        JobState::Failed => 2,
    }
}

fn job(row: &Row<'_>) -> Result<Job, Fault> {
    let job_id: JobId = id::from_bytes(row.get(0)?);
    let parse = || -> Result<Job, Why> {
        Ok(Job {
            id: job_id,
            kind: row.get(1)?,
            payload: row.get(2)?,
            created_at: Timestamp::from_millis(row.get(3)?),
            state: match row.get::<_, i64>(4)? {
                0 => JobState::Waiting,
                1 => JobState::Running,
                2 => JobState::Failed,
                code => return Err(format!("{code} is no state").into()),
            },
            due_at: Timestamp::from_millis(row.get(5)?),
            version: row.get(6)?,
            attempts: row.get(7)?,
            last_error: row.get(8)?,
        })
    };
    parse().map_err(|why| Fault::row(format_args!("job {job_id}"), why))
}
