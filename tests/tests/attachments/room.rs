//! How many bytes a user may keep.

use std::time::Duration;

use serde_json::json;
use talksy_tests::app::TestApp;
use talksy_tests::client::{Reply, string};
use talksy_tests::eventually;
use talksy_tests::uploads::{put, send_form, upload_form};

const DELETE: &str = "mutation($input: DeleteMessageInput!) { deleteMessage(input: $input) {
    message { id } } }";

/// A MiB.
const MOST: usize = 1 << 20;

fn text(bytes: usize) -> Vec<u8> {
    vec![b'x'; bytes]
}

/// Refused for want of room, with so many bytes left.
#[track_caller]
fn is_full(reply: &Reply, left: usize) {
    assert_eq!(reply.code(), "CONFLICT", "{}", reply.body);
    let error = &reply.body["errors"][0];
    assert_eq!(error["extensions"]["left"], json!(left), "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(&format!("{left} are left")), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_keeps_as_many_bytes_as_they_may_however_they_come() {
    let app = TestApp::builder()
        .config(|config| {
            config.attachments.max_user_bytes = MOST as u64;
            config.jobs.poll = Duration::from_millis(100);
        })
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    let first = ada.upload("a.txt", "text/plain", text(600_000)).await;
    let left = MOST - 600_000;
    is_full(&ada.announce("b.txt", "text/plain", left + 1).await, left);
    // The largest file may be larger than what is left: it is told by what comes.
    let form = |bytes| upload_form("b.txt", "text/plain", &text(bytes));
    is_full(&send_form(&ada.client, form(left + 1)).await, left);
    send_form(&ada.client, form(left - 100)).await.data();
    // What is announced takes its room at once.
    let announced = ada.announce("c.txt", "text/plain", 100).await.data();
    is_full(&ada.announce("d.txt", "text/plain", 1).await, 0);
    is_full(&send_form(&ada.client, form(1)).await, 0);
    let url = string(&announced["createUpload"]["url"]);
    assert_eq!(put(&ada.client, &url, text(100)).await.status, 204);
    // Nobody else is concerned.
    bob.upload("a.txt", "text/plain", text(MOST)).await;

    // A message that is deleted makes room, once its bytes are erased.
    let sent = ada.send_attached(&chat, None, &[first]).await.data();
    is_full(&ada.announce("d.txt", "text/plain", 1).await, 0);
    let message = &sent["sendMessage"]["message"]["id"];
    let input = json!({ "input": { "messageId": message } });
    ada.client.data(DELETE, input).await;
    eventually("room again", async || {
        app.clock.advance(Duration::from_secs(1));
        let reply = ada.announce("d.txt", "text/plain", 600_000).await;
        reply.body["errors"].is_null().then_some(())
    })
    .await;
    is_full(&ada.announce("d.txt", "text/plain", 1).await, 0);

    // So does what nobody has used for a day.
    app.clock.advance(Duration::from_hours(25));
    let ada = app.sign_in("ada").await;
    eventually("the sweep", async || {
        app.clock.advance(Duration::from_secs(1));
        let reply = ada.announce("d.txt", "text/plain", MOST).await;
        reply.body["errors"].is_null().then_some(())
    })
    .await;
}
