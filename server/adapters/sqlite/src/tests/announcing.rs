//! What the writer hands over: what was committed, once, whoever waits for it.

use std::sync::mpsc;

use talksy_domain::events::Event;
use talksy_domain::seq::Seq;
use tokio::task::JoinHandle;

use super::*;

impl Recorder {
    /// The numbers of the messages that were handed over, in their order.
    fn numbers(&self) -> Vec<Seq> {
        let all = self.0.lock();
        let numbers = all.iter().filter_map(|one| match &one.event {
            Event::MessageAdded { message } => Some(message.seq),
            _ => None,
        });
        numbers.collect()
    }
}

/// Holds the writer up; what comes meanwhile is its next batch. Ends when the gate is dropped.
async fn held_up(store: &SqliteStore) -> (mpsc::Sender<()>, JoinHandle<Result<(), PortError>>) {
    let (started, has_started) = tokio::sync::oneshot::channel();
    let (gate, gated) = mpsc::channel::<()>();
    let store = store.clone();
    let mut started = Some(started);
    let holding = tokio::spawn(async move {
        let hold = move |_: &Connection| {
            if let Some(started) = started.take() {
                let _ = started.send(());
            }
            let _ = gated.recv();
            Ok(())
        };
        store.write(hold).await
    });
    has_started.await.unwrap();
    (gate, holding)
}

async fn waiting(store: &SqliteStore, count: usize) {
    while store.inner.writer.waiting() < count {
        tokio::task::yield_now().await;
    }
}

/// The batch is rolled back and run again, each job apart.
#[tokio::test(flavor = "multi_thread")]
async fn what_ran_twice_is_told_once_and_what_was_rolled_back_is_not() {
    let fixture = Fixture::new().await;
    let (gate, holding) = held_up(&fixture.store).await;
    let mut sending = Vec::new();
    for n in 0..4 {
        let (store, draft) = (fixture.store.clone(), fixture.draft("hi"));
        sending.push(tokio::spawn(async move {
            if n < 3 {
                return store.append(&draft).await.map(drop);
            }
            // Appends as well, and fails behind that.
            let work = move |conn: &Connection| -> Result<Append, Fault> {
                let appended = messages::append(conn, &draft, None)?;
                conn.execute("INSERT INTO users SELECT * FROM users", [])?;
                Ok(appended)
            };
            let outcome = store.write_announced(work, Append::announcements).await;
            assert!(outcome.is_err());
            Ok(())
        }));
        waiting(&fixture.store, n + 1).await;
    }
    drop(gate);
    holding.await.unwrap().unwrap();
    for send in sending {
        send.await.unwrap().unwrap();
    }
    assert_eq!(fixture.events.numbers(), [1, 2, 3]);
}

/// The caller goes while its write is being committed; the message is sent all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_is_told_though_its_caller_has_given_up() {
    let fixture = Fixture::new().await;
    let (started, has_started) = tokio::sync::oneshot::channel();
    let (gate, gated) = mpsc::channel::<()>();
    let (store, draft, mut started) = (fixture.store.clone(), fixture.draft("hi"), Some(started));
    let calling = tokio::spawn(async move {
        let work = move |conn: &Connection| {
            let appended = messages::append(conn, &draft, None);
            if let Some(started) = started.take() {
                let _ = started.send(());
            }
            let _ = gated.recv();
            appended
        };
        store.write_announced(work, Append::announcements).await
    });
    has_started.await.unwrap();
    calling.abort();
    assert!(calling.await.unwrap_err().is_cancelled());
    assert!(fixture.events.numbers().is_empty());
    drop(gate);
    // Ends behind what the writer does.
    fixture.store.close().await;
    assert_eq!(fixture.events.numbers(), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_committed_is_not_told() {
    let options = SqliteOptions {
        busy_timeout: Duration::from_millis(1),
        ..options()
    };
    let fixture = Fixture::with(&options).await;
    let outside = fixture.outside();
    outside.execute_batch("BEGIN IMMEDIATE").unwrap();
    let outcome = fixture.store.append(&fixture.draft("hi")).await;
    assert!(outcome.is_err());
    assert!(fixture.events.numbers().is_empty());
    outside.execute_batch("ROLLBACK").unwrap();
    fixture.store.append(&fixture.draft("hi")).await.unwrap();
    assert_eq!(fixture.events.numbers(), [1]);
}
