//! Viewers of one group who differ in every way that a viewer can.

use futures_util::future::join_all;
use serde_json::{Value, json};
use talksy_tests::app::{Builder, TestApp};
use talksy_tests::client::{User, string};

/// How many one request adds.
const ADDED: usize = 100;

/// A group, and who is in it.
pub struct Group {
    pub app: TestApp,
    /// Who has made it, and sends.
    pub ada: User,
    /// Has read some, and has muted it.
    pub ben: User,
    /// Joined later, and may not read what was before. Has blocked Ada, whom Dora has blocked too.
    pub cleo: User,
    /// An admin who has read nothing.
    pub dora: User,
    /// Was removed, and came back.
    pub emil: User,
    pub chat: String,
    /// The id of the group's first text, which who joined later may not read.
    pub first: String,
}

impl Group {
    pub async fn start() -> Self {
        Self::start_on(TestApp::builder()).await
    }

    pub async fn start_on(builder: Builder) -> Self {
        let builder = builder.config(|config| {
            config.chats.max_members = 2_000;
            // They select all that there is, and come from one address.
            config.http.query.max_aliases = 1_000;
            config.limits.cost_user.burst = 2_000_000_000;
            config.limits.cost_ip.burst = 2_000_000_000;
        });
        let app = builder.start().await;
        let ada = app.sign_in("ada").await;
        let ben = app.sign_in("ben").await;
        let cleo = app.sign_in("cleo").await;
        let dora = app.sign_in("dora").await;
        let emil = app.sign_in("emil").await;
        let members = [&ben.id, &dora.id, &emil.id];
        let input = json!({ "title": "{\"n\":0}", "memberIds": members });
        let made = ask(
            &ada,
            "createGroup",
            "CreateGroupInput",
            "chat { id }",
            input,
        )
        .await;
        let chat = string(&made["chat"]["id"]);
        let first = string(&ada.send(&chat, "one").await["message"]["id"]);
        ada.send(&chat, "two \"unreadCount\":0").await;
        ben.send(&chat, "of Ben").await;
        let group = Self {
            app,
            ada,
            ben,
            cleo,
            dora,
            emil,
            chat,
            first,
        };
        let input = json!({ "chatId": group.chat, "userId": group.emil.id });
        let removed = group.change("removeMember", "RemoveMemberInput", input);
        removed.await;
        let input = json!({ "chatId": group.chat, "userIds": [group.cleo.id, group.emil.id] });
        group.change("addMembers", "AddMembersInput", input).await;
        let input = json!({ "chatId": group.chat, "userId": group.dora.id, "role": "ADMIN" });
        group
            .change("setMemberRole", "SetMemberRoleInput", input)
            .await;
        group.ben.mark_read(&group.chat, 3).await;
        group.mute(&group.ben, true).await;
        for who in [&group.cleo, &group.dora] {
            let input = json!({ "userId": group.ada.id });
            ask(who, "blockUser", "BlockUserInput", "__typename", input).await;
        }
        group
    }

    /// A direct chat of Ada and Ben, of which only the latter has muted it; the others are not in it.
    pub async fn direct() -> Self {
        let mut group = Self::start().await;
        group.chat = group.ada.start_chat(&group.ben).await;
        group.ada.send(&group.chat, "one").await;
        group.ben.send(&group.chat, "of Ben").await;
        group.mute(&group.ben, true).await;
        group
    }

    pub fn viewers(&self) -> [&User; 5] {
        [&self.ada, &self.ben, &self.cleo, &self.dora, &self.emil]
    }

    /// Adds this many members.
    pub async fn join(&self, count: usize) -> Vec<User> {
        let mut members = Vec::with_capacity(count);
        while members.len() < count {
            let some = members.len()..count.min(members.len() + ADDED);
            let names: Vec<_> = some.map(|n| format!("member{n}")).collect();
            let some = join_all(names.iter().map(|name| self.app.sign_in(name))).await;
            let ids: Vec<_> = some.iter().map(|member| &member.id).collect();
            let input = json!({ "chatId": self.chat, "userIds": ids });
            self.change("addMembers", "AddMembersInput", input).await;
            members.extend(some);
        }
        members
    }

    /// Runs a mutation of the group as its owner.
    pub async fn change(&self, mutation: &str, input_type: &str, input: Value) -> Value {
        ask(&self.ada, mutation, input_type, "__typename", input).await
    }

    pub async fn mute(&self, who: &User, muted: bool) {
        let input = json!({ "chatId": self.chat, "muted": muted });
        ask(who, "muteChat", "MuteChatInput", "__typename", input).await;
    }

    /// Sends a message; its number and id.
    pub async fn send(&self, who: &User, text: &str) -> (i64, String) {
        let sent = who.send(&self.chat, text).await;
        let message = &sent["message"];
        (message["seq"].as_i64().unwrap(), string(&message["id"]))
    }

    /// Answers the group's first text.
    pub async fn reply(&self, who: &User) {
        let input = json!({ "chatId": self.chat, "text": "indeed", "replyToId": self.first });
        ask(who, "sendMessage", "SendMessageInput", "__typename", input).await;
    }

    /// Edits a message, or deletes it; the number of the change.
    pub async fn alter(&self, who: &User, message: &str, text: Option<&str>) -> i64 {
        let changed = "message { changeSeq }";
        let done = if let Some(text) = text {
            let input = json!({ "messageId": message, "text": text });
            ask(who, "editMessage", "EditMessageInput", changed, input).await
        } else {
            let input = json!({ "messageId": message });
            ask(who, "deleteMessage", "DeleteMessageInput", changed, input).await
        };
        done["message"]["changeSeq"].as_i64().unwrap()
    }
}

/// Runs a mutation; what it answers of `selects`.
pub async fn ask(
    who: &User,
    mutation: &str,
    input_type: &str,
    selects: &str,
    input: Value,
) -> Value {
    let query =
        format!("mutation($input: {input_type}!) {{ {mutation}(input: $input) {{ {selects} }} }}");
    let data = who.client.data(&query, json!({ "input": input })).await;
    data[mutation].clone()
}
