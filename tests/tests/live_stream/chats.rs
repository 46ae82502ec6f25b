//! `chatUpdated`: which chats changed, each once, whatever happened to them meanwhile.

use talksy_domain::feeds::ChatFeed;
use talksy_domain::id::ChatId;
use talksy_domain::messages::HistoryFrom;
use talksy_domain::seq::Seq;

use super::script::Mode;
use super::world::{
    Seen, World, chats_in, next, no_heartbeat, nothing_waits, quick_heartbeat, take,
};

async fn sidebar(world: &World) -> Seen<ChatFeed, ChatId> {
    chats_in(world.services.feeds.chats(&world.ben).await.unwrap())
}

/// A chat of Ben with somebody new.
async fn another_chat(world: &World) -> ChatId {
    let cleo = world.person("cleo").await;
    let chats = &world.services.chats;
    let (chat, _) = chats.start_direct(&cleo, world.ben.user_id).await.unwrap();
    chat.id
}

#[tokio::test]
async fn a_burst_of_changes_is_one_change() {
    let (world, _bus) = World::scripted(64, no_heartbeat()).await;
    let other = another_chat(&world).await;
    let mut feed = sidebar(&world).await;
    world.send_many(5).await;
    world.send_to(other, &world.ben, "elsewhere").await;
    world.send_many(5).await;
    let chats = &world.services.chats;
    chats.mark_read(&world.ben, world.chat, 7).await.unwrap();
    assert_eq!(take(&mut feed, 2).await, [world.chat, other]);
    nothing_waits(&mut feed);
    world.send(&world.ann, "one more").await;
    assert_eq!(next(&mut feed).await, world.chat);
}

#[tokio::test]
async fn a_read_mark_changes_a_sidebar_that_shows_it() {
    let (world, _bus) = World::scripted(64, no_heartbeat()).await;
    world.send_many(3).await;
    let mut feed = sidebar(&world).await;
    let chats = &world.services.chats;
    // Ben's own, on another device: the count of what is unread.
    chats.mark_read(&world.ben, world.chat, 1).await.unwrap();
    assert_eq!(next(&mut feed).await, world.chat);
    // Ann's: in a direct chat the tick at Ben's own messages.
    chats.mark_read(&world.ann, world.chat, 1).await.unwrap();
    assert_eq!(next(&mut feed).await, world.chat);
    // A mark that does not move is no change.
    chats.mark_read(&world.ann, world.chat, 1).await.unwrap();
    nothing_waits(&mut feed);
}

#[tokio::test]
async fn after_an_interruption_the_chats_that_changed_meanwhile_are_told() {
    let (world, bus) = World::scripted(64, no_heartbeat()).await;
    another_chat(&world).await;
    let mut feed = sidebar(&world).await;
    bus.set(Mode::Lose);
    world.backend.clock.advance(super::world::SHORT);
    world.send(&world.ann, "unheard").await;
    bus.interrupt();
    assert_eq!(next(&mut feed).await, world.chat);
    nothing_waits(&mut feed);
}

#[tokio::test]
async fn an_overflow_is_an_interruption() {
    let (world, _bus) = World::scripted(1, no_heartbeat()).await;
    let other = another_chat(&world).await;
    let mut feed = sidebar(&world).await;
    world.send_many(4).await;
    world.send_to(other, &world.ben, "elsewhere").await;
    world.send_many(4).await;
    let mut seen = take(&mut feed, 2).await;
    seen.sort_unstable();
    let mut all = [world.chat, other];
    all.sort_unstable();
    assert_eq!(seen, all);
    nothing_waits(&mut feed);
}

#[tokio::test]
async fn a_new_chat_appears_and_is_followed_also_where_the_word_of_it_was_lost() {
    let (world, bus) = World::scripted(64, no_heartbeat()).await;
    let mut feed = sidebar(&world).await;
    let heard = another_chat(&world).await;
    assert_eq!(next(&mut feed).await, heard);
    world.send_to(heard, &world.ben, "hello").await;
    assert_eq!(next(&mut feed).await, heard);

    bus.set(Mode::Lose);
    let unheard = another_chat(&world).await;
    bus.set(Mode::Deliver);
    bus.interrupt();
    assert_eq!(next(&mut feed).await, unheard);
    world.send_to(unheard, &world.ben, "hello").await;
    assert_eq!(next(&mut feed).await, unheard);
}

#[tokio::test]
async fn who_is_back_in_a_chat_follows_it_whenever_the_word_of_the_leaving_comes() {
    let (world, bus) = World::scripted(64, no_heartbeat()).await;
    let world = world.in_a_group().await;
    let mut feed = sidebar(&world).await;
    bus.set(Mode::Keep);
    world.remove(&world.ben).await;
    bus.set(Mode::Deliver);
    world.add(&world.ben, HistoryFrom::All).await;
    assert_eq!(next(&mut feed).await, world.chat);
    for (topic, event) in bus.kept() {
        bus.deliver(topic, event);
    }
    let other = another_chat(&world).await;
    assert_eq!(next(&mut feed).await, other);
    world.send(&world.ann, "welcome back").await;
    assert_eq!(next(&mut feed).await, world.chat);
}

#[tokio::test]
async fn a_chat_that_was_left_changes_no_more() {
    let (world, bus) = World::scripted(64, no_heartbeat()).await;
    let world = world.in_a_group().await;
    let mut feed = sidebar(&world).await;
    world.send(&world.ann, "still for ben").await;
    world.remove(&world.ben).await;
    nothing_waits(&mut feed);
    world.send(&world.ann, "no longer").await;
    nothing_waits(&mut feed);
    bus.interrupt();
    let other = another_chat(&world).await;
    assert_eq!(next(&mut feed).await, other);
    nothing_waits(&mut feed);
}

/// What a sidebar shows of a chat last: the number of a message, that of the chat's newest change,
/// and what the message says.
async fn shows(feed: &mut ChatFeed) -> (Seq, Seq, String) {
    let state = next(feed).await.state;
    let last = state.last_message.as_ref().unwrap();
    assert_eq!(last.seq, state.chat.last_seq);
    let text = last.text.as_ref().unwrap().as_str().to_owned();
    (last.seq, state.chat.last_change_seq, text)
}

#[tokio::test]
async fn a_sidebar_shows_the_last_message_as_it_is_whatever_becomes_of_its_changes() {
    let (world, bus) = World::scripted(64, no_heartbeat()).await;
    let mut feed = world.services.feeds.chats(&world.ben).await.unwrap();
    let first = world.send(&world.ann, "one").await;
    assert_eq!(shows(&mut feed).await, (1, 0, "one".into()));
    // The change comes ahead of the message.
    bus.set(Mode::Keep);
    let second = world.send(&world.ann, "two").await;
    world.edit(&world.ann, &second, "two, changed").await;
    bus.set(Mode::Deliver);
    for (topic, event) in bus.kept().into_iter().rev() {
        bus.deliver(topic, event);
    }
    assert_eq!(shows(&mut feed).await, (2, 1, "two, changed".into()));
    // A change is lost, and one of another message comes.
    let third = world.send(&world.ann, "three").await;
    assert_eq!(shows(&mut feed).await, (3, 1, "three".into()));
    bus.set(Mode::Lose);
    world.edit(&world.ann, &third, "three, changed").await;
    bus.set(Mode::Deliver);
    world.edit(&world.ann, &first, "one, changed").await;
    assert_eq!(shows(&mut feed).await, (3, 3, "three, changed".into()));
    // The message and its change are at once found by comparing.
    let fourth = world.send(&world.ann, "four").await;
    bus.set(Mode::Lose);
    world.edit(&world.ann, &fourth, "four, changed").await;
    bus.set(Mode::Deliver);
    bus.interrupt();
    assert_eq!(shows(&mut feed).await, (4, 4, "four, changed".into()));
    nothing_waits(&mut feed);
}

#[tokio::test]
async fn the_other_sides_mark_that_was_not_heard_of_is_found_by_the_heartbeat_and_told_once() {
    let (world, bus) = World::scripted(64, quick_heartbeat()).await;
    let other = another_chat(&world).await;
    world.send_many(3).await;
    let chats = &world.services.chats;
    chats.mark_read(&world.ann, world.chat, 1).await.unwrap();
    let mut feed = sidebar(&world).await;
    bus.set(Mode::Lose);
    chats.mark_read(&world.ann, world.chat, 2).await.unwrap();
    assert_eq!(next(&mut feed).await, world.chat);
    // One that was told is not found again, and what comes late of it says nothing new.
    bus.set(Mode::Keep);
    chats.mark_read(&world.ann, world.chat, 3).await.unwrap();
    assert_eq!(next(&mut feed).await, world.chat);
    for (topic, event) in bus.kept() {
        bus.deliver(topic, event);
    }
    bus.set(Mode::Lose);
    world.send_to(other, &world.ben, "elsewhere").await;
    assert_eq!(next(&mut feed).await, other);
}

/// A store that shows a chat once its members are in makes it shown by a write that changes no
/// membership. Whether that is told or not, a heartbeat between the two must not be the last to look.
#[tokio::test]
async fn a_chat_that_is_shown_behind_its_membership_is_found_by_the_heartbeat() {
    for is_open in [true, false] {
        let (world, bus) = World::scripted(64, quick_heartbeat()).await;
        world.store.show_only(&[world.chat]);
        bus.set(Mode::Lose);
        let mut feed = None;
        if is_open {
            feed = Some(sidebar(&world).await);
        }
        let other = another_chat(&world).await;
        let mut feed = match feed {
            Some(feed) => feed,
            None => sidebar(&world).await,
        };
        let looks = world.store.heads_so_far() + 4;
        tokio::select! {
            chat = next(&mut feed) => panic!("{chat} is not shown yet"),
            () = world.store.heads_asked(looks) => {}
        }
        world.store.show_all();
        assert_eq!(next(&mut feed).await, other);
    }
}
