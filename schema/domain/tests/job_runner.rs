//! The runner of jobs, in a time that jumps: instances that die, stand cut off or have wrong clocks,
//! stores that go away, jobs that fail.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use talksy_domain::clock::{Clock, SystemClock, SystemEntropy, Timestamp};
use talksy_domain::error::PortError;
use talksy_domain::id::{IdGenerator, JobId};
use talksy_domain::jobs::{
    Job, JobChange, JobPolicy, JobRunner, JobState, JobStore, NewJob, Perform, Performed, Task,
};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

const POLICY: JobPolicy = JobPolicy {
    poll: Duration::from_secs(5),
    lease: Duration::from_secs(30),
    attempts: 3,
    concurrency: 2,
    first_wait: Duration::from_secs(2),
    longest_wait: Duration::from_mins(1),
};

/// The runtime's time as a wall clock that may be wrong.
struct Wall {
    from: Instant,
    ahead: Duration,
}

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        START + self.from.elapsed() + self.ahead
    }
}

/// Jobs in memory.
#[derive(Default)]
struct Jobs(Mutex<BTreeMap<JobId, Job>>);

impl Jobs {
    fn all(&self) -> Vec<Job> {
        self.0.lock().values().cloned().collect()
    }

    fn get(&self, id: JobId) -> Option<Job> {
        self.0.lock().get(&id).cloned()
    }
}

/// An instance's way to the jobs, which may be cut.
struct Way {
    jobs: Arc<Jobs>,
    is_cut: Arc<AtomicBool>,
}

impl Way {
    fn jobs(&self) -> Result<parking_lot::MutexGuard<'_, BTreeMap<JobId, Job>>, PortError> {
        if self.is_cut.load(Ordering::SeqCst) {
            return Err(PortError::unavailable("store", "cut"));
        }
        Ok(self.jobs.0.lock())
    }
}

#[async_trait]
impl JobStore for Way {
    async fn enqueue(&self, job: &NewJob) -> Result<bool, PortError> {
        let mut jobs = self.jobs()?;
        let is_new = !jobs.contains_key(&job.id);
        jobs.entry(job.id).or_insert_with(|| job.clone().into());
        Ok(is_new)
    }

    async fn due(
        &self,
        kinds: &[&str],
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Job>, PortError> {
        let mut due = self.in_state(JobState::Waiting, usize::MAX).await?;
        due.retain(|job| kinds.contains(&&*job.kind) && job.due_at <= now);
        due.sort_by_key(|job| job.due_at);
        due.truncate(limit);
        Ok(due)
    }

    async fn in_state(&self, state: JobState, limit: usize) -> Result<Vec<Job>, PortError> {
        let jobs = self.jobs()?;
        let found = jobs.values().filter(|job| job.state == state);
        Ok(found.take(limit).cloned().collect())
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>, PortError> {
        Ok(self.jobs()?.get(&id).cloned())
    }

    async fn update(&self, id: JobId, version: u32, change: &JobChange) -> Result<bool, PortError> {
        let mut jobs = self.jobs()?;
        match jobs.get_mut(&id) {
            Some(job) if job.version == version => {
                *job = job.clone().with(change.clone());
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn delete(&self, id: JobId, version: u32) -> Result<bool, PortError> {
        let mut jobs = self.jobs()?;
        let is_as_seen = jobs.get(&id).is_some_and(|job| job.version == version);
        if is_as_seen {
            jobs.remove(&id);
        }
        Ok(is_as_seen)
    }
}

/// What a run of a job does.
#[derive(Clone, Copy)]
enum Script {
    Ends(Duration),
    Fails,
    Panics,
    CannotHelp,
    NotYet,
}

/// What was done, and how much of it at once.
struct Work {
    script: Mutex<Script>,
    begun: AtomicUsize,
    ended: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Work {
    fn new(script: Script) -> Arc<Self> {
        Arc::new(Self {
            script: Mutex::new(script),
            begun: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        })
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }
}

/// Counts a run for as long as it lasts, however it ends.
struct Running<'a>(&'a Work);

impl<'a> Running<'a> {
    fn of(work: &'a Work) -> Self {
        work.begun.fetch_add(1, Ordering::SeqCst);
        let now = work.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        work.most_at_once.fetch_max(now, Ordering::SeqCst);
        Self(work)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Perform for Work {
    async fn perform(&self, _: Task, _: Timestamp) -> Result<Performed, PortError> {
        let _running = Running::of(self);
        let script = *self.script.lock();
        match script {
            Script::Ends(after) => sleep(after).await,
            Script::Fails => return Err(PortError::unavailable("mail", "down")),
            Script::Panics => panic!("a defect, for this test"),
            Script::CannotHelp => return Err(PortError::corrupt("message 7", "no")),
            Script::NotYet => return Ok(Performed::NotYet(MINUTE)),
        }
        self.ended.fetch_add(1, Ordering::SeqCst);
        Ok(Performed::Done)
    }
}

/// Instances over one store. The periodic jobs are there already and due in an hour, where the test
/// is not about them.
struct World {
    jobs: Arc<Jobs>,
    work: Arc<Work>,
    from: Instant,
    ids: IdGenerator,
}

/// An instance.
struct Instance {
    runner: JobRunner,
    is_cut: Arc<AtomicBool>,
    stop: CancellationToken,
    hard: CancellationToken,
    task: JoinHandle<()>,
}

impl Instance {
    /// Dies: all that it does ends at once, and nobody is told.
    fn die(self) {
        self.task.abort();
    }

    fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
    }

    async fn stopped(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

impl World {
    async fn new(script: Script) -> Self {
        let world = Self::bare(script);
        for periodic in Task::periodic() {
            let job = periodic
                .task
                .job(periodic.id, START, START + periodic.period);
            world.keep(job.unwrap()).await;
        }
        world
    }

    fn bare(script: Script) -> Self {
        Self {
            jobs: Arc::default(),
            work: Work::new(script),
            from: Instant::now(),
            ids: IdGenerator::new(Arc::new(SystemClock), Arc::new(SystemEntropy)),
        }
    }

    fn instance(&self) -> Instance {
        self.instance_ahead(Duration::ZERO)
    }

    /// An instance whose clock is ahead.
    fn instance_ahead(&self, ahead: Duration) -> Instance {
        let is_cut = Arc::new(AtomicBool::new(false));
        let way = Way {
            jobs: Arc::clone(&self.jobs),
            is_cut: Arc::clone(&is_cut),
        };
        let clock = Arc::new(Wall {
            from: self.from,
            ahead,
        });
        let runner = JobRunner::new(Arc::new(way), Arc::clone(&self.work) as _, clock, POLICY);
        let (stop, hard) = (CancellationToken::new(), CancellationToken::new());
        let task = tokio::spawn({
            let (runner, stop, hard) = (runner.clone(), stop.clone(), hard.clone());
            async move { runner.run(stop, hard).await }
        });
        Instance {
            runner,
            is_cut,
            stop,
            hard,
            task,
        }
    }

    fn job(&self) -> NewJob {
        let task = Task::PurgeSessions {};
        task.job(self.ids.next(), START, START).unwrap()
    }

    async fn keep(&self, job: NewJob) {
        self.jobs.0.lock().insert(job.id, job.into());
    }

    /// Keeps a job that is due.
    async fn due(&self) -> JobId {
        let job = self.job();
        let id = job.id;
        self.keep(job).await;
        id
    }

    fn passed(&self) -> Duration {
        self.from.elapsed()
    }
}

/// Waits for something that comes with time.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("it never came: {what}");
}

#[tokio::test(start_paused = true)]
async fn a_job_is_done_once_and_gone() {
    let world = World::new(Script::Ends(SECOND)).await;
    let job = world.due().await;
    let (one, other) = (world.instance(), world.instance());
    until("the job's end", || world.jobs.get(job).is_none()).await;
    sleep(MINUTE).await;
    assert_eq!((world.work.begun(), world.work.ended()), (1, 1));
    one.stopped().await;
    other.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_enqueued_here_is_begun_at_once() {
    let world = World::new(Script::Ends(Duration::ZERO)).await;
    let instance = world.instance();
    sleep(Duration::from_millis(100)).await;
    let job = world.job();
    assert!(instance.runner.enqueue(&job).await.unwrap());
    until("the job's end", || world.jobs.get(job.id).is_none()).await;
    assert!(world.passed() < POLICY.poll, "{:?}", world.passed());
    instance.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_long_job_is_held_for_as_long_as_it_takes_and_others_go_on_beside_it() {
    let world = World::new(Script::Ends(10 * POLICY.lease)).await;
    world.due().await;
    let (one, other) = (world.instance(), world.instance());
    until("its beginning", || world.work.begun() >= 1).await;
    *world.work.script.lock() = Script::Ends(SECOND);
    for _ in 0..5 {
        world.due().await;
    }
    until("the others' end", || world.work.ended() >= 5).await;
    assert!(world.passed() < POLICY.lease);
    until("its end", || world.work.ended() >= 6).await;
    assert_eq!(world.work.begun(), 6);
    one.stopped().await;
    other.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_instance_dies_is_taken_over_when_its_lease_has_run_out() {
    let world = World::new(Script::Ends(20 * POLICY.lease)).await;
    let job = world.due().await;
    let one = world.instance();
    until("its beginning", || world.work.begun() >= 1).await;
    let other = world.instance();
    // Longer than a lease: while it is renewed, nobody takes it.
    sleep(3 * POLICY.lease).await;
    assert_eq!(world.work.begun(), 1);
    one.die();
    let died = world.passed();
    *world.work.script.lock() = Script::Ends(SECOND);
    until("its end", || world.jobs.get(job).is_none()).await;
    let taken = world.passed().saturating_sub(died);
    assert!(taken <= POLICY.lease + 3 * POLICY.poll, "{taken:?}");
    assert_eq!((world.work.begun(), world.work.most_at_once()), (2, 1));
    other.stopped().await;
}

/// However wrong the clocks are and whoever is cut off, no job runs twice at the same time.
#[tokio::test(start_paused = true)]
async fn an_instance_that_is_cut_off_stops_before_another_begins() {
    for ahead in [Duration::ZERO, Duration::from_hours(3)] {
        let world = World::new(Script::Ends(20 * POLICY.lease)).await;
        let job = world.due().await;
        let one = world.instance();
        until("its beginning", || world.work.begun() >= 1).await;
        let other = world.instance_ahead(ahead);
        // The periodic jobs are due by a clock that is ahead.
        let periodic = if ahead.is_zero() {
            0
        } else {
            Task::periodic().len()
        };
        sleep(POLICY.lease).await;
        assert_eq!(world.work.begun(), 1 + periodic);
        one.cut(true);
        until("another's beginning", || {
            world.jobs.get(job).unwrap().attempts == 2
        })
        .await;
        assert_eq!(world.work.most_at_once(), 1 + periodic);
        // The first changes nothing any more, also when it is back.
        one.cut(false);
        sleep(5 * POLICY.lease).await;
        assert_eq!(world.jobs.get(job).unwrap().attempts, 2);
        one.stop.cancel();
        other.die();
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_fails_is_tried_again_and_then_set_aside_until_it_is_retried() {
    for script in [Script::Fails, Script::Panics] {
        let world = World::new(script).await;
        let (job, sound) = (world.due().await, world.ids.next());
        let instance = world.instance();
        until("its last failure", || {
            world.jobs.get(job).unwrap().state == JobState::Failed
        })
        .await;
        let failed = world.jobs.get(job).unwrap();
        assert_eq!((failed.attempts, world.work.begun()), (3, 3));
        let error = failed.last_error.clone().unwrap();
        assert!(
            error.ends_with("down") || error.ends_with("panicked"),
            "{error}"
        );
        sleep(10 * MINUTE).await;
        assert_eq!(world.work.begun(), 3, "it rests");

        // Others go on, and so does it once somebody says so.
        *world.work.script.lock() = Script::Ends(SECOND);
        let other = NewJob {
            id: sound,
            ..world.job()
        };
        assert!(instance.runner.enqueue(&other).await.unwrap());
        until("another's end", || world.jobs.get(sound).is_none()).await;
        let retried = failed.retried(START);
        world.jobs.0.lock().insert(job, failed.with(retried));
        until("its end", || world.jobs.get(job).is_none()).await;
        instance.stopped().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_trying_again_cannot_help_is_set_aside_at_once() {
    let world = World::new(Script::CannotHelp).await;
    let job = world.due().await;
    let damaged = NewJob {
        payload: "7".to_owned(),
        ..world.job()
    };
    world.keep(damaged.clone()).await;
    let instance = world.instance();
    until("both failures", || {
        let state = |id| world.jobs.get(id).unwrap().state;
        [job, damaged.id]
            .iter()
            .all(|id| state(*id) == JobState::Failed)
    })
    .await;
    assert_eq!(world.work.begun(), 1, "the damaged one was not begun");
    let error = world.jobs.get(job).unwrap().last_error.unwrap();
    assert_eq!(error, "message 7 is corrupt: no");
    instance.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ends_its_instance_each_time_is_set_aside() {
    let world = World::new(Script::Ends(20 * POLICY.lease)).await;
    let job = world.due().await;
    for begun in 1..=3 {
        let instance = world.instance();
        until("its beginning", || world.work.begun() >= begun).await;
        instance.die();
    }
    let last = world.instance();
    until("its end", || {
        world.jobs.get(job).unwrap().state == JobState::Failed
    })
    .await;
    assert_eq!(world.work.begun(), 3);
    last.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_takes_too_long_is_broken_off_and_tried_again() {
    let world = World::new(Script::Ends(Duration::from_hours(3))).await;
    let job = world.due().await;
    let instance = world.instance();
    let error = || world.jobs.get(job).unwrap().last_error;
    until("its failure", || error().is_some()).await;
    assert_eq!(error().unwrap(), "job is not available: it took too long");
    until("its second try", || {
        world.jobs.get(job).unwrap().attempts == 2
    })
    .await;
    assert!(world.passed() >= Duration::from_hours(1));
    assert_eq!(world.work.ended(), 0);
    instance.stop.cancel();
    instance.hard.cancel();
    instance.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_too_early_is_begun_again_and_was_no_failure() {
    let world = World::new(Script::NotYet).await;
    let job = world.due().await;
    let instance = world.instance();
    until("many beginnings", || world.work.begun() >= 10).await;
    until("its rest", || {
        world.jobs.get(job).unwrap().state == JobState::Waiting
    })
    .await;
    let waiting = world.jobs.get(job).unwrap();
    assert_eq!((waiting.attempts, waiting.last_error), (0, None));
    assert!(world.passed() >= 9 * MINUTE);
    instance.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn jobs_of_kinds_that_are_not_known_are_left_alone() {
    let world = World::new(Script::Ends(SECOND)).await;
    let newer = NewJob {
        kind: "purgeSessions.2".to_owned(),
        ..world.job()
    };
    world.keep(newer.clone()).await;
    let instance = world.instance();
    let job = world.due().await;
    until("another's end", || world.jobs.get(job).is_none()).await;
    sleep(10 * MINUTE).await;
    assert_eq!(world.jobs.get(newer.id), Some(newer.clone().into()));
    // Also where the newer instance that ran it has died: the next newer one takes it.
    let begun = Job::from(newer.clone());
    let change = begun.begun();
    let begun = begun.with(change);
    world.jobs.0.lock().insert(newer.id, begun.clone());
    sleep(10 * MINUTE).await;
    assert_eq!(world.jobs.get(newer.id), Some(begun));
    instance.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_store_does_not_end_the_runner() {
    let world = World::new(Script::Ends(SECOND)).await;
    let instance = world.instance();
    instance.cut(true);
    let job = world.due().await;
    sleep(Duration::from_hours(5)).await;
    assert_eq!(world.work.begun(), 0);
    instance.cut(false);
    let back = world.passed();
    until("its end", || world.jobs.get(job).is_none()).await;
    assert!(world.passed() < back + MINUTE);

    // A short one while a job ends: its outcome is told when the store is back.
    let job = world.due().await;
    let begun = world.work.begun();
    until("its beginning", || world.work.begun() > begun).await;
    instance.cut(true);
    sleep(POLICY.lease / 3).await;
    instance.cut(false);
    until("its end", || world.jobs.get(job).is_none()).await;
    instance.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_jobs_end_and_gives_back_what_does_not() {
    let world = World::new(Script::Ends(10 * SECOND)).await;
    let job = world.due().await;
    let instance = world.instance();
    until("its beginning", || world.work.begun() >= 1).await;
    instance.stopped().await;
    assert_eq!((world.jobs.get(job), world.work.ended()), (None, 1));

    let world = World::new(Script::Ends(Duration::from_hours(1))).await;
    let job = world.due().await;
    let instance = world.instance();
    until("its beginning", || world.work.begun() >= 1).await;
    let hard = instance.hard.clone();
    let stopping = tokio::spawn(instance.stopped());
    sleep(10 * SECOND).await;
    hard.cancel();
    stopping.await.unwrap();
    let given_back = world.jobs.get(job).unwrap();
    assert_eq!(
        (given_back.state, given_back.attempts),
        (JobState::Waiting, 0)
    );
    *world.work.script.lock() = Script::Ends(SECOND);
    let other = world.instance();
    until("its end", || world.jobs.get(job).is_none()).await;
    other.stopped().await;
}

/// Once a period, also where the clocks differ, and where one of the instances dies.
#[tokio::test(start_paused = true)]
async fn a_periodic_job_runs_once_a_period_over_all_instances() {
    for ahead in [Duration::ZERO, 10 * MINUTE] {
        let world = World::bare(Script::Ends(SECOND));
        let all = Task::periodic();
        let (count, period) = (all.len(), all[0].period);
        assert!(all.iter().all(|periodic| periodic.period == period));
        let (one, other) = (world.instance(), world.instance_ahead(ahead));
        sleep(MINUTE).await;
        assert_eq!(world.work.begun(), count, "at the first start");
        for round in 2..=6 {
            sleep(period).await;
            assert_eq!(world.work.begun(), round * count);
        }
        one.die();
        for round in 7..=9 {
            sleep(period).await;
            assert_eq!(world.work.begun(), round * count);
        }
        assert!(world.work.most_at_once() <= count);
        assert_eq!(world.jobs.all().len(), count);
        other.stopped().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_periodic_job_that_fails_goes_on() {
    let world = World::bare(Script::Fails);
    let [periodic, other] = Task::periodic();
    let instance = world.instance();
    until("many failures", || world.work.begun() >= 12).await;
    *world.work.script.lock() = Script::Ends(SECOND);
    for id in [periodic.id, other.id] {
        until("a success of each", || {
            let job = world.jobs.get(id).unwrap();
            (job.state, job.attempts, job.last_error) == (JobState::Waiting, 0, None)
        })
        .await;
    }
    instance.stopped().await;
}
