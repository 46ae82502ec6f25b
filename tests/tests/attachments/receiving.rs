//! What is announced and what comes: it has to be the same, whole, and inspected.

use std::time::Duration;

use serde_json::json;
use talksy_tests::app::TestApp;
use talksy_tests::client::string;
use talksy_tests::eventually;
use talksy_tests::uploads::{files_below, put};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{jpeg, png};

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_attached_is_refused_before_it_is_sent() {
    const MIB: usize = 1024 * 1024;
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    for (content_type, byte_size, field) in [
        ("image/svg+xml", 10, "input.contentType"),
        ("text/html", 10, "input.contentType"),
        ("application/x-msdownload", 10, "input.contentType"),
        ("", 10, "input.contentType"),
        // Not of those that are allowed by default.
        ("video/mp4", 10, "input.contentType"),
        ("image/png", 0, "input.byteSize"),
        ("image/png", 5 * MIB + 1, "input.byteSize"),
        ("application/pdf", 26 * MIB, "input.byteSize"),
    ] {
        let reply = ada.announce("a", content_type, byte_size).await;
        assert_eq!(
            reply.code_and_field(),
            ("BAD_USER_INPUT", field),
            "{content_type}"
        );
    }
    ada.announce("a", "image/png", 5 * MIB).await.data();
    ada.announce("a", "application/pdf", 25 * MIB).await.data();
    let stranger = app.client();
    let input = json!({ "fileName": "a", "contentType": "image/png", "byteSize": 1 });
    let create = talksy_tests::uploads::CREATE_UPLOAD;
    let reply = stranger.run(create, json!({ "input": input })).await;
    assert_eq!(reply.code(), "UNAUTHENTICATED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_allowed_where_the_setting_says_so() {
    let app = TestApp::builder()
        .config(|config| config.attachments.documents = vec!["video/webm".to_owned()])
        .start()
        .await;
    let ada = app.sign_in("ada").await;
    let webm = [&b"\x1A\x45\xDF\xA3\x42\x82\x84webm"[..], &[0; 300]].concat();
    ada.upload("a.webm", "video/webm", webm).await;
    let reply = ada.announce("a", "text/plain", 10).await;
    assert_eq!(reply.code(), "BAD_USER_INPUT");
}

/// What is not what was announced is refused, and nothing of it is kept; the right thing can still be
/// sent.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_was_announced_is_refused_and_leaves_nothing() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let folder = app.data_dir().join("attachments");
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>".to_vec();
    let html = b"<!DOCTYPE html><html><script>alert(1)</script></html>".to_vec();
    let program = [&b"MZ\x90\0"[..], &[0; 200]].concat();
    let mut binary = b"text".to_vec();
    binary.resize(20_000, 0);
    // Longer than what is looked at first, so that it is found on the way.
    let mut late = "text\n".repeat(4_000).into_bytes();
    late.extend_from_slice(b"\x1B[31m");
    for (content_type, bytes) in [
        ("image/png", jpeg(20, 10)),
        ("image/jpeg", png(20, 10)),
        ("image/png", svg),
        ("application/pdf", html.clone()),
        ("text/plain", html),
        ("text/plain", program),
        ("text/plain", binary),
        ("text/plain", late),
    ] {
        let announced = ada.announce("a", content_type, bytes.len()).await.data();
        let url = string(&announced["createUpload"]["url"]);
        let reply = put(&ada.client, &url, bytes).await;
        assert_eq!(reply.status, 400, "{content_type}: {}", reply.body);
        assert_eq!(reply.code_and_field(), ("BAD_USER_INPUT", "contentType"));
        assert!(files_below(&folder).is_empty(), "{content_type}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_as_long_as_announced_and_comes_once() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let folder = app.data_dir().join("attachments");
    let announced = ada.announce("a.txt", "text/plain", 10).await.data();
    let url = string(&announced["createUpload"]["url"]);
    let longer = put(&ada.client, &url, "01234567890").await;
    assert_eq!((longer.status, longer.code()), (413, "PAYLOAD_TOO_LARGE"));
    let shorter = put(&ada.client, &url, "012345678").await;
    assert_eq!((shorter.status, shorter.code()), (400, "BAD_USER_INPUT"));
    // The same without a length ahead of it.
    for (text, status) in [("01234567890", 413), ("012345678", 400)] {
        let piece = Ok::<_, std::io::Error>(text);
        let body = reqwest::Body::wrap_stream(futures_util::stream::iter([piece]));
        assert_eq!(put(&ada.client, &url, body).await.status, status);
    }
    assert!(files_below(&folder).is_empty());
    assert_eq!(put(&ada.client, &url, "0123456789").await.status, 204);
    assert_eq!(files_below(&folder).len(), 1);
    let again = put(&ada.client, &url, "9876543210").await;
    assert_eq!((again.status, again.code()), (409, "CONFLICT"));
    assert_eq!(files_below(&folder).len(), 1);
}

/// A client that goes away in the middle leaves nothing, and can send it again.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_leaves_nothing_and_can_be_sent_again() {
    const SIZE: usize = 1_000_000;
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let folder = app.data_dir().join("attachments");
    let announced = ada.announce("a.txt", "text/plain", SIZE).await.data();
    let url = string(&announced["createUpload"]["url"]);
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let head = format!("PUT {url} HTTP/1.1\r\nhost: test\r\ncontent-length: {SIZE}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'a'; SIZE / 2]).await.unwrap();
    eventually("a part of it", async || {
        (files_below(&folder).len() == 1).then_some(())
    })
    .await;
    drop(stream);
    eventually("its end", async || {
        files_below(&folder).is_empty().then_some(())
    })
    .await;
    assert_eq!(put(&ada.client, &url, vec![b'a'; SIZE]).await.status, 204);
    assert_eq!(files_below(&folder).len(), 1);
}

/// A refusal reaches also who sends all of the body first, as a proxy may that passes it on as it comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_comes_behind_as_many_bytes_as_an_upload_may_have() {
    const SIZE: usize = 26 * 1024 * 1024;
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let announced = ada.announce("a.txt", "text/plain", 10).await.data();
    let url = string(&announced["createUpload"]["url"]);
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let head = format!("PUT {url} HTTP/1.1\r\nhost: test\r\ncontent-length: {SIZE}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'a'; SIZE]).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

/// A client that waits for leave to send is refused without having sent anything.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_leave_to_send_too_much_is_not_given_it() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let announced = ada.announce("a.txt", "text/plain", 10).await.data();
    let url = string(&announced["createUpload"]["url"]);
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let head = format!(
        "PUT {url} HTTP/1.1\r\nhost: test\r\ncontent-length: 27262976\r\nexpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_url_of_an_upload_expires() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let announced = ada.announce("a.txt", "text/plain", 5).await.data();
    let url = string(&announced["createUpload"]["url"]);
    app.clock.advance(Duration::from_mins(16));
    let reply = put(&ada.client, &url, "hello").await;
    assert_eq!((reply.status, reply.code()), (403, "FORBIDDEN"));
    assert!(string(&reply.error()["message"]).contains("expired"));
}

/// URLs are whole where the server knows how clients reach it.
#[tokio::test(flavor = "multi_thread")]
async fn urls_begin_with_the_server_s_own_where_it_is_known() {
    let app = TestApp::builder()
        .config(|config| config.public_url = Some("https://chat.example.org/".to_owned()))
        .start()
        .await;
    let ada = app.sign_in("ada").await;
    let announced = ada.announce("a.txt", "text/plain", 5).await.data();
    let url = string(&announced["createUpload"]["url"]);
    assert!(
        url.starts_with("https://chat.example.org/uploads/att_"),
        "{url}"
    );
}
