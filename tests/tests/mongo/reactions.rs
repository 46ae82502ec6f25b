//! Reactions and pins by several instances, and what a crash leaves of them.

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};
use talksy_domain::clock::{Clock as _, SystemClock};
use talksy_domain::id::{self, MessageId, UserId};
use talksy_domain::messages::{
    ChangeAction, ChangeRefusal, Changed, ChangedMessage, Emoji, MAX_PINS, Message, MessageChange,
    MessageStore as _, ReactionPage,
};
use talksy_mongo::MongoStore;
use talksy_tests::eventually;
use talksy_tests::servers::mongo::Mongo;

use super::dying::mortal;
use super::{Fixture, NOW, done, draft, forward, group, ids, key, repaired};

/// More writes than a reaction or a deletion has: the job, what was left, the claim, the message, its
/// chat, the reaction, the message once more.
const WRITES: usize = 8;

fn thumb() -> Emoji {
    Emoji::parse("👍").unwrap()
}

fn change(message: &Message, actor: UserId, action: ChangeAction) -> MessageChange {
    MessageChange {
        message_id: message.id,
        chat_id: message.chat_id,
        actor_id: actor,
        at: NOW,
        action,
    }
}

fn react(message: &Message, actor: UserId, is_added: bool) -> MessageChange {
    let emoji = thumb();
    change(message, actor, ChangeAction::React { emoji, is_added })
}

fn changed(outcome: Changed) -> ChangedMessage {
    match outcome {
        Changed::Done(changed) => *changed,
        other @ Changed::Refused(_) => panic!("not changed: {other:?}"),
    }
}

async fn message(store: &MongoStore, id: MessageId) -> Message {
    store.messages(&[id]).await.unwrap().pop().unwrap()
}

/// Who has reacted, in their order.
async fn reacted(store: &MongoStore, message: &Message) -> Vec<UserId> {
    let page = ReactionPage {
        message_id: message.id,
        chat_id: message.chat_id,
        emoji: thumb(),
        window: forward(None, 1_000),
    };
    let pages = store.reaction_pages(&[page]).await.unwrap();
    pages[0].items.iter().map(|one| one.user_id).collect()
}

/// What the message counts is who has reacted, whichever way they are asked for; who they are.
async fn agree(store: &MongoStore, of: &Message, users: &[UserId]) -> Vec<UserId> {
    let now = message(store, of.id).await;
    let count: u32 = now.reactions.counts().iter().map(|one| one.count).sum();
    let mut reacted = reacted(store, of).await;
    reacted.sort_unstable();
    assert_eq!(u32::try_from(reacted.len()), Ok(count));
    let place = (of.chat_id, of.id);
    let mut among: Vec<_> = store
        .reactions_among(place, users)
        .await
        .unwrap()
        .into_iter()
        .map(|(user, _)| user)
        .collect();
    among.sort_unstable();
    assert_eq!(among, reacted);
    for user in users.iter().take(3) {
        let own = store.reactions_of(*user, &[place]).await.unwrap();
        assert_eq!(!own.is_empty(), reacted.contains(user));
    }
    reacted
}

/// A reaction whose instance dies between any two of its writes is made or not, and who comes next
/// finds the counts and who has reacted in agreement.
#[tokio::test(flavor = "multi_thread")]
async fn a_reaction_whose_instance_dies_is_made_or_not() {
    let mongo = Mongo::shared().await;
    let (mut made, mut half_done) = (0, 0);
    let has_toggles = async |fixture: &Fixture, message: &Message| {
        let messages = fixture
            .outside(mongo)
            .await
            .collection::<Document>("messages");
        let it = doc! { "_id": key(id::bytes(message.id)) };
        let kept = messages.find_one(it).await.unwrap().unwrap();
        kept.contains_key("toggles")
    };
    for is_added in [true, false] {
        for writes in 0..WRITES {
            let fixture = Fixture::new(mongo).await;
            let [ada, bob] = fixture.users;
            let sent = fixture.send().await;
            let first = [bob, ada].into_iter().take(if is_added { 1 } else { 2 });
            for user in first {
                let reaction = react(&sent, user, true);
                changed(fixture.store.change(&reaction).await.unwrap());
            }
            eventually("the toggles to be taken out", async || {
                (!has_toggles(&fixture, &sent).await).then_some(())
            })
            .await;
            let dying = mortal(mongo, &fixture.database, writes).await;
            let asked = react(&sent, ada, is_added);
            let answer = dying.change(&asked).await;

            let store = mongo.store_on(&fixture.database).await;
            let now = message(&store, sent.id).await;
            let count = now.reactions.counts()[0].count;
            let is_made = count == if is_added { 2 } else { 1 };
            if let Ok(Changed::Done(_)) = answer {
                assert!(is_made);
                made += 1;
            }
            half_done += usize::from(is_made && has_toggles(&fixture, &sent).await);
            // Who writes next, before anybody has read.
            let next = if writes % 2 == 0 {
                react(&sent, bob, false)
            } else {
                asked.clone()
            };
            changed(store.change(&next).await.unwrap());
            let reacted = agree(&store, &sent, &fixture.users).await;
            assert_eq!(reacted.contains(&bob), writes % 2 != 0);
            let again = changed(store.change(&asked).await.unwrap());
            assert!(again.message.change_seq >= now.change_seq);
            let reacted = agree(&store, &sent, &fixture.users).await;
            assert_eq!(reacted.contains(&ada), is_added);
            let heads = store.heads(&[fixture.chat]).await.unwrap();
            assert_eq!(heads[0].last_change_seq, again.message.change_seq);
        }
    }
    assert!(made > 0, "an instance that lives long enough completes it");
    assert!(half_done > 0, "one that does not leaves the rest to others");
}

/// Reactions are erased though the instance that has deleted the message has died, and not where it has
/// not deleted it.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_whose_instance_dies_takes_all_reactions_or_none() {
    let mongo = Mongo::shared().await;
    for writes in 0..WRITES {
        let fixture = Fixture::new(mongo).await;
        let [ada, bob] = fixture.users;
        let sent = fixture.send().await;
        for user in [ada, bob] {
            let reaction = react(&sent, user, true);
            changed(fixture.store.change(&reaction).await.unwrap());
        }
        let dying = mortal(mongo, &fixture.database, writes).await;
        let deletion = change(&sent, ada, ChangeAction::Delete);
        let _ = dying.change(&deletion).await;

        let store = mongo.store_on(&fixture.database).await;
        let reactions = fixture
            .outside(mongo)
            .await
            .collection::<Document>("reactions");
        let later = SystemClock.now() + Duration::from_mins(1);
        repaired(&store, later).await;
        let is_deleted = message(&store, sent.id).await.deleted_at.is_some();
        let left = reactions.count_documents(doc! {}).await.unwrap();
        assert_eq!(left, if is_deleted { 0 } else { 2 }, "after {writes}");
        agree(&store, &sent, &fixture.users).await;
        changed(store.change(&deletion).await.unwrap());
        repaired(&store, later + Duration::from_hours(2)).await;
        assert_eq!(reactions.count_documents(doc! {}).await.unwrap(), 0);
        agree(&store, &sent, &fixture.users).await;
        // No job is left over.
        let end = later + Duration::from_hours(4);
        repaired(&store, end).await;
        let jobs = fixture.outside(mongo).await.collection::<Document>("jobs");
        assert_eq!(jobs.count_documents(doc! {}).await.unwrap(), 0);
    }
}

/// What a message has counted and nobody has written yet is seen by every read, and by every change.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_and_not_written_is_seen_by_all() {
    let mongo = Mongo::shared().await;
    for step in 0..6 {
        let fixture = Fixture::new(mongo).await;
        let [ada, bob] = fixture.users;
        let sent = fixture.send().await;
        for user in [ada, bob] {
            let reaction = react(&sent, user, true);
            changed(fixture.store.change(&reaction).await.unwrap());
        }
        // As a crash right behind the second one leaves it.
        let outside = fixture.outside(mongo).await;
        let messages = outside.collection::<Document>("messages");
        let reactions = outside.collection::<Document>("reactions");
        let it = doc! { "_id": key(id::bytes(sent.id)) };
        let is_clear = async || {
            let kept = messages.find_one(it.clone()).await.unwrap().unwrap();
            (!kept.contains_key("toggles")).then_some(())
        };
        eventually("the toggles to be taken out", &is_clear).await;
        let of_bob = doc! { "userId": key(id::bytes(bob)) };
        let deleted = reactions.delete_one(of_bob).await.unwrap();
        assert_eq!(deleted.deleted_count, 1);
        let toggle = doc! {
            "userId": key(id::bytes(bob)), "emoji": thumb().as_str(), "on": true, "seq": 2_i64,
        };
        let left = doc! { "$set": { "toggles": [toggle] } };
        let put_back = messages.update_one(it.clone(), left).await.unwrap();
        assert_eq!(put_back.modified_count, 1);

        let store = mongo.store_on(&fixture.database).await;
        let place = (fixture.chat, sent.id);
        match step {
            0 => assert_eq!(reacted(&store, &sent).await, [ada, bob]),
            1 => {
                let own = store.reactions_of(bob, &[place]).await.unwrap();
                assert_eq!(own, [(sent.id, thumb())]);
            }
            2 => {
                let among = store.reactions_among(place, &[bob]).await.unwrap();
                assert_eq!(among, [(bob, thumb())]);
            }
            3 => {
                let again = changed(store.change(&react(&sent, bob, true)).await.unwrap());
                assert!(!again.is_new);
            }
            4 => {
                let gone = changed(store.change(&react(&sent, bob, false)).await.unwrap());
                assert_eq!(gone.message.reactions.counts()[0].count, 1);
            }
            _ => {
                let gone = changed(store.change(&react(&sent, ada, false)).await.unwrap());
                assert_eq!(gone.message.reactions.counts()[0].count, 1);
            }
        }
        let reacted = agree(&store, &sent, &fixture.users).await;
        assert_eq!(reacted.len(), if step < 4 { 2 } else { 1 });
        eventually("the toggles to be taken out", &is_clear).await;
    }
}

/// A reaction that is newer than what was read of its message is there all the same: nobody is told that
/// they have taken it back where they have not.
#[tokio::test(flavor = "multi_thread")]
async fn a_reaction_that_is_ahead_of_its_message_is_taken_back() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let [ada, _] = fixture.users;
    let sent = fixture.send().await;
    changed(
        fixture
            .store
            .change(&react(&sent, ada, true))
            .await
            .unwrap(),
    );
    // As it is for whoever reads the message, and its reactions a while later.
    let outside = fixture.outside(mongo).await;
    let messages = outside.collection::<Document>("messages");
    let it = doc! { "_id": key(id::bytes(sent.id)) };
    eventually("the toggles to be taken out", async || {
        let kept = messages.find_one(it.clone()).await.unwrap().unwrap();
        (!kept.contains_key("toggles")).then_some(())
    })
    .await;
    let ahead = doc! { "$set": { "seq": 9_i64 } };
    let reactions = outside.collection::<Document>("reactions");
    let moved = reactions.update_many(doc! {}, ahead).await.unwrap();
    assert_eq!(moved.modified_count, 1);
    let gone = changed(
        fixture
            .store
            .change(&react(&sent, ada, false))
            .await
            .unwrap(),
    );
    assert!(gone.is_new && gone.message.reactions.is_empty(), "{gone:?}");
}

/// A write that comes late brings nothing back.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_write_brings_no_reaction_back() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let [ada, _] = fixture.users;
    let sent = fixture.send().await;
    for is_added in [true, false] {
        let reaction = react(&sent, ada, is_added);
        changed(fixture.store.change(&reaction).await.unwrap());
    }
    let outside = fixture.outside(mongo).await;
    let reactions = outside.collection::<Document>("reactions");
    let late = doc! {
        "chatId": key(id::bytes(fixture.chat)),
        "messageId": key(id::bytes(sent.id)),
        "userId": key(id::bytes(ada)),
        "emoji": thumb().as_str(),
        "seq": { "$lt": 1_i64 },
    };
    let added = doc! { "$set": { "on": true, "seq": 1_i64, "place": "late" } };
    let refused = reactions.update_one(late, added).upsert(true).await;
    assert!(refused.is_err(), "a newer one stands");
    assert_eq!(agree(&fixture.store, &sent, &[ada]).await, []);
}

/// Instances whose crowds react to one message at the same time count each of them once, and no
/// document grows with them.
#[tokio::test(flavor = "multi_thread")]
async fn crowds_of_three_instances_are_counted_exactly() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let [ada, _] = fixture.users;
    let crowd: Vec<UserId> = (0..90).map(|_| ids().next()).collect();
    let chat = group(&fixture.store, ada, &crowd).await;
    let sent = done(fixture.store.append(&draft(chat, ada)).await.unwrap()).message;
    let mut instances = Vec::new();
    for _ in 0..3 {
        instances.push(mongo.store_on(&fixture.database).await);
    }
    let tasks: Vec<_> = crowd
        .iter()
        .enumerate()
        .map(|(n, user)| {
            let (store, asked) = (instances[n % 3].clone(), react(&sent, *user, true));
            let back = (n % 4 == 0).then(|| react(&sent, *user, false));
            tokio::spawn(async move {
                changed(store.change(&asked).await.unwrap());
                if let Some(back) = back {
                    changed(store.change(&back).await.unwrap());
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let reacted = agree(&fixture.store, &sent, &crowd).await;
    assert_eq!(reacted.len(), 67);
    let heads = fixture.store.heads(&[chat]).await.unwrap();
    let now = message(&fixture.store, sent.id).await;
    assert_eq!(heads[0].last_change_seq, now.change_seq);

    let outside = fixture.outside(mongo).await;
    let messages = outside.collection::<Document>("messages");
    let it = doc! { "_id": key(id::bytes(sent.id)) };
    let kept = eventually("the toggles to be taken out", async || {
        let kept = messages.find_one(it.clone()).await.unwrap().unwrap();
        (!kept.contains_key("toggles")).then_some(kept)
    })
    .await;
    assert!(kept.to_vec().unwrap().len() < 1_000, "{kept}");
    assert_eq!(kept.get_array("reactions").unwrap().len(), 1);
    let reactions = outside.collection::<Document>("reactions");
    // Who has taken it back keeps a document, which says so.
    assert_eq!(reactions.count_documents(doc! {}).await.unwrap(), 90);
    let on = doc! { "on": Bson::Boolean(true) };
    assert_eq!(reactions.count_documents(on).await.unwrap(), 67);
}

/// Instances that pin at the same time leave exactly so many pinned as there may be.
#[tokio::test(flavor = "multi_thread")]
async fn instances_that_pin_at_once_pin_so_many() {
    const MORE: usize = 9;
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let [ada, bob] = fixture.users;
    let mut sent = Vec::new();
    for _ in 0..MAX_PINS + MORE {
        sent.push(fixture.send().await);
    }
    let pin =
        |message: &Message, by, is_pinned| change(message, by, ChangeAction::Pin { is_pinned });
    for message in &sent[..MAX_PINS - 4] {
        let asked = pin(message, ada, true);
        changed(fixture.store.change(&asked).await.unwrap());
    }
    let mut instances = Vec::new();
    for _ in 0..3 {
        instances.push(mongo.store_on(&fixture.database).await);
    }
    let racing = sent[MAX_PINS - 4..].iter().enumerate().map(|(n, message)| {
        let (store, asked) = (instances[n % 3].clone(), pin(message, bob, true));
        tokio::spawn(async move { store.change(&asked).await.unwrap() })
    });
    let racing: Vec<_> = racing.collect();
    let mut pinned = 0;
    for task in racing {
        match task.await.unwrap() {
            Changed::Done(changed) => pinned += usize::from(changed.is_new),
            Changed::Refused(refusal) => assert_eq!(refusal, ChangeRefusal::TooManyPins),
        }
    }
    assert_eq!(pinned, 4);
    let wanted = [(fixture.chat, 1, forward(None, 1_000))];
    let pages = fixture.store.pinned_pages(&wanted).await.unwrap();
    assert_eq!(pages[0].items.len(), MAX_PINS);

    // A claim whose writer has died is not counted upon.
    let dying = mortal(mongo, &fixture.database, 1).await;
    let _ = dying.change(&pin(&sent[0], ada, false)).await;
    let store = mongo.store_on(&fixture.database).await;
    let last = sent.last().unwrap();
    let is_pinned = message(&store, last.id).await.pinned_seq > 0;
    let first_is_pinned = message(&store, sent[0].id).await.pinned_seq > 0;
    let outcome = store.change(&pin(last, ada, true)).await.unwrap();
    let may = is_pinned || !first_is_pinned;
    assert_eq!(matches!(outcome, Changed::Done(_)), may, "{outcome:?}");
    let pages = store.pinned_pages(&wanted).await.unwrap();
    assert!(pages[0].items.len() <= MAX_PINS);
}
