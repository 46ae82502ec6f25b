//! Which answers are compressed, and what caches are told of it.

use std::io::Read as _;

use flate2::read::GzDecoder;
use http::Method;
use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::Client;
use talksy_tests::wire::{Answer, Events};

/// Answered with some kilobytes.
const LONG: &str = "{ __schema { types { name description } } }";
const ALL: &str = "gzip, deflate, br, zstd";

fn post(client: &Client, accepted: &str, body: &Value) -> reqwest::RequestBuilder {
    client
        .request(Method::POST, "/graphql")
        .header("accept", "application/json")
        .header("accept-encoding", accepted)
        .json(body)
}

fn query(text: &str) -> Value {
    json!({ "query": text })
}

fn varies(answer: &Answer) -> Vec<&str> {
    let values = answer.headers.get_all("vary").iter();
    let mut names: Vec<&str> = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_to_a_query_is_compressed_as_its_client_accepts() {
    let app = TestApp::start().await;
    let client = app.client();
    let plain = Answer::to(post(&client, "identity", &query(LONG))).await;
    assert_eq!(plain.header("content-encoding"), "");
    assert_eq!(varies(&plain), ["accept", "accept-encoding"]);
    for (accepted, encoding) in [
        ("gzip", "gzip"),
        ("br", "br"),
        ("zstd, br", "br"),
        ("gzip;q=0.5, br", "br"),
        ("deflate, gzip;q=0.1", "gzip"),
    ] {
        for body in [query(LONG), json!([query(LONG)])] {
            let answer = Answer::to(post(&client, accepted, &body)).await;
            assert_eq!(answer.status, 200, "{accepted}");
            assert_eq!(answer.header("content-encoding"), encoding, "{accepted}");
            assert_eq!(varies(&answer), ["accept", "accept-encoding"]);
            assert_eq!(answer.header("cache-control"), "no-store");
            assert!(answer.body.len() * 2 < plain.body.len(), "{accepted}");
        }
    }
    let answer = Answer::to(post(&client, "gzip", &query(LONG))).await;
    let mut text = String::new();
    GzDecoder::new(&*answer.body)
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, plain.text());
    for accepted in ["deflate", "zstd", "gzip;q=0", "x-unknown"] {
        let answer = Answer::to(post(&client, accepted, &query(LONG))).await;
        assert_eq!(answer.header("content-encoding"), "", "{accepted}");
        assert_eq!(answer.text(), plain.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_answer_is_left_as_it_is_and_so_is_all_where_compression_is_off() {
    let app = TestApp::start().await;
    let short = query("{ __typename }");
    let answer = Answer::to(post(&app.client(), ALL, &short)).await;
    assert_eq!(answer.header("content-encoding"), "");
    assert_eq!(answer.json(), json!({ "data": { "__typename": "Query" } }));
    let off = TestApp::builder()
        .config(|config| config.http.compression = false)
        .start()
        .await;
    let answer = Answer::to(post(&off.client(), ALL, &query(LONG))).await;
    assert_eq!(answer.header("content-encoding"), "");
    assert_eq!(varies(&answer), ["accept"]);
}

/// Answers of mutations have tokens in them; streams are read as they come.
#[tokio::test(flavor = "multi_thread")]
async fn mutations_and_streams_are_never_compressed() {
    let app = TestApp::builder()
        .config(|config| config.http.compression_min_bytes = 1)
        .start()
        .await;
    let ada = app.sign_in("ada").await;
    let rename = "mutation { updateProfile(input: { name: \"Ada\" }) { user { name } } }";
    for body in [query(rename), json!([query(LONG), query(rename)])] {
        let answer = Answer::to(post(&ada.client, ALL, &body)).await;
        assert_eq!(answer.header("content-encoding"), "");
        assert!(
            answer.text().contains("\"name\":\"Ada\""),
            "{}",
            answer.text()
        );
    }
    // Whoever accepts nothing at all has the mutation carried out and answered all the same.
    let answer = Answer::to(post(&ada.client, "identity;q=0", &query(rename))).await;
    assert_eq!(answer.status, 200);
    let stream = ada
        .client
        .request(Method::POST, "/graphql")
        .header("accept", "text/event-stream")
        .header("accept-encoding", ALL)
        .json(&query(LONG));
    let mut events = Events::of(stream).await;
    assert!(events.payload().await["data"]["__schema"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_compressed_and_may_be_cached() {
    let app = TestApp::start().await;
    let schema = |accepted: &str| {
        let client = app.client();
        let request = client.request(Method::GET, "/schema.graphql");
        request.header("accept-encoding", accepted)
    };
    let plain = Answer::to(schema("identity")).await;
    let packed = Answer::to(schema("gzip")).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert_eq!(packed.header("content-type"), "text/plain; charset=utf-8");
    for answer in [&plain, &packed] {
        assert_eq!(answer.header("cache-control"), "public, max-age=60");
        assert_eq!(varies(answer), ["accept-encoding"]);
    }
    assert!(packed.body.len() * 2 < plain.body.len());
}
