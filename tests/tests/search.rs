//! The search of messages and of people as clients see it.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::time::Duration;

use serde_json::{Value, json};
use talksy_server::config::Quota;
use talksy_tests::app::TestApp;
use talksy_tests::client::{Reply, User, string};
use talksy_tests::faulty_store::{Fault, FaultyStore};

const SEARCH: &str = "query($query: String!, $chat: ID, $sender: ID, $first: Int, $after: String) {
    searchMessages(query: $query, chatId: $chat, senderId: $sender, first: $first, after: $after) {
        nodes { id text seq cursor chat { id } }
        edges { cursor node { seq } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";
const EDIT: &str =
    "mutation($input: EditMessageInput!) { editMessage(input: $input) { message { seq } } }";
const DELETE: &str =
    "mutation($input: DeleteMessageInput!) { deleteMessage(input: $input) { message { seq } } }";
const CREATE: &str =
    "mutation($input: CreateGroupInput!) { createGroup(input: $input) { chat { id } } }";
const ADD: &str =
    "mutation($input: AddMembersInput!) { addMembers(input: $input) { chat { id } } }";
const REMOVE: &str =
    "mutation($input: RemoveMemberInput!) { removeMember(input: $input) { chat { id } } }";

async fn ask(user: &User, variables: Value) -> Reply {
    user.client.run(SEARCH, variables).await
}

async fn texts(user: &User, variables: Value) -> Vec<String> {
    let data = ask(user, variables).await.data();
    let nodes = data["searchMessages"]["nodes"].as_array().unwrap();
    nodes.iter().map(|node| string(&node["text"])).collect()
}

async fn find(user: &User, query: &str) -> Vec<String> {
    texts(user, json!({ "query": query })).await
}

async fn group(owner: &User, members: &[&User]) -> String {
    let members: Vec<_> = members.iter().map(|user| &user.id).collect();
    let input = json!({ "title": "Engines", "memberIds": members });
    let data = owner.client.data(CREATE, json!({ "input": input })).await;
    string(&data["createGroup"]["chat"]["id"])
}

async fn change(user: &User, mutation: &str, input: Value) {
    user.client.data(mutation, json!({ "input": input })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_found_in_all_chats_newest_first_and_where_they_stand() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let cyd = app.sign_in("cyd").await;
    let other = bob.start_chat(&cyd).await;
    let mine = ada.start_chat(&cyd).await;
    for (user, chat, text) in [
        (&ada, &chat, "Lunch at the Café today?"),
        (&bob, &chat, "cafe, yes! 🎉 نعم"),
        (&bob, &other, "the café is ours alone"),
        (&cyd, &mine, "東京の喫茶店、café も"),
    ] {
        user.send(chat, text).await;
        app.clock.advance(Duration::from_millis(1));
    }
    let of_ada = [
        "東京の喫茶店、café も",
        "cafe, yes! 🎉 نعم",
        "Lunch at the Café today?",
    ];
    assert_eq!(find(&ada, "CAF").await, of_ada);
    assert_eq!(find(&ada, "café lun").await, of_ada[2..]);
    for query in ["喫茶", "東京"] {
        assert_eq!(find(&ada, query).await, of_ada[..1]);
    }
    for query in ["🎉", "نع"] {
        assert_eq!(find(&ada, query).await, of_ada[1..2]);
    }
    assert_eq!(find(&ada, "ours").await, [""; 0], "a chat of others");
    let variables = json!({ "query": "cafe", "chat": chat, "sender": bob.id });
    assert_eq!(texts(&ada, variables).await, of_ada[1..2]);
    // The message's own cursor leads to what stands around it, the edge's goes on with the search.
    let page = ask(&ada, json!({ "query": "cafe", "first": 1 }))
        .await
        .data();
    let page = &page["searchMessages"];
    assert_eq!(page["edges"][0]["cursor"], page["pageInfo"]["endCursor"]);
    assert_ne!(page["edges"][0]["cursor"], page["nodes"][0]["cursor"]);
    let hit = ask(&ada, json!({ "query": "yes" })).await.data();
    let hit = &hit["searchMessages"]["nodes"][0];
    let around = "query($chat: ID!, $cursor: String) { chat(id: $chat) {
        messages(first: 1, before: $cursor) { nodes { text } } } }";
    let variables = json!({ "chat": chat, "cursor": hit["cursor"] });
    let around = ada.client.data(around, variables).await;
    let before = &around["chat"]["messages"]["nodes"][0]["text"];
    assert_eq!(before, "Lunch at the Café today?");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_and_deletions_are_searched_at_once() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let sent = string(&ada.send(&chat, "old words").await["message"]["id"]);
    assert_eq!(find(&bob, "old").await, ["old words"]);
    change(
        &ada,
        EDIT,
        json!({ "messageId": sent, "text": "new words" }),
    )
    .await;
    assert_eq!(find(&bob, "old").await, [""; 0]);
    assert_eq!(find(&bob, "new").await, ["new words"]);
    change(&ada, DELETE, json!({ "messageId": sent })).await;
    assert_eq!(find(&bob, "words").await, [""; 0]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_left_finds_nothing_and_who_joins_only_what_they_may_read() {
    let app = TestApp::start().await;
    let [ada, bob, cyd] = [
        app.sign_in("ada").await,
        app.sign_in("bob").await,
        app.sign_in("cyd").await,
    ];
    let chat = group(&ada, &[&bob]).await;
    ada.send(&chat, "secret one").await;
    change(&ada, ADD, json!({ "chatId": chat, "userIds": [cyd.id] })).await;
    ada.send(&chat, "secret two").await;
    assert_eq!(find(&cyd, "secret").await, ["secret two"]);
    assert_eq!(find(&bob, "secret").await, ["secret two", "secret one"]);
    change(&ada, REMOVE, json!({ "chatId": chat, "userId": bob.id })).await;
    assert_eq!(find(&bob, "secret").await, [""; 0]);
    let there = ask(&bob, json!({ "query": "secret", "chat": chat })).await;
    assert_eq!(there.code_and_field(), ("FORBIDDEN", "chatId"));
    ada.send(&chat, "secret three").await;
    change(&ada, ADD, json!({ "chatId": chat, "userIds": [bob.id] })).await;
    ada.send(&chat, "secret four").await;
    assert_eq!(find(&bob, "secret").await, ["secret four"]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_stay_where_they_are_while_messages_come() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    for n in 1..=45 {
        ada.send(&chat, &format!("word {n}")).await;
    }
    let (mut seen, mut after) = (Vec::new(), None::<String>);
    loop {
        let variables = json!({ "query": "wor", "first": 10, "after": after });
        let data = ask(&bob, variables).await.data();
        let found = &data["searchMessages"];
        let info = &found["pageInfo"];
        assert_eq!(info["hasPreviousPage"], json!(after.is_some()));
        for node in found["nodes"].as_array().unwrap() {
            seen.push(node["seq"].as_i64().unwrap());
        }
        if info["hasNextPage"] == json!(false) {
            break;
        }
        after = info["endCursor"].as_str().map(str::to_owned);
        ada.send(&chat, "one more word").await;
    }
    assert_eq!(seen, (1..=45).rev().collect::<Vec<_>>());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_names_its_field_and_rule() {
    let app = TestApp::start().await;
    let (ada, _, chat) = app.pair().await;
    let cyd = app.sign_in("cyd").await;
    let other = ada.start_chat(&cyd).await;
    ada.send(&chat, "hello").await;
    ada.send(&chat, "hello again").await;
    let page = ask(&ada, json!({ "query": "hello", "first": 1 }))
        .await
        .data();
    let cursor = page["searchMessages"]["pageInfo"]["endCursor"].clone();
    let message_cursor = page["searchMessages"]["nodes"][0]["cursor"].clone();
    let many: Vec<String> = (10..43).map(|n| n.to_string()).collect();
    for (variables, field) in [
        (json!({ "query": "" }), "query"),
        (json!({ "query": " …!" }), "query"),
        (json!({ "query": "\u{301}\u{200B}" }), "query"),
        (json!({ "query": "x".repeat(201) }), "query"),
        (json!({ "query": "x".repeat(65) }), "query"),
        (json!({ "query": many.join(" ") }), "query"),
        (json!({ "query": "hello", "chat": "x" }), "chatId"),
        (json!({ "query": "hello", "sender": chat }), "senderId"),
        (json!({ "query": "hello", "first": 101 }), "first"),
        (json!({ "query": "hello", "first": -1 }), "first"),
        (json!({ "query": "hello", "after": "x" }), "after"),
        (
            json!({ "query": "hello", "after": message_cursor }),
            "after",
        ),
        (
            json!({ "query": "hello", "chat": other, "after": cursor }),
            "after",
        ),
    ] {
        let refused = ask(&ada, variables.clone()).await;
        let found = refused.code_and_field();
        assert_eq!(found, ("BAD_USER_INPUT", field), "{variables}");
    }
    let unknown = json!({ "query": "hello", "chat": "cht_00000000000000000000000001" });
    let unknown = ask(&ada, unknown).await;
    assert_eq!(unknown.code_and_field(), ("NOT_FOUND", "chatId"));
    let stranger = app.client().run(SEARCH, json!({ "query": "hello" })).await;
    assert_eq!(stranger.code(), "UNAUTHENTICATED");
    let none = ask(&ada, json!({ "query": "hello", "first": 0 }))
        .await
        .data();
    assert_eq!(none["searchMessages"]["nodes"], json!([]));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_are_limited_for_a_user_and_for_an_address() {
    const PEOPLE: &str = "query($search: String) { users(search: $search) { nodes { name } } }";
    for is_address in [false, true] {
        let builder = TestApp::builder().config(move |config| {
            let quota = Quota {
                burst: 3,
                period: Duration::from_hours(1),
            };
            if is_address {
                config.limits.search_ip = quota;
            } else {
                config.limits.search = quota;
            }
        });
        let app = builder.start().await;
        let [ada, bob] = [app.sign_in("ada").await, app.sign_in("bob").await];
        for _ in 0..2 {
            find(&ada, "hello").await;
        }
        ada.client.data(PEOPLE, json!({ "search": "bo" })).await;
        // The list of people is no search.
        ada.client.data(PEOPLE, json!({})).await;
        let people = ada.client.run(PEOPLE, json!({ "search": "bo" })).await;
        for refused in [people, ask(&ada, json!({ "query": "hello" })).await] {
            assert_eq!(refused.code(), "RATE_LIMITED");
            let wait = &refused.error()["extensions"]["retryAfter"];
            assert!(wait.as_u64().is_some_and(|wait| wait > 0), "{wait}");
        }
        let other = ask(&bob, json!({ "query": "hello" })).await;
        assert_eq!(other.body.get("errors").is_some(), is_address);
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_found_without_accents() {
    const RENAME: &str = "mutation($input: UpdateProfileInput!) {
        updateProfile(input: $input) { user { name } } }";
    let app = TestApp::start().await;
    let [ada, bob] = [app.sign_in("ada").await, app.sign_in("bob").await];
    change(&bob, RENAME, json!({ "name": "José Núñez" })).await;
    let query = "query($search: String) { users(search: $search) { nodes { id name } } }";
    for search in ["jose", "JOSÉ NU", "josé núñez", "bob@example.org"] {
        let found = ada.client.data(query, json!({ "search": search })).await;
        assert_eq!(found["users"]["nodes"][0]["id"], json!(bob.id), "{search}");
    }
    let features = app
        .client()
        .data("{ server { features } }", json!({}))
        .await;
    let features = features["server"]["features"].as_array().unwrap().clone();
    assert!(features.contains(&json!("search")));
    app.stop().await;
}

/// However long a search takes: whose membership ends meanwhile finds nothing of what is said behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_under_way_finds_nothing_behind_the_end_of_a_membership() {
    let store = FaultyStore::new();
    let app = TestApp::builder().ports(store.install()).start().await;
    let ada = app.sign_in("ada").await;
    let bob = app.sign_in("bob").await;
    let chat = group(&ada, &[&bob]).await;
    store.set("messages.search", Fault::Held);
    let searching = tokio::spawn({
        let client = bob.client.clone();
        async move { client.run(SEARCH, json!({ "query": "engine" })).await }
    });
    store.arrived("messages.search").await;
    change(&ada, REMOVE, json!({ "chatId": chat, "userId": bob.id })).await;
    ada.send(&chat, "the secret engine").await;
    store.set("messages.search", Fault::None);
    store.release("messages.search", 1);
    let found = searching.await.unwrap().data();
    assert_eq!(found["searchMessages"]["nodes"], json!([]));
    assert_eq!(find(&ada, "engine").await, ["the secret engine"]);
}
