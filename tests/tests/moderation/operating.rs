//! Who operates the server, what they see, and what they do that is logged.

use std::time::Duration;

use serde_json::{Value, json};
use talksy_domain::moderation::OperatorAct;
use talksy_tests::client::{User, start_of, string};
use talksy_tests::process::run_talksy;

use super::{DELETE, RESOLVE, RESTORE, SUSPEND, USERS, ask, done, names, operated, report, send};

#[tokio::test(flavor = "multi_thread")]
async fn others_are_shown_nothing_of_moderation() {
    let (app, olga) = operated().await;
    let (ada, bob, chat) = app.pair().await;
    let message = send(&ada, &chat, "hello").await;
    let id = report(&bob, &message, "Spam").await;
    for user in [&ada, &bob] {
        let reply = user
            .client
            .run("{ moderation { __typename } }", json!({}))
            .await;
        assert_eq!(reply.code_and_field(), ("FORBIDDEN", ""));
        // Not even what is one's own.
        let node = "query($id: ID!) { node(id: $id) { id } nodes(ids: [$id]) { id } }";
        let data = user.client.data(node, json!({ "id": id })).await;
        assert_eq!(data, json!({ "node": null, "nodes": [null] }));
        for (mutation, input) in [
            (RESOLVE, json!({ "reportId": id, "resolution": "Nothing" })),
            (SUSPEND, json!({ "userId": ada.id, "reason": "Spam" })),
            (SUSPEND, json!({ "userId": olga.id, "reason": "Spam" })),
            (RESTORE, json!({ "userId": ada.id })),
        ] {
            let reply = ask(user, mutation, input).await;
            assert_eq!(reply.code_and_field(), ("FORBIDDEN", ""), "{mutation}");
        }
    }
    let node = "query($id: ID!) { node(id: $id) { id ... on Report { state } } }";
    let data = olga.client.data(node, json!({ "id": id })).await;
    assert_eq!(data["node"], json!({ "id": id, "state": "OPEN" }));
    let stranger = app.client();
    let refused = stranger.run("{ moderation { __typename } }", json!({}));
    assert_eq!(refused.await.code(), "UNAUTHENTICATED");

    let own =
        "query($olga: ID!) { me { isOperator } node(id: $olga) { ... on User { isOperator } } }";
    let seen = async |user: &User| user.client.data(own, json!({ "olga": olga.id })).await;
    let of_ada = json!({ "me": { "isOperator": false }, "node": { "isOperator": null } });
    assert_eq!(seen(&ada).await, of_ada);
    let of_olga = json!({ "me": { "isOperator": true }, "node": { "isOperator": true } });
    assert_eq!(seen(&olga).await, of_olga);
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_listed_in_three_orders() {
    let (app, olga) = operated().await;
    let mut people = Vec::new();
    for name in ["anna", "anton", "bert", "anke", "cora"] {
        // Ids tell the time to the millisecond.
        app.clock.advance(Duration::from_millis(1));
        people.push(app.sign_in(name).await);
    }
    for user in [&people[1], &people[3], &people[2]] {
        app.clock.advance(Duration::from_millis(1));
        done(
            &olga,
            SUSPEND,
            json!({ "userId": user.id, "reason": "Spam" }),
        )
        .await;
    }
    for size in [1, 2, 100] {
        let listed = async |arguments| names(&olga, arguments, size).await;
        let all = ["cora", "anke", "bert", "anton", "anna", "olga"];
        assert_eq!(listed(json!({})).await, all, "newest first");
        let active = listed(json!({ "suspended": false })).await;
        assert_eq!(active, ["cora", "anna", "olga"]);
        let suspended = listed(json!({ "suspended": true })).await;
        assert_eq!(suspended, ["bert", "anke", "anton"], "last suspended first");
        let named = listed(json!({ "search": "AN" })).await;
        assert_eq!(named, ["anke", "anna", "anton"], "by name");
        let named = listed(json!({ "search": "an", "suspended": true })).await;
        assert_eq!(named, ["anke", "anton"]);
        let named = listed(json!({ "search": "an", "suspended": false })).await;
        assert_eq!(named, ["anna"]);
        assert_eq!(
            listed(json!({ "search": "Bert@example.org" })).await,
            ["bert"]
        );
        let none = json!({ "search": "bert@example.org", "suspended": false });
        assert_eq!(listed(none).await, [""; 0]);
    }
    // A cursor belongs to its order.
    let page = olga.client.data(USERS, json!({ "first": 1 })).await;
    let cursor = page["moderation"]["users"]["pageInfo"]["endCursor"].clone();
    for arguments in [json!({ "suspended": true }), json!({ "search": "a" })] {
        let mut variables = arguments;
        variables["after"] = cursor.clone();
        let reply = olga.client.run(USERS, variables).await;
        assert_eq!(reply.code_and_field(), ("BAD_USER_INPUT", "after"));
    }
    let long = json!({ "search": "x".repeat(101) });
    let reply = olga.client.run(USERS, long).await;
    assert_eq!(reply.code_and_field(), ("BAD_USER_INPUT", "search"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_deletes_any_message_and_all_is_logged() {
    const UPDATED: &str = "subscription($chat: ID!, $after: String) {
        messageUpdated(chatId: $chat, after: $after) {
            changeSeq message { seq changeSeq text deletedAt } } }";
    let (app, olga) = operated().await;
    let (ada, bob, chat) = app.pair().await;
    let message = send(&ada, &chat, "Buy my pills").await;
    let cyd = app.sign_in("cyd").await;
    let variables = json!({ "chat": chat, "after": start_of(&chat) });
    let mut updates = bob.client.subscribe(UPDATED, variables).await;
    let input = json!({ "messageId": message });
    let refused = ask(&cyd, DELETE, input.clone()).await;
    assert_eq!(refused.code_and_field(), ("NOT_FOUND", "input.messageId"));
    let refused = ask(&bob, DELETE, input.clone()).await;
    assert_eq!(refused.code_and_field(), ("FORBIDDEN", "input.messageId"));

    let deleted = done(&olga, DELETE, input.clone()).await["message"].clone();
    assert_eq!(
        (&deleted["changeSeq"], &deleted["text"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(
        deleted["chat"],
        json!({ "viewerMember": null, "lastMessage": null })
    );
    let told = updates.next().await["messageUpdated"].clone();
    assert_eq!(told["message"]["changeSeq"], 1);
    assert_eq!(told["message"]["deletedAt"], deleted["deletedAt"]);
    assert_eq!(
        done(&olga, DELETE, input).await["message"],
        deleted,
        "again"
    );
    let unknown = json!({ "messageId": "msg_01h455vb4pex5vsknk084sn02q" });
    let refused = ask(&olga, DELETE, unknown).await;
    assert_eq!(refused.code_and_field(), ("NOT_FOUND", "input.messageId"));
    // As a sender or an admin they do what others do.
    let own = olga.start_chat(&ada).await;
    let sent = send(&olga, &own, "hello").await;
    done(&olga, DELETE, json!({ "messageId": sent })).await;

    app.clock.advance(Duration::from_millis(1));
    done(
        &olga,
        SUSPEND,
        json!({ "userId": ada.id, "reason": "Spam" }),
    )
    .await;
    app.clock.advance(Duration::from_millis(1));
    done(&olga, RESTORE, json!({ "userId": ada.id })).await;
    let log = app
        .adapters
        .ports
        .moderation
        .audit(None, 100)
        .await
        .unwrap();
    let acts: Vec<_> = log.iter().map(|entry| entry.act.name()).collect();
    assert_eq!(acts, ["deleteMessage", "suspendUser", "restoreUser"]);
    assert!(
        log.iter()
            .all(|entry| entry.operator_id.to_string() == olga.id)
    );
    let expected = OperatorAct::DeleteMessage {
        message_id: message.parse().unwrap(),
        chat_id: chat.parse().unwrap(),
        sender_id: Some(ada.id.parse().unwrap()),
    };
    assert_eq!(log[0].act, expected);

    // The server's owner reads it, beside the running server too.
    let printed = run_talksy(app.data_dir(), &["audit"]).await;
    assert_eq!(printed.status.code(), Some(0));
    let printed = String::from_utf8(printed.stdout).unwrap();
    let lines = printed.lines().map(serde_json::from_str::<Value>);
    let lines: Vec<Value> = lines.map(Result::unwrap).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1]["act"], "suspendUser");
    assert_eq!(lines[1]["operatorId"], json!(olga.id));
    assert_eq!(lines[1]["userId"], json!(ada.id));
    assert_eq!(lines[1]["reason"], "Spam");
    let first = string(&lines[0]["id"]);
    let rest = run_talksy(app.data_dir(), &["audit", "--after", &first]).await;
    assert_eq!(String::from_utf8(rest.stdout).unwrap().lines().count(), 2);
    app.stop().await;
}
