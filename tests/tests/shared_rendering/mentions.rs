//! How many unread messages mention a viewer is counted for all of them together.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::people::{Group, ask};

const CHATS: &str = "subscription { chatUpdated { id lastSeq lastChangeSeq unreadMentionCount } }";

/// How many are told.
const WATCHERS: [usize; 2] = [2, 40];
/// How often each is measured.
const TRIES: usize = 4;

/// Sends a message that mentions all of these; its id.
async fn mention(group: &Group, users: &[&str]) -> String {
    let input = json!({ "chatId": group.chat, "text": "you all", "mentionIds": users });
    let selects = "message { id }";
    let sent = ask(
        &group.ada,
        "sendMessage",
        "SendMessageInput",
        selects,
        input,
    )
    .await;
    sent["message"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_asks_for_the_mentions_of_all_viewers_at_once() {
    let group = Group::start().await;
    let members = group.join(WATCHERS[1]).await;
    let ids: Vec<_> = members.iter().map(|member| member.id.as_str()).collect();
    // Each has some that are unread, so that an edit may take one away.
    mention(&group, &ids).await;
    let edited = mention(&group, &ids).await;
    let (mut feeds, mut costs) = (Vec::new(), Vec::new());
    for watchers in WATCHERS {
        let opening = members[feeds.len()..watchers]
            .iter()
            .map(|member| member.client.subscribe(CHATS, json!({})));
        feeds.extend(join_all(opening).await);
        let mut fewest = u64::MAX;
        for n in 0..TRIES {
            group.ada.client.data("{ __typename }", json!({})).await;
            let before = group.app.adapters.store.calls();
            // Every other time it mentions the first of them alone.
            let mentioned = if n % 2 == 0 { &ids[..1] } else { &ids[..] };
            let input = json!({ "messageId": edited, "text": format!("edit {n}"),
                "mentionIds": mentioned });
            let selects = "message { changeSeq }";
            let done = ask(
                &group.ada,
                "editMessage",
                "EditMessageInput",
                selects,
                input,
            )
            .await;
            let change = &done["message"]["changeSeq"];
            let telling = feeds.iter_mut().enumerate().map(async |(place, feed)| {
                let told = loop {
                    let chat: Value = feed.next().await["chatUpdated"].clone();
                    if chat["id"] == *group.chat && chat["lastChangeSeq"] == *change {
                        break chat;
                    }
                };
                let expected = if place == 0 || n % 2 == 1 { 2 } else { 1 };
                assert_eq!(told["unreadMentionCount"], expected, "of watcher {place}");
            });
            join_all(telling).await;
            fewest = fewest.min(group.app.adapters.store.calls() - before);
        }
        costs.push(fewest);
    }
    // Those who ask a moment later are counted for by another call.
    assert!(
        costs[1] <= costs[0] + 16,
        "{costs:?} store calls for {WATCHERS:?}"
    );
    group.app.stop().await;
}
