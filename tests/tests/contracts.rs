//! The contract suites over the embedded adapters. A new adapter is one more line.

#![expect(
    clippy::unwrap_used,
    reason = "a fixture that cannot be made fails the test"
)]

use std::num::NonZeroUsize;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use talksy_domain::auth::CodeStore;
use talksy_domain::clock::SystemClock;
use talksy_domain::error::PortError;
use talksy_domain::events::{Event, Hub, LocalBus};
use talksy_domain::mail::MailQueue as _;
use talksy_domain::presence::PresenceStore;
use talksy_mail_worker::{MailWorker, queue};
use talksy_server::adapters::memory::{MemoryCodeStore, MemoryPresenceStore, MemoryRateLimiter};
use talksy_sqlite::{SqliteOptions, SqliteStore};
use talksy_tests::clock::TestClock;
use talksy_tests::contract::Stores;
use talksy_tests::contract::bus::{Buses, every_event};
use talksy_tests::contract::limits::Limits;
use talksy_tests::contract::mail::{Mailing, Outbox, new_job};
use talksy_tests::contract_suite;
use talksy_tests::event_sinks::Recorder;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

contract_suite!(sqlite: stores = sqlite_stores());
contract_suite!(
    memory: codes = memory_codes(),
    limits = memory_limits(),
    presence = memory_presence(),
    bus = local_bus(),
    mail = in_process_mail(),
);

/// A store in a folder that goes with it.
struct SqliteStores {
    stores: Stores,
    _folder: TempDir,
}

impl Deref for SqliteStores {
    type Target = Stores;
    fn deref(&self) -> &Stores {
        &self.stores
    }
}

fn sqlite_stores() -> SqliteStores {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("talksy.db");
    let options = SqliteOptions::new(NonZeroUsize::MIN.saturating_add(3), 4_096);
    let events = Recorder::default();
    let store = SqliteStore::open(path, &options, Arc::new(events.clone())).unwrap();
    SqliteStores {
        stores: Stores::of(store, events),
        _folder: folder,
    }
}

fn memory_codes() -> Arc<dyn CodeStore> {
    Arc::new(MemoryCodeStore::new())
}

fn memory_presence() -> Arc<dyn PresenceStore> {
    Arc::new(MemoryPresenceStore::new())
}

fn memory_limits() -> Limits {
    let clock = Arc::new(TestClock::default());
    Limits {
        limiter: Arc::new(MemoryRateLimiter::new(Arc::clone(&clock) as _)),
        period: Duration::from_mins(1),
        advance: Box::new(move |by| {
            clock.advance(by);
            Box::pin(std::future::ready(()))
        }),
    }
}

fn local_bus() -> Buses {
    let bus = Arc::new(LocalBus::new(Hub::new(1_000)));
    Buses {
        here: Arc::clone(&bus) as _,
        there: bus,
    }
}

/// The queue with its consumer, in a time that jumps over the pauses between tries.
fn in_process_mail() -> Mailing {
    tokio::time::pause();
    let (queue, consumer) = queue::in_process();
    let outbox = Arc::new(Outbox::default());
    let worker = MailWorker::new(
        Arc::clone(&outbox) as _,
        "Talksy <no-reply@contract.example>",
        Arc::new(SystemClock),
    );
    // It ends when the queue goes with the test.
    tokio::spawn(consumer.run(
        Arc::new(worker.unwrap()),
        CancellationToken::new(),
        CancellationToken::new(),
    ));
    Mailing {
        queue: Arc::new(queue),
        outbox,
    }
}

/// What the queue cannot take charge of it refuses, so that the code is withdrawn: when too many
/// jobs wait, and when nobody consumes any more.
#[tokio::test]
async fn the_in_process_queue_refuses_what_it_cannot_keep() {
    let (queue, consumer) = queue::in_process();
    let job = new_job("123456");
    let mut taken = 0;
    let error = loop {
        match queue.enqueue(&job).await {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 100_000, "it has no bound");
    };
    assert!(taken > 100, "only {taken} jobs may wait");
    assert!(matches!(error, PortError::Unavailable { .. }), "{error:?}");
    drop(consumer);
    let error = queue.enqueue(&job).await.unwrap_err();
    assert!(matches!(error, PortError::Unavailable { .. }), "{error:?}");
}

/// Buses that span processes carry events as JSON.
#[test]
fn every_event_survives_its_json_form() {
    for event in every_event() {
        let json = serde_json::to_string(&event).unwrap();
        let read: Event = serde_json::from_str(&json).unwrap();
        assert_eq!(read, event, "{json}");
    }
}

/// A rule that its file does not list would be run over no adapter, nor would a list that the
/// macro does not name.
#[test]
fn every_rule_is_in_the_suite() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/contract");
    let suite = std::fs::read_to_string(folder.join("suite.rs")).unwrap();
    let mut count = 0;
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        if path.ends_with("mod.rs") {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        let (source, list) = source
            .split_once("super::suite::rules! {")
            .unwrap_or((&source, ""));
        let listed: Vec<&str> = list
            .lines()
            .filter_map(|line| line.trim().strip_suffix(','))
            .collect();
        let room = path.file_stem().unwrap().to_str().unwrap();
        let named = format!("$crate::{room}_rules!(");
        assert!(list.is_empty() || suite.contains(&named), "no {named}");
        let functions = source
            .lines()
            .filter_map(|line| line.strip_prefix("pub async fn "));
        for function in functions {
            let (rule, _) = function.split_once('(').unwrap();
            assert!(listed.contains(&rule), "{rule} is not listed in {room}.rs");
            count += 1;
        }
    }
    assert!(count > 100, "only {count} rules were found");
}
