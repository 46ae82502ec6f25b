//! The attackers' own thread. It has the lowest priority: attackers work on machines of their own,
//! and must not take the processor from the server and its neighbours as they do not there.

use std::future::Future;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::outcome::{Context as _, Outcome};

/// As low as there is.
const NICE: i32 = 19;

/// Runs attackers. Dropping it ends them.
pub(super) struct Swarm {
    runtime: Option<Runtime>,
}

impl Swarm {
    pub(super) fn new() -> Outcome<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("attackers")
            .enable_all()
            .on_thread_start(|| {
                // Of this thread alone, as Linux has it. Where it is not allowed, figures are worse.
                let _ = rustix::process::nice(NICE);
            })
            .build()
            .context("cannot start the attackers")?;
        Ok(Self {
            runtime: Some(runtime),
        })
    }

    pub(super) fn spawn<F>(&self, attacker: F) -> Outcome<JoinHandle<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let runtime = self.runtime.as_ref().context("the attackers have ended")?;
        Ok(runtime.spawn(attacker))
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not to be waited for within another runtime.
            runtime.shutdown_background();
        }
    }
}
