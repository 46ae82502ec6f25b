//! Servers that die, stand still, come late.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use talksy_domain::chats::ChatStore as _;
use talksy_domain::messages::{Message, MessageStore as _};
use talksy_domain::users::UserStore as _;
use talksy_mongo::{MongoOptions, MongoStore};
use talksy_tests::servers::mongo::Mongo;
use talksy_tests::{eventually, soon};

use super::{Fixture, all_messages, done, draft, is_unavailable, nobody, with_own_id};

/// Another store on the fixture's database, as impatient as a server's: for what is asked while
/// MongoDB is away. The fixture's own waits longer than a call may take on a busy machine.
async fn impatient(mongo: &Mongo, fixture: &Fixture) -> MongoStore {
    let options = MongoOptions::default();
    mongo.store_with(&fixture.database, &options).await
}

/// A server that is killed under load, twice, loses nothing that was acknowledged; whoever is
/// refused repeats the message as one; all goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_nothing_that_was_acknowledged() {
    let mut mongo = Mongo::start().await;
    let fixture = Fixture::new(&mongo).await;
    let store = impatient(&mongo, &fixture).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (refused, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = Vec::new();
    for n in 0..8 {
        let (store, chat, sender) = (store.clone(), fixture.chat, fixture.users[n % 2]);
        let (stop, refused, sent) = (Arc::clone(&stop), Arc::clone(&refused), Arc::clone(&sent));
        tasks.push(tokio::spawn(async move {
            let mut acknowledged: BTreeMap<String, Message> = BTreeMap::new();
            for step in 0.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let own_id = format!("{n}-{step}");
                loop {
                    // A retry is another draft with the same id of the sender's own.
                    let draft = with_own_id(draft(chat, sender), &own_id);
                    let outcome = soon("an answer", store.append(&draft)).await;
                    if is_unavailable(&outcome) {
                        refused.fetch_add(1, Ordering::SeqCst);
                        continue;
                    }
                    acknowledged.insert(own_id, done(outcome.unwrap()).message);
                    sent.fetch_add(1, Ordering::SeqCst);
                    break;
                }
            }
            acknowledged
        }));
    }
    let progress = async |sent: &AtomicUsize| {
        let start = sent.load(Ordering::SeqCst);
        eventually("sends that go on", async || {
            (sent.load(Ordering::SeqCst) > start + 100).then_some(())
        })
        .await;
    };
    for _ in 0..2 {
        progress(&sent).await;
        let before = refused.load(Ordering::SeqCst);
        mongo.kill().await;
        eventually("senders to be refused", async || {
            (refused.load(Ordering::SeqCst) > before).then_some(())
        })
        .await;
        mongo.start().await;
    }
    progress(&sent).await;
    stop.store(true, Ordering::SeqCst);
    let mut acknowledged = BTreeMap::new();
    for task in tasks {
        acknowledged.extend(soon("a sender's end", task).await.unwrap());
    }
    let kept = all_messages(&fixture.store, fixture.chat).await;
    let count = u32::try_from(kept.len()).unwrap();
    let seqs: Vec<_> = kept.iter().map(|message| message.seq).collect();
    assert_eq!(seqs, (1..=count).collect::<Vec<_>>());
    let by_own_id: BTreeMap<String, Message> = kept
        .into_iter()
        .map(|message| {
            let own_id = message.client_message_id.clone().unwrap();
            (own_id.as_str().to_owned(), message)
        })
        .collect();
    assert_eq!(by_own_id, acknowledged, "each once, and as it was answered");
}

/// A server that stands still is told as unavailable, and is used again once it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_is_unavailable_until_it_goes_on() {
    let mongo = Mongo::start().await;
    let fixture = Fixture::new(&mongo).await;
    let store = impatient(&mongo, &fixture).await;
    fixture.send().await;
    mongo.pause().await;
    let (chat, draft) = ([fixture.chat], fixture.draft());
    let calls = async {
        tokio::join!(
            store.ping(),
            store.heads(&chat),
            store.append(&draft),
            store.users(&fixture.users),
        )
    };
    let (pinged, head, appended, users) = soon("answers", calls).await;
    assert!(is_unavailable(&pinged), "{pinged:?}");
    assert!(is_unavailable(&head), "{head:?}");
    assert!(is_unavailable(&appended), "{appended:?}");
    assert!(is_unavailable(&users), "{users:?}");
    mongo.resume();
    eventually("the store to heal", async || store.ping().await.ok()).await;
    eventually("a send", async || {
        let outcome = store.append(&fixture.draft()).await;
        outcome.ok().map(done)
    })
    .await;
    let seqs = fixture.seqs().await;
    let count = u32::try_from(seqs.len()).unwrap();
    assert_eq!(seqs, (1..=count).collect::<Vec<_>>());
    assert_eq!(
        fixture.store.heads(&[fixture.chat]).await.unwrap()[0].last_seq,
        count
    );
}

/// A store can be opened before its server is there, and is prepared once it comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_come_later_than_the_store() {
    let mut mongo = Mongo::new();
    let store = MongoStore::open(&mongo.url("late"), &MongoOptions::default(), nobody()).unwrap();
    let refused = soon("an answer", store.prepare()).await.unwrap_err();
    assert!(refused.is_transient(), "{refused}");
    assert!(store.ping().await.is_err());
    mongo.start().await;
    eventually("a prepared store", async || store.prepare().await.ok()).await;
    store.ping().await.unwrap();
}

/// A closed store takes no more calls.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_refuses_calls() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    fixture.store.close().await;
    fixture.store.close().await;
    assert!(is_unavailable(&fixture.store.ping().await));
    assert!(is_unavailable(&fixture.store.chats(&[fixture.chat]).await));
    assert!(is_unavailable(
        &fixture.store.append(&fixture.draft()).await
    ));
}
