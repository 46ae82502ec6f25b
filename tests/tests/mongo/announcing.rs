//! What is handed over to be published where the caller, the answer or the instance is gone.

use std::sync::Arc;
use std::time::Duration;

use talksy_domain::chats::ChatStore as _;
use talksy_domain::events::{Event, Topic};
use talksy_domain::groups::{GroupAction, GroupStore as _};
use talksy_domain::messages::MessageStore as _;
use talksy_domain::messages::{ChangeAction, HistoryFrom, MessageChange};
use talksy_mongo::{MongoOptions, MongoStore};
use talksy_tests::event_sinks::Recorder;
use talksy_tests::eventually;
use talksy_tests::servers::mongo::{Mongo, patient};
use talksy_tests::slow_way::SlowWay;

use super::{Fixture, NOW, draft, group, group_change};

/// A store behind a slow way, whose calls wait so long for their answers.
async fn behind(way: &SlowWay, database: &str, timeout: Duration) -> (MongoStore, Recorder) {
    let options = MongoOptions {
        timeout,
        reach_timeout: timeout / 2,
        ..MongoOptions::default()
    };
    let events = Recorder::default();
    let sink = Arc::new(events.clone());
    let store = MongoStore::open(&way.url(database), &options, sink).unwrap();
    eventually("a prepared store", async || store.prepare().await.ok()).await;
    (store, events)
}

fn numbers(events: &[Event]) -> Vec<u32> {
    let numbers = events.iter().map(|event| match event {
        Event::MessageAdded { message } => message.seq,
        other => panic!("something else was told: {other:?}"),
    });
    numbers.collect()
}

/// The insert is durable behind the caller's deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_answer_came_too_late_is_told() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let way = SlowWay::to(mongo).await;
    let (store, events) = behind(&way, &fixture.database, Duration::from_secs(1)).await;
    way.delay(Duration::from_secs(3));
    let outcome = store.append(&fixture.draft()).await;
    assert!(outcome.is_err(), "{outcome:?}");
    let topic = Topic::Chat(fixture.chat);
    let told = async || events.on(topic).first().cloned();
    let told = eventually("the message", told).await;
    assert_eq!(numbers(&[told]), [1]);
}

/// What became of the inserts is found out by sending them again.
#[tokio::test(flavor = "multi_thread")]
async fn messages_whose_answers_were_lost_are_told_once_and_in_their_order() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let way = SlowWay::to(mongo).await;
    let (store, events) = behind(&way, &fixture.database, patient().timeout).await;
    for _ in 0..4 {
        way.lose_answers(2);
        let sends = (0..5).map(|_| {
            let (store, draft) = (store.clone(), fixture.draft());
            async move { store.append(&draft).await }
        });
        for outcome in futures_util::future::join_all(sends).await {
            outcome.unwrap();
        }
    }
    let told = numbers(&events.on(Topic::Chat(fixture.chat)));
    assert_eq!(told, (1..=20).collect::<Vec<_>>());
}

/// The instance that changed the group has died behind the commit: whoever carries the change out
/// tells it, and nobody a second time.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_group_is_told_by_whoever_carries_it_out() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let [ada, bob] = fixture.users;
    let group = group(&fixture.store, ada, &[]).await;
    let way = SlowWay::to(mongo).await;
    let (mortal, its_events) = behind(&way, &fixture.database, Duration::from_millis(600)).await;
    // The note and the message.
    way.end_after(2);
    let add = GroupAction::Add {
        users: vec![bob],
        history: HistoryFrom::Join,
    };
    let change = group_change(group, ada, add);
    let outcome = mortal.change_group(&change).await;
    assert!(outcome.is_err(), "{outcome:?}");
    assert_eq!(its_events.on(Topic::User(bob)), []);

    let events = Recorder::default();
    let options = patient();
    let other = mongo.store_announcing(&fixture.database, &options, events.clone());
    let other = other.await;
    let chat = eventually("the message", async || {
        let chat = other.chats(&[group]).await.unwrap().pop()?;
        (chat.last_seq == 2).then_some(chat)
    });
    assert_eq!(chat.await.member_count, 2);
    let joined = Event::ChatJoined { chat_id: group };
    assert_eq!(events.on(Topic::User(bob)), [joined]);
    assert_eq!(numbers(&events.on(Topic::Chat(group))), [2]);
    other.append(&draft(group, bob)).await.unwrap();
    assert_eq!(numbers(&events.on(Topic::Chat(group))), [2, 3]);
}

/// The caller has gone right behind its first step.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_nobody_waits_for_is_told() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let sent = fixture.send().await;
    let events = Recorder::default();
    let options = patient();
    let store = mongo.store_announcing(&fixture.database, &options, events.clone());
    let store = store.await;
    let change = MessageChange {
        message_id: sent.id,
        chat_id: sent.chat_id,
        actor_id: fixture.users[0],
        at: NOW,
        action: ChangeAction::Delete,
    };
    let changing = tokio::time::timeout(Duration::ZERO, store.change(&change)).await;
    assert!(changing.is_err(), "{changing:?}");
    let topic = Topic::Chat(fixture.chat);
    let told = eventually("the change", async || events.on(topic).pop()).await;
    match told {
        Event::MessageChanged { message, .. } => {
            assert_eq!((message.id, message.change_seq), (sent.id, 1));
        }
        other => panic!("something else was told: {other:?}"),
    }
}
