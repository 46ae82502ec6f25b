//! A block that is set on one server, on the other.

use serde_json::{Value, json};
use talksy_tests::client::SEND;
use talksy_tests::cluster::client_at;

use super::Two;

const PRESENCE: &str = "subscription($ids: [ID!]!) { presenceChanged(userIds: $ids) { status } }";
const EVENTS: &str = "subscription { accountEvents { __typename } }";

async fn set(two: &Two, is_blocked: bool) {
    let mutation = if is_blocked {
        "blockUser"
    } else {
        "unblockUser"
    };
    let (first, rest) = mutation.split_at(1);
    let query = format!(
        "mutation($input: {}{rest}Input!) {{ {mutation}(input: $input) {{ user {{ id }} }} }}",
        first.to_uppercase()
    );
    let input = json!({ "input": { "userId": two.bob.id } });
    two.ada.client.data(&query, input).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_on_one_server_holds_on_the_other() {
    let two = Two::start(&[]).await;
    let status = |event: Value| event["presenceChanged"]["status"].clone();
    // Ada is there on the first server, and Bob looks on the second.
    let ada_s_other = client_at(&two.ada, two.b.address());
    let mut events = ada_s_other.subscribe(EVENTS, json!({})).await;
    let first = events.next().await;
    assert_eq!(
        first["accountEvents"]["__typename"],
        json!("AccountCheckpoint")
    );
    let ids = json!({ "ids": [two.ada.id] });
    let mut presence = two.bob.client.subscribe(PRESENCE, ids).await;
    while status(presence.next().await) != json!("ONLINE") {}

    for _ in 0..3 {
        set(&two, true).await;
        let input = json!({ "input": { "chatId": two.chat, "text": "hi" } });
        let refused = two.bob.client.run(SEND, input.clone()).await;
        assert_eq!(refused.code(), "FORBIDDEN");
        assert_eq!(status(presence.next().await), json!("OFFLINE"));
        let told = events.next().await;
        assert_eq!(told["accountEvents"]["__typename"], json!("ViewerChanged"));
        set(&two, false).await;
        assert_eq!(status(presence.next().await), json!("ONLINE"));
        let told = events.next().await;
        assert_eq!(told["accountEvents"]["__typename"], json!("ViewerChanged"));
        two.bob.client.data(SEND, input).await;
        let told = events.next().await;
        assert_eq!(told["accountEvents"]["__typename"], json!("MessageAdded"));
    }
}
