//! Which code deletes which account.

use std::time::Duration;

use serde_json::json;
use talksy_domain::mail::MailContent;
use talksy_tests::app::TestApp;

use super::{REQUEST, delete, present, request};

/// A code that is not this one.
fn other_than(code: &str) -> String {
    let last = if code.ends_with('1') { '2' } else { '1' };
    format!("{}{last}", &code[..code.len() - 1])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_of_one_purpose_is_refused_for_the_other() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    app.clock.advance(Duration::from_mins(1));
    ada.client.login(&ada.email).await.data();
    let sign_in_code = app.mailbox.code(&ada.email).unwrap();
    let sign_in = ada.client.challenge(&ada.email);
    let deletion = request(&ada).await;
    let deletion_code = app.mailbox.deletion_code(&ada.email).unwrap();

    for code in [&sign_in_code, &deletion_code] {
        let refused = present(&ada.client, &sign_in, code).await;
        assert_eq!(
            refused.code_and_field(),
            ("BAD_USER_INPUT", "input.challenge")
        );
    }
    for code in [&sign_in_code, &deletion_code] {
        let refused = ada.client.present(&deletion, code).await;
        assert_eq!(refused.code_and_field(), ("OTP_EXPIRED", "input.code"));
    }
    // The mixed pair is a wrong code, which the right one outlives.
    if sign_in_code != deletion_code {
        let refused = present(&ada.client, &deletion, &sign_in_code).await;
        assert_eq!(refused.code_and_field(), ("OTP_INVALID", "input.code"));
        let refused = ada.client.present(&sign_in, &deletion_code).await;
        assert_eq!(refused.code_and_field(), ("OTP_INVALID", "input.code"));
    }
    ada.client.present(&sign_in, &sign_in_code).await.data();
    present(&ada.client, &deletion, &deletion_code).await.data();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_deletes_the_account_alone_that_has_asked_for_it() {
    let app = TestApp::start().await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    let challenge = request(&ada).await;
    let code = app.mailbox.deletion_code(&ada.email).unwrap();
    let refused = present(&bob.client, &challenge, &code).await;
    assert_eq!(
        refused.code_and_field(),
        ("BAD_USER_INPUT", "input.challenge")
    );
    let refused = present(&app.client(), &challenge, &code).await;
    assert_eq!(refused.code(), "UNAUTHENTICATED");
    let refused = present(&ada.client, "nonsense", &code).await;
    assert_eq!(
        refused.code_and_field(),
        ("BAD_USER_INPUT", "input.challenge")
    );
    let refused = present(&ada.client, &challenge, "12345").await;
    assert_eq!(refused.code_and_field(), ("BAD_USER_INPUT", "input.code"));
    for who in [&ada, &bob] {
        let me = who.client.data("{ me { isDeleted } }", json!({})).await;
        assert_eq!(me["me"]["isDeleted"], false);
    }
    present(&ada.client, &challenge, &code).await.data();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_survives_five_tries_and_its_time_and_comes_once_a_minute() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let sent = ada.client.data(REQUEST, json!({})).await["requestAccountDeletion"].clone();
    assert_eq!(
        (&sent["expiresIn"], &sent["resendAfter"]),
        (&json!(300), &json!(60))
    );
    let letter = app.mailbox.newest(&ada.email);
    assert!(matches!(
        letter,
        Some(MailContent::AccountDeletionCode {
            expires_in: 300,
            ..
        })
    ));
    let again = ada.client.run(REQUEST, json!({})).await;
    assert_eq!(again.code(), "RATE_LIMITED");
    assert_eq!(again.error()["extensions"]["retryAfter"], 60);

    let challenge = sent["challenge"].as_str().unwrap();
    let code = app.mailbox.deletion_code(&ada.email).unwrap();
    for _ in 0..5 {
        let refused = present(&ada.client, challenge, &other_than(&code)).await;
        assert_eq!(refused.code_and_field(), ("OTP_INVALID", "input.code"));
    }
    let refused = present(&ada.client, challenge, &code).await;
    assert_eq!(refused.code_and_field(), ("OTP_EXPIRED", "input.code"));

    app.clock.advance(Duration::from_mins(1));
    let challenge = request(&ada).await;
    let code = app.mailbox.deletion_code(&ada.email).unwrap();
    app.clock.advance(Duration::from_mins(5));
    let ada = app.sign_in("ada").await;
    let refused = present(&ada.client, &challenge, &code).await;
    assert_eq!(refused.code_and_field(), ("OTP_EXPIRED", "input.code"));
    app.clock.advance(Duration::from_mins(1));
    delete(&app, &ada).await;
}

/// Where the mail does not go out, nothing was counted, and nothing deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_not_sent_is_not_counted() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    app.mailbox.set_broken(true);
    let refused = ada.client.run(REQUEST, json!({})).await;
    assert_eq!(refused.code(), "UNAVAILABLE");
    app.mailbox.set_broken(false);
    delete(&app, &ada).await;
}
