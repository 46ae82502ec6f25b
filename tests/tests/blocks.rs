//! Blocking users, as clients see it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use serde_json::{Value, json};
use talksy_server::config::Quota;
use talksy_tests::app::TestApp;
use talksy_tests::client::{MESSAGE_ADDED, Reply, SEND, User, start_of, string};
use talksy_tests::eventually;
use talksy_tests::websocket::{Socket, Subscription};

const BLOCK: &str = include_str!("../../client-examples/documents/block.graphql");
const UNBLOCK: &str = include_str!("../../client-examples/documents/unblock.graphql");
const BLOCKED: &str = include_str!("../../client-examples/documents/blocked.graphql");

const PRESENCE: &str = "subscription($ids: [ID!]!) { presenceChanged(userIds: $ids) {
    status lastSeenAt user { id } } }";
const USER: &str = "query($id: ID!) { node(id: $id) { ... on User {
    name isBlockedByViewer presence { status } } } }";
const SEARCH: &str = "query($search: String) { users(search: $search) { nodes { name } } }";

/// Runs `blockUser`, or `unblockUser`.
async fn ask(user: &User, whom: &str, is_blocked: bool) -> Reply {
    let document = if is_blocked { BLOCK } else { UNBLOCK };
    user.client.run(document, json!({ "userId": whom })).await
}

async fn block(user: &User, whom: &User) {
    let data = ask(user, &whom.id, true).await.data();
    let blocked = &data["blockUser"]["user"];
    let expected = json!({ "id": whom.id, "isBlockedByViewer": true, "presence": null });
    assert_eq!(blocked, &expected);
}

async fn unblock(user: &User, whom: &User) {
    let data = ask(user, &whom.id, false).await.data();
    assert_eq!(
        data["unblockUser"]["user"]["isBlockedByViewer"],
        json!(false)
    );
}

async fn run(user: &User, mutation: &str, input: Value) -> Reply {
    let (first, rest) = mutation.split_at(1);
    let kind = format!("{}{rest}Input", first.to_uppercase());
    let query =
        format!("mutation($input: {kind}!) {{ {mutation}(input: $input) {{ __typename }} }}");
    user.client.run(&query, json!({ "input": input })).await
}

async fn group(owner: &User, members: &[&User]) -> String {
    let create = "mutation($input: CreateGroupInput!) {
        createGroup(input: $input) { chat { id } } }";
    let members: Vec<_> = members.iter().map(|user| &user.id).collect();
    let input = json!({ "title": "Engines", "memberIds": members });
    let data = owner.client.data(create, json!({ "input": input })).await;
    string(&data["createGroup"]["chat"]["id"])
}

async fn names(user: &User, search: Option<&str>) -> Vec<String> {
    let data = user.client.data(SEARCH, json!({ "search": search })).await;
    let nodes = data["users"]["nodes"].as_array().unwrap();
    nodes.iter().map(|node| string(&node["name"])).collect()
}

/// What one sees of another's presence and of their own block.
async fn sees(user: &User, whom: &User) -> (Value, Value) {
    let data = user.client.data(USER, json!({ "id": whom.id })).await;
    let node = &data["node"];
    assert_eq!(node["name"], json!(whom.name), "a profile stays");
    (
        node["presence"]["status"].clone(),
        node["isBlockedByViewer"].clone(),
    )
}

/// Opens a socket, and waits until its user is there.
async fn there(user: &User) -> Socket {
    let socket = user.client.socket().await;
    eventually("somebody to be there", async || {
        let query = "query($id: ID!) { node(id: $id) { ... on User { presence { status } } } }";
        let data = user.client.data(query, json!({ "id": user.id })).await;
        (data["node"]["presence"]["status"] == json!("ONLINE")).then_some(())
    })
    .await;
    socket
}

async fn presence(feed: &mut Subscription) -> (String, String, Value) {
    let state = feed.next().await["presenceChanged"].clone();
    let (user, status) = (string(&state["user"]["id"]), string(&state["status"]));
    (user, status, state["lastSeenAt"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_between_the_two_and_what_was_said_stays() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let of_ada = string(&ada.send(&chat, "of Ada").await["message"]["id"]);
    let of_bob = string(&bob.send(&chat, "of Bob").await["message"]["id"]);
    block(&ada, &bob).await;
    let mut sentences = Vec::new();
    for (who, other, own, others) in [
        (&ada, &bob, &of_ada, &of_bob),
        (&bob, &ada, &of_bob, &of_ada),
    ] {
        for (mutation, input, field) in [
            (
                "sendMessage",
                json!({ "chatId": chat, "text": "hi" }),
                "chatId",
            ),
            (
                "sendMessage",
                json!({ "chatId": chat, "text": "hi", "replyToId": others }),
                "chatId",
            ),
            (
                "editMessage",
                json!({ "messageId": own, "text": "hi" }),
                "chatId",
            ),
            (
                "addReaction",
                json!({ "messageId": others, "emoji": "👍" }),
                "chatId",
            ),
            (
                "pinMessage",
                json!({ "messageId": own, "pinned": true }),
                "chatId",
            ),
            ("startChat", json!({ "userId": other.id }), "userId"),
            (
                "createGroup",
                json!({ "title": "Two", "memberIds": [other.id] }),
                "memberIds.0",
            ),
        ] {
            let reply = run(who, mutation, input).await;
            let field = format!("input.{field}");
            assert_eq!(
                reply.code_and_field(),
                ("FORBIDDEN", field.as_str()),
                "{mutation}"
            );
            sentences.push((mutation, string(&reply.error()["message"])));
        }
    }
    // The two cannot tell by it who has blocked whom.
    let (of_ada_s, of_bob_s) = sentences.split_at(sentences.len() / 2);
    assert_eq!(of_ada_s, of_bob_s);
    for who in [&ada, &bob] {
        let history = "query($id: ID!) { chat(id: $id) { lastSeq
            messages(first: 10) { nodes { text } } } }";
        let data = who.client.data(history, json!({ "id": chat })).await;
        let expected = json!([{ "text": "of Ada" }, { "text": "of Bob" }]);
        assert_eq!(data["chat"]["messages"]["nodes"], expected);
        let chats = who
            .client
            .data("{ chats { nodes { id } } }", json!({}))
            .await;
        assert_eq!(chats["chats"]["nodes"], json!([{ "id": chat }]));
    }
    run(&bob, "deleteMessage", json!({ "messageId": of_bob }))
        .await
        .data();
    unblock(&ada, &bob).await;
    bob.send(&chat, "again").await;
    run(
        &ada,
        "addReaction",
        json!({ "messageId": of_ada, "emoji": "👍" }),
    )
    .await
    .data();
    assert_eq!(bob.start_chat(&ada).await, chat);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_what_was_sent_before_is_answered() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let input = json!({ "input": { "chatId": chat, "text": "hi", "clientMessageId": "one" } });
    let first = bob.client.data(SEND, input.clone()).await;
    block(&ada, &bob).await;
    let again = bob.client.data(SEND, input).await;
    assert_eq!(
        again["sendMessage"]["message"]["id"],
        first["sendMessage"]["message"]["id"]
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_stay_and_nobody_is_added_to_one_over_a_block() {
    let app = TestApp::start().await;
    let [ada, bob, cyd] = [
        app.sign_in("ada").await,
        app.sign_in("bob").await,
        app.sign_in("cyd").await,
    ];
    let both = group(&ada, &[&bob, &cyd]).await;
    let ada_s = group(&ada, &[&cyd]).await;
    let bob_s = group(&bob, &[&cyd]).await;
    block(&ada, &bob).await;
    let variables = json!({ "chatId": both, "after": start_of(&both) });
    let mut followed = ada.client.subscribe(MESSAGE_ADDED, variables).await;
    bob.send(&both, "seen by all").await;
    loop {
        let node = followed.next().await["messageAdded"]["node"].clone();
        if node["text"] == json!("seen by all") {
            assert_eq!(node["sender"]["name"], json!("bob"));
            break;
        }
    }
    let eve = app.sign_in("eve").await;
    for (owner, chat, other) in [(&ada, &ada_s, &bob), (&bob, &bob_s, &ada)] {
        let input = json!({ "chatId": chat, "userIds": [eve.id, other.id] });
        let reply = run(owner, "addMembers", input).await;
        assert_eq!(reply.code_and_field(), ("FORBIDDEN", "input.userIds.1"));
        // Another member may, whom no block concerns.
        let input = json!({ "chatId": chat, "userId": cyd.id, "role": "ADMIN" });
        run(owner, "setMemberRole", input).await.data();
        let input = json!({ "chatId": chat, "userIds": [other.id] });
        run(&cyd, "addMembers", input).await.data();
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_is_found_by_the_other() {
    let app = TestApp::start().await;
    let [ada, bob, cyd] = [
        app.sign_in("ada").await,
        app.sign_in("bob").await,
        app.sign_in("cyd").await,
    ];
    block(&ada, &bob).await;
    for (who, found) in [(&ada, "cyd"), (&bob, "cyd")] {
        assert_eq!(names(who, None).await, [found]);
    }
    assert_eq!(names(&cyd, None).await, ["ada", "bob"]);
    for (who, address) in [(&ada, "bob@example.org"), (&bob, "ada@example.org")] {
        assert_eq!(names(who, Some(address)).await, [""; 0]);
    }
    assert_eq!(names(&cyd, Some("bob@example.org")).await, ["bob"]);
    unblock(&ada, &bob).await;
    assert_eq!(names(&bob, Some("ada@example.org")).await, ["ada"]);
    assert_eq!(names(&ada, Some("b")).await, ["bob"]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_is_hidden_both_ways_at_once_and_comes_back() {
    let app = TestApp::start().await;
    let (ada, bob, _chat) = app.pair().await;
    let cyd = app.sign_in("cyd").await;
    group(&ada, &[&bob, &cyd]).await;
    let _sockets = [there(&ada).await, there(&bob).await, there(&cyd).await];
    let online = (json!("ONLINE"), json!(false));
    assert_eq!(sees(&ada, &bob).await, online);
    assert_eq!(sees(&bob, &ada).await, online);
    let both = |other: &User| json!({ "ids": [other.id, cyd.id] });
    let mut ada_sees = ada.client.subscribe(PRESENCE, both(&bob)).await;
    let mut bob_sees = bob.client.subscribe(PRESENCE, both(&ada)).await;
    for feed in [&mut ada_sees, &mut bob_sees] {
        for _ in 0..2 {
            assert_eq!(presence(feed).await.1, "ONLINE");
        }
    }
    let state = |user: &User, status: &str| (user.id.clone(), status.to_owned(), Value::Null);
    for _ in 0..2 {
        block(&ada, &bob).await;
        assert_eq!(presence(&mut ada_sees).await, state(&bob, "OFFLINE"));
        assert_eq!(presence(&mut bob_sees).await, state(&ada, "OFFLINE"));
        assert_eq!(sees(&ada, &bob).await, (Value::Null, json!(true)));
        assert_eq!(sees(&bob, &ada).await, (Value::Null, json!(false)));
        assert_eq!(sees(&cyd, &ada).await, online);
        // A feed that is opened now tells of the others, and is not refused.
        let mut opened = bob.client.subscribe(PRESENCE, both(&ada)).await;
        assert_eq!(presence(&mut opened).await, state(&cyd, "ONLINE"));
        unblock(&ada, &bob).await;
        assert_eq!(presence(&mut ada_sees).await, state(&bob, "ONLINE"));
        assert_eq!(presence(&mut bob_sees).await, state(&ada, "ONLINE"));
        assert_eq!(presence(&mut opened).await, state(&ada, "ONLINE"));
        assert_eq!(sees(&bob, &ada).await, online);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_and_read_marks_are_not_told() {
    const MARKS: &str = "query($id: ID!) { chat(id: $id) { readByAllSeq
        members { nodes { lastReadSeq lastReadAt user { id } } }
        messages(first: 1) { nodes { isReadByAll readBy { nodes { user { id } } } } } } }";
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    for text in ["one", "two", "three"] {
        ada.send(&chat, text).await;
    }
    bob.mark_read(&chat, 1).await;
    let id = json!({ "id": chat });
    let typing = "subscription($id: ID!) { typingChanged(chatId: $id) { isTyping } }";
    let marks =
        "subscription($id: ID!) { readReceiptUpdated(chatId: $id) { lastReadSeq user { id } } }";
    let mut ada_sees_typing = ada.client.subscribe(typing, id.clone()).await;
    let mut ada_sees_marks = ada.client.subscribe(marks, id.clone()).await;
    let mut bob_sees_marks = bob.client.subscribe(marks, id.clone()).await;
    let before = ada.client.data(MARKS, id.clone()).await["chat"].clone();
    assert_eq!(before["readByAllSeq"], json!(1));
    assert_eq!(before["messages"]["nodes"][0]["isReadByAll"], json!(true));

    block(&bob, &ada).await;
    let types = async |is_typing: bool| {
        let input = json!({ "chatId": chat, "isTyping": is_typing });
        run(&bob, "setTyping", input).await.data();
    };
    types(true).await;
    bob.mark_read(&chat, 2).await;
    let told = bob_sees_marks.next().await["readReceiptUpdated"].clone();
    assert_eq!(told["lastReadSeq"], json!(2), "on the own devices");
    let hidden = ada.client.data(MARKS, id.clone()).await["chat"].clone();
    assert_eq!(hidden["readByAllSeq"], Value::Null);
    let message = &hidden["messages"]["nodes"][0];
    assert_eq!(
        (&message["isReadByAll"], &message["readBy"]["nodes"]),
        (&json!(false), &json!([]))
    );
    for member in hidden["members"]["nodes"].as_array().unwrap() {
        if member["user"]["id"] == json!(bob.id) {
            let mark = (&member["lastReadSeq"], &member["lastReadAt"]);
            assert_eq!(mark, (&json!(0), &Value::Null));
        }
    }
    let own = bob.client.data(MARKS, id.clone()).await["chat"].clone();
    let own_mark = own["members"]["nodes"].as_array().unwrap().iter();
    let own_mark = own_mark.filter(|member| member["user"]["id"] == json!(bob.id));
    let own_mark: Vec<_> = own_mark.map(|member| &member["lastReadSeq"]).collect();
    assert_eq!(own_mark, [&json!(2)]);

    unblock(&bob, &ada).await;
    types(true).await;
    bob.mark_read(&chat, 3).await;
    // The first that Ada is told are those behind the block.
    let told = ada_sees_typing.next().await["typingChanged"].clone();
    assert_eq!(told, json!({ "isTyping": true }));
    let told = ada_sees_marks.next().await["readReceiptUpdated"].clone();
    assert_eq!(told["lastReadSeq"], json!(3));
    let shown = ada.client.data(MARKS, id).await["chat"].clone();
    assert_eq!(shown["readByAllSeq"], json!(3));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_the_viewers_alone_and_paged_newest_first() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let mut others = Vec::new();
    for n in 0..5 {
        let other = app.sign_in(&format!("user{n}")).await;
        block(&ada, &other).await;
        others.push(other);
    }
    // Blocking again changes no place.
    block(&ada, &others[0]).await;
    let (mut seen, mut after) = (Vec::new(), Value::Null);
    loop {
        let data = ada
            .client
            .data(BLOCKED, json!({ "first": 2, "after": after }))
            .await;
        let page = &data["blockedUsers"];
        for node in page["nodes"].as_array().unwrap() {
            assert_eq!(node["isBlockedByViewer"], json!(true));
            seen.push(string(&node["name"]));
        }
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] == json!(false) {
            break;
        }
    }
    assert_eq!(seen, ["user4", "user3", "user2", "user1", "user0"]);
    let none = others[0].client.data(BLOCKED, json!({})).await;
    assert_eq!(none["blockedUsers"]["nodes"], json!([]));
    for (who, variables, field) in [
        (&ada, json!({ "first": 101 }), "first"),
        (&ada, json!({ "after": "x" }), "after"),
        (&others[0], json!({ "after": after }), "after"),
    ] {
        let reply = who.client.run(BLOCKED, variables).await;
        assert_eq!(reply.code_and_field(), ("BAD_USER_INPUT", field));
    }
    for is_blocked in [true, false] {
        let reply = ask(&ada, &ada.id, is_blocked).await;
        assert_eq!(reply.code_and_field(), ("BAD_USER_INPUT", "input.userId"));
        let reply = ask(&ada, "usr_01h455vb4pex5vsknk084sn02q", is_blocked).await;
        assert_eq!(reply.code_and_field(), ("NOT_FOUND", "input.userId"));
        let reply = ask(&ada, "nobody", is_blocked).await;
        assert_eq!(reply.code_and_field(), ("BAD_USER_INPUT", "input.userId"));
    }
    for _ in 0..2 {
        unblock(&ada, &others[4]).await;
    }
    let data = ada.client.data(BLOCKED, json!({ "first": 1 })).await;
    assert_eq!(data["blockedUsers"]["nodes"][0]["name"], json!("user3"));
    let reply = app.client().run(BLOCKED, json!({})).await;
    assert_eq!(reply.code(), "UNAUTHENTICATED");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_own_devices_are_told_and_who_is_blocked_is_not() {
    const EVENTS: &str = "subscription { accountEvents { __typename
        ... on ViewerChanged { viewer { id } }
        ... on MessageAdded { message { text } } } }";
    let app = TestApp::start().await;
    let (ada, bob, _chat) = app.pair().await;
    let other = group(&ada, &[&bob]).await;
    let mut ada_s = ada.client.subscribe(EVENTS, json!({})).await;
    let mut bob_s = bob.client.subscribe(EVENTS, json!({})).await;
    for feed in [&mut ada_s, &mut bob_s] {
        let event = feed.next().await["accountEvents"].clone();
        assert_eq!(event["__typename"], json!("AccountCheckpoint"));
    }
    for is_blocked in [true, false] {
        ask(&ada, &bob.id, is_blocked).await.data();
        let told = ada_s.next().await["accountEvents"].clone();
        let expected = json!({ "__typename": "ViewerChanged", "viewer": { "id": ada.id } });
        assert_eq!(told, expected);
    }
    ada.send(&other, "the next that Bob is told").await;
    let told = bob_s.next().await["accountEvents"].clone();
    assert_eq!(told["message"]["text"], json!("the next that Bob is told"));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_changed_so_often_and_each_user_s_alone_counts() {
    let app = TestApp::builder()
        .config(|config| {
            config.limits.block = Quota {
                burst: 2,
                period: Duration::from_mins(1),
            };
        })
        .start()
        .await;
    let (ada, bob, _chat) = app.pair().await;
    block(&ada, &bob).await;
    unblock(&ada, &bob).await;
    let reply = ask(&ada, &bob.id, true).await;
    assert_eq!(reply.code(), "RATE_LIMITED");
    assert_eq!(reply.error()["extensions"]["retryAfter"], json!(30));
    assert_eq!(sees(&ada, &bob).await.1, json!(false));
    block(&bob, &ada).await;
    app.clock.advance(Duration::from_secs(30));
    block(&ada, &bob).await;
    app.stop().await;
}

/// Viewers who differ in whom they have blocked are told of one message, each with what is theirs.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_rendered_for_many_tells_each_their_own_blocks() {
    let app = TestApp::start().await;
    let [ada, bob, cyd] = [
        app.sign_in("ada").await,
        app.sign_in("bob").await,
        app.sign_in("cyd").await,
    ];
    let chat = group(&ada, &[&bob, &cyd]).await;
    let _sockets = [there(&ada).await, there(&bob).await, there(&cyd).await];
    let query = "subscription($chat: ID!) { messageAdded(chatId: $chat) {
        node { text sender { name isBlockedByViewer presence { status } } } } }";
    let mut feeds = Vec::new();
    for viewer in [&ada, &bob, &cyd] {
        for _ in 0..2 {
            let variables = json!({ "chat": chat });
            feeds.push((viewer, viewer.client.subscribe(query, variables).await));
        }
    }
    block(&bob, &ada).await;
    for (is_hidden, text) in [(true, "one"), (false, "two")] {
        if !is_hidden {
            unblock(&bob, &ada).await;
        }
        ada.send(&chat, text).await;
        for (viewer, feed) in &mut feeds {
            let node = feed.next().await["messageAdded"]["node"].clone();
            let is_blocked = is_hidden && viewer.id == bob.id;
            let presence = if is_blocked {
                Value::Null
            } else {
                json!({ "status": "ONLINE" })
            };
            let expected = json!({ "text": text, "sender": { "name": "ada",
                "isBlockedByViewer": is_blocked, "presence": presence } });
            assert_eq!(node, expected, "for {}", viewer.name);
        }
    }
    app.stop().await;
}

/// A server says what it can do.
#[tokio::test(flavor = "multi_thread")]
async fn blocking_is_a_feature() {
    let app = TestApp::start().await;
    let data = app
        .client()
        .data("{ server { features } }", json!({}))
        .await;
    let features = data["server"]["features"].as_array().unwrap();
    assert!(features.contains(&json!("blocking")));
    app.stop().await;
}
