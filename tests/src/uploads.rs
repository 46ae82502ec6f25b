//! Uploading attachments as clients do.

use std::path::{Path, PathBuf};

use http::Method;
use serde_json::{Value, json};

use crate::app::must;
use crate::client::{Client, Reply, User, string};
use crate::touched;

/// `createUpload`.
pub const CREATE_UPLOAD: &str = "mutation($input: CreateUploadInput!) {
    createUpload(input: $input) { url expiresAt attachmentId } }";

/// `uploadAttachment`.
pub const UPLOAD: &str = "mutation($input: UploadAttachmentInput!) {
    uploadAttachment(input: $input) { attachment { id kind fileName contentType byteSize url } } }";

/// What separates the parts of a form.
const BOUNDARY: &str = "talksy-test-boundary";

impl User {
    /// Announces an upload.
    pub async fn announce(&self, file_name: &str, content_type: &str, byte_size: usize) -> Reply {
        let input = json!({
            "fileName": file_name,
            "contentType": content_type,
            "byteSize": byte_size,
        });
        let variables = json!({ "input": input });
        self.client.run(CREATE_UPLOAD, variables).await
    }

    /// Uploads a file, which must be taken; the attachment's id.
    ///
    /// # Panics
    /// Where it is not.
    pub async fn upload(&self, file_name: &str, content_type: &str, bytes: Vec<u8>) -> String {
        let announced = self.announce(file_name, content_type, bytes.len()).await;
        let announced = announced.data()["createUpload"].clone();
        let reply = put(&self.client, &string(&announced["url"]), bytes).await;
        assert_eq!(reply.status, 204, "{}", reply.body);
        string(&announced["attachmentId"])
    }

    /// Sends a message with attachments; the answer.
    pub async fn send_attached(&self, chat: &str, text: Option<&str>, ids: &[String]) -> Reply {
        let input = json!({ "chatId": chat, "text": text, "attachmentIds": ids });
        self.client
            .run(SEND_ATTACHED, json!({ "input": input }))
            .await
    }
}

/// `sendMessage`, with what is known of attachments.
pub const SEND_ATTACHED: &str = "mutation($input: SendMessageInput!) { sendMessage(input: $input) {
    message { id kind text attachments { id kind fileName contentType byteSize width height url
        thumbnailUrl urlExpiresAt } } } }";

/// A client of the same server without credentials.
pub fn stranger(client: &Client) -> Client {
    Client::new(client.address())
}

/// Puts bytes at the URL of an upload, without credentials.
///
/// # Panics
/// Where there is no answer.
pub async fn put(client: &Client, url: &str, bytes: impl Into<reqwest::Body>) -> Reply {
    let request = stranger(client).request(Method::PUT, url).body(bytes);
    reply(must(request.send().await)).await
}

/// Gets what is at a URL, without credentials.
///
/// # Panics
/// Where there is no answer.
pub async fn get(client: &Client, url: &str) -> reqwest::Response {
    must(stranger(client).request(Method::GET, url).send().await)
}

/// An answer with its body as JSON, or null where it is none.
pub async fn reply(response: reqwest::Response) -> Reply {
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap_or_default();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    touched::note_answer(&body);
    Reply { status, body }
}

/// The parts of a form: each with its name, its further headers and its content.
pub fn form(parts: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, headers, content) in parts {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{headers}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

/// The form of an upload.
pub fn upload_form(file_name: &str, content_type: &str, bytes: &[u8]) -> Vec<u8> {
    let variables = json!({ "input": { "file": null } });
    touched::note(UPLOAD, &variables, &Value::Null);
    let operations = json!({ "query": UPLOAD, "variables": variables });
    let headers = format!("; filename=\"{file_name}\"\r\nContent-Type: {content_type}");
    form(&[
        ("operations", "", operations.to_string().as_bytes()),
        ("map", "", b"{\"0\": [\"variables.input.file\"]}"),
        ("0", &headers, bytes),
    ])
}

/// A request with a form, as Apollo's clients send it.
pub fn form_request(client: &Client, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    client
        .request(Method::POST, "/graphql")
        .header("content-type", content_type)
        .header("accept", "application/graphql-response+json")
        .header("apollo-require-preflight", "true")
        .body(body)
}

/// Sends a form.
///
/// # Panics
/// Where there is no answer.
pub async fn send_form(client: &Client, body: impl Into<reqwest::Body>) -> Reply {
    reply(must(form_request(client, body).send().await)).await
}

/// All files below a folder.
///
/// # Panics
/// Where it cannot be read.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // One that goes meanwhile has nothing.
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = must(entry).path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}
