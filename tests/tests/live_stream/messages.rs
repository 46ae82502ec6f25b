//! Messages that the bus does not bring, or not in order, one kind of fault at a time.

use futures_util::future::{join_all, try_join_all};
use talksy_domain::events::{Event, Topic};
use talksy_domain::feeds::FeedPolicy;

use super::script::Mode;
use super::world::{
    World, message, next, no_heartbeat, nothing_waits, quick_heartbeat, seqs, take,
};

/// The events of messages that are sent and of which the bus has brought none.
async fn withheld(
    world: &World,
    bus: &super::script::ScriptBus,
    count: usize,
) -> Vec<(Topic, Event)> {
    bus.set(Mode::Keep);
    for number in 1..=count {
        world.send(&world.ann, &format!("number {number}")).await;
    }
    bus.set(Mode::Deliver);
    bus.kept()
}

#[tokio::test]
async fn what_is_delivered_is_what_was_sent() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    let mut feed = world.follow().await;
    let mut sent = vec![world.send(&world.ann, "hello").await];
    sent.push(world.send(&world.ben, "hello yourself").await);
    let seen = take(&mut feed, 2).await;
    let seen: Vec<_> = seen.iter().map(message).collect();
    assert_eq!(seen, sent);
    assert_eq!(world.held().await, sent);
    nothing_waits(&mut feed);
}

#[tokio::test]
async fn events_in_any_order_and_number_are_put_in_order_without_the_heartbeat() {
    for order in [
        &[4, 3, 2, 1][..],
        &[2, 2, 1, 1, 2, 4, 3],
        // A message is overtaken and another is lost.
        &[3, 1, 4],
        &[2, 4, 1],
        &[4],
        // Two holes, of which the first fills by itself.
        &[2, 4, 4, 2, 1, 1],
    ] {
        let (world, bus) = World::scripted(16, no_heartbeat()).await;
        let mut feed = world.follow().await;
        let events = withheld(&world, &bus, 4).await;
        for number in order {
            let (topic, event) = events[number - 1].clone();
            bus.deliver(topic, event);
        }
        assert_eq!(seqs(&mut feed, 4).await, [1, 2, 3, 4], "{order:?}");
        nothing_waits(&mut feed);
    }
}

#[tokio::test]
async fn a_wide_second_hole_is_read_without_the_heartbeat_too() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    let mut feed = world.follow().await;
    bus.set(Mode::Keep);
    world.send_many(210).await;
    let mut events = bus.kept();
    events.sort_by_key(|(_, event)| match event {
        Event::MessageAdded { message, .. } => message.seq,
        _ => 0,
    });
    // Two pages lie between the second and the 210th, and nothing comes after it.
    for number in [2, 210] {
        let (topic, event) = events[number - 1].clone();
        bus.deliver(topic, event);
    }
    assert_eq!(seqs(&mut feed, 210).await, (1..=210).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_heartbeat_finds_a_lost_end() {
    let (world, bus) = World::scripted(16, quick_heartbeat()).await;
    let mut feed = world.follow().await;
    bus.set(Mode::Lose);
    world.send(&world.ann, "unheard").await;
    world.send(&world.ann, "of").await;
    assert_eq!(seqs(&mut feed, 2).await, [1, 2]);
}

#[tokio::test]
async fn an_interruption_is_reason_to_look() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    let mut feed = world.follow().await;
    bus.set(Mode::Lose);
    world.send(&world.ann, "unheard").await;
    bus.interrupt();
    assert_eq!(seqs(&mut feed, 1).await, [1]);
    // Again and again, with and without a message between.
    bus.interrupt();
    bus.interrupt();
    world.send(&world.ann, "also unheard").await;
    bus.interrupt();
    bus.set(Mode::Deliver);
    world.send(&world.ann, "heard").await;
    bus.interrupt();
    assert_eq!(seqs(&mut feed, 2).await, [2, 3]);
    nothing_waits(&mut feed);
}

#[tokio::test]
async fn a_subscriber_slower_than_its_mailbox_misses_nothing() {
    for mailbox in 1..=4 {
        let (world, _bus) = World::scripted(mailbox, no_heartbeat()).await;
        let mut feed = world.follow().await;
        world.send_many(7).await;
        assert_eq!(seqs(&mut feed, 4).await, [1, 2, 3, 4]);
        world.send_many(7).await;
        assert_eq!(
            seqs(&mut feed, 10).await,
            (5..=14).collect::<Vec<_>>(),
            "mailbox of {mailbox}"
        );
    }
}

#[tokio::test]
async fn a_message_sent_again_is_delivered_once() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    let mut feed = world.follow().await;
    bus.set(Mode::Lose);
    let first = world.send_once(&world.ann, "a").await;
    bus.set(Mode::Deliver);
    let again = world.send_once(&world.ann, "a").await;
    assert_eq!(first, again);
    assert_eq!(message(&next(&mut feed).await), first);
    world.send_once(&world.ann, "a").await;
    world.send_once(&world.ann, "b").await;
    assert_eq!(seqs(&mut feed, 1).await, [2]);
}

#[tokio::test]
async fn a_long_history_is_replayed_page_by_page_and_goes_over_into_the_present() {
    let (world, bus) = World::scripted(4, no_heartbeat()).await;
    world.send_many(230).await;
    let mut feed = world.follow_after(0).await;
    assert_eq!(seqs(&mut feed, 50).await, (1..=50).collect::<Vec<_>>());
    bus.set(Mode::Lose);
    world.send_many(20).await;
    bus.set(Mode::Deliver);
    world.send(&world.ann, "the newest").await;
    assert_eq!(seqs(&mut feed, 201).await, (51..=251).collect::<Vec<_>>());
    nothing_waits(&mut feed);
}

#[tokio::test]
async fn many_subscribers_with_one_hole_read_it_from_the_store_together() {
    const FEEDS: usize = 100;
    let (world, bus) = World::scripted(4, no_heartbeat()).await;
    let mut feeds = join_all((0..FEEDS).map(|_| world.follow())).await;
    bus.set(Mode::Lose);
    world.send_many(10).await;
    let before = world.store.pages_read();
    bus.interrupt();
    for seen in join_all(feeds.iter_mut().map(|feed| seqs(feed, 10))).await {
        assert_eq!(seen, (1..=10).collect::<Vec<_>>());
    }
    // One page, were it not that a page is kept for a second and this machine may be slow.
    let read = world.store.pages_read() - before;
    assert!(read < FEEDS / 2, "{read} pages");
}

#[tokio::test]
async fn subscribers_of_several_chats_who_look_at_once_see_their_own() {
    // The ends of the chats lie so far apart that one taken for the other is noticed.
    let policy = FeedPolicy {
        replay_limit: 5,
        ..no_heartbeat()
    };
    let (world, bus) = World::scripted(4, policy).await;
    let cleo = world.person("cleo").await;
    let chats = &world.services.chats;
    let other = chats.start_direct(&cleo, world.ben.user_id).await;
    let other = other.unwrap().0.id;
    for _ in 0..20 {
        world.send_to(other, &cleo, "before").await;
    }
    let feeds = &world.services.feeds;
    let mut here = join_all((0..20).map(|_| world.follow())).await;
    let elsewhere = (0..20).map(|_| feeds.messages(&world.ben, other, None));
    let mut elsewhere = try_join_all(elsewhere).await.unwrap();
    bus.set(Mode::Lose);
    world.send_many(3).await;
    let sent = world.send_to(other, &cleo, "elsewhere").await;
    bus.interrupt();
    let (seen_here, seen_elsewhere) = tokio::join!(
        join_all(here.iter_mut().map(|feed| seqs(feed, 3))),
        join_all(elsewhere.iter_mut().map(next)),
    );
    assert!(seen_here.iter().all(|seen| *seen == [1, 2, 3]));
    assert!(seen_elsewhere.iter().all(|seen| message(seen) == sent));
}
