//! Databases of earlier releases.

use futures_util::TryStreamExt as _;
use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use talksy_domain::chats::{ChatStore as _, LargeGroups, Member};
use talksy_domain::clock::Timestamp;
use talksy_domain::jobs::JobStore as _;
use talksy_domain::messages::{
    ChangeAction, Changed, MessageChange, MessageStore as _, MessageText,
};
use talksy_domain::search::{MessageSearch, SearchQuery};
use talksy_mongo::MongoStore;
use talksy_tests::servers::counted::CountedMongo;
use talksy_tests::servers::mongo::{Mongo, patient};

use super::{Fixture, NOW, done, forward, members, nobody};

/// Behind all that is due.
const LATER: Timestamp = Timestamp::from_millis(4_102_444_800_000);

/// A database of schema version 1, with a chat and a message, is one of this release once it is
/// prepared.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_the_first_release_is_brought_up_to_date() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let (chat, [ada, bob]) = (fixture.chat, fixture.users);
    let sent = fixture.send().await;
    let outside = fixture.outside(mongo).await;
    let of = |name: &str| outside.collection::<Document>(name);
    // What version 1 did not have.
    let lacking = doc! {
        "active": "", "joinedSeq": "", "visibleFromSeq": "", "at": "", "muted": "", "v": "",
    };
    let unset = doc! { "$unset": lacking };
    of("members").update_many(doc! {}, unset).await.unwrap();
    let lacking = doc! { "appliedSeq": "", "lastChangeSeq": "", "claimedSeq": "" };
    let epoch = doc! { "$unset": lacking, "$set": { "membershipEpoch": 1 } };
    of("chats").update_many(doc! {}, epoch).await.unwrap();
    let unset = doc! { "$unset": { "mseq": "", "words": "" } };
    of("messages").update_many(doc! {}, unset).await.unwrap();
    let version = doc! { "$set": { "version": 1_i64 } };
    of("meta").update_one(doc! {}, version).await.unwrap();
    for (name, keys) in [
        ("by_user", doc! { "userId": 1, "chatId": 1 }),
        (
            "by_read",
            doc! { "chatId": 1, "lastReadSeq": 1, "userId": 1 },
        ),
    ] {
        let mut options = mongodb::options::IndexOptions::default();
        options.name = Some(name.to_owned());
        let index = IndexModel::builder().keys(keys).options(options).build();
        of("members").create_index(index).await.unwrap();
    }

    let store = mongo.store_on(&fixture.database).await;
    let expected = [ada, bob].map(|user| Member::of_direct(chat, user, NOW));
    assert_eq!(members(&store, chat).await, expected);
    assert_eq!(store.chat_ids_of(bob).await.unwrap(), [chat]);
    let page = store.page(chat, &forward(None, 10)).await.unwrap();
    assert_eq!(page.items, std::slice::from_ref(&sent));
    // What was sent before is found once the job has come to it.
    let wanted = MessageSearch {
        query: SearchQuery::parse("hel").unwrap(),
        sender: None,
        parts: vec![(chat, 1)],
        after: None,
        limit: 10,
    };
    let due = store.due(&["fillSearchIndex.1"], LATER, 10).await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(store.search(&wanted).await.unwrap().hits.len(), 0);
    let last = store.index_messages(None, 10).await.unwrap();
    assert_eq!(last, Some(sent.id));
    assert_eq!(store.index_messages(last, 10).await.unwrap(), None);
    assert_eq!(store.search(&wanted).await.unwrap().hits, page.items);
    let next = done(store.append(&fixture.draft()).await.unwrap());
    assert_eq!((next.message.seq, next.message.mseq), (2, 0));
    let mark = store
        .mark_read(chat, bob, 1, NOW, LargeGroups::NONE)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((mark.member.last_read_seq, mark.member.version), (1, 2));
    let unread = store.unread_counts(bob, &[chat]).await.unwrap();
    assert_eq!(unread, [(chat, 1)]);
    let edit = MessageChange {
        message_id: sent.id,
        chat_id: chat,
        actor_id: ada,
        at: NOW,
        action: ChangeAction::Edit {
            edit: MessageText::parse("edited").unwrap().into(),
            expected: None,
        },
    };
    match store.change(&edit).await.unwrap() {
        Changed::Done(changed) => assert_eq!(changed.message.change_seq, 1),
        other @ Changed::Refused(_) => panic!("{other:?}"),
    }
    let kept = of("chats").find_one(doc! {}).await.unwrap().unwrap();
    assert!(!kept.contains_key("membershipEpoch"));
    let kept = of("meta").find_one(doc! {}).await.unwrap().unwrap();
    assert_eq!(kept.get_i64("version").unwrap(), 5);
    let mut names = of("members").list_index_names().await.unwrap();
    names.sort();
    assert_eq!(
        names,
        [
            "_id_",
            "by_active",
            "by_chat",
            "by_mark",
            "by_member",
            "by_role",
            "by_version"
        ]
    );
    // Once more changes nothing.
    store.prepare().await.unwrap();
    assert_eq!(members(&store, chat).await.len(), 2);
}

/// The sessions of an earlier release go part by part, and those of this one stay.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_earlier_releases_go_in_parts_of_a_bounded_size() {
    const OLD: i32 = 2_500;
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let outside = fixture.outside(mongo).await;
    let sessions = outside.collection::<Document>("sessions");
    let old = (0..OLD).map(|number| doc! { "_id": format!("old-{number}") });
    sessions.insert_many(old).await.unwrap();
    let new = doc! { "_id": "old-1-and-new", "generation": 1_i64 };
    sessions.insert_one(&new).await.unwrap();
    let version = doc! { "$set": { "version": 2_i64 } };
    let meta = outside.collection::<Document>("meta");
    meta.update_one(doc! { "_id": "schema" }, version)
        .await
        .unwrap();

    let way = CountedMongo::start(mongo.port).await;
    let url = format!("mongodb://{}/{}", way.address, fixture.database);
    let store = MongoStore::open(&url.into(), &patient(), nobody()).unwrap();
    store.prepare().await.unwrap();
    let deletions = way.take().get("delete").copied().unwrap_or_default();
    assert!((3..=4).contains(&deletions), "{deletions}");
    let left: Vec<Document> = sessions
        .find(doc! {})
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(left, [new]);
}
