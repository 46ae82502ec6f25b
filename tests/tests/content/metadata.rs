//! What an application keeps beside messages, users and groups.

use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{start_of, string};

use super::{CREATE, DELETE, EDIT, SEND, ask, done, group, send};

const PROFILE: &str = "mutation($input: UpdateProfileInput!) {
    updateProfile(input: $input) { user { name metadata } } }";
const UPDATE: &str = "mutation($input: UpdateGroupInput!) {
    updateGroup(input: $input) { chat { id title metadata lastSeq
        lastMessage { system { kind title } } } } }";

/// What a client could give, in an order of its own.
fn sample() -> Value {
    json!({ "b": { "\"quoted\" \\ key": [1, 1.5, null, true] }, "a": "é 😀", "": [] })
}

/// So many levels of lists.
fn nested(levels: usize) -> Value {
    (1..levels).fold(json!([]), |inner, _| json!([inner]))
}

/// A text of as many bytes in JSON.
fn long(bytes: usize) -> Value {
    json!("x".repeat(bytes - 2))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_carries_metadata_to_all_who_read_it() {
    const ADDED: &str = "subscription($id: ID!, $after: String) {
        messageAdded(chatId: $id, after: $after) { node { metadata } } }";
    const UPDATED: &str = "subscription($id: ID!, $after: String) {
        messageUpdated(chatId: $id, after: $after) { message { text metadata } } }";
    const HISTORY: &str = "query($id: ID!) { chat(id: $id) {
        lastMessage { metadata } messages { nodes { metadata } } } }";
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let id = json!({ "id": chat });
    let mut added = Vec::new();
    let mut updated = Vec::new();
    for user in [&ada, &bob] {
        let from_start = json!({ "id": chat, "after": start_of(&chat) });
        added.push(user.client.subscribe(ADDED, from_start.clone()).await);
        updated.push(user.client.subscribe(UPDATED, from_start).await);
    }
    let sent = send(&ada, &chat, "hi", json!({ "metadata": sample() })).await;
    assert_eq!(sent["metadata"], sample());
    for feed in &mut added {
        let told = feed.next().await;
        assert_eq!(told["messageAdded"]["node"]["metadata"], sample());
    }
    let plain = send(&ada, &chat, "plain", json!({ "metadata": null })).await;
    assert_eq!(plain["metadata"], Value::Null);
    let history = bob.client.data(HISTORY, id.clone()).await["chat"].clone();
    assert_eq!(history["lastMessage"]["metadata"], Value::Null);
    assert_eq!(history["messages"]["nodes"][0]["metadata"], sample());

    let message = string(&sent["id"]);
    let edited = json!({ "messageId": message, "metadata": { "v": 2 } });
    let edited = done(&ada, EDIT, edited).await["editMessage"]["message"].clone();
    assert_eq!(edited["text"], json!("hi"), "the text stays");
    assert_eq!(edited["metadata"], json!({ "v": 2 }));
    let both = json!({ "messageId": message, "text": "ho", "metadata": null });
    done(&ada, EDIT, both).await;
    for feed in &mut updated {
        // What was changed twice in a moment may be told once, as it is then.
        let mut told = feed.next().await["messageUpdated"]["message"].clone();
        if told["text"] == json!("hi") {
            assert_eq!(told["metadata"], json!({ "v": 2 }));
            told = feed.next().await["messageUpdated"]["message"].clone();
        }
        assert_eq!(told, json!({ "text": "ho", "metadata": null }));
    }
    let again = json!({ "messageId": message, "metadata": [1] });
    done(&ada, EDIT, again).await;
    let deleted = done(&ada, DELETE, json!({ "messageId": message })).await;
    assert_eq!(deleted["deleteMessage"]["message"]["metadata"], Value::Null);
    let history = bob.client.data(HISTORY, id).await["chat"].clone();
    assert_eq!(history["messages"]["nodes"][0]["metadata"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_with_other_metadata_is_a_conflict() {
    let app = TestApp::start().await;
    let (ada, _, chat) = app.pair().await;
    let input = |metadata: Value| json!({ "chatId": chat, "text": "hi", "clientMessageId": "a", "metadata": metadata });
    let first = done(&ada, SEND, input(json!({ "v": 1 }))).await;
    assert_eq!(done(&ada, SEND, input(json!({ "v": 1 }))).await, first);
    for other in [json!({ "v": 2 }), Value::Null] {
        let refused = ask(&ada, SEND, input(other)).await;
        assert_eq!(
            refused.code_and_field(),
            ("CONFLICT", "input.clientMessageId")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_keeps_metadata_that_others_read() {
    const USER: &str = "query($id: ID!) { node(id: $id) { ... on User { metadata } } }";
    let app = TestApp::start().await;
    let (ada, bob, _) = app.pair().await;
    let steps = [
        (json!({ "metadata": sample() }), sample()),
        (json!({ "name": "Ada" }), sample()),
        (json!({ "metadata": 7 }), json!(7)),
        (json!({ "metadata": null }), Value::Null),
    ];
    for (input, expected) in steps {
        let user = done(&ada, PROFILE, input.clone()).await["updateProfile"]["user"].clone();
        assert_eq!(user["metadata"], expected, "{input}");
        let seen = bob.client.data(USER, json!({ "id": ada.id })).await;
        assert_eq!(seen["node"]["metadata"], expected, "{input}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_keeps_metadata_and_says_when_it_changes() {
    const FEED: &str = "subscription { chatUpdated { title metadata } }";
    let app = TestApp::start().await;
    let (ada, bob, direct) = app.pair().await;
    let input = json!({ "title": "Engines", "memberIds": [bob.id], "metadata": sample() });
    let made = done(&ada, CREATE, input).await["createGroup"]["chat"].clone();
    assert_eq!(made["metadata"], sample());
    let chat = string(&made["id"]);
    let mut sidebar = bob.client.subscribe(FEED, json!({})).await;

    let update = async |more: Value| {
        let mut input = json!({ "chatId": chat });
        super::merge(&mut input, more);
        done(&ada, UPDATE, input).await["updateGroup"]["chat"].clone()
    };
    let changed = update(json!({ "metadata": { "v": 1 } })).await;
    assert_eq!(changed["metadata"], json!({ "v": 1 }));
    let notice = json!({ "system": { "kind": "SETTINGS_CHANGED", "title": null } });
    assert_eq!(changed["lastMessage"], notice);
    let told = sidebar.next().await["chatUpdated"].clone();
    assert_eq!(told, json!({ "title": "Engines", "metadata": { "v": 1 } }));

    let changed = update(json!({ "title": "Looms", "metadata": { "v": 2 } })).await;
    let notice = json!({ "system": { "kind": "TITLE_CHANGED", "title": "Looms" } });
    assert_eq!(changed["lastMessage"], notice);
    assert_eq!(
        (&changed["metadata"], &changed["lastSeq"]),
        (&json!({ "v": 2 }), &json!(3))
    );
    let told = sidebar.next().await["chatUpdated"].clone();
    assert_eq!(told, json!({ "title": "Looms", "metadata": { "v": 2 } }));

    let same = update(json!({ "title": "Looms", "metadata": { "v": 2 } })).await;
    assert_eq!(same["lastSeq"], json!(3), "nothing was changed");
    let cleared = update(json!({ "metadata": null })).await;
    assert_eq!(
        (&cleared["metadata"], &cleared["lastSeq"]),
        (&Value::Null, &json!(4))
    );

    let refused = ask(&bob, UPDATE, json!({ "chatId": chat, "metadata": 1 })).await;
    assert_eq!(refused.code(), "FORBIDDEN");
    let refused = ask(&ada, UPDATE, json!({ "chatId": direct, "metadata": 1 })).await;
    assert_eq!(refused.code_and_field(), ("BAD_USER_INPUT", "input.chatId"));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_beyond_its_bounds_is_refused_by_name_and_changes_nothing() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let group = group(&ada, &[&bob]).await;
    for most in [long(4_096), nested(16)] {
        let sent = send(&ada, &chat, "hi", json!({ "metadata": most })).await;
        assert_eq!(sent["metadata"], most);
    }
    let message = string(&send(&ada, &chat, "as it is", json!({})).await["id"]);
    for (bad, rule) in [
        (long(4_097), "must be at most 4096 bytes of JSON"),
        (
            json!({ "a": "é".repeat(2_048) }),
            "must be at most 4096 bytes of JSON",
        ),
        (
            nested(17),
            "must nest lists and objects at most 16 levels deep",
        ),
        (
            nested(100),
            "must nest lists and objects at most 16 levels deep",
        ),
    ] {
        for (mutation, input) in [
            (
                SEND,
                json!({ "chatId": chat, "text": "hi", "metadata": bad }),
            ),
            (
                EDIT,
                json!({ "messageId": message, "text": "other", "metadata": bad }),
            ),
            (
                CREATE,
                json!({ "title": "New", "memberIds": [], "metadata": bad }),
            ),
            (
                UPDATE,
                json!({ "chatId": group, "title": "New", "metadata": bad }),
            ),
            (PROFILE, json!({ "name": "Eve", "metadata": bad })),
        ] {
            let reply = ask(&ada, mutation, input).await;
            assert_eq!(reply.code_and_field(), ("BAD_USER_INPUT", "input.metadata"));
            let told = string(&reply.error()["message"]);
            assert!(told.contains(rule), "{told}");
        }
    }
    let literal = "mutation($chat: ID!) { sendMessage(input: { chatId: $chat, text: \"hi\",
        metadata: { a: [NAME] } }) { message { id } } }";
    let reply = ada.client.run(literal, json!({ "chat": chat })).await;
    assert_eq!(reply.code_and_field(), ("BAD_USER_INPUT", "input.metadata"));
    let state = "query($chat: ID!, $group: ID!) { me { name }
        chat(id: $chat) { lastSeq lastChangeSeq lastMessage { text } }
        other: chat(id: $group) { title lastSeq } }";
    let now = ada
        .client
        .data(state, json!({ "chat": chat, "group": group }))
        .await;
    assert_eq!(
        now,
        json!({ "me": { "name": "ada" },
            "chat": { "lastSeq": 3, "lastChangeSeq": 0, "lastMessage": { "text": "as it is" } },
            "other": { "title": "Engines", "lastSeq": 1 } })
    );
}
