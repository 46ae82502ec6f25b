//! Instances that die between any two of their writes, and what the next one finds.

use std::collections::BTreeMap;
use std::time::Duration;

use talksy_domain::access::Denied;
use talksy_domain::chats::{ChatStore as _, ChatTitle, MemberRole};
use talksy_domain::clock::{Clock as _, SystemClock};
use talksy_domain::groups::{
    ClientChatId, GroupAction, GroupChange, GroupOutcome, GroupStore as _,
};
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::messages::{
    Append, ChangeAction, Changed, HistoryFrom, Message, MessageChange, MessageStore as _,
    MessageText, SystemNotice,
};
use talksy_mongo::{MongoOptions, MongoStore};
use talksy_tests::eventually;
use talksy_tests::servers::mongo::Mongo;
use talksy_tests::slow_way::SlowWay;

use super::{
    Fixture, NOW, all_messages, ask, done, draft, forward, group, group_change, ids, members,
    new_group, nobody, repaired,
};

/// More writes than any change has.
const WRITES: usize = 7;

/// A store that dies after so many writes.
pub(super) async fn mortal(mongo: &Mongo, database: &str, writes: usize) -> MongoStore {
    let way = SlowWay::to(mongo).await;
    let options = MongoOptions {
        timeout: Duration::from_millis(600),
        reach_timeout: Duration::from_millis(300),
        ..MongoOptions::default()
    };
    let store = MongoStore::open(&way.url(database), &options, nobody()).unwrap();
    eventually("a prepared store", async || store.prepare().await.ok()).await;
    way.end_after(writes);
    store
}

/// What the line says of a group.
#[derive(Debug, Default, PartialEq)]
struct Fold {
    roles: BTreeMap<UserId, MemberRole>,
    title: Option<ChatTitle>,
    count: u32,
}

fn fold(messages: &[Message]) -> Fold {
    let mut fold = Fold::default();
    let notices = messages
        .iter()
        .filter_map(|message| message.notice.as_ref());
    for notice in notices {
        let SystemNotice { effects, title, .. } = notice;
        for effect in effects {
            match effect.role {
                Some(role) => fold.roles.insert(effect.user_id, role),
                None => fold.roles.remove(&effect.user_id),
            };
        }
        fold.title = title.clone().or(fold.title);
        fold.count = notice.member_count;
    }
    fold
}

/// What is kept of a group is what its line says.
async fn agree(store: &MongoStore, chat: ChatId) -> Vec<Message> {
    // Reads the line's end, which brings what follows from it up to date.
    let found = store.chats(&[chat]).await.unwrap();
    let messages = all_messages(store, chat).await;
    let said = fold(&messages);
    let roles = members(store, chat).await.into_iter();
    let kept = Fold {
        roles: roles.map(|member| (member.user_id, member.role)).collect(),
        title: found[0].title.clone(),
        count: found[0].member_count,
    };
    assert_eq!(kept, said);
    let last = messages.last().unwrap();
    assert_eq!(
        (found[0].last_seq, found[0].applied_seq),
        (last.seq, last.mseq)
    );
    messages
}

/// A change of a group whose instance dies is made as a whole or not at all, and asked for again it
/// is made.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_instance_dies_is_made_as_a_whole_or_not_at_all() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let [ada, bob] = fixture.users;
    let new: Vec<UserId> = (0..3).map(|_| ids().next()).collect();
    let add = GroupAction::Add {
        users: new,
        history: HistoryFrom::Join,
    };
    let promotion = GroupAction::SetRole {
        user: bob,
        role: MemberRole::Admin,
    };
    let (mut completed, mut half_done) = (0, 0);
    for action in [add, GroupAction::Remove(bob), GroupAction::Leave, promotion] {
        for writes in 0..WRITES {
            let chat = group(&fixture.store, ada, &[bob]).await;
            done(fixture.store.append(&draft(chat, bob)).await.unwrap());
            let dying = mortal(mongo, &fixture.database, writes).await;
            let change = group_change(chat, ada, action.clone());
            let answer = dying.change_group(&change).await;

            let store = mongo.store_on(&fixture.database).await;
            let messages = agree(&store, chat).await;
            let is_there = messages
                .iter()
                .any(|message| message.id == change.message_id);
            if let Ok(GroupOutcome::Done { .. }) = answer {
                assert!(is_there);
                completed += 1;
            } else {
                half_done += usize::from(is_there);
            }
            // The repair job, and then the message.
            assert!(writes >= 2 || !is_there);
            let again = GroupChange {
                message_id: ids().next(),
                ..change
            };
            match store.change_group(&again).await.unwrap() {
                GroupOutcome::Done { message, .. } => assert_eq!(message.is_none(), is_there),
                // Who has left asks no more.
                GroupOutcome::Refused(_) => assert!(is_there && action == GroupAction::Leave),
            }
            agree(&store, chat).await;
            if action == GroupAction::Remove(bob) {
                let refused = store.append(&draft(chat, bob)).await.unwrap();
                assert_eq!(refused, Append::Denied(Denied::NotMember));
            }
            let later = SystemClock.now() + Duration::from_hours(2);
            repaired(&store, later).await;
            assert_eq!(repaired(&store, later).await, 0);
        }
    }
    assert!(
        completed > 0,
        "an instance that lives long enough completes a change"
    );
    assert!(half_done > 0, "one that does not leaves it to others");
}

/// A group whose instance dies while it is made is made once, for who asks again under their id.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_whose_instance_dies_is_made_once() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let [ada, bob] = fixture.users;
    for writes in 0..WRITES {
        let candidate = |own_id: &str| {
            let mut candidate = new_group(ada, &[bob]);
            candidate.client_chat_id = Some(ClientChatId::parse(own_id).unwrap());
            candidate
        };
        let own_id = format!("{writes}");
        let dying = mortal(mongo, &fixture.database, writes).await;
        let answer = dying.create_group(&candidate(&own_id)).await;
        let store = mongo.store_on(&fixture.database).await;
        let before = store.chat_ids_of(bob).await.unwrap().len();
        let made = match store.create_group(&candidate(&own_id)).await.unwrap() {
            GroupOutcome::Done { chat, .. } => chat,
            refused @ GroupOutcome::Refused(_) => panic!("{refused:?}"),
        };
        if let Ok(GroupOutcome::Done { chat, .. }) = answer {
            assert_eq!(made.id, chat.id);
            assert_eq!(store.chat_ids_of(bob).await.unwrap().len(), before);
        }
        assert_eq!(agree(&store, made.id).await.len(), 1);
        done(store.append(&draft(made.id, bob)).await.unwrap());
        let title = GroupAction::rename(ChatTitle::parse("Looms").unwrap());
        super::made(ask(&store, made.id, ada, title).await);
        agree(&store, made.id).await;
    }
}

/// A change of a message whose instance dies is made or not, and the line of changes goes on.
#[tokio::test(flavor = "multi_thread")]
async fn changes_go_on_behind_an_instance_that_dies() {
    let mongo = Mongo::shared().await;
    for writes in 0..4 {
        let fixture = Fixture::new(mongo).await;
        let (one, other) = (fixture.send().await, fixture.send().await);
        let change = |message: &Message, action| MessageChange {
            message_id: message.id,
            chat_id: fixture.chat,
            actor_id: fixture.users[0],
            at: NOW,
            action,
        };
        let edit = |text: &str| ChangeAction::Edit {
            edit: MessageText::parse(text).unwrap().into(),
            expected: None,
        };
        let dying = mortal(mongo, &fixture.database, writes).await;
        let answer = dying.change(&change(&one, ChangeAction::Delete)).await;

        let store = mongo.store_on(&fixture.database).await;
        let now = store.messages(&[one.id]).await.unwrap();
        let is_deleted = now[0].deleted_at.is_some();
        assert_eq!(
            (now[0].text.is_none(), now[0].change_seq > 0),
            (is_deleted, is_deleted)
        );
        if let Ok(Changed::Done(_)) = answer {
            assert!(is_deleted);
        }
        let heads = store.heads(&[fixture.chat]).await.unwrap();
        assert_eq!(heads[0].last_change_seq, now[0].change_seq);
        let mut newest = heads[0].last_change_seq;
        for (message, text) in [(&other, "a"), (&other, "b")] {
            match store.change(&change(message, edit(text))).await.unwrap() {
                Changed::Done(changed) => {
                    assert!(changed.message.change_seq > newest);
                    newest = changed.message.change_seq;
                }
                refused @ Changed::Refused(_) => panic!("{refused:?}"),
            }
        }
        let page = store
            .changes(fixture.chat, 1, &forward(None, 10))
            .await
            .unwrap();
        let mut expected = store.messages(&[one.id, other.id]).await.unwrap();
        expected.retain(|message| message.change_seq > 0);
        expected.sort_by_key(|message| message.change_seq);
        assert_eq!(page.items, expected);
        assert_eq!(expected.len(), 1 + usize::from(is_deleted));
    }
}
