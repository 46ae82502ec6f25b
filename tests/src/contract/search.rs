//! The search of messages.

use std::collections::HashSet;

use talksy_domain::clock::Timestamp;
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::messages::{ChangeAction, Message};
use talksy_domain::search::{MessageSearch, SearchPlace, SearchQuery, words};
use talksy_domain::seq::Seq;

use super::fixture::{Stores, draft, text_of};
use super::{now, word};

pub(super) fn search(query: &str, parts: &[(ChatId, Seq)]) -> MessageSearch {
    MessageSearch {
        query: SearchQuery::parse(query).unwrap(),
        sender: None,
        parts: parts.to_vec(),
        after: None,
        limit: 100,
    }
}

/// All hits, read in pages of this size.
pub(super) async fn all(stores: &Stores, search: &MessageSearch, size: usize) -> Vec<Message> {
    let mut search = MessageSearch {
        limit: size,
        ..search.clone()
    };
    let mut found = Vec::new();
    loop {
        let page = stores.messages.search(&search).await.unwrap();
        assert!(page.hits.len() <= size);
        found.extend(page.hits);
        let Some(next) = page.next else {
            return found;
        };
        assert!(search.after.is_none_or(|after| next < after), "it goes on");
        search.after = Some(next);
    }
}

async fn texts(stores: &Stores, query: &str, chat: ChatId) -> Vec<String> {
    let hits = all(stores, &search(query, &[(chat, 1)]), 100).await;
    let text = |hit: &Message| hit.text.as_ref().unwrap().as_str().to_owned();
    hits.iter().map(text).collect()
}

pub(super) async fn say(
    stores: &Stores,
    chat: ChatId,
    sender: UserId,
    text: &str,
    at: Timestamp,
) -> Message {
    let said = Message {
        text: Some(text_of(text)),
        created_at: at,
        ..draft(chat, sender)
    };
    stores.append(&said).await.message
}

fn edit(text: &str) -> ChangeAction {
    ChangeAction::Edit {
        edit: text_of(text).into(),
        expected: None,
    }
}

/// All words must match, the last one as a prefix; neither case nor accents count.
pub async fn words_of_all_scripts_are_found(stores: &Stores) {
    let (ada, _, chat) = stores.pair().await;
    for text in [
        "The quick brown fox",
        "Café Größe",
        "我喜欢东京的猫",
        "안녕하세요 세계",
        "שלום עולם",
        "party 🎉👍🏽",
        "สวัสดีครับ",
    ] {
        say(stores, chat.id, ada.id, text, now()).await;
    }
    for (query, found) in [
        ("QUICK fo", "The quick brown fox"),
        ("cafe", "Café Größe"),
        ("GROSSE", "Café Größe"),
        ("东京", "我喜欢东京的猫"),
        ("猫", "我喜欢东京的猫"),
        ("세계", "안녕하세요 세계"),
        ("עול", "שלום עולם"),
        ("🎉", "party 🎉👍🏽"),
        ("👍", "party 🎉👍🏽"),
        ("สวัส", "สวัสดีครับ"),
    ] {
        assert_eq!(texts(stores, query, chat.id).await, [found], "{query}");
    }
    for query in ["qui fox", "foxes", "京东", "quick cafe"] {
        assert_eq!(texts(stores, query, chat.id).await, [""; 0], "{query}");
    }
}

/// What is edited is found by its new words alone, and what is deleted no more, wherever it stands.
pub async fn edits_and_deletions_reach_the_search(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let mut sent = Vec::new();
    for n in 0..70 {
        let text = format!(
            "alpha number{n} {}",
            if n == 5 { "secret" } else { "plain" }
        );
        sent.push(say(stores, chat.id, ada.id, &text, now()).await);
    }
    assert_eq!(texts(stores, "secret", chat.id).await.len(), 1);
    for n in [5, 69] {
        stores.change(&sent[n], ada.id, edit("omega")).await;
    }
    assert_eq!(texts(stores, "secret", chat.id).await.len(), 0);
    assert_eq!(texts(stores, "omega", chat.id).await.len(), 2);
    assert_eq!(texts(stores, "alpha", chat.id).await.len(), 68);
    for n in [5, 20, 69] {
        stores.change(&sent[n], ada.id, ChangeAction::Delete).await;
    }
    assert_eq!(texts(stores, "omega", chat.id).await.len(), 0);
    assert_eq!(texts(stores, "number20", chat.id).await.len(), 0);
    assert_eq!(texts(stores, "alpha", chat.id).await.len(), 67);
    // A pin is no edit.
    let pin = ChangeAction::Pin { is_pinned: true };
    stores.change(&sent[6], bob.id, pin).await;
    assert_eq!(texts(stores, "number6", chat.id).await.len(), 10);
    assert_eq!(texts(stores, "number6 alpha", chat.id).await.len(), 1);
}

/// Of several chats the newest hits come first, each once, however the pages are cut and also where
/// messages were sent at the same time.
pub async fn hits_of_many_chats_come_newest_first(stores: &Stores) {
    let [ada, bob, cyd, dan] = stores.users().await;
    let chats = [
        stores.direct(&ada, &bob).await.id,
        stores.direct(&ada, &cyd).await.id,
        stores.group(&[&ada, &bob]).await.id,
    ];
    let other = stores.direct(&bob, &dan).await.id;
    let (common, start) = (word(), now());
    for n in 0..60_u64 {
        let chat = chats[usize::try_from(n * 7 % 3).unwrap()];
        // Three of each moment.
        let at = start + std::time::Duration::from_millis(n / 3);
        let text = format!("{common} {}", n % 4);
        say(stores, chat, ada.id, &text, at).await;
    }
    say(stores, other, bob.id, &common, now()).await;
    let parts = chats.map(|chat| (chat, 1));
    for (query, count) in [(common.clone(), 60), (format!("1 {common}"), 15)] {
        let wanted = search(&query, &parts);
        let whole = all(stores, &wanted, 100).await;
        assert_eq!(whole.len(), count);
        let places: Vec<_> = whole.iter().map(SearchPlace::of).collect();
        assert!(places.is_sorted_by(|one, other| one > other));
        for size in [1, 2, 7] {
            assert_eq!(all(stores, &wanted, size).await, whole, "{size}");
        }
    }
}

/// What lies below a part is not found, and messages of one sender alone where that is asked for.
pub async fn only_what_is_asked_for_is_found(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let chat = stores.group(&[&ada, &bob, &cyd]).await;
    let other = stores.direct(&ada, &bob).await;
    for n in 0..40 {
        let sender = [&ada, &bob][n % 2];
        say(stores, chat.id, sender.id, "hello there", now()).await;
        say(stores, other.id, sender.id, "hello there", now()).await;
    }
    let seqs = async |search: &MessageSearch| {
        let found = all(stores, search, 9).await;
        let of_chat = found.iter().filter(|hit| hit.chat_id == chat.id);
        let seqs: Vec<_> = of_chat.map(|hit| hit.seq).collect();
        (found.len(), seqs)
    };
    // The first is the group's own.
    let late = search("hel", &[(chat.id, 38)]);
    assert_eq!(seqs(&late).await, (4, vec![41, 40, 39, 38]));
    let of_bob = MessageSearch {
        sender: Some(bob.id),
        ..late.clone()
    };
    assert_eq!(seqs(&of_bob).await, (2, vec![41, 39]));
    let both = search("hel", &[(chat.id, 40), (other.id, 39)]);
    assert_eq!(seqs(&both).await.0, 4);
    let of_cyd = MessageSearch {
        sender: Some(cyd.id),
        ..both
    };
    assert_eq!(seqs(&of_cyd).await.0, 0);
    let nowhere = search("hello", &[(chat.id, 99)]);
    let nowhere = stores.messages.search(&nowhere).await.unwrap();
    assert_eq!((nowhere.hits.len(), nowhere.next), (0, None));
}

/// Pages stay where they are while messages come.
pub async fn a_page_goes_on_behind_its_cursor_while_messages_come(stores: &Stores) {
    let (ada, _, chat) = stores.pair().await;
    for n in 0..33 {
        say(stores, chat.id, ada.id, &format!("word {n}"), now()).await;
    }
    let mut wanted = search("word", &[(chat.id, 1)]);
    wanted.limit = 5;
    let mut seen = Vec::new();
    loop {
        let page = stores.messages.search(&wanted).await.unwrap();
        seen.extend(page.hits.iter().map(|hit| hit.seq));
        let Some(next) = page.next else { break };
        wanted.after = Some(next);
        say(stores, chat.id, ada.id, "another word", now()).await;
    }
    assert_eq!(seen, (1..=33).rev().collect::<Vec<_>>());
}

/// A few words, some of which come often.
fn some_words(draw: &mut impl FnMut(usize) -> usize) -> String {
    const WORDS: [&str; 12] = [
        "a", "ab", "abc", "b", "Ba", "ç", "日本", "本日", "x1", "x2", "rare", "👍",
    ];
    let mut some = Vec::new();
    for _ in 0..=draw(4) {
        let (one, other) = (draw(12), draw(12));
        some.push(WORDS[one.min(other)]);
    }
    some.join(" ")
}

#[expect(clippy::print_stdout, reason = "a failed test shows it")]
fn tell_seed(seed: u64) {
    println!("seed {seed}");
}

/// What random texts have and random queries ask for, held against a look at each message.
pub async fn any_search_finds_what_a_look_at_all_messages_finds(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let mut state = u64::from_be_bytes(super::random());
    tell_seed(state);
    let mut draw = |most: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % most
    };
    let mut sent = Vec::new();
    for n in 0..130 {
        let sender = [&ada, &bob][draw(2)];
        let text = some_words(&mut draw);
        sent.push(say(stores, chat.id, sender.id, &text, now()).await);
        if n % 3 == 0 {
            let message = sent[draw(sent.len())].clone();
            let action = if draw(3) == 0 {
                ChangeAction::Delete
            } else {
                edit(&some_words(&mut draw))
            };
            // One that is deleted already is left.
            let sender = message.sender_id.unwrap();
            let _ = super::fixture::ask(stores, &message, sender, action).await;
        }
    }
    let now_there = stores.all_messages(chat.id).await;
    for _ in 0..40 {
        let query = some_words(&mut draw);
        let from = Seq::try_from(1 + draw(130)).unwrap() * Seq::from(draw(2) == 0);
        let mut wanted = search(&query, &[(chat.id, from.max(1))]);
        wanted.sender = (draw(3) == 0).then_some(bob.id);
        let is_hit = |message: &&Message| {
            let text = message.text.as_ref().map(|text| words(text.as_str()));
            message.seq >= from
                && text.is_some_and(|words| wanted.query.matches(&words))
                && wanted
                    .sender
                    .is_none_or(|sender| message.sender_id == Some(sender))
        };
        let expected: HashSet<_> = now_there.iter().filter(is_hit).map(|hit| hit.seq).collect();
        let found = all(stores, &wanted, 1 + draw(20)).await;
        let seqs: HashSet<_> = found.iter().map(|hit| hit.seq).collect();
        assert_eq!(seqs, expected, "{query}");
        assert_eq!(seqs.len(), found.len(), "each once");
    }
}

/// Words that most messages have, beginnings of one letter, and words that are never together: the hits
/// are the same however frequent the words are, and however many chats have them.
pub async fn frequent_words_are_found_like_rare_ones(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let chats = [
        stores.group(&[&ada, &bob]).await.id,
        stores.direct(&ada, &cyd).await.id,
    ];
    let start = now();
    for n in 0..280_u32 {
        for chat in chats {
            let sender = if n % 5 == 0 { ada.id } else { bob.id };
            let sender = if chat == chats[1] { ada.id } else { sender };
            let either = if n < 150 { "early" } else { "later" };
            let text = format!("always {either} a{n}");
            // Some at the same time.
            let at = start + std::time::Duration::from_millis(u64::from(n / 2));
            say(stores, chat, sender, &text, at).await;
        }
    }
    let whole = chats.map(|chat| (chat, 1));
    let cut = [(chats[0], 101), (chats[1], 1)];
    // The first of the group is its own.
    for (query, sender, parts, count) in [
        ("always", None, whole, 560),
        ("a", None, whole, 560),
        ("e", None, whole, 300),
        ("always early", None, whole, 300),
        ("early later", None, whole, 0),
        ("later a1", None, whole, 100),
        ("early a1", None, whole, 2 * 61),
        ("a27", None, whole, 2 * 11),
        ("a", Some(ada.id), whole, 280 + 56),
        ("later", Some(bob.id), whole, 104),
        ("a", None, cut, 181 + 280),
        ("early", Some(ada.id), cut, 10 + 150),
    ] {
        let wanted = MessageSearch {
            sender,
            ..search(query, &parts)
        };
        let found = all(stores, &wanted, 100).await;
        assert_eq!(found.len(), count, "{query}");
        let places: Vec<_> = found.iter().map(SearchPlace::of).collect();
        assert!(places.is_sorted_by(|one, other| one > other), "{query}");
        assert_eq!(all(stores, &wanted, 37).await, found, "{query}");
    }
}

/// The job that indexes what earlier releases have kept finds nothing to do, and harms nothing.
pub async fn indexing_again_changes_nothing(stores: &Stores) {
    let (ada, _, chat) = stores.pair().await;
    say(stores, chat.id, ada.id, "Crème brûlée", now()).await;
    let mut after = None;
    while let Some(last) = stores.messages.index_messages(after, 100).await.unwrap() {
        after = Some(last);
    }
    assert_eq!(texts(stores, "creme bru", chat.id).await, ["Crème brûlée"]);
    let (mut user, mut group) = (None, None);
    while let Some(last) = stores.users.fold_names(user, 100).await.unwrap() {
        user = Some(last);
    }
    while let Some(last) = stores.chats.fold_titles(group, 100).await.unwrap() {
        group = Some(last);
    }
}

super::suite::rules! {
    search_rules:
    words_of_all_scripts_are_found,
    edits_and_deletions_reach_the_search,
    hits_of_many_chats_come_newest_first,
    only_what_is_asked_for_is_found,
    a_page_goes_on_behind_its_cursor_while_messages_come,
    any_search_finds_what_a_look_at_all_messages_finds,
    frequent_words_are_found_like_rare_ones,
    indexing_again_changes_nothing,
}
