//! Strangers who know an address and have no code: what they reach, and what they cannot.

use std::time::Duration;

use serde_json::json;
use talksy_tests::app::TestApp;
use talksy_tests::client::Client;

use super::{behind_a_proxy, code_for, other_than};

const ADA: &str = "ada@example.org";

/// A client in a network of its own.
fn stranger(app: &TestApp, n: u16) -> Client {
    let [high, low] = n.to_be_bytes();
    app.client().from_place(&format!("10.{high}.{low}.1"))
}

/// Asks for so many codes, each from another network, and presents five wrong ones for each.
async fn guess(app: &TestApp, email: &str, from: u16, letters: u16) {
    for n in from..from + letters {
        let client = stranger(app, n);
        client.login(email).await.data();
        let wrong = other_than(&code_for(app, email));
        for _ in 0..5 {
            assert_eq!(client.verify(email, &wrong).await.code(), "OTP_INVALID");
        }
        assert_eq!(client.verify(email, &wrong).await.code(), "OTP_EXPIRED");
    }
}

/// How many digits the next code has, in the answer and in the mail.
async fn code_length(app: &TestApp, client: &Client, email: &str) -> usize {
    let sent = client.login(email).await.data();
    let code = code_for(app, email);
    assert!(code.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
    assert_eq!(sent["login"]["codeLength"], json!(code.len()));
    code.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_wrong_tries_keep_the_right_code_out_neither_before_nor_after() {
    let app = behind_a_proxy().start().await;
    let home = app.client();
    for (round, letters) in [(1, 4), (2, 100)] {
        home.login(ADA).await.data();
        let code = code_for(&app, ADA);
        guess(&app, ADA, round * 1_000, letters).await;
        home.verify(ADA, &code).await.data();
        // Nor does what they did before keep out who comes now.
        guess(&app, ADA, round * 1_000 + 500, letters).await;
        app.clock.advance(Duration::from_mins(1));
        home.login(ADA).await.data();
        home.verify(ADA, &code_for(&app, ADA)).await.data();
        app.clock.advance(Duration::from_mins(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_login_voids_nothing() {
    let app = behind_a_proxy().start().await;
    let home = app.client();
    home.login(ADA).await.data();
    let code = code_for(&app, ADA);
    for n in 0..50 {
        stranger(&app, n).login(ADA).await.data();
    }
    home.verify(ADA, &code).await.data();
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_grow_with_the_tries_of_an_address_and_shrink_with_a_right_one() {
    let app = behind_a_proxy()
        .config(|config| config.auth.otp_alarm = 100_000)
        .start()
        .await;
    let (home, email) = (app.client(), ADA);
    guess(&app, email, 0, 19).await;
    // The twentieth code's tries are the last of a hundred, whether they were used up or may be yet.
    assert_eq!(code_length(&app, &stranger(&app, 100), email).await, 6);
    assert_eq!(code_length(&app, &stranger(&app, 101), email).await, 8);
    assert_eq!(
        code_length(&app, &stranger(&app, 102), "bob@example.org").await,
        6
    );
    assert_eq!(
        code_length(&app, &stranger(&app, 103), "ada+x@example.org").await,
        6
    );
    assert_eq!(code_length(&app, &home, email).await, 8);
    let code = code_for(&app, email);
    for short in [&code[..6], &code[..7], "12345678901"] {
        let reply = home.verify(email, short).await;
        assert_eq!(reply.code_and_field(), ("BAD_USER_INPUT", "input.code"));
    }
    // A right code of somebody else's tag is no right code of this address.
    let (other, tagged) = (stranger(&app, 104), "ada+x@example.org");
    other.login(tagged).await.data();
    other.verify(tagged, &code_for(&app, tagged)).await.data();
    assert_eq!(code_length(&app, &stranger(&app, 105), email).await, 8);
    let grouped = format!("{} {}", &code[..4], &code[4..]);
    home.verify(email, &grouped).await.data();
    assert_eq!(code_length(&app, &stranger(&app, 106), email).await, 6);
    guess(&app, email, 1_000, 199).await;
    assert_eq!(code_length(&app, &stranger(&app, 107), email).await, 10);
    let ada = stranger(&app, 108);
    assert_eq!(code_length(&app, &ada, email).await, 10);
    ada.verify(email, &code_for(&app, email)).await.data();
    assert_eq!(code_length(&app, &stranger(&app, 109), email).await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_wrong_codes_of_all_make_codes_longer_and_lock_nobody_out() {
    let app = behind_a_proxy()
        .config(|config| config.auth.otp_alarm = 10)
        .start()
        .await;
    let waiting = app.client();
    waiting.login("waiting@example.org").await.data();
    let short = code_for(&app, "waiting@example.org");
    for n in 0..2 {
        let home = app.client();
        let email = format!("before{n}@example.org");
        assert_eq!(code_length(&app, &home, &email).await, 6);
        guess(&app, &format!("victim{n}@example.org"), n, 1).await;
    }
    assert_eq!(code_length(&app, &app.client(), ADA).await, 8);
    app.client().verify(ADA, &code_for(&app, ADA)).await.data();
    waiting.verify("waiting@example.org", &short).await.data();
    // A right code ends an address's own count, not the alarm; the hours do.
    assert_eq!(code_length(&app, &stranger(&app, 9), ADA).await, 8);
    app.clock.advance(Duration::from_hours(2));
    assert_eq!(
        code_length(&app, &app.client(), "late@example.org").await,
        6
    );
}
