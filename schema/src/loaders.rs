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
use talksy_domain::viewer::{Authentication, Viewer};

use crate::batch_scheduler::BatchScheduler;
use crate::sharing::Recorder;

/// The loaders of one request.
pub type Loaders = DataLoader<LoaderContext, HashMapCache>;

/// Loads batches of keys for one viewer.
pub struct LoaderContext {
    pub(crate) services: Services,
    asker: Asker,
}

/// Who asks.
#[derive(Clone, Debug)]
pub enum Asker {
    /// Somebody who is signed in.
    Viewer(Viewer),
    /// Somebody who is not.
    Anonymous,
    /// All viewers of an event.
    All(Recorder),
}

impl From<&Authentication> for Asker {
    fn from(authentication: &Authentication) -> Self {
        let viewer = authentication.viewer();
        viewer.map_or(Self::Anonymous, |viewer| Self::Viewer(*viewer))
    }
}

/// The loaders of a request, and what runs their batches: nothing is loaded but under it.
/// `remember` where nothing changes during the request.
pub fn loaders(services: Services, asker: Asker, remember: bool) -> (Loaders, BatchScheduler) {
    let context = LoaderContext { services, asker };
    let started = Arc::<Mutex<Vec<_>>>::default();
    let scheduler = BatchScheduler::new(Arc::clone(&started));
    let start = move |batch| started.lock().push(batch);
    let loaders = DataLoader::with_cache(context, start, HashMapCache::default());
    loaders.enable_all_cache(remember);
    (loaders.delay(Duration::ZERO), scheduler)
}

impl LoaderContext {
    /// The viewer, where somebody is signed in.
    pub(crate) fn viewer(&self) -> Option<&Viewer> {
        match &self.asker {
            Asker::Viewer(viewer) => Some(viewer),
            Asker::Anonymous => None,
            Asker::All(recorder) => {
                recorder.give_up();
                None
            }
        }
    }
}

pub(crate) fn by_key<K: Eq + Hash, V>(items: Vec<V>, key: impl Fn(&V) -> K) -> HashMap<K, V> {
    items.into_iter().map(|item| (key(&item), item)).collect()
}
