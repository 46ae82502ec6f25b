//! What an operation costs the store does not grow with the objects it returns, nor a live
//! message's cost with those who follow it.

use futures_util::future::join_all;
use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{SEND, User, string};

/// The page sizes that are compared.
const SIZES: [usize; 3] = [1, 5, 50];
/// How often each is measured. The least counts: whether batches that become due at the same
/// moment meet, and whether the session is looked up again, is chance.
const TRIES: usize = 10;

/// The store calls of an operation at each page size, which must be the same.
async fn calls(
    app: &TestApp,
    user: &User,
    what: &str,
    query: &str,
    variables: impl Fn(usize) -> Value,
) -> u64 {
    let mut costs = Vec::new();
    for size in SIZES {
        let mut least = u64::MAX;
        for _ in 0..TRIES {
            // The session is known for a second from here.
            user.client.data("{ __typename }", json!({})).await;
            let before = app.adapters.store.calls();
            let data = user.client.data(query, variables(size)).await;
            least = least.min(app.adapters.store.calls() - before);
            let items = count_items(&data);
            assert_eq!(items, size, "{what}: {data}");
        }
        costs.push(least);
    }
    // Two batches that become due at the same moment are one; under load they miss each other.
    let most = costs.iter().copied().max().unwrap_or_default();
    let least = costs.iter().copied().min().unwrap_or_default();
    assert!(
        least > 0 && most - least <= 3,
        "{what} for {SIZES:?}: {costs:?}"
    );
    most
}

/// The length of the first list named `nodes` on the way down.
fn count_items(data: &Value) -> usize {
    match data {
        Value::Object(fields) => match fields.get("nodes").and_then(Value::as_array) {
            Some(items) => items.len(),
            None => fields
                .values()
                .map(count_items)
                .find(|n| *n > 0)
                .unwrap_or(0),
        },
        _ => 0,
    }
}

/// Ada with fifty chats, each with two messages, and fifty messages in the first.
async fn full_house(app: &TestApp) -> (User, Vec<String>, Vec<String>) {
    let ada = app.sign_in("ada").await;
    let ada = &ada;
    let names: Vec<_> = (0..50).map(|n| format!("user{n}")).collect();
    let made = join_all(names.iter().map(|name| async move {
        let other = app.sign_in(name).await;
        let chat = ada.start_chat(&other).await;
        other.send(&chat, "hello").await;
        let sent = ada.send(&chat, "hello yourself").await;
        other.mark_read(&chat, 1).await;
        (chat, string(&sent["message"]["id"]))
    }))
    .await;
    let (chats, messages): (Vec<_>, Vec<_>) = made.into_iter().unzip();
    // Each replies to one of its own.
    let mut before = messages[0].clone();
    for n in 0..50 {
        let input = json!({ "chatId": chats[0], "text": n.to_string(), "replyToId": before,
            "mentionIds": [ada.id] });
        let sent = ada.client.data(SEND, json!({ "input": input })).await;
        before = string(&sent["sendMessage"]["message"]["id"]);
    }
    (ada.clone(), chats, messages)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_costs_the_store_the_same_whatever_its_size() {
    let app = TestApp::start().await;
    let (ada, chats, messages) = full_house(&app).await;

    let page_of_chats = "query($first: Int) { chats(first: $first) { nodes {
        title memberCount unreadCount unreadMentionCount viewerMember { lastReadSeq }
        peer { name presence { status lastSeenAt } }
        members(first: 5) { nodes { lastReadSeq user { name presence { status } } } }
        lastMessage { text isReadByAll sender { name presence { status } }
            readBy(first: 5) { nodes { user { name } } } chat { title unreadCount } } } } }";
    let first = |size| json!({ "first": size });
    let cost = calls(&app, &ada, "chats", page_of_chats, first).await;
    println!("chats: {cost} store calls for {SIZES:?}");

    let lists_within = "query($first: Int) { chats(first: $first) { nodes {
        messages(last: 1) { nodes { text sender { name } } }
        before: messages(last: 1, before: null) { nodes { text } }
        changes(first: 1) { nodes { changeSeq } }
        members(first: 1, search: \"user\") { nodes { user { name } } } } } }";
    let cost = calls(&app, &ada, "lists within chats", lists_within, first).await;
    println!("lists within chats: {cost} store calls for {SIZES:?}");

    let page_of_messages = "query($id: ID!, $last: Int) { node(id: $id) { ... on Chat {
        messages(last: $last) { nodes { seq text isReadByAll
            sender { name isBlockedByViewer presence { status } }
            chat { title unreadCount lastMessage { seq } }
            mentions { name } replyCount replyTo { text sender { name } } replies(first: 2) { nodes { text } }
            readBy(first: 5) { nodes { lastReadSeq user { name } chat { id } } } } } } } }";
    let last = |size| json!({ "id": chats[0], "last": size });
    let cost = calls(&app, &ada, "messages", page_of_messages, last).await;
    println!("messages: {cost} store calls for {SIZES:?}");

    let hits = "query($first: Int) { searchMessages(query: \"hello you\", first: $first) { nodes {
        text isReadByAll replyCount sender { name presence { status } }
        chat { title unreadCount lastMessage { seq } } readBy(first: 5) { nodes { user { name } } } } } }";
    let cost = calls(&app, &ada, "hits of a search", hits, first).await;
    println!("hits of a search: {cost} store calls for {SIZES:?}");

    let page_of_users = "query($first: Int) { users(first: $first) { nodes {
        name about isBlockedByViewer presence { status lastSeenAt user { name } } } } }";
    let cost = calls(&app, &ada, "users", page_of_users, first).await;
    println!("users: {cost} store calls for {SIZES:?}");

    let nodes = "query($ids: [ID!]!) { nodes(ids: $ids) { id
        ... on Chat { title unreadCount lastMessage { sender { name } } }
        ... on Message { isReadByAll sender { name } chat { title } } } }";
    let of_chats = |size| json!({ "ids": chats.iter().take(size).collect::<Vec<_>>() });
    let of_messages = |size| json!({ "ids": messages.iter().take(size).collect::<Vec<_>>() });
    let apart = calls(&app, &ada, "nodes: chats", nodes, of_chats).await
        + calls(&app, &ada, "nodes: messages", nodes, of_messages).await;
    // Of both kinds at once, what they share is loaded together where it becomes due together.
    let ids: Vec<_> = chats[..25].iter().chain(&messages[..25]).collect();
    let both = json!({ "ids": ids });
    let before = app.adapters.store.calls();
    ada.client.data(nodes, both).await;
    let cost = app.adapters.store.calls() - before;
    assert!(cost <= apart + 4, "{cost} for both, {apart} apart");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_about_many_groups_costs_what_that_of_one_does() {
    const CREATE: &str = "mutation($kept: JSON!) { createGroup(input: {
        title: \"All\", memberIds: [], metadata: $kept }) { chat { id } } }";
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    for n in 0..50 {
        let kept = json!({ "kept": { "n": n } });
        ada.client.data(CREATE, kept).await;
    }
    let kept = "query($first: Int) { chats(first: $first) { nodes { metadata } } }";
    let first = |size| json!({ "first": size });
    let cost = calls(&app, &ada, "metadata", kept, first).await;
    println!("metadata: {cost} store calls for {SIZES:?}");
}

/// A group of more members than a page holds: its readers are not told from the list of members.
#[tokio::test(flavor = "multi_thread")]
async fn the_readers_of_many_messages_cost_what_those_of_one_do() {
    let app = TestApp::start().await;
    let (ada, _, _) = full_house(&app).await;
    let names: Vec<_> = (50..100).map(|n| format!("user{n}")).collect();
    join_all(names.iter().map(|name| app.sign_in(name))).await;
    let users = "{ users(first: 100) { nodes { id } } }";
    let users = ada.client.data(users, json!({})).await;
    let users: Vec<_> = users["users"]["nodes"].as_array().unwrap().iter().collect();
    let ids: Vec<_> = users.iter().map(|user| string(&user["id"])).collect();
    assert_eq!(ids.len(), 100);
    let create = "mutation($ids: [ID!]!) {
        createGroup(input: { title: \"All\", memberIds: $ids }) { chat { id memberCount } } }";
    for members in [100, 101] {
        let others = json!({ "ids": ids[..members - 1] });
        let made = ada.client.data(create, others).await;
        let chat = &made["createGroup"]["chat"];
        assert_eq!(chat["memberCount"], members);
        let chat = string(&chat["id"]);
        for n in 0..50 {
            ada.send(&chat, &n.to_string()).await;
        }
        let readers = "query($id: ID!, $last: Int) { chat(id: $id) { readByAllSeq
            messages(last: $last) { nodes {
                isReadByAll readBy(first: 5) { nodes { user { name } } } } } } }";
        let last = |size| json!({ "id": chat, "last": size });
        let cost = calls(&app, &ada, "readers", readers, last).await;
        println!("readers among {members}: {cost} store calls for {SIZES:?}");
    }
}

/// Also where there are few chats, so that it is the number of calls that is the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_unread_in_all_chats_costs_the_same_whatever_their_number() {
    const TOTAL: &str = "{ me { totalUnreadCount again: totalUnreadCount } }";
    let app = TestApp::start().await;
    let (ada, _, _) = full_house(&app).await;
    let eve = app.sign_in("eve").await;
    let mut costs = Vec::new();
    for (user, total) in [(&eve, 0), (&ada, 50)] {
        let mut least = u64::MAX;
        for _ in 0..TRIES {
            user.client.data("{ __typename }", json!({})).await;
            let before = app.adapters.store.calls();
            let data = user.client.data(TOTAL, json!({})).await;
            least = least.min(app.adapters.store.calls() - before);
            let expected = json!({ "totalUnreadCount": total, "again": total });
            assert_eq!(data["me"], expected);
        }
        costs.push(least);
    }
    println!("totalUnreadCount: {costs:?} store calls for 0 and 50 chats");
    assert_eq!(costs[0], costs[1], "{costs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_message_costs_the_store_the_same_however_many_follow() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let mut feeds = Vec::new();
    let mut costs = Vec::new();
    for followers in [1, 20] {
        while feeds.len() < followers {
            feeds.push(bob.follow(&chat, None).await);
        }
        let mut least = u64::MAX;
        for _ in 0..TRIES {
            ada.client.data("{ __typename }", json!({})).await;
            let before = app.adapters.store.calls();
            ada.send(&chat, "hi").await;
            for feed in &mut feeds {
                feed.added().await;
            }
            least = least.min(app.adapters.store.calls() - before);
        }
        costs.push(least);
    }
    println!("a message to its followers: {} store calls", costs[0]);
    // One more where the session is looked up.
    assert!(
        costs[1] <= costs[0] + 1,
        "one follower and twenty: {costs:?}"
    );
}
