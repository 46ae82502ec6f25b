//! A store that is not what it was: restored from a backup, or set back to an older state.

use std::fmt::Debug;

use talksy_domain::error::{ApiError, ErrorCode};
use talksy_domain::feeds::{ChatFeed, Feed, FeedError, FeedPolicy};
use talksy_domain::id::ChatId;
use talksy_domain::presence::PresenceStatus;
use talksy_tests::soon;

use super::script::Mode;
use super::world::{
    Seen, World, chats_in, end, message, next, no_heartbeat, quick_heartbeat, seqs,
};

fn code(error: FeedError) -> ErrorCode {
    ApiError::from(error).code
}

/// The feed ends because the store was restored.
async fn ends_restored<F: Feed<Item: Debug>>(feed: &mut F) {
    let error = end(feed).await;
    assert!(matches!(error, FeedError::Restored), "{error:?}");
    assert_eq!(code(error), ErrorCode::ResyncRequired);
}

#[tokio::test]
async fn feeds_that_are_open_end_on_all_instances() {
    let (world, _bus) = World::scripted(16, quick_heartbeat()).await;
    world.send_many(3).await;
    let feeds = &world.services.feeds;
    let (ben, chat) = (&world.ben, world.chat);
    let mut messages = world.follow().await;
    let mut changes = world.changes(None).await;
    let mut receipts = feeds.receipts(ben, chat).await.unwrap();
    let mut typing = feeds.typing(ben, chat).await.unwrap();
    let mut chats = feeds.chats(ben).await.unwrap();
    let mut removals = feeds.removals(ben).await.unwrap();
    let mut elsewhere = {
        let other = world.other_instance();
        other.feeds.messages(ben, chat, None).await.unwrap()
    };
    world.backend.restore().await;
    ends_restored(&mut messages).await;
    ends_restored(&mut changes).await;
    ends_restored(&mut receipts).await;
    ends_restored(&mut typing).await;
    ends_restored(&mut chats).await;
    ends_restored(&mut removals).await;
    ends_restored(&mut elsewhere).await;
    // What is open from then on goes on.
    let mut messages = world.follow().await;
    let sent = world.send(&world.ann, "in the new past").await;
    assert_eq!(seqs(&mut messages, 1).await, [sent.seq]);
}

/// Restores the store, and waits until that is known.
async fn restore(world: &World) {
    world.backend.restore().await;
    let known = async || {
        let known = world.services.feeds.incarnation().await.unwrap();
        (known != world.incarnation).then_some(())
    };
    talksy_tests::eventually("the restore to be known", known).await;
}

#[tokio::test]
async fn a_message_that_waits_for_a_slow_client_is_not_delivered_any_more() {
    let (world, _bus) = World::scripted(16, quick_heartbeat()).await;
    let mut messages = world.follow().await;
    world.send_many(2).await;
    restore(&world).await;
    ends_restored(&mut messages).await;
}

#[tokio::test]
async fn how_a_chat_looked_in_another_past_is_not_gone_on_from() {
    let (world, _bus) = World::scripted(16, quick_heartbeat()).await;
    let sidebar = async || chats_in(world.services.feeds.chats(&world.ben).await.unwrap());
    // How often chats are read for a message, until a sidebar tells of it.
    let reads = async |feed: &mut Seen<ChatFeed, ChatId>| {
        let before = world.store.chats_read();
        world.send(&world.ann, "hello").await;
        assert_eq!(next(feed).await, world.chat);
        world.store.chats_read() - before
    };
    let mut feed = sidebar().await;
    let first = reads(&mut feed).await;
    let second = reads(&mut feed).await;
    assert_eq!(second + 1, first, "the second goes on from the first");
    let mut another = sidebar().await;
    assert_eq!(reads(&mut another).await, second);
    restore(&world).await;
    let mut feed = sidebar().await;
    assert_eq!(reads(&mut feed).await, first);
}

#[tokio::test]
async fn a_cursor_from_before_is_told_so() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    world.send_many(3).await;
    world.backend.restore().await;
    // As a process that starts on the restored store.
    let restarted = world.other_instance();
    let (ben, chat) = (&world.ben, world.chat);
    let old = [world.cursor(2), world.place(2, Some(0))];
    for cursor in &old {
        let refused = restarted.feeds.messages(ben, chat, Some(cursor)).await;
        assert_eq!(code(refused.err().unwrap()), ErrorCode::ResyncRequired);
        let refused = restarted.feeds.changes(ben, chat, Some(cursor)).await;
        assert_eq!(code(refused.err().unwrap()), ErrorCode::ResyncRequired);
    }
    // Of nothing there is nothing to refetch.
    let start = world.place(0, Some(0));
    let feed = restarted.feeds.messages(ben, chat, Some(&start)).await;
    assert_eq!(seqs(&mut feed.unwrap(), 3).await, [1, 2, 3]);
}

/// A store whose end is behind what it told, and which stays there.
fn set_back() -> FeedPolicy {
    FeedPolicy {
        ahead_grace: super::world::SHORT,
        ..quick_heartbeat()
    }
}

#[tokio::test]
async fn feeds_notice_a_store_that_was_set_back_while_they_are_open() {
    let (world, _bus) = World::scripted(16, set_back()).await;
    let feeds = &world.services.feeds;
    world.send_many(3).await;
    let sent = world.send(&world.ann, "to be edited").await;
    let mut messages = world.follow().await;
    let mut changes = world.changes(None).await;
    let mut receipts = feeds.receipts(&world.ben, world.chat).await.unwrap();
    let mut typing = feeds.typing(&world.ben, world.chat).await.unwrap();
    let last = world.send(&world.ann, "seen").await;
    assert_eq!(seqs(&mut messages, 1).await, [last.seq]);
    world.edit(&world.ann, &sent, "edited").await;
    assert_eq!(message(&next(&mut changes).await.change).change_seq, 1);
    // These see the ends on their heartbeat.
    let heads = world.store.heads_so_far();
    let waiting = async {
        tokio::select! {
            _ = receipts.next() => panic!("nobody has read"),
            _ = typing.next() => panic!("nobody types"),
            () = world.store.heads_asked(heads + 8) => {}
        }
    };
    soon("heartbeats", waiting).await;

    world.store.show_up_to(world.chat, 2);
    world.store.show_changes_up_to(world.chat, 0);
    for error in [
        end(&mut messages).await,
        end(&mut changes).await,
        end(&mut receipts).await,
        end(&mut typing).await,
    ] {
        assert!(matches!(error, FeedError::LineBroken), "{error:?}");
        assert_eq!(code(error), ErrorCode::ResyncRequired);
    }
}

#[tokio::test]
async fn a_sidebar_tells_a_chat_that_was_set_back() {
    let (world, _bus) = World::scripted(16, set_back()).await;
    let mut sidebar = chats_in(world.services.feeds.chats(&world.ben).await.unwrap());
    world.send_many(3).await;
    assert_eq!(next(&mut sidebar).await, world.chat);
    world.store.show_up_to(world.chat, 1);
    assert_eq!(next(&mut sidebar).await, world.chat);
    // It goes on from there: number 2 is told once more.
    world.store.show_up_to(world.chat, 2);
    assert_eq!(next(&mut sidebar).await, world.chat);
}

#[tokio::test]
async fn a_store_that_is_behind_for_a_moment_ends_nothing() {
    let live = FeedPolicy {
        ahead_grace: super::world::NEVER,
        ..quick_heartbeat()
    };
    let (world, bus) = World::scripted(16, live).await;
    let mut messages = world.follow().await;
    world.send_many(3).await;
    assert_eq!(seqs(&mut messages, 3).await, [1, 2, 3]);
    world.store.show_up_to(world.chat, 1);
    bus.set(Mode::Lose);
    world.send(&world.ann, "unheard").await;
    let heads = world.store.heads_so_far();
    let behind = async {
        tokio::select! {
            item = messages.next() => panic!("{item:?}"),
            () = world.store.heads_asked(heads + 3) => {}
        }
    };
    soon("the store to be asked", behind).await;
    world.store.show_up_to(world.chat, 4);
    assert_eq!(seqs(&mut messages, 1).await, [4]);
}

#[tokio::test]
async fn presence_is_no_part_of_the_store() {
    let (world, _bus) = World::scripted(16, quick_heartbeat()).await;
    let feeds = &world.services.feeds;
    let anns = vec![world.ann.user_id];
    let mut presence = feeds.presence(&world.ben, anns).await.unwrap();
    assert_eq!(next(&mut presence).await.status, PresenceStatus::Offline);
    world.backend.restore().await;
    let _socket = world.services.presence.connect(&world.ann);
    assert_eq!(next(&mut presence).await.status, PresenceStatus::Online);
}
