//! The loaders of one request: what sibling fields ask for is loaded together. Each kind of key
//! costs one call a level of the query, however many objects there are. The keys, and how each is
//! loaded, stand in the room of what they load.
//!
//! They remember what they loaded for queries alone: after a mutation, or at the next event of a
//! subscription, things have changed.
//!
//! This is written by hand because of what a key costs; see `docs/adr/0015-own-loaders.md`.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use talksy_domain::error::PortError;
use talksy_domain::services::Services;
use talksy_domain::viewer::{Authentication, Viewer};

use crate::batch_scheduler::{BatchScheduler, Started};
use crate::sharing::Recorder;

/// The most keys that are loaded by one call.
const MAX_BATCH: usize = 1000;

/// What names something that can be loaded.
pub trait Key: Clone + Eq + Hash + Send + Sync + 'static {}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> Key for K {}

/// Loads what keys of one kind name.
pub trait Loader<K: Key>: Send + Sync + 'static {
    /// What a key names. It is cloned for each field that asks for it.
    type Value: Clone + Send + Sync + 'static;

    /// What these keys name. One that names nothing is left out.
    fn load(
        &self,
        keys: &[K],
    ) -> impl Future<Output = Result<HashMap<K, Self::Value>, PortError>> + Send;
}

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

/// The loaders of one request.
pub struct Loaders<C = LoaderContext> {
    context: Arc<C>,
    /// Of each type of key its [`Kind`].
    kinds: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    started: Started,
    remember: bool,
}

/// The loaders of a request, and what runs their batches: nothing is loaded but under it.
/// `remember` where nothing changes during the request.
pub fn loaders(services: Services, asker: Asker, remember: bool) -> (Loaders, BatchScheduler) {
    Loaders::new(LoaderContext { services, asker }, remember)
}

/// The batches of one kind of key.
struct Kind<K, V>(Mutex<Batches<K, V>>);

struct Batches<K, V> {
    /// Of each key the batch in which it is, or was.
    of: HashMap<K, Arc<Batch<K, V>>>,
    /// The batch that further keys join.
    open: Option<Arc<Batch<K, V>>>,
}

/// Keys that are loaded together, and what came of it.
struct Batch<K, V> {
    keys: Mutex<Vec<K>>,
    outcome: OnceLock<Result<HashMap<K, V>, PortError>>,
    waiting: Mutex<Vec<Waker>>,
}

impl<C> Loaders<C> {
    fn new(context: C, remember: bool) -> (Self, BatchScheduler) {
        let started = Started::default();
        let scheduler = BatchScheduler::new(Arc::clone(&started));
        let loaders = Self {
            context: Arc::new(context),
            kinds: Mutex::default(),
            started,
            remember,
        };
        (loaders, scheduler)
    }

    /// What the key names.
    ///
    /// # Errors
    /// Where the batch of the key cannot be loaded.
    pub async fn load_one<K: Key>(&self, key: K) -> Result<Option<C::Value>, PortError>
    where
        C: Loader<K>,
    {
        let batch = self.join(&key);
        batch.loaded(&key).await
    }

    /// What these keys name. One that names nothing is left out.
    ///
    /// # Errors
    /// Where the batch of a key cannot be loaded.
    pub async fn load_many<K: Key>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<HashMap<K, C::Value>, PortError>
    where
        C: Loader<K>,
    {
        let joined: Vec<_> = keys.into_iter().map(|key| (self.join(&key), key)).collect();
        let mut found = HashMap::with_capacity(joined.len());
        for (batch, key) in joined {
            found.extend(batch.loaded(&key).await?.map(|value| (key, value)));
        }
        Ok(found)
    }

    /// Gives what a key names, so that it need not be loaded.
    pub fn feed_one<K: Key>(&self, key: K, value: C::Value)
    where
        C: Loader<K>,
    {
        let batch = Batch::new();
        // A new batch has no outcome yet.
        let _ = batch.outcome.set(Ok(HashMap::from([(key.clone(), value)])));
        self.kind::<K>().0.lock().of.insert(key, Arc::new(batch));
    }

    /// The batch of the key. A new one is loaded once all resolvers wait.
    fn join<K: Key>(&self, key: &K) -> Arc<Batch<K, C::Value>>
    where
        C: Loader<K>,
    {
        let kind = self.kind::<K>();
        let mut batches = kind.0.lock();
        if let Some(batch) = batches.of.get(key) {
            return Arc::clone(batch);
        }
        let batch = if let Some(open) = &batches.open {
            Arc::clone(open)
        } else {
            let batch = Arc::new(Batch::new());
            batches.open = Some(Arc::clone(&batch));
            self.start(Arc::clone(&kind), Arc::clone(&batch));
            batch
        };
        batches.of.insert(key.clone(), Arc::clone(&batch));
        let mut keys = batch.keys.lock();
        keys.push(key.clone());
        if keys.len() == MAX_BATCH {
            batches.open = None;
        }
        drop(keys);
        batch
    }

    fn start<K: Key>(&self, kind: Arc<Kind<K, C::Value>>, batch: Arc<Batch<K, C::Value>>)
    where
        C: Loader<K>,
    {
        let (context, remember) = (Arc::clone(&self.context), self.remember);
        self.started.lock().push(Box::pin(async move {
            let keys = kind.begin(&batch, remember);
            batch.end(context.load(&keys).await);
        }));
    }

    fn kind<K: Key>(&self) -> Arc<Kind<K, C::Value>>
    where
        C: Loader<K>,
    {
        let new = || Arc::new(Kind::<K, C::Value>::new());
        let mut kinds = self.kinds.lock();
        let kind = kinds.entry(TypeId::of::<K>()).or_insert_with(|| new());
        // A type of key has one type of value, so that this is the kind.
        Arc::clone(kind).downcast().unwrap_or_else(|_| new())
    }
}

impl<K: Key, V> Kind<K, V> {
    fn new() -> Self {
        Self(Mutex::new(Batches {
            of: HashMap::new(),
            open: None,
        }))
    }

    /// The keys of a batch that begins now, so that none joins it any more.
    fn begin(&self, batch: &Arc<Batch<K, V>>, remember: bool) -> Vec<K> {
        let mut batches = self.0.lock();
        if batches
            .open
            .as_ref()
            .is_some_and(|open| Arc::ptr_eq(open, batch))
        {
            batches.open = None;
        }
        let keys = std::mem::take(&mut *batch.keys.lock());
        if !remember {
            for key in &keys {
                batches.of.remove(key);
            }
        }
        keys
    }
}

impl<K: Key, V: Clone> Batch<K, V> {
    fn new() -> Self {
        Self {
            keys: Mutex::default(),
            outcome: OnceLock::new(),
            waiting: Mutex::default(),
        }
    }

    /// Tells all who wait.
    fn end(&self, outcome: Result<HashMap<K, V>, PortError>) {
        // A batch is loaded once.
        let _ = self.outcome.set(outcome);
        for waker in self.waiting.lock().drain(..) {
            waker.wake();
        }
    }

    /// Waits for the batch, and takes what the key names.
    async fn loaded(&self, key: &K) -> Result<Option<V>, PortError> {
        std::future::poll_fn(|cx| self.poll(cx, key)).await
    }

    fn poll(&self, cx: &Context<'_>, key: &K) -> Poll<Result<Option<V>, PortError>> {
        if self.outcome.get().is_none() {
            let mut waiting = self.waiting.lock();
            // Fields that are polled together have the same waker.
            if !waiting
                .last()
                .is_some_and(|last| last.will_wake(cx.waker()))
            {
                waiting.push(cx.waker().clone());
            }
        }
        // Looked at behind the waker, so that none is forgotten.
        match self.outcome.get() {
            None => Poll::Pending,
            Some(Ok(found)) => Poll::Ready(Ok(found.get(key).cloned())),
            Some(Err(error)) => Poll::Ready(Err(error.clone())),
        }
    }
}

pub(crate) fn by_key<K: Eq + Hash, V>(
    items: impl IntoIterator<Item = V>,
    key: impl Fn(&V) -> K,
) -> HashMap<K, V> {
    items.into_iter().map(|item| (key(&item), item)).collect()
}

/// What was found for each key at its place.
pub(crate) fn by_place<K: Key, P, V>(
    keys: &[K],
    found: Vec<Option<P>>,
    value: impl Fn(P) -> V,
) -> HashMap<K, V> {
    let found = keys.iter().zip(found);
    found
        .filter_map(|(key, found)| Some((key.clone(), value(found?))))
        .collect()
}

#[cfg(test)]
mod tests;
