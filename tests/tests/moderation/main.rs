//! Reports, accounts and what operators do about them, as clients see it.

#![expect(
    clippy::unwrap_used,
    reason = "a fixture that cannot be made fails the test"
)]

mod operating;
mod reports;
mod suspending;

use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{Reply, User, string};

const REPORT: &str = "mutation($input: ReportMessageInput!) {
    reportMessage(input: $input) { reportId } }";
const RESOLVE: &str = "mutation($input: ResolveReportInput!) { resolveReport(input: $input) {
    report { id state resolution resolvedBy { id } } } }";
const SUSPEND: &str = "mutation($input: SuspendUserInput!) { suspendUser(input: $input) {
    moderatedUser { id isSuspended suspendedUntil reason user { id } } } }";
const RESTORE: &str = "mutation($input: RestoreUserInput!) { restoreUser(input: $input) {
    moderatedUser { id isSuspended suspendedUntil reason } } }";
const DELETE: &str = "mutation($input: DeleteMessageInput!) { deleteMessage(input: $input) {
    message { id changeSeq text deletedAt chat { viewerMember { id } lastMessage { id } } } } }";
const REPORTS: &str = "query($state: ReportState, $first: Int, $after: String) { moderation {
    reports(state: $state, first: $first, after: $after) {
        nodes { id reason state resolution reportedBy { name } resolvedBy { name }
            message { id text sender { name } chat { title viewerMember { id } lastMessage { id } } } }
        edges { cursor node { id } } pageInfo { hasNextPage endCursor } } } }";
const USERS: &str = "query($search: String, $suspended: Boolean, $first: Int, $after: String) {
    moderation { users(search: $search, suspended: $suspended, first: $first, after: $after) {
        nodes { isSuspended user { name } } edges { cursor node { id } } pageInfo { hasNextPage endCursor } } } }";

/// A server that Olga operates.
async fn operated() -> (TestApp, User) {
    let app = TestApp::builder()
        .config(|config| config.users.operators = vec![" Olga@Example.org".to_owned()])
        .start()
        .await;
    let olga = app.sign_in("olga").await;
    (app, olga)
}

async fn ask(user: &User, mutation: &str, input: Value) -> Reply {
    user.client.run(mutation, json!({ "input": input })).await
}

/// The payload of a mutation that is not refused.
async fn done(user: &User, mutation: &str, input: Value) -> Value {
    let data = ask(user, mutation, input).await.data();
    let payload = data.as_object().unwrap().values().next();
    payload.unwrap().clone()
}

async fn report(user: &User, message: &str, reason: &str) -> String {
    let input = json!({ "messageId": message, "reason": reason });
    string(&done(user, REPORT, input).await["reportId"])
}

async fn reports(operator: &User, state: Option<&str>) -> Vec<Value> {
    let data = operator
        .client
        .data(REPORTS, json!({ "state": state }))
        .await;
    let nodes = data["moderation"]["reports"]["nodes"].as_array();
    nodes.unwrap().clone()
}

async fn send(user: &User, chat: &str, text: &str) -> String {
    string(&user.send(chat, text).await["message"]["id"])
}

/// The names in a list of accounts, page by page.
async fn names(operator: &User, arguments: Value, size: usize) -> Vec<String> {
    let (mut names, mut after) = (Vec::new(), Value::Null);
    loop {
        let mut variables = arguments.clone();
        variables["first"] = json!(size);
        variables["after"] = after;
        let data = operator.client.data(USERS, variables).await;
        let page = &data["moderation"]["users"];
        let nodes = page["nodes"].as_array().unwrap();
        names.extend(nodes.iter().map(|node| string(&node["user"]["name"])));
        if page["pageInfo"]["hasNextPage"] == json!(false) {
            return names;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}
