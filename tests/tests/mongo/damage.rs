//! Documents that do not parse.

use mongodb::bson::{Document, doc};
use talksy_domain::chats::{ChatStore as _, MemberRole};
use talksy_domain::clock::Timestamp;
use talksy_domain::cursor::UserCursor;
use talksy_domain::id;
use talksy_domain::messages::MessageStore as _;
use talksy_domain::users::UserStore as _;
use talksy_tests::servers::mongo::Mongo;

use super::{Fixture, by_id, candidate, forward, key, members, user};

/// A damaged document harms itself alone: what people wrote gets a stand-in, messages and members
/// keep their place, and only a chat of which nothing can be made is left out.
#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_document_harms_itself_alone() {
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

    let mut sent = Vec::new();
    for _ in 0..4 {
        sent.push(fixture.send().await);
    }
    for (place, set) in [
        (1, doc! { "kind": "song" }),
        (2, doc! { "text": "a\u{7}", "createdAt": "now" }),
        (3, doc! { "senderId": 7, "text": 7, "editedAt": 7 }),
    ] {
        let filter = doc! { "_id": key(id::bytes(sent[place].id)) };
        damage("messages", filter, set).await;
    }
    sent[2].text = None;
    sent[2].created_at = Timestamp::from_millis(0);
    (sent[3].text, sent[3].sender_id) = (None, None);
    let page = store.page(fixture.chat, &forward(None, 10)).await.unwrap();
    assert_eq!(page.items, sent);
    let ids: Vec<_> = sent.iter().map(|message| message.id).collect();
    assert_eq!(store.messages(&ids).await.unwrap().len(), 4);
    assert_eq!(fixture.send().await.seq, 5, "sending goes on");
    assert_eq!(
        store.unread_counts(bob, &[fixture.chat]).await.unwrap()[0].1,
        5
    );

    let filter = doc! { "_id": key(id::bytes(bob)) };
    let unseen = doc! {
        "name": "\u{3164}", "nameKey": "\u{3164}", "email": "\u{3164}@example.org", "about": 7,
    };
    damage("users", filter, unseen).await;
    let found = store.users(&[bob]).await.unwrap();
    assert_eq!(
        (found[0].name.as_str(), found[0].email.as_str()),
        ("?", "\u{3164}@example.org")
    );
    assert_eq!(store.users(&[ada, bob, eve]).await.unwrap().len(), 3);
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let window = forward(after, 1);
        let page = store.users_by_name("", eve, &window).await.unwrap();
        let user = page.items.first().unwrap();
        names.push(user.name.as_str().to_owned());
        after = Some(UserCursor {
            name_key: user.name.sort_key(),
            user_id: user.id,
        });
        assert!(names.len() <= 2, "the list goes on for ever: {names:?}");
        if !page.has_next {
            break;
        }
    }
    assert_eq!(names, ["Ada", "?"]);

    damage("chats", by_id(fixture.chat), doc! { "lastSeq": -1 }).await;
    let found = store.chats(&[other.id, fixture.chat]).await.unwrap();
    assert_eq!(found.len(), 1);
    for search in [None, Some("e")] {
        let page = store
            .chats_of(ada, search, &forward(None, 1))
            .await
            .unwrap();
        assert_eq!((page.items.len(), page.has_next), (1, false));
        assert_eq!(page.items[0].id, other.id);
    }

    let filter = doc! { "chatId": key(id::bytes(other.id)), "userId": key(id::bytes(eve)) };
    damage("members", filter, doc! { "role": 7 }).await;
    let found = store.memberships(eve, &[other.id]).await.unwrap();
    assert_eq!(found[0].role, MemberRole::Member);
    assert_eq!(members(store, other.id).await.len(), 2);
}
