//! Large groups: how far somebody has read, and that they type, is not told to the others.

use talksy_domain::chats::{ChatKind, LargeGroups, ReadReceipt};
use talksy_domain::clock::Clock as _;
use talksy_domain::events::{Event, Topic};
use talksy_domain::feeds::FeedPolicy;
use talksy_domain::messages::HistoryFrom;
use talksy_domain::seq::Seq;
use talksy_domain::viewer::Viewer;

use super::script::Mode;
use super::world::{
    SHORT, World, chats_in, next, no_heartbeat, nothing_waits, quick_heartbeat, receipts_in,
};

/// A group is large from three members on.
const LARGE: LargeGroups = LargeGroups { above: 2 };

fn with_large_groups(policy: FeedPolicy) -> FeedPolicy {
    FeedPolicy {
        large_groups: LARGE,
        ..policy
    }
}

async fn read(world: &World, who: &Viewer, seq: Seq) -> ReadReceipt {
    world.backend.clock.advance(SHORT);
    let chats = &world.services.chats;
    chats.mark_read(who, world.chat, seq).await.unwrap().1
}

async fn set_typing(world: &World, who: &Viewer, is_typing: bool) {
    let presence = &world.services.presence;
    let set = presence.set_typing(who, world.chat, is_typing);
    set.await.unwrap();
}

#[tokio::test]
async fn receipts_and_typing_are_told_up_to_the_limit_and_not_beyond_it() {
    let (world, bus) = World::scripted(64, with_large_groups(no_heartbeat())).await;
    let world = world.in_a_group().await;
    let cleo = world.person("cleo").await;
    for n in 0..9 {
        world.send(&world.ann, &n.to_string()).await;
    }
    let feeds = &world.services.feeds;
    let (ann, ben) = (&world.ann, &world.ben);
    let other_device = world.other_device(ann).await;
    let open = async |who| receipts_in(feeds.receipts(who, world.chat).await.unwrap());
    let mut own = open(&other_device).await;
    let mut others = open(ben).await;
    let mut typing = feeds.typing(ben, world.chat).await.unwrap();
    let mut own_sidebar = chats_in(feeds.chats(&other_device).await.unwrap());

    // Two members: all are told.
    let receipt = read(&world, ann, 2).await;
    assert_eq!(next(&mut own).await, receipt);
    assert_eq!(next(&mut others).await, receipt);
    set_typing(&world, ann, true).await;
    assert!(next(&mut typing).await.is_typing);
    set_typing(&world, ann, false).await;
    assert!(!next(&mut typing).await.is_typing);
    assert_eq!(next(&mut own_sidebar).await, world.chat);

    // Three: the own devices alone, at once.
    world.add(&cleo, HistoryFrom::All).await;
    assert_eq!(next(&mut own_sidebar).await, world.chat);
    bus.set(Mode::Keep);
    let receipt = read(&world, ann, 3).await;
    set_typing(&world, ann, true).await;
    let told = bus.kept();
    let [(topic, event)] = told.as_slice() else {
        panic!("one event, not {told:?}");
    };
    assert_eq!(*topic, Topic::User(ann.user_id));
    bus.set(Mode::Deliver);
    bus.deliver(*topic, event.clone());
    assert_eq!(next(&mut own).await, receipt);
    assert_eq!(next(&mut own_sidebar).await, world.chat);
    nothing_waits(&mut others);
    nothing_waits(&mut typing);

    // Two again: all are told, by feeds that were open all the while.
    world.remove(&cleo).await;
    assert_eq!(next(&mut own_sidebar).await, world.chat);
    let receipt = read(&world, ann, 5).await;
    set_typing(&world, ann, true).await;
    assert_eq!(next(&mut others).await, receipt);
    assert_eq!(next(&mut own).await, receipt);
    assert!(next(&mut typing).await.is_typing);
}

#[tokio::test]
async fn a_look_at_the_store_tells_ones_own_mark_alone() {
    let (world, bus) = World::scripted(64, with_large_groups(quick_heartbeat())).await;
    let world = world.in_a_group().await;
    let cleo = world.person("cleo").await;
    world.add(&cleo, HistoryFrom::All).await;
    world.send(&world.ann, "to be read").await;
    let feed = world.services.feeds.receipts(&world.ben, world.chat).await;
    let mut feed = receipts_in(feed.unwrap());
    bus.set(Mode::Lose);
    read(&world, &world.ann, 3).await;
    read(&world, &cleo, 3).await;
    let own = read(&world, &world.ben, 2).await;
    bus.interrupt();
    assert_eq!(next(&mut feed).await, own);
    let own = read(&world, &world.ben, 3).await;
    assert_eq!(next(&mut feed).await, own, "by the heartbeat");
    // When the group has shrunk the others' marks are told as they are.
    world.remove(&cleo).await;
    let ann = next(&mut feed).await;
    assert_eq!((ann.user_id, ann.last_read_seq), (world.ann.user_id, 3));
}

#[tokio::test]
async fn what_the_viewer_reads_elsewhere_is_not_told_here() {
    let (world, bus) = World::scripted(64, with_large_groups(no_heartbeat())).await;
    let elsewhere = world.chat;
    let world = world.in_a_group().await;
    let cleo = world.person("cleo").await;
    world.add(&cleo, HistoryFrom::All).await;
    world.send(&world.ann, "to be read").await;
    let feed = world.services.feeds.receipts(&world.ben, world.chat).await;
    let mut feed = receipts_in(feed.unwrap());
    let topic = Topic::User(world.ben.user_id);
    let receipt = ReadReceipt {
        chat_id: elsewhere,
        user_id: world.ben.user_id,
        last_read_seq: 7,
        read_at: world.backend.clock.now(),
    };
    let event = Event::ReadReceipt {
        receipt,
        chat_kind: ChatKind::Group,
        mseq: 9,
    };
    bus.deliver(topic, event);
    nothing_waits(&mut feed);
    let own = read(&world, &world.ben, 2).await;
    assert_eq!(next(&mut feed).await, own);
}
