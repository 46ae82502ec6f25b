//! Reactions and pinned messages as clients see them.

mod pins;
mod refusals;
mod telling;

use serde_json::{Value, json};
use talksy_tests::client::{Reply, User, string};

const GROUPS: &str = "reactions { id emoji count viewerHasReacted }";
const HISTORY: &str = "query($id: ID!) { chat(id: $id) { lastChangeSeq
    messages(first: 10) { nodes { seq changeSeq isPinned
        reactions { emoji count viewerHasReacted users(first: 5) { nodes { name } } } } }
    pinnedMessages { nodes { seq } } } }";

async fn ask(user: &User, mutation: &str, input: Value) -> Reply {
    let (first, rest) = mutation.split_at(1);
    let kind = format!("{}{rest}Input", first.to_uppercase());
    let query = format!(
        "mutation($input: {kind}!) {{ {mutation}(input: $input) {{
            message {{ id seq changeSeq isPinned {GROUPS} }} }} }}"
    );
    user.client.run(&query, json!({ "input": input })).await
}

/// Runs one of the three mutations; the message.
async fn done(user: &User, mutation: &str, input: Value) -> Value {
    let reply = ask(user, mutation, input).await;
    assert!(reply.body.get("errors").is_none(), "{}", reply.body);
    reply.data()[mutation]["message"].clone()
}

async fn add(user: &User, message: &str, emoji: &str) -> Value {
    let input = json!({ "messageId": message, "emoji": emoji });
    done(user, "addReaction", input).await
}

async fn pin(user: &User, message: &str, pinned: bool) -> Value {
    let input = json!({ "messageId": message, "pinned": pinned });
    done(user, "pinMessage", input).await
}

async fn send(user: &User, chat: &str) -> String {
    string(&user.send(chat, "hello").await["message"]["id"])
}

async fn history(user: &User, chat: &str) -> Value {
    let data = user.client.data(HISTORY, json!({ "id": chat })).await;
    data["chat"].clone()
}

async fn group(owner: &User, members: &[&User]) -> String {
    let create = "mutation($input: CreateGroupInput!) {
        createGroup(input: $input) { chat { id } } }";
    let members: Vec<_> = members.iter().map(|user| &user.id).collect();
    let input = json!({ "title": "Engines", "memberIds": members });
    let data = owner.client.data(create, json!({ "input": input })).await;
    string(&data["createGroup"]["chat"]["id"])
}
