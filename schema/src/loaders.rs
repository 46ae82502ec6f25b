//! The loaders of one request: what sibling fields ask for is loaded together. Each kind of key
//! costs one call a level of the query, however many objects there are. The keys, and how each is
//! loaded, stand in the room of what they load.
//!
//! They remember what they loaded for queries alone: after a mutation, or at the next event of a
//! subscription, things have changed.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, HashMapCache};
use parking_lot::Mutex;
use talksy_domain::services::Services;
use talksy_domain::viewer::Viewer;

use crate::batch_scheduler::BatchScheduler;

/// The loaders of one request.
pub type Loaders = DataLoader<LoaderContext, HashMapCache>;

/// Loads batches of keys for one viewer.
pub struct LoaderContext {
    pub(crate) services: Services,
    viewer: Option<Viewer>,
}

/// The loaders of a request, and what runs their batches: nothing is loaded but under it.
/// `remember` where nothing changes during the request.
pub fn loaders(
    services: Services,
    viewer: Option<Viewer>,
    remember: bool,
) -> (Loaders, BatchScheduler) {
    let context = LoaderContext { services, viewer };
    let started = Arc::<Mutex<Vec<_>>>::default();
    let scheduler = BatchScheduler::new(Arc::clone(&started));
    let start = move |batch| started.lock().push(batch);
    let loaders = DataLoader::with_cache(context, start, HashMapCache::default());
    loaders.enable_all_cache(remember);
    (loaders.delay(Duration::ZERO), scheduler)
}

impl LoaderContext {
    /// The viewer, where somebody is signed in.
    pub(crate) const fn viewer(&self) -> Option<&Viewer> {
        self.viewer.as_ref()
    }
}

pub(crate) fn by_key<K: Eq + Hash, V>(items: Vec<V>, key: impl Fn(&V) -> K) -> HashMap<K, V> {
    items.into_iter().map(|item| (key(&item), item)).collect()
}
