//! Mentions: who is named in a message, and how many unread ones name the viewer.

use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{User, string};
use talksy_tests::websocket::Subscription;

use super::{DELETE, EDIT, REMOVE, SEND, ask, done, group, merge, send};

const COUNTS: &str = "query($id: ID!) { chat(id: $id) { unreadCount unreadMentionCount } }";
const NAMED: &str = "query($id: ID!) { node(id: $id) { ... on Message { mentions { name } } } }";

/// How much of the chat is unread, and how much of that names the viewer.
async fn counts(user: &User, chat: &str) -> (i64, i64) {
    let data = user.client.data(COUNTS, json!({ "id": chat })).await;
    let count = |name: &str| data["chat"][name].as_i64().unwrap_or(-1);
    (count("unreadCount"), count("unreadMentionCount"))
}

/// Sends a message that names these users; its id.
async fn mention(user: &User, chat: &str, users: &[&User]) -> String {
    let users: Vec<_> = users.iter().map(|user| &user.id).collect();
    string(&send(user, chat, "look", json!({ "mentionIds": users })).await["id"])
}

/// Waits until the badge of the feed shows so many.
async fn until(feed: &mut Subscription, field: &str, count: i64) {
    loop {
        let told = feed.next().await;
        let chat = match field {
            "chatUpdated" => &told["chatUpdated"],
            _ => &told["accountEvents"]["chat"],
        };
        if chat["unreadMentionCount"] == json!(count) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_says_whom_it_mentions_and_counts_for_them() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let bob = app.sign_in("bob").await;
    let cyd = app.sign_in("cyd").await;
    let chat = group(&ada, &[&bob, &cyd]).await;
    let first = mention(&ada, &chat, &[&cyd, &ada, &bob]).await;
    let named = bob.client.data(NAMED, json!({ "id": first })).await;
    let all = json!([{ "name": "cyd" }, { "name": "ada" }, { "name": "bob" }]);
    assert_eq!(named["node"]["mentions"], all);
    ada.send(&chat, "nobody").await;
    assert_eq!(counts(&bob, &chat).await, (2, 1));
    assert_eq!(counts(&ada, &chat).await, (0, 0), "one's own are no news");

    let second = mention(&ada, &chat, &[&bob]).await;
    assert_eq!(counts(&bob, &chat).await, (3, 2));
    assert_eq!(counts(&cyd, &chat).await, (3, 1));
    // An edit counts anew, and leaves what it does not name.
    let other = json!({ "messageId": second, "mentionIds": [cyd.id] });
    done(&ada, EDIT, other).await;
    assert_eq!(counts(&bob, &chat).await, (3, 1));
    assert_eq!(counts(&cyd, &chat).await, (3, 2));
    let text = json!({ "messageId": second, "text": "look again" });
    done(&ada, EDIT, text).await;
    assert_eq!(counts(&cyd, &chat).await, (3, 2));
    let none = json!({ "messageId": second, "mentionIds": [] });
    done(&ada, EDIT, none).await;
    assert_eq!(counts(&cyd, &chat).await, (3, 1));

    done(&ada, DELETE, json!({ "messageId": first })).await;
    assert_eq!(counts(&bob, &chat).await, (2, 0));
    let named = bob.client.data(NAMED, json!({ "id": first })).await;
    assert_eq!(named["node"]["mentions"], json!([]));
    let third = mention(&ada, &chat, &[&bob]).await;
    assert_eq!(counts(&bob, &chat).await, (3, 1));
    bob.mark_read(&chat, 5).await;
    assert_eq!(counts(&bob, &chat).await, (0, 0));
    // What was read is not unread by an edit.
    let more = json!({ "messageId": third, "mentionIds": [bob.id, cyd.id] });
    done(&ada, EDIT, more).await;
    assert_eq!(counts(&bob, &chat).await, (0, 0));
    assert_eq!(counts(&cyd, &chat).await, (3, 1));
}

/// A deletion lowers everybody's badge, in a sidebar and in a replica, and so does an edit.
#[tokio::test(flavor = "multi_thread")]
async fn badges_follow_live() {
    const SIDEBAR: &str = "subscription { chatUpdated { id unreadMentionCount } }";
    const ACCOUNT: &str = "subscription { accountEvents(detailOf: []) {
        ... on ChatChanged { chat { id unreadMentionCount } } } }";
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let bob = app.sign_in("bob").await;
    let cyd = app.sign_in("cyd").await;
    let chat = group(&ada, &[&bob, &cyd]).await;
    let mut feeds = Vec::new();
    for user in [&bob, &cyd] {
        let sidebar = user.client.subscribe(SIDEBAR, json!({})).await;
        let account = user.client.subscribe(ACCOUNT, json!({})).await;
        feeds.extend([(sidebar, "chatUpdated"), (account, "accountEvents")]);
    }
    let one = mention(&ada, &chat, &[&bob, &cyd]).await;
    let two = mention(&ada, &chat, &[&cyd, &bob]).await;
    for (feed, field) in &mut feeds {
        until(feed, field, 2).await;
    }
    done(&ada, DELETE, json!({ "messageId": one })).await;
    for (feed, field) in &mut feeds {
        until(feed, field, 1).await;
    }
    done(&ada, EDIT, json!({ "messageId": two, "mentionIds": [] })).await;
    for (feed, field) in &mut feeds {
        until(feed, field, 0).await;
    }
    done(
        &ada,
        EDIT,
        json!({ "messageId": two, "mentionIds": [bob.id, cyd.id] }),
    )
    .await;
    for (feed, field) in &mut feeds {
        until(feed, field, 1).await;
    }
    for user in [&bob, &cyd] {
        user.mark_read(&chat, 3).await;
    }
    for (feed, field) in &mut feeds {
        until(feed, field, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_one_may_not_mention_is_named_and_nothing_is_sent() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let bob = app.sign_in("bob").await;
    let cyd = app.sign_in("cyd").await;
    let chat = group(&ada, &[&bob]).await;
    let message = mention(&ada, &chat, &[&bob]).await;
    let nobody = "usr_01h455vb4pex5vsknk084sn02q";
    let many: Vec<_> = (0..51)
        .map(|n| format!("usr_01h455vb4pex5vsknk084sn{n:03}"))
        .collect();
    let huge = vec![bob.id.clone(); 5_000];
    for (users, field) in [
        (json!([cyd.id]), "input.mentionIds.0"),
        (json!([bob.id, nobody]), "input.mentionIds.1"),
        (json!([bob.id, ada.id, bob.id]), "input.mentionIds.2"),
        (json!([bob.id, chat]), "input.mentionIds.1"),
        (json!(["nonsense"]), "input.mentionIds.0"),
        (json!(many), "input.mentionIds"),
        (json!(huge), "input.mentionIds"),
    ] {
        let input = json!({ "chatId": chat, "text": "hi", "mentionIds": users });
        let refused = ask(&ada, SEND, input).await;
        assert_eq!(refused.code_and_field(), ("BAD_USER_INPUT", field));
        let input = json!({ "messageId": message, "text": "hi", "mentionIds": users });
        let refused = ask(&ada, EDIT, input).await;
        assert_eq!(refused.code_and_field(), ("BAD_USER_INPUT", field));
    }
    // A stranger learns nothing of who is a member.
    let input = json!({ "chatId": chat, "text": "hi", "mentionIds": [bob.id] });
    assert_eq!(ask(&cyd, SEND, input).await.code(), "FORBIDDEN");

    // Who has left stays where they were mentioned, and is mentioned nowhere else.
    done(&ada, REMOVE, json!({ "chatId": chat, "userId": bob.id })).await;
    let kept = json!({ "messageId": message, "text": "still", "mentionIds": [bob.id] });
    done(&ada, EDIT, kept).await;
    let input = json!({ "chatId": chat, "text": "hi", "mentionIds": [bob.id] });
    let refused = ask(&ada, SEND, input).await;
    assert_eq!(
        refused.code_and_field(),
        ("BAD_USER_INPUT", "input.mentionIds.0")
    );

    let now = ada.client.data(NAMED, json!({ "id": message })).await;
    assert_eq!(now["node"]["mentions"], json!([{ "name": "bob" }]));
    let end = "query($id: ID!) { chat(id: $id) { lastSeq lastChangeSeq } }";
    let end = ada.client.data(end, json!({ "id": chat })).await;
    assert_eq!(end["chat"], json!({ "lastSeq": 3, "lastChangeSeq": 1 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_has_to_mention_the_same() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let input = |more: Value| {
        let mut input = json!({ "chatId": chat, "text": "hi", "clientMessageId": "a" });
        merge(&mut input, more);
        input
    };
    let named = json!({ "mentionIds": [bob.id] });
    let first = done(&ada, SEND, input(named.clone())).await;
    assert_eq!(done(&ada, SEND, input(named)).await, first);
    for other in [json!({}), json!({ "mentionIds": [ada.id] })] {
        let refused = ask(&ada, SEND, input(other)).await;
        assert_eq!(
            refused.code_and_field(),
            ("CONFLICT", "input.clientMessageId")
        );
    }
    assert_eq!(counts(&bob, &chat).await, (1, 1));
}
