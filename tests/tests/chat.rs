//! Two people talk: what they see of each other's messages, marks and lists.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{SEND, User, string};
use talksy_tests::websocket::Subscription;

const SECOND: Duration = Duration::from_secs(1);

const CHATS: &str = "query($first: Int, $after: String, $search: String) {
    chats(first: $first, after: $after, search: $search) {
        nodes { id kind title lastSeq unreadCount memberCount activeAt peer { name }
            lastMessage { text sender { name } } viewerMember { lastReadSeq } }
        edges { cursor } pageInfo { hasNextPage hasPreviousPage endCursor } } }";
const CHAT_UPDATED: &str = "subscription { chatUpdated {
    id lastSeq unreadCount title lastMessage { text isReadByAll } } }";
const RECEIPTS: &str = "subscription($id: ID!) { readReceiptUpdated(chatId: $id) {
    lastReadSeq readAt user { id name } chat { id } } }";

async fn chats(user: &User, variables: Value) -> Value {
    user.client.data(CHATS, variables).await["chats"].clone()
}

/// The titles of a list of chats.
fn titles(chats: &Value) -> Vec<&str> {
    let nodes = chats["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    nodes
        .iter()
        .map(|chat| chat["title"].as_str().unwrap_or(""))
        .collect()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// Reads the sidebar's feed until the chat looks so; returns what else came on the way.
async fn until(feed: &mut Subscription, chat: &str, looks: impl Fn(&Value) -> bool) -> Vec<Value> {
    let mut seen = Vec::new();
    loop {
        let update = feed.next().await["chatUpdated"].clone();
        assert_eq!(update["id"], json!(chat), "{update}");
        let done = looks(&update);
        seen.push(update);
        if done {
            return seen;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_see_each_others_messages_live_and_none_is_lost_when_a_socket_drops() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let mut ada_sees = ada.follow(&chat, None).await;
    let mut bob_sees = bob.follow(&chat, None).await;

    let sent = ada.send(&chat, "Hello, Bob").await;
    assert_eq!(sent["message"]["seq"], json!(1), "{sent}");
    let seen = bob_sees.added().await;
    assert_eq!(seen["cursor"], sent["edge"]["cursor"]);
    assert_eq!(
        seen["node"],
        json!({ "id": sent["message"]["id"], "seq": 1, "text": "Hello, Bob",
                "sender": { "id": ada.id, "name": "ada" } })
    );
    assert_eq!(ada_sees.added().await, seen);

    bob_sees.cut();
    for n in 2..=40 {
        ada.send(&chat, &format!("missed {n}")).await;
    }
    let mut bob_sees = bob.follow(&chat, Some(&string(&seen["cursor"]))).await;
    ada.send(&chat, "and live again").await;
    assert_eq!(bob_sees.seqs(40).await, (2..=41).collect::<Vec<_>>());
    assert_eq!(ada_sees.seqs(40).await, (2..=41).collect::<Vec<_>>());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_with_the_same_client_message_id_returns_the_first_message() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let mut bob_sees = bob.follow(&chat, None).await;
    let send = async |text: &str, id: &str| {
        let input = json!({ "chatId": chat, "text": text, "clientMessageId": id });
        ada.client.data(SEND, json!({ "input": input })).await
    };
    let first = send("once", "a").await;
    let again = send("once", "a").await;
    assert_eq!(
        first["sendMessage"]["message"],
        again["sendMessage"]["message"]
    );
    send("next", "b").await;
    assert_eq!(bob_sees.seqs(2).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_have_one_chat_whoever_starts_it_and_however_often() {
    const START: &str = "mutation($input: StartChatInput!) { startChat(input: $input) {
        created chat { id kind memberCount title peer { id } members { nodes { role user { id } } } } } }";
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    // Ids made in different milliseconds sort by time.
    app.clock.advance(SECOND);
    let bob = app.sign_in("bob").await;
    let start = async |by: &User, with: &User| {
        let input = json!({ "input": { "userId": with.id } });
        by.client.data(START, input).await["startChat"].clone()
    };
    let attempts = (0..10).map(|n| {
        let (by, with) = if n % 2 == 0 {
            (&ada, &bob)
        } else {
            (&bob, &ada)
        };
        start(by, with)
    });
    let started = join_all(attempts).await;
    let ids: HashSet<_> = started
        .iter()
        .map(|one| string(&one["chat"]["id"]))
        .collect();
    assert_eq!(ids.len(), 1, "{started:?}");
    let created = started.iter().filter(|one| one["created"] == json!(true));
    assert_eq!(created.count(), 1);

    let again = start(&bob, &ada).await;
    assert_eq!(
        again,
        json!({ "created": false, "chat": {
            "id": started[0]["chat"]["id"], "kind": "DIRECT", "memberCount": 2, "title": "ada",
            "peer": { "id": ada.id },
            "members": { "nodes": [{ "role": "MEMBER", "user": { "id": ada.id } },
                                    { "role": "MEMBER", "user": { "id": bob.id } }] } } })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_are_listed_by_their_last_activity_with_what_a_sidebar_shows() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let mut with = Vec::new();
    for name in ["bob", "carla", "dora"] {
        app.clock.advance(SECOND);
        let other = app.sign_in(name).await;
        let chat = ada.start_chat(&other).await;
        with.push((other, chat));
    }
    assert_eq!(
        titles(&chats(&ada, json!({})).await),
        ["dora", "carla", "bob"]
    );

    app.clock.advance(SECOND);
    let (bob, chat) = &with[0];
    bob.send(chat, "Hello").await;
    bob.send(chat, "Are you there?").await;
    app.clock.advance(SECOND);
    let (carla, carlas) = &with[1];
    ada.send(carlas, "Hello, Carla").await;
    let list = chats(&ada, json!({})).await;
    assert_eq!(titles(&list), ["carla", "bob", "dora"]);
    let expected = json!({
        "id": chat, "kind": "DIRECT", "title": "bob", "lastSeq": 2, "unreadCount": 2,
        "memberCount": 2, "activeAt": "2026-01-01T00:00:04.000Z", "peer": { "name": "bob" },
        "lastMessage": { "text": "Are you there?", "sender": { "name": "bob" } },
        "viewerMember": { "lastReadSeq": 0 } });
    assert_eq!(list["nodes"][1], expected);
    assert_eq!(list["nodes"][0]["unreadCount"], json!(0));
    assert_eq!(list["nodes"][2]["lastMessage"], Value::Null);
    let carlas_list = chats(carla, json!({})).await;
    assert_eq!(carlas_list["nodes"][0]["unreadCount"], json!(1));
    assert_eq!(carlas_list["nodes"][0]["title"], json!("ada"));

    // Reading is no activity.
    app.clock.advance(SECOND);
    ada.mark_read(chat, 2).await;
    assert_eq!(
        titles(&chats(&ada, json!({})).await),
        ["carla", "bob", "dora"]
    );

    // Page by page, while the list moves beneath: nothing is seen twice on one way down.
    let first = chats(&ada, json!({ "first": 1 })).await;
    assert_eq!(titles(&first), ["carla"]);
    assert_eq!(first["pageInfo"]["hasNextPage"], json!(true));
    assert_eq!(first["edges"][0]["cursor"], first["pageInfo"]["endCursor"]);
    let after = &first["pageInfo"]["endCursor"];
    carla.send(carlas, "Hello, Ada").await;
    let rest = chats(&ada, json!({ "first": 10, "after": after })).await;
    assert_eq!(titles(&rest), ["bob", "dora"]);
    assert_eq!(
        (
            &rest["pageInfo"]["hasNextPage"],
            &rest["pageInfo"]["hasPreviousPage"]
        ),
        (&json!(false), &json!(true))
    );

    for (search, found) in [
        ("OR", &["dora"][..]),
        ("a", &["carla", "dora"]),
        (" ", &["carla", "bob", "dora"]),
        ("ada", &[]),
        ("%", &[]),
        ("_", &[]),
    ] {
        let list = chats(&ada, json!({ "search": search })).await;
        assert_eq!(titles(&list), found, "{search}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_counts_are_exact_and_pushed_as_they_are() {
    let app = TestApp::start().await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    let mut bobs_sidebar = bob.client.subscribe(CHAT_UPDATED, json!({})).await;
    // A chat that somebody else starts appears by itself.
    let chat = ada.start_chat(&bob).await;
    let seen = until(&mut bobs_sidebar, &chat, |chat| chat["lastSeq"] == json!(0)).await;
    assert_eq!(
        seen,
        [
            json!({ "id": chat, "lastSeq": 0, "unreadCount": 0, "title": "ada", "lastMessage": null })
        ]
    );

    for n in 1..=5 {
        ada.send(&chat, &format!("message {n}")).await;
    }
    let seen = until(&mut bobs_sidebar, &chat, |chat| {
        chat["lastSeq"] == json!(5) && chat["lastMessage"]["text"] == json!("message 5")
    })
    .await;
    // On the way to it the count is at most a moment ahead, and never falls.
    let counts: Vec<_> = seen
        .iter()
        .filter_map(|chat| chat["unreadCount"].as_i64())
        .collect();
    assert!(counts.is_sorted(), "{seen:?}");
    for (update, count) in seen.iter().zip(&counts) {
        assert!(update["lastSeq"].as_i64() <= Some(*count), "{update}");
    }
    assert_eq!(counts.last(), Some(&5));

    // One's own messages are never unread, also between those of others.
    bob.send(&chat, "answer").await;
    ada.send(&chat, "message 6").await;
    let seen = until(&mut bobs_sidebar, &chat, |chat| chat["lastSeq"] == json!(7)).await;
    assert_eq!(
        seen.last().map(|chat| &chat["unreadCount"]),
        Some(&json!(6))
    );

    // Read on one device, the other device's sidebar knows.
    let marked = bob.mark_read(&chat, 4).await;
    assert_eq!(marked["chat"]["unreadCount"], json!(2));
    until(&mut bobs_sidebar, &chat, |chat| {
        chat["unreadCount"] == json!(2)
    })
    .await;
    bob.mark_read(&chat, 7).await;
    until(&mut bobs_sidebar, &chat, |chat| {
        chat["unreadCount"] == json!(0)
    })
    .await;

    // And the sender's sidebar knows that all is read.
    let mut adas_sidebar = ada.client.subscribe(CHAT_UPDATED, json!({})).await;
    ada.send(&chat, "message 7").await;
    bob.mark_read(&chat, 8).await;
    until(&mut adas_sidebar, &chat, |chat| {
        chat["lastMessage"] == json!({ "text": "message 7", "isReadByAll": true })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sender_sees_at_once_what_was_read() {
    const MESSAGES: &str = "query($id: ID!) { node(id: $id) { ... on Chat { messages { nodes {
        seq isReadByAll readBy { nodes { lastReadSeq readAt user { name } } } } } } } }";
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let mut ada_sees = ada.client.subscribe(RECEIPTS, json!({ "id": chat })).await;
    for text in ["one", "two", "three"] {
        ada.send(&chat, text).await;
    }
    bob.send(&chat, "four").await;

    app.clock.advance(SECOND);
    let marked = bob.mark_read(&chat, 2).await;
    let at = "2026-01-01T00:00:01.000Z";
    let receipt = json!({ "lastReadSeq": 2, "readAt": at, "user": { "id": bob.id } });
    assert_eq!(marked["receipt"], receipt);
    let seen = ada_sees.next().await["readReceiptUpdated"].clone();
    assert_eq!(
        seen,
        json!({ "lastReadSeq": 2, "readAt": at, "user": { "id": bob.id, "name": "bob" },
                "chat": { "id": chat } })
    );
    // A mark that does not move tells nobody anything: the next receipt is the next move.
    app.clock.advance(SECOND);
    bob.mark_read(&chat, 2).await;
    bob.mark_read(&chat, 1).await;
    bob.mark_read(&chat, 3).await;
    let seen = ada_sees.next().await["readReceiptUpdated"].clone();
    assert_eq!(
        (&seen["lastReadSeq"], &seen["readAt"]),
        (&json!(3), &json!("2026-01-01T00:00:02.000Z"))
    );

    let data = ada.client.data(MESSAGES, json!({ "id": chat })).await;
    let by_bob = json!({ "nodes": [
        { "lastReadSeq": 3, "readAt": "2026-01-01T00:00:02.000Z", "user": { "name": "bob" } }] });
    let by_nobody = json!({ "nodes": [] });
    assert_eq!(
        data["node"]["messages"]["nodes"],
        json!([
            { "seq": 1, "isReadByAll": true, "readBy": by_bob },
            { "seq": 2, "isReadByAll": true, "readBy": by_bob },
            { "seq": 3, "isReadByAll": true, "readBy": by_bob },
            { "seq": 4, "isReadByAll": false, "readBy": by_nobody },
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_at_once_get_numbers_without_a_hole_and_everybody_sees_one_order() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let mut feeds = Vec::new();
    for user in [&ada, &bob, &ada, &bob] {
        feeds.push(user.follow(&chat, None).await);
    }
    let sends = (0..60).map(|n| {
        let (by, chat) = (if n % 2 == 0 { &ada } else { &bob }, &chat);
        async move {
            let sent = by.send(chat, &format!("{n}")).await;
            (
                sent["message"]["seq"].as_i64(),
                sent["message"]["text"].clone(),
            )
        }
    });
    let mut sent = join_all(sends).await;
    sent.sort_by_key(|(seq, _)| *seq);
    let numbers: Vec<_> = sent.iter().filter_map(|(seq, _)| *seq).collect();
    assert_eq!(numbers, (1..=60).collect::<Vec<_>>());
    for feed in &mut feeds {
        for (seq, text) in &sent {
            let added = feed.added().await;
            assert_eq!(
                (added["node"]["seq"].as_i64(), &added["node"]["text"]),
                (*seq, text)
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_is_read_by_its_id_by_its_members_alone() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let eve = app.sign_in("eve").await;
    let by_id = "query($id: ID!) { chat(id: $id) { id title } }";
    for (user, title) in [(&ada, "bob"), (&bob, "ada")] {
        let data = user.client.data(by_id, json!({ "id": chat })).await;
        assert_eq!(data["chat"], json!({ "id": chat, "title": title }));
    }
    let unknown = "cht_01h455vb4pex5vsknk084sn02q";
    for (user, id) in [(&eve, chat.as_str()), (&ada, unknown), (&ada, &bob.id)] {
        let data = user.client.data(by_id, json!({ "id": id })).await;
        assert_eq!(data, json!({ "chat": null }), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_knows_its_place_and_a_chat_where_the_viewer_stopped_reading() {
    const PLACES: &str = "query($id: ID!) { chat(id: $id) { readCursor headCursor
        messages(first: 10) { edges { cursor node { cursor } } } } }";
    const BEHIND: &str = "query($id: ID!, $after: String) { chat(id: $id) {
        messages(first: 10, after: $after) { nodes { seq } } } }";
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    for text in ["one", "two", "three"] {
        ada.send(&chat, text).await;
    }
    for read in 0..=3 {
        bob.mark_read(&chat, read).await;
        let data = bob.client.data(PLACES, json!({ "id": chat })).await;
        let edges = data["chat"]["messages"]["edges"].as_array().cloned();
        let edges = edges.unwrap_or_default();
        assert_eq!(edges.len(), 3);
        for edge in &edges {
            assert_eq!(edge["cursor"], edge["node"]["cursor"]);
        }
        assert_eq!(data["chat"]["headCursor"], edges[2]["cursor"]);
        let after = &data["chat"]["readCursor"];
        let page = bob
            .client
            .data(BEHIND, json!({ "id": chat, "after": after }));
        let unread: Vec<_> = (read + 1..=3).map(|seq| json!({ "seq": seq })).collect();
        assert_eq!(page.await["chat"]["messages"]["nodes"], json!(unread));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_node_has_an_id_that_stays_and_is_no_other_objects() {
    const IDS: &str = "query($id: ID!) { me { id presence { id } } chat(id: $id) { id
        viewerMember { id } members { nodes { id user { id presence { id } } } }
        lastMessage { id readBy { nodes { id } } } } }";
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let typing = "subscription($id: ID!) { typingChanged(chatId: $id) { id } }";
    let mut typing = ada.client.subscribe(typing, json!({ "id": chat })).await;
    ada.send(&chat, "hi").await;
    let mark = "mutation($id: ID!) {
        markRead(input: { chatId: $id, seq: 1 }) { receipt { id } }
        setTyping(input: { chatId: $id, isTyping: true }) { chatId } }";
    let marked = bob.client.data(mark, json!({ "id": chat })).await;
    let typing = typing.next().await["typingChanged"]["id"].clone();

    let seen = ada.client.data(IDS, json!({ "id": chat })).await;
    let found = &seen["chat"];
    assert_eq!(ada.client.data(IDS, json!({ "id": chat })).await, seen);
    let members = &found["members"]["nodes"];
    let own = items(members).find(|member| member["user"]["id"] == json!(ada.id));
    let own = own.cloned().unwrap_or_default();
    assert_eq!(found["viewerMember"]["id"], own["id"]);
    assert_eq!(seen["me"]["presence"], own["user"]["presence"]);
    let receipt = &found["lastMessage"]["readBy"]["nodes"][0]["id"];
    assert_eq!(marked["markRead"]["receipt"]["id"], *receipt);

    let nodes = [&found["id"], &found["lastMessage"]["id"], &seen["me"]["id"]];
    let others = [
        &members[0]["id"],
        &members[1]["id"],
        &members[0]["user"]["presence"]["id"],
        &members[1]["user"]["presence"]["id"],
        receipt,
        &typing,
    ];
    let all: HashSet<_> = nodes.iter().chain(&others).map(|id| string(id)).collect();
    assert_eq!(all.len(), nodes.len() + others.len(), "{all:?}");
    let query = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }";
    let none = ada.client.data(query, json!({ "ids": others })).await;
    assert_eq!(none["nodes"], json!([null, null, null, null, null, null]));
}
