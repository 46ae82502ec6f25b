//! For whom an account is made, and that nobody learns by it who has one.

use std::time::Duration;

use serde_json::{Value, json};
use talksy_domain::mail::MailContent;
use talksy_server::config::SignUp;
use talksy_tests::app::TestApp;
use talksy_tests::client::{Reply, string, without_request_ids};

use super::retry_after;

/// A server with an account of `ada@example.org`, which makes others' no longer but as `sign_up` says.
async fn later(sign_up: SignUp, domains: &[&str]) -> TestApp {
    let app = TestApp::start().await;
    app.sign_in("ada").await;
    let domains: Vec<String> = domains.iter().map(|&domain| domain.to_owned()).collect();
    TestApp::builder()
        .data(app.stop().await)
        .config(move |config| {
            config.auth.sign_up = sign_up;
            config.auth.sign_up_domains = domains;
        })
        .start()
        .await
}

/// An answer without what differs each time.
fn told(reply: &Reply) -> Value {
    let mut body = without_request_ids(&reply.body);
    if let Some(Value::Object(login)) = body.pointer_mut("/data/login") {
        let challenge = login.remove("challenge").unwrap();
        // As long as the address: it is sealed within.
        assert!(string(&challenge).len() > 40);
    }
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_server_lets_in_who_has_an_account_and_tells_strangers_nothing() {
    let app = later(SignUp::Closed, &[]).await;
    let client = app.client();
    let known = client.login("ada@example.org").await;
    let stranger = client.login("eve@example.org").await;
    assert_eq!(told(&known), told(&stranger));
    let length = |email: &str| client.challenge(email).len();
    assert_eq!(length("ada@example.org"), length("eve@example.org"));

    // The letter tells, to whoever reads the mailbox.
    let letter = app.mailbox.newest("eve@example.org").unwrap();
    assert!(
        matches!(letter, MailContent::NoAccount { .. }),
        "{letter:?}"
    );
    let code = app.mailbox.code("ada@example.org").unwrap();
    let wrong = if code == "000000" { "111111" } else { "000000" };

    // The same limits, and as many tries with the same answers.
    let again = [
        client.login("ada@example.org").await,
        client.login("eve@example.org").await,
    ];
    for reply in &again {
        assert_eq!(
            (reply.code(), retry_after(reply)),
            ("RATE_LIMITED", Some(60))
        );
    }
    for _ in 0..4 {
        let known = client.verify("ada@example.org", wrong).await;
        let stranger = client.verify("eve@example.org", wrong).await;
        assert_eq!(known.code(), "OTP_INVALID");
        assert_eq!(told(&known), told(&stranger));
    }
    let known = client.verify("ada@example.org", &code).await.data();
    assert_eq!(known["verifyOtp"]["isNewUser"], json!(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_made_for_the_named_domains_alone() {
    let app = later(SignUp::Domains, &["chat.example", "example.net"]).await;
    let client = app.client();
    for (email, admitted) in [
        ("bob@chat.example", true),
        ("BOB@Example.NET", true),
        // Of another domain, with an account.
        ("ada@example.org", true),
        ("bob@example.org", false),
        ("bob@sub.chat.example", false),
        ("bob@chat.example.evil.test", false),
    ] {
        client.login(email).await.data();
        let code = app.mailbox.code(email);
        assert_eq!(code.is_some(), admitted, "{email}");
        if let Some(code) = code {
            client.verify(email, &code).await.data();
        }
    }
}

/// A code that was mailed while anybody could sign up makes no account later.
#[tokio::test(flavor = "multi_thread")]
async fn what_counts_is_whether_an_account_is_made_when_it_would_be() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let closed = TestApp::builder()
        .data(app.stop().await)
        .config(|config| config.auth.sign_up = SignUp::Closed)
        .ports(|mut ports| {
            // Every code is the same, so that the test knows one that was not mailed.
            ports.entropy = std::sync::Arc::new(Zeros(ports.entropy));
            ports
        })
        .start()
        .await;
    let client = closed.client();
    client.login("eve@example.org").await.data();
    let reply = client.verify("eve@example.org", "000000").await;
    assert_eq!(reply.code(), "FORBIDDEN");
    // Nothing was made.
    closed.clock.advance(Duration::from_mins(1));
    client.login("eve@example.org").await.data();
    let letter = closed.mailbox.newest("eve@example.org").unwrap();
    assert!(matches!(letter, MailContent::NoAccount { .. }));
    let me = closed.client().with_token(ada.client.token().unwrap());
    let users = me.data("{ users { nodes { id } } }", json!({})).await;
    assert_eq!(users["users"]["nodes"], json!([]));
}

/// Gives zeros where a code's digit is asked for: few bytes at a time.
struct Zeros(std::sync::Arc<dyn talksy_domain::clock::Entropy>);

impl talksy_domain::clock::Entropy for Zeros {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() <= DIGIT {
            bytes.fill(0);
        } else {
            self.0.fill(bytes);
        }
    }
}

/// As many random bytes as a digit is made of, and fewer than anything secret is.
const DIGIT: usize = 4;
