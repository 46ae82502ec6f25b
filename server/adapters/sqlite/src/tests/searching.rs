//! The tree of words over several levels, its look-ups, and messages of before there was a search.

use std::collections::BTreeSet;

use talksy_domain::messages::{ChangeAction, MessageChange};
use talksy_domain::search::{MessageSearch, SearchPage, SearchPlace, SearchQuery, words};

use super::*;

fn wanted(fixture: &Fixture, query: &str, limit: usize) -> MessageSearch {
    MessageSearch {
        query: SearchQuery::parse(query).unwrap(),
        sender: None,
        parts: vec![(fixture.chat.id, 1)],
        after: None,
        limit,
    }
}

async fn all(fixture: &Fixture, query: &str, limit: usize) -> (Vec<u32>, usize) {
    let mut search = wanted(fixture, query, limit);
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let SearchPage { hits, next } = fixture.store.search(&search).await.unwrap();
        found.extend(hits.iter().map(|hit| hit.seq));
        pages += 1;
        match next {
            None => return (found, pages),
            Some(next) => search.after = Some(next),
        }
    }
}

/// Sends so many messages by one transaction of the writer each, at once.
async fn send(fixture: &Fixture, text: impl Fn(u32) -> String, numbers: std::ops::Range<u32>) {
    let mut sending = Vec::new();
    for n in numbers {
        let mut draft = fixture.draft(&text(n));
        draft.created_at = NOW + Duration::from_millis(u64::from(n));
        let store = fixture.store.clone();
        sending.push(tokio::spawn(async move { store.append(&draft).await }));
        if sending.len() == 1_000 {
            for sent in sending.drain(..) {
                done(sent.await.unwrap().unwrap());
            }
        }
    }
    for sent in sending {
        done(sent.await.unwrap().unwrap());
    }
}

/// Three levels: each word of each message is found where it is, also when texts are changed or taken
/// away in full nodes; and nothing is left of what nobody has.
#[tokio::test(flavor = "multi_thread")]
async fn a_tree_of_three_levels_says_what_its_messages_have() {
    const COUNT: u32 = 33_000;
    let fixture = Fixture::new().await;
    let text = |n: u32| {
        format!(
            "all w{} m{} {}",
            n % 7,
            n % 500,
            if n == 5 { "rare" } else { "" }
        )
    };
    send(&fixture, text, 1..COUNT + 1).await;
    // Numbers are given in another order than texts are made.
    let conn = fixture.outside();
    let mut read = conn
        .prepare("SELECT id, seq, text FROM messages ORDER BY seq DESC")
        .unwrap();
    let rows = read.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let rows: Vec<([u8; 16], u32, String)> = rows.unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), COUNT as usize);
    let texts: Vec<_> = rows
        .iter()
        .map(|(_, seq, text)| (*seq, words(text)))
        .collect();
    let of = |query: &str| -> Vec<u32> {
        let query = SearchQuery::parse(query).unwrap();
        let hits = texts.iter().filter(|(_, words)| query.matches(words));
        hits.map(|(seq, _)| *seq).collect()
    };
    for query in [
        "rare", "m499", "w3 m17", "rare m49", "w1 w2", "m49 w", "nothing",
    ] {
        assert_eq!(all(&fixture, query, 100).await.0, of(query), "{query}");
    }
    let levels = "SELECT count(DISTINCT level) FROM search_nodes";
    let levels: u32 = conn.query_row(levels, [], |row| row.get(0)).unwrap();
    assert_eq!(levels, 3);
    let rare = rows
        .iter()
        .find(|(_, _, text)| text.contains("rare"))
        .unwrap();
    for (action, left) in [
        (text_change("other words"), "other"),
        (ChangeAction::Delete, ""),
    ] {
        let change = MessageChange {
            message_id: id::from_bytes(rare.0),
            chat_id: fixture.chat.id,
            actor_id: fixture.users[0].id,
            at: NOW,
            action,
        };
        fixture.store.change(&change).await.unwrap();
        assert_eq!(all(&fixture, "rare", 10).await.0, [0; 0]);
        let found = all(&fixture, "other", 10).await.0;
        assert_eq!(
            found,
            if left.is_empty() {
                vec![]
            } else {
                vec![rare.1]
            }
        );
    }
    for gone in ["rare", "other"] {
        let left = "SELECT count(*) FROM search_nodes WHERE word = ?1";
        let left: u32 = conn.query_row(left, [gone], |row| row.get(0)).unwrap();
        assert_eq!(left, 0, "{gone}");
    }
    let kept = "SELECT count(*) FROM messages WHERE words LIKE '%rare%' OR words LIKE '%other%'";
    let kept: u32 = conn.query_row(kept, [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 0);
}

fn text_change(text: &str) -> ChangeAction {
    ChangeAction::Edit {
        edit: MessageText::parse(text).unwrap().into(),
        expected: None,
    }
}

/// Words that each stand in half of all messages and never together cost a page no more than its bound,
/// and the pages go on to the end.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_never_together_is_looked_for_step_by_step() {
    let fixture = Fixture::new().await;
    let text = |n: u32| ["even", "odd"][n as usize % 2].to_owned();
    send(&fixture, text, 1..20_001).await;
    let found = all(&fixture, "even odd", 10).await;
    assert_eq!((found.0.len(), found.1), (0, 1), "few enough for one page");
    // Of many chats each has a small part of what may be looked at.
    let mut search = wanted(&fixture, "even odd", 10);
    let missing = (0..200).map(|_| (ids().next(), 1));
    search.parts.extend(missing);
    let (mut pages, mut before) = (0, None::<SearchPlace>);
    loop {
        let page = fixture.store.search(&search).await.unwrap();
        assert_eq!(page.hits, []);
        pages += 1;
        let Some(next) = page.next else { break };
        assert!(before.is_none_or(|before| next < before), "it goes on");
        before = Some(next);
        search.after = Some(next);
    }
    assert!(pages > 5, "{pages}");
}

/// What a search costs does not grow with what lies behind it: counted in steps of SQLite's machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_costs_about_the_same_however_long_the_chat_is() {
    let fixture = Fixture::new().await;
    let text = |n: u32| format!("all of us n{n}");
    let mut costs = Vec::new();
    for numbers in [1..101, 101..30_001] {
        send(&fixture, text, numbers).await;
        let mut of = Vec::new();
        for query in ["all", "us all", "a", "n5", "nowhere"] {
            let mut conn = crate::open::connect_reader(&fixture.path(), Duration::ZERO).unwrap();
            let steps = Arc::new(std::sync::atomic::AtomicU64::new(0));
            let counted = Arc::clone(&steps);
            conn.progress_handler(
                10,
                Some(move || {
                    counted.fetch_add(10, std::sync::atomic::Ordering::Relaxed);
                    false
                }),
            )
            .unwrap();
            let page = search::find(&conn, &wanted(&fixture, query, 20)).unwrap();
            assert_eq!(page.hits.is_empty(), query == "nowhere");
            of.push(steps.load(std::sync::atomic::Ordering::Relaxed));
        }
        costs.push(of);
    }
    for (few, many) in costs[0].iter().zip(&costs[1]) {
        assert!(*many < few * 4 + 4_000, "{costs:?}");
    }
}

/// A file of before is searched once the job has come to its messages, in whatever order it does.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_before_are_indexed_step_by_step() {
    let fixture = Fixture::new().await;
    let text = |n: u32| format!("word{} all", n % 3);
    send(&fixture, text, 1..1_101).await;
    let outside = fixture.outside();
    let forget = "UPDATE messages SET words = NULL; DELETE FROM search_nodes;
        UPDATE users SET name_key = 'x' || name_key;";
    outside.execute_batch(forget).unwrap();
    // New ones come meanwhile.
    send(&fixture, text, 1_101..1_130).await;
    assert_eq!(all(&fixture, "all", 100).await.0.len(), 29);
    let (mut after, mut steps) = (None, 0);
    while let Some(last) = fixture.store.index_messages(after, 100).await.unwrap() {
        after = Some(last);
        steps += 1;
        if steps == 5 {
            send(&fixture, text, 1_130..1_160).await;
        }
    }
    assert!(steps >= 11, "{steps}");
    let found: BTreeSet<u32> = all(&fixture, "all", 100).await.0.into_iter().collect();
    assert_eq!(found, (1..=1_159).collect());
    let thirds = all(&fixture, "word1 al", 100).await.0.len();
    assert!((386..=387).contains(&thirds), "{thirds}");
    let mut user = None;
    while let Some(last) = fixture.store.fold_names(user, 1).await.unwrap() {
        user = Some(last);
    }
    let window = Window::forward(None, None).unwrap();
    let page = fixture
        .store
        .users_by_name("a", fixture.users[1].id, &window);
    assert_eq!(page.await.unwrap().items.len(), 1);
}
