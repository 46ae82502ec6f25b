//! Many users, and a group that has all of them as members.

use serde_json::json;

use super::account::{self, User, text};
use super::http::Connection;
use super::outcome::{Context as _, Outcome};
use super::process::{Home, Process};

/// Users who are signed in together.
const TOGETHER: usize = 1000;
/// Members that one request adds.
const ADDED: usize = 100;

const CREATE: &str = "mutation($input: CreateGroupInput!) { \
    createGroup(input: $input) { chat { id } } }";
const ADD: &str = "mutation($input: AddMembersInput!) { \
    addMembers(input: $input) { chat { id } } }";

/// Signs so many users in.
pub(super) async fn sign_in(home: &Home, server: &Process, users: usize) -> Outcome<Vec<User>> {
    let mut crowd = Vec::new();
    while crowd.len() < users {
        let (name, some) = (format!("crowd-{}", crowd.len()), users - crowd.len());
        let some = account::sign_in(home, server, &name, some.min(TOGETHER));
        crowd.extend(some.await?);
    }
    Ok(crowd)
}

/// The id of a new group of all of them, which the first one owns.
pub(super) async fn group(server: &Process, crowd: &[User]) -> Outcome<String> {
    let (owner, others) = crowd.split_first().context("nobody is there")?;
    let mut connection = Connection::open(server.address).await?;
    let token = Some(&*owner.token);
    let input = json!({ "input": { "title": "Everybody", "memberIds": [] } });
    let made = connection.graphql(token, CREATE, input).await?;
    let chat = text(&made["createGroup"]["chat"]["id"])?;
    for some in others.chunks(ADDED) {
        let ids: Vec<_> = some.iter().map(|member| &member.id).collect();
        let input = json!({ "input": { "chatId": chat, "userIds": ids, "historyFrom": "ALL" } });
        connection.graphql(token, ADD, input).await?;
    }
    Ok(chat)
}
