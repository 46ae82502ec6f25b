//! Two people talk: what they see of each other's messages, marks and lists.

use serde_json::json;
use talksy_tests::app::TestApp;
use talksy_tests::client::{SEND, string};

#[tokio::test(flavor = "multi_thread")]
async fn two_people_see_each_others_messages_live_and_none_is_lost_when_a_socket_drops() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let mut ada_sees = ada.follow(&chat, None).await;
    let mut bob_sees = bob.follow(&chat, None).await;

    let sent = ada.send(&chat, "Hello, Bob").await;
    assert_eq!(sent["message"]["seq"], json!(1), "{sent}");
    let seen = bob_sees.added().await;
    assert_eq!(seen["cursor"], sent["edge"]["cursor"]);
    assert_eq!(
        seen["node"],
        json!({ "id": sent["message"]["id"], "seq": 1, "text": "Hello, Bob",
                "sender": { "id": ada.id, "name": "ada" } })
    );
    assert_eq!(ada_sees.added().await, seen);

    bob_sees.cut();
    for n in 2..=40 {
        ada.send(&chat, &format!("missed {n}")).await;
    }
    let mut bob_sees = bob.follow(&chat, Some(&string(&seen["cursor"]))).await;
    ada.send(&chat, "and live again").await;
    assert_eq!(bob_sees.seqs(40).await, (2..=41).collect::<Vec<_>>());
    assert_eq!(ada_sees.seqs(40).await, (2..=41).collect::<Vec<_>>());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_with_the_same_client_message_id_returns_the_first_message() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let mut bob_sees = bob.follow(&chat, None).await;
    let send = async |text: &str, id: &str| {
        let input = json!({ "chatId": chat, "text": text, "clientMessageId": id });
        ada.client.data(SEND, json!({ "input": input })).await
    };
    let first = send("once", "a").await;
    let again = send("once, edited before the retry", "a").await;
    assert_eq!(
        first["sendMessage"]["message"],
        again["sendMessage"]["message"]
    );
    send("next", "b").await;
    assert_eq!(bob_sees.seqs(2).await, [1, 2]);
}
