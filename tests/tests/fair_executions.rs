//! Who asks for very much at once waits for themselves.

use serde_json::json;
use talksy_tests::app::TestApp;
use talksy_tests::client::SEND;
use talksy_tests::faulty_store::{Fault, FaultyStore};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_executions_at_a_time_and_nobody_else_waits_for_them() {
    let store = FaultyStore::new();
    let app = TestApp::builder()
        .config(|config| config.http.executions_per_user = 2)
        .ports(store.install())
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    store.set("messages.append", Fault::Held);
    let mut sends = JoinSet::new();
    for _ in 0..5 {
        let client = ada.client.clone();
        let input = json!({ "input": { "chatId": chat, "text": "hi" } });
        sends.spawn(async move { client.run(SEND, input).await });
    }
    for _ in 0..2 {
        store.arrived("messages.append").await;
    }
    // Another connection of hers waits as well, and nobody else does.
    let mut socket = ada.client.socket().await;
    socket.subscribe("1", "{ me { name } }", json!({})).await;
    for _ in 0..20 {
        let data = bob.client.data("{ me { name } }", json!({})).await;
        assert_eq!(data["me"]["name"], "bob");
        let nobody = app.client().data("{ __typename }", json!({})).await;
        assert_eq!(nobody["__typename"], "Query");
    }
    assert_eq!(store.calls("messages.append"), 2);
    store.release("messages.append", 5);
    let mut sent = Vec::new();
    while let Some(reply) = sends.join_next().await {
        let data = reply.unwrap().data();
        sent.push(data["sendMessage"]["message"]["seq"].as_i64().unwrap());
    }
    sent.sort_unstable();
    assert_eq!(sent, [1, 2, 3, 4, 5]);
    let next = socket.message().await;
    assert_eq!(next["payload"]["data"]["me"]["name"], "ada");
}
