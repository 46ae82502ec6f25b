//! Blocks: who is hidden by one is not shown any more, on any instance, whatever the bus does.

use talksy_domain::access::{AccessError, Denied};
use talksy_domain::error::{ApiError, ErrorCode};
use talksy_domain::feeds::PresenceFeed;
use talksy_domain::messages::{HistoryFrom, MessageText};
use talksy_domain::presence::{Presence, PresenceStatus};
use talksy_domain::services::Services;
use talksy_domain::viewer::Viewer;
use talksy_tests::eventually;

use super::script::Mode;
use super::world::{World, next, no_heartbeat, nothing_waits, quick_heartbeat, receipts_in, take};

fn state(who: &Viewer, status: PresenceStatus) -> Presence {
    Presence {
        user_id: who.user_id,
        status,
        last_seen_at: None,
    }
}

fn online(who: &Viewer) -> Presence {
    state(who, PresenceStatus::Online)
}

fn hidden(who: &Viewer) -> Presence {
    state(who, PresenceStatus::Offline)
}

async fn set(services: &Services, who: &Viewer, whom: &Viewer, is_blocked: bool) {
    let set = services.blocks.set(who, whom.user_id, is_blocked).await;
    assert_eq!(set.unwrap().id, whom.user_id);
}

/// What one sees of the other, who is there, on an instance.
async fn of(services: &Services, who: &Viewer, whom: &Viewer) -> PresenceFeed {
    let feed = services.feeds.presence(who, vec![whom.user_id]).await;
    let mut feed = feed.unwrap();
    assert_eq!(next(&mut feed).await, online(whom));
    feed
}

/// Both are there.
async fn both_there(world: &World) {
    for who in [&world.ann, &world.ben] {
        std::mem::forget(world.services.presence.connect(who));
    }
    for who in [&world.ann, &world.ben] {
        eventually("somebody to be there", async || {
            let access = &world.services.access;
            let seen = access.acquainted(who, &[who.user_id]).await.unwrap();
            let states = world.services.presence.states(&seen).await.unwrap();
            (states[0].status == PresenceStatus::Online).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_block_on_one_instance_hides_both_on_the_other() {
    let (world, _bus) = World::scripted(64, no_heartbeat()).await;
    both_there(&world).await;
    let other = world.other_instance();
    let (ann, ben) = (&world.ann, &world.ben);
    let mut feeds = [of(&other, ann, ben).await, of(&other, ben, ann).await];
    for _ in 0..3 {
        set(&world.services, ben, ann, true).await;
        assert_eq!(next(&mut feeds[0]).await, hidden(ben));
        assert_eq!(next(&mut feeds[1]).await, hidden(ann));
        // A second block is no news, nor is the end of one of the two.
        set(&world.services, ann, ben, true).await;
        set(&world.services, ben, ann, false).await;
        set(&world.services, ann, ben, false).await;
        assert_eq!(next(&mut feeds[0]).await, online(ben));
        assert_eq!(next(&mut feeds[1]).await, online(ann));
        feeds.iter_mut().for_each(nothing_waits);
    }
}

#[tokio::test]
async fn a_block_that_was_missed_is_found_after_the_interruption() {
    let (world, bus) = World::scripted(64, no_heartbeat()).await;
    both_there(&world).await;
    let (ann, ben) = (&world.ann, &world.ben);
    let mut feed = of(&world.services, ann, ben).await;
    bus.set(Mode::Lose);
    set(&world.services, ben, ann, true).await;
    nothing_waits(&mut feed);
    bus.interrupt();
    assert_eq!(next(&mut feed).await, hidden(ben));
    bus.set(Mode::Deliver);
    set(&world.services, ben, ann, false).await;
    assert_eq!(next(&mut feed).await, online(ben));
}

/// Also where nobody says that anything was lost, nothing is told behind the block.
#[tokio::test]
async fn no_state_is_told_behind_a_block_that_was_lost() {
    let (world, bus) = World::scripted(64, quick_heartbeat()).await;
    let world = world.in_a_group().await;
    let cleo = world.person("cleo").await;
    world.add(&cleo, HistoryFrom::All).await;
    let ann = &world.ann;
    let watched = vec![world.ben.user_id, cleo.user_id];
    let mut feed = world.services.feeds.presence(ann, watched).await.unwrap();
    take(&mut feed, 2).await;
    bus.set(Mode::Lose);
    set(&world.services, ann, &world.ben, true).await;
    let _ben = world.services.presence.connect(&world.ben);
    eventually("Ben to be there", async || {
        let access = &world.services.access;
        let seen = access.acquainted(&world.ben, &[world.ben.user_id]).await;
        let states = world
            .services
            .presence
            .states(&seen.unwrap())
            .await
            .unwrap();
        (states[0].status == PresenceStatus::Online).then_some(())
    })
    .await;
    let _cleo = world.services.presence.connect(&cleo);
    assert_eq!(next(&mut feed).await, online(&cleo));
}

#[tokio::test]
async fn what_was_sent_before_arrives_and_nothing_behind_it() {
    let (world, _bus) = World::scripted(64, no_heartbeat()).await;
    let mut feed = world.follow().await;
    world.send(&world.ann, "before").await;
    set(&world.services, &world.ben, &world.ann, true).await;
    for services in [&world.services, &world.other_instance()] {
        let text = MessageText::parse("behind").unwrap();
        let sent = services.messages.send(&world.ann, world.chat, text, None);
        let refused = ApiError::from(sent.await.unwrap_err());
        let expected = ApiError::from(AccessError::from(Denied::NotWritable));
        assert_eq!((refused.code, &refused), (ErrorCode::Forbidden, &expected));
    }
    set(&world.services, &world.ben, &world.ann, false).await;
    world.send(&world.ann, "again").await;
    let told = take(&mut feed, 2).await;
    let texts = told
        .iter()
        .map(|one| one.message().unwrap().text.clone().unwrap());
    let texts: Vec<_> = texts.map(|text| text.as_str().to_owned()).collect();
    assert_eq!(texts, ["before", "again"]);
}

/// Neither by an event, nor by what a feed reads on its heartbeat.
#[tokio::test]
async fn read_marks_are_hidden_also_from_what_a_feed_reads() {
    let (world, bus) = World::scripted(64, no_heartbeat()).await;
    world.send_many(5).await;
    let feeds = &world.services.feeds;
    let mut feed = receipts_in(feeds.receipts(&world.ben, world.chat).await.unwrap());
    let read = async |who: &Viewer, seq| {
        let chats = &world.services.chats;
        chats.mark_read(who, world.chat, seq).await.unwrap().1
    };
    set(&world.services, &world.ann, &world.ben, true).await;
    read(&world.ann, 2).await;
    let own = read(&world.ben, 3).await;
    assert_eq!(next(&mut feed).await, own);
    bus.interrupt();
    let own = read(&world.ben, 4).await;
    assert_eq!(next(&mut feed).await, own);
    set(&world.services, &world.ann, &world.ben, false).await;
    bus.interrupt();
    assert_eq!(next(&mut feed).await.last_read_seq, 2);
}
