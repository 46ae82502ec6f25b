//! Attachments in a store that speaks the protocol of S3.

use std::time::Duration;

use serde_json::json;
use talksy_tests::app::TestApp;
use talksy_tests::client::string;
use talksy_tests::eventually;
use talksy_tests::servers::s3::S3Server;
use talksy_tests::uploads::{get, put};

use super::png;

const DELETE: &str = "mutation($input: DeleteMessageInput!) { deleteMessage(input: $input) {
    message { id } } }";

#[tokio::test(flavor = "multi_thread")]
async fn attachments_are_kept_in_a_bucket_and_erased_from_it() {
    let store = S3Server::start().await;
    let app = TestApp::builder()
        .config(store.configure())
        .config(|config| config.jobs.poll = Duration::from_millis(100))
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    // In three parts, of which the last is short.
    let large = [&b"PK\x03\x04"[..], &vec![7; 11 << 20]].concat();
    let mut ids = vec![ada.upload("a.png", "image/png", png(810, 20)).await];
    ids.push(ada.upload("b.txt", "text/plain", b"hello".to_vec()).await);
    ids.push(ada.upload("c.zip", "application/zip", large.clone()).await);
    // The image and a smaller one, and the two files; not what the image was made of.
    assert_eq!(store.objects().await, 4);
    assert!(!app.data_dir().join("attachments").exists());
    let sent = ada.send_attached(&chat, None, &ids).await.data();
    let message = &sent["sendMessage"]["message"];
    let url = |place: usize| string(&message["attachments"][place]["url"]);
    assert_eq!(get(&bob.client, &url(0)).await.status(), 200);
    let zip = get(&bob.client, &url(2)).await.bytes().await.unwrap();
    assert!(zip == large);

    // What is refused leaves nothing, also where a part was sent.
    let announced = ada
        .announce("d.zip", "application/zip", 20 << 20)
        .await
        .data();
    let to = string(&announced["createUpload"]["url"]);
    let short = Ok::<_, std::io::Error>(large);
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter([short]));
    assert_eq!(put(&ada.client, &to, body).await.status, 400);
    assert_eq!((store.objects().await, store.unfinished().await), (4, 0));

    let input = json!({ "input": { "messageId": message["id"] } });
    ada.client.data(DELETE, input).await;
    app.clock.advance(Duration::from_secs(30));
    eventually("an empty bucket", async || {
        (store.objects().await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_down_is_told_as_that_and_chats_go_on() {
    let mut store = S3Server::start().await;
    let app = TestApp::builder().config(store.configure()).start().await;
    let (ada, _, chat) = app.pair().await;
    let id = ada.upload("b.txt", "text/plain", b"hello".to_vec()).await;
    let sent = ada.send_attached(&chat, None, &[id]).await.data();
    let url = string(&sent["sendMessage"]["message"]["attachments"][0]["url"]);
    let announced = ada.announce("b.txt", "text/plain", 5).await.data();
    let to = string(&announced["createUpload"]["url"]);
    store.server.kill().await;
    assert_eq!(get(&ada.client, &url).await.status(), 503);
    let reply = put(&ada.client, &to, "hello").await;
    assert_eq!((reply.status, reply.code()), (503, "UNAVAILABLE"));
    ada.send(&chat, "hello").await;
}
