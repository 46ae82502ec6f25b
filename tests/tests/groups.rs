//! Groups, edits and deletions as clients see them.

use serde_json::{Value, json};
use talksy_domain::id;
use talksy_tests::app::TestApp;
use talksy_tests::client::{Reply, SEND, User, string};

const CREATE: &str = "mutation($input: CreateGroupInput!) { createGroup(input: $input) {
    chat { id kind title memberCount lastSeq unreadCount viewerMember { role }
        lastMessage { seq kind text sender { id }
            system { kind title role actor { name } subjects { name } } } } } }";
const UPDATE: &str = "mutation($input: UpdateGroupInput!) {
    updateGroup(input: $input) { chat { title } } }";
const ADD: &str = "mutation($input: AddMembersInput!) {
    addMembers(input: $input) { chat { memberCount } } }";
const REMOVE: &str = "mutation($input: RemoveMemberInput!) {
    removeMember(input: $input) { chat { memberCount } } }";
const SET_ROLE: &str = "mutation($input: SetMemberRoleInput!) {
    setMemberRole(input: $input) { member { role user { id } } } }";
const LEAVE: &str = "mutation($input: LeaveChatInput!) { leaveChat(input: $input) { chatId } }";
const MUTE: &str = "mutation($input: MuteChatInput!) {
    muteChat(input: $input) { chat { id isMutedByViewer } } }";
const EDIT: &str = "mutation($input: EditMessageInput!) {
    editMessage(input: $input) { message { id seq changeSeq text editedAt deletedAt } } }";
const DELETE: &str = "mutation($input: DeleteMessageInput!) {
    deleteMessage(input: $input) { message { id seq changeSeq text editedAt deletedAt } } }";
const UPDATED: &str = "subscription($chat: ID!, $after: String) {
    messageUpdated(chatId: $chat, after: $after) {
        cursor changeSeq message { seq changeSeq text deletedAt } } }";
const HISTORY: &str = "query($id: ID!) { node(id: $id) { ... on Chat {
    title memberCount headCursor lastSeq lastChangeSeq unreadCount
    members { nodes { role user { name } visibleFromSeq } }
    messages(first: 100) { nodes { seq kind changeSeq text system { kind } } } } } }";
const CHANGES: &str = "query($id: ID!, $first: Int, $after: String) { node(id: $id) { ... on Chat {
    changes(first: $first, after: $after) { nodes { changeSeq message { seq text } }
        pageInfo { hasNextPage endCursor } } } } }";

async fn create(user: &User, title: &str, members: &[&User]) -> String {
    let members: Vec<_> = members.iter().map(|user| &user.id).collect();
    let input = json!({ "input": { "title": title, "memberIds": members } });
    let data = user.client.data(CREATE, input).await;
    string(&data["createGroup"]["chat"]["id"])
}

async fn ask(user: &User, mutation: &str, input: Value) -> Reply {
    user.client.run(mutation, json!({ "input": input })).await
}

async fn done(user: &User, mutation: &str, input: Value) -> Value {
    user.client.data(mutation, json!({ "input": input })).await
}

async fn history(user: &User, chat: &str) -> Value {
    let data = user.client.data(HISTORY, json!({ "id": chat })).await;
    data["node"].clone()
}

/// Three people.
async fn people(app: &TestApp) -> [User; 3] {
    [
        app.sign_in("ada").await,
        app.sign_in("bob").await,
        app.sign_in("cyd").await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_made_and_says_so_in_its_first_message() {
    let app = TestApp::start().await;
    let [ada, bob, cyd] = people(&app).await;
    let mut sidebar = bob
        .client
        .subscribe("subscription { chatUpdated { id title } }", json!({}))
        .await;
    let input = json!({ "title": "  Engines ", "memberIds": [bob.id, cyd.id],
        "clientChatId": "first" });
    let made = done(&ada, CREATE, input.clone()).await["createGroup"]["chat"].clone();
    assert_eq!(
        made,
        json!({ "id": made["id"], "kind": "GROUP", "title": "Engines", "memberCount": 3,
            "lastSeq": 1, "unreadCount": 0, "viewerMember": { "role": "OWNER" },
            "lastMessage": { "seq": 1, "kind": "SYSTEM", "text": null, "sender": null,
                "system": { "kind": "CHAT_CREATED", "title": "Engines", "role": null,
                    "actor": { "name": "ada" },
                    "subjects": [{ "name": "bob" }, { "name": "cyd" }] } } })
    );
    let told = sidebar.next().await;
    assert_eq!(
        told["chatUpdated"],
        json!({ "id": made["id"], "title": "Engines" })
    );
    let again = done(&ada, CREATE, input).await["createGroup"]["chat"].clone();
    assert_eq!(again["id"], made["id"], "a retry makes no second group");
    let chat = string(&made["id"]);
    bob.send(&chat, "hello").await;
    let seen = history(&cyd, &chat).await;
    assert_eq!(seen["unreadCount"], json!(1));
    assert_eq!(seen["lastSeq"], json!(2));
    app.stop().await;
}

/// Who joins has read up to the message that says so, and is told so by a mark that moves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_mark_at_the_message_that_one_joined_by_is_told_as_it_is() {
    const OWN: &str = "query($id: ID!) { chat(id: $id) { viewerMember { lastReadSeq } } }";
    let app = TestApp::start().await;
    let [ada, bob, _] = people(&app).await;
    let group = create(&ada, "Engines", &[&bob]).await;
    for user in [&ada, &bob] {
        let marked = user.mark_read(&group, 5).await;
        assert_eq!(marked["receipt"]["lastReadSeq"], 1, "{}", user.name);
        let data = user.client.data(OWN, json!({ "id": group })).await;
        assert_eq!(data["chat"]["viewerMember"]["lastReadSeq"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_id_of_a_message_tells_where_its_chat_is_kept() {
    let app = TestApp::start().await;
    let [ada, bob, cyd] = people(&app).await;
    let chat = create(&ada, "Engines", &[&bob]).await;
    let input = json!({ "chatId": chat, "userIds": [cyd.id] });
    done(&ada, ADD, input).await;
    ada.send(&chat, "hello").await;
    let ids = "query($id: ID!) { chat(id: $id) { messages(first: 10) { nodes { id } } } }";
    let data = ada.client.data(ids, json!({ "id": chat })).await;
    let nodes = data["chat"]["messages"]["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3);
    let bucket = id::bucket(id::parse(&chat, "id").unwrap());
    for node in nodes {
        let message = id::parse(node["id"].as_str().unwrap(), "id").unwrap();
        assert_eq!(id::bucket_of_message(message), bucket, "{node}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_sees_it_and_nothing_after_it() {
    let app = TestApp::start().await;
    let [ada, bob, cyd] = people(&app).await;
    let chat = create(&ada, "Engines", &[&bob, &cyd]).await;
    let mut bob_sees = bob.follow(&chat, None).await;
    let mut removals = bob
        .client
        .subscribe("subscription { chatRemoved { chatId } }", json!({}))
        .await;
    let mut changes = bob.client.subscribe(UPDATED, json!({ "chat": chat })).await;
    let before = ada.send(&chat, "for all").await["message"].clone();
    assert_eq!(bob_sees.added().await["node"]["text"], json!("for all"));
    let input = json!({ "chatId": chat, "userId": bob.id });
    let left = done(&ada, REMOVE, input.clone()).await;
    assert_eq!(left["removeMember"]["chat"]["memberCount"], json!(2));
    ada.send(&chat, "not for bob").await;
    let input = json!({ "messageId": before["id"], "text": "not for bob either" });
    done(&ada, EDIT, input).await;

    assert_eq!(bob_sees.added().await["node"]["seq"], json!(3));
    assert_eq!(bob_sees.error_code().await, "FORBIDDEN");
    assert_eq!(changes.error_code().await, "FORBIDDEN");
    let removed = removals.next().await;
    assert_eq!(removed["chatRemoved"], json!({ "chatId": chat }));
    assert_eq!(history(&bob, &chat).await, Value::Null);
    let node = "query($id: ID!) { node(id: $id) { id } }";
    let gone = bob.client.data(node, json!({ "id": before["id"] })).await;
    assert_eq!(gone["node"], Value::Null);
    let chats = bob
        .client
        .data("{ chats { nodes { id } } }", json!({}))
        .await;
    assert_eq!(chats["chats"]["nodes"], json!([]));
    let refused = ask(&bob, SEND, json!({ "chatId": chat, "text": "hello?" })).await;
    assert_eq!(refused.code(), "FORBIDDEN");

    // Back with what comes from now on.
    let input = json!({ "chatId": chat, "userIds": [bob.id] });
    done(&ada, ADD, input).await;
    ada.send(&chat, "welcome back").await;
    let seen = history(&bob, &chat).await;
    let seqs: Vec<_> = seen["messages"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["seq"].as_i64().unwrap())
        .collect();
    assert_eq!(seqs, [5, 6]);
    let gone = bob.client.data(node, json!({ "id": before["id"] })).await;
    assert_eq!(gone["node"], Value::Null, "it lies before the new range");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_has_roles_and_always_an_owner() {
    let app = TestApp::start().await;
    let [ada, bob, cyd] = people(&app).await;
    let chat = create(&ada, "Engines", &[&bob, &cyd]).await;
    let input = json!({ "chatId": chat, "userId": bob.id, "role": "ADMIN" });
    let given = done(&ada, SET_ROLE, input).await;
    assert_eq!(
        given["setMemberRole"]["member"],
        json!({ "role": "ADMIN", "user": { "id": bob.id } })
    );
    let renamed = done(&bob, UPDATE, json!({ "chatId": chat, "title": "Looms" })).await;
    assert_eq!(renamed["updateGroup"]["chat"]["title"], json!("Looms"));
    let refused = ask(&cyd, UPDATE, json!({ "chatId": chat, "title": "Mine" })).await;
    assert_eq!(refused.code(), "FORBIDDEN");
    let left = done(&ada, LEAVE, json!({ "chatId": chat })).await;
    assert_eq!(left["leaveChat"]["chatId"], json!(chat));
    let again = done(&ada, LEAVE, json!({ "chatId": chat })).await;
    assert_eq!(again["leaveChat"]["chatId"], json!(chat), "harmless twice");
    let seen = history(&cyd, &chat).await;
    let mut members: Vec<_> = seen["members"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| (string(&member["user"]["name"]), string(&member["role"])))
        .collect();
    members.sort();
    let expected = [("bob", "OWNER"), ("cyd", "MEMBER")];
    let expected = expected.map(|(name, role)| (name.to_owned(), role.to_owned()));
    assert_eq!(members, expected);
    let kinds: Vec<_> = seen["messages"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| string(&message["system"]["kind"]))
        .collect();
    assert_eq!(
        kinds,
        [
            "CHAT_CREATED",
            "ROLE_CHANGED",
            "TITLE_CHANGED",
            "MEMBER_LEFT"
        ]
    );
    let find = "query($id: ID!) { node(id: $id) { ... on Chat {
        members(search: \"YD\") { nodes { user { name } } } } } }";
    let found = bob.client.data(find, json!({ "id": chat })).await;
    assert_eq!(
        found["node"]["members"]["nodes"],
        json!([{ "user": { "name": "cyd" } }])
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_and_deletions_reach_all_and_are_caught_up_with() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let mut sent = Vec::new();
    for text in ["one", "two", "three"] {
        sent.push(ada.send(&chat, text).await["message"].clone());
    }
    let head = string(&history(&bob, &chat).await["headCursor"]);
    let mut feed = bob
        .client
        .subscribe(UPDATED, json!({ "chat": chat, "after": head }))
        .await;
    let input = json!({ "messageId": sent[1]["id"], "text": "two, better",
        "expectedChangeSeq": 0 });
    let edited = done(&ada, EDIT, input.clone()).await["editMessage"]["message"].clone();
    assert_eq!(edited["changeSeq"], json!(1));
    assert!(edited["editedAt"].is_string());
    let told = feed.next().await["messageUpdated"].clone();
    assert_eq!(told["changeSeq"], json!(1));
    assert_eq!(told["message"]["text"], json!("two, better"));
    // Its own edit again is no conflict; what it has not seen is one.
    assert_eq!(
        done(&ada, EDIT, input).await["editMessage"]["message"],
        edited
    );
    let input = json!({ "messageId": sent[1]["id"], "text": "three", "expectedChangeSeq": 0 });
    assert_eq!(ask(&ada, EDIT, input).await.code(), "CONFLICT");

    feed.cut();
    let input = json!({ "messageId": sent[0]["id"] });
    let deleted = done(&ada, DELETE, input.clone()).await["deleteMessage"]["message"].clone();
    assert_eq!(
        (&deleted["text"], &deleted["seq"]),
        (&Value::Null, &json!(1))
    );
    assert!(deleted["deletedAt"].is_string());
    let again = done(&ada, DELETE, input).await["deleteMessage"]["message"].clone();
    assert_eq!(again, deleted);
    let input = json!({ "messageId": sent[1]["id"], "text": "two, best" });
    done(&ada, EDIT, input).await;
    let seen = history(&bob, &chat).await;
    assert_eq!(
        seen["unreadCount"],
        json!(2),
        "a deleted message is not unread"
    );
    assert_eq!(seen["lastChangeSeq"], json!(3));
    let mut feed = bob
        .client
        .subscribe(UPDATED, json!({ "chat": chat, "after": told["cursor"] }))
        .await;
    for (change, seq) in [(2, 1), (3, 2)] {
        let told = feed.next().await["messageUpdated"].clone();
        assert_eq!(told["changeSeq"], json!(change));
        assert_eq!(told["message"]["seq"], json!(seq));
    }
    let page = |first: i32, after: Value| {
        let bob = &bob;
        let variables = json!({ "id": chat, "first": first, "after": after });
        async move {
            let data = bob.client.data(CHANGES, variables).await;
            data["node"]["changes"].clone()
        }
    };
    let first = page(1, Value::Null).await;
    assert_eq!(
        first["nodes"][0]["message"],
        json!({ "seq": 1, "text": null })
    );
    assert_eq!(first["pageInfo"]["hasNextPage"], json!(true));
    let rest = page(10, first["pageInfo"]["endCursor"].clone()).await;
    assert_eq!(rest["nodes"][0]["changeSeq"], json!(3));
    assert_eq!(rest["pageInfo"]["hasNextPage"], json!(false));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_content_under_a_client_message_id_is_a_conflict_also_after_deletion() {
    let app = TestApp::start().await;
    let (ada, _, chat) = app.pair().await;
    let input = |text: &str| json!({ "chatId": chat, "text": text, "clientMessageId": "one" });
    let first = done(&ada, SEND, input("hello")).await["sendMessage"]["message"].clone();
    let check = async || {
        let other = ask(&ada, SEND, input("goodbye")).await;
        assert_eq!(
            other.code_and_field(),
            ("CONFLICT", "input.clientMessageId"),
            "{}",
            other.body
        );
        let retry = done(&ada, SEND, input("hello")).await["sendMessage"]["message"].clone();
        assert_eq!(retry["id"], first["id"]);
        retry
    };
    assert_eq!(check().await["text"], json!("hello"));
    done(
        &ada,
        EDIT,
        json!({ "messageId": first["id"], "text": "hi" }),
    )
    .await;
    assert_eq!(check().await["text"], json!("hi"));
    done(&ada, DELETE, json!({ "messageId": first["id"] })).await;
    assert_eq!(check().await["text"], Value::Null);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_is_muted_on_all_devices_of_one_user() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let mut other_device = ada
        .client
        .subscribe(
            "subscription { chatUpdated { id isMutedByViewer } }",
            json!({}),
        )
        .await;
    let muted = done(&ada, MUTE, json!({ "chatId": chat, "muted": true })).await;
    let expected = json!({ "id": chat, "isMutedByViewer": true });
    assert_eq!(muted["muteChat"]["chat"], expected);
    assert_eq!(other_device.next().await["chatUpdated"], expected);
    let query = "query($id: ID!) { node(id: $id) { ... on Chat { isMutedByViewer } } }";
    let seen = bob.client.data(query, json!({ "id": chat })).await;
    assert_eq!(seen["node"]["isMutedByViewer"], json!(false));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a table of refusals")]
async fn what_groups_and_changes_refuse_names_its_field_and_changes_nothing() {
    let app = TestApp::start().await;
    let [ada, bob, cyd] = people(&app).await;
    let chat = create(&ada, "Engines", &[&bob]).await;
    let direct = ada.start_chat(&bob).await;
    let theirs = bob.send(&chat, "mine").await["message"]["id"].clone();
    let notice = "query($id: ID!) { node(id: $id) { ... on Chat {
        messages(first: 1) { nodes { id } } } } }";
    let notice = ada.client.data(notice, json!({ "id": chat })).await;
    let notice = notice["node"]["messages"]["nodes"][0]["id"].clone();
    let own = ada.send(&chat, "own").await["message"]["id"].clone();
    done(&ada, DELETE, json!({ "messageId": own })).await;
    let nobody = bob.id.replace(&bob.id[20..26], "aaaaaa");
    let many = vec![bob.id.clone(); 101];
    let long = "x".repeat(101);
    let before = history(&ada, &chat).await;
    for (user, mutation, input, code, field) in [
        (
            &ada,
            CREATE,
            json!({ "title": " ", "memberIds": [] }),
            "BAD_USER_INPUT",
            "input.title",
        ),
        (
            &ada,
            CREATE,
            json!({ "title": long, "memberIds": [] }),
            "BAD_USER_INPUT",
            "input.title",
        ),
        (
            &ada,
            CREATE,
            json!({ "title": "a", "memberIds": ["x"] }),
            "BAD_USER_INPUT",
            "input.memberIds.0",
        ),
        (
            &ada,
            CREATE,
            json!({ "title": "a", "memberIds": [bob.id, bob.id] }),
            "BAD_USER_INPUT",
            "input.memberIds.1",
        ),
        (
            &ada,
            CREATE,
            json!({ "title": "a", "memberIds": [bob.id, nobody] }),
            "NOT_FOUND",
            "input.memberIds.1",
        ),
        (
            &ada,
            CREATE,
            json!({ "title": "a", "memberIds": many }),
            "BAD_USER_INPUT",
            "input.memberIds",
        ),
        (
            &ada,
            CREATE,
            json!({ "title": "a", "memberIds": [], "clientChatId": "" }),
            "BAD_USER_INPUT",
            "input.clientChatId",
        ),
        (
            &ada,
            UPDATE,
            json!({ "chatId": chat, "title": null }),
            "BAD_USER_INPUT",
            "input.title",
        ),
        (
            &ada,
            UPDATE,
            json!({ "chatId": direct, "title": "a" }),
            "BAD_USER_INPUT",
            "input.chatId",
        ),
        (
            &cyd,
            UPDATE,
            json!({ "chatId": chat, "title": "a" }),
            "FORBIDDEN",
            "input.chatId",
        ),
        (
            &ada,
            ADD,
            json!({ "chatId": chat, "userIds": [] }),
            "BAD_USER_INPUT",
            "input.userIds",
        ),
        (
            &ada,
            ADD,
            json!({ "chatId": chat, "userIds": [cyd.id, nobody] }),
            "NOT_FOUND",
            "input.userIds.1",
        ),
        (
            &bob,
            ADD,
            json!({ "chatId": chat, "userIds": [cyd.id] }),
            "FORBIDDEN",
            "input.chatId",
        ),
        (
            &ada,
            ADD,
            json!({ "chatId": direct, "userIds": [cyd.id] }),
            "BAD_USER_INPUT",
            "input.chatId",
        ),
        (
            &bob,
            REMOVE,
            json!({ "chatId": chat, "userId": ada.id }),
            "FORBIDDEN",
            "input.chatId",
        ),
        (
            &ada,
            SET_ROLE,
            json!({ "chatId": chat, "userId": cyd.id, "role": "ADMIN" }),
            "NOT_FOUND",
            "input.userId",
        ),
        (
            &bob,
            SET_ROLE,
            json!({ "chatId": chat, "userId": bob.id, "role": "OWNER" }),
            "FORBIDDEN",
            "input.chatId",
        ),
        (
            &ada,
            SET_ROLE,
            json!({ "chatId": chat, "userId": ada.id, "role": "MEMBER" }),
            "CONFLICT",
            "input.role",
        ),
        (
            &ada,
            LEAVE,
            json!({ "chatId": direct }),
            "BAD_USER_INPUT",
            "input.chatId",
        ),
        (
            &ada,
            EDIT,
            json!({ "messageId": theirs, "text": "a" }),
            "FORBIDDEN",
            "input.messageId",
        ),
        (
            &ada,
            EDIT,
            json!({ "messageId": notice, "text": "a" }),
            "FORBIDDEN",
            "input.messageId",
        ),
        (
            &ada,
            EDIT,
            json!({ "messageId": own, "text": "a" }),
            "CONFLICT",
            "input.messageId",
        ),
        (
            &ada,
            EDIT,
            json!({ "messageId": theirs, "text": " " }),
            "BAD_USER_INPUT",
            "input.text",
        ),
        (
            &bob,
            EDIT,
            json!({ "messageId": theirs, "text": "a", "expectedChangeSeq": -1 }),
            "BAD_USER_INPUT",
            "input.expectedChangeSeq",
        ),
        (
            &cyd,
            EDIT,
            json!({ "messageId": theirs, "text": "a" }),
            "NOT_FOUND",
            "input.messageId",
        ),
        (
            &cyd,
            DELETE,
            json!({ "messageId": theirs }),
            "NOT_FOUND",
            "input.messageId",
        ),
        (
            &ada,
            DELETE,
            json!({ "messageId": notice }),
            "FORBIDDEN",
            "input.messageId",
        ),
        (
            &cyd,
            MUTE,
            json!({ "chatId": chat, "muted": true }),
            "FORBIDDEN",
            "input.chatId",
        ),
    ] {
        let reply = ask(user, mutation, input.clone()).await;
        assert_eq!(
            reply.code_and_field(),
            (code, field),
            "{input} {}",
            reply.body
        );
    }
    assert_eq!(history(&ada, &chat).await, before);
    app.stop().await;
}
