//! How reactions are counted, listed and told.

use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{User, start_of};

use super::{add, done, group, history, pin, send};

const USERS: &str = "query($id: ID!, $first: Int, $after: String) { node(id: $id) {
    ... on Message { reactions { emoji users(first: $first, after: $after) {
        nodes { name } pageInfo { hasNextPage endCursor } } } } } }";

#[tokio::test(flavor = "multi_thread")]
async fn a_reaction_is_counted_and_told_to_all_with_what_is_their_own() {
    const UPDATED: &str = "subscription($chat: ID!, $after: String) {
        messageUpdated(chatId: $chat, after: $after) { changeSeq message { seq changeSeq
            reactions { emoji count viewerHasReacted } } } }";
    const ACCOUNT: &str = "subscription { accountEvents { __typename ... on MessageChange {
        changeSeq message { reactions { emoji count viewerHasReacted } } } } }";
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let message = send(&ada, &chat).await;
    let follow = async |user: &User| {
        let variables = json!({ "chat": chat, "after": start_of(&chat) });
        user.client.subscribe(UPDATED, variables).await
    };
    let (mut of_ada, mut of_bob) = (follow(&ada).await, follow(&bob).await);
    let mut account = ada.client.subscribe(ACCOUNT, json!({})).await;
    assert_eq!(
        account.next().await["accountEvents"]["__typename"],
        "AccountCheckpoint"
    );

    let first = add(&bob, &message, "\u{2764}").await;
    let heart = "\u{2764}\u{FE0F}";
    assert_eq!(first["changeSeq"], 1);
    let reaction = &first["reactions"][0];
    assert_eq!(
        (
            &reaction["emoji"],
            &reaction["count"],
            &reaction["viewerHasReacted"]
        ),
        (&json!(heart), &json!(1), &json!(true))
    );
    let group = |count: u32, own: bool| json!([{ "emoji": heart, "count": count, "viewerHasReacted": own }]);
    let told = |event: Value| event["messageUpdated"]["message"]["reactions"].clone();
    assert_eq!(told(of_ada.next().await), group(1, false));
    assert_eq!(told(of_bob.next().await), group(1, true));
    let change = loop {
        let event = account.next().await["accountEvents"].clone();
        if event["__typename"] == "MessageChange" {
            break event;
        }
    };
    assert_eq!(change["message"]["reactions"], group(1, false));

    // The same sign in its other form is the same reaction.
    let again = add(&bob, &message, heart).await;
    assert_eq!(again, first);
    let both = add(&ada, &message, heart).await;
    assert_eq!(both["reactions"][0]["id"], reaction["id"], "for caches");
    assert_eq!(told(of_ada.next().await), group(2, true));
    let seen = history(&bob, &chat).await;
    let node = &seen["messages"]["nodes"][0];
    assert_eq!(
        node["reactions"],
        json!([{ "emoji": heart, "count": 2, "viewerHasReacted": true,
            "users": { "nodes": [{ "name": "bob" }, { "name": "ada" }] } }])
    );
    assert_eq!(
        (&node["changeSeq"], &seen["lastChangeSeq"]),
        (&json!(2), &json!(2))
    );

    let input = json!({ "messageId": message, "emoji": heart });
    let gone = done(&bob, "removeReaction", input.clone()).await;
    assert_eq!(gone["reactions"][0]["viewerHasReacted"], json!(false));
    let again = done(&bob, "removeReaction", input).await;
    assert_eq!(again, gone, "what is so already succeeds");

    // A deletion takes them along.
    let delete = "mutation($id: ID!) { deleteMessage(input: { messageId: $id }) {
        message { changeSeq isPinned reactions { emoji } } } }";
    let deleted = ada.client.data(delete, json!({ "id": message })).await;
    assert_eq!(
        deleted["deleteMessage"]["message"],
        json!({ "changeSeq": 4, "isPinned": false, "reactions": [] })
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_have_reacted_are_paged_in_their_order() {
    let app = TestApp::start().await;
    let names = ["ada", "bob", "cyd", "dan", "eve"];
    let mut people = Vec::new();
    for name in names {
        people.push(app.sign_in(name).await);
    }
    let members: Vec<_> = people[1..].iter().collect();
    let chat = group(&people[0], &members).await;
    let message = send(&people[0], &chat).await;
    for user in people.iter().rev() {
        add(user, &message, "👍").await;
    }
    add(&people[0], &message, "🎉").await;
    let ada = &people[0];
    let page = async |first: i64, after: Option<&str>| {
        let variables = json!({ "id": message, "first": first, "after": after });
        ada.client.run(USERS, variables).await
    };
    let first = page(2, None).await.data();
    let users = &first["node"]["reactions"][0]["users"];
    let mut seen = users["nodes"].as_array().unwrap().clone();
    assert_eq!(json!(seen), json!([{ "name": "eve" }, { "name": "dan" }]));
    assert_eq!(users["pageInfo"]["hasNextPage"], json!(true));
    let mut after = users["pageInfo"]["endCursor"].as_str().map(str::to_owned);
    // The cursor is of one emoji, and refused of the other.
    let refused = page(2, after.as_deref()).await;
    assert_eq!(refused.code_and_field(), ("BAD_USER_INPUT", "after"));
    let input = json!({ "messageId": message, "emoji": "🎉" });
    done(ada, "removeReaction", input).await;
    while let Some(cursor) = after.take() {
        let reply = page(2, Some(&cursor)).await.data();
        let users = &reply["node"]["reactions"][0]["users"];
        seen.extend(users["nodes"].as_array().unwrap().clone());
        if users["pageInfo"]["hasNextPage"] == json!(true) {
            after = users["pageInfo"]["endCursor"].as_str().map(str::to_owned);
        }
    }
    let mut expected: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
    expected.reverse();
    assert_eq!(seen, expected);
    for (first, after, field) in [
        (101, None, "first"),
        (-1, None, "first"),
        (1, Some("x"), "after"),
    ] {
        let refused = page(first, after).await;
        assert_eq!(refused.code_and_field(), ("BAD_USER_INPUT", field));
    }
    app.stop().await;
}

/// Whatever is shown of reactions costs a page of messages the same store calls as one message.
#[tokio::test(flavor = "multi_thread")]
async fn reactions_of_a_page_cost_what_those_of_one_message_do() {
    const PAGE: &str = "query($id: ID!, $last: Int) { chat(id: $id) {
        pinnedMessages(first: $last) { nodes { seq } }
        messages(last: $last) { nodes { isPinned reactions { emoji count viewerHasReacted
            users(first: 2) { nodes { name } } } } } } }";
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    for n in 0..50 {
        let message = send(&ada, &chat).await;
        add(&bob, &message, "👍").await;
        if n % 2 == 0 {
            add(&ada, &message, "🎉").await;
        }
        pin(&bob, &message, true).await;
    }
    let mut costs = Vec::new();
    for size in [1, 5, 50] {
        let mut least = u64::MAX;
        for _ in 0..10 {
            // The session is known for a second from here.
            ada.client.data("{ __typename }", json!({})).await;
            let before = app.adapters.store.calls();
            let data = ada
                .client
                .data(PAGE, json!({ "id": chat, "last": size }))
                .await;
            least = least.min(app.adapters.store.calls() - before);
            let nodes = data["chat"]["messages"]["nodes"].as_array().unwrap();
            assert_eq!(nodes.len(), size);
            let pinned = data["chat"]["pinnedMessages"]["nodes"].as_array().unwrap();
            assert_eq!(pinned.len(), size);
        }
        costs.push(least);
    }
    let (most, least) = (costs.iter().max().unwrap(), costs.iter().min().unwrap());
    // Two batches that become due at the same moment are one; under load they miss each other.
    assert!(most - least <= 2, "{costs:?}");
    app.stop().await;
}

/// The documents of the guide are what clients may send.
#[tokio::test(flavor = "multi_thread")]
async fn the_documents_of_the_guide_do_what_it_says() {
    const THREAD: &str = include_str!("../../../client-examples/documents/thread.graphql");
    const REACTED: &str = include_str!("../../../client-examples/documents/reacted.graphql");
    const REACT: &str = include_str!("../../../client-examples/documents/react.graphql");
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let message = send(&ada, &chat).await;
    let done = bob.client.data(REACT, json!({ "message": message })).await;
    assert_eq!(done["pinMessage"]["message"]["isPinned"], json!(true));
    let group = done["addReaction"]["message"]["reactions"][0].clone();
    assert_eq!(group["count"], json!(1));
    let thread = bob.client.data(THREAD, json!({ "chat": chat })).await;
    let node = &thread["chat"]["messages"]["nodes"][0];
    assert_eq!(node["reactions"], json!([group]));
    assert_eq!(node["changeSeq"], json!(2));
    assert_eq!(
        thread["chat"]["pinnedMessages"]["nodes"][0]["id"],
        json!(message)
    );
    let reacted = ada
        .client
        .data(REACTED, json!({ "message": message }))
        .await;
    let users = &reacted["node"]["reactions"][0]["users"]["nodes"];
    assert_eq!(*users, json!([{ "id": bob.id, "name": "bob" }]));
    app.stop().await;
}
