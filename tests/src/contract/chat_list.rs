//! A user's list of chats: its order, its pages, and the search in it.

use std::time::Duration;

use talksy_domain::chats::Chat;
use talksy_domain::cursor::ChatCursor;
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::messages::Message;
use talksy_domain::users::{ProfileChange, User};

use super::fixture::{Stores, draft, forward, name_of};
use super::{ids, now};

const SECOND: Duration = Duration::from_secs(1);

fn place(chat: &Chat) -> ChatCursor {
    ChatCursor {
        active_at: chat.active_at,
        chat_id: chat.id,
    }
}

async fn list(stores: &Stores, user: UserId, search: Option<&str>) -> Vec<ChatId> {
    let page = stores
        .chats
        .chats_of(user, search, &forward(None, 100))
        .await
        .unwrap();
    assert!(!page.has_next && !page.has_previous);
    page.items.iter().map(|chat| chat.id).collect()
}

/// Makes a user with chats of which three each were begun at the same time, in the list's order.
async fn with_ties(stores: &Stores, count: usize) -> (User, Vec<Chat>) {
    let [ada] = stores.users().await;
    let start = now();
    let mut chats = Vec::new();
    for n in 0..count {
        let [other] = stores.users().await;
        let at = start + SECOND * u32::try_from(n / 3).unwrap();
        chats.push(stores.direct_at(&ada, &other, at).await);
    }
    chats.sort_by_key(|chat| std::cmp::Reverse((chat.active_at, chat.id)));
    (ada, chats)
}

/// The most recently active chat comes first, and a message makes its chat that.
pub async fn chats_are_in_order_of_activity(stores: &Stores) {
    let [ada, bob, eve] = stores.users().await;
    let start = now();
    let with_bob = stores.direct_at(&ada, &bob, start).await;
    let with_eve = stores.direct_at(&ada, &eve, start + SECOND).await;
    stores.direct_at(&bob, &eve, start + SECOND).await;
    assert_eq!(
        list(stores, ada.id, None).await,
        [with_eve.id, with_bob.id],
        "the user's own"
    );
    let message = Message {
        created_at: start + SECOND * 2,
        ..draft(with_bob.id, bob.id)
    };
    stores.append(&message).await;
    assert_eq!(list(stores, ada.id, None).await, [with_bob.id, with_eve.id]);
    assert_eq!(list(stores, ids().next(), None).await, []);
}

/// The list shows each chat as it is now.
pub async fn the_list_shows_chats_as_they_are(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    stores.send(chat.id, bob.id, 3).await;
    let page = stores
        .chats
        .chats_of(ada.id, None, &forward(None, 10))
        .await
        .unwrap();
    assert_eq!(page.items, [stores.chat(chat.id).await]);
    assert_eq!(page.items[0].last_seq, 3);
}

/// Of chats that were active at the same time the larger id comes first.
pub async fn ties_are_broken_by_id(stores: &Stores) {
    let (ada, chats) = with_ties(stores, 6).await;
    let expected: Vec<_> = chats.iter().map(|chat| chat.id).collect();
    assert_eq!(list(stores, ada.id, None).await, expected);
}

/// Pages follow each other without a double or a hole, also within a tie.
pub async fn chats_are_read_in_pages(stores: &Stores) {
    let (ada, chats) = with_ties(stores, 9).await;
    for size in [1, 2, 4, 9] {
        let mut read: Vec<Chat> = Vec::new();
        loop {
            let window = forward(read.last().map(place), size);
            let page = stores.chats.chats_of(ada.id, None, &window).await.unwrap();
            assert_eq!(page.has_previous, !read.is_empty());
            assert!(page.items.len() == size || !page.has_next);
            read.extend(page.items);
            assert_eq!(page.has_next, read.len() < chats.len());
            if !page.has_next {
                break;
            }
        }
        assert_eq!(read, chats, "in pages of {size}");
    }
}

/// A chat that becomes active between two pages is not shown a second time.
pub async fn activity_between_pages_shows_no_chat_twice(stores: &Stores) {
    let (ada, chats) = with_ties(stores, 6).await;
    let first = forward(None, 3);
    let first = stores.chats.chats_of(ada.id, None, &first).await.unwrap();
    assert_eq!(first.items, chats[..3]);
    for active in [&chats[1], &chats[4]] {
        let message = Message {
            created_at: chats[0].active_at + SECOND,
            ..draft(active.id, ada.id)
        };
        stores.append(&message).await;
    }
    let second = forward(Some(place(&chats[2])), 10);
    let second = stores.chats.chats_of(ada.id, None, &second).await.unwrap();
    assert_eq!(second.items, [chats[3].clone(), chats[5].clone()]);
}

/// A page of no items says whether there are any; one that is exactly full has no next.
pub async fn the_edges_of_a_page_of_chats(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let ask = async |after, limit| {
        let window = forward(after, limit);
        let page = stores.chats.chats_of(ada.id, None, &window).await.unwrap();
        (page.items.len(), page.has_next)
    };
    assert_eq!(ask(None, 0).await, (0, false));
    let chat = stores.direct(&ada, &bob).await;
    assert_eq!(ask(None, 0).await, (0, true));
    assert_eq!(ask(None, 1).await, (1, false));
    assert_eq!(ask(Some(place(&chat)), 1).await, (0, false));
}

/// A search finds a part of the other member's name, in any case, with accents or without, and never one's own.
pub async fn a_search_finds_the_other_members_name(stores: &Stores) {
    let ada = stores.user("Ada Lovelace").await;
    let bob = stores.user("Bob Åström").await;
    let eve = stores.user("Eve").await;
    let start = now();
    let with_bob = stores.direct_at(&ada, &bob, start).await.id;
    let with_eve = stores.direct_at(&ada, &eve, start + SECOND).await.id;
    let bob_and_eve = stores.direct_at(&bob, &eve, start).await.id;
    for (text, expected) in [
        ("Bob", vec![with_bob]),
        ("bOB å", vec![with_bob]),
        ("ÅSTRÖM", vec![with_bob]),
        ("tröm", vec![with_bob]),
        ("eve", vec![with_eve]),
        ("e", vec![with_eve]),
        ("strom", vec![with_bob]),
        ("bobå", vec![]),
        ("Lovelace", vec![]),
    ] {
        let found = list(stores, ada.id, Some(text)).await;
        assert_eq!(found, expected, "chats with {text:?}");
    }
    assert_eq!(list(stores, bob.id, Some("ada")).await, [with_bob]);
    assert_eq!(list(stores, eve.id, Some("bob")).await, [bob_and_eve]);
}

/// What patterns, expressions and escapes are made of stands for itself.
pub async fn wildcards_in_a_search_mean_themselves(stores: &Stores) {
    let [ada] = stores.users().await;
    let plain = stores.user("plain name").await;
    stores.direct(&ada, &plain).await;
    for wild in [
        "%", "_", "\\", "*", "?", ".", "^", "$", "[a-z]", "(p", "p|", "'", "\"", "\\E", "{1}",
    ] {
        let other = stores.user(&format!("a{wild}z")).await;
        let chat = stores.direct(&ada, &other).await;
        assert_eq!(list(stores, ada.id, Some(wild)).await, [chat.id], "{wild}");
        // Of the backslash and the expression with one, one contains the other.
        let change = ProfileChange {
            name: Some(name_of("gone")),
            about: None,
            metadata: None,
            avatar: None,
        };
        let renamed = stores.users.update_profile(other.id, &change).await;
        assert_eq!(renamed.unwrap().unwrap().name.as_str(), "gone");
    }
}

/// A search goes by the name that the other has now.
pub async fn a_search_goes_by_the_present_name(stores: &Stores) {
    let [ada] = stores.users().await;
    let bob = stores.user("Bob").await;
    let chat = stores.direct(&ada, &bob).await;
    let change = ProfileChange {
        name: Some(name_of("Röbert")),
        about: None,
        metadata: None,
        avatar: None,
    };
    stores.users.update_profile(bob.id, &change).await.unwrap();
    assert_eq!(list(stores, ada.id, Some("bob")).await, []);
    assert_eq!(list(stores, ada.id, Some("RÖB")).await, [chat.id]);
}

/// What a search finds comes in the list's order and in pages, which know of nothing else.
pub async fn a_search_is_read_in_pages(stores: &Stores) {
    let [ada] = stores.users().await;
    let start = now();
    let mut found = Vec::new();
    for n in 0..10_u32 {
        let is_match = n % 2 == 0;
        let other = stores.user(if is_match { "Match" } else { "Other" }).await;
        let chat = stores.direct_at(&ada, &other, start + SECOND * n).await;
        if is_match {
            found.insert(0, chat);
        }
    }
    let mut read: Vec<Chat> = Vec::new();
    while read.len() < found.len() {
        let window = forward(read.last().map(place), 2);
        let page = stores.chats.chats_of(ada.id, Some("match"), &window);
        let page = page.await.unwrap();
        assert!(!page.items.is_empty());
        read.extend(page.items);
        assert_eq!(page.has_next, read.len() < found.len());
    }
    assert_eq!(read, found);
}

super::suite::rules! {
    chat_list_rules:
    chats_are_in_order_of_activity,
    the_list_shows_chats_as_they_are,
    ties_are_broken_by_id,
    chats_are_read_in_pages,
    activity_between_pages_shows_no_chat_twice,
    the_edges_of_a_page_of_chats,
    a_search_finds_the_other_members_name,
    wildcards_in_a_search_mean_themselves,
    a_search_goes_by_the_present_name,
    a_search_is_read_in_pages,
}
