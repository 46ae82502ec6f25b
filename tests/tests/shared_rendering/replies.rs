//! What a message replies to is shown to who may read it and to nobody else, and rendered once for
//! each of the two.

use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{User, start_of};
use talksy_tests::websocket::{Socket, Subscription};

use super::people::{Group, ask};

/// What is selected of a reply; only the first of them is rendered for all.
const SELECTED: [&str; 3] = [
    "seq changeSeq replyTo { id text sender { name } changeSeq }",
    "seq changeSeq replyTo { id reactions { emoji count viewerHasReacted } }",
    "seq changeSeq replyTo { id replyTo { id text } }",
];

/// The subscriptions that show messages: where their events have one.
const FOLLOWED: [(&str, &str, &[&str]); 4] = [
    (
        "messageAdded(chatId: $chat)",
        "node { SELECTED }",
        &["messageAdded", "node"],
    ),
    (
        "messageUpdated(chatId: $chat)",
        "message { SELECTED }",
        &["messageUpdated", "message"],
    ),
    (
        "chatUpdated",
        "id lastMessage { SELECTED }",
        &["chatUpdated", "lastMessage"],
    ),
    (
        "accountEvents",
        "... on MessageAdded { message { SELECTED } } ... on MessageChange { message { SELECTED } }",
        &["accountEvents", "message"],
    ),
];

async fn follow(viewer: &User, chat: &str, which: usize, selected: &str) -> Subscription {
    let (field, selection, _) = FOLLOWED[which];
    let selection = selection.replace("SELECTED", selected);
    let takes = if field.contains("$chat") {
        "($chat: ID!)"
    } else {
        ""
    };
    let query = format!("subscription{takes} {{ {field} {{ {selection} }} }}");
    let variables = if takes.is_empty() {
        json!({})
    } else {
        json!({ "chat": chat })
    };
    let mut feed = viewer.client.subscribe(&query, variables).await;
    // It begins with a checkpoint: what happens ahead of that is not told.
    if field == "accountEvents" {
        feed.next().await;
    }
    feed
}

/// The message as a query gives it to the viewer.
async fn asked(viewer: &User, message: &str, selected: &str) -> Value {
    let query =
        format!("query($id: ID!) {{ node(id: $id) {{ ... on Message {{ {selected} }} }} }}");
    let data = viewer.client.data(&query, json!({ "id": message })).await;
    data["node"].clone()
}

/// The event's message, once a feed tells of this one in this state.
async fn told(feed: &mut Subscription, way: &[&str], state: &Value) -> Value {
    loop {
        let event = feed.next().await;
        let message = way.iter().fold(&event, |value, name| &value[*name]);
        if message["seq"] == state["seq"] && message["changeSeq"] == state["changeSeq"] {
            return message.clone();
        }
    }
}

/// Answers a message; the id of the reply.
async fn reply_to(who: &User, chat: &str, target: &str) -> String {
    let input = json!({ "chatId": chat, "text": "indeed", "replyToId": target });
    let sent = ask(
        who,
        "sendMessage",
        "SendMessageInput",
        "message { id }",
        input,
    )
    .await;
    sent["message"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_told_what_they_may_read() {
    let group = Group::start().await;
    let viewers = group.viewers();
    let react = json!({ "messageId": group.first, "emoji": "👍" });
    ask(
        &group.ben,
        "addReaction",
        "AddReactionInput",
        "__typename",
        react,
    )
    .await;
    // What is replied to is a reply itself: to one that some may not read.
    let late = reply_to(&group.ben, &group.chat, &group.first).await;
    for selected in SELECTED {
        let mut feeds = Vec::new();
        for which in 0..FOLLOWED.len() {
            for viewer in viewers {
                let feed = follow(viewer, &group.chat, which, selected).await;
                feeds.push((which, viewer, feed));
            }
        }
        for target in [&group.first, &late] {
            let reply = reply_to(&group.ada, &group.chat, target).await;
            let mut hidden = 0;
            for is_changed in [false, true] {
                if is_changed {
                    group.alter(&group.ada, &reply, Some("indeed!")).await;
                }
                for (which, viewer, feed) in &mut feeds {
                    let (field, _, way) = FOLLOWED[*which];
                    let is_of_changes = field.starts_with("messageUpdated");
                    let is_of_additions = field.starts_with("messageAdded");
                    if (is_changed && is_of_additions) || (!is_changed && is_of_changes) {
                        continue;
                    }
                    let expected = asked(viewer, &reply, selected).await;
                    let told = told(feed, way, &expected).await;
                    assert_eq!(told, expected, "{field} of {}: {selected}", viewer.name);
                    hidden += usize::from(told["replyTo"].is_null());
                }
            }
            // Two of the five, by three subscriptions each time, may not read the first text.
            let expected = if target == &group.first { 12 } else { 0 };
            assert_eq!(hidden, expected, "{selected}");
        }
    }
    group.app.stop().await;
}

/// A deleted message that is replied to is shown as what is left of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_gone_is_shown_so_to_who_may_read_it() {
    let group = Group::start().await;
    let (_, target) = group.send(&group.ada, "for a while").await;
    let mut feeds = Vec::new();
    for viewer in group.viewers() {
        feeds.push(follow(viewer, &group.chat, 0, SELECTED[0]).await);
    }
    group
        .alter(&group.ada, &target, Some("a while longer"))
        .await;
    let reply = reply_to(&group.ben, &group.chat, &target).await;
    group.alter(&group.ada, &target, None).await;
    let second = group.send(&group.ada, "the next").await;
    for (feed, viewer) in feeds.iter_mut().zip(group.viewers()) {
        let state = asked(viewer, &reply, SELECTED[0]).await;
        let told = told(feed, FOLLOWED[0].2, &state).await;
        assert_eq!(told["replyTo"]["id"], target, "{}", viewer.name);
        // The next event is whole, whatever became of the target.
        loop {
            let event = feed.next().await;
            if event["messageAdded"]["node"]["seq"] == second.0 {
                break;
            }
        }
    }
    group.app.stop().await;
}

/// How many are told: half of them may read what is replied to.
const WATCHERS: usize = 1_000;
const A_SOCKET: usize = 50;
const TRIES: usize = 4;

/// Opens many subscriptions over one socket, from the beginning of the chat, so that none misses what is
/// sent while it is opened.
async fn follow_often(viewer: &User, chat: &str) -> Socket {
    let query = "subscription($chat: ID!, $after: String!) {
        messageAdded(chatId: $chat, after: $after) { node { seq replyTo { text sender { name } } } } }";
    let mut socket = viewer.client.socket().await;
    for id in 0..A_SOCKET {
        let variables = json!({ "chat": chat, "after": start_of(chat) });
        socket.subscribe(&id.to_string(), query, variables).await;
    }
    socket
}

/// Answers the group's first text, and has each subscription tell of it: the fewest calls of the store
/// that this takes.
async fn costs(group: &Group, sockets: &mut [(&User, Socket)]) -> u64 {
    let mut fewest = u64::MAX;
    for _ in 0..TRIES {
        // The session is not looked up while it is counted.
        group.ada.client.data("{ __typename }", json!({})).await;
        let before = group.app.adapters.store.calls();
        let input = json!({ "chatId": group.chat, "text": "indeed", "replyToId": group.first });
        let selects = "message { seq }";
        let sent = ask(
            &group.ada,
            "sendMessage",
            "SendMessageInput",
            selects,
            input,
        )
        .await;
        let seq = &sent["message"]["seq"];
        for (viewer, socket) in sockets.iter_mut() {
            let may_read = viewer.id == group.ben.id;
            let mut told = 0;
            while told < A_SOCKET {
                let message = socket.message().await;
                let node = &message["payload"]["data"]["messageAdded"]["node"];
                if node["seq"] == *seq {
                    let text = &node["replyTo"]["text"];
                    let expected = if may_read { json!("one") } else { Value::Null };
                    assert_eq!(text, &expected, "{message}");
                    told += 1;
                }
            }
        }
        fewest = fewest.min(group.app.adapters.store.calls() - before);
    }
    fewest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_is_executed_twice_for_a_thousand() {
    let builder = TestApp::builder().config(|config| {
        config.http.shares.operations_per_user = WATCHERS;
        config.http.shares.sockets_per_user = WATCHERS;
    });
    let group = Group::start_on(builder).await;
    let viewers = [&group.ben, &group.cleo];
    let mut sockets = Vec::new();
    let mut figures = Vec::new();
    for watchers in [2 * A_SOCKET, WATCHERS] {
        while sockets.len() * A_SOCKET < watchers {
            let viewer = viewers[sockets.len() % 2];
            sockets.push((viewer, follow_often(viewer, &group.chat).await));
        }
        figures.push(costs(&group, &mut sockets).await);
    }
    // One more where the session is looked up, and one where a name is.
    assert!(figures[1] <= figures[0] + 2, "{figures:?} store calls");
    group.app.stop().await;
}
