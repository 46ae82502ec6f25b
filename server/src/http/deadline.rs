//! By when an operation is answered, from when it is received on.

use std::time::Duration;

use tokio::time::Instant;

use crate::graphql::{Answer, not_begun_error};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    time: Duration,
}

impl Deadline {
    /// So much time from now on.
    pub(super) fn after(time: Duration) -> Self {
        Self {
            at: Instant::now() + time,
            time,
        }
    }

    /// How much time there was.
    pub(super) const fn time(&self) -> Duration {
        self.time
    }

    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.at
    }

    /// What is told of an operation whose time was over before it began.
    pub(super) fn not_begun(&self) -> Answer {
        Answer::from(&not_begun_error(self.time))
    }
}
