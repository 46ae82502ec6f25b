//! Documents that do not parse.

use mongodb::bson::{Document, doc};
use talksy_domain::chats::ChatStore as _;
use talksy_domain::error::PortError;
use talksy_domain::id;
use talksy_domain::messages::MessageStore as _;
use talksy_domain::users::UserStore as _;
use talksy_tests::servers::mongo::Mongo;

use super::{Fixture, by_id, candidate, forward, key, user};

fn what<T: std::fmt::Debug>(outcome: Result<T, PortError>) -> String {
    match outcome {
        Err(PortError::Corrupt { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

/// A damaged document is reported by its collection and id, and fails who reads it, nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_document_is_reported_by_its_id_and_alone() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let store = &fixture.store;
    let [ada, bob] = fixture.users;
    let eve = user(store, "Eve").await.id;
    let (other, _) = store.open_direct(&candidate(), [ada, eve]).await.unwrap();
    let outside = fixture.outside(mongo).await;
    let damage = async |collection: &str, filter: Document, set: Document| {
        let collection = outside.collection::<Document>(collection);
        let damaged = collection.update_one(filter, doc! { "$set": set }).await;
        assert_eq!(damaged.unwrap().modified_count, 1);
    };

    let (good, bad) = (fixture.send().await, fixture.send().await);
    let filter = doc! { "_id": key(id::bytes(bad.id)) };
    damage("messages", filter, doc! { "kind": "song" }).await;
    assert_eq!(
        what(store.messages(&[good.id, bad.id]).await),
        format!("message {} in collection `messages`", bad.id)
    );
    assert_eq!(store.messages(&[good.id]).await.unwrap(), [good]);
    assert_eq!(fixture.send().await.seq, 3, "sending goes on");
    assert_eq!(
        store.unread_counts(bob, &[fixture.chat]).await.unwrap()[0].1,
        3
    );

    let filter = doc! { "_id": key(id::bytes(bob)) };
    damage("users", filter, doc! { "name": "two\nlines" }).await;
    assert_eq!(
        what(store.users(&[bob]).await),
        format!("user {bob} in collection `users`")
    );
    assert_eq!(store.users(&[ada, eve]).await.unwrap().len(), 2);

    damage("chats", by_id(fixture.chat), doc! { "lastSeq": -1 }).await;
    assert_eq!(
        what(store.chats(&[other.id, fixture.chat]).await),
        format!("chat {} in collection `chats`", fixture.chat)
    );
    assert_eq!(store.chats(&[other.id]).await.unwrap().len(), 1);
    let page = store.chats_of(eve, None, &forward(None, 10)).await.unwrap();
    assert_eq!(page.items.len(), 1);

    let filter = doc! { "chatId": key(id::bytes(other.id)), "userId": key(id::bytes(eve)) };
    damage("members", filter, doc! { "role": 7 }).await;
    assert_eq!(
        what(store.memberships(eve, &[other.id]).await),
        format!("member {eve} of {} in collection `members`", other.id)
    );
    assert_eq!(store.memberships(ada, &[other.id]).await.unwrap().len(), 1);
}
