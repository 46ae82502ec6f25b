//! `readReceiptUpdated`: how far each member has read, as absolute state.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use talksy_domain::chats::{ChatKind, ReadReceipt};
use talksy_domain::clock::Clock as _;
use talksy_domain::events::{Event, Topic};
use talksy_domain::feeds::{Feed, StateFeed};
use talksy_domain::id;
use talksy_domain::seq::Seq;
use talksy_domain::viewer::Viewer;
use talksy_tests::soon;
use tokio::sync::{Semaphore, mpsc};

use super::property::{check, runtime};
use super::script::{Mode, ScriptBus};
use super::world::{
    Backend, Seen, World, next, no_heartbeat, nothing_waits, quick_heartbeat, receipts_in, take,
};

async fn receipts(world: &World) -> Seen<StateFeed<ReadReceipt>, ReadReceipt> {
    let feeds = &world.services.feeds;
    receipts_in(feeds.receipts(&world.ben, world.chat).await.unwrap())
}

async fn read(world: &World, who: &Viewer, seq: Seq) -> ReadReceipt {
    world.backend.clock.advance(super::world::SHORT);
    let chats = &world.services.chats;
    chats.mark_read(who, world.chat, seq).await.unwrap().1
}

#[tokio::test]
async fn a_mark_that_moves_is_told_and_one_that_does_not_is_not() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    world.send_many(5).await;
    let mut feed = receipts(&world).await;
    let ann = read(&world, &world.ann, 3).await;
    let ben = read(&world, &world.ben, 2).await;
    assert_eq!((ann.last_read_seq, ben.last_read_seq), (3, 2));
    assert_eq!(take(&mut feed, 2).await, [ann, ben]);
    read(&world, &world.ann, 1).await;
    nothing_waits(&mut feed);
}

#[tokio::test]
async fn after_an_interruption_every_mark_is_told_as_it_is_now() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    world.send_many(5).await;
    let mut feed = receipts(&world).await;
    bus.set(Mode::Lose);
    read(&world, &world.ann, 2).await;
    let ann = read(&world, &world.ann, 4).await;
    let ben = read(&world, &world.ben, 5).await;
    bus.interrupt();
    let mut seen = take(&mut feed, 2).await;
    seen.sort_by_key(|receipt| receipt.last_read_seq);
    assert_eq!(seen, [ann, ben]);
    nothing_waits(&mut feed);
}

#[tokio::test]
async fn a_mark_that_was_not_heard_of_is_found_by_the_heartbeat_and_told_once() {
    let (world, bus) = World::scripted(16, quick_heartbeat()).await;
    world.send_many(5).await;
    read(&world, &world.ann, 1).await;
    let mut feed = receipts(&world).await;
    bus.set(Mode::Lose);
    let ann = read(&world, &world.ann, 2).await;
    assert_eq!(next(&mut feed).await, ann);
    let ben = read(&world, &world.ben, 4).await;
    assert_eq!(next(&mut feed).await, ben);
}

#[tokio::test]
async fn an_overflow_is_an_interruption_and_the_marks_end_where_they_are() {
    let (world, _bus) = World::scripted(1, no_heartbeat()).await;
    world.send_many(9).await;
    let mut feed = receipts(&world).await;
    for seq in 1..=9 {
        read(&world, &world.ann, seq).await;
    }
    let mut last = next(&mut feed).await;
    while last.last_read_seq < 9 {
        last = next(&mut feed).await;
    }
    assert_eq!(last.user_id, world.ann.user_id);
}

#[tokio::test]
async fn what_an_interruption_made_old_news_is_not_told_after_the_state() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    world.send_many(5).await;
    let mut feed = receipts(&world).await;
    // One word waits in the mailbox, the next is lost, and the bus says that something was.
    read(&world, &world.ann, 1).await;
    bus.set(Mode::Lose);
    let now = read(&world, &world.ann, 4).await;
    bus.interrupt();
    bus.set(Mode::Deliver);
    assert_eq!(next(&mut feed).await, now);
    let ben = read(&world, &world.ben, 5).await;
    assert_eq!(next(&mut feed).await, ben);
}

#[tokio::test]
async fn an_older_mark_that_arrives_late_is_dropped() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    world.send_many(5).await;
    let mut feed = receipts(&world).await;
    bus.set(Mode::Keep);
    read(&world, &world.ann, 2).await;
    let ann = read(&world, &world.ann, 4).await;
    let ben = read(&world, &world.ben, 3).await;
    // The bus brings Ann's two marks in the wrong order, and Ben's behind them.
    let [older, newer, other] = bus.kept().try_into().unwrap();
    for (topic, event) in [newer, older, other] {
        bus.deliver(topic, event);
    }
    assert_eq!(take(&mut feed, 2).await, [ann, ben]);
    nothing_waits(&mut feed);
}

#[tokio::test]
async fn a_mark_that_was_told_after_an_interruption_is_not_followed_by_an_older_one() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    world.send_many(5).await;
    let mut feed = receipts(&world).await;
    bus.set(Mode::Keep);
    read(&world, &world.ann, 2).await;
    let ann = read(&world, &world.ann, 4).await;
    bus.interrupt();
    assert_eq!(next(&mut feed).await, ann);
    let [(topic, older), _newer] = bus.kept().try_into().unwrap();
    bus.deliver(topic, older);
    nothing_waits(&mut feed);
    bus.set(Mode::Deliver);
    let ann = read(&world, &world.ann, 5).await;
    assert_eq!(next(&mut feed).await, ann);
}

#[tokio::test]
async fn of_a_member_who_was_forgotten_the_store_is_asked() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    world.send_many(5).await;
    let mut feed = receipts(&world).await;
    bus.set(Mode::Keep);
    read(&world, &world.ann, 2).await;
    let ann = read(&world, &world.ann, 4).await;
    let [older, newer] = bus.kept().try_into().unwrap();
    bus.deliver(newer.0, newer.1);
    assert_eq!(next(&mut feed).await, ann);
    // More members than a feed remembers have read further than Ann.
    for n in 0..3_000_u128 {
        let other = ReadReceipt {
            user_id: id::from_bytes(n.to_be_bytes()),
            last_read_seq: 5,
            ..ann
        };
        let event = Event::ReadReceipt {
            receipt: other,
            chat_kind: ChatKind::Direct,
            mseq: 0,
        };
        bus.deliver(Topic::Chat(world.chat), event);
        assert_eq!(next(&mut feed).await, other);
    }
    bus.deliver(older.0, older.1);
    assert_eq!(next(&mut feed).await, ann, "as the store has it");
    nothing_waits(&mut feed);
}

/// What happens to read marks and the word of them.
#[derive(Clone, Copy, Debug)]
enum Reading {
    /// Ann, or else Ben, has read up to this message.
    Reads(bool, Seq),
    /// From now on events are lost, or are not.
    Loses(bool),
    Interrupted,
    /// The subscriber may take so many receipts, and is not in a hurry.
    Hears(usize),
}

fn readings() -> impl Strategy<Value = (usize, Vec<Reading>)> {
    let reading = prop_oneof![
        6 => (any::<bool>(), 1..=9_u32).prop_map(|(ann, seq)| Reading::Reads(ann, seq)),
        2 => any::<bool>().prop_map(Reading::Loses),
        2 => Just(Reading::Interrupted),
        2 => (1..3_usize).prop_map(Reading::Hears),
    ];
    (1..=6_usize, vec(reading, 0..20))
}

#[test]
fn after_an_interruption_the_receipts_told_are_those_that_are() {
    let runtime = runtime();
    let backend = runtime.block_on(Backend::open());
    check(100, &readings(), |(mailbox, readings)| {
        runtime.block_on(read_and_tell(Arc::clone(&backend), mailbox, readings));
    });
}

async fn read_and_tell(backend: Arc<Backend>, mailbox: usize, readings: Vec<Reading>) {
    let bus = ScriptBus::new(mailbox);
    let world = World::new(backend, Arc::clone(&bus) as _, no_heartbeat()).await;
    world.send_many(10).await;
    let feeds = &world.services.feeds;
    let mut feed = receipts_in(feeds.receipts(&world.ben, world.chat).await.unwrap());
    let (told, mut hears) = mpsc::unbounded_channel();
    let may_hear = Arc::new(Semaphore::new(0));
    let permits = Arc::clone(&may_hear);
    let telling = tokio::spawn(async move {
        loop {
            permits.acquire().await.unwrap().forget();
            if told.send(feed.next().await.unwrap()).is_err() {
                break;
            }
        }
    });

    let mut truth = BTreeMap::new();
    for reading in readings {
        match reading {
            Reading::Reads(ann, seq) => {
                let receipt = read(&world, if ann { &world.ann } else { &world.ben }, seq).await;
                truth.insert(receipt.user_id, receipt);
            }
            Reading::Loses(true) => bus.set(Mode::Lose),
            Reading::Loses(false) => bus.set(Mode::Deliver),
            Reading::Interrupted => bus.interrupt(),
            Reading::Hears(count) => may_hear.add_permits(count),
        }
    }
    bus.interrupt();
    // A word of somebody else, behind which nothing is left to be told.
    let last = ReadReceipt {
        user_id: world.person("cleo").await.user_id,
        chat_id: world.chat,
        last_read_seq: 1,
        read_at: world.backend.clock.now(),
    };
    let event = Event::ReadReceipt {
        receipt: last,
        chat_kind: ChatKind::Direct,
        mseq: 0,
    };
    bus.deliver(Topic::Chat(world.chat), event);
    may_hear.add_permits(1_000);
    let mut view = BTreeMap::new();
    loop {
        let receipt = soon("a receipt", hears.recv()).await.unwrap();
        if receipt == last {
            break;
        }
        view.insert(receipt.user_id, receipt);
    }
    assert_eq!(view, truth);
    telling.abort();
}
