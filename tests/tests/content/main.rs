//! What a message carries besides its text, as clients see it.

mod mentions;
mod metadata;
mod replies;
mod unread;

use serde_json::{Value, json};
use talksy_tests::client::{Reply, User, string};

const SEND: &str = "mutation($input: SendMessageInput!) { sendMessage(input: $input) {
    message { id seq changeSeq text metadata } } }";
const EDIT: &str = "mutation($input: EditMessageInput!) { editMessage(input: $input) {
    message { id seq changeSeq text metadata editedAt } } }";
const DELETE: &str = "mutation($input: DeleteMessageInput!) { deleteMessage(input: $input) {
    message { id seq changeSeq text metadata deletedAt } } }";
const CREATE: &str = "mutation($input: CreateGroupInput!) { createGroup(input: $input) {
    chat { id title metadata } } }";

const ADD: &str =
    "mutation($input: AddMembersInput!) { addMembers(input: $input) { chat { id } } }";

const REMOVE: &str =
    "mutation($input: RemoveMemberInput!) { removeMember(input: $input) { chat { id } } }";

/// Asks for something that may be refused.
async fn ask(user: &User, mutation: &str, input: Value) -> Reply {
    user.client.run(mutation, json!({ "input": input })).await
}

/// Does something that must succeed.
async fn done(user: &User, mutation: &str, input: Value) -> Value {
    user.client.data(mutation, json!({ "input": input })).await
}

/// Sends a message with further content; the message.
async fn send(user: &User, chat: &str, text: &str, more: Value) -> Value {
    let mut input = json!({ "chatId": chat, "text": text });
    merge(&mut input, more);
    done(user, SEND, input).await["sendMessage"]["message"].clone()
}

/// Puts the members of an object into another.
fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

/// Makes a group; its id.
async fn group(user: &User, members: &[&User]) -> String {
    let members: Vec<_> = members.iter().map(|user| &user.id).collect();
    let input = json!({ "title": "Engines", "memberIds": members });
    string(&done(user, CREATE, input).await["createGroup"]["chat"]["id"])
}
