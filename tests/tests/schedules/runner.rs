//! Runs many schedules, each of a seed of its own, on some threads. One that fails is made smaller, and
//! told with the seed that brings it again.

use std::cell::RefCell;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use parking_lot::Mutex;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use tokio::runtime::Builder;

use super::case::{Case, case};
use super::deployment::Deployment;
use super::run::run;

/// How many schedules use one deployment before it is replaced by a new one, which has no history.
const PER_DEPLOYMENT: u64 = 250;

/// What schedules did, together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub schedules: u64,
    pub comparisons: u64,
    pub writes: u64,
    pub deaths: u64,
    pub asked: u64,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, more: Self) {
        self.schedules += more.schedules;
        self.comparisons += more.comparisons;
        self.writes += more.writes;
        self.deaths += more.deaths;
        self.asked += more.asked;
    }
}

/// A number from the environment.
pub fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap())
}

/// Runs so many schedules of up to so many steps. With `TALKSY_TEST_SEED` all are of that seed.
pub fn schedules(count: u64, steps: usize, deploy: fn() -> Deployment) -> Figures {
    let one_seed = number("TALKSY_TEST_SEED");
    let first: u64 = rand::random();
    let lanes = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(8);
    let next = AtomicU64::new(0);
    let has_failed = AtomicBool::new(false);
    let total = Mutex::new(Figures::default());
    thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                let mut lane = Lane::new(deploy);
                while !has_failed.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        break;
                    }
                    let seed = one_seed.unwrap_or_else(|| first.wrapping_add(index));
                    if let Err(failure) = lane.schedule(seed, steps) {
                        has_failed.store(true, Ordering::Relaxed);
                        panic!("{failure}");
                    }
                }
                *total.lock() += lane.figures.into_inner();
            });
        }
    });
    total.into_inner()
}

/// One thread's schedules.
struct Lane {
    deploy: fn() -> Deployment,
    deployment: RefCell<Option<Deployment>>,
    runs: u64,
    figures: RefCell<Figures>,
}

impl Lane {
    fn new(deploy: fn() -> Deployment) -> Self {
        Self {
            deploy,
            deployment: RefCell::new(None),
            runs: 0,
            figures: RefCell::default(),
        }
    }

    /// Runs the schedule of a seed.
    fn schedule(&mut self, seed: u64, steps: usize) -> Result<(), String> {
        if self.runs.is_multiple_of(PER_DEPLOYMENT) {
            self.deployment = RefCell::new(None);
        }
        self.runs += 1;
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let config = Config {
            cases: 1,
            failure_persistence: None,
            max_shrink_iters: 400,
            ..Config::default()
        };
        let mut runner = TestRunner::new_with_rng(config, random);
        let outcome = runner.run(&case(steps), |case| {
            self.run(&case);
            Ok::<(), TestCaseError>(())
        });
        outcome.map_err(|error| match error {
            TestError::Fail(reason, case) => format!(
                "{reason}\n{case:#?}\nThis schedule was made smaller. TALKSY_TEST_SEED={seed} runs \
                 only the one that it came from."
            ),
            abort @ TestError::Abort(_) => abort.to_string(),
        })
    }

    fn run(&self, case: &Case) {
        let mut kept = self.deployment.borrow_mut();
        // One that a schedule failed on is not used again.
        let mut deployment = kept.take().unwrap_or_else(self.deploy);
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        let figures = runtime.block_on(run(case, &mut deployment));
        *self.figures.borrow_mut() += figures;
        drop(runtime);
        *kept = Some(deployment);
    }
}
