//! `uploadAttachment`, by the GraphQL multipart request specification.

use futures_util::stream;
use serde_json::json;
use talksy_tests::app::TestApp;
use talksy_tests::client::string;
use talksy_tests::uploads::{
    UPLOAD, files_below, form, form_request, get, reply, send_form, upload_form,
};

use super::{jpeg, png};

const MAP: &[u8] = b"{\"0\": [\"variables.input.file\"]}";

fn operations() -> Vec<u8> {
    let operations = json!({ "query": UPLOAD, "variables": { "input": { "file": null } } });
    operations.to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_comes_with_its_operation() {
    let app = TestApp::start().await;
    let (ada, _, chat) = app.pair().await;
    let body = upload_form("../a.png", "image/png", &png(30, 20));
    let uploaded = send_form(&ada.client, body).await.data();
    let attachment = &uploaded["uploadAttachment"]["attachment"];
    assert_eq!(attachment["kind"], json!("IMAGE"));
    assert_eq!(attachment["fileName"], json!("a.png"));
    let url = string(&attachment["url"]);
    assert_eq!(get(&ada.client, &url).await.status(), 200);
    let id = string(&attachment["id"]);
    ada.send_attached(&chat, None, &[id]).await.data();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_attached_is_refused_and_leaves_nothing() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let folder = app.data_dir().join("attachments");
    let large = [&b"PK\x03\x04"[..], &vec![0; 26 << 20]].concat();
    // What comes with the file is named by it.
    let refused = ("BAD_USER_INPUT", "input.file");
    for (content_type, bytes, answer, rule) in [
        (
            "image/png",
            jpeg(20, 20),
            refused,
            "must be what its content is",
        ),
        (
            "image/svg+xml",
            b"<svg/>".to_vec(),
            refused,
            "must be one of image/jpeg",
        ),
        ("text/plain", Vec::new(), refused, "must not be empty"),
        (
            "application/zip",
            large,
            ("PAYLOAD_TOO_LARGE", ""),
            "larger than",
        ),
    ] {
        let body = upload_form("a", content_type, &bytes);
        let reply = send_form(&ada.client, body).await;
        assert_eq!(
            reply.code_and_field(),
            answer,
            "{content_type}: {}",
            reply.body
        );
        let message = string(&reply.error()["message"]);
        assert!(message.contains(rule), "{message}");
        assert!(files_below(&folder).is_empty(), "{content_type}");
    }
    let body = upload_form("a.txt", "text/plain", b"hello");
    let reply = send_form(&app.client(), body).await;
    assert_eq!(reply.code(), "UNAUTHENTICATED");
    // A form that breaks off.
    let body = upload_form("a.txt", "text/plain", b"hello hello hello");
    let half = Ok::<_, std::io::Error>(body[..body.len() - 40].to_vec());
    let body = reqwest::Body::wrap_stream(stream::iter([half]));
    let reply = send_form(&ada.client, body).await;
    assert_eq!(reply.code(), "BAD_USER_INPUT", "{}", reply.body);
    assert!(files_below(&folder).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_has_to_be_one_of_an_operation_with_a_file() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let file = "; filename=\"a.txt\"\r\nContent-Type: text/plain";
    let operations = operations();
    let operations = operations.as_slice();
    let query = b"{\"query\": \"query($f: String) { me { id } }\", \"variables\": {\"f\": null}}";
    for (what, parts) in [
        ("nothing", vec![]),
        (
            "no map",
            vec![("operations", "", operations), ("0", file, b"hello")],
        ),
        (
            "the file first",
            vec![
                ("0", file, &b"hello"[..]),
                ("operations", "", operations),
                ("map", "", MAP),
            ],
        ),
        (
            "no file",
            vec![("operations", "", operations), ("map", "", MAP)],
        ),
        (
            "another file",
            vec![
                ("operations", "", operations),
                ("map", "", MAP),
                ("1", file, b"hello"),
            ],
        ),
        (
            "two files",
            vec![
                ("operations", "", operations),
                (
                    "map",
                    "",
                    b"{\"0\": [\"variables.input.file\"], \"1\": [\"variables.x\"]}",
                ),
                ("0", file, b"hello"),
            ],
        ),
        (
            "a place that there is not",
            vec![
                ("operations", "", operations),
                ("map", "", b"{\"0\": [\"variables.input.other\"]}"),
                ("0", file, b"hello"),
            ],
        ),
        (
            "a query",
            vec![
                ("operations", "", &query[..]),
                ("map", "", b"{\"0\": [\"variables.f\"]}"),
                ("0", file, b"hello"),
            ],
        ),
    ] {
        let reply = send_form(&ada.client, form(&parts)).await;
        assert_eq!(
            (reply.status, reply.code()),
            (400, "BAD_USER_INPUT"),
            "{what}"
        );
    }
    // What any page could send is refused.
    let body = upload_form("a.txt", "text/plain", b"hello");
    let mut request = form_request(&ada.client, body).build().unwrap();
    request.headers_mut().remove("apollo-require-preflight");
    let answer = talksy_tests::http_client().execute(request).await.unwrap();
    let answer = reply(answer).await;
    assert_eq!((answer.status, answer.code()), (415, "BAD_USER_INPUT"));
    // Nor is there a file in a request that is no form.
    let input = json!({ "input": { "file": "file part" } });
    let answer = ada.client.run(UPLOAD, input).await;
    assert_eq!(answer.code_and_field(), ("BAD_USER_INPUT", "input.file"));
    assert!(files_below(&app.data_dir().join("attachments")).is_empty());
}

/// The head of a part is held as a whole, so that it has a bound too.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_whose_parts_have_endless_heads_is_refused() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let endless = format!("; filename=\"{}\"", "a".repeat(3 << 20));
    let operations = operations();
    let all = [
        ("operations", "", operations.as_slice()),
        ("map", "", MAP),
        ("0", endless.as_str(), &b"hello"[..]),
    ];
    let reply = send_form(&ada.client, form(&all)).await;
    assert_eq!((reply.status, reply.code()), (413, "PAYLOAD_TOO_LARGE"));
    let large = vec![b' '; 300 * 1024];
    let all = [("operations", "", large.as_slice()), ("map", "", MAP)];
    let reply = send_form(&ada.client, form(&all)).await;
    assert_eq!((reply.status, reply.code()), (413, "PAYLOAD_TOO_LARGE"));
}
