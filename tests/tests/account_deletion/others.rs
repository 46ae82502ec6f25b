//! What is left of a deleted account for others, and for whoever had it.

use std::time::Duration;

use serde_json::json;
use talksy_tests::client::{MESSAGE_ADDED, string};
use talksy_tests::cluster::Addresses;
use talksy_tests::replica::AccountReplica;
use talksy_tests::{eventually, soon};

use super::{delete, erased, group, mutate, quick};

const USER: &str = "query($id: ID!) { node(id: $id) { ... on User {
    id name email about metadata avatar { id } presence { status } isDeleted } } }";
const CHAT: &str = "query($id: ID!) { chat(id: $id) { title memberCount lastSeq
    members { nodes { role user { id isDeleted } } }
    messages(first: 50) { nodes { seq kind text deletedAt changeSeq sender { id name isDeleted }
        isReadByAll readBy { nodes { user { id } } } reactions { count } } }
    changes { nodes { message { seq deletedAt } } } } }";

#[tokio::test(flavor = "multi_thread")]
async fn others_see_a_deleted_user_and_their_history_in_order() {
    let app = quick().start().await;
    let (ada, bob, chat) = app.pair().await;
    let cleo = app.sign_in("cleo").await;
    let group = group(&ada, &[&bob, &cleo]).await;
    let addresses = Addresses::new(&[app.address]);
    let replica = AccountReplica::start(&bob, &addresses);
    for n in 0..3 {
        ada.send(&chat, &format!("to bob {n}")).await;
        bob.send(&chat, &format!("to ada {n}")).await;
        ada.send(&group, &format!("to all {n}")).await;
    }
    ada.mark_read(&chat, 6).await;
    replica.agrees_with(&bob.client).await;
    delete(&app, &ada).await;
    erased(&app).await;

    let user = bob.client.data(USER, json!({ "id": ada.id })).await;
    let expected = json!({ "id": ada.id, "name": "Deleted user", "email": null, "about": null,
        "metadata": null, "avatar": null, "presence": null, "isDeleted": true });
    assert_eq!(user["node"], expected);

    let direct = &bob.client.data(CHAT, json!({ "id": chat })).await["chat"];
    assert_eq!(direct["title"], "Deleted user");
    let messages = direct["messages"]["nodes"].as_array().unwrap();
    assert_eq!(messages.len(), 6);
    for (message, seq) in messages.iter().zip(1..) {
        assert_eq!(message["seq"], seq);
        let is_hers = message["sender"]["id"] == json!(ada.id);
        assert_eq!(message["text"].is_null(), is_hers, "{message}");
        assert_eq!(message["deletedAt"].is_null(), !is_hers);
        assert_eq!(message["sender"]["isDeleted"], is_hers);
        if !is_hers {
            // The tick stays, when she has read does not.
            assert_eq!(message["isReadByAll"], true, "{message}");
            assert_eq!(message["readBy"]["nodes"], json!([]));
        }
    }
    let changes = direct["changes"]["nodes"].as_array().unwrap();
    assert_eq!(changes.len(), 3);

    let all = &bob.client.data(CHAT, json!({ "id": group })).await["chat"];
    assert_eq!(
        (&all["memberCount"], &all["lastSeq"]),
        (&json!(2), &json!(5))
    );
    let owner = &all["members"]["nodes"].as_array().unwrap();
    assert!(owner.iter().any(|member| member["role"] == "OWNER"));
    assert_eq!(all["messages"]["nodes"][4]["kind"], "SYSTEM");
    // The replica was told all of it.
    replica.agrees_with(&bob.client).await;

    // Nobody writes to her or finds her.
    let sending = mutate(
        &bob,
        "sendMessage",
        "SendMessageInput",
        json!({ "chatId": chat, "text": "?" }),
    );
    assert_eq!(
        sending.await.code_and_field(),
        ("FORBIDDEN", "input.chatId")
    );
    let starting = mutate(
        &bob,
        "startChat",
        "StartChatInput",
        json!({ "userId": ada.id }),
    );
    assert_eq!(
        starting.await.code_and_field(),
        ("NOT_FOUND", "input.userId")
    );
    let adding = json!({ "chatId": group, "userIds": [ada.id] });
    let adding = mutate(&cleo, "addMembers", "AddMembersInput", adding).await;
    assert!(
        ["FORBIDDEN", "NOT_FOUND"].contains(&adding.code()),
        "{}",
        adding.body
    );
    let adding = json!({ "title": "New", "memberIds": [ada.id] });
    let adding = mutate(&bob, "createGroup", "CreateGroupInput", adding).await;
    assert_eq!(adding.code_and_field(), ("NOT_FOUND", "input.memberIds.0"));
    for search in ["ada", "Deleted", "ada@example.org", ""] {
        let query = "query($search: String) { users(search: $search) { nodes { id } } }";
        let found = bob.client.data(query, json!({ "search": search })).await;
        let found = found["users"]["nodes"].as_array().unwrap();
        assert!(
            found.iter().all(|one| one["id"] != json!(ada.id)),
            "{search}"
        );
    }

    // The address is somebody new's.
    app.clock.advance(Duration::from_mins(1));
    let new = app.sign_in("ada").await;
    assert_ne!(new.id, ada.id);
    let mine = new
        .client
        .data("{ me { isDeleted } chats { nodes { id } } }", json!({}))
        .await;
    assert_eq!(
        mine,
        json!({ "me": { "isDeleted": false }, "chats": { "nodes": [] } })
    );
    let again = new.start_chat(&bob).await;
    assert_ne!(again, chat);
    bob.send(&again, "welcome").await;
    let old = bob.client.data(USER, json!({ "id": ada.id })).await;
    assert_eq!(old["node"], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sessions_and_their_connections_end() {
    let app = quick().start().await;
    let (ada, bob, chat) = app.pair().await;
    app.clock.advance(Duration::from_mins(1));
    let other = app.sign_in("ada").await;
    let mut idle = other.client.socket().await;
    let variables = json!({ "chatId": chat });
    let mut feed = ada.client.subscribe(MESSAGE_ADDED, variables.clone()).await;
    let mut bobs = bob.client.subscribe(MESSAGE_ADDED, variables).await;
    delete(&app, &ada).await;
    assert_eq!(idle.closed().await, 4403);
    assert_eq!(feed.socket().closed().await, 4403);
    for user in [&ada, &other] {
        eventually("a refused token", async || {
            let reply = user.client.run("{ me { id } }", json!({})).await;
            (reply.body.get("errors").is_some() && reply.code() == "UNAUTHENTICATED").then_some(())
        })
        .await;
        let refused = user.client.refresh(&user.refresh_token).await;
        assert_eq!(refused.code(), "UNAUTHENTICATED");
    }
    // Others' streams go on.
    erased(&app).await;
    let third = app.sign_in("cleo").await;
    let with = bob.start_chat(&third).await;
    third.send(&with, "hello").await;
    bobs.socket()
        .subscribe("2", "{ me { id } }", json!({}))
        .await;
    let answer = soon("an answer", bobs.socket().next_or_end()).await;
    assert!(format!("{answer:?}").contains(&bob.id), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sole_member_of_a_group_leaves_it_too() {
    let app = quick().start().await;
    let ada = app.sign_in("ada").await;
    let alone = group(&ada, &[]).await;
    ada.send(&alone, "to myself").await;
    delete(&app, &ada).await;
    erased(&app).await;
    let conn = rusqlite::Connection::open(app.data_dir().join("talksy.db")).unwrap();
    let row = conn.query_row(
        "SELECT (SELECT member_count FROM chats), (SELECT count(*) FROM members WHERE left_seq IS NULL),
            (SELECT count(*) FROM messages WHERE text IS NOT NULL)",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    );
    let found: (i64, i64, i64) = row.unwrap();
    assert_eq!(found, (0, 0, 0));
    assert!(string(&json!(alone)).starts_with("cht_"));
}
