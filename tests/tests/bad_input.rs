//! What a client may get wrong: it is told what, with a code and the argument's name; nothing has
//! changed by it, and nothing of the server's insides is in the answer.

use std::time::Duration;

use serde_json::{Value, json};
use talksy_server::config::Quota;
use talksy_tests::app::TestApp;
use talksy_tests::client::{Client, Reply, SEND, User, string};

const START: &str = "mutation($input: StartChatInput!) {
    startChat(input: $input) { created chat { id } } }";
const MARK: &str = "mutation($input: MarkReadInput!) {
    markRead(input: $input) { receipt { lastReadSeq } chat { unreadCount } } }";
const UNREAD: &str = "mutation($input: MarkUnreadInput!) {
    markUnread(input: $input) { chat { unreadCount } } }";
const TYPE: &str = "mutation($input: SetTypingInput!) { setTyping(input: $input) { chatId } }";
const REVOKE: &str = "mutation($input: RevokeSessionInput!) {
    revokeSession(input: $input) { sessionId } }";
const NODE: &str = "query($id: ID!) { node(id: $id) { __typename id } chat(id: $id) { id } }";
const NODES: &str = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }";

/// No answer may hold any of these.
const INTERNALS: [&str; 12] = [
    "sqlite",
    "rusqlite",
    "panick",
    ".rs",
    "/tmp",
    "/home",
    "talksy.db",
    "unwrap",
    "tokio",
    "governor",
    "backend",
    "uuid",
];

#[track_caller]
fn assert_nothing_internal(answer: &Value) {
    let text = answer["errors"].to_string().to_lowercase();
    for internal in INTERNALS {
        assert!(!text.contains(internal), "{internal} is in {answer}");
    }
}

#[track_caller]
fn assert_refused(reply: &Reply, code: &str, field: &str, what: &str) {
    assert_eq!(
        reply.code_and_field(),
        (code, field),
        "{what}: {}",
        reply.body
    );
    assert_nothing_internal(&reply.body);
    let message = string(&reply.error()["message"]);
    assert!(message.ends_with('.'), "no sentence: {message}");
}

/// The error that ends a subscription: its code and field.
async fn ends(client: &Client, query: &str, variables: Value) -> (String, String) {
    let mut subscription = client.subscribe(query, variables).await;
    let error = subscription.error().await;
    assert_nothing_internal(&json!({ "errors": [error] }));
    let extensions = &error["extensions"];
    let text = |name: &str| extensions[name].as_str().unwrap_or("").to_owned();
    (text("code"), text("field"))
}

/// Each mutation and subscription that takes a chat, with the rest of its input.
fn chat_mutations(chat: &str) -> Vec<(&'static str, Value)> {
    vec![
        (SEND, json!({ "chatId": chat, "text": "hi" })),
        (MARK, json!({ "chatId": chat, "seq": 1 })),
        (UNREAD, json!({ "chatId": chat, "fromSeq": 1 })),
        (TYPE, json!({ "chatId": chat, "isTyping": true })),
    ]
}

const CHAT_SUBSCRIPTIONS: [&str; 4] = [
    "subscription($id: ID!) { messageAdded(chatId: $id) { cursor } }",
    "subscription($id: ID!) { messageAdded(chatId: $id) { node { chat { unreadCount } } } }",
    "subscription($id: ID!) { readReceiptUpdated(chatId: $id) { lastReadSeq } }",
    "subscription($id: ID!) { typingChanged(chatId: $id) { isTyping } }",
];

/// All that two members could notice of their chat.
async fn state(members: [&User; 2], chat: &str) -> Value {
    const STATE: &str = "query($id: ID!) {
        chats { nodes { id } }
        sessions { nodes { id } }
        node(id: $id) { ... on Chat { lastSeq activeAt unreadCount title
            viewerMember { lastReadSeq lastReadAt }
            members { nodes { lastReadSeq user { name about } } }
            messages(last: 100) { nodes { id text clientMessageId } } } } }";
    let mut states = Vec::new();
    for member in members {
        states.push(member.client.data(STATE, json!({ "id": chat })).await);
    }
    Value::from(states)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_id_of_the_right_kind_is_refused_by_name() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let message = string(&ada.send(&chat, "hi").await["message"]["id"]);
    let before = state([&ada, &bob], &chat).await;
    let malformed = [
        String::new(),
        " ".into(),
        "5".into(),
        "cht_".into(),
        "usr_".into(),
        "nonsense".into(),
        "../../etc/passwd".into(),
        "' OR 1=1 --".into(),
        "cht_01h455vb4pex5vsknk084sn02".into(),
        "cht_01h455vb4pex5vsknk084sn02qq".into(),
        "cht_81h455vb4pex5vsknk084sn02q".into(),
        "cht_01h455vb4pex5vsknk084sn0\u{0}q".into(),
        "mail_01h455vb4pex5vsknk084sn02q".into(),
        chat.to_uppercase(),
        format!(" {chat}"),
        format!("{chat}\n"),
        "x".repeat(10_000),
    ];
    for id in &malformed {
        let node = ada.client.data(NODE, json!({ "id": id })).await;
        assert_eq!(node, json!({ "node": null, "chat": null }), "{id}");
        let ids = json!({ "ids": [id, ada.id] });
        let nodes = ada.client.data(NODES, ids).await;
        let user = json!({ "__typename": "User", "id": ada.id });
        assert_eq!(nodes["nodes"], json!([null, user]), "{id}");
    }
    let right = |id: &&String| **id != chat;
    for id in malformed.iter().chain([&ada.id, &message]).filter(right) {
        for (mutation, input) in chat_mutations(id) {
            let reply = ada.client.run(mutation, json!({ "input": input })).await;
            assert_refused(&reply, "BAD_USER_INPUT", "input.chatId", id);
        }
    }
    for id in malformed.iter().chain([&chat, &message, &ada.session_id]) {
        let input = json!({ "input": { "userId": id } });
        let reply = ada.client.run(START, input).await;
        assert_refused(&reply, "BAD_USER_INPUT", "input.userId", id);
    }
    for id in malformed.iter().chain([&chat, &ada.id]) {
        let input = json!({ "input": { "sessionId": id } });
        let reply = ada.client.run(REVOKE, input).await;
        assert_refused(&reply, "BAD_USER_INPUT", "input.sessionId", id);
    }
    // Lists, or nothing at all, are no values of the type; a number is one.
    let node = ada.client.data(NODE, json!({ "id": 5 })).await;
    assert_eq!(node, json!({ "node": null, "chat": null }));
    for id in [json!(["x"]), json!({}), json!(true), Value::Null] {
        let reply = ada.client.run(NODE, json!({ "id": id })).await;
        assert_eq!(reply.code(), "BAD_USER_INPUT", "{id}: {}", reply.body);
        assert_nothing_internal(&reply.body);
    }
    assert_eq!(state([&ada, &bob], &chat).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_to_what_is_no_id_ends_with_the_reason() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    for id in ["", "nonsense", ada.id.as_str()] {
        for query in CHAT_SUBSCRIPTIONS {
            let end = ends(&ada.client, query, json!({ "id": id })).await;
            assert_eq!(end, ("BAD_USER_INPUT".into(), "chatId".into()), "{id}");
        }
    }
    let watch = "subscription($ids: [ID!]!) { presenceChanged(userIds: $ids) { status } }";
    for id in ["", "nonsense", ada.session_id.as_str()] {
        let end = ends(&ada.client, watch, json!({ "ids": [ada.id, id] })).await;
        assert_eq!(end, ("BAD_USER_INPUT".into(), "userIds.1".into()), "{id}");
    }
    let crowd: Vec<_> = (0..101).map(|_| ada.id.clone()).collect();
    let end = ends(&ada.client, watch, json!({ "ids": crowd })).await;
    assert_eq!(end, ("BAD_USER_INPUT".into(), "userIds".into()));
    let reply = ada.client.run(NODES, json!({ "ids": crowd })).await;
    assert_refused(&reply, "BAD_USER_INPUT", "ids", "101 ids");
}

/// A list with its page's arguments, on the chat `$id`.
struct List {
    query: &'static str,
    path: &'static str,
    both_ways: bool,
}

const LISTS: [List; 6] = [
    List {
        query: "query($first: Int, $after: String) {
            sessions(first: $first, after: $after) { pageInfo { endCursor } } }",
        path: "/sessions",
        both_ways: false,
    },
    List {
        query: "query($first: Int, $after: String) {
            users(first: $first, after: $after) { pageInfo { endCursor } } }",
        path: "/users",
        both_ways: false,
    },
    List {
        query: "query($first: Int, $after: String) {
            chats(first: $first, after: $after) { pageInfo { endCursor } } }",
        path: "/chats",
        both_ways: false,
    },
    List {
        query: "query($id: ID!, $first: Int, $after: String) { node(id: $id) { ... on Chat {
            members(first: $first, after: $after) { pageInfo { endCursor } } } } }",
        path: "/node/members",
        both_ways: false,
    },
    List {
        query: "query($id: ID!, $first: Int, $after: String) { node(id: $id) { ... on Chat {
            lastMessage { readBy(first: $first, after: $after) { pageInfo { endCursor } } } } } }",
        path: "/node/lastMessage/readBy",
        both_ways: false,
    },
    List {
        query: "query($id: ID!, $first: Int, $after: String, $last: Int, $before: String) {
            node(id: $id) { ... on Chat {
            messages(first: $first, after: $after, last: $last, before: $before) {
                pageInfo { endCursor } } } } }",
        path: "/node/messages",
        both_ways: true,
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_list_or_none_at_all_is_refused_by_name() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let eve = app.sign_in("eve").await;
    let other_chat = ada.start_chat(&eve).await;
    ada.send(&chat, "hi").await;
    ada.send(&other_chat, "hi").await;
    bob.mark_read(&chat, 1).await;
    eve.mark_read(&other_chat, 1).await;

    // Each list's own cursor, and that of the same list of the other chat.
    let mut cursors = Vec::new();
    for list in &LISTS {
        for id in [&chat, &other_chat] {
            let data = ada.client.data(list.query, json!({ "id": id })).await;
            let page = data.pointer(list.path).cloned().unwrap_or_default();
            cursors.push((list.path, id, string(&page["pageInfo"]["endCursor"])));
        }
    }
    let accepts = |path: &str, of: &str, id: &str| {
        // Members and readers are places in the same list of the chat.
        let same = path == of
            || (path.contains("/node/") && path.contains("ead") && of.contains("members"))
            || (path.contains("members") && of.contains("readBy"));
        same && (!of.starts_with("/node/") || id == chat)
    };
    for list in &LISTS {
        for (of, id, cursor) in &cursors {
            let variables = json!({ "id": chat, "after": cursor });
            let reply = ada.client.run(list.query, variables).await;
            if accepts(list.path, of, id) {
                reply.data();
            } else {
                let what = format!("{of} in {}", list.path);
                assert_refused(&reply, "BAD_USER_INPUT", "after", &what);
            }
        }
        let garbage = ["", "!", "bQ", "null", "0", &"A".repeat(600), "bQ==", "ключ"];
        for cursor in garbage {
            let after = json!({ "id": chat, "after": cursor });
            let reply = ada.client.run(list.query, after).await;
            assert_refused(&reply, "BAD_USER_INPUT", "after", cursor);
            if list.both_ways {
                let before = json!({ "id": chat, "before": cursor });
                let reply = ada.client.run(list.query, before).await;
                assert_refused(&reply, "BAD_USER_INPUT", "before", cursor);
            }
        }
    }
    let added = "subscription($id: ID!, $after: String) {
        messageAdded(chatId: $id, after: $after) { cursor } }";
    for cursor in ["", "garbage", &cursors[0].2, &cursors[11].2] {
        let end = ends(&ada.client, added, json!({ "id": chat, "after": cursor })).await;
        assert_eq!(end, ("BAD_USER_INPUT".into(), "after".into()), "{cursor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_from_no_to_a_hundred_items() {
    let app = TestApp::start().await;
    let (ada, _bob, chat) = app.pair().await;
    ada.send(&chat, "hi").await;
    for list in &LISTS {
        for size in [-1, 101, i32::MIN, i32::MAX] {
            let reply = ada
                .client
                .run(list.query, json!({ "id": chat, "first": size }))
                .await;
            assert_refused(&reply, "BAD_USER_INPUT", "first", list.path);
            if list.both_ways {
                let reply = ada
                    .client
                    .run(list.query, json!({ "id": chat, "last": size }))
                    .await;
                assert_refused(&reply, "BAD_USER_INPUT", "last", list.path);
            }
        }
        for size in [0, 100] {
            ada.client
                .data(list.query, json!({ "id": chat, "first": size }))
                .await;
        }
        // No 32-bit number at all.
        for size in [json!(2_147_483_648_i64), json!(1.5), json!("1"), json!([])] {
            let reply = ada
                .client
                .run(list.query, json!({ "id": chat, "first": size }))
                .await;
            assert_eq!(reply.code(), "BAD_USER_INPUT", "{size}: {}", reply.body);
            assert_nothing_internal(&reply.body);
        }
    }
    let both = json!({ "id": chat, "first": 1, "last": 1 });
    let reply = ada.client.run(LISTS[5].query, both).await;
    assert_refused(&reply, "BAD_USER_INPUT", "last", "both");
    for query in [
        "{ users(first: 2147483648) { nodes { id } } }",
        "{ users(first: -99999999999999999999) { nodes { id } } }",
        "{ users(first: 1e3) { nodes { id } } }",
    ] {
        let reply = ada.client.run(query, json!({})).await;
        assert_eq!(reply.code(), "BAD_USER_INPUT", "{query}: {}", reply.body);
        assert_nothing_internal(&reply.body);
    }
    for search in ["x".repeat(101), "😀".repeat(101)] {
        for query in [
            "query($search: String) { users(search: $search) { nodes { id } } }",
            "query($search: String) { chats(search: $search) { nodes { id } } }",
        ] {
            let reply = ada.client.run(query, json!({ "search": search })).await;
            assert_refused(&reply, "BAD_USER_INPUT", "search", query);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_breaks_a_rule_is_not_sent() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let before = state([&ada, &bob], &chat).await;
    let send = async |text: Value, id: Value| {
        let input = json!({ "chatId": chat, "text": text, "clientMessageId": id });
        ada.client.run(SEND, json!({ "input": input })).await
    };
    for text in [
        json!(""),
        json!(" \n\t "),
        json!("\u{200B}\u{2060}"),
        Value::Null,
        json!("x".repeat(4_001)),
        json!("😀".repeat(4_001)),
        json!("x".repeat(100_000)),
        json!("a\u{0}b"),
        json!("a\u{7}b"),
        json!("a\u{1B}[31mb"),
        json!("a\u{9F}b"),
    ] {
        let reply = send(text.clone(), Value::Null).await;
        assert_refused(&reply, "BAD_USER_INPUT", "input.text", &text.to_string());
    }
    for id in ["", "a\nb", "a\u{0}", &"x".repeat(65), &"x".repeat(10_000)] {
        let reply = send(json!("hi"), json!(id)).await;
        assert_refused(&reply, "BAD_USER_INPUT", "input.clientMessageId", id);
    }
    assert_eq!(state([&ada, &bob], &chat).await, before);

    // What keeps the rules arrives as it was sent.
    for text in [
        "x",
        "  spaces and\n\ttabs stay  ",
        "שלום \u{202B}עולם\u{202C}",
        "👩‍👩‍👧‍👦",
        "'; DROP TABLE messages; --",
        "<script>alert(1)</script>",
        &"😀".repeat(4_000),
    ] {
        let answer = send(json!(text), Value::Null).await.data();
        assert_eq!(answer["sendMessage"]["message"]["text"], json!(text));
    }
    let answer = send(json!("x"), json!("y".repeat(64))).await.data();
    assert_eq!(answer["sendMessage"]["message"]["seq"], json!(8));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_all_bounds_is_refused_whole() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let before = state([&ada, &bob], &chat).await;
    let input = json!({ "chatId": chat, "text": "x".repeat(300 * 1024) });
    let reply = ada.client.run(SEND, json!({ "input": input })).await;
    assert_eq!((reply.status, reply.code()), (413, "PAYLOAD_TOO_LARGE"));
    assert_eq!(state([&ada, &bob], &chat).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_mark_stays_within_the_chat() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let mark = async |seq: Value| {
        let input = json!({ "input": { "chatId": chat, "seq": seq } });
        bob.client.run(MARK, input).await
    };
    // In an empty chat there is nothing to read.
    for seq in [0, 1, 7] {
        let marked = mark(json!(seq)).await.data();
        assert_eq!(marked["markRead"]["receipt"]["lastReadSeq"], json!(0));
    }
    for text in ["one", "two", "three"] {
        ada.send(&chat, text).await;
    }
    let before = state([&ada, &bob], &chat).await;
    for seq in [json!(-1), json!(i32::MIN)] {
        let reply = mark(seq.clone()).await;
        assert_refused(&reply, "BAD_USER_INPUT", "input.seq", &seq.to_string());
    }
    for seq in [
        json!(2_147_483_648_i64),
        json!(1.5),
        json!("1"),
        Value::Null,
    ] {
        let reply = mark(seq.clone()).await;
        assert_eq!(reply.code(), "BAD_USER_INPUT", "{seq}: {}", reply.body);
        assert_nothing_internal(&reply.body);
    }
    let literal = format!(
        "mutation {{ markRead(input: {{ chatId: \"{chat}\", seq: 99999999999 }}) {{
            chat {{ id }} }} }}"
    );
    let reply = bob.client.run(&literal, json!({})).await;
    assert_eq!(reply.code(), "BAD_USER_INPUT", "{}", reply.body);
    let marked = mark(json!(0)).await.data();
    assert_eq!(marked["markRead"]["chat"]["unreadCount"], json!(3));
    assert_eq!(state([&ada, &bob], &chat).await, before);

    let steps = [(2, 2, 1), (1, 2, 1), (i32::MAX, 3, 0), (0, 3, 0)];
    for (seq, read, unread) in steps {
        let marked = mark(json!(seq)).await.data();
        assert_eq!(
            marked["markRead"],
            json!({ "receipt": { "lastReadSeq": read }, "chat": { "unreadCount": unread } }),
            "{seq}"
        );
    }
    // A mark beyond the newest message does not read what comes later.
    ada.send(&chat, "four").await;
    let marked = mark(json!(0)).await.data();
    assert_eq!(marked["markRead"]["chat"]["unreadCount"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_needs_another_user_who_exists() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let start = async |id: &str| {
        let input = json!({ "input": { "userId": id } });
        ada.client.run(START, input).await
    };
    let reply = start(&ada.id).await;
    assert_refused(&reply, "BAD_USER_INPUT", "input.userId", "oneself");
    let reply = start("usr_01h455vb4pex5vsknk084sn02q").await;
    assert_refused(&reply, "NOT_FOUND", "input.userId", "nobody");
    let chats = ada
        .client
        .data("{ chats { nodes { id } } }", json!({}))
        .await;
    assert_eq!(chats["chats"]["nodes"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_or_writes_a_chat_of_others() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let eve = app.sign_in("eve").await;
    let own = eve.start_chat(&ada).await;
    let message = string(&ada.send(&chat, "secret").await["message"]["id"]);
    let before = state([&ada, &bob], &chat).await;
    let unknown = "cht_01h455vb4pex5vsknk084sn02q";

    for (id, code) in [(chat.as_str(), "FORBIDDEN"), (unknown, "NOT_FOUND")] {
        for (mutation, input) in chat_mutations(id) {
            let reply = eve.client.run(mutation, json!({ "input": input })).await;
            assert_refused(&reply, code, "input.chatId", mutation);
        }
        for query in CHAT_SUBSCRIPTIONS {
            let end = ends(&eve.client, query, json!({ "id": id })).await;
            assert_eq!(end, (code.into(), "chatId".into()), "{query}");
        }
    }
    let nodes = json!({ "ids": [chat, message, unknown, ada.session_id, own, eve.session_id] });
    let data = eve.client.data(NODES, nodes).await;
    assert_eq!(
        data["nodes"],
        json!([null, null, null, null, { "__typename": "Chat", "id": own },
               { "__typename": "Session", "id": eve.session_id }])
    );
    let chats = eve
        .client
        .data(
            "{ chats { nodes { id messages { nodes { text } } members { nodes { user { name } } } } } }",
            json!({}),
        )
        .await;
    assert!(!chats.to_string().contains("secret") && !chats.to_string().contains("bob"));

    // Bob and Eve share no chat: neither sees whether the other is there.
    let watch = "subscription($ids: [ID!]!) { presenceChanged(userIds: $ids) { status } }";
    let ids = json!({ "ids": [ada.id, bob.id] });
    let end = ends(&eve.client, watch, ids).await;
    assert_eq!(end, ("FORBIDDEN".into(), "userIds".into()));
    let presence = "query($id: ID!) { node(id: $id) { ... on User { presence { status } } } }";
    let data = eve.client.data(presence, json!({ "id": bob.id })).await;
    assert_eq!(data["node"], json!({ "presence": null }));
    assert_eq!(state([&ada, &bob], &chat).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_signing_in_nothing_but_signing_in_can_be_done() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let before = state([&ada, &bob], &chat).await;
    let stranger = app.client();
    let mut attempts = vec![
        ("{ sessions { nodes { id } } }", Value::Null),
        ("{ chat(id: \"x\") { id } }", Value::Null),
        ("{ users(first: -1) { nodes { id } } }", Value::Null),
        ("{ chats(after: \"!\") { nodes { id } } }", Value::Null),
        ("{ node(id: \"x\") { id } }", Value::Null),
        ("{ nodes(ids: [\"x\"]) { id } }", Value::Null),
        ("mutation { logout { sessionId } }", Value::Null),
        (START, json!({ "userId": ada.id })),
        (REVOKE, json!({ "sessionId": ada.session_id })),
        (
            "mutation($input: UpdateProfileInput!) {
                updateProfile(input: $input) { user { id } } }",
            json!({ "name": "" }),
        ),
    ];
    attempts.extend(chat_mutations(&chat));
    attempts.extend(chat_mutations("x"));
    for (query, input) in attempts {
        let reply = stranger.run(query, json!({ "input": input })).await;
        assert_refused(&reply, "UNAUTHENTICATED", "", query);
    }
    for query in CHAT_SUBSCRIPTIONS {
        for id in [&chat, "x"] {
            let end = ends(&stranger, query, json!({ "id": id })).await;
            assert_eq!(end, ("UNAUTHENTICATED".into(), String::new()), "{query}");
        }
    }
    for query in [
        "subscription { chatUpdated { id } }",
        "subscription { presenceChanged(userIds: [\"x\"]) { status } }",
    ] {
        let end = ends(&stranger, query, json!({})).await;
        assert_eq!(end, ("UNAUTHENTICATED".into(), String::new()), "{query}");
    }
    assert_eq!(state([&ada, &bob], &chat).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_too_quick_is_told_for_how_long_to_wait() {
    let quota = Quota {
        burst: 3,
        period: Duration::from_secs(10),
    };
    let app = TestApp::builder()
        .config(move |config| {
            config.limits.send = quota;
            config.limits.typing = quota;
            config.limits.start_chat = quota;
        })
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    let limited = |reply: &Reply, what: &str| {
        assert_refused(reply, "RATE_LIMITED", "", what);
        assert_eq!(
            reply.error()["extensions"]["retryAfter"],
            json!(4),
            "{what}"
        );
    };
    let send = async |user: &User| {
        let input = json!({ "input": { "chatId": chat, "text": "hi" } });
        user.client.run(SEND, input).await
    };
    for _ in 0..3 {
        send(&ada).await.data();
    }
    limited(&send(&ada).await, "send");
    // The limit is the user's own, and what was refused took no number.
    assert_eq!(
        send(&bob).await.data()["sendMessage"]["message"]["seq"],
        json!(4)
    );
    app.clock.advance(Duration::from_secs(4));
    assert_eq!(
        send(&ada).await.data()["sendMessage"]["message"]["seq"],
        json!(5)
    );

    let typing = json!({ "input": { "chatId": chat, "isTyping": true } });
    for _ in 0..3 {
        ada.client.data(TYPE, typing.clone()).await;
    }
    limited(&ada.client.run(TYPE, typing).await, "typing");
    let start = json!({ "input": { "userId": ada.id } });
    for _ in 0..3 {
        bob.client.data(START, start.clone()).await;
    }
    limited(&bob.client.run(START, start).await, "startChat");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fields_of_a_mutation_are_done_in_order_and_none_by_half() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let fields = "mutation($chat: ID!, $bad: String) {
        a: sendMessage(input: { chatId: $chat, text: \"a\" }) { message { seq } }
        b: sendMessage(input: { chatId: $chat, text: $bad }) { message { seq } }
        c: sendMessage(input: { chatId: $chat, text: \"c\" }) { message { seq } } }";
    let texts = async || {
        let query = "query($id: ID!) { node(id: $id) { ... on Chat {
            lastSeq messages { nodes { text } } } } }";
        bob.client.data(query, json!({ "id": chat })).await["node"].clone()
    };
    let done = json!({ "chat": chat, "bad": "b" });
    let done = ada.client.data(fields, done).await;
    assert_eq!(
        done,
        json!({ "a": { "message": { "seq": 1 } }, "b": { "message": { "seq": 2 } },
                "c": { "message": { "seq": 3 } } })
    );

    // A refused field does nothing, hinders no other and hides none: what was done is told.
    let reply = ada
        .client
        .run(fields, json!({ "chat": chat, "bad": " " }))
        .await;
    assert_refused(&reply, "BAD_USER_INPUT", "input.text", "b");
    assert_eq!(reply.error()["path"], json!(["b"]));
    let message = string(&reply.error()["message"]);
    assert!(message.starts_with("`input.text` "), "{message}");
    assert_eq!(
        reply.body["data"],
        json!({ "a": { "message": { "seq": 4 } }, "b": null, "c": { "message": { "seq": 5 } } })
    );
    assert_eq!(
        texts().await,
        json!({ "lastSeq": 5, "messages": { "nodes": [{ "text": "a" }, { "text": "b" },
            { "text": "c" }, { "text": "a" }, { "text": "c" }] } })
    );

    // A document or variable that does not fit the schema is refused before its first field.
    for query in [
        fields.replace("c: sendMessage", "c: sendMassage"),
        fields.replace("message { seq } }\n        b", "message }\n        b"),
    ] {
        let reply = ada
            .client
            .run(&query, json!({ "chat": chat, "bad": "b" }))
            .await;
        assert!(reply.body.get("data").is_none(), "{}", reply.body);
        assert_nothing_internal(&reply.body);
    }
    assert_eq!(texts().await["lastSeq"], json!(5));

    // Two marks in one request: each answer is the state after its own field.
    let marks = "mutation($chat: ID!) {
        a: markRead(input: { chatId: $chat, seq: 1 }) { chat { unreadCount } }
        b: markRead(input: { chatId: $chat, seq: 3 }) { chat { unreadCount } } }";
    let done = bob.client.data(marks, json!({ "chat": chat })).await;
    assert_eq!(
        done,
        json!({ "a": { "chat": { "unreadCount": 4 } }, "b": { "chat": { "unreadCount": 2 } } })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_answered_is_null_as_the_schema_says() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    ada.send(&chat, "hi").await;
    let expired = ada.client.with_token("garbage");
    let reply = expired.run("{ __typename me { id } }", json!({})).await;
    assert_eq!(
        reply.body["data"],
        json!({ "__typename": "Query", "me": null })
    );
    let reply = expired.run("{ me { id } }", json!({})).await;
    assert_eq!(reply.body["data"], json!({ "me": null }));
    let reply = expired
        .run(
            "{ me { id } users { nodes { id } } chats { nodes { id } } }",
            json!({}),
        )
        .await;
    assert_eq!(
        reply.body["data"],
        json!({ "me": null, "users": null, "chats": null })
    );
    assert_eq!(reply.body["errors"].as_array().map(Vec::len), Some(3));
    // A list of nodes may not be null, so that nothing is left.
    let reply = expired
        .run("{ me { id } nodes(ids: []) { id } }", json!({}))
        .await;
    assert_eq!(reply.body["data"], Value::Null);
    assert_eq!(reply.body["errors"].as_array().map(Vec::len), Some(2));

    // `messages` may not be null, so its chat is; the rest of the answer stands.
    let query = "query($chat: ID!, $user: ID!, $first: Int) {
        chat: node(id: $chat) { id ...Page }
        all: nodes(ids: [$chat, $user]) { id ...Page }
        user: node(id: $user) { id } }
        fragment Page on Chat { page: messages(first: $first) { nodes { text } } }";
    let variables = json!({ "chat": chat, "user": bob.id, "first": -1 });
    let reply = ada.client.run(query, variables).await;
    assert_eq!(
        reply.body["data"],
        json!({ "chat": null, "all": [null, { "id": bob.id }], "user": { "id": bob.id } })
    );
    assert_eq!(reply.error()["extensions"]["field"], json!("first"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_variable_has_its_default_value_everywhere() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    app.sign_in("bob").await;
    let query = "query($yes: Boolean! = true, $first: Int = 0, $no: Boolean = false) {
        users(first: $first) { nodes { name } }
        in: me @include(if: $yes) { name } out: me @skip(if: $yes) { name }
        no: me @include(if: $no) { name } }";
    let data = ada.client.data(query, json!({})).await;
    assert_eq!(
        data,
        json!({ "users": { "nodes": [] }, "in": { "name": "ada" } })
    );
    let variables = json!({ "yes": false, "first": 5, "no": true });
    let data = ada.client.data(query, variables).await;
    assert_eq!(
        data,
        json!({ "users": { "nodes": [{ "name": "bob" }] }, "out": { "name": "ada" },
                "no": { "name": "ada" } })
    );
}
