//! Signing in with a challenge and the code that was mailed for it.

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::json;
use talksy_tests::app::TestApp;
use talksy_tests::client::User;

use super::{ME, MINUTE, SECOND, SESSIONS, code_for, ids_of_sessions, other_than, told};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_sign_in_makes_the_account_and_the_second_finds_it() {
    let app = TestApp::start().await;
    let client = app.client();
    let sent = client.login("  Ada.Lovelace@Example.ORG ").await;
    assert_eq!(
        told(&sent)["data"]["login"],
        json!({ "codeLength": 6, "expiresIn": 300, "resendAfter": 60 })
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
async fn a_code_works_once() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let code = code_for(&app, &ada.email);
    let reply = app.client().verify(&ada.email, &code).await;
    assert_eq!(reply.code_and_field(), ("OTP_EXPIRED", "input.code"));
    assert_eq!(ids_of_sessions(&ada).await.len(), 1);
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
}

#[tokio::test(flavor = "multi_thread")]
async fn each_code_is_good_with_its_own_challenge_alone() {
    let app = TestApp::start().await;
    let client = app.client();
    let mut letters = Vec::new();
    for (email, wait) in [("ada@x.org", 0), ("ada@x.org", 60), ("bob@x.org", 0)] {
        app.clock.advance(SECOND * wait);
        client.login(email).await.data();
        letters.push((client.challenge(email), code_for(&app, email)));
    }
    // One time in a million two codes are the same.
    for (at, (challenge, _)) in letters.iter().enumerate() {
        let (_, code) = &letters[(at + 1) % 3];
        if *code != letters[at].1 {
            let reply = client.present(challenge, code).await;
            assert_eq!(reply.code_and_field(), ("OTP_INVALID", "input.code"));
        }
    }
    // The newer one voids the older one in no order, before or after it is used.
    for at in [1, 0, 2] {
        let (challenge, code) = &letters[at];
        let name = if at == 2 { "bob" } else { "ada" };
        let auth = client.present(challenge, code).await.data();
        assert_eq!(auth["verifyOtp"]["user"]["name"], json!(name));
    }
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
async fn a_challenge_that_this_server_has_not_given_is_refused() {
    let (app, foreign) = (TestApp::start().await, TestApp::start().await);
    let (client, email) = (app.client(), "ada@example.org");
    client.login(email).await.data();
    foreign.client().login(email).await.data();
    let (challenge, code) = (client.challenge(email), code_for(&app, email));
    let ada = app.sign_in("eve").await;
    let altered = |at: usize| {
        let mut bytes = challenge.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap_or_default()
    };
    // What looks like one may be of a secret that was replaced: whoever holds it asks for another.
    for wrong in [foreign.client().challenge(email), altered(0), altered(20)] {
        let reply = client.present(&wrong, &code).await;
        let refused = reply.code_and_field();
        assert_eq!(refused, ("OTP_EXPIRED", "input.code"), "{wrong}");
    }
    for wrong in [
        altered(challenge.len() - 1),
        challenge[..challenge.len() - 1].to_owned(),
        format!("{challenge}A"),
        challenge.repeat(2),
    ] {
        let reply = client.present(&wrong, &code).await;
        let refused = reply.code_and_field().0;
        assert!(
            ["OTP_EXPIRED", "BAD_USER_INPUT"].contains(&refused),
            "{wrong}"
        );
    }
    for wrong in [
        String::new(),
        email.to_owned(),
        "\u{0}".to_owned(),
        challenge[..40].to_owned(),
        format!("{challenge}="),
        "A".repeat(30_000),
        ada.device_token.clone(),
        ada.refresh_token.clone(),
    ] {
        let reply = client.present(&wrong, &code).await;
        assert_eq!(
            reply.code_and_field(),
            ("BAD_USER_INPUT", "input.challenge"),
            "{wrong:.60}"
        );
    }
    let auth = client.present(&format!(" {challenge}\n"), &code).await;
    assert_eq!(auth.data()["verifyOtp"]["user"]["email"], json!(email));
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
        let reply = client.login(email).await;
        assert_eq!(
            reply.code_and_field(),
            ("BAD_USER_INPUT", "input.email"),
            "{email:?}"
        );
    }
    assert_eq!(app.mailbox.count(), 0);
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
    for _ in 0..4 {
        let answers = (
            client.verify(wrong[0].0, &wrong[0].1).await,
            client.verify(wrong[1].0, &wrong[1].1).await,
        );
        assert_eq!(told(&answers.0), told(&answers.1));
    }
    let answers = (
        client.verify(wrong[0].0, &wrong[0].1).await,
        client.verify(wrong[1].0, &wrong[1].1).await,
    );
    assert_eq!(answers.0.code(), "OTP_EXPIRED");
    assert_eq!(told(&answers.0), told(&answers.1));
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
        assert_eq!(reply.code(), "OTP_EXPIRED");
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
