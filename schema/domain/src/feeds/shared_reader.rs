//! Reads something of the store for all feeds of the process together: a thousand feeds that check
//! after an interruption, or on their heartbeats, cost one store call, not a thousand.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::error::PortError;
use crate::pausing;

/// The keys that one feed asks for, and where the answer goes.
type Question<K, V> = (Vec<K>, oneshot::Sender<Result<HashMap<K, V>, PortError>>);

/// How many questions wait at most.
const WAITING: usize = 1_000;
/// Questions for more keys than so many are not answered together: who asks for one is not to wait for
/// all that a thousand others ask for.
const BATCH: usize = 2_000;

/// Asks for values by their keys. Each answer is of a read that began after the question.
#[derive(Clone, Debug)]
pub(super) struct SharedReader<K, V> {
    questions: mpsc::Sender<Question<K, V>>,
}

impl<K, V> SharedReader<K, V>
where
    K: Copy + Ord + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Starts the reader's task, which ends when the last clone is dropped. `read` is one store call
    /// for up to `most` keys; it leaves out what does not exist.
    pub(super) fn over<S, F>(
        store: &Arc<S>,
        most: usize,
        read: impl Fn(Arc<S>, Vec<K>) -> F + Send + 'static,
    ) -> Self
    where
        S: ?Sized + Send + Sync + 'static,
        F: Future<Output = Result<Vec<(K, V)>, PortError>> + Send,
    {
        let (questions, mut inbox) = mpsc::channel::<Question<K, V>>(WAITING);
        let store = Arc::clone(store);
        tokio::spawn(async move {
            while let Some(first) = inbox.recv().await {
                let mut keys = first.0.clone();
                let mut batch = vec![first];
                while keys.len() < BATCH
                    && let Ok(question) = inbox.try_recv()
                {
                    keys.extend_from_slice(&question.0);
                    batch.push(question);
                }
                keys.sort_unstable();
                keys.dedup();
                let mut values = Ok(HashMap::with_capacity(keys.len()));
                for some in keys.chunks(most) {
                    match (read(Arc::clone(&store), some.to_vec()).await, &mut values) {
                        (Ok(found), Ok(values)) => values.extend(found),
                        (Err(error), _) => {
                            values = Err(error);
                            break;
                        }
                        (Ok(_), Err(_)) => {}
                    }
                }
                for (keys, answer) in batch {
                    let found = |values: &HashMap<K, V>| {
                        let found = |key| Some((key, values.get(&key)?.clone()));
                        keys.into_iter().filter_map(found).collect()
                    };
                    // A feed that has gone needs no answer.
                    let _ = answer.send(values.as_ref().map(found).map_err(Clone::clone));
                }
            }
        });
        Self { questions }
    }

    /// The value of a key; `None` where there is none.
    pub(super) async fn one(&self, key: K) -> Result<Option<V>, PortError> {
        Ok(self.ask(vec![key]).await?.remove(&key))
    }

    /// The values of these keys, where there are such.
    pub(super) async fn many(&self, keys: &[K]) -> Result<HashMap<K, V>, PortError> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        self.ask(keys.to_vec()).await
    }

    async fn ask(&self, keys: Vec<K>) -> Result<HashMap<K, V>, PortError> {
        let (answer, reply) = oneshot::channel();
        let gone = || PortError::unavailable("store", "the feeds' reader has stopped");
        let place = pausing::turn(|| self.questions.reserve()).await;
        place.map_err(|_| gone())?.send((keys, answer));
        reply.await.map_err(|_| gone())?
    }
}
