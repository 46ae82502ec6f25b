//! The profile, and who sees what of it.

use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{Reply, User};

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
