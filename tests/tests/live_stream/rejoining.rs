//! Who joins again, and `chatRemoved`: the chats that one is no member of any more.

use talksy_domain::feeds::{ChatRemovedFeed, Removal};
use talksy_domain::messages::HistoryFrom;
use talksy_domain::seq::Seq;

use super::script::Mode;
use super::world::{
    World, ends_for_no_member, message, next, no_heartbeat, nothing_waits, quick_heartbeat, seqs,
    take,
};

/// A group that Ben was removed from by its fourth message and is back in by its sixth. Each of
/// Ann's messages was edited, in their order.
async fn rejoined(history: HistoryFrom) -> World {
    let (world, _bus) = World::scripted(64, no_heartbeat()).await;
    let world = world.in_a_group().await;
    let mut sent = vec![world.send(&world.ann, "two").await];
    sent.push(world.send(&world.ann, "three").await);
    assert_eq!(world.remove(&world.ben).await, 4);
    sent.push(world.send(&world.ann, "five").await);
    assert_eq!(world.add(&world.ben, history).await, 6);
    sent.push(world.send(&world.ann, "seven").await);
    for message in &sent {
        world.edit(&world.ann, message, "edited").await;
    }
    world
}

async fn changed(world: &World, count: usize) -> Vec<Seq> {
    let mut feed = world.changes(Some(0)).await;
    let seen = take(&mut feed, count).await;
    nothing_waits(&mut feed);
    seen.iter().map(|item| message(&item.change).seq).collect()
}

#[tokio::test]
async fn with_no_history_a_feed_begins_at_the_notice() {
    let world = rejoined(HistoryFrom::Join).await;
    for after in [0, 3, 5] {
        let mut feed = world.follow_after(after).await;
        assert_eq!(seqs(&mut feed, 2).await, [6, 7], "after {after}");
        nothing_waits(&mut feed);
    }
    let mut feed = world.follow_after(6).await;
    assert_eq!(seqs(&mut feed, 1).await, [7]);
    assert_eq!(changed(&world, 1).await, [7]);
}

#[tokio::test]
async fn with_all_history_a_feed_begins_at_the_first_and_its_own_removal_is_past() {
    let world = rejoined(HistoryFrom::All).await;
    let mut feed = world.follow_after(0).await;
    assert_eq!(seqs(&mut feed, 7).await, (1..=7).collect::<Vec<_>>());
    nothing_waits(&mut feed);
    assert_eq!(changed(&world, 4).await, [2, 3, 5, 7]);
    // The next removal is not past.
    assert_eq!(world.remove(&world.ben).await, 8);
    world.send(&world.ann, "no longer").await;
    assert_eq!(seqs(&mut feed, 1).await, [8]);
    ends_for_no_member(&mut feed).await;
}

#[tokio::test]
async fn what_came_early_from_before_a_removal_goes_by_too() {
    let world = rejoined(HistoryFrom::All).await;
    for after in 3..=6 {
        let mut feed = world.follow_after(after).await;
        let rest = 7 - after;
        let seen = seqs(&mut feed, usize::try_from(rest).unwrap()).await;
        assert_eq!(seen, (after + 1..=7).collect::<Vec<_>>());
        nothing_waits(&mut feed);
    }
}

async fn removals(world: &World) -> ChatRemovedFeed {
    world.services.feeds.removals(&world.ben).await.unwrap()
}

#[tokio::test]
async fn each_chat_that_one_leaves_is_told_once() {
    let (world, bus) = World::scripted(64, no_heartbeat()).await;
    let world = world.in_a_group().await;
    let first = world.chat;
    let mut feed = removals(&world).await;
    let world = world.in_a_group().await;
    let second = world.chat;
    let cleo = world.person("cleo").await;
    // What happens to others, or otherwise, is none.
    world.add(&cleo, HistoryFrom::All).await;
    world.remove(&cleo).await;
    world.rename("Another title").await;
    world.send(&world.ann, "hello").await;
    nothing_waits(&mut feed);
    bus.set(Mode::Keep);
    let left_seq = world.remove(&world.ben).await;
    bus.set(Mode::Deliver);
    for (topic, event) in bus.kept() {
        bus.deliver(topic, event.clone());
        bus.deliver(topic, event);
    }
    let removal = Removal {
        chat_id: second,
        left_seq,
        incarnation: world.incarnation,
    };
    assert_eq!(next(&mut feed).await, removal);
    nothing_waits(&mut feed);
    let groups = &world.services.groups;
    groups.leave(&world.ben, first).await.unwrap();
    assert_eq!(next(&mut feed).await.chat_id, first);
    bus.interrupt();
    nothing_waits(&mut feed);
}

/// Also where it was not heard that it was there: whoever looks in between has it.
#[tokio::test]
async fn a_chat_whose_loss_was_not_heard_of_is_found_by_an_interruption_or_the_heartbeat() {
    for policy in [no_heartbeat(), quick_heartbeat()] {
        for joins_unseen in [false, true] {
            let (world, bus) = World::scripted(64, policy).await;
            if joins_unseen {
                bus.set(Mode::Lose);
            }
            let early = removals(&world).await;
            let world = world.in_a_group().await;
            let mut feed = if joins_unseen {
                early
            } else {
                removals(&world).await
            };
            bus.set(Mode::Lose);
            let left_seq = world.remove(&world.ben).await;
            if policy == no_heartbeat() {
                bus.interrupt();
            }
            let removal = Removal {
                chat_id: world.chat,
                left_seq,
                incarnation: world.incarnation,
            };
            assert_eq!(next(&mut feed).await, removal);
        }
    }
}

#[tokio::test]
async fn a_chat_that_one_is_back_in_is_not_told_as_lost() {
    let (world, bus) = World::scripted(64, no_heartbeat()).await;
    let world = world.in_a_group().await;
    let kept = world.chat;
    let world = world.in_a_group().await;
    let mut feed = removals(&world).await;
    bus.set(Mode::Keep);
    world.remove(&world.ben).await;
    bus.set(Mode::Deliver);
    world.add(&world.ben, HistoryFrom::All).await;
    for (topic, event) in bus.kept() {
        bus.deliver(topic, event);
    }
    bus.interrupt();
    // Another that is lost is the next to be told.
    let groups = &world.services.groups;
    groups.leave(&world.ben, kept).await.unwrap();
    assert_eq!(next(&mut feed).await.chat_id, kept);
    nothing_waits(&mut feed);
    world.remove(&world.ben).await;
    assert_eq!(next(&mut feed).await.chat_id, world.chat);
}
