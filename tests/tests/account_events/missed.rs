//! What a client would never be told that was cut off, or read, at the wrong moment.

use talksy_domain::feeds::{AccountPosition, FeedPolicy};
use talksy_domain::messages::HistoryFrom;

use super::feed::{next, scripted, take, until_caught_up};
use super::script::Mode;
use super::world::no_heartbeat;

/// The title is told behind the notice, and may not have been: the notice's cursor says nothing of it.
#[tokio::test]
async fn who_is_cut_off_behind_a_notice_is_told_that_the_chat_looks_different() {
    let (world, _bus) = scripted(64, no_heartbeat()).await;
    let group = world.group("old", &[&world.ben]).await;
    let names = [(group, "group")];
    let feeds = &world.services.feeds;
    let mut feed = feeds.account(&world.ben, None, None).await.unwrap();
    let (_, checkpoint) = until_caught_up(&mut feed, &names).await;
    let title = talksy_domain::chats::ChatTitle::parse("new").unwrap();
    let renamed = world.services.groups.rename(&world.ann, group, title).await;
    let notice = renamed.unwrap().applied_seq;
    let since = next(&mut feed).await.cursor.encode();
    drop(feed);
    let position = AccountPosition::parse(world.ben.user_id, &checkpoint, &[since]).unwrap();
    let resumed = feeds.account(&world.ben, Some(position), None).await;
    let (mut told, _) = until_caught_up(&mut resumed.unwrap(), &names).await;
    told.sort();
    assert_eq!(told, ["group changed", "viewer"], "behind {notice}");
}

/// The client reads its chats behind the first checkpoint: it may find one that it has joined since and
/// leaves again before the stream looks.
#[tokio::test]
async fn the_end_of_a_membership_is_told_also_where_its_beginning_was_not_seen() {
    let (world, bus) = scripted(64, no_heartbeat()).await;
    let group = world.group("group", &[]).await;
    let names = [(group, "group")];
    let feeds = &world.services.feeds;
    let mut feed = feeds.account(&world.ben, None, None).await.unwrap();
    until_caught_up(&mut feed, &names).await;
    bus.set(Mode::Lose);
    for _ in 0..2 {
        world.add(group, &world.ben, HistoryFrom::All).await;
        world.remove(group, &world.ben).await;
        bus.interrupt();
        assert_eq!(take(&mut feed, &names, 1).await, ["group removed"]);
    }
    // Nothing is told twice.
    world.add(group, &world.ben, HistoryFrom::All).await;
    bus.interrupt();
    let told = take(&mut feed, &names, 2).await;
    assert_eq!(told, ["group changed", "group reset"]);
    world.remove(group, &world.ben).await;
    bus.interrupt();
    let told = take(&mut feed, &names, 2).await;
    assert_eq!(told, ["group +7", "group removed"]);
    let other = world.direct(&world.cleo, &world.ben).await;
    bus.interrupt();
    let told = take(&mut feed, &[(other, "other")], 1).await;
    assert_eq!(told, ["other changed"]);
}

/// It is the same for one that is cut off before the stream looks: the checkpoint does not name the
/// chat that was read behind it.
#[tokio::test]
async fn who_is_cut_off_behind_a_checkpoint_is_told_of_the_chats_that_were_left_since() {
    let (world, bus) = scripted(64, no_heartbeat()).await;
    let (group, former) = (
        world.group("group", &[]).await,
        world.group("former", &[&world.ben]).await,
    );
    world.remove(former, &world.ben).await;
    let names = [(group, "group"), (former, "former")];
    let feeds = &world.services.feeds;
    let mut feed = feeds.account(&world.ben, None, None).await.unwrap();
    let (_, checkpoint) = until_caught_up(&mut feed, &names).await;
    bus.set(Mode::Lose);
    world.add(group, &world.ben, HistoryFrom::All).await;
    world.remove(group, &world.ben).await;
    drop(feed);
    let resume = async |checkpoint: &str| {
        let position = AccountPosition::parse(world.ben.user_id, checkpoint, &[]).unwrap();
        let resumed = feeds.account(&world.ben, Some(position), None).await;
        let (mut told, checkpoint) = until_caught_up(&mut resumed.unwrap(), &names).await;
        told.sort();
        (told, checkpoint)
    };
    let (told, checkpoint) = resume(&checkpoint).await;
    assert_eq!(told, ["former removed", "group removed", "viewer"]);
    let (told, _) = resume(&checkpoint).await;
    assert_eq!(told, ["viewer"]);
}

/// The news of a chat that is new comes ahead of its reset. Who was told the news alone has nothing of the
/// chat yet.
#[tokio::test]
async fn who_is_cut_off_ahead_of_a_reset_is_told_of_it_again() {
    let (world, _bus) = scripted(64, no_heartbeat()).await;
    let group = world.group("group", &[]).await;
    let names = [(group, "group")];
    let feeds = &world.services.feeds;
    let mut feed = feeds.account(&world.ben, None, None).await.unwrap();
    let (_, checkpoint) = until_caught_up(&mut feed, &names).await;
    world.add(group, &world.ben, HistoryFrom::All).await;
    let news = next(&mut feed).await.cursor.encode();
    drop(feed);
    let position = AccountPosition::parse(world.ben.user_id, &checkpoint, &[news]).unwrap();
    let resumed = feeds.account(&world.ben, Some(position), None).await;
    let (mut told, _) = until_caught_up(&mut resumed.unwrap(), &names).await;
    told.sort();
    assert_eq!(told, ["group changed", "group reset", "viewer"]);
}

/// The bus has lost the first message, and says nothing of it.
#[tokio::test]
async fn ahead_of_saying_that_all_was_told_the_store_is_asked() {
    let live = FeedPolicy {
        checkpoint_events: 2,
        ..no_heartbeat()
    };
    let (world, bus) = scripted(64, live).await;
    let one = world.direct(&world.ann, &world.ben).await;
    let other = world.direct(&world.cleo, &world.ben).await;
    let names = [(one, "one"), (other, "other")];
    let feeds = &world.services.feeds;
    let mut feed = feeds.account(&world.ben, None, None).await.unwrap();
    until_caught_up(&mut feed, &names).await;
    bus.set(Mode::Lose);
    world.send(one, &world.ann, "lost").await;
    bus.set(Mode::Deliver);
    for text in ["one", "two"] {
        world.send(other, &world.cleo, text).await;
    }
    let (told, _) = until_caught_up(&mut feed, &names).await;
    assert_eq!(told, ["other +1", "other +2", "checkpoint false", "one +1"]);
}

/// Whom somebody has blocked is one more thing of their own: what the bus loses of it, each of their
/// devices finds. Who is blocked is told of nothing.
#[tokio::test]
async fn a_block_is_told_once_and_found_where_the_word_of_it_was_lost() {
    let (world, bus) = scripted(64, no_heartbeat()).await;
    let chat = world.direct(&world.ann, &world.ben).await;
    let names = [(chat, "chat")];
    let feeds = &world.services.feeds;
    let mut feed = feeds.account(&world.ben, None, None).await.unwrap();
    let mut of_ann = feeds.account(&world.ann, None, None).await.unwrap();
    let (_, checkpoint) = until_caught_up(&mut feed, &names).await;
    until_caught_up(&mut of_ann, &names).await;
    let blocks = &world.services.blocks;
    let cleo = world.cleo.user_id;
    blocks.set(&world.ben, cleo, true).await.unwrap();
    assert_eq!(take(&mut feed, &names, 1).await, ["viewer"]);
    bus.set(Mode::Lose);
    blocks.set(&world.ben, cleo, false).await.unwrap();
    blocks
        .set(&world.ben, world.ann.user_id, true)
        .await
        .unwrap();
    bus.interrupt();
    let mut told = take(&mut feed, &names, 2).await;
    told.sort();
    assert_eq!(told, ["chat changed", "viewer"]);
    bus.set(Mode::Deliver);
    blocks
        .set(&world.ben, world.ann.user_id, false)
        .await
        .unwrap();
    assert_eq!(take(&mut feed, &names, 1).await, ["viewer"]);
    world.send(chat, &world.ben, "hello again").await;
    let told = take(&mut of_ann, &names, 2).await;
    assert!(!told.contains(&"viewer".to_owned()), "{told:?}");
    drop(feed);
    let position = AccountPosition::parse(world.ben.user_id, &checkpoint, &[]).unwrap();
    let resumed = feeds.account(&world.ben, Some(position), None).await;
    let (told, _) = until_caught_up(&mut resumed.unwrap(), &names).await;
    assert_eq!(told.iter().filter(|what| *what == "viewer").count(), 1);
}
