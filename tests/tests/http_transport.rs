//! GraphQL over HTTP, as the draft of its specification says: formats, statuses, methods, and
//! the choice of the operation.

use std::fmt::Write as _;

use http::Method;
use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{Client, without_request_ids};
use talksy_tests::wire::{Answer, Wire};

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

fn query(text: &str) -> String {
    json!({ "query": text }).to_string()
}

/// A GET of a query.
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

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_answered_in_the_format_that_its_client_prefers() {
    let app = TestApp::start().await;
    let client = app.client();
    for (accept, expected) in [
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        ("application/json; charset=utf-8", JSON),
        (GRAPHQL, GRAPHQL),
        (
            "application/json;q=0.8, application/graphql-response+json;q=0.9",
            GRAPHQL,
        ),
        (
            "application/graphql-response+json;q=0.1, application/json;q=0.5",
            JSON,
        ),
        // Apollo Client 4 and 3, and with subscriptions over multipart.
        (
            "application/graphql-response+json,application/json;q=0.9",
            GRAPHQL,
        ),
        (
            "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0,application/graphql-response+json,application/json;q=0.9",
            GRAPHQL,
        ),
        ("multipart/mixed;deferSpec=20220824,application/json", JSON),
        // urql.
        (
            "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed",
            GRAPHQL,
        ),
        // Relay's network layers, and a browser's fetch with a preference for streams.
        ("text/event-stream, application/json", JSON),
    ] {
        let answer = Answer::to(post(&client, accept, query("{ __typename }"))).await;
        assert_eq!(answer.status, 200, "{accept}");
        assert_eq!(
            answer.header("content-type"),
            format!("{expected}; charset=utf-8"),
            "{accept}"
        );
        assert_eq!(answer.json(), json!({ "data": { "__typename": "Query" } }));
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    // Since 2025 the draft wants this for a client that accepts nothing in particular.
    let mut wire = Wire::connect(app.address).await;
    wire.write(
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: 24\r\n\r\n{\"query\":\"{__typename}\"}",
    )
    .await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        "application/graphql-response+json; charset=utf-8"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_accepts_no_format_of_ours_is_told_so() {
    let app = TestApp::start().await;
    for accept in ["text/html", "image/png, text/*", "application/json;q=0"] {
        let answer = Answer::to(post(&app.client(), accept, query("{ __typename }"))).await;
        assert_eq!(
            (answer.status, &*answer.code()),
            (406, "BAD_USER_INPUT"),
            "{accept}"
        );
    }
    // A mutation that could not be answered is not carried out either.
    let login = query("mutation { login(input: { email: \"ada@example.org\" }) { expiresIn } }");
    let answer = Answer::to(post(&app.client(), "text/html", login)).await;
    assert_eq!(answer.status, 406);
    assert_eq!(app.mailbox.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_whether_a_request_was_executed_where_the_format_promises_it() {
    let app = TestApp::start().await;
    let with = |query: &str, variables: Value| {
        json!({ "query": query, "variables": variables }).to_string()
    };
    let named = |name: Value| {
        json!({ "query": "query A { __typename } query B { __typename }", "operationName": name })
            .to_string()
    };
    let node = "query($id: ID!) { node(id: $id) { id } }";
    // What is no document, no valid document or has no operation: 400, in the older format 200.
    // What is no request at all is 400 in both.
    for (body, code, in_older_format) in [
        (query("{"), "GRAPHQL_PARSE_FAILED", 200),
        (query(""), "GRAPHQL_PARSE_FAILED", 200),
        (query("{ me { id }"), "GRAPHQL_PARSE_FAILED", 200),
        (query("{ nothing }"), "GRAPHQL_VALIDATION_FAILED", 200),
        (query("{ me }"), "GRAPHQL_VALIDATION_FAILED", 200),
        (
            query("{ ...F } fragment F on Query { ...F }"),
            "GRAPHQL_VALIDATION_FAILED",
            200,
        ),
        (
            query("{ users(first: \"x\") { nodes { id } } }"),
            "BAD_USER_INPUT",
            200,
        ),
        (
            with(
                "query($n: Int) { users(first: $n) { nodes { id } } }",
                json!({ "n": "x" }),
            ),
            "BAD_USER_INPUT",
            200,
        ),
        (with(node, json!({})), "BAD_USER_INPUT", 200),
        (with(node, json!({ "id": null })), "BAD_USER_INPUT", 200),
        (named(json!(null)), "GRAPHQL_VALIDATION_FAILED", 200),
        (named(json!("C")), "GRAPHQL_VALIDATION_FAILED", 200),
        (
            query("subscription { chatUpdated { id } }"),
            "BAD_USER_INPUT",
            200,
        ),
        ("NONSENSE".into(), "BAD_USER_INPUT", 400),
        ("{\"query\":".into(), "BAD_USER_INPUT", 400),
        (String::new(), "BAD_USER_INPUT", 400),
        ("7".into(), "BAD_USER_INPUT", 400),
        ("{}".into(), "BAD_USER_INPUT", 400),
        (
            "{\"qeury\":\"{ __typename }\"}".into(),
            "BAD_USER_INPUT",
            400,
        ),
        ("{\"query\":null}".into(), "BAD_USER_INPUT", 400),
        ("{\"query\":7}".into(), "BAD_USER_INPUT", 400),
        ("{\"query\":{}}".into(), "BAD_USER_INPUT", 400),
        (with("{ __typename }", json!([7])), "BAD_USER_INPUT", 400),
        (with("{ __typename }", json!("{}")), "BAD_USER_INPUT", 400),
        (named(json!(7)), "BAD_USER_INPUT", 400),
        (
            "{\"query\":\"{ __typename }\",\"extensions\":[]}".into(),
            "BAD_USER_INPUT",
            400,
        ),
    ] {
        for (accept, status) in [(GRAPHQL, 400), (JSON, in_older_format)] {
            let answer = Answer::to(post(&app.client(), accept, body.clone())).await;
            assert_eq!(
                (answer.status, &*answer.code()),
                (status, code),
                "{accept}: {body}"
            );
            assert!(answer.json().get("data").is_none(), "{accept}: {body}");
            assert!(answer.header("content-type").starts_with(accept));
        }
    }
    for absent in [
        json!({ "query": "{ __typename }", "variables": null, "operationName": null, "extensions": null }),
        json!({ "query": "{ __typename }", "operationName": "", "reserved": "for the future" }),
    ] {
        let answer = Answer::to(post(&app.client(), GRAPHQL, absent.to_string())).await;
        assert_eq!(answer.json(), json!({ "data": { "__typename": "Query" } }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_executed_is_200_with_data_even_where_a_field_failed() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    for accept in [GRAPHQL, JSON] {
        let partial = query("{ me { name } users(first: -1) { nodes { id } } }");
        let answer = Answer::to(post(&ada.client, accept, partial)).await;
        assert_eq!(answer.status, 200);
        let body = without_request_ids(&answer.json());
        assert_eq!(
            body["data"],
            json!({ "me": { "name": "ada" }, "users": null })
        );
        let error = &body["errors"][0];
        assert_eq!(error["path"], json!(["users"]));
        assert_eq!(
            error["extensions"],
            json!({ "code": "BAD_USER_INPUT", "field": "first" })
        );

        // Nothing is left of the data, yet it was executed.
        let answer = Answer::to(post(
            &app.client(),
            accept,
            query("{ nodes(ids: []) { id } }"),
        ))
        .await;
        assert_eq!((answer.status, &*answer.code()), (200, "UNAUTHENTICATED"));
        assert_eq!(answer.json().get("data"), Some(&json!(null)));
    }
    // Credentials that are refused refuse only the fields that need them.
    let answer = app.client().with_token("nonsense");
    let answer = Answer::to(post(&answer, GRAPHQL, query("{ __typename me { id } }"))).await;
    assert_eq!((answer.status, &*answer.code()), (200, "UNAUTHENTICATED"));
    assert_eq!(
        answer.json()["data"],
        json!({ "__typename": "Query", "me": null })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_chosen_by_name_and_fields_renamed_by_aliases() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let document = "query Who { one: me { id } two: me { ...Names } }
        query Kind { __typename }
        fragment Names on User { name }";
    let body = json!({ "query": document, "operationName": "Who" }).to_string();
    let answer = Answer::to(post(&ada.client, GRAPHQL, body)).await;
    assert_eq!(
        answer.json(),
        json!({ "data": { "one": { "id": ada.id }, "two": { "name": "ada" } } })
    );
    let body = json!({ "query": document, "operationName": "Kind" }).to_string();
    let answer = Answer::to(post(&ada.client, GRAPHQL, body)).await;
    assert_eq!(answer.json(), json!({ "data": { "__typename": "Query" } }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_can_be_asked_in_the_url() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let document = "query Node($id: ID!) { node(id: $id) { id } } query Other { __typename }";
    let variables = json!({ "id": ada.id }).to_string();
    let ask = get(
        &ada.client,
        &[
            ("query", document),
            ("operationName", "Node"),
            ("variables", &variables),
            ("extensions", "{\"trace\":true}"),
        ],
    );
    let answer = Answer::to(ask).await;
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!({ "data": { "node": { "id": ada.id } } }))
    );
    let plain = get(
        &ada.client,
        &[
            ("query", "{ __typename }"),
            ("operationName", ""),
            ("variables", ""),
        ],
    );
    assert_eq!(
        Answer::to(plain).await.json(),
        json!({ "data": { "__typename": "Query" } })
    );
    for (parameters, code) in [
        (vec![("variables", "{}")], "BAD_USER_INPUT"),
        (
            vec![("query", "{ __typename }"), ("variables", "[]")],
            "BAD_USER_INPUT",
        ),
        (
            vec![("query", "{ __typename }"), ("variables", "{")],
            "BAD_USER_INPUT",
        ),
        (
            vec![("query", "{ __typename }"), ("extensions", "7")],
            "BAD_USER_INPUT",
        ),
        (
            vec![("query", "{ a }"), ("query", "{ b }")],
            "BAD_USER_INPUT",
        ),
        (vec![("query", "{")], "GRAPHQL_PARSE_FAILED"),
    ] {
        let answer = Answer::to(get(&ada.client, &parameters)).await;
        assert_eq!(
            (answer.status, &*answer.code()),
            (400, code),
            "{parameters:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_never_changes_anything() {
    let app = TestApp::start().await;
    let client = app.client();
    let login = "mutation Login { login(input: { email: \"ada@example.org\" }) { expiresIn } }";
    let both = format!("query Ask {{ __typename }} {login}");
    for parameters in [
        vec![("query", login)],
        vec![("query", &both), ("operationName", "Login")],
    ] {
        let answer = Answer::to(get(&client, &parameters)).await;
        assert_eq!((answer.status, &*answer.code()), (405, "BAD_USER_INPUT"));
        assert_eq!(answer.header("allow"), "POST");
        assert!(answer.json().get("data").is_none());
    }
    assert_eq!(app.mailbox.count(), 0);
    let answer = Answer::to(get(&client, &[("query", &both), ("operationName", "Ask")])).await;
    assert_eq!(answer.json(), json!({ "data": { "__typename": "Query" } }));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_refused_with_those_that_are_allowed() {
    let app = TestApp::start().await;
    let client = app.client();
    for method in [Method::PATCH, Method::OPTIONS] {
        let answer = Answer::to(client.request(method.clone(), "/graphql")).await;
        assert_eq!(
            (answer.status, &*answer.code()),
            (405, "BAD_USER_INPUT"),
            "{method}"
        );
        assert_eq!(answer.header("allow"), "GET, HEAD, POST, PUT, DELETE");
    }
    let answer = Answer::to(client.request(Method::POST, "/livez")).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET,HEAD"));
    let head = client
        .request(Method::HEAD, "/graphql?query=%7B__typename%7D")
        .header("x-graphql-request", "true");
    let answer = Answer::to(head).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("content-length"), "31");
    for path in ["/nothing", "/graphql/", "/graphql/x", "/.well-known/"] {
        let answer = Answer::to(client.request(Method::GET, path)).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    // A wish for a newer HTTP is no wish for a socket.
    let upgrade = get(&client, &[("query", "{ __typename }")])
        .header("connection", "upgrade")
        .header("upgrade", "h2c");
    assert_eq!(
        Answer::to(upgrade).await.json(),
        json!({ "data": { "__typename": "Query" } })
    );
}
