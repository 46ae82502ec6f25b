//! Refreshing, sessions and signing out.

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use talksy_domain::clock::Clock as _;
use talksy_tests::app::TestApp;
use talksy_tests::client::{Client, User, string};
use talksy_tests::faulty_store::{Fault, FaultyStore};
use talksy_tests::websocket::{Received, Socket};

use super::{DAY, ME, MINUTE, SECOND, SESSIONS, another_device, code_for, ids_of_sessions};

const REVOKE: &str = "mutation($input: RevokeSessionInput!) {
    revokeSession(input: $input) { sessionId } }";

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
            json!(app.clock.now().to_string())
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

    // Behind the moment in which a lost answer is given again.
    app.clock.advance(MINUTE);
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
    // The session, the generation, and the secret.
    let flipped = [15, 19, 40].map(|at| {
        let mut bytes = BASE64_URL_SAFE_NO_PAD
            .decode(&ada.refresh_token)
            .unwrap_or_default();
        bytes[at] ^= 1;
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    });
    let token = ada.client.token().unwrap_or_default().to_owned();
    let [session, generation, secret] = &flipped;
    let (short, zeros) = ("A".repeat(64), "A".repeat(91));
    let others = ["", "garbage", &short, &zeros, &token];
    for garbage in others
        .into_iter()
        .chain([session.as_str(), generation, secret])
    {
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

/// The tokens of a refresh that succeeds.
async fn refreshed(app: &TestApp, token: &str) -> User {
    let auth = app.client().refresh(token).await.data();
    User::of(&app.client(), &auth["refreshSession"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_fetched_again_while_its_token_is_unused() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let mut socket = ada.client.socket().await;
    let lost = refreshed(&app, &ada.refresh_token).await;
    for wait in [Duration::ZERO, 30 * SECOND, 29 * SECOND] {
        app.clock.advance(wait);
        let again = refreshed(&app, &ada.refresh_token).await;
        assert_eq!(again.refresh_token, lost.refresh_token);
        assert_eq!(again.session_id, ada.session_id);
        again.client.data(ME, json!({})).await;
    }
    // In the same second its successor is used: from then on the first is a stolen copy.
    let next = refreshed(&app, &lost.refresh_token).await;
    assert_ne!(next.refresh_token, lost.refresh_token);
    next.client.data(ME, json!({})).await;
    let own = ids_of_sessions(&next).await;
    assert_eq!(own, HashSet::from([ada.session_id.clone()]));
    let reply = app.client().refresh(&ada.refresh_token).await;
    assert_eq!(
        reply.code_and_field(),
        ("TOKEN_REUSED", "input.refreshToken")
    );
    assert_eq!(socket.closed().await, 4403);
    let reply = app.client().refresh(&next.refresh_token).await;
    assert_eq!(reply.code(), "UNAUTHENTICATED");
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_that_refresh_at_the_same_instant_go_on_with_one_session() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let mut token = ada.refresh_token.clone();
    for _ in 0..5 {
        app.clock.advance(9 * MINUTE);
        let tabs = (0..8).map(|_| refreshed(&app, &token));
        let tabs = futures_util::future::join_all(tabs).await;
        for tab in &tabs {
            assert_eq!(tab.refresh_token, tabs[0].refresh_token);
            let own = ids_of_sessions(tab).await;
            assert_eq!(own, HashSet::from([ada.session_id.clone()]));
        }
        token.clone_from(&tabs[0].refresh_token);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_fails_behind_its_rotation_is_tried_again() {
    let store = FaultyStore::new();
    let app = TestApp::builder().ports(store.install()).start().await;
    let ada = app.sign_in("ada").await;
    // The token has been replaced when the account is read.
    store.set("users.users", Fault::Unavailable("taken away by the test"));
    for _ in 0..2 {
        let reply = app.client().refresh(&ada.refresh_token).await;
        assert_eq!(reply.code(), "UNAVAILABLE");
    }
    store.set("users.users", Fault::None);
    let fresh = refreshed(&app, &ada.refresh_token).await;
    assert_eq!(fresh.session_id, ada.session_id);
    fresh.client.data(ME, json!({})).await;
    refreshed(&app, &fresh.refresh_token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_moment_of_grace_each_second_use_ends_the_session() {
    let app = TestApp::builder()
        .config(|config| config.auth.refresh_retry = Duration::ZERO)
        .start()
        .await;
    let ada = app.sign_in("ada").await;
    refreshed(&app, &ada.refresh_token).await;
    let reply = app.client().refresh(&ada.refresh_token).await;
    assert_eq!(reply.code(), "TOKEN_REUSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_at_its_longest_life_however_often_it_is_refreshed() {
    let faults = FaultyStore::new();
    let app = TestApp::builder()
        .config(|config| {
            config.auth.session_ttl = DAY;
            config.auth.session_max_age = 2 * DAY;
        })
        .ports(faults.install())
        .start()
        .await;
    // The server's own purge comes when it comes.
    faults.set(
        "sessions.purge_expired",
        Fault::Unavailable("until the end"),
    );
    let ada = app.sign_in("ada").await;
    let mut refresh = ada.refresh_token.clone();
    let end = "2026-01-03T00:00:00.000Z";
    for hours in [20, 20] {
        app.clock.advance(Duration::from_hours(hours));
        let auth = app.client().refresh(&refresh).await.data();
        refresh = string(&auth["refreshSession"]["refreshToken"]);
    }
    // Not for another day, but to the end of the second one; and so its last access token.
    app.clock.advance(Duration::from_mins(8 * 60 - 1));
    let auth = app.client().refresh(&refresh).await.data()["refreshSession"].clone();
    assert_eq!(auth["session"]["expiresAt"], json!(end));
    assert_eq!(auth["expiresAt"], json!(end));
    let last = User::of(&app.client(), &auth);
    let mut socket = last.client.socket().await;
    app.clock.advance(MINUTE);
    let reply = app.client().refresh(&last.refresh_token).await;
    assert_eq!(
        reply.code_and_field(),
        ("UNAUTHENTICATED", "input.refreshToken")
    );
    let told = string(&reply.error()["message"]);
    assert!(told.contains("longest life"), "{told}");
    assert_eq!(last.client.run(ME, json!({})).await.code(), "TOKEN_EXPIRED");
    socket.subscribe("1", ME, json!({})).await;
    assert_eq!(socket.closed().await, 4403);
    // The purge takes it as it takes any that has expired.
    let sessions = &app.adapters.ports.sessions;
    let id = string(&auth["session"]["id"]).parse().unwrap();
    assert_eq!(sessions.existing_sessions(&[id]).await.unwrap(), [id]);
    faults.set("sessions.purge_expired", Fault::None);
    sessions.purge_expired(app.clock.now(), 10).await.unwrap();
    assert_eq!(sessions.existing_sessions(&[id]).await.unwrap(), []);
    let reply = app.client().refresh(&last.refresh_token).await;
    assert_eq!(reply.code(), "UNAUTHENTICATED");
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
        let email = "ada@example.org";
        client.login(email).await.data();
        let (challenge, code) = (client.challenge(email), code_for(app, email));
        let query = "mutation($input: VerifyOtpInput!) { verifyOtp(input: $input) {
            deviceToken accessToken refreshToken session { id } user { id name email } } }";
        let variables = json!({ "input": { "challenge": challenge, "code": code } });
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
