//! Who is removed while others are told of events sees nothing of what comes behind.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use talksy_tests::client::{User, start_of};
use talksy_tests::websocket::{Received, Socket};

use super::people::Group;

/// Subscriptions of which each shows the messages of the chat.
const FOLLOWED: [&str; 4] = [
    "subscription($chat: ID!, $after: String) {
        messageAdded(chatId: $chat, after: $after) { node { seq text chat { title } } } }",
    "subscription { chatUpdated { lastSeq unreadCount lastMessage { seq text } } }",
    "subscription { accountEvents { ... on MessageAdded { cursor message { seq text } }
        ... on ChatRemoved { chatId } } }",
    "subscription { accountEvents(detailOf: []) { cursor
        ... on ChatChanged { chat { lastSeq unreadCount lastMessage { seq text } } }
        ... on ChatRemoved { removed: chatId } } }",
];

async fn follow(group: &Group, viewer: &User) -> Socket {
    let mut socket = viewer.client.socket().await;
    for (id, query) in FOLLOWED.iter().enumerate() {
        let variables = json!({ "chat": group.chat, "after": start_of(&group.chat) });
        socket.subscribe(&id.to_string(), query, variables).await;
    }
    socket
}

/// All texts in a payload.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_sees_nothing_of_what_comes_behind() {
    let group = Group::start().await;
    let mut ben = follow(&group, &group.ben).await;
    let mut dora = follow(&group, &group.dora).await;
    let sends = async {
        for n in 0..5 {
            group.send(&group.ada, &format!("before {n}")).await;
        }
        let input = json!({ "chatId": group.chat, "userId": group.dora.id });
        let removed = group.change("removeMember", "RemoveMemberInput", input);
        let meanwhile = async {
            for n in 0..5 {
                group.send(&group.cleo, &format!("around {n}")).await;
            }
        };
        tokio::join!(removed, meanwhile);
        for n in 0..5 {
            group.send(&group.ada, &format!("behind {n}")).await;
        }
        group.send(&group.ada, "the end").await
    };
    // What Ben is told of, until all have told of the end.
    let told = async {
        let mut ended = BTreeSet::new();
        while ended.len() < FOLLOWED.len() {
            let message = ben.message().await;
            let mut found = Vec::new();
            texts(&message, &mut found);
            if found.contains(&"the end".to_owned()) {
                ended.insert(message["id"].to_string());
            }
        }
    };
    // What Dora is told of, until her feeds of messages and of the account say that she has left.
    let left = async {
        let (mut is_refused, mut is_told) = (false, false);
        let mut seen = Vec::new();
        while !(is_refused && is_told) {
            let message = dora.message().await;
            is_refused |= message["type"] == "error" && message["id"] == "0";
            is_told |= message.to_string().contains("\"chatId\"");
            texts(&message, &mut seen);
        }
        seen
    };
    let (_, (), mut seen) = tokio::join!(sends, told, left);
    // A message to another chat of hers comes behind all that might have come of this one.
    let other = group.dora.start_chat(&group.ben).await;
    group.ben.send(&other, "elsewhere").await;
    let mut elsewhere = BTreeSet::new();
    while elsewhere.len() < 2 {
        let message = match dora.next().await {
            Received::Message(message) => message,
            end => panic!("{end:?}"),
        };
        texts(&message, &mut seen);
        if message.to_string().contains("elsewhere")
            && ["1", "3"].contains(&message["id"].as_str().unwrap())
        {
            elsewhere.insert(message["id"].to_string());
        }
    }
    assert!(seen.iter().any(|text| text == "before 4"));
    let behind: Vec<_> = seen
        .iter()
        .filter(|text| text.starts_with("behind") || *text == "the end")
        .collect();
    assert_eq!(behind, Vec::<&String>::new());
    group.app.stop().await;
}
