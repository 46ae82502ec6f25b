//! Replies: what a message answers and what answers it, for whom.

use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{start_of, string};

use super::{ADD, DELETE, EDIT, SEND, ask, done, group, send};

const THREAD: &str =
    "query($id: ID!, $first: Int, $after: String) { node(id: $id) { ... on Message {
    text replyCount replyTo { id } replies(first: $first, after: $after) {
        nodes { text replyTo { text } replyCount } edges { cursor }
        pageInfo { hasNextPage hasPreviousPage endCursor } } } } }";
const SHOWN: &str = "query($id: ID!) { chat(id: $id) { messages { nodes {
    seq replyCount replyTo { seq text replyTo { seq } } } } } }";

async fn thread(user: &talksy_tests::client::User, variables: Value) -> Value {
    user.client.data(THREAD, variables).await["node"].clone()
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.map(|item| string(&item["text"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_shows_what_it_answers_and_what_answers_it() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let question = send(&ada, &chat, "Tea?", json!({})).await;
    let question = string(&question["id"]);
    let to = |id: &str| json!({ "replyToId": id });
    let yes = send(&bob, &chat, "Yes", to(&question)).await;
    ada.send(&chat, "in between").await;
    send(&bob, &chat, "With milk", to(&question)).await;
    send(&ada, &chat, "Good", to(&string(&yes["id"]))).await;
    send(&ada, &chat, "Coming", to(&question)).await;

    let seen = thread(&bob, json!({ "id": question })).await;
    assert_eq!(
        (&seen["replyCount"], &seen["replyTo"]),
        (&json!(3), &Value::Null)
    );
    let replies = &seen["replies"];
    assert_eq!(texts(&replies["nodes"]), ["Yes", "With milk", "Coming"]);
    assert_eq!(replies["nodes"][0]["replyCount"], json!(1));
    assert_eq!(replies["nodes"][2]["replyTo"], json!({ "text": "Tea?" }));

    let first = thread(&bob, json!({ "id": question, "first": 2 })).await["replies"].clone();
    assert_eq!(texts(&first["nodes"]), ["Yes", "With milk"]);
    assert_eq!(first["pageInfo"]["hasNextPage"], json!(true));
    let end = &first["pageInfo"]["endCursor"];
    assert_eq!(*end, first["edges"][1]["cursor"]);
    let next = json!({ "id": question, "first": 2, "after": end });
    let next = thread(&bob, next).await["replies"].clone();
    assert_eq!(texts(&next["nodes"]), ["Coming"]);
    let info = &next["pageInfo"];
    assert_eq!(
        (&info["hasNextPage"], &info["hasPreviousPage"]),
        (&json!(false), &json!(true))
    );

    let shown = bob.client.data(SHOWN, json!({ "id": chat })).await;
    let nodes = &shown["chat"]["messages"]["nodes"];
    let deep = json!({ "seq": 2, "text": "Yes", "replyTo": { "seq": 1 } });
    assert_eq!(
        nodes[4],
        json!({ "seq": 5, "replyCount": 0, "replyTo": deep })
    );
    assert_eq!(
        nodes[2],
        json!({ "seq": 3, "replyCount": 0, "replyTo": null })
    );

    // A reply that is deleted counts no more; what is replied to may be deleted and stays.
    done(&bob, DELETE, json!({ "messageId": yes["id"] })).await;
    let edit = json!({ "messageId": question, "text": "Coffee?" });
    done(&ada, EDIT, edit).await;
    let seen = thread(&bob, json!({ "id": question })).await;
    assert_eq!(seen["replyCount"], json!(2));
    assert_eq!(texts(&seen["replies"]["nodes"]), ["With milk", "Coming"]);
    let seen = thread(&bob, json!({ "id": yes["id"] })).await;
    assert_eq!(
        (&seen["replyTo"], &seen["replyCount"]),
        (&Value::Null, &json!(1))
    );
    done(&ada, DELETE, json!({ "messageId": question })).await;
    let seen = thread(&bob, json!({ "id": question })).await;
    assert_eq!(
        (&seen["text"], &seen["replyCount"]),
        (&Value::Null, &json!(2))
    );
}

/// The same live event is one thing to who may read what it answers, and another to who may not.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_may_not_read_is_not_shown_as_answered() {
    const ADDED: &str = "subscription($id: ID!, $after: String) {
        messageAdded(chatId: $id, after: $after) { node { seq text replyTo { text } } } }";
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let bob = app.sign_in("bob").await;
    let cyd = app.sign_in("cyd").await;
    let chat = group(&ada, &[&bob]).await;
    let secret = string(&send(&ada, &chat, "before her", json!({})).await["id"]);
    let add = json!({ "chatId": chat, "userIds": [cyd.id], "historyFrom": "JOIN" });
    done(&ada, ADD, add).await;
    let after = json!({ "id": chat, "after": start_of(&chat) });
    let mut feeds = Vec::new();
    for user in [&cyd, &bob, &ada] {
        feeds.push(user.client.subscribe(ADDED, after.clone()).await);
    }
    let to = json!({ "replyToId": secret });
    send(&bob, &chat, "an answer", to.clone()).await;
    for (feed, answered) in feeds.iter_mut().zip([
        Value::Null,
        json!({ "text": "before her" }),
        json!({ "text": "before her" }),
    ]) {
        let told = loop {
            let node = feed.next().await["messageAdded"]["node"].clone();
            if node["text"] == json!("an answer") {
                break node;
            }
            assert_eq!(node["replyTo"], Value::Null);
        };
        assert_eq!(told["replyTo"], answered);
    }
    let shown = cyd.client.data(SHOWN, json!({ "id": chat })).await;
    let nodes = shown["chat"]["messages"]["nodes"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    assert!(
        nodes.iter().all(|node| node["replyTo"].is_null()),
        "{nodes:?}"
    );
    // She cannot answer it herself.
    let mut input = json!({ "chatId": chat, "text": "guess" });
    super::merge(&mut input, to);
    let refused = ask(&cyd, SEND, input).await;
    assert_eq!(
        refused.code_and_field(),
        ("BAD_USER_INPUT", "input.replyToId")
    );
    let hidden = cyd.client.data(
        "query($id: ID!) { node(id: $id) { id } }",
        json!({ "id": secret }),
    );
    assert_eq!(hidden.await["node"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_to_what_is_no_message_of_the_chat_is_refused_by_name() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let cyd = app.sign_in("cyd").await;
    let other = ada.start_chat(&cyd).await;
    let foreign = bob.start_chat(&cyd).await;
    let own = string(&send(&ada, &chat, "hi", json!({})).await["id"]);
    let elsewhere = string(&send(&ada, &other, "hi", json!({})).await["id"]);
    let secret = string(&send(&bob, &foreign, "hi", json!({})).await["id"]);
    let nobody = "msg_01h455vb4pex5vsknk084sn02q";
    for bad in [&elsewhere, &secret, nobody, &chat, "", "msg_", "nonsense"] {
        let input = json!({ "chatId": chat, "text": "to nothing", "replyToId": bad });
        let refused = ask(&ada, SEND, input).await;
        assert_eq!(
            refused.code_and_field(),
            ("BAD_USER_INPUT", "input.replyToId"),
            "{bad}"
        );
    }
    let shown = ada.client.data(SHOWN, json!({ "id": chat })).await;
    assert_eq!(
        shown["chat"]["messages"]["nodes"].as_array().map(Vec::len),
        Some(1)
    );

    // A retry has to answer the same.
    let input = |to: &Value| json!({ "chatId": chat, "text": "once", "clientMessageId": "a", "replyToId": to });
    let first = done(&ada, SEND, input(&json!(own))).await;
    assert_eq!(done(&ada, SEND, input(&json!(own))).await, first);
    let reply = first["sendMessage"]["message"]["id"].clone();
    for other in [Value::Null, reply] {
        let refused = ask(&ada, SEND, input(&other)).await;
        assert_eq!(
            refused.code_and_field(),
            ("CONFLICT", "input.clientMessageId")
        );
    }

    // Cursors of replies are of one message's replies.
    let thread_of = async |id: &str, more: Value| {
        let mut variables = json!({ "id": id });
        super::merge(&mut variables, more);
        ada.client.run(THREAD, variables).await
    };
    let replies = thread_of(&own, json!({})).await.data()["node"]["replies"].clone();
    let cursor = string(&replies["edges"][0]["cursor"]);
    for (id, after) in [
        (&elsewhere, cursor.as_str()),
        (&own, start_of(&chat).as_str()),
        (&own, "nonsense"),
    ] {
        let refused = thread_of(id, json!({ "after": after })).await;
        assert_eq!(
            refused.code_and_field(),
            ("BAD_USER_INPUT", "after"),
            "{after}"
        );
    }
    for first in [-1, 101] {
        let refused = thread_of(&own, json!({ "first": first })).await;
        assert_eq!(refused.code_and_field(), ("BAD_USER_INPUT", "first"));
    }
}
