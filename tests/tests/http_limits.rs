//! What HTTP requests may not do: come from foreign pages, be too large or too slow, ask for too
//! much, or say that they come from elsewhere.

use std::time::Duration;

use http::Method;
use serde_json::json;
use talksy_tests::app::TestApp;
use talksy_tests::client::{Client, string};
use talksy_tests::websocket::Received;
use talksy_tests::wire::{Answer, Wire};

const LOGIN: &str = "mutation { login(input: { email: \"ada@example.org\" }) { expiresIn } }";

fn post(
    client: &Client,
    content_type: &str,
    body: impl Into<reqwest::Body>,
) -> reqwest::RequestBuilder {
    client
        .request(Method::POST, "/graphql")
        .header("content-type", content_type)
        .body(body)
}

fn query(text: &str) -> String {
    json!({ "query": text }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_page_cannot_have_a_browser_send_what_is_executed() {
    let app = TestApp::start().await;
    let client = app.client();
    for content_type in [
        "text/plain",
        "text/plain; charset=utf-8; x=application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/json; charset=iso-8859-1",
        "application/json; charset = utf-16",
    ] {
        let answer = Answer::to(post(&client, content_type, query(LOGIN))).await;
        assert_eq!(
            (answer.status, &*answer.code()),
            (415, "BAD_USER_INPUT"),
            "{content_type}"
        );
    }
    let bare = client.request(Method::POST, "/graphql").body(query(LOGIN));
    assert_eq!(Answer::to(bare).await.status, 415);
    assert_eq!(app.mailbox.count(), 0);

    let path = "/graphql?query=%7B__typename%7D";
    let form = client
        .request(Method::GET, path)
        .header("content-type", "text/plain");
    assert_eq!(Answer::to(form).await.status, 200, "a GET has no body");
}

/// What clients and pages send with a GET. A bearer token is nothing that a browser adds by
/// itself, so that no page can ask in somebody's name; and none can read the answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_by_get_needs_no_more_headers_than_clients_send() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let path = "/graphql?query=query%20Me%7Bme%7Bname%7D%7D&operationName=Me&variables=%7B%7D&extensions=%7B%7D";
    let urql = "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed";
    let apollo = "application/graphql-response+json,application/json;q=0.9";
    let page = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let (nobody, name) = (json!({ "me": null }), json!({ "me": { "name": "ada" } }));
    for (client, headers, data) in [
        (&ada.client, vec![("accept", urql)], &name),
        (
            &ada.client,
            vec![("accept", apollo), ("apollo-require-preflight", "true")],
            &name,
        ),
        (
            &ada.client,
            vec![("accept", apollo), ("content-type", "application/json")],
            &name,
        ),
        (
            &app.client(),
            vec![
                ("accept", "*/*"),
                ("sec-fetch-dest", "script"),
                ("sec-fetch-mode", "no-cors"),
            ],
            &nobody,
        ),
        (
            &app.client(),
            vec![
                ("accept", page),
                ("sec-fetch-dest", "document"),
                ("sec-fetch-mode", "navigate"),
            ],
            &nobody,
        ),
    ] {
        let request = client.request(Method::GET, path);
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        let answer = Answer::to(request).await;
        assert_eq!(
            (answer.status, &answer.json()["data"]),
            (200, data),
            "{headers:?}"
        );
        // A browser runs it as no script, and gives it to no page of another origin.
        assert!(
            answer.header("content-type").contains("json"),
            "{headers:?}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("access-control-allow-origin"), "");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let logout = "/graphql?query=mutation%7Blogout%7BsessionId%7D%7D";
    for client in [&ada.client, &app.client()] {
        let answer = Answer::to(client.request(Method::GET, logout).header("accept", urql)).await;
        assert_eq!((answer.status, &*answer.code()), (405, "BAD_USER_INPUT"));
    }
    let answer = ada.client.run("{ me { name } }", json!({})).await;
    assert_eq!(answer.data(), name, "nobody was signed out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_json_in_utf_8() {
    let app = TestApp::start().await;
    for content_type in [
        "application/json",
        "APPLICATION/JSON; Charset=\"UTF-8\"",
        "application/json;charset=utf8",
    ] {
        let body = query("{ ü: __typename }");
        let answer = Answer::to(post(&app.client(), content_type, body)).await;
        // No name in GraphQL, which shows that it was read as UTF-8.
        assert_eq!(answer.code(), "GRAPHQL_PARSE_FAILED", "{content_type}");
        let body = query("{ __typename # ü😀\n }");
        let answer = Answer::to(post(&app.client(), content_type, body)).await;
        assert_eq!(answer.json(), json!({ "data": { "__typename": "Query" } }));
    }
    for body in [
        &b"{\"query\":\"{ __typename # \xff\\n }\"}"[..],
        b"\xef\xbb\xbf{\"query\":\"{ __typename }\"}",
        b"[{\"query\":\"{ __typename # \xc3\x28\\n }\"}]",
        b"{\"query\":\"{ __typename }\"} trailing",
    ] {
        let answer = Answer::to(post(&app.client(), "application/json", body)).await;
        assert_eq!(
            (answer.status, &*answer.code()),
            (400, "BAD_USER_INPUT"),
            "{body:?}"
        );
    }
    // As deep as any parser would go, and deeper.
    let deep = format!(
        "{{\"query\":\"{{ __typename }}\",\"variables\":{{\"a\":{}}}}}",
        "[".repeat(100_000)
    );
    let answer = Answer::to(post(&app.client(), "application/json", deep)).await;
    assert_eq!((answer.status, &*answer.code()), (400, "BAD_USER_INPUT"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_cap_is_refused_whether_its_length_is_announced_or_not() {
    let app = TestApp::builder()
        .config(|config| config.http.max_body_bytes = 1024)
        .start()
        .await;
    let padded = |length: usize| {
        let body = query("{ __typename }");
        format!("{body}{}", " ".repeat(length - body.len()))
    };
    let json = "application/json";
    let answer = Answer::to(post(&app.client(), json, padded(1024))).await;
    assert_eq!(answer.status, 200);
    for length in [1025, 10_000, 4 << 20] {
        let answer = Answer::to(post(&app.client(), json, padded(length))).await;
        assert_eq!(
            (answer.status, &*answer.code()),
            (413, "PAYLOAD_TOO_LARGE"),
            "{length}"
        );
    }

    let head = "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let mut wire = Wire::connect(app.address).await;
    let body = padded(700);
    wire.write(format!("{head}Transfer-Encoding: chunked\r\n\r\n"))
        .await;
    for _ in 0..2 {
        wire.write(format!("{:x}\r\n{body}\r\n", body.len())).await;
    }
    wire.write("0\r\n\r\n").await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, &*answer.code()), (413, "PAYLOAD_TOO_LARGE"));
    // Read to its end, so that the connection is still good.
    wire.write(format!("{head}Content-Length: 700\r\n\r\n{body}"))
        .await;
    assert_eq!(wire.answer().await.status, 200);

    // Who asks before sending need not send; a number that is none, or two, is no length.
    let mut wire = Wire::connect(app.address).await;
    wire.write(format!(
        "{head}Content-Length: 9999999\r\nExpect: 100-continue\r\n\r\n"
    ))
    .await;
    assert_eq!(wire.answer().await.status, 413);
    let mut wire = Wire::connect(app.address).await;
    wire.write(format!(
        "{head}Content-Length: 9\r\nContent-Length: 700\r\n\r\n{body}"
    ))
    .await;
    assert_eq!(wire.answer().await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_in_time_is_given_up() {
    let app = TestApp::builder()
        .config(|config| config.http.body_timeout = Duration::from_millis(50))
        .start()
        .await;
    let head = "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    for body in [
        "Content-Length: 100\r\n\r\n{\"query\":",
        "Transfer-Encoding: chunked\r\n\r\n9\r\n{\"query\":\r\n",
        "Content-Length: 999999\r\n\r\n{\"query\":",
    ] {
        let mut wire = Wire::connect(app.address).await;
        wire.write(format!("{head}{body}")).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, &*answer.code()), (408, "BAD_USER_INPUT"));
        assert!(wire.ended().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_request_is_closed() {
    // Long enough for a client on a busy machine to send its request after it has connected.
    let app = TestApp::builder()
        .config(|config| config.http.idle_timeout = Duration::from_secs(3))
        .start()
        .await;
    // A socket is no such connection: its own rules hold.
    let user = app.sign_in("ada").await;
    let mut socket = user.client.socket().await;
    let half = "GET /livez HTTP/1.1\r\nHost: x\r\n";
    let mut idle = Vec::new();
    for silent in ["", half] {
        let mut wire = Wire::connect(app.address).await;
        wire.write(silent).await;
        idle.push((wire, silent));
    }
    let mut wire = Wire::connect(app.address).await;
    wire.write(format!("{half}\r\n")).await;
    assert_eq!(wire.answer().await.status, 200);
    idle.push((wire, "between two requests"));
    for (wire, what) in &mut idle {
        assert!(wire.ended().await, "{what:?}");
    }
    // All of them began after the socket, which has been as silent as they were.
    socket.send(serde_json::json!({ "type": "ping" })).await;
    let pong = serde_json::json!({ "type": "pong" });
    assert_eq!(socket.next().await, Received::Message(pong));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_an_end_is_not_kept_for_ever() {
    const LONGEST: usize = 128 * 1024;
    let app = TestApp::start().await;
    let head = "GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: ";
    let end = "\r\n\r\n";
    let padding = |length: usize| "a".repeat(length - head.len());
    let mut wire = Wire::connect(app.address).await;
    wire.write(format!("{head}{}{end}", padding(LONGEST - 1_000)))
        .await;
    assert_eq!(wire.answer().await.status, 200);
    let mut wire = Wire::connect(app.address).await;
    wire.write(format!("{head}{}", padding(LONGEST))).await;
    assert_eq!(wire.answer().await.status, 431);
    assert!(wire.ended().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_its_answers_is_given_up() {
    const REQUESTS: usize = 600;
    let app = TestApp::builder()
        .config(|config| config.http.write_timeout = Duration::from_secs(1))
        .start()
        .await;
    let request = "GET /schema.graphql HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut wire = Wire::connect(app.address).await;
    wire.write(request).await;
    let length = wire.answer().await.body.len();
    assert!(length * REQUESTS > 16 << 20, "too little: {length} bytes");
    let mut stuck = Wire::narrow(app.address).await;
    stuck.write(request.repeat(REQUESTS)).await;
    stuck.given_up().await;
    // Whoever reads is served as before.
    wire.write(request).await;
    assert_eq!(wire.answer().await.body.len(), length);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_all_clients_that_read_no_answers_is_bounded_and_the_longest_unread_go() {
    const MESSAGES: usize = 24;
    const TEXTS: usize = 8;
    let app = TestApp::builder()
        .config(|config| {
            config.http.write_timeout = Duration::from_mins(10);
            config.http.max_stalled_bytes = 1024 * 1024;
        })
        .start()
        .await;
    let (ada, _bob, chat) = app.pair().await;
    for _ in 0..MESSAGES {
        ada.send(&chat, &"😀".repeat(4_000)).await;
    }
    let texts = (0..TEXTS).fold(String::new(), |texts, n| format!("{texts} t{n}: text"));
    let query = format!(
        "query($id: ID!) {{ chat(id: $id) {{ messages(last: {MESSAGES}) {{ nodes {{ {texts} }} }} }} }}"
    );
    let body = json!({ "query": query, "variables": { "id": chat } }).to_string();
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
        ada.client.token().unwrap_or_default(),
        body.len()
    );
    let mut wire = Wire::connect(app.address).await;
    wire.write(&request).await;
    let length = wire.answer().await.body.len();
    assert!(length > MESSAGES * TEXTS * 16_000, "{length}");
    // Each is asked for more than the system keeps on the way, so that most of an answer waits.
    let mut stuck = Vec::new();
    for _ in 0..16 {
        let mut client = Wire::narrow(app.address).await;
        client.write(request.repeat(8)).await;
        stuck.push(client);
    }
    // No other rule ends them. Each holds more than all may, so that none stays.
    for client in &mut stuck {
        client.given_up().await;
    }
    wire.write(&request).await;
    assert_eq!(wire.answer().await.body.len(), length);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_asks_for_too_much_is_refused_with_the_reason() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let deep = format!(
        "{{ me {{ {} name {} }} }}",
        "presence { user { ".repeat(13),
        "} }".repeat(13)
    );
    let aliases = (0..200).fold(String::new(), |all, n| format!("{all} a{n}: __typename"));
    let fragments = "{ ...A } fragment A on Query { ...B ...B } fragment B on Query { ...C ...C }
        fragment C on Query { ...D ...D } fragment D on Query { ...E ...E }
        fragment E on Query { ...F ...F } fragment F on Query { ...G ...G }
        fragment G on Query { ...H ...H } fragment H on Query { ...I ...I }
        fragment I on Query { ...J ...J } fragment J on Query { ...K ...K }
        fragment K on Query { ...L ...L } fragment L on Query { __typename }";
    let costly = "{ chats(first: 100) { nodes { messages(first: 100) { nodes { readBy(first: 100) {
        nodes { user { id name about email createdAt } } } } } } } }";
    let long = format!("{{ __typename }} # {}", "x".repeat(40_000));
    for (document, code) in [
        (&*deep, "QUERY_TOO_COMPLEX"),
        (&format!("{{ {aliases} }}"), "QUERY_TOO_COMPLEX"),
        (
            &format!("{{ {} }}", "a ".repeat(5_000)),
            "QUERY_TOO_COMPLEX",
        ),
        (
            &format!("{{ {} }}", "__typename ".repeat(100)),
            "QUERY_TOO_COMPLEX",
        ),
        (fragments, "QUERY_TOO_COMPLEX"),
        (costly, "QUERY_TOO_COMPLEX"),
        (&long, "PAYLOAD_TOO_LARGE"),
        (
            "subscription { a: chatUpdated { id } b: chatUpdated { id } }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
    ] {
        let reply = ada.client.run(document, json!({})).await;
        assert_eq!((reply.status, reply.code()), (400, code), "{document:.80}");
        assert!(reply.body.get("data").is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_configured_origins_may_call_from_a_browser() {
    let preflight = |client: &Client, origin: &str| {
        client
            .request(Method::OPTIONS, "/graphql")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type",
            )
    };
    let app = TestApp::builder()
        .config(|config| config.http.cors_origins = vec!["https://chat.example.org".into()])
        .start()
        .await;
    let client = app.client();
    let answer = Answer::to(preflight(&client, "https://chat.example.org")).await;
    assert_eq!(answer.status, 200);
    for (name, value) in [
        ("access-control-allow-origin", "https://chat.example.org"),
        ("access-control-allow-methods", "GET,POST,PUT,DELETE"),
        ("access-control-allow-headers", "authorization,content-type"),
        ("access-control-max-age", "3600"),
        ("access-control-allow-credentials", ""),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    let ask = |origin: &str| {
        post(&client, "application/json", query("{ __typename }")).header("origin", origin)
    };
    let answer = Answer::to(ask("https://chat.example.org")).await;
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://chat.example.org"
    );
    for other in [
        "https://evil.example",
        "https://chat.example.org.evil.example",
        "null",
    ] {
        let answer = Answer::to(preflight(&client, other)).await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{other}");
        let answer = Answer::to(ask(other)).await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{other}");
    }

    let open = TestApp::builder()
        .config(|config| config.http.cors_origins = vec!["*".into()])
        .start()
        .await;
    let answer = Answer::to(preflight(&open.client(), "https://anywhere.example")).await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");

    let closed = TestApp::start().await;
    let answer = Answer::to(preflight(&closed.client(), "https://chat.example.org")).await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (405, "")
    );
}

/// Signs in with an `X-Forwarded-For`, and tells the address that the session shows.
async fn signed_in_from(app: &TestApp, name: &str, forwarded: &str) -> String {
    let email = format!("{name}@example.org");
    app.client().login(&email).await.data();
    let challenge = app.client().challenge(&email);
    let code = app.mailbox.code(&email).unwrap_or_default();
    let verify = format!(
        "mutation {{ verifyOtp(input: {{ challenge: \"{challenge}\", code: \"{code}\" }})
        {{ session {{ ipAddress }} }} }}"
    );
    let request = post(&app.client(), "application/json", query(&verify))
        .header("x-forwarded-for", forwarded);
    let address =
        Answer::to(request).await.json()["data"]["verifyOtp"]["session"]["ipAddress"].clone();
    string(&address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_address_is_believed_of_trusted_proxies_only() {
    let app = TestApp::start().await;
    assert_eq!(
        signed_in_from(&app, "ada", "203.0.113.9").await,
        "127.0.0.1"
    );

    let app = TestApp::builder()
        .config(|config| {
            config.http.trusted_proxies = ["127.0.0.0/8", "10.0.0.0/8"]
                .map(|network| network.parse().unwrap())
                .to_vec();
        })
        .start()
        .await;
    for (name, forwarded, address) in [
        ("ada", "203.0.113.9", "203.0.113.9"),
        ("bob", "6.6.6.6, 203.0.113.9, 10.1.2.3", "203.0.113.9"),
        ("cleo", "2001:db8::7", "2001:db8::7"),
        ("dan", "nonsense", "127.0.0.1"),
        ("eve", "203.0.113.9, nonsense", "127.0.0.1"),
    ] {
        assert_eq!(
            signed_in_from(&app, name, forwarded).await,
            address,
            "{forwarded}"
        );
    }
}
