//! Accounts that may not be used.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use talksy_domain::clock::Clock as _;
use talksy_tests::app::TestApp;
use talksy_tests::client::MESSAGE_ADDED;
use talksy_tests::eventually;
use talksy_tests::websocket::Received;
use talksy_tests::wire::Events;

use super::{RESTORE, SUSPEND, ask, done, names, operated};

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_ends_sessions_sockets_and_streams_and_lets_none_begin() {
    let (app, olga) = operated().await;
    let (ada, bob, chat) = app.pair().await;
    let mut idle = ada.client.socket().await;
    let mut following = ada.follow(&chat, None).await;
    let mut of_bob = bob.follow(&chat, None).await;
    let stream = ada
        .client
        .request(Method::POST, "/graphql")
        .header("accept", "text/event-stream")
        .json(&json!({ "query": MESSAGE_ADDED, "variables": { "chatId": chat } }));
    let mut stream = Events::of(stream).await;

    let input = json!({ "userId": ada.id, "reason": "Spam" });
    let suspended = done(&olga, SUSPEND, input.clone()).await["moderatedUser"].clone();
    let expected = json!({ "id": format!("moderated:{}", ada.id), "isSuspended": true,
        "suspendedUntil": null, "reason": "Spam", "user": { "id": ada.id } });
    assert_eq!(suspended, expected);
    let revoked = Received::Closed(4403, "The session was revoked".into());
    assert_eq!(idle.next().await, revoked);
    assert_eq!(following.socket().next().await, revoked);
    let payload = stream.payload().await;
    assert_eq!(
        payload["errors"][0]["extensions"]["code"],
        "UNAUTHENTICATED"
    );
    stream.completed().await;
    eventually("a refused token", async || {
        let reply = ada.client.run("{ me { id } }", json!({})).await;
        let is_refused = reply.body.get("errors").is_some();
        (is_refused && reply.code() == "UNAUTHENTICATED").then_some(())
    })
    .await;
    let reply = app.client().refresh(&ada.refresh_token).await;
    assert_eq!(
        reply.code_and_field(),
        ("UNAUTHENTICATED", "input.refreshToken")
    );
    bob.send(&chat, "still there?").await;
    assert_eq!(of_bob.seqs(1).await, [1]);
    assert_eq!(
        done(&olga, SUSPEND, input).await["moderatedUser"],
        expected,
        "again"
    );

    // Who has no code learns nothing; who has it is told.
    app.clock.advance(Duration::from_mins(2));
    let client = app.client();
    let login = client.login(&ada.email).await.data();
    let other = client.login("nobody@example.org").await.data();
    let keys = |answer: &Value| {
        let answer = answer["login"].as_object().unwrap();
        answer.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(keys(&login), keys(&other));
    let code = app.mailbox.code(&ada.email).unwrap();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    assert_eq!(client.verify(&ada.email, wrong).await.code(), "OTP_INVALID");
    let reply = client.verify(&ada.email, &code).await;
    assert_eq!(reply.code_and_field(), ("SUSPENDED", ""));
    assert_eq!(reply.error()["message"], "This account is suspended.");

    let restored = done(&olga, RESTORE, json!({ "userId": ada.id })).await;
    let expected = json!({ "id": format!("moderated:{}", ada.id), "isSuspended": false,
        "suspendedUntil": null, "reason": null });
    assert_eq!(restored["moderatedUser"], expected);
    let again = done(&olga, RESTORE, json!({ "userId": ada.id })).await;
    assert_eq!(again["moderatedUser"], expected);
    app.clock.advance(Duration::from_mins(2));
    let back = app.sign_in("ada").await;
    assert_eq!(back.id, ada.id);
    // What was ended stays so.
    let reply = ada.client.run("{ me { id } }", json!({})).await;
    assert_eq!(reply.code(), "UNAUTHENTICATED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_with_an_end_ends_by_itself() {
    let (app, olga) = operated().await;
    let ada = app.sign_in("ada").await;
    let until = app.clock.now() + Duration::from_mins(8);
    let input = |until: String| json!({ "userId": ada.id, "reason": "Spam", "until": until });
    let past = ask(&olga, SUSPEND, input(app.clock.now().to_string())).await;
    assert_eq!(past.code_and_field(), ("BAD_USER_INPUT", "input.until"));
    ada.client.data("{ me { id } }", json!({})).await;
    let suspended = done(&olga, SUSPEND, input(until.to_string())).await;
    assert_eq!(
        suspended["moderatedUser"]["suspendedUntil"],
        json!(until.to_string())
    );
    app.clock.advance(Duration::from_mins(2));
    app.client().login(&ada.email).await.data();
    let code = app.mailbox.code(&ada.email).unwrap();
    let reply = app.client().verify(&ada.email, &code).await;
    assert_eq!(reply.code(), "SUSPENDED");
    let sentence = format!("This account is suspended until {until}.");
    assert_eq!(reply.error()["message"], sentence);
    assert_eq!(
        names(&olga, json!({ "suspended": true }), 10).await,
        ["ada"]
    );

    app.clock.advance(Duration::from_mins(6));
    assert_eq!(
        names(&olga, json!({ "suspended": true }), 10).await,
        [""; 0]
    );
    let back = app.sign_in("ada").await;
    assert_eq!(back.id, ada.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_and_strangers_are_not_suspended() {
    let app = TestApp::builder()
        .config(|config| {
            let operators = ["olga@example.org", "otto@example.org"];
            config.users.operators = operators.map(str::to_owned).into();
        })
        .start()
        .await;
    let (olga, otto) = (app.sign_in("olga").await, app.sign_in("otto").await);
    for (user, code) in [
        (&*otto.id, "FORBIDDEN"),
        (&*olga.id, "FORBIDDEN"),
        ("usr_01h455vb4pex5vsknk084sn02q", "NOT_FOUND"),
        ("nobody", "BAD_USER_INPUT"),
    ] {
        let reply = ask(&olga, SUSPEND, json!({ "userId": user, "reason": "Spam" })).await;
        assert_eq!(reply.code_and_field(), (code, "input.userId"), "{user}");
    }
    let restore = ask(
        &olga,
        RESTORE,
        json!({ "userId": "usr_01h455vb4pex5vsknk084sn02q" }),
    );
    assert_eq!(
        restore.await.code_and_field(),
        ("NOT_FOUND", "input.userId")
    );
    otto.client
        .data("{ moderation { __typename } }", json!({}))
        .await;
}
