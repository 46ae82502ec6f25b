//! Reads something of the store for all feeds of the process together: a thousand feeds that check
//! after an interruption, or on their heartbeats, cost one store call, not a thousand.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::sync::{mpsc, oneshot};

use crate::error::PortError;

type Answer<V> = oneshot::Sender<Result<Option<V>, PortError>>;

/// How many questions are answered together at most.
const BATCH: usize = 500;
/// How many keys one store call asks for at most.
const KEYS: usize = 100;

/// Asks for values by their keys. Each answer is of a read that began after the question.
#[derive(Clone, Debug)]
pub(super) struct SharedReader<K, V> {
    questions: mpsc::Sender<(K, Answer<V>)>,
}

impl<K, V> SharedReader<K, V>
where
    K: Copy + Ord + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Starts the reader's task, which ends when the last clone is dropped. `read` is one store call
    /// for up to [`KEYS`] keys; it leaves out what does not exist.
    pub(super) fn over<S, F>(
        store: &Arc<S>,
        read: impl Fn(Arc<S>, Vec<K>) -> F + Send + 'static,
    ) -> Self
    where
        S: ?Sized + Send + Sync + 'static,
        F: Future<Output = Result<Vec<(K, V)>, PortError>> + Send,
    {
        let (questions, mut inbox) = mpsc::channel::<(K, Answer<V>)>(2 * BATCH);
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let mut batch = Vec::new();
            while inbox.recv_many(&mut batch, BATCH).await > 0 {
                let mut keys: Vec<_> = batch.iter().map(|(key, _)| *key).collect();
                keys.sort_unstable();
                keys.dedup();
                let mut values = Ok(HashMap::with_capacity(keys.len()));
                for some in keys.chunks(KEYS) {
                    match (read(Arc::clone(&store), some.to_vec()).await, &mut values) {
                        (Ok(found), Ok(values)) => values.extend(found),
                        (Err(error), _) => {
                            values = Err(error);
                            break;
                        }
                        (Ok(_), Err(_)) => {}
                    }
                }
                for (key, answer) in batch.drain(..) {
                    let value = values.as_ref().map(|values| values.get(&key).cloned());
                    // A feed that has gone needs no answer.
                    let _ = answer.send(value.map_err(Clone::clone));
                }
            }
        });
        Self { questions }
    }

    /// The value of a key; `None` where there is none.
    pub(super) async fn one(&self, key: K) -> Result<Option<V>, PortError> {
        let (answer, reply) = oneshot::channel();
        let gone = || PortError::unavailable("store", "the feeds' reader has stopped");
        self.questions
            .send((key, answer))
            .await
            .map_err(|_| gone())?;
        reply.await.map_err(|_| gone())?
    }

    /// The values of these keys, where there are such.
    pub(super) async fn many(&self, keys: &[K]) -> Result<HashMap<K, V>, PortError> {
        let mut values = HashMap::with_capacity(keys.len());
        for some in keys.chunks(BATCH) {
            let asked = some.iter().map(|key| async {
                let value = self.one(*key).await?;
                Ok::<_, PortError>(value.map(|value| (*key, value)))
            });
            values.extend(try_join_all(asked).await?.into_iter().flatten());
        }
        Ok(values)
    }
}
