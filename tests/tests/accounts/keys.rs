//! What becomes of clients when keys are thrown away because somebody else has them.

use http::Method;
use serde_json::json;
use talksy_domain::clock::SystemEntropy;
use talksy_server::keys::{KEY_FILE, replace};
use talksy_tests::app::TestApp;
use talksy_tests::client::{MESSAGE_ADDED, User};
use talksy_tests::eventually;
use talksy_tests::websocket::Received;
use talksy_tests::wire::{Answer, Events};

use super::{ME, MINUTE, code_for};

const SEND: &str = "mutation($input: SendMessageInput!) {
    sendMessage(input: $input) { message { id } } }";

/// Throws the server's keys away and waits until it has noticed.
async fn leaked(app: &TestApp, signed: &User) {
    let file = app.data_dir().join(KEY_FILE);
    let ttl = 10 * MINUTE;
    if let Err(error) = replace(&file, ttl, &*app.clock, &SystemEntropy) {
        panic!("{error}");
    }
    eventually("the keys to be gone", async || {
        let reply = signed.client.run(ME, json!({})).await;
        reply.body.get("errors").map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn access_tokens_sockets_and_streams_end_with_keys_that_leaked_and_sessions_stay() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let mut socket = ada.client.socket().await;
    let mut follows = bob.follow(&chat, None).await;
    let stream = bob
        .client
        .request(Method::POST, "/graphql")
        .header("accept", "text/event-stream")
        .json(&json!({ "query": MESSAGE_ADDED, "variables": { "chatId": chat } }));
    let mut stream = Events::of(stream).await;
    leaked(&app, &ada).await;

    let expired = |received: Received| match received {
        Received::Closed(code, reason) => {
            assert_eq!(code, 4403);
            assert!(reason.contains("expired"), "{reason}");
        }
        other => panic!("not closed: {other:?}"),
    };
    expired(socket.next().await);
    expired(follows.socket().next().await);
    let payload = stream.payload().await;
    let code = &payload["errors"][0]["extensions"]["code"];
    assert_eq!(code, "TOKEN_EXPIRED");
    stream.completed().await;

    // A client does what it does when a token has expired, and is there again.
    for user in [&ada, &bob] {
        let reply = user.client.run(ME, json!({})).await;
        assert_eq!(reply.code(), "TOKEN_EXPIRED");
        let auth = app.client().refresh(&user.refresh_token).await.data();
        let fresh = User::of(&app.client(), &auth["refreshSession"]);
        assert_eq!(fresh.session_id, user.session_id);
        fresh.client.data(ME, json!({})).await;
        fresh.client.socket().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_opens_by_a_proof_from_before_the_keys_leaked_ends_at_once() {
    let app = TestApp::start().await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    let reserved = Answer::to(bob.client.request(Method::PUT, "/graphql")).await;
    assert_eq!(reserved.status, 201);
    leaked(&app, &ada).await;
    // A browser's `EventSource` sends no credentials: it was proved who that is when it was reserved.
    let path = format!("/graphql?token={}", reserved.text());
    let client = app.client();
    let opening = client.request(Method::GET, &path);
    let mut stream = Events::of(opening.header("accept", "text/event-stream")).await;
    assert_eq!(stream.event().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_given_again_though_the_secret_was_replaced_meanwhile() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let refreshed = async |token: &str| {
        let auth = app.client().refresh(token).await.data();
        User::of(&app.client(), &auth["refreshSession"])
    };
    let lost = refreshed(&ada.refresh_token).await;
    leaked(&app, &ada).await;
    let again = refreshed(&ada.refresh_token).await;
    // Both name the same token, under seals of the secret before and of the present one.
    let next = refreshed(&again.refresh_token).await;
    let also_next = refreshed(&lost.refresh_token).await;
    assert_eq!(next.refresh_token, also_next.refresh_token);
    next.client.data(ME, json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_and_device_tokens_go_with_the_secret_and_what_stores_keep_stays() {
    let app = TestApp::start().await;
    let (ada, _, chat) = app.pair().await;
    let message = json!({ "chatId": chat, "clientMessageId": "once", "text": "hello" });
    let sent = ada.client.data(SEND, json!({ "input": message })).await;
    app.clock.advance(MINUTE);
    let client = app.client();
    client.login(&ada.email).await.data();
    let code = code_for(&app, &ada.email);
    leaked(&app, &ada).await;

    let reply = client.verify(&ada.email, &code).await;
    // What a client does then is to ask for another code.
    assert_eq!(reply.code_and_field(), ("OTP_EXPIRED", "input.code"));
    // The device counts as a new one. Limits are counted under the new secret, so they begin anew.
    let device = Some(ada.device_token.as_str());
    let reply = client.login_on(&ada.email, device).await;
    assert!(reply.body.get("errors").is_none(), "{}", reply.body);
    let code = code_for(&app, &ada.email);
    let auth = client.verify(&ada.email, &code).await.data();
    let again = User::of(&client, &auth["verifyOtp"]);
    assert_eq!(again.id, ada.id);
    // A message that was sent before is known by its own id and text.
    let same = again.client.data(SEND, json!({ "input": message })).await;
    assert_eq!(same, sent);
    let other = json!({ "chatId": chat, "clientMessageId": "once", "text": "other" });
    let reply = again.client.run(SEND, json!({ "input": other })).await;
    assert_eq!(reply.code(), "CONFLICT");
}
