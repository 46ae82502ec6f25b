//! Changes of messages by several instances, and what a crash leaves of one.

use std::collections::BTreeMap;

use mongodb::bson::{Document, doc};
use talksy_domain::chats::ChatStore as _;
use talksy_domain::id::{self, MessageId, UserId};
use talksy_domain::messages::{
    ChangeAction, ChangeRefusal, Changed, ChangedMessage, Message, MessageChange,
    MessageStore as _, MessageText,
};
use talksy_domain::seq::Seq;
use talksy_mongo::MongoStore;
use talksy_tests::eventually;
use talksy_tests::servers::mongo::Mongo;

use super::{Fixture, NOW, by_id, forward, key};

fn edit(fixture: &Fixture, message: &Message, text: &str) -> MessageChange {
    let text = MessageText::parse(text).unwrap();
    change(
        fixture,
        message,
        ChangeAction::Edit {
            edit: text.into(),
            expected: None,
        },
    )
}

fn change(fixture: &Fixture, message: &Message, action: ChangeAction) -> MessageChange {
    MessageChange {
        message_id: message.id,
        chat_id: fixture.chat,
        actor_id: fixture.users[0],
        at: NOW,
        action,
    }
}

fn changed(outcome: Changed) -> ChangedMessage {
    match outcome {
        Changed::Done(changed) => *changed,
        other @ Changed::Refused(_) => panic!("not changed: {other:?}"),
    }
}

async fn message(store: &MongoStore, id: MessageId) -> Message {
    let mut found = store.messages(&[id]).await.unwrap();
    found.pop().unwrap()
}

/// A follower who reads on from the greatest number they have received ends with every message as it
/// is, whatever instances do to the same few messages meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_loses_no_change_of_three_instances() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let mut sent = Vec::new();
    for _ in 0..4 {
        sent.push(fixture.send().await);
    }
    let (mut tasks, mut instances) = (Vec::new(), Vec::new());
    for n in 0..12_usize {
        let store = if n < 3 {
            instances.push(mongo.store_on(&fixture.database).await);
            &instances[n]
        } else {
            &instances[n % 3]
        };
        let store = store.clone();
        let mut edits = Vec::new();
        for round in 0..20 {
            // Mostly the same one, so that its row moves again and again.
            let which = if round % 4 == 0 { 1 + n % 3 } else { 0 };
            edits.push(edit(&fixture, &sent[which], &format!("{n} {round}")));
        }
        tasks.push(tokio::spawn(async move {
            let mut numbers = Vec::new();
            for edit in edits {
                let done = changed(store.change(&edit).await.unwrap());
                assert!(done.is_new);
                assert!(done.chat.last_change_seq >= done.message.change_seq);
                numbers.push(done.message.change_seq);
            }
            assert!(numbers.is_sorted());
            numbers
        }));
    }
    let mut replica: BTreeMap<MessageId, Message> = BTreeMap::new();
    let mut place: Seq = 0;
    let store = &fixture.store;
    let mut read_on = async || {
        let window = forward(Some(place), 2);
        let page = store.changes(fixture.chat, 1, &window).await.unwrap();
        for message in page.items {
            assert!(message.change_seq > place);
            place = message.change_seq;
            replica.insert(message.id, message);
        }
        page.has_next
    };
    while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
        read_on().await;
    }
    while read_on().await {}
    let mut numbers = Vec::new();
    for task in tasks {
        numbers.extend(task.await.unwrap());
    }
    numbers.sort_unstable();
    let count = numbers.len();
    numbers.dedup();
    assert_eq!((count, numbers.len()), (240, 240));
    for old in &sent {
        let now = message(&fixture.store, old.id).await;
        assert_eq!(replica.get(&old.id), Some(&now));
    }
    let heads = fixture.store.heads(&[fixture.chat]).await.unwrap();
    assert_eq!(heads[0].last_change_seq, place);
}

/// A number that was claimed and not used is never used: whoever comes next fences its writer off.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_came_to_nothing_is_fenced_off() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let (one, two, other) = (
        fixture.send().await,
        fixture.send().await,
        fixture.send().await,
    );
    let outside = fixture.outside(mongo).await;
    let chats = outside.collection::<Document>("chats");
    let claims = [&one, &two].map(|message| key(id::bytes(message.id)));
    let claim = doc! { "$set": { "claimedSeq": 2, "claims": claims.to_vec() } };
    chats.update_one(by_id(fixture.chat), claim).await.unwrap();

    let next = fixture.store.change(&edit(&fixture, &other, "later")).await;
    let next = changed(next.unwrap());
    assert_eq!(next.message.change_seq, 3);
    let messages = outside.collection::<Document>("messages");
    for (message, number) in [(&one, 1), (&two, 2)] {
        let it = doc! { "_id": key(id::bytes(message.id)) };
        let kept = messages.find_one(it).await.unwrap().unwrap();
        assert_eq!(kept.get_i64("fence").unwrap(), number);
        assert!(!kept.contains_key("changeSeq"));
    }

    let again = fixture
        .store
        .change(&edit(&fixture, &one, "after all"))
        .await;
    assert_eq!(changed(again.unwrap()).message.change_seq, 4);
    let window = forward(None, 10);
    let page = fixture.store.changes(fixture.chat, 1, &window).await;
    let page = page.unwrap();
    let order: Vec<_> = page.items.iter().map(|message| message.id).collect();
    assert_eq!(order, [other.id, one.id]);
}

/// A change of which the chat does not know yet is known to every read, and the chat is mended.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_above_its_chats_end_is_seen_by_every_read() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let sent = fixture.send().await;
    for text in ["a", "b"] {
        let edit = edit(&fixture, &sent, text);
        changed(fixture.store.change(&edit).await.unwrap());
    }
    let outside = fixture.outside(mongo).await;
    let chats = outside.collection::<Document>("chats");
    let crash = async || {
        let end = doc! { "$set": { "lastChangeSeq": 1 } };
        let crashed = chats.update_one(by_id(fixture.chat), end).await;
        assert_eq!(crashed.unwrap().modified_count, 1);
    };
    let store = mongo.store_on(&fixture.database).await;
    crash().await;
    let heads = store.heads(&[fixture.chat]).await.unwrap();
    assert_eq!((heads[0].last_seq, heads[0].last_change_seq), (1, 2));
    eventually("the chat to be mended", async || {
        let kept = chats.find_one(by_id(fixture.chat)).await.unwrap().unwrap();
        let seq = kept.get("lastChangeSeq").unwrap();
        let seq = seq.as_i64().or_else(|| seq.as_i32().map(i64::from));
        (seq == Some(2)).then_some(())
    })
    .await;
    crash().await;
    let next = store.change(&edit(&fixture, &sent, "c")).await.unwrap();
    assert_eq!(changed(next).message.change_seq, 3);
}

/// Nothing of what a deleted message said is left, and it is news to nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_message_leaves_no_word() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let bob: UserId = fixture.users[1];
    let sent = fixture.send().await;
    fixture.send().await;
    let secret = edit(&fixture, &sent, "swordfish");
    changed(fixture.store.change(&secret).await.unwrap());
    let unread = async || {
        fixture
            .store
            .unread_counts(bob, &[fixture.chat])
            .await
            .unwrap()[0]
            .1
    };
    assert_eq!(unread().await, 2);
    let deletion = change(&fixture, &sent, ChangeAction::Delete);
    let deleted = changed(fixture.store.change(&deletion).await.unwrap());
    assert_eq!(
        (deleted.message.text, deleted.message.change_seq),
        (None, 2)
    );
    assert_eq!(unread().await, 1);
    let outside = fixture.outside(mongo).await;
    for name in outside.list_collection_names().await.unwrap() {
        let mut all = outside
            .collection::<Document>(&name)
            .find(doc! {})
            .await
            .unwrap();
        while all.advance().await.unwrap() {
            let document = all.deserialize_current().unwrap().to_string();
            assert!(!document.contains("swordfish"), "{name}: {document}");
        }
    }
    let refused = fixture.store.change(&secret).await.unwrap();
    assert_eq!(refused, Changed::Refused(ChangeRefusal::Deleted));
}
