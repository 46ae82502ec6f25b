//! How far all others have read a group: a sidebar is told when that moves, and nobody's receipt but that
//! of whoever has read least costs a question to the store.

use std::collections::BTreeSet;

use talksy_domain::chats::LargeGroups;
use talksy_domain::feeds::{ChatFeed, ChatItem, FeedPolicy};
use talksy_domain::messages::HistoryFrom;
use talksy_domain::seq::Seq;
use talksy_domain::viewer::Viewer;

use super::script::Mode;
use super::world::{SHORT, World, next, no_heartbeat, nothing_waits, quick_heartbeat};

/// A group of Ann, Ben and Cleo, in which Ben has sent messages up to number 5.
async fn group_of_three(world: World) -> (World, Viewer) {
    let world = world.in_a_group().await;
    let cleo = world.person("cleo").await;
    world.add(&cleo, HistoryFrom::All).await;
    for _ in 0..3 {
        world.send(&world.ben, "to be read").await;
    }
    (world, cleo)
}

async fn read(world: &World, who: &Viewer, seq: Seq) {
    world.backend.clock.advance(SHORT);
    let chats = &world.services.chats;
    chats.mark_read(who, world.chat, seq).await.unwrap();
}

/// The next chat that is told, and how far all others have read it.
async fn told(feed: &mut ChatFeed) -> (ChatItem, Option<Seq>) {
    let item = next(feed).await;
    let seq = feed.read_by_all(&item).await.unwrap();
    (item, seq)
}

#[tokio::test]
async fn a_sidebar_is_told_when_whoever_has_read_least_reads_on() {
    let (world, _bus) = World::scripted(64, no_heartbeat()).await;
    let (world, cleo) = group_of_three(world).await;
    let feeds = &world.services.feeds;
    let mut feed = feeds.chats(&world.ben).await.unwrap();
    let asked = world.store.marks_asked();
    // Ann has read up to number 1, and Cleo up to 2, which says that she joined.
    read(&world, &cleo, 4).await;
    read(&world, &cleo, 5).await;
    nothing_waits(&mut feed);
    read(&world, &world.ann, 3).await;
    let (item, seq) = told(&mut feed).await;
    assert_eq!((item.state.chat.id, seq), (world.chat, Some(3)));
    assert_eq!(world.store.marks_asked(), asked + 1, "for Ann's receipt");
    read(&world, &world.ann, 5).await;
    assert_eq!(told(&mut feed).await.1, Some(5));
    // Both have read all. That one of them has read on moves nothing.
    world.send(&world.ben, "one more").await;
    assert_eq!(told(&mut feed).await.1, Some(5));
    read(&world, &cleo, 6).await;
    read(&world, &world.ann, 6).await;
    assert_eq!(told(&mut feed).await.1, Some(6));
    nothing_waits(&mut feed);
}

#[tokio::test]
async fn what_no_receipt_has_told_is_found_after_an_interruption_and_on_a_heartbeat() {
    for is_interrupted in [true, false] {
        let policy = if is_interrupted {
            no_heartbeat()
        } else {
            quick_heartbeat()
        };
        let (world, bus) = World::scripted(64, policy).await;
        let (world, cleo) = group_of_three(world).await;
        let feeds = &world.services.feeds;
        let mut feed = feeds.chats(&world.ben).await.unwrap();
        bus.set(Mode::Lose);
        for (ann, cleos) in [(5, 4), (5, 5)] {
            read(&world, &world.ann, ann).await;
            read(&world, &cleo, cleos).await;
            if is_interrupted {
                bus.interrupt();
            }
            // A heartbeat may come in between, and tell of one of them alone.
            let mut seen = BTreeSet::new();
            while !seen.contains(&Some(cleos)) {
                seen.insert(told(&mut feed).await.1);
            }
        }
    }
}

#[tokio::test]
async fn who_comes_and_goes_moves_it_and_of_a_large_group_it_is_not_told() {
    let policy = FeedPolicy {
        large_groups: LargeGroups { above: 3 },
        ..no_heartbeat()
    };
    let (world, _bus) = World::scripted(64, policy).await;
    let (world, cleo) = group_of_three(world).await;
    let feeds = &world.services.feeds;
    let mut feed = feeds.chats(&world.ben).await.unwrap();
    read(&world, &world.ann, 5).await;
    assert_eq!(told(&mut feed).await.1, Some(2), "Cleo's");
    // The fourth member makes it a large one.
    let dora = world.person("dora").await;
    world.add(&dora, HistoryFrom::All).await;
    assert_eq!(told(&mut feed).await.1, None);
    // Again it is none, and nobody waits for who has left.
    world.remove(&cleo).await;
    assert_eq!(told(&mut feed).await.1, Some(5));
    world.remove(&dora).await;
    assert_eq!(told(&mut feed).await.1, Some(5));
    let groups = &world.services.groups;
    groups.leave(&world.ann, world.chat).await.unwrap();
    assert_eq!(told(&mut feed).await.1, None, "nobody else is there");
}
