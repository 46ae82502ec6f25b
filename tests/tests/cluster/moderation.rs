//! Operators on one server, and those whom it concerns on another.

use serde_json::{Value, json};
use talksy_tests::client::{MESSAGE_ADDED, start_of, string};
use talksy_tests::cluster::client_at;
use talksy_tests::eventually;

use super::Two;

const UPDATED: &str = "subscription($chat: ID!, $after: String) {
    messageUpdated(chatId: $chat, after: $after) { changeSeq message { changeSeq text } } }";

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_does_on_one_server_is_felt_on_the_other() {
    let two = Two::start(&["users.operators=olga@example.org"]).await;
    let olga = two.b.sign_in("olga").await;
    let sent = two.ada.send(&two.chat, "Buy my pills").await;
    let message = string(&sent["message"]["id"]);
    let report = "mutation($id: ID!) { reportMessage(input: { messageId: $id, reason: \"Spam\" }) {
        reportId } }";
    let data = two.bob.client.data(report, json!({ "id": message })).await;
    let id = string(&data["reportMessage"]["reportId"]);
    let elsewhere = client_at(&two.bob, two.a.address());
    let again = elsewhere.data(report, json!({ "id": message })).await;
    assert_eq!(again["reportMessage"]["reportId"], json!(id));

    let of_bob = client_at(&two.bob, two.a.address());
    let variables = json!({ "chat": two.chat, "after": start_of(&two.chat) });
    let mut updates = of_bob.subscribe(UPDATED, variables).await;
    let variables = json!({ "chatId": two.chat });
    let mut of_ada = two.ada.client.subscribe(MESSAGE_ADDED, variables).await;
    let act = "mutation($message: ID!, $user: ID!, $report: ID!) {
        deleteMessage(input: { messageId: $message }) { message { changeSeq } }
        suspendUser(input: { userId: $user, reason: \"Spam\" }) { moderatedUser { isSuspended } }
        resolveReport(input: { reportId: $report, resolution: \"Done\" }) { report { state } } }";
    let variables = json!({ "message": message, "user": two.ada.id, "report": id });
    let done = olga.client.data(act, variables).await;
    assert_eq!(done["deleteMessage"]["message"]["changeSeq"], 1);
    assert_eq!(done["suspendUser"]["moderatedUser"]["isSuspended"], true);
    assert_eq!(done["resolveReport"]["report"]["state"], "RESOLVED");

    let told = updates.next().await["messageUpdated"]["message"].clone();
    assert_eq!(told, json!({ "changeSeq": 1, "text": null }));
    assert_eq!(of_ada.socket().closed().await, 4403);
    eventually("a refused token", async || {
        let reply = two.ada.client.run("{ me { id } }", json!({})).await;
        let is_refused = reply.body["errors"] != Value::Null;
        (is_refused && reply.code() == "UNAUTHENTICATED").then_some(())
    })
    .await;
    let refreshed = client_at(&two.ada, two.b.address());
    let refreshed = refreshed.refresh(&two.ada.refresh_token).await;
    assert_eq!(refreshed.code(), "UNAUTHENTICATED");
}
