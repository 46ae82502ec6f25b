//! Databases of earlier releases.

use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use talksy_domain::chats::{ChatStore as _, LargeGroups, Member};
use talksy_domain::messages::{
    ChangeAction, Changed, MessageChange, MessageStore as _, MessageText,
};
use talksy_tests::servers::mongo::Mongo;

use super::{Fixture, NOW, done, forward, members};

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
    let unset = doc! { "$unset": { "mseq": "" } };
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
    assert_eq!(kept.get_i64("version").unwrap(), 3);
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
