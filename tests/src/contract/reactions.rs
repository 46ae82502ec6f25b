//! Reactions: counts in the message, and who has reacted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use talksy_domain::access::Denied;
use talksy_domain::events::{Event, Topic};
use talksy_domain::groups::GroupAction;
use talksy_domain::id::UserId;
use talksy_domain::jobs::{JobState, Task};
use talksy_domain::messages::{
    ChangeAction, ChangeRefusal, ChangedMessage, Emoji, HistoryFrom, Message, Reaction,
    ReactionPage, ReactionPlace, Reactions,
};
use talksy_domain::page::Page;
use talksy_domain::seq::Seq;
use talksy_domain::users::User;

use super::fixture::{Stores, ask, forward, sorted, text_of};
use super::{at_once, ids};

fn emoji(text: &str) -> Emoji {
    Emoji::parse(text).unwrap()
}

/// As many different emoji.
fn different(count: usize) -> Vec<Emoji> {
    let faces = (0x1F600_u32..).filter_map(char::from_u32);
    let faces = faces.filter_map(|face| Emoji::parse(&face.to_string()).ok());
    faces.take(count).collect()
}

fn react(emoji: &Emoji, is_added: bool) -> ChangeAction {
    ChangeAction::React {
        emoji: emoji.clone(),
        is_added,
    }
}

async fn add(stores: &Stores, message: &Message, by: &User, emoji: &Emoji) -> ChangedMessage {
    ask(stores, message, by.id, react(emoji, true))
        .await
        .unwrap()
}

async fn remove(stores: &Stores, message: &Message, by: &User, emoji: &Emoji) -> ChangedMessage {
    ask(stores, message, by.id, react(emoji, false))
        .await
        .unwrap()
}

async fn now_of(stores: &Stores, message: &Message) -> Message {
    let mut found = stores.messages.messages(&[message.id]).await.unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

fn counts(message: &Message) -> Vec<(&str, u32)> {
    let counts = message.reactions.counts().iter();
    counts
        .map(|counted| (counted.emoji.as_str(), counted.count))
        .collect()
}

async fn page(
    stores: &Stores,
    message: &Message,
    emoji: &Emoji,
    after: Option<ReactionPlace>,
    limit: usize,
) -> Page<Reaction> {
    let wanted = ReactionPage {
        message_id: message.id,
        chat_id: message.chat_id,
        emoji: emoji.clone(),
        window: forward(after, limit),
    };
    let mut pages = stores.messages.reaction_pages(&[wanted]).await.unwrap();
    assert_eq!(pages.len(), 1);
    pages.remove(0)
}

/// All who have reacted so, read in pages of this size.
async fn everybody(stores: &Stores, message: &Message, emoji: &Emoji, size: usize) -> Vec<UserId> {
    let mut found: Vec<Reaction> = Vec::new();
    loop {
        let after = found.last().map(Reaction::place);
        let page = page(stores, message, emoji, after, size).await;
        assert_eq!(page.has_previous, after.is_some());
        found.extend(page.items);
        if !page.has_next {
            assert!(found.windows(2).all(|two| two[0].place() < two[1].place()));
            return found.into_iter().map(|reaction| reaction.user_id).collect();
        }
    }
}

/// What the message counts is who has reacted, however they are asked for.
async fn agree(stores: &Stores, message: &Message, users: &[UserId]) {
    let now = now_of(stores, message).await;
    let mut of_users: BTreeMap<UserId, Vec<Emoji>> = BTreeMap::new();
    for counted in now.reactions.counts() {
        let found = everybody(stores, message, &counted.emoji, 7).await;
        assert_eq!(u32::try_from(found.len()), Ok(counted.count), "{counted:?}");
        for user in found {
            let own = of_users.entry(user).or_default();
            own.push(counted.emoji.clone());
        }
    }
    let place = (message.chat_id, message.id);
    let among = stores.messages.reactions_among(place, users).await.unwrap();
    let mut told: BTreeMap<UserId, Vec<Emoji>> = BTreeMap::new();
    for (user, emoji) in among {
        told.entry(user).or_default().push(emoji);
    }
    for own in told.values_mut().chain(of_users.values_mut()) {
        own.sort_unstable();
    }
    assert_eq!(told, of_users);
    for user in users.iter().take(5) {
        let own = stores.messages.reactions_of(*user, &[place]).await.unwrap();
        let own = sorted(own.into_iter().map(|(_, emoji)| emoji));
        assert_eq!(Some(&own), told.get(user).or(Some(&Vec::new())));
    }
}

/// A reaction is counted, in a change of its own. The content is as it was.
pub async fn a_reaction_is_counted_in_a_change(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let sent = stores.send(chat.id, ada.id, 2).await;
    let [thumb, heart] = ["👍", "❤️"].map(emoji);
    let first = add(stores, &sent[0], &bob, &heart).await;
    assert!(first.is_new);
    assert_eq!(
        (first.message.change_seq, first.message.content_seq),
        (1, 0)
    );
    assert_eq!(counts(&first.message), [("❤️", 1)]);
    assert_eq!(first.message.text, sent[0].text);
    assert_eq!(first.chat, stores.chat(chat.id).await);
    assert_eq!(now_of(stores, &sent[0]).await, first.message);
    assert_eq!(now_of(stores, &sent[1]).await, sent[1]);
    add(stores, &sent[0], &ada, &thumb).await;
    let all = add(stores, &sent[0], &ada, &heart).await.message;
    assert_eq!(
        counts(&all),
        [("❤️", 2), ("👍", 1)],
        "in the order of their first"
    );
    assert_eq!(
        everybody(stores, &sent[0], &heart, 1).await,
        [bob.id, ada.id]
    );
    let line = stores
        .messages
        .changes(chat.id, 1, &forward(None, 10))
        .await;
    assert_eq!(line.unwrap().items, std::slice::from_ref(&all));
    // An editor has to have seen the content alone.
    let edit = ChangeAction::Edit {
        edit: text_of("better").into(),
        expected: Some(0),
    };
    let edited = ask(stores, &sent[0], ada.id, edit).await.unwrap().message;
    assert_eq!((edited.change_seq, edited.content_seq), (4, 4));
    assert_eq!(edited.reactions, all.reactions);
    agree(stores, &sent[0], &[ada.id, bob.id]).await;
}

/// Of each user each emoji is there once. What is so already needs no number, and succeeds.
pub async fn a_reaction_that_is_there_changes_nothing(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let sent = stores.send(chat.id, ada.id, 1).await.remove(0);
    let thumb = emoji("👍");
    let none = remove(stores, &sent, &bob, &thumb).await;
    assert_eq!((none.message, none.is_new), (sent.clone(), false));
    let first = add(stores, &sent, &bob, &thumb).await;
    let again = add(stores, &sent, &bob, &thumb).await;
    assert_eq!((again.message, again.is_new), (first.message, false));
    let gone = remove(stores, &sent, &bob, &thumb).await;
    assert!(gone.is_new && gone.message.reactions.is_empty());
    assert_eq!(gone.message.change_seq, 2);
    let again = remove(stores, &sent, &bob, &thumb).await;
    assert_eq!((again.message, again.is_new), (gone.message, false));
    assert_eq!(everybody(stores, &sent, &thumb, 10).await, []);
    let back = add(stores, &sent, &bob, &thumb).await.message;
    assert_eq!((back.change_seq, counts(&back)), (3, vec![("👍", 1)]));
    assert_eq!(stores.chat(chat.id).await.last_change_seq, 3);
    agree(stores, &sent, &[ada.id, bob.id]).await;
}

/// Members react to what they may read; nobody to what happened to the group, or is deleted.
pub async fn who_may_react(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let chat = stores.group(&[&ada, &bob]).await;
    let notice = stores.all_messages(chat.id).await.remove(0);
    let sent = stores.send(chat.id, bob.id, 1).await.remove(0);
    let thumb = emoji("👍");
    for (message, by, refusal) in [
        (&sent, &cyd, Denied::NotMember.into()),
        (&notice, &ada, ChangeRefusal::System),
    ] {
        for is_added in [true, false] {
            let refused = ask(stores, message, by.id, react(&thumb, is_added)).await;
            assert_eq!(refused.unwrap_err(), refusal);
        }
    }
    let join = GroupAction::Add {
        users: vec![cyd.id],
        history: HistoryFrom::Join,
    };
    stores.notice(chat.id, ada.id, join).await;
    let refused = ask(stores, &sent, cyd.id, react(&thumb, true)).await;
    assert_eq!(refused.unwrap_err(), ChangeRefusal::NoMessage);
    let unknown = Message {
        id: ids().next(),
        ..sent.clone()
    };
    let refused = ask(stores, &unknown, ada.id, react(&thumb, true)).await;
    assert_eq!(refused.unwrap_err(), ChangeRefusal::NoMessage);
    // Who has left has reacted all the same.
    add(stores, &sent, &bob, &thumb).await;
    stores.notice(chat.id, bob.id, GroupAction::Leave).await;
    let refused = ask(stores, &sent, bob.id, react(&thumb, false)).await;
    assert_eq!(refused.unwrap_err(), Denied::NotMember.into());
    agree(stores, &sent, &[ada.id, bob.id]).await;
    let gone = ask(stores, &sent, ada.id, ChangeAction::Delete)
        .await
        .unwrap();
    let refused = ask(stores, &sent, ada.id, react(&thumb, true)).await;
    assert_eq!(refused.unwrap_err(), ChangeRefusal::Deleted);
    let none = ask(stores, &sent, ada.id, react(&thumb, false))
        .await
        .unwrap();
    assert_eq!((none.message, none.is_new), (gone.message, false));
}

/// A message has so many different emoji, and one of these may come again.
pub async fn a_message_has_so_many_different_emoji(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let sent = stores.send(chat.id, ada.id, 1).await.remove(0);
    let all = different(Reactions::MAX_EMOJI + 2);
    let (one_too_many, some) = all.split_last().unwrap();
    for emoji in &some[..Reactions::MAX_EMOJI - 3] {
        add(stores, &sent, &ada, emoji).await;
    }
    // The last three places are taken by three of the four who come at once.
    let racing = some[Reactions::MAX_EMOJI - 3..]
        .iter()
        .cloned()
        .map(|emoji| {
            let (stores, sent, by) = (stores.clone(), sent.clone(), bob.id);
            async move { ask(&stores, &sent, by, react(&emoji, true)).await }
        });
    let mut refused = 0;
    for outcome in at_once(racing).await {
        if let Err(refusal) = outcome {
            assert_eq!(refusal, ChangeRefusal::TooManyEmoji);
            refused += 1;
        }
    }
    assert_eq!(refused, 1);
    let full = now_of(stores, &sent).await;
    assert_eq!(full.reactions.counts().len(), Reactions::MAX_EMOJI);
    let another = ask(stores, &sent, bob.id, react(one_too_many, true)).await;
    assert_eq!(another.unwrap_err(), ChangeRefusal::TooManyEmoji);
    let known = add(stores, &sent, &bob, &some[0]).await.message;
    assert_eq!(counts(&known)[0], (some[0].as_str(), 2));
    remove(stores, &sent, &ada, &some[1]).await;
    add(stores, &sent, &bob, one_too_many).await;
    agree(stores, &sent, &[ada.id, bob.id]).await;
}

/// A deletion takes the reactions for good: at once from the message, and by a job from the store.
pub async fn a_deletion_takes_the_reactions(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let sent = stores.send(chat.id, ada.id, 2).await;
    let [thumb, heart] = ["👍", "❤️"].map(emoji);
    for message in &sent {
        for (by, emoji) in [(&ada, &thumb), (&bob, &thumb), (&bob, &heart)] {
            add(stores, message, by, emoji).await;
        }
    }
    let erase = async |most| {
        let messages = &stores.messages;
        messages
            .erase_reactions(chat.id, sent[0].id, most)
            .await
            .unwrap()
    };
    assert_eq!(erase(10).await, None, "the message is not deleted");
    let deleted = ask(stores, &sent[0], ada.id, ChangeAction::Delete).await;
    let deleted = deleted.unwrap().message;
    assert!(deleted.reactions.is_empty());
    assert_eq!(now_of(stores, &sent[0]).await, deleted);
    assert_eq!(page(stores, &sent[0], &thumb, None, 10).await.items, []);
    let waiting = stores
        .jobs
        .in_state(JobState::Waiting, 10_000)
        .await
        .unwrap();
    let is_asked_for = waiting.iter().any(|job| {
        let task = Task::parse(&job.kind, &job.payload);
        let is_erasure = |task| {
            matches!(task, Task::EraseReactions { message_id, .. } if message_id == sent[0].id)
        };
        task.is_ok_and(is_erasure)
    });
    assert!(is_asked_for);
    // In steps, which may be done again.
    assert_eq!(erase(2).await, Some(2));
    assert_eq!(erase(2).await, Some(1));
    assert_eq!(erase(2).await, Some(0));
    let place = (chat.id, sent[0].id);
    for user in [ada.id, bob.id] {
        assert_eq!(
            stores.messages.reactions_of(user, &[place]).await.unwrap(),
            []
        );
    }
    let unknown = stores
        .messages
        .erase_reactions(chat.id, ids().next(), 1)
        .await;
    assert_eq!(unknown.unwrap(), None);
    agree(stores, &sent[1], &[ada.id, bob.id]).await;
}

/// The viewer's reactions to a page of messages, and pages of who has reacted, are read at once.
pub async fn many_messages_are_asked_for_at_once(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let (_, _, other) = stores.pair().await;
    let sent = stores.send(chat.id, ada.id, 4).await;
    let [thumb, heart] = ["👍", "❤️"].map(emoji);
    add(stores, &sent[0], &bob, &thumb).await;
    add(stores, &sent[2], &bob, &thumb).await;
    add(stores, &sent[2], &bob, &heart).await;
    add(stores, &sent[2], &ada, &heart).await;
    add(stores, &sent[3], &ada, &heart).await;
    let mut asked: Vec<_> = sent.iter().map(|message| (chat.id, message.id)).collect();
    asked.push((other.id, ids().next()));
    let own = stores.messages.reactions_of(bob.id, &asked).await.unwrap();
    let expected = [
        (sent[0].id, &thumb),
        (sent[2].id, &thumb),
        (sent[2].id, &heart),
    ];
    let expected = expected.map(|(message, emoji)| (message, emoji.clone()));
    assert_eq!(sorted(own), sorted(expected));
    assert_eq!(stores.messages.reactions_of(bob.id, &[]).await.unwrap(), []);
    let place = (chat.id, sent[2].id);
    assert_eq!(
        stores.messages.reactions_among(place, &[]).await.unwrap(),
        []
    );

    let mut wanted = Vec::new();
    for (n, message) in sent.iter().enumerate() {
        for (emoji, limit) in [(&thumb, 1), (&heart, 1), (&heart, 2), (&heart, 0)] {
            wanted.push(ReactionPage {
                message_id: message.id,
                chat_id: chat.id,
                emoji: emoji.clone(),
                window: forward((n == 1).then_some((1, bob.id)), limit),
            });
        }
    }
    let pages = stores.messages.reaction_pages(&wanted).await.unwrap();
    assert_eq!(pages.len(), wanted.len());
    for (found, wanted) in pages.iter().zip(&wanted) {
        let after = wanted.window.after;
        let message = sent.iter().find(|message| message.id == wanted.message_id);
        let (message, limit) = (message.unwrap(), wanted.window.limit);
        let alone = page(stores, message, &wanted.emoji, after, limit).await;
        assert_eq!(*found, alone, "{wanted:?}");
    }
    assert!(
        pages
            .iter()
            .any(|page| page.items.len() == 1 && page.has_next)
    );
    assert!(
        pages
            .iter()
            .any(|page| page.items.len() == 2 && !page.has_next)
    );
    assert_eq!(stores.messages.reaction_pages(&[]).await.unwrap(), []);
}

/// Of a crowd who react at once, and of whom some take it back, each counts once; and who follows the
/// line of changes ends with what is there.
pub async fn a_crowd_is_counted_exactly(stores: &Stores) {
    let crowd: [User; 60] = stores.users().await;
    let members: Vec<&User> = crowd.iter().collect();
    let chat = stores.group(&members).await;
    let crowd = crowd.map(|user| user.id);
    let sent = stores.send(chat.id, crowd[0], 1).await.remove(0);
    let [thumb, heart] = ["👍", "❤️"].map(emoji);
    let asked = crowd.into_iter().enumerate().map(|(n, user)| {
        let (stores, sent) = (stores.clone(), sent.clone());
        let mut actions = vec![react(&thumb, true)];
        if n % 3 == 0 {
            actions.push(react(&thumb, false));
        }
        if n % 5 == 0 {
            actions.extend([true, false, true].map(|is_added| react(&heart, is_added)));
        }
        async move {
            for action in actions {
                ask(&stores, &sent, user, action).await.unwrap();
            }
        }
    });
    let is_over = AtomicBool::new(false);
    let reacting = async {
        at_once(asked).await;
        is_over.store(true, Ordering::SeqCst);
    };
    let follow = async {
        let mut place: Seq = 0;
        let mut last = sent.clone();
        loop {
            // Asked first: what came until then is on the line.
            let is_last = is_over.load(Ordering::SeqCst);
            let window = forward(Some(place), 2);
            let page = stores.messages.changes(chat.id, 1, &window).await.unwrap();
            for message in page.items {
                assert!(message.change_seq > place);
                place = message.change_seq;
                last = message;
            }
            if is_last {
                break last;
            }
        }
    };
    let ((), followed) = tokio::join!(reacting, follow);
    let now = now_of(stores, &sent).await;
    assert_eq!(followed, now);
    let mut counted = counts(&now);
    counted.sort_unstable();
    assert_eq!(counted, [("❤️", 12), ("👍", 40)]);
    assert_eq!(stores.chat(chat.id).await.last_change_seq, now.change_seq);
    agree(stores, &sent, &crowd).await;
}

/// One who reacts and takes it back on many devices at once has reacted, or has not.
pub async fn one_who_cannot_decide_is_counted_once_or_not(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let sent = stores.send(chat.id, ada.id, 1).await.remove(0);
    let thumb = emoji("👍");
    let asked = (0..24).map(|n| {
        let (stores, sent, thumb) = (stores.clone(), sent.clone(), thumb.clone());
        let by = bob.id;
        async move {
            for round in 0..3 {
                let action = react(&thumb, (n + round) % 2 == 0);
                ask(&stores, &sent, by, action).await.unwrap();
            }
        }
    });
    at_once(asked).await;
    agree(stores, &sent, &[ada.id, bob.id]).await;
    let added = add(stores, &sent, &bob, &thumb).await.message;
    assert_eq!(counts(&added), [("👍", 1)]);
    agree(stores, &sent, &[ada.id, bob.id]).await;
}

/// Reactions, edits and a deletion of one message at once leave it deleted, without reactions.
pub async fn a_deletion_ends_all_that_comes_at_once(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let sent = stores.send(chat.id, ada.id, 1).await.remove(0);
    let thumb = emoji("👍");
    let asked = (0..24).map(|n| {
        let (stores, sent) = (stores.clone(), sent.clone());
        let (by, action) = match n % 4 {
            _ if n == 13 => (ada.id, ChangeAction::Delete),
            0 | 1 => (bob.id, react(&thumb, n % 8 < 4)),
            2 => (ada.id, react(&thumb, true)),
            _ => {
                let edit = text_of(&format!("text {n}")).into();
                let expected = None;
                (ada.id, ChangeAction::Edit { edit, expected })
            }
        };
        async move { ask(&stores, &sent, by, action).await }
    });
    for outcome in at_once(asked).await {
        if let Err(refusal) = outcome {
            assert_eq!(refusal, ChangeRefusal::Deleted);
        }
    }
    let now = now_of(stores, &sent).await;
    assert!(now.deleted_at.is_some() && now.reactions.is_empty());
    assert_eq!(stores.chat(chat.id).await.last_change_seq, now.change_seq);
    while stores
        .messages
        .erase_reactions(chat.id, sent.id, 2)
        .await
        .unwrap()
        != Some(0)
    {}
    agree(stores, &sent, &[ada.id, bob.id]).await;
}

/// A reaction is told as a change of its message; one that is there already too.
pub async fn a_reaction_is_told(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let sent = stores.send(chat.id, ada.id, 1).await.remove(0);
    let thumb = emoji("👍");
    let first = add(stores, &sent, &bob, &thumb).await.message;
    add(stores, &sent, &bob, &thumb).await;
    let gone = remove(stores, &sent, &bob, &thumb).await.message;
    let told = stores.events.on(Topic::Chat(chat.id));
    let changed = [&first, &first, &gone].map(|message| Event::MessageChanged {
        message: message.clone(),
        mseq: 0,
    });
    assert_eq!(told[1..], changed);
}

super::suite::rules! {
    reactions_rules:
    a_reaction_is_counted_in_a_change,
    a_reaction_that_is_there_changes_nothing,
    who_may_react,
    a_message_has_so_many_different_emoji,
    a_deletion_takes_the_reactions,
    many_messages_are_asked_for_at_once,
    a_crowd_is_counted_exactly,
    one_who_cannot_decide_is_counted_once_or_not,
    a_deletion_ends_all_that_comes_at_once,
    a_reaction_is_told,
}
