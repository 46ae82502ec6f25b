//! Which keys meet in a batch, and what those who wait for it are told.

use futures_util::future::join_all;
use tokio::sync::Notify;

use super::*;

/// A number, whose double is loaded. Odd ones name nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Even(usize);

/// A number that cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Broken(usize);

/// Notes what is loaded together.
#[derive(Clone, Default)]
struct Recorder {
    batches: Arc<Mutex<Vec<Vec<usize>>>>,
    /// Told when a batch is being loaded.
    begun: Arc<Notify>,
}

impl Recorder {
    /// The keys of each batch since the last time.
    fn take(&self) -> Vec<Vec<usize>> {
        std::mem::take(&mut *self.batches.lock())
    }
}

impl Loader<Even> for Recorder {
    type Value = usize;

    async fn load(&self, keys: &[Even]) -> Result<HashMap<Even, usize>, PortError> {
        self.batches
            .lock()
            .push(keys.iter().map(|key| key.0).collect());
        self.begun.notify_waiters();
        // What is asked for meanwhile comes too late for this batch.
        tokio::task::yield_now().await;
        let found = keys.iter().filter(|key| key.0 % 2 == 0);
        Ok(found.map(|key| (*key, 2 * key.0)).collect())
    }
}

impl Loader<Broken> for Recorder {
    type Value = ();

    async fn load(&self, keys: &[Broken]) -> Result<HashMap<Broken, ()>, PortError> {
        self.batches
            .lock()
            .push(keys.iter().map(|key| key.0).collect());
        Err(PortError::unavailable("test", "down"))
    }
}

fn loaders(remember: bool) -> (Recorder, Loaders<Recorder>, BatchScheduler) {
    let recorder = Recorder::default();
    let (loaders, scheduler) = Loaders::new(recorder.clone(), remember);
    (recorder, loaders, scheduler)
}

#[tokio::test]
async fn keys_of_one_level_are_loaded_together_each_once() {
    let (recorder, loaders, scheduler) = loaders(true);
    let request = async {
        let asked = [4, 1, 4, 2].map(|key| loaders.load_one(Even(key)));
        let told: Vec<_> = join_all(asked)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(told, [Some(8), None, Some(8), Some(4)]);
        assert_eq!(recorder.take(), [[4, 1, 2]]);

        let found = loaders.load_many([4, 6, 1].map(Even)).await.unwrap();
        assert_eq!(found, HashMap::from([(Even(4), 8), (Even(6), 12)]));
        assert_eq!(recorder.take(), [[6]], "the others are remembered");
    };
    scheduler.run(request).await;
}

#[tokio::test]
async fn a_key_is_loaded_anew_where_things_change() {
    let (recorder, loaders, scheduler) = loaders(false);
    let request = async {
        for _ in 0..2 {
            let asked = [2, 2].map(|key| loaders.load_one(Even(key)));
            for told in join_all(asked).await {
                assert_eq!(told.unwrap(), Some(4));
            }
            assert_eq!(recorder.take(), [[2]]);
        }
    };
    scheduler.run(request).await;
}

/// Asks while others are being loaded.
async fn late(loaders: &Loaders<Recorder>, recorder: &Recorder, key: usize) -> Option<usize> {
    recorder.begun.notified().await;
    loaders.load_one(Even(key)).await.unwrap()
}

#[tokio::test]
async fn a_key_that_is_being_loaded_is_waited_for() {
    let (recorder, loaders, scheduler) = loaders(true);
    let request = async {
        let (first, same, other) = tokio::join!(
            loaders.load_one(Even(2)),
            late(&loaders, &recorder, 2),
            late(&loaders, &recorder, 4),
        );
        assert_eq!((first.unwrap(), same, other), (Some(4), Some(4), Some(8)));
    };
    scheduler.run(request).await;
    assert_eq!(recorder.take(), [[2], [4]]);
}

#[tokio::test]
async fn what_is_given_is_not_loaded() {
    let (recorder, loaders, scheduler) = loaders(true);
    loaders.feed_one(Even(2), 5);
    let request = async {
        let told = loaders.load_many([2, 4].map(Even)).await.unwrap();
        assert_eq!(told, HashMap::from([(Even(2), 5), (Even(4), 8)]));
    };
    scheduler.run(request).await;
    assert_eq!(recorder.take(), [[4]]);
}

#[tokio::test]
async fn a_batch_that_fails_is_told_to_all_who_need_it_and_not_tried_again() {
    let (recorder, loaders, scheduler) = loaders(true);
    let request = async {
        for _ in 0..2 {
            let asked = [1, 2].map(|key| loaders.load_one(Broken(key)));
            for told in join_all(asked).await {
                assert!(told.is_err());
            }
        }
        // Another kind has batches of its own.
        assert_eq!(loaders.load_one(Even(2)).await.unwrap(), Some(4));
    };
    scheduler.run(request).await;
    assert_eq!(recorder.take(), [vec![1, 2], vec![2]]);
}

#[tokio::test]
async fn a_batch_that_is_full_leaves_further_keys_to_the_next() {
    let (recorder, loaders, scheduler) = loaders(true);
    let keys = 0..MAX_BATCH + 1;
    let request = async {
        let found = loaders.load_many(keys.clone().map(Even)).await.unwrap();
        assert_eq!(found.len(), MAX_BATCH / 2 + 1);
    };
    scheduler.run(request).await;
    let sizes: Vec<_> = recorder.take().iter().map(Vec::len).collect();
    assert_eq!(sizes, [MAX_BATCH, 1]);
}
