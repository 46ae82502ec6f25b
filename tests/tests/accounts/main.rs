//! Signing in and out, what tokens are good for, sessions and the profile, as a client meets them.

mod guessing;
mod keys;
mod letters;
mod profile;
mod sessions;
mod sign_in;
mod tokens;

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use talksy_tests::app::{Builder, TestApp};
use talksy_tests::client::{Reply, User, string, without_request_ids};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

const ME: &str = "{ me { id name email about } }";
const SESSIONS: &str =
    "{ sessions { nodes { id isCurrent userAgent ipAddress createdAt lastUsedAt expiresAt } } }";

/// The newest code that was mailed to the address.
#[track_caller]
fn code_for(app: &TestApp, email: &str) -> String {
    match app.mailbox.code(email) {
        Some(code) => code,
        None => panic!("no code was mailed to {email}"),
    }
}

/// A code of as many digits that is not this one.
fn other_than(code: &str) -> String {
    let (head, last) = code.split_at(code.len() - 1);
    let last: u32 = last.parse().unwrap_or_default();
    format!("{head}{}", (last + 1) % 10)
}

fn retry_after(reply: &Reply) -> u64 {
    reply.error()["extensions"]["retryAfter"]
        .as_u64()
        .unwrap_or(0)
}

/// An answer without what differs each time.
fn told(reply: &Reply) -> Value {
    let mut body = without_request_ids(&reply.body);
    if let Some(Value::Object(login)) = body.pointer_mut("/data/login") {
        let challenge = login
            .remove("challenge")
            .map(|challenge| string(&challenge));
        assert!(challenge.is_some_and(|challenge| challenge.len() > 40));
    }
    body
}

/// A server behind a proxy that says where its clients are.
fn behind_a_proxy() -> Builder {
    TestApp::builder().config(|config| {
        config.http.trusted_proxies = "127.0.0.0/8".parse().into_iter().collect();
    })
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
