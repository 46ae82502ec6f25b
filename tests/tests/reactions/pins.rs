//! Pinned messages.

use serde_json::json;
use talksy_tests::app::TestApp;
use talksy_tests::client::{User, start_of, string};

use super::{ask, done, group, history, pin, send};

const PINNED: &str = "query($id: ID!, $first: Int, $after: String) { chat(id: $id) {
    pinnedMessages(first: $first, after: $after) { nodes { seq isPinned }
        edges { cursor } pageInfo { hasNextPage endCursor } } } }";

#[tokio::test(flavor = "multi_thread")]
async fn pinned_messages_are_listed_newest_pin_first() {
    let app = TestApp::start().await;
    let [ada, bob, cyd] = [
        app.sign_in("ada").await,
        app.sign_in("bob").await,
        app.sign_in("cyd").await,
    ];
    let chat = group(&ada, &[&bob]).await;
    let mut sent = Vec::new();
    for _ in 0..4 {
        sent.push(send(&bob, &chat).await);
    }
    let updated = "subscription($chat: ID!, $after: String) {
        messageUpdated(chatId: $chat, after: $after) { message { seq isPinned } } }";
    let variables = json!({ "chat": chat, "after": start_of(&chat) });
    let mut followed = bob.client.subscribe(updated, variables).await;
    for message in [&sent[1], &sent[3], &sent[0]] {
        assert_eq!(pin(&ada, message, true).await["isPinned"], json!(true));
    }
    for seq in [3, 5, 2] {
        let told = followed.next().await["messageUpdated"]["message"].clone();
        assert_eq!(told, json!({ "seq": seq, "isPinned": true }));
    }
    let page = async |who: &User, chat: &str, first: Option<i64>, after: Option<&str>| {
        let variables = json!({ "id": chat, "first": first, "after": after });
        who.client.run(PINNED, variables).await
    };
    let (mut seen, mut after) = (Vec::new(), None::<String>);
    loop {
        let data = page(&bob, &chat, Some(2), after.as_deref()).await.data();
        let pinned = &data["chat"]["pinnedMessages"];
        for node in pinned["nodes"].as_array().unwrap() {
            seen.push(node["seq"].as_i64().unwrap());
        }
        let end = &pinned["pageInfo"]["endCursor"];
        assert_eq!(
            &pinned["edges"][pinned["edges"].as_array().unwrap().len() - 1]["cursor"],
            end
        );
        after = end.as_str().map(str::to_owned);
        if pinned["pageInfo"]["hasNextPage"] == json!(false) {
            break;
        }
    }
    assert_eq!(seen, [2, 5, 3]);
    let other = group(&bob, &[&cyd]).await;
    for (first, cursor, field) in [
        (Some(101), None, "first"),
        (None, Some("x"), "after"),
        (None, after.as_deref(), "after"),
    ] {
        let refused = page(&bob, &other, first, cursor).await;
        assert_eq!(refused.code_and_field(), ("BAD_USER_INPUT", field));
    }
    // Who joins later is shown what they may read.
    let join = "mutation($input: AddMembersInput!) { addMembers(input: $input) { chat { id } } }";
    let input = json!({ "chatId": chat, "userIds": [cyd.id] });
    ada.client.data(join, json!({ "input": input })).await;
    assert_eq!(
        history(&cyd, &chat).await["pinnedMessages"]["nodes"],
        json!([])
    );
    let later = send(&bob, &chat).await;
    pin(&ada, &later, true).await;
    assert_eq!(
        history(&cyd, &chat).await["pinnedMessages"]["nodes"],
        json!([{ "seq": 7 }])
    );
    let gone = pin(&ada, &sent[0], false).await;
    assert_eq!(gone["isPinned"], json!(false));
    let left = history(&bob, &chat).await;
    assert_eq!(
        left["pinnedMessages"]["nodes"],
        json!([{ "seq": 7 }, { "seq": 5 }, { "seq": 3 }])
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hundred_and_first_pin_is_refused() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let mut sent = Vec::new();
    for _ in 0..101 {
        sent.push(send(&ada, &chat).await);
    }
    for message in &sent[..100] {
        pin(&bob, message, true).await;
    }
    let input = json!({ "messageId": sent[100], "pinned": true });
    let reply = ask(&ada, "pinMessage", input.clone()).await;
    assert_eq!(reply.code_and_field(), ("CONFLICT", "input.messageId"));
    let message = string(&reply.error()["message"]);
    assert!(message.contains("100"), "{message}");
    pin(&ada, &sent[50], false).await;
    done(&ada, "pinMessage", input).await;
    app.stop().await;
}
