//! The pages beside GraphQL: what probes, token verifiers, code generators and people with a
//! browser ask for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::wire::{Answer, Wire};

async fn get(app: &TestApp, path: &str) -> Answer {
    Answer::to(app.client().request(Method::GET, path)).await
}

/// Without following redirections.
async fn get_once(app: &TestApp, path: &str, headers: &str) -> Answer {
    let mut wire = Wire::connect(app.address).await;
    wire.write(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"))
        .await;
    wire.answer().await
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_told_that_the_server_lives_and_is_ready() {
    let app = TestApp::start().await;
    for path in ["/livez", "/readyz"] {
        let answer = get(&app, path).await;
        assert_eq!((answer.status, &*answer.text()), (200, "ok\n"), "{path}");
        assert_eq!(answer.header("cache-control"), "no-store");
        let head = Answer::to(app.client().request(Method::HEAD, path)).await;
        assert_eq!((head.status, head.body.len()), (200, 0));
    }
}

/// On one thread, server and test take turns: what the test waits for behind the half request
/// shows that the server has read it.
#[tokio::test]
async fn a_server_that_stops_is_alive_but_not_ready() {
    let app = TestApp::start().await;
    let mut probes = Vec::new();
    for path in ["/readyz", "/livez"] {
        let mut wire = Wire::connect(app.address).await;
        wire.write(format!("GET {path} HTTP/1.1\r\n")).await;
        probes.push(wire);
    }
    for _ in 0..3 {
        assert_eq!(get(&app, "/readyz").await.status, 200);
    }
    app.begin_stop();
    let mut answers = Vec::new();
    for wire in &mut probes {
        wire.write("Host: x\r\n\r\n").await;
        let answer = wire.answer().await;
        answers.push((answer.status, answer.text()));
        assert!(wire.ended().await);
    }
    assert_eq!(answers, [(503, "stopping\n".into()), (200, "ok\n".into())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_the_published_one() {
    let app = TestApp::start().await;
    let answer = get(&app, "/schema.graphql").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "public, max-age=60");
    assert_eq!(
        answer.text(),
        include_str!("../../schema/schema.graphql"),
        "schema/schema.graphql is what is published"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn access_tokens_can_be_verified_with_the_published_keys() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let answer = get(&app, "/.well-known/jwks.json").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    for key in answer.json()["keys"].as_array().unwrap() {
        for (name, value) in [
            ("kty", "OKP"),
            ("crv", "Ed25519"),
            ("alg", "EdDSA"),
            ("use", "sig"),
        ] {
            assert_eq!(key[name], value);
        }
        assert!(key.get("d").is_none(), "a private key");
        let x = key["x"].as_str().unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(x).unwrap().len(), 32);
    }

    let token = ada.client.token().unwrap();
    let set: JwkSet = serde_json::from_slice(&answer.body).unwrap();
    let kid = decode_header(token).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(set.find(&kid).unwrap()).unwrap();
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.validate_exp = false;
    rules.validate_aud = false;
    let claims = decode::<Value>(token, &key, &rules).unwrap().claims;
    assert_eq!(claims["sub"], json!(ada.id));
    assert_eq!(claims["sid"], json!(ada.session_id));
    // Of this deployment alone: an id of its keys, where no setting names it.
    assert_eq!(claims["iss"].as_str().unwrap().len(), 32);
    assert_eq!(claims["aud"], claims["iss"]);
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        600
    );
    let mut forged = token.to_owned();
    let place = forged.len() - 10;
    let other = if &forged[place..=place] == "A" {
        "B"
    } else {
        "A"
    };
    forged.replace_range(place..=place, other);
    assert!(decode::<Value>(&forged, &key, &rules).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_explorer_is_a_page_that_loads_nothing_from_elsewhere() {
    let app = TestApp::start().await;
    for path in ["/graphiql", "/graphiql/"] {
        let answer = get(&app, path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"));
        assert!(answer.text().to_lowercase().starts_with("<!doctype html>"));
        // Where it was built, the files that the page names are there.
        let page = answer.text();
        let named = page
            .split('"')
            .filter(|text| text.starts_with("/graphiql/assets/"));
        for asset in named {
            let answer = get(&app, asset).await;
            assert_eq!(answer.status, 200, "{asset}");
            assert_eq!(
                answer.header("cache-control"),
                "public, max-age=31536000, immutable"
            );
            let tag = answer.header("etag");
            let again = app.client().request(Method::GET, asset);
            let again = Answer::to(again.header("if-none-match", tag)).await;
            assert_eq!((again.status, again.body.len()), (304, 0));
        }
    }
    for path in [
        "/graphiql/nothing.js",
        "/graphiql/../Cargo.toml",
        "/graphiql/%2e%2e/index.html",
    ] {
        assert_eq!(get_once(&app, path, "").await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_led_to_the_explorer() {
    let app = TestApp::builder()
        .config(|config| config.http.web_chat = false)
        .start()
        .await;
    for (path, headers) in [
        ("/", ""),
        (
            "/graphql",
            "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n",
        ),
    ] {
        let answer = get_once(&app, path, headers).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (307, "/graphiql")
        );
    }

    let plain = TestApp::builder()
        .config(|config| {
            config.http.web_chat = false;
            config.http.graphiql = false;
        })
        .start()
        .await;
    let answer = get_once(&plain, "/", "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("/graphql"));
    assert_eq!(get_once(&plain, "/graphiql", "").await.status, 404);
    // A browser takes anything where it must, and is told that there is no query.
    for (accept, status) in [("text/html,*/*;q=0.8", 400), ("text/html", 406)] {
        let answer = get_once(&plain, "/graphql", &format!("Accept: {accept}\r\n")).await;
        assert_eq!(answer.status, status, "{accept}");
    }
}
