//! The profile, and who sees what of it.

use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{Reply, User, string};

use super::{ME, code_for};

const PROFILE: &str = "mutation($input: UpdateProfileInput!) {
    updateProfile(input: $input) { user { name about } } }";

async fn change(user: &User, input: Value) -> Reply {
    user.client.run(PROFILE, json!({ "input": input })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_changes_in_the_parts_that_are_given() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let steps = [
        (
            json!({ "name": "  Ada Lovelace ", "about": " Counts.\nAnd more. " }),
            json!({ "name": "Ada Lovelace", "about": "Counts.\nAnd more." }),
        ),
        (
            json!({ "name": "Ada 👩‍💻" }),
            json!({ "name": "Ada 👩‍💻", "about": "Counts.\nAnd more." }),
        ),
        (
            json!({ "about": null }),
            json!({ "name": "Ada 👩‍💻", "about": null }),
        ),
        (
            json!({ "about": "x".repeat(500), "name": "ö".repeat(64) }),
            json!({ "about": "x".repeat(500), "name": "ö".repeat(64) }),
        ),
        (
            json!({ "about": " \n" }),
            json!({ "about": null, "name": "ö".repeat(64) }),
        ),
        (json!({}), json!({ "about": null, "name": "ö".repeat(64) })),
    ];
    for (input, expected) in steps {
        let reply = change(&ada, input.clone()).await;
        assert_eq!(reply.data()["updateProfile"]["user"], expected, "{input}");
    }
    let me = ada.client.data(ME, json!({})).await;
    assert_eq!(me["me"]["name"], json!("ö".repeat(64)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_or_text_that_breaks_a_rule_changes_nothing() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    change(&ada, json!({ "name": "Ada", "about": "Counts." }))
        .await
        .data();
    let before = ada.client.data(ME, json!({})).await;
    let long = "x".repeat(65);
    let huge = "😀".repeat(10_000);
    let names = [
        "",
        "   ",
        "\u{200B}",
        "\u{FEFF}\u{2060}",
        "a\nb",
        "a\tb",
        "a\u{0}b",
        "a\u{7F}b",
        "a\u{85}b",
        "a\u{202E}b",
        "a\u{2066}b",
        &long,
        &huge,
    ];
    for name in names {
        let reply = change(&ada, json!({ "name": name, "about": "new" })).await;
        assert_eq!(
            reply.code_and_field(),
            ("BAD_USER_INPUT", "input.name"),
            "{name:?}"
        );
    }
    for about in ["x".repeat(501), "a\u{0}b".to_owned(), "a\u{7}b".to_owned()] {
        let reply = change(&ada, json!({ "name": "Eve", "about": about })).await;
        assert_eq!(reply.code_and_field(), ("BAD_USER_INPUT", "input.about"));
    }
    assert_eq!(ada.client.data(ME, json!({})).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_shown_to_its_owner_alone() {
    const NODE: &str = "query($id: ID!) { node(id: $id) { ... on User { name email } } }";
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let own = ada.client.data(NODE, json!({ "id": ada.id })).await;
    assert_eq!(
        own["node"],
        json!({ "name": "ada", "email": "ada@example.org" })
    );
    let others = ada.client.data(NODE, json!({ "id": bob.id })).await;
    assert_eq!(others["node"], json!({ "name": "bob", "email": null }));

    bob.send(&chat, "hi").await;
    let seen = ada
        .client
        .data(
            "query($id: ID!) { users { nodes { email } } node(id: $id) { ... on Chat {
                peer { email } members { nodes { user { email } } }
                lastMessage { sender { email } } } } }",
            json!({ "id": chat }),
        )
        .await;
    assert_eq!(seen["users"]["nodes"], json!([{ "email": null }]));
    assert_eq!(seen["node"]["peer"], json!({ "email": null }));
    assert_eq!(
        seen["node"]["lastMessage"]["sender"],
        json!({ "email": null })
    );
    let members = seen["node"]["members"]["nodes"].to_string();
    assert!(members.contains("ada@example.org") && !members.contains("bob@"));

    ada.client.login("eve@example.org").await.data();
    // Signing somebody else in while signed in: the payload's user is theirs.
    let code = code_for(&app, "eve@example.org");
    let auth = ada.client.verify("eve@example.org", &code).await.data();
    assert_eq!(auth["verifyOtp"]["user"]["email"], json!("eve@example.org"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unread_in_all_chats_is_told_to_its_owner_alone() {
    const TOTAL: &str = "{ me { totalUnreadCount } users { nodes { totalUnreadCount } } }";
    const MUTE: &str =
        "mutation($input: MuteChatInput!) { muteChat(input: $input) { chat { id } } }";
    const CREATE: &str = "mutation($input: CreateGroupInput!) {
        createGroup(input: $input) { chat { id } } }";
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let seen = async |total: i64| {
        let data = ada.client.data(TOTAL, json!({})).await;
        let others = json!([{ "totalUnreadCount": null }]);
        assert_eq!(data["users"]["nodes"], others);
        assert_eq!(data["me"]["totalUnreadCount"], total);
    };
    seen(0).await;
    for n in 1..=3 {
        bob.send(&chat, &n.to_string()).await;
        seen(n).await;
    }
    let input = json!({ "title": "All", "memberIds": [ada.id] });
    let made = bob.client.data(CREATE, json!({ "input": input })).await;
    let group = string(&made["createGroup"]["chat"]["id"]);
    bob.send(&group, "to the group").await;
    ada.send(&group, "one's own is none").await;
    seen(4).await;

    let mute = async |muted: bool| {
        let input = json!({ "chatId": group, "muted": muted });
        ada.client.data(MUTE, json!({ "input": input })).await;
    };
    mute(true).await;
    seen(3).await;
    ada.mark_read(&chat, 2).await;
    seen(1).await;
    mute(false).await;
    seen(2).await;

    // Bob signs in on another device.
    app.clock.advance(std::time::Duration::from_mins(1));
    bob.client.login(&bob.email).await.data();
    let code = code_for(&app, &bob.email);
    let verify = "mutation($input: VerifyOtpInput!) {
        verifyOtp(input: $input) { user { totalUnreadCount } } }";
    let challenge = bob.client.challenge(&bob.email);
    let input = json!({ "challenge": challenge, "code": code });
    let signed_in = bob.client.run(verify, json!({ "input": input })).await;
    let user = &signed_in.data()["verifyOtp"]["user"];
    assert_eq!(*user, json!({ "totalUnreadCount": 1 }));
    // Whoever is not signed in has no account to ask for.
    let anonymous = app
        .client()
        .run("{ me { totalUnreadCount } }", json!({}))
        .await;
    assert_eq!(anonymous.data()["me"], Value::Null);
}
