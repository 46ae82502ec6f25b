//! Log lines: their form, the request's id in them, and what must not be in them.

use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::MESSAGE_ADDED;
use talksy_tests::process::ServerProcess;
use talksy_tests::websocket::Received;

use crate::scrape::Scraped;
use crate::traces::Collector;

const DEBUG: [&str; 4] = ["--set", "log.filter=debug", "--set", "log.format=json"];

async fn stopped(mut server: ServerProcess) -> Vec<String> {
    server.signal("TERM").await;
    server.ended().await;
    server.rest_of_log().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_s_header_its_errors_and_the_log_name_the_same_request() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &DEBUG).await;
    let client = server.client();
    let ask = || {
        let body = json!([{ "query": "{ chats(first: 1) { nodes { id } } }" }, { "query": "{" }]);
        client.request(http::Method::POST, "/graphql").json(&body)
    };
    // What a stranger says of the request is not believed.
    let response = ask().header("x-request-id", "chosen").send().await.unwrap();
    let id = response.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(id.len() == 32 && id != "chosen", "{id}");
    let answers: Value = response.json().await.unwrap();
    for answer in answers.as_array().unwrap() {
        assert_eq!(
            answer["errors"][0]["extensions"]["requestId"], *id,
            "{answer}"
        );
    }
    let next = ask().send().await.unwrap();
    assert_ne!(next.headers()["x-request-id"], *id);

    let log = stopped(server).await;
    let lines: Vec<Value> = log
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let answered = lines
        .iter()
        .find(|line| line["message"] == "answered" && line["request_id"] == *id);
    let line = answered.unwrap();
    assert_eq!(
        (&line["status"], &line["route"]),
        (&json!(200), &json!("/graphql"))
    );
    for line in &lines {
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_taken_from_a_trusted_proxy_alone_and_only_where_it_is_sane() {
    let app = TestApp::builder()
        .config(|config| config.http.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()])
        .start()
        .await;
    let client = app.client();
    let given = async |id: &str| {
        let request = client.request(http::Method::GET, "/livez");
        let response = request.header("x-request-id", id).send().await.unwrap();
        response.headers()["x-request-id"].to_str().unwrap() == id
    };
    assert!(given("Edge_1.2-3").await);
    assert!(!given("").await);
    assert!(!given("two words").await);
    assert!(!given(&"x".repeat(65)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_of_a_socket_has_an_id_of_its_own() {
    let app = TestApp::start().await;
    let (ada, _, chat) = app.pair().await;
    let eve = app.sign_in("eve").await;
    let mut socket = eve.client.socket().await;
    let mut ids = Vec::new();
    let asked = [
        ("{ nonsense }", json!({})),
        ("{", json!({})),
        (
            "mutation { sendMessage(input: { chatId: \"x\", text: \"y\" }) { chat { id } } }",
            json!({}),
        ),
        (MESSAGE_ADDED, json!({ "chatId": chat })),
        ("subscription { chatUpdated { nonsense } }", json!({})),
    ];
    for (query, variables) in asked {
        socket.subscribe("1", query, variables).await;
        let Received::Message(message) = socket.next().await else {
            panic!("no answer to {query}");
        };
        let errors = if message["type"] == "error" {
            &message["payload"]
        } else {
            assert_eq!(socket.message().await["type"], "complete");
            &message["payload"]["errors"]
        };
        let id = errors[0]["extensions"]["requestId"].as_str();
        ids.push(id.unwrap_or_else(|| panic!("no id: {message}")).to_owned());
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5, "{ids:?}");

    // What many share names nobody's request.
    let mut followed = ada.follow(&chat, None).await;
    ada.send(&chat, "hello").await;
    let payload = followed.next().await.to_string();
    assert!(!payload.contains("requestId"), "{payload}");
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_logs_nor_metrics_nor_traces_tell_who_writes_what() {
    let data = tempfile::tempdir().unwrap();
    let collector = Collector::start().await;
    let endpoint = format!("telemetry.otlp_endpoint={}", collector.url());
    let scraped = Scraped::start(data.path(), &[&DEBUG[..], &["--set", &endpoint]].concat()).await;
    let server = &scraped.server;
    let ada = server.sign_in(data.path(), "ada.secretive").await;
    let bob = server.sign_in(data.path(), "bob.secretive").await;
    let chat = ada.start_chat(&bob).await;
    let mut followed = bob.follow(&chat, None).await;
    ada.send(&chat, "a text for bob alone").await;
    followed.next().await;
    ada.mark_read(&chat, 1).await;
    let client = server.client();
    // What fails tells no more.
    client.login("ada.secretive@example.org").await;
    client.login("eve.secretive@@example.org").await;
    client.login("cyd.secretive@example.org").await.data();
    let challenge = client.challenge("cyd.secretive@example.org");
    client.present(&challenge, "314159").await;
    client.present("sealed-elsewhere", "314159").await;
    let device = Some(&*ada.device_token);
    client
        .login_on("ada.secretive@example.org", device)
        .await
        .data();
    let refreshed = client.refresh(&bob.refresh_token).await.data();
    client.refresh(&bob.refresh_token).await;
    client
        .with_token("not.a.token-at-all")
        .run("{ me { id } }", json!({}))
        .await;
    let wrong = "{ users(search: \"a text for bob alone\", first: -1) { nodes { id } } }";
    ada.client.run(wrong, json!({})).await;
    ada.client
        .run("query { sectretly \"a text for bob alone\" }", json!({}))
        .await;
    let text = "a text for bob alone".repeat(1_000);
    let input = json!({ "chatId": "nowhere", "text": text });
    ada.client
        .run(talksy_tests::client::SEND, json!({ "input": input }))
        .await;
    let url = "/graphql?query=%7B%20users(search%3A%22a+text+for+bob+alone%22)%20%7D";
    let got = ada
        .client
        .request(http::Method::GET, url)
        .header("x-graphql-request", "1");
    got.send().await.unwrap();

    let refreshed = &refreshed["refreshSession"];
    let secrets = [
        "secretive",
        "a text for bob alone",
        "a+text+for+bob+alone",
        "314159",
        "sealed-elsewhere",
        &challenge,
        &ada.device_token,
        "not.a.token-at-all",
        ada.client.token().unwrap(),
        bob.client.token().unwrap(),
        &ada.refresh_token,
        &bob.refresh_token,
        refreshed["accessToken"].as_str().unwrap(),
        refreshed["refreshToken"].as_str().unwrap(),
    ];
    let page = format!("{:?}", scraped.scrape().await);
    let log = stopped(scraped.server).await;
    let traces = collector.everything();
    for shown in [page, traces] {
        assert!(shown.len() > 5_000, "it was not asked for: {shown}");
        for secret in secrets {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
    assert!(log.len() > 20, "it was not asked for: {log:#?}");
    for line in log {
        // What the outbox is for: who tries Talksy out finds the code here.
        if line.contains("the sign-in code for") {
            continue;
        }
        for secret in secrets {
            assert!(!line.contains(secret), "{line}");
        }
    }
}
