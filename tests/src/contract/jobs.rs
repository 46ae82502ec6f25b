//! Durable jobs: kept once, found when due, changed by who has seen them last.

use std::time::Duration;

use talksy_domain::clock::Timestamp;
use talksy_domain::id::JobId;
use talksy_domain::jobs::{Job, JobChange, JobState, NewJob};

use super::fixture::Stores;
use super::{at_once, ids, now, word};

const SECOND: Duration = Duration::from_secs(1);

/// More jobs than any rule makes.
const MANY: usize = 1_000;

fn new_job(kind: &str, due_at: Timestamp) -> NewJob {
    NewJob {
        id: ids().next(),
        kind: kind.to_owned(),
        payload: "{\"text\":\"“Ω” \\u0000\"}".to_owned(),
        created_at: now(),
        due_at,
    }
}

/// Keeps a job that is due now.
async fn kept(stores: &Stores, kind: &str) -> Job {
    let new = new_job(kind, now());
    assert!(stores.jobs.enqueue(&new).await.unwrap());
    Job::from(new)
}

async fn found(stores: &Stores, id: JobId) -> Option<Job> {
    stores.jobs.job(id).await.unwrap()
}

async fn due(stores: &Stores, kinds: &[&str], by: Timestamp) -> Vec<JobId> {
    let due = stores.jobs.due(kinds, by, MANY).await.unwrap();
    due.iter().map(|job| job.id).collect()
}

/// Changes a job, which must not have been changed since.
async fn changed(stores: &Stores, job: Job, change: JobChange) -> Job {
    let update = stores.jobs.update(job.id, job.version, &change);
    assert!(update.await.unwrap(), "{change:?}");
    job.with(change)
}

/// A job is kept as it was written, and waits.
pub async fn a_job_is_kept_as_it_was_written(stores: &Stores) {
    let job = kept(stores, &word()).await;
    assert_eq!(job.state, JobState::Waiting);
    assert_eq!(found(stores, job.id).await, Some(job));
    assert_eq!(found(stores, ids().next()).await, None);
}

/// Of those who write a job of one id one succeeds, and what they wrote stays.
pub async fn a_job_is_written_once(stores: &Stores) {
    let (kind, id) = (word(), ids().next());
    let writing = (0..8).map(|n: u8| {
        let (jobs, kind) = (stores.jobs.clone(), kind.clone());
        async move {
            let job = NewJob {
                id,
                payload: n.to_string(),
                ..new_job(&kind, now())
            };
            jobs.enqueue(&job).await.unwrap().then_some(job.payload)
        }
    });
    let written: Vec<_> = at_once(writing).await.into_iter().flatten().collect();
    let job = found(stores, id).await.unwrap();
    assert_eq!(written, [job.payload.as_str()]);

    // Nor does it take a job back that somebody has.
    let begun = job.begun();
    let job = changed(stores, job, begun).await;
    let again = NewJob {
        id,
        ..new_job(&kind, now())
    };
    assert!(!stores.jobs.enqueue(&again).await.unwrap());
    assert_eq!(found(stores, id).await, Some(job));
}

/// Due jobs are found in their order, and no others.
pub async fn due_jobs_are_found_in_their_order(stores: &Stores) {
    let (kind, other, now) = (word(), word(), now());
    let mut expected = Vec::new();
    for (kind, seconds) in [(&kind, 3), (&other, 1), (&kind, 2), (&other, 4), (&kind, 5)] {
        let job = new_job(kind, now + SECOND * seconds);
        assert!(stores.jobs.enqueue(&job).await.unwrap());
        expected.push((seconds, job.id));
    }
    expected.sort_unstable();
    let expected: Vec<JobId> = expected.into_iter().map(|(_, id)| id).collect();
    let kinds = [&*kind, &*other];
    assert_eq!(due(stores, &kinds, now + SECOND * 5).await, expected);
    assert_eq!(due(stores, &kinds, now + SECOND * 4).await, expected[..4]);
    assert_eq!(due(stores, &kinds, now).await, []);
    let first = stores.jobs.due(&kinds, now + SECOND * 9, 2).await.unwrap();
    let first: Vec<JobId> = first.iter().map(|job| job.id).collect();
    assert_eq!(first, expected[..2]);
}

/// Jobs of kinds that are not asked for are not found: an instance leaves alone what it does not
/// know.
pub async fn jobs_of_other_kinds_are_left_alone(stores: &Stores) {
    let (known, unknown) = (word(), word());
    let (one, other) = (kept(stores, &known).await, kept(stores, &unknown).await);
    let later = now() + SECOND;
    assert_eq!(due(stores, &[&known], later).await, [one.id]);
    assert_eq!(due(stores, &[&word()], later).await, []);
    assert_eq!(due(stores, &[], later).await, []);
    assert_eq!(found(stores, other.id).await, Some(other));
}

/// Of many who take a job at the same time one succeeds, and nobody finds it waiting any more.
pub async fn of_many_who_take_a_job_one_succeeds(stores: &Stores) {
    let kind = word();
    let job = kept(stores, &kind).await;
    let taken = at_once((0..8).map(|_| {
        let (jobs, job) = (stores.jobs.clone(), job.clone());
        async move {
            let begun = job.begun();
            jobs.update(job.id, job.version, &begun).await.unwrap()
        }
    }))
    .await;
    assert_eq!(taken.into_iter().filter(|taken| *taken).count(), 1);
    assert_eq!(due(stores, &[&kind], now() + SECOND).await, []);
    let begun = job.begun();
    assert_eq!(found(stores, job.id).await, Some(job.with(begun)));
}

/// Whoever has lost a job to another changes nothing of it any more.
pub async fn who_has_lost_a_job_changes_nothing(stores: &Stores) {
    let job = kept(stores, &word()).await;
    let begun = job.begun();
    let lost = changed(stores, job, begun).await;
    let begun = lost.begun();
    let job = changed(stores, lost.clone(), begun).await;

    let late = lost.scheduled(now());
    let update = stores.jobs.update(lost.id, lost.version, &late);
    assert!(!update.await.unwrap());
    assert!(!stores.jobs.delete(lost.id, lost.version).await.unwrap());
    assert_eq!(found(stores, job.id).await, Some(job.clone()));

    assert!(stores.jobs.delete(job.id, job.version).await.unwrap());
    assert!(!stores.jobs.delete(job.id, job.version).await.unwrap());
    assert!(
        !stores
            .jobs
            .update(job.id, job.version, &job.renewed())
            .await
            .unwrap()
    );
    assert_eq!(found(stores, job.id).await, None);
}

/// What is told of a job is kept: its state, its time, its tries, its error.
pub async fn changes_of_a_job_are_kept(stores: &Stores) {
    let (kind, later) = (word(), now() + SECOND * 60);
    let mut job = kept(stores, &kind).await;
    let change = |state, attempts, error: Option<&str>| JobChange {
        state,
        due_at: later,
        attempts,
        last_error: error.map(str::to_owned),
    };
    for change in [
        change(JobState::Running, 1, None),
        change(JobState::Waiting, 1, Some("no “answer”")),
        change(JobState::Running, 2, Some("no “answer”")),
        change(JobState::Failed, 2, Some("never")),
        change(JobState::Waiting, 0, None),
    ] {
        job = changed(stores, job, change).await;
        assert_eq!(found(stores, job.id).await.as_ref(), Some(&job));
    }
    assert_eq!(job.version, 5);
    assert_eq!(due(stores, &[&kind], now()).await, []);
    assert_eq!(due(stores, &[&kind], later).await, [job.id]);
}

/// Jobs are listed by their state, of each kind those first that are due first.
pub async fn jobs_are_listed_by_state(stores: &Stores) {
    let (kind, other) = (word(), word());
    let listed = async |state| {
        let jobs = stores.jobs.in_state(state, MANY).await.unwrap();
        let ours = |job: &&Job| job.kind == kind || job.kind == other;
        jobs.iter().filter(ours).cloned().collect::<Vec<Job>>()
    };
    let mut failed = Vec::new();
    for (kind, seconds) in [(&kind, 3), (&other, 2), (&kind, 1)] {
        let mut job = kept(stores, kind).await;
        for change in [job.begun(), job.failed("no", now() + SECOND * seconds)] {
            job = changed(stores, job, change).await;
        }
        failed.push(job);
    }
    let job = kept(stores, &kind).await;
    let begun = job.begun();
    let running = changed(stores, job, begun).await;
    let waiting = kept(stores, &other).await;
    failed.sort_by(|one, other| (&one.kind, one.due_at).cmp(&(&other.kind, other.due_at)));
    assert_eq!(listed(JobState::Failed).await, failed);
    assert_eq!(listed(JobState::Running).await, [running]);
    assert_eq!(listed(JobState::Waiting).await, [waiting]);
    let first = stores.jobs.in_state(JobState::Failed, 1).await.unwrap();
    assert_eq!(first.len(), 1);
}

super::suite::rules! {
    jobs_rules:
    a_job_is_kept_as_it_was_written,
    a_job_is_written_once,
    due_jobs_are_found_in_their_order,
    jobs_of_other_kinds_are_left_alone,
    of_many_who_take_a_job_one_succeeds,
    who_has_lost_a_job_changes_nothing,
    changes_of_a_job_are_kept,
    jobs_are_listed_by_state,
}
