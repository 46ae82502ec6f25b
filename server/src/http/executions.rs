//! How many operations of one connection are executed at a time. Queries and mutations have turns of
//! their own: a store that takes no writes holds up mutations alone.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::graphql::OperationType;

/// The turns of one connection.
#[derive(Debug)]
pub(super) struct Executions {
    queries: Arc<Semaphore>,
    mutations: Arc<Semaphore>,
}

impl Executions {
    /// So many of each kind at a time.
    pub(super) fn new(most: usize) -> Self {
        let semaphore = || Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self {
            queries: semaphore(),
            mutations: semaphore(),
        }
    }

    /// The turns of operations of this kind; `None` for subscriptions, which wait for nobody.
    pub(super) fn of(&self, kind: OperationType) -> Option<Arc<Semaphore>> {
        match kind {
            OperationType::Query => Some(Arc::clone(&self.queries)),
            OperationType::Mutation => Some(Arc::clone(&self.mutations)),
            OperationType::Subscription => None,
        }
    }

    /// Lets so many more of each kind begin.
    pub(super) fn add(&self, more: usize) {
        self.queries.add_permits(more);
        self.mutations.add_permits(more);
    }
}
