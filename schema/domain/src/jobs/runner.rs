//! Takes jobs, holds them while they run, and tells the store what came of them.
//!
//! Who runs a job holds it by a lease without clocks. The version of a running job rises with each
//! renewal, every third of the lease. Whoever sees a version stand still for a whole lease, by
//! their own monotonic clock, takes the job over. The holder gives up earlier: where no renewal has
//! succeeded for five sixths of a lease, it stops the work. So no two instances run one job at the
//! same time, however wrong their clocks are; wrong clocks only let jobs begin early or late. Where
//! an instance stands still as a whole and wakes up beyond its lease, two may work for a moment: it
//! is the job's own business to be harmless twice, and the version keeps the late one from telling
//! an outcome.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::model::{Job, JobChange, JobPolicy, JobState, NewJob, Task};
use super::store::JobStore;
use crate::backoff::Backoff;
use crate::clock::{Clock, Timestamp};
use crate::error::{PortError, chain};
use crate::id::JobId;
use crate::metrics;

/// How many running jobs are watched for a holder that has died: more than all instances run.
const WATCHED: usize = 1_000;

/// How many failed jobs are counted; as many stands for more.
const COUNTED: usize = 1_000;

/// How often failed jobs are counted, and periodic ones looked after.
const UPKEEP: Duration = Duration::from_mins(1);

/// How long one run of a job may take. What takes longer works in steps, and goes on at the next try.
const RUN_TIMEOUT: Duration = Duration::from_hours(1);

/// The waits while the store does not answer.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The waits until an outcome is told to a store that does not answer.
const FIRST_TELLING: Duration = Duration::from_millis(100);
const LONGEST_TELLING: Duration = Duration::from_secs(2);

/// What came of doing a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Performed {
    /// It is done.
    Done,
    /// It cannot be done yet. This was no failure; it is begun again after this time.
    NotYet(Duration),
}

/// Does tasks. Whatever it does must be harmless twice, and may be broken off at any await.
#[async_trait]
pub trait Perform: Send + Sync {
    /// Does a task that was asked for at `created_at`.
    ///
    /// # Errors
    /// [`PortError::Unavailable`] where trying again may succeed, [`PortError::Corrupt`] where not.
    async fn perform(&self, task: Task, created_at: Timestamp) -> Result<Performed, PortError>;
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    Done,
    PutOff,
    Retried,
    Failed,
    Lost,
}

impl Run {
    const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::PutOff => "put_off",
            Self::Retried => "retried",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }
}

/// Runs jobs. Clones are the same runner.
#[derive(Clone)]
pub struct JobRunner(Arc<Inner>);

struct Inner {
    store: Arc<dyn JobStore>,
    work: Arc<dyn Perform>,
    clock: Arc<dyn Clock>,
    policy: JobPolicy,
    wake: Notify,
    /// The versions of others' running jobs, and since when they are known.
    seen: Mutex<HashMap<JobId, (u32, Instant)>>,
}

/// A job that this process holds.
struct Held {
    job: Job,
    /// From when on another may take it.
    until: Instant,
}

impl JobRunner {
    /// A runner over these ports. It does nothing yet.
    pub fn new(
        store: Arc<dyn JobStore>,
        work: Arc<dyn Perform>,
        clock: Arc<dyn Clock>,
        policy: JobPolicy,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            work,
            clock,
            policy,
            wake: Notify::new(),
            seen: Mutex::default(),
        }))
    }

    /// Keeps a job whose cause needs no other write, and has it begun without waiting for the next
    /// look. False where there is one of its id.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn enqueue(&self, job: &NewJob) -> Result<bool, PortError> {
        let is_new = self.0.store.enqueue(job).await?;
        self.wake();
        Ok(is_new)
    }

    /// Looks for due jobs now. For who has had one written with its cause.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// Runs jobs until `stop`; those that run then have until `hard` to end, and are given back.
    /// Run one such task a process.
    pub async fn run(&self, stop: CancellationToken, hard: CancellationToken) {
        metrics::jobs_known(Task::KINDS);
        let mut running = JoinSet::new();
        let mut pauses = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut upkeep = Instant::now();
        let mut is_down = false;
        while !stop.is_cancelled() {
            let free = self.0.policy.concurrency.saturating_sub(running.len());
            // Not broken off, so that whatever is taken is begun.
            let pause = match self.0.look(free, &mut upkeep).await {
                Ok(jobs) => {
                    if std::mem::take(&mut is_down) {
                        tracing::info!("jobs are looked for again");
                    }
                    pauses.reset();
                    for held in jobs {
                        let (inner, hard) = (Arc::clone(&self.0), hard.clone());
                        running.spawn(async move { inner.run(held, &hard).await });
                    }
                    self.0.policy.poll
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_down, true) {
                        tracing::warn!(error = %chain(&error), "jobs cannot be looked for");
                    }
                    pauses.next_wait()
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(pause) => {}
                () = self.0.wake.notified() => {}
                Some(_ended) = running.join_next() => {}
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// Runs what is due, one job after the other, until nothing is, and says how many were done
    /// with.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn run_due(&self) -> Result<usize, PortError> {
        let mut done = 0;
        loop {
            let jobs = self.0.claim(1).await?;
            if jobs.is_empty() {
                return Ok(done);
            }
            for held in jobs {
                let run = self.0.run(held, &CancellationToken::new()).await;
                done += usize::from(run == Run::Done);
            }
        }
    }
}

impl Inner {
    /// Takes up to `free` jobs, and looks after the others now and then.
    async fn look(&self, free: usize, upkeep: &mut Instant) -> Result<Vec<Held>, PortError> {
        if Instant::now() >= *upkeep {
            self.upkeep().await?;
            *upkeep = Instant::now() + UPKEEP;
        }
        if free == 0 {
            return Ok(Vec::new());
        }
        self.claim(free).await
    }

    /// Counts the failed jobs, and sees that each periodic one is there.
    async fn upkeep(&self) -> Result<(), PortError> {
        let now = self.clock.now();
        for periodic in Task::periodic() {
            let job = periodic.task.job(periodic.id, now, now);
            let job = job.map_err(|error| PortError::corrupt("a periodic task", error))?;
            self.store.enqueue(&job).await?;
        }
        let failed = self.store.in_state(JobState::Failed, COUNTED).await?;
        metrics::jobs_failed(failed.len());
        Ok(())
    }

    /// Takes up to `most` jobs: those that wait and are due, and those whose holder has died.
    async fn claim(&self, most: usize) -> Result<Vec<Held>, PortError> {
        let mut found = self.deserted().await?;
        let due = self.store.due(Task::KINDS, self.clock.now(), most).await?;
        found.extend(due);
        let mut claimed = Vec::new();
        for job in found {
            if claimed.len() == most {
                break;
            }
            claimed.extend(self.take(job).await?);
        }
        Ok(claimed)
    }

    /// Takes a job, where no other is faster. One whose instances have died over it too often is set
    /// aside.
    async fn take(&self, job: Job) -> Result<Option<Held>, PortError> {
        let is_deadly = job.state == JobState::Running
            && job.attempts >= self.policy.attempts
            && job.period().is_none();
        let change = if is_deadly {
            job.failed("the instances that ran it ended", self.clock.now())
        } else {
            job.begun()
        };
        let until = self.next_end();
        if !self.store.update(job.id, job.version, &change).await? {
            return Ok(None);
        }
        let job = job.with(change);
        if is_deadly {
            set_aside(&job);
            return Ok(None);
        }
        Ok(Some(Held { job, until }))
    }

    /// The running jobs whose version has stood still for a lease.
    async fn deserted(&self) -> Result<Vec<Job>, PortError> {
        let running = self.store.in_state(JobState::Running, WATCHED).await?;
        let now = Instant::now();
        let mut seen = self.seen.lock();
        let before = std::mem::take(&mut *seen);
        let is_known = |job: &Job| Task::KINDS.contains(&&*job.kind);
        let mut deserted = Vec::new();
        for job in running.into_iter().filter(is_known) {
            let since = match before.get(&job.id) {
                Some((version, since)) if *version == job.version => *since,
                _ => now,
            };
            seen.insert(job.id, (job.version, since));
            if now.duration_since(since) >= self.policy.lease {
                deserted.push(job);
            }
        }
        Ok(deserted)
    }

    /// Until when a renewal that begins now lets this process hold a job.
    fn next_end(&self) -> Instant {
        Instant::now() + self.policy.lease / 6 * 5
    }

    /// Does a job that this process holds, and tells what came of it.
    async fn run(self: &Arc<Self>, mut held: Held, hard: &CancellationToken) -> Run {
        let ended = self.hold(&mut held, hard).await;
        let run = match ended {
            Some(change) => self.tell(&held, change).await,
            None => Run::Lost,
        };
        metrics::job_ran(&held.job.kind, run.name());
        run
    }

    /// Does the job and renews it meanwhile. What is to become of it; `None` where it was lost.
    async fn hold(
        self: &Arc<Self>,
        held: &mut Held,
        hard: &CancellationToken,
    ) -> Option<(Run, Option<JobChange>)> {
        let task = match Task::parse(&held.job.kind, &held.job.payload) {
            Ok(task) => task,
            Err(error) => {
                let change = held.job.failed(&error.to_string(), self.clock.now());
                return Some((Run::Failed, Some(change)));
            }
        };
        let (work, created_at) = (Arc::clone(&self.work), held.job.created_at);
        let mut working = Working(tokio::spawn(
            async move { work.perform(task, created_at).await },
        ));
        let end = Instant::now() + RUN_TIMEOUT;
        loop {
            let renewal = held.until - self.policy.lease / 2;
            tokio::select! {
                outcome = &mut working.0 => {
                    let outcome = outcome.unwrap_or_else(|_panic| Err(panicked()));
                    return Some(self.judge(&held.job, outcome));
                }
                () = hard.cancelled() => {
                    let change = held.job.put_off(self.clock.now());
                    return Some((Run::PutOff, Some(change)));
                }
                () = sleep_until(end) => {
                    let late = PortError::unavailable("job", "it took too long");
                    return Some(self.judge(&held.job, Err(late)));
                }
                () = sleep_until(renewal) => {}
            }
            if !self.renew(held).await {
                return None;
            }
        }
    }

    /// Tells the store that this process still works. False where it must not any more.
    async fn renew(&self, held: &mut Held) -> bool {
        let mut pauses = Backoff::new(FIRST_TELLING, LONGEST_TELLING);
        loop {
            let until = self.next_end();
            let (change, job) = (held.job.renewed(), &held.job);
            let renewing = self.store.update(job.id, job.version, &change);
            match tokio::time::timeout_at(held.until, renewing).await {
                Ok(Ok(true)) => {
                    held.job = held.job.clone().with(change);
                    held.until = until;
                    return true;
                }
                Ok(Ok(false)) | Err(_) => return false,
                Ok(Err(_unavailable)) => {}
            }
            sleep_until(held.until.min(Instant::now() + pauses.next_wait())).await;
            if Instant::now() >= held.until {
                return false;
            }
        }
    }

    /// What is to become of a job. Without a change it is done with.
    fn judge(&self, job: &Job, outcome: Result<Performed, PortError>) -> (Run, Option<JobChange>) {
        let now = self.clock.now();
        match outcome {
            Ok(Performed::Done) => {
                let next = job.period().map(|period| job.scheduled(now + period));
                (Run::Done, next)
            }
            Ok(Performed::NotYet(wait)) => (Run::PutOff, Some(job.put_off(now + wait))),
            Err(error) => {
                let text = chain(&error);
                let change = match error {
                    PortError::Unavailable { .. } => job.tried_in_vain(&text, now, &self.policy),
                    PortError::Corrupt { .. } => job.failed(&text, now),
                };
                let run = match change.state {
                    JobState::Failed => Run::Failed,
                    _ => Run::Retried,
                };
                if run == Run::Retried {
                    let JobChange {
                        due_at, attempts, ..
                    } = &change;
                    tracing::warn!(
                        job = %job.id, kind = job.kind, error = %text, attempts, again_at = %due_at,
                        "a job failed and is tried again"
                    );
                }
                (run, Some(change))
            }
        }
    }

    /// Tells the store what came of a job, for as long as it is held.
    async fn tell(&self, held: &Held, (run, change): (Run, Option<JobChange>)) -> Run {
        let job = &held.job;
        let mut pauses = Backoff::new(FIRST_TELLING, LONGEST_TELLING);
        loop {
            let told = async {
                match &change {
                    Some(change) => self.store.update(job.id, job.version, change).await,
                    None => self.store.delete(job.id, job.version).await,
                }
            };
            match tokio::time::timeout_at(held.until, told).await {
                Ok(Ok(true)) => {
                    if let (Run::Failed, Some(change)) = (run, change) {
                        set_aside(&job.clone().with(change));
                    }
                    return run;
                }
                Ok(Ok(false)) | Err(_) => return Run::Lost,
                Ok(Err(_unavailable)) => {}
            }
            sleep_until(held.until.min(Instant::now() + pauses.next_wait())).await;
            if Instant::now() >= held.until {
                return Run::Lost;
            }
        }
    }
}

/// Work that ends where nobody waits for it any more.
struct Working(JoinHandle<Result<Performed, PortError>>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The panic hook has reported where.
fn panicked() -> PortError {
    PortError::unavailable("job", "its code panicked")
}

/// Says that a job was set aside. Whoever runs the server has to look at it.
fn set_aside(job: &Job) {
    tracing::error!(
        job = %job.id,
        kind = job.kind,
        attempts = job.attempts,
        error = job.last_error,
        "a job failed for good; see `talksy jobs`"
    );
}
