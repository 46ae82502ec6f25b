//! Attachments of messages, and the URLs of their bytes.

use std::time::Duration;

use http::Method;
use image::{AnimationDecoder as _, GenericImageView as _, ImageFormat};
use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::string;
use talksy_tests::faulty_store::FaultyStore;
use talksy_tests::uploads::{SEND_ATTACHED, get, put, stranger};

use super::{PLACE, contains, encoded, gif, jpeg, photograph, pixels, png};

const MESSAGES: &str = "query($id: ID!) { chat(id: $id) { messages(last: 50) { nodes {
    id kind text attachments { id fileName url thumbnailUrl } } } } }";

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_sent_with_a_caption_and_both_are_there() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let mut events = bob.follow(&chat, None).await;
    let id = ada
        .upload("tower.jpg", "image/jpeg", photograph(90, 60))
        .await;
    let sent = ada
        .send_attached(&chat, Some("the tower"), std::slice::from_ref(&id))
        .await;
    let message = sent.data()["sendMessage"]["message"].clone();
    assert_eq!(
        (&message["kind"], &message["text"]),
        (&json!("IMAGE"), &json!("the tower"))
    );
    let attachment = &message["attachments"][0];
    assert_eq!(attachment["id"], json!(id));
    assert_eq!(attachment["kind"], json!("IMAGE"));
    assert_eq!(attachment["fileName"], json!("tower.jpg"));
    assert_eq!(attachment["contentType"], json!("image/jpeg"));
    // Upright.
    assert_eq!(
        (&attachment["width"], &attachment["height"]),
        (&json!(60), &json!(90))
    );
    // Small enough for a list itself.
    assert_eq!(attachment["thumbnailUrl"], attachment["url"]);
    let told = events.added().await;
    assert_eq!(told["node"]["id"], message["id"]);

    let seen = bob.client.data(MESSAGES, json!({ "id": chat })).await;
    let seen = &seen["chat"]["messages"]["nodes"][0];
    assert_eq!(seen["attachments"][0]["id"], json!(id));
    let response = get(&bob.client, &string(&seen["attachments"][0]["url"])).await;
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "image/jpeg");
    assert!(header("content-disposition").starts_with("inline; filename=\"tower.jpg\""));
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(
        header("content-security-policy"),
        "default-src 'none'; sandbox"
    );
    assert!(header("cache-control").starts_with("private, max-age="));
    let bytes = response.bytes().await.unwrap();
    assert_eq!(json!(bytes.len()), attachment["byteSize"]);
    assert!(!contains(&bytes, PLACE), "it says where it was taken");
    let image = image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg).unwrap();
    assert_eq!(image.dimensions(), (60, 90));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_image_has_a_smaller_one() {
    let app = TestApp::start().await;
    let (ada, _, chat) = app.pair().await;
    let id = ada.upload("a.png", "image/png", png(900, 100)).await;
    let sent = ada.send_attached(&chat, None, &[id]).await.data();
    let attachment = &sent["sendMessage"]["message"]["attachments"][0];
    assert_eq!(
        (&attachment["width"], &attachment["height"]),
        (&json!(900), &json!(100))
    );
    assert_ne!(attachment["thumbnailUrl"], attachment["url"]);
    let response = get(&ada.client, &string(&attachment["thumbnailUrl"])).await;
    assert_eq!(response.headers()["content-type"], "image/png");
    let bytes = response.bytes().await.unwrap();
    let image = image::load_from_memory_with_format(&bytes, ImageFormat::Png).unwrap();
    assert!(
        image.width() <= 800 && image.height() <= 600,
        "{:?}",
        image.dimensions()
    );
    assert_eq!(image.width(), 800);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_all_formats_are_what_they_were() {
    let app = TestApp::start().await;
    let (ada, _, chat) = app.pair().await;
    let webp = |image| encoded(&image, ImageFormat::WebP);
    let transparent = image::RgbaImage::from_pixel(20, 10, image::Rgba([9, 9, 9, 100]));
    for (name, content_type, bytes, stored) in [
        ("a.png", "image/png", png(20, 10), "image/png"),
        ("a.jpg", "image/jpg", jpeg(20, 10), "image/jpeg"),
        ("a.gif", "image/gif", gif(20, 10, 3), "image/gif"),
        ("a.webp", "image/webp", webp(pixels(20, 10)), "image/jpeg"),
        (
            "a.webp",
            "image/webp",
            webp(transparent.into()),
            "image/webp",
        ),
    ] {
        let id = ada.upload(name, content_type, bytes).await;
        let sent = ada.send_attached(&chat, None, &[id]).await.data();
        let attachment = &sent["sendMessage"]["message"]["attachments"][0];
        assert_eq!(attachment["contentType"], json!(stored), "{name}");
        let size = (&attachment["width"], &attachment["height"]);
        assert_eq!(size, (&json!(20), &json!(10)), "{name}");
        let response = get(&ada.client, &string(&attachment["url"])).await;
        assert_eq!(response.headers()["content-type"], stored);
        let bytes = response.bytes().await.unwrap();
        let image = image::load_from_memory(&bytes).unwrap();
        assert_eq!(image.dimensions(), (20, 10), "{name}");
        if stored == "image/gif" {
            let decoder = image::codecs::gif::GifDecoder::new(std::io::Cursor::new(bytes));
            assert_eq!(decoder.unwrap().into_frames().count(), 3);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_saved_and_not_shown_and_comes_in_parts() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let lines: Vec<_> = (0..1_000).map(|n| format!("line {n}\n")).collect();
    let text = lines.concat();
    let name = "Grüße \u{202E}txt.exe";
    let id = ada
        .upload(name, "text/plain", text.clone().into_bytes())
        .await;
    let sent = ada.send_attached(&chat, None, &[id]).await.data();
    let message = &sent["sendMessage"]["message"];
    assert_eq!(
        (&message["kind"], &message["text"]),
        (&json!("FILE"), &Value::Null)
    );
    let attachment = &message["attachments"][0];
    assert_eq!(attachment["kind"], json!("FILE"));
    assert_eq!(attachment["fileName"], json!("Grüße txt.exe"));
    assert_eq!(attachment["byteSize"], json!(text.len()));
    for field in ["width", "height", "thumbnailUrl"] {
        assert_eq!(attachment[field], Value::Null, "{field}");
    }
    let url = string(&attachment["url"]);
    let whole = get(&bob.client, &url).await;
    assert_eq!(whole.headers()["content-type"], "text/plain; charset=utf-8");
    let disposition = whole.headers()["content-disposition"].to_str().unwrap();
    assert_eq!(
        disposition,
        "attachment; filename=\"Gr__e txt.exe\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20txt.exe"
    );
    let tag = whole.headers()["etag"].clone();
    assert_eq!(whole.text().await.unwrap(), text);

    let ask = async |headers: &[(&str, &str)]| {
        let mut request = stranger(&bob.client).request(Method::GET, &url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    };
    let part = ask(&[("range", "bytes=5-10")]).await;
    assert_eq!(part.status(), 206);
    let range = format!("bytes 5-10/{}", text.len());
    assert_eq!(part.headers()["content-range"], range.as_str());
    assert_eq!(part.text().await.unwrap(), text[5..=10]);
    let end = ask(&[("range", "bytes=-4")]).await;
    assert_eq!(end.text().await.unwrap(), text[text.len() - 4..]);
    let beyond = ask(&[("range", "bytes=1000000-")]).await;
    assert_eq!(beyond.status(), 416);
    let same = ask(&[("if-none-match", tag.to_str().unwrap())]).await;
    assert_eq!(same.status(), 304);
    assert_eq!(same.text().await.unwrap(), "");
    let head = stranger(&bob.client).request(Method::HEAD, &url);
    let head = head.send().await.unwrap();
    assert_eq!(
        head.headers()["content-length"],
        text.len().to_string().as_str()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_that_were_altered_or_have_expired_lead_nowhere() {
    let app = TestApp::start().await;
    let (ada, _, chat) = app.pair().await;
    let id = ada.upload("a.txt", "text/plain", b"hello".to_vec()).await;
    let other = ada.upload("b.txt", "text/plain", b"hello".to_vec()).await;
    let sent = ada
        .send_attached(&chat, None, std::slice::from_ref(&id))
        .await
        .data();
    let attachment = &sent["sendMessage"]["message"]["attachments"][0];
    let url = string(&attachment["url"]);
    assert_eq!(get(&ada.client, &url).await.status(), 200);
    let expires = url.split_once("expires=").unwrap().1;
    let expires = expires.split_once('&').unwrap().0;
    let later = (expires.parse::<i64>().unwrap() + 3_600).to_string();
    for altered in [
        url.replace(expires, &later),
        url.replace(&id, &other),
        url.replace("original", "thumbnail"),
        url.replace("signature=", "signature=0"),
        url.split_once('?').unwrap().0.to_owned(),
        url.replace("signature", "signed"),
    ] {
        let response = get(&ada.client, &altered).await;
        assert_eq!(response.status(), 403, "{altered}");
        let text = response.text().await.unwrap();
        assert!(
            text.contains("\"FORBIDDEN\"") && text.contains("not valid"),
            "{text}"
        );
    }
    let unknown = get(&ada.client, &url.replace("original", "secret")).await;
    assert_eq!(unknown.status(), 404);
    // Nor is the URL of an attachment one of an upload.
    let upload = url
        .replace("attachments", "uploads")
        .replace("/original", "");
    assert_eq!(put(&ada.client, &upload, "x").await.status, 403);
    app.clock.advance(Duration::from_hours(3));
    let response = get(&ada.client, &url).await;
    assert_eq!(response.status(), 403);
    assert!(response.text().await.unwrap().contains("expired"));
}

/// All who ask within an hour are told the same URL, so that browsers keep what they have.
#[tokio::test(flavor = "multi_thread")]
async fn a_url_is_the_same_for_all_within_an_hour_and_works_for_another() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let id = ada.upload("a.txt", "text/plain", b"hello".to_vec()).await;
    ada.send_attached(&chat, None, &[id]).await.data();
    let url = async |client: &talksy_tests::client::Client| {
        let seen = client.data(MESSAGES, json!({ "id": chat })).await;
        string(&seen["chat"]["messages"]["nodes"][0]["attachments"][0]["url"])
    };
    let first = url(&ada.client).await;
    assert_eq!(url(&bob.client).await, first);
    app.clock.advance(Duration::from_mins(59));
    assert_eq!(get(&ada.client, &first).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_gives_the_first_message_and_other_attachments_are_a_conflict() {
    let app = TestApp::start().await;
    let (ada, _, chat) = app.pair().await;
    let mut ids = Vec::new();
    for name in ["a.txt", "b.txt", "c.txt"] {
        ids.push(ada.upload(name, "text/plain", b"hello".to_vec()).await);
    }
    let send = async |ids: &[String], own_id: &str| {
        let input = json!({ "chatId": chat, "attachmentIds": ids, "clientMessageId": own_id });
        ada.client
            .run(SEND_ATTACHED, json!({ "input": input }))
            .await
    };
    let first = send(&ids[..2], "one").await.data();
    let again = send(&ids[..2], "one").await.data();
    assert_eq!(first, again);
    let names: Vec<_> = first["sendMessage"]["message"]["attachments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| string(&one["fileName"]))
        .collect();
    assert_eq!(names, ["a.txt", "b.txt"], "in the sender's order");
    assert_eq!(send(&ids[..1], "one").await.code(), "CONFLICT");
    assert_eq!(send(&ids[..2], "other").await.code(), "CONFLICT");
    // What was refused is still free.
    assert_eq!(
        send(&ids[2..], "one").await.code_and_field(),
        ("CONFLICT", "input.clientMessageId")
    );
    send(&ids[2..], "two").await.data();
}

/// All that a message may carry is kept with its attachments, and what is refused for another part of it
/// gives them back.
#[tokio::test(flavor = "multi_thread")]
async fn attachments_go_with_all_else_that_a_message_carries() {
    const WHOLE: &str = "query($id: ID!) { node(id: $id) { ... on Message { kind text metadata
        replyTo { id } mentions { name } attachments { id } } } }";
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let eve = app.sign_in("eve").await;
    let id = ada.upload("a.png", "image/png", png(10, 10)).await;
    let before = bob.send_attached(&chat, Some("which?"), &[]).await.data();
    let before = &before["sendMessage"]["message"]["id"];
    let send = async |mentioned: &str| {
        let input = json!({ "chatId": chat, "attachmentIds": [id], "mentionIds": [mentioned],
            "replyToId": before, "metadata": { "album": 1 } });
        ada.client
            .run(SEND_ATTACHED, json!({ "input": input }))
            .await
    };
    let refused = send(&eve.id).await;
    assert_eq!(
        refused.code_and_field(),
        ("BAD_USER_INPUT", "input.mentionIds.0")
    );
    let done = send(&bob.id).await.data();
    let message = json!({ "id": done["sendMessage"]["message"]["id"] });
    let whole = bob.client.data(WHOLE, message).await;
    assert_eq!(
        whole["node"],
        json!({ "kind": "IMAGE", "text": null, "metadata": { "album": 1 }, "replyTo": { "id": before },
            "mentions": [{ "name": "bob" }], "attachments": [{ "id": id }] })
    );
}

/// The attachments of a page cost one call of the store, however many there are.
#[tokio::test(flavor = "multi_thread")]
async fn the_attachments_of_a_page_are_loaded_together() {
    let store = FaultyStore::new();
    let app = TestApp::builder().ports(store.install()).start().await;
    let (ada, bob, chat) = app.pair().await;
    for number in 0..12 {
        let name = format!("{number}.txt");
        let one = ada.upload(&name, "text/plain", b"one".to_vec()).await;
        let other = ada.upload(&name, "text/plain", b"other".to_vec()).await;
        ada.send_attached(&chat, None, &[one, other]).await.data();
    }
    let before = store.calls("attachments.attachments");
    let seen = bob.client.data(MESSAGES, json!({ "id": chat })).await;
    let nodes = seen["chat"]["messages"]["nodes"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(nodes.len(), 12);
    assert!(
        nodes
            .iter()
            .all(|node| node["attachments"].as_array().unwrap().len() == 2)
    );
    assert_eq!(store.calls("attachments.attachments") - before, 1);
}
