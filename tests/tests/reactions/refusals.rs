//! What is refused, and changes nothing.

use std::time::Duration;

use serde_json::json;
use talksy_server::config::Quota;
use talksy_tests::app::TestApp;
use talksy_tests::client::string;

use super::{add, ask, done, group, history, send};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_single_emoji_is_refused_and_changes_nothing() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let message = send(&ada, &chat).await;
    add(&bob, &message, "👍").await;
    let before = history(&ada, &chat).await;
    let flood = format!("e{}", "\u{301}".repeat(1_000));
    let long = "👍".repeat(20_000);
    let chain = vec!["👩"; 100].join("\u{200D}");
    for emoji in [
        "",
        " ",
        "a",
        "1",
        "1\u{FE0F}",
        ":+1:",
        "👍👍",
        "👍 ",
        "👍a",
        "🇩",
        "🇽🇽",
        "🏽",
        "\u{FE0F}",
        "\u{200D}",
        "👍\u{200D}",
        "🐈🏽",
        "👍\u{FE0E}",
        "👍\u{202E}",
        "\u{200B}",
        "👍\u{0}",
        &flood,
        &long,
        &chain,
    ] {
        for mutation in ["addReaction", "removeReaction"] {
            let input = json!({ "messageId": message, "emoji": emoji });
            let reply = ask(&bob, mutation, input).await;
            assert_eq!(
                reply.code_and_field(),
                ("BAD_USER_INPUT", "input.emoji"),
                "{emoji:?}"
            );
        }
    }
    for id in ["", "nonsense", &chat, &ada.id, "' OR 1=1 --"] {
        for (mutation, input) in [
            ("addReaction", json!({ "messageId": id, "emoji": "👍" })),
            ("removeReaction", json!({ "messageId": id, "emoji": "👍" })),
            ("pinMessage", json!({ "messageId": id, "pinned": true })),
        ] {
            let reply = ask(&bob, mutation, input).await;
            assert_eq!(
                reply.code_and_field(),
                ("BAD_USER_INPUT", "input.messageId"),
                "{id}"
            );
        }
    }
    assert_eq!(history(&ada, &chat).await, before);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reacts_or_pins_where_they_may_not() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let (eve, cyd) = (app.sign_in("eve").await, app.sign_in("cyd").await);
    let message = send(&ada, &chat).await;
    let engines = group(&ada, &[&cyd]).await;
    let of_group = send(&cyd, &engines).await;
    let before = (history(&ada, &chat).await, history(&ada, &engines).await);
    let unknown = "msg_01h455vb4pex5vsknk084sn02q";
    let all = |id: &str| {
        [
            ("addReaction", json!({ "messageId": id, "emoji": "👍" })),
            ("removeReaction", json!({ "messageId": id, "emoji": "👍" })),
            ("pinMessage", json!({ "messageId": id, "pinned": true })),
        ]
    };
    // Whoever may not read a message is not told that it is there.
    for (who, id) in [
        (&eve, message.as_str()),
        (&bob, of_group.as_str()),
        (&bob, unknown),
    ] {
        for (mutation, input) in all(id) {
            let reply = ask(who, mutation, input).await;
            assert_eq!(reply.code_and_field(), ("NOT_FOUND", "input.messageId"));
        }
    }
    let nobody = app.client();
    for (mutation, _) in all(unknown) {
        let (first, rest) = mutation.split_at(1);
        let kind = format!("{}{rest}Input", first.to_uppercase());
        let query = format!("mutation($i: {kind}!) {{ {mutation}(input: $i) {{ __typename }} }}");
        let input = all(&message)
            .into_iter()
            .find(|(name, _)| *name == mutation);
        let reply = nobody.run(&query, json!({ "i": input.unwrap().1 })).await;
        assert_eq!(reply.code(), "UNAUTHENTICATED");
    }
    let input = json!({ "messageId": of_group, "pinned": true });
    let reply = ask(&cyd, "pinMessage", input).await;
    assert_eq!(reply.code_and_field(), ("FORBIDDEN", "input.messageId"));
    let first = "query($id: ID!) { chat(id: $id) { messages(first: 1) { nodes { id } } } }";
    let notice = ada.client.data(first, json!({ "id": engines })).await;
    let notice = string(&notice["chat"]["messages"]["nodes"][0]["id"]);
    for (mutation, input) in all(&notice) {
        let reply = ask(&ada, mutation, input).await;
        assert_eq!(reply.code_and_field(), ("FORBIDDEN", "input.messageId"));
    }
    let after = (history(&ada, &chat).await, history(&ada, &engines).await);
    assert_eq!(after, before);
    // What is not there is not there either where the message is deleted.
    let delete =
        "mutation($id: ID!) { deleteMessage(input: { messageId: $id }) { message { id } } }";
    ada.client.data(delete, json!({ "id": message })).await;
    for (mutation, input) in all(&message) {
        let reply = ask(&bob, mutation, input).await;
        if mutation == "removeReaction" {
            reply.data();
        } else {
            assert_eq!(reply.code_and_field(), ("CONFLICT", "input.messageId"));
        }
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_takes_fifty_different_emoji() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let message = send(&ada, &chat).await;
    let faces: Vec<String> = (0x1F600_u32..)
        .filter_map(char::from_u32)
        .map(String::from)
        .take(51)
        .collect();
    for face in &faces[..50] {
        add(&ada, &message, face).await;
    }
    let input = json!({ "messageId": message, "emoji": faces[50] });
    let reply = ask(&bob, "addReaction", input).await;
    assert_eq!(reply.code_and_field(), ("CONFLICT", "input.emoji"));
    let known = add(&bob, &message, &faces[0]).await;
    assert_eq!(known["reactions"].as_array().map(Vec::len), Some(50));
    assert_eq!(known["reactions"][0]["count"], json!(2));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_reacts_so_often_and_is_told_for_how_long_to_wait() {
    let app = TestApp::builder()
        .config(|config| {
            config.limits.react = Quota {
                burst: 2,
                period: Duration::from_mins(1),
            };
        })
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    let message = send(&ada, &chat).await;
    add(&ada, &message, "👍").await;
    let input = json!({ "messageId": message, "emoji": "👍" });
    done(&ada, "removeReaction", input.clone()).await;
    let reply = ask(&ada, "addReaction", input).await;
    assert_eq!(reply.code(), "RATE_LIMITED");
    assert_eq!(reply.error()["extensions"]["retryAfter"], json!(30));
    add(&bob, &message, "👍").await;
    app.clock.advance(Duration::from_secs(30));
    add(&ada, &message, "👍").await;
    app.stop().await;
}
