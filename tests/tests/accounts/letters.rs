//! How many codes are mailed: to whom, and who asks for them from where.

use std::time::Duration;

use serde_json::{Value, json};
use talksy_server::config::{Config, Quota};
use talksy_tests::app::TestApp;
use talksy_tests::client::{Client, string, without_request_ids};

use super::{MINUTE, behind_a_proxy, code_for, other_than, retry_after};

const ADA: &str = "ada@example.org";

/// A quota that does not refill while a test runs.
fn quota(burst: u32) -> Quota {
    Quota {
        burst,
        period: Duration::from_hours(1),
    }
}

/// Whether a code is mailed; else a limit refused it.
async fn is_mailed(app: &TestApp, client: &Client, email: &str, device: Option<&str>) -> bool {
    let before = app.mailbox.count();
    let reply = client.login_on(email, device).await;
    let is_sent = reply.body.get("errors").is_none();
    if !is_sent {
        assert_eq!(reply.code(), "RATE_LIMITED");
    }
    assert_eq!(app.mailbox.count() - before, usize::from(is_sent));
    is_sent
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
    for challenge in [client.challenge("a@example.org"), "none".to_owned()] {
        let reply = client.present(&challenge, &first).await;
        assert_ne!(reply.code(), "RATE_LIMITED", "{}", reply.body);
    }
    let reply = client.verify("a@example.org", &first).await;
    assert_eq!((reply.code(), retry_after(&reply)), ("RATE_LIMITED", 300));
    // Nobody is refused whose challenge is open.
    let wrong = other_than(&code_for(&app, "b@example.org"));
    let reply = client.verify("b@example.org", &wrong).await;
    assert_eq!(reply.code(), "OTP_INVALID");
    let right = code_for(&app, "b@example.org");
    client.verify("b@example.org", &right).await.data();

    let refresh = string(&auth["verifyOtp"]["refreshToken"]);
    let next = client.refresh(&refresh).await.data();
    let next = string(&next["refreshSession"]["refreshToken"]);
    for _ in 0..2 {
        assert_eq!(client.refresh("garbage").await.code(), "UNAUTHENTICATED");
    }
    let reply = client.refresh("garbage").await;
    assert_eq!((reply.code(), retry_after(&reply)), ("RATE_LIMITED", 300));
    // Nobody is refused for it whose token is the server's own: those count for their session.
    let next = client.refresh(&next).await.data();
    let next = string(&next["refreshSession"]["refreshToken"]);
    let reply = client.refresh(&next).await;
    assert_eq!((reply.code(), retry_after(&reply)), ("RATE_LIMITED", 300));
    // What was refused was not used up.
    app.clock.advance(5 * MINUTE);
    client.refresh(&next).await.data();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_mailed_counts_under_no_limit() {
    let app = TestApp::builder()
        .config(|config| {
            let limits = &mut config.limits;
            for limit in [
                &mut limits.login_ip,
                &mut limits.login_network,
                &mut limits.login_address,
                &mut limits.login_device,
            ] {
                *limit = quota(2);
            }
        })
        .start()
        .await;
    let (client, ada) = (app.client(), app.sign_in("ada").await);
    let device = Some(&*ada.device_token);
    app.clock.advance(MINUTE);
    app.mailbox.set_broken(true);
    for device in [None, device] {
        for _ in 0..5 {
            let reply = client.login_on(ADA, device).await;
            assert_eq!(reply.code(), "UNAVAILABLE");
        }
    }
    app.mailbox.set_broken(false);
    assert!(is_mailed(&app, &client, ADA, None).await);
    // What was refused gives no more than was there.
    for _ in 0..5 {
        assert!(!is_mailed(&app, &client, ADA, None).await);
    }
    app.clock.advance(MINUTE);
    assert!(
        !is_mailed(&app, &client, ADA, None).await,
        "the third in all"
    );
    for wanted in [true, true, false] {
        assert_eq!(is_mailed(&app, &client, ADA, device).await, wanted);
        app.clock.advance(MINUTE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_in_one_network_leaves_the_others_their_share() {
    let defaults = Config::default().limits;
    let app = behind_a_proxy()
        .config(move |config| {
            config.limits.login_network = defaults.login_network;
            config.limits.login_address = defaults.login_address;
        })
        .start()
        .await;
    let stranger = |n: u32| app.client().from_place(&format!("198.51.100.{n}"));
    for n in 1..=6 {
        assert!(is_mailed(&app, &stranger(n), ADA, None).await);
        // Another computer of the same network is no other place.
        assert!(!is_mailed(&app, &stranger(n + 100), ADA, None).await);
        app.clock.advance(MINUTE);
    }
    assert!(
        !is_mailed(&app, &stranger(7), ADA, None).await,
        "in an hour"
    );
    assert!(is_mailed(&app, &stranger(7), "bob@example.org", None).await);
    let client = app.client().from_place("198.51.101.1");
    assert!(is_mailed(&app, &client, ADA, None).await);
    let code = code_for(&app, ADA);
    client.verify(ADA, &code).await.data();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_networks_of_one_customer_share_what_they_may_ask_for() {
    let app = behind_a_proxy().start().await;
    let at = |place: &str| app.client().from_place(place);
    let mut sent = 0;
    for site in 0..5 {
        for network in 0..5 {
            let place = format!("2001:db8:1:{site:x}{network:02x}::1");
            let same = format!("2001:db8:1:{site:x}{network:02x}:ffff::2");
            // Four networks of each /56, and sixteen of the /48.
            let wanted = network < 4 && site < 4;
            let is_sent = is_mailed(&app, &at(&place), ADA, None).await;
            assert_eq!(is_sent, wanted, "{place}");
            assert!(!is_mailed(&app, &at(&same), ADA, None).await, "{same}");
            sent += u32::from(is_sent);
        }
    }
    assert_eq!(sent, 16);
    assert!(is_mailed(&app, &at("2001:db8:2::1"), ADA, None).await);
    // An address of IPv4 is the same however it is written.
    assert!(is_mailed(&app, &at("198.51.100.1"), ADA, None).await);
    assert!(!is_mailed(&app, &at("::ffff:198.51.100.1"), ADA, None).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_an_address_are_one_mailbox_and_accounts_of_their_own() {
    let app = behind_a_proxy()
        .config(|config| config.limits.login_address = quota(3))
        .start()
        .await;
    let at = |n: u32| app.client().from_place(&format!("198.51.{n}.1"));
    assert!(is_mailed(&app, &at(1), "ada+one@example.org", None).await);
    for tagged in [ADA, "ada+two@example.org", "ADA+one+two@example.org"] {
        assert!(!is_mailed(&app, &at(1), tagged, None).await, "{tagged}");
    }
    assert!(is_mailed(&app, &at(2), ADA, None).await);
    assert!(is_mailed(&app, &at(3), "ada+two@example.org", None).await);
    assert!(!is_mailed(&app, &at(4), "ada+three@example.org", None).await);
    assert!(is_mailed(&app, &at(4), "bob+three@example.org", None).await);
    let (client, email) = (at(5), "bob+five@example.org");
    assert!(is_mailed(&app, &client, email, None).await);
    let auth = client.verify(email, &code_for(&app, email)).await.data();
    assert_eq!(auth["verifyOtp"]["user"]["email"], json!(email));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_has_signed_in_has_a_share_that_strangers_cannot_use_up() {
    let app = behind_a_proxy()
        .config(|config| {
            config.limits.login_network = quota(3);
            config.limits.login_address = quota(4);
            config.limits.login_device = quota(2);
        })
        .start()
        .await;
    let (ada, eve) = (app.sign_in("ada").await, app.sign_in("eve").await);
    let home = app.client();
    for n in 0..5 {
        let stranger = app.client().from_place(&format!("198.51.{n}.1"));
        is_mailed(&app, &stranger, ADA, None).await;
    }
    app.clock.advance(MINUTE);
    for client in [&home, &app.client().from_place("203.0.113.1")] {
        assert!(
            !is_mailed(&app, client, ADA, None).await,
            "the mailbox's share is used up"
        );
        // What is no token of this address counts as none.
        for other in [
            &*eve.device_token,
            "",
            "nonsense",
            &ada.refresh_token,
            &home.challenge(ADA),
        ] {
            assert!(!is_mailed(&app, client, ADA, Some(other)).await, "{other}");
        }
    }
    let device = Some(&*ada.device_token);
    assert!(is_mailed(&app, &home, ADA, device).await);
    assert!(!is_mailed(&app, &home, ADA, device).await, "one a minute");
    let auth = home.verify(ADA, &code_for(&app, ADA)).await.data();
    let next = string(&auth["verifyOtp"]["deviceToken"]);
    app.clock.advance(MINUTE);
    // It goes where its device goes, and is good after its session has ended.
    ada.client
        .data("mutation { logout { sessionId } }", json!({}))
        .await;
    let elsewhere = app.client().from_place("203.0.113.2");
    assert!(is_mailed(&app, &elsewhere, ADA, device).await);
    app.clock.advance(MINUTE);
    assert!(
        !is_mailed(&app, &elsewhere, ADA, device).await,
        "two an hour"
    );
    assert!(
        is_mailed(&app, &elsewhere, ADA, Some(&next)).await,
        "another device"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_device_tokens_mail_no_more_from_one_place_than_it_may() {
    let app = behind_a_proxy()
        .config(|config| config.limits.login_ip = quota(4))
        .start()
        .await;
    let mut devices = Vec::new();
    for n in 0..6 {
        let (client, email) = (
            app.client().from_place(&format!("198.51.{n}.1")),
            format!("m{n}@evil.example"),
        );
        client.login(&email).await.data();
        let auth = client.verify(&email, &code_for(&app, &email)).await.data();
        devices.push((email, string(&auth["verifyOtp"]["deviceToken"])));
    }
    app.clock.advance(MINUTE);
    let place = app.client().from_place("203.0.113.1");
    for (n, (email, device)) in devices.iter().enumerate() {
        assert_eq!(is_mailed(&app, &place, email, Some(device)).await, n < 4);
    }
    // They have not used up what others may ask for there.
    assert!(is_mailed(&app, &place, ADA, None).await);
}
