//! Durable jobs of several instances.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use mongodb::bson::{DateTime, Document, doc};
use talksy_domain::clock::Clock as _;
use talksy_domain::error::PortError;
use talksy_domain::groups::GroupAction;
use talksy_domain::jobs::{JobState, JobStore as _, Perform, Performed, Task};
use talksy_tests::clock::TestClock;
use talksy_tests::eventually;
use tokio_util::sync::CancellationToken;

use super::*;

/// Counts what is done, and does nothing.
#[derive(Default)]
struct Counting(AtomicUsize);

#[async_trait]
impl Perform for Counting {
    async fn perform(&self, _: Task, _: Timestamp) -> Result<Performed, PortError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Performed::Done)
    }
}

/// A periodic job runs once a period, however many instances there are.
#[tokio::test(flavor = "multi_thread")]
async fn a_periodic_job_runs_once_a_period_over_two_instances() {
    let mongo = Mongo::shared().await;
    let database = mongo.new_database();
    let (work, clock) = (
        Arc::new(Counting::default()),
        Arc::new(TestClock::default()),
    );
    let stop = CancellationToken::new();
    let mut running = Vec::new();
    for _ in 0..2 {
        let store = Arc::new(mongo.store_on(&database).await);
        let runner = JobRunner::new(
            store,
            Arc::clone(&work) as _,
            Arc::clone(&clock) as _,
            JOB_POLICY,
        );
        let stop = stop.clone();
        running.push(tokio::spawn(async move {
            runner.run(stop.clone(), stop).await;
        }));
    }
    let store = mongo.store_on(&database).await;
    let all = Task::periodic();
    for round in 1..=3 {
        for periodic in &all {
            let next = clock.now() + periodic.period;
            eventually("the job's next time", async || {
                let job = store.job(periodic.id).await.unwrap()?;
                (job.state == JobState::Waiting && job.due_at == next).then_some(())
            })
            .await;
        }
        assert_eq!(work.0.load(Ordering::SeqCst), round * all.len());
        clock.advance(all[0].period);
    }
    stop.cancel();
    for task in running {
        task.await.unwrap();
    }
}

/// What is claimed by an instance that is cut off from the store goes over to another, once its
/// lease has run out.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_an_instance_that_has_died_is_done_by_another() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let (store, clock) = (&fixture.store, Arc::new(TestClock::default()));
    let job = Task::PurgeSessions {}
        .job(ids().next(), clock.now(), clock.now())
        .unwrap();
    assert!(store.enqueue(&job).await.unwrap());
    // Begun by one of which nothing is heard any more.
    let found = store.job(job.id).await.unwrap().unwrap();
    let begun = found.begun();
    let taken = store.update(job.id, found.version, &begun).await;
    assert!(taken.unwrap());

    let (work, stop) = (Arc::new(Counting::default()), CancellationToken::new());
    let policy = JobPolicy {
        lease: Duration::from_millis(200),
        ..JOB_POLICY
    };
    let runner = JobRunner::new(
        Arc::new(mongo.store_on(&fixture.database).await),
        Arc::clone(&work) as _,
        clock,
        policy,
    );
    let until = stop.clone();
    let running = tokio::spawn(async move { runner.run(until.clone(), until).await });
    eventually("the job's end", async || {
        store.job(job.id).await.unwrap().is_none().then_some(())
    })
    .await;
    stop.cancel();
    running.await.unwrap();
    // It and the periodic ones.
    let all = 1 + Task::periodic().len();
    assert_eq!(work.0.load(Ordering::SeqCst), all);
}

/// Repair notes that an earlier release has left are jobs of this one, and are done.
#[tokio::test(flavor = "multi_thread")]
async fn notes_of_an_earlier_release_become_jobs() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let [ada, bob] = fixture.users;
    let chat = group(&fixture.store, ada, &[bob]).await;
    let message = made(ask(&fixture.store, chat, ada, GroupAction::Remove(bob)).await);
    let outside = fixture.outside(mongo).await;
    let notes = outside.collection::<Document>("repairNotes");
    for message in [message.id, ids().next()] {
        let note = doc! {
            "_id": key(id::bytes(message)),
            "chatId": key(id::bytes(chat)),
            "at": DateTime::now(),
        };
        notes.insert_one(note).await.unwrap();
    }
    let store = mongo.store_on(&fixture.database).await;
    assert_eq!(notes.count_documents(doc! {}).await.unwrap(), 0);
    let waiting = store.in_state(JobState::Waiting, 10).await.unwrap();
    assert_eq!(waiting.len(), 2);
    assert!(
        waiting
            .iter()
            .all(|job| job.kind == "completeGroupChange.1")
    );
    let soon = SystemClock.now() + Duration::from_mins(1);
    assert_eq!(repaired(&store, soon).await, 1);
    let late = SystemClock.now() + Duration::from_hours(2);
    assert_eq!(repaired(&store, late).await, 1);
    assert_eq!(store.in_state(JobState::Waiting, 10).await.unwrap(), []);
}
