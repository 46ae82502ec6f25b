//! What an instance leaves behind that dies between two writes.

use std::time::Duration;

use mongodb::bson::{DateTime, Document, doc};
use talksy_domain::access::Denied;
use talksy_domain::chats::{ChatStore as _, LargeGroups};
use talksy_domain::id;
use talksy_domain::messages::MessageStore as _;
use talksy_tests::eventually;
use talksy_tests::servers::mongo::Mongo;

use super::{Fixture, NOW, by_id, candidate, done, forward, key};

/// A message whose chat does not know of it yet is there for everybody, and the chat is mended.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_above_its_chats_end_is_seen_by_every_read() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let (chat, [ada, bob]) = (fixture.chat, fixture.users);
    let later = NOW + Duration::from_mins(1);
    let mut newest = fixture.send().await;
    for _ in 0..2 {
        let mut draft = fixture.draft();
        draft.created_at = later;
        newest = done(fixture.store.append(&draft).await.unwrap()).message;
    }
    let outside = fixture.outside(mongo).await;
    let chats = outside.collection::<Document>("chats");
    let crash = async || {
        let end = doc! { "lastSeq": 1, "activeAt": DateTime::from_millis(NOW.as_millis()) };
        let crashed = chats.update_one(by_id(chat), doc! { "$set": end }).await;
        assert_eq!(crashed.unwrap().modified_count, 1);
    };
    // An instance that has not written the end itself.
    let store = mongo.store_on(&fixture.database).await;

    crash().await;
    let found = store.chats(&[chat]).await.unwrap();
    assert_eq!((found[0].last_seq, found[0].active_at), (3, later));
    eventually("the chat to be mended", async || {
        let kept = chats.find_one(by_id(chat)).await.unwrap().unwrap();
        let at = kept.get_datetime("activeAt").unwrap().timestamp_millis();
        let seq = kept
            .get_i64("lastSeq")
            .or_else(|_| kept.get_i32("lastSeq").map(i64::from));
        (seq.unwrap() == 3 && at == later.as_millis()).then_some(())
    })
    .await;

    crash().await;
    assert_eq!(store.heads(&[chat]).await.unwrap()[0].last_seq, 3);
    assert_eq!(store.last_messages(&[chat]).await.unwrap(), [newest]);
    assert_eq!(
        store.unread_counts(bob, &[chat]).await.unwrap(),
        [(chat, 3)]
    );
    let page = store.chats_of(bob, None, &forward(None, 10)).await.unwrap();
    assert_eq!(page.items[0].last_seq, 3);
    let mark = store
        .mark_read(chat, bob, 99, NOW, LargeGroups::NONE)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(mark.member.last_read_seq, 3);
    let (same, made) = store.open_direct(&candidate(), [ada, bob]).await.unwrap();
    assert_eq!((same.last_seq, made), (3, false));
    let next = done(store.append(&fixture.draft()).await.unwrap());
    assert_eq!((next.message.seq, next.chat.last_seq), (4, 4));
}

/// A chat whose members are not in yet is shown to nobody, and whoever opens it next finishes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_was_half_made_is_finished_by_who_opens_it() {
    let mongo = Mongo::shared().await;
    for members_left in 0..2 {
        let fixture = Fixture::new(mongo).await;
        let (store, chat, [ada, bob]) = (&fixture.store, fixture.chat, fixture.users);
        let outside = fixture.outside(mongo).await;
        let chats = outside.collection::<Document>("chats");
        let members = outside.collection::<Document>("members");
        let half = doc! { "$set": { "ready": false } };
        chats.update_one(by_id(chat), half).await.unwrap();
        for user in &fixture.users[members_left..] {
            let member = doc! { "chatId": key(id::bytes(chat)), "userId": key(id::bytes(*user)) };
            let gone = members.delete_one(member).await.unwrap();
            assert_eq!(gone.deleted_count, 1);
        }

        assert_eq!(store.chats(&[chat]).await.unwrap(), []);
        assert_eq!(store.heads(&[chat]).await.unwrap(), []);
        for user in [ada, bob] {
            let page = store
                .chats_of(user, None, &forward(None, 10))
                .await
                .unwrap();
            assert_eq!(page.items, []);
        }
        let refused = store.append(&fixture.draft()).await.unwrap();
        assert_eq!(
            refused,
            talksy_domain::messages::Append::Denied(Denied::NoChat)
        );

        let (opened, made) = store.open_direct(&candidate(), [bob, ada]).await.unwrap();
        assert_eq!((opened.id, made), (chat, false));
        assert_eq!(super::members(store, chat).await.len(), 2);
        for user in [ada, bob] {
            let page = store
                .chats_of(user, None, &forward(None, 10))
                .await
                .unwrap();
            assert_eq!(page.items, std::slice::from_ref(&opened));
        }
        assert_eq!(fixture.send().await.seq, 1);
    }
}
