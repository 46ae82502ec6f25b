//! Runs properties: few cases, since each is a story with threads and a disk in it.

use std::fmt::Debug;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::{Builder, Runtime};

/// Runs a property over so many random cases. One that fails is shown, and made smaller a
/// little: its threads never run the same way twice.
pub fn check<C: Debug>(cases: u32, strategy: &impl Strategy<Value = C>, property: impl Fn(C)) {
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 4,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(strategy, |case| {
        property(case);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// Threads to run them on.
pub fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}
