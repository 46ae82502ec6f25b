//! What must not be mixed up or kept: documents that share a text and not a meaning, leaves that fail, and
//! names that were changed.

use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{User, start_of};
use talksy_tests::faulty_store::{Fault, FaultyStore};
use talksy_tests::websocket::{Socket, Subscription};

use super::people::{Group, ask};

/// Two operations and a variable.
const TEXT: &str = "subscription Seq($chat: ID!, $after: String, $all: Boolean = false) {
        messageAdded(chatId: $chat, after: $after) { node { seq text @include(if: $all) } } }
    subscription Kind($chat: ID!, $after: String, $all: Boolean = true) {
        messageAdded(chatId: $chat, after: $after) { node { kind text @include(if: $all) } } }";

async fn follow(group: &Group, viewer: &User, operation: &str, all: Option<Value>) -> Socket {
    let mut socket = viewer.client.socket().await;
    let mut variables = json!({ "chat": group.chat, "after": start_of(&group.chat) });
    if let Some(all) = all {
        variables["all"] = all;
    }
    let payload = json!({ "query": TEXT, "operationName": operation, "variables": variables });
    socket
        .send(json!({ "type": "subscribe", "id": "1", "payload": payload }))
        .await;
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_share_a_text_and_not_a_meaning_are_not_mixed_up() {
    let group = Group::start().await;
    let kinds = [
        ("Seq", None, vec!["seq"]),
        ("Seq", Some(json!(true)), vec!["seq", "text"]),
        ("Seq", Some(json!(false)), vec!["seq"]),
        ("Kind", None, vec!["kind", "text"]),
        ("Kind", Some(json!(false)), vec!["kind"]),
    ];
    let mut followers = Vec::new();
    // Each kind for two viewers, so that there is always one who is told what another has rendered.
    for viewer in [&group.ada, &group.ben] {
        for (operation, all, fields) in &kinds {
            let socket = follow(&group, viewer, operation, all.clone()).await;
            followers.push((socket, fields));
        }
    }
    for round in 0..3 {
        group.send(&group.ada, &format!("round {round}")).await;
    }
    for (socket, fields) in &mut followers {
        loop {
            let message = socket.message().await;
            let node = &message["payload"]["data"]["messageAdded"]["node"];
            let names: Vec<_> = node.as_object().unwrap().keys().collect();
            assert_eq!(&names, *fields, "{message}");
            if node["text"] == "round 2" || node["seq"] == 11 || !fields.contains(&"text") {
                break;
            }
        }
    }
    group.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_fails_is_each_ones_own_error_and_the_next_event_is_whole() {
    let store = FaultyStore::new();
    let group = Group::start_on(TestApp::builder().ports(store.install())).await;
    let query = "subscription { accountEvents { ... on MessageAdded {
        message { text sender { name } } } } }";
    let mut feeds: Vec<Subscription> = Vec::new();
    for viewer in [&group.ada, &group.ben, &group.cleo] {
        feeds.push(viewer.client.subscribe(query, json!({})).await);
    }
    // Nobody's name is remembered who has sent nothing for a while.
    store.set("users.users", Fault::Unavailable("away"));
    // Who sends it does not ask for the sender.
    let send =
        "mutation($input: SendMessageInput!) { sendMessage(input: $input) { message { seq } } }";
    let input = json!({ "input": { "chatId": group.chat, "text": "nobody knows who" } });
    group.dora.client.data(send, input).await;
    for feed in &mut feeds {
        let told = told_of_a_message(feed).await;
        let message = &told["data"]["accountEvents"]["message"];
        assert_eq!(
            message,
            &json!({ "text": "nobody knows who", "sender": null })
        );
        let error = &told["errors"][0];
        assert_eq!(error["extensions"]["code"], "UNAVAILABLE");
        assert_eq!(error["path"], json!(["accountEvents", "message", "sender"]));
    }
    store.set("users.users", Fault::None);
    group.send(&group.dora, "of Dora").await;
    for feed in &mut feeds {
        let told = told_of_a_message(feed).await;
        let message = &told["data"]["accountEvents"]["message"];
        let sender = json!({ "name": group.dora.name });
        assert_eq!(message, &json!({ "text": "of Dora", "sender": sender }));
        assert!(told.get("errors").is_none());
    }
    group.app.stop().await;
}

async fn told_of_a_message(feed: &mut Subscription) -> Value {
    loop {
        let message = feed.socket().message().await;
        let payload = &message["payload"];
        if payload["data"]["accountEvents"]["message"].is_object() {
            return payload.clone();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_told_of_a_new_name_is_shown_no_old_one_behind_it() {
    let group = Group::direct().await;
    let mut messages = group
        .ben
        .client
        .subscribe(
            "subscription($chat: ID!, $after: String) { messageAdded(chatId: $chat, after: $after) {
                node { text sender { name } } } }",
            json!({ "chat": group.chat, "after": start_of(&group.chat) }),
        )
        .await;
    let query = "subscription { chatUpdated { title isMutedByViewer peer { name }
        lastMessage { text sender { name } } } }";
    let mut chats = group.ben.client.subscribe(query, json!({})).await;
    for round in 0..4 {
        let name = format!("Ada the {round}th");
        let text = format!("round {round}");
        ask(
            &group.ada,
            "updateProfile",
            "UpdateProfileInput",
            "__typename",
            json!({ "name": name }),
        )
        .await;
        let sender = json!({ "text": text, "sender": { "name": name } });
        group.send(&group.ada, &text).await;
        loop {
            let node = messages.next().await["messageAdded"]["node"].clone();
            if node["text"] == text {
                assert_eq!(node, sender);
                break;
            }
        }
        let shown = |muted: bool| {
            json!({ "title": name, "isMutedByViewer": muted, "peer": { "name": name },
                "lastMessage": sender })
        };
        until(&mut chats, &shown(round % 2 == 0)).await;
        // The same place of the chat, as somebody else is called by then.
        let name = format!("Ada the {round}th, again");
        ask(
            &group.ada,
            "updateProfile",
            "UpdateProfileInput",
            "__typename",
            json!({ "name": name }),
        )
        .await;
        group.mute(&group.ben, round % 2 == 1).await;
        let sender = json!({ "text": text, "sender": { "name": name } });
        let shown = json!({ "title": name, "isMutedByViewer": round % 2 == 1,
            "peer": { "name": name }, "lastMessage": sender });
        until(&mut chats, &shown).await;
    }
    group.app.stop().await;
}

/// Waits for a chat, which must come as it should be: whatever comes before is of before.
async fn until(chats: &mut Subscription, shown: &Value) {
    let told = chats.next().await["chatUpdated"].clone();
    assert_eq!(&told, shown);
}
