//! Several operations in one POST.

use http::Method;
use serde_json::json;
use talksy_tests::app::TestApp;
use talksy_tests::client::Client;
use talksy_tests::wire::Answer;

const GRAPHQL: &str = "application/graphql-response+json";
const JSON: &str = "application/json";

/// A POST of JSON.
fn post(client: &Client, accept: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
    client
        .request(Method::POST, "/graphql")
        .header("content-type", JSON)
        .header("accept", accept)
        .body(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_answered_in_its_order_each_operation_for_itself() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let send = "mutation($chat: ID!, $text: String!) {
        sendMessage(input: { chatId: $chat, text: $text }) { message { seq } } }";
    let message =
        |text: &str| json!({ "query": send, "variables": { "chat": chat, "text": text } });
    let batch = json!([
        message("one"),
        { "query": "{ nothing }" },
        message("two"),
        { "variables": {} },
        { "query": "subscription { chatUpdated { id } }" },
        { "query": "{ me { name } }" },
    ]);
    for accept in [GRAPHQL, JSON] {
        let answer = Answer::to(post(&ada.client, accept, batch.to_string())).await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("content-type").starts_with(accept));
        let answers = answer.json();
        let code = |n: usize| &answers[n]["errors"][0]["extensions"]["code"];
        assert_eq!(answers.as_array().map(Vec::len), Some(6));
        assert_eq!(code(1), "GRAPHQL_VALIDATION_FAILED");
        assert_eq!(code(3), "BAD_USER_INPUT");
        assert_eq!(code(4), "BAD_USER_INPUT");
        assert_eq!(answers[5], json!({ "data": { "me": { "name": "ada" } } }));
        assert!(
            answers[2]["data"]["sendMessage"]["message"]["seq"].as_i64()
                > answers[0]["data"]["sendMessage"]["message"]["seq"].as_i64()
        );
    }
    let last = "query($chat: ID!) { node(id: $chat) { ... on Chat { lastSeq } } }";
    let data = bob.client.data(last, json!({ "chat": chat })).await;
    assert_eq!(data["node"]["lastSeq"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_its_bounds() {
    let app = TestApp::builder()
        .config(|config| config.http.max_batch = 3)
        .start()
        .await;
    let of = |count: usize| json!(vec![json!({ "query": "{ __typename }" }); count]).to_string();
    let answer = Answer::to(post(&app.client(), GRAPHQL, of(3))).await;
    assert_eq!(
        answer.json(),
        json!(vec![json!({ "data": { "__typename": "Query" } }); 3])
    );
    for (body, status, code) in [
        (of(0), 400, "BAD_USER_INPUT"),
        ("[7]".into(), 400, "BAD_USER_INPUT"),
        (
            "[[\"{ __typename }\",null,null,null]]".into(),
            400,
            "BAD_USER_INPUT",
        ),
        (
            "[{\"query\":\"{ __typename }\"}".into(),
            400,
            "BAD_USER_INPUT",
        ),
    ] {
        let answer = Answer::to(post(&app.client(), JSON, body.clone())).await;
        assert_eq!((answer.status, &*answer.code()), (status, code), "{body}");
    }
    // A client that sends batches gives each operation its own answer, from a list.
    for (count, told) in [(4, 4), (1_001, 1_000)] {
        let answer = Answer::to(post(&app.client(), GRAPHQL, of(count))).await;
        assert_eq!(answer.status, 413);
        assert!(answer.header("content-type").starts_with(GRAPHQL));
        let answers = answer.json();
        let answers = answers.as_array().map(Vec::as_slice).unwrap_or_default();
        assert_eq!(answers.len(), told);
        for each in answers {
            let code = &each["errors"][0]["extensions"]["code"];
            assert_eq!(code, "PAYLOAD_TOO_LARGE", "{each}");
        }
    }
    let answer = Answer::to(post(&app.client(), "text/event-stream", of(1))).await;
    assert_eq!(answer.status, 406, "a batch is no stream");
}
