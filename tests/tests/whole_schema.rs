//! Members of the schema that belong to many types, each asked for on every one of them: the edges of all
//! lists, the places of all kinds of events, and what a server says of its schema.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use talksy_tests::app::TestApp;
use talksy_tests::client::{User, string};
use talksy_tests::wire::Answer;

/// What is asked of a list, besides how its items are told apart.
fn list(item: &str) -> String {
    format!(
        "{{ edges {{ cursor node {{ {item} }} }} nodes {{ {item} }}
        pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }}"
    )
}

/// Asks for the list at `path` from a cursor on; `query` says where it stands, with `LIST` in its place.
async fn page(user: &User, query: &str, path: &[&str], item: &str, variables: &Value) -> Value {
    let query = query.replace("LIST", &list(item));
    let data = user.client.data(&query, variables.clone()).await;
    path.iter()
        .fold(data, |value, key| match key.parse::<usize>() {
            Ok(place) => value[place].clone(),
            Err(_) => value[key].clone(),
        })
}

/// Holds that the edges of a list of two items or more are its nodes, each with a place behind which the
/// list goes on, and that the page says where it begins and ends.
async fn has_edges(user: &User, query: &str, path: &[&str], item: &str, mut variables: Value) {
    let whole = page(user, query, path, item, &variables).await;
    let edges = whole["edges"].as_array().unwrap();
    assert!(edges.len() >= 2, "{path:?}: {whole}");
    let nodes: Vec<_> = edges.iter().map(|edge| edge["node"].clone()).collect();
    assert_eq!(json!(nodes), whole["nodes"], "{path:?}");
    let cursors: BTreeSet<_> = edges.iter().map(|edge| string(&edge["cursor"])).collect();
    assert_eq!(
        cursors.len(),
        edges.len(),
        "{path:?}: a place is one item's"
    );
    let expected = json!({
        "hasNextPage": false, "hasPreviousPage": false,
        "startCursor": edges[0]["cursor"], "endCursor": edges[edges.len() - 1]["cursor"],
    });
    assert_eq!(whole["pageInfo"], expected, "{path:?}");
    variables["after"] = edges[0]["cursor"].clone();
    let rest = page(user, query, path, item, &variables).await;
    assert_eq!(json!(nodes[1..]), rest["nodes"], "{path:?}");
    assert_eq!(rest["pageInfo"]["hasPreviousPage"], json!(true), "{path:?}");
}

async fn run(user: &User, query: &str, input: Value) -> Value {
    user.client.data(query, json!({ "input": input })).await
}

/// A group of Ada, Bob and Cyd in which two messages were read, answered, changed, pinned and liked.
async fn group(ada: &User, bob: &User, cyd: &User) -> (String, String) {
    const CREATE: &str =
        "mutation($input: CreateGroupInput!) { createGroup(input: $input) { chat { id } } }";
    const REPLY: &str =
        "mutation($input: SendMessageInput!) { sendMessage(input: $input) { message { id } } }";
    const PIN: &str =
        "mutation($input: PinMessageInput!) { pinMessage(input: $input) { message { id } } }";
    const REACT: &str =
        "mutation($input: AddReactionInput!) { addReaction(input: $input) { message { id } } }";
    let input = json!({ "title": "Engines", "memberIds": [bob.id, cyd.id] });
    let chat = string(&run(ada, CREATE, input).await["createGroup"]["chat"]["id"]);
    let sent = ada.send(&chat, "first").await;
    let message = string(&sent["message"]["id"]);
    let mut pinned = vec![message.clone()];
    for text in ["one", "two"] {
        let input = json!({ "chatId": chat, "text": text, "replyToId": message });
        pinned.push(string(
            &run(bob, REPLY, input).await["sendMessage"]["message"]["id"],
        ));
    }
    for id in &pinned {
        run(ada, PIN, json!({ "messageId": id, "pinned": true })).await;
    }
    for user in [bob, cyd] {
        run(user, REACT, json!({ "messageId": message, "emoji": "👍" })).await;
        user.mark_read(&chat, 4).await;
    }
    (chat, message)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edges_of_every_list_are_its_nodes_with_their_places() {
    let app = TestApp::start().await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    let cyd = app.sign_in("cyd").await;
    app.clock.advance(Duration::from_secs(61));
    let again = app.sign_in("ada").await;
    let (chat, message) = group(&ada, &bob, &cyd).await;
    ada.start_chat(&bob).await;
    let of_chat = |field: &str| {
        format!("query($id: ID!, $after: String) {{ chat(id: $id) {{ {field} LIST }} }}")
    };
    let of_message = |field: &str| {
        format!(
            "query($id: ID!, $after: String) {{ node(id: $id) {{ ... on Message {{ {field} }} }} }}"
        )
    };
    for (query, path) in [
        (
            "query($after: String) { users(after: $after) LIST }",
            "users",
        ),
        (
            "query($after: String) { chats(after: $after) LIST }",
            "chats",
        ),
        (
            "query($after: String) { sessions(after: $after) LIST }",
            "sessions",
        ),
    ] {
        has_edges(&again, query, &[path], "id", json!({})).await;
    }
    let in_chat = json!({ "id": chat });
    for (field, item) in [
        ("members", "id user { name }"),
        ("messages", "id seq"),
        ("pinnedMessages", "id seq"),
        ("changes", "changeSeq message { id }"),
    ] {
        let first = if field == "messages" {
            "first: 10, "
        } else {
            ""
        };
        let query = of_chat(&format!("{field}({first}after: $after)"));
        has_edges(&ada, &query, &["chat", field], item, in_chat.clone()).await;
    }
    let of_it = json!({ "id": message });
    for (field, item) in [
        ("readBy", "id lastReadSeq user { name }"),
        ("replies", "id seq"),
    ] {
        let query = of_message(&format!("{field}(after: $after) LIST"));
        has_edges(&ada, &query, &["node", field], item, of_it.clone()).await;
    }
    let query = of_message("reactions { users(after: $after) LIST }");
    let path = ["node", "reactions", "0", "users"];
    has_edges(&ada, &query, &path, "id name", of_it).await;
}

/// Every kind of event tells its place, by the interface and by itself.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_event_tells_its_place() {
    const KINDS: [&str; 8] = [
        "AccountCheckpoint",
        "ChatChanged",
        "ChatRemoved",
        "ChatReset",
        "MessageAdded",
        "MessageChange",
        "ReceiptChanged",
        "ViewerChanged",
    ];
    const PROFILE: &str =
        "mutation($input: UpdateProfileInput!) { updateProfile(input: $input) { user { id } } }";
    const EDIT: &str =
        "mutation($input: EditMessageInput!) { editMessage(input: $input) { message { id } } }";
    const REMOVE: &str =
        "mutation($input: RemoveMemberInput!) { removeMember(input: $input) { chat { id } } }";
    let app = TestApp::start().await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    let cyd = app.sign_in("cyd").await;
    let own = KINDS.map(|kind| format!("... on {kind} {{ own: cursor }}"));
    let query = format!(
        "subscription {{ accountEvents {{ __typename cursor {} }} }}",
        own.concat()
    );
    let mut events = bob.client.subscribe(&query, json!({})).await;
    let mut seen = BTreeSet::new();
    let mut next = async || {
        let event = events.next().await["accountEvents"].clone();
        assert_eq!(event["cursor"], event["own"], "{event}");
        assert!(!string(&event["cursor"]).is_empty());
        seen.insert(string(&event["__typename"]));
        seen.clone()
    };
    next().await;
    run(&bob, PROFILE, json!({ "about": "here" })).await;
    let (chat, message) = group(&ada, &bob, &cyd).await;
    run(&ada, EDIT, json!({ "messageId": message, "text": "other" })).await;
    run(&ada, REMOVE, json!({ "chatId": chat, "userId": bob.id })).await;
    let all = BTreeSet::from(KINDS.map(str::to_owned));
    while next().await != all {}
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schemas_hash_is_that_of_the_published_one() {
    let app = TestApp::start().await;
    let answer = app
        .client()
        .data("{ server { schemaHash } }", json!({}))
        .await;
    let published = Answer::to(app.client().request(Method::GET, "/schema.graphql")).await;
    let digest = hex::encode(Sha256::digest(&published.body));
    assert_eq!(answer["server"]["schemaHash"], json!(digest[..16]));
}
