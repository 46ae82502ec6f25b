//! Whether the viewer has reacted is each one's own, and read for all who are told together.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::people::{Group, ask};

const UPDATED: &str = "subscription($chat: ID!) { messageUpdated(chatId: $chat) {
    changeSeq message { seq reactions { emoji count viewerHasReacted } } } }";
const ADDED: &str = "subscription($chat: ID!) { messageAdded(chatId: $chat) {
    node { seq reactions { emoji count viewerHasReacted } } } }";
const CHATS: &str = "subscription { chatUpdated { id lastSeq lastChangeSeq
    lastMessage { seq reactions { emoji count viewerHasReacted } } } }";

/// How many are told.
const WATCHERS: [usize; 2] = [2, 40];
/// How often each is measured.
const TRIES: usize = 4;

fn react(message: &str, emoji: &str) -> Value {
    json!({ "messageId": message, "emoji": emoji })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_told_what_they_have_done_and_all_are_read_for_together() {
    let group = Group::start().await;
    let members = group.join(WATCHERS[1]).await;
    let selects = "message { changeSeq }";
    let (mut feeds, mut costs) = (Vec::new(), Vec::new());
    for watchers in WATCHERS {
        let opening = members[feeds.len()..watchers].iter().map(|member| {
            let variables = json!({ "chat": group.chat });
            member.client.subscribe(UPDATED, variables)
        });
        feeds.extend(join_all(opening).await);
        let mut fewest = u64::MAX;
        for _ in 0..TRIES {
            let (_, message) = group.send(&group.ada, "hi").await;
            // Every other one of the first two has reacted.
            let thumb = react(&message, "👍");
            ask(
                &members[1],
                "addReaction",
                "AddReactionInput",
                selects,
                thumb,
            )
            .await;
            group.ada.client.data("{ __typename }", json!({})).await;
            let before = group.app.adapters.store.calls();
            let party = react(&message, "🎉");
            let done = ask(
                &group.ada,
                "addReaction",
                "AddReactionInput",
                selects,
                party,
            )
            .await;
            for (n, feed) in feeds.iter_mut().enumerate() {
                let told = loop {
                    let event = feed.next().await["messageUpdated"].clone();
                    if event["changeSeq"] == done["message"]["changeSeq"] {
                        break event;
                    }
                };
                let expected = json!([
                    { "emoji": "👍", "count": 1, "viewerHasReacted": n == 1 },
                    { "emoji": "🎉", "count": 1, "viewerHasReacted": false },
                ]);
                assert_eq!(told["message"]["reactions"], expected, "of watcher {n}");
            }
            fewest = fewest.min(group.app.adapters.store.calls() - before);
        }
        costs.push(fewest);
    }
    // Those who ask a moment later are read for by another call.
    assert!(
        costs[1] <= costs[0] + 8,
        "{costs:?} store calls for {WATCHERS:?}"
    );
    group.app.stop().await;
}

/// A message that nobody has reacted to looks the same to all, and the newest message of a chat tells
/// each viewer what is their own.
#[tokio::test(flavor = "multi_thread")]
async fn new_messages_and_chats_tell_of_reactions_too() {
    let group = Group::start().await;
    let variables = json!({ "chat": group.chat });
    let mut added = group.ben.client.subscribe(ADDED, variables).await;
    let viewers = [&group.ada, &group.ben, &group.dora];
    let mut chats = Vec::new();
    for viewer in viewers {
        chats.push(viewer.client.subscribe(CHATS, json!({})).await);
    }
    let (seq, message) = group.send(&group.ada, "hi").await;
    loop {
        let node = added.next().await["messageAdded"]["node"].clone();
        if node["seq"] == seq {
            assert_eq!(node["reactions"], json!([]));
            break;
        }
    }
    let thumb = react(&message, "👍");
    let selects = "message { changeSeq }";
    let done = ask(
        &group.ben,
        "addReaction",
        "AddReactionInput",
        selects,
        thumb,
    )
    .await;
    let change = &done["message"]["changeSeq"];
    for (viewer, chats) in viewers.iter().zip(&mut chats) {
        let last = loop {
            let chat = chats.next().await["chatUpdated"].clone();
            if chat["id"] == *group.chat && chat["lastChangeSeq"] == *change {
                break chat["lastMessage"].clone();
            }
        };
        let own = viewer.id == group.ben.id;
        let expected = json!([{ "emoji": "👍", "count": 1, "viewerHasReacted": own }]);
        assert_eq!(last["reactions"], expected, "of {}", viewer.name);
    }
    group.app.stop().await;
}
