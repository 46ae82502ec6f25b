//! Changes of groups whose instance died between two writes.
//!
//! Each is made once, with the documents of before and of after at hand. Then a crash between two
//! of its writes is made up: what came behind is put back to what it was, and the repair job stays. Who
//! comes next has to bring about exactly the documents of after.

use futures_util::TryStreamExt as _;
use mongodb::bson::{DateTime, Document, doc};
use talksy_domain::chats::{ChatStore as _, MemberRole};
use talksy_domain::clock::{Clock as _, SystemClock};
use talksy_domain::groups::{ClientChatId, GroupAction, GroupOutcome, GroupStore as _};
use talksy_domain::id::{self, ChatId, UserId};
use talksy_domain::messages::{HistoryFrom, Message, MessageStore as _};
use talksy_mongo::MongoStore;
use talksy_tests::servers::mongo::Mongo;

use super::{
    Fixture, by_id, done, draft, forward, group, group_change, ids, key, made, members, new_group,
    repaired, user,
};

/// The documents that follow from the system messages.
#[derive(Clone, Debug, PartialEq)]
struct Documents {
    chat: Document,
    members: Vec<Document>,
}

/// A database as another program sees it.
struct Outside(mongodb::Database);

impl Outside {
    async fn documents(&self, chat: ChatId) -> Documents {
        let chats = self.0.collection::<Document>("chats");
        let members = self.0.collection::<Document>("members");
        let of_chat = doc! { "chatId": key(id::bytes(chat)) };
        let members = members.find(of_chat).sort(doc! { "userId": 1 });
        Documents {
            chat: chats.find_one(by_id(chat)).await.unwrap().unwrap(),
            members: members.await.unwrap().try_collect().await.unwrap(),
        }
    }

    /// Puts the documents back, but for the first `applied` of those members that differ.
    async fn put_back(&self, chat: ChatId, before: &Documents, after: &Documents, applied: usize) {
        let chats = self.0.collection::<Document>("chats");
        let members = self.0.collection::<Document>("members");
        let replaced = chats.replace_one(by_id(chat), &before.chat).await.unwrap();
        assert_eq!(replaced.matched_count, 1);
        let differ = |member: &&Document| !before.members.contains(member);
        for member in after.members.iter().filter(differ).skip(applied) {
            let it = doc! { "_id": member.get("_id").unwrap().clone() };
            let old = before
                .members
                .iter()
                .find(|old| old.get("_id") == member.get("_id"));
            match old {
                Some(old) => {
                    members.replace_one(it, old).await.unwrap();
                }
                None => {
                    members.delete_one(it).await.unwrap();
                }
            }
        }
    }

    async fn announce(&self, message: &Message) {
        let payload = serde_json::json!({ "chatId": message.chat_id, "messageId": message.id });
        let now = DateTime::now();
        let job = doc! {
            "_id": key(id::bytes(message.id)),
            "kind": "completeGroupChange.1",
            "payload": payload.to_string(),
            "createdAt": now,
            "state": "waiting",
            "dueAt": now,
            "version": 0_i64,
            "attempts": 0_i64,
        };
        let jobs = self.0.collection::<Document>("jobs");
        jobs.insert_one(job).await.unwrap();
    }

    async fn repair_jobs(&self) -> u64 {
        let jobs = self.0.collection::<Document>("jobs");
        jobs.count_documents(doc! {}).await.unwrap()
    }
}

/// Who comes next.
#[derive(Clone, Copy, Debug)]
enum Next {
    Heads,
    List,
    Unread,
    Send,
    Change,
    Sweep,
}

/// Lets them come, on an instance that knows nothing yet.
async fn come(next: Next, store: &MongoStore, chat: ChatId, ada: UserId) {
    match next {
        Next::Heads => {
            let heads = store.heads(&[chat]).await.unwrap();
            assert_eq!((heads[0].last_seq, heads[0].applied_seq), (4, 4));
        }
        Next::List => {
            let page = store.chats_of(ada, None, &forward(None, 10)).await.unwrap();
            let found = page.items.iter().find(|found| found.id == chat).unwrap();
            assert_eq!((found.last_seq, found.applied_seq), (4, 4));
        }
        Next::Unread => {
            store.unread_counts(ada, &[chat]).await.unwrap();
        }
        Next::Send => {
            let sent = done(store.append(&draft(chat, ada)).await.unwrap());
            assert_eq!((sent.message.seq, sent.message.mseq), (5, 4));
            assert_eq!(sent.chat.applied_seq, 4);
        }
        Next::Change => {
            // Of nobody: nothing is to be done, but that is known only behind the last change.
            let nobody = GroupAction::Remove(ids().next());
            let change = group_change(chat, ada, nobody);
            match store.change_group(&change).await.unwrap() {
                GroupOutcome::Done { chat, message } => {
                    assert_eq!((chat.applied_seq, message), (4, None));
                }
                refused @ GroupOutcome::Refused(_) => panic!("{refused:?}"),
            }
        }
        Next::Sweep => {
            let now = SystemClock.now() + std::time::Duration::from_secs(1);
            assert_eq!(repaired(store, now).await, 1);
        }
    }
}

/// A crash anywhere in adding, removing, leaving, giving a role or a title is completed by whoever
/// comes next, to the same documents.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_leaves_is_completed_by_whoever_comes_next() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let (store, [ada, bob]) = (&fixture.store, fixture.users);
    let outside = Outside(fixture.outside(mongo).await);
    let cid = user(store, "Cid").await.id;
    let new: Vec<UserId> = (0..3).map(|_| ids().next()).collect();
    let add = |history| GroupAction::Add {
        users: [&new[..], &[cid]].concat(),
        history,
    };
    let title = talksy_domain::chats::ChatTitle::parse("Looms").unwrap();
    let role = |user, role| GroupAction::SetRole { user, role };
    let actions = [
        (ada, add(HistoryFrom::Join)),
        (ada, GroupAction::Remove(bob)),
        (bob, GroupAction::Leave),
        (ada, role(bob, MemberRole::Admin)),
        (ada, GroupAction::rename(title)),
    ];
    let all = [
        Next::Heads,
        Next::List,
        Next::Unread,
        Next::Send,
        Next::Change,
        Next::Sweep,
    ];
    for (actor, action) in actions {
        // Cid has been in before, so that one of those who are added rejoins.
        let chat = group(store, ada, &[bob, cid]).await;
        made(
            store
                .change_group(&group_change(chat, ada, GroupAction::Remove(cid)))
                .await
                .unwrap(),
        );
        done(store.append(&draft(chat, bob)).await.unwrap());
        let before = outside.documents(chat).await;
        let change = group_change(chat, actor, action.clone());
        let message = made(store.change_group(&change).await.unwrap());
        assert_eq!((message.seq, outside.repair_jobs().await), (4, 0));
        let after = outside.documents(chat).await;
        for next in all {
            for applied in 0..=after.members.len() {
                outside.put_back(chat, &before, &after, applied).await;
                outside.announce(&message).await;
                let other = mongo.store_on(&fixture.database).await;
                come(next, &other, chat, ada).await;
                let mut found = outside.documents(chat).await;
                if let Next::Send = next {
                    // Goes on from there.
                    found
                        .chat
                        .insert("lastSeq", after.chat.get("lastSeq").unwrap().clone());
                    let messages = outside.0.collection::<Document>("messages");
                    let fifth = doc! { "chatId": key(id::bytes(chat)), "seq": 5 };
                    messages.delete_one(fifth).await.unwrap();
                }
                let is_new = |member: &mut Document| member.remove("_id");
                let mut expected = after.clone();
                found
                    .members
                    .iter_mut()
                    .for_each(|member| drop(is_new(member)));
                expected
                    .members
                    .iter_mut()
                    .for_each(|member| drop(is_new(member)));
                assert_eq!(found, expected, "{action:?}, {next:?}, {applied}");
                // What is left is the job.
                let now = SystemClock.now() + std::time::Duration::from_secs(1);
                repaired(&other, now).await;
                assert_eq!(outside.repair_jobs().await, 0);
                let here = members(&other, chat).await.len();
                assert_eq!(i64::try_from(here).unwrap(), count(&after.chat));
            }
        }
    }
}

fn count(chat: &Document) -> i64 {
    let count = chat.get("memberCount").unwrap();
    count
        .as_i64()
        .or_else(|| count.as_i32().map(i64::from))
        .unwrap()
}

/// A removed member whose removal was not applied yet writes nothing behind it.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_removed_writes_nothing_behind_a_crash() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let (store, [ada, bob]) = (&fixture.store, fixture.users);
    let outside = Outside(fixture.outside(mongo).await);
    let chat = group(store, ada, &[bob]).await;
    let before = outside.documents(chat).await;
    let removal = group_change(chat, ada, GroupAction::Remove(bob));
    made(store.change_group(&removal).await.unwrap());
    let after = outside.documents(chat).await;
    outside.put_back(chat, &before, &after, 0).await;

    let other = mongo.store_on(&fixture.database).await;
    let refused = other.append(&draft(chat, bob)).await.unwrap();
    let denied = talksy_domain::access::Denied::NotMember;
    assert_eq!(refused, talksy_domain::messages::Append::Denied(denied));
    assert_eq!(outside.documents(chat).await, after);
}

/// A repair job whose message never came changes nothing, and waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_job_without_a_message_changes_nothing() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let (store, [ada, bob]) = (&fixture.store, fixture.users);
    let outside = Outside(fixture.outside(mongo).await);
    let chat = group(store, ada, &[bob]).await;
    let before = outside.documents(chat).await;
    let never = talksy_domain::messages::Message {
        chat_id: chat,
        ..fixture.draft()
    };
    outside.announce(&never).await;
    let soon = SystemClock.now() + std::time::Duration::from_mins(1);
    assert_eq!(repaired(store, soon).await, 0);
    let late = SystemClock.now() + std::time::Duration::from_hours(2);
    assert_eq!(repaired(store, late).await, 1);
    assert_eq!(outside.repair_jobs().await, 0);
    assert_eq!(outside.documents(chat).await, before);
}

/// A group whose making broke off is shown to nobody, and made by whoever asks again under the same
/// id; or by the sweep, once it has its first message.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_was_half_made_is_finished() {
    let mongo = Mongo::shared().await;
    for (message_is_there, by_sweep) in [(false, false), (true, false), (true, true)] {
        let fixture = Fixture::new(mongo).await;
        let (store, [ada, bob]) = (&fixture.store, fixture.users);
        let outside = Outside(fixture.outside(mongo).await);
        let mut candidate = new_group(ada, &[bob]);
        candidate.client_chat_id = Some(ClientChatId::parse("mine").unwrap());
        let first = made(store.create_group(&candidate).await.unwrap());
        let chat = candidate.chat_id;
        let after = outside.documents(chat).await;
        let mut before = after.clone();
        before.members.clear();
        for (field, value) in [("lastSeq", 0), ("appliedSeq", 0), ("memberCount", 0)] {
            before.chat.insert(field, value);
        }
        before.chat.insert("ready", false);
        before.chat.remove("title");
        before.chat.remove("titleKey");
        outside.put_back(chat, &before, &after, 0).await;
        outside.announce(&first).await;
        if !message_is_there {
            let messages = outside.0.collection::<Document>("messages");
            let it = doc! { "_id": key(id::bytes(first.id)) };
            messages.delete_one(it).await.unwrap();
        }

        let other = mongo.store_on(&fixture.database).await;
        assert_eq!(other.chats(&[chat]).await.unwrap(), []);
        if by_sweep {
            let now = SystemClock.now() + std::time::Duration::from_secs(1);
            assert_eq!(repaired(&other, now).await, 1);
        } else {
            let mut again = new_group(ada, &[bob]);
            again.client_chat_id.clone_from(&candidate.client_chat_id);
            match other.create_group(&again).await.unwrap() {
                GroupOutcome::Done { chat, message } => {
                    assert_eq!(chat.id, candidate.chat_id);
                    assert_eq!((chat.last_seq, chat.member_count), (1, 2));
                    assert_eq!(message.is_some(), !message_is_there);
                }
                refused @ GroupOutcome::Refused(_) => panic!("{refused:?}"),
            }
        }
        let made = other.chats(&[chat]).await.unwrap();
        assert_eq!(made[0].title, Some(candidate.title.clone()));
        assert_eq!((made[0].applied_seq, made[0].member_count), (1, 2));
        let roles: Vec<_> = members(&other, chat)
            .await
            .into_iter()
            .map(|member| (member.user_id, member.role, member.version))
            .collect();
        let mut expected = [(ada, MemberRole::Owner, 1), (bob, MemberRole::Member, 1)];
        expected.sort_by_key(|(user, ..)| *user);
        assert_eq!(roles, expected);
    }
}

/// A system message that does not parse has no effect, and holds up nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_notice_holds_up_nobody() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let (store, [ada, bob]) = (&fixture.store, fixture.users);
    let outside = Outside(fixture.outside(mongo).await);
    let chat = group(store, ada, &[bob]).await;
    let before = outside.documents(chat).await;
    let role = GroupAction::SetRole {
        user: bob,
        role: MemberRole::Admin,
    };
    let message = made(
        store
            .change_group(&group_change(chat, ada, role))
            .await
            .unwrap(),
    );
    let after = outside.documents(chat).await;
    outside.put_back(chat, &before, &after, 0).await;
    let messages = outside.0.collection::<Document>("messages");
    let it = doc! { "_id": key(id::bytes(message.id)) };
    let damage = doc! { "$set": { "notice": 7 } };
    messages.update_one(it, damage).await.unwrap();

    let other = mongo.store_on(&fixture.database).await;
    assert_eq!(other.heads(&[chat]).await.unwrap()[0].applied_seq, 2);
    let sent = done(other.append(&draft(chat, bob)).await.unwrap());
    assert_eq!((sent.message.seq, sent.message.mseq), (3, 2));
}
