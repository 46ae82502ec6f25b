//! `talksy jobs`: what an operator does with durable jobs. Each step is a compare-and-set in the
//! store, so it goes along with running servers, which find what was retried at their next look.

use std::error::Error;
use std::fmt::Write as _;

use talksy_domain::clock::{Clock as _, SystemClock};
use talksy_domain::id::JobId;
use talksy_domain::jobs::{Job, JobState, JobStore};

use super::JobsCommand;
use crate::adapters::jobs_beside;
use crate::config::Config;

/// The most jobs of a state that are shown.
const SHOWN: usize = 1_000;

/// Does what was asked, and says what came of it.
pub(super) async fn run(command: &JobsCommand, config: &Config) -> Result<String, Box<dyn Error>> {
    let (store, backend) = jobs_beside(config)?;
    let said = match command {
        JobsCommand::List => list(&*store).await,
        JobsCommand::Retry { ids } => retry(&*store, ids).await,
        JobsCommand::Drop { ids, all: _ } => discard(&*store, ids).await,
    };
    backend.close().await;
    said
}

async fn list(store: &dyn JobStore) -> Result<String, Box<dyn Error>> {
    let mut said = String::new();
    for state in [JobState::Failed, JobState::Running, JobState::Waiting] {
        let jobs = store.in_state(state, SHOWN).await?;
        said.extend(jobs.iter().map(describe));
        if jobs.len() == SHOWN {
            writeln!(said, "… only the first {SHOWN} of this state are shown")?;
        }
    }
    Ok(said)
}

/// A line a job.
fn describe(job: &Job) -> String {
    let state = match job.state {
        JobState::Waiting => "waits until",
        JobState::Running => "runs, due",
        JobState::Failed => "failed",
    };
    let error = job.last_error.as_deref();
    format!(
        "{}  {}  {state} {}  tries: {}{}\n",
        job.id,
        job.kind,
        job.due_at,
        job.attempts,
        error.map_or_else(String::new, |error| format!("  error: {error}")),
    )
}

async fn retry(store: &dyn JobStore, ids: &[JobId]) -> Result<String, Box<dyn Error>> {
    let (jobs, mut unchanged) = chosen(store, ids).await?;
    let mut count = 0;
    for job in jobs {
        let is_still = match job.state {
            JobState::Running => false,
            JobState::Waiting | JobState::Failed => {
                let change = job.retried(SystemClock.now());
                store.update(job.id, job.version, &change).await?
            }
        };
        if is_still {
            count += 1;
        } else {
            unchanged.push(job.id);
        }
    }
    outcome("retried", count, &unchanged)
}

async fn discard(store: &dyn JobStore, ids: &[JobId]) -> Result<String, Box<dyn Error>> {
    let (jobs, mut unchanged) = chosen(store, ids).await?;
    let mut count = 0;
    for job in jobs {
        if job.state == JobState::Failed && store.delete(job.id, job.version).await? {
            count += 1;
        } else {
            unchanged.push(job.id);
        }
    }
    outcome("dropped", count, &unchanged)
}

/// These jobs, and the ids of those that there are not. Without ids, the failed ones.
async fn chosen(
    store: &dyn JobStore,
    ids: &[JobId],
) -> Result<(Vec<Job>, Vec<JobId>), Box<dyn Error>> {
    if ids.is_empty() {
        return Ok((store.in_state(JobState::Failed, SHOWN).await?, Vec::new()));
    }
    let (mut jobs, mut missing) = (Vec::new(), Vec::new());
    for &id in ids {
        match store.job(id).await? {
            Some(job) => jobs.push(job),
            None => missing.push(id),
        }
    }
    Ok((jobs, missing))
}

/// What is said of so many jobs, or the error that names those that were left as they are.
fn outcome(done: &str, count: u32, unchanged: &[JobId]) -> Result<String, Box<dyn Error>> {
    if unchanged.is_empty() {
        return Ok(format!("{done}: {count}\n"));
    }
    let ids: Vec<String> = unchanged.iter().map(ToString::to_string).collect();
    let ids = ids.join(", ");
    Err(format!("{done}: {count}; not there, or in no state for it: {ids}").into())
}
