//! The store is away for a while: feeds wait for it, and lose nothing.

use talksy_domain::error::PortError;
use talksy_domain::feeds::{Feed as _, FeedError};
use talksy_domain::presence::PresenceStatus;
use talksy_tests::soon;

use super::script::Mode;
use super::world::{
    World, assert_no_member, chats_in, end, ends_for_no_member, message, next, no_heartbeat,
    quick_heartbeat, receipts_in, seqs,
};

/// Lets the feed run into the outage, ends that, and returns what came then.
async fn through_the_outage(world: &World, feed: &mut talksy_domain::feeds::MessageFeed) -> u32 {
    let end_of_outage = async {
        soon("the feed to try in vain", world.store.refused(2)).await;
        world.store.come_back();
    };
    let (item, ()) = tokio::join!(next(feed), end_of_outage);
    message(&item).seq
}

#[tokio::test]
async fn a_hole_is_filled_when_the_store_is_back() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    let mut feed = world.follow().await;
    world.store.go_down();
    bus.set(Mode::Lose);
    world.send_many(3).await;
    bus.set(Mode::Deliver);
    world.send(&world.ann, "the fourth").await;
    assert_eq!(through_the_outage(&world, &mut feed).await, 1);
    assert_eq!(seqs(&mut feed, 3).await, [2, 3, 4]);
}

#[tokio::test]
async fn an_interruption_during_the_outage_is_made_good_after_it() {
    let (world, bus) = World::scripted(2, no_heartbeat()).await;
    let mut feed = world.follow().await;
    world.store.go_down();
    bus.set(Mode::Lose);
    world.send_many(3).await;
    bus.interrupt();
    assert_eq!(through_the_outage(&world, &mut feed).await, 1);
    assert_eq!(seqs(&mut feed, 2).await, [2, 3]);
}

#[tokio::test]
async fn the_heartbeat_outlives_the_outage() {
    let (world, bus) = World::scripted(16, quick_heartbeat()).await;
    let mut feed = world.follow().await;
    world.store.go_down();
    bus.set(Mode::Lose);
    world.send(&world.ann, "unheard").await;
    assert_eq!(through_the_outage(&world, &mut feed).await, 1);
}

#[tokio::test]
async fn a_membership_that_cannot_be_checked_is_neither_given_nor_taken() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    let world = world.in_a_group().await;
    let feeds = &world.services.feeds;
    let mut typing = feeds.typing(&world.ben, world.chat).await.unwrap();
    let end_of_outage = async || {
        soon("the feed to try in vain", world.store.refused(2)).await;
        world.store.come_back();
    };
    let types = async |is_typing| {
        let presence = &world.others.presence;
        presence
            .set_typing(&world.ann, world.chat, is_typing)
            .await
            .unwrap();
    };
    world.store.go_down();
    world.rename("Another title").await;
    // It is told behind a notice, so not before Ben is known to be a member.
    types(true).await;
    let (state, ()) = tokio::join!(next(&mut typing), end_of_outage());
    assert_eq!((state.user_id, state.is_typing), (world.ann.user_id, true));

    world.store.go_down();
    world.remove(&world.ben).await;
    types(false).await;
    let (ended, ()) = tokio::join!(end(&mut typing), end_of_outage());
    assert_no_member(&ended);
}

#[tokio::test]
async fn to_end_with_its_notice_a_feed_of_messages_needs_no_store() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    let world = world.in_a_group().await;
    let mut feed = world.follow().await;
    world.store.go_down();
    assert_eq!(world.rename("Another title").await, 2);
    assert_eq!(world.remove(&world.ben).await, 3);
    world.send(&world.ann, "not for ben").await;
    assert_eq!(seqs(&mut feed, 2).await, [2, 3]);
    ends_for_no_member(&mut feed).await;
}

#[tokio::test]
async fn to_open_a_feed_the_store_must_be_there() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    world.store.go_down();
    let refused = world.try_follow(None).await.err();
    assert!(
        matches!(
            refused,
            Some(FeedError::Port(PortError::Unavailable { .. }))
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_sidebar_and_the_receipts_outlive_it_too() {
    let (world, bus) = World::scripted(16, no_heartbeat()).await;
    let feeds = &world.services.feeds;
    let mut chats = chats_in(feeds.chats(&world.ben).await.unwrap());
    let mut receipts = receipts_in(feeds.receipts(&world.ben, world.chat).await.unwrap());
    bus.set(Mode::Lose);
    world.send(&world.ann, "unheard").await;
    let read = world
        .services
        .chats
        .mark_read(&world.ann, world.chat, 1)
        .await;
    let (_, receipt) = read.unwrap();
    world.store.go_down();
    bus.interrupt();
    let end_of_outage = async {
        soon("both to try in vain", world.store.refused(4)).await;
        world.store.come_back();
    };
    let (chat, seen, ()) = tokio::join!(next(&mut chats), next(&mut receipts), end_of_outage);
    assert_eq!((chat, seen), (world.chat, receipt));
}

#[tokio::test]
async fn the_presence_feed_outlives_it_too() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    let feeds = &world.services.feeds;
    let feed = feeds.presence(&world.ben, vec![world.ann.user_id]).await;
    let mut feed = feed.unwrap();
    let offline = next(&mut feed).await;
    assert_eq!(offline.status, PresenceStatus::Offline);
    world.store.go_down();
    let _phone = world.services.presence.connect(&world.ann);
    let end_of_outage = async {
        soon("the feed to try in vain", world.store.refused(2)).await;
        world.store.come_back();
    };
    let (seen, ()) = tokio::join!(soon("a state", feed.next()), end_of_outage);
    let seen = seen.ok().map(|state| (state.user_id, state.status));
    assert_eq!(seen, Some((world.ann.user_id, PresenceStatus::Online)));
}
