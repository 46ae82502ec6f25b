//! Who is no member any more gets everything up to the notice that says so, then is told so, and gets
//! nothing that happened behind it, whatever became of the word of it.

use talksy_domain::chats::ReadReceipt;
use talksy_domain::events::{Event, Topic};
use talksy_domain::feeds::{MessageFeed, StateFeed, TypingFeed};
use talksy_domain::messages::Message;
use talksy_domain::seq::Seq;

use super::script::{Mode, ScriptBus};
use super::world::{
    World, assert_no_member, ends_for_no_member, message, next, no_heartbeat, nothing_waits,
    quick_heartbeat, seqs, take,
};

/// Ben's feeds of the group that are not on its line of messages.
struct Beside {
    receipts: StateFeed<ReadReceipt>,
    typing: TypingFeed,
    changes: talksy_domain::feeds::ChangeFeed,
}

impl Beside {
    async fn open(world: &World) -> Self {
        let feeds = &world.services.feeds;
        Self {
            receipts: feeds.receipts(&world.ben, world.chat).await.unwrap(),
            typing: feeds.typing(&world.ben, world.chat).await.unwrap(),
            changes: world.changes(None).await,
        }
    }

    async fn end(mut self) {
        ends_for_no_member(&mut self.receipts).await;
        ends_for_no_member(&mut self.typing).await;
        ends_for_no_member(&mut self.changes).await;
    }
}

/// A group whose first message says that it was made, and whose second is Ann's.
async fn group(mailbox: usize) -> (World, std::sync::Arc<ScriptBus>, Message) {
    let (world, bus) = World::scripted(mailbox, no_heartbeat()).await;
    let world = world.in_a_group().await;
    let second = world.send(&world.ann, "for all members").await;
    assert_eq!(second.seq, 2);
    (world, bus, second)
}

/// One word on each of the feeds beside the line of messages.
async fn something_of_each_kind(world: &World, second: &Message) {
    let edited = world.edit(&world.ann, second, "another text").await;
    assert_ne!(edited.change_seq, 0);
    let presence = &world.services.presence;
    let typing = presence.set_typing(&world.ann, world.chat, true).await;
    typing.unwrap();
    let head = world.held().await.last().unwrap().seq;
    let read = world.services.chats.mark_read(&world.ann, world.chat, head);
    assert_eq!(read.await.unwrap().1.last_read_seq, head);
}

/// The feed brings these messages, the last of which ends it.
async fn brings_and_ends(feed: &mut MessageFeed, expected: impl IntoIterator<Item = Seq>) {
    let expected: Vec<Seq> = expected.into_iter().collect();
    assert_eq!(seqs(feed, expected.len()).await, expected);
    ends_for_no_member(feed).await;
}

#[tokio::test]
async fn a_feed_of_messages_ends_behind_the_notice_and_every_other_at_once() {
    let (world, _bus, second) = group(16).await;
    let mut messages = world.follow().await;
    let mut beside = Beside::open(&world).await;
    something_of_each_kind(&world, &second).await;
    next(&mut beside.receipts).await;
    next(&mut beside.typing).await;
    assert_eq!(message(&next(&mut beside.changes).await.change).seq, 2);
    let still = world.send(&world.ann, "still for ben").await;
    // Who has sent a message types no longer.
    next(&mut beside.typing).await;
    assert_eq!(world.remove(&world.ben).await, 4);
    world.send(&world.ann, "no longer").await;
    something_of_each_kind(&world, &still).await;
    let seen = take(&mut messages, 2).await;
    let seen: Vec<_> = seen.iter().map(message).collect();
    assert_eq!(
        seen,
        world.held().await[2..4]
            .iter()
            .map(as_sent)
            .collect::<Vec<_>>()
    );
    let notice = seen[1].notice.as_ref().unwrap();
    assert!(notice.removes(world.ben.user_id));
    ends_for_no_member(&mut messages).await;
    beside.end().await;
}

/// The message as it was before it was changed.
fn as_sent(message: &Message) -> Message {
    let mut message = message.clone();
    if message.change_seq > 0 {
        (message.change_seq, message.content_seq, message.edited_at) = (0, 0, None);
        message.text = Some("still for ben".to_owned().try_into().unwrap());
    }
    message
}

#[tokio::test]
async fn leaving_is_like_being_removed() {
    let (world, _bus, second) = group(16).await;
    let mut messages = world.follow().await;
    let beside = Beside::open(&world).await;
    let groups = &world.services.groups;
    groups.leave(&world.ben, world.chat).await.unwrap();
    something_of_each_kind(&world, &second).await;
    brings_and_ends(&mut messages, [3]).await;
    beside.end().await;
}

#[tokio::test]
async fn somebody_else_s_removal_ends_nothing() {
    let (world, bus, _) = group(32).await;
    let cleo = world.person("cleo").await;
    let mut messages = world.follow().await;
    let mut beside = Beside::open(&world).await;
    world
        .add(&cleo, talksy_domain::messages::HistoryFrom::All)
        .await;
    world.remove(&cleo).await;
    assert_eq!(world.rename("Another title").await, 5);
    bus.interrupt();
    let sent = world.send(&world.ben, "still here").await;
    assert_eq!(seqs(&mut messages, 4).await, [3, 4, 5, 6]);
    something_of_each_kind(&world, &world.send(&world.ann, "on").await).await;
    assert_eq!(sent.seq, 6);
    assert_eq!(seqs(&mut messages, 1).await, [7]);
    assert_eq!(message(&next(&mut beside.changes).await.change).seq, 7);
    assert_eq!(next(&mut beside.receipts).await.state.last_read_seq, 7);
    next(&mut beside.typing).await;
}

#[tokio::test]
async fn the_word_of_it_may_come_in_any_order_and_number_or_not_at_all() {
    // The third message is the notice.
    for order in [
        &[0, 1, 2, 3][..],
        &[3, 2, 1, 0],
        &[1, 1, 0, 1, 3, 2],
        // The notice is lost.
        &[0, 2, 3],
        &[3],
        &[2, 0],
        // It is all that comes.
        &[1],
        // What it overtakes comes late, and so does what follows.
        &[1, 3, 0],
    ] {
        let (world, bus, _) = group(16).await;
        let mut feed = world.follow().await;
        bus.set(Mode::Keep);
        world.send(&world.ann, "still for ben").await;
        world.remove(&world.ben).await;
        world.send(&world.ann, "no longer").await;
        world.send(&world.ann, "nor this").await;
        bus.set(Mode::Deliver);
        let of_the_chat = |(topic, _): &(Topic, Event)| *topic == Topic::Chat(world.chat);
        let events: Vec<_> = bus.kept().into_iter().filter(of_the_chat).collect();
        assert_eq!(events.len(), 4);
        for place in order {
            let (topic, event) = events[*place].clone();
            bus.deliver(topic, event);
        }
        brings_and_ends(&mut feed, [3, 4]).await;
    }
}

#[tokio::test]
async fn where_the_notice_was_lost_the_next_word_of_any_kind_ends_a_feed() {
    let (world, bus, second) = group(16).await;
    let beside = Beside::open(&world).await;
    bus.set(Mode::Lose);
    world.remove(&world.ben).await;
    bus.set(Mode::Deliver);
    something_of_each_kind(&world, &second).await;
    beside.end().await;
}

#[tokio::test]
async fn where_all_words_were_lost_an_interruption_is_reason_to_look() {
    let (world, bus, second) = group(16).await;
    let mut messages = world.follow().await;
    let beside = Beside::open(&world).await;
    bus.set(Mode::Lose);
    world.remove(&world.ben).await;
    world.send(&world.ann, "no longer").await;
    something_of_each_kind(&world, &second).await;
    bus.interrupt();
    brings_and_ends(&mut messages, [3]).await;
    beside.end().await;
}

#[tokio::test]
async fn where_all_words_were_lost_the_heartbeat_finds_it_out() {
    let (world, bus) = World::scripted(16, quick_heartbeat()).await;
    let world = world.in_a_group().await;
    let mut messages = world.follow().await;
    let mut changes = world.changes(None).await;
    let feeds = &world.services.feeds;
    let mut receipts = feeds.receipts(&world.ben, world.chat).await.unwrap();
    let mut typing = feeds.typing(&world.ben, world.chat).await.unwrap();
    bus.set(Mode::Lose);
    let sent = world.send(&world.ann, "still for ben").await;
    world.remove(&world.ben).await;
    world.edit(&world.ann, &sent, "no longer").await;
    brings_and_ends(&mut messages, [2, 3]).await;
    ends_for_no_member(&mut changes).await;
    ends_for_no_member(&mut receipts).await;
    ends_for_no_member(&mut typing).await;
}

#[tokio::test]
async fn a_mailbox_that_overflowed_with_the_notice_in_it_changes_nothing() {
    for mailbox in 1..=4 {
        let (world, _bus, second) = group(mailbox).await;
        let mut messages = world.follow().await;
        let beside = Beside::open(&world).await;
        world.send(&world.ann, "still for ben").await;
        world.remove(&world.ben).await;
        world.send_many(5).await;
        something_of_each_kind(&world, &second).await;
        brings_and_ends(&mut messages, [3, 4]).await;
        // What came before it may be told.
        let Beside {
            mut receipts,
            mut typing,
            mut changes,
        } = beside;
        ends_for_no_member(&mut receipts).await;
        ends_for_no_member(&mut typing).await;
        ends_for_no_member(&mut changes).await;
    }
}

#[tokio::test]
async fn a_feed_that_reads_its_backlog_stops_at_the_notice() {
    let (world, bus, _) = group(16).await;
    world.send_many(228).await;
    let mut feed = world.follow_after(0).await;
    // Another has its pages read already, and a third has read none.
    let mut ahead = world.follow_after(0).await;
    let mut behind = world.follow_after(0).await;
    assert_eq!(seqs(&mut feed, 50).await, (1..=50).collect::<Vec<_>>());
    assert_eq!(seqs(&mut ahead, 230).await.len(), 230);
    bus.set(Mode::Lose);
    assert_eq!(world.remove(&world.ben).await, 231);
    world.send_many(150).await;
    bus.set(Mode::Deliver);
    world.send(&world.ann, "no longer").await;
    brings_and_ends(&mut feed, 51..=231).await;
    brings_and_ends(&mut ahead, [231]).await;
    brings_and_ends(&mut behind, 1..=231).await;
}

#[tokio::test]
async fn a_feed_of_changes_that_reads_its_backlog_delivers_none_from_behind_the_notice() {
    let (world, bus, _) = group(16).await;
    let mut sent = Vec::new();
    for number in 0..130 {
        sent.push(world.send(&world.ann, &format!("number {number}")).await);
    }
    for message in &sent[..120] {
        world.edit(&world.ann, message, "edited").await;
    }
    let mut changes = world.changes(Some(0)).await;
    let seen = take(&mut changes, 10).await;
    assert!(
        seen.iter()
            .all(|item| message(&item.change).change_seq <= 10)
    );
    bus.set(Mode::Lose);
    world.remove(&world.ben).await;
    for message in &sent {
        world.edit(&world.ann, message, "no longer for ben").await;
    }
    // The first page was read before the removal, and the second comes too late.
    let seen = take(&mut changes, 90).await;
    assert!(
        seen.iter()
            .all(|item| message(&item.change).change_seq <= 100)
    );
    ends_for_no_member(&mut changes).await;
}

#[tokio::test]
async fn marks_that_are_read_behind_the_removal_are_not_told() {
    let (world, bus, _) = group(16).await;
    let feeds = &world.services.feeds;
    let mut receipts = feeds.receipts(&world.ben, world.chat).await.unwrap();
    bus.set(Mode::Lose);
    bus.interrupt();
    world.store.hold("chats.first_members");
    let meanwhile = async {
        world.store.held("chats.first_members").await;
        world.remove(&world.ben).await;
        let read = world.others.chats.mark_read(&world.ann, world.chat, 3);
        read.await.unwrap();
        world.store.release("chats.first_members");
    };
    tokio::join!(ends_for_no_member(&mut receipts), meanwhile);
}

#[tokio::test]
async fn who_was_removed_cannot_come_back_by_a_cursor() {
    let (world, bus, _) = group(16).await;
    bus.set(Mode::Lose);
    world.remove(&world.ben).await;
    for after in [None, Some(0), Some(1), Some(3), Some(1_000)] {
        assert_no_member(&world.try_follow(after).await.err().unwrap());
        assert_no_member(&world.try_changes(after).await.err().unwrap());
    }
    let feeds = &world.services.feeds;
    let refused = feeds.receipts(&world.ben, world.chat).await.err();
    assert_no_member(&refused.unwrap());
    let refused = feeds.typing(&world.ben, world.chat).await.err();
    assert_no_member(&refused.unwrap());
}

#[tokio::test]
async fn a_notice_that_cannot_be_read_has_the_store_asked() {
    let (world, bus, _) = group(16).await;
    let mut feed = world.follow().await;
    bus.set(Mode::Lose);
    // Somebody else's goes by, Ben's own does not.
    let renamed = world.rename("Another title").await;
    world.store.damage_notice(world.chat, renamed);
    world.send(&world.ann, "still for ben").await;
    bus.interrupt();
    assert_eq!(seqs(&mut feed, 2).await, [3, 4]);
    let removed = world.remove(&world.ben).await;
    world.store.damage_notice(world.chat, removed);
    world.send(&world.ann, "no longer").await;
    bus.interrupt();
    ends_for_no_member(&mut feed).await;
    nothing_waits_behind(&world).await;
}

/// Nobody comes in by a damaged notice.
async fn nothing_waits_behind(world: &World) {
    assert_no_member(&world.try_follow(Some(3)).await.err().unwrap());
}

#[tokio::test]
async fn who_is_back_before_the_feed_looks_has_missed_what_lies_between() {
    let (world, bus, second) = group(16).await;
    let mut messages = world.follow().await;
    let beside = Beside::open(&world).await;
    bus.set(Mode::Lose);
    assert_eq!(world.remove(&world.ben).await, 3);
    let between = world.send(&world.ann, "not for ben").await;
    world.edit(&world.ann, &second, "not for ben either").await;
    let history = talksy_domain::messages::HistoryFrom::Join;
    assert_eq!(world.add(&world.ben, history).await, 5);
    bus.set(Mode::Deliver);
    something_of_each_kind(&world, &between).await;
    bus.interrupt();
    brings_and_ends(&mut messages, [3]).await;
    beside.end().await;
}

#[tokio::test]
async fn who_is_back_behind_a_damaged_notice_has_missed_what_lies_between() {
    let (world, bus, _) = group(16).await;
    let mut messages = world.follow().await;
    bus.set(Mode::Lose);
    let removed = world.remove(&world.ben).await;
    world.store.damage_notice(world.chat, removed);
    world.send(&world.ann, "not for ben").await;
    let history = talksy_domain::messages::HistoryFrom::Join;
    world.add(&world.ben, history).await;
    bus.interrupt();
    ends_for_no_member(&mut messages).await;
    let mut again = world.follow_after(0).await;
    assert_eq!(seqs(&mut again, 1).await, [5]);
    nothing_waits(&mut again);
}
