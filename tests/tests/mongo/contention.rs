//! Several instances at once, and senders who go away.

use talksy_domain::chats::{ChatStore as _, ChatTitle, LargeGroups};
use talksy_domain::groups::GroupAction;
use talksy_domain::id;
use talksy_domain::messages::MessageStore as _;
use talksy_tests::servers::mongo::Mongo;

use super::{Fixture, NOW, all_messages, ask, done, draft, group, ids, made, with_own_id};

/// Two instances, each with 16 who send 200 messages to one chat: no hole, no double, nobody is
/// turned away, and everybody's own are in order.
#[tokio::test(flavor = "multi_thread")]
async fn instances_number_one_chat_without_a_hole() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let instances = [
        fixture.store.clone(),
        mongo.store_on(&fixture.database).await,
    ];
    let mut tasks = Vec::new();
    for n in 0..32 {
        let (store, chat) = (instances[n % 2].clone(), fixture.chat);
        let sender = fixture.users[n / 2 % 2];
        tasks.push(tokio::spawn(async move {
            let mut sent = Vec::new();
            for _ in 0..200 {
                let appended = done(store.append(&draft(chat, sender)).await.unwrap());
                assert!(!appended.is_duplicate);
                assert_eq!(appended.chat.last_seq, appended.message.seq);
                sent.push(appended.message);
            }
            assert!(sent.is_sorted_by_key(|message| message.seq));
            sent
        }));
    }
    let mut sent = Vec::new();
    for task in tasks {
        sent.extend(task.await.unwrap());
    }
    sent.sort_by_key(|message| message.seq);
    let numbers: Vec<_> = sent.iter().map(|message| message.seq).collect();
    assert_eq!(numbers, (1..=6_400).collect::<Vec<_>>());
    for store in &instances {
        assert_eq!(all_messages(store, fixture.chat).await, sent);
        let heads = store.heads(&[fixture.chat]).await.unwrap();
        assert_eq!(heads[0].last_seq, 6_400);
    }
}

/// The same message sent by two instances at the same time is one message.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_over_another_instance_is_the_first_message() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let instances = [
        fixture.store.clone(),
        mongo.store_on(&fixture.database).await,
    ];
    for round in 0..50 {
        let own_id = format!("round {round}");
        let [one, other] = instances.each_ref().map(|store| {
            let draft = with_own_id(fixture.draft(), &own_id);
            async move { done(store.append(&draft).await.unwrap()) }
        });
        let (one, other) = tokio::join!(one, other);
        assert_eq!(one.message, other.message);
        assert!(one.is_duplicate != other.is_duplicate);
    }
    assert_eq!(fixture.seqs().await, (1..=50).collect::<Vec<_>>());
}

/// Senders who go away in the middle make no hole, and hold up nobody.
#[tokio::test(flavor = "multi_thread")]
async fn senders_who_go_away_make_no_hole() {
    let fixture = Fixture::new(Mongo::shared().await).await;
    for n in 0..100_u64 {
        let (store, draft) = (fixture.store.clone(), fixture.draft());
        let sending = tokio::spawn(async move { store.append(&draft).await });
        tokio::time::sleep(std::time::Duration::from_micros(n * 37 % 2_000)).await;
        sending.abort();
        if n % 10 == 0 {
            fixture.send().await;
        }
    }
    let last = fixture.send().await.seq;
    let seqs = fixture.seqs().await;
    let count = u32::try_from(seqs.len()).unwrap();
    assert_eq!(seqs, (1..=count).collect::<Vec<_>>());
    assert!(last <= count);
}

/// What a send costs: the chat and the member, the insert, the chat's end; every now and then the
/// newest number besides.
#[tokio::test(flavor = "multi_thread")]
async fn a_send_costs_four_commands() {
    let fixture = Fixture::new(Mongo::shared().await).await;
    fixture.send().await;
    let before = fixture.store.commands();
    for _ in 0..80 {
        fixture.send().await;
    }
    assert_eq!(fixture.store.commands() - before, 80 * 4 + 80 / 8);
}

/// A send that another instance was faster than costs the newest number and an insert more: the
/// server's wording tells which index refused it, so nothing else is looked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_race_costs_two_commands() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let other = mongo.store_on(&fixture.database).await;
    fixture.send().await;
    done(other.append(&fixture.draft()).await.unwrap());
    let before = fixture.store.commands();
    assert_eq!(fixture.send().await.seq, 3);
    assert_eq!(fixture.store.commands() - before, 4 + 2);
}

/// A send into a group costs as many, whatever its size; the sender's own id for it one more. Behind
/// a change that another instance has made, the first one looks at its sender again.
#[tokio::test(flavor = "multi_thread")]
async fn a_send_into_a_group_costs_the_same_commands() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let (store, [ada, bob]) = (&fixture.store, fixture.users);
    let other = mongo.store_on(&fixture.database).await;
    let users: Vec<_> = (0..60).map(|_| ids().next()).collect();
    for members in [&[bob][..], &users[..]] {
        let chat = group(store, ada, members).await;
        let cost = async |draft: talksy_domain::messages::Message| {
            let before = store.commands();
            done(store.append(&draft).await.unwrap());
            store.commands() - before
        };
        cost(draft(chat, ada)).await;
        assert_eq!(cost(draft(chat, ada)).await, 4);
        assert_eq!(cost(with_own_id(draft(chat, ada), "mine")).await, 5);

        let title = ChatTitle::parse("Other engines").unwrap();
        made(ask(&other, chat, ada, GroupAction::rename(title)).await);
        assert!(cost(draft(chat, ada)).await > 5);
        assert_eq!(cost(draft(chat, ada)).await, 4);
    }
}

/// A mark that many move to one place at the same time has moved once.
#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_marks_to_one_place_one_has_moved() {
    let fixture = Fixture::new(Mongo::shared().await).await;
    fixture.send().await;
    let mut tasks = Vec::new();
    for _ in 0..16 {
        let (store, chat, bob) = (fixture.store.clone(), fixture.chat, fixture.users[1]);
        tasks.push(tokio::spawn(async move {
            let mark = store
                .mark_read(chat, bob, 1, NOW, LargeGroups::NONE)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(mark.member.last_read_seq, 1);
            assert_eq!(id::bytes(mark.member.user_id), id::bytes(bob));
            mark.moved
        }));
    }
    let mut moved = 0;
    for task in tasks {
        moved += u32::from(task.await.unwrap());
    }
    assert_eq!(moved, 1);
}
