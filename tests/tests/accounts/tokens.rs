//! Which access tokens are believed.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sha2::Sha256;
use talksy_tests::app::TestApp;
use talksy_tests::client::string;
use talksy_tests::websocket::Socket;

use super::{ME, SESSIONS};

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
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
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
        (
            "another user in the own session",
            ours(&with("sub", json!(bob.id))),
        ),
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
