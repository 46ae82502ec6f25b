//! What is reported, and what becomes of it.

use std::time::Duration;

use serde_json::{Value, json};
use talksy_tests::client::string;

use super::{DELETE, REPORT, REPORTS, RESOLVE, ask, done, operated, report, reports, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_reported_message_is_shown_to_operators_wherever_it_lies() {
    let (app, olga) = operated().await;
    let (ada, bob, chat) = app.pair().await;
    let message = send(&ada, &chat, "Buy my pills").await;
    let id = report(&bob, &message, "  It is spam.\nAgain. ").await;
    assert!(id.starts_with("rep_"), "{id}");
    assert_eq!(report(&bob, &message, "another reason").await, id);
    send(&bob, &chat, "no").await;

    let listed = reports(&olga, Some("OPEN")).await;
    let shown = json!({ "id": message, "text": "Buy my pills", "sender": { "name": "ada" },
        "chat": { "title": listed[0]["message"]["chat"]["title"], "viewerMember": null,
            "lastMessage": null } });
    assert_eq!(
        listed,
        [
            json!({ "id": id, "reason": "It is spam.\nAgain.", "state": "OPEN", "resolution": null,
            "reportedBy": { "name": "bob" }, "resolvedBy": null, "message": shown })
        ]
    );
    assert_eq!(reports(&olga, Some("RESOLVED")).await, [] as [Value; 0]);
    // What members read of the chat stays theirs.
    for field in [
        "messages(last: 1) { nodes { text } }",
        "changes(first: 1) { nodes { changeSeq } }",
        "pinnedMessages { nodes { text } }",
        "members { nodes { user { name } } }",
    ] {
        let query = format!(
            "{{ moderation {{ reports {{ nodes {{ message {{ chat {{ {field} }} }} }} }} }} }}"
        );
        let reply = olga.client.run(&query, json!({})).await;
        assert_eq!(reply.code(), "FORBIDDEN", "{field}");
    }
    let query = "query($id: ID!) { chat(id: $id) { id } node(id: $id) { id } }";
    let none = olga.client.data(query, json!({ "id": chat })).await;
    assert_eq!(none, json!({ "chat": null, "node": null }));

    // There is no copy: it is shown as it is now.
    let edit = "mutation($id: ID!) { editMessage(input: { messageId: $id, text: \"Nothing\" }) {
        message { id } } }";
    ada.client.data(edit, json!({ "id": message })).await;
    assert_eq!(reports(&olga, None).await[0]["message"]["text"], "Nothing");
    done(&ada, DELETE, json!({ "messageId": message })).await;
    assert_eq!(reports(&olga, None).await[0]["message"], Value::Null);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_report_what_is_told_so() {
    let (app, olga) = operated().await;
    let (ada, bob, chat) = app.pair().await;
    let cyd = app.sign_in("cyd").await;
    let message = send(&ada, &chat, "hello").await;
    let group = "mutation($bob: ID!) { createGroup(input: { title: \"G\", memberIds: [$bob] }) {
        chat { lastMessage { id } } } }";
    let group = ada.client.data(group, json!({ "bob": bob.id })).await;
    let notice = string(&group["createGroup"]["chat"]["lastMessage"]["id"]);
    let deleted = send(&ada, &chat, "gone").await;
    done(&ada, DELETE, json!({ "messageId": deleted })).await;
    let unknown = "msg_01h455vb4pex5vsknk084sn02q";
    let (control, long) = ("a\u{1B}[2J", "x".repeat(1_001));
    let (message, notice, deleted) = (&*message, &*notice, &*deleted);
    for (user, message, reason, code, field) in [
        (&cyd, message, "Spam", "NOT_FOUND", "input.messageId"),
        (&olga, message, "Spam", "NOT_FOUND", "input.messageId"),
        (&bob, unknown, "Spam", "NOT_FOUND", "input.messageId"),
        (&bob, &*chat, "Spam", "BAD_USER_INPUT", "input.messageId"),
        (&ada, message, "Spam", "FORBIDDEN", "input.messageId"),
        (&bob, notice, "Spam", "FORBIDDEN", "input.messageId"),
        (&bob, deleted, "Spam", "CONFLICT", "input.messageId"),
        (&bob, message, " ", "BAD_USER_INPUT", "input.reason"),
        (&bob, message, control, "BAD_USER_INPUT", "input.reason"),
        (&bob, message, &*long, "BAD_USER_INPUT", "input.reason"),
    ] {
        let input = json!({ "messageId": message, "reason": reason });
        let reply = ask(user, REPORT, input).await;
        assert_eq!(reply.code_and_field(), (code, field), "{message} {reason}");
    }
    assert_eq!(reports(&olga, None).await, [] as [Value; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_resolved_once() {
    let (app, olga) = operated().await;
    let (ada, bob, chat) = app.pair().await;
    let message = send(&ada, &chat, "hello").await;
    let id = report(&bob, &message, "Spam").await;
    let resolve = async |id: &str, text: &str| {
        ask(
            &olga,
            RESOLVE,
            json!({ "reportId": id, "resolution": text }),
        )
        .await
    };
    let resolved = resolve(&id, "No spam").await.data();
    let expected = json!({ "id": id, "state": "RESOLVED", "resolution": "No spam",
        "resolvedBy": { "id": olga.id } });
    assert_eq!(resolved["resolveReport"]["report"], expected);
    assert_eq!(resolve(&id, " No spam").await.data(), resolved, "again");
    let other = resolve(&id, "Spam after all").await;
    assert_eq!(other.code_and_field(), ("CONFLICT", "input.reportId"));
    let unknown = resolve("rep_01h455vb4pex5vsknk084sn02q", "Nothing").await;
    assert_eq!(unknown.code_and_field(), ("NOT_FOUND", "input.reportId"));
    let blank = resolve(&id, "").await;
    assert_eq!(
        blank.code_and_field(),
        ("BAD_USER_INPUT", "input.resolution")
    );

    // It may be reported again then.
    app.clock.advance(Duration::from_millis(1));
    let next = report(&bob, &message, "Still").await;
    assert_ne!(next, id);
    let states: Vec<_> = reports(&olga, None).await;
    let states: Vec<_> = states
        .iter()
        .map(|one| (string(&one["id"]), string(&one["state"])))
        .collect();
    let expected = [
        (next.clone(), "OPEN".to_owned()),
        (id, "RESOLVED".to_owned()),
    ];
    assert_eq!(states, expected, "newest first");
    let page = json!({ "first": 1 });
    let first = olga.client.data(REPORTS, page).await["moderation"]["reports"].clone();
    let page = json!({ "first": 1, "after": first["pageInfo"]["endCursor"] });
    let second = olga.client.data(REPORTS, page).await["moderation"]["reports"].clone();
    assert_eq!(first["nodes"][0]["id"], next);
    assert_eq!(first["pageInfo"]["hasNextPage"], true);
    assert_eq!(second["nodes"][0]["state"], "RESOLVED");
    assert_eq!(second["pageInfo"]["hasNextPage"], false);
}
