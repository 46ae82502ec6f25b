//! The server's own answer: what it says, when asked, that a user may see. What clients keep by
//! feeds, and what they were told was done, is compared with it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::client::Client;
use crate::cluster::PAUSE;
use crate::soon;

/// What is asked of each message.
pub const MESSAGE: &str = "id seq changeSeq text clientMessageId editedAt deletedAt sender { id }
    system { kind actor { id } subjects { id } title role }";

/// What is asked of each chat, besides its messages.
pub const CHAT: &str = "id title memberCount isMutedByViewer viewerMember { role lastReadSeq }";

/// Somebody, or something, by its id.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Ref {
    /// The id.
    pub id: String,
}

/// What a system message says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// What happened.
    pub kind: String,
    /// Who did it.
    pub actor: Option<Ref>,
    /// Whom it concerns.
    pub subjects: Vec<Ref>,
    /// The title from then on.
    pub title: Option<String>,
    /// The role that was given.
    pub role: Option<String>,
}

/// A message as it was told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its id.
    pub id: String,
    /// Its number.
    pub seq: i64,
    /// The number of its latest change; 0 where it was never changed.
    pub change_seq: i64,
    /// The text; none of a deleted one and of a system message.
    pub text: Option<String>,
    /// The sender's own id.
    pub client_message_id: Option<String>,
    /// When it was edited.
    pub edited_at: Option<String>,
    /// When it was deleted.
    pub deleted_at: Option<String>,
    /// Who sent it.
    pub sender: Option<Ref>,
    /// What a system message says.
    pub system: Option<Notice>,
}

/// A chat as a member sees it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// The title.
    pub title: String,
    /// How many members there are.
    pub member_count: i64,
    /// Whether the viewer wants no notifications.
    pub is_muted_by_viewer: bool,
    /// The viewer's own membership.
    pub viewer_member: Option<Own>,
}

/// A viewer's own membership.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Own {
    /// What they may do.
    pub role: String,
    /// How far they have read.
    pub last_read_seq: i64,
}

/// The messages of a chat that a user may read, by number.
pub type Messages = BTreeMap<i64, Message>;

/// All that a user may see: each chat with its messages.
pub type Account = BTreeMap<String, (Option<Shown>, Messages)>;

/// What was told, in its form.
///
/// # Panics
/// Where it is not told so.
#[track_caller]
pub fn told<T: DeserializeOwned>(value: &Value) -> T {
    match T::deserialize(value) {
        Ok(told) => told,
        Err(error) => panic!("{error}: {value}"),
    }
}

/// The data of an answer; none where the server, or one of its backends, is away. What belongs to a
/// chat that the user lost while they were asking is null.
///
/// # Panics
/// Where the server refuses for another reason.
pub async fn try_data(client: &Client, query: &str, variables: Value) -> Option<Value> {
    let mut reply = client.try_run(query, variables).await.ok()?;
    if reply.body.get("errors").is_none() {
        return Some(reply.data());
    }
    match reply.code() {
        "UNAVAILABLE" => None,
        "FORBIDDEN" => Some(reply.body["data"].take()),
        _ => panic!("refused: {}", reply.body),
    }
}

/// The data of an answer, asked for until it comes.
///
/// # Panics
/// Where the server refuses, or does not come back.
pub async fn data(client: &Client, query: &str, variables: Value) -> Value {
    soon("an answer", async {
        loop {
            if let Some(data) = try_data(client, query, variables.clone()).await {
                return data;
            }
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await
}

/// The messages of a chat that the user may read. Of who is no member, none.
///
/// # Panics
/// Where they are not numbered without a hole.
pub async fn try_messages(client: &Client, chat: &str) -> Option<Option<Messages>> {
    let page = format!(
        "query($id: ID!, $after: String) {{ chat(id: $id) {{ messages(first: 100, after: $after) {{
            nodes {{ {MESSAGE} }} pageInfo {{ hasNextPage endCursor }} }} }} }}"
    );
    let mut found = Messages::new();
    let mut after = Value::Null;
    loop {
        let data = try_data(client, &page, json!({ "id": chat, "after": after })).await?;
        if data["chat"].is_null() {
            return Some(None);
        }
        let page = &data["chat"]["messages"];
        for message in told::<Vec<Message>>(&page["nodes"]) {
            if let Some((last, _)) = found.last_key_value() {
                assert_eq!(message.seq, last + 1, "a hole, or one that came twice");
            }
            found.insert(message.seq, message);
        }
        if page["pageInfo"]["hasNextPage"] != json!(true) {
            return Some(Some(found));
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

/// The messages of a chat whose member the user is.
///
/// # Panics
/// Where they are none, or the server does not come back.
pub async fn messages(client: &Client, chat: &str) -> Messages {
    soon("the messages", async {
        loop {
            match try_messages(client, chat).await {
                Some(Some(messages)) => return messages,
                Some(None) => panic!("no member of {chat}"),
                None => tokio::time::sleep(PAUSE).await,
            }
        }
    })
    .await
}

/// All that the user may see. What is written meanwhile may be in it or not. None where the server
/// is away, or a chat was lost while it was asked for.
pub async fn try_account(client: &Client) -> Option<Account> {
    let page = format!(
        "query($after: String) {{ chats(first: 100, after: $after) {{
            nodes {{ {CHAT} }} pageInfo {{ hasNextPage endCursor }} }} }}"
    );
    let mut account = Account::new();
    let mut after = Value::Null;
    loop {
        let data = try_data(client, &page, json!({ "after": after })).await?;
        let chats = &data["chats"];
        if chats.is_null() {
            return None;
        }
        for chat in chats["nodes"].as_array().into_iter().flatten() {
            let Ref { id } = told(chat);
            if let Some(messages) = try_messages(client, &id).await? {
                account.insert(id, (Some(told(chat)), messages));
            }
        }
        if chats["pageInfo"]["hasNextPage"] != json!(true) {
            return Some(account);
        }
        after = chats["pageInfo"]["endCursor"].clone();
    }
}
