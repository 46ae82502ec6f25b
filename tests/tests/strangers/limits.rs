//! Whatever writes has a limit, and whoever goes over it is told for how long to wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use talksy_domain::error::PortError;
use talksy_domain::limits::{Decision, RateLimiter, RateLimiterLayer, Rule};
use talksy_domain::port::{Layer, Layered};
use talksy_server::config::Quota;
use talksy_tests::app::TestApp;
use talksy_tests::client::{User, string};
use talksy_tests::uploads::{send_form, upload_form};

use super::{input, retry_after};

/// Refuses whatever is counted while it is shut.
struct Gate {
    behind: Arc<dyn RateLimiter>,
    is_shut: Arc<AtomicBool>,
}

impl Layer<dyn RateLimiter> for Gate {
    fn inner(&self) -> &Arc<dyn RateLimiter> {
        &self.behind
    }
}

impl RateLimiterLayer for Gate {
    async fn check(&self, rule: Rule, key: &str) -> Result<Decision, PortError> {
        if self.is_shut.load(Ordering::SeqCst) {
            return Ok(Decision::Denied(Duration::from_secs(7)));
        }
        self.behind.check(rule, key).await
    }
}

/// All that Ada could have changed, as she sees it.
async fn seen(ada: &User) -> Value {
    const ALL: &str = "{ me { name about } sessions { nodes { id } }
        chats { nodes { id title memberCount isMutedByViewer lastSeq lastChangeSeq
            viewerMember { role lastReadSeq } members { nodes { role user { id } } } } } }";
    ada.client.data(ALL, json!({})).await
}

/// The mutations of the schema.
async fn mutations(app: &TestApp) -> Vec<String> {
    const NAMES: &str = "{ __schema { mutationType { fields { name } } } }";
    let data = app.client().data(NAMES, json!({})).await;
    let fields = data["__schema"]["mutationType"]["fields"].as_array();
    let names = fields.unwrap().iter().map(|field| string(&field["name"]));
    names.collect()
}

/// What each mutation is asked for, so that nothing but a limit refuses it.
struct Inputs {
    ada: User,
    bob: User,
    other_session: String,
    direct: String,
    group: String,
    message: String,
    theirs: String,
}

impl Inputs {
    /// The input for a mutation; `None` for one that this test does not know.
    fn of(&self, mutation: &str) -> Option<Value> {
        let (chat, group, bob) = (&self.direct, &self.group, &self.bob.id);
        Some(match mutation {
            "login" => json!({ "email": "eve@example.org" }),
            "verifyOtp" | "deleteAccount" => {
                json!({ "challenge": "nonsense", "code": "123456" })
            }
            "refreshSession" => json!({ "refreshToken": self.ada.refresh_token }),
            "revokeSession" => json!({ "sessionId": self.other_session }),
            "reportMessage" => json!({ "messageId": self.theirs, "reason": "Spam" }),
            "resolveReport" => {
                json!({ "reportId": "rep_01h455vb4pex5vsknk084sn02q", "resolution": "Seen to" })
            }
            "suspendUser" => json!({ "userId": bob, "reason": "Spam" }),
            "updateProfile" => json!({ "name": "Eve" }),
            // It has no input.
            "requestAccountDeletion" => json!(null),
            "startChat" | "blockUser" | "unblockUser" | "restoreUser" => json!({ "userId": bob }),
            "markRead" => json!({ "chatId": chat, "seq": 1 }),
            "markUnread" => json!({ "chatId": chat, "fromSeq": 1 }),
            "muteChat" => json!({ "chatId": chat, "muted": true }),
            "createGroup" => json!({ "title": "Engines", "memberIds": [bob] }),
            "updateGroup" => json!({ "chatId": group, "title": "Engines" }),
            "addMembers" => json!({ "chatId": group, "userIds": [bob] }),
            "removeMember" => json!({ "chatId": group, "userId": bob }),
            "setMemberRole" => json!({ "chatId": group, "userId": bob, "role": "ADMIN" }),
            "leaveChat" => json!({ "chatId": group }),
            "sendMessage" => json!({ "chatId": chat, "text": "hello" }),
            "editMessage" => json!({ "messageId": self.message, "text": "hello" }),
            "deleteMessage" => json!({ "messageId": self.message }),
            "addReaction" | "removeReaction" => {
                json!({ "messageId": self.message, "emoji": "👍" })
            }
            "pinMessage" => json!({ "messageId": self.message, "pinned": true }),
            // The file comes with the form.
            "uploadAttachment" => json!({}),
            "createUpload" => {
                json!({ "fileName": "a.png", "contentType": "image/png", "byteSize": 10 })
            }
            "setTyping" => json!({ "chatId": chat, "isTyping": true }),
            _ => return None,
        })
    }
}

/// Mutations without a limit, and why they need none.
const UNLIMITED: [(&str, &str); 1] = [(
    "logout",
    "it ends the session that it needs, of which each sign-in makes one",
)];

#[tokio::test(flavor = "multi_thread")]
async fn every_mutation_has_a_limit_and_changes_nothing_beyond_it() {
    let is_shut = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&is_shut);
    let app = TestApp::builder()
        .ports(move |mut ports| {
            let behind = ports.limiter;
            ports.limiter = Arc::new(Layered(Gate {
                behind,
                is_shut: gate,
            }));
            ports
        })
        .start()
        .await;
    let (ada, bob, direct) = app.pair().await;
    let theirs = bob.send(&direct, "hello").await;
    let sent = ada.send(&direct, "hello yourself").await;
    let create =
        "mutation($input: CreateGroupInput!) { createGroup(input: $input) { chat { id } } }";
    let group = json!({ "title": "Group", "memberIds": [bob.id] });
    let group = ada.client.data(create, input(group)).await;
    app.clock.advance(Duration::from_mins(1));
    let other = app.sign_in("ada").await;
    let inputs = Inputs {
        other_session: other.session_id,
        direct,
        group: string(&group["createGroup"]["chat"]["id"]),
        message: string(&sent["message"]["id"]),
        theirs: string(&theirs["message"]["id"]),
        ada: ada.clone(),
        bob,
    };
    let before = seen(&ada).await;
    let names = mutations(&app).await;
    assert!(names.len() > 15, "{names:?}");

    is_shut.store(true, Ordering::SeqCst);
    // Not everything is refused.
    ada.client.data("{ me { id } }", json!({})).await;
    for name in &names {
        if UNLIMITED.iter().any(|(unlimited, _)| unlimited == name) {
            continue;
        }
        let Some(asked) = inputs.of(name) else {
            panic!("`{name}` is new: give it a limit, and say here what it is asked for");
        };
        let (first, rest) = name.split_at(1);
        let kind = format!("{}{rest}Input", first.to_uppercase());
        let mutation =
            format!("mutation($input: {kind}!) {{ {name}(input: $input) {{ __typename }} }}");
        let reply = if name == "uploadAttachment" {
            send_form(&ada.client, upload_form("a.txt", "text/plain", b"hello")).await
        } else if asked.is_null() {
            let mutation = format!("mutation {{ {name} {{ __typename }} }}");
            ada.client.run(&mutation, json!({})).await
        } else {
            ada.client.run(&mutation, input(asked)).await
        };
        assert_eq!(reply.code(), "RATE_LIMITED", "{name}: {}", reply.body);
        assert_eq!(retry_after(&reply), Some(7), "{name}");
    }
    is_shut.store(false, Ordering::SeqCst);
    assert_eq!(seen(&ada).await, before, "what was refused was done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_can_be_ended_whatever_its_thief_has_used_up() {
    const REVOKE: &str = "mutation($input: RevokeSessionInput!) {
        revokeSession(input: $input) { sessionId } }";
    let app = TestApp::builder()
        .config(|config| {
            config.limits.revoke = Quota {
                burst: 2,
                period: Duration::from_hours(1),
            };
        })
        .start()
        .await;
    let ada = app.sign_in("ada").await;
    app.clock.advance(Duration::from_mins(1));
    let stolen = app.sign_in("ada").await;
    let nothing = input(json!({ "sessionId": "ses_01h455vb4pex5vsknk084sn02q" }));
    for code in ["NOT_FOUND", "NOT_FOUND", "RATE_LIMITED"] {
        let reply = stolen.client.run(REVOKE, nothing.clone()).await;
        assert_eq!(reply.code(), code);
    }
    let thief = input(json!({ "sessionId": stolen.session_id }));
    ada.client.data(REVOKE, thief).await;
    let reply = stolen.client.run("{ me { id } }", json!({})).await;
    assert_eq!(reply.code(), "UNAUTHENTICATED");
    // Who has used up the limit can still sign out.
    for _ in 0..2 {
        let reply = ada.client.run(REVOKE, nothing.clone()).await;
        assert!(["NOT_FOUND", "RATE_LIMITED"].contains(&reply.code()));
    }
    ada.client
        .data("mutation { logout { sessionId } }", json!({}))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_changed_so_often_and_each_user_s_alone_counts() {
    const RENAME: &str = "mutation($input: UpdateProfileInput!) {
        updateProfile(input: $input) { user { name } } }";
    let app = TestApp::builder()
        .config(|config| {
            config.limits.update_profile = Quota {
                burst: 3,
                period: Duration::from_mins(1),
            };
        })
        .start()
        .await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    let rename = async |user: &User, name: &str| {
        let change = input(json!({ "name": name }));
        user.client.run(RENAME, change).await
    };
    for name in ["A", "B", "C"] {
        rename(&ada, name).await.data();
    }
    let reply = rename(&ada, "D").await;
    assert_eq!(
        (reply.code(), retry_after(&reply)),
        ("RATE_LIMITED", Some(20))
    );
    rename(&bob, "Bob").await.data();
    let me = ada.client.data("{ me { name } }", json!({})).await;
    assert_eq!(me["me"]["name"], json!("C"));
    app.clock.advance(Duration::from_secs(20));
    rename(&ada, "D").await.data();
    assert_eq!(rename(&ada, "E").await.code(), "RATE_LIMITED");
}
