//! Other people: who there is, who is there, who types; and fetching anything by its id.

use std::time::Duration;

use serde_json::{Value, json};
use talksy_domain::clock::Clock as _;
use talksy_domain::presence::HOLD;
use talksy_domain::search::fold_key;
use talksy_tests::app::TestApp;
use talksy_tests::client::{User, string};
use talksy_tests::websocket::Socket;
use talksy_tests::{eventually, soon};

const SECOND: Duration = Duration::from_secs(1);

const PRESENCE: &str = "subscription($ids: [ID!]!) { presenceChanged(userIds: $ids) {
    status lastSeenAt user { id } } }";
const TYPING: &str = "subscription($id: ID!) { typingChanged(chatId: $id) {
    isTyping user { id } chat { id } } }";
const SET_TYPING: &str =
    "mutation($input: SetTypingInput!) { setTyping(input: $input) { chatId } }";
const USERS: &str = "query($search: String, $first: Int, $after: String) {
    users(search: $search, first: $first, after: $after) {
        nodes { name } pageInfo { hasNextPage hasPreviousPage endCursor } } }";

async fn rename(user: &User, name: &str) {
    let query = "mutation($input: UpdateProfileInput!) {
        updateProfile(input: $input) { user { name } } }";
    let input = json!({ "input": { "name": name } });
    user.client.data(query, input).await;
}

fn names(data: &Value) -> Vec<&str> {
    let nodes = data["users"]["nodes"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    nodes
        .iter()
        .map(|user| user["name"].as_str().unwrap_or(""))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_else_is_listed_by_name_found_by_its_beginning_and_paged() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    for (account, name) in [
        ("b", "bob"),
        ("c", "Bob"),
        ("d", "ALICE"),
        ("e", "Ärger"),
        ("f", "alina 100%"),
        ("g", "Zoë_x"),
        ("h", "bobby"),
    ] {
        let user = app.sign_in(account).await;
        rename(&user, name).await;
    }
    let users = async |variables: Value| ada.client.data(USERS, variables).await;
    let all = users(json!({})).await;
    let all = names(&all);
    assert_eq!(all.len(), 7);
    assert!(all.is_sorted_by_key(|name| fold_key(name)), "{all:?}");
    assert!(!all.contains(&"ada"), "oneself is not listed");

    for (search, found) in [
        ("bob", &["bob", "Bob", "bobby"][..]),
        (" BOB ", &["bob", "Bob", "bobby"]),
        ("bobb", &["bobby"]),
        ("ob", &[]),
        ("ali", &["ALICE", "alina 100%"]),
        ("ä", &["ALICE", "alina 100%", "Ärger"]),
        ("arg", &["Ärger"]),
        ("%", &[]),
        ("alina 100%", &["alina 100%"]),
        ("zoë_", &["Zoë_x"]),
        ("zoë-", &[]),
        ("a'--", &[]),
    ] {
        let data = users(json!({ "search": search })).await;
        let mut sorted = names(&data);
        sorted.sort_unstable_by_key(|name| (name.to_lowercase(), !name.starts_with('b')));
        assert_eq!(sorted, found, "{search}");
    }

    let mut read = Vec::new();
    let mut after = Value::Null;
    loop {
        let data = users(json!({ "first": 3, "after": after })).await;
        read.extend(names(&data).into_iter().map(str::to_owned));
        let info = &data["users"]["pageInfo"];
        assert_eq!(info["hasPreviousPage"], json!(!after.is_null()));
        after = info["endCursor"].clone();
        if info["hasNextPage"] == json!(false) {
            break;
        }
    }
    assert_eq!(read, all);
}

/// Opens another socket of a user, a second after the one before, and waits until it counts.
async fn next_socket(app: &TestApp, user: &User) -> Socket {
    app.clock.advance(SECOND);
    let socket = user.client.socket().await;
    let id = match user.id.parse() {
        Ok(id) => [id],
        Err(error) => panic!("no user: {}: {error}", user.id),
    };
    // By then the leases of earlier sockets will have ended, but not this one's.
    let later = app.clock.now() + Duration::from_millis(44_500) + HOLD;
    eventually("the socket's lease", async || {
        let online = app.adapters.ports.presence.online(&id, later).await.ok()?;
        (!online.is_empty()).then_some(())
    })
    .await;
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_comes_first_as_it_is_and_then_as_it_changes() {
    let app = TestApp::builder()
        .config(|config| {
            config.presence.grace = Duration::ZERO;
            config.presence.sweep = Duration::from_millis(20);
        })
        .start()
        .await;
    let (ada, bob, _chat) = app.pair().await;
    let watch = json!({ "ids": [bob.id, bob.id] });
    let mut ada_sees = ada.client.subscribe(PRESENCE, watch.clone()).await;
    let state = |status: &str, seen: Value| json!({ "presenceChanged": { "status": status, "lastSeenAt": seen, "user": { "id": bob.id } } });
    assert_eq!(ada_sees.next().await, state("OFFLINE", Value::Null));

    let phone = bob.client.socket().await;
    assert_eq!(ada_sees.next().await, state("ONLINE", Value::Null));
    // A second device is no change, nor is its end.
    let laptop = next_socket(&app, &bob).await;
    phone.cut();
    let mut ada_also_sees = ada.client.subscribe(PRESENCE, watch).await;
    assert_eq!(ada_also_sees.next().await, state("ONLINE", Value::Null));
    app.clock.advance(SECOND);
    laptop.cut();
    let left = state("OFFLINE", json!("2026-01-01T00:00:02.000Z"));
    assert_eq!(ada_sees.next().await, left);
    assert_eq!(ada_also_sees.next().await, left);

    let query = "query($id: ID!) { node(id: $id) { ... on User {
        presence { status lastSeenAt user { id } } } } }";
    let data = ada.client.data(query, json!({ "id": bob.id })).await;
    assert_eq!(data["node"]["presence"], left["presenceChanged"]);
    // Ada has sockets open: she is there, for herself as well.
    let data = ada.client.data(query, json!({ "id": ada.id })).await;
    assert_eq!(data["node"]["presence"]["status"], json!("ONLINE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_shows_no_gap() {
    let app = TestApp::builder()
        .config(|config| {
            config.presence.grace = 3 * SECOND;
            config.presence.sweep = Duration::from_millis(20);
        })
        .start()
        .await;
    let (ada, bob, _chat) = app.pair().await;
    let socket = bob.client.socket().await;
    let query = "query($id: ID!) { node(id: $id) { ... on User { presence { status } } } }";
    let online = async || {
        let data = ada.client.data(query, json!({ "id": bob.id })).await;
        data["node"]["presence"]["status"] == json!("ONLINE")
    };
    eventually("Bob online", async || online().await.then_some(())).await;
    let mut ada_sees = ada
        .client
        .subscribe(PRESENCE, json!({ "ids": [bob.id] }))
        .await;
    let status = async |feed: &mut talksy_tests::websocket::Subscription| {
        string(&feed.next().await["presenceChanged"]["status"])
    };
    assert_eq!(status(&mut ada_sees).await, "ONLINE");

    socket.cut();
    let socket = next_socket(&app, &bob).await;
    app.clock.advance(5 * SECOND);
    assert!(online().await, "the new socket keeps Bob online");
    socket.cut();
    // The clock stands still: it is moved until the grace of the last socket is over.
    let left = async {
        loop {
            tokio::select! {
                status = status(&mut ada_sees) => return status,
                () = tokio::time::sleep(Duration::from_millis(50)) => app.clock.advance(SECOND),
            }
        }
    };
    // Nothing came in between: of the reload Ada has noticed nothing.
    assert_eq!(soon("Bob's leaving", left).await, "OFFLINE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_nobody_renews_ends_by_itself() {
    let app = TestApp::builder()
        .config(|config| config.presence.sweep = Duration::from_millis(20))
        .start()
        .await;
    let (ada, bob, _chat) = app.pair().await;
    let _socket = bob.client.socket().await;
    let query = "query($id: ID!) { node(id: $id) { ... on User { presence { status } } } }";
    let status = async || {
        let data = ada.client.data(query, json!({ "id": bob.id })).await;
        string(&data["node"]["presence"]["status"])
    };
    eventually("Bob online", async || {
        (status().await == "ONLINE").then_some(())
    })
    .await;
    // As if the instance that held the socket had crashed: its lease of 45 s is not renewed.
    app.clock.advance(45 * SECOND);
    eventually("Bob offline", async || {
        (status().await == "OFFLINE").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_shows_and_stops_by_itself() {
    let app = TestApp::builder()
        .config(|config| config.live.typing_timeout = Duration::from_millis(300))
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    let id = json!({ "id": chat });
    let mut bob_sees = bob.client.subscribe(TYPING, id.clone()).await;
    let mut ada_sees = ada.client.subscribe(TYPING, id).await;
    let types = async |user: &User, is_typing: bool| {
        let input = json!({ "input": { "chatId": chat, "isTyping": is_typing } });
        let data = user.client.data(SET_TYPING, input).await;
        assert_eq!(data["setTyping"]["chatId"], json!(chat));
    };
    let state = |user: &User, is_typing: bool| {
        json!({ "typingChanged": {
            "isTyping": is_typing, "user": { "id": user.id }, "chat": { "id": chat } } })
    };
    // Silence ends it.
    types(&ada, true).await;
    assert_eq!(bob_sees.next().await, state(&ada, true));
    assert_eq!(bob_sees.next().await, state(&ada, false));
    // So does saying so, which is told once.
    types(&ada, true).await;
    types(&ada, false).await;
    types(&ada, false).await;
    assert_eq!(bob_sees.next().await, state(&ada, true));
    assert_eq!(bob_sees.next().await, state(&ada, false));
    // And a message.
    types(&ada, true).await;
    assert_eq!(bob_sees.next().await, state(&ada, true));
    ada.send(&chat, "done").await;
    assert_eq!(bob_sees.next().await, state(&ada, false));
    // Of her own typing Ada was told nothing: Bob's is the first that she hears of.
    types(&bob, true).await;
    assert_eq!(ada_sees.next().await, state(&bob, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn anything_is_fetched_by_its_id_in_the_order_asked_for() {
    const NODES: &str = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id
        ... on User { name } ... on Chat { title } ... on Message { text }
        ... on Session { isCurrent } } }";
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let message = string(&bob.send(&chat, "hi").await["message"]["id"]);
    let gone = "usr_01h455vb4pex5vsknk084sn02q";
    let ids = json!({ "ids": [message, gone, ada.session_id, chat, bob.id, chat, bob.session_id] });
    let data = ada.client.data(NODES, ids).await;
    let the_chat = json!({ "__typename": "Chat", "id": chat, "title": "bob" });
    assert_eq!(
        data["nodes"],
        json!([
            { "__typename": "Message", "id": message, "text": "hi" },
            null,
            { "__typename": "Session", "id": ada.session_id, "isCurrent": true },
            the_chat,
            { "__typename": "User", "id": bob.id, "name": "bob" },
            the_chat,
            null,
        ])
    );
    let data = ada.client.data(NODES, json!({ "ids": [] })).await;
    assert_eq!(data["nodes"], json!([]));
    let one = "query($id: ID!) { node(id: $id) { id ... on Message { seq chat { id } } } }";
    let data = ada.client.data(one, json!({ "id": message })).await;
    assert_eq!(
        data["node"],
        json!({ "id": message, "seq": 1, "chat": { "id": chat } })
    );
}
