//! Who has blocked whom, and what follows from it in direct chats.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use talksy_domain::access::Denied;
use talksy_domain::blocks::{BlockOutcome, Blocked, MAX_BLOCKS};
use talksy_domain::chats::{LargeGroups, Member};
use talksy_domain::cursor::UserCursor;
use talksy_domain::events::{Event, Topic};
use talksy_domain::groups::GroupAction;
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::messages::{
    Append, ChangeAction, ChangeRefusal, Emoji, HistoryFrom, Message, MessageText,
};
use talksy_domain::page::Page;
use talksy_domain::users::User;

use super::fixture::{
    Stores, ask, direct_candidate, draft, draft_with_id, forward, sorted, text_of,
};
use super::{at_once, ids, now};

const NEW: BlockOutcome = BlockOutcome::Done { is_new: true };
const SAME: BlockOutcome = BlockOutcome::Done { is_new: false };

async fn set(stores: &Stores, blocker: &User, other: &User, is_blocked: bool) -> BlockOutcome {
    let set = stores.blocks.set_blocked(blocker.id, other.id, is_blocked);
    set.await.unwrap()
}

async fn page(stores: &Stores, of: UserId, after: Option<u32>, limit: usize) -> Page<Blocked> {
    let window = forward(after, limit);
    stores.blocks.blocked_by(of, &window).await.unwrap()
}

/// All whom a user has blocked, read in pages of this size.
async fn all(stores: &Stores, of: UserId, size: usize) -> Vec<UserId> {
    let mut found: Vec<Blocked> = Vec::new();
    loop {
        let page = page(stores, of, found.last().map(|last| last.number), size).await;
        found.extend(page.items);
        if !page.has_next {
            return found.into_iter().map(|blocked| blocked.user_id).collect();
        }
    }
}

async fn version(stores: &Stores, of: UserId) -> u32 {
    stores.users.users(&[of]).await.unwrap()[0].block_version
}

async fn member(stores: &Stores, chat: ChatId, user: UserId) -> Member {
    let found = stores.chats.memberships(user, &[chat]).await;
    found.unwrap().remove(0)
}

/// What came of a message.
async fn sent(stores: &Stores, chat: ChatId, sender: &User) -> Append {
    stores
        .messages
        .append(&draft(chat, sender.id))
        .await
        .unwrap()
}

fn refused() -> Append {
    Append::Denied(Denied::NotWritable)
}

/// The newest block comes first, also where one was ended and came again.
pub async fn the_newest_block_comes_first(stores: &Stores) {
    let [ada, bob, cyd, dan] = stores.users().await;
    for user in [&bob, &cyd, &dan] {
        assert_eq!(set(stores, &ada, user, true).await, NEW);
    }
    for size in [1, 2, 10] {
        assert_eq!(all(stores, ada.id, size).await, [dan.id, cyd.id, bob.id]);
    }
    assert_eq!(set(stores, &ada, &bob, false).await, NEW);
    assert_eq!(all(stores, ada.id, 2).await, [dan.id, cyd.id]);
    assert_eq!(set(stores, &ada, &bob, true).await, NEW);
    assert_eq!(all(stores, ada.id, 2).await, [bob.id, dan.id, cyd.id]);
    let first = page(stores, ada.id, None, 2).await;
    assert_eq!((first.has_next, first.has_previous), (true, false));
    assert!(first.items[0].number > first.items[1].number);
    let rest = page(stores, ada.id, Some(first.items[1].number), 2).await;
    assert_eq!((rest.has_next, rest.has_previous), (false, true));
    assert_eq!(page(stores, ada.id, None, 0).await.items, []);
    assert_eq!(all(stores, bob.id, 2).await, [], "the list is its user's");
}

/// Blocking twice is as good as once, and so is ending what is not there. Each change, and nothing
/// else, raises the version of the one who has made it.
pub async fn doing_it_again_changes_nothing(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let start = version(stores, ada.id).await;
    assert_eq!(set(stores, &ada, &bob, false).await, SAME);
    assert_eq!(version(stores, ada.id).await, start);
    assert_eq!(set(stores, &ada, &bob, true).await, NEW);
    let blocked = version(stores, ada.id).await;
    assert!(blocked > start);
    assert_eq!(set(stores, &ada, &bob, true).await, SAME);
    assert_eq!(version(stores, ada.id).await, blocked);
    assert_eq!(set(stores, &ada, &bob, false).await, NEW);
    assert!(version(stores, ada.id).await > blocked);
    assert_eq!(version(stores, bob.id).await, start, "it is Ada's alone");
}

/// Each pair is answered for itself, in its direction.
pub async fn blocks_are_of_one_direction(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    set(stores, &ada, &bob, true).await;
    set(stores, &cyd, &ada, true).await;
    set(stores, &bob, &cyd, true).await;
    set(stores, &bob, &cyd, false).await;
    let among = async |pairs: &[(UserId, UserId)]| {
        let found = stores.blocks.blocks_among(pairs).await;
        sorted(found.unwrap())
    };
    let users = [ada.id, bob.id, cyd.id];
    let every = |one: UserId| users.map(|other| (one, other));
    let pairs: Vec<_> = users.into_iter().flat_map(every).collect();
    let expected = sorted([(ada.id, bob.id), (cyd.id, ada.id)]);
    assert_eq!(among(&pairs).await, expected);
    let twice = [(ada.id, bob.id), (ada.id, bob.id), (bob.id, ada.id)];
    assert_eq!(among(&twice).await, [(ada.id, bob.id)]);
    assert_eq!(among(&[]).await, []);
    assert_eq!(among(&[(ids().next(), ada.id)]).await, []);
}

/// Whoever has set it, neither says anything any more, as long as one of the blocks is left. What was
/// said stays, and is taken back by who has said it.
pub async fn nothing_is_said_between_the_two(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let first = stores.send(chat.id, ada.id, 2).await;
    set(stores, &ada, &bob, true).await;
    set(stores, &bob, &ada, true).await;
    for last in [&ada, &bob] {
        for sender in [&ada, &bob] {
            assert_eq!(sent(stores, chat.id, sender).await, refused());
            let reply = Message {
                reply_to: Some(1),
                ..draft(chat.id, sender.id)
            };
            assert_eq!(stores.messages.append(&reply).await.unwrap(), refused());
        }
        let other = if last.id == ada.id { &bob } else { &ada };
        set(stores, last, other, false).await;
    }
    let edit = |text: MessageText| ChangeAction::Edit {
        edit: text.into(),
        expected: None,
    };
    set(stores, &bob, &ada, true).await;
    let (emoji, denied) = (
        Emoji::stored("👍"),
        ChangeRefusal::from(Denied::NotWritable),
    );
    for (actor, action) in [
        (&ada, edit(text_of("changed"))),
        (&ada, ChangeAction::Pin { is_pinned: true }),
        (&bob, ChangeAction::Pin { is_pinned: true }),
        (
            &bob,
            ChangeAction::React {
                emoji: emoji.clone(),
                is_added: true,
            },
        ),
    ] {
        let refused = ask(stores, &first[0], actor.id, action).await;
        assert_eq!(refused.unwrap_err(), denied);
    }
    // What is so already is no change.
    let same = ask(
        stores,
        &first[0],
        ada.id,
        edit(first[0].text.clone().unwrap()),
    )
    .await;
    assert!(!same.unwrap().is_new);
    assert_eq!(stores.all_messages(chat.id).await, first);
    let gone = ask(stores, &first[1], ada.id, ChangeAction::Delete).await;
    assert!(gone.unwrap().message.deleted_at.is_some());
    set(stores, &bob, &ada, false).await;
    for sender in [&ada, &bob] {
        stores.send(chat.id, sender.id, 1).await;
    }
    let changed = ask(stores, &first[0], ada.id, edit(text_of("changed"))).await;
    assert!(changed.unwrap().is_new);
}

/// A retry of what was sent before is answered with it.
pub async fn a_retry_of_what_came_before_the_block_succeeds(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let once = draft_with_id(chat.id, bob.id, "once");
    let first = stores.append(&once).await;
    set(stores, &ada, &bob, true).await;
    let again = stores.append(&once).await;
    assert!(again.is_duplicate);
    assert_eq!(again.message, first.message);
    let other = draft_with_id(chat.id, bob.id, "another");
    assert_eq!(stores.messages.append(&other).await.unwrap(), refused());
}

/// A group that both are in is as it was.
pub async fn groups_stay_as_they_are(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let group = stores.group(&[&ada, &bob, &cyd]).await;
    let before = member(stores, group.id, bob.id).await;
    set(stores, &ada, &bob, true).await;
    set(stores, &bob, &cyd, true).await;
    let sent = stores.send(group.id, bob.id, 1).await.remove(0);
    let react = ChangeAction::React {
        emoji: Emoji::stored("👍"),
        is_added: true,
    };
    assert!(stores.change(&sent, ada.id, react).await.is_new);
    assert_eq!(member(stores, group.id, bob.id).await, before);
    // Who was removed and comes again is in the group as others are.
    let remove = GroupAction::Remove(bob.id);
    stores.notice(group.id, ada.id, remove).await;
    let add = GroupAction::Add {
        users: vec![bob.id],
        history: HistoryFrom::All,
    };
    stores.notice(group.id, ada.id, add).await;
    assert!(!member(stores, group.id, bob.id).await.is_blocked);
    stores.send(group.id, bob.id, 1).await;
}

/// Both memberships say it, with versions that rise; another chat of either does not.
pub async fn both_memberships_say_so(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let cyd = stores.user("Cyd").await;
    let other = stores.direct(&ada, &cyd).await;
    let both = async || {
        let ada = member(stores, chat.id, ada.id).await;
        [ada, member(stores, chat.id, bob.id).await]
    };
    let before = both().await;
    assert!(before.iter().all(|member| !member.is_blocked));
    set(stores, &bob, &ada, true).await;
    let blocked = both().await;
    for (before, member) in before.iter().zip(&blocked) {
        assert!(member.is_blocked && member.version > before.version);
        let same = Member {
            is_blocked: false,
            version: before.version,
            ..member.clone()
        };
        assert_eq!(&same, before);
    }
    assert!(!member(stores, other.id, ada.id).await.is_blocked);
    let listed = stores.chats.first_members(&[chat.id], 2).await.unwrap();
    assert!(listed.iter().all(|member| member.is_blocked));
    let lowest = stores.chats.lowest_read_marks(&[chat.id]).await.unwrap();
    assert!(lowest.iter().all(|member| member.is_blocked));
    // The end of the one block is not the end of the other.
    set(stores, &ada, &bob, true).await;
    set(stores, &bob, &ada, false).await;
    assert!(both().await.iter().all(|member| member.is_blocked));
    set(stores, &ada, &bob, false).await;
    for (blocked, member) in blocked.iter().zip(both().await) {
        assert!(!member.is_blocked && member.version > blocked.version);
    }
    stores.send(chat.id, ada.id, 1).await;
}

/// A direct chat that is made behind a block has it too, whoever makes it.
pub async fn a_chat_that_is_made_later_is_blocked_too(stores: &Stores) {
    for turned in [false, true] {
        let [ada, bob] = stores.users().await;
        let (blocker, other) = if turned { (&bob, &ada) } else { (&ada, &bob) };
        set(stores, blocker, other, true).await;
        let chat = stores.direct(&ada, &bob).await;
        for user in [&ada, &bob] {
            assert!(member(stores, chat.id, user.id).await.is_blocked);
            assert_eq!(sent(stores, chat.id, user).await, refused());
        }
        set(stores, blocker, other, false).await;
        stores.send(chat.id, ada.id, 1).await;
    }
}

/// However the two meet, the chat is blocked once both are answered.
pub async fn a_chat_and_a_block_that_are_made_at_once_meet(stores: &Stores) {
    for _ in 0..10 {
        let [ada, bob] = stores.users().await;
        let steps = (0..2).map(|step| {
            let stores = stores.clone();
            let pair = [ada.id, bob.id];
            async move {
                if step == 0 {
                    let candidate = direct_candidate(now());
                    let opened = stores.chats.open_direct(&candidate, pair).await;
                    return Some(opened.unwrap().0.id);
                }
                let [other, blocker] = pair;
                let set = stores.blocks.set_blocked(blocker, other, true).await;
                assert_eq!(set.unwrap(), NEW);
                None
            }
        });
        let chat = at_once(steps).await.into_iter().flatten().next().unwrap();
        for user in [&ada, &bob] {
            assert!(member(stores, chat, user.id).await.is_blocked);
            assert_eq!(sent(stores, chat, user).await, refused());
        }
    }
}

/// Several devices block and unblock at once: the chat says in the end what the list says.
pub async fn what_several_devices_ask_for_at_once_agrees(stores: &Stores) {
    for _ in 0..5 {
        let (ada, bob, chat) = stores.pair().await;
        let others: [User; 4] = stores.users().await;
        let racing = (0..8).map(|n| {
            let (stores, other) = (stores.clone(), others[n % 4].id);
            let (ada, bob) = (ada.id, bob.id);
            async move {
                let other = stores.blocks.set_blocked(ada, other, n < 4).await.unwrap();
                let own = stores.blocks.set_blocked(ada, bob, n % 2 == 0).await;
                [own.unwrap(), other]
            }
        });
        at_once(racing).await;
        let list = all(stores, ada.id, 100).await;
        let is_blocked = list.contains(&bob.id);
        assert_eq!(member(stores, chat.id, ada.id).await.is_blocked, is_blocked);
        assert_eq!(member(stores, chat.id, bob.id).await.is_blocked, is_blocked);
        let is_refused = sent(stores, chat.id, &bob).await == refused();
        assert_eq!(is_refused, is_blocked);
        let numbers = page(stores, ada.id, None, 100).await.items;
        assert!(numbers.is_sorted_by(|one, other| one.number > other.number));
    }
}

/// No message is kept behind the answer to the block, where its sender asks behind that.
pub async fn what_is_sent_behind_the_answer_is_refused(stores: &Stores) {
    for _ in 0..10 {
        let (ada, bob, chat) = stores.pair().await;
        let is_answered = Arc::new(AtomicBool::new(false));
        let steps = (0..4).map(|step| {
            let (stores, is_answered) = (stores.clone(), Arc::clone(&is_answered));
            let (ada, bob, chat) = (ada.clone(), bob.clone(), chat.id);
            async move {
                if step == 0 {
                    assert_eq!(set(&stores, &ada, &bob, true).await, NEW);
                    is_answered.store(true, Ordering::SeqCst);
                    return;
                }
                for _ in 0..10 {
                    let was_answered = is_answered.load(Ordering::SeqCst);
                    let outcome = sent(&stores, chat, &bob).await;
                    if was_answered {
                        assert_eq!(outcome, refused());
                    }
                }
            }
        });
        at_once(steps).await;
        let kept = stores.all_messages(chat.id).await;
        assert_eq!(stores.chat(chat.id).await.last_seq as usize, kept.len());
    }
}

/// The thousand and first block is refused; one that ends makes room.
pub async fn a_user_may_have_so_many_blocks(stores: &Stores) {
    let ada = stores.user("Ada").await;
    let others: Vec<UserId> = (0..MAX_BLOCKS).map(|_| ids().next()).collect();
    for other in &others {
        let outcome = stores.blocks.set_blocked(ada.id, *other, true).await;
        assert_eq!(outcome.unwrap(), NEW);
    }
    let [bob, cyd] = stores.users().await;
    assert_eq!(set(stores, &ada, &bob, true).await, BlockOutcome::TooMany);
    let again = stores.blocks.set_blocked(ada.id, others[7], true).await;
    assert_eq!(again.unwrap(), SAME, "it is one of them");
    assert_eq!(all(stores, ada.id, 100).await.len(), MAX_BLOCKS);
    let ended = stores.blocks.set_blocked(ada.id, others[7], false).await;
    assert_eq!(ended.unwrap(), NEW);
    let racing = [bob.id, cyd.id].map(|user| {
        let (stores, ada) = (stores.clone(), ada.id);
        async move { stores.blocks.set_blocked(ada, user, true).await.unwrap() }
    });
    let outcomes = at_once(racing).await;
    let new = outcomes.iter().filter(|outcome| **outcome == NEW).count();
    assert_eq!(new, 1, "{outcomes:?}");
}

/// Whom one has blocked and who has blocked one is not found by name; a page is as full all the same.
pub async fn names_of_blocked_users_are_not_found(stores: &Stores) {
    let prefix = super::word();
    let mut users = Vec::new();
    for n in 0..9 {
        users.push(stores.user(&format!("{prefix} {n}")).await);
    }
    let viewer = stores.user("Ada").await;
    let everyone: Vec<&User> = std::iter::once(&viewer).chain(&users).collect();
    stores.group(&everyone).await;
    for n in [0, 1, 4] {
        set(stores, &viewer, &users[n], true).await;
    }
    for n in [2, 7] {
        set(stores, &users[n], &viewer, true).await;
    }
    let expected: Vec<_> = [3, 5, 6, 8].map(|n| users[n].id).into();
    for size in [1, 2, 4, 10] {
        for is_known in [false, true] {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let window = forward(after, size);
                let page = if is_known {
                    let users = &stores.users;
                    users.known_users_by_name(&prefix, viewer.id, &window).await
                } else {
                    stores
                        .users
                        .users_by_name(&prefix, viewer.id, &window)
                        .await
                };
                let page = page.unwrap();
                let is_last = !page.has_next;
                assert!(is_last || page.items.len() == size);
                after = page.items.last().map(|user| UserCursor {
                    name_key: user.name.sort_key(),
                    user_id: user.id,
                });
                found.extend(page.items.iter().map(|user| user.id));
                if is_last {
                    break;
                }
            }
            assert_eq!(found, expected, "{size} {is_known}");
        }
    }
}

/// Both are told where they follow what is their own, and the other members of nothing.
pub async fn both_are_told(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let told = |user: UserId| {
        let events = stores.events.on(Topic::User(user)).into_iter();
        let blocks = events.filter(|event| matches!(event, Event::BlockChanged { .. }));
        blocks.collect::<Vec<_>>()
    };
    let event = Event::BlockChanged {
        blocker_id: ada.id,
        blocked_id: bob.id,
    };
    for (count, is_blocked) in [(1, true), (2, true), (3, false)] {
        set(stores, &ada, &bob, is_blocked).await;
        for user in [&ada, &bob] {
            assert_eq!(told(user.id), vec![event.clone(); count]);
        }
    }
    assert_eq!(stores.events.on(Topic::Chat(chat.id)), []);
}

/// How far one has read is the own devices' alone to know, as long as the block lasts.
pub async fn read_marks_are_told_to_the_own_devices_alone(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    stores.send(chat.id, ada.id, 3).await;
    let of_chat = || {
        let events = stores.events.on(Topic::Chat(chat.id)).into_iter();
        let marks = events.filter(|event| matches!(event, Event::ReadReceipt { .. }));
        marks.count()
    };
    let own = || {
        let events = stores.events.on(Topic::User(bob.id)).into_iter();
        let marks = events.filter(|event| matches!(event, Event::ReadReceipt { .. }));
        marks.count()
    };
    let read = async |seq| {
        let (chats, large) = (&stores.chats, LargeGroups::NONE);
        let mark = chats.mark_read(chat.id, bob.id, seq, now(), large).await;
        assert!(mark.unwrap().unwrap().moved);
    };
    read(1).await;
    assert_eq!((of_chat(), own()), (1, 0));
    set(stores, &ada, &bob, true).await;
    read(2).await;
    assert_eq!((of_chat(), own()), (1, 1));
    set(stores, &ada, &bob, false).await;
    read(3).await;
    assert_eq!((of_chat(), own()), (2, 1));
}

/// Nothing is left of the blocks of an account that is deleted, nor of those against it, in steps; the
/// blocks of others stay.
pub async fn the_blocks_of_an_account_are_erased(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let [cyd, dan, eve] = stores.users().await;
    for user in [&bob, &cyd, &dan] {
        set(stores, &ada, user, true).await;
    }
    for user in [&cyd, &eve] {
        set(stores, user, &ada, true).await;
    }
    set(stores, &cyd, &dan, true).await;
    let before = version(stores, eve.id).await;
    let mut steps = Vec::new();
    loop {
        let erased = stores.blocks.erase_blocks_of(ada.id, 2).await.unwrap();
        steps.push(erased);
        if erased < 2 {
            break;
        }
    }
    assert_eq!(steps, [2, 2, 1]);
    assert_eq!(stores.blocks.erase_blocks_of(ada.id, 2).await.unwrap(), 0);
    assert_eq!(all(stores, ada.id, 10).await, []);
    assert_eq!(all(stores, eve.id, 10).await, []);
    assert_eq!(all(stores, cyd.id, 10).await, [dan.id]);
    assert!(version(stores, eve.id).await > before);
    assert!(!member(stores, chat.id, bob.id).await.is_blocked);
    stores.send(chat.id, bob.id, 1).await;
}

/// What is complete is not changed by being completed.
pub async fn completing_a_block_changes_nothing(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    for is_blocked in [true, false] {
        set(stores, &ada, &bob, is_blocked).await;
        let before = member(stores, chat.id, bob.id).await;
        for (blocker, other) in [(ada.id, bob.id), (bob.id, ada.id)] {
            let completed = stores.blocks.complete_block(blocker, other).await;
            completed.unwrap();
        }
        assert_eq!(member(stores, chat.id, bob.id).await, before);
        assert_eq!(before.is_blocked, is_blocked);
    }
}

super::suite::rules! {
    blocks_rules:
    the_newest_block_comes_first,
    doing_it_again_changes_nothing,
    blocks_are_of_one_direction,
    nothing_is_said_between_the_two,
    a_retry_of_what_came_before_the_block_succeeds,
    groups_stay_as_they_are,
    both_memberships_say_so,
    a_chat_that_is_made_later_is_blocked_too,
    a_chat_and_a_block_that_are_made_at_once_meet,
    what_several_devices_ask_for_at_once_agrees,
    what_is_sent_behind_the_answer_is_refused,
    a_user_may_have_so_many_blocks,
    names_of_blocked_users_are_not_found,
    both_are_told,
    read_marks_are_told_to_the_own_devices_alone,
    the_blocks_of_an_account_are_erased,
    completing_a_block_changes_nothing,
}
