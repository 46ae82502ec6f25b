//! Two people with all that an archive can have.

use serde_json::{Value, json};
use talksy_tests::client::{Client, User, string};

const PROFILE: &str =
    "mutation($input: UpdateProfileInput!) { updateProfile(input: $input) { user { id } } }";
const MUTE: &str = "mutation($input: MuteChatInput!) { muteChat(input: $input) { chat { id } } }";
const UNREAD: &str =
    "mutation($input: MarkUnreadInput!) { markUnread(input: $input) { chat { id } } }";
const EDIT: &str =
    "mutation($input: EditMessageInput!) { editMessage(input: $input) { message { id } } }";
const DELETE: &str =
    "mutation($input: DeleteMessageInput!) { deleteMessage(input: $input) { message { id } } }";
const REACT: &str =
    "mutation($input: AddReactionInput!) { addReaction(input: $input) { message { id } } }";
const PIN: &str =
    "mutation($input: PinMessageInput!) { pinMessage(input: $input) { message { id } } }";
const CREATE: &str =
    "mutation($input: CreateGroupInput!) { createGroup(input: $input) { chat { id } } }";
const ADD: &str =
    "mutation($input: AddMembersInput!) { addMembers(input: $input) { chat { id } } }";
const REMOVE: &str =
    "mutation($input: RemoveMemberInput!) { removeMember(input: $input) { chat { id } } }";
const RENAME: &str =
    "mutation($input: UpdateGroupInput!) { updateGroup(input: $input) { chat { title } } }";
const SEND: &str =
    "mutation($input: SendMessageInput!) { sendMessage(input: $input) { message { id } } }";

/// What Ada and Bob have done.
pub(crate) struct Scene {
    pub(crate) ada: User,
    pub(crate) bob: User,
    /// Their chat of two.
    pub(crate) direct: String,
    /// A group of Ada's.
    pub(crate) group: String,
    /// A group that Ada joined late, and from which she was removed.
    pub(crate) left: String,
    /// The bytes of what Bob has attached, and of Ada's two files, by their ids.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

async fn ask(user: &User, query: &str, input: Value) -> Value {
    user.client.data(query, json!({ "input": input })).await
}

/// Makes a group with some text kept beside it.
pub(crate) async fn group(owner: &User, title: &str, members: &[&User]) -> String {
    let members: Vec<_> = members.iter().map(|user| &user.id).collect();
    let input = json!({ "title": title, "memberIds": members, "metadata": { "b": 1, "a": [2] } });
    string(&ask(owner, CREATE, input).await["createGroup"]["chat"]["id"])
}

/// Adds or removes a member.
pub(crate) async fn member(owner: &User, chat: &str, user: &User, adds: bool) {
    if adds {
        ask(owner, ADD, json!({ "chatId": chat, "userIds": [user.id] })).await;
    } else {
        ask(owner, REMOVE, json!({ "chatId": chat, "userId": user.id })).await;
    }
}

async fn rename(owner: &User, chat: &str, title: &str) {
    ask(owner, RENAME, json!({ "chatId": chat, "title": title })).await;
}

async fn send(user: &User, chat: &str, more: Value) -> String {
    let mut input = json!({ "chatId": chat });
    input
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    string(&ask(user, SEND, input).await["sendMessage"]["message"]["id"])
}

impl Scene {
    /// Plays it; all more than one page of messages, where `many`.
    pub(crate) async fn play(ada: User, bob: User, many: bool) -> Self {
        let direct = ada.start_chat(&bob).await;
        let group = group(&ada, "Engines", &[&bob]).await;
        let mut scene = Self {
            left: String::new(),
            files: Vec::new(),
            ada,
            bob,
            direct,
            group,
        };
        scene.talk(if many { 230 } else { 3 }).await;
        scene.change().await;
        scene.attach().await;
        scene.leave().await;
        scene
    }

    async fn talk(&self, count: usize) {
        let (ada, bob) = (&self.ada, &self.bob);
        for number in 0..count {
            let from = if number % 2 == 0 { ada } else { bob };
            let text = format!("{number}: \"quoted\",\nGrüße 👋");
            let own_id = format!("own-{number}");
            let more = json!({ "text": text, "clientMessageId": own_id,
                "metadata": { "z": number, "a": "line\nbreak" } });
            send(from, &self.direct, more).await;
        }
        let first = send(bob, &self.group, json!({ "text": "who comes?" })).await;
        let reply = json!({ "text": "we", "replyToId": first, "mentionIds": [bob.id] });
        send(ada, &self.group, reply).await;
        let profile = json!({ "about": "two\nlines", "metadata": { "theme": "dark" } });
        ask(ada, PROFILE, profile).await;
        ask(ada, MUTE, json!({ "chatId": self.group, "muted": true })).await;
        ada.mark_read(&self.direct, 3).await;
        ask(ada, UNREAD, json!({ "chatId": self.direct, "fromSeq": 2 })).await;
    }

    /// Edits, deletions, reactions and a pin.
    async fn change(&self) {
        let (ada, bob) = (&self.ada, &self.bob);
        let mut ids = Vec::new();
        for text in ["to be edited", "to be deleted", "to be liked"] {
            ids.push(send(ada, &self.direct, json!({ "text": text })).await);
        }
        ask(ada, EDIT, json!({ "messageId": ids[0], "text": "edited" })).await;
        ask(ada, DELETE, json!({ "messageId": ids[1] })).await;
        for (user, emoji) in [(bob, "👍"), (ada, "👍"), (bob, "🎉")] {
            ask(user, REACT, json!({ "messageId": ids[2], "emoji": emoji })).await;
        }
        ask(ada, PIN, json!({ "messageId": ids[2], "pinned": true })).await;
    }

    /// Two files of Ada's, of which nobody uses one, and one of Bob's.
    async fn attach(&mut self) {
        let texts = ["mine\n", "kept\n", "theirs\n"].map(|text| text.repeat(2_000).into_bytes());
        let [mine, kept, theirs] = texts;
        let ids = [
            (self.ada.clone(), "Grüße.txt", mine),
            (self.ada.clone(), "kept.TXT", kept),
            (self.bob.clone(), "theirs", theirs),
        ];
        for (user, name, bytes) in ids {
            let id = user.upload(name, "text/plain", bytes.clone()).await;
            self.files.push((id, bytes));
        }
        let (ada, bob) = (&self.ada, &self.bob);
        send(
            ada,
            &self.direct,
            json!({ "attachmentIds": [self.files[0].0] }),
        )
        .await;
        send(
            bob,
            &self.direct,
            json!({ "attachmentIds": [self.files[2].0] }),
        )
        .await;
    }

    /// A group that Ada sees a part of.
    async fn leave(&mut self) {
        let (ada, bob) = (&self.ada, &self.bob);
        let left = group(bob, "Before", &[]).await;
        bob.send(&left, "ahead of her").await;
        rename(bob, &left, "With her").await;
        member(bob, &left, ada, true).await;
        ada.send(&left, "hers").await;
        bob.send(&left, "to her").await;
        member(bob, &left, ada, false).await;
        bob.send(&left, "behind her").await;
        rename(bob, &left, "Without her").await;
        self.left = left;
    }
}

/// What is asked of each message to be compared.
const MESSAGES: &str = "query($id: ID!, $after: String) { chat(id: $id) {
    messages(first: 100, after: $after) { pageInfo { hasNextPage endCursor } nodes {
        id seq changeSeq kind sender { id name } text metadata replyTo { seq }
        mentions { id name } clientMessageId createdAt editedAt deletedAt isPinned
        attachments { id kind fileName contentType byteSize width height }
        system { kind actor { id name } subjects { id name } title role }
        reactions { emoji count viewerHasReacted } } } } }";

/// The messages of a chat as GraphQL has them, page by page.
pub(crate) async fn asked(client: &Client, chat: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut after = Value::Null;
    loop {
        let variables = json!({ "id": chat, "after": after });
        let data = client.data(MESSAGES, variables).await;
        let page = &data["chat"]["messages"];
        found.extend(page["nodes"].as_array().unwrap().iter().cloned());
        if page["pageInfo"]["hasNextPage"] != json!(true) {
            return found;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

/// A line of an archive in the form of GraphQL's answer: what it has besides is looked at by itself.
pub(crate) fn as_asked(line: &Value) -> Value {
    let mut line = line.clone();
    let fields = line.as_object_mut().unwrap();
    let reply = fields.remove("replyToSeq").unwrap();
    let reply = if reply.is_null() {
        Value::Null
    } else {
        json!({ "seq": reply })
    };
    fields.insert("replyTo".to_owned(), reply);
    for attachment in fields["attachments"].as_array_mut().unwrap() {
        let attachment = attachment.as_object_mut().unwrap();
        for more in ["createdAt", "usedBy", "file"] {
            assert!(attachment.remove(more).is_some(), "{more}");
        }
    }
    line
}
