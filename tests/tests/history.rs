//! A chat's history and its live feed: pages in every direction, where the two meet, and what each
//! viewer is shown of a message.

use std::time::Duration;

use serde_json::{Value, json};
use talksy_domain::cursor::{Cursor as _, MessageCursor};
use talksy_tests::app::TestApp;
use talksy_tests::client::{User, start_of, string};
use talksy_tests::websocket::Subscription;

const PAGE: &str = "query($id: ID!, $first: Int, $after: String, $last: Int, $before: String) {
    node(id: $id) { ... on Chat {
        messages(first: $first, after: $after, last: $last, before: $before) {
            edges { cursor node { seq } }
            pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } } }";

async fn page(user: &User, chat: &str, mut arguments: Value) -> Value {
    arguments["id"] = json!(chat);
    let data = user.client.data(PAGE, arguments).await;
    data["node"]["messages"].clone()
}

fn seqs(page: &Value) -> Vec<i64> {
    let edges = page["edges"].as_array().map_or(&[][..], Vec::as_slice);
    edges
        .iter()
        .filter_map(|edge| edge["node"]["seq"].as_i64())
        .collect()
}

fn more(page: &Value) -> (bool, bool) {
    let info = &page["pageInfo"];
    (
        info["hasPreviousPage"] == json!(true),
        info["hasNextPage"] == json!(true),
    )
}

fn range(from: i64, to: i64) -> Vec<i64> {
    (from..=to).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_read_in_pages_in_both_directions() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let empty = page(&bob, &chat, json!({})).await;
    assert_eq!(
        empty,
        json!({ "edges": [], "pageInfo": { "hasNextPage": false, "hasPreviousPage": false,
                "startCursor": null, "endCursor": null } })
    );
    let mut cursors = vec![Value::Null];
    for n in 1..=60 {
        let sent = ada.send(&chat, &n.to_string()).await;
        cursors.push(sent["edge"]["cursor"].clone());
    }
    // The newest page is the default; the cursors are those that sending gave.
    let newest = page(&bob, &chat, json!({})).await;
    assert_eq!(
        (seqs(&newest), more(&newest)),
        (range(11, 60), (true, false))
    );
    let place = |cursor: &Value| {
        let cursor = MessageCursor::decode(cursor.as_str().unwrap(), "after");
        cursor.map(|cursor| (cursor.chat_id, cursor.seq)).unwrap()
    };
    let of_page = [
        &newest["pageInfo"]["startCursor"],
        &newest["pageInfo"]["endCursor"],
        &newest["edges"][1]["cursor"],
    ];
    let sent = [&cursors[11], &cursors[60], &cursors[12]];
    assert_eq!(of_page.map(place), sent.map(place));

    let steps = [
        (json!({ "last": 3 }), range(58, 60), (true, false)),
        (
            json!({ "last": 3, "before": cursors[58] }),
            range(55, 57),
            (true, true),
        ),
        (
            json!({ "last": 100, "before": cursors[4] }),
            range(1, 3),
            (false, true),
        ),
        (
            json!({ "last": 2, "before": cursors[1] }),
            vec![],
            (false, true),
        ),
        (json!({ "first": 2 }), range(1, 2), (false, true)),
        (
            json!({ "first": 2, "after": cursors[2] }),
            range(3, 4),
            (true, true),
        ),
        (
            json!({ "first": 100, "after": cursors[58] }),
            range(59, 60),
            (true, false),
        ),
        (
            json!({ "after": cursors[58] }),
            range(59, 60),
            (true, false),
        ),
        (
            json!({ "first": 5, "after": cursors[60] }),
            vec![],
            (true, false),
        ),
        (
            json!({ "after": cursors[10], "before": cursors[14] }),
            range(11, 13),
            (true, false),
        ),
        (
            json!({ "last": 2, "after": cursors[10], "before": cursors[14] }),
            range(12, 13),
            (true, true),
        ),
        (json!({ "first": 0 }), vec![], (false, true)),
        (json!({ "last": 0 }), vec![], (true, false)),
    ];
    for (arguments, expected, around) in steps {
        let part = page(&bob, &chat, arguments.clone()).await;
        assert_eq!(
            (seqs(&part), more(&part)),
            (expected, around),
            "{arguments}"
        );
    }

    // Back to the beginning, page by page.
    let mut read = Vec::new();
    let mut before = Value::Null;
    loop {
        let part = page(&bob, &chat, json!({ "last": 7, "before": before })).await;
        read.splice(0..0, seqs(&part));
        if !more(&part).0 {
            break;
        }
        before = part["pageInfo"]["startCursor"].clone();
    }
    assert_eq!(read, range(1, 60));
}

#[tokio::test(flavor = "multi_thread")]
async fn history_and_the_live_feed_meet_without_a_gap_while_messages_are_sent() {
    const COUNT: i64 = 150;
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let sending = {
        let (ada, chat) = (ada.clone(), chat.clone());
        tokio::spawn(async move {
            for n in 1..=COUNT {
                ada.send(&chat, &n.to_string()).await;
            }
        })
    };
    // Three clients that come at different moments; each reads what is there, then follows.
    for size in [5, 20, 50] {
        let mut read = Vec::new();
        let mut after = Value::Null;
        loop {
            let part = page(&bob, &chat, json!({ "first": size, "after": after })).await;
            read.extend(seqs(&part));
            if let Some(end) = part["pageInfo"]["endCursor"].as_str() {
                after = json!(end);
            }
            if !more(&part).1 && !read.is_empty() {
                break;
            }
        }
        let mut feed = bob.follow(&chat, Some(&string(&after))).await;
        while read.last() != Some(&COUNT) {
            read.extend(feed.seqs(1).await);
        }
        assert_eq!(read, range(1, COUNT));
    }
    if let Err(error) = sending.await {
        panic!("{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_missed_too_much_is_told_to_read_the_history() {
    let app = TestApp::builder()
        .config(|config| config.live.replay_limit = 5)
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    let mut cursors = Vec::new();
    for n in 1..=8 {
        let sent = ada.send(&chat, &n.to_string()).await;
        cursors.push(string(&sent["edge"]["cursor"]));
    }
    let mut late = bob.follow(&chat, Some(&cursors[1])).await;
    assert_eq!(late.error_code().await, "RESYNC_REQUIRED");
    // Five are replayed, and then the feed goes on.
    let mut resumed = bob.follow(&chat, Some(&cursors[2])).await;
    let mut live = bob.follow(&chat, None).await;
    ada.send(&chat, "9").await;
    assert_eq!(resumed.seqs(6).await, range(4, 9));
    assert_eq!(live.seqs(1).await, [9]);

    // The way back: read the newest page, follow from its end.
    let newest = page(&bob, &chat, json!({ "last": 3 })).await;
    let end = string(&newest["pageInfo"]["endCursor"]);
    let mut again = bob.follow(&chat, Some(&end)).await;
    ada.send(&chat, "10").await;
    assert_eq!(again.seqs(1).await, [10]);
}

async fn added(feed: &mut Subscription) -> Value {
    feed.next().await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_viewer_is_shown_their_own_view_of_the_same_message() {
    // Everything here depends on who asks.
    const OWN: &str = "subscription($id: ID!, $after: String) { messageAdded(chatId: $id, after: $after) { node { text
        chat { unreadCount title peer { name } viewerMember { lastReadSeq } }
        sender { name email } } } }";
    // And nothing here: its bytes are made once for all.
    const SHARED: &str = "subscription($id: ID!, $after: String) { messageAdded(chatId: $id, after: $after) { node { text
        chat { id kind } sender { name } } } }";
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let id = json!({ "id": chat, "after": start_of(&chat) });
    let mut feeds = Vec::new();
    for query in [OWN, SHARED] {
        for user in [&ada, &bob, &ada, &bob] {
            feeds.push(user.client.subscribe(query, id.clone()).await);
        }
    }
    for (text, unread) in [("one", 1), ("two", 2)] {
        ada.send(&chat, text).await;
        let adas = json!({ "messageAdded": { "node": { "text": text,
            "chat": { "unreadCount": 0, "title": "bob", "peer": { "name": "bob" },
                      "viewerMember": { "lastReadSeq": 0 } },
            "sender": { "name": "ada", "email": "ada@example.org" } } } });
        let bobs = json!({ "messageAdded": { "node": { "text": text,
            "chat": { "unreadCount": unread, "title": "ada", "peer": { "name": "ada" },
                      "viewerMember": { "lastReadSeq": 0 } },
            "sender": { "name": "ada", "email": null } } } });
        let everybodys = json!({ "messageAdded": { "node": { "text": text,
            "chat": { "id": chat, "kind": "DIRECT" }, "sender": { "name": "ada" } } } });
        let expected = [
            &adas,
            &bobs,
            &adas,
            &bobs,
            &everybodys,
            &everybodys,
            &everybodys,
            &everybodys,
        ];
        for (feed, expected) in feeds.iter_mut().zip(expected) {
            assert_eq!(&added(feed).await, expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_in_every_form_get_what_they_select() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let start = start_of(&chat);
    let literal = format!(
        "subscription {{ messageAdded(chatId: \"{chat}\", after: \"{start}\") {{ node {{ seq }} }} }}"
    );
    let operations = [
        (
            "subscription A($chat: ID!, $after: String) { messageAdded(chatId: $chat, after: $after) { ...E } }
             fragment E on MessageEdge { node { ...M } } fragment M on Message { seq text }",
            json!({ "messageAdded": { "node": { "seq": 1, "text": "hi" } } }),
        ),
        (
            "subscription($chat: ID!, $after: String) { new: messageAdded(chatId: $chat, after: $after) { node { number: seq } } }",
            json!({ "new": { "node": { "number": 1 } } }),
        ),
        (
            "subscription($chat: ID!, $after: String, $yes: Boolean = true) { messageAdded(chatId: $chat, after: $after) {
                node { seq @include(if: $yes) text @skip(if: $yes) __typename } } }",
            json!({ "messageAdded": { "node": { "seq": 1, "__typename": "Message" } } }),
        ),
        (
            "subscription($chat: ID!, $after: String) { messageAdded(chatId: $chat, after: $after) {
                node { ... on Message { seq } ... on Node { id } } } }",
            Value::Null,
        ),
        (
            "subscription($chat: ID!, $after: String) { messageAdded(chatId: $chat, after: $after) {
                node { seq ...M } ... { node { kind } } } } fragment M on Message { seq text }",
            json!({ "messageAdded": { "node": { "seq": 1, "text": "hi", "kind": "TEXT" } } }),
        ),
        (
            "subscription($chat: ID!, $after: String) { messageAdded(chatId: $chat, after: $after) {
                node { isReadByAll readBy { nodes { lastReadSeq } } chat { lastSeq } } } }",
            json!({ "messageAdded": { "node": { "isReadByAll": false, "readBy": { "nodes": [] },
                    "chat": { "lastSeq": 1 } } } }),
        ),
        (
            literal.as_str(),
            json!({ "messageAdded": { "node": { "seq": 1 } } }),
        ),
    ];
    let variables = json!({ "chat": chat, "after": start_of(&chat) });
    let mut feeds = Vec::new();
    for (query, _) in &operations {
        for user in [&ada, &bob] {
            feeds.push(user.client.subscribe(query, variables.clone()).await);
        }
    }
    let sent = ada.send(&chat, "hi").await;
    for (n, feed) in feeds.iter_mut().enumerate() {
        let (query, expected) = &operations[n / 2];
        let data = added(feed).await;
        if expected.is_null() {
            let node = json!({ "seq": 1, "id": sent["message"]["id"] });
            assert_eq!(data["messageAdded"]["node"], node);
        } else {
            assert_eq!(&data, expected, "{query}");
        }
    }
    // A subscription has one field; two are refused whole.
    let two = "subscription($chat: ID!, $after: String) { a: messageAdded(chatId: $chat, after: $after) { cursor }
        b: messageAdded(chatId: $chat, after: $after) { cursor } }";
    let mut refused = bob.client.subscribe(two, variables).await;
    assert_eq!(refused.error_code().await, "GRAPHQL_VALIDATION_FAILED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_message_shows_the_state_of_now() {
    const ADDED: &str = "subscription($id: ID!, $after: String) {
        messageAdded(chatId: $id, after: $after) { node { seq isReadByAll chat { lastSeq } } } }";
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let first = ada.send(&chat, "one").await;
    ada.send(&chat, "two").await;
    let after = json!({ "id": chat, "after": first["edge"]["cursor"] });
    for read in [false, true] {
        if read {
            bob.mark_read(&chat, 2).await;
        }
        let mut feed = ada.client.subscribe(ADDED, after.clone()).await;
        assert_eq!(
            added(&mut feed).await["messageAdded"]["node"],
            json!({ "seq": 2, "isReadByAll": read, "chat": { "lastSeq": 2 } })
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_event_was_lost_comes_by_itself() {
    use talksy_tests::chaos::{Faults, bad_bus};
    let faults = Faults {
        lose: 100,
        ..Faults::default()
    };
    let app = TestApp::builder()
        .config(|config| config.live.heartbeat = Duration::from_millis(200))
        .ports(move |ports| talksy_domain::services::Ports {
            bus: bad_bus(faults, 7, 16),
            ..ports
        })
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    let mut feed = bob.follow(&chat, None).await;
    for n in 1..=3 {
        ada.send(&chat, &n.to_string()).await;
    }
    assert_eq!(feed.seqs(3).await, [1, 2, 3]);
}
