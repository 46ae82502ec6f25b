//! Single rules of the feed, and of the sidebar's, over a bus that does what the test says.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::FutureExt as _;
use talksy_domain::chats::{ChatTitle, LargeGroups};
use talksy_domain::events::Event;
use talksy_domain::feeds::{
    AccountEvent, AccountFeed, AccountItem, AccountPosition, Feed as _, FeedPolicy,
};
use talksy_domain::id::ChatId;
use talksy_domain::messages::HistoryFrom;
use talksy_domain::metadata::Metadata;
use talksy_domain::users::{DisplayName, ProfileChange};
use talksy_domain::viewer::Viewer;
use talksy_tests::soon;

use super::script::{Mode, ScriptBus};
use super::world::{Backend, World, no_heartbeat, quick_heartbeat};

pub async fn scripted(mailbox: usize, live: FeedPolicy) -> (World, Arc<ScriptBus>) {
    let bus = ScriptBus::new(mailbox);
    let world = World::new(Backend::open().await, Arc::clone(&bus) as _, live).await;
    (world, bus)
}

/// What an event says, and of which message or chat.
fn says(event: &AccountEvent, names: &[(ChatId, &str)]) -> String {
    let name = |chat: &ChatId| {
        let known = names.iter().find(|(known, _)| known == chat);
        known.map_or("?", |(_, name)| name)
    };
    match &event.item {
        AccountItem::MessageAdded(published) => {
            let message = published.message().unwrap();
            format!("{} +{}", name(&message.chat_id), message.seq)
        }
        AccountItem::MessageChanged(change) => {
            let message = change.message().unwrap();
            let (seq, change) = (message.seq, message.change_seq);
            format!("{} {seq}~{change}", name(&message.chat_id))
        }
        AccountItem::ChatChanged(chat) => format!("{} changed", name(chat)),
        AccountItem::ChatRemoved(chat) => format!("{} removed", name(chat)),
        AccountItem::ReceiptChanged(receipt, _) => {
            format!("{} read {}", name(&receipt.chat_id), receipt.last_read_seq)
        }
        AccountItem::ViewerChanged => "viewer".to_owned(),
        AccountItem::ChatReset(chat) => format!("{} reset", name(chat)),
        AccountItem::Checkpoint { is_caught_up } => format!("checkpoint {is_caught_up}"),
    }
}

pub async fn next(feed: &mut AccountFeed) -> AccountEvent {
    soon("the feed's next event", feed.next()).await.unwrap()
}

/// What comes up to where all was told; the last checkpoint.
pub async fn until_caught_up(
    feed: &mut AccountFeed,
    names: &[(ChatId, &str)],
) -> (Vec<String>, String) {
    let mut told = Vec::new();
    loop {
        let event = next(feed).await;
        if matches!(event.item, AccountItem::Checkpoint { is_caught_up: true }) {
            return (told, event.cursor.encode());
        }
        told.push(says(&event, names));
    }
}

pub async fn take(feed: &mut AccountFeed, names: &[(ChatId, &str)], count: usize) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..count {
        told.push(says(&next(feed).await, names));
    }
    told
}

fn nothing_waits(feed: &mut AccountFeed) {
    if let Some(event) = feed.next().now_or_never() {
        panic!("something came: {event:?}");
    }
}

async fn open(
    world: &World,
    viewer: &Viewer,
    after: Option<&str>,
    detail: Option<&[ChatId]>,
) -> AccountFeed {
    let after = after.map(|text| AccountPosition::parse(viewer.user_id, text, &[]).unwrap());
    let detail = detail.map(|chats| chats.iter().copied().collect::<HashSet<_>>());
    let feeds = &world.services.feeds;
    feeds.account(viewer, after, detail).await.unwrap()
}

#[tokio::test]
async fn it_starts_with_a_checkpoint_and_tells_what_happens_from_then_on() {
    let (world, _bus) = scripted(64, no_heartbeat()).await;
    let chat = world.direct(&world.ann, &world.ben).await;
    let old = world.send(chat, &world.ann, "before").await;
    let names = [(chat, "chat")];
    let mut feed = open(&world, &world.ben, None, None).await;
    assert_eq!(take(&mut feed, &names, 1).await, ["checkpoint true"]);
    nothing_waits(&mut feed);
    world.send(chat, &world.ann, "new").await;
    world.edit(&old, &world.ann, "older").await;
    let chats = &world.services.chats;
    chats.mark_read(&world.ann, chat, 2).await.unwrap();
    chats.mark_read(&world.ben, chat, 1).await.unwrap();
    assert_eq!(
        take(&mut feed, &names, 4).await,
        ["chat +2", "chat 1~1", "chat read 2", "chat changed"]
    );
    chats.mute(&world.ben, chat, true).await.unwrap();
    assert_eq!(take(&mut feed, &names, 1).await, ["chat changed"]);
    nothing_waits(&mut feed);
}

#[tokio::test]
async fn a_resume_tells_the_viewer_once_and_what_was_missed_of_each_chat() {
    let (world, _bus) = scripted(64, no_heartbeat()).await;
    let chat = world.direct(&world.ann, &world.ben).await;
    let gone = world.group("gone", &[&world.ben]).await;
    let back = world.group("back", &[&world.ben]).await;
    let first = world.send(chat, &world.ann, "first").await;
    let mut feed = open(&world, &world.ben, None, None).await;
    let (_, checkpoint) = until_caught_up(&mut feed, &[]).await;
    drop(feed);
    let new = world.group("new", &[]).await;
    world.send(new, &world.ann, "not for Ben").await;
    world.add(new, &world.ben, HistoryFrom::Join).await;
    world.remove(gone, &world.ben).await;
    world.remove(back, &world.ben).await;
    world.send(back, &world.ann, "not for Ben").await;
    world.add(back, &world.ben, HistoryFrom::Join).await;
    let second = world.send(chat, &world.ann, "second").await;
    world.edit(&first, &world.ann, "changed").await;
    world.edit(&second, &world.ann, "changed too").await;
    world.edit(&first, &world.ann, "changed again").await;
    let names = [(chat, "chat"), (gone, "gone"), (back, "back"), (new, "new")];
    let mut feed = open(&world, &world.ben, Some(&checkpoint), None).await;
    let (mut told, checkpoint) = until_caught_up(&mut feed, &names).await;
    // The chats come in no order, the events of each in theirs.
    told.sort();
    assert_eq!(
        told,
        [
            "back changed",
            "back reset",
            "chat +2",
            // Number 2, of the second message, was told with it.
            "chat 1~3",
            "gone removed",
            "new changed",
            "new reset",
            "viewer",
        ]
    );
    drop(feed);
    let mut feed = open(&world, &world.ben, Some(&checkpoint), None).await;
    assert_eq!(until_caught_up(&mut feed, &names).await.0, ["viewer"]);
}

#[tokio::test]
async fn the_notice_is_the_last_that_one_who_is_removed_is_told_of_a_chat() {
    let (world, bus) = scripted(64, no_heartbeat()).await;
    let chat = world.group("group", &[&world.ben]).await;
    let names = [(chat, "chat")];
    let mut feed = open(&world, &world.ben, None, None).await;
    take(&mut feed, &names, 1).await;
    let old = world.send(chat, &world.ann, "still for Ben").await;
    assert_eq!(take(&mut feed, &names, 1).await, ["chat +2"]);
    // All words of the removal are lost; what follows it is heard.
    bus.set(Mode::Lose);
    world.remove(chat, &world.ben).await;
    bus.set(Mode::Deliver);
    world.edit(&old, &world.ann, "not for Ben").await;
    world.send(chat, &world.ann, "not for Ben").await;
    world
        .services
        .chats
        .mark_read(&world.ann, chat, 4)
        .await
        .unwrap();
    assert_eq!(
        take(&mut feed, &names, 2).await,
        ["chat +3", "chat removed"]
    );
    nothing_waits(&mut feed);
    world.add(chat, &world.ben, HistoryFrom::Join).await;
    assert_eq!(
        take(&mut feed, &names, 2).await,
        ["chat changed", "chat reset"]
    );
    world.send(chat, &world.ann, "for Ben again").await;
    assert_eq!(take(&mut feed, &names, 1).await, ["chat +6"]);
}

#[tokio::test]
async fn a_change_comes_behind_its_message_whatever_the_bus_does() {
    let (world, bus) = scripted(64, no_heartbeat()).await;
    let chat = world.direct(&world.ann, &world.ben).await;
    let names = [(chat, "chat")];
    let mut feed = open(&world, &world.ben, None, None).await;
    take(&mut feed, &names, 1).await;
    bus.set(Mode::Keep);
    let message = world.send(chat, &world.ann, "one").await;
    world.edit(&message, &world.ann, "two").await;
    let kept = bus.kept();
    assert_eq!(kept.len(), 2);
    for (topic, event) in kept.into_iter().rev() {
        bus.deliver(topic, event);
    }
    assert_eq!(take(&mut feed, &names, 2).await, ["chat +1", "chat 1~1"]);
    // The word of the message is lost altogether: it is read, as the edit left it.
    let message = world.send(chat, &world.ann, "three").await;
    world.edit(&message, &world.ann, "four").await;
    let change = bus.kept().pop().unwrap();
    assert!(matches!(change.1, Event::MessageChanged { .. }));
    bus.deliver(change.0, change.1);
    assert_eq!(take(&mut feed, &names, 1).await, ["chat +2"]);
    nothing_waits(&mut feed);
}

#[tokio::test]
async fn of_chats_without_detail_only_changes_are_told_and_detail_begins_with_a_reset() {
    let (world, _bus) = scripted(64, no_heartbeat()).await;
    let near = world.direct(&world.ann, &world.ben).await;
    let far = world.group("far", &[&world.ben]).await;
    let names = [(near, "near"), (far, "far")];
    let mut feed = open(&world, &world.ben, None, Some(&[near])).await;
    take(&mut feed, &names, 1).await;
    let message = world.send(far, &world.ann, "far").await;
    assert_eq!(take(&mut feed, &names, 1).await, ["far changed"]);
    world.edit(&message, &world.ann, "far away").await;
    assert_eq!(take(&mut feed, &names, 1).await, ["far changed"]);
    world.send(near, &world.ann, "near").await;
    assert_eq!(take(&mut feed, &names, 1).await, ["near +1"]);
    world.remove(far, &world.ben).await;
    assert_eq!(take(&mut feed, &names, 1).await, ["far removed"]);
    world.add(far, &world.ben, HistoryFrom::All).await;
    assert_eq!(
        take(&mut feed, &names, 2).await,
        ["far changed", "far reset"]
    );
    drop(feed);
    let mut feed = open(&world, &world.ben, None, Some(&[near])).await;
    let (_, checkpoint) = until_caught_up(&mut feed, &names).await;
    let mut feed = open(&world, &world.ben, Some(&checkpoint), Some(&[far])).await;
    let (told, checkpoint) = until_caught_up(&mut feed, &names).await;
    assert_eq!(told, ["far reset", "viewer", "far changed"]);
    world.send(far, &world.ann, "told now").await;
    assert_eq!(take(&mut feed, &names, 1).await, ["far +5"]);
    // The cursor says so: nothing is left out when the stream breaks before a checkpoint.
    let mut feed = open(&world, &world.ben, Some(&checkpoint), None).await;
    let (mut told, _) = until_caught_up(&mut feed, &names).await;
    told.sort();
    assert_eq!(told, ["far +5", "near changed", "near reset", "viewer"]);
}

#[tokio::test]
async fn beyond_the_limit_the_chats_of_which_most_was_missed_are_reset() {
    let live = FeedPolicy {
        account_replay_limit: 6,
        ..no_heartbeat()
    };
    let (world, bus) = scripted(64, live).await;
    let quiet = world.direct(&world.ann, &world.ben).await;
    let loud = world.direct(&world.cleo, &world.ben).await;
    let names = [(quiet, "quiet"), (loud, "loud")];
    let mut feed = open(&world, &world.ben, None, None).await;
    let (_, checkpoint) = until_caught_up(&mut feed, &names).await;
    bus.set(Mode::Lose);
    for _ in 0..3 {
        world.send(quiet, &world.ann, "one of few").await;
    }
    for _ in 0..4 {
        world.send(loud, &world.cleo, "one of many").await;
    }
    let wanted = [
        "loud changed",
        "loud reset",
        "quiet +1",
        "quiet +2",
        "quiet +3",
    ];
    // At a resume, and on a stream that was interrupted.
    let mut resumed = open(&world, &world.ben, Some(&checkpoint), None).await;
    let (mut told, _) = until_caught_up(&mut resumed, &names).await;
    told.retain(|event| event != "viewer");
    told.sort();
    assert_eq!(told, wanted);
    bus.interrupt();
    let mut told = take(&mut feed, &names, 5).await;
    told.sort();
    assert_eq!(told, wanted);
    nothing_waits(&mut feed);
}

#[tokio::test]
async fn the_profile_is_told_when_it_changes_also_where_the_word_of_it_was_lost() {
    let (world, bus) = scripted(64, no_heartbeat()).await;
    let mut feed = open(&world, &world.ben, None, None).await;
    take(&mut feed, &[], 1).await;
    let rename = |name: &str| ProfileChange {
        name: Some(DisplayName::parse(name).unwrap()),
        about: None,
        metadata: None,
        avatar: None,
    };
    let users = &world.services.users;
    users
        .update_profile(&world.ben, &rename("Benjamin"))
        .await
        .unwrap();
    assert_eq!(take(&mut feed, &[], 1).await, ["viewer"]);
    bus.set(Mode::Lose);
    users
        .update_profile(&world.ben, &rename("Benedict"))
        .await
        .unwrap();
    bus.interrupt();
    assert_eq!(take(&mut feed, &[], 1).await, ["viewer"]);
    let keep = ProfileChange {
        name: None,
        about: None,
        metadata: Some(Some(Metadata::parse("7".to_owned()).unwrap())),
        avatar: None,
    };
    users.update_profile(&world.ben, &keep).await.unwrap();
    bus.interrupt();
    assert_eq!(take(&mut feed, &[], 1).await, ["viewer"]);
    bus.interrupt();
    nothing_waits(&mut feed);
}

#[tokio::test]
async fn a_mark_that_all_others_have_passed_is_told_at_a_resume_and_after_an_interruption() {
    let (world, bus) = scripted(64, no_heartbeat()).await;
    let chat = world.direct(&world.ann, &world.ben).await;
    let group = world.group("group", &[&world.ben]).await;
    for _ in 0..3 {
        world.send(chat, &world.ben, "to be read").await;
        world.send(group, &world.ben, "to be read").await;
    }
    let names = [(chat, "chat"), (group, "group")];
    let mut feed = open(&world, &world.ben, None, None).await;
    let (_, checkpoint) = until_caught_up(&mut feed, &names).await;
    bus.set(Mode::Lose);
    let chats = &world.services.chats;
    chats.mark_read(&world.ann, chat, 2).await.unwrap();
    // Not all others have read the group.
    chats.mark_read(&world.ann, group, 3).await.unwrap();
    bus.interrupt();
    assert_eq!(take(&mut feed, &names, 1).await, ["chat changed"]);
    nothing_waits(&mut feed);
    let mut feed = open(&world, &world.ben, Some(&checkpoint), None).await;
    let (told, checkpoint) = until_caught_up(&mut feed, &names).await;
    assert_eq!(told, ["viewer", "chat changed"]);
    let mut feed = open(&world, &world.ben, Some(&checkpoint), None).await;
    assert_eq!(until_caught_up(&mut feed, &names).await.0, ["viewer"]);
}

/// A group is large from three members on.
#[tokio::test]
async fn in_a_large_group_own_marks_are_told_and_others_are_not_however_one_returns() {
    let policy = FeedPolicy {
        large_groups: LargeGroups { above: 2 },
        ..no_heartbeat()
    };
    let (world, bus) = scripted(64, policy).await;
    let group = world.group("group", &[&world.ben]).await;
    for _ in 0..3 {
        world.send(group, &world.ben, "to be read").await;
    }
    let names = [(group, "group")];
    let mut feed = open(&world, &world.ben, None, None).await;
    let (_, checkpoint) = until_caught_up(&mut feed, &names).await;
    let chats = &world.services.chats;
    chats.mark_read(&world.ann, group, 3).await.unwrap();
    chats.mark_read(&world.cleo, group, 3).await.unwrap();
    chats.mark_read(&world.ben, group, 2).await.unwrap();
    assert_eq!(take(&mut feed, &names, 1).await, ["group changed"]);
    nothing_waits(&mut feed);
    bus.interrupt();
    nothing_waits(&mut feed);
    // Behind the checkpoint lies the own mark; how far all others have read is no part of it.
    let mut feed = open(&world, &world.ben, Some(&checkpoint), None).await;
    let (told, checkpoint) = until_caught_up(&mut feed, &names).await;
    assert_eq!(told, ["viewer", "group changed"]);
    chats.mark_read(&world.ann, group, 4).await.unwrap();
    chats.mark_read(&world.cleo, group, 4).await.unwrap();
    let mut feed = open(&world, &world.ben, Some(&checkpoint), None).await;
    let (told, checkpoint) = until_caught_up(&mut feed, &names).await;
    assert_eq!(told, ["viewer"]);
    // The group shrinks: the ticks are told as they are.
    world.remove(group, &world.cleo).await;
    let mut feed = open(&world, &world.ben, Some(&checkpoint), None).await;
    let (told, _) = until_caught_up(&mut feed, &names).await;
    assert_eq!(
        told,
        ["viewer", "group changed", "group +5", "group changed"]
    );
    chats.mark_read(&world.ann, group, 5).await.unwrap();
    assert_eq!(take(&mut feed, &names, 1).await, ["group read 5"]);
}

/// More chats than a page, and than a mailbox holds events.
const MANY: usize = 131;

async fn many_chats(world: &World) -> Vec<ChatId> {
    let mut chats = Vec::new();
    for number in 0..MANY {
        let title = ChatTitle::parse(&format!("group {number}")).unwrap();
        let groups = &world.services.groups;
        let members = vec![world.ben.user_id];
        let group = groups.create(&world.ann, title, members, None).await;
        chats.push(group.unwrap().id);
    }
    chats
}

#[tokio::test]
async fn after_an_overflow_no_chat_of_a_sidebar_stays_as_it_was() {
    let (world, _bus) = scripted(8, no_heartbeat()).await;
    let chats = many_chats(&world).await;
    let feeds = &world.services.feeds;
    let mut sidebar = feeds.chats(&world.ben).await.unwrap();
    for chat in &chats {
        world.send(*chat, &world.ann, "unheard").await;
    }
    let mut told = HashSet::new();
    for _ in 0..MANY {
        let item = soon("a chat that changed", sidebar.next()).await.unwrap();
        assert!(told.insert(item.state.chat.id), "told twice");
    }
    assert_eq!(told, chats.into_iter().collect());
    assert!(sidebar.next().now_or_never().is_none());
}

#[tokio::test]
async fn after_an_overflow_nothing_is_missing_of_an_account() {
    let (world, _bus) = scripted(8, no_heartbeat()).await;
    let chats = many_chats(&world).await;
    let mut feed = open(&world, &world.ben, None, None).await;
    take(&mut feed, &[], 1).await;
    for chat in &chats {
        world.send(*chat, &world.ann, "unheard").await;
    }
    let mut told = HashSet::new();
    for _ in 0..MANY {
        match next(&mut feed).await.item {
            AccountItem::MessageAdded(published) => {
                let message = published.message().unwrap();
                assert_eq!(message.seq, 2);
                assert!(told.insert(message.chat_id), "told twice");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told, chats.into_iter().collect());
    nothing_waits(&mut feed);
}

/// The heartbeat finds, without any word of the bus, what was missed in any chat, what the user has
/// read and muted elsewhere, and chats that were joined.
#[tokio::test]
async fn a_sidebar_finds_on_its_heartbeat_what_no_event_told() {
    let (world, bus) = scripted(8, super::world::quick()).await;
    let chat = world.direct(&world.ann, &world.ben).await;
    let muted = world.direct(&world.cleo, &world.ben).await;
    let feeds = &world.services.feeds;
    let mut sidebar = feeds.chats(&world.ben).await.unwrap();
    bus.set(Mode::Lose);
    world.send(chat, &world.ann, "unheard").await;
    world
        .services
        .chats
        .mute(&world.ben, muted, true)
        .await
        .unwrap();
    let joined = world.group("joined", &[&world.ben]).await;
    let mut told = HashSet::new();
    while told.len() < 3 {
        let item = soon("a chat that changed", sidebar.next()).await.unwrap();
        told.insert(item.state.chat.id);
    }
    assert_eq!(told, HashSet::from([chat, muted, joined]));
}

#[tokio::test]
async fn the_other_sides_mark_that_was_not_heard_of_is_found_by_the_heartbeat_and_told_once() {
    let (world, bus) = scripted(64, quick_heartbeat()).await;
    let chat = world.direct(&world.ann, &world.ben).await;
    let group = world.group("group", &[&world.ben]).await;
    for text in ["one", "two"] {
        world.send(chat, &world.ann, text).await;
    }
    let names = [(chat, "chat"), (group, "group")];
    let chats = &world.services.chats;
    let mut seq = 0;
    // With detail and without.
    for detail in [None, Some(&[][..])] {
        let mut feed = open(&world, &world.ben, None, detail).await;
        assert_eq!(take(&mut feed, &names, 1).await, ["checkpoint true"]);
        bus.set(Mode::Lose);
        seq += 1;
        chats.mark_read(&world.ann, chat, seq).await.unwrap();
        assert_eq!(take(&mut feed, &names, 1).await, ["chat changed"]);
        bus.set(Mode::Deliver);
        chats.mute(&world.ben, group, seq == 1).await.unwrap();
        assert_eq!(take(&mut feed, &names, 1).await, ["group changed"]);
    }
}

#[tokio::test]
async fn who_was_removed_unheard_is_not_shown_the_chat_as_it_is_behind_it() {
    for detail in [None, Some(&[][..])] {
        let (world, bus) = scripted(64, no_heartbeat()).await;
        let group = world.group("group", &[&world.ben]).await;
        let mut feed = open(&world, &world.ben, None, detail).await;
        assert_eq!(take(&mut feed, &[], 1).await, ["checkpoint true"]);
        // As one that was told before.
        let told = feed.chat(group).await.unwrap().unwrap();
        assert_eq!(told.state.last_message.as_ref().unwrap().seq, 1);
        bus.set(Mode::Lose);
        world.remove(group, &world.ben).await;
        bus.set(Mode::Deliver);
        world.send(group, &world.ann, "not for Ben").await;
        loop {
            let event = next(&mut feed).await;
            match &event.item {
                AccountItem::ChatRemoved(_) => break,
                AccountItem::ChatChanged(_) => {
                    // As it was when they were removed, or not at all.
                    let told = soon("the chat", feed.chat(group)).await.unwrap();
                    let told = told.map(|told| told.state.chat.last_seq);
                    assert!(told.is_none_or(|seq| seq <= 2), "{told:?}");
                }
                _ => assert_eq!(says(&event, &[(group, "group")]), "group +2"),
            }
        }
        assert!(feed.chat(group).await.unwrap().is_none());
    }
}
