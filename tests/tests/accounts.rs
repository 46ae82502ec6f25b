//! Signing in and out, what tokens are good for, sessions and the profile, as a client meets them.

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sha2::Sha256;
use talksy_server::config::Quota;
use talksy_tests::app::TestApp;
use talksy_tests::client::{Client, Reply, User, string, without_request_ids};
use talksy_tests::websocket::{Received, Socket};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

const ME: &str = "{ me { id name email about } }";
const SESSIONS: &str =
    "{ sessions { nodes { id isCurrent userAgent ipAddress createdAt lastUsedAt expiresAt } } }";
const PROFILE: &str = "mutation($input: UpdateProfileInput!) {
    updateProfile(input: $input) { user { name about } } }";
const REVOKE: &str = "mutation($input: RevokeSessionInput!) {
    revokeSession(input: $input) { sessionId } }";

fn code_for(app: &TestApp, email: &str) -> String {
    match app.mailbox.code(email) {
        Some(code) => code,
        None => panic!("no code was mailed to {email}"),
    }
}

/// A code that is not this one.
fn other_than(code: &str) -> String {
    let number: u32 = code.parse().unwrap_or_default();
    format!("{:06}", (number + 1) % 1_000_000)
}

fn retry_after(reply: &Reply) -> u64 {
    reply.error()["extensions"]["retryAfter"]
        .as_u64()
        .unwrap_or(0)
}

/// Another device of somebody who has an account.
async fn another_device(app: &TestApp, user: &User) -> User {
    app.clock.advance(MINUTE);
    let client = app.client();
    client.login(&user.email).await.data();
    let code = code_for(app, &user.email);
    let auth = client.verify(&user.email, &code).await.data();
    User::of(&client, &auth["verifyOtp"])
}

async fn ids_of_sessions(user: &User) -> HashSet<String> {
    let data = user.client.data(SESSIONS, json!({})).await;
    let sessions = data["sessions"]["nodes"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    sessions.iter().map(|one| string(&one["id"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_sign_in_makes_the_account_and_the_second_finds_it() {
    let app = TestApp::start().await;
    let client = app.client();
    let sent = client.login("  Ada.Lovelace@Example.ORG ").await.data();
    assert_eq!(
        sent["login"],
        json!({ "expiresIn": 300, "resendAfter": 60 })
    );
    let code = code_for(&app, "ada.lovelace@example.org");
    assert_eq!(code.len(), 6);
    assert!(code.bytes().all(|byte| byte.is_ascii_digit()), "{code}");

    let reply = client
        .verify("ADA.lovelace@example.org\n", &format!(" {code} "))
        .await;
    let auth = reply.data()["verifyOtp"].clone();
    assert_eq!(auth["isNewUser"], json!(true));
    assert_eq!(auth["user"]["name"], json!("ada.lovelace"));
    assert_eq!(auth["user"]["email"], json!("ada.lovelace@example.org"));
    assert_eq!(auth["session"]["isCurrent"], json!(true));
    assert_eq!(auth["expiresAt"], json!("2026-01-01T00:10:00.000Z"));
    assert_eq!(
        auth["session"]["expiresAt"],
        json!("2026-01-31T00:00:00.000Z")
    );
    let ada = User::of(&client, &auth);
    let me = ada.client.data(ME, json!({})).await;
    assert_eq!(
        me["me"],
        json!({ "id": ada.id, "name": "ada.lovelace", "email": "ada.lovelace@example.org",
                "about": null })
    );

    app.clock.advance(MINUTE);
    client.login("ada.lovelace@EXAMPLE.org").await.data();
    let code = code_for(&app, "ada.lovelace@example.org");
    let again = client.verify("Ada.Lovelace@example.org", &code).await;
    let again = again.data()["verifyOtp"].clone();
    assert_eq!(again["isNewUser"], json!(false));
    assert_eq!(again["user"], auth["user"]);
    assert_ne!(again["session"]["id"], auth["session"]["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_signed_in_without_credentials() {
    let app = TestApp::start().await;
    let me = app.client().data(ME, json!({})).await;
    assert_eq!(me, json!({ "me": null }));
    let reply = app.client().run(SESSIONS, json!({})).await;
    assert_eq!(reply.code(), "UNAUTHENTICATED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_valid_for_five_minutes_and_no_longer() {
    let app = TestApp::start().await;
    let client = app.client();
    for (name, wait, accepted) in [("ada", 299, true), ("bob", 300, false)] {
        let email = format!("{name}@example.org");
        client.login(&email).await.data();
        app.clock.advance(SECOND * wait);
        let reply = client.verify(&email, &code_for(&app, &email)).await;
        if accepted {
            assert_eq!(reply.data()["verifyOtp"]["user"]["name"], json!(name));
        } else {
            assert_eq!(reply.code_and_field(), ("OTP_EXPIRED", "input.code"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_gets_one_code_a_minute_used_or_not() {
    let app = TestApp::start().await;
    let client = app.client();
    let ada = "ada@example.org";
    client.login(ada).await.data();
    let code = code_for(&app, ada);

    let reply = client.login(" ADA@example.org").await;
    assert_eq!((reply.code(), retry_after(&reply)), ("RATE_LIMITED", 60));
    client.login("bob@example.org").await.data();
    app.clock.advance(Duration::from_millis(30_500));
    client.verify(ada, &code).await.data();
    let reply = client.login(ada).await;
    assert_eq!((reply.code(), retry_after(&reply)), ("RATE_LIMITED", 30));
    assert_eq!(app.mailbox.count(), 2);

    app.clock.advance(Duration::from_millis(29_500));
    client.login(ada).await.data();
    assert_eq!(app.mailbox.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_works_once() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let code = code_for(&app, &ada.email);
    let reply = app.client().verify(&ada.email, &code).await;
    assert_eq!(reply.code_and_field(), ("OTP_INVALID", "input.code"));
    assert_eq!(ids_of_sessions(&ada).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_code_voids_the_one_before() {
    let app = TestApp::start().await;
    let client = app.client();
    let email = "ada@example.org";
    client.login(email).await.data();
    let old = code_for(&app, email);
    // One time in a million the codes are the same: then another is asked for.
    let new = loop {
        app.clock.advance(MINUTE);
        client.login(email).await.data();
        let new = code_for(&app, email);
        if new != old {
            break new;
        }
    };
    let reply = client.verify(email, &old).await;
    assert_eq!(reply.code_and_field(), ("OTP_INVALID", "input.code"));
    client.verify(email, &new).await.data();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_survives_four_wrong_tries_and_not_five() {
    let app = TestApp::start().await;
    let client = app.client();
    for (name, wrong, survives) in [("ada", 4, true), ("bob", 5, false)] {
        let email = format!("{name}@example.org");
        client.login(&email).await.data();
        let code = code_for(&app, &email);
        for _ in 0..wrong {
            let reply = client.verify(&email, &other_than(&code)).await;
            assert_eq!(reply.code_and_field(), ("OTP_INVALID", "input.code"));
        }
        let reply = client.verify(&email, &code).await;
        if survives {
            reply.data();
        } else {
            assert_eq!(reply.code_and_field(), ("OTP_EXPIRED", "input.code"));
        }
    }
    // Nor can the other address's code be used.
    app.clock.advance(MINUTE);
    client.login("bob@example.org").await.data();
    let bobs = code_for(&app, "bob@example.org");
    let reply = client.verify("eve@example.org", &bobs).await;
    assert_eq!(reply.code_and_field(), ("OTP_INVALID", "input.code"));
    client.verify("bob@example.org", &bobs).await.data();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_code_is_told_apart_and_costs_no_try() {
    let app = TestApp::start().await;
    let client = app.client();
    let email = "ada@example.org";
    client.login(email).await.data();
    for code in [
        "",
        " ",
        "12345",
        "1234567",
        "12a456",
        "-12345",
        "１２３４５６",
        "12 456",
    ] {
        let reply = client.verify(email, code).await;
        assert_eq!(
            reply.code_and_field(),
            ("BAD_USER_INPUT", "input.code"),
            "{code:?}"
        );
    }
    client.verify(email, &code_for(&app, email)).await.data();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_address_is_refused_before_anything_is_sent() {
    let app = TestApp::start().await;
    let client = app.client();
    let long_local = format!("{}@example.org", "a".repeat(65));
    let long_domain = format!("a@{}.org", ["b"; 130].join("."));
    for email in [
        "",
        " ",
        "ada",
        "@example.org",
        "ada@",
        "a b@example.org",
        "a..b@example.org",
        "ada@-example.org",
        "ada@example.org\r\nBcc: eve@example.org",
        "ada@example.org,eve@example.org",
        "Ada <ada@example.org>",
        "\"ada\"@example.org",
        "ada\u{0}@example.org",
        "ada\u{202E}@example.org",
        &long_local,
        &long_domain,
    ] {
        for reply in [
            client.login(email).await,
            client.verify(email, "123456").await,
        ] {
            assert_eq!(
                reply.code_and_field(),
                ("BAD_USER_INPUT", "input.email"),
                "{email:?}"
            );
        }
    }
    assert_eq!(app.mailbox.count(), 0);
}

fn told(reply: &Reply) -> Value {
    without_request_ids(&reply.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_tells_whether_an_address_has_an_account() {
    let app = TestApp::start().await;
    let (ada, client) = (app.sign_in("ada").await, app.client());
    app.clock.advance(MINUTE);
    let (known, unknown) = (ada.email.as_str(), "nobody@example.org");

    let answers = (client.login(known).await, client.login(unknown).await);
    assert_eq!(told(&answers.0), told(&answers.1));
    assert_eq!(answers.0.status, answers.1.status);
    let answers = (client.login(known).await, client.login(unknown).await);
    assert_eq!(answers.0.code(), "RATE_LIMITED");
    assert_eq!(told(&answers.0), told(&answers.1));

    let wrong = [known, unknown].map(|email| (email, other_than(&code_for(&app, email))));
    let answers = (
        client.verify(wrong[0].0, &wrong[0].1).await,
        client.verify(wrong[1].0, &wrong[1].1).await,
    );
    assert_eq!(answers.0.code(), "OTP_INVALID");
    assert_eq!(told(&answers.0), told(&answers.1));
    // Nor does an address that never asked for a code differ.
    let never = client.verify("never@example.org", &wrong[0].1).await;
    assert_eq!(told(&never), told(&answers.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_place_may_ask_try_and_refresh_only_so_often() {
    let quota = |burst| Quota {
        burst,
        period: 10 * MINUTE,
    };
    let app = TestApp::builder()
        .config(move |config| {
            config.limits.login_ip = quota(3);
            config.limits.verify_ip = quota(2);
            config.limits.refresh_ip = quota(2);
        })
        .start()
        .await;
    let client = app.client();
    for name in ["a", "b", "c"] {
        client.login(&format!("{name}@example.org")).await.data();
    }
    // One header that anybody can send makes no other place of it.
    let reply = client
        .request(http::Method::POST, "/graphql")
        .header("x-forwarded-for", "203.0.113.9")
        .json(&json!({ "query": "mutation { login(input: { email: \"d@example.org\" }) { expiresIn } }" }))
        .send()
        .await
        .unwrap();
    let reply: Value = reply.json().await.unwrap();
    assert_eq!(
        without_request_ids(&reply)["errors"][0]["extensions"],
        json!({ "code": "RATE_LIMITED", "retryAfter": 200 })
    );
    assert_eq!(app.mailbox.count(), 3);

    let first = code_for(&app, "a@example.org");
    let auth = client.verify("a@example.org", &first).await.data();
    let wrong = other_than(&code_for(&app, "b@example.org"));
    assert_eq!(
        client.verify("b@example.org", &wrong).await.code(),
        "OTP_INVALID"
    );
    let right = code_for(&app, "b@example.org");
    let reply = client.verify("b@example.org", &right).await;
    assert_eq!((reply.code(), retry_after(&reply)), ("RATE_LIMITED", 300));

    let refresh = string(&auth["verifyOtp"]["refreshToken"]);
    let next = client.refresh(&refresh).await.data();
    let next = string(&next["refreshSession"]["refreshToken"]);
    assert_eq!(client.refresh("garbage").await.code(), "UNAUTHENTICATED");
    let reply = client.refresh(&next).await;
    assert_eq!((reply.code(), retry_after(&reply)), ("RATE_LIMITED", 300));
    // What was refused was not used up.
    app.clock.advance(5 * MINUTE);
    client.refresh(&next).await.data();
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_one_address_from_many_places_is_limited_too() {
    let app = TestApp::builder()
        .config(|config| {
            config.limits.verify_address = Quota {
                burst: 3,
                period: 30 * MINUTE,
            };
        })
        .start()
        .await;
    let client = app.client();
    let email = "ada@example.org";
    client.login(email).await.data();
    let code = code_for(&app, email);
    for _ in 0..3 {
        let reply = client.verify(email, &other_than(&code)).await;
        assert_eq!(reply.code(), "OTP_INVALID");
    }
    let reply = client.verify(email, &code).await;
    assert_eq!((reply.code(), retry_after(&reply)), ("RATE_LIMITED", 600));
    client.login("bob@example.org").await.data();
    let bobs = code_for(&app, "bob@example.org");
    client.verify("bob@example.org", &bobs).await.data();
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_mail_cannot_be_sent_another_code_may_be_asked_for_at_once() {
    let app = TestApp::start().await;
    let client = app.client();
    app.mailbox.set_broken(true);
    for _ in 0..2 {
        let reply = client.login("ada@example.org").await;
        assert_eq!(reply.code(), "UNAVAILABLE", "{}", reply.body);
        let message = string(&reply.error()["message"]);
        assert_eq!(message, "The code could not be sent. Try again shortly.");
    }
    app.mailbox.set_broken(false);
    client.login("ada@example.org").await.data();
    let code = code_for(&app, "ada@example.org");
    client.verify("ada@example.org", &code).await.data();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_right_tries_at_once_one_signs_in() {
    let app = TestApp::start().await;
    let client = app.client();
    let email = "ada@example.org";
    client.login(email).await.data();
    let code = code_for(&app, email);
    let replies = join_all((0..10).map(|_| client.verify(email, &code))).await;
    let (signed_in, refused): (Vec<_>, Vec<_>) = replies
        .into_iter()
        .partition(|reply| reply.body.get("errors").is_none());
    assert_eq!((signed_in.len(), refused.len()), (1, 9));
    for reply in &refused {
        assert_eq!(reply.code(), "OTP_INVALID");
    }
    let ada = User::of(&client, &signed_in[0].body["data"]["verifyOtp"]);
    assert_eq!(
        ids_of_sessions(&ada).await,
        HashSet::from([ada.session_id.clone()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn first_sign_ins_at_once_make_one_account() {
    let app = TestApp::builder()
        .config(|config| config.auth.otp_resend = SECOND)
        .start()
        .await;
    let client = app.client();
    let bob = app.sign_in("bob").await;
    client.login("ada@example.org").await.data();
    let code = code_for(&app, "ada@example.org");
    join_all((0..4).map(|_| client.verify("ada@example.org", &code))).await;
    let users = bob
        .client
        .data("{ users { nodes { name } } }", json!({}))
        .await;
    assert_eq!(users["users"]["nodes"], json!([{ "name": "ada" }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refresh_gives_new_tokens_of_the_same_session() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let mut refresh = ada.refresh_token.clone();
    let mut seen = HashSet::from([refresh.clone()]);
    for _ in 0..3 {
        app.clock.advance(9 * MINUTE);
        let auth = app.client().refresh(&refresh).await.data()["refreshSession"].clone();
        assert_eq!(auth["isNewUser"], json!(false));
        assert_eq!(auth["user"]["email"], json!(ada.email));
        assert_eq!(auth["session"]["id"], json!(ada.session_id));
        refresh = string(&auth["refreshToken"]);
        assert!(seen.insert(refresh.clone()), "a refresh token came twice");
        let fresh = ada.client.with_token(&string(&auth["accessToken"]));
        let data = fresh.data(SESSIONS, json!({})).await;
        assert_eq!(
            data["sessions"]["nodes"][0]["lastUsedAt"],
            json!(talksy_domain::clock::Clock::now(&*app.clock).to_string())
        );
    }
    // 27 minutes later: the first access token is long over.
    assert_eq!(
        ada.client.run(SESSIONS, json!({})).await.code(),
        "TOKEN_EXPIRED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_used_again_ends_the_session_everywhere() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let other = another_device(&app, &ada).await;
    let auth = app.client().refresh(&ada.refresh_token).await.data();
    let auth = &auth["refreshSession"];
    let fresh = User::of(&app.client(), auth);
    let mut socket = fresh.client.socket().await;

    let reply = app.client().refresh(&ada.refresh_token).await;
    assert_eq!(
        reply.code_and_field(),
        ("TOKEN_REUSED", "input.refreshToken")
    );
    assert_eq!(socket.closed().await, 4403);
    for token in [&ada, &fresh] {
        let reply = token.client.run(SESSIONS, json!({})).await;
        assert_eq!(reply.code(), "UNAUTHENTICATED");
        let reply = app.client().refresh(&token.refresh_token).await;
        assert_eq!(
            reply.code_and_field(),
            ("UNAUTHENTICATED", "input.refreshToken")
        );
    }
    assert_eq!(
        ids_of_sessions(&other).await,
        HashSet::from([other.session_id.clone()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_was_never_one_or_whose_session_has_expired_is_refused() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let flipped = {
        let mut bytes = BASE64_URL_SAFE_NO_PAD
            .decode(&ada.refresh_token)
            .unwrap_or_default();
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    };
    let token = ada.client.token().unwrap_or_default().to_owned();
    for garbage in ["", "garbage", &"A".repeat(64), &flipped, &token] {
        let reply = app.client().refresh(garbage).await;
        assert_eq!(
            reply.code_and_field(),
            ("UNAUTHENTICATED", "input.refreshToken"),
            "{garbage}"
        );
    }
    // None of it harmed the session.
    let auth = app.client().refresh(&ada.refresh_token).await.data();
    let refresh = string(&auth["refreshSession"]["refreshToken"]);
    app.clock.advance(30 * DAY);
    let reply = app.client().refresh(&refresh).await;
    assert_eq!(
        reply.code_and_field(),
        ("TOKEN_EXPIRED", "input.refreshToken")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_access_token_is_told_apart_and_does_not_hinder_the_refresh() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    app.clock.advance(599 * SECOND);
    ada.client.data(SESSIONS, json!({})).await;
    app.clock.advance(SECOND);
    for query in [SESSIONS, ME, "mutation { logout { sessionId } }"] {
        let reply = ada.client.run(query, json!({})).await;
        assert_eq!(reply.code(), "TOKEN_EXPIRED", "{query}");
    }
    let mut socket = Socket::connect(app.address, "graphql-transport-ws").await;
    socket.send_init(ada.client.token()).await;
    assert_eq!(socket.closed().await, 4403);

    // Clients attach what they have to every request.
    let auth = ada.client.refresh(&ada.refresh_token).await.data();
    let fresh = User::of(&ada.client, &auth["refreshSession"]);
    assert_eq!(
        fresh.client.data(ME, json!({})).await["me"]["id"],
        json!(ada.id)
    );
    let stale = ada.client.with_token("garbage");
    stale.login("bob@example.org").await.data();
    let code = code_for(&app, "bob@example.org");
    stale.verify("bob@example.org", &code).await.data();
}

/// The key that a server signs with, its public half, and its id.
fn signing_key(app: &TestApp) -> (EncodingKey, Vec<u8>, String) {
    let file = std::fs::read_to_string(app.data_dir().join("keys.json")).unwrap_or_default();
    let file: Value = serde_json::from_str(&file).unwrap_or_default();
    let key = &file["keys"][0];
    let der = BASE64_STANDARD
        .decode(string(&key["pkcs8"]))
        .unwrap_or_default();
    let jwks: Value = serde_json::from_str(&talksy_domain::auth::AccessTokens::jwks(
        &*app.adapters.keys,
    ))
    .unwrap_or_default();
    let public = BASE64_URL_SAFE_NO_PAD
        .decode(string(&jwks["keys"][0]["x"]))
        .unwrap_or_default();
    (EncodingKey::from_ed_der(&der), public, string(&key["kid"]))
}

fn part(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}

fn claims_of(token: &str) -> Value {
    let middle = token.split('.').nth(1).unwrap_or_default();
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(middle).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn signed(kid: Option<&str>, claims: &Value, key: &EncodingKey) -> String {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = kid.map(str::to_owned);
    match jsonwebtoken::encode(&header, claims, key) {
        Ok(token) => token,
        Err(error) => panic!("not signed: {error}"),
    }
}

/// HS256 (RFC 7518, section 3.2) with a secret that is none.
fn signed_by_hmac(kid: &str, claims: &Value, secret: &[u8]) -> String {
    let header = json!({ "alg": "HS256", "typ": "JWT", "kid": kid });
    let signed = format!("{}.{}", part(&header), part(claims));
    let mut mac = match Hmac::<Sha256>::new_from_slice(secret) {
        Ok(mac) => mac,
        Err(error) => panic!("no MAC: {error}"),
    };
    mac.update(signed.as_bytes());
    let signature = BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    format!("{signed}.{signature}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_this_server_did_not_sign_as_it_does_is_refused() {
    let (app, foreign) = (TestApp::start().await, TestApp::start().await);
    let ada = app.sign_in("ada").await;
    let token = ada.client.token().unwrap_or_default().to_owned();
    let (key, public, kid) = signing_key(&app);
    let (foreign_key, _, foreign_kid) = signing_key(&foreign);
    let claims = claims_of(&token);
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    };
    let ours = |claims: &Value| signed(Some(&kid), claims, &key);
    let none = |signature: &str| {
        let header = json!({ "alg": "none", "typ": "JWT", "kid": kid });
        format!("{}.{}.{signature}", part(&header), part(&claims))
    };
    let (head, signature) = token.rsplit_once('.').unwrap_or_default();
    let other_user = with("sub", json!("usr_01h455vb4pex5vsknk084sn02q"));
    let swapped = format!(
        "{}.{}.{signature}",
        head.split('.').next().unwrap_or_default(),
        part(&other_user)
    );

    // The forger's tools work: what they make as the server does is accepted.
    let same = ada.client.with_token(&ours(&claims));
    assert_eq!(same.data(ME, json!({})).await["me"]["id"], json!(ada.id));

    let forged = [
        (
            "another server's key",
            signed(Some(&kid), &claims, &foreign_key),
        ),
        (
            "another server's token",
            signed(Some(&foreign_kid), &claims, &foreign_key),
        ),
        ("another kid", signed(Some("other"), &claims, &key)),
        ("no kid", signed(None, &claims, &key)),
        (
            "HS256 with the public key",
            signed_by_hmac(&kid, &claims, &public),
        ),
        ("alg none", none("")),
        ("alg none with a signature", none(signature)),
        ("another issuer", ours(&with("iss", json!("eve")))),
        ("another audience", ours(&with("aud", json!("eve")))),
        ("no expiry", ours(&with("exp", Value::Null))),
        ("a user id that is none", ours(&with("sub", json!("ada")))),
        (
            "a chat in the user's place",
            ours(&with("sub", json!("cht_01h455vb4pex5vsknk084sn02q"))),
        ),
        (
            "a session that never was",
            ours(&with("sid", json!("ses_01h455vb4pex5vsknk084sn02q"))),
        ),
        ("another user's claims", swapped),
        ("no signature", format!("{head}.")),
        ("half a token", head.to_owned()),
        ("garbage", "garbage".to_owned()),
        ("a long one", "a".repeat(5_000)),
    ];
    for (what, token) in &forged {
        let client = ada.client.with_token(token);
        for query in [SESSIONS, ME] {
            let reply = client.run(query, json!({})).await;
            assert_eq!(reply.code(), "UNAUTHENTICATED", "{what}: {}", reply.body);
        }
        let mut socket = Socket::connect(app.address, "graphql-transport-ws").await;
        socket.send_init(Some(token)).await;
        assert_eq!(socket.closed().await, 4403, "{what}");
    }
    let expired = ours(&with("exp", json!(1_767_225_600)));
    let reply = ada.client.with_token(&expired).run(ME, json!({})).await;
    assert_eq!(reply.code(), "TOKEN_EXPIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_ends_this_session_alone() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let other = another_device(&app, &ada).await;
    let (mut here, mut there) = (ada.client.socket().await, other.client.socket().await);

    let left = ada
        .client
        .data("mutation { logout { sessionId } }", json!({}))
        .await;
    assert_eq!(left["logout"]["sessionId"], json!(ada.session_id));
    assert_eq!(
        here.next().await,
        Received::Closed(4403, "The session was revoked".to_owned())
    );
    assert_eq!(
        ada.client.run(ME, json!({})).await.code(),
        "UNAUTHENTICATED"
    );
    let reply = app.client().refresh(&ada.refresh_token).await;
    assert_eq!(
        reply.code_and_field(),
        ("UNAUTHENTICATED", "input.refreshToken")
    );

    there.send(json!({ "type": "ping" })).await;
    assert_eq!(there.message().await, json!({ "type": "pong" }));
    assert_eq!(
        ids_of_sessions(&other).await,
        HashSet::from([other.session_id.clone()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_ends_their_own_other_sessions_and_nobody_else_s() {
    let app = TestApp::start().await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    let phone = another_device(&app, &ada).await;
    let mut phones_socket = phone.client.socket().await;
    let revoke = async |by: &User, id: &str| {
        let input = json!({ "input": { "sessionId": id } });
        by.client.run(REVOKE, input).await
    };

    let reply = revoke(&bob, &phone.session_id).await;
    assert_eq!(reply.code_and_field(), ("NOT_FOUND", "input.sessionId"));
    for id in ["", "nonsense", ada.id.as_str()] {
        let reply = revoke(&ada, id).await;
        assert_eq!(
            reply.code_and_field(),
            ("BAD_USER_INPUT", "input.sessionId")
        );
    }
    phone.client.data(ME, json!({})).await;

    let reply = revoke(&ada, &phone.session_id).await;
    assert_eq!(
        reply.data()["revokeSession"]["sessionId"],
        json!(phone.session_id)
    );
    assert_eq!(phones_socket.closed().await, 4403);
    assert_eq!(
        phone.client.run(ME, json!({})).await.code(),
        "UNAUTHENTICATED"
    );
    let reply = revoke(&ada, &phone.session_id).await;
    assert_eq!(reply.code_and_field(), ("NOT_FOUND", "input.sessionId"));
    assert_eq!(
        ids_of_sessions(&ada).await,
        HashSet::from([ada.session_id.clone()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_last_used_first_with_what_tells_them_apart() {
    async fn sign_in(app: &TestApp, client: &Client, agent: &str) -> User {
        client.login("ada@example.org").await.data();
        let code = code_for(app, "ada@example.org");
        let query = "mutation($input: VerifyOtpInput!) { verifyOtp(input: $input) {
            accessToken refreshToken session { id } user { id name email } } }";
        let variables = json!({ "input": { "email": "ada@example.org", "code": code } });
        let response = client
            .request(http::Method::POST, "/graphql")
            .header("user-agent", agent)
            .header("x-forwarded-for", "203.0.113.9")
            .json(&json!({ "query": query, "variables": variables }))
            .send()
            .await;
        let body: Value = match response {
            Ok(response) => response.json().await.unwrap_or_default(),
            Err(error) => panic!("{error}"),
        };
        User::of(client, &body["data"]["verifyOtp"])
    }
    let app = TestApp::start().await;
    let client = app.client();
    let laptop = sign_in(&app, &client, "Firefox").await;
    app.clock.advance(MINUTE);
    let phone = sign_in(&app, &client, &"x".repeat(300)).await;

    let data = phone.client.data(SESSIONS, json!({})).await;
    let first = "2026-01-01T00:00:00.000Z";
    let second = "2026-01-01T00:01:00.000Z";
    let session = |id: &str, current: bool, agent: &str, at: &str, expires: &str| {
        json!({ "id": id, "isCurrent": current, "userAgent": agent, "ipAddress": "127.0.0.1",
                "createdAt": at, "lastUsedAt": at, "expiresAt": expires })
    };
    let phones = session(
        &phone.session_id,
        true,
        &"x".repeat(256),
        second,
        "2026-01-31T00:01:00.000Z",
    );
    let laptops = session(
        &laptop.session_id,
        false,
        "Firefox",
        first,
        "2026-01-31T00:00:00.000Z",
    );
    assert_eq!(data["sessions"]["nodes"], json!([phones, laptops]));
    let page = "query($after: String) { sessions(first: 1, after: $after) {
        edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage endCursor } } }";
    let mut after = json!(null);
    for (id, more) in [(&phone.session_id, true), (&laptop.session_id, false)] {
        let data = phone.client.data(page, json!({ "after": after })).await;
        let edge = &data["sessions"]["edges"][0];
        assert_eq!(edge["node"]["id"], json!(id));
        let info = json!({ "hasNextPage": more, "hasPreviousPage": !after.is_null(),
            "endCursor": edge["cursor"] });
        assert_eq!(data["sessions"]["pageInfo"], info);
        after = edge["cursor"].clone();
    }

    app.clock.advance(MINUTE);
    let auth = app.client().refresh(&laptop.refresh_token).await.data();
    let data = phone.client.data(SESSIONS, json!({})).await;
    assert_eq!(data["sessions"]["nodes"][0]["id"], json!(laptop.session_id));
    assert_eq!(
        data["sessions"]["nodes"][0]["lastUsedAt"],
        json!("2026-01-01T00:02:00.000Z")
    );
    // The phone's is refreshed no more, and ends a minute before the laptop's: it drops out of
    // the list.
    app.clock.advance(29 * DAY);
    app.clock.advance((24 * 60 - 1) * MINUTE);
    let refresh = string(&auth["refreshSession"]["refreshToken"]);
    let auth = app.client().refresh(&refresh).await.data();
    let laptop = User::of(&client, &auth["refreshSession"]);
    assert_eq!(
        ids_of_sessions(&laptop).await,
        HashSet::from([laptop.session_id.clone()])
    );
}

async fn change(user: &User, input: Value) -> Reply {
    user.client.run(PROFILE, json!({ "input": input })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_changes_in_the_parts_that_are_given() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let steps = [
        (
            json!({ "name": "  Ada Lovelace ", "about": " Counts.\nAnd more. " }),
            json!({ "name": "Ada Lovelace", "about": "Counts.\nAnd more." }),
        ),
        (
            json!({ "name": "Ada 👩‍💻" }),
            json!({ "name": "Ada 👩‍💻", "about": "Counts.\nAnd more." }),
        ),
        (
            json!({ "about": null }),
            json!({ "name": "Ada 👩‍💻", "about": null }),
        ),
        (
            json!({ "about": "x".repeat(500), "name": "ö".repeat(64) }),
            json!({ "about": "x".repeat(500), "name": "ö".repeat(64) }),
        ),
        (
            json!({ "about": " \n" }),
            json!({ "about": null, "name": "ö".repeat(64) }),
        ),
        (json!({}), json!({ "about": null, "name": "ö".repeat(64) })),
    ];
    for (input, expected) in steps {
        let reply = change(&ada, input.clone()).await;
        assert_eq!(reply.data()["updateProfile"]["user"], expected, "{input}");
    }
    let me = ada.client.data(ME, json!({})).await;
    assert_eq!(me["me"]["name"], json!("ö".repeat(64)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_or_text_that_breaks_a_rule_changes_nothing() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    change(&ada, json!({ "name": "Ada", "about": "Counts." }))
        .await
        .data();
    let before = ada.client.data(ME, json!({})).await;
    let long = "x".repeat(65);
    let huge = "😀".repeat(10_000);
    let names = [
        "",
        "   ",
        "\u{200B}",
        "\u{FEFF}\u{2060}",
        "a\nb",
        "a\tb",
        "a\u{0}b",
        "a\u{7F}b",
        "a\u{85}b",
        "a\u{202E}b",
        "a\u{2066}b",
        &long,
        &huge,
    ];
    for name in names {
        let reply = change(&ada, json!({ "name": name, "about": "new" })).await;
        assert_eq!(
            reply.code_and_field(),
            ("BAD_USER_INPUT", "input.name"),
            "{name:?}"
        );
    }
    for about in ["x".repeat(501), "a\u{0}b".to_owned(), "a\u{7}b".to_owned()] {
        let reply = change(&ada, json!({ "name": "Eve", "about": about })).await;
        assert_eq!(reply.code_and_field(), ("BAD_USER_INPUT", "input.about"));
    }
    assert_eq!(ada.client.data(ME, json!({})).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_shown_to_its_owner_alone() {
    const NODE: &str = "query($id: ID!) { node(id: $id) { ... on User { name email } } }";
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let own = ada.client.data(NODE, json!({ "id": ada.id })).await;
    assert_eq!(
        own["node"],
        json!({ "name": "ada", "email": "ada@example.org" })
    );
    let others = ada.client.data(NODE, json!({ "id": bob.id })).await;
    assert_eq!(others["node"], json!({ "name": "bob", "email": null }));

    bob.send(&chat, "hi").await;
    let seen = ada
        .client
        .data(
            "query($id: ID!) { users { nodes { email } } node(id: $id) { ... on Chat {
                peer { email } members { nodes { user { email } } }
                lastMessage { sender { email } } } } }",
            json!({ "id": chat }),
        )
        .await;
    assert_eq!(seen["users"]["nodes"], json!([{ "email": null }]));
    assert_eq!(seen["node"]["peer"], json!({ "email": null }));
    assert_eq!(
        seen["node"]["lastMessage"]["sender"],
        json!({ "email": null })
    );
    let members = seen["node"]["members"]["nodes"].to_string();
    assert!(members.contains("ada@example.org") && !members.contains("bob@"));

    let created = json!({ "input": { "email": "eve@example.org" } });
    let login = "mutation($input: LoginInput!) { login(input: $input) { expiresIn } }";
    ada.client.data(login, created).await;
    // Signing somebody else in while signed in: the payload's user is theirs.
    let code = code_for(&app, "eve@example.org");
    let auth = ada.client.verify("eve@example.org", &code).await.data();
    assert_eq!(auth["verifyOtp"]["user"]["email"], json!("eve@example.org"));
}

/// An address of which nothing is seen would make a name of which nothing is seen.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_seen_signs_nobody_in() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    for unseen in [
        "\u{3164}",
        "\u{115F}",
        "\u{1160}",
        "\u{FFA0}",
        "ada\u{3164}",
    ] {
        let reply = app.client().login(&format!("{unseen}@example.org")).await;
        assert_eq!(
            reply.code_and_field(),
            ("BAD_USER_INPUT", "input.email"),
            "{unseen:?}"
        );
    }
    let users = "{ users(first: 10) { nodes { name } } }";
    let data = ada.client.data(users, json!({})).await;
    assert_eq!(data["users"]["nodes"], json!([]));
}
