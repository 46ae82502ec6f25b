//! The queries and mutations of one connection. So many of each kind are executed at a time: a store that
//! takes no writes holds up mutations alone. Where the server stops, what has begun is answered first.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::deadline::Deadline;
use crate::graphql::OperationType;

/// See the module.
#[derive(Debug)]
pub(super) struct Executions {
    queries: Arc<Semaphore>,
    mutations: Arc<Semaphore>,
    running: TaskTracker,
}

/// A query or mutation, which begins when it has its turn, until its deadline. It runs until this is
/// dropped.
#[derive(Debug)]
pub(super) struct Once {
    pub(super) turns: Arc<Semaphore>,
    pub(super) deadline: Deadline,
    _running: TaskTrackerToken,
}

impl Executions {
    /// So many of each kind at a time.
    pub(super) fn new(most: usize) -> Self {
        let semaphore = || Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self {
            queries: semaphore(),
            mutations: semaphore(),
            running: TaskTracker::new(),
        }
    }

    /// An operation of this kind; `None` for subscriptions, which wait for nobody.
    pub(super) fn once(&self, kind: OperationType, deadline: Deadline) -> Option<Once> {
        let turns = match kind {
            OperationType::Query => &self.queries,
            OperationType::Mutation => &self.mutations,
            OperationType::Subscription => return None,
        };
        Some(Once {
            turns: Arc::clone(turns),
            deadline,
            _running: self.running.token(),
        })
    }

    /// Lets so many more of each kind begin.
    pub(super) fn add(&self, more: usize) {
        self.queries.add_permits(more);
        self.mutations.add_permits(more);
    }

    /// Resolves when the server stops and what runs here has been answered, or has had so much time
    /// for that.
    pub(super) fn stopped(
        &self,
        shutdown: CancellationToken,
        time: Duration,
    ) -> impl Future<Output = ()> + Send + use<> {
        let running = self.running.clone();
        async move {
            shutdown.cancelled().await;
            running.close();
            // Where they take longer, they are cut off. In a box, for which open connections need no room.
            let _ = Box::pin(timeout(time, running.wait())).await;
        }
    }
}
