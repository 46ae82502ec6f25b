//! Blocks whose instance died behind the commit, and what is written late.

use futures_util::TryStreamExt as _;
use mongodb::bson::{Document, doc};
use talksy_domain::access::Denied;
use talksy_domain::blocks::{BlockOutcome, BlockStore as _};
use talksy_domain::chats::{ChatStore as _, Member};
use talksy_domain::clock::{Clock as _, SystemClock};
use talksy_domain::id::{self, UserId};
use talksy_domain::jobs::{JobStore as _, Task};
use talksy_domain::messages::{Append, MessageStore as _};
use talksy_domain::users::UserStore as _;
use talksy_tests::servers::mongo::Mongo;

use super::{Fixture, by_id, candidate, done, draft, ids, key, repaired};

/// Chat, members and user as they were, to be put back as if they had never been marked.
struct Before {
    database: mongodb::Database,
    chat: Document,
    members: Vec<Document>,
    user: Document,
}

impl Before {
    async fn of(fixture: &Fixture, mongo: &Mongo) -> Self {
        let database = fixture.outside(mongo).await;
        let all = |name: &str| database.collection::<Document>(name);
        let of_chat = doc! { "chatId": key(id::bytes(fixture.chat)) };
        let members = all("members").find(of_chat).await.unwrap();
        let chat = all("chats").find_one(by_id(fixture.chat)).await;
        let user = doc! { "_id": key(id::bytes(fixture.users[0])) };
        let user = all("users").find_one(user).await;
        Self {
            chat: chat.unwrap().unwrap(),
            members: members.try_collect().await.unwrap(),
            user: user.unwrap().unwrap(),
            database,
        }
    }

    async fn put_back(&self, marked_members: usize) {
        let put = async |collection: &str, document: &Document| {
            let it = doc! { "_id": document.get("_id").unwrap().clone() };
            let collection = self.database.collection::<Document>(collection);
            let replaced = collection.replace_one(it, document).await.unwrap();
            assert_eq!(replaced.matched_count, 1);
        };
        put("chats", &self.chat).await;
        put("users", &self.user).await;
        for member in self.members.iter().skip(marked_members) {
            put("members", member).await;
        }
    }
}

async fn members(fixture: &Fixture) -> Vec<Member> {
    let found = fixture.store.first_members(&[fixture.chat], 2).await;
    found.unwrap()
}

async fn version(fixture: &Fixture) -> u32 {
    let users = fixture.store.users(&[fixture.users[0]]).await.unwrap();
    users[0].block_version
}

async fn refuses(fixture: &Fixture, sender: UserId) -> bool {
    let sent = fixture.store.append(&draft(fixture.chat, sender)).await;
    sent.unwrap() == Append::Denied(Denied::NotWritable)
}

async fn is_complete(fixture: &Fixture, is_blocked: bool, at: u32) {
    let members = members(fixture).await;
    assert!(members.iter().all(|member| member.is_blocked == is_blocked));
    for user in fixture.users {
        assert_eq!(refuses(fixture, user).await, is_blocked);
    }
    assert_eq!(version(fixture).await, at);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_behind_the_commit_has_left_is_completed_by_its_job() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let [ada, bob] = fixture.users;
    let store = &fixture.store;
    for (round, is_blocked) in [(1, true), (2, false), (3, true)] {
        let before = Before::of(&fixture, mongo).await;
        let set = store.set_blocked(ada, bob, is_blocked).await.unwrap();
        assert_eq!(set, BlockOutcome::Done { is_new: true });
        for marked in 0..2 {
            before.put_back(marked).await;
            let now = SystemClock.now();
            let task = Task::CompleteBlock {
                blocker_id: ada,
                blocked_id: bob,
            };
            let job = task.job(ids().next(), now, now).unwrap();
            assert!(store.enqueue(&job).await.unwrap());
            assert_eq!(repaired(store, now).await, 1);
            is_complete(&fixture, is_blocked, round).await;
        }
        // Who asks for it again completes it as well.
        before.put_back(0).await;
        let again = store.set_blocked(ada, bob, is_blocked).await.unwrap();
        assert_eq!(again, BlockOutcome::Done { is_new: false });
        is_complete(&fixture, is_blocked, round).await;
    }
}

/// A job stays where its writer died ahead of the commit, and finds nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_its_block_does_nothing() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let [ada, bob] = fixture.users;
    let before = members(&fixture).await;
    fixture.store.complete_block(ada, bob).await.unwrap();
    assert_eq!(members(&fixture).await, before);
    assert!(!refuses(&fixture, ada).await);
}

/// No job is left of a block that is complete.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_complete_leaves_no_job() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let [ada, bob] = fixture.users;
    for is_blocked in [true, true, false] {
        fixture
            .store
            .set_blocked(ada, bob, is_blocked)
            .await
            .unwrap();
    }
    let jobs = fixture.outside(mongo).await;
    let jobs = jobs.collection::<Document>("jobs");
    let of_blocks = doc! { "kind": "completeBlock.1" };
    assert_eq!(jobs.count_documents(of_blocks).await.unwrap(), 0);
}

/// A chat of which only the document is there, as its maker has left it, takes the mark when it is
/// completed.
#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_is_half_made_takes_the_block() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let [ada, bob] = fixture.users;
    let database = fixture.outside(mongo).await;
    let of_chat = doc! { "chatId": key(id::bytes(fixture.chat)) };
    let unready = doc! { "$set": { "ready": false } };
    let chats = database.collection::<Document>("chats");
    chats
        .update_one(by_id(fixture.chat), unready)
        .await
        .unwrap();
    let docs = database.collection::<Document>("members");
    docs.delete_many(of_chat).await.unwrap();
    fixture.store.set_blocked(bob, ada, true).await.unwrap();
    let (chat, is_new) = fixture
        .store
        .open_direct(&candidate(), [ada, bob])
        .await
        .unwrap();
    assert_eq!((chat.id, is_new), (fixture.chat, false));
    for user in [ada, bob] {
        assert!(refuses(&fixture, user).await);
    }
    assert!(
        members(&fixture)
            .await
            .iter()
            .all(|member| member.is_blocked)
    );
    fixture.store.set_blocked(bob, ada, false).await.unwrap();
    done(fixture.store.append(&draft(chat.id, ada)).await.unwrap());
}
