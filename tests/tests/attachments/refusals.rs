//! Images that are to harm the server, and attachments of others.

use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{Reply, User, string};
use talksy_tests::uploads::{files_below, put};

use super::{contains, gif, png};

/// A PNG whose head says that it is larger than it is.
fn flood(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = png(2, 2);
    // Behind the signature, the length and the name of the first chunk.
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let mut sum = flate2::Crc::new();
    sum.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.sum().to_be_bytes());
    bytes
}

async fn sent(ada: &User, content_type: &str, bytes: Vec<u8>) -> Reply {
    let announced = ada.announce("a", content_type, bytes.len()).await.data();
    put(
        &ada.client,
        &string(&announced["createUpload"]["url"]),
        bytes,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn images_with_too_many_pixels_are_refused() {
    let app = TestApp::builder()
        .config(|config| config.attachments.max_image_pixels = 10_000)
        .start()
        .await;
    let ada = app.sign_in("ada").await;
    let folder = app.data_dir().join("attachments");
    // As many bytes as nothing, and each more pixels than may be.
    let zeros = image::DynamicImage::new_rgb8(300, 300);
    let bomb = super::encoded(&zeros, image::ImageFormat::Png);
    assert!(bomb.len() < 50_000, "{}", bomb.len());
    for bytes in [
        flood(60_000, 60_000),
        flood(u32::MAX >> 1, u32::MAX >> 1),
        flood(1, 32_768),
        bomb,
        png(101, 100),
    ] {
        let reply = sent(&ada, "image/png", bytes).await;
        assert_eq!(
            (reply.status, reply.code()),
            (400, "BAD_USER_INPUT"),
            "{}",
            reply.body
        );
        assert!(files_below(&folder).is_empty());
    }
    // Each of its images is small; all together are not.
    let reply = sent(&ada, "image/gif", gif(100, 100, 5)).await;
    assert_eq!((reply.status, reply.code()), (400, "BAD_USER_INPUT"));
    assert!(string(&reply.error()["message"]).contains("animation"));
    assert!(files_below(&folder).is_empty());
    ada.upload("a.png", "image/png", png(100, 100)).await;
    ada.upload("a.gif", "image/gif", gif(100, 100, 4)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_are_damaged_are_refused() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let folder = app.data_dir().join("attachments");
    let whole = png(40, 40);
    for (content_type, bytes) in [
        ("image/png", whole[..whole.len() / 2].to_vec()),
        ("image/png", whole[..16].to_vec()),
        ("image/jpeg", b"\xFF\xD8\xFF\xE0no image at all".to_vec()),
        ("image/gif", b"GIF89a\x01\0\x01\0\0\0\0".to_vec()),
        ("image/webp", b"RIFF\x10\0\0\0WEBPVP8 rest".to_vec()),
    ] {
        let reply = sent(&ada, content_type, bytes).await;
        assert_eq!(reply.status, 400, "{content_type}: {}", reply.body);
        assert_eq!(reply.code_and_field(), ("BAD_USER_INPUT", "file"));
        assert!(files_below(&folder).is_empty(), "{content_type}");
    }
}

/// What stands behind an image, or beside it, does not come out again.
#[tokio::test(flavor = "multi_thread")]
async fn what_hides_in_an_image_is_gone() {
    const SCRIPT: &str = "<script>alert(document.domain)</script>";
    let app = TestApp::start().await;
    let (ada, _, chat) = app.pair().await;
    let behind = [
        png(20, 20),
        SCRIPT.as_bytes().to_vec(),
        b"PK\x05\x06".to_vec(),
    ]
    .concat();
    let id = ada.upload("a.png", "image/png", behind).await;
    let sent = ada.send_attached(&chat, None, &[id]).await.data();
    let url = string(&sent["sendMessage"]["message"]["attachments"][0]["url"]);
    let response = talksy_tests::uploads::get(&ada.client, &url).await;
    let bytes = response.bytes().await.unwrap();
    assert!(!contains(&bytes, "script"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_own_inspected_and_unused_attachments_can_be_sent() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let text = || b"hello".to_vec();
    let own = ada.upload("a.txt", "text/plain", text()).await;
    let awaited = ada.announce("a.txt", "text/plain", 5).await.data();
    let awaited = string(&awaited["createUpload"]["attachmentId"]);
    let of_bob = bob.upload("a.txt", "text/plain", text()).await;
    let unknown = "att_01h455vb4pex5vsknk084sn02q".to_owned();
    let refused = async |ids: &[&String], expected: (&str, &str)| {
        let ids: Vec<String> = ids.iter().map(|id| (*id).clone()).collect();
        let reply = ada.send_attached(&chat, Some("hello"), &ids).await;
        assert_eq!(reply.code_and_field(), expected, "{}", reply.body);
    };
    refused(&[&of_bob], ("NOT_FOUND", "input.attachmentIds.0")).await;
    refused(&[&own, &unknown], ("NOT_FOUND", "input.attachmentIds.1")).await;
    refused(&[&awaited], ("CONFLICT", "input.attachmentIds.0")).await;
    refused(&[&own, &own], ("BAD_USER_INPUT", "input.attachmentIds.1")).await;
    refused(&[&chat], ("BAD_USER_INPUT", "input.attachmentIds.0")).await;
    refused(&[&own; 11], ("BAD_USER_INPUT", "input.attachmentIds")).await;
    let nothing = ada.send_attached(&chat, None, &[]).await;
    assert_eq!(nothing.code_and_field(), ("BAD_USER_INPUT", "input.text"));
    // What was refused with others is still free, also where the chat is none of the viewer's.
    let eve = app.sign_in("eve").await;
    let of_eve = eve.upload("a.txt", "text/plain", text()).await;
    let reply = eve
        .send_attached(&chat, None, std::slice::from_ref(&of_eve))
        .await;
    assert_eq!(reply.code(), "FORBIDDEN");
    let other = eve.start_chat(&bob).await;
    eve.send_attached(&other, None, &[of_eve]).await.data();
    ada.send_attached(&chat, None, std::slice::from_ref(&own))
        .await
        .data();
    refused(&[&own], ("CONFLICT", "input.attachmentIds")).await;
}

/// An attachment is seen by who has sent it, and by who may read the message that it is of.
#[tokio::test(flavor = "multi_thread")]
async fn attachments_of_others_are_not_seen() {
    const NODE: &str = "query($id: ID!) { node(id: $id) { id ... on Attachment { fileName } } }";
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let eve = app.sign_in("eve").await;
    let id = ada.upload("a.txt", "text/plain", b"hello".to_vec()).await;
    let seen = async |user: &User| {
        let data = user.client.data(NODE, json!({ "id": id })).await;
        data["node"]["fileName"].clone()
    };
    assert_eq!(seen(&ada).await, json!("a.txt"));
    assert_eq!(seen(&bob).await, Value::Null);
    ada.send_attached(&chat, None, std::slice::from_ref(&id))
        .await
        .data();
    assert_eq!(seen(&ada).await, json!("a.txt"));
    assert_eq!(seen(&bob).await, json!("a.txt"));
    assert_eq!(seen(&eve).await, Value::Null);
    let reply = app.client().run(NODE, json!({ "id": id })).await;
    assert_eq!(reply.code(), "UNAUTHENTICATED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_uploads_so_often_and_each_user_s_alone_counts() {
    let app = TestApp::builder()
        .config(|config| {
            config.limits.uploads = talksy_server::config::Quota {
                burst: 2,
                period: std::time::Duration::from_mins(1),
            };
        })
        .start()
        .await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    for _ in 0..2 {
        ada.announce("a.txt", "text/plain", 5).await.data();
    }
    let reply = ada.announce("a.txt", "text/plain", 5).await;
    assert_eq!(reply.code(), "RATE_LIMITED");
    assert_eq!(reply.error()["extensions"]["retryAfter"], json!(30));
    bob.announce("a.txt", "text/plain", 5).await.data();
    app.clock.advance(std::time::Duration::from_secs(30));
    ada.announce("a.txt", "text/plain", 5).await.data();
}
