//! Documents that clients name instead of sending them: automatic persisted queries, as Apollo's and
//! urql's clients ask for them, and trusted documents.

#![expect(clippy::unwrap_used, reason = "the folder can be written")]

use std::fmt::Write as _;

use http::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use talksy_tests::app::TestApp;
use talksy_tests::client::Client;
use talksy_tests::wire::{Answer, Events};
use tempfile::TempDir;

const GRAPHQL: &str = "application/graphql-response+json";
const JSON: &str = "application/json";

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

fn persisted(hash: &str) -> Value {
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } })
}

fn post(client: &Client, accept: &str, body: &Value) -> reqwest::RequestBuilder {
    client
        .request(Method::POST, "/graphql")
        .header("accept", accept)
        .json(body)
}

fn get(client: &Client, parameters: &[(&str, &str)]) -> reqwest::RequestBuilder {
    let mut path = String::from("/graphql?");
    for (name, value) in parameters {
        path.extend([name, "="]);
        for byte in value.bytes() {
            // Writing to memory cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
        path.push('&');
    }
    client.request(Method::GET, &path).header("accept", GRAPHQL)
}

/// A code and a message, by which Apollo's and urql's clients know what to do.
fn told(answer: &Answer) -> (String, String) {
    let message = &answer.json()["errors"][0]["message"];
    let message = message.as_str().unwrap_or_default().to_owned();
    (answer.code(), message)
}

fn not_found() -> (String, String) {
    (
        "PERSISTED_QUERY_NOT_FOUND".to_owned(),
        "PersistedQueryNotFound".to_owned(),
    )
}

/// The steps of Apollo's persisted query link and of urql's persisted exchange.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_sends_a_document_once_and_its_hash_from_then_on() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let me = json!({ "data": { "me": { "name": "ada" } } });
    for (accept, status) in [(GRAPHQL, 400), (JSON, 200)] {
        let text = format!("query Of{status} {{ me {{ name }} }}");
        let hash = hash(&text);
        let named = json!({ "extensions": persisted(&hash) });
        let answer = Answer::to(post(&ada.client, accept, &named)).await;
        assert_eq!((answer.status, told(&answer)), (status, not_found()));
        let both = json!({ "query": text, "extensions": persisted(&hash) });
        let answer = Answer::to(post(&ada.client, accept, &both)).await;
        assert_eq!((answer.status, answer.json()), (200, me.clone()));
        let answer = Answer::to(post(&ada.client, accept, &named)).await;
        assert_eq!((answer.status, answer.json()), (200, me.clone()));
        // Whoever sent it, others may name it; what it says is theirs to be allowed.
        let answer = Answer::to(post(&app.client(), accept, &named)).await;
        assert_eq!(answer.json(), json!({ "data": { "me": null } }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_works_in_urls_and_on_sockets_too() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let text = "query($id: ID!) { node(id: $id) { id } }";
    let extensions = persisted(&hash(text)).to_string();
    let variables = json!({ "id": ada.id }).to_string();
    let named = [("extensions", &*extensions), ("variables", &variables)];
    let answer = Answer::to(get(&ada.client, &named)).await;
    assert_eq!((answer.status, told(&answer)), (400, not_found()));
    let both = [named[0], named[1], ("query", text)];
    let node = json!({ "data": { "node": { "id": ada.id } } });
    assert_eq!(Answer::to(get(&ada.client, &both)).await.json(), node);
    assert_eq!(Answer::to(get(&ada.client, &named)).await.json(), node);

    let mut socket = ada.client.socket().await;
    let subscribe =
        |id: &str, payload: &Value| json!({ "type": "subscribe", "id": id, "payload": payload });
    let known = json!({ "variables": { "id": ada.id }, "extensions": persisted(&hash(text)) });
    socket.send(subscribe("1", &known)).await;
    assert_eq!(socket.message().await["payload"], node);
    assert_eq!(socket.message().await["type"], "complete");
    let unknown = json!({ "extensions": persisted(&hash("{ __typename }")) });
    socket.send(subscribe("2", &unknown)).await;
    let error = socket.message().await;
    assert_eq!(error["type"], "error");
    assert_eq!(error["payload"][0]["message"], "PersistedQueryNotFound");

    // A mutation that is named changes nothing by GET either.
    let login = "mutation { login(input: { email: \"ada@example.org\" }) { expiresIn } }";
    let both = json!({ "query": login, "extensions": persisted(&hash(login)) });
    Answer::to(post(&app.client(), GRAPHQL, &both)).await;
    let sent = app.mailbox.count();
    let extensions = persisted(&hash(login)).to_string();
    let answer = Answer::to(get(&app.client(), &[("extensions", &extensions)])).await;
    assert_eq!((answer.status, app.mailbox.count()), (405, sent));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_that_is_not_its_text_s_is_refused_and_keeps_nothing() {
    let app = TestApp::start().await;
    let (text, other) = ("{ __typename }", "{ other: __typename }");
    let lie = json!({ "query": text, "extensions": persisted(&hash(other)) });
    let answer = Answer::to(post(&app.client(), GRAPHQL, &lie)).await;
    assert_eq!((answer.status, &*answer.code()), (400, "BAD_REQUEST"));
    let field = &answer.json()["errors"][0]["extensions"]["field"];
    assert_eq!(field, "extensions.persistedQuery.sha256Hash");
    for hash in [hash(text), hash(other)] {
        let named = json!({ "extensions": persisted(&hash) });
        let answer = Answer::to(post(&app.client(), GRAPHQL, &named)).await;
        assert_eq!(told(&answer), not_found());
    }
    // What the guard refuses is not kept.
    let deep = format!("{{ {} }}", "a { ".repeat(30) + "a" + &" }".repeat(30));
    let both = json!({ "query": deep, "extensions": persisted(&hash(&deep)) });
    let answer = Answer::to(post(&app.client(), GRAPHQL, &both)).await;
    assert_eq!(answer.code(), "QUERY_TOO_COMPLEX");
    let named = json!({ "extensions": persisted(&hash(&deep)) });
    let answer = Answer::to(post(&app.client(), GRAPHQL, &named)).await;
    assert_eq!(told(&answer), not_found());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_none_has_clients_send_their_documents() {
    let app = TestApp::builder()
        .config(|config| config.http.documents.automatic_bytes = 0)
        .start()
        .await;
    let text = "{ __typename }";
    let named = json!({ "extensions": persisted(&hash(text)) });
    let answer = Answer::to(post(&app.client(), GRAPHQL, &named)).await;
    let not_supported = (
        "PERSISTED_QUERY_NOT_SUPPORTED".to_owned(),
        "PersistedQueryNotSupported".to_owned(),
    );
    assert_eq!((answer.status, told(&answer)), (400, not_supported));
    let sent = json!({ "query": text });
    let answer = Answer::to(post(&app.client(), GRAPHQL, &sent)).await;
    assert_eq!(answer.json(), json!({ "data": { "__typename": "Query" } }));
    let id = json!({ "documentId": "me" });
    let answer = Answer::to(post(&app.client(), GRAPHQL, &id)).await;
    assert_eq!(answer.code(), "PERSISTED_QUERY_NOT_SUPPORTED");
}

/// A registry of two documents.
fn registry() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let me = "query Me {\n  me {\n    name\n  }\n}\n";
    std::fs::write(folder.path().join("me.graphql"), me).unwrap();
    let chats = "subscription Chats { chatUpdated { id } }";
    std::fs::write(folder.path().join("chats.graphql"), chats).unwrap();
    folder
}

/// Somebody's token, and the data of the server that gave it: one that runs registered documents only
/// signs nobody in by others.
async fn signed_in() -> (String, TempDir) {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let token = ada.client.token().unwrap().to_owned();
    (token, app.stop().await)
}

async fn trusting(registry: &TempDir, only: bool, data: TempDir) -> TestApp {
    let path = registry.path().to_owned();
    TestApp::builder()
        .data(data)
        .config(move |config| {
            config.http.documents.trusted = Some(path);
            config.http.documents.trusted_only = only;
        })
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn registered_documents_run_by_their_id_over_every_transport() {
    let registry = registry();
    for only in [false, true] {
        let (token, data) = signed_in().await;
        let app = trusting(&registry, only, data).await;
        let ada = app.client().with_token(&token);
        let me = json!({ "data": { "me": { "name": "ada" } } });
        let id = json!({ "documentId": "me" });
        let of_apollo = json!({ "extensions": persisted("me") });
        for named in [&id, &of_apollo] {
            let answer = Answer::to(post(&ada, GRAPHQL, named)).await;
            assert_eq!(answer.json(), me, "{named}");
            let batch = json!([named]);
            let answer = Answer::to(post(&ada, GRAPHQL, &batch)).await;
            assert_eq!(answer.json(), json!([me]));
            let mut events = Events::of(post(&ada, "text/event-stream", named)).await;
            assert_eq!(events.payload().await, me);
            let mut socket = ada.socket().await;
            socket
                .send(json!({ "type": "subscribe", "id": "1", "payload": named }))
                .await;
            assert_eq!(socket.message().await["payload"], me);
        }
        let answer = Answer::to(get(&ada, &[("documentId", "me")])).await;
        assert_eq!(answer.json(), me);
        let unknown = json!({ "documentId": "you" });
        let answer = Answer::to(post(&ada, GRAPHQL, &unknown)).await;
        let message = "No document is registered as `you`.".to_owned();
        let not_found = ("PERSISTED_QUERY_NOT_FOUND".to_owned(), message);
        assert_eq!((answer.status, told(&answer)), (400, not_found));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_trusted_documents_runs_no_others_and_shows_no_schema() {
    let registry = registry();
    let app = trusting(&registry, true, tempfile::tempdir().unwrap()).await;
    let client = app.client();
    let document = "query Me {\n  me {\n    name\n  }\n}";
    let registered = json!({ "query": document });
    let answer = Answer::to(post(&client, GRAPHQL, &registered)).await;
    assert_eq!(answer.json(), json!({ "data": { "me": null } }));
    for query in [
        "{ __typename }",
        "{ __schema { queryType { name } } }",
        "query Me { me { name } }",
        "{",
    ] {
        let hashed = json!({ "query": query, "extensions": persisted(&hash(query)) });
        for body in [json!({ "query": query }), hashed] {
            let answer = Answer::to(post(&client, GRAPHQL, &body)).await;
            let refused = (answer.status, &*answer.code());
            assert_eq!(refused, (400, "PERSISTED_QUERY_ONLY"), "{body}");
        }
        let mut socket = client.socket().await;
        socket.subscribe("1", query, json!({})).await;
        let error = socket.message().await;
        let code = &error["payload"][0]["extensions"]["code"];
        assert_eq!(code, "PERSISTED_QUERY_ONLY", "{error}");
    }
    for path in ["/schema.graphql", "/graphiql"] {
        let answer = Answer::to(client.request(Method::GET, path)).await;
        assert_eq!(answer.status, 404, "{path}");
    }
}
