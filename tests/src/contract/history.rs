//! Reading messages: pages in every direction, the newest of each chat, and chats' ends.

use talksy_domain::id::{ChatId, MessageId};
use talksy_domain::messages::{Head, Message};
use talksy_domain::page::Window;
use talksy_domain::seq::Seq;

use super::fixture::{Stores, backward, forward, seqs, sorted};
use super::ids;

/// Numbers, `has_previous`, `has_next`.
type Read = (Vec<Seq>, bool, bool);

async fn read(stores: &Stores, chat: ChatId, window: Window<Seq>) -> Read {
    let page = stores.messages.page(chat, &window).await.unwrap();
    let asked = [(chat, window)];
    let pages = stores.messages.pages(&asked).await.unwrap();
    assert_eq!(pages, std::slice::from_ref(&page), "the same among many");
    assert!(page.items.iter().all(|message| message.chat_id == chat));
    (seqs(&page.items), page.has_previous, page.has_next)
}

/// Makes a chat with ten messages, between chats with others.
async fn ten(stores: &Stores) -> (ChatId, Vec<Message>) {
    let [ada, bob, eve] = stores.users().await;
    let before = stores.direct(&ada, &bob).await.id;
    let chat = stores.direct(&eve, &ada).await.id;
    let behind = stores.direct(&bob, &eve).await.id;
    stores.send(before, ada.id, 3).await;
    let mut messages = stores.send(chat, ada.id, 5).await;
    stores.send(behind, bob.id, 3).await;
    messages.extend(stores.send(chat, eve.id, 5).await);
    (chat, messages)
}

/// A page says which messages it has, and whether there are others on either side.
pub async fn a_page_from_the_start(stores: &Stores) {
    let (chat, _) = ten(stores).await;
    let ask = |limit| read(stores, chat, forward(None, limit));
    assert_eq!(ask(3).await, (vec![1, 2, 3], false, true));
    assert_eq!(ask(9).await, ((1..=9).collect(), false, true));
    assert_eq!(ask(10).await, ((1..=10).collect(), false, false));
    assert_eq!(ask(100).await, ((1..=10).collect(), false, false));
}

/// The messages behind a position.
pub async fn a_page_behind_a_message(stores: &Stores) {
    let (chat, _) = ten(stores).await;
    let ask = |after, limit| read(stores, chat, forward(Some(after), limit));
    assert_eq!(ask(1, 3).await, (vec![2, 3, 4], true, true));
    assert_eq!(ask(6, 3).await, (vec![7, 8, 9], true, true));
    assert_eq!(ask(7, 3).await, (vec![8, 9, 10], true, false));
    assert_eq!(ask(9, 3).await, (vec![10], true, false));
}

/// Pages of many chats are told in the order in which they were asked for, one of each.
pub async fn pages_of_many_chats(stores: &Stores) {
    let (ten, _) = ten(stores).await;
    let (ada, _, two) = stores.pair().await;
    stores.send(two.id, ada.id, 2).await;
    let (_, _, empty) = stores.pair().await;
    let asked = [
        (two.id, backward(None, 1)),
        (ten, forward(Some(3), 2)),
        (ids().next(), backward(None, 3)),
        (ten, backward(None, 2)),
        (empty.id, backward(None, 2)),
        (ten, backward(Some(3), 50)),
        (two.id, backward(None, 1)),
    ];
    let pages = stores.messages.pages(&asked).await.unwrap();
    let numbers: Vec<_> = pages.iter().map(|page| seqs(&page.items)).collect();
    let expected = [
        vec![2],
        vec![4, 5],
        vec![],
        vec![9, 10],
        vec![],
        vec![1, 2],
        vec![2],
    ];
    assert_eq!(numbers, expected);
    for ((chat, window), page) in asked.iter().zip(pages) {
        let alone = stores.messages.page(*chat, window).await.unwrap();
        assert_eq!(page, alone);
    }
    assert_eq!(stores.messages.pages(&[]).await.unwrap(), []);
}

/// The newest messages, in the order in which they were sent.
pub async fn a_page_from_the_end(stores: &Stores) {
    let (chat, _) = ten(stores).await;
    let ask = |limit| read(stores, chat, backward(None, limit));
    assert_eq!(ask(3).await, (vec![8, 9, 10], true, false));
    assert_eq!(ask(9).await, ((2..=10).collect(), true, false));
    assert_eq!(ask(10).await, ((1..=10).collect(), false, false));
    assert_eq!(ask(100).await, ((1..=10).collect(), false, false));
}

/// The messages ahead of a position, nearest to it.
pub async fn a_page_ahead_of_a_message(stores: &Stores) {
    let (chat, _) = ten(stores).await;
    let ask = |before, limit| read(stores, chat, backward(Some(before), limit));
    assert_eq!(ask(10, 3).await, (vec![7, 8, 9], true, true));
    assert_eq!(ask(5, 3).await, (vec![2, 3, 4], true, true));
    assert_eq!(ask(4, 3).await, (vec![1, 2, 3], false, true));
    assert_eq!(ask(2, 3).await, (vec![1], false, true));
}

/// The messages between two positions, cut from either side. Of the side that is not cut, only
/// that there is something where the position itself lies is asked of a store.
pub async fn a_page_between_two_messages(stores: &Stores) {
    let (chat, _) = ten(stores).await;
    let ask = async |after, before, limit, from_end| {
        let window = Window {
            after: Some(after),
            before: Some(before),
            limit,
            from_end,
        };
        read(stores, chat, window).await
    };
    assert_eq!(ask(2, 9, 3, false).await, (vec![3, 4, 5], true, true));
    assert_eq!(ask(2, 9, 3, true).await, (vec![6, 7, 8], true, true));
    for from_end in [false, true] {
        let all = (3..=8).collect::<Vec<_>>();
        assert_eq!(ask(2, 9, 6, from_end).await.0, all);
        assert_eq!(ask(2, 9, 100, from_end).await.0, all);
        assert_eq!(ask(4, 5, 10, from_end).await.0, [0; 0]);
        assert_eq!(ask(6, 6, 10, from_end).await.0, [0; 0]);
        assert_eq!(ask(7, 3, 10, from_end).await.0, [0; 0]);
    }
}

/// A page may be empty: at either end, of a chat without messages, of no chat.
pub async fn a_page_of_nothing(stores: &Stores) {
    let (chat, _) = ten(stores).await;
    assert_eq!(
        read(stores, chat, forward(Some(10), 5)).await,
        (vec![], true, false)
    );
    assert_eq!(
        read(stores, chat, backward(Some(1), 5)).await,
        (vec![], false, true)
    );
    let (_, _, empty) = stores.pair().await;
    for nothing in [empty.id, ids().next()] {
        for window in [forward(None, 5), backward(None, 5)] {
            let page = read(stores, nothing, window).await;
            assert_eq!(page, (vec![], false, false));
        }
    }
}

/// A page of no items still says whether there are any.
pub async fn a_page_of_no_size(stores: &Stores) {
    let (chat, _) = ten(stores).await;
    let ask = |window| read(stores, chat, window);
    assert_eq!(ask(forward(None, 0)).await, (vec![], false, true));
    assert_eq!(ask(forward(Some(9), 0)).await, (vec![], true, true));
    assert_eq!(ask(forward(Some(10), 0)).await, (vec![], true, false));
    assert_eq!(ask(backward(None, 0)).await, (vec![], true, false));
    assert_eq!(ask(backward(Some(2), 0)).await, (vec![], true, true));
    assert_eq!(ask(backward(Some(1), 0)).await, (vec![], false, true));
}

/// A position far outside the chat is a position.
pub async fn a_position_may_lie_outside_the_chat(stores: &Stores) {
    let (chat, _) = ten(stores).await;
    let all: Vec<Seq> = (1..=10).collect();
    let ask = async |window| read(stores, chat, window).await.0;
    assert_eq!(ask(forward(Some(0), 100)).await, all);
    assert_eq!(ask(forward(Some(Seq::MAX), 100)).await, [0; 0]);
    assert_eq!(ask(backward(Some(Seq::MAX), 100)).await, all);
    assert_eq!(ask(backward(Some(0), 100)).await, [0; 0]);
}

/// Pages that follow each other, in either direction, are the whole chat.
pub async fn pages_make_up_the_chat(stores: &Stores) {
    let (chat, messages) = ten(stores).await;
    for size in [1, 3, 5, 10] {
        let mut read: Vec<Message> = Vec::new();
        loop {
            let window = forward(read.last().map(|message| message.seq), size);
            let page = stores.messages.page(chat, &window).await.unwrap();
            read.extend(page.items);
            if !page.has_next || read.len() > messages.len() {
                break;
            }
        }
        assert_eq!(read, messages, "forwards by {size}");
        let mut read: Vec<Message> = Vec::new();
        loop {
            let window = backward(read.first().map(|message| message.seq), size);
            let page = stores.messages.page(chat, &window).await.unwrap();
            read.splice(0..0, page.items);
            if !page.has_previous || read.len() > messages.len() {
                break;
            }
        }
        assert_eq!(read, messages, "backwards by {size}");
    }
}

/// Messages are found by id in whatever chat; those that do not exist are left out.
pub async fn unknown_messages_are_left_out(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let [eve] = stores.users().await;
    let other = stores.direct(&ada, &eve).await;
    let here = stores.send(chat.id, bob.id, 2).await;
    let there = stores.send(other.id, eve.id, 1).await;
    let mut wanted: Vec<MessageId> = (0..1_000).map(|_| ids().next()).collect();
    wanted.insert(0, there[0].id);
    wanted.push(here[1].id);
    let mut found = stores.messages.messages(&wanted).await.unwrap();
    found.sort_by_key(|message| message.chat_id == other.id);
    assert_eq!(found, [here[1].clone(), there[0].clone()]);
    assert_eq!(stores.messages.messages(&[]).await.unwrap(), []);
    let none = stores.messages.messages(&wanted[1..1_001]).await;
    assert_eq!(none.unwrap(), []);
}

/// The newest message of each chat that has one.
pub async fn the_newest_message_of_each_chat(stores: &Stores) {
    let (chat, messages) = ten(stores).await;
    let (ada, _, other) = stores.pair().await;
    let (_, _, empty) = stores.pair().await;
    let newest = stores.send(other.id, ada.id, 2).await.remove(1);
    let asked = [other.id, ids().next(), empty.id, chat];
    let mut found = stores.messages.last_messages(&asked).await.unwrap();
    found.sort_by_key(|message| message.seq);
    assert_eq!(found, [newest, messages[9].clone()]);
    assert_eq!(stores.messages.last_messages(&[]).await.unwrap(), []);
    let none = stores.messages.last_messages(&asked[1..3]).await;
    assert_eq!(none.unwrap(), []);
}

/// The end of each chat that exists, 0 where it has no message.
pub async fn the_ends_of_chats(stores: &Stores) {
    let (chat, _) = ten(stores).await;
    let (_, _, empty) = stores.pair().await;
    let asked = [empty.id, ids().next(), chat];
    let found = stores.messages.heads(&asked).await.unwrap();
    let mut expected = Vec::new();
    for id in [chat, empty.id] {
        let chat = stores.chat(id).await;
        expected.push((id, chat.last_seq, chat.applied_seq));
    }
    assert_eq!((expected[0].1, expected[1].1), (10, 0));
    let parts = |head: &Head| (head.chat_id, head.last_seq, head.applied_seq);
    assert_eq!(sorted(found.iter().map(parts)), sorted(expected));
    assert_eq!(stores.messages.heads(&[]).await.unwrap(), []);
}

super::suite::rules! {
    history_rules:
    a_page_from_the_start,
    a_page_behind_a_message,
    a_page_from_the_end,
    a_page_ahead_of_a_message,
    a_page_between_two_messages,
    a_page_of_nothing,
    a_page_of_no_size,
    a_position_may_lie_outside_the_chat,
    pages_make_up_the_chat,
    pages_of_many_chats,
    unknown_messages_are_left_out,
    the_newest_message_of_each_chat,
    the_ends_of_chats,
}
