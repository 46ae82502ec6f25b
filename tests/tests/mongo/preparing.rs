//! Preparing a database: its indexes, its version, and what is refused.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use mongodb::bson::{Document, Uuid, doc};
use talksy_domain::auth::SessionStore as _;
use talksy_domain::auth::{Session, TokenHash};
use talksy_domain::error::chain;
use talksy_domain::id;
use talksy_domain::messages::MessageStore as _;
use talksy_mongo::{MongoOptions, MongoStore, PrepareError, index_specs};
use talksy_tests::eventually;
use talksy_tests::servers::mongo::{Mongo, patient};
use talksy_tests::slow_way::SlowWay;

use super::{Fixture, NOW, ids, key, nobody, outside};

fn open(mongo: &Mongo, database: &str) -> MongoStore {
    MongoStore::open(&mongo.url(database), &patient(), nobody()).unwrap()
}

/// A store that is reached by the way, and answers soon that it is still being prepared.
fn open_by(way: &SlowWay, database: &str) -> MongoStore {
    let options = MongoOptions {
        prepare_timeout: Duration::from_millis(20),
        ..patient()
    };
    MongoStore::open(&way.url(database), &options, nobody()).unwrap()
}

async fn prepared(store: &MongoStore) {
    eventually("a prepared database", async || {
        match store.prepare().await {
            Ok(()) => Some(()),
            Err(error) if error.is_transient() => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
}

/// Indexes that take long to build fail nobody's start: of several instances each says what is going
/// on, as often as it is asked, and asks the server for them once.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_build_is_told_and_waited_for() {
    let mongo = Mongo::shared().await;
    let database = mongo.new_database();
    let way = SlowWay::to(mongo).await;
    way.hold_builds(true);
    let instances = [open_by(&way, &database), open_by(&way, &database)];
    let told = async |store: &MongoStore| {
        let told = store.prepare().await.unwrap_err();
        assert!(told.is_working() && told.is_transient(), "{told:?}");
        told
    };
    eventually("held builds", async || {
        for store in &instances {
            told(store).await;
        }
        (way.held_builds() == 2).then_some(())
    })
    .await;
    for _ in 0..5 {
        for store in &instances {
            let told = told(store).await;
            let text = "at work on its indexes of `users`, which may take long";
            assert_eq!(told.to_string(), text);
        }
    }
    assert_eq!(way.held_builds(), 2);
    way.hold_builds(false);
    for store in &instances {
        prepared(store).await;
    }
    assert_eq!(way.held_builds(), 2);
    let members = outside(mongo, &database).await;
    let members = members.collection::<Document>("members");
    let names = members.list_index_names().await.unwrap();
    assert!(names.contains(&"by_chat".to_owned()), "{names:?}");
}

/// A build that fails for a reason that passes is begun again.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_breaks_off_is_begun_again() {
    let mongo = Mongo::shared().await;
    let way = SlowWay::to(mongo).await;
    way.break_builds(2);
    let database = mongo.new_database();
    let store = MongoStore::open(&way.url(&database), &patient(), nobody()).unwrap();
    for _ in 0..2 {
        let failed = store.prepare().await.unwrap_err();
        assert!(matches!(failed, PrepareError::Unavailable(_)), "{failed:?}");
        assert!(failed.is_transient());
    }
    store.prepare().await.unwrap();
}

/// A server that dies in the middle of a build is told as one that is away, and the next one builds.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_over_a_build_is_not_at_work() {
    let mut mongo = Mongo::start().await;
    let way = SlowWay::to(&mongo).await;
    way.hold_builds(true);
    let store = open_by(&way, "talksy");
    let told = store.prepare().await.unwrap_err();
    assert!(told.is_working(), "{told:?}");
    mongo.kill().await;
    eventually("an outage", async || {
        let told = store.prepare().await.unwrap_err();
        assert!(told.is_transient(), "{told:?}");
        (!told.is_working()).then_some(())
    })
    .await;
    mongo.start().await;
    way.hold_builds(false);
    prepared(&store).await;
}

/// Instances that prepare one database at the same time all succeed, again and again, and leave
/// exactly the indexes that the adapter names.
#[tokio::test(flavor = "multi_thread")]
async fn preparing_is_harmless_at_once_and_again() {
    let mongo = Mongo::shared().await;
    let database = mongo.new_database();
    for _ in 0..2 {
        let instances: [MongoStore; 4] = std::array::from_fn(|_| open(mongo, &database));
        let [one, two, three, four] = instances.each_ref().map(MongoStore::prepare);
        let (one, two, three, four) = tokio::join!(one, two, three, four);
        for outcome in [one, two, three, four] {
            outcome.unwrap();
        }
    }
    let database = outside(mongo, &database).await;
    let mut found = BTreeSet::new();
    let collections: BTreeSet<_> = index_specs().iter().map(|spec| spec.collection).collect();
    for collection in collections {
        let indexes = database.collection::<Document>(collection);
        let indexes = indexes.list_indexes().await.unwrap();
        let indexes: Vec<_> = indexes.try_collect().await.unwrap();
        for index in indexes {
            let options = index.options.unwrap();
            let fields: Vec<String> = index.keys.keys().cloned().collect();
            let unique = options.unique.unwrap_or_default();
            found.insert((collection, options.name.unwrap(), fields, unique));
        }
    }
    found.retain(|(_, name, ..)| name != "_id_");
    let expected: BTreeSet<_> = index_specs()
        .iter()
        .map(|spec| {
            let fields: Vec<_> = spec.fields.iter().map(|&field| field.to_owned()).collect();
            (spec.collection, spec.name.to_owned(), fields, spec.unique)
        })
        .collect();
    assert_eq!(found, expected);
    let meta = database.collection::<Document>("meta");
    let version = meta
        .find_one(doc! { "_id": "schema" })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(version.get_i64("version").unwrap(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_agree_on_the_incarnation_and_a_renewed_one_is_another() {
    let mongo = Mongo::shared().await;
    let database = mongo.new_database();
    let [one, other] = [open(mongo, &database), open(mongo, &database)];
    one.prepare().await.unwrap();
    let (here, there) = tokio::join!(one.incarnation(), other.incarnation());
    let first = here.unwrap();
    assert_eq!(there.unwrap(), first);
    one.prepare().await.unwrap();
    assert_eq!(one.incarnation().await.unwrap(), first);
    other.renew_incarnation().await.unwrap();
    let renewed = one.incarnation().await.unwrap();
    assert_ne!(renewed, first);
    assert_eq!(other.incarnation().await.unwrap(), renewed);
}

/// A collection, a filter, an order, and the index for them.
type Query = (&'static str, Document, Document, &'static str);

fn queries_of_members(chat: Uuid, user: Uuid) -> Vec<Query> {
    vec![
        (
            "members",
            doc! { "chatId": chat, "userId": user, "active": true },
            doc! {},
            "by_",
        ),
        (
            "members",
            doc! { "chatId": chat, "active": true, "userId": { "$gt": user } },
            doc! { "userId": 1 },
            "by_active",
        ),
        (
            "members",
            doc! { "userId": user, "active": true },
            doc! {},
            "by_member",
        ),
        (
            "members",
            doc! { "chatId": chat, "active": true },
            doc! { "lastReadSeq": 1, "userId": 1 },
            "by_mark",
        ),
        (
            "members",
            doc! {
                "chatId": chat,
                "active": true,
                "lastReadSeq": { "$gte": 3_i64 },
                "joinedSeq": { "$lt": 3_i64 },
            },
            doc! { "userId": 1 },
            "by_",
        ),
        (
            "members",
            doc! { "userId": { "$in": [user, chat] }, "active": true },
            doc! {},
            "by_member",
        ),
        (
            "chats",
            doc! { "directKey": { "$in": ["x", "y"] }, "ready": true },
            doc! {},
            "by_pair",
        ),
        (
            "members",
            doc! { "chatId": chat, "active": true, "role": { "$in": ["admin", "member"] } },
            doc! { "role": 1, "joinedSeq": 1, "userId": 1 },
            "by_role",
        ),
    ]
}

fn queries_of_reactions(chat: Uuid, user: Uuid) -> Vec<Query> {
    let (pinned, of_message) = (
        doc! { "pinnedIn": { "$in": [chat] } },
        doc! { "chatId": chat, "messageId": chat },
    );
    let own = doc! { "chatId": chat, "messageId": chat, "userId": user, "on": true };
    let with = doc! { "chatId": chat, "messageId": chat, "emoji": "x", "on": true };
    vec![
        ("messages", pinned, doc! {}, "by_pin"),
        ("reactions", of_message, doc! {}, "by_"),
        ("reactions", own, doc! {}, "by_user"),
        ("reactions", with, doc! { "place": 1 }, "by_emoji"),
    ]
}

/// On a real server, each query walks an index and never a collection.
#[tokio::test(flavor = "multi_thread")]
async fn no_query_scans_a_collection() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    fixture.send().await;
    let (chat, user) = (
        key(id::bytes(fixture.chat)),
        key(id::bytes(fixture.users[0])),
    );
    let range = doc! { "chatId": chat, "seq": { "$gt": 0 } };
    let known = doc! { "chatId": chat, "knownTo": { "$in": [user, chat] }, "seq": { "$gt": 0 } };
    let queries = [
        (
            "users",
            doc! { "email": "a@example.org" },
            doc! {},
            "by_email",
        ),
        (
            "users",
            doc! { "nameKey": { "$gte": "a", "$lt": "b" }, "_id": { "$ne": user } },
            doc! { "nameKey": 1, "_id": 1 },
            "by_name",
        ),
        (
            "sessions",
            doc! { "userId": user, "expiresAt": { "$gt": mongodb::bson::DateTime::MIN } },
            doc! { "lastUsedAt": -1, "_id": -1 },
            "by_user",
        ),
        (
            "chats",
            doc! { "_id": { "$in": [chat] }, "ready": true },
            doc! {},
            "_id_",
        ),
        ("chats", doc! { "directKey": "x" }, doc! {}, "by_pair"),
        (
            "messages",
            doc! { "chatId": chat, "changeSeq": { "$gt": 0 }, "seq": { "$gte": 1 } },
            doc! { "changeSeq": 1 },
            "by_change",
        ),
        (
            "jobs",
            doc! {
                "state": "waiting",
                "kind": { "$in": ["a", "b"] },
                "dueAt": { "$lte": mongodb::bson::DateTime::MAX },
            },
            doc! { "dueAt": 1 },
            "by_state",
        ),
        (
            "jobs",
            doc! { "state": "failed" },
            doc! { "kind": 1, "dueAt": 1 },
            "by_state",
        ),
        ("messages", range.clone(), doc! { "seq": -1 }, "by_seq"),
        (
            "messages",
            doc! { "$or": [range.clone(), { "chatId": chat, "changeSeq": { "$gt": 0 } }] },
            doc! {},
            "by_change",
        ),
        (
            "messages",
            doc! { "$or": [range.clone(), range] },
            doc! {},
            "by_seq",
        ),
        (
            "messages",
            doc! { "chatId": chat, "dedup": "x" },
            doc! {},
            "by_dedup",
        ),
        (
            "messages",
            doc! { "$or": [known.clone(), known] },
            doc! {},
            "by_known",
        ),
    ];
    let named: BTreeSet<&str> = index_specs().iter().map(|spec| spec.name).collect();
    let database = fixture.outside(mongo).await;
    let queries = queries.into_iter().chain(queries_of_members(chat, user));
    let queries = queries.chain(queries_of_reactions(chat, user));
    for (collection, filter, sort, index) in queries {
        let is_named = named.iter().any(|name| name.starts_with(index));
        assert!(index == "_id_" || is_named, "{index}");
        // The stand-in has no plans to tell of.
        if Mongo::is_real() {
            let find = doc! { "find": collection, "filter": filter, "sort": sort };
            let explain = doc! { "explain": find, "verbosity": "queryPlanner" };
            let plan = database.run_command(explain).await.unwrap();
            let planner = plan.get_document("queryPlanner").unwrap();
            let winning = planner.get_document("winningPlan").unwrap().to_string();
            assert!(!winning.contains("COLLSCAN"), "{collection}: {winning}");
            assert!(winning.contains(index), "{collection}: {winning}");
        }
    }
}

/// A database of a newer release is refused, and left as it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_database_is_refused_unchanged() {
    let mongo = Mongo::shared().await;
    let name = mongo.new_database();
    let database = outside(mongo, &name).await;
    let newer = doc! { "_id": "schema", "version": 99_i64 };
    let meta = database.collection::<Document>("meta");
    meta.insert_one(&newer).await.unwrap();
    let refused = open(mongo, &name).prepare().await.unwrap_err();
    assert!(
        matches!(refused, PrepareError::Newer { found: 99 }),
        "{refused}"
    );
    assert!(!refused.is_transient());
    assert!(refused.to_string().contains("run a newer one"));
    assert_eq!(database.list_collection_names().await.unwrap(), ["meta"]);
    let kept = meta.find_one(doc! {}).await.unwrap();
    assert_eq!(kept, Some(newer));
}

/// Credentials that the server does not take are no outage, and are not repeated.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_told_without_them() {
    let mongo = Mongo::shared().await;
    let url = format!("mongodb://mallory:s3cret@127.0.0.1:{}/chat", mongo.port);
    let store = MongoStore::open(&url.into(), &MongoOptions::default(), nobody()).unwrap();
    let refused = store.prepare().await.unwrap_err();
    assert!(matches!(refused, PrepareError::Credentials), "{refused:?}");
    assert!(!refused.is_transient());
    let pinged = store.ping().await.unwrap_err();
    for text in [
        chain(&refused),
        chain(&pinged),
        format!("{store:?} {refused:?}"),
    ] {
        assert!(
            !text.contains("s3cret") && !text.contains("mallory"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

/// A server that is too old for the adapter is told by that, and not as an outage.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_is_refused() {
    if Mongo::is_real() {
        // There is one mongod here, and it is new enough.
        return;
    }
    let mongo = Mongo::start_old().await;
    let refused = open(&mongo, "old").prepare().await.unwrap_err();
    assert!(
        matches!(refused, PrepareError::ServerTooOld { .. }),
        "{refused:?}"
    );
    assert!(!refused.is_transient());
    assert!(
        refused
            .to_string()
            .starts_with("the store needs MongoDB 5.0 or newer")
    );
}

/// Sessions that have expired are purged, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn expired_sessions_are_purged() {
    let fixture = Fixture::new(Mongo::shared().await).await;
    let session = |minutes: u64| Session {
        id: ids().next(),
        user_id: fixture.users[0],
        created_at: NOW,
        last_used_at: NOW,
        expires_at: NOW + Duration::from_mins(minutes),
        user_agent: None,
        ip_address: None,
    };
    let store = &fixture.store;
    let (early, late) = (session(1), session(2));
    for session in [&early, &late] {
        let token = TokenHash([7; 32]);
        store.create_session(session, token).await.unwrap();
    }
    assert_eq!(store.purge_expired(NOW, 10).await.unwrap(), 0);
    let minute = NOW + Duration::from_mins(1);
    assert_eq!(store.purge_expired(minute, 10).await.unwrap(), 1);
    assert_eq!(store.session(early.id).await.unwrap(), None);
    assert_eq!(store.session(late.id).await.unwrap(), Some(late));
}
